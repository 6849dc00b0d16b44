package linalg

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

const reflectorBlock = 32 // Householder reflectors that are applied together

// QR stores the thin factors of A = Q R in q and r: a is [m, n] with m ≥ n, q [m, n] has orthonormal columns
// and r [n, n] is upper triangular with a diagonal that is not negative. q may be a itself. A with a NaN
// or an infinity gives a [NotFiniteError]; a matrix whose columns are dependent is no error, R then has
// (almost) zeros on its diagonal.
//
// Householder reflectors, in blocks of 32 by the compact WY representation (Schreiber and Van Loan, A
// storage-efficient WY representation for products of Householder transformations, 1989). ‖QᵀQ − I‖ and
// ‖A − QR‖/‖A‖ are a small multiple of √n·ε, whatever the condition of A. Cost: 4mn² − 4n³/3 flops.
func QR[T tensor.Float](ws *tensor.Workspace[T], q, r, a tensor.Tensor[T]) error {
	s := a.Shape()
	if s.Rank() != 2 || s.Dim(0) < s.Dim(1) {
		panic(tensor.ShapeError{Op: "QR", A: s, Detail: "expected a matrix with at least as many rows as columns"})
	}
	m, n := s.Dim(0), s.Dim(1)
	expect("QR", q, m, n)
	expect("QR", r, n, n)
	if err := checkFinite("QR", a.Data(), n); err != nil {
		return err
	}
	defer ws.Release(ws.Mark())
	// Everything is done on the transposed matrix, whose rows, the columns of A, are contiguous. Row k
	// ends up as R[:k+1, k] and behind it reflector k.
	at := ws.Slice(n * m)
	transpose(at, m, a.Data(), n, m, n)
	h := newReflectors(ws, n, m)
	for lo := 0; lo < n; lo += reflectorBlock {
		hi := min(lo+reflectorBlock, n)
		for k := lo; k < hi; k++ {
			row := at[k*m : (k+1)*m]
			beta, tau := reflect(row[k], row[k+1:])
			row[k] = beta
			v := h.v[k*m : (k+1)*m]
			clear(v[:k])
			copy(v[k:], row[k:])
			v[k] = 1
			h.tau[k] = tau
			for j := k + 1; j < hi; j++ {
				c := at[j*m+k : (j+1)*m]
				simd.Axpy(c, -tau*simd.Dot(c, v[k:]), v[k:])
			}
		}
		// The remaining columns: rows ← rows (I − V T Vᵀ).
		h.form(lo, hi)
		h.apply(ws, at[hi*m:], n-hi, lo, hi, false)
	}
	for k := range n {
		for i := range n {
			r.Data()[k*n+i] = 0
			if k <= i {
				r.Data()[k*n+i] = at[i*m+k]
			}
		}
	}
	// Q = H₀ H₁ … applied to the first n columns of the identity; in transposed form, its rows.
	clear(at)
	for k := range n {
		at[k*m+k] = 1
	}
	for lo := (n - 1) / reflectorBlock * reflectorBlock; lo >= 0 && n > 0; lo -= reflectorBlock {
		h.apply(ws, at[lo*m:], n-lo, lo, min(lo+reflectorBlock, n), true)
	}
	for k := range n { // signs
		if r.Data()[k*n+k] < 0 {
			row := r.Data()[k*n : (k+1)*n]
			simd.Scale(row, row, -1)
			col := at[k*m : (k+1)*m]
			simd.Scale(col, col, -1)
		}
	}
	transpose(q.Data(), n, at, m, n, m)
	return nil
}

