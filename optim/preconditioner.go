package optim

import (
	"context"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// Preconditioner is a change of variables θ = P z, with P a matrix that is never formed. Gradient descent
// in z is θ ← θ − lr·P Pᵀ ∇L, and Langevin noise in z is P ξ: an optimizer and a sampler use the same
// two products.
type Preconditioner[T tensor.Float] interface {
	// MulP replaces v, a vector with the layout of the parameters, by P v: from z to θ.
	MulP(v []T)
	// MulPT replaces v by Pᵀ v: a gradient with respect to θ becomes one with respect to z.
	MulPT(v []T)
}

// Precondition applies a batch-normalisation preconditioner to the update:
//
//	u ← P Pᵀ u      Both: what comes after works on preconditioned gradients ("post")
//	u ← Pᵀ u        IntoZ: what comes after, up to OutOfZ, works in the variables z ("two-sided")
//	u ← P u         OutOfZ
//
// The link of Both or IntoZ owns the preconditioner: it reads the taps, moves the statistics once an update,
// and keeps the state. A link of OutOfZ after it shares P as it then is.
//
// Cost: one or two passes over the weights, see [BatchNorm] for the statistics.
type Precondition[T tensor.Float] struct {
	p    *BatchNorm[T]
	side Side
}

// Side says which product [Precondition] takes.
type Side uint8

const (
	Both Side = iota
	IntoZ
	OutOfZ
)

// NewPrecondition returns the link that owns p and applies P Pᵀ (Both) or Pᵀ (IntoZ).
func NewPrecondition[T tensor.Float](p *BatchNorm[T], side Side) Link[T] {
	if side == OutOfZ {
		return &outOfZ[T]{p}
	}
	return &Precondition[T]{p, side}
}

// Name returns "bnp".
func (*Precondition[T]) Name() string { return "bnp" }

// State returns the preconditioner's statistics.
func (l *Precondition[T]) State() State[T] { return l.p.State() }

// BeginTaps, Tap and KeepTaps hand the taps to the preconditioner.
func (l *Precondition[T]) BeginTaps()             { l.p.BeginTaps() }
func (l *Precondition[T]) Tap(t objective.Tap[T]) { l.p.Tap(t) }
func (l *Precondition[T]) KeepTaps()              { l.p.KeepTaps() }

// Transform moves the statistics to what was kept since the last update, and applies the product.
func (l *Precondition[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	l.p.Update()
	if l.side == Both {
		l.p.apply(s.Update, bothSides)
	} else {
		l.p.MulPT(s.Update)
	}
	s.known = false
	return Continue, nil
}

// outOfZ is the second half of a two-sided preconditioner.
type outOfZ[T tensor.Float] struct{ p Preconditioner[T] }

func (*outOfZ[T]) Name() string    { return "out-of-z" }
func (*outOfZ[T]) State() State[T] { return nil }

func (l *outOfZ[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	l.p.MulP(s.Update)
	s.known = false
	return Continue, nil
}
