//go:build slow

package curvaturestudy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
)

func TestStudyDivergence(t *testing.T) {
	store, err := study.Open(*cells)
	if err != nil {
		t.Fatal(err)
	}
	head := []string{"method"}
	for _, c := range DivergenceCases {
		head = append(head, c.Data+", "+strings.SplitN(c.Model, ":", 2)[0])
	}
	rows := map[string][]string{}
	runs, diverged := 0, 0
	for _, c := range DivergenceCases {
		var run func(string, uint64) (Outcome, error)
		for _, method := range DivergenceMethods {
			if !strings.Contains(method, *only) {
				continue
			}
			worst, bad := 0.0, 0
			for seed := range uint64(*seeds) {
				o, err := study.Do(store, fmt.Sprintf("divergence, %+v, %s, seed %d", c, method, seed), func() (Outcome, error) {
					if run == nil {
						if run, err = c.Open(); err != nil {
							t.Skip(err)
						}
					}
					return run(method, seed)
				})
				if err != nil {
					t.Fatal(err)
				}
				runs++
				if o.Diverged {
					bad++
				}
				worst = max(worst, o.Last/o.First)
			}
			diverged += bad
			cell := fmt.Sprintf("%.3f", worst)
			if bad > 0 {
				cell = fmt.Sprintf("**%d of %d**", bad, *seeds)
			}
			t.Logf("%s, %s, %s: %s", c.Data, c.Model, method, cell)
			rows[method] = append(rows[method], cell)
		}
	}
	table := study.NewTable(head...)
	for _, method := range DivergenceMethods {
		if rows[method] != nil {
			table.Row(append([]string{method}, rows[method]...)...)
		}
	}
	publish(t, "divergence", table.String())
	if *only != "" {
		return
	}
	g := newGates(t)
	g.check("divergences at the defaults", "0 of 200 or more", diverged == 0 && runs >= 200, "%d of %d", diverged, runs)
	publish(t, "divergence gate", g.table.String())
}
