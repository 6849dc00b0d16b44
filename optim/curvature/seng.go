package curvature

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// SENG solves with the empirical Fisher matrix of each affine layer, exactly and without ever forming it. With the gradients
// u_i = vec(x̄_i g_iᵀ) of N examples and U = [u_1 … u_N]/√N, the Sherman–Morrison–Woodbury identity gives
//
//	d = (λI + UUᵀ)⁻¹ ∇W̄ = (1/λ) ( ∇W̄ − U (λI + UᵀU)⁻¹ Uᵀ∇W̄ )
//	UᵀU = (X̄X̄ᵀ) ∘ (GGᵀ)/N                      [N, N], from X̄ [N, n] and G [N, m] alone
//
// A convolution has several rows an example, which are summed before the outer product: u_i = vec(Σ_positions x̄ gᵀ), held as it is,
// [N, nm]; with Reduce as the mean of the x̄ and the sum of the g, a row an example. X̄ and G are those of the gradient's own backward pass.
//
// and ν = min(1, √(κ/(lr²·Σ⟨d, ∇W̄⟩))) shortens it, as in K-FAC. Every T-th update takes new examples, the first of the batch up to S, and inverts λI + UᵀU by Cholesky in float64; in between U is
// that of an earlier batch. Layers with more than Sketch columns in X̄ or G estimate their Gram matrix from so many columns, drawn
// with replacement; where the direction then fails to descend the Gram matrix is computed in full. A scheduled λ takes effect at the next
// refresh. What belongs to no affine
// layer has d = ∇/λ, as if its curvature were zero, and so has all while there are no examples.
//
// Paper: Yang, Xu, Wen, Chen and Xu, "Sketchy empirical natural gradient methods for deep learning", J. Sci. Comput. 2022,
// arXiv:2006.05924. Deviations: no low-rank approximation of a convolution's per-example gradient; the sketch is of the columns of
// X̄ and G, not of U's rows; the clip, which allows for a small λ.
//
// Cost of a layer: N²(n+m) + N³ flops every T updates, 4Nmn in each; memory S(n+m), or S·nm for a convolution, and S² doubles.
// Invariances: none with λ > 0; at rest where the gradient is zero.
// Failure: λ must dominate the noise, 1/N; where the model fits its data the g vanish, and the method is SGD with rate lr/λ.
//
// A Gram matrix that is not finite or has no factor leaves the last one in place; it is counted.
type SENG[T tensor.Float] struct {
	o      SENGOptions
	blocks []*sengBlock[T]
	of     map[int]*sengBlock[T]
	rest   []place
	listed Registration
	ws     *tensor.Workspace[T]
	exact  *tensor.Workspace[float64]

	updates int64
	held    int64   // examples taken for the refresh that comes
	batch   int     // examples of the batch in progress
	used    int64   // examples of U; 0: none yet
	lambda  float64 // λ that the factors hold
	failed  int64
	full    int64 // sketches replaced by full Gram matrices
}

// SENGOptions are the settings of [SENG].
type SENGOptions struct {
	Damping *optim.Hyper // λ
	Rate    *optim.Hyper // of the chain, which the clip looks at
	Clip    float64      // κ: lr²·⟨d, ∇⟩ is at most that; 0: off
	Samples int          // S, examples of U
	Every   int          // T
	Sketch  int          // columns of X̄ and of G for the Gram matrix; 0: all
	Reduce  bool         // convolutions: mean input and summed gradient over the positions
	Largest int          // elements of a convolution's weight above which it is reduced
	Key     tensor.Key   // of the sketch
}

// sengBlock is an affine layer with its examples.
type sengBlock[T tensor.Float] struct {
	Block
	place
	key tensor.Key

	// One or the other: rows of X̄ and G, or whole gradients.
	x, g tensor.Tensor[T]       // [S, n], [S, m]
	u    tensor.Tensor[T]       // [S, n·m]
	inv  tensor.Tensor[float64] // (λI + UᵀU)⁻¹ of the examples in use, in the first n² elements

	seen   int   // examples of the batch in progress
	solved int64 // examples that inv is of; 0: none yet
}

