package linalg

import (
	"fmt"
	"math"
	"sort"

	"github.com/descent-ml/descent/internal/lapack"
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// NoConvergenceError says that an iteration did not reach its tolerance. For finite symmetric matrices it
// does not occur in practice.
type NoConvergenceError struct {
	Op         string
	Index      int // of the eigenvalue
	Iterations int
}

func (e NoConvergenceError) Error() string {
	return fmt.Sprintf("linalg: %s: eigenvalue %d has not converged after %d iterations\n"+
		"hint: please report the matrix", e.Op, e.Index, e.Iterations)
}

// SymmetricEigen computes the eigenvalues and, unless vectors is the zero Tensor, the eigenvectors of the
// symmetric matrix a [n, n], of which the lower triangle alone is read:
//
//	A V = V diag(values),  VᵀV = I,  values in ascending order, eigenvector j in column j of vectors
//
// vectors [n, n] may be a itself. A NaN or an infinity gives a [NotFiniteError].
//
// Householder reflectors reduce A to tridiagonal form, 32 columns at a time; then Cuppen's divide and
// conquer, with Gu and Eisenstat's stable eigenvectors, in float64 whatever T is (Gu and Eisenstat, A
// divide-and-conquer algorithm for the symmetric tridiagonal eigenproblem, 1995); for the eigenvalues alone
// implicit QL. No step runs down columns, so orders that are powers of two are not slower than others.
//
// A program that is built with the tag lapack and asked to by the environment variable DESCENT_LAPACK leaves orders from 64 on to the
// machine's LAPACK (see [LAPACKSpeed]); the bits are then those of that library.
//
// Accuracy: ‖A V − V Λ‖ ≤ c ε ‖A‖ and ‖VᵀV − I‖ ≤ c ε, with c about √n; the error of every eigenvalue is
// of the order ε ‖A‖, so that small eigenvalues of an ill-conditioned matrix have no relative accuracy.
// Cost: 4n³/3 flops for the values, up to 14n³/3 with the vectors, half of the reduction limited by memory
// bandwidth and the rest by matrix products.
func SymmetricEigen[T tensor.Float](ws *tensor.Workspace[T], values []T, vectors, a tensor.Tensor[T]) error {
	return symmetricEigen(ws, values, vectors, a, askedLAPACK())
}

// symmetricEigen is SymmetricEigen, by the library if there is one.
func symmetricEigen[T tensor.Float](ws *tensor.Workspace[T], values []T, vectors, a tensor.Tensor[T], library *lapack.Library) error {
	n := square("SymmetricEigen", a)
	if len(values) != n {
		panic(tensor.ShapeError{Op: "SymmetricEigen", A: tensor.ShapeOf(n), B: tensor.ShapeOf(len(values)), Detail: "storage for the eigenvalues"})
	}
	if !vectors.IsZero() {
		expect("SymmetricEigen", vectors, n, n)
	}
	if n == 0 {
		return nil
	}
	defer ws.Release(ws.Mark())
	full := ws.Slice(n * n)
	scale, err := symmetrize(full, a.Data(), n)
	if err != nil {
		return err
	}
	if library != nil && n >= lapackOrder {
		return eigenBy(library, values, vectors, full, n, scale)
	}
	d, e := make([]float64, n), make([]float64, n)
	h := newReflectors(ws, n, n)
	tridiagonalize(ws, d, e, full, n, h)
	if vectors.IsZero() {
		if err := implicitQL(d, e, nil, 0); err != nil {
			return err
		}
		sort.Float64s(d)
		for i, v := range d {
			values[i] = T(v / scale)
		}
		return nil
	}
	dc := newDivideConquer(ws.Pool(), d, e)
	if err := dc.solve(0, n); err != nil {
		return err
	}
	// Eigenvectors of the tridiagonal matrix are the rows of dc.z; those of A are Q times them.
	order := dc.order(0, n)
	for i, k := range order {
		values[i] = T(dc.d[k] / scale)
		row := full[i*n : (i+1)*n]
		for j, v := range dc.z[k*n : (k+1)*n] {
			row[j] = T(v)
		}
	}
	for lo := (n - 1) / reflectorBlock * reflectorBlock; lo >= 0; lo -= reflectorBlock {
		h.apply(ws, full, n, lo, min(lo+reflectorBlock, n), true)
	}
	transpose(vectors.Data(), n, full, n, n, n)
	return nil
}

// symmetrize stores the symmetric matrix given by the lower triangle of a in dst, multiplied by the power of
// two which brings its largest element near one, so that nothing overflows. It returns that power.
func symmetrize[T tensor.Float](dst, a []T, n int) (float64, error) {
	largest := T(0)
	for i := range n {
		for j, v := range a[i*n : i*n+i+1] {
			if v-v != 0 {
				return 0, NotFiniteError{Op: "SymmetricEigen", Row: i, Col: j, Value: float64(v)}
			}
			largest = max(largest, v, -v)
		}
	}
	_, exp := math.Frexp(float64(largest))
	scale := math.Ldexp(1, -max(-1000, min(1000, exp)))
	const block = 32
	for i0 := 0; i0 < n; i0 += block {
		for j0 := 0; j0 <= i0; j0 += block {
			for i := i0; i < min(i0+block, n); i++ {
				for j := j0; j < min(j0+block, i+1); j++ {
					v := T(float64(a[i*n+j]) * scale)
					dst[i*n+j], dst[j*n+i] = v, v
				}
			}
		}
	}
	return scale, nil
}

// tridiagonalize reduces the symmetric matrix a, which it overwrites, to Qᵀ A Q with diagonal d and
// off-diagonal e[:n-1], Q = H₀ H₁ …, and leaves the reflectors in h, formed in blocks.
//
// Reflector k zeroes row k behind its first off-diagonal element. With p = τ A v and w = p − ½ τ (pᵀv) v,
//
//	H A H = A − v wᵀ − w vᵀ,
//
// and these updates are saved up: within a block of columns, row k alone is brought up to date, and p is
// corrected by the v and w so far; then all are applied to the rest of A by two matrix products
// (LAPACK's dlatrd, Dongarra, Hammarling and Sorensen, 1989).
func tridiagonalize[T tensor.Float](ws *tensor.Workspace[T], d, e []float64, a []T, n int, h *reflectors[T]) {
	defer ws.Release(ws.Mark())
	w := ws.Slice(reflectorBlock * n) // the w of the block, one a row
	p := ws.Slice(n)
	clear(h.v)
	for lo := 0; lo < n; lo += reflectorBlock {
		hi := min(lo+reflectorBlock, n)
		for k := lo; k < hi; k++ {
			row := a[k*n : (k+1)*n]
			for j := lo; j < k; j++ {
				v, w := h.v[j*n:(j+1)*n], w[(j-lo)*n:][:n]
				simd.Axpy(row[k:], -v[k], w[k:])
				simd.Axpy(row[k:], -w[k], v[k:])
			}
			d[k] = float64(row[k])
			h.tau[k] = 0
			if k+1 == n {
				break
			}
			beta, tau := reflect(row[k+1], row[k+2:])
			e[k], h.tau[k] = float64(beta), tau
			v := h.v[k*n : (k+1)*n]
			copy(v[k+2:], row[k+2:])
			v[k+1] = 1
			// p = τ (A v − Σ_j v_j (w_jᵀv) + w_j (v_jᵀv)), on the elements behind k
			m := n - k - 1
			p, v := p[:m], v[k+1:]
			rangeRows(ws, m, 2*m*m, func(r0, r1 int) {
				simd.Gemv(false, r1-r0, m, tau, a[(k+1+r0)*n+k+1:], n, v, 0, p[r0:r1])
			})
			for j := lo; j < k; j++ {
				vj, wj := h.v[j*n+k+1:(j+1)*n], w[(j-lo)*n+k+1:][:m]
				x, y := simd.Dot(wj, v), simd.Dot(vj, v)
				simd.Axpy(p, -tau*x, vj)
				simd.Axpy(p, -tau*y, wj)
			}
			simd.Axpy(p, -tau/2*simd.Dot(p, v), v)
			wk := w[(k-lo)*n:][:n]
			clear(wk[:k+1])
			copy(wk[k+1:], p)
		}
		h.form(lo, hi)
		if m, b := n-hi, hi-lo; m > 0 {
			rangeRows(ws, m, 4*m*m*b, func(r0, r1 int) {
				c := a[(hi+r0)*n+hi:]
				v, w := h.v[lo*n:], w
				simd.Gemm(true, false, r1-r0, m, b, -1, v[hi+r0:], n, w[hi:], n, 1, c, n)
				simd.Gemm(true, false, r1-r0, m, b, -1, w[hi+r0:], n, v[hi:], n, 1, c, n)
			})
		}
	}
}

// implicitQL computes the eigenvalues of the symmetric tridiagonal matrix with diagonal d and off-diagonal
// e[:n-1] in d, not sorted, by the QL iteration with implicit Wilkinson shifts. If z is not nil, its n rows,
// ld apart and of len(d) elements, are multiplied by the same rotations: starting from the identity they become
// the eigenvectors. e is destroyed.
func implicitQL(d, e, z []float64, ld int) error {
	const most = 60 // iterations for one eigenvalue; 2 or 3 are usual
	n := len(d)
	e[n-1] = 0
	for l := range n {
		for iter := 0; ; iter++ {
			m := l
			for ; m < n-1; m++ {
				if s := math.Abs(d[m]) + math.Abs(d[m+1]); math.Abs(e[m]) <= 0x1p-53*s {
					break
				}
			}
			if m == l {
				break
			}
			if iter == most {
				return NoConvergenceError{Op: "SymmetricEigen", Index: l, Iterations: most}
			}
			// The shift is the eigenvalue of the leading 2×2 block that is nearer to d[l].
			g := (d[l+1] - d[l]) / (2 * e[l])
			g = d[m] - d[l] + e[l]/(g+math.Copysign(math.Hypot(g, 1), g))
			s, c, p := 1.0, 1.0, 0.0
			split := false
			for i := m - 1; i >= l; i-- {
				f, b := s*e[i], c*e[i]
				r := math.Hypot(f, g)
				e[i+1] = r
				if r == 0 { // a smaller problem has split off
					d[i+1] -= p
					e[m] = 0
					split = true
					break
				}
				s, c = f/r, g/r
				g = d[i+1] - p
				r = (d[i]-g)*s + 2*c*b
				p = s * r
				d[i+1] = g + p
				g = c*r - b
				if z != nil {
					x, y := z[i*ld:][:n], z[(i+1)*ld:][:n]
					for k, v := range y {
						u := x[k]
						y[k], x[k] = s*u+c*v, c*u-s*v
					}
				}
			}
			if !split {
				d[l] -= p
				e[l] = g
				e[m] = 0
			}
		}
	}
	return nil
}
