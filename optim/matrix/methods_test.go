package matrix_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/matrix"
	"github.com/descent-ml/descent/tensor"
)

// entry returns the vector of a method's state with the given name.
func entry(t *testing.T, m optim.Method[float64], name string) []float64 {
	t.Helper()
	for _, e := range m.State() {
		if e.Name == name || strings.HasSuffix(e.Name, "."+name) {
			return e.Vector
		}
	}
	t.Fatalf("no state %q", name)
	return nil
}

// count returns the counter of a method's state with the given name.
func count(t *testing.T, m optim.Method[float64], name string) int64 {
	t.Helper()
	for _, e := range m.State() {
		if e.Int != nil && strings.HasSuffix(e.Name, name) {
			return *e.Int
		}
	}
	t.Fatalf("no counter %q", name)
	return 0
}

// TestSPlusStep: the first step is −lr·2/(in+out)·U Vᵀ, whatever the size of the gradient.
func TestSPlusStep(t *testing.T) {
	for _, size := range []float64{1e-9, 1, 1e9} {
		const n = 7
		layout := single(n, n)
		g := noise(21, 1, n*n)
		want := polar(g[0], n, n)
		for i := range want {
			g[0][i] *= size
			want[i] *= -0.5 * 2 / (2 * n)
		}
		step := follow(t, must(t, "splus", layout, settings{"lr": 0.5, "weight-decay": 0}), layout, &stream{gradients: g}, make([]float64, n*n), 1)[0]
		near(t, fmt.Sprintf("gradient of size %g", size), step, want, 1e-10)
	}
}

// TestSPlusSign: in the bases every element of a step has the same size, once the gradients differ.
func TestSPlusSign(t *testing.T) {
	const in, out, steps = 6, 4, 12
	layout := single(in, out)
	m := must(t, "splus", layout, settings{"lr": 1, "weight-decay": 0, "every": 1e6})
	p := follow(t, m, layout, &stream{gradients: noise(22, steps, in*out)}, make([]float64, in*out), steps)
	ws := tensor.NewWorkspace[float64](nil)
	left, right := tensor.FromSlice(entry(t, m, "rows.basis"), in, in), tensor.FromSlice(entry(t, m, "cols.basis"), out, out)
	d, a := tensor.New[float64](in, out), tensor.New[float64](in, out)
	for i := range p[0] {
		d.Data()[i] = p[steps-1][i] - p[steps-2][i]
	}
	tensor.MatMul(ws, a, left, d, true, false)
	tensor.MatMul(ws, d, a, right, false, false)
	for i, v := range d.Data() {
		if e := math.Abs(math.Abs(v) - 2./(in+out)); !(e <= 1e-12) {
			t.Errorf("element %d of the step in the bases is %v, expected ±%v", i, v, 2./(in+out))
		}
	}
}

// TestSPlusAverage: what is evaluated is the average of the parameters with decay 0.999, weighted from the first.
func TestSPlusAverage(t *testing.T) {
	const in, out, steps = 4, 3, 30
	layout := single(in, out)
	m := must(t, "splus", layout, nil)
	p := follow(t, m, layout, &stream{gradients: noise(23, steps, in*out), pull: 0.3}, noise(24, 1, in*out)[0], steps)
	want, weight := make([]float64, in*out), 0.0
	for k := range p {
		w := math.Pow(0.999, float64(steps-1-k))
		weight += w
		for i, v := range p[k] {
			want[i] += w * v
		}
	}
	for i := range want {
		want[i] /= weight
	}
	got := make([]float64, in*out)
	m.(optim.Evaluated[float64]).EvalParams(got, p[steps-1])
	near(t, "average", got, want, 1e-13)
}

// TestSPlusScale: a factor of the loss changes nothing where the gradients differ.
func TestSPlusScale(t *testing.T) {
	const in, out, steps = 5, 4, 30
	layout := single(in, out)
	g := noise(25, steps, in*out)
	from := make([]float64, in*out)
	want := follow(t, must(t, "splus", layout, nil), layout, &stream{gradients: g}, from, steps)
	for _, row := range g {
		for i := range row {
			row[i] *= 700
		}
	}
	got := follow(t, must(t, "splus", layout, nil), layout, &stream{gradients: g}, from, steps)
	near(t, "loss times 700", got[steps-1], want[steps-1], 1e-11)
}

