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

// Options are the settings of a [Preconditioner]. The zero value is not useful; [Defaults] is.
type Options struct {
	Form            Form
	Signal          objective.Signal
	Damping         *optim.Hyper // λ
	Rate            *optim.Hyper // the learning rate of the chain, which the clip looks at
	Clip            float64      // κ: lr²·⟨U, ∇⟩ is at most that; 0: off
	Decay           float64      // ρ of the averages
	BurnIn          int          // first updates: statistics in each, all with the same weight
	StatisticsEvery int          // T₁, updates
	InverseEvery    int          // T₂, updates
	Reduce          bool         // layers with several rows an example: statistics of their mean and sum
	PerExample      bool         // EKFAC: squares of the examples' gradients; off: of the batch's
	Largest         int          // order of a factor above which a layer is diagonal
	Key             tensor.Key   // of the curvature signal
}

// Defaults returns the options in force when none is given, for a learning rate and a damping.
func Defaults(form Form, rate, damping *optim.Hyper) Options {
	return Options{Form: form, Rate: rate, Damping: damping, Signal: objective.Propagated, Clip: 1e-3, Decay: 0.95, BurnIn: 10,
		StatisticsEvery: 10, InverseEvery: 50, PerExample: true, Largest: 4096, Key: tensor.KeyOf(0).Named("curvature")}
}

// Preconditioner is the link that multiplies the gradient by the inverse of a block-diagonal approximation of the
// Gauss–Newton matrix, with a Kronecker product for every affine layer:
//
//	U_l = (A_l ⊗ G_l + λI)⁻¹ ∇W_l        in the form that Options.Form says
//	ν = min(1, √(κ/(lr²·Σ_l ⟨U_l, ∇W_l⟩)))
//	u ← ν U
//
// A batch whose statistics are not finite leaves the layer's as they are, and a factorisation that fails leaves the last
// good one; both are counted in the state ("refused", "failed") and in the report.
//
// Papers: Martens and Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 2015; Grosse and
// Martens, "A Kronecker-factored approximate Fisher matrix for convolution layers", 2016; George et al., "Fast
// approximate natural gradient descent in a Kronecker-factored eigenbasis", 2018; Eschenhagen et al., 2023 (expand and
// reduce). The clip is that of Ba, Grosse and Martens, 2017.
//
// Cost, for a layer with n inputs and m outputs: 2(n² + m²) numbers (EKFAC: nm more); in an update 2mn(m+n) flops, twice that in
// the eigenbasis; every T₁ updates a forward pass, the input half of a backward pass, and 2N(n²+m²) flops; every T₂ updates
// two inverses, 7/3 (n³+m³) flops, or two eigendecompositions, 14/3 (n³+m³).
//
// A Preconditioner is not safe for concurrent use; it is parallel inside.
type Preconditioner[T tensor.Float] struct {
	o         Options
	blocks    []*block[T]
	of        map[int]*block[T]
	rest      []*diagonal[T]
	listed    Registration
	ws        *tensor.Workspace[T]
	updates   int64
	observed  int64   // statistics steps
	refused   int64   // statistics left out: not finite
	failed    int64   // factorisations that failed
	factor    float64 // on λ, moved by an adaptive damping
	empirical func(objective.Tap[T])
	tap       func(int, objective.Tap[T])
}

// NewPreconditioner returns the link for env.Layout. The error says that no layer can have a Kronecker block.
func NewPreconditioner[T tensor.Float](env optim.Env, o Options) (*Preconditioner[T], error) {
	k := &Preconditioner[T]{o: o, of: map[int]*block[T]{}, listed: Register(env.Layout, o.Largest),
		ws: tensor.NewWorkspace[T](env.Pool), factor: 1}
	for _, b := range k.listed {
		if b.Kind == Diagonal {
			p := env.Layout.At(b.Weight)
			k.rest = append(k.rest, &diagonal[T]{name: b.Name, at: p.Offset, d: make([]T, p.Shape.Size())})
			continue
		}
		x := newBlock[T](b, placeOf(env.Layout, b), o.Form)
		k.blocks = append(k.blocks, x)
		k.of[b.Weight] = x
	}
	if k.blocks == nil {
		return nil, fmt.Errorf("curvature: there is no affine layer with factors up to %d among the parameters:\n%s"+
			"hint: Kronecker-factored curvature is for the weight matrices of networks; raise largest-factor or use a first-order method", o.Largest, k.listed)
	}
	k.tap = func(pass int, t objective.Tap[T]) {
		if b := k.of[t.Weight]; b != nil {
			b.add(k.ws, pass, t, k.o.Reduce, k.o.PerExample)
		}
	}
	k.empirical = func(t objective.Tap[T]) { k.tap(0, t) }
	return k, nil
}

