package asymptotics

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/tensor"
)

func near(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	for k := range want {
		if !(math.Abs(got[k]-want[k]) <= tol) {
			t.Errorf("%s %d: found %.6g, expected %.6g ± %.2g", what, k+1, got[k], want[k], tol)
		}
	}
}

func diagonal(c tensor.Tensor[float64]) []float64 {
	d := make([]float64, c.Shape().Dim(0))
	for i := range d {
		d[i] = c.At(i, i)
	}
	return d
}

// TestReferenceCovariance compares both parts of N Cov with reference values at three horizons, from one solution with
// observables at three times.
func TestReferenceCovariance(t *testing.T) {
	pr, err := Predict(BenchmarkA(), Width{1, 1}, BenchmarkTest(), PredictOptions{Times: []float64{1, 2, 3}, Options: Options{Nodes: 8192, Steps: 150}})
	if err != nil {
		t.Fatal(err)
	}
	for j, T := range []float64{1, 2, 3} {
		near(t, "g", pr.Mean[j], referenceMean[T], 4e-4)
		// The reference's own error is 2 % of the initialisation part.
		for k, v := range diagonal(pr.Init[j]) {
			if want := referenceInit[T][k]; math.Abs(v-want) > 0.04*want {
				t.Errorf("T = %g, initialisation part %d: found %.5f, expected %.5f", T, k+1, v, want)
			}
		}
		for k, v := range diagonal(pr.Data[j]) {
			if want := referenceData[T][k]; math.Abs(v-want) > 0.01*want {
				t.Errorf("T = %g, data part %d: found %.5f, expected %.5f", T, k+1, v, want)
			}
		}
	}
	near(t, "covariance of points 1 and 2", []float64{pr.Init[2].At(0, 1), pr.Data[2].At(0, 1), pr.Data[2].At(0, 3)}, []float64{-.00290, .14428, -.05914}, 2.5e-3)
}

func TestReferenceKernel(t *testing.T) {
	p := BenchmarkA()
	k, err := NewKernelLimit(p, BenchmarkTest(), Options{Nodes: 1 << 14})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "kernel mean", k.Mean(2), referenceKernel, 3e-4)
	for i, v := range diagonal(k.Covariance(2)) {
		if want := referenceGauss[i]; math.Abs(v-want) > 0.03*want {
			t.Errorf("Gaussian part %d: found %.5f, expected %.5f", i+1, v, want)
		}
	}
	for i, v := range k.Spectrum() {
		if want := referenceModes[i]; math.Abs(4*v-want) > 0.02*want {
			t.Errorf("mode %d: found %.4g, expected %.4g", i+1, 4*v, want)
		}
	}
	p.Init.Output = SkewedOutput()
	if k, err = NewKernelLimit(p, BenchmarkTest(), Options{Nodes: 1 << 14}); err != nil {
		t.Fatal(err)
	}
	near(t, "kernel mean, skewed c", k.Mean(2), referenceSkewed, 4e-4)
}

// TestLargeScaleIsKernel checks that s → ∞ gives the kernel limit from the same nodes, mean and initialisation part.
func TestLargeScaleIsKernel(t *testing.T) {
	p := BenchmarkA()
	p.T = 2
	o := Options{Nodes: 1024, Steps: 200, Rule: Paired, Method: RK4}
	f, err := NewFlow(p, 1000, o)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKernelLimit(p, BenchmarkTest(), o)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean", f.Output(BenchmarkTest(), f.steps), k.Mean(2), 1e-6)
	got, want := f.Adjoint(BenchmarkTest()).Init, k.Covariance(2)
	ws := tensor.NewWorkspace[float64](nil)
	tensor.Scale(ws, got, got, 1e-6)
	for i := range want.Data() {
		if math.Abs(got.Data()[i]-want.Data()[i]) > 1e-4*want.At(3, 3) {
			t.Errorf("covariance element %d: found %g, expected %g", i, got.Data()[i], want.Data()[i])
		}
	}
}

