package linalg

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Quintic is the odd polynomial A x + B x³ + C x⁵, which [Orthogonalize] applies to singular values.
type Quintic struct{ A, B, C float64 }

// SteepQuintic returns the polynomial of Muon (Jordan, 2024): its slope at zero is 3.44, so that five steps lift
// singular values from 2·10⁻³ on, but 1 is no fixed point: they end between 0.68 and 1.20.
func SteepQuintic() Quintic { return Quintic{3.4445, -4.7750, 2.0315} }

// ConvergentQuintic returns the polynomial (15 x − 10 x³ + 3 x⁵)/8, whose first and second derivative at the fixed
// point 1 are zero: a distance e from 1 becomes 2.5 e³. It converges from all singular values in (0, 1.5], slowly from small ones.
func ConvergentQuintic() Quintic { return Quintic{15. / 8, -10. / 8, 3. / 8} }

// Orthogonalize brings the singular values of a near 1 and keeps its singular vectors: dst ≈ U Vᵀ for a = U Σ Vᵀ.
// a is [m, n] of any shape, dst [m, n] may be a itself. A zero matrix gives zero; a NaN or an infinity a
// [NotFiniteError].
//
// The Newton–Schulz iteration: X = a/‖a‖, then for each step, here for m ≤ n,
//
//	S = X Xᵀ,   X ← (A I + B S + C S²) X
//
// and otherwise with S = Xᵀ X from the right: all products but two are of the order of the smaller side
// (Kovarik, 1970; Björck and Bowie, 1971; the quintic form with tuned coefficients: Jordan, Muon, 2024).
// Division by the Frobenius norm puts all singular values into (0, 1], where the polynomials are stable; a rank
// far from full leaves them small, which costs steps. There is no test for convergence: the steps are the caller's.
// dst does not depend on the scale of a, and follows it under orthogonal factors on both sides.
//
// Cost with s = min(m, n), l = max(m, n): 3 s²l + s³ flops a step; it borrows 2 s² + 2 m n elements.
func Orthogonalize[T tensor.Float](ws *tensor.Workspace[T], dst, a tensor.Tensor[T], steps ...Quintic) error {
	s := a.Shape()
	if s.Rank() != 2 {
		panic(tensor.ShapeError{Op: "Orthogonalize", A: s, Detail: "expected a matrix"})
	}
	m, n := s.Dim(0), s.Dim(1)
	expect("Orthogonalize", dst, m, n)
	if m == 0 || n == 0 {
		return nil
	}
	if err := checkFinite("Orthogonalize", a.Data(), n); err != nil {
		return err
	}
	defer ws.Release(ws.Mark())
	x, y := ws.New(s), ws.New(s)
	if !normalize(ws, x, a) {
		clear(dst.Data())
		return nil
	}
	small := min(m, n)
	gram, poly := ws.New(tensor.ShapeOf(small, small)), ws.New(tensor.ShapeOf(small, small))
	for _, q := range steps {
		// poly = C S² + B S + A I
		SymmetricProduct(ws, gram, x, x, m > n, m <= n)
		SymmetricProduct(ws, poly, gram, gram, false, false)
		tensor.Axpby(ws, poly, T(q.B), gram, T(q.C))
		AddDiagonal(poly, T(q.A))
		if m <= n {
			tensor.MatMul(ws, y, poly, x, false, false)
		} else {
			tensor.MatMul(ws, y, x, poly, false, false)
		}
		x, y = y, x
	}
	tensor.Copy(ws, dst, x)
	return nil
}

// normalize stores a/‖a‖ in dst, or reports that a is zero. Squares that overflow or vanish do no harm.
func normalize[T tensor.Float](ws *tensor.Workspace[T], dst, a tensor.Tensor[T]) bool {
	tensor.Scale(ws, dst, a, -1)
	largest := max(simd.MaxOf(a.Data()), simd.MaxOf(dst.Data()))
	if largest == 0 {
		return false
	}
	_, exp := math.Frexp(float64(largest))
	half := exp / 2 // the factor itself must not overflow
	tensor.Scale(ws, dst, a, T(math.Ldexp(1, -half)))
	tensor.Scale(ws, dst, dst, T(math.Ldexp(1, half-exp)))
	tensor.Scale(ws, dst, dst, T(1/tensor.Norm(ws, dst)))
	return true
}
