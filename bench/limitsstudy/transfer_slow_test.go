//go:build slow

package limitsstudy

import (
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
)

var (
	seeds  = flag.Int("seeds", 2, "seeds of a rate in the study of transfer")
	widest = flag.Int("widest", 4096, "widest network of the study of transfer")
)

// TestTransfer tunes at every width, carries from the narrowest, and says what that loses.
func TestTransfer(t *testing.T) {
	store, err := study.Open(*cells)
	if err != nil {
		t.Fatal(err)
	}
	for _, layers := range []int{1, 2} {
		for _, u := range Tunings() {
			t.Run(fmt.Sprintf("%s/layers%d", u.Method, layers), func(t *testing.T) { transfer(t, store, u, layers) })
		}
	}
}

func transfer(t *testing.T, store *study.Store, u Tuning, layers int) {
	var d *Images
	run := func(rule Rule, width int, rate float64, seed int) Run {
		name := fmt.Sprintf("transfer, %s, %d layers of %d, %s, rate %.3g, seed %d", u.Method, layers, width, rule.Name, rate, seed)
		return cell(t, store, name, func() (Run, error) {
			if d == nil {
				var err error
				if d, err = OpenImages(); err != nil {
					t.Skip(err)
				}
			}
			return d.Train(u.Method, rule, layers, width, rate, uint64(seed))
		})
	}
	grid := func(rule Rule, width int) Grid {
		g := make(Grid, len(u.Rates))
		for i, rate := range u.Rates {
			for seed := range *seeds {
				g[i] = append(g[i], run(rule, width, rate, seed+1))
			}
		}
		return g
	}
	loss := func(r Run, ok bool) string {
		if !ok {
			return "diverged | diverged"
		}
		return fmt.Sprintf("%.4f | %.4f", r.Val, r.Test)
	}
	var b strings.Builder
	b.WriteString("\n| width | rule | rate of width 64: validation loss | test loss | tuned at this width: rate | validation loss | test loss | lost by the transfer (validation) | (test) |\n|---|---|---|---|---|---|---|---|---|\n")
	base := grid(u.Rules[0], Base)
	from := base.Best()
	m, _ := base.mean(from)
	edge := func(i int) string {
		return fmt.Sprintf("%.2g", u.Rates[i]) + map[bool]string{true: " (edge)"}[i == 0 || i == len(u.Rates)-1]
	}
	fmt.Fprintf(&b, "| %d | all are the same here | | | %s | %.4f | %.4f | | |\n", Base, edge(from), m.Val, m.Test)
	for width := 4 * Base; width <= *widest; width *= 4 {
		for _, rule := range u.Rules {
			if rule.Deep && layers == 1 {
				continue
			}
			g := grid(rule, width)
			best := g.Best()
			carried, ok := g.mean(from)
			tuned, _ := g.mean(best)
			lost := "| "
			if ok {
				var square float64 // spread of the loss of the transfer over the seeds
				for s := range *seeds {
					v := g[from][s].Val - g[best][s].Val - (carried.Val - tuned.Val)
					square += v * v
				}
				lost = fmt.Sprintf("%+.4f (%.4f) | %+.4f", carried.Val-tuned.Val, math.Sqrt(square/float64(max(1, *seeds-1)*(*seeds))), carried.Test-tuned.Test)
			}
			fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s |\n", width, rule.Name, loss(carried, ok), edge(best), loss(tuned, true), lost)
		}
		t.Log(b.String())
		replace(t, fmt.Sprintf("transfer %s %d", u.Method, layers), b.String()+"\n")
	}
}
