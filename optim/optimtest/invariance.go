package optimtest

import (
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// invariances holds the method to the properties that its description claims.
func (c conformer) invariances(t *testing.T) {
	has := func(i optim.Invariance) bool { return c.spec.Invariances&i != 0 }
	if has(optim.GradientScale) {
		t.Run("gradient-scale", c.gradientScale)
	}
	if has(optim.Permutation) {
		t.Run("permutation", c.permutation)
	}
	if has(optim.LayerScale) {
		t.Run("layer-scale", c.layerScale)
	}
	if has(optim.Rest) {
		t.Run("rest", c.rest)
	}
}

// pure are settings without decay and with every ε as small as it may be.
func (c conformer) pure() optim.Settings {
	s := optim.Settings{"weight-decay": 0}
	for _, name := range []string{"eps", "eps1"} {
		if x, ok := c.spec.Setting(name); ok && c.spec.Invariances&(optim.GradientScale|optim.LayerScale) != 0 {
			s[name] = x.Min
		}
	}
	return s
}

func (c conformer) gradientScale(t *testing.T) {
	f, layout, from := net[float64]()
	trajectory := func(fn objective.Function[float64]) []float64 {
		r := start(t, c, optim.Env{Layout: layout}, c.pure(), fn, from, netProgress)
		r.steps(15)
		return r.eval()
	}
	want := trajectory(f)
	for _, factor := range []float64{1e-3, 700} {
		near(t, "loss multiplied by a constant", trajectory(Scaled[float64]{f, factor}), want, 1e-7)
	}
}

func (c conformer) permutation(t *testing.T) {
	const n = 1500 // more than one block
	layout := new(nn.Layout)
	layout.Add(nn.Param{Name: "x", Shape: tensor.ShapeOf(n), Kind: nn.Weight})
	q := IllConditioned[float64](n, 100)
	from, order, permuted := make([]float64, n), make([]int, n), make([]float64, n)
	index := make([]int32, n)
	tensor.Permutation(tensor.KeyOf(1), index)
	for i := range from {
		from[i] = 0.5 + tensor.KeyOf(2).Normal(uint64(i))
		order[i] = int(index[i])
	}
	for i, j := range order {
		permuted[j] = from[i]
	}
	r := start[float64](t, c, optim.Env{Layout: layout}, c.pure(), q, from, netProgress)
	r.steps(15)
	s := start[float64](t, c, optim.Env{Layout: layout}, c.pure(), Permuted[float64]{q, order}, permuted, netProgress)
	s.steps(15)
	got, want := make([]float64, n), r.eval()
	for i, j := range order {
		got[i] = s.eval()[j]
	}
	near(t, "relabelled coordinates", got, want, 1e-9)
}

func (c conformer) layerScale(t *testing.T) {
	layout := new(nn.Layout)
	layout.Add(nn.Param{Name: "a", Shape: tensor.ShapeOf(4, 5), Kind: nn.Weight})
	layout.Add(nn.Param{Name: "b", Shape: tensor.ShapeOf(5, 3), Kind: nn.Weight})
	n := layout.Size()
	from := make([]float64, n)
	tensor.Normal(tensor.KeyOf(3), from, 0, 1)
	trajectory := func(factor float64) []float64 {
		q := Quadratic[float64]{Lambda: make([]float64, n)}
		for i := range q.Lambda {
			q.Lambda[i] = 1 + float64(i)/float64(n)
			if i >= 20 {
				q.Lambda[i] *= factor
			}
		}
		r := start[float64](t, c, optim.Env{Layout: layout}, c.pure(), q, from, netProgress)
		r.steps(15)
		return r.eval()
	}
	near(t, "gradient of one layer multiplied by 50", trajectory(50), trajectory(1), 1e-7)
}

func (c conformer) rest(t *testing.T) {
	f, layout, from := net[float64]()
	flat := Scaled[float64]{f, 0} // gradient 0 everywhere
	r := start[float64](t, c, optim.Env{Layout: layout}, optim.Settings{"weight-decay": 0}, flat, from, netProgress)
	r.steps(10)
	same(t, "parameters at a zero gradient", r.f.Params(), from)
	same(t, "parameters to evaluate at a zero gradient", r.eval(), from)
}
