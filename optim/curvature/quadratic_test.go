package curvature

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// made is a method of the package on a network.
func made(t testing.TB, n net, name string, s optim.Settings) (optim.Method[float64], *objective.Objective[float64]) {
	t.Helper()
	spec, err := optim.Find(Table[float64](), name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := spec.Make(optim.Env{Layout: n.Layout()}, s)
	if err != nil {
		t.Fatal(err)
	}
	return m, objective.New[float64](n.Network, n.Layout(), n.theta)
}

func stepOn(t testing.TB, m optim.Method[float64], f *objective.Objective[float64], step, batch int) optim.Report {
	t.Helper()
	f.SetProgress(objective.Progress{Step: int64(step), Batch: batch})
	r, err := m.Step(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func extra(r optim.Report, name string) float64 {
	for _, v := range r.Extra {
		if v.Name == name {
			return v.Value
		}
	}
	return math.NaN()
}

// At the solution the gradient of the model along both directions is zero, and no other pair is better, also where the system
// is singular.
func TestModelStepMinimises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) float64 { return rapid.Float64Range(-3, 3).Draw(t, name) }
		// B = LLᵀ in the span of U and V.
		a, b, c := draw("a"), draw("b"), draw("c")
		m := model{uu: a * a, uv: a * b, vv: b*b + c*c}
		// A slope in the range of B, as that of a loss with a minimum.
		x, y := draw("x"), draw("y")
		m.gu, m.gv = m.uu*x+m.uv*y, m.uv*x+m.vv*y
		alpha, mu := m.both(1e-13)
		value := func(alpha, mu float64) float64 {
			return -alpha*m.gu + mu*m.gv + (alpha*alpha*m.uu-2*alpha*mu*m.uv+mu*mu*m.vv)/2
		}
		scale := math.Abs(m.gu) + math.Abs(m.gv) + 1e-12
		alongU, alongV := -m.gu+alpha*m.uu-mu*m.uv, m.gv-alpha*m.uv+mu*m.vv
		if m.uu > 1e-6 && m.vv > 1e-6 && c*c > 1e-6*m.vv {
			if math.Abs(alongU) > 1e-8*scale || math.Abs(alongV) > 1e-8*scale {
				t.Fatalf("%+v: slopes %g and %g at α %g, μ %g", m, alongU, alongV, alpha, mu)
			}
		}
		if fixed := 0.9; m.uu > 1e-6 {
			best := m.rate(fixed)
			for _, other := range []float64{best - 0.01, best + 0.01} {
				if value(other, fixed) < value(best, fixed) {
					t.Fatalf("%+v: rate %g is better than %g", m, other, best)
				}
			}
		}
		if fixed := 0.1; m.vv > 1e-6 {
			best := m.momentum(fixed)
			for _, other := range []float64{best - 0.01, best + 0.01} {
				if value(fixed, other) < value(fixed, best) {
					t.Fatalf("%+v: momentum %g is better than %g", m, other, best)
				}
			}
		}
	})
}

// Parallel directions: the solution of least norm has the same model value as the best along one of them.
func TestModelStepOfASingularSystem(t *testing.T) {
	for _, sign := range []float64{1, -1} {
		m := model{uu: 4, uv: sign * 6, vv: 9, gu: 2, gv: sign * 3}
		alpha, mu := m.both(1e-13)
		if got := -alpha*2 + sign*mu*3 + (alpha*alpha*4-2*sign*alpha*mu*6+mu*mu*9)/2; math.Abs(got+0.5) > 1e-12 {
			t.Errorf("sign %g: the model's value is %v, expected -1/2", sign, got)
		}
	}
	if alpha, mu := (model{uu: 4, gu: 2}).both(1e-13); alpha != 0.5 || mu != 0 {
		t.Errorf("without a last step: α %v, μ %v", alpha, mu)
	}
	if alpha, mu := (model{}).both(1e-13); alpha != 0 || mu != 0 {
		t.Errorf("without curvature: α %v, μ %v", alpha, mu)
	}
}

// On a quadratic loss the steps with rate and momentum from the model are those of preconditioned conjugate gradients: as many as there are
// parameters lead to the minimum. The preconditioner is held by a large damping of its own, so that one step does not.
func TestModelStepsAreConjugateGradients(t *testing.T) {
	n := network(t, "squared", 20, tensor.ShapeOf(4), affine(2, ""))
	y := nn.Target[float64]{Values: tensor.New[float64](20, 2)}
	tensor.Normal(tensor.KeyOf(8), y.Values.Data(), 0, 1)
	x := tensor.New[float64](20, 4)
	tensor.Normal(tensor.KeyOf(9), x.Data(), 0.3, 1)
	n.SetBatch(x, y)
	p := len(n.theta)
	k := observed(t, n, Factored, objective.Exact, 1e-12, nil) // for its natural gradient, that shows the minimum
	minimum, g := append([]float64(nil), n.theta...), n.gradient(t)
	k.blocks[0].apply(k.ws, g, 1e-12)
	for i := range g {
		minimum[i] -= g[i]
	}
	least, err := n.Evaluate(minimum, nil)
	if err != nil {
		t.Fatal(err)
	}

	m, f := made(t, n, "kfac", optim.Settings{"regime": 1, "damping": 1e-12, "precon-damping": 3e11, "signal": 2, "burn-in": 1, "statistics-every": 1000, "inverse-every": 1000})
	// The reference: conjugate gradients on the normal equations, with the same preconditioner.
	reference := conjugate(t, n, p)
	reached := 0
	for step := range p {
		stepOn(t, m, f, step, 20)
		value, err := n.Evaluate(n.theta, nil)
		if err != nil {
			t.Fatal(err)
		}
		if step < 4 && math.Abs(value-reference[step]) > 1e-8*(1+math.Abs(reference[step])) {
			t.Errorf("step %d: loss %v, conjugate gradients give %v", step+1, value, reference[step])
		}
		if value-least <= 1e-8*(1+math.Abs(least)) {
			reached = step + 1
			break
		}
	}
	if reached == 0 {
		t.Errorf("the minimum is not reached in %d steps", p)
	}
	t.Logf("the minimum in %d steps, %d parameters", reached, p)
}

