package curvature

import (
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// basis is the inverse of the damped product itself, in the basis of the factors' eigenvectors:
//
//	U_A [(U_Aᵀ ∇W̄ U_G) ⊘ (D + λ)] U_Gᵀ,   D = d_A d_Gᵀ, or with moments the second moments of the gradient in the basis
//
// George et al., 2018.
type basis[T tensor.Float] struct {
	a, g        *average[T]
	left, right tensor.Tensor[T] // eigenvectors in columns
	dLeft       []T              // eigenvalues
	dRight      []T

	// With moments: their average [n, m] and its weight, and the statistics in progress.
	moments bool
	s       tensor.Tensor[T]
	weight  float64
	new     tensor.Tensor[T]
}

func newBasis[T tensor.Float](a, g *average[T], moments bool) *basis[T] {
	n, m := a.sum.Shape().Dim(0), g.sum.Shape().Dim(0)
	b := &basis[T]{a: a, g: g, left: tensor.New[T](n, n), right: tensor.New[T](m, m), dLeft: make([]T, n), dRight: make([]T, m), moments: moments}
	if moments {
		b.s = tensor.New[T](n, m)
	}
	return b
}

func (b *basis[T]) state(name string) optim.State[T] {
	s := optim.State[T]{
		{Name: name + ".vectors-a", Vector: b.left.Data()}, {Name: name + ".vectors-g", Vector: b.right.Data()},
		{Name: name + ".values-a", Vector: b.dLeft}, {Name: name + ".values-g", Vector: b.dRight}}
	if b.moments {
		s = append(s, optim.State[T]{{Name: name + ".moments", Vector: b.s.Data()}, {Name: name + ".moments-weight", Float: &b.weight}}...)
	}
	return s
}

func (b *basis[T]) begin(ws *tensor.Workspace[T]) {
	if b.moments {
		b.new = ws.Zeros(b.s.Shape())
	}
}

// add takes up Σ over examples of (U_Aᵀ X̄ᵀ dY U_G)∘², the squares of one example's gradient in the basis; with
// perExample off the square of the batch's.
func (b *basis[T]) add(ws *tensor.Workspace[T], x, dy tensor.Tensor[T], per int, perExample bool) {
	if !b.moments {
		return
	}
	p, q := ws.New(x.Shape()), ws.New(dy.Shape())
	tensor.MatMul(ws, p, x, b.left, false, false)
	tensor.MatMul(ws, q, dy, b.right, false, false)
	sum := ws.New(b.s.Shape())
	if perExample {
		tensor.SquaredOuterSum(ws, sum, p, q, per)
	} else {
		tensor.MatMul(ws, sum, p, q, true, false)
		tensor.Mul(ws, sum, sum, sum)
	}
	tensor.Add(ws, b.new, b.new, sum)
}

func (b *basis[T]) finite() bool { return !b.moments || tensor.AllFinite(b.new) }

func (b *basis[T]) commit(ws *tensor.Workspace[T], scale, decay float64) {
	if b.moments {
		tensor.Axpby(ws, b.s, T(scale), b.new, T(decay))
		b.weight = decay*b.weight + 1
	}
}

// refresh stores the eigenvectors and eigenvalues of the factors, and starts the second moments anew at those of the
// Kronecker product.
func (b *basis[T]) refresh(ws *tensor.Workspace[T], weight, _ float64) bool {
	mark := ws.Mark()
	defer ws.Release(mark)
	a, g := b.a.value(ws, weight), b.g.value(ws, weight)
	va, vg := ws.Slice(len(b.dLeft)), ws.Slice(len(b.dRight))
	if linalg.SymmetricEigen(ws, va, a, a) != nil || linalg.SymmetricEigen(ws, vg, g, g) != nil {
		return false
	}
	for i, v := range va {
		b.dLeft[i] = max(v, 0)
	}
	for i, v := range vg {
		b.dRight[i] = max(v, 0)
	}
	tensor.Copy(ws, b.left, a)
	tensor.Copy(ws, b.right, g)
	if b.moments {
		b.spectrum(ws, b.s)
		b.weight = 1
	}
	return true
}

// spectrum stores the eigenvalues d_A d_Gᵀ of the Kronecker product in dst [n, m].
func (b *basis[T]) spectrum(ws *tensor.Workspace[T], dst tensor.Tensor[T]) {
	n, m := len(b.dLeft), len(b.dRight)
	tensor.MatMul(ws, dst, tensor.FromSlice(b.dLeft, n, 1), tensor.FromSlice(b.dRight, 1, m), false, false)
}

func (b *basis[T]) apply(ws *tensor.Workspace[T], dst, grad tensor.Tensor[T], lambda float64) {
	mark := ws.Mark()
	defer ws.Release(mark)
	half, d := ws.New(grad.Shape()), ws.New(grad.Shape())
	tensor.MatMul(ws, half, b.left, grad, true, false)
	tensor.MatMul(ws, dst, half, b.right, false, false)
	if b.moments {
		tensor.Scale(ws, d, b.s, T(1/b.weight))
	} else {
		b.spectrum(ws, d)
	}
	tensor.AddScalar(ws, d, d, T(lambda))
	tensor.Div(ws, dst, dst, d)
	tensor.MatMul(ws, half, b.left, dst, false, false)
	tensor.MatMul(ws, dst, half, b.right, false, true)
}
