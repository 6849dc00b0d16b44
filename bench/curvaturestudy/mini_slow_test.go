//go:build slow

package curvaturestudy

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
)

var (
	update = flag.Bool("update", false, "write the tables into docs/curvature-study.md")
	cells  = flag.String("cells", "", "file that keeps the runs, so that a study can be stopped and continued")
	seeds  = flag.Int("seeds", 3, "seeds of the gates")
	only   = flag.String("only", "", "rows whose label contains that; the others are left out")
	kept   = flag.Bool("kept", false, "runs nothing: rows that are not complete in the file of cells are left out")
)

const page = "../../docs/curvature-study.md"

// bench opens the store.
func bench(t *testing.T, problem func() (*Problem, error)) *Bench {
	store, err := study.Open(*cells)
	if err != nil {
		t.Fatal(err)
	}
	return &Bench{Store: store, Problem: func() (*Problem, error) {
		if *kept {
			return nil, errNotKept
		}
		p, err := problem()
		if err != nil {
			t.Skip(err)
		}
		return p, nil
	}}
}

var errNotKept = errors.New("not in the file of cells")

// publish logs a table and writes it if asked for.
func publish(t *testing.T, mark, text string) {
	t.Helper()
	t.Logf("%s:\n%s", mark, text)
	if *update && *only == "" {
		if err := study.Replace(page, mark, text); err != nil {
			t.Error(err)
		}
	}
}

// Gates collects targets with what was reached.
type gates struct {
	t     *testing.T
	table *study.Table
}

func newGates(t *testing.T) *gates {
	return &gates{t, study.NewTable("gate", "target", "measured", "reached")}
}

// check holds a measurement to a target.
func (g *gates) check(name, target string, ok bool, format string, args ...any) {
	g.t.Helper()
	got := fmt.Sprintf(format, args...)
	g.table.Row(name, target, got, map[bool]string{true: "yes", false: "**no**"}[ok])
	if !ok {
		g.t.Errorf("missed: %s: %s, wanted %s", name, got, target)
	}
}

