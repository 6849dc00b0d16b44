package asymptotics

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/descent-ml/descent/tensor"
)

// reference trains one network by the recursion as it is written, with draws of the simulator.
func reference(s *simulator, rep int) []float64 {
	p, n, d := &s.p, s.n, s.d
	theta := make([][]float64, 1+d)
	for j := range theta {
		theta[j] = make([]float64, n)
		sample(p.Init.coordinate(j, d, p.Bias), s.key(rep, "neurons").Fold(uint64(j)), theta[j])
	}
	output := func(x []float64) float64 {
		var sum float64
		for i := range n {
			var u float64
			for j, v := range x {
				u += v * theta[1+j][i]
			}
			v, _, _ := p.Activation.At(u)
			sum += theta[0][i] * v
		}
		return sum * s.gain
	}
	key, perm := s.key(rep, "data"), make([]int32, s.m)
	for k := range s.rate {
		type pull struct {
			x []float64
			e float64
		}
		var pulls []pull
		add := func(m int, share float64) {
			x := s.x[m*d : (m+1)*d]
			pulls = append(pulls, pull{x, share * (p.Y[m] - output(x))})
		}
		if p.Sampling == FullBatch {
			for m := range s.m {
				add(m, s.pi[m])
			}
		} else {
			for b := range p.Batch {
				add(s.draw(key, k*p.Batch+b, perm), 1/float64(p.Batch))
			}
		}
		next := make([][]float64, 1+d)
		for j := range theta {
			next[j] = append([]float64(nil), theta[j]...)
		}
		for _, q := range pulls {
			for i := range n {
				var u float64
				for j, v := range q.x {
					u += v * theta[1+j][i]
				}
				v, dv, _ := p.Activation.At(u)
				next[0][i] += s.rate[k] * q.e * v
				for j, xj := range q.x {
					next[1+j][i] += s.rate[k] * q.e * theta[0][i] * dv * xj
				}
			}
		}
		theta = next
	}
	out := make([]float64, s.k)
	for i := range out {
		out[i] = output(s.test[i*d : (i+1)*d])
	}
	return out
}

