package optimtest

import (
	"context"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Task is a number of steps with settings at which a method must solve a problem: to Tolerance in every
// coordinate.
type Task struct {
	Settings  optim.Settings
	Schedules map[string]string
	Steps     int
}

// Row is one method of the conformance table.
type Row struct {
	Method     string
	Quadratic  Task // [IllConditioned] in 10 dimensions with condition 100, from 0
	Rosenbrock Task // from the standard start

	// Steady, if it has steps, are settings and the number of steps after which the next twenty allocate nothing: for
	// a method that renews something now and then.
	Steady Task

	// Exempt are promises that the method cannot keep by its nature: the subtest's name and the reason, which
	// belongs into the method's text too. For all others it is empty.
	Exempt map[string]string

	// For a method that needs the layers of a network, instead: Quadratic is [NewLeastSquares] with 6 features of
	// deviations 0.1 to 10 around means of -8 to 5, from 0; Rosenbrock is [TanhNet], whose error must fall to
	// a hundredth.
}

// Tolerance is how near to the minimum a method must come in every coordinate.
const Tolerance = 3e-2

// Conform holds the method of row to the promises that the package text lists, each in a subtest.
func Conform(t *testing.T, row Row) {
	spec, err := optim.Lookup[float64](row.Method)
	if err != nil {
		t.Fatal(err)
	}
	single, err := optim.Lookup[float32](row.Method)
	if err != nil {
		t.Fatal(err)
	}
	ConformSpec(t, spec, single, row)
}

// conform runs the subtests.
func (c conformer) conform(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"described", c.described},
		{"settings", c.settings},
		{"quadratic", c.quadratic},
		{"rosenbrock", c.rosenbrock},
		{"deterministic", c.deterministic},
		{"resumes", c.resumes},
		{"float32", c.float32},
		{"non-finite", c.nonFinite},
		{"neutral-wrappers", c.neutralWrappers},
		{"accumulates", c.accumulates},
		{"evaluates-apart", c.evaluatesApart},
		{"allocates-nothing", c.allocatesNothing},
		{"schedules", c.schedules},
		{"invariances", c.invariances},
	} {
		if c.exempt(t, test.name) {
			continue
		}
		t.Run(test.name, test.run)
	}
}

// run is one training in progress.
type run[T tensor.Float] struct {
	t      *testing.T
	method optim.Method[T]
	f      *objective.Objective[T]
	p      objective.Progress
}

func start[T tensor.Float](t *testing.T, c conformer, env optim.Env, s optim.Settings, fn objective.Function[T], from []T, p objective.Progress) *run[T] {
	t.Helper()
	m, err := newMethod[T](c, env, s)
	if err != nil {
		t.Fatal(err)
	}
	return &run[T]{t, m, objective.New(fn, env.Layout, append([]T(nil), from...)), p}
}

// steps makes n steps and returns the last report.
func (r *run[T]) steps(n int) (last optim.Report) {
	r.t.Helper()
	for range n {
		r.f.SetProgress(r.p)
		var err error
		if last, err = r.method.Step(context.Background(), r.f); err != nil {
			r.t.Fatalf("step %d: %v", r.p.Step+1, err)
		}
		r.p.Step++
		r.p.Seen += int64(r.p.Batch)
	}
	return last
}

// eval returns the parameters to evaluate.
func (r *run[T]) eval() []T {
	p := append([]T(nil), r.f.Params()...)
	if e, ok := r.method.(optim.Evaluated[T]); ok {
		e.EvalParams(p, r.f.Params())
	}
	return p
}

// snapshot is everything that a checkpoint would hold, as one row of numbers.
func (r *run[T]) snapshot() []float64 {
	var out []float64
	for _, v := range r.f.Params() {
		out = append(out, float64(v))
	}
	for _, e := range r.method.State() {
		for _, v := range e.Vector {
			out = append(out, float64(v))
		}
		out = append(out, e.Double...)
		if e.Int != nil {
			out = append(out, float64(*e.Int))
		}
		if e.Float != nil {
			out = append(out, *e.Float)
		}
	}
	return out
}

// same wants the same bits.
func same[T tensor.Float](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, expected %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float64bits(float64(got[i])) != math.Float64bits(float64(want[i])) {
			t.Fatalf("%s: number %d is %v, expected %v to the bit", what, i, got[i], want[i])
		}
	}
}

// near wants equality to tol, relative to the size of the element or to 1e-3.
func near(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	for i := range got {
		if e := math.Abs(got[i] - want[i]); !(e <= tol*math.Max(math.Abs(want[i]), 1e-3)) {
			t.Fatalf("%s: element %d is %v, expected %v", what, i, got[i], want[i])
		}
	}
}

