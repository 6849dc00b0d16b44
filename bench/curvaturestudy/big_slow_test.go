//go:build slow

package curvaturestudy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
)

func TestStudyBig(t *testing.T) {
	b := bench(t, Big)
	head := []string{"method", "settings", "seeds"}
	for _, e := range BigEpochs {
		head = append(head, fmt.Sprintf("epoch %d", e))
	}
	table := study.NewTable(append(head, "s an epoch", "reference")...)
	at := map[string][]Curve{}
	perEpoch := func(label string) float64 {
		return overSeeds(at[label], func(c Curve) float64 {
			if len(c.Points) == 0 {
				return 0
			}
			last := c.Points[len(c.Points)-1]
			return last.CPU / float64(last.Step) * bigEpoch
		})
	}
	run := func(seeds int, rows []Row) {
		for _, r := range rows {
			if !strings.Contains(r.Label, *only) {
				continue
			}
			plan := Plan{Steps: 20 * bigEpoch, Every: bigEpoch}
			if r.Steps > 0 {
				plan.Steps = r.Steps
			}
			curves, how := b.row(t, "big", r, seeds, 0, 0, plan)
			if curves == nil {
				t.Logf("%s is not there", r.Label)
				continue
			}
			at[r.Label] = curves
			line := []string{r.Label, how, fmt.Sprint(len(curves))}
			for _, e := range BigEpochs {
				line = append(line, number(overSeeds(curves, testAt(e*bigEpoch)), 2))
			}
			t.Logf("%s: %v; %.2f s an epoch", r.Label, line[3:], perEpoch(r.Label))
			table.Row(append(line, number(perEpoch(r.Label), 2), r.Reference[0])...)
		}
	}
	run(*seeds, BigRows())
	run(1, BigOthers())
	publish(t, "big", table.String())
	if *only != "" {
		return
	}

	g := newGates(t)
	at20 := func(label string) float64 { return overSeeds(at[label], testAt(20*bigEpoch)) }
	const adam, kfac, rs, sre = "Adam 0.0010, β₂ 0.990", "K-FAC", "RS-KFAC, r 100", "SRE-KFAC, r 100"
	g.check("G6b, K-FAC, 20 epochs", "≤ 7.3", at20(kfac) <= 7.3, "%.2f", at20(kfac))
	g.check("G6b, RS-KFAC", "≤ 7.6", at20(rs) <= 7.6, "%.2f", at20(rs))
	g.check("G6b, SRE-KFAC", "≤ 7.6", at20(sre) <= 7.6, "%.2f", at20(sre))
	ratio := perEpoch(rs) / perEpoch(kfac)
	g.check("G6b, time of an epoch, RS-KFAC", "≤ 0.75 × K-FAC's", ratio <= 0.75, "%.2f ×", ratio)
	mine, theirs := overSeeds(at[rs], secondsTo(7.5)), overSeeds(at[adam], secondsTo(7.5))
	g.check("G6b, processor time to 7.5, RS-KFAC", "no more than tuned Adam's", mine <= theirs, "%s s, Adam %s s", number(mine, 1), number(theirs, 1))
	ratio = perEpoch(kfac) / perEpoch(adam)
	g.check("G12, a step of K-FAC, statistics every 5, inverses every 20", "≤ 3 × Adam's", ratio <= 3, "%.2f ×", ratio)
	publish(t, "big gates", g.table.String())
}

func TestStudyBrand(t *testing.T) {
	b := bench(t, Mini)
	table := study.NewTable("method", "settings", "800 steps (seeds)", "reference", "ms a step")
	at := map[string]float64{}
	for _, r := range BrandRows() {
		if !strings.Contains(r.Label, *only) {
			continue
		}
		curves, how := b.row(t, "mini", r, *seeds, 0, 0, Plan{Steps: 800, Every: 160})
		if curves == nil {
			t.Logf("%s is not there", r.Label)
			continue
		}
		at[r.Label] = overSeeds(curves, testAt(800))
		step := overSeeds(curves, func(c Curve) float64 { return 1000 * c.Last().CPU / 800 })
		t.Logf("%s: %s; %.2f ms a step", r.Label, join(curves, testAt(800)), step)
		table.Row(r.Label, how, join(curves, testAt(800)), r.Reference[0], number(step, 1))
	}
	publish(t, "brand", table.String())
	if *only != "" {
		return
	}
	g := newGates(t)
	for _, exact := range []string{"K-FAC, inverses every step", "K-FAC, inverses every 10"} {
		ratio := at["B-KFAC, r 60"] / at[exact]
		g.check("G4, B-KFAC with truncation", "within 10 % of "+exact, ratio <= 1.1, "%+.1f %%", 100*(ratio-1))
	}
	publish(t, "brand gate", g.table.String())
}
