package nn_test

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// TestInitializerSD compares the stated standard deviation with that of drawn values.
func TestInitializerSD(t *testing.T) {
	for _, name := range nn.Initializers() {
		i, err := nn.ParseInitializer(name)
		if err != nil {
			t.Fatal(err)
		}
		p := nn.Param{Name: "w", Shape: tensor.ShapeOf(300, 200), FanIn: 300, FanOut: 200, Init: i}
		v := make([]float64, 60000)
		nn.Fill(tensor.KeyOf(1), p, v)
		var sum, sq float64
		for _, x := range v {
			sum += x / float64(len(v))
		}
		for _, x := range v {
			sq += (x - sum) * (x - sum) / float64(len(v))
		}
		if want := i.SD(p); math.Abs(math.Sqrt(sq)-want) > 0.015*want {
			t.Errorf("%s: drawn values have the standard deviation %g, stated is %g", name, math.Sqrt(sq), want)
		}
	}
}
