//go:build slow

package bnpstudy

import (
	"fmt"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
)

// TestStudyMNIST measures the networks of MNISTNetworks and writes a table for each.
func TestStudyMNIST(t *testing.T) {
	store, err := study.Open(*cells)
	if err != nil {
		t.Fatal(err)
	}
	for i, network := range MNISTNetworks {
		t.Run(network.Name, func(t *testing.T) {
			var m *MNIST
			table := study.NewTable("batch", "method", "learning rate", "test accuracy", "spread", "training loss", "seeds")
			done := 0
			for _, batch := range network.Batches {
				t.Run(fmt.Sprint(batch.Size), func(t *testing.T) {
					label := fmt.Sprint(batch.Size)
					for _, e := range MNISTEntries() {
						if e.BatchNorm && batch.Size == 1 {
							continue // the variance of one example
						}
						c, err := study.Do(store, fmt.Sprintf("%s, %+v, %s", network.Name, batch, e.Name), func() (Cell, error) {
							if m == nil {
								if m, err = OpenMNIST(i); err != nil {
									t.Skip(err)
								}
							}
							return m.Measure(e, batch)
						})
						if err != nil {
							t.Fatal(err)
						}
						t.Logf("%s: %+v", e.Name, c)
						table.Row(label, e.Name, c.rate(), fmt.Sprintf("%.2f", c.Accuracy), fmt.Sprintf("%.2f", c.Spread), c.loss(), fmt.Sprint(c.Seeds))
						label = ""
					}
					done++
				})
			}
			if *update && done == len(network.Batches) {
				if err := study.Replace(page, "mnist "+network.Name, table.String()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func (c Cell) rate() string {
	switch {
	case c.Rate == 0:
		return "none of them"
	case c.Edge:
		return fmt.Sprintf("%.3g (edge)", c.Rate)
	}
	return fmt.Sprintf("%.3g", c.Rate)
}

func (c Cell) loss() string {
	if c.Failed > 0 {
		return fmt.Sprintf("%.4f; %d of %d seeds diverged", c.Loss, c.Failed, c.Seeds)
	}
	return fmt.Sprintf("%.4f", c.Loss)
}
