package optim_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// constantGradient costs nothing to evaluate and leaves the gradient as it is.
type constantGradient struct{}

func (constantGradient) Evaluate(_, _ []float32) (float64, error) { return 1, nil }

// mlpLayout is that of the network 784-512-512-10: 669,706 parameters.
func mlpLayout() *nn.Layout {
	l := new(nn.Layout)
	widths := []int{784, 512, 512, 10}
	for i := range 3 {
		l.Add(nn.Param{Name: fmt.Sprintf("dense%d.weight", i+1), Shape: tensor.ShapeOf(widths[i], widths[i+1]), Kind: nn.Weight})
		l.Add(nn.Param{Name: fmt.Sprintf("dense%d.bias", i+1), Shape: tensor.ShapeOf(widths[i+1]), Kind: nn.Bias})
	}
	return l
}

// BenchmarkStep measures the update alone, float32, on one worker, for every method.
func BenchmarkStep(b *testing.B) {
	for _, s := range optim.Table[float32]() {
		b.Run(s.Name, func(b *testing.B) {
			layout := mlpLayout()
			m, err := optim.New[float32](s.Name, optim.Env{Layout: layout}, optim.Settings{"lr": 1e-6})
			if err != nil {
				b.Fatal(err)
			}
			p := make([]float32, layout.Size())
			tensor.Normal(tensor.KeyOf(1), p, 0, 0.05)
			f := objective.New[float32](constantGradient{}, layout, p)
			_, g, _ := f.Gradient(context.Background())
			tensor.Normal(tensor.KeyOf(2), g, 0, 0.01)
			b.ReportAllocs()
			for b.Loop() {
				f.SetProgress(objective.Progress{Batch: 1})
				if _, err := m.Step(context.Background(), f); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
		})
	}
}
