//go:build slow

package bnpstudy

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
)

var (
	update = flag.Bool("update", false, "write the tables into docs/bnp.md")
	cells  = flag.String("cells", "", "file that keeps the cells of the study on MNIST, so that it can be stopped and continued")
)

const page = "../../docs/bnp.md"

// epochs are the passes over the data by batch size.
var epochs = []struct{ batch, epochs int }{{60, 10}, {6, 5}, {2, 4}, {1, 3}}

func TestStudy(t *testing.T) {
	d, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	measure := func(e Entry, batch, epochs int) Result {
		r, err := d.Measure(e, batch, epochs)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("batch %d, %s: lr %.3g, accuracy after an epoch %.1f %%, training loss %.4f, accuracy %.1f %%, %d failed%s",
			batch, e.Name, r.Rate, r.First, r.Loss, r.Last, r.Failed, map[bool]string{true: "  (lr at the edge of those tried)"}[r.Edge])
		return r
	}
	var rows []Result
	at := map[string]Result{}
	for _, c := range epochs {
		for _, e := range Entries() {
			if e.BatchNorm && c.batch == 1 {
				continue // the variance of one example
			}
			r := measure(e, c.batch, c.epochs)
			rows = append(rows, r)
			at[fmt.Sprint(c.batch, " ", e.Name)] = r
		}
	}
	var second []Result
	for _, e := range MomentumEntries() {
		second = append(second, measure(e, 60, 10))
	}
	if *update {
		write(t, rows, second)
	}

	gate := func(ok bool, format string, args ...any) {
		t.Helper()
		if !ok {
			t.Errorf("missed: "+format, args...)
		}
	}
	bnp, sgd := func(b int) Result { return at[fmt.Sprint(b, " BNP")] }, func(b int) Result { return at[fmt.Sprint(b, " SGD")] }
	gate(bnp(60).First >= 93, "batch 60, one epoch: BNP %.1f %%, wanted at least 93", bnp(60).First)
	gate(sgd(60).First <= 85, "batch 60, one epoch: SGD %.1f %%, wanted at most 85", sgd(60).First)
	gate(bnp(6).Loss <= sgd(6).Loss/5, "batch 6: loss of BNP %.4f, of SGD %.4f, wanted a fifth", bnp(6).Loss, sgd(6).Loss)
	gate(bnp(2).Last >= 97.5, "batch 2: BNP %.1f %%, wanted at least 97.5", bnp(2).Last)
	gate(at["2 batch norm"].Last <= 75, "batch 2: batch norm %.1f %%, wanted at most 75", at["2 batch norm"].Last)
	gate(bnp(1).Last >= 96.5, "batch 1: BNP %.1f %%, wanted at least 96.5", bnp(1).Last)
	gate(bnp(1).Loss <= sgd(1).Loss/3, "batch 1: loss of BNP %.4f, of SGD %.4f, wanted a third", bnp(1).Loss, sgd(1).Loss)
	for _, b := range []int{2, 1} {
		without := at[fmt.Sprint(b, " BNP, no centring")]
		gate(without.Loss >= 3*bnp(b).Loss && without.Last < bnp(b).Last, "batch %d without centring: loss %.4f, accuracy %.1f %%; with it %.4f, %.1f %%", b, without.Loss, without.Last, bnp(b).Loss, bnp(b).Last)
	}
}

// write puts the tables between the marks of the page.
func write(t *testing.T, rows, second []Result) {
	var b strings.Builder
	b.WriteString("| batch (epochs) | method | learning rate | test accuracy after 1 epoch | training loss | test accuracy |\n|---|---|---|---|---|---|\n")
	line := func(label string, r Result) {
		rate := fmt.Sprintf("%.3g", r.Rate)
		if r.Edge {
			rate += " (edge)"
		}
		if r.Rate == 0 {
			rate = "none of them"
		}
		loss := fmt.Sprintf("%.4f", r.Loss)
		if r.Failed > 0 {
			loss = fmt.Sprintf("%d of %d seeds diverged", r.Failed, Seeds)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f | %s | %.1f |\n", label, r.Entry.Name, rate, r.First, loss, r.Last)
	}
	last := 0
	for _, r := range rows {
		label := ""
		for _, c := range epochs {
			if c.batch == r.Batch && r.Batch != last {
				label = fmt.Sprintf("%d (%d)", c.batch, c.epochs)
			}
		}
		last = r.Batch
		line(label, r)
	}
	b.WriteString("\nAdaptive momentum, alone and behind the preconditioner, batch 60, 10 epochs:\n\n| | method | learning rate | test accuracy after 1 epoch | training loss | test accuracy |\n|---|---|---|---|---|---|\n")
	for _, r := range second {
		line("", r)
	}
	if err := study.Replace(page, "study", b.String()); err != nil {
		t.Fatal(err)
	}
}
