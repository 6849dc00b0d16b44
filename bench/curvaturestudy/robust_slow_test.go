//go:build slow

package curvaturestudy

import (
	"fmt"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
)

func TestStudyRobust(t *testing.T) {
	b := bench(t, Mini)
	head := []string{"lr"}
	for _, d := range SweepDampings {
		head = append(head, fmt.Sprintf("λ %g", d), "reference")
	}
	table := study.NewTable(head...)
	diverged, worst := 0, 0.0
	for i, lr := range SweepRates {
		line := []string{fmt.Sprint(lr)}
		for j, d := range SweepDampings {
			c, err := b.Curve("mini", SweepSetup(lr, d), 0, Plan{Steps: 800, Every: 160})
			if err != nil {
				t.Fatal(err)
			}
			if c.Diverged {
				diverged++
			} else {
				worst = max(worst, c.Last().Test)
			}
			t.Logf("lr %g, λ %g: %.3f", lr, d, c.Last().Test)
			line = append(line, number(c.Last().Test, 2), number(SweepReference[i][j], 2))
		}
		table.Row(line...)
	}
	publish(t, "sweep", table.String())
	g := newGates(t)
	g.check("G9, twelve settings", "0 divergences, each ≤ 6.0", diverged == 0 && worst <= 6, "%d, worst %.2f", diverged, worst)
	publish(t, "sweep gate", g.table.String())
}

func TestStudyAdaptive(t *testing.T) {
	b := bench(t, func() (*Problem, error) {
		p, err := Mini()
		if err == nil {
			p.Batch, p.Sample = p.Images(), p.Images()
		}
		return p, err
	})
	table := study.NewTable("λ at the start", "steps", "training error", "test error", "s a step")
	run := func(damping float64, steps int) Curve {
		c, err := b.Curve("mini, full batch", AdaptiveSetup(damping), 0, Plan{Steps: steps, Every: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range c.Points {
			if p.Step%50 == 0 || p.Step == steps {
				t.Logf("λ %g: %+v", damping, p)
				table.Row(fmt.Sprint(damping), fmt.Sprint(p.Step), number(p.Fit, 2), number(p.Test, 2), number(p.CPU/float64(p.Step), 2))
			}
		}
		if c.Diverged {
			table.Row(fmt.Sprint(damping), "diverged")
		}
		return c
	}
	one := run(1, 150)
	small, large := run(1e-4, 60), run(1e3, 60)
	publish(t, "adaptive", table.String())
	g := newGates(t)
	fit := func(step int) float64 { return one.At(step).Fit }
	g.check("G8, λ 1, training error after 100 and 150 steps", "≤ 1.75, ≤ 1.10", fit(100) <= 1.75 && fit(150) <= 1.10, "%.2f, %.2f", fit(100), fit(150))
	g.check("G8, λ 10⁻⁴ and 10³, 60 steps", "finite", !small.Diverged && !large.Diverged, "test error %.2f, %.2f", small.Last().Test, large.Last().Test)
	publish(t, "adaptive gates", g.table.String())
}