// TestRecursion compares the simulator with the recursion as it is written, over activations, batches and sampling.
func TestRecursion(t *testing.T) {
	for _, act := range []Activation{Tanh(), Sigmoid(), Softplus(), ReLU()} {
		for _, c := range []struct {
			batch    int
			sampling Sampling
			weighted bool
		}{{1, IID, false}, {1, Reshuffled, false}, {1, IID, true}, {1, SinglePass, false}, {2, IID, false}, {3, IID, false}, {20, IID, false}, {3, Reshuffled, false}, {1, FullBatch, false}, {1, FullBatch, true}} {
			p := BenchmarkA()
			p.Activation, p.Batch, p.Sampling = act, c.batch, c.sampling
			if c.batch == 2 { // two inputs and no bias; 12 examples are too many to count repeats
				x := make([]float64, 24)
				tensor.Normal(tensor.KeyOf(3), x, 0, 1)
				p.X, p.Y, p.Bias = tensor.FromSlice(x, 12, 2), x[:12], false
			}
			if c.weighted {
				p.Weight = []float64{.3, .1, .1, .1, .1, .1, .1, .1}
			}
			test := BenchmarkTest()
			if !p.Bias {
				test = tensor.FromSlice([]float64{1, 2, -1, .5}, 2, 2)
			}
			o := SimOptions{Replicates: 3, Seed: 9}
			s, err := newSimulator(p, Width{23, 0.8}, test, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.run(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			for rep, got := range s.result.Final() {
				near(t, fmt.Sprintf("%s, batch %d, %v, weights %v, replicate %d: output", act.Name, c.batch, c.sampling, c.weighted, rep), got, reference(s, rep), 1e-11)
			}
		}
	}
}

// TestSimulateWorkers checks that outputs do not depend on workers, nor on how many replicates there are.
func TestSimulateWorkers(t *testing.T) {
	p := BenchmarkA()
	p.T = 1
	for _, n := range []int{7, 150} {
		for _, sampling := range []Sampling{IID, Reshuffled} {
			p.Sampling = sampling
			var first *Simulation
			for _, workers := range []int{1, 2, 8} {
				s, err := Simulate(context.Background(), p, Width{n, 1}, BenchmarkTest(), SimOptions{Replicates: 40, Seed: 1, Pool: tensor.NewPool(workers), Times: []float64{0.5, 1}})
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = s
				}
				for j := range s.Outputs {
					for r := range s.Outputs[j] {
						near(t, "output", s.Outputs[j][r], first.Outputs[j][r], 0)
					}
				}
			}
			few, err := Simulate(context.Background(), p, Width{n, 1}, BenchmarkTest(), SimOptions{Replicates: 5, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			for r, got := range few.Final() {
				near(t, "output", got, first.Final()[r], 0)
			}
		}
	}
}

func TestSimulateCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := 0
	_, err := Simulate(ctx, BenchmarkA(), Width{50, 1}, BenchmarkTest(), SimOptions{Replicates: 1000, Progress: func(n, total int) {
		done = n
		cancel()
	}})
	if err == nil || done == 0 || done == 1000 {
		t.Errorf("cancelled after %d of 1000 replicates: %v", done, err)
	}
}

func TestSimulateErrors(t *testing.T) {
	p := BenchmarkA()
	for _, o := range []SimOptions{{}, {Replicates: 1, Times: []float64{5}}, {Replicates: 1, Times: []float64{2, 1}}} {
		if _, err := Simulate(context.Background(), p, Width{10, 1}, BenchmarkTest(), o); err == nil {
			t.Errorf("%+v is to be refused", o)
		}
	}
}

// TestStats compares statistics with exact values.
func TestStats(t *testing.T) {
	l := FitLine([]float64{1, 2, 4}, []float64{3, 5, 9}, []float64{1, 2, 1})
	near(t, "line", []float64{l.Slope, l.Intercept, l.Spread}, []float64{2, 1, 0}, 1e-12)
	// Σ w (x - x̄)² = 4.5 + … : weights 1, ¼, 1 at 1, 2, 4 have mean 22/9 and sum of squares 37/9·… by hand below.
	mean := (1 + 0.5 + 4) / 2.25
	sxx := (1-mean)*(1-mean) + 0.25*(2-mean)*(2-mean) + (4-mean)*(4-mean)
	near(t, "standard error", []float64{l.SE}, []float64{1 / math.Sqrt(sxx)}, 1e-12)
	m := MomentsOf([]float64{0, 0, 0, 4})
	near(t, "moments", []float64{m.Mean, m.Variance, m.Skewness, m.Kurtosis}, []float64{1, 4, 6 / math.Pow(3, 1.5), -2. / 3}, 1e-12)
	// P(sup |bridge| > x): tables of Kolmogorov's law.
	near(t, "Kolmogorov", []float64{kolmogorov(0.8276), kolmogorov(1.2238), kolmogorov(1.3581), kolmogorov(1.6276)}, []float64{.5, .1, .05, .01}, 1e-4)
	v := make([]float64, 4000)
	tensor.Normal(tensor.KeyOf(1), v, 2, 3)
	if _, p := KSNormal(v, 2, 3); p < 0.01 {
		t.Errorf("normal draws have p = %g", p)
	}
	if _, p := KSNormal(v, 2.3, 3); p > 1e-3 {
		t.Errorf("a shift of 0.1 standard deviations has p = %g", p)
	}
	near(t, "quantile", []float64{quantile(0.975), quantile(0.5)}, []float64{1.959963984540054, 0}, 1e-12)
	z, err := jointQuantile(tensor.FromSlice([]float64{1, 0, 0, 4}, 2, 2), 0.95)
	if err != nil || math.Abs(z-quantile((1+math.Sqrt(0.95))/2)) > 0.02 {
		t.Errorf("joint quantile of independent points: %v %v", z, err)
	}
	same, err := jointQuantile(tensor.FromSlice([]float64{1, 2, 2, 4}, 2, 2), 0.95)
	if err != nil || math.Abs(same-quantile(0.975)) > 0.03 {
		t.Errorf("joint quantile of equal points: %v %v", same, err)
	}
}
