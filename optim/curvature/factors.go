package curvature

import (
	"math"

	"github.com/descent-ml/descent/linalg"
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
	form Form

	a, g   tensor.Tensor[T] // Σ of the averages
	weight float64          // w; 0: nothing was seen yet

	// What the gradient is multiplied by. Factored: inverses. Else: eigenvectors in columns, and eigenvalues.
	left, right tensor.Tensor[T]
	dLeft       []T
	dRight      []T
	ready       int64 // 1 once left and right hold something

	// Eigenbasis: second moments [n, m] of the gradient in the basis, and their weight.
	s       tensor.Tensor[T]
	sWeight float64

	// The statistics in progress.
	newA, newG, newS tensor.Tensor[T]
	rows, examples   int
}

func newBlock[T tensor.Float](b Block, p place, form Form) *block[T] {
	n, m := b.In, b.Out
	k := &block[T]{Block: b, place: p, form: form,
		a: tensor.New[T](n, n), g: tensor.New[T](m, m), left: tensor.New[T](n, n), right: tensor.New[T](m, m)}
	if form != Factored {
		k.dLeft, k.dRight = make([]T, n), make([]T, m)
	}
	if form == Eigenbasis {
		k.s = tensor.New[T](n, m)
	}
	return k
}

func (b *block[T]) state() optim.State[T] {
	s := optim.State[T]{
		{Name: b.Name + ".a", Vector: b.a.Data()}, {Name: b.Name + ".g", Vector: b.g.Data()},
		{Name: b.Name + ".weight", Float: &b.weight}, {Name: b.Name + ".ready", Int: &b.ready},
	}
	if b.form == Factored {
		return append(s, optim.State[T]{
			{Name: b.Name + ".inverse-a", Vector: b.left.Data()}, {Name: b.Name + ".inverse-g", Vector: b.right.Data()}}...)
	}
	s = append(s, optim.State[T]{
		{Name: b.Name + ".vectors-a", Vector: b.left.Data()}, {Name: b.Name + ".vectors-g", Vector: b.right.Data()},
		{Name: b.Name + ".values-a", Vector: b.dLeft}, {Name: b.Name + ".values-g", Vector: b.dRight}}...)
	if b.form == Eigenbasis {
		s = append(s, optim.State[T]{{Name: b.Name + ".moments", Vector: b.s.Data()}, {Name: b.Name + ".moments-weight", Float: &b.sWeight}}...)
	}
	return s
}