// conjugate returns the losses after the steps of preconditioned conjugate gradients from n's parameters, which stay as they are.
func conjugate(t testing.TB, n net, steps int) []float64 {
	t.Helper()
	theta := append([]float64(nil), n.theta...)
	at := net{n.Network, theta}
	k := observed(t, at, Factored, objective.Exact, 0.3, nil)
	var losses []float64
	var d []float64
	before := 0.0
	for range steps {
		r := at.gradient(t)
		z := append([]float64(nil), r...)
		k.blocks[0].apply(k.ws, z, 0.3)
		rz := 0.0
		for i := range r {
			rz += r[i] * z[i]
		}
		if d == nil {
			d = make([]float64, len(r))
		} else {
			for i := range d {
				d[i] *= rz / before
			}
		}
		for i := range d {
			d[i] -= z[i]
		}
		before = rz
		cd := make([]float64, len(d))
		if err := at.GGNVP(theta, d, cd); err != nil {
			t.Fatal(err)
		}
		dcd, rd := 0.0, 0.0
		for i := range d {
			dcd += d[i] * cd[i]
			rd += r[i] * d[i]
		}
		for i := range theta {
			theta[i] -= rd / dcd * d[i]
		}
		loss, err := at.Evaluate(theta, nil)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, loss)
	}
	return losses
}

// What the link writes is the minimum of the model on a network that is no quadratic, to the loss's own products: in every regime the
// slope of the model along what was free is zero.
func TestRegimesOnANetwork(t *testing.T) {
	for regime := 1.0; regime <= 3; regime++ {
		n := mixed(t)
		const lambda = 0.05
		s := optim.Settings{"regime": regime, "damping": lambda, "burn-in": 1}
		if regime == 2 {
			s["momentum"] = 0.7
		}
		if regime == 3 {
			s["lr"] = 0.2
		}
		m, f := made(t, n, "kfac", s)
		q := find[*Quadratic[float64]](t, m)
		var last []float64
		for step := range 4 {
			before, g := append([]float64(nil), n.theta...), n.gradient(t)
			r := stepOn(t, m, f, step, 12)
			delta := make([]float64, len(before))
			for i := range delta {
				delta[i] = n.theta[i] - before[i]
			}
			wantNear(t, "δ₀", q.last, delta, 1e-12)
			alpha, mu := r.StepSize, extra(r, "model-momentum")
			if regime == 2 && step > 0 && mu != 0.7 || regime == 3 && alpha != 0.2 {
				t.Fatalf("regime %g: α %v, μ %v", regime, alpha, mu)
			}
			// slope of M at δ: g + (C + λ)δ.
			slope := make([]float64, len(delta))
			if err := n.GGNVP(before, delta, slope); err != nil {
				t.Fatal(err)
			}
			for i := range slope {
				slope[i] += g[i] + lambda*delta[i]
			}
			along := func(v []float64) (sum, size float64) {
				for i := range v {
					sum += slope[i] * v[i]
					size += math.Abs(g[i] * v[i])
				}
				return
			}
			u := make([]float64, len(delta)) // U = (μδ₀ − δ)/α
			for i := range u {
				u[i] = -delta[i]
				if step > 0 {
					u[i] += mu * last[i]
				}
				u[i] /= alpha
			}
			if d, size := along(u); regime != 3 && math.Abs(d) > 1e-8*size {
				t.Errorf("regime %g, step %d: slope %g along U", regime, step, d)
			}
			if step > 0 && regime != 2 {
				if d, size := along(last); math.Abs(d) > 1e-8*size {
					t.Errorf("regime %g, step %d: slope %g along the last step", regime, step, d)
				}
			}
			last = delta
		}
	}
}

// find returns the link of type L in a method.
func find[L any](t testing.TB, m optim.Method[float64]) L {
	t.Helper()
	for {
		if x, ok := m.(L); ok {
			return x
		}
		if x, ok := m.(optim.Inner[float64]); ok {
			m = x.Inner()
			continue
		}
		for _, l := range m.(*optim.Chain[float64]).Links() {
			if x, ok := l.(L); ok {
				return x
			}
		}
		t.Fatalf("there is no %T in the method", *new(L))
	}
}