// Name returns "kfac" or "ekfac".
func (k *Preconditioner[T]) Name() string {
	if k.o.Form == Eigenbasis {
		return "ekfac"
	}
	return "kfac"
}

// Hypers returns the damping.
func (k *Preconditioner[T]) Hypers() []*optim.Hyper { return []*optim.Hyper{k.o.Damping} }

// Blocks says which parameter is held by which block, and why.
func (k *Preconditioner[T]) Blocks() Registration { return k.listed }

// State returns the averages, what was made of them, and the counters.
func (k *Preconditioner[T]) State() optim.State[T] {
	s := optim.State[T]{{Name: "updates", Int: &k.updates}, {Name: "observed", Int: &k.observed},
		{Name: "refused", Int: &k.refused}, {Name: "failed", Int: &k.failed}, {Name: "damping-factor", Float: &k.factor}}
	for _, b := range k.blocks {
		s = append(s, b.state()...)
	}
	for _, p := range k.rest {
		s = append(s, p.state()...)
	}
	return s
}

// Transform updates statistics and inverses if they are due and preconditions the update.
func (k *Preconditioner[T]) Transform(ctx context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	mark := k.ws.Mark()
	defer k.ws.Release(mark)
	t := k.updates + 1
	lambda := k.o.Damping.At(s.Progress) * k.factor
	decay := k.o.Decay
	if t <= int64(k.o.BurnIn) {
		decay = 1
	}
	if t <= int64(k.o.BurnIn) || (t-1)%int64(k.o.StatisticsEvery) == 0 {
		if err := k.observe(ctx, s.Objective, decay); err != nil {
			return optim.Skip, err
		}
	}
	if t <= 3 || t == int64(k.o.BurnIn) || (t-1)%int64(k.o.InverseEvery) == 0 {
		for _, b := range k.blocks {
			if !b.invert(k.ws, lambda) {
				k.failed++
			}
		}
	}
	k.updates = t
	inner := 0.0
	for _, b := range k.blocks {
		inner += b.apply(k.ws, s.Update, lambda)
	}
	for _, p := range k.rest {
		inner += p.apply(k.ws, s.Update, s.Progress.Batch, decay, lambda)
	}
	if math.IsNaN(inner) || math.IsInf(inner, 0) {
		return optim.Skip, nil
	}
	nu := k.clip(inner, s.Progress)
	if nu < 1 {
		u := tensor.FromSlice(s.Update, len(s.Update))
		tensor.Scale(k.ws, u, u, T(nu))
	}
	s.Changed()
	s.Log("damping", lambda)
	s.Log("kl-clip", nu)
	if k.refused+k.failed > 0 {
		s.Log("refused-statistics", float64(k.refused))
		s.Log("failed-inverses", float64(k.failed))
	}
	return optim.Continue, nil
}

// clip returns ν.
func (k *Preconditioner[T]) clip(inner float64, p objective.Progress) float64 {
	lr := k.o.Rate.At(p)
	if size := lr * lr * inner; k.o.Clip > 0 && size > k.o.Clip {
		return math.Sqrt(k.o.Clip / size)
	}
	return 1
}

// observe takes up the statistics of the batch. A function with taps but without a predictive distribution gives the
// empirical signal, whatever was asked for.
func (k *Preconditioner[T]) observe(ctx context.Context, f *objective.Objective[T], decay float64) error {
	for _, b := range k.blocks {
		b.begin(k.ws)
	}
	err := f.TapFisher(ctx, k.o.Signal, k.o.Key.Fold(uint64(k.observed)), k.tap)
	if errors.Is(err, objective.ErrUnsupported) {
		err = f.TapValue(ctx, k.empirical)
	}
	if errors.Is(err, objective.ErrUnsupported) {
		return fmt.Errorf("curvature: %s needs what the layers of a network see: %w\nhint: use it on a network (objective.Network), or use a method that needs gradients only", k.Name(), err)
	}
	if err != nil {
		return err
	}
	k.observed++
	for _, b := range k.blocks {
		if !b.commit(k.ws, decay) {
			k.refused++
		}
	}
	return nil
}
