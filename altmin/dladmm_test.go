package altmin

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// TestOutputIdentity: after every iteration ∇R(z_L) + u = 0.
func TestOutputIdentity(t *testing.T) {
	for _, engine := range []Engine{Exact, Paper} {
		p := newProblem[float64](t, "mlp:12,9", 40, 6, 3, 1)
		m, err := NewDLADMM[float64](p.env, DLOptions{Engine: engine, Nu: 1e-3, Rho: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		_, y := p.f.Function().(objective.Layered[float64]).Batch()
		for k := range 20 {
			iterate(t, m, p)
			z := m.layers[2].z
			g := tensor.New[float64](z.Shape().Dims()...)
			tensor.CrossEntropyGrad(m.ws, g, z, y.Labels, 0, 1)
			for i, u := range m.u.Data() {
				if math.Abs(g.Data()[i]+u) > 1e-8 {
					t.Fatalf("%v, iteration %d: ∇R + u = %g at %d", engine, k+1, g.Data()[i]+u, i)
				}
			}
		}
	}
}

// TestDLADMMDescent: for ρ = 1 + the Lagrangian never rises, and the constraint closes by four orders of magnitude.
func TestDLADMMDescent(t *testing.T) {
	for _, engine := range []Engine{Exact, Paper} {
		for _, nu := range []float64{1e-6, 1e-2} {
			p := newProblem[float64](t, "mlp:20,20", 60, 8, 3, 1)
			m, err := NewDLADMM[float64](p.env, DLOptions{Engine: engine, Nu: nu, Rho: 1})
			if err != nil {
				t.Fatal(err)
			}
			at10 := 0.0
			for k := 1; k <= 150; k++ {
				v := iterate(t, m, p)
				if v["lagrangian-rises"] != 0 {
					t.Fatalf("%v, ν %g: the Lagrangian rose in iteration %d", engine, nu, k)
				}
				if k == 10 {
					at10 = v["constraint"]
				}
				if k == 100 && v["constraint"] > at10/1e4 {
					t.Errorf("%v, ν %g: ‖r‖² %g after 10 iterations, %g after 100", engine, nu, at10, v["constraint"])
				}
			}
		}
	}
}
