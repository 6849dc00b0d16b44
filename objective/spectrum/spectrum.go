package spectrum

import (
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// Operator is a symmetric matrix A of order Size, given by its product with a vector, and optionally a metric.
type Operator struct {
	Size int
	// Precision is the distance of 1 to the next number in the arithmetic of the products.
	Precision float64
	// Apply stores A v in dst.
	Apply func(dst, v []float64) error
	// Metric stores M v in dst, M symmetric positive definite; the eigenvalues are those of M A. nil: A's own.
	Metric func(dst, v []float64) error
}

// Hessian is the Hessian of f at theta, which must stay as it is.
func Hessian[T tensor.Float](f objective.Curvature[T], theta []T) Operator {
	return products(theta, func(v, out []T) error { return f.HVP(theta, v, out) })
}

// GaussNewton is the generalised Gauss–Newton matrix of f at theta, which must stay as it is.
func GaussNewton[T tensor.Float](f objective.Curvature[T], theta []T) Operator {
	return products(theta, func(v, out []T) error { return f.GGNVP(theta, v, out) })
}

func products[T tensor.Float](theta []T, product func(v, out []T) error) Operator {
	n := len(theta)
	x, y := make([]T, n), make([]T, n)
	return Operator{Size: n, Precision: precision[T](), Apply: func(dst, v []float64) error {
		convert(x, v)
		if err := product(x, y); err != nil {
			return err
		}
		convert(dst, y)
		return nil
	}}
}

// InMetric returns the operator whose eigenvalues are those of M A; apply replaces v by M v.
func InMetric[T tensor.Float](a Operator, apply func(v []T)) Operator {
	x := make([]T, a.Size)
	a.Precision = max(a.Precision, precision[T]())
	a.Metric = func(dst, v []float64) error {
		convert(x, v)
		apply(x)
		convert(dst, x)
		return nil
	}
	return a
}

// Change is a change of variables θ = P z, as optim.Preconditioner is one.
type Change[T tensor.Float] interface {
	MulP(v []T)  // replaces v by P v
	MulPT(v []T) // replaces v by Pᵀ v
}

// Between returns PᵀA P, the curvature in the variables z.
func Between[T tensor.Float](a Operator, p Change[T]) Operator {
	x, y := make([]T, a.Size), make([]float64, a.Size)
	inner := a.Apply
	a.Precision = max(a.Precision, precision[T]())
	a.Apply = func(dst, v []float64) error {
		convert(x, v)
		p.MulP(x)
		convert(y, x)
		if err := inner(dst, y); err != nil {
			return err
		}
		convert(x, dst)
		p.MulPT(x)
		convert(dst, x)
		return nil
	}
	return a
}

// Damped returns A + δI.
func Damped(a Operator, delta float64) Operator {
	inner := a.Apply
	a.Apply = func(dst, v []float64) error {
		if err := inner(dst, v); err != nil {
			return err
		}
		for i, x := range v {
			dst[i] += delta * x
		}
		return nil
	}
	return a
}

func convert[A, B tensor.Float](dst []A, src []B) {
	for i, v := range src {
		dst[i] = A(v)
	}
}

func precision[T tensor.Float]() float64 {
	if _, single := any(T(0)).(float32); single {
		return 0x1p-23
	}
	return 0x1p-52
}

// Options say how carefully to measure. A zero field has the default stated there.
type Options struct {
	Steps   int        // dimensions of the Krylov space, at most 100; 0: 30
	Samples int        // of the trace; 0: 10
	Key     tensor.Key // of start and samples
	Memory  int        // bytes for the vectors of the Krylov space, which has fewer dimensions where they do not fit, but at least 8; 0: 512 MiB
}

// Estimate is a number with its error.
type Estimate struct{ Value, Error float64 }

// Spectrum is what was measured. See the package text for what each number means.
type Spectrum struct {
	Max, Min Estimate // extreme Ritz values; an eigenvalue lies within Error
	Trace    Estimate // Hutchinson's; Error is the standard error, NaN for one sample
	// Condition is Max over Min, or over Floor where that is greater: a lower bound of the condition number. NaN where Min is
	// below −Floor.
	Condition float64
	Spread    float64     // Max over the mean eigenvalue tr/n
	Dimension float64     // (tr A)²/tr A²; NaN in a metric
	Ritz      linalg.Ritz // all of them
	Floor     float64     // 16 Operator.Precision times the largest in size: values closer to zero are rounding
	Products  int         // with A
}

const mostSteps = 100

// Measure returns the spectrum of a. The error is one of its products. It panics if a is of order 0.
func Measure(pool *tensor.Pool, a Operator, o Options) (Spectrum, error) {
	n, kept := a.Size, 1
	if a.Metric != nil {
		kept = 2
	}
	steps, samples, memory := o.Steps, o.Samples, o.Memory
	if steps == 0 {
		steps = 30
	}
	if samples == 0 {
		samples = 10
	}
	if memory == 0 {
		memory = 512 << 20
	}
	steps = min(steps, mostSteps, max(8, memory/(8*kept*n)), n)

	ws := tensor.NewWorkspace[float64](pool)
	s := Spectrum{}
	apply := func(dst, v []float64) error { s.Products++; return a.Apply(dst, v) }
	start := make([]float64, n)
	tensor.Normal(o.Key.Named("start"), start, 0, 1)
	var err error
	if s.Ritz, err = linalg.Lanczos(ws, apply, a.Metric, start, steps); err != nil {
		return s, err
	}
	s.extremes(a)
	if err := s.trace(ws, a, apply, samples, o.Key.Named("trace"), start); err != nil {
		return s, err
	}
	s.Spread = s.Max.Value / (s.Trace.Value / float64(n))
	return s, nil
}

// extremes reads the extreme eigenvalues and the condition number off the Ritz values.
func (s *Spectrum) extremes(a Operator) {
	r, last := s.Ritz, len(s.Ritz.Values)-1
	s.Max, s.Min = Estimate{r.Values[last], r.Errors[last]}, Estimate{r.Values[0], r.Errors[0]}
	// Rounding in a product is some multiple of the precision times the norm; 16 covers the networks of the tests.
	s.Floor = 16 * a.Precision * max(math.Abs(s.Max.Value), math.Abs(s.Min.Value))
	s.Condition = math.NaN()
	if s.Min.Value >= -s.Floor && s.Floor > 0 {
		s.Condition = s.Max.Value / max(s.Min.Value, s.Floor)
	}
}

// trace estimates tr M A by the mean of zᵀM A z over vectors z of random signs, and tr A² by that of ‖A z‖²
// (Hutchinson, 1989). u is storage.
func (s *Spectrum) trace(ws *tensor.Workspace[float64], a Operator, apply func(dst, v []float64) error, samples int, key tensor.Key, u []float64) error {
	z, m := make([]float64, a.Size), u
	if a.Metric != nil {
		m = make([]float64, a.Size)
	}
	var sum, squares, second float64
	for i := range samples {
		signs(key.Fold(uint64(i)), z)
		if err := apply(u, z); err != nil {
			return err
		}
		if a.Metric != nil {
			if err := a.Metric(m, u); err != nil {
				return err
			}
		}
		x := tensor.Dot(ws, tensor.FromSlice(z, len(z)), tensor.FromSlice(m, len(z)))
		sum += x
		squares += x * x
		second += tensor.Dot(ws, tensor.FromSlice(u, len(z)), tensor.FromSlice(u, len(z)))
	}
	n := float64(samples)
	s.Trace = Estimate{sum / n, math.Sqrt(max(0, squares-sum*sum/n) / (n - 1) / n)}
	if samples == 1 {
		s.Trace.Error = math.NaN()
	}
	s.Dimension = math.NaN()
	if a.Metric == nil {
		s.Dimension = s.Trace.Value * s.Trace.Value / (second / n)
	}
	return nil
}

// signs fills z with independent random signs.
func signs(key tensor.Key, z []float64) {
	for i := range z {
		z[i] = 1 - 2*float64(key.Uint64(uint64(i>>6))>>(i&63)&1)
	}
}
