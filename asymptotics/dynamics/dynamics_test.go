package dynamics_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/asymptotics/dynamics"
	"github.com/descent-ml/descent/asymptotics/kernel"
	"github.com/descent-ml/descent/tensor"
)

// reference is the recurrent network of the checks: tanh, B = 0.9 tanh W, an autoregression with target 0.8 x_k - 0.5 x_{k-1}.
func reference() dynamics.RNN {
	return dynamics.RNN{Sigma: dynamics.Tanh(), Memory: dynamics.Memory{Coupled: true, Scale: 0.9}, Beta: 0.5, Alpha: 1,
		Data: dynamics.AR{Phi: 0.5, SD: 1, Now: 0.8, Past: -0.5}}
}

// comparison is what simulation and limit say at the test points.
type comparison struct {
	meanError, forgetful float64 // root mean squares over the points
	meanSE               float64
	varianceRatio        float64 // of sums
}

func compare(t *testing.T, r dynamics.RNN, width, replicates, samples int) comparison {
	t.Helper()
	pool := tensor.NewPool(0)
	defer pool.Close()
	const burn, points = 60, 12
	const T = 8
	test := dynamics.PathOf(r.Data, tensor.KeyOf(21), burn+points)
	s, err := r.Stationary(tensor.KeyOf(4), samples, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if w := s.Check(); len(w) > 0 {
		t.Errorf("warnings %q", w)
	}
	sim, err := r.Simulate(pool, tensor.KeyOf(5), width, replicates, T, test, burn)
	if err != nil {
		t.Fatal(err)
	}
	predict := func(forget bool) kernel.Prediction {
		l, err := s.Limit(pool, forget)
		if err != nil {
			t.Fatal(err)
		}
		return l.Predict(pool, test, burn, T)
	}
	with, without := predict(false), predict(true)
	var c comparison
	var simulated, predicted, se float64
	for j := range points {
		var mean, sq float64
		for i := range replicates {
			mean += sim.Outputs.At(i, j) / float64(replicates)
		}
		for i := range replicates {
			sq += math.Pow(sim.Outputs.At(i, j)-mean, 2) / float64(replicates-1)
		}
		c.meanError += math.Pow(mean-with.Mean.Data()[j], 2) / points
		c.forgetful += math.Pow(mean-without.Mean.Data()[j], 2) / points
		se += sq / float64(replicates) / points
		simulated += sq
		if !with.Cov.IsZero() {
			predicted += with.Cov.At(j, j)
		}
	}
	c.meanError, c.forgetful, c.meanSE = math.Sqrt(c.meanError), math.Sqrt(c.forgetful), math.Sqrt(se)
	c.varianceRatio = simulated / predicted
	t.Logf("N = %d, R = %d: mean error %.4f (s.e. %.4f), without memory %.4f; variance %.5f, predicted %.5f, ratio of sums %.3f",
		width, replicates, c.meanError, c.meanSE, c.forgetful, simulated/points, predicted/points, c.varianceRatio)
	return c
}

// TestRNN is checks R1 and R2 with fewer replicates and samples; the slow tests have the full ones.
func TestRNN(t *testing.T) {
	c := compare(t, reference(), 400, 250, 20000)
	if c.meanError > 0.008+2*c.meanSE {
		t.Errorf("R1: mean error %.4f ± %.4f, want at most 0.008", c.meanError, c.meanSE)
	}
	if c.forgetful < 3*c.meanError {
		t.Errorf("R1: a kernel without memory has the error %.4f beside %.4f, want three times as much", c.forgetful, c.meanError)
	}
	if c.varianceRatio < 0.85 || c.varianceRatio > 1.25 {
		t.Errorf("R2: ratio of variances %.3f", c.varianceRatio)
	}
}

// TestNoMemory is check R3: with σ odd and B independent of W the memory is zero and the warning comes; with a coupled B, a sigmoid or a mean
// of B it does not.
func TestNoMemory(t *testing.T) {
	r := reference()
	r.Memory = dynamics.Memory{SD: 0.5}
	sd := func(r dynamics.RNN) (float64, string) {
		s, err := r.Stationary(tensor.KeyOf(1), 50, 2, 512)
		if err != nil {
			t.Fatal(err)
		}
		return s.MemorySD, strings.Join(s.Check(), "; ")
	}
	if v, w := sd(r); v >= 1e-8 || !strings.Contains(w, "no memory") || !strings.Contains(w, "odd") {
		t.Errorf("sd(u) = %g, warnings %q", v, w)
	}
	other := r
	other.Memory.Mean = 0.4
	// With σ odd and W symmetric, <σ(Wx + u)> depends on x only through u: u → 0 from u = 0.
	if v, w := sd(other); v >= 1e-8 || !strings.Contains(w, "no memory") {
		t.Errorf("mean of B: sd(u) = %g, warnings %q", v, w)
	}
	other.Sigma = dynamics.Sigmoid()
	if v, w := sd(other); v < 1e-8 || w != "" {
		t.Errorf("sigmoid with a mean of B: sd(u) = %g, warnings %q", v, w)
	}
	strong := reference()
	strong.Memory.Scale = 5
	if _, w := sd(strong); !strings.Contains(w, "not below 1") {
		t.Errorf("B too large: warnings %q", w)
	}
}

// TestTruncation: the bias of truncated gradients falls with τ about like the contraction, and is zero when all is kept.
func TestTruncation(t *testing.T) {
	r := reference()
	r.Beta = 0.75
	out, err := r.Truncation(tensor.KeyOf(3), 50, 20000, []int{0, 1, 2, 4, 60})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range out.Rows {
		t.Logf("τ = %d: bias %.5g ± %.2g, floor %.2g", row.Tau, row.Bias, row.SE, row.Floor)
	}
	t.Logf("decay %.3f a step, contraction %.3f", math.Exp(out.Decay.Slope), out.Contraction)
	for i := 1; i < 4; i++ {
		if out.Rows[i].Bias >= out.Rows[i-1].Bias {
			t.Errorf("τ = %d has the bias %g, after %g", out.Rows[i].Tau, out.Rows[i].Bias, out.Rows[i-1].Bias)
		}
	}
	if out.Rows[0].Bias < 3*out.Rows[0].SE {
		t.Errorf("without the past the bias is %g ± %g: the test shows nothing", out.Rows[0].Bias, out.Rows[0].SE)
	}
	if last := out.Rows[4]; last.Bias > 1e-10 {
		t.Errorf("60 steps back the bias is %g", last.Bias)
	}
}

// TestSGDCT: the Lyapunov equation holds, the best constant is 1/H in one dimension, and too small a constant is an error.
func TestSGDCT(t *testing.T) {
	h := tensor.FromSlice([]float64{2, 0.5, 0.5, 1}, 2, 2)
	noise := tensor.FromSlice([]float64{1, -0.2, -0.2, 3}, 2, 2)
	s := dynamics.SGDCT{H: h, Noise: noise}
	const c = 1.3
	v, err := s.Covariance(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		for j := range 2 {
			left := -v.At(i, j)
			for k := range 2 {
				left += c * (h.At(i, k)*v.At(k, j) + v.At(i, k)*h.At(k, j))
			}
			if want := c * c * noise.At(i, j); math.Abs(left-want) > 1e-12 {
				t.Errorf("element (%d, %d) of the equation: %g, want %g", i, j, left, want)
			}
		}
	}
	best, tr, err := s.BestConstant()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []float64{-0.01, 0.01} {
		v, err := s.Covariance(best + d)
		if err != nil {
			t.Fatal(err)
		}
		if v.At(0, 0)+v.At(1, 1) <= tr {
			t.Errorf("C = %g has a smaller trace than the best, %g", best+d, best)
		}
	}
	one := dynamics.SGDCT{H: tensor.FromSlice([]float64{0.5}, 1, 1)}
	if c, tr, _ := one.BestConstant(); math.Abs(c-2) > 1e-6 || math.Abs(tr-2) > 1e-12 {
		t.Errorf("best constant %g with V = %g, want 2 and 2", c, tr)
	}
	if v, err := one.Covariance(4); err != nil || math.Abs(v.At(0, 0)-8.0/3) > 1e-12 {
		t.Errorf("V(4) = %v, error %v; want 8/3", v, err)
	}
	if _, err := one.Covariance(1); !errors.Is(err, dynamics.ErrStep) || !strings.Contains(err.Error(), "hint") {
		t.Errorf("a constant at the bound: error %v", err)
	}
}

// TestOU is check S1 with fewer and shorter paths; the slow tests have the full one.
func TestOU(t *testing.T) {
	o := dynamics.OU{C: 4, C0: 20, Time: 200, Dt: 0.05}
	row, mean, err := o.Simulate(nil, tensor.KeyOf(2), 2000)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v; mean error %.4f", row, mean)
	if math.Abs(row.Measured-row.Expected) > row.Threshold+2*row.SE {
		t.Errorf("%v", row)
	}
}

// TestSame: the same key gives the same bits for any number of workers.
func TestSame(t *testing.T) {
	r := reference()
	test := dynamics.PathOf(r.Data, tensor.KeyOf(1), 5)
	a, err := r.Simulate(tensor.NewPool(1), tensor.KeyOf(2), 20, 7, 1, test, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := r.Simulate(tensor.NewPool(3), tensor.KeyOf(2), 20, 7, 1, test, 2)
	for i, v := range a.Outputs.Data() {
		if v != b.Outputs.Data()[i] {
			t.Fatalf("output %d differs", i)
		}
	}
	r.Beta = 1
	if _, err := r.Simulate(nil, tensor.KeyOf(2), 20, 7, 1, test, 2); err == nil || !strings.Contains(err.Error(), "hint") {
		t.Errorf("β = 1: error %v", err)
	}
}
