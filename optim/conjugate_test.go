package optim_test

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/optimtest"
	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

// Without a cap the direction is ‖gₖ‖² Σᵢ gᵢ/‖gᵢ‖², for any gradients.
func TestFletcherReevesClosedForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grads := rapid.SliceOfN(rapid.SliceOfN(rapid.Float64Range(0.01, 10), 4, 4), 2, 12).Draw(t, "gradients")
		env := optim.Env{Layout: weights(4)}
		var u []float64
		c := optim.NewChain(env, optim.Link[float64](optim.NewConjugate[float64](env, optim.ConjugateOptions{Cap: math.Inf(1)}, nil)), capture(&u))
		f := objective.New[float64](&given{grads: grads}, env.Layout, make([]float64, 4))
		sum := make([]float64, 4)
		for k, g := range grads {
			if _, err := c.Step(context.Background(), f); err != nil {
				t.Fatal(err)
			}
			for i := range sum {
				sum[i] += g[i] / (norm(g) * norm(g))
				if want := norm(g) * norm(g) * sum[i]; math.Abs(u[i]-want) > 1e-10*math.Abs(want) {
					t.Fatalf("step %d: element %d of the direction is %v, expected %v", k+1, i, u[i], want)
				}
			}
		}
	})
}

// With exact line search on a quadratic with five distinct curvatures both are linear conjugate gradients: five steps.
func TestConjugateGradientsTerminate(t *testing.T) {
	for _, pr := range []bool{false, true} {
		q := optimtest.Quadratic[float64]{Lambda: make([]float64, 60)}
		from := make([]float64, 60)
		for i := range from {
			q.Lambda[i] = []float64{1, 7, 30, 200, 1000}[i%5]
			from[i] = 1 + 0.5*math.Sin(float64(i))
		}
		env := optim.Env{Layout: weights(60)}
		search := optim.Do[float64](func(_ context.Context, s *optim.Stage[float64]) (optim.Verdict, error) {
			slope, curvature := 0.0, 0.0
			for i, b := range s.Update {
				slope += b * q.Lambda[i] * s.Params[i]
				curvature += b * b * q.Lambda[i]
			}
			for i, b := range s.Update {
				s.Params[i] -= slope / curvature * b
			}
			return optim.Continue, nil
		})
		c := optim.NewChain(env, optim.Link[float64](optim.NewConjugate[float64](env, optim.ConjugateOptions{PolakRibiere: pr, Cap: math.Inf(1)}, nil)), search)
		f := objective.New[float64](q, env.Layout, from)
		residual := func() float64 {
			g := make([]float64, 60)
			_, _ = q.Evaluate(from, g)
			return norm(g)
		}
		first := residual()
		for range 5 {
			if _, err := c.Step(context.Background(), f); err != nil {
				t.Fatal(err)
			}
		}
		if r := residual() / first; !(r < 1e-8) {
			t.Errorf("Polak–Ribière %v: relative residual %.1e after 5 steps", pr, r)
		}
	}
}

// iterations counts the steps until f falls to 10⁻¹⁰ of its start on ½ Σ λᵢ xᵢ², λ in a geometric row from 1 to cond in 100
// dimensions, from x = 1; most at most.
func iterations(t *testing.T, cond float64, most int, method string, s optim.Settings) int {
	t.Helper()
	q := optimtest.Quadratic[float64]{Lambda: make([]float64, 100)}
	from := make([]float64, 100)
	for i := range from {
		q.Lambda[i] = math.Pow(cond, float64(i)/99)
		from[i] = 1
	}
	first, _ := q.Evaluate(from, nil)
	r := train(t, method, s, q, from...)
	for k := range most {
		if v, _ := q.Evaluate(r.f.Params(), nil); v <= 1e-10*first {
			return k
		}
		r.step()
	}
	return most
}

// Fletcher–Reeves at the step 1/L needs far fewer iterations than gradient descent and momentum.
func TestFletcherReevesOnQuadratics(t *testing.T) {
	const uncapped = 1e9
	for _, c := range []struct {
		method   string
		cond     float64
		s        optim.Settings
		lo, most int
	}{
		{"sgd", 1e2, set("lr", 1e-2), 790, 800},
		{"momentum", 1e2, set("lr", 1e-2, "momentum", 0.9), 205, 221},
		{"fr-momentum", 1e2, set("lr", 1e-2, "cap", uncapped), 50, 150},
		{"momentum", 1e4, set("lr", 1e-4, "momentum", 0.99), 2150, 2300},
		{"fr-momentum", 1e4, set("lr", 1e-4, "cap", uncapped), 500, 1200},
		{"fr-momentum", 1e4, set("lr", 1.9e-4, "cap", uncapped), 400, 900},
	} {
		n := iterations(t, c.cond, 5000, c.method, c.s)
		t.Logf("condition %g: %s %v takes %d iterations", c.cond, c.method, c.s, n)
		if n < c.lo || n > c.most {
			t.Errorf("condition %g: %s %v takes %d iterations, expected %d to %d", c.cond, c.method, c.s, n, c.lo, c.most)
		}
	}
}

