package asymptotics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/tensor"
)

// Law is the law of one coordinate of a neuron at the start: an output weight c, an input weight, a bias. A law is a
// value, comparable with ==.
type Law interface {
	// Quantile is the inverse distribution function on (0, 1). It carries quasi-random nodes to the law.
	Quantile(u float64) float64
	// LogDensity is the logarithm of the density, or of the probability for a discrete law; -Inf outside the support.
	LogDensity(x float64) float64
	// Moment is E xᵏ for k = 1, 2, 3.
	Moment(k int) float64
	// Symmetric reports whether x and -x have the same law.
	Symmetric() bool
	// Bounded reports whether the support is compact.
	Bounded() bool
	fmt.Stringer
}

// Uniform is the uniform law on [Lo, Hi].
type Uniform struct{ Lo, Hi float64 }

// Normal is the normal law.
type Normal struct{ Mean, SD float64 }

// TwoPoint takes the value A with probability P and B otherwise.
type TwoPoint struct{ A, B, P float64 }

// Constant is the law of a fixed number.
type Constant struct{ Value float64 }

func (l Uniform) Quantile(u float64) float64 { return l.Lo + (l.Hi-l.Lo)*u }
func (l Uniform) LogDensity(x float64) float64 {
	if x < l.Lo || x > l.Hi {
		return math.Inf(-1)
	}
	return -math.Log(l.Hi - l.Lo)
}
func (l Uniform) Moment(k int) float64 {
	n := float64(k + 1)
	return (math.Pow(l.Hi, n) - math.Pow(l.Lo, n)) / (n * (l.Hi - l.Lo))
}
func (l Uniform) Symmetric() bool { return l.Lo == -l.Hi }
func (l Uniform) Bounded() bool   { return true }
func (l Uniform) String() string  { return fmt.Sprintf("U(%g, %g)", l.Lo, l.Hi) }

func (l Normal) Quantile(u float64) float64 { return l.Mean + l.SD*math.Sqrt2*math.Erfinv(2*u-1) }
func (l Normal) LogDensity(x float64) float64 {
	z := (x - l.Mean) / l.SD
	return -0.5*z*z - math.Log(l.SD*math.Sqrt(2*math.Pi))
}
func (l Normal) Moment(k int) float64 {
	m, v := l.Mean, l.SD*l.SD
	switch k {
	case 1:
		return m
	case 2:
		return m*m + v
	default:
		return m*m*m + 3*m*v
	}
}
func (l Normal) Symmetric() bool { return l.Mean == 0 }
func (l Normal) Bounded() bool   { return false }
func (l Normal) String() string  { return fmt.Sprintf("N(%g, %g²)", l.Mean, l.SD) }

func (l TwoPoint) Quantile(u float64) float64 {
	if u < l.P {
		return l.A
	}
	return l.B
}
func (l TwoPoint) LogDensity(x float64) float64 {
	switch x {
	case l.A:
		return math.Log(l.P)
	case l.B:
		return math.Log1p(-l.P)
	}
	return math.Inf(-1)
}
func (l TwoPoint) Moment(k int) float64 {
	return l.P*math.Pow(l.A, float64(k)) + (1-l.P)*math.Pow(l.B, float64(k))
}
func (l TwoPoint) Symmetric() bool { return l.A == -l.B && l.P == 0.5 }
func (l TwoPoint) Bounded() bool   { return true }
func (l TwoPoint) String() string {
	return fmt.Sprintf("%g with probability %g, else %g", l.A, l.P, l.B)
}

func (l Constant) Quantile(float64) float64 { return l.Value }
func (l Constant) LogDensity(x float64) float64 {
	if x == l.Value {
		return 0
	}
	return math.Inf(-1)
}
func (l Constant) Moment(k int) float64 { return math.Pow(l.Value, float64(k)) }
func (l Constant) Symmetric() bool      { return l.Value == 0 }
func (l Constant) Bounded() bool        { return true }
func (l Constant) String() string       { return fmt.Sprintf("the number %g", l.Value) }

// SkewedOutput is the skewed output law of the reference benchmark: -¼ with probability 0.8, 1 with 0.2. Its mean is
// zero and its third moment is not.
func SkewedOutput() Law { return TwoPoint{A: -0.25, B: 1, P: 0.8} }

// NeuronLaw is the product law μ₀ of a neuron θ = (c, w): the output weight, the input weights, which are alike and
// independent, and the bias.
type NeuronLaw struct {
	Output Law // c
	Weight Law // each coordinate of w
	Bias   Law // the weight of the constant input, where the problem has one
}

// coordinate is the law of coordinate j of θ = (c, w₁ … w_d) when the last of the d inputs is the constant (bias).
func (l NeuronLaw) coordinate(j, d int, bias bool) Law {
	switch {
	case j == 0:
		return l.Output
	case bias && j == d:
		return l.Bias
	}
	return l.Weight
}

// sample fills dst with n independent draws of l by key.
func sample(l Law, key tensor.Key, dst []float64) {
	switch l := l.(type) {
	case Normal:
		tensor.Normal(key, dst, l.Mean, l.SD)
	case Uniform:
		tensor.Uniform(key, dst, l.Lo, l.Hi)
	case Constant:
		for i := range dst {
			dst[i] = l.Value
		}
	default:
		for i := range dst {
			dst[i] = l.Quantile(key.Float64(uint64(i)) + 0x1p-54)
		}
	}
}