// TestTimeChange is an exact identity: doubling the rate and halving the horizon leaves means and initialisation parts and
// doubles the data part.
func TestTimeChange(t *testing.T) {
	for _, m := range []Method{Heun, RK4} {
		p := BenchmarkA()
		p.Alpha = CosineRate(4, 0.2, p.T)
		f, err := NewFlow(p, 1.7, Options{Nodes: 300, Steps: 40, Method: m})
		if err != nil {
			t.Fatal(err)
		}
		g, err := NewFlow(p.LinearRule(2), 1.7, Options{Nodes: 300, Steps: 40, Method: m})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "mean", g.Output(BenchmarkTest(), 40), f.Output(BenchmarkTest(), 40), 1e-13)
		a, b := f.Adjoint(BenchmarkTest()), g.Adjoint(BenchmarkTest())
		near(t, "initialisation part", b.Init.Data(), a.Init.Data(), 1e-12)
		for i := range a.Data.Data() {
			if math.Abs(b.Data.Data()[i]-2*a.Data.Data()[i]) > 1e-11 {
				t.Errorf("data part %d: found %g, expected %g", i, b.Data.Data()[i], 2*a.Data.Data()[i])
			}
		}
	}
}

// TestOrder checks the orders of convergence in the time step of the output and of the covariance.
func TestOrder(t *testing.T) {
	for _, c := range []struct {
		m            Method
		coarse, fine int
		order        float64
	}{{Heun, 40, 80, 2}, {RK4, 10, 20, 4}} {
		value := func(steps int) float64 {
			f, err := NewFlow(BenchmarkA(), 1, Options{Nodes: 200, Steps: steps, Method: c.m})
			if err != nil {
				t.Fatal(err)
			}
			return f.Output(BenchmarkTest(), f.steps)[3]
		}
		exact := value(640)
		order := math.Log2(math.Abs(value(c.coarse)-exact) / math.Abs(value(c.fine)-exact))
		if math.Abs(order-c.order) > 0.4 {
			t.Errorf("method %d: order %.2f, expected %g", c.m, order, c.order)
		}
	}
}

// TestRecomputedStates checks that states that are computed again have the bits of stored ones.
func TestRecomputedStates(t *testing.T) {
	for _, m := range []Method{Heun, RK4} {
		o := Options{Nodes: 600, Steps: 50, Method: m}
		f, err := NewFlow(BenchmarkA(), 1, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Memory = 600 * 3 * 8 * 20
		g, err := NewFlow(BenchmarkA(), 1, o)
		if err != nil {
			t.Fatal(err)
		}
		if f.every != 1 || g.every < 3 {
			t.Fatalf("states stored every %d and %d steps", f.every, g.every)
		}
		a, b := f.Adjoint(BenchmarkTest()), g.Adjoint(BenchmarkTest())
		for i, v := range a.Psi.Data() {
			if b.Psi.Data()[i] != v {
				t.Fatalf("ψ₀ %d: %v and %v", i, v, b.Psi.Data()[i])
			}
		}
		near(t, "data part", b.Data.Data(), a.Data.Data(), 0)
	}
}

// TestWeightedData checks that an example of weight 2/M is two examples.
func TestWeightedData(t *testing.T) {
	p := BenchmarkA()
	x, y := p.X.Data(), p.Y
	p.X = tensor.FromSlice(append(append([]float64{}, x...), x[2]), 9, 1)
	p.Y = append(append([]float64{}, y...), y[2])
	q := BenchmarkA()
	q.Weight = []float64{1. / 9, 1. / 9, 2. / 9, 1. / 9, 1. / 9, 1. / 9, 1. / 9, 1. / 9, 1. / 9}[:8]
	f, err := NewFlow(p, 1.3, Options{Nodes: 256, Steps: 50})
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewFlow(q, 1.3, Options{Nodes: 256, Steps: 50})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean", g.Output(BenchmarkTest(), 50), f.Output(BenchmarkTest(), 50), 1e-13)
	a, b := f.Adjoint(BenchmarkTest()), g.Adjoint(BenchmarkTest())
	near(t, "data part", b.Data.Data(), a.Data.Data(), 1e-12)
	k, err := NewKernelLimit(p, BenchmarkTest(), Options{Nodes: 256})
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewKernelLimit(q, BenchmarkTest(), Options{Nodes: 256})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "kernel mean", l.Mean(2), k.Mean(2), 1e-12)
	near(t, "kernel covariance", l.Covariance(2).Data(), k.Covariance(2).Data(), 1e-12)
}

