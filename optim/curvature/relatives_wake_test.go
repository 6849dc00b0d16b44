package curvature

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// scripted is a function whose gradient at each evaluation is the next of a list.
type scripted struct {
	gradients [][]float64
	at        int
}

func (f *scripted) Evaluate(_, grad []float64) (float64, error) {
	copy(grad, f.gradients[f.at])
	f.at++
	return 1, nil
}

// wakeRun is a run of a chain with a wake around an exact preconditioner F̄_k = Σ ρ^{k−i} F_i.
type wakeRun struct {
	n        int
	rho      float64
	f        [][]float64 // F_k, row by row
	g        [][]float64
	theta    [][]float64 // θ_0 … θ_K
	r        [][]float64 // what met the preconditioner
	w        *Wake[float64]
	bar      []float64 // F̄ of the last step
	refuseAt int       // step at which the preconditioner refuses; 0: never
}

func newWakeRun(n, steps int, rho float64) *wakeRun {
	run := &wakeRun{n: n, rho: rho, bar: make([]float64, n*n)}
	for k := range steps {
		_, f := wishart(uint64(10+k), 3*n, n)
		g := make([]float64, n)
		tensor.Normal(tensor.KeyOf(90).Fold(uint64(k)), g, 0.2, 1)
		run.f, run.g = append(run.f, f.Data()), append(run.g, g)
	}
	return run
}

// run makes the steps with the given rates, share of the wake and clip.
func (run *wakeRun) run(t *testing.T, rates []float64, omega, clip float64) {
	t.Helper()
	layout := nn.FlatLayout(run.n)
	rate := optim.Fixed("lr", rates[0])
	run.w = NewWake[float64](optim.Env{Layout: layout}, rate, optim.Fixed("wake", run.rho), omega, clip)
	ws := tensor.NewWorkspace[float64](nil)
	step := 0
	solve := optim.Do[float64](func(_ context.Context, s *optim.Stage[float64]) (optim.Verdict, error) {
		run.r = append(run.r, append([]float64(nil), s.Update...))
		for i, v := range run.f[step] {
			run.bar[i] = run.rho*run.bar[i] + v
		}
		step++
		if step == run.refuseAt {
			return optim.Skip, nil
		}
		l, u := tensor.New[float64](run.n, run.n), tensor.FromSlice(s.Update, run.n)
		copy(l.Data(), run.bar)
		if err := linalg.Cholesky(ws, l, l); err != nil {
			return optim.Skip, err
		}
		s.Changed()
		return optim.Continue, linalg.CholeskySolve(ws, u, l, u)
	})
	c := optim.NewChain[float64](optim.Env{Layout: layout}, run.w, solve, run.w.Back(), optim.NewDescend[float64](rate))
	f := objective.New[float64](&scripted{gradients: run.g}, layout, make([]float64, run.n))
	run.theta = [][]float64{make([]float64, run.n)}
	for _, v := range rates {
		rate.Base = v
		f.Moved()
		if _, err := c.Step(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		run.theta = append(run.theta, append([]float64(nil), f.Params()...))
	}
}

// sum returns Σ_{i≤k} ρ^{k−i} F_i (at − θ_i), from step first on.
func (run *wakeRun) sum(first, k int, at []float64) []float64 {
	out := make([]float64, run.n)
	for i := first; i <= k; i++ {
		weight := math.Pow(run.rho, float64(k-i))
		for a := range run.n {
			for b := range run.n {
				out[a] += weight * run.f[i][a*run.n+b] * (at[b] - run.theta[i][b])
			}
		}
	}
	return out
}

func vectorNear(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-10) {
			t.Fatalf("%s: element %d is %v, expected %v", what, i, got[i], want[i])
		}
	}
}

func constantRate(lr float64, n int) []float64 {
	rates := make([]float64, n)
	for i := range rates {
		rates[i] = lr
	}
	return rates
}

