package optim_test

import (
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// The numbers that a description claims for a BNP method are those of its state, beside the sums of the batch in progress and
// the three vectors of P; and its flops stay far below those of the gradient.
func TestCostOfBNP(t *testing.T) {
	m, err := nn.Build[float32]("mlp:40,30", nn.Options{Input: tensor.ShapeOf(20), Outputs: 5})
	if err != nil {
		t.Fatal(err)
	}
	inputs, gradient := 20+40+30, 0.0
	for _, w := range nn.AffineWork(m, tensor.ShapeOf(20)) {
		gradient += 64 * w.Gradient()
	}
	for _, name := range []string{"bnp", "bnp-momentum", "bnp-fr", "bnp-adam"} {
		for _, given := range []optim.Settings{nil, {"ema": 0.9}} {
			spec, err := optim.Lookup[float32](name)
			if err != nil {
				t.Fatal(err)
			}
			full, err := spec.Complete(given)
			if err != nil {
				t.Fatal(err)
			}
			method, err := spec.Make(optim.Env{Layout: m.Layout()}, full)
			if err != nil {
				t.Fatal(err)
			}
			kept := 2*2*inputs + 3*inputs
			for _, e := range method.State() {
				kept += len(e.Vector) + 2*len(e.Double)
			}
			c := spec.CostOn(m.Layout(), full, 64)
			if d := int(c.Numbers) - kept; d < -8 || d > 0 { // a few scalars are not counted
				t.Errorf("%s %v: claims %.0f numbers, keeps %d", name, given, c.Numbers, kept)
			}
			if !(c.Flops > 0 && c.Flops < 0.2*gradient) {
				t.Errorf("%s: %.0f flops, the gradient has %.0f", name, c.Flops, gradient)
			}
		}
	}
}
