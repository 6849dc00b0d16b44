package curvature

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// SINGD is K-FAC without an inverse. For each affine layer it follows square roots K [n, n] and C [m, m] of the damped inverse
// factors by multiplicative steps:
//
//	H_K = Kᵀ A K,   H_C = Cᵀ G C                                   every T updates
//	m_K ← α m_K + ½ ( s_C H_K + λ t_C KᵀK − I ),    K ← K (I − β m_K)
//	m_C ← α m_C + ½ ( s_K H_C + λ t_K CᵀC − I ),    C ← C (I − β m_C)
//	U = KKᵀ ∇W̄ CCᵀ,    ν = min(1, √(κ/(lr²·Σ⟨U, ∇W̄⟩))),    u ← ν U
//
// SINGD: s_C = tr(H_C)/m, t_C = tr(CᵀC)/m, and likewise for K; α > 0. IKFAC: all four are 1 and α = 0; then KKᵀ tends to (A + λI)⁻¹ for an
// A that does not change, with an error that shrinks by the factor 1 − β a step in the end. A is never formed: H_K is the mean of (Kᵀx̄)(Kᵀx̄)ᵀ.
//
// Structures ([Structure]): m_K, and with it K, is dense, diagonal, block-diagonal, or lower-triangular Toeplitz; the elements outside are dropped.
//
// Papers: Lin, Duruisseaux, Leok, Nielsen, Khan and Schmidt, "Simplifying momentum-based positive-definite submanifold optimization
// with applications to deep learning", ICML 2023 (INGD); Lin, Dangel et al., "Structured inverse-free natural gradient descent",
// ICML 2024, arXiv:2312.05705. Deviations: K starts at (tr A/n + λ)^(−1/2) I, not at I, with the first statistics; β is shortened so that
// β‖m‖ ≤ ½, by a bound of the norm; the clip is that of K-FAC.
//
// Cost of a layer with dense K and C: every T updates about half a gradient, 4N(n²+m²) + 6(n³+m³) flops; in each 4nm(n+m). Memory
// 2(n²+m²) numbers, IKFAC n²+m². Diagonal: n+m in the place of n²+m², and no cubic term.
// Invariances: none with λ > 0; at rest where the gradient is zero.
// Failure: K follows a change of A in 1/β statistics: too small a β is plain SGD for a long time. λ acts on A and G each, so that the product
// is damped by λ² where both vanish: the step is bounded by the clip alone.
//
// Statistics that are not finite are left out, and a K that would become so is not moved; both are counted.
// What belongs to no affine layer keeps its plain gradient.
type SINGD[T tensor.Float] struct {
	o         SINGDOptions
	blocks    []*singdBlock[T]
	of        map[int]*singdBlock[T]
	listed    Registration
	ws        *tensor.Workspace[T]
	updates   int64
	observed  int64
	refused   int64
	tap       func(int, objective.Tap[T])
	empirical func(objective.Tap[T])
}

// SINGDOptions are the settings of [SINGD].
type SINGDOptions struct {
	Structure Structure
	Block     int  // size of the blocks of [BlockDiagonalRoots]
	Adaptive  bool // the traces of SINGD; off: IKFAC
	Signal    objective.Signal
	Damping   *optim.Hyper // λ
	Rate      *optim.Hyper // of the chain, which the clip looks at
	Clip      float64      // κ; 0: off
	Alpha     float64      // α
	Beta      float64      // β
	Every     int          // T, after the warm-up
	WarmUp    int          // first updates, with statistics in each
	Reduce    bool         // convolutions: mean input and summed gradient over the positions
	Largest   int          // order above which a factor is diagonal whatever the structure
	Key       tensor.Key   // of the curvature signal
}

// singdBlock is an affine layer with its roots.
type singdBlock[T tensor.Float] struct {
	Block
	place
	k, c     root[T]
	started  int64
	hK, hC   tensor.Tensor[T] // moments in progress, of the structure's size
	rows, ex int
}