// reflect makes the Householder reflector H = I − τ v vᵀ, v = (1, tail), for which H (alpha, tail) =
// (beta, 0, …). It stores v's tail in tail. τ = 0, H = I if tail is zero already.
func reflect[T tensor.Float](alpha T, tail []T) (beta, tau T) {
	// Scaled, so that squares neither overflow nor vanish.
	scale := T(0)
	for _, v := range tail {
		scale = max(scale, v, -v)
	}
	if scale == 0 {
		return alpha, 0
	}
	scale = max(scale, alpha, -alpha)
	inv := 1 / scale
	if inv-inv != 0 { // all but zero: 1/scale overflows
		clear(tail)
		return alpha, 0
	}
	simd.Scale(tail, tail, inv)
	a := alpha / scale
	norm := T(math.Sqrt(float64(a*a + simd.SumSquares(tail))))
	if a > 0 {
		norm = -norm
	}
	simd.Scale(tail, tail, 1/(a-norm))
	return norm * scale, (norm - a) / norm
}

// reflectors are Householder reflectors H_k = I − τ_k v_k v_kᵀ of order m. Those of a block lo … hi are
// applied together as H_lo H_lo+1 … = I − V T Vᵀ, with V's columns the v_k (the rows lo … hi of v)
// and T upper triangular.
type reflectors[T tensor.Float] struct {
	m      int
	v, tau []T // v: one reflector a row
	t      []T // the triangular factor of the block that starts at k: reflectorBlock² elements from k·reflectorBlock on
}

func newReflectors[T tensor.Float](ws *tensor.Workspace[T], n, m int) *reflectors[T] {
	return &reflectors[T]{m: m, v: ws.Slice(n * m), tau: ws.Slice(n), t: ws.Slice((n + reflectorBlock) * reflectorBlock)}
}

// form makes the triangular factor of the block lo … hi:
//
//	T[k,k] = τ_k,  T[:k, k] = −τ_k T[:k, :k] (V[:, :k]ᵀ v_k)
func (h *reflectors[T]) form(lo, hi int) {
	t, m := h.t[lo*reflectorBlock:], h.m
	for k := lo; k < hi; k++ {
		c := k - lo
		var w [reflectorBlock]T
		for i := range c {
			w[i] = simd.Dot(h.v[(lo+i)*m:(lo+i+1)*m], h.v[k*m:(k+1)*m])
		}
		for i := range reflectorBlock {
			t[i*reflectorBlock+c] = 0
		}
		for i := range c {
			var s T
			for j := i; j < c; j++ {
				s += t[i*reflectorBlock+j] * w[j]
			}
			t[i*reflectorBlock+c] = -h.tau[k] * s
		}
		t[c*reflectorBlock+c] = h.tau[k]
	}
}

// apply multiplies the rows of x [rows, m] from the right by I − V T Vᵀ of the block lo … hi, or, if
// trans, by its transpose I − V Tᵀ Vᵀ.
func (h *reflectors[T]) apply(ws *tensor.Workspace[T], x []T, rows, lo, hi int, trans bool) {
	b, m := hi-lo, h.m
	if rows <= 0 || b <= 0 {
		return
	}
	defer ws.Release(ws.Mark())
	w, wt := ws.Slice(rows*b), ws.Slice(rows*b)
	v, t := h.v[lo*m:], h.t[lo*reflectorBlock:]
	rangeRows(ws, rows, 4*rows*m*b, func(r0, r1 int) {
		n := r1 - r0
		x, w, wt := x[r0*m:], w[r0*b:], wt[r0*b:]
		simd.Gemm(false, true, n, b, m-lo, 1, x[lo:], m, v[lo:], m, 0, w, b) // v's rows are zero before lo
		simd.Gemm(false, trans, n, b, b, 1, w, b, t, reflectorBlock, 0, wt, b)
		simd.Gemm(false, false, n, m-lo, b, -1, wt, b, v[lo:], m, 1, x[lo:], m)
	})
}

// transpose stores the transpose of the rows×cols matrix src in dst, in square blocks.
func transpose[T tensor.Float](dst []T, ldd int, src []T, lds, rows, cols int) {
	const block = 32
	for i0 := 0; i0 < rows; i0 += block {
		for j0 := 0; j0 < cols; j0 += block {
			for i := i0; i < min(i0+block, rows); i++ {
				for j := j0; j < min(j0+block, cols); j++ {
					dst[j*ldd+i] = src[i*lds+j]
				}
			}
		}
	}
}
