package testfunc

import (
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Quadratic is the convex function
//
//	f(θ) = ½ (θ − c)ᵀ H (θ − c) + b
//
// with H symmetric, which every theory of optimisation starts from. With noise it is the mean over a
// batch of ½ (θ − xᵢ)ᵀ H (θ − xᵢ), xᵢ = c + noise of standard deviation sd: the noise in the gradient is
// H(c − x̄), the noise in the value the mean of ½ (c − xᵢ)ᵀ H (c − xᵢ) besides. [Quadratic.SetBatch]
// draws the batch.
type Quadratic[T tensor.Float] struct {
	h      tensor.Tensor[T] // [n, n]
	centre []T
	value  float64
	batch  tensor.Tensor[T] // [examples, n]; zero without noise
	ws     *tensor.Workspace[T]
}

// NewQuadratic returns the quadratic function with Hessian h, [n, n] and symmetric, and minimum value at
// centre. h and centre are not copied.
func NewQuadratic[T tensor.Float](h tensor.Tensor[T], centre []T, value float64) *Quadratic[T] {
	n := len(centre)
	if h.Shape() != tensor.ShapeOf(n, n) {
		panic(tensor.ShapeError{Op: "NewQuadratic", A: h.Shape(), B: tensor.ShapeOf(n, n)})
	}
	return &Quadratic[T]{h: h, centre: centre, value: value, ws: tensor.NewWorkspace[T](nil)}
}

// RandomQuadratic returns a quadratic function with minimum 0 at the origin whose Hessian has the given
// eigenvalues and eigenvectors drawn from the Haar measure.
func RandomQuadratic[T tensor.Float](key tensor.Key, eigenvalues []float64) *Quadratic[T] {
	n := len(eigenvalues)
	q := make([]float64, n*n)
	nn.Fill(key, nn.Param{Name: "eigenvectors", Shape: tensor.ShapeOf(n, n), Init: nn.Initializer{Name: "orthogonal", Param: 1}}, q)
	ws := tensor.NewWorkspace[float64](nil)
	rows, h := tensor.FromSlice(q, n, n), tensor.New[float64](n, n)
	scaled := rows.Clone()
	for i, e := range eigenvalues {
		r := tensor.FromSlice(scaled.Data()[i*n:(i+1)*n], n)
		tensor.Scale(ws, r, r, e)
	}
	tensor.MatMul(ws, h, rows, scaled, true, false) // Σ_i e_i q_i q_iᵀ
	ht := tensor.New[T](n, n)
	for i := range n {
		for j := range n {
			ht.Set(T((h.At(i, j)+h.At(j, i))/2), i, j)
		}
	}
	return NewQuadratic(ht, make([]T, n), 0)
}

// Deep returns a quadratic function with the spectrum that Schneider et al. (DeepOBS, 2019) chose after
// that of deep networks: 100 dimensions, 90 eigenvalues uniform in (0, 1), 10 in (30, 60). The published
// problem, with its very numbers, is in package bench/deepobs.
func Deep[T tensor.Float](key tensor.Key) *Quadratic[T] {
	e := make([]float64, 100)
	tensor.Uniform(key.Named("small"), e[:90], 0, 1)
	tensor.Uniform(key.Named("large"), e[90:], 30, 60)
	return RandomQuadratic[T](key, e)
}

// SetBatch draws a batch of the given size around the centre: numbers with standard deviation sd from
// key. Size 0 takes the noise away.
func (f *Quadratic[T]) SetBatch(key tensor.Key, size int, sd float64) {
	if size == 0 {
		f.batch = tensor.Tensor[T]{}
		return
	}
	n := len(f.centre)
	if f.batch.Size() != size*n {
		f.batch = tensor.New[T](size, n)
	}
	tensor.Normal(key, f.batch.Data(), 0, sd)
	tensor.AddAxis(f.ws, f.batch, f.batch, tensor.FromSlice(f.centre, n), tensor.AxisOf(f.batch.Shape(), 0, 1))
}

// Name implements [Function].
func (f *Quadratic[T]) Name() string { return "quadratic" }

// Dim implements [Function].
func (f *Quadratic[T]) Dim() int { return len(f.centre) }

// Start returns centre + (1, …, 1).
func (f *Quadratic[T]) Start() []T {
	x := make([]T, len(f.centre))
	for i := range x {
		x[i] = f.centre[i] + 1
	}
	return x
}

// Minima returns the minimum of the function without noise. It is the only one if h is positive definite.
func (f *Quadratic[T]) Minima() []Minimum {
	x := make([]float64, len(f.centre))
	for i, c := range f.centre {
		x[i] = float64(c)
	}
	return []Minimum{{x, f.value}}
}

// Evaluate implements [objective.Function], for the current batch. Cost: one product of H with a matrix
// of as many rows as the batch has examples.
func (f *Quadratic[T]) Evaluate(theta, grad []T) (float64, error) {
	n := len(f.centre)
	checkDim("quadratic", n, theta)
	f.ws.Reset()
	points := f.batch
	if points.IsZero() {
		points = tensor.FromSlice(f.centre, 1, n)
	}
	rows := points.Shape().Rows()
	all := tensor.AxisOf(points.Shape(), 0, 1)
	d, hd := f.ws.New(points.Shape()), f.ws.New(points.Shape())
	tensor.SubAxis(f.ws, d, points, tensor.FromSlice(theta, n), all) // x − θ
	tensor.MatMul(f.ws, hd, d, f.h, false, false)
	v := float64(tensor.Dot(f.ws, d, hd)) / 2
	if grad != nil {
		checkDim("quadratic", n, grad)
		g := tensor.FromSlice(grad, n)
		tensor.SumAxis(f.ws, g, hd, all)
		tensor.Scale(f.ws, g, g, -1/T(rows))
	}
	return v/float64(rows) + f.value, nil
}

// Hessian implements [Function].
func (f *Quadratic[T]) Hessian(_ []T, h tensor.Tensor[T]) { copy(h.Data(), f.h.Data()) }

// HVP implements [objective.Curvature].
func (f *Quadratic[T]) HVP(_, v, out []T) error {
	n := len(f.centre)
	checkDim("quadratic", n, v, out)
	tensor.MatMul(f.ws, tensor.FromSlice(out, n, 1), f.h, tensor.FromSlice(v, n, 1), false, false)
	return nil
}

// GGNVP implements [objective.Curvature]: for a quadratic function the same as HVP.
func (f *Quadratic[T]) GGNVP(theta, v, out []T) error { return f.HVP(theta, v, out) }
