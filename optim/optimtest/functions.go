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
	return f.EvaluateTapped(p, grad, nil)
}

// EvaluateTapped is Evaluate that hands over the taps of both layers, unless tap is nil.
func (f *TanhNet[T]) EvaluateTapped(p, grad []T, tap func(objective.Tap[T])) (float64, error) {
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
	var xs, hs, dzs, dys []T // rows of the taps
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
		xs, hs, dys = appendAll(xs, x), appendAll(hs, h), appendAll(dys, dy)
		for j, v := range h {
			back := 0.0
			for k, d := range dy {
				acc[in*hid+hid+j*out+k] += v * d
				back += d * float64(w2[j*out+k])
			}
			back *= 1 - v*v
			dzs = append(dzs, T(back))
			acc[in*hid+j] += back
			for i, v := range x {
				acc[i*hid+j] += v * back
			}
		}
	}
	for i := range grad {
		grad[i] = T(acc[i])
	}
	if tap != nil {
		tap(objective.Tap[T]{Name: "dense2", Weight: 2, Bias: 3, X: matrix(hs, rows), DY: matrix(dys, rows), RowsPer: 1})
		tap(objective.Tap[T]{Name: "dense1", Weight: 0, Bias: 1, X: matrix(xs, rows), DY: matrix(dzs, rows), RowsPer: 1})
	}
	return loss / float64(rows*out), nil
}

func appendAll[T tensor.Float](to []T, v []float64) []T {
	for _, x := range v {
		to = append(to, T(x))
	}
	return to
}

func matrix[T tensor.Float](v []T, rows int) tensor.Tensor[T] {
	return tensor.Of(v, tensor.ShapeOf(rows, len(v)/rows))
}

// tapped evaluates f with taps, or says that it has none.
func tapped[T tensor.Float](f objective.Function[T], p, grad []T, tap func(objective.Tap[T])) (float64, error) {
	t, ok := f.(objective.Tapped[T])
	if !ok {
		return 0, fmt.Errorf("layer taps of a %T: %w", f, objective.ErrUnsupported)
	}
	return t.EvaluateTapped(p, grad, tap)
}

// LeastSquares is the loss of one affine layer, (1/2N) ‖X W + b − Y‖² with N rows, whose minimum 0 is at known
// parameters. An evaluation allocates nothing.
type LeastSquares[T tensor.Float] struct {
	Layout  *nn.Layout
	Minimum []T // the parameters, W [in, out] and b
	x, y, e tensor.Tensor[T]
	ws      *tensor.Workspace[T]
}

// NewLeastSquares returns the problem for features that lie around shift(j) with deviation scale(j), and a minimum made
// from sines.
func NewLeastSquares[T tensor.Float](rows, in, out int, shift, scale func(j int) float64) *LeastSquares[T] {
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "dense1.weight", Shape: tensor.ShapeOf(in, out), Kind: nn.Weight, FanIn: in, FanOut: out})
	l.Add(nn.Param{Name: "dense1.bias", Shape: tensor.ShapeOf(out), Kind: nn.Bias})
	f := &LeastSquares[T]{Layout: l, Minimum: make([]T, l.Size()), ws: tensor.NewWorkspace[T](nil),
		x: tensor.Of(make([]T, rows*in), tensor.ShapeOf(rows, in)),
		y: tensor.Of(make([]T, rows*out), tensor.ShapeOf(rows, out)), e: tensor.Of(make([]T, rows*out), tensor.ShapeOf(rows, out))}
	key := tensor.KeyOf(7)
	for i, x := 0, f.x.Data(); i < len(x); i++ {
		x[i] = T(shift(i%in) + scale(i%in)*key.Normal(uint64(i)))
	}
	for k := range f.Minimum {
		f.Minimum[k] = T(math.Sin(3.1*float64(k) + 1))
	}
	f.outputs(f.y, f.Minimum)
	return f
}

// outputs stores X W + b.
func (f *LeastSquares[T]) outputs(dst tensor.Tensor[T], p []T) {
	tensor.MatMul(f.ws, dst, f.x, nn.View(f.Layout, p, 0), false, false)
	tensor.AddAxis(f.ws, dst, dst, nn.View(f.Layout, p, 1), tensor.AxisOf(dst.Shape(), 0, 1))
}

// Evaluate returns the loss and, if grad is not nil, its gradient.
func (f *LeastSquares[T]) Evaluate(p, grad []T) (float64, error) {
	return f.EvaluateTapped(p, grad, nil)
}

// EvaluateTapped is Evaluate that hands over the layer's tap, unless tap is nil.
func (f *LeastSquares[T]) EvaluateTapped(p, grad []T, tap func(objective.Tap[T])) (float64, error) {
	rows := f.x.Shape().Rows()
	f.outputs(f.e, p)
	tensor.Sub(f.ws, f.e, f.e, f.y)
	loss := float64(tensor.Dot(f.ws, f.e, f.e)) / float64(2*rows)
	tensor.Scale(f.ws, f.e, f.e, 1/T(rows))
	if grad != nil {
		tensor.MatMul(f.ws, nn.View(f.Layout, grad, 0), f.x, f.e, true, false)
		tensor.SumAxis(f.ws, nn.View(f.Layout, grad, 1), f.e, tensor.AxisOf(f.e.Shape(), 0, 1))
	}
	if tap != nil {
		tap(objective.Tap[T]{Name: "dense1", Weight: 0, Bias: 1, X: f.x, DY: f.e, RowsPer: 1})
	}
	return loss, nil
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

// EvaluateTapped forwards the taps, scaled.
func (f Scaled[T]) EvaluateTapped(p, grad []T, tap func(objective.Tap[T])) (float64, error) {
	v, err := tapped(f.Of, p, grad, func(t objective.Tap[T]) {
		dy := append([]T(nil), t.DY.Data()...)
		for i := range dy {
			dy[i] *= T(f.Factor)
		}
		t.DY = tensor.Of(dy, t.DY.Shape())
		tap(t)
	})
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
	return f.inject(v, grad), err
}

// EvaluateTapped evaluates, forwards the taps, and injects the fault.
func (f *Faulty[T]) EvaluateTapped(p, grad []T, tap func(objective.Tap[T])) (float64, error) {
	v, err := tapped(f.Of, p, grad, tap)
	return f.inject(v, grad), err
}

func (f *Faulty[T]) inject(v float64, grad []T) float64 {
	if f.Value != nil {
		v = *f.Value
	}
	if f.Gradient != nil && grad != nil {
		grad[len(grad)/2] = *f.Gradient
	}
	return v
}