func TestBadInput(t *testing.T) {
	for name, spoil := range map[string]func(p *Problem){
		"targets":    func(p *Problem) { p.Y = p.Y[:3] },
		"a NaN":      func(p *Problem) { p.Y = append([]float64{math.NaN()}, p.Y[1:]...) },
		"horizon":    func(p *Problem) { p.T = 0 },
		"batch":      func(p *Problem) { p.Batch = 0 },
		"weights":    func(p *Problem) { p.Weight = make([]float64, 8) },
		"rate":       func(p *Problem) { p.Alpha = ConstantRate(-1) },
		"law":        func(p *Problem) { p.Init.Bias = nil },
		"activation": func(p *Problem) { p.Activation = Activation{} },
	} {
		p := BenchmarkA()
		spoil(&p)
		_, err := Predict(p, Width{100, 1}, BenchmarkTest(), PredictOptions{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, w := range []Width{{0, 1}, {100, 0.4}, {100, math.NaN()}} {
		if _, err := Predict(BenchmarkA(), w, BenchmarkTest(), PredictOptions{}); err == nil {
			t.Errorf("%v has no prediction", w)
		}
	}
	if _, err := Predict(BenchmarkA(), Width{100, 1}, BenchmarkTest(), PredictOptions{Times: []float64{4}}); err == nil {
		t.Error("time 4 is past the horizon")
	}
}

func TestFindings(t *testing.T) {
	has := func(fs []Finding, part string, sev Severity) bool {
		for _, f := range fs {
			if strings.Contains(f.String(), part) && f.Severity == sev && f.Holds != "" {
				return true
			}
		}
		return false
	}
	p := BenchmarkA()
	if fs := p.FindingsAt(Width{1000, 1}); len(fs) > 0 {
		t.Errorf("the reference problem is inside the theorems: %v", fs)
	}
	for _, c := range []struct {
		what  string
		sev   Severity
		width Width
		spoil func(p *Problem)
	}{
		{"unbounded", Warning, Width{1000, 1}, func(p *Problem) { p.Activation = ReLU() }},
		{"kink", Warning, Width{1000, 1}, func(p *Problem) { p.Activation = ReLU() }},
		{"not 0", Warning, Width{1000, 1}, func(p *Problem) { p.Init.Output = Uniform{0, 1} }},
		{"compact", Warning, Width{1000, 1}, func(p *Problem) { p.Init.Output = Normal{0, 1} }},
		{"N^-(1-γ)", Note, Width{1000, 1}, func(p *Problem) { p.Init.Output = SkewedOutput(); p.Activation = Softplus() }},
		{"first bias term vanishes", Note, Width{1000, 1}, func(p *Problem) { p.Init.Output = SkewedOutput() }},
		{"same inputs and different targets", Warning, Width{1000, 1}, nil},
		{"at least 1", Warning, Width{100, 1}, func(p *Problem) { p.Alpha = ConstantRate(1.5 * p.StabilityAt(100).RateOne) }},
		{"diverges", Refused, Width{1, 1}, func(p *Problem) { p.Alpha = ConstantRate(10) }},
		{"below 30", Warning, Width{20, 1}, func(p *Problem) {}},
		{"reshuffled epochs", Warning, Width{30, 1}, func(p *Problem) { p.Sampling = Reshuffled }},
	} {
		p := BenchmarkA()
		if c.spoil != nil {
			c.spoil(&p)
		} else {
			x := append([]float64(nil), p.X.Data()...)
			x[3] = x[5]
			p.X = tensor.FromSlice(x, 8, 1)
		}
		if fs := p.FindingsAt(c.width); !has(fs, c.what, c.sev) {
			t.Errorf("%q is missing in %v", c.what, fs)
		}
	}
}

// TestStability compares the power iteration and the diagonal with the matrix.
func TestStability(t *testing.T) {
	p := BenchmarkA()
	k, err := NewKernelLimit(p, BenchmarkTest(), Options{Nodes: 1024, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var diag float64
	for m := range 8 {
		diag = max(diag, k.Kernel().At(m, m))
	}
	top := k.Spectrum()[7]
	s := p.StabilityAt(100)
	near(t, "condition", []float64{s.OneSample, s.FullBatch, s.RateFull, s.MaxBatch}, []float64{4 * diag / 100, 4 * top / 100, 200 / top, 50 / top}, 1e-6)
}
