package altmin

import (
	"testing"
)

// TestMDLAMDescent: with a fixed ε the objective does not rise, for any ρ and ε, the activations stay within ε, and momentum
// changes the course.
func TestMDLAMDescent(t *testing.T) {
	for _, engine := range []Engine{Exact, Paper} {
		for _, epsilon := range []float64{0.01, 1, 100} {
			for _, rho := range []float64{1e-4, 1e-3, 1e-2} {
				ends := map[bool]float64{}
				for _, momentum := range []bool{true, false} {
					p := newProblem[float64](t, "mlp:20,20", 50, 8, 3, 1)
					m, err := NewMDLAM[float64](p.env, LAMOptions{Engine: engine, Rho: rho, Mu: 1e-3, Epsilon: epsilon, Floor: epsilon, Momentum: momentum, Safeguard: true})
					if err != nil {
						t.Fatal(err)
					}
					last := 0.0
					for k := range 60 {
						v := iterate(t, m, p)
						if k > 0 && v["objective"] > last*(1+1e-12) {
							t.Fatalf("%v, ρ %g, ε %g: the objective rose from %v to %v in iteration %d", engine, rho, epsilon, last, v["objective"], k+1)
						}
						last = v["objective"]
						if v["activation-infeasibility"] > epsilon*(1+1e-12) {
							t.Fatalf("%v, ρ %g, ε %g: |a − f(z)| = %v", engine, rho, epsilon, v["activation-infeasibility"])
						}
					}
					ends[momentum] = last
				}
				if engine == Paper && ends[true] == ends[false] {
					t.Errorf("ρ %g, ε %g: momentum has no effect", rho, epsilon)
				}
			}
		}
	}
}

// TestShrinkingEpsilon: with the halving schedule the objective does not rise once ε is at its floor, and few steps with momentum are
// redone.
func TestShrinkingEpsilon(t *testing.T) {
	p := newProblem[float64](t, "mlp:20,20", 50, 8, 3, 1)
	m, err := NewMDLAM[float64](p.env, LAMOptions{Engine: Paper, Rho: 1e-3, Mu: 0.05, Epsilon: 100, Floor: 0.001, Momentum: true, Safeguard: true})
	if err != nil {
		t.Fatal(err)
	}
	rises := 0.0
	for k := range 200 {
		v := iterate(t, m, p)
		if k == 20 {
			rises = v["objective-rises"]
		}
		if k > 20 && v["objective-rises"] > rises {
			t.Fatalf("the objective rose in iteration %d, ε %g", k+1, v["epsilon"])
		}
		if k == 199 && !(v["momentum-fallbacks"] < 0.2*v["momentum-steps"]) {
			t.Errorf("%v of %v steps were redone", v["momentum-fallbacks"], v["momentum-steps"])
		}
	}
}
