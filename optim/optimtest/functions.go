package optimtest

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// Quadratic is f(x) = ½ Σ λᵢ (xᵢ − cᵢ)², with minimum 0 at c.
type Quadratic[T tensor.Float] struct {
	Lambda []float64 // curvatures, positive
	Center []float64 // c; nil is 0
}

// Evaluate returns f and, if grad is not nil, its gradient.
func (q Quadratic[T]) Evaluate(x, grad []T) (float64, error) {
	sum := 0.0
	for i, l := range q.Lambda {
		d := float64(x[i])
		if q.Center != nil {
			d -= q.Center[i]
		}
		sum += l * d * d / 2
		if grad != nil {
			grad[i] = T(l * d)
		}
	}
	return sum, nil
}

// IllConditioned is the quadratic of n dimensions with curvatures from 1 to cond in a geometric row and
// its minimum at (1, …, 1).
func IllConditioned[T tensor.Float](n int, cond float64) Quadratic[T] {
	q := Quadratic[T]{Lambda: make([]float64, n), Center: make([]float64, n)}
	for i := range n {
		q.Lambda[i] = math.Pow(cond, float64(i)/float64(n-1)) / cond
		q.Center[i] = 1
	}
	return q
}

// Rosenbrock is f(x, y) = (1−x)² + 100 (y−x²)², with minimum 0 at (1, 1); the standard start is
// (−1.2, 1) (Rosenbrock, 1960).
type Rosenbrock[T tensor.Float] struct{}

// Evaluate returns f and, if grad is not nil, its gradient.
func (Rosenbrock[T]) Evaluate(p, grad []T) (float64, error) {
	x, y := float64(p[0]), float64(p[1])
	a, b := 1-x, y-x*x
	if grad != nil {
		grad[0], grad[1] = T(-2*a-400*x*b), T(200*b)
	}
	return a*a + 100*b*b, nil
}

// TanhNet is the mean squared error of the network tanh(X W₁ + b₁) W₂ + b₂, with In inputs, Hidden
// hidden units and Out outputs. Rows may be changed between evaluations: it is a view of the data.
type TanhNet[T tensor.Float] struct {
	In, Hidden, Out int
	X, Y            []float64 // rows of In inputs and of Out targets
}

// NetLayout returns the layout of the parameters: W₁ [in, hidden], b₁, W₂ [hidden, out], b₂.
func NetLayout(in, hidden, out int) *nn.Layout {
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "dense1.weight", Shape: tensor.ShapeOf(in, hidden), Kind: nn.Weight, FanIn: in, FanOut: hidden})
	l.Add(nn.Param{Name: "dense1.bias", Shape: tensor.ShapeOf(hidden), Kind: nn.Bias})
	l.Add(nn.Param{Name: "dense2.weight", Shape: tensor.ShapeOf(hidden, out), Kind: nn.Weight, FanIn: hidden, FanOut: out})
	l.Add(nn.Param{Name: "dense2.bias", Shape: tensor.ShapeOf(out), Kind: nn.Bias})
	return l
}

// NewTanhNet returns a network with rows of data made from sines, and parameters to start from.
func NewTanhNet[T tensor.Float](rows, in, hidden, out int) (*TanhNet[T], []T) {
	f := &TanhNet[T]{In: in, Hidden: hidden, Out: out}
	for i := range rows {
		for j := range in {
			f.X = append(f.X, math.Sin(1+2.3*float64(i)+1.7*float64(j)))
		}
		for j := range out {
			f.Y = append(f.Y, math.Cos(0.5+1.1*float64(i)-0.9*float64(j)))
		}
	}
	start := make([]T, NetLayout(in, hidden, out).Size())
	for k := range start {
		start[k] = T(math.Sin(3.1*float64(k)+1) / math.Sqrt(float64(in)))
	}
	return f, start
}

// Rows returns the function of the rows from lo to hi alone.
func (f *TanhNet[T]) Rows(lo, hi int) *TanhNet[T] {
	g := *f
	g.X, g.Y = f.X[lo*f.In:hi*f.In], f.Y[lo*f.Out:hi*f.Out]
	return &g
}

// Evaluate returns the mean over rows and outputs of the squared error and its gradient.
func (f *TanhNet[T]) Evaluate(p, grad []T) (float64, error) {
	in, hid, out := f.In, f.Hidden, f.Out
	if want := in*hid + hid + hid*out + out; len(p) != want {
		panic(fmt.Sprintf("optimtest: TanhNet with %d parameters, expected %d", len(p), want))
	}
	w1, b1 := p[:in*hid], p[in*hid:in*hid+hid]
	w2, b2 := p[in*hid+hid:in*hid+hid+hid*out], p[in*hid+hid+hid*out:]
	acc := make([]float64, len(p))
	rows := len(f.X) / in
	h, dy := make([]float64, hid), make([]float64, out)
	loss := 0.0
	for r := range rows {
		x := f.X[r*in : (r+1)*in]
		for j := range h {
			z := float64(b1[j])
			for i, v := range x {
				z += v * float64(w1[i*hid+j])
			}
			h[j] = math.Tanh(z)
		}
		for k := range dy {
			e := float64(b2[k]) - f.Y[r*out+k]
			for j, v := range h {
				e += v * float64(w2[j*out+k])
			}
			loss += e * e
			dy[k] = 2 * e / float64(rows*out)
			acc[in*hid+hid+hid*out+k] += dy[k]
		}
		for j, v := range h {
			back := 0.0
			for k, d := range dy {
				acc[in*hid+hid+j*out+k] += v * d
				back += d * float64(w2[j*out+k])
			}
			back *= 1 - v*v
			acc[in*hid+j] += back
			for i, v := range x {
				acc[i*hid+j] += v * back
			}
		}
	}
	for i := range grad {
		grad[i] = T(acc[i])
	}
	return loss / float64(rows*out), nil
}

// Scaled is Factor times another function.
type Scaled[T tensor.Float] struct {
	Of     objective.Function[T]
	Factor float64
}

// Evaluate returns the scaled value and gradient.
func (f Scaled[T]) Evaluate(p, grad []T) (float64, error) {
	v, err := f.Of.Evaluate(p, grad)
	for i := range grad {
		grad[i] *= T(f.Factor)
	}
	return v * f.Factor, err
}

// Permuted is another function of the parameters in another order: coordinate i of Of is coordinate
// Order[i] here.
type Permuted[T tensor.Float] struct {
	Of    objective.Function[T]
	Order []int
}

// Evaluate permutes, evaluates, and permutes back.
func (f Permuted[T]) Evaluate(p, grad []T) (float64, error) {
	q := make([]T, len(p))
	for i, j := range f.Order {
		q[i] = p[j]
	}
	var g []T
	if grad != nil {
		g = make([]T, len(p))
	}
	v, err := f.Of.Evaluate(q, g)
	for i, j := range f.Order {
		if grad != nil {
			grad[j] = g[i]
		}
	}
	return v, err
}

// Faulty is another function whose value, or one element of whose gradient, is replaced while Value or
// Gradient is set.
type Faulty[T tensor.Float] struct {
	Of       objective.Function[T]
	Value    *float64
	Gradient *T
}

// Evaluate evaluates and injects the fault.
func (f *Faulty[T]) Evaluate(p, grad []T) (float64, error) {
	v, err := f.Of.Evaluate(p, grad)
	if f.Value != nil {
		v = *f.Value
	}
	if f.Gradient != nil && grad != nil {
		grad[len(grad)/2] = *f.Gradient
	}
	return v, err
}
