package curvature_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/tensor"
)

// trained is a method on a network with a fixed set of batches.
type trained[T tensor.Float] struct {
	net    *objective.Network[T]
	method optim.Method[T]
	f      *objective.Objective[T]
	p      objective.Progress
	input  tensor.Shape
}

func spec[T tensor.Float](t testing.TB, name string) optim.Spec[T] {
	t.Helper()
	s, err := optim.Find(curvature.Table[T](), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const batchSize = 16

func begin[T tensor.Float](t testing.TB, name, model string, input tensor.Shape, settings optim.Settings, schedules map[string]string, workers int) *trained[T] {
	t.Helper()
	m, err := nn.Build[T](model, nn.Options{Input: input, Outputs: 3, Activation: "tanh"})
	if err != nil {
		t.Fatal(err)
	}
	pool := tensor.NewPool(workers)
	t.Cleanup(pool.Close)
	n := objective.NewNetwork(m, nn.CrossEntropy[T](0), pool)
	theta := make([]T, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(1), theta, n.State())
	method, err := spec[T](t, name).Make(optim.Env{Layout: m.Layout(), Pool: pool, Schedules: schedules}, settings)
	if err != nil {
		t.Fatal(err)
	}
	return &trained[T]{n, method, objective.New[T](n, m.Layout(), theta), objective.Progress{Batch: batchSize, Horizon: 1000 * batchSize, PerPass: 4 * batchSize}, input}
}

// steps makes steps on batches that are a function of the step's number.
func (r *trained[T]) steps(t testing.TB, n int) (last optim.Report) {
	t.Helper()
	for range n {
		x := tensor.New[T](append([]int{batchSize}, r.input.Dims()...)...)
		key := tensor.KeyOf(9).Fold(uint64(r.p.Step % 4))
		tensor.Normal(key, x.Data(), 0, 1)
		y := make([]int32, batchSize)
		for i := range y {
			y[i] = int32(key.Named("y").IntN(uint64(i), 3))
		}
		r.net.SetBatch(x, nn.Target[T]{Labels: y})
		r.f.SetProgress(r.p)
		var err error
		if last, err = r.method.Step(context.Background(), r.f); err != nil {
			t.Fatalf("step %d: %v", r.p.Step+1, err)
		}
		r.p.Step++
		r.p.Seen += batchSize
	}
	return last
}

func (r *trained[T]) snapshot() []uint64 {
	var out []uint64
	add := func(v float64) { out = append(out, math.Float64bits(v)) }
	for _, v := range r.f.Params() {
		add(float64(v))
	}
	for _, e := range r.method.State() {
		for _, v := range e.Vector {
			add(float64(v))
		}
		if e.Int != nil {
			add(float64(*e.Int))
		}
		if e.Float != nil {
			add(*e.Float)
		}
	}
	return out
}

func sameBits(t *testing.T, what string, got, want []uint64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, expected %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: number %d is %v, expected %v to the bit", what, i, math.Float64frombits(got[i]), math.Float64frombits(want[i]))
		}
	}
}

// variants are the settings under which the promises are tested.
var variants = []struct {
	method, model string
	settings      optim.Settings
}{
	{"kfac", "mlp:7,5", nil},
	{"kfac", "mlp:7,5", optim.Settings{"exact-damping": 1, "signal": 1, "accumulate": 2, "ema": 0.9, "weight-decay": 0.01}},
	{"kfac", "mlp:7,5", optim.Settings{"signal": 2, "largest-factor": 6}},
	{"kfac", "2c2d", optim.Settings{"reduce": 1, "largest-factor": 400}},
	{"kfac", "resnet20", optim.Settings{"inverse-every": 10, "largest-factor": 20}},
	{"kfac", "mlp:7,5", optim.Settings{"adaptive-damping": 1, "damping-every": 2, "ema": 0.5}},
	{"kfac", "mlp:7,5", optim.Settings{"regime": 1, "adaptive-damping": 1, "damping-every": 2, "calibrate-damping": 1, "rejection-factor": 2}},
	{"kfac", "2c2d", optim.Settings{"regime": 2, "exact-damping": 1, "largest-factor": 400}},
	{"kfac", "mlp:7,5", optim.Settings{"regime": 3, "rejection-factor": 3, "damping": 1e-4, "ema": 0.5}},
	{"kfac", "mlp:7,5", optim.Settings{"layer-clip": 0.07, "accumulate": 3}},
	{"kfac", "mlp:7,5", optim.Settings{"norm-clip": 0.1, "accumulate": 2, "signal": 1}},
	{"ekfac", "mlp:7,5", nil},
	{"ekfac", "mlp:7,5", optim.Settings{"regime": 1, "calibrate-damping": 1}},
	{"ekfac", "mlp:7,5", optim.Settings{"per-example": 0, "signal": 3}},
}

