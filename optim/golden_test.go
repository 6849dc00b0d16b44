package optim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/optimtest"
)

// golden is a file of testdata: golden.json, which golden.py makes with torch.optim and NumPy, and
// golden_adaptive.json, which golden_adaptive.py makes with NumPy.
type golden struct {
	Steps int       `json:"steps"`
	X     []float64 `json:"x"`
	Y     []float64 `json:"y"`
	Start []float64 `json:"start"`
	Cases []struct {
		Method    string               `json:"method"`
		Settings  optim.Settings       `json:"settings"`
		Schedules map[string]string    `json:"schedules"`
		Params    map[string][]float64 `json:"params"`
		Eval      map[string][]float64 `json:"eval"`
		Losses    []float64            `json:"losses"`
	} `json:"cases"`
}

func TestGoldenTrajectories(t *testing.T) {
	seen := map[string]bool{}
	for _, file := range []string{"testdata/golden.json", "testdata/golden_adaptive.json"} {
		testGolden(t, file, seen)
	}
	for _, s := range optim.Table[float64]() {
		if !seen[s.Name] {
			t.Errorf("method %s has no golden trajectory", s.Name)
		}
	}
}

// testGolden follows the trajectories of one file and notes the methods that it has seen.
func testGolden(t *testing.T, file string, seen map[string]bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	for i, c := range g.Cases {
		seen[c.Method] = true
		t.Run(fmt.Sprintf("%s-%d", c.Method, i), func(t *testing.T) {
			net := &optimtest.TanhNet[float64]{In: 3, Hidden: 4, Out: 2, X: g.X, Y: g.Y}
			layout := optimtest.NetLayout(3, 4, 2)
			params := append([]float64(nil), g.Start...)
			f := objective.New[float64](net, layout, params)
			m, err := optim.New[float64](c.Method, optim.Env{Layout: layout, Schedules: c.Schedules}, c.Settings)
			if err != nil {
				t.Fatal(err)
			}
			const rows = 12
			for step := range g.Steps {
				f.SetProgress(objective.Progress{Step: int64(step), Seen: int64(step * rows), Batch: rows, Horizon: int64(g.Steps * rows), PerPass: rows})
				r, err := m.Step(context.Background(), f)
				if err != nil {
					t.Fatal(err)
				}
				if e := relative(r.Loss, c.Losses[step]); e > 1e-10 {
					t.Fatalf("%v: loss before step %d is %v, expected %v (relative error %.1e)", c.Settings, step+1, r.Loss, c.Losses[step], e)
				}
				if want := c.Params[strconv.Itoa(step+1)]; want != nil {
					compare(t, fmt.Sprintf("%v: parameters after step %d", c.Settings, step+1), params, want)
				}
				if want := c.Eval[strconv.Itoa(step+1)]; want != nil {
					got := make([]float64, len(params))
					m.(optim.Evaluated[float64]).EvalParams(got, params)
					compare(t, fmt.Sprintf("%v: evaluated parameters after step %d", c.Settings, step+1), got, want)
				}
			}
		})
	}
}

// compare wants every element equal to 1e-10 relative to its size; elements below 1e-3 are measured
// against 1e-3.
func compare(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i, w := range want {
		if e := math.Abs(got[i] - w); !(e <= 1e-10*math.Max(math.Abs(w), 1e-3)) {
			t.Fatalf("%s: element %d is %v, expected %v (difference %.1e)", what, i, got[i], w, e)
		}
	}
}

func relative(a, b float64) float64 { return math.Abs(a-b) / math.Max(math.Abs(b), 1e-300) }
