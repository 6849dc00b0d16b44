package curvature_test

import (
	"context"
	"slices"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/optim/optimtest"
	"github.com/descent-ml/descent/tensor"
)

var lowRankNames = []string{"rs-kfac", "sre-kfac", "b-kfac", "b-r-kfac", "b-kfac-c"}

func TestLowRankConforms(t *testing.T) {
	for _, name := range lowRankNames {
		row := optimtest.Row{Method: name,
			Quadratic:  taskOf(frozen, 3000),
			Rosenbrock: taskOf(optim.Settings{"damping": 1e-2}, 2000),
			Steady:     taskOf(optim.Settings{"statistics-every": 1000, "inverse-every": 1000}, 12)}
		t.Run(name, func(t *testing.T) {
			optimtest.ConformSpec(t, spec[float64](t, name), spec[float32](t, name), row)
		})
	}
}

// small are settings with which layers of a few units have truncated factors, in all forms.
func small(name string, more optim.Settings) optim.Settings {
	s := optim.Settings{"rank": 6, "oversampling": 2, "statistics-every": 3, "inverse-every": 7, "burn-in": 4}
	if name[0] == 'b' {
		s["columns"] = 5
	}
	switch name {
	case "b-r-kfac":
		s["refresh-every"] = 2
	case "b-kfac-c":
		s["correct-every"] = 2
	}
	for k, v := range more {
		s[k] = v
	}
	return s
}

func TestLowRankResumesAndAnyNumberOfWorkers(t *testing.T) {
	for _, v := range []struct {
		method, model string
		more          optim.Settings
	}{
		{"rs-kfac", "mlp:30,20", optim.Settings{"adaptive-rank": 0.2, "most-rank": 12}},
		{"sre-kfac", "mlp:30,20", optim.Settings{"relative-damping": 1, "tail": 0, "ema": 0.9}},
		{"sre-kfac", "2c2d", optim.Settings{"largest-factor": 400}},
		{"b-kfac", "mlp:30,20", nil},
		{"b-kfac", "mlp:30,20", optim.Settings{"late-truncation": 1, "adaptive-rank": 0.2, "most-rank": 12, "accumulate": 2}},
		{"b-r-kfac", "mlp:30,20", optim.Settings{"signal": 2, "tail": 2}},
		{"b-kfac-c", "mlp:30,20", optim.Settings{"adaptive-damping": 1, "damping-every": 2}},
		{"b-kfac-c", "2c2d", optim.Settings{"reduce": 1, "largest-factor": 400}},
	} {
		total := 24
		if v.model == "2c2d" {
			total = 9
		}
		s := small(v.method, v.more)
		whole := begin[float32](t, v.method, v.model, inputOf(v.model), s, nil, 1)
		whole.steps(t, total)
		want := whole.snapshot()
		r := begin[float32](t, v.method, v.model, inputOf(v.model), s, nil, 3)
		for _, n := range []int{0, 2, 3, total - 5} {
			r.steps(t, n)
			fresh := begin[float32](t, v.method, v.model, inputOf(v.model), s, nil, 3)
			copy(fresh.f.Params(), r.f.Params())
			copy(fresh.net.State(), r.net.State())
			if err := fresh.method.State().CopyFrom(r.method.State()); err != nil {
				t.Fatal(err)
			}
			fresh.p = r.p
			r = fresh
		}
		sameBits(t, v.method+" on "+v.model+", resumed, with three workers", r.snapshot(), want)
	}
}

// Dense layers follow every batch of statistics, with sides of all kinds and with the dampings: rare inversions change nothing.
func TestOnlineLayersFollowTheStatistics(t *testing.T) {
	run := func(every float64) []float32 {
		r := begin[float32](t, "b-kfac", "mlp:18,7", tensor.ShapeOf(16), small("b-kfac", optim.Settings{"statistics-every": 2, "burn-in": 2, "inverse-every": every}), nil, 1)
		r.steps(t, 15)
		return r.f.Params()
	}
	if want, got := run(2), run(1e6); !slices.Equal(got, want) {
		t.Error("another run with rare inversions")
	}
}

func TestLowRankCostIsLessThanKFACsOnWideLayers(t *testing.T) {
	r := begin[float32](t, "kfac", "mlp:512,512", tensor.ShapeOf(784), nil, nil, 1)
	layout := r.f.Layout()
	cost := func(name string, more optim.Settings) optim.Cost {
		s := spec[float32](t, name)
		full, err := s.Complete(more)
		if err != nil {
			t.Fatal(err)
		}
		return s.CostOn(layout, full, 256)
	}
	rare := optim.Settings{"statistics-every": 10, "inverse-every": 100}
	rs, b := cost("rs-kfac", rare), cost("b-kfac", rare)
	if product := 2. * (785*512*(785+512) + 513*512*(513+512)); rs.Flops > product {
		t.Errorf("rs-kfac: %.3g flops, expected less than the %.3g of dense products", rs.Flops, product)
	}
	if b.Numbers > rs.Numbers {
		t.Errorf("b-kfac keeps %.3g numbers, rs-kfac %.3g", b.Numbers, rs.Numbers)
	}
}

// BenchmarkStep is the processor time of a step on 784-512-512-3, batch 256, statistics every 10 and inverses every 100 steps; 100 steps are a
// period.
func BenchmarkStep(b *testing.B) {
	rare := optim.Settings{"statistics-every": 10, "inverse-every": 100}
	for _, c := range []struct {
		name     string
		settings optim.Settings
	}{{"sgd", nil}, {"kfac", rare}, {"rs-kfac", rare}, {"b-kfac", rare}} {
		b.Run(c.name, func(b *testing.B) {
			r := wide(b, c.name, c.settings)
			b.ReportAllocs()
			for b.Loop() {
				r.step(b)
			}
		})
	}
}

// wideRun is a method on mlp:512,512 with 784 inputs, 10 outputs and one batch of 256.
type wideRun struct {
	method optim.Method[float32]
	f      *objective.Objective[float32]
	p      objective.Progress
}

func wide(t testing.TB, name string, settings optim.Settings) *wideRun {
	t.Helper()
	m, err := nn.Build[float32]("mlp:512,512", nn.Options{Input: tensor.ShapeOf(784), Outputs: 10})
	if err != nil {
		t.Fatal(err)
	}
	n := objective.NewNetwork(m, nn.CrossEntropy[float32](0), nil)
	theta := make([]float32, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(1), theta, n.State())
	s, err := optim.Find(append(optim.Table[float32](), curvature.Table[float32]()...), name)
	if err != nil {
		t.Fatal(err)
	}
	method, err := s.Make(optim.Env{Layout: m.Layout()}, settings)
	if err != nil {
		t.Fatal(err)
	}
	x, y := tensor.New[float32](256, 784), make([]int32, 256)
	tensor.Uniform(tensor.KeyOf(2), x.Data(), 0, 1)
	for i := range y {
		y[i] = int32(tensor.KeyOf(3).IntN(uint64(i), 10))
	}
	n.SetBatch(x, nn.Target[float32]{Labels: y})
	return &wideRun{method, objective.New[float32](n, m.Layout(), theta), objective.Progress{Batch: 256, Horizon: 1 << 20, PerPass: 256}}
}

func (r *wideRun) step(t testing.TB) {
	r.f.SetProgress(r.p)
	r.f.Moved()
	if _, err := r.method.Step(context.Background(), r.f); err != nil {
		t.Fatal(err)
	}
	r.p.Step++
	r.p.Seen += 256
}
