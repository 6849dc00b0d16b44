package asymptotics

import (
	"fmt"
	"math"
	"strings"

	"github.com/descent-ml/descent/tensor"
)

// Sampling is how the data of a step are drawn. It decides which variance formula holds.
type Sampling uint8

const (
	// IID draws every example independently with replacement: the sampling of the theorems.
	IID Sampling = iota
	// Reshuffled goes through the data set in a new random order every epoch.
	Reshuffled
	// SinglePass uses every example of a stream once: each is a fresh draw of the law of the data, which is what the data
	// set with its weights stands for. Its fluctuations are those of IID.
	SinglePass
	// FullBatch uses all the data in every step: no data noise.
	FullBatch
)

var samplingNames = [...]string{"iid", "reshuffled", "single-pass", "full-batch"}

func (s Sampling) String() string { return samplingNames[s] }

// SamplingByName is the inverse of String.
func SamplingByName(name string) (Sampling, error) {
	for i, n := range samplingNames {
		if n == name {
			return Sampling(i), nil
		}
	}
	return 0, bad("sampling", name, "one of "+strings.Join(samplingNames[:], ", "), "iid is the sampling of the theorems")
}

// Schedule is the rate α(t) as a function of scaled time t = steps·/N.
type Schedule func(t float64) float64

// ConstantRate is the schedule α(t) = a.
func ConstantRate(a float64) Schedule { return func(float64) float64 { return a } }

// StepRate is a, and factor·a from time at on.
func StepRate(a, at, factor float64) Schedule {
	return func(t float64) float64 {
		if t < at {
			return a
		}
		return a * factor
	}
}

// CosineRate falls from a to end·a along half a cosine over [0, T].
func CosineRate(a, end, T float64) Schedule {
	return func(t float64) float64 {
		return a * (end + (1-end)*0.5*(1+math.Cos(math.Pi*math.Min(1, t/T))))
	}
}

// Problem is what is trained and how, but for the width N and the exponent γ:
//
//	g(x) = N^(-γ) Σᵢ cᵢ σ(wᵢ·x),     loss ½ (y - g)²,     rate α(t) N^(-(2-2γ)),     t = step/N
//
// by stochastic gradient descent with the mean gradient of Batch examples a step.
type Problem struct {
	X          tensor.Tensor[float64] // [M, d] inputs, without the constant
	Y          []float64              // [M] targets
	Weight     []float64              // [M] probabilities of the examples; nil: 1/M each
	Bias       bool                   // a constant input 1 is appended
	Activation Activation
	Init       NeuronLaw
	Alpha      Schedule
	T          float64 // scaled time horizon: T·N steps
	Batch      int     // examples a step, B ≥ 1
	Sampling   Sampling
}

// BenchmarkA is the reference problem: eight points of sin πx on [-1, 1] with a bias, tanh, c uniform on [-1, 1], w and b
// standard normal, α = 4, T = 3, one example a step with replacement.
func BenchmarkA() Problem {
	const m = 8
	x, y := make([]float64, m), make([]float64, m)
	for i := range x {
		x[i] = -1 + 2*float64(i)/7
		y[i] = math.Sin(math.Pi * x[i])
	}
	return Problem{
		X: tensor.FromSlice(x, m, 1), Y: y, Bias: true, Activation: Tanh(),
		Init:  NeuronLaw{Output: Uniform{-1, 1}, Weight: Normal{0, 1}, Bias: Normal{0, 1}},
		Alpha: ConstantRate(4), T: 3, Batch: 1,
	}
}

// BenchmarkTest returns the four test inputs of [BenchmarkA], [4, 1].
func BenchmarkTest() tensor.Tensor[float64] {
	return tensor.FromSlice([]float64{-0.6, 0.1, 0.5, 0.9}, 4, 1)
}

// Examples returns M.
func (p *Problem) Examples() int { return len(p.Y) }

// Inputs returns the number of inputs of a neuron, the constant one included.
func (p *Problem) Inputs() int {
	d := p.X.Shape().Cols()
	if p.Bias {
		d++
	}
	return d
}

