package bench

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/descent-ml/descent/train"
	"github.com/google/go-cmp/cmp"
)

// fakeRun is a trainer whose accuracy depends on method, seed and learning rate in a known way.
func fakeRun(calls *[]train.Config) func(context.Context, train.Config, train.Options) (*train.Result, error) {
	return func(ctx context.Context, c train.Config, o train.Options) (*train.Result, error) {
		*calls = append(*calls, c)
		if ctx.Err() != nil {
			return &train.Result{Method: c.Method, Seed: c.Seed, Status: train.Stopped}, nil
		}
		nan := math.NaN()
		blank := train.Quality{Loss: nan, Accuracy: nan, RMSE: nan, Calibration: nan}
		r := &train.Result{Method: c.Method, Seed: c.Seed, Settings: c.Settings, Status: train.Completed, Steps: 100, WallSeconds: 2, CPUSeconds: 3,
			TrainSeconds: 1, Train: blank, Val: blank, Test: blank, ParamsSHA256: "abc"}
		base := map[string]float64{"sgd": 0.80, "momentum": 0.90, "adam": 0.85}[c.Method]
		lr, tuned := c.Settings["lr"]
		if tuned { // best at 0.02
			base -= 0.01 * math.Pow(math.Log(lr/0.02), 2)
		}
		for k := 1; k <= 4; k++ {
			acc := base - 0.1/float64(k) + 0.001*float64(c.Seed%10)
			e := train.Evaluation{Step: int64(25 * k), Epoch: k, Seen: int64(1600 * k), Seconds: 0.25 * float64(k), Train: blank, Val: blank, Test: blank}
			e.Test = train.Quality{Loss: 1 - acc, Accuracy: acc, RMSE: nan, Calibration: nan}
			e.Val = train.Quality{Loss: 1 - acc + 0.01, Accuracy: acc - 0.01, RMSE: nan, Calibration: nan}
			r.History = append(r.History, e)
			r.Test, r.Val = e.Test, e.Val
			if o.Progress != nil {
				o.Progress(train.Event{Kind: train.EventEval, Step: e.Step, Eval: &e, GradNorm: 1, Rate: 0.1})
			}
		}
		return r, nil
	}
}

func config(calls *[]train.Config) Config {
	return Config{Base: train.Config{Data: "digits", Model: "mlp:8", Epochs: 4}, Methods: []Method{{Name: "sgd"}, {Name: "momentum"}, {Name: "adam"}},
		Seeds: []uint64{0, 1, 2}, Run: fakeRun(calls)}
}

func order(c *Comparison) string {
	var names []string
	for _, r := range c.Ranking {
		names = append(names, r.Method)
	}
	return strings.Join(names, " ")
}

