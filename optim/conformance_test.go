package optim_test

import (
	"testing"

	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/optimtest"
)

// table has a row for every method: the settings and steps at which it must solve an ill-conditioned
// quadratic and Rosenbrock's function, the latter with the named schedule.
var table = []optimtest.Row{
	row("sgd", set("lr", 1.5), 400, set("lr", 0.002), 6000),
	row("momentum", set("lr", 1), 300, set("lr", 0.002), 1000),
	row("nesterov", set("lr", 0.5), 300, set("lr", 0.001), 1500),
	row("adagrad", set("lr", 0.5), 300, set("lr", 1.5), 5000),
	row("adadelta", set("lr", 10), 300, set("lr", 1), 5000, "linear"),
	row("rmsprop", set("lr", 0.01), 300, set("lr", 0.005), 5000, "linear"),
	row("adam", set("lr", 0.05), 300, set("lr", 0.2), 1000),
	row("amsgrad", set("lr", 0.05), 300, set("lr", 0.2), 1000),
	row("adamw", set("lr", 0.05), 300, set("lr", 0.2, "weight-decay", 0), 1000),
	row("adamax", set("lr", 0.05), 300, set("lr", 0.02), 5000),
	row("nadam", set("lr", 0.05), 300, set("lr", 0.05), 5000, "linear"),
	row("radam", set("lr", 0.1), 300, set("lr", 0.001), 20000),
	row("lion", set("lr", 0.02), 300, set("lr", 0.001), 5000),
	row("adopt", set("lr", 0.1), 300, set("lr", 3), 1000),
	row("ademamix", set("lr", 3), 300, set("lr", 0.01), 20000, "linear"),
	row("adafactor", set("lr", 0.1), 300, set("lr", 0.005), 20000),
	row("lars", set("lr", 3), 300, set("lr", 10), 1000, "linear"),
	row("lamb", set("lr", 0.05, "weight-decay", 0), 300, set("lr", 0.01, "weight-decay", 0), 5000, "linear"),
	row("prodigy", set(), 300, set("lr", 0.1), 1000),
	row("schedule-free-sgd", set("lr", 10), 300, set("lr", 0.005), 5000),
	row("schedule-free-adamw", set("lr", 0.1), 300, set("lr", 0.05), 1000),
	row("sam", set("lr", 1, "rho", 0.01), 300, set("lr", 0.002, "rho", 0.0001), 3000),
	row("lookahead", set("lr", 0.1, "weight-decay", 0), 300, set("lr", 0.2, "weight-decay", 0), 1000),
	row("swa", set("lr", 1), 300, set("lr", 0.002), 1000),
	row("fr-momentum", set("lr", 1), 300, set("lr", 0.001), 3000),
	row("pr-momentum", set("lr", 1), 400, set("lr", 0.002), 6000),
	row("srsgd", set("lr", 1), 300, set("lr", 0.001), 2000),
	row("adaptive-restart-nesterov", set("lr", 1), 300, set("lr", 0.001), 1000),
	row("bnp", set("lr", 0.8, "eps1", 1e-5), 400, set("lr", 0.3), 1500),
	row("bnp-momentum", set("lr", 0.2, "eps1", 1e-5), 400, set("lr", 0.1), 1500),
	row("bnp-fr", set("lr", 0.5, "eps1", 1e-5), 400, set("lr", 0.1), 1000),
	row("bnp-adam", set("lr", 0.1), 600, set("lr", 0.01), 400),
}

func set(pairs ...any) optim.Settings {
	s := optim.Settings{}
	for i := 0; i < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case int:
			s[pairs[i].(string)] = float64(v)
		case float64:
			s[pairs[i].(string)] = v
		}
	}
	return s
}

func row(method string, quadratic optim.Settings, qSteps int, rosenbrock optim.Settings, rSteps int, schedule ...string) optimtest.Row {
	r := optimtest.Row{
		Method:     method,
		Quadratic:  optimtest.Task{Settings: quadratic, Steps: qSteps},
		Rosenbrock: optimtest.Task{Settings: rosenbrock, Steps: rSteps},
	}
	if schedule != nil {
		r.Rosenbrock.Schedules = map[string]string{"lr": schedule[0]}
	}
	return r
}

func TestConformance(t *testing.T) {
	rows := map[string]bool{}
	for _, r := range table {
		rows[r.Method] = true
		t.Run(r.Method, func(t *testing.T) { optimtest.Conform(t, r) })
	}
	for _, s := range optim.Table[float64]() {
		if !rows[s.Name] {
			t.Errorf("method %s has no row in the conformance table", s.Name)
		}
	}
}
