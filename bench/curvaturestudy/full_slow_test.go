//go:build slow

package curvaturestudy

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
)

func TestStudyFull(t *testing.T) {
	b := bench(t, Full)
	adam, how := b.baseline(t, FullAdam(), fullPlan(FullEpochs))
	last := adam.Last()
	t.Logf("Adam: %s: loss %.3f, test %.3f, %.1f s, wall %.1f s", how, last.Loss, last.Test, last.CPU, last.Wall)
	table := study.NewTable("method", "settings", "training loss after 2 epochs", "5", "8", "12", "20", "epochs to Adam's", "seconds", "part of Adam's")
	at := func(c Curve, epoch int) string { return number(c.At(epoch*FullEpoch).Loss, 2) }
	table.Row("Adam", how, at(adam, 2), at(adam, 5), at(adam, 8), at(adam, 12), at(adam, 20), "20", number(last.CPU, 0), "1")
	best, name := math.Inf(1), ""
	for _, r := range FullRows() {
		if !strings.Contains(r.Label, *only) {
			continue
		}
		curves, how := b.row(t, "full", r, 1, FullTrial, 0, fullPlan(FullOthers))
		if curves == nil {
			t.Logf("%s is not there", r.Label)
			continue
		}
		c := curves[0]
		p, ok := c.FirstLoss(last.Loss)
		if !ok {
			t.Logf("%s: %s: not reached, %+v", r.Label, how, c.Last())
			table.Row(r.Label, how, at(c, 2), at(c, 5), at(c, 8), at(c, 12), at(c, 20), "–", "–", "–")
			continue
		}
		ratio := p.CPU / last.CPU
		if ratio < best {
			best, name = ratio, r.Label
		}
		t.Logf("%s: %s: %d epochs, %.1f s, wall %.1f s, %.2f of Adam's; test %.3f", r.Label, how, p.Step/FullEpoch, p.CPU, p.Wall, ratio, p.Test)
		table.Row(r.Label, how, at(c, 2), at(c, 5), at(c, 8), at(c, 12), at(c, 20), fmt.Sprint(p.Step/FullEpoch), number(p.CPU, 0), number(ratio, 2))
	}
	publish(t, "full", table.String())
	g := newGates(t)
	if math.IsInf(best, 1) {
		t.Log("no row was run")
		return
	}
	g.check("time to Adam's loss after 20 epochs", "≤ 0.6 of Adam's", best <= 0.6, "%.2f, %s", best, name)
	publish(t, "full gate", g.table.String())
}

// baseline runs the two best trials of the row to the end and returns the one with the smaller training loss.
func (b *Bench) baseline(t *testing.T, r Row, plan Plan) (best Curve, how string) {
	trials, err := b.Tune("full", r, FullTrial, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, trial := range trials[:2] {
		row := r
		row.Setup = r.With(trial.Settings)
		c, err := b.Curve("full", row.Setup, 0, plan)
		if errors.Is(err, errNotKept) && i > 0 {
			how = fmt.Sprintf("%v; best of %d", r.With(trials[0].Settings), len(trials))
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %.3f after the trial, %.3f at the end", row.Setup, trial.Value, c.Last().Loss)
		if i == 0 || c.Last().Loss < best.Last().Loss {
			best, how = c, fmt.Sprintf("%v; best of %d, of which two were run to the end", row.Setup, len(trials))
		}
	}
	return best, how
}

func fullPlan(epochs int) Plan { return Plan{Steps: epochs * FullEpoch, Every: FullEpoch} }

// TestFullRows runs rows alone, so that several processes can share the work of [TestStudyFull] by a common file of cells
// and -only.
func TestFullRows(t *testing.T) {
	b := bench(t, Full)
	for _, r := range FullRows() {
		if strings.Contains(r.Label, *only) {
			curves, how := b.row(t, "full", r, 1, FullTrial, 0, fullPlan(FullOthers))
			t.Logf("%s: %+v", how, curves[0].Points)
		}
	}
}