// begin clears the statistics in progress; their storage is lent by ws.
func (b *block[T]) begin(ws *tensor.Workspace[T]) {
	b.newA, b.newG = ws.Zeros(b.a.Shape()), ws.Zeros(b.g.Shape())
	if b.form == Eigenbasis {
		b.newS = ws.Zeros(b.s.Shape())
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
	if b.form == Eigenbasis && b.ready != 0 {
		b.addMoments(ws, x, dy, per, perExample)
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
		tensor.MatMulAcc(ws, b.newA, x, x, true, false)
		b.rows += rows
		b.examples = t.X.Shape().Rows() / per
	}
	tensor.MatMulAcc(ws, b.newG, dy, dy, true, false)
}

// addMoments adds Σ over examples of (U_Aᵀ X̄ᵀ dY U_G)∘², the squares of one example's gradient in the basis; with
// perExample off the square of the batch's.
func (b *block[T]) addMoments(ws *tensor.Workspace[T], x, dy tensor.Tensor[T], per int, perExample bool) {
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
	tensor.Add(ws, b.newS, b.newS, sum)
}

// commit moves the averages to the statistics in progress. It reports false, and changes nothing, if they are not
// finite.
func (b *block[T]) commit(ws *tensor.Workspace[T], decay float64) bool {
	if b.rows == 0 {
		return true // no tap: a grouped convolution, or a layer that this batch did not use
	}
	if !tensor.AllFinite(b.newA) || !tensor.AllFinite(b.newG) || b.form == Eigenbasis && !tensor.AllFinite(b.newS) {
		return false
	}
	n := T(b.examples)
	tensor.Axpby(ws, b.a, 1/T(b.rows), b.newA, T(decay))
	tensor.Axpby(ws, b.g, n, b.newG, T(decay))
	b.weight = decay*b.weight + 1
	if b.form == Eigenbasis && b.ready != 0 {
		tensor.Axpby(ws, b.s, n, b.newS, T(decay))
		b.sWeight = decay*b.sWeight + 1
	}
	return true
}

// tries is how often a factorisation that fails is tried again with ten times the damping.
const tries = 4

// invert recomputes what the gradient is multiplied by. It reports false, and keeps the last, if a factorisation fails.
func (b *block[T]) invert(ws *tensor.Workspace[T], lambda float64) bool {
	if b.weight == 0 {
		return true
	}
	mark := ws.Mark()
	defer ws.Release(mark)
	a, g := ws.New(b.a.Shape()), ws.New(b.g.Shape())
	tensor.Scale(ws, a, b.a, T(1/b.weight))
	tensor.Scale(ws, g, b.g, T(1/b.weight))
	if b.form != Factored {
		return b.decompose(ws, a, g)
	}
	ta, tg := meanDiagonal(a), meanDiagonal(g)
	da, dg := Split(ta, tg, lambda)
	left, right := ws.New(b.a.Shape()), ws.New(b.g.Shape())
	if !inverse(ws, left, a, da) || !inverse(ws, right, g, dg) {
		return false
	}
	// A factor that is zero: the limit of the formula is the damping alone.
	switch {
	case tg == 0 && ta > 0:
		identity(left, 1)
		identity(right, 1/lambda)
	case ta == 0 && tg > 0:
		identity(left, 1/lambda)
		identity(right, 1)
	}
	tensor.Copy(ws, b.left, left)
	tensor.Copy(ws, b.right, right)
	b.ready = 1
	return true
}

// Split returns the dampings π√λ of A and √λ/π of G, whose product is λ, with π² = meanA/meanG the ratio of the mean
// eigenvalues. For that π the trace norm of the excess (A + π√λ I)⊗(G + √λ/π I) − (A⊗G + λI) is least. Where a mean is zero
// π is 1.
func Split(meanA, meanG, lambda float64) (forA, forG float64) {
	pi := math.Sqrt(meanA / meanG)
	if !(meanA > 0) || !(meanG > 0) || math.IsInf(pi, 0) || pi == 0 {
		pi = 1
	}
	root := math.Sqrt(lambda)
	return pi * root, root / pi
}

// meanDiagonal returns the mean eigenvalue tr M/n.
func meanDiagonal[T tensor.Float](m tensor.Tensor[T]) float64 {
	n, sum := m.Shape().Dim(0), 0.0
	for i := range n {
		sum += float64(m.At(i, i))
	}
	return sum / float64(n)
}

func addDiagonal[T tensor.Float](m tensor.Tensor[T], v T) {
	d, n := m.Data(), m.Shape().Dim(0)
	for i := range n {
		d[i*n+i] += v
	}
}

func identity[T tensor.Float](m tensor.Tensor[T], v float64) {
	clear(m.Data())
	addDiagonal(m, T(v))
}

// inverse stores (M + damping·I)⁻¹ in dst.
func inverse[T tensor.Float](ws *tensor.Workspace[T], dst, m tensor.Tensor[T], damping float64) bool {
	mark := ws.Mark()
	defer ws.Release(mark)
	l := ws.New(m.Shape())
	for range tries {
		tensor.Copy(ws, l, m)
		addDiagonal(l, T(damping))
		if linalg.Cholesky(ws, l, l) == nil && linalg.CholeskyInverse(ws, dst, l) == nil && tensor.AllFinite(dst) {
			return true
		}
		damping *= 10
	}
	return false
}

// decompose stores the eigenvectors and eigenvalues of the factors, and starts the second moments anew at those of the
// Kronecker product.
func (b *block[T]) decompose(ws *tensor.Workspace[T], a, g tensor.Tensor[T]) bool {
	va, vg := ws.Slice(b.In), ws.Slice(b.Out)
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
	if b.form == Eigenbasis {
		b.spectrum(ws, b.s)
		b.sWeight = 1
	}
	b.ready = 1
	return true
}

// spectrum stores the eigenvalues d_A d_Gᵀ of the Kronecker product in dst [n, m].
func (b *block[T]) spectrum(ws *tensor.Workspace[T], dst tensor.Tensor[T]) {
	tensor.MatMul(ws, dst, tensor.FromSlice(b.dLeft, b.In, 1), tensor.FromSlice(b.dRight, 1, b.Out), false, false)
}

// apply replaces the layer's part of u, the gradient ∇W̄, by the preconditioned one and returns their inner
// product:
//
//	factored:    (A + π√λ I)⁻¹ ∇W̄ (G + √λ/π I)⁻¹
//	else:        U_A [(U_Aᵀ ∇W̄ U_G) ⊘ (D + λ)] U_Gᵀ,   D = d_A d_Gᵀ or the tracked moments
func (b *block[T]) apply(ws *tensor.Workspace[T], u []T, lambda float64) float64 {
	mark := ws.Mark()
	defer ws.Release(mark)
	shape := tensor.ShapeOf(b.In, b.Out)
	grad := ws.New(shape)
	gather(b.place, grad, u)
	if b.ready == 0 {
		return float64(tensor.Dot(ws, grad, grad))
	}
	half, out := ws.New(shape), ws.New(shape)
	tensor.MatMul(ws, half, b.left, grad, b.form != Factored, false)
	tensor.MatMul(ws, out, half, b.right, false, false)
	if b.form != Factored {
		d := ws.New(shape)
		if b.form == Eigenbasis {
			tensor.Scale(ws, d, b.s, T(1/b.sWeight))
		} else {
			b.spectrum(ws, d)
		}
		tensor.AddScalar(ws, d, d, T(lambda))
		tensor.Div(ws, out, out, d)
		tensor.MatMul(ws, half, b.left, out, false, false)
		tensor.MatMul(ws, out, half, b.right, false, true)
	}
	scatter(b.place, u, out)
	return float64(tensor.Dot(ws, out, grad))
}

// diagonal is the curvature of a parameter without a block: the weight-tracked mean of N g², with g the gradient of the
// mean over N examples, which estimates E[(∂ℓ/∂p)²] where the noise outweighs the mean.
type diagonal[T tensor.Float] struct {
	name   string
	at     int
	d      []T
	weight float64
}

func (p *diagonal[T]) state() optim.State[T] {
	return optim.State[T]{{Name: p.name + ".diagonal", Vector: p.d}, {Name: p.name + ".weight", Float: &p.weight}}
}

// apply moves the average and replaces the parameter's part of u by u/(d + λ). It returns their inner product.
func (p *diagonal[T]) apply(ws *tensor.Workspace[T], u []T, examples int, decay, lambda float64) float64 {
	mark := ws.Mark()
	defer ws.Release(mark)
	n := len(p.d)
	g, d := tensor.FromSlice(u[p.at:p.at+n], n), tensor.FromSlice(p.d, n)
	old, t := ws.New(g.Shape()), ws.New(g.Shape())
	tensor.Copy(ws, old, g)
	tensor.Mul(ws, t, g, g)
	tensor.Axpby(ws, d, T(max(1, examples)), t, T(decay))
	p.weight = decay*p.weight + 1
	tensor.Scale(ws, t, d, T(1/p.weight))
	tensor.AddScalar(ws, t, t, T(lambda))
	tensor.Div(ws, g, g, t)
	return float64(tensor.Dot(ws, old, g))
}
