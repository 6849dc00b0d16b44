package simd

// Gemv computes y ← α op(A) x + β y for a row-major m×n matrix A, op(A) = Aᵀ if trans.
//
// Without trans every element is the inner product [Dot] of a row and x; with trans it is summed
// over the rows of A in order by fused multiply-adds, as a chain from β·y with α·x rounded first.
func Gemv[T Float](trans bool, m, n int, alpha T, a []T, lda int, x []T, beta T, y []T) {
	checkMatrix("Gemv", "A", m, n, len(a), lda)
	k := use[T]()
	if trans {
		same("Gemv", m, len(x))
		same("Gemv", n, len(y))
		if beta == 0 {
			clear(y)
		} else if beta != 1 {
			k.scale(y, y, beta)
		}
		for i, v := range x {
			k.axpy(y, alpha*v, a[i*lda:i*lda+n])
		}
		return
	}
	same("Gemv", n, len(x))
	same("Gemv", m, len(y))
	for i := range y {
		s := k.dot(a[i*lda:i*lda+n], x)
		if beta == 0 {
			y[i] = alpha * s
		} else {
			y[i] = fma(alpha, s, beta*y[i])
		}
	}
}

// Ger computes A ← A + α x yᵀ for a row-major len(x)×len(y) matrix A; α·x is rounded first.
func Ger[T Float](alpha T, x, y, a []T, lda int) {
	checkMatrix("Ger", "A", len(x), len(y), len(a), lda)
	k := use[T]()
	for i, v := range x {
		k.axpy(a[i*lda:i*lda+len(y)], alpha*v, y)
	}
}

// syrkBlock is the width of the column blocks of Syrk.
const syrkBlock = 128

// Syrk computes the symmetric n×n matrix C ← α op(A) op(A)ᵀ + β C, op(A) n×k; A is stored k×n if
// trans (C = α AᵀA + β C), else n×k. The lower triangle of C is computed, with the order of
// operations of [Gemm], and then copied to the upper one; about half the work of Gemm. Only the
// lower triangle of C is read.
func Syrk[T Float](trans bool, n, k int, alpha T, a []T, lda int, beta T, c []T, ldc int) {
	checkMatrix("Syrk", "C", n, n, len(c), ldc)
	kern := use[T]()
	for j := 0; j < n; j += syrkBlock {
		// Rows j…n of columns j…j+w.
		w := min(syrkBlock, n-j)
		off := j * lda
		if trans {
			off = j
		}
		if k == 0 {
			off = 0
		}
		Gemm(trans, !trans, n-j, w, k, alpha, a[off:], lda, a[off:], lda, beta, c[j*ldc+j:], ldc)
		for jj := j; jj < j+w; jj++ { // the diagonal block
			for i := jj + 1; i < j+w; i++ {
				c[jj*ldc+i] = c[i*ldc+jj]
			}
		}
		if rest := n - j - w; rest > 0 {
			kern.transpose(c[j*ldc+j+w:], ldc, c[(j+w)*ldc+j:], ldc, rest, w)
		}
	}
}