// NewSENG returns the link for env.Layout. The error says that there is no affine layer.
func NewSENG[T tensor.Float](env optim.Env, o SENGOptions) (*SENG[T], error) {
	l := &SENG[T]{o: o, of: map[int]*sengBlock[T]{}, listed: Register(env.Layout, math.MaxInt),
		ws: tensor.NewWorkspace[T](env.Pool), exact: tensor.NewWorkspace[float64](env.Pool)}
	convolution := map[int]bool{}
	for _, k := range kernels(env.Layout) {
		convolution[k.offset] = true
	}
	for _, b := range l.listed {
		p := env.Layout.At(b.Weight)
		if b.Kind == Diagonal {
			l.rest = append(l.rest, place{weight: p.Offset, weightLen: p.Shape.Size()})
			continue
		}
		x := &sengBlock[T]{Block: b, place: placeOf(env.Layout, b), key: o.Key.Named(b.Name), inv: tensor.New[float64](o.Samples, o.Samples)}
		if convolution[p.Offset] && !o.Reduce && b.In*b.Out <= o.Largest {
			x.u = tensor.New[T](o.Samples, b.In*b.Out)
		} else {
			x.x, x.g = tensor.New[T](o.Samples, b.In), tensor.New[T](o.Samples, b.Out)
		}
		l.blocks = append(l.blocks, x)
		l.of[b.Weight] = x
	}
	if l.blocks == nil {
		return nil, fmt.Errorf("curvature: there is no affine layer among the parameters:\n%s"+
			"hint: seng is for networks of dense and convolutional layers; use a first-order method", l.listed)
	}
	return l, nil
}

// Name returns "seng".
func (*SENG[T]) Name() string { return "seng" }

// Hypers returns the damping.
func (l *SENG[T]) Hypers() []*optim.Hyper { return []*optim.Hyper{l.o.Damping} }

// Blocks says which parameter is held by which block, and why.
func (l *SENG[T]) Blocks() Registration { return l.listed }

// State returns the examples, the factors and the counters.
func (l *SENG[T]) State() optim.State[T] {
	s := optim.State[T]{{Name: "updates", Int: &l.updates}, {Name: "held", Int: &l.held}, {Name: "used", Int: &l.used},
		{Name: "failed", Int: &l.failed}, {Name: "full", Int: &l.full}, {Name: "lambda", Float: &l.lambda}}
	for _, b := range l.blocks {
		if b.u.IsZero() {
			s = append(s, optim.State[T]{{Name: b.Name + ".x", Vector: b.x.Data()}, {Name: b.Name + ".g", Vector: b.g.Data()}}...)
		} else {
			s = append(s, optim.StateEntry[T]{Name: b.Name + ".u", Vector: b.u.Data()})
		}
		s = append(s, optim.State[T]{{Name: b.Name + ".inverse", Double: b.inv.Data()}, {Name: b.Name + ".solved", Int: &b.solved}}...)
	}
	return s
}

// due reports whether the next update takes new examples.
func (l *SENG[T]) due() bool { return l.updates%int64(l.o.Every) == 0 }

// BeginTaps forgets the examples of a batch that was not kept.
func (l *SENG[T]) BeginTaps() {
	l.batch = 0
	for _, b := range l.blocks {
		b.seen = 0
	}
}

// Tap takes the layer's examples up behind those that are kept. While no refresh is due the old ones are in use, and nothing is taken.
func (l *SENG[T]) Tap(t objective.Tap[T]) {
	b := l.of[t.Weight]
	if b == nil || !l.due() || b.seen != 0 {
		return // a layer used a second time in a pass: its first use alone counts
	}
	rows, per := t.X.Shape().Rows(), max(1, t.RowsPer)
	l.batch = rows / per
	b.seen = min(l.batch, l.o.Samples-int(l.held))
	if b.seen > 0 {
		b.take(l.ws, t, int(l.held), b.seen, per, T(l.batch))
	}
}

// take stores count examples from row at on. The taps' DY are gradients of the mean over n examples.
func (b *sengBlock[T]) take(ws *tensor.Workspace[T], t objective.Tap[T], at, count, per int, n T) {
	defer ws.Release(ws.Mark())
	x, dy := firstRows(t.X, count*per), firstRows(t.DY, count*per)
	if b.Bias >= 0 {
		x = extended(ws, x)
	}
	if b.u.IsZero() {
		to, g := rowsFrom(b.x, at, count), rowsFrom(b.g, at, count)
		ax := func(m tensor.Tensor[T]) tensor.Axis {
			return tensor.Axis{Outer: count, N: per, Inner: m.Shape().Cols()}
		}
		tensor.SumAxis(ws, to, x, ax(x))
		tensor.Scale(ws, to, to, 1/T(per))
		tensor.SumAxis(ws, g, dy, ax(dy))
		tensor.Scale(ws, g, g, n)
		return
	}
	for i := range count {
		u := rowsFrom(b.u, at+i, 1).Reshape(b.In, b.Out)
		tensor.MatMul(ws, u, rowsFrom(x, i*per, per), rowsFrom(dy, i*per, per), true, false)
		tensor.Scale(ws, u, u, n)
	}
}