// Steps returns the number of steps of a network of width n: T·N, rounded.
func (p *Problem) Steps(n int) int { return int(math.Round(p.T * float64(n))) }

// Epochs returns how often a network of width n sees the data set in one unit of time, E = N·B/M.
func (p *Problem) Epochs(n int) float64 {
	return float64(n) * float64(p.Batch) / float64(p.Examples())
}

// Check returns an error for what cannot be computed: shapes that do not fit, numbers that are not finite, an empty
// horizon. Assumptions of the theory that do not hold are no errors: see [Problem.Findings].
func (p *Problem) Check() error {
	m := len(p.Y)
	s := p.X
	switch {
	case m == 0 || s.IsZero() || s.Shape().Rank() != 2 || s.Shape().Dim(0) != m:
		found := "no inputs"
		if !s.IsZero() {
			found = "inputs " + s.Shape().String()
		}
		return bad("data", fmt.Sprintf("%s for %d targets", found, m), "inputs [M, d] and M ≥ 1 targets", "one row an example")
	case p.Weight != nil && len(p.Weight) != m:
		return bad("data weights", fmt.Sprint(len(p.Weight)), fmt.Sprint(m), "one weight an example, or none")
	case p.Activation.value == nil:
		return bad("activation", "none", "one of the package's", "asymptotics.Tanh()")
	case p.Init.Output == nil || p.Init.Weight == nil || p.Bias && p.Init.Bias == nil:
		return bad("initial law", "a missing coordinate", "laws of the output weight, the weights and the bias", "see NeuronLaw")
	case p.Alpha == nil:
		return bad("rate", "none", "a schedule", "asymptotics.ConstantRate(1)")
	case !(p.T > 0) || math.IsInf(p.T, 0):
		return bad("time horizon", fmt.Sprint(p.T), "a positive number", "T = steps/width")
	case p.Batch < 1:
		return bad("batch", fmt.Sprint(p.Batch), "at least 1", "1 is a single example a step")
	}
	if !tensor.AllFinite(p.X) {
		return bad("inputs", "NaN or infinity", "finite numbers", "drop or impute missing values")
	}
	var sum float64
	for i, y := range p.Y {
		if math.IsNaN(y) || math.IsInf(y, 0) {
			return bad(fmt.Sprintf("target %d", i), fmt.Sprint(y), "a finite number", "drop the example")
		}
		if p.Weight != nil {
			if w := p.Weight[i]; !(w >= 0) || math.IsInf(w, 0) {
				return bad(fmt.Sprintf("weight %d", i), fmt.Sprint(w), "a number ≥ 0", "weights are probabilities")
			}
			sum += p.Weight[i]
		}
	}
	if p.Weight != nil && math.Abs(sum-1) > 1e-9 {
		return bad("data weights", fmt.Sprintf("a sum of %g", sum), "1", "divide by the sum")
	}
	for _, t := range []float64{0, p.T / 2, p.T} {
		if a := p.Alpha(t); !(a >= 0) || math.IsInf(a, 0) {
			return bad(fmt.Sprintf("rate at time %g", t), fmt.Sprint(a), "a number ≥ 0", "check the schedule")
		}
	}
	return nil
}

// inputs returns the rows of x with the constant appended where p has a bias, [n, Inputs()], row-major.
func (p *Problem) inputs(x tensor.Tensor[float64]) ([]float64, int) {
	n, d0, d := x.Shape().Rows(), x.Shape().Cols(), p.Inputs()
	if d0 != p.X.Shape().Cols() {
		panic(tensor.ShapeError{Op: "asymptotics: test inputs", A: x.Shape(), B: p.X.Shape()})
	}
	out := make([]float64, n*d)
	for i := range n {
		copy(out[i*d:], x.Data()[i*d0:(i+1)*d0])
		if p.Bias {
			out[i*d+d-1] = 1
		}
	}
	return out, n
}

// weights returns the probabilities of the examples.
func (p *Problem) weights() []float64 {
	w := make([]float64, len(p.Y))
	for i := range w {
		w[i] = 1 / float64(len(w))
	}
	if p.Weight != nil {
		copy(w, p.Weight)
	}
	return w
}
