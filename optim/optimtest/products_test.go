package optimtest

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/objective"
)

// The products with the Hessian are the derivatives of the gradient along the vector.
func TestProducts(t *testing.T) {
	net, start := NewTanhNet[float64](5, 3, 4, 2)
	for name, c := range map[string]struct {
		f objective.Function[float64]
		p []float64
	}{"quadratic": {IllConditioned[float64](4, 10), []float64{1, 2, 3, 4}}, "rosenbrock": {Rosenbrock[float64]{}, []float64{-1.2, 1}}, "net": {net, start},
		"scaled": {Scaled[float64]{Of: net, Factor: 3}, start}} {
		n := len(c.p)
		v, got, up, down, moved := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range v {
			v[i] = math.Sin(float64(3*i + 1))
		}
		if err := c.f.(objective.Curvature[float64]).HVP(c.p, v, got); err != nil {
			t.Fatal(err)
		}
		const e = 1e-5
		at := func(step float64, grad []float64) {
			for i := range moved {
				moved[i] = c.p[i] + step*v[i]
			}
			if _, err := c.f.Evaluate(moved, grad); err != nil {
				t.Fatal(err)
			}
		}
		at(e, up)
		at(-e, down)
		for i := range got {
			if want := (up[i] - down[i]) / (2 * e); math.Abs(got[i]-want) > 1e-6*max(1, math.Abs(want)) {
				t.Errorf("%s: element %d is %v, the difference of gradients %v", name, i, got[i], want)
			}
		}
	}
}
