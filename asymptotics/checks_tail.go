package asymptotics

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/tensor"
)

// tail returns the tail solution at x = 0.5, T = 1 for λ.
func (l *Lab) tail(lambda float64) (*Tail, error) {
	if t := l.tails[lambda]; t != nil {
		return t, nil
	}
	p := BenchmarkA()
	p.T = 1
	t, err := SolveTail(p, 1, tensor.FromSlice([]float64{0.5}, 1, 1), lambda, TailOptions{Options: Options{Steps: 100, Pool: l.o.Pool}})
	if err == nil {
		l.tails[lambda] = t
	}
	return t, err
}

// L1: the slope of a in λ at 0 is the variance of the central limit theorem. The slope is a central difference: at λ = 0.05
// the one-sided quotient differs by 1.3 % because of the third cumulant.
func checkDuality(_ context.Context, l *Lab) ([]Verdict, error) {
	up, err := l.tail(0.05)
	if err != nil {
		return nil, err
	}
	down, err := l.tail(-0.05)
	if err != nil {
		return nil, err
	}
	return []Verdict{within("L1", "da/dλ at λ = ±0.05 against σ² of the adjoint", up.Variance, (up.A-down.A)/0.1, 0, 0.01*up.Variance, Derived)}, nil
}

// L2: the multiplier is the slope of the rate.
func checkLegendre(_ context.Context, l *Lab) ([]Verdict, error) {
	lo, err := l.tail(0.45)
	if err != nil {
		return nil, err
	}
	hi, err := l.tail(0.55)
	if err != nil {
		return nil, err
	}
	rows := []Verdict{within("L2", "dI/da between λ = 0.45 and 0.55", 0.5, (hi.Rate-lo.Rate)/(hi.A-lo.A), 0, 0.0025, Derived)}
	for _, ref := range []struct{ lambda, a, rate, init, data float64 }{{0.5, .4090, .04158, .0044, .0372}, {1, .5343, .13368, .0144, .1193}} {
		t, err := l.tail(ref.lambda)
		if err != nil {
			return nil, err
		}
		rows = append(rows,
			within("L2", fmt.Sprintf("value a at λ = %g against the reference", ref.lambda), ref.a, t.A, 0, 5e-4, Derived),
			within("L2", fmt.Sprintf("rate I at λ = %g against the reference", ref.lambda), ref.rate, t.Rate, 0, 0.005*ref.rate, Derived),
			within("L2", fmt.Sprintf("share of the initial neurons at λ = %g", ref.lambda), ref.init, t.RateInit, 0, 2e-4, Derived))
	}
	return rows, nil
}

var tailWidths = []int{25, 50, 100, 200, 400}

// L3, L5, L6: importance sampling over widths.
func checkTailSlope(ctx context.Context, l *Lab) ([]Verdict, error) {
	var rows []Verdict
	for _, lambda := range []float64{0.5, 1} {
		t, err := l.tail(lambda)
		if err != nil {
			return nil, err
		}
		var est []*TailEstimate
		lowest, highest := 1.0, 0.0
		for _, n := range tailWidths {
			e, err := t.Estimate(ctx, n, 1, SimOptions{Replicates: 2000, Seed: 2000 + l.o.Seed, Pool: l.o.Pool})
			if err != nil {
				return nil, err
			}
			est = append(est, e)
			lowest, highest = min(lowest, e.HitFraction), max(highest, e.HitFraction)
		}
		fit := TailSlope(est)
		last := est[len(est)-1]
		name := fmt.Sprintf("a = %.4f", t.A)
		rows = append(rows,
			within("L3", "slope of log p + ½ log N, N = 25 … 400, "+name, -t.Rate, fit.Slope, fit.SE, 0.05*t.Rate, Derived),
			atMost("L5", fmt.Sprintf("relative error at N = 400, 2,000 runs, %s (log p = %.2f)", name, last.LogP), 0, last.RelSE, 0, 0.15, Derived),
			between("L6", "smallest fraction of hits, "+name, 0.5, lowest, math.Sqrt(0.25/2000), 0.4, 0.6, Derived),
			between("L6", "largest fraction of hits, "+name, 0.5, highest, math.Sqrt(0.25/2000), 0.4, 0.6, Derived))
	}
	return rows, nil
}

// L4: importance sampling against counting, where events are frequent enough.
func checkTailNaive(ctx context.Context, l *Lab) ([]Verdict, error) {
	var rows []Verdict
	for _, c := range []struct {
		lambda float64
		n      int
	}{{0.5, 25}, {0.5, 50}, {0.5, 100}, {1, 25}} {
		t, err := l.tail(c.lambda)
		if err != nil {
			return nil, err
		}
		e, err := t.Estimate(ctx, c.n, 1, SimOptions{Replicates: 8000, Seed: 3000 + l.o.Seed, Pool: l.o.Pool})
		if err != nil {
			return nil, err
		}
		runs := pick(l, 20000, 60000)
		sim, err := Simulate(ctx, t.f.p, Width{c.n, 1}, t.x, SimOptions{Replicates: runs, Seed: 4000 + l.o.Seed, Pool: l.o.Pool})
		if err != nil {
			return nil, err
		}
		hits := 0.0
		for _, g := range sim.Final() {
			if g[0] >= t.A {
				hits++
			}
		}
		p := hits / float64(runs)
		se := math.Hypot(math.Sqrt(p*(1-p)/float64(runs)), e.P()*e.RelSE)
		rows = append(rows, within("L4", fmt.Sprintf("P(g ≥ %.4f) at N = %d by importance sampling against counting", t.A, c.n), p, e.P(), se, 3*se, Derived))
	}
	return rows, nil
}
