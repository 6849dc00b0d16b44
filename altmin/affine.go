package altmin

import (
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// Engine says how the blocks that enter through a product are updated.
type Engine uint8

const (
	// Exact minimises over the block: a Cholesky factorisation.
	Exact Engine = iota
	// Paper makes the papers' step: the gradient, shortened by backtracking.
	Paper
)

// String returns the name in lower case.
func (e Engine) String() string { return [...]string{"exact", "paper"}[e] }

// affine is the block of a layer's penalty κ/2 ‖P W + 1bᵀ − Z‖² + μ/2 ‖W‖², with inputs P [N, n], weights W [n, m], bias b [m]
// and Z [N, m]. It keeps M = P W, without the bias, from step to step: a step on W or P moves M by a product that it has made
// anyway.
type affine[T tensor.Float] struct {
	w        tensor.Tensor[T] // [n, m]
	b        []T              // nil: none
	m        tensor.Tensor[T] // [N, m], M = P W
	step     float64          // t of the last accepted step on W; 0: none
	gram     tensor.Tensor[T] // Cholesky factor of PᵀP + λI, or of P Pᵀ + λI
	kept     bool             // gram holds it
	proximal float64          // ε of the exact step

	products int64 // large products so far: those of N·n·m multiplications
	failed   int64 // factorisations that failed
}

// multiply sets M = P W.
func (a *affine[T]) multiply(ws *tensor.Workspace[T], p tensor.Tensor[T]) {
	tensor.MatMul(ws, a.m, p, a.w, false, false)
	a.products++
}

// residual stores M + 1bᵀ − Z in dst.
func (a *affine[T]) residual(ws *tensor.Workspace[T], dst, z tensor.Tensor[T]) {
	tensor.Sub(ws, dst, a.m, z)
	a.addBias(ws, dst, dst)
}

// addBias stores x + 1bᵀ in dst.
func (a *affine[T]) addBias(ws *tensor.Workspace[T], dst, x tensor.Tensor[T]) {
	if a.b == nil {
		copy(dst.Data(), x.Data())
		return
	}
	s := x.Shape()
	tensor.AddAxis(ws, dst, x, tensor.FromSlice(a.b, len(a.b)), tensor.Axis{Outer: 1, N: s.Dim(0), Inner: s.Cols()})
}

// stepBias is the exact step on b, the mean of the rows of Z − M.
func (a *affine[T]) stepBias(ws *tensor.Workspace[T], z tensor.Tensor[T]) {
	if a.b == nil {
		return
	}
	mark := ws.Mark()
	defer ws.Release(mark)
	n, m := z.Shape().Dim(0), z.Shape().Cols()
	d := ws.New(z.Shape())
	tensor.Sub(ws, d, z, a.m)
	mean := tensor.FromSlice(a.b, m)
	tensor.SumAxis(ws, mean, d, tensor.Axis{Outer: 1, N: n, Inner: m})
	tensor.Scale(ws, mean, mean, 1/T(n))
}

// backtrack returns the first of last/2, last, 2 last, … (first where there was none) that is at least the curvature along the
// gradient, ‖step's image‖²-weighted: the acceptance test g(V⁺) ≤ g(V) + ⟨∇g, V⁺ − V⟩ + t/2 ‖V⁺ − V‖² of a quadratic g is
// exactly t ≥ curvature, so that all trials are arithmetic of two numbers.
func backtrack(last, first, curvature float64) float64 {
	t := first
	if last > 0 {
		t = last / 2
	}
	for t < curvature && !math.IsInf(t, 1) {
		t *= 2
	}
	return t
}

// stepWeights is a step on W given P and Z, after which M is P W for the new W. first is the start of backtracking.
//
//	paper   ∇ = κ Pᵀ(P W + 1bᵀ − Z) + μ W,   W ← W − ∇/t,   t ≥ (κ‖P ∇‖² + μ‖∇‖²)/‖∇‖²
//	exact   (PᵀP + μ/κ I) W = Pᵀ(Z − 1bᵀ), see [affine.solveWeights]
//
// It returns the squared length of the step times half the curvature along it, the least by which the penalty fell. fixed says that P is
// the same in every call.
func (a *affine[T]) stepWeights(ws *tensor.Workspace[T], engine Engine, p, z tensor.Tensor[T], kappa, mu, first float64, fixed bool) float64 {
	mark := ws.Mark()
	defer ws.Release(mark)
	if engine == Exact {
		return a.solveWeights(ws, p, z, kappa, mu, fixed)
	}
	e, g, pg := ws.New(z.Shape()), ws.New(a.w.Shape()), ws.New(z.Shape())
	a.residual(ws, e, z)
	tensor.MatMul(ws, g, p, e, true, false)
	tensor.Axpby(ws, g, T(mu), a.w, T(kappa))
	tensor.MatMul(ws, pg, p, g, false, false)
	a.products += 2
	gg := square(ws, g)
	if gg == 0 {
		return 0
	}
	t := backtrack(a.step, first, (kappa*square(ws, pg)+mu*gg)/gg)
	a.step = t
	tensor.Axpy(ws, a.w, T(-1/t), g)
	tensor.Axpy(ws, a.m, T(-1/t), pg)
	return gg / (2 * t)
}

// solveWeights is the exact step. Beside the ridge λ₁ = μ/κ stands a proximal term, ε‖W − W₀‖² with ε a millionth of the mean of
// diag PᵀP, for the directions that P does not see. With λ = λ₁ + ε and R = Z − 1bᵀ,
//
//	W = (PᵀP + λI)⁻¹ (PᵀR + ε W₀)                          n ≤ N, or
//	W = ε/λ W₀ + Pᵀ (P Pᵀ + λI)⁻¹ (R − ε/λ P W₀)           by the push-through identity, factors of order N.
//
// A factorisation that fails leaves W as it is and is counted.
func (a *affine[T]) solveWeights(ws *tensor.Workspace[T], p, z tensor.Tensor[T], kappa, mu float64, fixed bool) float64 {
	n, order := p.Shape().Dim(0), a.w.Shape().Dim(0)
	wide := order > n
	size := min(n, order)
	if !a.kept || !fixed {
		if a.gram.Shape().Rank() == 0 {
			a.gram = tensor.New[T](size, size)
		}
		g := ws.New(a.gram.Shape())
		linalg.SymmetricProduct(ws, g, p, p, !wide, wide)
		a.products++
		a.proximal = 1e-6 * trace(g) / float64(order)
		linalg.AddDiagonal(g, T(mu/kappa+a.proximal))
		if linalg.Cholesky(ws, a.gram, g) != nil {
			a.failed++
			return 0
		}
		a.kept = true
	}
	lambda := mu/kappa + a.proximal
	r, w := ws.New(z.Shape()), ws.New(a.w.Shape())
	tensor.Copy(ws, r, z)
	if a.b != nil {
		tensor.SubAxis(ws, r, r, tensor.FromSlice(a.b, len(a.b)), tensor.Axis{Outer: 1, N: n, Inner: len(a.b)})
	}
	var err error
	if wide {
		tensor.Axpy(ws, r, T(-a.proximal/lambda), a.m)
		if err = linalg.CholeskySolve(ws, r, a.gram, r); err == nil {
			tensor.MatMul(ws, w, p, r, true, false)
			tensor.Axpy(ws, w, T(a.proximal/lambda), a.w)
		}
	} else {
		tensor.MatMul(ws, w, p, r, true, false)
		tensor.Axpy(ws, w, T(a.proximal), a.w)
		err = linalg.CholeskySolve(ws, w, a.gram, w)
	}
	a.products++
	if err != nil || !tensor.AllFinite(w) {
		a.failed++
		return 0
	}
	d, old := ws.New(a.w.Shape()), ws.New(a.m.Shape())
	tensor.Sub(ws, d, w, a.w)
	tensor.Copy(ws, old, a.m)
	tensor.Copy(ws, a.w, w)
	a.multiply(ws, p)
	tensor.Sub(ws, old, a.m, old)
	return (kappa*square(ws, old) + mu*square(ws, d)) / 2
}

// trace returns the sum of the diagonal of a square matrix.
func trace[T tensor.Float](m tensor.Tensor[T]) float64 {
	n, sum := m.Shape().Dim(0), 0.0
	for i := range n {
		sum += float64(m.At(i, i))
	}
	return sum
}

// stepInputs is a step on P given Z, with the coupling ρ/2 ‖P − T‖² to the targets T:
//
//	paper   ∇ = κ (P W + 1bᵀ − Z) Wᵀ + ρ(P − T),   P ← P − ∇/t,   t ≥ (κ‖∇ W‖² + ρ‖∇‖²)/‖∇‖²
//	exact   P (κ W Wᵀ + ρ I) = κ (Z − 1bᵀ) Wᵀ + ρ T
//
// after which M is P W for the new P. last is t of the step before, and replaced; first the start of backtracking. It returns the decrease as
// [affine.stepWeights] does.
func (a *affine[T]) stepInputs(ws *tensor.Workspace[T], engine Engine, p, z, target tensor.Tensor[T], kappa, rho, first float64, last *float64) float64 {
	mark := ws.Mark()
	defer ws.Release(mark)
	e := ws.New(z.Shape())
	if engine == Exact {
		order := a.w.Shape().Dim(0)
		s, l, inv := ws.New(tensor.ShapeOf(order, order)), ws.New(tensor.ShapeOf(order, order)), ws.New(tensor.ShapeOf(order, order))
		linalg.SymmetricProduct(ws, s, a.w, a.w, false, true)
		tensor.Scale(ws, s, s, T(kappa/rho))
		linalg.AddDiagonal(s, 1)
		if linalg.Cholesky(ws, l, s) != nil || linalg.CholeskyInverse(ws, inv, l) != nil {
			a.failed++
			return 0
		}
		// P − T = κ/ρ (Z − 1bᵀ − T W) Wᵀ (κ/ρ W Wᵀ + I)⁻¹: the correction alone passes through the inverse.
		tensor.MatMul(ws, e, target, a.w, false, false)
		a.addBias(ws, e, e)
		tensor.Sub(ws, e, z, e)
		right, next, d := ws.New(p.Shape()), ws.New(p.Shape()), ws.New(a.m.Shape())
		tensor.MatMul(ws, right, e, a.w, false, true)
		tensor.MatMul(ws, next, right, inv, false, false)
		a.products += 3
		tensor.Axpby(ws, next, 1, target, T(kappa/rho))
		tensor.Sub(ws, right, next, p)
		tensor.Copy(ws, p, next)
		tensor.Copy(ws, d, a.m)
		a.multiply(ws, p)
		tensor.Sub(ws, d, a.m, d)
		return (kappa*square(ws, d) + rho*square(ws, right)) / 2
	}
	a.residual(ws, e, z)
	g := ws.New(p.Shape())
	tensor.MatMul(ws, g, e, a.w, false, true)
	tensor.Scale(ws, g, g, T(kappa))
	tensor.Axpy(ws, g, T(rho), p)
	tensor.Axpy(ws, g, T(-rho), target)
	gw := e
	tensor.MatMul(ws, gw, g, a.w, false, false)
	a.products += 2
	gg := square(ws, g)
	if gg == 0 {
		return 0
	}
	t := backtrack(*last, first, (kappa*square(ws, gw)+rho*gg)/gg)
	*last = t
	tensor.Axpy(ws, p, T(-1/t), g)
	tensor.Axpy(ws, a.m, T(-1/t), gw)
	return gg / (2 * t)
}

// square returns ‖x‖², added up in float64 strips.
func square[T tensor.Float](ws *tensor.Workspace[T], x tensor.Tensor[T]) float64 {
	n := tensor.Norm(ws, x)
	return n * n
}

// distance returns ‖a − b‖².
func distance[T tensor.Float](ws *tensor.Workspace[T], a, b tensor.Tensor[T]) float64 {
	mark := ws.Mark()
	defer ws.Release(mark)
	d := ws.New(a.Shape())
	tensor.Sub(ws, d, a, b)
	return square(ws, d)
}
