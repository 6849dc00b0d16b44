//go:build slow

package asymptotics

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/descent-ml/descent/tensor"
)

var (
	update = flag.Bool("update", false, "write the rows of the full checks into docs/limits-checks.md")
	only   = flag.String("checks", "", "identifiers of the checks to run, separated by commas; empty: all and the negative controls")
)

const table = "../docs/limits-checks.md"

// TestChecksFull runs the acceptance table. With -update the rows go to the documentation; rows of checks that did not run
// stay.
func TestChecksFull(t *testing.T) {
	ids := strings.Split(*only, ",")
	if *only == "" {
		ids = nil
		for _, c := range append(Checks(), NegativeControls()...) {
			ids = append(ids, c.ID)
		}
	}
	l := NewLab(CheckOptions{Effort: Full, Pool: tensor.NewPool(0)})
	for _, id := range ids {
		rows, err := l.Run(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		control, failed := strings.HasPrefix(id, "NC"), false
		for _, r := range rows {
			t.Log(r)
			failed = failed || !r.Pass
		}
		if failed != control {
			t.Errorf("%s: failed %v, a negative control %v", id, failed, control)
		}
		if *update {
			if err := writeRows(id, rows); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// writeRows replaces the rows of check id between its marks.
func writeRows(id string, rows []Verdict) error {
	b, err := os.ReadFile(table)
	if err != nil {
		return err
	}
	page := string(b)
	first, last := "<!-- "+id+" -->\n", "<!-- /"+id+" -->\n"
	i, j := strings.Index(page, first), strings.Index(page, last)
	if i < 0 || j < i {
		return fmt.Errorf("%s has no marks for %s", table, id)
	}
	var s strings.Builder
	s.WriteString("\n| id | what | expected | measured | s.e. | threshold | | rests on |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		state, se := "pass", ""
		if !r.Pass {
			state = "**fail**"
		}
		if r.SE > 0 {
			se = fmt.Sprintf("%.2g", r.SE)
		}
		fmt.Fprintf(&s, "| %s | %s | %.5g | %.5g | %s | %s | %s | %s |\n", r.ID, strings.ReplaceAll(r.What, "|", "∣"), r.Expected, r.Measured, se, r.Threshold, state, r.Label)
	}
	s.WriteString("\n")
	return os.WriteFile(table, []byte(page[:i+len(first)]+s.String()+page[j:]), 0o644)
}
