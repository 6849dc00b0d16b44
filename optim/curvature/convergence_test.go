package curvature_test

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/optim/optimtest"
	"github.com/descent-ml/descent/tensor"
)

// illConditioned is a network 6-10-2 that learns another one of its kind, from features of deviations 0.05 to 1 around
// means of -1 to 2; the other gives them all the same say.
func illConditioned(t testing.TB) (*objective.Network[float64], []float64) {
	t.Helper()
	m, err := nn.Build[float64]("mlp:10", nn.Options{Input: tensor.ShapeOf(6), Outputs: 2, Activation: "tanh"})
	if err != nil {
		t.Fatal(err)
	}
	n := objective.NewNetwork(m, nn.Squared[float64](), nil)
	const rows = 64
	shift, scale := []float64{1, -1, 1, 0.5, -1, 2}, []float64{1, 0.5, 0.2, 0.1, 0.05, 0.05}
	x := tensor.New[float64](rows, 6)
	for i := range x.Data() {
		x.Data()[i] = shift[i%6] + scale[i%6]*tensor.KeyOf(2).Normal(uint64(i))
	}
	teacher, theta := make([]float64, m.Layout().Size()), make([]float64, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(11), teacher, nil)
	nn.Initialize(m, tensor.KeyOf(12), theta, nil)
	for i := range 6 * 10 {
		teacher[i] /= scale[i/10]
		if i/10 != 0 {
			teacher[60+i%10] -= teacher[i] * shift[i/10] // its units see the deviations
		}
	}
	y := n.Predict(teacher, x).Clone()
	n.SetBatch(x, nn.Target[float64]{Values: y})
	return n, theta
}

// stepsTo returns the number of steps to a part of the first loss; limit+1 if it is not reached.
func stepsTo(t testing.TB, spec optim.Spec[float64], s optim.Settings, part float64, limit int) int {
	t.Helper()
	n, theta := illConditioned(t)
	method, err := spec.Make(optim.Env{Layout: n.Layout()}, s)
	if err != nil {
		t.Fatal(err)
	}
	f := objective.New[float64](n, n.Layout(), theta)
	first := 0.0
	for step := range limit {
		f.SetProgress(objective.Progress{Step: int64(step), Batch: 64, Seen: int64(64 * step)})
		r, err := method.Step(context.Background(), f)
		if err != nil || r.Skipped {
			break
		}
		if step == 0 {
			first = r.Loss
		}
		if r.Loss <= part*first {
			return step
		}
	}
	return limit + 1
}

// Each method has fourteen trials: seven learning rates, with momentum and without.
func TestFewerStepsThanMomentum(t *testing.T) {
	const part, limit = 2e-2, 3000
	momentum, err := optim.Lookup[float64]("momentum")
	if err != nil {
		t.Fatal(err)
	}
	best := func(spec optim.Spec[float64], s optim.Settings, largest float64) (steps int, rate float64) {
		steps = limit + 1
		for i := range 7 {
			for _, s["momentum"] = range []float64{0.9, 0} {
				s["lr"] = largest * math.Pow(10, -0.5*float64(i))
				if n := stepsTo(t, spec, s, part, min(steps, limit)); n < steps {
					steps, rate = n, s["lr"]
				}
			}
		}
		return steps, rate
	}
	reference, rate := best(momentum, optim.Settings{}, 1)
	t.Logf("momentum: %d steps with lr %.3g", reference, rate)
	if rate == 1 || rate < 0.0011 {
		t.Errorf("momentum is best at the end of its range, lr %g", rate)
	}
	for _, name := range []string{"kfac", "ekfac"} {
		s := optim.Settings{"damping": 1e-3, "kl-clip": 0, "statistics-every": 1, "inverse-every": 1, "signal": 2}
		steps, rate := best(spec[float64](t, name), s, 3)
		t.Logf("%s: %d steps with lr %.3g", name, steps, rate)
		if steps > reference/5 {
			t.Errorf("%s: %d steps with lr %g, momentum %d with %g: expected a fifth", name, steps, rate, reference, rate)
		}
	}
}

// Functions with taps that are not networks give the empirical signal.
func TestFunctionsWithTapsAlone(t *testing.T) {
	for _, s := range curvature.Table[float64]() {
		_, inverses := s.Setting("inverse-every")
		if _, momentum := s.Setting("momentum"); !inverses || !momentum {
			continue
		}
		f, from := optimtest.NewTanhNet[float64](12, 8, 9, 3)
		layout := optimtest.NetLayout(8, 9, 3)
		m, err := s.Make(optim.Env{Layout: layout}, optim.Settings{"damping": 1e-3, "lr": 0.1, "statistics-every": 1, "inverse-every": 5})
		if err != nil {
			t.Fatal(err)
		}
		o := objective.New[float64](f, layout, append([]float64(nil), from...))
		var first, last float64
		for step := range 300 {
			o.SetProgress(objective.Progress{Step: int64(step), Batch: 12})
			r, err := m.Step(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if step == 0 {
				first = r.Loss
			}
			last = r.Loss
		}
		if !(last < first/20) {
			t.Errorf("%s: the loss went from %g to %g", s.Name, first, last)
		}
	}
}

// A loss or gradient that is not finite changes neither parameters nor state.
func TestSkipsWhatIsNotFinite(t *testing.T) {
	for _, s := range curvature.Table[float64]() {
		if s.Needs&optim.Products != 0 {
			continue
		}
		net, from := optimtest.NewTanhNet[float64](12, 8, 9, 3)
		layout := optimtest.NetLayout(8, 9, 3)
		run := func(faults bool) []float64 {
			faulty := &optimtest.Faulty[float64]{Of: net}
			m, err := s.Make(optim.Env{Layout: layout}, nil)
			if err != nil {
				t.Fatal(err)
			}
			o := objective.New[float64](faulty, layout, append([]float64(nil), from...))
			step := func(skip bool) {
				o.Moved()
				r, err := m.Step(context.Background(), o)
				if err != nil || r.Skipped != skip {
					t.Fatalf("%s: skipped %v, error %v", s.Name, r.Skipped, err)
				}
			}
			nan := math.NaN()
			for range 4 {
				if faults {
					faulty.Gradient = &nan
					step(true)
					faulty.Gradient, faulty.Value = nil, &nan
					step(true)
					faulty.Value = nil
				}
				step(false)
				step(false)
			}
			return o.Params()
		}
		a, b := run(true), run(false)
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("%s: parameter %d is %v, without the faults %v", s.Name, i, a[i], b[i])
			}
		}
	}
}
