package tensor

import "github.com/descent-ml/descent/internal/simd"

// MatMulShape returns the shape of op(a)·op(b), each viewed as a matrix (Shape.Rows × Shape.Cols). If
// a is not transposed the leading axes of a are kept.
func MatMulShape(a, b Shape, transA, transB bool) Shape {
	m, k := a.Rows(), a.Cols()
	if transA {
		m, k = k, m
	}
	kb, n := b.Rows(), b.Cols()
	if transB {
		kb, n = n, kb
	}
	if k != kb {
		panic(ShapeError{Op: "MatMul", A: a, B: b})
	}
	if transA {
		return ShapeOf(m, n)
	}
	if a.Rank() == 0 {
		return ShapeOf(n)
	}
	return a.With(-1, n)
}

// MatMul stores op(a)·op(b) in dst. Every element is summed in the order of the inner index (see
// simd.Gemm; inner products of contiguous rows where the result is a vector, see simd.Gemv): the bits
// depend on the shapes alone.
func MatMul[T Float](ws *Workspace[T], dst, a, b Tensor[T], transA, transB bool) {
	multiply(ws, dst, a, b, transA, transB, 0, nil, false)
}

// MatMulAcc adds op(a)·op(b) to dst.
func MatMulAcc[T Float](ws *Workspace[T], dst, a, b Tensor[T], transA, transB bool) {
	multiply(ws, dst, a, b, transA, transB, 1, nil, false)
}

// Affine stores x·w + b in dst, b added to every row, and applies ReLU to it if relu. b may be the
// zero Tensor: no bias. x is viewed as rows; w is [in, out] and b [out].
func Affine[T Float](ws *Workspace[T], dst, x, w, b Tensor[T], relu bool) {
	if !b.IsZero() && b.Size() != w.shape.Cols() {
		panic(ShapeError{Op: "Affine (bias)", A: w.shape, B: b.shape})
	}
	multiply(ws, dst, x, w, false, false, 0, b.data, relu)
}

// parallelWork is the number of multiplications that are worth a second worker.
const parallelWork = 1 << 16

// multiply stores op(a)·op(b) + beta·dst, bias and ReLU applied, in dst. It is cut between the
// workers over the columns or rows of dst, which does not change the order of any sum.
func multiply[T Float](ws *Workspace[T], dst, a, b Tensor[T], transA, transB bool, beta T, bias []T, relu bool) {
	s := MatMulShape(a.shape, b.shape, transA, transB)
	if s.Size() != dst.Size() {
		panic(ShapeError{Op: "MatMul", A: s, B: dst.shape})
	}
	m, n, k := s.Rows(), s.Cols(), a.shape.Cols()
	if transA {
		k = a.shape.Rows()
	}
	lda, ldb, ldc := max(1, a.shape.Cols()), max(1, b.shape.Cols()), max(1, n)
	part := func(i0, i1, j0, j1 int) {
		if i0 == i1 || j0 == j1 {
			return
		}
		ao, bo := i0*lda, j0
		if transA {
			ao = i0
		}
		if transB {
			bo = j0 * ldb
		}
		if k == 0 {
			ao, bo = 0, 0
		}
		bj := bias
		if bias != nil {
			bj = bias[j0:j1]
		}
		simd.GemmAffine(transA, transB, i1-i0, j1-j0, k, 1, a.data[ao:], lda, b.data[bo:], ldb, beta, dst.data[i0*ldc+j0:], ldc, bj, relu)
	}
	pool := ws.Pool()
	if pool.Workers() == 1 || m*n*k < 2*parallelWork {
		part(0, m, 0, n)
		return
	}
	// A worker packs its part of op(b) and reads all of op(a), if columns are cut.
	if n >= 64*pool.Workers() && (n >= m || n >= 512) {
		pool.Range(n, 32, func(lo, hi int) { part(0, m, lo, hi) })
		return
	}
	pool.Range(m, 4, func(lo, hi int) { part(lo, hi, 0, n) })
}
