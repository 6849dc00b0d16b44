package asymptotics

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/descent-ml/descent/tensor"
)

// TestWorkers is Q1: the same seed gives the same bytes of JSON for 1, 2 and 8 workers.
func TestWorkers(t *testing.T) {
	run := func(workers int) []byte {
		pool := tensor.NewPool(workers)
		defer pool.Close()
		p := BenchmarkA()
		o := Options{Nodes: 900, Steps: 40, Pool: pool}
		pr, err := Predict(p, Width{500, 0.8}, BenchmarkTest(), PredictOptions{Times: []float64{1.5, 3}, Options: o})
		if err != nil {
			t.Fatal(err)
		}
		sim, err := Simulate(context.Background(), p, Width{40, 0.8}, BenchmarkTest(), SimOptions{Replicates: 70, Seed: 4, Pool: pool})
		if err != nil {
			t.Fatal(err)
		}
		p.T = 1
		tail, err := SolveTail(p, 1, tensor.FromSlice([]float64{0.5}, 1, 1), 0.4, TailOptions{Options: o})
		if err != nil {
			t.Fatal(err)
		}
		est, err := tail.Estimate(context.Background(), 30, 1, SimOptions{Replicates: 100, Seed: 4, Pool: pool})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal([]any{pr, sim, tail, est, tail.Scenario(3)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one := run(1)
	for _, n := range []int{2, 8} {
		if !bytes.Equal(one, run(n)) {
			t.Errorf("%d workers give other bytes than one", n)
		}
	}
}

// TestDataFactor checks which variance belongs to which sampling.
func TestDataFactor(t *testing.T) {
	p := BenchmarkA()
	o := PredictOptions{Options: Options{Nodes: 512, Steps: 60}}
	variance := map[Sampling]float64{}
	for _, s := range []Sampling{IID, SinglePass, Reshuffled, FullBatch} {
		p.Sampling, p.Batch = s, 2
		pr, err := Predict(p, Width{1000, 1}, BenchmarkTest(), o)
		if err != nil {
			t.Fatal(err)
		}
		variance[s] = pr.SD(0)[2] * pr.SD(0)[2]
		want := pr.Init[0].At(2, 2)
		if s == IID || s == SinglePass {
			want += pr.Data[0].At(2, 2) / 2
		}
		if s == Reshuffled {
			want += pr.Residue(0)[2]
		}
		if math.Abs(variance[s]-want) > 1e-12*want {
			t.Errorf("%v: variance %g, expected %g", s, variance[s], want)
		}
	}
	if !(variance[FullBatch] < variance[Reshuffled] && variance[Reshuffled] < variance[IID]/5 && variance[IID] == variance[SinglePass]) {
		t.Errorf("order of variances: %v", variance)
	}
}

func TestBands(t *testing.T) {
	pr, err := Predict(BenchmarkA(), Width{1000, 1}, BenchmarkTest(), PredictOptions{Options: Options{Nodes: 512, Steps: 60}})
	if err != nil {
		t.Fatal(err)
	}
	lo, hi, _ := pr.Band(0, 0.95, false)
	jlo, jhi, _ := pr.Band(0, 0.95, true)
	elo, ehi, _ := pr.EnsembleBand(0, 0.95, false, 4)
	for k, sd := range pr.SD(0) {
		near(t, "half width of the band", []float64{hi[k] - lo[k], ehi[k] - elo[k]}, []float64{2 * 1.959964 * sd, 1.959964 * sd}, 1e-6)
		// Correlated points: wider than one point's, narrower than Bonferroni's.
		if z := (jhi[k] - jlo[k]) / (2 * sd); z < 2.05 || z > 2.4977 {
			t.Errorf("joint quantile %g, expected between 1.96 and Bonferroni's 2.4977", z)
		}
	}
	if _, _, err := pr.Band(0, 1, false); err == nil {
		t.Error("a band of level 1")
	}
}

// TestSmallestWidth compares with the widths of the reference: 11,900 at B = 1 and 1,030 at B = 16 for ±0.01 at 95 %.
func TestSmallestWidth(t *testing.T) {
	o := Options{Nodes: 8192, Steps: 100}
	for _, c := range []struct {
		batch int
		width float64
	}{{1, 11900}, {16, 1030}} {
		p := BenchmarkA()
		p.Batch = c.batch
		// The reference is for T = 3 and the point with the largest variance.
		w, err := SmallestWidth(p, 1, BenchmarkTest(), 0.01, 0.95, false, o)
		if err != nil {
			t.Fatal(err)
		}
		if n := float64(w.Width.N); math.Abs(n-c.width) > 0.1*c.width {
			t.Errorf("B = %d: width %g, expected about %g", c.batch, n, c.width)
		}
		near(t, "quantile", []float64{w.Z}, []float64{1.95996}, 1e-3)
	}
	p := BenchmarkA()
	p.Batch = 16
	joint, err := SmallestWidth(p, 1, BenchmarkTest(), 0.01, 0.95, true, Options{Nodes: 1024, Steps: 60})
	if err != nil || joint.Width.N < 1100 || joint.Width.N > 1900 {
		t.Errorf("joint: %+v %v", joint, err)
	}
	// γ < 1 by bisection: the width found keeps the tolerance and a width 2 % smaller does not.
	small := Options{Nodes: 512, Steps: 60}
	w, err := SmallestWidth(p, 0.75, BenchmarkTest(), 0.03, 0.95, false, small)
	if err != nil {
		t.Fatal(err)
	}
	half := func(n int) float64 {
		pr, err := Predict(p, Width{n, 0.75}, BenchmarkTest(), PredictOptions{Options: small})
		if err != nil {
			t.Fatal(err)
		}
		return quantile(0.975) * maxOf(pr.SD(0))
	}
	if half(w.Width.N) > 0.03 || half(w.Width.N*98/100) < 0.03 {
		t.Errorf("width %d: ±%g, 2 %% less: ±%g", w.Width.N, half(w.Width.N), half(w.Width.N*98/100))
	}
	if _, err := SmallestWidth(p, 0.5, BenchmarkTest(), 0.01, 0.95, false, Options{Nodes: 64, Steps: 30}); err == nil {
		t.Error("at γ = ½ the band does not shrink to 0.01")
	}
}

func TestBudget(t *testing.T) {
	o := Options{Nodes: 512, Steps: 60}
	plan, err := CheapestFor(BenchmarkA(), BenchmarkTest(), 1e-4, o)
	if err != nil {
		t.Fatal(err)
	}
	law, err := BatchLaw(BenchmarkA(), Width{1000, 1}, BenchmarkTest(), o)
	if err != nil {
		t.Fatal(err)
	}
	// The cheapest batch is where both parts balance, up to the ladder's factor 2.
	if b := float64(plan.Batch); b < law.Balance[0]/2 || b > law.Balance[0]*4 {
		t.Errorf("batch %g, parts balance at %v", b, law.Balance)
	}
	if plan.Variance > 1e-4 {
		t.Errorf("variance %g", plan.Variance)
	}
	split, err := SplitBudget(BenchmarkA(), 1, BenchmarkTest(), plan.Cost, o)
	if err != nil {
		t.Fatal(err)
	}
	if split.Cost > plan.Cost || split.Variance > 1.05e-4 || split.Batch != plan.Batch {
		t.Errorf("the same budget buys %+v, expected %+v", split, plan)
	}
	for _, b := range law.Balance {
		if b < 30 || b > 120 {
			t.Errorf("parts balance at batch %g, expected 36 to 106", b)
		}
	}
	if _, err := SplitBudget(BenchmarkA(), 1, BenchmarkTest(), 100, o); err == nil {
		t.Error("a budget below the smallest network")
	}
}

func TestCompareLimits(t *testing.T) {
	p := BenchmarkA()
	p.T = 2
	o := Options{Nodes: 512, Steps: 60, Rule: Paired}
	for _, c := range []struct {
		w    Width
		best Limit
	}{{Width{1000, 1}, MeanFieldLimit}, {Width{1000, 0.5}, KernelLimitOnly}, {Width{1000, 0.9}, SFlowLimit}} {
		a, err := CompareLimits(p, c.w, BenchmarkTest(), o)
		if err != nil {
			t.Fatal(err)
		}
		if a.Best != c.best || a.Advice == "" {
			t.Errorf("%+v: %v, expected %v (%s)", c.w, a.Best, c.best, a.Advice)
		}
	}
}

func TestTail(t *testing.T) {
	p := BenchmarkA()
	p.T = 1
	x := tensor.FromSlice([]float64{0.5}, 1, 1)
	o := TailOptions{Options: Options{Nodes: 512, Steps: 50}}
	up, err := SolveTail(p, 1, x, 0.5, o)
	if err != nil {
		t.Fatal(err)
	}
	at, err := SolveTailAt(p, 1, x, up.A, o)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "λ and I by the value", []float64{at.Lambda, at.Rate}, []float64{0.5, up.Rate}, 1e-4)
	down, err := SolveTailAt(p, 1, x, 2*up.Typical-up.A, o)
	if err != nil || down.Lambda >= 0 || down.Rate <= 0 {
		t.Fatalf("the lower tail: %+v %v", down, err)
	}
	o.Quenched = true
	quenched, err := SolveTailAt(p, 1, x, up.A, o)
	if err != nil {
		t.Fatal(err)
	}
	if quenched.Rate < up.Rate || quenched.RateInit != 0 {
		t.Errorf("quenched rate %g, annealed %g", quenched.Rate, up.Rate)
	}
	// The scenario: relative weights have mean 1 over the data, and the favoured neurons come first.
	s := up.Scenario(5)
	for i := range s.Times {
		var sum float64
		for _, r := range s.Data[i] {
			sum += r / 8
		}
		near(t, "mean weight of the data", []float64{sum}, []float64{1}, 1e-12)
	}
	if len(s.Neurons) != 10 || s.Neurons[0].Weight <= 1 || s.Neurons[9].Weight >= 1 || len(s.Mean) != 3 {
		t.Errorf("scenario %+v", s)
	}
	// A batch of two halves the fluctuations of the data: the rate per neuron rises.
	p.Batch = 2
	o.Quenched = false
	two, err := SolveTailAt(p, 1, x, up.A, o)
	if err != nil || two.Rate < 1.5*up.Rate {
		t.Errorf("batch 2: rate %+v %v, batch 1: %g", two.Rate, err, up.Rate)
	}
	o.MaxSweeps = 2
	if _, err := SolveTail(p, 1, x, 5, o); err == nil {
		t.Error("two sweeps do not settle")
	}
	p.Sampling = Reshuffled
	if _, err := SolveTail(p, 1, x, 0.5, o); err == nil {
		t.Error("reshuffled epochs have no rate")
	}
}

func BenchmarkPredict(b *testing.B) {
	for b.Loop() {
		if _, err := Predict(BenchmarkA(), Width{1000, 1}, BenchmarkTest(), PredictOptions{Options: Options{Nodes: 2048, Steps: 300}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTail(b *testing.B) {
	p := BenchmarkA()
	p.T = 1
	for b.Loop() {
		if _, err := SolveTail(p, 1, tensor.FromSlice([]float64{0.5}, 1, 1), 1, TailOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
