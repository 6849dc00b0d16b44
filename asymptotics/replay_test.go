package asymptotics

import (
	"context"
	"math"
	"testing"
)

// TestReplay trains a replicate once more by the plainest code.
func TestReplay(t *testing.T) {
	for _, c := range []struct {
		batch    int
		sampling Sampling
	}{{1, IID}, {3, IID}, {1, Reshuffled}, {3, Reshuffled}} {
		p, w, o := BenchmarkA(), Width{20, 0.75}, SimOptions{Replicates: 3, Seed: 4}
		p.Batch, p.Sampling = c.batch, c.sampling
		sim, err := Simulate(context.Background(), p, w, BenchmarkTest(), o)
		if err != nil {
			t.Fatal(err)
		}
		neurons, order, err := Replay(p, w, o, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(order) != p.Steps(w.N)*c.batch {
			t.Fatalf("%d examples", len(order))
		}
		n := float64(w.N)
		output := func(x float64) (g float64) {
			for i := range w.N {
				g += math.Pow(n, -w.Gamma) * neurons.At(i, 0) * math.Tanh(neurons.At(i, 1)*x+neurons.At(i, 2))
			}
			return g
		}
		for at := 0; at < len(order); at += c.batch {
			var e, x []float64
			for _, m := range order[at : at+c.batch] {
				x = append(x, p.X.At(int(m), 0))
				e = append(e, p.Y[m]-output(p.X.At(int(m), 0)))
			}
			for i := range w.N {
				var step [3]float64
				for b := range e {
					k := 4 * math.Pow(n, -(2-w.Gamma)) * e[b] / float64(c.batch)
					s := math.Tanh(neurons.At(i, 1)*x[b] + neurons.At(i, 2))
					d := neurons.At(i, 0) * (1 - s*s)
					step[0] += k * s
					step[1] += k * d * x[b]
					step[2] += k * d
				}
				for j, v := range step {
					neurons.Set(neurons.At(i, j)+v, i, j)
				}
			}
		}
		for k := range 4 {
			if want, got := output(BenchmarkTest().At(k, 0)), sim.Final()[2][k]; math.Abs(got-want) > 1e-12 {
				t.Errorf("%v, batch %d, point %d: simulated %v, trained again %v", c.sampling, c.batch, k, got, want)
			}
		}
	}
}
