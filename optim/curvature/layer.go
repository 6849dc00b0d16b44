package curvature

import (
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Form says how the Kronecker product is damped and inverted.
type Form uint8

const (
	// Factored adds the damping to the factors: (A + π√λ I)⁻¹ and (G + √λ/π I)⁻¹, with π² the ratio of the
	// factors' mean eigenvalues. By Cholesky factorisation.
	Factored Form = iota
	// ExactDamping inverts A⊗G + λI itself, in the basis of the factors' eigenvectors.
	ExactDamping
	// Eigenbasis keeps that basis and tracks the second moments of the gradient in it (EKFAC).
	Eigenbasis
	// Truncated is Factored with leading eigenvectors of the wide factors in place of their inverses, see [LowRank].
	Truncated
)

// block is the curvature of one affine layer with input matrix X̄ = [X, 1] (X without a bias) of order n and
// output gradients of order m:
//
//	A = mean over rows of x̄ x̄ᵀ  [n, n],   G = N·Σ_rows dy dyᵀ  [m, m]
//
// where dy are gradients of the mean over N examples. The averages are weight-tracked: Σ ← ρΣ + new, w ← ρw + 1,
// value Σ/w.
type block[T tensor.Float] struct {
	Block
	place
	a, g    factor[T]
	weight  float64 // w; 0: nothing was seen yet
	inverse inverse[T]
	basis   *basis[T] // the inverse, where it takes up moments of its own; else nil
	ready   int64     // 1 once the inverse holds something

	rows, examples int // of the statistics in progress
}

func newBlock[T tensor.Float](b Block, p place, o Options) *block[T] {
	k := &block[T]{Block: b, place: p}
	switch o.Form {
	case ExactDamping, Eigenbasis:
		a, g := newAverage[T](b.In), newAverage[T](b.Out)
		k.basis = newBasis(&a, &g, o.Form == Eigenbasis)
		k.a, k.g, k.inverse = &a, &g, k.basis
	case Truncated:
		a, g := newSolver[T](b.Name+".a", b.In, b.Positions, o), newSolver[T](b.Name+".g", b.Out, b.Positions, o)
		k.a, k.g, k.inverse = a, g, &product[T]{a: a, g: g, relative: o.LowRank.Relative, follows: o.LowRank.Online != Offline && !b.Positions}
	default:
		a, g := newDense[T](b.In), newDense[T](b.Out)
		k.a, k.g, k.inverse = a, g, &product[T]{a: a, g: g}
	}
	return k
}

func (b *block[T]) state() optim.State[T] {
	s := optim.State[T]{{Name: b.Name + ".weight", Float: &b.weight}, {Name: b.Name + ".ready", Int: &b.ready}}
	s = append(append(s, b.a.state(b.Name+".a")...), b.g.state(b.Name+".g")...)
	return append(s, b.inverse.state(b.Name)...)
}

// begin clears the statistics in progress; their storage is lent by ws.
func (b *block[T]) begin(ws *tensor.Workspace[T]) {
	b.a.begin(ws)
	b.g.begin(ws)
	if b.basis != nil {
		b.basis.begin(ws)
	}
	b.rows, b.examples = 0, 0
}

// add takes up one tap. A layer that is used several times in a pass adds its rows up, as positions of one
// example.
func (b *block[T]) add(ws *tensor.Workspace[T], pass int, t objective.Tap[T], reduce, perExample bool) {
	mark := ws.Mark()
	defer ws.Release(mark)
	rows, per := t.X.Shape().Rows(), max(1, t.RowsPer)
	x, dy := t.X, t.DY
	if b.Bias >= 0 {
		x = ws.New(tensor.ShapeOf(rows, b.In))
		columns := tensor.AxisOf(x.Shape(), 1, 2)
		tensor.Fill(x, 1)
		tensor.CopySlice(ws, x, t.X, columns, 0, true)
	}
	if b.basis != nil && b.ready != 0 {
		b.basis.add(ws, x, dy, per, perExample)
	}
	if reduce && per > 1 {
		// ā = mean over the positions, ḡ = sum over the positions.
		count := rows / per
		mean, sum := ws.New(tensor.ShapeOf(count, b.In)), ws.New(tensor.ShapeOf(count, b.Out))
		tensor.SumAxis(ws, mean, x, tensor.Axis{Outer: count, N: per, Inner: b.In})
		tensor.Scale(ws, mean, mean, 1/T(per))
		tensor.SumAxis(ws, sum, dy, tensor.Axis{Outer: count, N: per, Inner: b.Out})
		x, dy, rows = mean, sum, count
	}
	if pass == 0 {
		b.a.add(ws, x)
		b.rows += rows
		b.examples = t.X.Shape().Rows() / per
	}
	b.g.add(ws, dy)
}

// commit moves the averages to the statistics in progress. It reports false, and changes nothing, if they are not
// finite.
func (b *block[T]) commit(ws *tensor.Workspace[T], decay float64) bool {
	if b.rows == 0 {
		return true // no tap: a grouped convolution, or a layer that this batch did not use
	}
	if !b.a.finite() || !b.g.finite() || b.basis != nil && !b.basis.finite() {
		return false
	}
	n := float64(b.examples)
	b.a.commit(ws, 1/float64(b.rows), decay)
	b.g.commit(ws, n, decay)
	b.weight = decay*b.weight + 1
	if b.basis != nil && b.ready != 0 {
		b.basis.commit(ws, n, decay)
	}
	return true
}

// invert recomputes what the gradient is multiplied by. It reports false, and keeps the last, if a factorisation fails.
func (b *block[T]) invert(ws *tensor.Workspace[T], lambda float64) bool {
	if b.weight == 0 {
		return true
	}
	if !b.inverse.refresh(ws, b.weight, lambda) {
		return false
	}
	b.ready = 1
	return true
}

// online reports whether a factor moves with every batch of statistics.
func (b *block[T]) online() bool {
	_, a := b.a.(*online[T])
	_, g := b.g.(*online[T])
	return a || g
}

// follow brings the inverse up to the last statistics where a factor of it has moved with them. It reports false, and keeps the last, if a
// factorisation fails.
func (b *block[T]) follow(ws *tensor.Workspace[T], lambda float64) bool {
	p, is := b.inverse.(*product[T])
	return !is || b.ready == 0 || p.follow(ws, b.weight, lambda)
}

// apply replaces the layer's part of u, the gradient ∇W̄, by the preconditioned one and returns their inner
// product. Before the first inverse it leaves u as it is.
func (b *block[T]) apply(ws *tensor.Workspace[T], u []T, lambda float64) float64 {
	mark := ws.Mark()
	defer ws.Release(mark)
	grad := b.matrix(ws, u)
	if b.ready == 0 {
		return float64(tensor.Dot(ws, grad, grad))
	}
	out := ws.New(grad.Shape())
	b.inverse.apply(ws, out, grad, lambda)
	inner := float64(tensor.Dot(ws, out, grad))
	scatter(b.place, u, out)
	return inner
}

// matrix returns the layer's part of u as W̄ = [W; bᵀ]: u itself where the bias follows the weight, else a copy.
func (b *block[T]) matrix(ws *tensor.Workspace[T], u []T) tensor.Tensor[T] {
	if b.biasLen == 0 || b.bias == b.place.weight+b.weightLen {
		return tensor.FromSlice(u[b.place.weight:b.place.weight+b.weightLen+b.biasLen], b.In, b.Out)
	}
	m := ws.New(tensor.ShapeOf(b.In, b.Out))
	gather(b.place, m, u)
	return m
}
