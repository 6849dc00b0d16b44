package spectrum_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/objective/spectrum"
	"github.com/descent-ml/descent/tensor"
)

// diagonal is the matrix of these eigenvalues, which are spread over the coordinates.
func diagonal(values []float64) spectrum.Operator {
	return spectrum.Operator{Size: len(values), Precision: 0x1p-52, Apply: func(dst, v []float64) error {
		for i, x := range v {
			dst[i] = values[i] * x
		}
		return nil
	}}
}

// householder is D with known eigenvalues seen through the reflection I − 2wwᵀ/wᵀw, so that its diagonal is not D's.
func householder(values []float64, seed uint64) spectrum.Operator {
	n := len(values)
	w := make([]float64, n)
	tensor.Normal(tensor.KeyOf(seed), w, 0, 1)
	square := 0.0
	for _, x := range w {
		square += x * x
	}
	reflect := func(v []float64) {
		dot := 0.0
		for i := range v {
			dot += w[i] * v[i]
		}
		for i := range v {
			v[i] -= 2 * dot / square * w[i]
		}
	}
	return spectrum.Operator{Size: n, Precision: 0x1p-52, Apply: func(dst, v []float64) error {
		copy(dst, v)
		reflect(dst)
		for i := range dst {
			dst[i] *= values[i]
		}
		reflect(dst)
		return nil
	}}
}

func near(t interface {
	Helper()
	Errorf(string, ...any)
}, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s: %v, want %v within %.2g", what, got, want, tol)
	}
}

// A positive definite matrix of few dimensions: everything is exact but the trace, which lies within 4 standard errors.
func TestKnownSpectrum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 30).Draw(t, "n")
		values, trace := make([]float64, n), 0.0
		at := 0.0
		for i := range values {
			at += rapid.Float64Range(0.1, 3).Draw(t, "gap")
			values[i] = at
			trace += at
		}
		// The seeds are those of the properties, not of a search for the worst: 4 standard errors are one in 16,000.
		s, err := spectrum.Measure(nil, householder(values, 7), spectrum.Options{Samples: 60, Key: tensor.KeyOf(11)})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "max", s.Max.Value, values[n-1], 1e-9*at)
		near(t, "min", s.Min.Value, values[0], 1e-9*at)
		near(t, "condition", s.Condition, values[n-1]/values[0], 1e-7*s.Condition)
		near(t, "trace", s.Trace.Value, trace, 4*s.Trace.Error+1e-9*trace)
		near(t, "spread", s.Spread, s.Max.Value/(s.Trace.Value/float64(n)), 1e-12*s.Spread)
	})
}

