package dynamics

import (
	"errors"
	"fmt"
	"math"

	"github.com/descent-ml/descent/asymptotics/verdict"
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// SGDCT is stochastic gradient descent in continuous time with steps C/(C₀+t), near a minimum with Hessian H of the averaged objective and
// covariance h of the noise (Sirignano and Spiliopoulos, arXiv 1710.04273):
//
//	√t (θ_t - θ*) → N(0, V),     (C H - ½) V + V (C H - ½) = C² h.
//
// For a well-specified model h = H.
type SGDCT struct {
	H     tensor.Tensor[float64] // [n, n], symmetric positive definite
	Noise tensor.Tensor[float64] // h [n, n], symmetric; the zero Tensor stands for H
}

// ErrStep is wrapped by the error of a step constant too small for the rate √t.
var ErrStep = errors.New("dynamics: step constant too small")

// eigen returns λ ascending and the matrix h in the eigenbasis of H, with the basis.
func (s SGDCT) eigen() (values []float64, basis, noise tensor.Tensor[float64], err error) {
	n := s.H.Shape().Rows()
	if s.H.Shape() != tensor.ShapeOf(n, n) || !s.Noise.IsZero() && s.Noise.Shape() != s.H.Shape() {
		panic(tensor.ShapeError{Op: "dynamics.SGDCT", A: s.H.Shape(), B: s.Noise.Shape()})
	}
	ws := tensor.NewWorkspace[float64](nil)
	values, basis = make([]float64, n), tensor.New[float64](n, n)
	if err = linalg.SymmetricEigen(ws, values, basis, s.H); err != nil {
		return nil, basis, noise, fmt.Errorf("dynamics: eigenvalues of the Hessian: %w\nhint: look for elements that are not finite", err)
	}
	if !(values[0] > 0) {
		return nil, basis, noise, fmt.Errorf("dynamics: the Hessian has the eigenvalue %g, expected positive ones\nhint: the central limit theorem is about a strict minimum", values[0])
	}
	h := s.Noise
	if h.IsZero() {
		h = s.H
	}
	noise = tensor.New[float64](n, n)
	half := ws.New(tensor.ShapeOf(n, n))
	tensor.MatMul(ws, half, basis, h, true, false)
	tensor.MatMul(ws, noise, half, basis, false, false)
	return values, basis, noise, nil
}

// LeastConstant is 1/(2λ_min): the step constant has to exceed it.
func (s SGDCT) LeastConstant() (float64, error) {
	values, _, _, err := s.eigen()
	if err != nil {
		return 0, err
	}
	return 1 / (2 * values[0]), nil
}

// Covariance returns V for the step constant c. In the eigenbasis of H the equation is diagonal, V_ij = c² h_ij/(c(λ_i+λ_j) - 1). The error wraps
// [ErrStep] where c·λ_min ≤ 1/2: the convergence is then slower than √t and has no covariance.
func (s SGDCT) Covariance(c float64) (tensor.Tensor[float64], error) {
	values, basis, noise, err := s.eigen()
	if err != nil {
		return noise, err
	}
	if !(c*values[0] > 0.5) {
		return noise, fmt.Errorf("%w: C·λ_min = %g·%g = %.3g, expected more than 1/2\nhint: take C above %.4g", ErrStep, c, values[0], c*values[0], 1/(2*values[0]))
	}
	n := len(values)
	v := noise.Data()
	for i, a := range values {
		for j, b := range values {
			v[i*n+j] *= c * c / (c*(a+b) - 1)
		}
	}
	ws := tensor.NewWorkspace[float64](nil)
	half, out := ws.New(noise.Shape()), tensor.New[float64](n, n)
	tensor.MatMul(ws, half, basis, noise, false, false)
	tensor.MatMul(ws, out, half, basis, false, true)
	return out, nil
}

// trace returns tr V(c) = Σ c² h_ii/(2cλ_i - 1).
func trace(values, diag []float64, c float64) float64 {
	sum := 0.0
	for i, a := range values {
		sum += c * c * diag[i] / (2*c*a - 1)
	}
	return sum
}

// BestConstant returns the C that minimises the trace of V, and that trace. For one parameter with h = H it is 1/H, where V = 1/H is the bound of
// Cramér, Rao and Fisher. The trace is convex in C; golden sections find its minimum.
func (s SGDCT) BestConstant() (c, tr float64, err error) {
	values, _, noise, err := s.eigen()
	if err != nil {
		return 0, 0, err
	}
	n := len(values)
	diag := make([]float64, n)
	for i := range diag {
		diag[i] = noise.Data()[i*n+i]
	}
	least := 1 / (2 * values[0])
	// Each term has its minimum at 1/λ_i, so that of the sum lies at most at 1/λ_min = 2·least.
	lo, hi := least, 2*least
	g := (math.Sqrt(5) - 1) / 2
	for range 90 {
		a, b := hi-g*(hi-lo), lo+g*(hi-lo)
		if trace(values, diag, a) < trace(values, diag, b) {
			hi = b
		} else {
			lo = a
		}
	}
	c = (lo + hi) / 2
	return c, trace(values, diag, c), nil
}

// OU is the check of [SGDCT] by simulation: the drift -θ*X of dX = -θ*X dt + σ dW is estimated online with f(x, θ) = -θx.
type OU struct {
	Theta, Sigma float64 // 0 stands for 1
	C, C0        float64 // steps C/(C₀+t)
	Time, Dt     float64 // horizon and step of Euler's scheme; Dt 0 stands for 0.02
}

// Hessian is E X²/σ² = 1/(2θ*).
func (o OU) Hessian() float64 { return 1 / (2 * o.fill().Theta) }

func (o OU) fill() OU {
	if o.Theta == 0 {
		o.Theta = 1
	}
	if o.Sigma == 0 {
		o.Sigma = 1
	}
	if o.Dt == 0 {
		o.Dt = 0.02
	}
	return o
}

// Simulate returns (C₀+t)·Var θ_t over the paths with its standard error, and the mean of θ_t - θ*. Paths run in parallel in blocks of 64. Cost: paths·Time/Dt
// normal numbers.
func (o OU) Simulate(pool *tensor.Pool, key tensor.Key, paths int) (scaled verdict.Row, mean float64, err error) {
	o = o.fill()
	if paths < 2 || !(o.Time > 0) || !(o.C > 0) || !(o.C0 > 0) || !(o.Dt > 0) {
		return scaled, 0, fmt.Errorf("dynamics: found %d paths, time %g, C = %g and C₀ = %g, expected positive numbers and two paths\nhint: 4000 paths to time 400 with C = 4 and C₀ = 20", paths, o.Time, o.C, o.C0)
	}
	h := o.Hessian()
	s := SGDCT{H: tensor.FromSlice([]float64{h}, 1, 1)}
	v, err := s.Covariance(o.C)
	if err != nil {
		return scaled, 0, err
	}
	if pool == nil {
		pool = tensor.NewPool(1)
	}
	const block = 64
	theta := make([]float64, paths)
	steps := int(math.Round(o.Time / o.Dt))
	blocks := (paths + block - 1) / block
	root := o.Sigma * math.Sqrt(o.Dt)
	pool.Do(blocks, func(_, b int) {
		lo, hi := b*block, min(paths, (b+1)*block)
		est := theta[lo:hi]
		x, noise := make([]float64, hi-lo), make([]float64, hi-lo)
		k := key.Fold(uint64(b))
		tensor.Normal(k.Named("start"), x, 0, o.Sigma/math.Sqrt(2*o.Theta))
		for i := range est {
			est[i] = o.Theta
		}
		for n := range steps {
			tensor.Normal(k.Fold(uint64(n)), noise, 0, root)
			a := o.C / (o.C0 + float64(n)*o.Dt) / (o.Sigma * o.Sigma)
			for i, xi := range x {
				// dθ = a ∂f (dX - f dt)/σ² with f = -θX and ∂f = -X.
				dx := -o.Theta*xi*o.Dt + noise[i]
				est[i] -= a * xi * (dx + est[i]*xi*o.Dt)
				x[i] = xi + dx
			}
		}
	})
	var sum, square float64
	for _, t := range theta {
		sum += t - o.Theta
	}
	mean = sum / float64(paths)
	for _, t := range theta {
		d := t - o.Theta - mean
		square += d * d
	}
	measured := (o.C0 + o.Time) * square / float64(paths-1)
	want := v.Data()[0]
	scaled = verdict.Within("S1", fmt.Sprintf("(C₀+t) Var θ_t, C = %g, t = %g", o.C, o.Time), want, measured,
		measured*math.Sqrt(2/float64(paths-1)), 0.08*want, verdict.Theorem)
	return scaled, mean, nil
}