// NewSINGD returns the link for env.Layout. The error says that there is no affine layer.
func NewSINGD[T tensor.Float](env optim.Env, o SINGDOptions) (*SINGD[T], error) {
	l := &SINGD[T]{o: o, of: map[int]*singdBlock[T]{}, listed: Register(env.Layout, math.MaxInt), ws: tensor.NewWorkspace[T](env.Pool)}
	for _, b := range l.listed {
		if b.Kind == Diagonal {
			continue
		}
		x := &singdBlock[T]{Block: b, place: placeOf(env.Layout, b), k: newRoot[T](o, b.In), c: newRoot[T](o, b.Out)}
		l.blocks = append(l.blocks, x)
		l.of[b.Weight] = x
	}
	if l.blocks == nil {
		return nil, fmt.Errorf("curvature: there is no affine layer among the parameters:\n%s"+
			"hint: Kronecker-factored curvature is for the weight matrices of networks; use a first-order method", l.listed)
	}
	l.tap = func(pass int, t objective.Tap[T]) {
		if b := l.of[t.Weight]; b != nil {
			b.add(l.ws, pass, t, l.o.Reduce)
		}
	}
	l.empirical = func(t objective.Tap[T]) { l.tap(0, t) }
	return l, nil
}

// Name returns "singd" or "ikfac".
func (l *SINGD[T]) Name() string {
	if l.o.Adaptive {
		return "singd"
	}
	return "ikfac"
}

// Hypers returns the damping.
func (l *SINGD[T]) Hypers() []*optim.Hyper { return []*optim.Hyper{l.o.Damping} }

// Blocks says which parameter is held by which block, and why.
func (l *SINGD[T]) Blocks() Registration { return l.listed }

// State returns the roots, their momenta and the counters.
func (l *SINGD[T]) State() optim.State[T] {
	s := optim.State[T]{{Name: "updates", Int: &l.updates}, {Name: "observed", Int: &l.observed}, {Name: "refused", Int: &l.refused}}
	for _, b := range l.blocks {
		s = append(s, optim.StateEntry[T]{Name: b.Name + ".started", Int: &b.started})
		for i, r := range []root[T]{b.k, b.c} {
			prefix := b.Name + []string{".k", ".c"}[i]
			k, m := r.vectors()
			s = append(s, optim.StateEntry[T]{Name: prefix, Vector: k})
			if m != nil {
				s = append(s, optim.StateEntry[T]{Name: prefix + ".momentum", Vector: m})
			}
		}
	}
	return s
}

// Transform moves the roots if that is due and preconditions the update.
func (l *SINGD[T]) Transform(ctx context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	defer l.ws.Release(l.ws.Mark())
	if t := l.updates; t < int64(l.o.WarmUp) || t%int64(l.o.Every) == 0 {
		if err := l.observe(ctx, s.Objective, l.o.Damping.At(s.Progress)); err != nil {
			return optim.Skip, err
		}
	}
	l.updates++
	inner := 0.0
	for _, b := range l.blocks {
		inner += b.apply(l.ws, s.Update)
	}
	if math.IsNaN(inner) || math.IsInf(inner, 0) {
		return optim.Skip, nil
	}
	nu := 1.0
	lr := l.o.Rate.At(s.Progress)
	if size := lr * lr * inner; l.o.Clip > 0 && size > l.o.Clip {
		nu = math.Sqrt(l.o.Clip / size)
		for _, b := range l.blocks {
			scalePart(l.ws, s.Update[b.weight:b.weight+b.weightLen], 1/nu)
			scalePart(l.ws, s.Update[b.bias:b.bias+b.biasLen], 1/nu)
		}
	}
	s.Changed()
	s.Log("kl-clip", nu)
	if l.refused > 0 {
		s.Log("refused-statistics", float64(l.refused))
	}
	return optim.Continue, nil
}

// observe takes up the statistics of the batch and moves the roots. A function with taps but without a predictive distribution gives the
// empirical signal, whatever was asked for.
func (l *SINGD[T]) observe(ctx context.Context, f *objective.Objective[T], lambda float64) error {
	for _, b := range l.blocks {
		b.begin(l.ws)
	}
	err := f.TapFisher(ctx, l.o.Signal, objective.Part{}, l.o.Key.Fold(uint64(l.observed)), l.tap)
	if errors.Is(err, objective.ErrUnsupported) {
		err = f.TapValue(ctx, objective.Part{}, l.empirical)
	}
	if errors.Is(err, objective.ErrUnsupported) {
		return fmt.Errorf("curvature: %s needs what the layers of a network see: %w\nhint: use it on a network (objective.Network), or use a method that needs gradients only", l.Name(), err)
	}
	if err != nil {
		return err
	}
	l.observed++
	for _, b := range l.blocks {
		if !b.move(l.ws, l.o, lambda) {
			l.refused++
		}
	}
	return nil
}