// tridiagonal is ½ xᵀA x − x₁ with A = tridiag(−1, 2, −1), with gradient noise of a deviation that may depend on
// the number of the call.
type tridiagonal struct {
	noise func(call int) float64
	calls int
}

func (f *tridiagonal) Evaluate(x, grad []float64) (float64, error) {
	v, n := -x[0], len(x)
	for i := range x {
		g := 2 * x[i]
		if i > 0 {
			g -= x[i-1]
		}
		if i < n-1 {
			g -= x[i+1]
		}
		v += x[i] * g / 2
		if i == 0 {
			g--
		}
		if grad != nil {
			grad[i] = g
		}
	}
	if grad != nil && f.noise != nil {
		sd, key := f.noise(f.calls), tensor.KeyOf(1).Fold(uint64(f.calls))
		for i := range grad {
			grad[i] += sd * key.Normal(uint64(i))
		}
		f.calls++
	}
	return v, nil
}

// On the tridiagonal quadratic of 1,000 dimensions (condition 4·10⁵), steps of 1/4: without noise adaptive restart and
// Fletcher–Reeves converge to rounding, and momentum does not come near; with noise scheduled restarts pay, and the
// uncapped Fletcher–Reeves recursion blows up.
func TestRestartsAndNoise(t *testing.T) {
	const dims = 1000
	steps := 10000
	least := -0.5 * dims / (dims + 1) // x₁ of the solution of A x = e₁ is n/(n+1)
	gap := func(method string, noise func(int) float64, s optim.Settings) float64 {
		s["lr"] = 0.25
		f := &tridiagonal{noise: noise}
		r := train(t, method, s, f, make([]float64, dims)...)
		for range steps {
			r.step()
		}
		v, _ := f.Evaluate(r.f.Params(), nil)
		t.Logf("%s %v: f − f* is %.2e", method, s, v-least)
		return v - least
	}
	gd := gap("sgd", nil, set())
	constant := gap("nesterov", nil, set("momentum", 0.9))
	adaptive := gap("adaptive-restart-nesterov", nil, set())
	fr := gap("fr-momentum", nil, set("cap", 1e9))
	capped := gap("fr-momentum", nil, set("cap", 0.999))
	if !(constant < gd/3 && adaptive < 1e-12 && fr < 1e-12 && capped < 1e-12) {
		t.Errorf("without noise f − f* is %.2e (descent), %.2e (constant momentum), %.2e (adaptive restart), %.2e (Fletcher–Reeves), %.2e (capped)", gd, constant, adaptive, fr, capped)
	}
	noise := func(int) float64 { return 1e-3 }
	without := gap("srsgd", noise, set("restart", 1e9))
	scheduled := gap("srsgd", noise, set("restart", 200))
	if !(scheduled < without/2) {
		t.Errorf("with noise f − f* is %.2e without restarts, %.2e with restarts", without, scheduled)
	}
	steps = 1000
	falling := func(k int) float64 { return 0.1 / float64(k/100+1) }
	if v := gap("fr-momentum", falling, set("cap", 1e9)); v < 1e6 { // or NaN
		t.Errorf("with noise and no cap Fletcher–Reeves stays at %.2e: the warning of its description is wrong", v)
	}
	if v := gap("fr-momentum", falling, set("cap", 0.9)); !(v < 0.1) {
		t.Errorf("with noise and cap 0.9 f − f* is %.2e", v)
	}
}

// The cycles of SRSGD have F − 1 steps. At the drops of the learning rate after 10 and 20 of 30 steps c carries on, and F goes
// from 5 to 10 to 15, or, exponentially, to 20.
func TestScheduledRestartCycles(t *testing.T) {
	for exponential, last := range []int{15, 20} {
		grads := make([][]float64, 40)
		for i := range grads {
			grads[i] = []float64{1}
		}
		layout := weights(1)
		m, err := optim.New[float64]("srsgd", optim.Env{Layout: layout, Schedules: map[string]string{"lr": "step:0.1@0.25,0.5"}},
			set("restart", 5, "growth", 2, "exponential", exponential))
		if err != nil {
			t.Fatal(err)
		}
		r := &training{t, m, objective.New[float64](&given{grads: grads}, layout, []float64{0}), objective.Progress{Batch: 1, Horizon: 40}}
		c := 1
		for step := range grads {
			f := 5
			if step >= 20 {
				f = last
			} else if step >= 10 {
				f = 10
			}
			extra := r.step().Extra
			if got, want := extra[0].Value, float64(c-1)/float64(c+2); got != want || extra[0].Name != "momentum" {
				t.Fatalf("last cycle %d: %v at step %d, expected %v", last, extra, step+1, want)
			}
			if c++; c >= f {
				c = 1
			}
		}
	}
}
