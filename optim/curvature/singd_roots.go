package curvature

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// Structure says which matrices a root of [SINGD] is taken from. Each is closed under products, so that K (I − β m) stays within.
type Structure uint8

const (
	DenseRoots         Structure = iota // any matrix: n² numbers
	DiagonalRoots                       // n numbers
	BlockDiagonalRoots                  // blocks of a given size b along the diagonal: nb numbers
	ToeplitzRoots                       // lower-triangular with equal elements along each diagonal: n numbers
)

// String returns the name in lower case.
func (s Structure) String() string {
	if int(s) < len(structureNames) {
		return structureNames[s]
	}
	return fmt.Sprintf("Structure(%d)", uint8(s))
}

var structureNames = [...]string{"dense", "diagonal", "block-diagonal", "triangular Toeplitz"}

// root is K, of order n, with its momentum m. Rows of a matrix X [rows, n] are multiplied from the right.
type root[T tensor.Float] interface {
	order() int
	vectors() (k, m []T)                                                              // what a checkpoint holds; m is nil without momentum
	start(at T)                                                                       // K ← at·I
	zeros(ws *tensor.Workspace[T]) tensor.Tensor[T]                                   // room for H
	accumulate(ws *tensor.Workspace[T], h, x tensor.Tensor[T])                        // H ← H + the structure's part of (XK)ᵀ(XK)
	trace(h tensor.Tensor[T]) float64                                                 // of H
	squares(ws *tensor.Workspace[T]) float64                                          // tr KᵀK
	times(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], turned bool)              // X K, or X Kᵀ
	left(ws *tensor.Workspace[T], dst, y tensor.Tensor[T], turned bool)               // K Y, or KᵀY
	move(ws *tensor.Workspace[T], h tensor.Tensor[T], s, t, alpha, beta float64) bool // m ← αm + ½(sH + t KᵀK − I), K ← K(I − βm)
}

func newRoot[T tensor.Float](o SINGDOptions, n int) root[T] {
	momentum := o.Alpha > 0
	switch {
	case n > o.Largest || o.Structure == DiagonalRoots:
		return newDiagonalRoot[T](n, momentum)
	case o.Structure == BlockDiagonalRoots:
		return newBlockRoot[T](n, o.Block, momentum)
	case o.Structure == ToeplitzRoots:
		return newToeplitzRoot[T](n, momentum)
	}
	return newDenseRoot(make([]T, n*n), momentumOf[T](n*n, momentum), n)
}

func momentumOf[T tensor.Float](n int, on bool) []T {
	if on {
		return make([]T, n)
	}
	return nil
}

// shortened returns β, less where β‖m‖ would exceed ½ for the given bound of ‖m‖.
func shortened(beta, bound float64) float64 {
	if beta*bound > 0.5 {
		return 0.5 / bound
	}
	return beta
}

// denseRoot is any matrix.
type denseRoot[T tensor.Float] struct {
	n    int
	k, m tensor.Tensor[T] // m is the zero Tensor without momentum
}

func newDenseRoot[T tensor.Float](k, m []T, n int) *denseRoot[T] {
	r := &denseRoot[T]{n: n, k: tensor.FromSlice(k, n, n)}
	if m != nil {
		r.m = tensor.FromSlice(m, n, n)
	}
	r.start(1)
	return r
}

func (r *denseRoot[T]) order() int { return r.n }

func (r *denseRoot[T]) vectors() (k, m []T) {
	if r.m.IsZero() {
		return r.k.Data(), nil
	}
	return r.k.Data(), r.m.Data()
}

func (r *denseRoot[T]) start(at T) { linalg.Identity(r.k, at) }

func (r *denseRoot[T]) zeros(ws *tensor.Workspace[T]) tensor.Tensor[T] { return ws.Zeros(r.k.Shape()) }

func (r *denseRoot[T]) accumulate(ws *tensor.Workspace[T], h, x tensor.Tensor[T]) {
	defer ws.Release(ws.Mark())
	y := ws.New(x.Shape())
	r.times(ws, y, x, false)
	tensor.MatMulAcc(ws, h, y, y, true, false)
}

func (r *denseRoot[T]) trace(h tensor.Tensor[T]) float64 {
	sum := 0.0
	for i := range r.n {
		sum += float64(h.At(i, i))
	}
	return sum
}

func (r *denseRoot[T]) squares(ws *tensor.Workspace[T]) float64 {
	return float64(tensor.Dot(ws, r.k, r.k))
}

func (r *denseRoot[T]) times(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], turned bool) {
	tensor.MatMul(ws, dst, x, r.k, false, turned)
}

func (r *denseRoot[T]) left(ws *tensor.Workspace[T], dst, y tensor.Tensor[T], turned bool) {
	tensor.MatMul(ws, dst, r.k, y, turned, false)
}

