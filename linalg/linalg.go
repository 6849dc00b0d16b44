package linalg

import (
	"fmt"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Triangle says which triangle of a square matrix is meant; the other is not read.
type Triangle uint8

const (
	Lower Triangle = iota
	Upper
)

// String returns "lower" or "upper".
func (t Triangle) String() string { return [...]string{"lower", "upper"}[t] }

// NotPositiveDefiniteError says that a matrix has no Cholesky factor: the square of the diagonal
// element that would come next is not positive (or not a number).
type NotPositiveDefiniteError struct {
	Pivot int     // index of the row and column, from 0
	Order int     // of the matrix
	Value float64 // what was found instead of a positive number
}

func (e NotPositiveDefiniteError) Error() string {
	return fmt.Sprintf("linalg: Cholesky: pivot %d of %d is %v, expected a positive number: the matrix is not positive definite\n"+
		"hint: add a positive multiple of the identity (damping) to it", e.Pivot, e.Order, e.Value)
}

// SingularError says that a triangular matrix has a zero, or a NaN, on its diagonal.
type SingularError struct {
	Pivot int // index of the row and column, from 0
	Order int
	Value float64
}

func (e SingularError) Error() string {
	return fmt.Sprintf("linalg: triangular solve: diagonal element %d of %d is %v, expected a number that is not zero\n"+
		"hint: the columns of the matrix are linearly dependent; add damping, or drop some", e.Pivot, e.Order, e.Value)
}

// NotFiniteError says that an argument holds a NaN or an infinity.
type NotFiniteError struct {
	Op       string
	Row, Col int // of the first such element
	Value    float64
}

func (e NotFiniteError) Error() string {
	return fmt.Sprintf("linalg: %s: element (%d, %d) is %v, expected finite numbers\n"+
		"hint: the computation that made the matrix has diverged", e.Op, e.Row, e.Col, e.Value)
}

// checkFinite returns a NotFiniteError for the first element of a that is not finite.
func checkFinite[T tensor.Float](op string, a []T, cols int) error {
	if simd.AllFinite(a) {
		return nil
	}
	for i, v := range a {
		if v-v != 0 {
			return NotFiniteError{Op: op, Row: i / cols, Col: i % cols, Value: float64(v)}
		}
	}
	return nil
}

// square returns the order of a square matrix; it panics with a [tensor.ShapeError] if a is not one.
func square[T tensor.Float](op string, a tensor.Tensor[T]) int {
	s := a.Shape()
	if s.Rank() != 2 || s.Dim(0) != s.Dim(1) {
		panic(tensor.ShapeError{Op: op, A: s, Detail: "expected a square matrix"})
	}
	return s.Dim(0)
}

// expect panics with a [tensor.ShapeError] unless a has the given shape.
func expect[T tensor.Float](op string, a tensor.Tensor[T], dims ...int) {
	if s := tensor.ShapeOf(dims...); a.Shape() != s {
		panic(tensor.ShapeError{Op: op, A: s, B: a.Shape()})
	}
}

// AddDiagonal adds v to the diagonal of the square matrix m.
func AddDiagonal[T tensor.Float](m tensor.Tensor[T], v T) {
	n, d := square("AddDiagonal", m), m.Data()
	for i := 0; i < n*n; i += n + 1 {
		d[i] += v
	}
}

// Identity stores v·I in the square matrix m.
func Identity[T tensor.Float](m tensor.Tensor[T], v T) {
	clear(m.Data())
	AddDiagonal(m, v)
}

// rangeRows runs f over [0, n) on the pool of ws if the work, in flops, is worth more than one worker.
// f's result must not depend on the cut.
func rangeRows[T tensor.Float](ws *tensor.Workspace[T], n, work int, f func(lo, hi int)) {
	if n <= 0 {
		return
	}
	if work < 1<<17 {
		f(0, n)
		return
	}
	ws.Pool().Range(n, 8, f)
}
