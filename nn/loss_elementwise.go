package nn

import (
	"fmt"
	"math"
	"strconv"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// Squared returns the loss ½ ‖z − y‖² of regression: summed over the outputs, mean over the examples.
// It is outputs/2 times torch's MSELoss with its default reduction, which takes the mean over both and no
// half; with this scale the Hessian is the identity and the loss a log-likelihood.
func Squared[T tensor.Float]() Loss[T] {
	return &elementwise[T]{
		name:      "squared",
		apply:     autodiff.SquaredError[T],
		value:     func(z, y float64) float64 { return (z - y) * (z - y) / 2 },
		curvature: func(z, y float64) float64 { return 1 },
		mean:      func(z float64) float64 { return z },
		sample:    func(z float64, key tensor.Key, i uint64) float64 { return z + key.Normal(i) },
		valid:     func(y float64) bool { return true },
	}
}

// Bernoulli returns the negative log-likelihood of outputs that are probabilities σ(z) of a one, summed
// over the outputs (torch: BCEWithLogitsLoss, reduction "sum", divided by the examples). Targets between
// 0 and 1 are allowed: pixels of an image.
func Bernoulli[T tensor.Float]() Loss[T] {
	sigmoid := func(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
	return &elementwise[T]{
		name:  "bernoulli",
		apply: autodiff.BernoulliNLL[T],
		value: func(z, y float64) float64 { return max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) - y*z },
		curvature: func(z, _ float64) float64 {
			e := math.Exp(-math.Abs(z))
			return e / ((1 + e) * (1 + e)) // σ(z) (1 − σ(z)), without cancellation
		},
		mean: sigmoid,
		sample: func(z float64, key tensor.Key, i uint64) float64 {
			if key.Float64(i) < sigmoid(z) {
				return 1
			}
			return 0
		},
		valid:    func(y float64) bool { return y >= 0 && y <= 1 },
		expected: "a number in [0, 1]",
	}
}

// Poisson returns the negative log-likelihood exp(z) − y z of counts y with rate exp(z), without the term
// log y! (torch: PoissonNLLLoss, log input, not full, summed over the outputs).
func Poisson[T tensor.Float]() Loss[T] {
	return &elementwise[T]{
		name:      "poisson",
		apply:     autodiff.PoissonNLL[T],
		value:     func(z, y float64) float64 { return math.Exp(z) - y*z },
		curvature: func(z, _ float64) float64 { return math.Exp(z) },
		mean:      math.Exp,
		sample:    func(z float64, key tensor.Key, i uint64) float64 { return samplePoisson(math.Exp(z), key, i) },
		valid:     func(y float64) bool { return y >= 0 },
		expected:  "a count, at least 0",
	}
}

// Huber returns Huber's loss (1964), quadratic up to |z − y| = delta and linear beyond, summed over the
// outputs. Its Hessian is 1 inside and 0 outside. Its predictive distribution has density proportional to
// exp(−ρ(y − z)), whose Fisher information is the mean of that Hessian.
func Huber[T tensor.Float](delta float64) Loss[T] {
	name := "huber"
	if delta != 1 {
		name += ":" + strconv.FormatFloat(delta, 'g', -1, 64)
	}
	return &elementwise[T]{
		name: name,
		apply: func(z, y autodiff.Var[T]) autodiff.Var[T] {
			return autodiff.HuberLoss(z, y, delta)
		},
		value: func(z, y float64) float64 {
			r := math.Abs(z - y)
			if r <= delta {
				return r * r / 2
			}
			return delta*r - delta*delta/2
		},
		curvature: func(z, y float64) float64 {
			if math.Abs(z-y) <= delta {
				return 1
			}
			return 0
		},
		mean:   func(z float64) float64 { return z },
		sample: func(z float64, key tensor.Key, i uint64) float64 { return z + sampleHuber(delta, key, i) },
		valid:  func(y float64) bool { return true },
	}
}

// elementwise is a loss that is a sum over the outputs of a function of one output and its target, so that
// Hₒ is diagonal.
type elementwise[T tensor.Float] struct {
	name      string
	apply     func(z, y autodiff.Var[T]) autodiff.Var[T]
	value     func(z, y float64) float64
	curvature func(z, y float64) float64 // ∂²value/∂z²
	mean      func(z float64) float64    // of the predictive distribution
	sample    func(z float64, key tensor.Key, i uint64) float64
	valid     func(y float64) bool // is y a possible target?
	expected  string               // what is
}

func (l *elementwise[T]) Name() string     { return l.name }
func (l *elementwise[T]) UsesLabels() bool { return false }
func (l *elementwise[T]) Metric() Metric   { return RMSE }

func (l *elementwise[T]) Check(z tensor.Shape, y Target[T]) error {
	if y.Values.Size() != z.Size() || y.Values.Shape().Rank() == 0 || y.Values.Shape().Dim(0) != z.Dim(0) {
		return fmt.Errorf("%s: found targets of shape %v, expected %v\nhint: %s needs a number for every output; use cross-entropy for class labels",
			l.name, y.Values.Shape(), z, l.name)
	}
	for i, v := range y.Values.Data() {
		if !l.valid(float64(v)) && v == v { // a NaN shows in the loss, where the guard looks
			return fmt.Errorf("%s: example %d of the batch has target %v, expected %s\nhint: scale the targets, or use squared", l.name, i/max(1, z.Cols()), v, l.expected)
		}
	}
	return nil
}

func (l *elementwise[T]) Apply(z autodiff.Var[T], y Target[T]) autodiff.Var[T] {
	return l.apply(z, z.Tape().Input(y.Values.View(z.Shape())))
}

func (l *elementwise[T]) PerExample(z tensor.Tensor[T], y Target[T], out []float64) {
	cols := z.Shape().Cols()
	for i := range out {
		var s float64
		for j, v := range rowOf(z, i) {
			s += l.value(float64(v), float64(y.Values.Data()[i*cols+j]))
		}
		out[i] = s
	}
}

func (l *elementwise[T]) HessianProduct(z, v, out tensor.Tensor[T], y Target[T]) {
	n := float64(z.Shape().Rows())
	l.diagonal(z, v, out, y, func(h float64) float64 { return h / n })
}

func (l *elementwise[T]) SqrtHessianProduct(z, v, out tensor.Tensor[T], y Target[T]) {
	n := float64(z.Shape().Rows())
	l.diagonal(z, v, out, y, func(h float64) float64 { return math.Sqrt(h / n) })
}

func (l *elementwise[T]) SqrtHessianTransposed(z, v, out tensor.Tensor[T], y Target[T]) {
	l.SqrtHessianProduct(z, v, out, y)
}

func (l *elementwise[T]) diagonal(z, v, out tensor.Tensor[T], y Target[T], f func(h float64) float64) {
	checkSizes("output Hessian", z, v, out, y.Values)
	zs, vs, os, ys := z.Data(), v.Data(), out.Data(), y.Values.Data()
	for i := range zs {
		os[i] = T(f(l.curvature(float64(zs[i]), float64(ys[i]))) * float64(vs[i]))
	}
}

func (l *elementwise[T]) Sample(z tensor.Tensor[T], key tensor.Key) Target[T] {
	y := tensor.Of(make([]T, z.Size()), z.Shape())
	for i, v := range z.Data() {
		y.Data()[i] = T(l.sample(float64(v), key, uint64(i)))
	}
	return Target[T]{Values: y}
}

func (l *elementwise[T]) Score(z tensor.Tensor[T], y Target[T]) float64 {
	var s float64
	ys := y.Values.Data()
	for i, v := range z.Data() {
		r := l.mean(float64(v)) - float64(ys[i])
		s += r * r
	}
	return s / float64(max(1, z.Shape().Cols()))
}

// samplePoisson inverts the distribution function with one uniform number for every 500 of the rate
// (a sum of independent Poisson numbers is one); above 10⁵ it rounds the normal approximation.
func samplePoisson(rate float64, key tensor.Key, i uint64) float64 {
	if !(rate < 1e5) {
		return math.Max(0, math.Round(rate+math.Sqrt(rate)*key.Normal(i)))
	}
	var count float64
	for part := uint64(0); rate > 0; part++ {
		lambda := min(rate, 500)
		rate -= lambda
		u, p := key.Fold(part).Float64(i), math.Exp(-lambda)
		for k := 1.0; u >= p && p > 0; k++ {
			u -= p
			p *= lambda / k
			count++
		}
	}
	return count
}

// sampleHuber draws r with density proportional to exp(−ρ(r)): a normal one cut off at ±δ, of mass
// √(2π)·erf(δ/√2), and two exponential tails of mass exp(−δ²/2)/δ each, by inversion.
func sampleHuber(delta float64, key tensor.Key, i uint64) float64 {
	edge := math.Erf(delta / math.Sqrt2)
	tail := math.Exp(-delta*delta/2) / delta
	body := math.Sqrt(2*math.Pi) * edge
	u := ((float64(key.Uint64(i)>>11)+0.5)*0x1p-53)*(body+2*tail) - tail
	switch {
	case u < 0: // u + tail uniform in (0, tail)
		return -delta + math.Log((u+tail)/tail)/delta
	case u < body:
		return math.Sqrt2 * math.Erfinv(edge*(2*u/body-1))
	}
	return delta - math.Log(1-(u-body)/tail)/delta
}
