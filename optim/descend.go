package optim

import (
	"context"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Descend ends most chains:
//
//	p ← p − rate·factor·u
//
// with the parameter's factor of [Env].RateFactors, 1 by default. Cost: no memory. At rate 0 or a zero update the parameters keep their bits.
type Descend[T tensor.Float] struct {
	rate    *Hyper
	r       T
	factors []T // of the rate, by parameter; nil: one
}

// NewDescend returns the link with the given learning rate.
func NewDescend[T tensor.Float](rate *Hyper) *Descend[T] { return &Descend[T]{rate: rate} }

// Name returns "descend".
func (*Descend[T]) Name() string { return "descend" }

// Hypers returns the learning rate.
func (d *Descend[T]) Hypers() []*Hyper { return []*Hyper{d.rate} }

// State returns nothing: the link keeps none.
func (*Descend[T]) State() State[T] { return nil }

// Begin evaluates the schedule and reports the rate, unless an earlier link did ([ScaleByRate]).
func (d *Descend[T]) Begin(s *Stage[T]) {
	rate := d.rate.At(s.Progress)
	d.r = T(rate)
	if !s.rated {
		s.SetRate(rate)
	}
}

// Apply subtracts rate·factor·u from the parameters.
func (d *Descend[T]) Apply(b *Block[T]) { simd.Axpy(b.P, -d.rateOf(b.Param), b.U) }

// rateOf returns the step's rate for a parameter of the layout.
func (d *Descend[T]) rateOf(param int) T {
	if d.factors == nil {
		return d.r
	}
	return d.r * d.factors[param]
}

// ScaleByRate is the learning rate in the middle of a chain, u ← rate·u, for methods that accumulate
// steps rather than directions (LARS). Such a chain ends with [Descend] at rate 1.
type ScaleByRate[T tensor.Float] struct {
	rate *Hyper
	r    T
}

// NewScaleByRate returns the link with the given learning rate.
func NewScaleByRate[T tensor.Float](rate *Hyper) *ScaleByRate[T] { return &ScaleByRate[T]{rate: rate} }

// Name returns "rate".
func (*ScaleByRate[T]) Name() string { return "rate" }

// Hypers returns the learning rate.
func (d *ScaleByRate[T]) Hypers() []*Hyper { return []*Hyper{d.rate} }

// State returns nothing: the link keeps none.
func (*ScaleByRate[T]) State() State[T] { return nil }

// Begin evaluates the schedule and reports the rate.
func (d *ScaleByRate[T]) Begin(s *Stage[T]) {
	rate := d.rate.At(s.Progress)
	d.r = T(rate)
	s.SetRate(rate)
}

// Apply multiplies the update by the rate.
func (d *ScaleByRate[T]) Apply(b *Block[T]) { simd.Scale(b.U, b.U, d.r) }

// Decay adds weight decay to the update:
//
//	u ← u + λ p      for parameters of the kinds that are decayed
//
// What it means depends on its place in the chain. Before the scaling it is coupled: the gradient of
// the penalty (λ/2)‖p‖², which an adaptive method then rescales like any gradient. After the scaling
// it is decoupled (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019), and since
// [Descend] comes later it is multiplied by the learning rate: a step shrinks p by the factor
// 1 − lr·λ, with lr the scheduled rate, as in PyTorch's AdamW. (The paper's algorithm multiplies λ by
// the schedule's factor, not by the base rate: its λ is lr·λ here.) Decoupled decay does not take part in [Env].RateFactors:
// a step shrinks every decayed parameter alike.
//
// Cost: no memory.
type Decay[T tensor.Float] struct {
	lambda *Hyper
	on     []bool // by parameter
	l      T
	undo   []T // where set, divides by the factor of the rate that comes later
}

// NewDecay returns the link for the parameters whose kind decays says; nil is [DecayedKind].
func NewDecay[T tensor.Float](layout *nn.Layout, lambda *Hyper, decays func(nn.Kind) bool) *Decay[T] {
	if decays == nil {
		decays = DecayedKind
	}
	return &Decay[T]{lambda: lambda, on: kinds(layout, decays)}
}

// DecayedKind reports whether parameters of kind k have weight decay unless told otherwise: weights
// and embeddings do, biases and the scales and shifts of normalisation layers do not.
func DecayedKind(k nn.Kind) bool { return k == nn.Weight || k == nn.Embedding }

func kinds(layout *nn.Layout, want func(nn.Kind) bool) []bool {
	on := make([]bool, layout.Len())
	for i := range on {
		on[i] = want(layout.At(i).Kind)
	}
	return on
}

// Name returns "decay".
func (*Decay[T]) Name() string { return "decay" }

// Hypers returns the coefficient λ.
func (d *Decay[T]) Hypers() []*Hyper { return []*Hyper{d.lambda} }

// State returns nothing: the link keeps none.
func (*Decay[T]) State() State[T] { return nil }

// Begin evaluates the schedule.
func (d *Decay[T]) Begin(s *Stage[T]) { d.l = T(d.lambda.At(s.Progress)) }

// Apply adds λp to the update of decayed parameters.
func (d *Decay[T]) Apply(b *Block[T]) {
	if c := d.coefficient(b.Param); c != 0 {
		simd.Axpy(b.U, c, b.P)
	}
}

// coefficient returns λ for the parameter of block b: 0 where it is not decayed.
func (d *Decay[T]) coefficient(param int) T {
	switch {
	case d == nil || !d.on[param]:
		return 0
	case d.undo == nil:
		return d.l
	case d.undo[param] == 0:
		return 0 // a parameter without rate does not move at all
	}
	return d.l / d.undo[param]
}

// Do is a link that calls a function with the stage at its place in the chain: for looking, and for
// experiments.
type Do[T tensor.Float] func(ctx context.Context, s *Stage[T]) (Verdict, error)

// Name returns "do".
func (Do[T]) Name() string { return "do" }

// State returns nothing.
func (Do[T]) State() State[T] { return nil }

// Transform calls the function.
func (d Do[T]) Transform(ctx context.Context, s *Stage[T]) (Verdict, error) { return d(ctx, s) }
