package testfunc

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// Function is a test function.
type Function[T tensor.Float] interface {
	objective.Function[T]
	objective.Curvature[T]
	// Name returns the function's name in lower case.
	Name() string
	// Dim returns the number of variables.
	Dim() int
	// Start returns the usual starting point, a new slice.
	Start() []T
	// Minima returns all global minima.
	Minima() []Minimum
	// Hessian stores the Hessian at theta in h, [Dim, Dim].
	Hessian(theta []T, h tensor.Tensor[T])
}

// Minimum is a point where a function is smallest, and its value there.
type Minimum struct {
	X     []float64
	Value float64
}

// All returns the functions of fixed form, Rosenbrock's with 2 variables.
func All[T tensor.Float]() []Function[T] {
	return []Function[T]{Rosenbrock[T]{2}, Beale[T]{}, Branin[T]{}}
}

func checkDim[T tensor.Float](op string, want int, vs ...[]T) {
	for _, v := range vs {
		if len(v) != want {
			panic(tensor.ShapeError{Op: op, A: tensor.ShapeOf(want), B: tensor.ShapeOf(len(v))})
		}
	}
}

// Rosenbrock is the valley of Rosenbrock (1960), in the form that couples all neighbours:
//
//	f(x) = Σ_{i<N} 100 (x_{i+1} − x_i²)² + (1 − x_i)²
//
// with the minimum 0 at (1, …, 1). N is the number of variables, at least 2. For N from 4 on it has one
// more local minimum, near (−1, 1, …, 1).
type Rosenbrock[T tensor.Float] struct{ N int }

// Name implements [Function].
func (f Rosenbrock[T]) Name() string { return "rosenbrock" }

// Dim implements [Function].
func (f Rosenbrock[T]) Dim() int { return f.N }

// Start returns (−1.2, 1, −1.2, 1, …).
func (f Rosenbrock[T]) Start() []T {
	x := make([]T, f.N)
	for i := range x {
		x[i] = []T{-1.2, 1}[i%2]
	}
	return x
}

// Minima implements [Function].
func (f Rosenbrock[T]) Minima() []Minimum {
	x := make([]float64, f.N)
	for i := range x {
		x[i] = 1
	}
	return []Minimum{{x, 0}}
}

// Evaluate implements [objective.Function].
func (f Rosenbrock[T]) Evaluate(theta, grad []T) (float64, error) {
	checkDim("rosenbrock", f.N, theta)
	if grad != nil {
		checkDim("rosenbrock", f.N, grad)
		clear(grad)
	}
	var v float64
	for i := range f.N - 1 {
		x, y := float64(theta[i]), float64(theta[i+1])
		a, b := y-x*x, 1-x
		v += 100*a*a + b*b
		if grad != nil {
			grad[i] += T(-400*a*x - 2*b)
			grad[i+1] += T(200 * a)
		}
	}
	return v, nil
}

// Hessian implements [Function].
func (f Rosenbrock[T]) Hessian(theta []T, h tensor.Tensor[T]) {
	f.fill(theta, h, func(x, y float64) (xx, xy, yy float64) { return 1200*x*x - 400*y + 2, -400 * x, 200 })
}

// HVP implements [objective.Curvature].
func (f Rosenbrock[T]) HVP(theta, v, out []T) error { return multiply(f.Hessian, theta, v, out) }

// GGNVP implements [objective.Curvature] for the residuals √200 (x_{i+1} − x_i²) and √2 (1 − x_i), whose
// squares' sum is 2f.
func (f Rosenbrock[T]) GGNVP(theta, v, out []T) error {
	gn := func(theta []T, h tensor.Tensor[T]) {
		f.fill(theta, h, func(x, _ float64) (xx, xy, yy float64) { return 800*x*x + 2, -400 * x, 200 })
	}
	return multiply(gn, theta, v, out)
}

// fill adds up the 2×2 blocks of neighbours.
func (f Rosenbrock[T]) fill(theta []T, h tensor.Tensor[T], block func(x, y float64) (xx, xy, yy float64)) {
	checkDim("rosenbrock", f.N, theta)
	clear(h.Data())
	for i := range f.N - 1 {
		xx, xy, yy := block(float64(theta[i]), float64(theta[i+1]))
		h.Set(h.At(i, i)+T(xx), i, i)
		h.Set(T(xy), i, i+1)
		h.Set(T(xy), i+1, i)
		h.Set(T(yy), i+1, i+1)
	}
}

// Beale is the function of Beale (1958):
//
//	f(x, y) = Σ_{k=1}^{3} (c_k − x + x yᵏ)²,   c = (1.5, 2.25, 2.625)
//
// with the minimum 0 at (3, 0.5).
type Beale[T tensor.Float] struct{}

var bealeC = [3]float64{1.5, 2.25, 2.625}

// Name implements [Function].
func (Beale[T]) Name() string { return "beale" }

// Dim implements [Function].
func (Beale[T]) Dim() int { return 2 }

// Start returns (1, 1).
func (Beale[T]) Start() []T { return []T{1, 1} }

// Minima implements [Function].
func (Beale[T]) Minima() []Minimum { return []Minimum{{[]float64{3, 0.5}, 0}} }