func (r *denseRoot[T]) move(ws *tensor.Workspace[T], h tensor.Tensor[T], s, t, alpha, beta float64) bool {
	defer ws.Release(ws.Mark())
	m, next := ws.New(r.k.Shape()), ws.New(r.k.Shape())
	tensor.MatMul(ws, m, r.k, r.k, true, false)
	tensor.Axpby(ws, m, T(s/2), h, T(t/2))
	linalg.AddDiagonal(m, -0.5)
	if !r.m.IsZero() {
		tensor.Axpy(ws, m, T(alpha), r.m)
	}
	// ‖m‖₂ is at most the Frobenius norm, and at most the largest sum of a row's absolute values.
	tensor.Apply(ws, next, tensor.Abs, m, 0)
	sums := ws.New(tensor.ShapeOf(r.n))
	tensor.SumAxis(ws, sums, next, tensor.AxisOf(next.Shape(), 1, 2))
	bound := tensor.Norm(ws, m)
	largest := 0.0
	for _, v := range sums.Data() {
		largest = max(largest, float64(v))
	}
	bound = min(bound, largest)
	tensor.MatMul(ws, next, r.k, m, false, false)
	tensor.Axpby(ws, next, 1, r.k, T(-shortened(beta, bound)))
	if !tensor.AllFinite(next) || !tensor.AllFinite(m) {
		return false
	}
	tensor.Copy(ws, r.k, next)
	if !r.m.IsZero() {
		tensor.Copy(ws, r.m, m)
	}
	return true
}

// diagonalRoot is a diagonal matrix.
type diagonalRoot[T tensor.Float] struct {
	k, m tensor.Tensor[T] // [n]; m is the zero Tensor without momentum
}

func newDiagonalRoot[T tensor.Float](n int, momentum bool) *diagonalRoot[T] {
	r := &diagonalRoot[T]{k: tensor.New[T](n)}
	if momentum {
		r.m = tensor.New[T](n)
	}
	r.start(1)
	return r
}

func (r *diagonalRoot[T]) order() int { return r.k.Size() }

func (r *diagonalRoot[T]) vectors() (k, m []T) {
	if r.m.IsZero() {
		return r.k.Data(), nil
	}
	return r.k.Data(), r.m.Data()
}

func (r *diagonalRoot[T]) start(at T) { tensor.Fill(r.k, at) }

func (r *diagonalRoot[T]) zeros(ws *tensor.Workspace[T]) tensor.Tensor[T] {
	return ws.Zeros(r.k.Shape())
}

// accumulate adds k_j² Σ_rows x_j².
func (r *diagonalRoot[T]) accumulate(ws *tensor.Workspace[T], h, x tensor.Tensor[T]) {
	defer ws.Release(ws.Mark())
	sum := ws.New(h.Shape())
	tensor.DotAxis(ws, sum, x, x, tensor.AxisOf(x.Shape(), 0, 1))
	tensor.Mul(ws, sum, sum, r.k)
	tensor.MulAdd(ws, h, sum, r.k)
}

func (r *diagonalRoot[T]) trace(h tensor.Tensor[T]) float64 {
	sum := 0.0
	for _, v := range h.Data() {
		sum += float64(v)
	}
	return sum
}

func (r *diagonalRoot[T]) squares(ws *tensor.Workspace[T]) float64 {
	return float64(tensor.Dot(ws, r.k, r.k))
}

func (r *diagonalRoot[T]) times(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], _ bool) {
	tensor.MulAxis(ws, dst, x, r.k, tensor.AxisOf(x.Shape(), 0, 1))
}

func (r *diagonalRoot[T]) left(ws *tensor.Workspace[T], dst, y tensor.Tensor[T], _ bool) {
	tensor.MulAxis(ws, dst, y, r.k, tensor.AxisOf(y.Shape(), 1, 2))
}

func (r *diagonalRoot[T]) move(ws *tensor.Workspace[T], h tensor.Tensor[T], s, t, alpha, beta float64) bool {
	defer ws.Release(ws.Mark())
	m, next := ws.New(r.k.Shape()), ws.New(r.k.Shape())
	tensor.Mul(ws, m, r.k, r.k)
	tensor.Axpby(ws, m, T(s/2), h, T(t/2))
	tensor.AddScalar(ws, m, m, -0.5)
	if !r.m.IsZero() {
		tensor.Axpy(ws, m, T(alpha), r.m)
	}
	largest := 0.0
	for _, v := range m.Data() {
		largest = max(largest, math.Abs(float64(v)))
	}
	tensor.Mul(ws, next, r.k, m)
	tensor.Axpby(ws, next, 1, r.k, T(-shortened(beta, largest)))
	if !tensor.AllFinite(next) || !tensor.AllFinite(m) {
		return false
	}
	tensor.Copy(ws, r.k, next)
	if !r.m.IsZero() {
		tensor.Copy(ws, r.m, m)
	}
	return true
}
