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
// simd.Gemm): the bits depend on the shapes alone.
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

// parallelWork is the number of multiplications that are worth a second worker: some 5 µs.
const parallelWork = 1 << 18

// product is c ← op(a)·op(b) + beta·c, then bias and ReLU.
type product[T Float] struct {
	transA, transB bool
	m, n, k        int
	a, b, c        []T
	lda, ldb       int
	beta           T
	bias           []T
	relu           bool
}

// multiply stores op(a)·op(b) + beta·dst, with bias and ReLU, in dst. It is cut between the workers over
// the columns or the rows of dst, which does not change the order of any sum.
func multiply[T Float](ws *Workspace[T], dst, a, b Tensor[T], transA, transB bool, beta T, bias []T, relu bool) {
	s := MatMulShape(a.shape, b.shape, transA, transB)
	if s.Size() != dst.Size() {
		panic(ShapeError{Op: "MatMul", A: s, B: dst.shape})
	}
	g := product[T]{
		transA: transA, transB: transB, m: s.Rows(), n: s.Cols(), k: a.shape.Cols(),
		a: a.data, b: b.data, c: dst.data, lda: max(1, a.shape.Cols()), ldb: max(1, b.shape.Cols()),
		beta: beta, bias: bias, relu: relu,
	}
	if transA {
		g.k = a.shape.Rows()
	}
	pool := ws.Pool()
	w := pool.Workers()
	switch {
	case w == 1 || g.m*g.n*g.k < parallelWork:
		g.part(0, g.m, 0, g.n)
	case g.n >= 64*w && g.n >= g.m:
		// Each worker packs its columns of op(b) and all of op(a), the smaller one; below, the
		// other way round.
		g := g
		pool.Range(g.n, 32, func(lo, hi int) { g.part(0, g.m, lo, hi) })
	default:
		g := g
		pool.Range(g.m, 2, func(lo, hi int) { g.part(lo, hi, 0, g.n) })
	}
}

// part computes rows i0…i1 and columns j0…j1.
func (g *product[T]) part(i0, i1, j0, j1 int) {
	if i0 == i1 || j0 == j1 {
		return
	}
	a, b, bias := g.a, g.b, g.bias
	if g.k > 0 {
		if g.transA {
			a = a[i0:]
		} else {
			a = a[i0*g.lda:]
		}
		if g.transB {
			b = b[j0*g.ldb:]
		} else {
			b = b[j0:]
		}
	}
	if bias != nil {
		bias = bias[j0:j1]
	}
	simd.GemmAffine(g.transA, g.transB, i1-i0, j1-j0, g.k, 1, a, g.lda, b, g.ldb, g.beta, g.c[i0*g.n+j0:], g.n, bias, g.relu)
}
