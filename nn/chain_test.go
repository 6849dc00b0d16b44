package nn_test

import (
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

func TestChain(t *testing.T) {
	m, err := nn.Build[float64]("mlp:5,3", nn.Options{Input: tensor.ShapeOf(4, 2), Outputs: 2, Activation: "tanh"})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := nn.Chain(m)
	if err != nil {
		t.Fatal(err)
	}
	want := []nn.ChainLayer{{Name: "dense1", Weight: 0, Bias: 1, In: 8, Out: 5, Activation: "tanh"},
		{Name: "dense2", Weight: 2, Bias: 3, In: 5, Out: 3, Activation: "tanh"}, {Name: "dense3", Weight: 4, Bias: 5, In: 3, Out: 2, Activation: "identity"}}
	if len(chain) != len(want) {
		t.Fatalf("%d layers: %+v", len(chain), chain)
	}
	for i := range want {
		if chain[i] != want[i] {
			t.Errorf("layer %d: %+v, want %+v", i, chain[i], want[i])
		}
	}
	for model, why := range map[string]string{"lenet5": "*nn.Conv", "mlp:5+bn": ""} {
		m, err := nn.Build[float64](model, nn.Options{Input: tensor.ShapeOf(28, 28, 1), Outputs: 2})
		if err != nil {
			if why == "" {
				continue
			}
			t.Fatal(err)
		}
		if _, err := nn.Chain(m); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want it to name %s", model, err, why)
		}
	}
}

// TestRepeatedWidths: 3x2 stands for 3,3.
func TestRepeatedWidths(t *testing.T) {
	build := func(spec string) (nn.Model[float64], error) {
		return nn.Build[float64](spec, nn.Options{Input: tensor.ShapeOf(4), Outputs: 2})
	}
	a, err := build("mlp:5,3x2")
	if err != nil {
		t.Fatal(err)
	}
	b, err := build("mlp:5,3,3")
	if err != nil {
		t.Fatal(err)
	}
	if a.Layout().Size() != b.Layout().Size() || a.Layout().Len() != b.Layout().Len() {
		t.Errorf("%d parameters in %d, expected %d in %d", a.Layout().Size(), a.Layout().Len(), b.Layout().Size(), b.Layout().Len())
	}
	for _, spec := range []string{"mlp:5x0", "mlp:x3", "mlp:5x", "mlp:5x2x2", "mlp:0x2"} {
		if _, err := build(spec); err == nil {
			t.Errorf("%s was taken", spec)
		}
	}
}