// begin clears the moments in progress; their storage is lent by ws.
func (b *singdBlock[T]) begin(ws *tensor.Workspace[T]) {
	b.hK, b.hC = b.k.zeros(ws), b.c.zeros(ws)
	b.rows, b.ex = 0, 0
}

// add takes up one tap: the sums of (Kᵀx̄)(Kᵀx̄)ᵀ and (Cᵀg)(Cᵀg)ᵀ over the rows, within the structure. Before the roots have
// started they are multiples of the identity.
func (b *singdBlock[T]) add(ws *tensor.Workspace[T], pass int, t objective.Tap[T], reduce bool) {
	defer ws.Release(ws.Mark())
	rows, per := t.X.Shape().Rows(), max(1, t.RowsPer)
	x, dy := t.X, t.DY
	if pass == 0 && b.Bias >= 0 {
		x = extended(ws, x)
	}
	if reduce && per > 1 {
		rows /= per
		mean, sum := ws.New(tensor.ShapeOf(rows, x.Shape().Cols())), ws.New(tensor.ShapeOf(rows, b.Out))
		tensor.SumAxis(ws, mean, x, tensor.Axis{Outer: rows, N: per, Inner: x.Shape().Cols()})
		tensor.Scale(ws, mean, mean, 1/T(per))
		tensor.SumAxis(ws, sum, dy, tensor.Axis{Outer: rows, N: per, Inner: b.Out})
		x, dy = mean, sum
	}
	if pass == 0 {
		b.k.accumulate(ws, b.hK, x)
		b.rows += rows
		b.ex = t.X.Shape().Rows() / per
	}
	b.c.accumulate(ws, b.hC, dy)
}

// move takes one step of the roots. It reports false, and leaves them, if the statistics or the new roots are not finite.
func (b *singdBlock[T]) move(ws *tensor.Workspace[T], o SINGDOptions, lambda float64) bool {
	if b.rows == 0 {
		return true // no tap: a grouped convolution, or a layer that this batch did not use
	}
	defer ws.Release(ws.Mark())
	tensor.Scale(ws, b.hK, b.hK, 1/T(b.rows))
	tensor.Scale(ws, b.hC, b.hC, T(b.ex))
	if !tensor.AllFinite(b.hK) || !tensor.AllFinite(b.hC) {
		return false
	}
	if b.started == 0 {
		// The roots are still the identity: H is A itself, and so is its trace.
		for i, r := range []root[T]{b.k, b.c} {
			h := []tensor.Tensor[T]{b.hK, b.hC}[i]
			at := 1 / math.Sqrt(r.trace(h)/float64(r.order())+lambda)
			r.start(T(at))
			tensor.Scale(ws, h, h, T(at*at))
		}
		b.started = 1
	}
	sC, tC, sK, tK := 1.0, 1.0, 1.0, 1.0
	if o.Adaptive {
		n, m := float64(b.k.order()), float64(b.c.order())
		sC, tC = b.c.trace(b.hC)/m, b.c.squares(ws)/m
		sK, tK = b.k.trace(b.hK)/n, b.k.squares(ws)/n
	}
	okK := b.k.move(ws, b.hK, sC, lambda*tC, o.Alpha, o.Beta)
	okC := b.c.move(ws, b.hC, sK, lambda*tK, o.Alpha, o.Beta)
	return okK && okC
}

// apply replaces the layer's part of v, the gradient ∇W̄, by KKᵀ ∇W̄ CCᵀ and returns their inner product.
func (b *singdBlock[T]) apply(ws *tensor.Workspace[T], v []T) float64 {
	defer ws.Release(ws.Mark())
	shape := tensor.ShapeOf(b.In, b.Out)
	grad, x, y := ws.New(shape), ws.New(shape), ws.New(shape)
	gather(b.place, grad, v)
	b.c.times(ws, x, grad, false)
	b.c.times(ws, y, x, true)
	b.k.left(ws, x, y, true)
	b.k.left(ws, y, x, false)
	scatter(b.place, v, y)
	return float64(tensor.Dot(ws, y, grad))
}
