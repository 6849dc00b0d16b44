package linalg

import (
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

const (
	triangularBlock = 64 // order of the diagonal blocks that are solved row by row
	fewColumns      = 4  // up to so many right-hand sides are solved one by one
)

// SolveTriangular stores the solution X of op(A) X = B in dst, where A [n, n] is the given triangle of a
// and op transposes if trans is set. B and dst are [n, m], or [n] for one right-hand side; dst may
// be b itself. A diagonal element that is zero or NaN gives a [SingularError] and leaves dst undefined.
//
// Cost: n²m flops; in blocks of 64 rows, all but the diagonal blocks by matrix products.
func SolveTriangular[T tensor.Float](ws *tensor.Workspace[T], dst, a, b tensor.Tensor[T], tri Triangle, trans bool) error {
	n := square("SolveTriangular", a)
	if s := b.Shape(); s.Rank() < 1 || s.Rank() > 2 || s.Dim(0) != n || dst.Shape() != s {
		panic(tensor.ShapeError{Op: "SolveTriangular", A: a.Shape(), B: s, Detail: "right-hand side, solution " + dst.Shape().String()})
	}
	for i := range n {
		if v := a.Data()[i*n+i]; !(v != 0) || v != v {
			return SingularError{Pivot: i, Order: n, Value: float64(v)}
		}
	}
	if n == 0 {
		return nil
	}
	x := dst.Data()
	if len(x) > 0 && &x[0] != &b.Data()[0] {
		copy(x, b.Data())
	}
	forward := (tri == Lower) != trans
	if m := len(x) / n; m > fewColumns {
		// The columns of X are independent: each worker solves some of them.
		parts := max(1, min(ws.Pool().Workers(), m/16))
		if n*n*m < 1<<18 {
			parts = 1
		}
		ws.Pool().Do(parts, func(_, k int) {
			lo, hi := k*m/parts, (k+1)*m/parts
			solveColumns(a.Data(), n, x[lo:], m, hi-lo, forward, trans)
		})
		return nil
	} else if m == 1 {
		solveVector(a.Data(), n, x, forward, trans)
	} else {
		defer ws.Release(ws.Mark())
		v := ws.Slice(n)
		for j := range m {
			for i := range v {
				v[i] = x[i*m+j]
			}
			solveVector(a.Data(), n, v, forward, trans)
			for i := range v {
				x[i*m+j] = v[i]
			}
		}
	}
	return nil
}

// solveVector solves op(A) x = b in place. All passes run along rows of A: inner products if A is not
// transposed, and where it is, each solved unknown is subtracted from the rest at once.
func solveVector[T tensor.Float](a []T, n int, x []T, forward, trans bool) {
	for s := range n {
		i := s
		if !forward {
			i = n - 1 - s
		}
		row := a[i*n : (i+1)*n]
		lo, hi := 0, i // unknowns already known (not transposed) or the ones to come (transposed)
		if forward == trans {
			lo, hi = i+1, n
		}
		if trans {
			x[i] /= row[i]
			simd.Axpy(x[lo:hi], -x[i], row[lo:hi])
		} else {
			x[i] = (x[i] - simd.Dot(row[lo:hi], x[lo:hi])) / row[i]
		}
	}
}

// solveColumns solves op(A) X = B in place for m columns of X, whose rows are ldx apart.
func solveColumns[T tensor.Float](a []T, n int, x []T, ldx, m int, forward, trans bool) {
	at := func(i, j int) T { // op(A)[i, j]
		if trans {
			i, j = j, i
		}
		return a[i*n+j]
	}
	for s := 0; s < n; s += triangularBlock {
		lo, hi := s, min(s+triangularBlock, n)
		if !forward {
			lo, hi = max(0, n-s-triangularBlock), n-s
		}
		// The diagonal block, row by row.
		for r := range hi - lo {
			i, j0, j1 := lo+r, lo, lo+r
			if !forward {
				i = hi - 1 - r
				j0, j1 = i+1, hi
			}
			row := x[i*ldx : i*ldx+m]
			for j := j0; j < j1; j++ {
				simd.Axpy(row, -at(i, j), x[j*ldx:j*ldx+m])
			}
			inv := 1 / at(i, i)
			simd.Scale(row, row, inv)
		}
		// What it contributes to the rows still to come.
		r0, r1 := hi, n
		if !forward {
			r0, r1 = 0, lo
		}
		if r0 == r1 {
			continue
		}
		block := a[r0*n+lo:]
		if trans {
			block = a[lo*n+r0:]
		}
		simd.Gemm(trans, false, r1-r0, m, hi-lo, -1, block, n, x[lo*ldx:], ldx, 1, x[r0*ldx:], ldx)
	}
}