// TestKronWhitens: gradients C Z D with independent Z become white, up to the noise of the fit; the second moments of C Z have
// the condition 0.3⁻⁶ = 1400.
func TestKronWhitens(t *testing.T) {
	const in, out, steps, last = 4, 3, 5000, 3000
	layout := single(in, out)
	ws := tensor.NewWorkspace[float64](nil)
	c, d := orthogonal(t, 31, in), orthogonal(t, 32, out)
	for i := range in {
		tensor.Scale(ws, tensor.FromSlice(c.Data()[i*in:(i+1)*in], in), tensor.FromSlice(c.Data()[i*in:(i+1)*in], in), math.Pow(0.3, float64(i)))
	}
	for i := range out {
		d.Set(d.At(0, i)*4, 0, i)
	}
	g := noise(33, steps, in*out)
	plain := make([]float64, in*out*in*out)
	moment := func(sum, x []float64) {
		for i, v := range x {
			for j, w := range x {
				sum[i*len(x)+j] += v * w
			}
		}
	}
	for _, row := range g {
		z, a := tensor.FromSlice(row, in, out), tensor.New[float64](in, out)
		tensor.MatMul(ws, a, c, z, false, false)
		tensor.MatMul(ws, z, a, d, false, false)
		moment(plain, row)
	}
	m := must(t, "psgd-kron", layout, settings{"lr": 1, "momentum": 0, "precond-lr": 0.03, "flat": steps, "clip": 1e6, "weight-decay": 0})
	p := follow(t, m, layout, &stream{gradients: g}, make([]float64, in*out), steps)
	white := make([]float64, in*out*in*out)
	for k := steps - last; k < steps; k++ {
		step := make([]float64, in*out)
		for i := range step {
			step[i] = p[k][i] - p[k-1][i]
		}
		moment(white, step)
	}
	distance := func(sum []float64, n int) float64 {
		e, trace := 0.0, 0.0
		for i := range n {
			trace += sum[i*n+i]
		}
		for i := range n {
			for j := range n {
				x := sum[i*n+j] / trace * float64(n)
				if i == j {
					x--
				}
				e += x * x
			}
		}
		return math.Sqrt(e / float64(n))
	}
	before, after := distance(plain, in*out), distance(white, in*out)
	trace := 0.0
	for i := range in * out {
		trace += white[i*in*out+i] / last / (in * out)
	}
	t.Logf("distance of the second moments from I: %.3f, whitened %.3f; mean square %.3f", before, after, trace)
	if !(after <= 0.2) || !(before >= 1) || !(math.Abs(trace-1) <= 0.1) {
		t.Errorf("distance of the second moments from I: %.3f, whitened %.3f, expected at least 1 and at most 0.2; mean square %.3f, expected 1", before, after, trace)
	}
}

// TestKronClips: no step of a matrix has a root mean square above clip·lr, and an unlimited first one has 1.
func TestKronClips(t *testing.T) {
	const in, out, steps = 6, 5, 60
	layout := single(in, out)
	g := noise(41, steps, in*out)
	for i := range g[30] {
		g[30][i] *= 1e4
	}
	largest := func(clip float64) (first, most float64) {
		p := follow(t, must(t, "psgd-kron", layout, settings{"lr": 1, "clip": clip, "weight-decay": 0, "refresh": 0, "flat": 20}), layout, &stream{gradients: g}, make([]float64, in*out), steps)
		last := make([]float64, in*out)
		for k := range p {
			sum := 0.0
			for i, v := range p[k] {
				sum += (v - last[i]) * (v - last[i])
			}
			rms := math.Sqrt(sum / (in * out))
			if k == 0 {
				first = rms
			}
			most, last = math.Max(most, rms), p[k]
		}
		return first, most
	}
	if _, most := largest(1.1); !(most <= 1.1*(1+1e-12)) || !(most >= 1.1*(1-1e-12)) {
		t.Errorf("the largest root mean square is %v, expected 1.1", most)
	}
	if _, most := largest(1e6); !(most > 100) {
		t.Errorf("the largest root mean square without a limit is %v, expected an outlier", most)
	}
	m := must(t, "psgd-kron", layout, settings{"lr": 1, "weight-decay": 0, "flat": 0, "refresh": 0})
	step := follow(t, m, layout, &stream{gradients: g}, make([]float64, in*out), 1)[0]
	sum := 0.0
	for _, v := range step {
		sum += v * v
	}
	if rms := math.Sqrt(sum / (in * out)); !(math.Abs(rms-1) <= 1e-12) {
		t.Errorf("the first step's root mean square is %v before the factors have moved, expected 1", rms)
	}
}

