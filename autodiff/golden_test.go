package autodiff_test

import (
	"encoding/json"
	"os"
	"testing"

	ad "github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/autodiff/check"
	"github.com/descent-ml/descent/tensor"
)

// packed is a tensor in testdata/torch_ops.json.
type packed struct {
	Shape []int     `json:"shape"`
	Data  []float64 `json:"data"`
}

func (p packed) tensor() tensor.Tensor[float64] { return tensor.FromSlice(p.Data, p.Shape...) }

// TestAgainstTorch compares values, gradients and Hessian-vector products with those that PyTorch
// found; testdata/torch_ops.py is the program.
func TestAgainstTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/torch_ops.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]struct {
		Inputs, V, Gradient, HVP []packed
		Y, C                     packed
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	labels := []int32{1, 0, 3}
	csr, err := tensor.NewCSR(3, 4, []int32{0, 2, 2, 5}, []int32{3, 1, 0, 2, 3}, []float64{0.5, -1, 2, 3, -0.25})
	if err != nil {
		t.Fatal(err)
	}
	unary := func(f func(vr) vr) check.Func { return func(_ tape, x []vr) vr { return f(x[0]) } }
	target := func(t tape, f func(i int) float64) vr {
		y := tensor.New[float64](3, 4)
		for i := range y.Data() {
			y.Data()[i] = f(i)
		}
		return t.Input(y)
	}
	ours := map[string]check.Func{
		"gelu":        unary(ad.GELU[float64]),
		"silu":        unary(ad.SiLU[float64]),
		"softplus":    unary(ad.Softplus[float64]),
		"elu":         unary(ad.ELU[float64]),
		"sigmoid":     unary(ad.Sigmoid[float64]),
		"tanh":        unary(ad.Tanh[float64]),
		"log_softmax": unary(ad.LogSoftmax[float64]),
		"softmax":     unary(ad.Softmax[float64]),
		"logsumexp":   unary(ad.LogSumExpRows[float64]),
		"linear":      func(_ tape, x []vr) vr { return ad.Tanh(ad.Affine(x[0], x[1], x[2])) },
		"layer_norm":  func(_ tape, x []vr) vr { return ad.LayerNorm(x[0], x[1], x[2], 1e-5) },
		"batch_norm":  func(_ tape, x []vr) vr { y, _, _ := ad.BatchNorm(x[0], x[1], x[2], 1e-5); return y },
		"batch_norm_eval": func(_ tape, x []vr) vr {
			mean, variance := tensor.FromSlice([]float64{0.1, -0.2, 0.3}, 3), tensor.FromSlice([]float64{0.5, 1, 2}, 3)
			return ad.BatchNormInference(x[0], x[1], x[2], mean, variance, 1e-5)
		},
		"group_norm":           func(_ tape, x []vr) vr { return ad.GroupNorm(x[0], x[1], x[2], 2, 1e-5) },
		"rms_norm":             func(_ tape, x []vr) vr { return ad.RMSNorm(x[0], x[1], 1e-5) },
		"cross_entropy":        func(_ tape, x []vr) vr { return ad.CrossEntropy(x[0], labels, 0) },
		"cross_entropy_smooth": func(_ tape, x []vr) vr { return ad.CrossEntropy(x[0], labels, 0.1) },
		"squared":              func(_ tape, x []vr) vr { return ad.SquaredError(x[0], x[1]) },
		"bernoulli": func(t tape, x []vr) vr {
			return ad.BernoulliNLL(x[0], target(t, func(i int) float64 { return float64(i) / 11 }))
		},
		"poisson": func(t tape, x []vr) vr {
			return ad.PoissonNLL(x[0], target(t, func(i int) float64 { return float64(i) }))
		},
		"huber":            func(t tape, x []vr) vr { return ad.HuberLoss(x[0], target(t, func(int) float64 { return 0 }), 0.7) },
		"embedding":        func(_ tape, x []vr) vr { return ad.Sin(ad.Embedding(x[0], []int32{2, 0, 2, 1, 2})) },
		"attention":        func(_ tape, x []vr) vr { return ad.Attention(x[0], x[1], x[2], 2, false) },
		"attention_causal": func(_ tape, x []vr) vr { return ad.Attention(x[0], x[1], x[2], 2, true) },
		"sparse":           func(_ tape, x []vr) vr { return ad.Sin(ad.SparseMatMul(csr, x[0], false)) },
		"mlp": func(_ tape, x []vr) vr {
			return ad.CrossEntropy(ad.Affine(ad.Tanh(ad.Affine(x[0], x[1], x[2])), x[3], x[4]), labels, 0)
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, ok := ours[name]
			if !ok {
				t.Fatal("no counterpart")
			}
			delete(ours, name)
			tp := newTape(1)
			var x, v []vr
			for i := range c.Inputs {
				x, v = append(x, tp.Input(c.Inputs[i].tensor())), append(v, tp.Input(c.V[i].tensor()))
			}
			y := f(tp, x)
			if err := near(y.Value().Data(), c.Y.Data, 1e-13); err != nil {
				t.Errorf("value: %v", err)
			}
			s := ad.Dot(y, tp.Input(tensor.Of(c.C.Data, y.Shape())))
			g := tp.Gradient(s, x)
			h := tp.JVP(g, x, v)
			for i := range x {
				if err := near(g[i].Value().Data(), c.Gradient[i].Data, 1e-12); err != nil {
					t.Errorf("gradient %d: %v", i, err)
				}
				if err := near(h[i].Value().Data(), c.HVP[i].Data, 1e-11); err != nil {
					t.Errorf("Hessian-vector product %d: %v", i, err)
				}
			}
		})
	}
	for name := range ours {
		t.Errorf("%s is not in the file", name)
	}
}
