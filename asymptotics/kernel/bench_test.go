package kernel_test

import (
	"testing"

	"github.com/descent-ml/descent/asymptotics/kernel"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// BenchmarkKernel is the kernel of 1,000 points of 20 features, depth 3, on one worker.
func BenchmarkKernel(b *testing.B) {
	x := points(1000, 20)
	for _, s := range []kernel.Activation{kernel.ReLU(), kernel.Erf(), kernel.Tanh()} {
		b.Run(s.Name, func(b *testing.B) {
			for b.Loop() {
				if _, err := (kernel.MLP{Activation: s, Depth: 3, BiasVar: 0.1}).Kernel(nil, x, matrix{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEmpirical is the tangent kernel of mlp:512,512 with ten outputs on 1,000 images, in float32 on one worker.
func BenchmarkEmpirical(b *testing.B) {
	m, err := nn.Build[float32]("mlp:512,512", nn.Options{Input: tensor.ShapeOf(784), Outputs: 10})
	if err != nil {
		b.Fatal(err)
	}
	params := make([]float32, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(1), params, nil)
	x := tensor.New[float32](1000, 784)
	tensor.Normal(tensor.KeyOf(2), x.Data(), 0, 1)
	e := kernel.NewEmpirical(m, params, nil)
	e.Output = -1
	b.Run("matrix", func(b *testing.B) {
		for b.Loop() {
			if _, err := e.Kernel(x, tensor.Tensor[float32]{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	v, kv := tensor.New[float32](1000, 10), tensor.New[float32](1000, 10)
	tensor.Normal(tensor.KeyOf(3), v.Data(), 0, 1)
	b.Run("product", func(b *testing.B) {
		for b.Loop() {
			e.Product(x, v, kv)
		}
	})
}