// net is the network on which trajectories are compared: more than one block of parameters, and
// parameters that are not a whole number of blocks.
func net[T tensor.Float]() (*TanhNet[T], *nn.Layout, []T) {
	f, from := NewTanhNet[T](12, 20, 55, 3)
	return f, NetLayout(20, 55, 3), from
}

var netProgress = objective.Progress{Batch: 12, Horizon: 12 * 40, PerPass: 24}

func (c conformer) described(t *testing.T) {
	s := c.spec
	for what, text := range map[string]string{"title": s.Title, "formula": s.Formula, "paper": s.Paper, "when": s.When, "when not": s.WhenNot} {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no %s", s.Name, what)
		}
	}
	seen := map[string]bool{}
	for _, x := range s.Settings {
		if seen[x.Name] {
			t.Errorf("setting %s is there twice", x.Name)
		}
		seen[x.Name] = true
		if x.Doc == "" {
			t.Errorf("setting %s has no text", x.Name)
		}
		if err := x.Check(x.Default); err != nil {
			t.Errorf("the default is not allowed: %v", err)
		}
	}
	layout := new(nn.Layout)
	layout.Add(nn.Param{Name: "w", Shape: tensor.ShapeOf(200, 200), Kind: nn.Weight})
	q := Quadratic[float64]{Lambda: make([]float64, layout.Size())}
	for i := range q.Lambda {
		q.Lambda[i] = 1
	}
	from := make([]float64, layout.Size())
	for i := range from {
		from[i] = 1
	}
	var fn objective.Function[float64] = q
	if c.onNetworks() {
		f := NewLeastSquares[float64](2, 200, 200, zero, one)
		fn, layout, from = f, f.Layout, make([]float64, f.Layout.Size())
	}
	r := start[float64](t, c, optim.Env{Layout: layout}, nil, fn, from, objective.Progress{Batch: 1})
	r.steps(2)
	if got := r.f.Counts().Gradients; got != int64(2*s.GradientsPerStep) {
		t.Errorf("%d gradients in two steps, described as %d a step", got, s.GradientsPerStep)
	}
	// Temporaries of the size of the parameters count as memory but are not state: there is one at most.
	if got := float64(r.method.State().Floats()) / float64(layout.Size()); got > s.MemoryFloats+0.02 || got < s.MemoryFloats-1 {
		t.Errorf("the state has %g floats a parameter, described as %g", got, s.MemoryFloats)
	}
}

func (c conformer) settings(t *testing.T) {
	_, layout, _ := net[float64]()
	env := optim.Env{Layout: layout}
	refused := func(s optim.Settings, want ...string) {
		t.Helper()
		_, err := newMethod[float64](c, env, s)
		if err == nil {
			t.Fatalf("settings %v were accepted", s)
		}
		for _, w := range append(want, "\nhint: ") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("settings %v: error %q does not say %q", s, err, w)
			}
		}
	}
	refused(optim.Settings{"lrr": 1}, `"lrr"`, "lr")
	for _, x := range c.spec.Settings {
		refused(optim.Settings{x.Name: math.NaN()}, x.Name, x.Range())
		refused(optim.Settings{x.Name: x.Min - 1}, x.Name, x.Range())
		refused(optim.Settings{x.Name: x.Max + 1}, x.Name, x.Range())
		if x.OpenMax {
			refused(optim.Settings{x.Name: x.Max}, x.Name, x.Range())
		}
		if x.OpenMin {
			refused(optim.Settings{x.Name: x.Min}, x.Name, x.Range())
		}
		if x.Integer || x.Switch {
			refused(optim.Settings{x.Name: x.Min + 0.5}, x.Name, x.Range())
		}
	}
}

// onNetworks reports whether the method runs on networks only.
func (c conformer) onNetworks() bool { return c.spec.Needs&optim.Taps != 0 }

func zero(int) float64 { return 0 }
func one(int) float64  { return 1 }

// Features of scales and shifts that no single learning rate serves.
func illShift(j int) float64 { return []float64{1, -2, 3, 5, -8, 0}[j] }
func illScale(j int) float64 { return []float64{0.1, 0.3, 1, 3, 10, 1}[j] }

func (c conformer) solves(t *testing.T, task Task, fn objective.Function[float64], layout *nn.Layout, from, want []float64) {
	r := start(t, c, optim.Env{Layout: layout, Schedules: task.Schedules}, task.Settings, fn, from,
		objective.Progress{Batch: 1, Horizon: int64(task.Steps), PerPass: 1})
	r.steps(task.Steps)
	got := r.eval()
	for i := range got {
		if e := math.Abs(got[i] - want[i]); !(e <= Tolerance) {
			t.Fatalf("%v after %d steps: coordinate %d is %v, expected %v to %g", task.Settings, task.Steps, i, got[i], want[i], Tolerance)
		}
	}
}

