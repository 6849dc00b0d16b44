package curvature_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/optimtest"
	"github.com/descent-ml/descent/tensor"
)

func taskOf(s optim.Settings, steps int) optimtest.Task {
	return optimtest.Task{Settings: s, Steps: steps}
}

// relatives has a row for each of the methods next to K-FAC. The functions of the conformance tests have no distribution, so that their signal
// is the empirical one, which vanishes at the minimum: λ must then carry the step.
var relatives = []optimtest.Row{
	{Method: "ikfac", Quadratic: taskOf(optim.Settings{"lr": 0.3, "damping": 0.01, "kl-clip": 0}, 600), Rosenbrock: taskOf(nil, 1500),
		Steady: taskOf(rarely, 5), Exempt: lastBatch},
	{Method: "singd", Rosenbrock: taskOf(nil, 1500),
		Steady: taskOf(rarely, 5), Exempt: excepting(lastBatch, "quadratic", vanishes)},
	{Method: "kld-wrm", Rosenbrock: linear(optim.Settings{"lr": 0.3}, 3000), Steady: taskOf(rarely, 5), Exempt: map[string]string{"quadratic": vanishes}},
	{Method: "q-kld-wrm", Rosenbrock: linear(optim.Settings{"lr": 0.3}, 3000), Steady: taskOf(rarely, 5), Exempt: map[string]string{"quadratic": vanishes}},
	{Method: "seng", Rosenbrock: taskOf(optim.Settings{"lr": 0.1, "damping": 1, "kl-clip": 0}, 2000),
		Steady: taskOf(optim.Settings{"refresh-every": 1e6}, 5), Exempt: map[string]string{"quadratic": vanishes}},
	{Method: "adahessian", Quadratic: taskOf(optim.Settings{"lr": 0.1, "eps": 1e-8}, 300), Rosenbrock: taskOf(optim.Settings{"lr": 1, "beta2": 0.99, "eps": 1e-8}, 4000),
		Exempt: map[string]string{"described": "it has two temporaries of the size of the parameters", "accumulates": lastBatch["accumulates"]}},
	{Method: "sophia-g", Quadratic: linear(optim.Settings{"lr": 0.05, "weight-decay": 0}, 300), Rosenbrock: linear(optim.Settings{"lr": 0.05, "weight-decay": 0}, 4000)},
	{Method: "sophia-h", Quadratic: linear(optim.Settings{"lr": 0.05, "weight-decay": 0, "rho": 1}, 300), Rosenbrock: linear(optim.Settings{"lr": 0.05, "weight-decay": 0, "rho": 0.1}, 3000),
		Exempt: map[string]string{"described": "it has two temporaries of the size of the parameters", "accumulates": lastBatch["accumulates"]}},
}

const vanishes = "the problem has no distribution and its empirical signal vanishes at the minimum: what is left is gradient descent at rate lr/λ, which a condition number of 10⁵ stops"

func excepting(m map[string]string, name, reason string) map[string]string {
	out := map[string]string{name: reason}
	for k, v := range m {
		out[k] = v
	}
	return out
}

var rarely = optim.Settings{"burn-in": 1, "statistics-every": 1e6}

var lastBatch = map[string]string{"accumulates": "the curvature of a window is that of its last batch"}

func linear(s optim.Settings, steps int) optimtest.Task {
	return optimtest.Task{Settings: s, Steps: steps, Schedules: map[string]string{"lr": "linear"}}
}

func TestRelativesConform(t *testing.T) {
	for _, row := range relatives {
		t.Run(row.Method, func(t *testing.T) {
			optimtest.ConformSpec(t, spec[float64](t, row.Method), spec[float32](t, row.Method), row)
		})
	}
}