// row tunes a row if it is to be tuned, and runs its best settings on seeds 0, 1, … The text says what they are and how they
// were found. There are no curves if they are to be kept ones and one is missing.
func (b *Bench) row(t *testing.T, name string, r Row, seeds, trial, held int, plan Plan) ([]Curve, string) {
	t.Helper()
	how := r.Setup.String()
	if r.Grid != nil {
		trials, err := b.Tune(name, r, trial, held)
		if errors.Is(err, errNotKept) {
			return nil, ""
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Setup = r.With(trials[0].Settings)
		how = tuned(r, trials)
	}
	var curves []Curve
	for seed := range uint64(seeds) {
		plan.Seed = seed
		c, err := b.Curve(name, r.Setup, r.Batch, plan)
		if errors.Is(err, errNotKept) {
			return nil, ""
		}
		if err != nil {
			t.Fatal(err)
		}
		curves = append(curves, c)
	}
	return curves, how
}

// tuned says how the settings of a row were found.
func tuned(r Row, trials []Trial) string {
	how := fmt.Sprintf("%v; best of %d", r.Setup, len(trials))
	if trials[0].Edge {
		how += ", at the edge"
	}
	failed := 0
	for _, trial := range trials {
		if trial.Diverged {
			failed++
		}
	}
	if failed > 0 {
		how += fmt.Sprintf(", %d diverged", failed)
	}
	return how
}

// over the curves: the median of f.
func overSeeds(curves []Curve, f func(Curve) float64) float64 {
	var v []float64
	for _, c := range curves {
		v = append(v, f(c))
	}
	return Median(v)
}

// join prints f of each curve.
func join(curves []Curve, f func(Curve) float64) string {
	var s []string
	for _, c := range curves {
		s = append(s, number(f(c), 2))
	}
	return strings.Join(s, " / ")
}

func testAt(step int) func(Curve) float64 { return func(c Curve) float64 { return c.At(step).Test } }

// epochTo returns the function of the epoch and of the processor seconds to a test error.
func stepTo(test float64) func(Curve) float64 {
	return func(c Curve) float64 {
		if p, ok := c.First(test); ok {
			return float64(p.Step)
		}
		return math.Inf(1)
	}
}

func secondsTo(test float64) func(Curve) float64 {
	return func(c Curve) float64 {
		if p, ok := c.First(test); ok {
			return p.CPU
		}
		return math.Inf(1)
	}
}

func TestStudyMini(t *testing.T) {
	b := bench(t, Mini)
	table := study.NewTable("method", "settings", "400 steps", "800 steps (seeds)", "reference", "ms a step")
	head := []string{"epoch / seconds to"}
	for _, x := range MiniThresholds {
		head = append(head, fmt.Sprintf("≤ %g", x))
	}
	times := study.NewTable(append(head, "reference, ≤ 1.7")...)
	at := map[string][]Curve{}
	for _, r := range MiniRows() {
		if !strings.Contains(r.Label, *only) {
			continue
		}
		plan := Plan{Steps: miniSteps, Every: miniEpoch, Reach: 1.6, Least: 800}
		if r.Steps > 0 {
			plan.Steps = r.Steps
		}
		n := *seeds
		if r.Grid != nil {
			n = 1
		}
		curves, how := b.row(t, "mini", r, n, miniTrial, miniHeld, plan)
		if curves == nil {
			t.Logf("%s is not there", r.Label)
			continue
		}
		at[r.Label] = curves
		step := overSeeds(curves, func(c Curve) float64 { return 1000 * c.Last().CPU / float64(max(1, c.Last().Step)) })
		reference := append(r.Reference, "", "")
		t.Logf("%s: %s; %s; %.2f ms a step", r.Label, how, join(curves, testAt(800)), step)
		table.Row(r.Label, how, number(overSeeds(curves, testAt(400)), 2), join(curves, testAt(800)), reference[0], number(step, 1))
		line := []string{r.Label}
		for _, x := range MiniThresholds {
			s := overSeeds(curves, stepTo(x))
			if math.IsInf(s, 1) {
				line = append(line, "–")
				continue
			}
			line = append(line, fmt.Sprintf("%.0f / %.1f", s/miniEpoch, overSeeds(curves, secondsTo(x))))
		}
		times.Row(append(line, reference[1])...)
	}
	publish(t, "mini errors", table.String())
	publish(t, "mini thresholds", times.String())
	if *only != "" {
		return
	}

	g := newGates(t)
	e := func(label string, step int) float64 { return overSeeds(at[label], testAt(step)) }
	adam := e("Adam 0.003, β₂ 0.99", 800)
	g.check("G1, Adam", "2.3 to 2.9", adam >= 2.3 && adam <= 2.9, "%.3f", adam)
	kfac := e("K-FAC", 800)
	g.check("G2, K-FAC", "≤ 1.75, and ≤ 2.35 after 400", kfac <= 1.75 && e("K-FAC", 400) <= 2.35, "%.3f; %.3f", kfac, e("K-FAC", 400))
	for _, label := range []string{"RS-KFAC, r 40", "SRE-KFAC, r 40"} {
		v := e(label, 800)
		g.check("G3, "+label, "≤ 1.75, within 5 % of K-FAC", v <= 1.75 && v <= 1.05*kfac, "%.3f, %+.1f %%", v, 100*(v/kfac-1))
	}
	soap := min(e("SOAP, β₁ 0.9", 800), e("SOAP, β₁ 0.95", 800))
	g.check("G5, Shampoo", "≤ 1.70", e("Shampoo, f 10", 800) <= 1.70, "%.3f", e("Shampoo, f 10", 800))
	g.check("G5, SOAP (better β₁)", "≤ 1.85", soap <= 1.85, "%.3f", soap)
	g.check("G5, Muon", "≤ 1.80", e("Muon", 800) <= 1.80, "%.3f", e("Muon", 800))
	best := math.Inf(1)
	for label, curves := range at {
		if strings.HasPrefix(label, "Adam 0") {
			best = min(best, overSeeds(curves, stepTo(1.7)))
		}
	}
	for _, c := range []struct {
		labels []string
		want   float64
	}{{[]string{"K-FAC"}, 2.3}, {[]string{"Shampoo, f 10"}, 2.8}, {[]string{"SOAP, β₁ 0.9", "SOAP, β₁ 0.95"}, 2.4}} {
		ratio := 0.0
		for _, label := range c.labels {
			ratio = max(ratio, best/overSeeds(at[label], stepTo(1.7)))
		}
		g.check("G6, steps to 1.7, "+c.labels[0], fmt.Sprintf("best Adam ≥ %g × as many", c.want), ratio >= c.want, "%.2f ×", ratio)
	}
	publish(t, "mini gates", g.table.String())
}

// TestStudyCost times steps of Adam and of K-FAC in turn, so that other work on the machine hits both.
func TestStudyCost(t *testing.T) {
	p, err := Mini()
	if err != nil {
		t.Skip(err)
	}
	adam, kfac := MiniRows()[1].Setup, Setup{"kfac", miniKFAC(nil)}
	const steps = 100
	var ratios []float64
	for range 5 {
		seconds := [2]float64{}
		for i, s := range []Setup{adam, kfac} {
			c, err := p.Run(s, Plan{Steps: steps, Every: steps})
			if err != nil {
				t.Fatal(err)
			}
			seconds[i] = c.Last().CPU
		}
		t.Logf("%.2f and %.2f ms a step", 1000*seconds[0]/steps, 1000*seconds[1]/steps)
		ratios = append(ratios, seconds[1]/seconds[0])
	}
	g := newGates(t)
	ratio := Median(ratios)
	g.check("G12, a step of K-FAC, statistics each step, inverses every 10", "≤ 3 × Adam's", ratio <= 3, "%.2f ×", ratio)
	publish(t, "cost gate", g.table.String())
}