func inputOf(model string) tensor.Shape {
	if strings.HasPrefix(model, "mlp") {
		return tensor.ShapeOf(6)
	}
	return tensor.ShapeOf(4, 4, 1)
}

var frequent = optim.Settings{"statistics-every": 3, "inverse-every": 7, "burn-in": 4}

func with(s optim.Settings) optim.Settings {
	out := optim.Settings{}
	for _, m := range []optim.Settings{frequent, s} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func TestResumesAndAnyNumberOfWorkers(t *testing.T) {
	for _, v := range variants {
		total := 24
		if v.model == "resnet20" || v.model == "2c2d" {
			total = 9
		}
		schedules := map[string]string{"damping": "linear", "lr": "cosine"}
		if r := v.settings["regime"]; r == 1 || r == 2 {
			delete(schedules, "lr") // the model decides it
		}
		whole := begin[float32](t, v.method, v.model, inputOf(v.model), with(v.settings), schedules, 1)
		whole.steps(t, total)
		want := whole.snapshot()

		r := begin[float32](t, v.method, v.model, inputOf(v.model), with(v.settings), schedules, 3)
		for _, n := range []int{0, 2, 3, total - 5} {
			r.steps(t, n)
			fresh := begin[float32](t, v.method, v.model, inputOf(v.model), with(v.settings), schedules, 3)
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

func TestSteadyStepAllocatesNothing(t *testing.T) {
	for _, name := range []string{"kfac", "ekfac"} {
		r := begin[float32](t, name, "mlp:7,5", tensor.ShapeOf(6), optim.Settings{"statistics-every": 1000, "inverse-every": 1000}, nil, 1)
		r.steps(t, 12)
		ctx := context.Background()
		base := testing.AllocsPerRun(20, func() {
			if _, _, err := r.f.Gradient(ctx); err != nil {
				t.Fatal(err)
			}
			r.f.Moved()
		})
		got := testing.AllocsPerRun(20, func() {
			r.f.Moved()
			if _, err := r.method.Step(ctx, r.f); err != nil {
				t.Fatal(err)
			}
		})
		if got > base {
			t.Errorf("%s: %g allocations a step, %g of them the gradient's", name, got, base)
		}
	}
}

// plain is a function without taps.
type plain struct{}

func (plain) Evaluate(theta, grad []float64) (float64, error) {
	for i, v := range theta {
		if grad != nil {
			grad[i] = v
		}
	}
	return 1, nil
}

func TestWhatItRefuses(t *testing.T) {
	layout := new(nn.Layout)
	layout.Add(nn.Param{Name: "d.weight", Shape: tensor.ShapeOf(2, 3), Kind: nn.Weight})
	for _, name := range []string{"kfac", "ekfac"} {
		s := spec[float64](t, name)
		m, err := s.Make(optim.Env{Layout: layout}, nil)
		if err != nil {
			t.Fatal(err)
		}
		params := []float64{1, 2, 3, 4, 5, 6}
		_, err = m.Step(context.Background(), objective.New[float64](plain{}, layout, params))
		if !errors.Is(err, objective.ErrUnsupported) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%s on a function without taps: error %v", name, err)
		}
		for i, v := range params {
			if v != float64(i+1) {
				t.Errorf("%s: the parameters moved to %v", name, params)
			}
		}
		if _, err := s.Make(optim.Env{Layout: nn.FlatLayout(5)}, nil); err == nil || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%s on a plain vector: error %v", name, err)
		}
	}
}

func TestBlocksTable(t *testing.T) {
	m, err := nn.Build[float64]("resnet20", nn.Options{Input: tensor.ShapeOf(8, 8, 3), Outputs: 3})
	if err != nil {
		t.Fatal(err)
	}
	r := curvature.Register(m.Layout(), 300)
	seen := make([]int, m.Layout().Len())
	for _, b := range r {
		seen[b.Weight]++
		if b.Bias >= 0 {
			seen[b.Bias]++
		}
		if b.Kind == curvature.Kronecker && max(b.In, b.Out) > 300 {
			t.Errorf("%s has factors %d and %d", b.Name, b.In, b.Out)
		}
	}
	for i, n := range seen {
		if n != 1 {
			t.Errorf("%s is in %d blocks", m.Layout().At(i).Name, n)
		}
	}
	text := r.String()
	for _, want := range []string{"kronecker", "diagonal", "larger than 300", "kind scale", "affine layer with its bias"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table does not say %q:\n%s", want, text)
		}
	}
}