// relativeVariants are the settings under which the promises are tested on real networks.
var relativeVariants = []struct {
	method, model string
	settings      optim.Settings
}{
	{"ikfac", "mlp:7,5", optim.Settings{"signal": 2}},
	{"ikfac", "2c2d", optim.Settings{"reduce": 1, "largest-factor": 20}},
	{"singd", "mlp:7,5", optim.Settings{"accumulate": 2, "ema": 0.9, "weight-decay": 0.01}},
	{"singd", "2c2d", optim.Settings{"structure": 1}},
	{"singd", "mlp:7,5", optim.Settings{"structure": 2, "block": 3}},
	{"singd", "mlp:7,5", optim.Settings{"structure": 3}},
	{"kld-wrm", "mlp:7,5", nil},
	{"kld-wrm", "mlp:7,5", optim.Settings{"accumulate": 2, "ema": 0.9}},
	{"q-kld-wrm", "mlp:7,5", optim.Settings{"omega": 2, "weight-decay": 0.01}},
	{"seng", "mlp:7,5", optim.Settings{"refresh-every": 3, "sketch": 4}},
	{"seng", "mlp:7,5", optim.Settings{"refresh-every": 2, "accumulate": 2, "samples": 20}},
	{"seng", "2c2d", optim.Settings{"refresh-every": 2, "samples": 12, "largest-kernel": 1000}},
	{"seng", "resnet20", optim.Settings{"refresh-every": 4, "samples": 8, "reduce": 1}},
	{"adahessian", "mlp:7,5", optim.Settings{"hessian-every": 2, "power": 0.5}},
	{"adahessian", "2c2d", nil},
	{"sophia-g", "mlp:7,5", optim.Settings{"curvature-every": 3, "ema": 0.5}},
	{"sophia-g", "resnet20", nil},
	{"sophia-h", "mlp:7,5", optim.Settings{"curvature-every": 3, "accumulate": 2}},
}

func TestRelativesResumeOnAnyNumberOfWorkers(t *testing.T) {
	for _, v := range relativeVariants {
		total := 24
		if !strings.HasPrefix(v.model, "mlp") {
			total = 9
		}
		settings := optim.Settings{}
		for name, x := range v.settings {
			settings[name] = x
		}
		s := spec[float32](t, v.method)
		for name, x := range frequent {
			if _, ok := s.Setting(name); ok {
				settings[name] = x
			}
		}
		schedules := map[string]string{"lr": "cosine"}
		whole := begin[float32](t, v.method, v.model, inputOf(v.model), settings, schedules, 1)
		whole.steps(t, total)
		r := begin[float32](t, v.method, v.model, inputOf(v.model), settings, schedules, 3)
		for _, n := range []int{0, 2, 3, total - 5} {
			r.steps(t, n)
			fresh := begin[float32](t, v.method, v.model, inputOf(v.model), settings, schedules, 3)
			copy(fresh.f.Params(), r.f.Params())
			copy(fresh.net.State(), r.net.State())
			if err := fresh.method.State().CopyFrom(r.method.State()); err != nil {
				t.Fatal(err)
			}
			fresh.p = r.p
			r = fresh
		}
		sameBits(t, v.method+" on "+v.model+", resumed, with three workers", r.snapshot(), whole.snapshot())
	}
}

// A function that cannot answer is refused in the first step, before anything moves.
func TestRelativesRefuse(t *testing.T) {
	layout := new(nn.Layout)
	layout.Add(nn.Param{Name: "d.weight", Shape: tensor.ShapeOf(2, 3), Kind: nn.Weight})
	for _, row := range relatives {
		s := spec[float64](t, row.Method)
		m, err := s.Make(optim.Env{Layout: layout}, nil)
		if err != nil {
			t.Fatal(err)
		}
		params := []float64{1, 2, 3, 4, 5, 6}
		_, err = m.Step(context.Background(), objective.New[float64](plain{}, layout, params))
		if s.Needs == 0 {
			if err != nil {
				t.Errorf("%s needs nothing, but: %v", row.Method, err)
			}
			continue
		}
		if !errors.Is(err, objective.ErrUnsupported) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%s: error %v", row.Method, err)
		}
		for i, v := range params {
			if v != float64(i+1) {
				t.Errorf("%s: the parameters moved to %v", row.Method, params)
			}
		}
		if _, err := s.Make(optim.Env{Layout: nn.FlatLayout(5)}, nil); s.Needs&optim.Taps != 0 && (err == nil || !strings.Contains(err.Error(), "\nhint: ")) {
			t.Errorf("%s on a plain vector: error %v", row.Method, err)
		}
	}
}
