package curvature_test

import (
	"testing"

	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/optimtest"
)

// frozen is the curvature of the first batch, all of it, kept: the functions have no predictive distribution, and their empirical signal vanishes at
// the minimum.
var frozen = optim.Settings{"lr": 0.03, "damping": 1e-3, "kl-clip": 0, "burn-in": 1, "statistics-every": 1e6, "inverse-every": 1e6, "statistics-part": 1}

// kfac and ekfac are held to the promises of every method.
func TestConform(t *testing.T) {
	for _, row := range []optimtest.Row{
		{Method: "kfac",
			Quadratic:  optimtest.Task{Settings: frozen, Steps: 3000},
			Rosenbrock: optimtest.Task{Settings: optim.Settings{"damping": 1e-2}, Steps: 2000},
			Steady:     optimtest.Task{Settings: optim.Settings{"statistics-every": 1000, "inverse-every": 1000}, Steps: 12}},
		{Method: "ekfac",
			Quadratic:  optimtest.Task{Settings: frozen, Steps: 3000},
			Rosenbrock: optimtest.Task{Settings: optim.Settings{"damping": 1e-2}, Steps: 2000},
			Steady:     optimtest.Task{Settings: optim.Settings{"statistics-every": 1000, "inverse-every": 1000}, Steps: 12},
			Exempt:     map[string]string{"quadratic": "it damps less than kfac: a basis of one batch is too far from the curvature of a problem with condition 10⁵", "accumulates": "at a new basis the moments begin at the Kronecker product's, with the weight of a batch, not of a window"}},
	} {
		t.Run(row.Method, func(t *testing.T) {
			optimtest.ConformSpec(t, spec[float64](t, row.Method), spec[float32](t, row.Method), row)
		})
	}
}
