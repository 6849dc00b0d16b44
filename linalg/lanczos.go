package linalg

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/tensor"
)

// Ritz is what a Krylov space says about the eigenvalues of an operator.
type Ritz struct {
	Values []float64 // Ritz values, ascending
	// Errors has, for each Ritz value, a distance within which an eigenvalue of the operator lies: the norm of the
	// residual of its Ritz vector. Of the extreme values the actual error is mostly far smaller, about Errors²/gap.
	Errors []float64
	// Weights are positive and sum to one. With Values they are the Gauss quadrature of the start's spectral measure:
	// Σ Weights f(Values) = sᵀf(A)s/sᵀs for every polynomial f of degree below 2k. With a random start it estimates
	// tr f(A)/n.
	Weights []float64
	// Exhausted: the Krylov space is invariant, so that the Ritz values are eigenvalues; others, to which the start
	// has no component, may exist.
	Exhausted bool
}

// Lanczos builds the Krylov space of a symmetric operator A and a start s ≠ 0, of at most steps ≤ len(s) dimensions, and
// returns its Ritz values. With metric, a symmetric positive definite M, the eigenvalues are those of M A, which is
// self-adjoint in the inner product of M⁻¹ and has the eigenvalues of M^½ A M^½; no root and no inverse is needed. A nil
// metric is the identity. op and metric store the product with v in dst, and must not keep either.
//
// With V = M R, orthonormal in the sense VᵀR = I, step j is
//
//	u = A v_j,  α_j = uᵀv_j,  u ← u − Σ_{i≤j} (uᵀv_i) r_i (twice),  β_j² = uᵀM u,  r_{j+1} = u/β_j,  v_{j+1} = M r_{j+1}
//
// (Lanczos, 1950; the twofold orthogonalisation against all vectors after Giraud, Langou and Rozložník, 2005). Without a
// metric R is V. The Ritz values are the eigenvalues of the tridiagonal matrix of α and β. The largest one never
// exceeds, and the smallest never falls below, the eigenvalues of A; extreme and separated ones converge first. With fewer
// steps than dimensions the smallest Ritz value of a matrix with a tail of small eigenvalues is an upper bound
// and no more.
//
// An error is one of op or metric, a NaN or an infinity in a product, or a metric with uᵀM u < 0. Cost: steps products
// with each of A and M, 4 steps² n flops, and steps·n numbers (twice that with a metric), all in float64.
func Lanczos(ws *tensor.Workspace[float64], op, metric func(dst, v []float64) error, start []float64, steps int) (Ritz, error) {
	n := len(start)
	if steps < 1 || steps > n {
		panic(tensor.ShapeError{Op: "Lanczos", A: tensor.ShapeOf(n), B: tensor.ShapeOf(max(steps, 0)), Detail: "steps, want 1 to the order"})
	}
	mark := ws.Mark()
	defer ws.Release(mark)
	vector := func() tensor.Tensor[float64] { return ws.New(tensor.ShapeOf(n)) }
	u, mu := vector(), tensor.Tensor[float64]{}
	tensor.Copy(ws, u, tensor.FromSlice(start, n))
	if metric != nil {
		mu = vector()
	}
	var r, v []tensor.Tensor[float64]
	var alpha, beta []float64
	scale := 0.0 // of A: the largest of |α| and β
	for {
		// β = ‖u‖ in the metric, and the next pair of vectors.
		w := u
		if metric != nil {
			if err := metric(mu.Data(), u.Data()); err != nil {
				return Ritz{}, err
			}
			w = mu
		}
		square := tensor.Dot(ws, u, w)
		switch {
		case math.IsNaN(square) || math.IsInf(square, 0):
			return Ritz{}, fmt.Errorf("linalg: Lanczos step %d: found a product that is not finite\nhint: look at the numbers that the operator is made of", len(v)+1)
		case square < 0 && math.Sqrt(-square) > 1e-5*max(scale, math.SmallestNonzeroFloat64):
			return Ritz{}, fmt.Errorf("linalg: Lanczos step %d: found uᵀM u = %.3g, expected a positive definite metric", len(v)+1, square)
		}
		b := math.Sqrt(max(square, 0))
		done := len(v) == steps
		// What is left of a vector within rounding of the space is noise.
		exhausted := b <= 1e-13*scale*math.Sqrt(float64(n)) || b == 0
		if len(v) > 0 {
			beta = append(beta, b)
			if exhausted {
				beta[len(beta)-1] = 0
			}
		} else if b == 0 {
			panic("linalg: Lanczos: the start is zero")
		}
		if done || exhausted {
			return ritzOf(alpha, beta, exhausted)
		}
		next := vector()
		tensor.Scale(ws, next, u, 1/b)
		r = append(r, next)
		if metric != nil {
			next = vector()
			tensor.Scale(ws, next, mu, 1/b)
		}
		v = append(v, next)

		if err := op(u.Data(), next.Data()); err != nil {
			return Ritz{}, err
		}
		alpha = append(alpha, tensor.Dot(ws, u, next))
		for range 2 {
			for i := len(v) - 1; i >= 0; i-- {
				tensor.Axpy(ws, u, -tensor.Dot(ws, u, v[i]), r[i])
			}
		}
		scale = max(scale, math.Abs(alpha[len(alpha)-1]))
		if len(beta) > 0 {
			scale = max(scale, beta[len(beta)-1])
		}
	}
}

// ritzOf returns the eigenvalues of the tridiagonal matrix with diagonal alpha and, beside it, beta, whose last element
// leads out of the space: the residual of Ritz vector i is that times the last component of its eigenvector.
func ritzOf(alpha, beta []float64, exhausted bool) (Ritz, error) {
	k := len(alpha)
	ws := tensor.NewWorkspace[float64](nil)
	t := ws.Zeros(tensor.ShapeOf(k, k))
	for i, a := range alpha {
		t.Data()[i*k+i] = a
		if i > 0 {
			t.Data()[i*k+i-1], t.Data()[(i-1)*k+i] = beta[i-1], beta[i-1]
		}
	}
	z := Ritz{Values: make([]float64, k), Errors: make([]float64, k), Weights: make([]float64, k), Exhausted: exhausted}
	if err := SymmetricEigen(ws, z.Values, t, t); err != nil {
		return Ritz{}, err
	}
	for i := range k {
		first, last := t.At(0, i), t.At(k-1, i)
		z.Weights[i], z.Errors[i] = first*first, math.Abs(beta[k-1]*last)
	}
	return z, nil
}
