package tensor

import "github.com/descent-ml/descent/internal/simd"

// SquaredOuterSum stores in dst [in, out] the sum over examples of the squared gradient of the weight of
// an affine layer Y = X W. Example e owns rowsPer successive rows of x [rows, in] and dy [rows, out]; its
// gradient is G_e = X_eᵀ DY_e, and
//
//	dst = Σ_e G_e∘G_e.
//
// For one row an example that is (X∘X)ᵀ(DY∘DY), one matrix product. For more it costs one product an
// example, added in the order of the examples.
func SquaredOuterSum[T Float](ws *Workspace[T], dst, x, dy Tensor[T], rowsPer int) {
	rows, in, out := x.shape.Rows(), x.shape.Cols(), dy.shape.Cols()
	if dy.shape.Rows() != rows || rowsPer < 1 || rows%rowsPer != 0 || len(dst.data) != in*out {
		panic(ShapeError{Op: "SquaredOuterSum", A: x.shape, B: dy.shape, Detail: "result " + dst.shape.String()})
	}
	m := ws.Mark()
	defer ws.Release(m)
	if rowsPer == 1 {
		x2, dy2 := ws.New(ShapeOf(rows, in)), ws.New(ShapeOf(rows, out))
		Mul(ws, x2, x, x)
		Mul(ws, dy2, dy, dy)
		MatMul(ws, dst, x2, dy2, true, false)
		return
	}
	clear(dst.data)
	g := ws.New(ShapeOf(in, out))
	for e := 0; e < rows; e += rowsPer {
		xe, de := Of(x.data[e*in:(e+rowsPer)*in], ShapeOf(rowsPer, in)), Of(dy.data[e*out:(e+rowsPer)*out], ShapeOf(rowsPer, out))
		MatMul(ws, g, xe, de, true, false)
		MulAdd(ws, dst, g, g)
	}
}

// SquaredRowSum stores in dst [out] the sum over examples of the squared gradient of the bias of an affine
// layer: Σ_e (Σ_{rows r of e} dy_r)². See [SquaredOuterSum].
func SquaredRowSum[T Float](ws *Workspace[T], dst, dy Tensor[T], rowsPer int) {
	rows, out := dy.shape.Rows(), dy.shape.Cols()
	if rowsPer < 1 || rows%rowsPer != 0 || len(dst.data) != out {
		panic(ShapeError{Op: "SquaredRowSum", A: dy.shape, B: dst.shape})
	}
	m := ws.Mark()
	defer ws.Release(m)
	g := ws.New(ShapeOf(rows/rowsPer, out))
	SumAxis(ws, g, dy, Axis{rows / rowsPer, rowsPer, out})
	Mul(ws, g, g, g)
	SumAxis(ws, dst, g, Axis{1, rows / rowsPer, out})
}

// BatchMatMul stores op(a_i)·op(b_i) in matrix i of dst, for tensors viewed as stacks of matrices (the last two
// axes).
func BatchMatMul[T Float](ws *Workspace[T], dst, a, b Tensor[T], transA, transB bool) {
	s := BatchMatMulShape(a.shape, b.shape, transA, transB)
	if s.Size() != len(dst.data) {
		panic(ShapeError{Op: "BatchMatMul", A: s, B: dst.shape})
	}
	m, n := s.Dim(-2), s.Dim(-1)
	ar, ac, br, bc := a.shape.Dim(-2), a.shape.Dim(-1), b.shape.Dim(-2), b.shape.Dim(-1)
	k := ac
	if transA {
		k = ar
	}
	if m*n == 0 {
		return
	}
	if k == 0 {
		clear(dst.data)
		return
	}
	f := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			simd.Gemm(transA, transB, m, n, k, 1, a.data[i*ar*ac:(i+1)*ar*ac], ac, b.data[i*br*bc:(i+1)*br*bc], bc, 0, dst.data[i*m*n:(i+1)*m*n], n)
		}
	}
	count := len(dst.data) / (m * n)
	if ws.serial(len(dst.data)*k, 1<<16) {
		f(0, count)
	} else {
		ws.pool.Range(count, 1, f)
	}
}

// BatchMatMulShape returns the shape of [BatchMatMul]'s result.
func BatchMatMulShape(a, b Shape, transA, transB bool) Shape {
	if a.Rank() < 2 || a.Rank() != b.Rank() {
		panic(ShapeError{Op: "BatchMatMul", A: a, B: b})
	}
	m, k := a.Dim(-2), a.Dim(-1)
	if transA {
		m, k = k, m
	}
	kb, n := b.Dim(-2), b.Dim(-1)
	if transB {
		kb, n = n, kb
	}
	if k != kb || a.With(-1, 1).With(-2, 1) != b.With(-1, 1).With(-2, 1) {
		panic(ShapeError{Op: "BatchMatMul", A: a, B: b})
	}
	return a.With(-2, m).With(-1, n)
}
