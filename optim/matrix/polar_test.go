package matrix

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/descent-ml/descent/linalg"
)

func eval(q linalg.Quintic, x float64) float64 { return x * (q.A + x*x*(q.B+x*x*q.C)) }

// deviation returns the largest |p(x) − 1| on a grid of [l, u] with its ends.
func deviation(q linalg.Quintic, l, u float64) float64 {
	most := 0.0
	for i := range 20001 {
		x := l * math.Pow(u/l, float64(i)/20000)
		most = math.Max(most, math.Abs(eval(q, x)-1))
	}
	return most
}

// TestMinimaxQuintic: the error is levelled, at both ends and inside, and no other quintic has a smaller one.
func TestMinimaxQuintic(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := math.Pow(10, rapid.Float64Range(-4, -0.05).Draw(r, "lg l"))
		u := rapid.Float64Range(1, 2).Draw(r, "u")
		q, e := minimaxQuintic(l, u)
		if d := deviation(q, l, u); !(math.Abs(d-e) <= 1e-6*e+1e-12) {
			r.Fatalf("[%g, %g]: the largest deviation is %v, found %v", l, u, d, e)
		}
		if x, y := 1-eval(q, l), eval(q, u)-1; !(math.Abs(x-e) <= 1e-12) || !(math.Abs(y-e) <= 1e-12) {
			r.Fatalf("[%g, %g]: deviations %v and %v at the ends, expected %v", l, u, x, y, e)
		}
		step := 1e-3 * e
		other := linalg.Quintic{A: q.A + step*rapid.Float64Range(-1, 1).Draw(r, "a"), B: q.B + step*rapid.Float64Range(-1, 1).Draw(r, "b"), C: q.C + step*rapid.Float64Range(-1, 1).Draw(r, "c")}
		if d := deviation(other, l, u); !(d >= e*(1-1e-6)-1e-12) {
			r.Fatalf("[%g, %g]: %v deviates by %v, the best is said to by %v", l, u, other, d, e)
		}
	})
}

// TestMinimaxSteps: five steps bring [10⁻³, 1] to within 0.114 of 1, where Muon's bring [2·10⁻³, 1] to within 0.32; a further one
// cubes the distance, about.
func TestMinimaxSteps(t *testing.T) {
	for _, c := range []struct {
		steps int
		most  float64
	}{{5, 0.114}, {6, 1e-3}, {7, 1e-9}} {
		steps := minimaxSteps(1e-3, c.steps)
		worst := 0.0
		for i := range 20001 {
			x := 1e-3 * math.Pow(1e3, float64(i)/20000)
			for _, q := range steps {
				x = eval(q, x)
			}
			worst = math.Max(worst, math.Abs(x-1))
		}
		t.Logf("%d steps: %.3g", c.steps, worst)
		if !(worst <= c.most) {
			t.Errorf("%d steps: %g from 1, expected at most %g", c.steps, worst, c.most)
		}
	}
}