// terms calls f with the residual r = c − x + x yᵏ and its derivatives.
func (Beale[T]) terms(theta []T, f func(r, rx, ry, rxy, ryy float64)) {
	checkDim("beale", 2, theta)
	x, y := float64(theta[0]), float64(theta[1])
	for i, c := range bealeC {
		k := float64(i + 1)
		p := math.Pow(y, k)
		dp := k * math.Pow(y, k-1)
		var ddp float64
		if i > 0 {
			ddp = k * (k - 1) * math.Pow(y, k-2)
		}
		f(c-x+x*p, p-1, x*dp, dp, x*ddp)
	}
}

// Evaluate implements [objective.Function].
func (f Beale[T]) Evaluate(theta, grad []T) (float64, error) {
	var v, gx, gy float64
	f.terms(theta, func(r, rx, ry, _, _ float64) {
		v += r * r
		gx += 2 * r * rx
		gy += 2 * r * ry
	})
	if grad != nil {
		checkDim("beale", 2, grad)
		grad[0], grad[1] = T(gx), T(gy)
	}
	return v, nil
}

// Hessian implements [Function].
func (f Beale[T]) Hessian(theta []T, h tensor.Tensor[T]) { f.fill(theta, h, 1) }

// HVP implements [objective.Curvature].
func (f Beale[T]) HVP(theta, v, out []T) error { return multiply(f.Hessian, theta, v, out) }

// GGNVP implements [objective.Curvature], for the three residuals.
func (f Beale[T]) GGNVP(theta, v, out []T) error {
	gn := func(theta []T, h tensor.Tensor[T]) { f.fill(theta, h, 0) }
	return multiply(gn, theta, v, out)
}

// fill stores 2 Σ ∇r ∇rᵀ + second·r ∇²r in h.
func (f Beale[T]) fill(theta []T, h tensor.Tensor[T], second float64) {
	var xx, xy, yy float64
	f.terms(theta, func(r, rx, ry, rxy, ryy float64) {
		xx += 2 * rx * rx
		xy += 2 * (rx*ry + second*r*rxy)
		yy += 2 * (ry*ry + second*r*ryy)
	})
	symmetric(h, xx, xy, yy)
}

// Branin is the function of Branin (1972) with the constants of Dixon and Szegő (1978):
//
//	f(x, y) = (y − b x² + c x − 6)² + 10 (1 − t) cos x + 10,   b = 5.1/(4π²), c = 5/π, t = 1/(8π)
//
// with three minima 5/(4π) = 0.397887 in its usual domain −5 ≤ x ≤ 10, 0 ≤ y ≤ 15. Outside of it there
// are more: x of every minimum is an odd multiple of π.
type Branin[T tensor.Float] struct{}

const (
	braninB = 5.1 / (4 * math.Pi * math.Pi)
	braninC = 5 / math.Pi
	braninS = 10 * (1 - 1/(8*math.Pi))
)

// Name implements [Function].
func (Branin[T]) Name() string { return "branin" }

// Dim implements [Function].
func (Branin[T]) Dim() int { return 2 }

// Start returns (2.5, 12.5).
func (Branin[T]) Start() []T { return []T{2.5, 12.5} }

// Minima returns the three minima of the usual domain.
func (Branin[T]) Minima() []Minimum {
	var m []Minimum
	for _, x := range []float64{-math.Pi, math.Pi, 3 * math.Pi} {
		m = append(m, Minimum{[]float64{x, braninB*x*x - braninC*x + 6}, 10 - braninS})
	}
	return m
}

// Evaluate implements [objective.Function].
func (Branin[T]) Evaluate(theta, grad []T) (float64, error) {
	checkDim("branin", 2, theta)
	x, y := float64(theta[0]), float64(theta[1])
	r := y - braninB*x*x + braninC*x - 6
	if grad != nil {
		checkDim("branin", 2, grad)
		grad[0] = T(2*r*(braninC-2*braninB*x) - braninS*math.Sin(x))
		grad[1] = T(2 * r)
	}
	return r*r + braninS*math.Cos(x) + 10, nil
}

// Hessian implements [Function].
func (Branin[T]) Hessian(theta []T, h tensor.Tensor[T]) {
	checkDim("branin", 2, theta)
	x, y := float64(theta[0]), float64(theta[1])
	r, rx := y-braninB*x*x+braninC*x-6, braninC-2*braninB*x
	symmetric(h, 2*rx*rx-4*braninB*r-braninS*math.Cos(x), 2*rx, 2)
}

// HVP implements [objective.Curvature].
func (f Branin[T]) HVP(theta, v, out []T) error { return multiply(f.Hessian, theta, v, out) }

// GGNVP returns an error: the function is no sum of squares.
func (Branin[T]) GGNVP(_, _, _ []T) error {
	return fmt.Errorf("Gauss-Newton products of branin, which is no sum of squares: %w", objective.ErrUnsupported)
}

func symmetric[T tensor.Float](h tensor.Tensor[T], xx, xy, yy float64) {
	h.Set(T(xx), 0, 0)
	h.Set(T(xy), 0, 1)
	h.Set(T(xy), 1, 0)
	h.Set(T(yy), 1, 1)
}

// multiply stores the matrix that fill gives at theta times v in out.
func multiply[T tensor.Float](fill func([]T, tensor.Tensor[T]), theta, v, out []T) error {
	n := len(theta)
	checkDim("product", n, v, out)
	h := tensor.New[T](n, n)
	fill(theta, h)
	tensor.MatMul(tensor.NewWorkspace[T](nil), tensor.FromSlice(out, n, 1), h, tensor.FromSlice(v, n, 1), false, false)
	return nil
}
