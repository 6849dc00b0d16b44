package asymptotics

import (
	"context"
	"fmt"
	"testing"

	"github.com/descent-ml/descent/tensor"
)

// BenchmarkSimulate gives the time of a neuron and step. testdata/simulate_numpy.py N steps replicates is the same
// recursion in NumPy.
func BenchmarkSimulate(b *testing.B) {
	for _, c := range []struct{ n, reps int }{{100, 3000}, {316, 1000}, {1000, 300}} {
		b.Run(fmt.Sprintf("N=%d", c.n), func(b *testing.B) {
			p := BenchmarkA()
			p.T = 300 / float64(c.n)
			o := SimOptions{Replicates: c.reps, Seed: 1, Pool: tensor.NewPool(0)}
			for b.Loop() {
				if _, err := Simulate(context.Background(), p, Width{c.n, 1}, BenchmarkTest(), o); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.reps*300*c.n), "ns/neuron-step")
		})
	}
}