// TestWakeIsStationary: every step is a stationary point of the wake's objective, g + B s + λ Σ ρ^{k−i} F_i (θ_k + s − θ_i) = 0 with
// B = ωF̄, and w is λ times the explicit sum; SO and Q, whole and shortened steps, also under a rate that changes a little.
func TestWakeIsStationary(t *testing.T) {
	const n, steps = 5, 8
	for _, c := range []struct {
		rho, omega, lr, factor float64
	}{{0.9, 0, 0.3, 1}, {0.5, 1, 0.3, 1}, {0.9, 3, 0.2, 1}, {0.8, 0, 0.3, 0.95}, {0.8, 0.5, 0.3, 1.05}} {
		run := newWakeRun(n, steps, c.rho)
		rates := constantRate(c.lr, steps)
		for i := range rates {
			rates[i] *= math.Pow(c.factor, float64(i))
		}
		run.run(t, rates, c.omega, 0)
		bar := make([]float64, n*n)
		for k := range steps {
			for i, v := range run.f[k] {
				bar[i] = c.rho*bar[i] + v
			}
			// lr = 1/(ω+λ) with ω/λ given.
			lambda := 1 / rates[k] / (1 + c.omega)
			left := run.sum(0, k, run.theta[k+1])
			for i := range left {
				left[i] = run.g[k][i] + lambda*left[i]
				for j := range n {
					left[i] += lambda * c.omega * bar[i*n+j] * (run.theta[k+1][j] - run.theta[k][j])
				}
			}
			vectorNear(t, "derivative of the wake's objective", left, make([]float64, n))
			// r = g + λc with c the explicit sum at θ_k.
			want := run.sum(0, k, run.theta[k])
			for i := range want {
				want[i] = run.g[k][i] + lambda*want[i]
			}
			vectorNear(t, "g + λc", run.r[k], want)
		}
	}
}

// TestWakeOfShortenedSteps: where the clip shortens, c is the explicit sum of what was done.
func TestWakeOfShortenedSteps(t *testing.T) {
	const n, steps = 5, 8
	for _, omega := range []float64{0, 1} {
		run := newWakeRun(n, steps, 0.9)
		run.run(t, constantRate(0.3, steps), omega, 1e-3)
		lambda := 1 / 0.3 / (1 + omega)
		for k := range steps {
			want := run.sum(0, k, run.theta[k])
			for i := range want {
				want[i] = run.g[k][i] + lambda*want[i]
			}
			vectorNear(t, "g + λc", run.r[k], want)
		}
	}
}

// TestWakeDifference: SO meets g_k − ρ g_{k−1}; ρ = 0 is the natural gradient.
func TestWakeDifference(t *testing.T) {
	const n, steps = 4, 6
	for _, rho := range []float64{0, 0.7} {
		run := newWakeRun(n, steps, rho)
		run.run(t, constantRate(0.3, steps), 0, 0)
		for k := range steps {
			want := append([]float64(nil), run.g[k]...)
			if k > 0 {
				for i := range want {
					want[i] -= rho * run.g[k-1][i]
				}
			}
			vectorNear(t, "g_k − ρ g_{k−1}", run.r[k], want)
		}
	}
}

// TestWakeRestarts: after a step that the preconditioner refused, and after a jump of the rate, the wake is empty.
func TestWakeRestarts(t *testing.T) {
	const n, steps = 4, 6
	run := newWakeRun(n, steps, 0.7)
	run.refuseAt = 3
	rates := constantRate(0.3, steps)
	rates[5] = 0.1
	run.run(t, rates, 0, 0)
	vectorNear(t, "parameters after the refused step", run.theta[3], run.theta[2])
	vectorNear(t, "after the refused step", run.r[3], run.g[3])
	vectorNear(t, "after the jump of the rate", run.r[5], run.g[5])
	if run.w.restarts != 2 {
		t.Errorf("%d restarts, expected 2", run.w.restarts)
	}
}
