package linalg

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// RootError says that an iteration for an inverse root has not come near enough to it.
type RootError struct {
	Root       int     // p of A^(−1/p)
	Iterations int     // done
	Residual   float64 // largest element of |Xᵖ A − I| when it stopped
	Limit      float64 // the residual that is accepted
}

func (e RootError) Error() string {
	return fmt.Sprintf("linalg: inverse root %d: residual %.3g after %d iterations, expected at most %.3g\n"+
		"hint: the matrix is indefinite or too ill-conditioned for the precision; enlarge the ridge, or use the eigenvalue form", e.Root, e.Residual, e.Iterations, e.Limit)
}

// InverseRootEigen stores (A + ridge·I)^(−1/p) in dst for a symmetric positive semidefinite a [n, n], of which the
// lower triangle alone is read; dst [n, n] may be a itself. p > 0 need not be whole.
//
// By the eigenvalues: negative ones, which rounding makes, count as zero. Where an eigenvalue plus ridge is zero,
// so is the root's: without a ridge the result is the root of the pseudoinverse on what is exactly zero. A matrix
// with a NaN or an infinity gives a [NotFiniteError] and leaves dst as it was.
//
// Small eigenvalues have an error of ε‖A‖, so that a ridge below that is not to be trusted. Cost: that of
// [SymmetricEigen] and 2n³ flops.
func InverseRootEigen[T tensor.Float](ws *tensor.Workspace[T], dst, a tensor.Tensor[T], p, ridge float64) error {
	n := square("InverseRootEigen", a)
	expect("InverseRootEigen", dst, n, n)
	if n == 0 {
		return nil
	}
	defer ws.Release(ws.Mark())
	values, vectors, scaled := ws.Slice(n), ws.New(tensor.ShapeOf(n, n)), ws.New(tensor.ShapeOf(n, n))
	if err := SymmetricEigen(ws, values, vectors, a); err != nil {
		return err
	}
	// V diag(w) Vᵀ as a product of V diag(√w) with its transpose, so that it is symmetric to the bit.
	for j, v := range values {
		if l := max(0, float64(v)) + ridge; l > 0 {
			values[j] = T(math.Pow(l, -1/(2*p)))
		} else {
			values[j] = 0
		}
	}
	tensor.MulAxis(ws, scaled, vectors, tensor.Of(values, tensor.ShapeOf(n)), tensor.AxisOf(scaled.Shape(), 0, 1))
	SymmetricProduct(ws, dst, scaled, scaled, false, true)
	return nil
}

const (
	rootIterations = 100
	rootLimit      = 0.1 // residual beyond which a root is refused
	rootGrowth     = 1.2 // growth of the residual that ends the iteration: rounding has taken over
)

// InverseRootNewton stores (A + ridge·I)^(−1/p) in dst for a symmetric positive definite a [n, n], both triangles of
// which are read; dst [n, n] may be a itself. It returns the number of iterations and the residual, the
// largest element of |Xᵖ A − I| as the iteration carries it along.
//
// The coupled Newton iteration (Iannazzo, On the Newton method for the matrix pth root, 2006; Higham, Functions of
// Matrices, 2008, §7.3): with ζ = (p+1)/(2‖A‖), M = ζ A and X = ζ^(1/p) I,
//
//	W = ((p+1) I − M)/p,   X ← X W,   M ← Wᵖ M
//
// M tends to I and X to the root. It stops at the tolerance tol, or where the residual grows, keeping the better X. A
// residual above 0.1 (an indefinite matrix, a singular one, float32 and a condition number above 10⁵) is a [RootError], a
// NaN or an infinity a [NotFiniteError]; both leave dst as it was.
//
// Cost: (2 + log₂ p) n³ flops an iteration, all of it matrix products; about log₂(condition)/log₂(1 + 1/p) + 5
// iterations.
func InverseRootNewton[T tensor.Float](ws *tensor.Workspace[T], dst, a tensor.Tensor[T], p int, ridge, tol float64) (iterations int, residual float64, err error) {
	n := square("InverseRootNewton", a)
	expect("InverseRootNewton", dst, n, n)
	if p < 1 {
		panic(fmt.Sprintf("linalg: InverseRootNewton: root %d, expected at least 1", p))
	}
	if n == 0 {
		return 0, 0, nil
	}
	if err := checkFinite("InverseRootNewton", a.Data(), n); err != nil {
		return 0, math.NaN(), err
	}
	defer ws.Release(ws.Mark())
	s := a.Shape()
	m, x, w := ws.New(s), ws.New(s), ws.New(s)
	m2, x2, w2 := ws.New(s), ws.New(s), ws.New(s) // where the next of each goes
	tensor.Copy(ws, m, a)
	AddDiagonal(m, T(ridge))
	norm := tensor.Norm(ws, m)
	if !(norm > 0) || math.IsInf(norm, 1) {
		return 0, math.Inf(1), RootError{Root: p, Residual: math.Inf(1), Limit: rootLimit}
	}
	zeta := float64(p+1) / (2 * norm)
	tensor.Scale(ws, m, m, T(zeta))
	Identity(x, T(math.Pow(zeta, 1/float64(p))))
	residual = distanceToIdentity(m.Data(), w.Data(), n)
	for iterations < rootIterations && residual > tol {
		tensor.Scale(ws, w, m, T(-1/float64(p)))
		AddDiagonal(w, T(float64(p+1)/float64(p)))
		SymmetricProduct(ws, x2, x, w, false, false)
		// Wᵖ M by the binary digits of p; all these matrices commute, so that their products are symmetric.
		for digits := p; ; digits >>= 1 {
			if digits&1 == 1 {
				SymmetricProduct(ws, m2, w, m, false, false)
				m, m2 = m2, m
			}
			if digits == 1 {
				break
			}
			SymmetricProduct(ws, w2, w, w, false, false)
			w, w2 = w2, w
		}
		r := distanceToIdentity(m.Data(), w.Data(), n)
		if !(r <= rootGrowth*residual) { // a NaN too
			break
		}
		x, x2 = x2, x
		iterations, residual = iterations+1, r
	}
	if !(residual <= rootLimit) {
		return iterations, residual, RootError{Root: p, Iterations: iterations, Residual: residual, Limit: rootLimit}
	}
	tensor.Copy(ws, dst, x)
	return iterations, residual, nil
}

// distanceToIdentity returns the largest element of |a − I|, NaN if there is one; scratch has the size of a.
func distanceToIdentity[T tensor.Float](a, scratch []T, n int) float64 {
	if !simd.AllFinite(a) {
		return math.NaN()
	}
	copy(scratch, a)
	for i := 0; i < n*n; i += n + 1 {
		scratch[i]--
	}
	simd.Abs(scratch, scratch)
	return float64(simd.MaxOf(scratch))
}