// rowsFrom returns count rows of the matrix a from row first on.
func rowsFrom[T tensor.Float](a tensor.Tensor[T], first, count int) tensor.Tensor[T] {
	c := a.Shape().Cols()
	return tensor.FromSlice(a.Data()[first*c:(first+count)*c], count, c)
}

func firstRows[T tensor.Float](a tensor.Tensor[T], count int) tensor.Tensor[T] {
	return rowsFrom(a, 0, count)
}

// extended returns [x, 1], lent by ws.
func extended[T tensor.Float](ws *tensor.Workspace[T], x tensor.Tensor[T]) tensor.Tensor[T] {
	out := ws.New(tensor.ShapeOf(x.Shape().Rows(), x.Shape().Cols()+1))
	tensor.Fill(out, 1)
	tensor.CopySlice(ws, out, x, tensor.AxisOf(out.Shape(), 1, 2), 0, true)
	return out
}

// KeepTaps says that the batch's examples count.
func (l *SENG[T]) KeepTaps() {
	if l.due() {
		l.held = min(l.held+int64(l.batch), int64(l.o.Samples))
	}
}

// Transform factors the Gram matrices if that is due and preconditions the update.
func (l *SENG[T]) Transform(_ context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	defer l.ws.Release(l.ws.Mark())
	lambda := l.lambda
	if l.used == 0 {
		lambda = l.o.Damping.At(s.Progress)
	}
	if l.due() && l.held > 0 {
		lambda = l.o.Damping.At(s.Progress)
		l.used, l.held, l.lambda = l.held, 0, lambda
		for _, b := range l.blocks {
			b.clearFrom(int(l.used))
			if !b.factor(l.ws, l.exact, int(l.used), lambda, l.sketch(b)) {
				l.failed++
			}
		}
	}
	l.updates++
	inner := 0.0
	for _, b := range l.blocks {
		part := b.apply(l.ws, l.exact, s.Update, int(l.used), lambda)
		if part < 0 {
			// Not downhill: the sketch has missed too much.
			l.full++
			if !b.factor(l.ws, l.exact, int(l.used), lambda, 0) {
				l.failed++
				b.solved = 0
			}
			part = b.apply(l.ws, l.exact, s.Update, int(l.used), lambda)
		}
		inner += part
	}
	for _, p := range l.rest {
		inner += scalePart(l.ws, s.Update[p.weight:p.weight+p.weightLen], lambda)
	}
	if math.IsNaN(inner) || math.IsInf(inner, 0) {
		return optim.Skip, nil
	}
	lr, nu := l.o.Rate.At(s.Progress), 1.0
	if size := lr * lr * inner; l.o.Clip > 0 && size > l.o.Clip {
		nu = math.Sqrt(l.o.Clip / size)
		scalePart(l.ws, s.Update, 1/nu)
	}
	s.Changed()
	s.Log("kl-clip", nu)
	if l.failed > 0 {
		s.Log("failed-inverses", float64(l.failed))
	}
	return optim.Continue, nil
}

// sketch returns the number of columns that the block's Gram matrix is estimated from; 0: all.
func (l *SENG[T]) sketch(b *sengBlock[T]) int {
	if l.o.Sketch > 0 && b.u.IsZero() && max(b.In, b.Out) > l.o.Sketch {
		return l.o.Sketch
	}
	return 0
}

// clearFrom clears the examples from row n on.
func (b *sengBlock[T]) clearFrom(n int) {
	for _, m := range []tensor.Tensor[T]{b.x, b.g, b.u} {
		if !m.IsZero() {
			clear(m.Data()[n*m.Shape().Cols():])
		}
	}
}

// factor stores the inverse of λI + UᵀU for n examples, by Cholesky. It reports false, and keeps the last, if there is no factor.
func (b *sengBlock[T]) factor(ws *tensor.Workspace[T], exact *tensor.Workspace[float64], n int, lambda float64, sketch int) bool {
	defer ws.Release(ws.Mark())
	defer exact.Release(exact.Mark())
	gram := b.gram(ws, n, sketch)
	k := exact.New(gram.Shape())
	for i, v := range gram.Data() {
		k.Data()[i] = float64(v) / float64(n)
	}
	linalg.AddDiagonal(k, lambda)
	inv := exact.New(gram.Shape())
	if !tensor.AllFinite(k) || linalg.Cholesky(exact, k, k) != nil || linalg.CholeskyInverse(exact, inv, k) != nil {
		return false
	}
	copy(b.inv.Data(), inv.Data())
	b.solved = int64(n)
	return true
}

