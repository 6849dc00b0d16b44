package optim

import (
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// Preconditions is a method, or a link of a chain, that multiplies the gradient by a symmetric positive definite matrix M which
// does not depend on that gradient. Instruments ask it what its steps do to the curvature: gradient descent with M meets M H.
//
// What stands between M and the step (momentum, clips, an inner method that is not linear) is not part of it.
type Preconditions[T tensor.Float] interface {
	// ApplyPreconditioner replaces v, a vector with the layout of the parameters, by M v. It reports false, and leaves v,
	// while there is nothing but the identity: before the first step. p says where the training stands, for
	// scheduled dampings. No state changes.
	ApplyPreconditioner(v []T, p objective.Progress) bool
}

// Inner is a method that runs another one.
type Inner[T tensor.Float] interface {
	// Inner returns the method that is run.
	Inner() Method[T]
}

// PreconditionsOf returns what m multiplies gradients by: m itself, the link of a chain, or that of the method inside m. It is
// nil if there is none.
func PreconditionsOf[T tensor.Float](m Method[T]) Preconditions[T] {
	switch x := m.(type) {
	case Preconditions[T]:
		return x
	case *Chain[T]:
		for _, l := range x.links {
			if p, ok := l.(Preconditions[T]); ok {
				return p
			}
		}
	case Inner[T]:
		return PreconditionsOf(x.Inner())
	}
	return nil
}

// Inner returns the method whose parameters are averaged.
func (e *EMA[T]) Inner() Method[T] { return e.inner }

// Inner returns the method that makes the fast steps.
func (l *Lookahead[T]) Inner() Method[T] { return l.inner }

// Inner returns the method whose parameters are averaged.
func (s *SWA[T]) Inner() Method[T] { return s.inner }

// ApplyPreconditioner multiplies by P Pᵀ. Where an inner method runs in the variables z, that is the linear part.
func (l *Precondition[T]) ApplyPreconditioner(v []T, _ objective.Progress) bool {
	if l.Change() == nil {
		return false
	}
	l.p.apply(v, bothSides)
	return true
}

// Change returns the change of variables whose P Pᵀ is M, from the statistics as they stand; nil before the first.
func (l *Precondition[T]) Change() Preconditioner[T] {
	any := false
	for _, b := range l.p.layers {
		if b.updates > 0 {
			l.p.refresh(b) // a resumed run has the statistics, and P from its first step on
			any = true
		}
	}
	if !any {
		return nil
	}
	return l.p
}