func near(t *testing.T, what string, got Number, want float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > 1e-12 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestEqualTerms(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	c.Methods[2].Settings = map[string]float64{"beta1": 0.8}
	got, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != 9 || len(got.Results) != 9 {
		t.Fatalf("%d runs, %d results, want 9", len(calls), len(got.Results))
	}
	for i, a := range calls {
		if want := c.Methods[i%3].Name; a.Method != want || a.Seed != uint64(i/3) {
			t.Errorf("run %d is %s with seed %d, want %s with seed %d: every method of a seed before the next seed", i, a.Method, a.Seed, want, i/3)
		}
		b := calls[0]
		a.Method, a.Settings, a.Seed = b.Method, b.Settings, b.Seed
		if d := cmp.Diff(b, a); d != "" {
			t.Errorf("run %d differs from the first beyond method and seed:\n%s", i, d)
		}
	}
	if got := order(got); got != "momentum adam sgd" {
		t.Errorf("order %s", got)
	}
	row := got.Ranking[0]
	near(t, "median", row.Median, 0.90-0.025+0.001)
	near(t, "least", row.Low, 0.90-0.025)
	near(t, "greatest", row.High, 0.90-0.025+0.002)
	if row.Rank != 1 || got.Metric != "test_accuracy" || row.Status() != "completed" || !row.Well() || row.Interval != nil {
		t.Errorf("row %+v on %s", row, got.Metric)
	}
}

func TestOneBadMethodDoesNotEndTheComparison(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	good := c.Run
	c.Out = t.TempDir()
	c.Run = func(ctx context.Context, t train.Config, o train.Options) (*train.Result, error) {
		switch {
		case t.Method == "momentum" && t.Seed == 0:
			panic("index out of range")
		case t.Method == "momentum" && t.Seed == 1:
			return nil, errors.New("no convergence\nhint: none")
		case t.Method == "adam" && t.Seed == 0:
			r, err := good(ctx, t, o)
			r.Status = train.Diverged
			return r, err
		}
		return good(ctx, t, o)
	}
	got, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := order(got); got != "adam sgd momentum" {
		t.Errorf("order %s", got)
	}
	adam, momentum := got.Ranking[0], got.Ranking[2]
	// The diverged run counts as infinitely bad: the median of {−∞, .826, .827} is .826.
	near(t, "median of adam", adam.Median, 0.85-0.025+0.001)
	if adam.Status() != "2 completed, 1 diverged" || adam.Well() {
		t.Errorf("adam: %s", adam.Status())
	}
	if momentum.Rank != 0 || momentum.Status() != "2 failed, 1 completed" || !math.IsInf(float64(momentum.Median), -1) {
		t.Errorf("momentum: rank %d, %s, median %v", momentum.Rank, momentum.Status(), momentum.Median)
	}
	var reasons []string
	for _, r := range got.Results {
		if r.Result.Status == Failed {
			reasons = append(reasons, r.Result.Reason)
		}
	}
	if d := cmp.Diff([]string{"internal error: index out of range", "no convergence"}, reasons); d != "" {
		t.Error(d)
	}
	if crash, _ := filepath.Glob(filepath.Join(c.Out, "crash-*.txt")); len(crash) != 1 {
		t.Errorf("%d notes of the panic, want 1", len(crash))
	}
	if b, err := json.Marshal(got); err != nil || !json.Valid(b) {
		t.Errorf("JSON with infinite values: %v", err)
	}
}

func TestFinishedCellsAreNotRunAgain(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	c.Out = t.TempDir()
	first, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := len(calls)
	c.Seeds = []uint64{0, 1, 2, 3}
	second, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(calls) - before; n != 3 {
		t.Errorf("%d runs for one more seed of 3 methods, want 3", n)
	}
	for i := range first.Results {
		a, b := first.Results[i], second.Results[i]
		if !b.Reused {
			t.Errorf("cell %d does not say that it is an earlier one", i)
		}
		if d := cmp.Diff(a.Points, b.Points, cmp.Comparer(func(x, y Number) bool { return x == y || x != x && y != y })); d != "" {
			t.Errorf("cell %d changed in the store:\n%s", i, d)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Out, "compare-1.json")); err != nil {
		t.Errorf("the first comparison's outcome was not kept: %v", err)
	}
	// Another setting is another cell; a damaged file is no cell.
	before = len(calls)
	c.Seeds = []uint64{0}
	c.Methods = []Method{{Name: "sgd", Settings: map[string]float64{"lr": 0.05}}, {Name: "momentum"}}
	cells, err := filepath.Glob(filepath.Join(c.Out, "cells", "*.json"))
	if err != nil || len(cells) != 12 {
		t.Fatalf("%d cells, %v", len(cells), err)
	}
	for _, f := range cells {
		if err := os.WriteFile(f, []byte(`{"config":`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Compare(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(calls) - before; n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
}

func TestReadReturnsWhatWasWritten(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	c.Out = t.TempDir()
	c.Target = train.Target{Metric: "test_accuracy", Value: 0.84}
	want, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(c.Out)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		t.Errorf("the comparison changed in its file:\n%s", cmp.Diff(string(a), string(b)))
	}
}

func TestTarget(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	// momentum: .80 .85 .867 .875 (+ seed): reached at the second evaluation; adam at the fourth by seeds 1 and 2 alone.
	c.Target = train.Target{Metric: "test_accuracy", Value: 0.8255}
	got, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if calls[0].Target != (train.Target{}) {
		t.Error("the target stopped the runs")
	}
	m, a, s := got.Ranking[0], got.Ranking[1], got.Ranking[2]
	if m.Reached != 3 || *m.StepsToTarget != 50 || *m.EpochsToTarget != 2 || *m.SecondsToTarget != 0.5 {
		t.Errorf("momentum: %d, %v steps, %v epochs, %v s", m.Reached, *m.StepsToTarget, *m.EpochsToTarget, *m.SecondsToTarget)
	}
	if a.Reached != 2 || *a.StepsToTarget != 100 {
		t.Errorf("adam: %d, %v steps", a.Reached, *a.StepsToTarget)
	}
	if s.Reached != 0 || !math.IsInf(float64(*s.StepsToTarget), 1) {
		t.Errorf("sgd: %d, %v steps", s.Reached, *s.StepsToTarget)
	}
}

func TestCancelledComparisonIsPartial(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	c.Out = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	got, err := Compare(ctx, c, func(e Event) {
		if e.Kind == Done && e.Cell == 4 {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Partial != "Stopped after 4 of 9 runs." || len(got.Results) != 4 {
		t.Errorf("%q, %d results", got.Partial, len(got.Results))
	}
	if _, err := Read(c.Out); err != nil {
		t.Error(err)
	}
	before := len(calls)
	if got, err = Compare(t.Context(), c, nil); err != nil || got.Partial != "" {
		t.Fatal(got, err)
	}
	if n := len(calls) - before; n != 5 {
		t.Errorf("%d runs were left, ran %d", 5, n)
	}
}

// TestStoppedRunGoesOnToTheSameBits stops a comparison with the real trainer in the middle of its first run.
func TestStoppedRunGoesOnToTheSameBits(t *testing.T) {
	c := Config{Base: train.Config{Data: "iris", Model: "mlp:8", Epochs: 20, Batch: 16}, Methods: []Method{{Name: "adam"}}, Seeds: []uint64{3}, Out: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	stopped, err := Compare(ctx, c, func(e Event) {
		if e.Kind == Progress && e.Train.Epoch == 5 {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if stopped.Partial == "" || len(stopped.Results) != 1 || stopped.Results[0].Result.Status != train.Stopped {
		t.Fatalf("%q, %d results", stopped.Partial, len(stopped.Results))
	}
	resumed, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Out = t.TempDir()
	whole, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := resumed.Results[0], whole.Results[0]
	if a.Result.ParamsSHA256 != b.Result.ParamsSHA256 || a.Result.Status != train.Completed {
		t.Errorf("%s with %s, in one piece %s", a.Result.Status, a.Result.ParamsSHA256, b.Result.ParamsSHA256)
	}
	if len(a.Points) != len(b.Points) {
		t.Fatalf("a curve of %d points, in one piece %d", len(a.Points), len(b.Points))
	}
	for i := range a.Points {
		if p, q := a.Points[i], b.Points[i]; p.Step != q.Step || p.Test.Loss != q.Test.Loss {
			t.Errorf("point %d: step %d, loss %v; in one piece step %d, loss %v", i, p.Step, p.Test.Loss, q.Step, q.Test.Loss)
		}
	}
	if runs, _ := filepath.Glob(filepath.Join(c.Out, "runs", "*")); len(runs) != 1 {
		t.Errorf("run folders %v", runs)
	}
}

func TestTimeoutIsReported(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	good := c.Run
	c.Timeout = time.Millisecond
	c.Run = func(ctx context.Context, t train.Config, o train.Options) (*train.Result, error) {
		if t.Method == "adam" {
			<-ctx.Done()
		}
		return good(ctx, t, o)
	}
	c.Methods = []Method{{Name: "adam"}}
	got, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Ranking[0].Status(); s != "time-out" || got.Ranking[0].Rank != 0 || got.Partial != "" {
		t.Errorf("status %s, rank %d, partial %q", s, got.Ranking[0].Rank, got.Partial)
	}
}

func TestWrongConfigurations(t *testing.T) {
	var calls []train.Config
	for name, change := range map[string]func(*Config){
		"no method to compare":       func(c *Config) { c.Methods = nil },
		"no seed":                    func(c *Config) { c.Seeds = nil },
		"in the line-up twice":       func(c *Config) { c.Methods = append(c.Methods, Method{Name: "sgd"}) },
		"seed 1 is given twice":      func(c *Config) { c.Seeds = []uint64{1, 1} },
		"expected 2 to 10000":        func(c *Config) { c.Tuning.Trials = 1 },
		"among those of the compari": func(c *Config) { c.Tuning = Tuning{Trials: 4, Seed: 1} },
		"adm":                        func(c *Config) { c.Methods[0].Name = "adm" },
		"time limit":                 func(c *Config) { c.Timeout = -1 },
	} {
		c := config(&calls)
		change(&c)
		if _, err := Compare(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
	if len(calls) != 0 {
		t.Errorf("%d runs of wrong configurations", len(calls))
	}
}
