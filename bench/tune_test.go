package bench

import (
	"context"
	"math"
	"sort"
	"strings"
	"testing"

	"github.com/descent-ml/descent/train"
)

func TestHalton(t *testing.T) {
	// Van der Corput's own sequence, and base 3.
	for i, want := range []float64{0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875, 0.0625} {
		if got := halton(i+1, 2); got != want {
			t.Errorf("base 2, number %d: %v, want %v", i+1, got, want)
		}
	}
	for i, want := range []float64{1. / 3, 2. / 3, 1. / 9, 4. / 9, 7. / 9} {
		if got := halton(i+1, 3); math.Abs(got-want) > 1e-15 {
			t.Errorf("base 3, number %d: %v, want %v", i+1, got, want)
		}
	}
}

func TestPointsCoverTheInterval(t *testing.T) {
	for _, n := range []int{4, 8, 16, 64} {
		for seed := range uint64(20) {
			u := Tuning{Trials: n, Seed: seed}.points()
			sort.Float64s(u)
			if u[0] < 0 || u[n-1] >= 1 {
				t.Fatalf("points %v leave [0, 1)", u)
			}
			gap := u[0] + 1 - u[n-1]
			for i := 1; i < n; i++ {
				gap = max(gap, u[i]-u[i-1])
			}
			// n = 2^k points of the sequence are n equal steps but for one of half a step beside one of one and a half,
			// and a shift on the circle changes no distance.
			if limit := 2 / float64(n); gap > limit {
				t.Errorf("%d points, seed %d: a gap of %v, at most %v", n, seed, gap, limit)
			}
		}
		g := Tuning{Trials: n, Grid: true}.points()
		if g[0] != 0 || g[n-1] != 1 {
			t.Errorf("the grid %v lacks an end", g)
		}
	}
}

func TestTuningIsEqualForAllAndBlindToTheTest(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	c.Out = t.TempDir()
	c.Tuning = Tuning{Trials: 8, Seed: 1000}
	got, err := Compare(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := 3*8 + 9; len(calls) != want {
		t.Errorf("%d runs, want %d", len(calls), want)
	}
	for i, a := range calls {
		if trial := i < 24; trial != (a.Seed == 1000) {
			t.Errorf("run %d has seed %d", i, a.Seed)
		}
	}
	for _, m := range c.Methods {
		s := got.Tuning[m.Name]
		if s == nil || len(s.Trials) != 8 || s.Metric != "val_accuracy" || s.Setting != "lr" {
			t.Fatalf("%s: %+v", m.Name, s)
		}
		lo, hi, err := interval(m)
		if err != nil {
			t.Fatal(err)
		}
		// The same points of every method's own interval, and the choice is the best of them.
		best, which := math.Inf(-1), 0.0
		for i, trial := range s.Trials {
			u := c.Tuning.points()[i]
			if want := lo * math.Pow(hi/lo, u); math.Abs(trial.Value/want-1) > 1e-12 {
				t.Errorf("%s: trial %d at %v, want %v", m.Name, i, trial.Value, want)
			}
			if v := float64(trial.Result); v > best {
				best, which = v, trial.Value
			}
		}
		if float64(s.Chosen) != which {
			t.Errorf("%s: chose %v, the best was %v", m.Name, s.Chosen, which)
		}
		near(t, m.Name+": cost", s.Seconds, 16)
		for _, r := range got.Results {
			if r.Result.Method == m.Name && r.Result.Settings["lr"] != which {
				t.Errorf("%s ran with lr %v, tuned %v", m.Name, r.Result.Settings["lr"], which)
			}
		}
	}
	for _, row := range got.Ranking {
		if row.Trials != 8 || row.TuningSeconds == nil || *row.TuningSeconds != 16 {
			t.Errorf("%s: the ranking does not count the tuning: %+v", row.Method, row)
		}
	}
	// What is stored of a trial has no test numbers.
	st := &store{c.Out}
	trials := 0
	for _, a := range calls[:24] {
		cell := st.load(cellKey(a, "", true))
		if cell == nil {
			continue
		}
		trials++
		if !math.IsNaN(cell.Result.Test.Accuracy) || !math.IsNaN(cell.Result.Test.Loss) {
			t.Error("a stored trial knows the test part")
		}
		for _, p := range cell.Points {
			if !math.IsNaN(float64(p.Test.Loss)) {
				t.Error("a stored trial's curve knows the test part")
			}
		}
	}
	if trials != 24 {
		t.Errorf("%d trials in the store, want 24", trials)
	}
}

func TestTuningWithoutAValidationPartIsAnError(t *testing.T) {
	var calls []train.Config
	c := config(&calls)
	good := c.Run
	c.Run = func(ctx context.Context, t train.Config, o train.Options) (*train.Result, error) {
		r, err := good(ctx, t, o)
		r.Val = train.Quality{Loss: math.NaN(), Accuracy: math.NaN(), RMSE: math.NaN(), Calibration: math.NaN()}
		return r, err
	}
	c.Tuning = Tuning{Trials: 4, Seed: 9}
	if _, err := Compare(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "needs a validation part") {
		t.Errorf("error %v", err)
	}
}

func TestTiesOfTrials(t *testing.T) {
	a, b := &Trial{Value: 0.1, Result: 0.9, Loss: 0.3}, &Trial{Value: 0.2, Result: 0.9, Loss: 0.2}
	if betterTrial("val_accuracy", a, b) || !betterTrial("val_accuracy", b, a) {
		t.Error("of equal accuracies the smaller loss wins")
	}
	b.Loss = 0.3
	if !betterTrial("val_accuracy", a, b) {
		t.Error("of equal trials the smaller value wins")
	}
	if !betterTrial("val_rmse", &Trial{Result: 1}, &Trial{Result: 2}) {
		t.Error("of errors the smaller wins")
	}
}
