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
	Step            Step           // how far to go
	Damping         *optim.Hyper   // λ
	Multiplier      float64        // of λ in the preconditioner alone; the quadratic model has λ itself
	Decay           float64        // ρ of the averages
	BurnIn          int            // first updates: statistics in each, all with the same weight
	StatisticsEvery int            // T₁, updates
	InverseEvery    int            // T₂, updates
	Part            objective.Part // of a batch that the statistics are taken of
	Reduce          bool           // layers with several rows an example: statistics of their mean and sum
	PerExample      bool           // EKFAC: squares of the examples' gradients; off: of the batch's
	ExactDiagonal   bool           // diagonal blocks: squares of the examples' gradients; off: of the batch's
	Largest         int            // order of a factor above which a layer is diagonal
	Key             tensor.Key     // of the curvature signal and of the sketches
	LowRank         LowRank        // what Truncated factors are replaced by
}

// Defaults returns the options in force when none is given, for a learning rate and a damping.
func Defaults(form Form, rate, damping *optim.Hyper) Options {
	part := partOf(1)
	if form == Truncated {
		part = partOf(0.25) // the application costs little, so that the statistics show
	}
	return Options{Form: form, Step: FixedStep{Rate: rate, Clip: KLClip(1e-3)}, Damping: damping, Multiplier: 1,
		Signal: objective.Propagated, Decay: 0.95, BurnIn: 10,
		StatisticsEvery: 10, InverseEvery: 50, Part: part, PerExample: true, Largest: 4096, Key: tensor.KeyOf(0).Named("curvature"),
		LowRank: DefaultLowRank()}
}

// partOf returns a fraction of a batch, but at least 32 examples: fewer save nothing, for what remains grows with the factors alone, and the
// first few of a batch that is always the same say nothing of the others.
func partOf(fraction float64) objective.Part { return objective.Part{Fraction: fraction, Least: 32} }

// Preconditioner is the link that multiplies the gradient by the inverse of a block-diagonal approximation of the
// Gauss–Newton matrix, with a Kronecker product for every affine layer:
//
//	U_l = (A_l ⊗ G_l + λI)⁻¹ ∇W_l        in the form that Options.Form says
//	u ← ν U                              with ν of the step's [Clip]
//
// A batch whose statistics are not finite leaves the layer's as they are, and a factorisation that fails leaves the last
// good one; both are counted in the state ("refused", "failed") and in the report.
//
// Papers: Martens and Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 2015; Grosse and
// Martens, "A Kronecker-factored approximate Fisher matrix for convolution layers", 2016; George et al., "Fast
// approximate natural gradient descent in a Kronecker-factored eigenbasis", 2018; Eschenhagen et al., 2023 (expand and
// reduce).
//
// Cost, for a layer with n inputs and m outputs: 2(n² + m²) numbers (EKFAC: nm more); in an update 2mn(m+n) flops, twice that in
// the eigenbasis; every T₁ updates a forward pass, the input half of a backward pass, and N(n²+m²) flops, all three on a part of
// the batch of N examples; every T₂ updates two inverses, 7/3 (n³+m³) flops, or two eigendecompositions, 14/3 (n³+m³).
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
	stale     int64   // 1: the next update inverts, whatever the period
	frozen    bool    // a calibration repeats the first update: statistics stay
	reuse     bool    // the next update has its statistics already
	gradient  []T     // of the update, kept for a [Quadratic]; else nil
	window    window
	follows   bool // there are [online] factors: dense layers follow the statistics
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
		x := newBlock[T](b, placeOf(env.Layout, b), o)
		k.blocks = append(k.blocks, x)
		k.follows = k.follows || x.online()
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

// Name returns "kfac", "ekfac", or what the low-rank form is called, such as "rs-kfac".
func (k *Preconditioner[T]) Name() string {
	switch k.o.Form {
	case Eigenbasis:
		return "ekfac"
	case Truncated:
		return k.o.LowRank.name()
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
		{Name: "refused", Int: &k.refused}, {Name: "failed", Int: &k.failed}, {Name: "damping-factor", Float: &k.factor},
		{Name: "stale", Int: &k.stale}, {Name: "window", Int: &k.window.batches}, {Name: "window-examples", Int: &k.window.examples}}
	for _, b := range k.blocks {
		s = append(s, b.state()...)
	}
	for _, p := range k.rest {
		s = append(s, p.state()...)
	}
	return s
}

