package curvature_test

import (
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// The numbers that a cost states are those of the state, and flops grow with what they are said to grow with.
func TestCosts(t *testing.T) {
	m, err := nn.Build[float32]("mlp:40,30", nn.Options{Input: tensor.ShapeOf(20), Outputs: 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method   string
		settings optim.Settings
	}{
		{"kfac", nil}, {"kfac", optim.Settings{"exact-damping": 1}}, {"kfac", optim.Settings{"largest-factor": 31}}, {"ekfac", nil},
		{"kfac", optim.Settings{"ema": 0.9, "accumulate": 2}},
	} {
		s := spec[float32](t, c.method)
		full, err := s.Complete(c.settings)
		if err != nil {
			t.Fatal(err)
		}
		method, err := s.Make(optim.Env{Layout: m.Layout()}, c.settings)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.CostOn(m.Layout(), full, 64).Numbers, float64(method.State().Floats()); got != want {
			t.Errorf("%s %v: %g numbers, the state has %g", c.method, c.settings, got, want)
		}
		flops := func(name string, v float64) float64 {
			other := optim.Settings{}
			for k, x := range full {
				other[k] = x
			}
			other[name] = v
			return s.CostOn(m.Layout(), other, 64).Flops
		}
		if a, b := flops("statistics-every", 1), flops("statistics-every", 10); !(a > b) {
			t.Errorf("%s: %g flops with statistics in each step, %g in every tenth", c.method, a, b)
		}
		if a, b := flops("inverse-every", 1), flops("inverse-every", 10); !(a > b) {
			t.Errorf("%s: %g flops with inverses in each step, %g in every tenth", c.method, a, b)
		}
		if a, b := flops("regime", 1), flops("regime", 0); !(a > b) {
			t.Errorf("%s: %g flops with steps from the model, %g without", c.method, a, b)
		}
	}
}
