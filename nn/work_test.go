package nn_test

import (
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// The flops of known models, counted by hand.
func TestAffineWork(t *testing.T) {
	for _, c := range []struct {
		model             string
		input             tensor.Shape
		outputs           int
		forward, gradient float64
	}{
		{"mlp:512,512", tensor.ShapeOf(28, 28, 1), 10, 2 * (784*512 + 512*512 + 512*10), 4*784*512 + 6*(512*512+512*10)},
		{"linear", tensor.ShapeOf(7), 3, 2 * 21, 4 * 21},
		// LeNet-5: 5×5 windows on 28×28 with padding to 6 maps, on 14×14 to 16 maps of 10×10, then 400-120-84-10.
		{"lenet5", tensor.ShapeOf(28, 28, 1), 10, 2 * (784*25*6 + 100*150*16 + 400*120 + 120*84 + 84*10),
			4*784*25*6 + 6*(100*150*16+400*120+120*84+84*10)},
	} {
		m, err := nn.Build[float32](c.model, nn.Options{Input: c.input, Outputs: c.outputs})
		if err != nil {
			t.Fatal(err)
		}
		var forward, gradient float64
		for _, w := range nn.AffineWork(m, c.input) {
			forward += w.Forward()
			gradient += w.Gradient()
		}
		if forward != c.forward || gradient != c.gradient {
			t.Errorf("%s: %.0f flops forward and %.0f of a gradient, want %.0f and %.0f", c.model, forward, gradient, c.forward, c.gradient)
		}
	}
}
