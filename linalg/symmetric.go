package linalg

import (
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

const symmetricBlock = 96 // rows of the product that are computed together

// SymmetricProduct stores op(a)·op(b) in dst [n, n] where the caller knows that the product is symmetric: A Aᵀ, a power of a symmetric
// matrix, the product of two that commute. The lower triangle, in blocks, is computed and the rest copied from it,
// so that dst is symmetric to the bit. dst must be neither operand. It panics unless the product is square.
//
// Cost: n²k flops and a little more, half those of a product.
func SymmetricProduct[T tensor.Float](ws *tensor.Workspace[T], dst, a, b tensor.Tensor[T], transA, transB bool) {
	s := tensor.MatMulShape(a.Shape(), b.Shape(), transA, transB)
	if s.Rank() != 2 || s.Rows() != s.Cols() {
		panic(tensor.ShapeError{Op: "SymmetricProduct", A: a.Shape(), B: b.Shape(), Detail: "the product is not square"})
	}
	n, k := s.Rows(), a.Shape().Cols()
	if transA {
		k = a.Shape().Rows()
	}
	expect("SymmetricProduct", dst, n, n)
	if n <= symmetricBlock {
		tensor.MatMul(ws, dst, a, b, transA, transB)
		mirror(dst.Data(), n, 0, n)
		return
	}
	lda, ldb := a.Shape().Cols(), b.Shape().Cols()
	x, y, c := a.Data(), b.Data(), dst.Data()
	blocks := (n + symmetricBlock - 1) / symmetricBlock
	rows := func(i int) {
		lo, hi := i*symmetricBlock, min((i+1)*symmetricBlock, n)
		first := lo * lda
		if transA {
			first = lo
		}
		simd.Gemm(transA, transB, hi-lo, hi, k, 1, x[first:], lda, y, ldb, 0, c[lo*n:], n)
		mirror(c, n, lo, hi)
	}
	// A long block of rows with a short one, so that every part is as much work.
	ws.Pool().Do((blocks+1)/2, func(_, part int) {
		rows(part)
		if other := blocks - 1 - part; other != part {
			rows(other)
		}
	})
}

// mirror copies rows lo … hi of the lower triangle of c [n, n] to the columns of the upper.
func mirror[T tensor.Float](c []T, n, lo, hi int) {
	const block = 32
	for j0 := 0; j0 < hi; j0 += block {
		for i := max(lo, j0); i < hi; i++ {
			for j := j0; j < min(j0+block, i); j++ {
				c[j*n+i] = c[i*n+j]
			}
		}
	}
}