// The trace of a diagonal matrix has no error with random signs, and neither has the dimension.
func TestTraceOfDiagonal(t *testing.T) {
	s, err := spectrum.Measure(nil, diagonal([]float64{3, 3, 3, 0, 0}), spectrum.Options{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "trace", s.Trace.Value, 9, 1e-14)
	near(t, "error", s.Trace.Error, 0, 1e-7)
	near(t, "dimension", s.Dimension, 3, 1e-14)
	// Singular: the condition number is what the arithmetic resolves.
	near(t, "condition", s.Condition, 1/(16*0x1p-52), 1)
}

// The standard error is honest: over 200 keys the estimate lies within 2 standard errors of the trace in 90 to 100 of 100 cases.
func TestTraceError(t *testing.T) {
	values, trace, inside := make([]float64, 40), 0.0, 0
	for i := range values {
		values[i] = math.Pow(0.8, float64(i))
		trace += values[i]
	}
	for k := range 200 {
		s, err := spectrum.Measure(nil, householder(values, 5), spectrum.Options{Steps: 1, Samples: 30, Key: tensor.KeyOf(uint64(k))})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(s.Trace.Value-trace) <= 2*s.Trace.Error {
			inside++
		}
	}
	if inside < 180 {
		t.Errorf("%d of 200 estimates within two standard errors, want at least 180", inside)
	}
}

func TestIndefinite(t *testing.T) {
	s, err := spectrum.Measure(nil, diagonal([]float64{-2, 1, 5}), spectrum.Options{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "max", s.Max.Value, 5, 1e-12)
	near(t, "min", s.Min.Value, -2, 1e-12)
	if !math.IsNaN(s.Condition) {
		t.Errorf("condition %v of an indefinite matrix, want NaN", s.Condition)
	}
	s, err = spectrum.Measure(nil, spectrum.Damped(diagonal([]float64{0, 1, 5}), 0.5), spectrum.Options{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "damped condition", s.Condition, 5.5/0.5, 1e-9)
}

// scaling is P = diag(p), as a change of variables and as a metric P Pᵀ.
type scaling []float64

func (p scaling) MulP(v []float64) {
	for i := range v {
		v[i] *= p[i]
	}
}
func (p scaling) MulPT(v []float64) { p.MulP(v) }

// PᵀA P and A in the metric P Pᵀ have the same spectrum; P = A^−½ makes it one.
func TestPreconditioned(t *testing.T) {
	values, p := []float64{0.01, 0.5, 2, 30, 400}, scaling{3, 2, 1, 0.5, 0.2}
	a := householder(values, 9)
	between, err := spectrum.Measure(nil, spectrum.Between(a, spectrum.Change[float64](p)), spectrum.Options{Samples: 200})
	if err != nil {
		t.Fatal(err)
	}
	metric, err := spectrum.Measure(nil, spectrum.InMetric(a, func(v []float64) { p.MulP(v); p.MulP(v) }), spectrum.Options{Samples: 200})
	if err != nil {
		t.Fatal(err)
	}
	for i := range values {
		near(t, "eigenvalue", metric.Ritz.Values[i], between.Ritz.Values[i], 1e-9*between.Max.Value)
	}
	near(t, "trace", metric.Trace.Value, between.Trace.Value, 4*math.Hypot(metric.Trace.Error, between.Trace.Error))

	root := make(scaling, len(values))
	for i, v := range values {
		root[i] = 1 / math.Sqrt(v)
	}
	one, err := spectrum.Measure(nil, spectrum.Between(diagonal(values), spectrum.Change[float64](root)), spectrum.Options{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "condition of A^−½ A A^−½", one.Condition, 1, 1e-12)
}

// network returns a model with a batch of n examples of 4 inputs and 3 real targets.
func network(t *testing.T, pool *tensor.Pool, layers string, n int) (*objective.Network[float64], []float64) {
	t.Helper()
	m, err := nn.Build[float64](layers, nn.Options{Input: tensor.ShapeOf(4), Outputs: 3})
	if err != nil {
		t.Fatal(err)
	}
	loss, err := nn.LossByName[float64]("squared")
	if err != nil {
		t.Fatal(err)
	}
	net := objective.NewNetwork(m, loss, pool)
	theta := make([]float64, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(1), theta, net.State())
	x, y := tensor.New[float64](n, 4), tensor.New[float64](n, 3)
	tensor.Normal(tensor.KeyOf(2), x.Data(), 0.5, 1)
	tensor.Normal(tensor.KeyOf(3), y.Data(), 0, 1)
	net.SetBatch(x, nn.Target[float64]{Values: y})
	return net, theta
}

// form returns the matrix of an operator, column by column.
func form(t *testing.T, a spectrum.Operator) tensor.Tensor[float64] {
	t.Helper()
	m, e, c := tensor.New[float64](a.Size, a.Size), make([]float64, a.Size), make([]float64, a.Size)
	for j := range a.Size {
		clear(e)
		e[j] = 1
		if err := a.Apply(c, e); err != nil {
			t.Fatal(err)
		}
		for i, v := range c {
			m.Data()[i*a.Size+j] = v
		}
	}
	return m
}

func eigenvalues(t *testing.T, a tensor.Tensor[float64]) []float64 {
	t.Helper()
	values := make([]float64, a.Shape().Dim(0))
	if err := linalg.SymmetricEigen(tensor.NewWorkspace[float64](nil), values, tensor.Tensor[float64]{}, a); err != nil {
		t.Fatal(err)
	}
	return values
}

// Linear least squares: C = (1/n) X̄ᵀX̄ ⊗ I, the Hessian is the same, and its eigenvalues are those of X̄ᵀX̄/n with X̄ = [X, 1], each
// three times.
func TestLinearLeastSquares(t *testing.T) {
	net, theta := network(t, nil, "linear", 20)
	x := tensor.New[float64](20, 4)
	tensor.Normal(tensor.KeyOf(2), x.Data(), 0.5, 1)
	bar := tensor.New[float64](20, 5)
	tensor.Fill(bar, 1)
	for i := range 20 {
		copy(bar.Data()[i*5:], x.Data()[i*4:(i+1)*4])
	}
	gram := tensor.New[float64](5, 5)
	ws := tensor.NewWorkspace[float64](nil)
	tensor.MatMul(ws, gram, bar, bar, true, false)
	tensor.Scale(ws, gram, gram, 1/20.)
	want := eigenvalues(t, gram)
	trace := 0.0
	for _, v := range want {
		trace += 3 * v
	}
	for name, a := range map[string]spectrum.Operator{"Gauss–Newton": spectrum.GaussNewton(net, theta), "Hessian": spectrum.Hessian(net, theta)} {
		s, err := spectrum.Measure(nil, a, spectrum.Options{Steps: 100, Samples: 40})
		if err != nil {
			t.Fatal(err)
		}
		// Rounding shows some of the copies of an eigenvalue, or all.
		for _, v := range s.Ritz.Values {
			nearest := math.Inf(1)
			for _, w := range want {
				nearest = min(nearest, math.Abs(v-w))
			}
			near(t, name+" distance to an eigenvalue", nearest, 0, 1e-10*want[4])
		}
		near(t, name+" max", s.Max.Value, want[4], 1e-10*want[4])
		near(t, name+" min", s.Min.Value, want[0], 1e-10*want[4])
		near(t, name+" condition", s.Condition, want[4]/want[0], 1e-6*s.Condition)
		near(t, name+" trace", s.Trace.Value, trace, 4*s.Trace.Error)
	}
}

// A network against the matrix formed column by column.
func TestNetworkAgainstDense(t *testing.T) {
	net, theta := network(t, nil, "mlp:5,4", 30)
	for name, a := range map[string]spectrum.Operator{"Gauss–Newton": spectrum.GaussNewton(net, theta), "Hessian": spectrum.Hessian(net, theta)} {
		m := form(t, a)
		want, trace, square := eigenvalues(t, m), 0.0, 0.0
		for _, v := range want {
			trace += v
			square += v * v
		}
		s, err := spectrum.Measure(nil, a, spectrum.Options{Steps: 100, Samples: 100})
		if err != nil {
			t.Fatal(err)
		}
		near(t, name+" max", s.Max.Value, want[len(want)-1], 1e-10*want[len(want)-1])
		near(t, name+" min", s.Min.Value, want[0], 1e-10*want[len(want)-1])
		near(t, name+" trace", s.Trace.Value, trace, 4*s.Trace.Error)
		// ‖A z‖² has a spread like the trace's: a fifth is wide of four standard errors here.
		near(t, name+" dimension", s.Dimension, trace*trace/square, 0.2*s.Dimension)
		if len(s.Ritz.Values) > 20 {
			few, err := spectrum.Measure(nil, a, spectrum.Options{Steps: 20})
			if err != nil {
				t.Fatal(err)
			}
			near(t, name+" max of 20 steps", few.Max.Value, want[len(want)-1], 1e-6*want[len(want)-1])
		}
	}
}

// The same bits for every number of workers.
func TestBits(t *testing.T) {
	measure := func(workers int) spectrum.Spectrum {
		pool := tensor.NewPool(workers)
		defer pool.Close()
		net, theta := network(t, pool, "mlp:150,150", 40)
		s, err := spectrum.Measure(pool, spectrum.Hessian(net, theta), spectrum.Options{Steps: 10, Samples: 3})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one := measure(1)
	for _, workers := range []int{2, 5} {
		s := measure(workers)
		if s.Max != one.Max || s.Min != one.Min || s.Trace != one.Trace || s.Dimension != one.Dimension {
			t.Errorf("%d workers: %+v\none: %+v", workers, s, one)
		}
	}
}

// Vectors that do not fit the memory are fewer, but eight.
func TestMemory(t *testing.T) {
	values := make([]float64, 100)
	for i := range values {
		values[i] = float64(i)
	}
	for memory, want := range map[int]int{100 * 8 * 12: 12, 1: 8} {
		s, err := spectrum.Measure(nil, diagonal(values), spectrum.Options{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Ritz.Values) != want {
			t.Errorf("%d bytes: %d vectors, want %d", memory, len(s.Ritz.Values), want)
		}
	}
}

func TestErrorOfProducts(t *testing.T) {
	broken := errors.New("broken")
	a := diagonal([]float64{1, 2})
	a.Apply = func(_, _ []float64) error { return broken }
	if _, err := spectrum.Measure(nil, a, spectrum.Options{}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the operator's", err)
	}
}