// gram returns n UᵀU of n examples, lent by ws.
func (b *sengBlock[T]) gram(ws *tensor.Workspace[T], n, sketch int) tensor.Tensor[T] {
	square := tensor.ShapeOf(n, n)
	k := ws.New(square)
	if !b.u.IsZero() {
		u := firstRows(b.u, n)
		linalg.SymmetricProduct(ws, k, u, u, false, true)
		return k
	}
	h := ws.New(square)
	for i, m := range []tensor.Tensor[T]{firstRows(b.x, n), firstRows(b.g, n)} {
		if sketch > 0 && m.Shape().Cols() > sketch {
			m = b.columns(ws, m, sketch, b.key.Fold(uint64(i)))
		}
		to := k
		if i == 1 {
			to = h
		}
		linalg.SymmetricProduct(ws, to, m, m, false, true)
	}
	tensor.Mul(ws, k, k, h)
	return k
}

// columns returns q columns of m, drawn with replacement and scaled so that the products of rows keep their mean.
func (b *sengBlock[T]) columns(ws *tensor.Workspace[T], m tensor.Tensor[T], q int, key tensor.Key) tensor.Tensor[T] {
	rows, cols := m.Shape().Rows(), m.Shape().Cols()
	at, turned := ws.Int32s(q), ws.New(tensor.ShapeOf(cols, rows))
	for i := range at {
		at[i] = int32(key.IntN(uint64(i), cols))
	}
	tensor.Permute(ws, turned, m, []int{1, 0})
	picked, out := ws.New(tensor.ShapeOf(q, rows)), ws.New(tensor.ShapeOf(rows, q))
	tensor.Gather(ws, picked, turned, at)
	tensor.Permute(ws, out, picked, []int{1, 0})
	tensor.Scale(ws, out, out, T(math.Sqrt(float64(cols)/float64(q))))
	return out
}

// apply replaces the layer's part of v, the gradient ∇W̄, by the direction d, and returns their inner product. It changes nothing if that is
// negative.
func (b *sengBlock[T]) apply(ws *tensor.Workspace[T], exact *tensor.Workspace[float64], v []T, n int, lambda float64) float64 {
	if n == 0 || b.solved != int64(n) {
		return scalePart(ws, v[b.weight:b.weight+b.weightLen], lambda) + scalePart(ws, v[b.bias:b.bias+b.biasLen], lambda)
	}
	defer ws.Release(ws.Mark())
	defer exact.Release(exact.Mark())
	grad, back := ws.New(tensor.ShapeOf(b.In, b.Out)), ws.New(tensor.ShapeOf(b.In, b.Out))
	gather(b.place, grad, v)
	q := ws.New(tensor.ShapeOf(n)) // √n Uᵀ∇W̄, of each example g_iᵀ ∇W̄ᵀ x̄_i
	x, g, half := b.x, b.g, tensor.Tensor[T]{}
	if b.u.IsZero() {
		x, g, half = firstRows(b.x, n), firstRows(b.g, n), ws.New(tensor.ShapeOf(n, b.Out))
		tensor.MatMul(ws, half, x, grad, false, false)
		for i := range n {
			q.Data()[i] = simd.Dot(rowsFrom(half, i, 1).Data(), rowsFrom(g, i, 1).Data())
		}
	} else {
		tensor.MatMul(ws, q.Reshape(n, 1), firstRows(b.u, n), grad.Reshape(b.In*b.Out, 1), false, false)
	}
	p, y := exact.New(tensor.ShapeOf(n, 1)), exact.New(tensor.ShapeOf(n, 1))
	for i, w := range q.Data() {
		p.Data()[i] = float64(w) / float64(n)
	}
	tensor.MatMul(exact, y, tensor.FromSlice(b.inv.Data()[:n*n], n, n), p, false, false)
	for i, w := range y.Data() {
		q.Data()[i] = T(w)
	}
	if b.u.IsZero() {
		tensor.MulAxis(ws, half, g, q, tensor.AxisOf(half.Shape(), 1, 2))
		tensor.MatMul(ws, back, x, half, true, false)
	} else {
		tensor.MatMul(ws, back.Reshape(1, b.In*b.Out), q.Reshape(1, n), firstRows(b.u, n), false, false)
	}
	tensor.Sub(ws, back, grad, back)
	tensor.Scale(ws, back, back, T(1/lambda))
	inner := float64(tensor.Dot(ws, back, grad))
	if inner >= 0 {
		scatter(b.place, v, back)
	}
	return inner
}

// scalePart divides v by λ and returns the inner product of before and after.
func scalePart[T tensor.Float](ws *tensor.Workspace[T], v []T, lambda float64) float64 {
	if len(v) == 0 {
		return 0
	}
	x := tensor.FromSlice(v, len(v))
	tensor.Scale(ws, x, x, T(1/lambda))
	return lambda * float64(tensor.Dot(ws, x, x))
}
