package limitsstudy

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/tensor"
)

// TestModel: the model of package nn and the simulator train the same network.
func TestModel(t *testing.T) {
	const m, in = 7, 3
	d := &Digits{X: tensor.New[float64](m, in), Y: []float64{1, -1, 1, 1, -1, -1, 1}, Test: tensor.New[float64](Bands, in)}
	tensor.Normal(tensor.KeyOf(1), d.X.Data(), 0, 1)
	tensor.Normal(tensor.KeyOf(2), d.Test.Data(), 0, 1)
	c := Choice{Width: 100, Batch: 3}
	for _, s := range []asymptotics.Sampling{asymptotics.IID, asymptotics.Reshuffled} {
		trained, err := d.Train(c, s, 3, 5)
		if err != nil {
			t.Fatal(err)
		}
		again, err := d.TrainModel(c, s, 5, 2)
		if err != nil {
			t.Fatal(err)
		}
		for k, g := range again {
			if want := trained.Outputs[2][k]; !(math.Abs(g-want) <= 1e-10) {
				t.Errorf("%v, output %d: %v by the model, %v by the simulator", s, k, g, want)
			}
		}
	}
}

func TestGridBest(t *testing.T) {
	g := Grid{{{Val: 2}, {Val: 2}}, {{Val: 1}, {Diverged: true}}, {{Val: 1}, {Val: 2}}}
	if i := g.Best(); i != 2 {
		t.Errorf("rate %d, expected 2: the second diverges once", i)
	}
	if _, ok := g.mean(1); ok {
		t.Error("a rate that diverges has a mean")
	}
}
