package matrix_test

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
	"github.com/descent-ml/descent/optim/matrix"
	"github.com/descent-ml/descent/optim/optimtest"
)

// goldenTolerance is relative to an element's size, or to 1e-2 below that. The worst error is SOAP's, 1.3e-10: the
// eigenvectors of a factor of condition 1e3 are right to 1e-13, and Adam divides small elements by themselves. SPlus, with the
// identity on the sides whose factors have not full rank, is at 2e-11; all others stay below 1e-12.
const goldenTolerance = 1e-9

// TestGoldenTrajectories follows testdata/golden.json, which testdata/golden.py makes with NumPy.
func TestGoldenTrajectories(t *testing.T) {
	var g struct {
		Steps, In, Hidden, Out int
		X, Y, Start            []float64
		Cases                  []struct {
			Method   string
			Settings optim.Settings
			Params   map[string][]float64
			Losses   []float64
		}
	}
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, c := range g.Cases {
		seen[c.Method] = true
		t.Run(fmt.Sprintf("%s-%d", c.Method, i), func(t *testing.T) {
			net := &optimtest.TanhNet[float64]{In: g.In, Hidden: g.Hidden, Out: g.Out, X: g.X, Y: g.Y}
			layout := optimtest.NetLayout(g.In, g.Hidden, g.Out)
			params := append([]float64(nil), g.Start...)
			f := objective.New[float64](net, layout, params)
			m, err := newMethod(c.Method, optim.Env{Layout: layout}, c.Settings)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for step := range g.Steps {
				f.SetProgress(objective.Progress{Step: int64(step), Batch: 12})
				r, err := m.Step(context.Background(), f)
				if err != nil {
					t.Fatal(err)
				}
				if e := math.Abs(r.Loss-c.Losses[step]) / c.Losses[step]; !(e <= goldenTolerance) {
					t.Fatalf("%v: loss before step %d is %v, expected %v", c.Settings, step+1, r.Loss, c.Losses[step])
				}
				for k, want := range c.Params[strconv.Itoa(step+1)] {
					e := math.Abs(params[k]-want) / math.Max(math.Abs(want), 1e-2)
					worst = math.Max(worst, e)
					if !(e <= goldenTolerance) {
						t.Fatalf("%v: parameter %d after step %d is %v, expected %v (error %.1e)", c.Settings, k, step+1, params[k], want, e)
					}
				}
			}
			t.Logf("largest error %.1e", worst)
		})
	}
	for _, s := range matrix.Table[float64]() {
		if !seen[s.Name] {
			t.Errorf("method %s has no golden trajectory", s.Name)
		}
	}
}

func newMethod(name string, env optim.Env, s optim.Settings) (optim.Method[float64], error) {
	spec, err := optim.Find(matrix.Table[float64](), name)
	if err != nil {
		return nil, err
	}
	return spec.Make(env, s)
}
