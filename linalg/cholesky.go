package linalg

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

const choleskyBlock = 64 // columns that are factored at once

// Cholesky stores the lower triangular L with A = L Lᵀ and a positive diagonal in dst, zeros above the
// diagonal. Of the symmetric matrix a [n, n] the lower triangle alone is read; dst may be a itself. If A is
// not positive definite to working precision the result is a [NotPositiveDefiniteError], which names
// the pivot, and dst is undefined.
//
// The factorisation is stable without pivoting: ‖A − L Lᵀ‖ ≤ about n·ε·‖A‖ (Higham, Accuracy and
// Stability of Numerical Algorithms, §10.1). Cost: n³/3 flops, by matrix products in blocks of 64 columns.
func Cholesky[T tensor.Float](ws *tensor.Workspace[T], dst, a tensor.Tensor[T]) error {
	n := square("Cholesky", a)
	expect("Cholesky", dst, n, n)
	l := dst.Data()
	if n > 0 && &l[0] != &a.Data()[0] {
		copy(l, a.Data())
	}
	for lo := 0; lo < n; lo += choleskyBlock {
		hi := min(lo+choleskyBlock, n)
		// L[lo:, lo:hi] ← A[lo:, lo:hi] − L[lo:, :lo] L[lo:hi, :lo]ᵀ
		rangeRows(ws, n-lo, 2*(n-lo)*lo*(hi-lo), func(r0, r1 int) {
			simd.Gemm(false, true, r1-r0, hi-lo, lo, -1, l[(lo+r0)*n:], n, l[lo*n:], n, 1, l[(lo+r0)*n+lo:], n)
		})
		// The diagonal block.
		for i := lo; i < hi; i++ {
			row := l[i*n : i*n+i+1]
			solveRow(row[lo:], l, n, lo, i)
			d := row[i] - simd.SumSquares(row[lo:i])
			if !(d > 0) || math.IsInf(float64(d), 1) {
				return NotPositiveDefiniteError{Pivot: i, Order: n, Value: float64(d)}
			}
			row[i] = T(math.Sqrt(float64(d)))
		}
		// The rows below it: each solves x L[lo:hi, lo:hi]ᵀ = its elements.
		rangeRows(ws, n-hi, (n-hi)*(hi-lo)*(hi-lo), func(r0, r1 int) {
			for i := hi + r0; i < hi+r1; i++ {
				solveRow(l[i*n+lo:i*n+hi], l, n, lo, hi)
			}
		})
	}
	for i := range n {
		clear(l[i*n+i+1 : (i+1)*n])
	}
	return nil
}

// solveRow solves x L[lo:hi, lo:hi]ᵀ = b in place for the row vector b = x, of which the first hi−lo
// elements count.
func solveRow[T tensor.Float](x, l []T, n, lo, hi int) {
	for j := lo; j < hi; j++ {
		row := l[j*n+lo : j*n+j+1]
		k := j - lo
		x[k] = (x[k] - simd.Dot(x[:k], row[:k])) / row[k]
	}
}

// CholeskySolve stores the solution X of A X = B in dst, given the factor L of A = L Lᵀ. B and dst are
// [n, m] or [n]; dst may be b itself. Cost: 2n²m flops.
func CholeskySolve[T tensor.Float](ws *tensor.Workspace[T], dst, l, b tensor.Tensor[T]) error {
	if err := SolveTriangular(ws, dst, l, b, Lower, false); err != nil {
		return err
	}
	return SolveTriangular(ws, dst, l, dst, Lower, true)
}

// CholeskyInverse stores A⁻¹ in dst, symmetric to the last bit, given the factor L of A = L Lᵀ. Cost: about
// 2n³ flops.
func CholeskyInverse[T tensor.Float](ws *tensor.Workspace[T], dst, l tensor.Tensor[T]) error {
	n := square("CholeskyInverse", l)
	expect("CholeskyInverse", dst, n, n)
	d := dst.Data()
	clear(d)
	for i := range n {
		d[i*n+i] = 1
	}
	if err := CholeskySolve(ws, dst, l, dst); err != nil {
		return err
	}
	for i := range n {
		for j := range i {
			d[j*n+i] = d[i*n+j]
		}
	}
	return nil
}

// CholeskyLogDet returns ln det A given the factor L of A = L Lᵀ.
func CholeskyLogDet[T tensor.Float](l tensor.Tensor[T]) float64 {
	n := square("CholeskyLogDet", l)
	s := 0.0
	for i := range n {
		s += 2 * math.Log(float64(l.Data()[i*n+i]))
	}
	return s
}