func (c conformer) quadratic(t *testing.T) {
	if c.onNetworks() {
		f := NewLeastSquares[float64](64, 6, 2, illShift, illScale)
		c.solves(t, c.row.Quadratic, f, f.Layout, make([]float64, f.Layout.Size()), f.Minimum)
		return
	}
	q := IllConditioned[float64](10, 100)
	c.solves(t, c.row.Quadratic, q, vector(10), make([]float64, 10), q.Center)
}

func (c conformer) rosenbrock(t *testing.T) {
	if c.onNetworks() {
		c.network(t)
		return
	}
	c.solves(t, c.row.Rosenbrock, Rosenbrock[float64]{}, vector(2), []float64{-1.2, 1}, []float64{1, 1})
}

func vector(n int) *nn.Layout {
	layout := new(nn.Layout)
	layout.Add(nn.Param{Name: "x", Shape: tensor.ShapeOf(n), Kind: nn.Weight})
	return layout
}

// network trains the small network, and holds the method to an error where there is none.
func (c conformer) network(t *testing.T) {
	f, layout, from := net[float64]()
	task := c.row.Rosenbrock
	r := start[float64](t, c, optim.Env{Layout: layout, Schedules: task.Schedules}, task.Settings, f, from,
		objective.Progress{Batch: 12, Horizon: int64(12 * task.Steps), PerPass: 12})
	r.steps(task.Steps)
	before, err := f.Evaluate(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := f.Evaluate(r.eval(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !(after <= before/100) {
		t.Errorf("%v after %d steps: the error is %v, of %v at the start; expected a hundredth", task.Settings, task.Steps, after, before)
	}

	m, err := newMethod[float64](c, optim.Env{Layout: layout}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain := objective.New[float64](IllConditioned[float64](layout.Size(), 10), layout, append([]float64(nil), from...))
	plain.SetProgress(netProgress)
	if _, err := m.Step(context.Background(), plain); !errors.Is(err, objective.ErrUnsupported) || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("a function without layers: error %v", err)
	}
	same(t, "parameters after the error", plain.Params(), from)
}

func (c conformer) deterministic(t *testing.T) {
	f, layout, from := net[float64]()
	trajectory := func(pool *tensor.Pool) []float64 {
		r := start[float64](t, c, optim.Env{Layout: layout, Pool: pool}, optim.Settings{"clip-norm": 0.5}, f, from, netProgress)
		r.steps(20)
		return r.snapshot()
	}
	want := trajectory(nil)
	same(t, "a second run", trajectory(nil), want)
	same(t, "a run with three workers", trajectory(tensor.NewPool(3)), want)
}

func (c conformer) resumes(t *testing.T) {
	f, layout, from := net[float64]()
	// The window of accumulation, an average and a schedule's state are in progress at the stops.
	settings := optim.Settings{"accumulate": 2, "ema": 0.9, "clip-norm": 1}
	env := optim.Env{Layout: layout, Schedules: map[string]string{"lr": "plateau:0.5@0"}}
	r := start[float64](t, c, env, settings, f, from, netProgress)
	observe := func(r *run[float64]) {
		r.method.(optim.Observer).Observe(1)
	}
	r.steps(3)
	observe(r)
	r.steps(4)
	observe(r)
	r.steps(10)
	want, wantEval := r.snapshot(), r.eval()

	r = start[float64](t, c, env, settings, f, from, netProgress)
	stop := func() {
		fresh := start[float64](t, c, env, settings, f, r.f.Params(), r.p)
		if err := fresh.method.State().CopyFrom(r.method.State()); err != nil {
			t.Fatal(err)
		}
		r = fresh
	}
	stop() // before the first step
	r.steps(3)
	observe(r)
	stop() // in mid-window
	r.steps(4)
	observe(r)
	r.steps(1)
	stop()
	stop()
	r.steps(9)
	same(t, "resumed run", r.snapshot(), want)
	same(t, "parameters to evaluate of the resumed run", r.eval(), wantEval)
}

func (c conformer) float32(t *testing.T) {
	f, layout, from := net[float64]()
	g, _, from32 := net[float32]()
	r := start[float64](t, c, optim.Env{Layout: layout}, nil, f, from, netProgress)
	s := start[float32](t, c, optim.Env{Layout: layout}, nil, g, from32, netProgress)
	r.steps(5)
	s.steps(5)
	a, b := r.eval(), s.eval()
	away := 0
	for i := range a {
		// A sign or a division by nearly nothing may go the other way where a gradient is all but
		// zero; nowhere else may single precision be felt.
		if math.Abs(a[i]-float64(b[i])) > 1e-4*math.Max(1, math.Abs(a[i])) {
			away++
		}
	}
	if away > len(a)/100 {
		t.Errorf("%d of %d parameters differ between float32 and float64 after five steps", away, len(a))
	}
}

func (c conformer) nonFinite(t *testing.T) {
	f, layout, from := net[float64]()
	averaged := optim.Settings{"ema": 0.9} // neither does the average count a skipped step
	faulty := &Faulty[float64]{Of: f}
	r := start[float64](t, c, optim.Env{Layout: layout}, averaged, faulty, from, netProgress)
	clean := start[float64](t, c, optim.Env{Layout: layout}, averaged, f, from, netProgress)
	nan, inf := math.NaN(), math.Inf(1)
	for _, fault := range []Faulty[float64]{{Value: &nan}, {Value: &inf}, {Gradient: &nan}, {Gradient: &inf}} {
		r.steps(2)
		clean.steps(2)
		before := append([]float64(nil), r.f.Params()...)
		p := r.p
		faulty.Value, faulty.Gradient = fault.Value, fault.Gradient
		if report := r.steps(1); !report.Skipped {
			t.Fatal("a step with a non-finite number was not reported as skipped")
		}
		same(t, "parameters after a skipped step", r.f.Params(), before)
		faulty.Value, faulty.Gradient = nil, nil
		r.p = p
	}
	r.steps(2)
	clean.steps(2)
	same(t, "the run after the skipped steps", r.snapshot(), clean.snapshot())

	if _, ok := c.spec.Setting("skip-limit"); !ok {
		return
	}
	faulty.Value = &nan
	m, err := newMethod[float64](c, optim.Env{Layout: layout}, optim.Settings{"skip-limit": 3})
	if err != nil {
		t.Fatal(err)
	}
	obj := objective.New[float64](faulty, layout, append([]float64(nil), from...))
	for i := 1; i <= 3; i++ {
		obj.SetProgress(netProgress)
		_, err = m.Step(context.Background(), obj)
		if (err != nil) != (i == 3) {
			t.Fatalf("skip-limit 3: after %d skipped steps the error is %v", i, err)
		}
	}
}

func (c conformer) neutralWrappers(t *testing.T) {
	f, layout, from := net[float64]()
	plain := start[float64](t, c, optim.Env{Layout: layout}, nil, f, from, netProgress)
	plain.steps(15)
	neutral := optim.Settings{"clip-norm": 1e9, "clip-tensor-norm": 1e9, "clip-value": 1e9, "clip-adaptive": 1e3, "accumulate": 1, "skip-limit": 4, "ema": 0.9}
	wrapped := start[float64](t, c, optim.Env{Layout: layout, Schedules: map[string]string{"lr": "constant"}}, neutral, f, from, netProgress)
	wrapped.steps(15)
	same(t, "parameters with neutral settings", wrapped.f.Params(), plain.f.Params())

	env := optim.Env{Layout: layout}
	r := start[float64](t, c, env, nil, f, from, netProgress)
	r.method = optim.NewEMA(env, optim.Method[float64](optim.NewSWA(env, optim.Method[float64](optim.NewLookahead(env, r.method, 1, 1)), 0, 0)), 0.5)
	r.steps(15)
	same(t, "parameters within wrappers", r.f.Params(), plain.f.Params())
}

func (c conformer) accumulates(t *testing.T) {
	if c.spec.GradientsPerStep > 1 {
		t.Skip("evaluates a second gradient on each small batch: another method than on the large one, by definition")
	}
	f, layout, from := net[float64]()
	const horizon = 12*3 + 7
	env := optim.Env{Layout: layout, Schedules: map[string]string{"lr": "warmup:0.3,cosine"}}
	trajectory := func(n int, sizes ...int) []float64 {
		fn := &switching[float64]{}
		r := start[float64](t, c, env, optim.Settings{"accumulate": float64(n), "ema": 0.5}, fn, from, objective.Progress{Horizon: horizon, PerPass: 12})
		at := 0
		for _, size := range sizes {
			fn.Function = f.Rows(at, at+size)
			if at += size; at == 12 {
				at = 0
			}
			r.p.Batch = size
			r.steps(1)
		}
		return append(r.eval(), r.f.Params()...)
	}
	// Windows of 5, 5 and 2 examples; the training ends in the fourth window, after 5 and 2.
	got := trajectory(3, 5, 5, 2, 5, 5, 2, 5, 5, 2, 5, 2)
	near(t, "small batches against large ones", got, trajectory(1, 12, 12, 12, 7), 1e-9)
}

// switching is a function that the test exchanges between steps.
type switching[T tensor.Float] struct{ objective.Function[T] }

func (f *switching[T]) EvaluateTapped(p, grad []T, tap func(objective.Tap[T])) (float64, error) {
	return tapped(f.Function, p, grad, tap)
}

func (c conformer) evaluatesApart(t *testing.T) {
	f, layout, from := net[float64]()
	plain := start[float64](t, c, optim.Env{Layout: layout}, nil, f, from, netProgress)
	plain.steps(12)
	r := start[float64](t, c, optim.Env{Layout: layout}, nil, f, from, netProgress)
	same(t, "parameters to evaluate before the first step", r.eval(), from)
	for range 12 {
		r.steps(1)
		for i, v := range r.eval() {
			if math.IsNaN(v) {
				t.Fatalf("parameter %d to evaluate is not a number", i)
			}
		}
	}
	same(t, "run that was evaluated after each step", r.snapshot(), plain.snapshot())
}

func (c conformer) allocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	layout := NetLayout(30, 50, 10)
	var fn objective.Function[float32] = IllConditioned[float32](layout.Size(), 10)
	if c.onNetworks() {
		fn = &constantTap{fn, objective.Tap[float32]{Name: "dense1", Weight: 0, Bias: 1, RowsPer: 1,
			X: tensor.Of(make([]float32, 40*30), tensor.ShapeOf(40, 30)), DY: tensor.Of(make([]float32, 40*50), tensor.ShapeOf(40, 50))}}
	}
	steady := c.row.Steady
	if steady.Steps == 0 {
		steady.Steps = 5
	}
	settings := optim.Settings{"clip-norm": 1}
	maps.Copy(settings, steady.Settings)
	r := start[float32](t, c, optim.Env{Layout: layout, Schedules: map[string]string{"lr": "warmup:0.1,cosine"}},
		settings, fn, make([]float32, layout.Size()), objective.Progress{Batch: 1, Horizon: 1000, PerPass: 10})
	r.steps(steady.Steps)
	if n := testing.AllocsPerRun(20, func() { r.steps(1) }); n != 0 {
		t.Errorf("a steady step allocates %g times", n)
	}
}

// constantTap is a function that claims to have a layer, which always sees the same.
type constantTap struct {
	objective.Function[float32]
	tap objective.Tap[float32]
}

func (f *constantTap) EvaluateTapped(p, grad []float32, tap func(objective.Tap[float32])) (float64, error) {
	tap(f.tap)
	return f.Evaluate(p, grad)
}

func (c conformer) schedules(t *testing.T) {
	f, layout, from := net[float64]()
	for _, x := range c.spec.Settings {
		if !x.Schedulable {
			continue
		}
		value := x.Default
		if value == 0 {
			value = 0.01
		}
		env := optim.Env{Layout: layout, Schedules: map[string]string{x.Name: "linear:0.5"}}
		settings := optim.Settings{x.Name: value, "accumulate": 1}
		r := start[float64](t, c, env, settings, f, from, netProgress)
		for step := range 4 {
			want := value * (1 - 0.5*float64(step)*12/float64(netProgress.Horizon))
			report := r.steps(1)
			got, found := report.StepSize, x.Name == "lr"
			for _, e := range report.Extra {
				if e.Name == x.Name {
					got, found = e.Value, true
				}
			}
			if !found || math.Abs(got-want) > 1e-12*want {
				t.Errorf("%s at step %d is reported as %v (found: %v), expected %v", x.Name, step+1, got, found, want)
			}
		}
		r = start[float64](t, c, env, settings, f, from, objective.Progress{Batch: 12})
		r.f.SetProgress(r.p)
		if _, err := r.method.Step(context.Background(), r.f); err == nil || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("a schedule without a horizon: error %v", err)
		}
		env.Schedules[x.Name] = "cosin"
		if _, err := newMethod[float64](c, env, settings); err == nil || !strings.Contains(err.Error(), "cosine") {
			t.Errorf("a schedule with a wrong name: error %v", err)
		}
	}
	env := optim.Env{Layout: layout, Schedules: map[string]string{"nonsense": "cosine"}}
	if _, err := newMethod[float64](c, env, nil); err == nil {
		t.Error("a schedule for a setting that does not exist was accepted")
	}
}