// damping returns λ.
func (k *Preconditioner[T]) damping(p objective.Progress) float64 {
	return k.o.Damping.At(p) * k.factor
}

// scaleDamping multiplies λ, within bounds.
func (k *Preconditioner[T]) scaleDamping(by float64, p objective.Progress, least, most float64) {
	base := k.o.Damping.At(p)
	k.factor = min(max(k.factor*by, least/base), most/base)
}

// statisticsDue reports whether update t takes statistics, and returns the decay of the averages.
func (k *Preconditioner[T]) statisticsDue(t int64) (bool, float64) {
	if t <= int64(k.o.BurnIn) {
		return true, 1
	}
	return (t-1)%int64(k.o.StatisticsEvery) == 0, k.o.Decay
}

// Transform updates statistics and inverses if they are due and preconditions the update.
func (k *Preconditioner[T]) Transform(ctx context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	mark := k.ws.Mark()
	defer k.ws.Release(mark)
	t := k.updates + 1
	log := k.damping(s.Progress)
	lambda := log * k.o.Multiplier
	due, decay := k.statisticsDue(t)
	again := k.frozen || k.reuse
	k.reuse = false
	k.window.batches = 0 // a window ends here
	if due && !again && !k.window.on {
		if err := k.observe(ctx, s.Objective, decay); err != nil {
			return optim.Skip, err
		}
	}
	inverts := t <= 3 || t == int64(k.o.BurnIn) || (t-1)%int64(k.o.InverseEvery) == 0 || again || k.stale != 0
	for _, b := range k.blocks {
		if inverts && !b.invert(k.ws, lambda) || !inverts && due && k.follows && !b.follow(k.ws, lambda) {
			k.failed++
		}
	}
	if inverts {
		k.stale = 0
	}
	k.updates = t
	copy(k.gradient, s.Update)
	inner := 0.0
	for _, b := range k.blocks {
		inner += b.apply(k.ws, s.Update, lambda)
	}
	for _, p := range k.rest {
		if !k.o.ExactDiagonal && !again {
			p.add(k.ws, s.Update, s.Progress.Batch, decay)
		}
		inner += p.apply(k.ws, s.Update, lambda)
	}
	if math.IsNaN(inner) || math.IsInf(inner, 0) {
		return optim.Skip, nil
	}
	s.Changed()
	k.bound(s, inner)
	s.Changed()
	s.Log("damping", log)
	if k.refused+k.failed > 0 {
		s.Log("refused-statistics", float64(k.refused))
		s.Log("failed-inverses", float64(k.failed))
	}
	return optim.Continue, nil
}

// observe takes up the statistics of the batch. A function with taps but without a predictive distribution gives the
// empirical signal, whatever was asked for.
func (k *Preconditioner[T]) observe(ctx context.Context, f *objective.Objective[T], decay float64) error {
	for _, b := range k.blocks {
		b.begin(k.ws)
	}
	err := f.TapFisher(ctx, k.o.Signal, k.o.Part, k.o.Key.Fold(uint64(k.observed)), k.tap)
	if errors.Is(err, objective.ErrUnsupported) {
		err = f.TapValue(ctx, k.o.Part, k.empirical)
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
	if k.o.ExactDiagonal && k.rest != nil {
		return k.observeDiagonals(f, decay)
	}
	return nil
}

// observeDiagonals takes up the mean squares of the examples' gradients.
func (k *Preconditioner[T]) observeDiagonals(f *objective.Objective[T], decay float64) error {
	squares := k.ws.Slice(len(f.Params()))
	if _, err := f.SquaredGradients(squares); err != nil {
		return fmt.Errorf("curvature: exact diagonals of %s and others: %w\nhint: set exact-diagonal to 0", k.rest[0].name, err)
	}
	examples := max(1, f.Progress().Batch)
	for _, p := range k.rest {
		if !p.addSquares(k.ws, squares, 1/float64(examples), decay) {
			k.refused++
		}
	}
	return nil
}
