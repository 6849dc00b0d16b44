package optim_test

import (
	"context"
	"slices"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// What a BNP method multiplies gradients by is P Pᵀ of its change of variables; a method that was restored from its state, and has
// not stepped yet, has the same to the bit; asking changes no state.
func TestPreconditionsOfBNP(t *testing.T) {
	n := newNetwork(t, tensor.KeyOf(1), 9, tensor.ShapeOf(4), 3, &nn.Dense[float64]{Out: 5, Activation: "tanh"}, &nn.Dense[float64]{Out: 3})
	size := n.layout.Size()
	gradient := make([]float64, size)
	tensor.Normal(tensor.KeyOf(2), gradient, 0, 1)
	for _, name := range []string{"bnp", "bnp-momentum", "bnp-adam", "bnp-fr"} {
		make2 := func() optim.Method[float64] {
			m, err := optim.New[float64](name, optim.Env{Layout: n.layout}, optim.Settings{"ema": 0.5})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := make2()
		p := optim.PreconditionsOf(m)
		if p == nil {
			t.Fatalf("%s: found none", name)
		}
		if v := slices.Clone(gradient); p.ApplyPreconditioner(v, objective.Progress{}) || !slices.Equal(v, gradient) {
			t.Errorf("%s: applied before the first step", name)
		}
		for range 3 {
			n.f.SetProgress(objective.Progress{Batch: 9})
			if _, err := m.Step(context.Background(), n.f); err != nil {
				t.Fatal(err)
			}
		}
		var before []float64
		for _, e := range m.State() {
			before = append(append(before, e.Vector...), e.Double...)
		}
		v := slices.Clone(gradient)
		if !p.ApplyPreconditioner(v, objective.Progress{}) || slices.Equal(v, gradient) {
			t.Fatalf("%s: not applied after three steps", name)
		}
		w := slices.Clone(gradient)
		change := p.(interface {
			Change() optim.Preconditioner[float64]
		}).Change()
		change.MulPT(w)
		change.MulP(w)
		for i := range v {
			if d := v[i] - w[i]; d > 1e-12 || d < -1e-12 {
				t.Fatalf("%s: element %d is %v, P Pᵀ gives %v", name, i, v[i], w[i])
			}
		}
		restored := make2()
		if err := restored.State().CopyFrom(m.State()); err != nil {
			t.Fatal(err)
		}
		w = slices.Clone(gradient)
		if !optim.PreconditionsOf(restored).ApplyPreconditioner(w, objective.Progress{}) || !slices.Equal(v, w) {
			t.Errorf("%s: restored gives other bits", name)
		}
		var after []float64
		for _, e := range m.State() {
			after = append(append(after, e.Vector...), e.Double...)
		}
		if !slices.Equal(before, after) {
			t.Errorf("%s: the state has changed", name)
		}
	}
	for _, name := range []string{"sgd", "adam", "lookahead"} {
		m, err := optim.New[float64](name, optim.Env{Layout: n.layout}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if optim.PreconditionsOf(m) != nil {
			t.Errorf("%s: found a preconditioner", name)
		}
	}
}