// TestKronRefreshes: every step of the first k changes the factors, later ones with the probability of the schedule; the factors stay
// triangular, and the seed decides which steps.
func TestKronRefreshes(t *testing.T) {
	const in, out, steps, flat = 3, 2, 4000, 100
	layout := single(in, out)
	run := func(seed float64) (moved []int, q []float64) {
		m := must(t, "psgd-kron", layout, settings{"flat": flat, "refresh": 0.05, "seed": seed})
		params := make([]float64, in*out)
		o := objective.New[float64](&stream{gradients: noise(51, 7, in*out)}, layout, params)
		before := append([]float64(nil), entry(t, m, "rows.q")...)
		for k := range steps {
			o.SetProgress(objective.Progress{Step: int64(k), Batch: 1})
			if _, err := m.Step(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			q = entry(t, m, "rows.q")
			if q[0] != before[0] || q[in*in-1] != before[in*in-1] {
				moved = append(moved, k+1)
			}
			copy(before, q)
		}
		return moved, q
	}
	moved, q := run(0)
	for k := range flat {
		if moved[k] != k+1 {
			t.Fatalf("refresh %d is in step %d", k+1, moved[k])
		}
	}
	expected, variance := 0.0, 0.0
	for k := flat + 1; k <= steps; k++ {
		p := math.Max(0.05, math.Exp(-float64(k-flat)/(2*flat)))
		expected += p
		variance += p * (1 - p)
	}
	if got := float64(len(moved) - flat); math.Abs(got-expected) > 4*math.Sqrt(variance) {
		t.Errorf("%g refreshes after the first %d steps, expected %.0f ± %.0f", got, flat, expected, math.Sqrt(variance))
	}
	for i := range in {
		for j := range i {
			if q[i*in+j] != 0 {
				t.Errorf("element (%d, %d) of Q₁ is %v", i, j, q[i*in+j])
			}
		}
	}
	if other, _ := run(1); fmt.Sprint(other) == fmt.Sprint(moved) {
		t.Error("another seed refreshes in the same steps")
	}
}

// TestKeepsLastGood: after a refresh that failed, roots, bases and triangular factors are those of the last that did not, and one is counted.
func TestKeepsLastGood(t *testing.T) {
	const in, out = 4, 3
	layout := single(in, out)
	for _, c := range []struct{ method, spoil, keeps string }{
		{"shampoo", "rows.factor", "rows.root"}, {"caspr", "rows.factor", "rows.root"}, {"soap", "rows.factor", "rows.basis"},
		{"splus", "rows.factor", "rows.basis"}, {"psgd-kron", "rows.q", "cols.q"},
	} {
		set := settings{}
		if c.method != "psgd-kron" {
			set["every"] = 1
		}
		m := must(t, c.method, layout, set)
		f := &stream{gradients: noise(61, 10, in*out)}
		params := follow(t, m, layout, f, make([]float64, in*out), 3)[2]
		good := append([]float64(nil), entry(t, m, c.keeps)...)
		entry(t, m, c.spoil)[0] = math.NaN()
		o := objective.New[float64](f, layout, params)
		o.SetProgress(objective.Progress{Step: 3, Batch: 1})
		if _, err := m.Step(context.Background(), o); err != nil {
			t.Fatalf("%s: %v", c.method, err)
		}
		near(t, c.method+", "+c.keeps, entry(t, m, c.keeps), good, 0)
		if n := count(t, m, "failures"); n != 1 {
			t.Errorf("%s: %d failures, expected 1", c.method, n)
		}
	}
}

// TestTolerance: where the factors' eigenvectors do not change, Shampoo with a tolerance computes them once and its steps are those
// without; where they do, it computes them again.
func TestTolerance(t *testing.T) {
	const in, out, steps = 6, 4, 60
	layout := single(in, out)
	same := make([][]float64, steps)
	for k := range same {
		same[k] = noise(71, 1, in*out)[0]
		for i := range same[k] {
			same[k][i] *= 1 + 0.5*math.Sin(float64(k))
		}
	}
	for _, name := range []string{"shampoo", "caspr"} {
		want := follow(t, must(t, name, layout, nil), layout, &stream{gradients: same}, make([]float64, in*out), steps)
		m := must(t, name, layout, settings{"tolerance": 1e-6})
		got := follow(t, m, layout, &stream{gradients: same}, make([]float64, in*out), steps)
		near(t, name, got[steps-1], want[steps-1], 1e-10)
		// Renewals in steps 1, 2, 4, 5, 10, …, 60: 15 of two sides; all but the first keep the bases.
		if n := count(t, m, "kept"); n != 2*14 {
			t.Errorf("%s: %d renewals kept the bases, expected 28", name, n)
		}
		m = must(t, name, layout, settings{"tolerance": 1e-6})
		follow(t, m, layout, &stream{gradients: noise(72, steps, in*out)}, make([]float64, in*out), steps)
		if n := count(t, m, "kept"); n != 0 {
			t.Errorf("%s: %d renewals kept bases that had changed", name, n)
		}
	}
}

// TestEarlyRenewals: roots are renewed in steps 1, 2, 4, every fifth of the first hundred and every tenth later.
func TestEarlyRenewals(t *testing.T) {
	const in, out, steps = 3, 2, 140
	layout := single(in, out)
	m := must(t, "shampoo", layout, nil)
	o := objective.New[float64](&stream{gradients: noise(81, 13, in*out)}, layout, make([]float64, in*out))
	var before []float64
	for k := 1; k <= steps; k++ {
		o.SetProgress(objective.Progress{Step: int64(k - 1), Batch: 1})
		before = append(before[:0], entry(t, m, "rows.root")...)
		if _, err := m.Step(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		moved := before[0] != entry(t, m, "rows.root")[0]
		want := k == 1 || k == 2 || k == 4 || k <= 100 && k%5 == 0 || k%10 == 0
		if moved != want {
			t.Errorf("step %d: renewed %v, expected %v", k, moved, want)
		}
	}
}

// TestCost: the numbers that a description claims are those of the state, and the products grow with the cube of the width.
func TestCost(t *testing.T) {
	layout := func(n int) *nn.Layout {
		l := new(nn.Layout)
		l.Add(nn.Param{Name: "a", Shape: tensor.ShapeOf(3*n, 2*n), Kind: nn.Weight})
		l.Add(nn.Param{Name: "b", Shape: tensor.ShapeOf(2 * n), Kind: nn.Bias})
		l.Add(nn.Param{Name: "c", Shape: tensor.ShapeOf(2*n, 5), Kind: nn.Weight})
		l.Add(nn.Param{Name: "e", Shape: tensor.ShapeOf(7, n), Kind: nn.Embedding})
		return l
	}
	for _, s := range matrix.Table[float64]() {
		for _, given := range []settings{nil, {"ema": 0.9, "accumulate": 3}, {"max-dim": 20}, {"block": 7}, {"tolerance": 0.1}, {"graft": 0}, {"graft": 1}, {"output-layer": 1}} {
			full, err := s.Complete(given)
			if err != nil {
				continue // a setting of other methods
			}
			l := layout(8)
			m, err := s.Make(optim.Env{Layout: l}, given)
			if err != nil {
				t.Fatal(err)
			}
			have := 0
			for _, e := range m.State() {
				have += len(e.Vector)
			}
			if got := s.CostOn(l, full, 64).Numbers; got != float64(have) {
				t.Errorf("%s %v: described as %g numbers, the state has %d", s.Name, given, got, have)
			}
		}
		small, large := s.CostOn(layout(100), s.Defaults(), 64).Flops, s.CostOn(layout(200), s.Defaults(), 64).Flops
		if ratio := large / small; !(ratio > 7 && ratio < 8.1) {
			t.Errorf("%s: twice the width costs %.2f times the flops", s.Name, ratio)
		}
	}
}
