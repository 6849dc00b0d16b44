package curvature

import (
	"context"
	"math"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Rejecting takes a step back after which the loss of the batch is larger than before, or not a number: parameters, momentum and
// everything else that the chain keeps, but for the curvature, are what they were before it, and the damping is multiplied by
// a factor above one, with which the next step inverts again.
//
// The report of such a step has the step size 0, and the quantity "rejected" counts them.
//
// Cost: a value after every step, and a copy of the parameters and of the method's vectors before it. Failure: with small batches
// steps that are good for the whole data raise the loss of their batch; it is for batches of thousands.
type Rejecting[T tensor.Float] struct {
	inner    optim.Method[T]
	k        *Preconditioner[T]
	factor   float64
	most     float64
	rejected int64
	saved    shadow[T]
	extra    []optim.Value
}

// NewRejecting returns inner, a chain with k in it, with steps taken back and the damping multiplied by factor, up to most.
func NewRejecting[T tensor.Float](env optim.Env, inner optim.Method[T], k *Preconditioner[T], factor, most float64) *Rejecting[T] {
	return &Rejecting[T]{inner: inner, k: k, factor: factor, most: most, saved: newShadow(env, inner, k)}
}

// Step is inner's step, taken back if the loss does not fall.
func (m *Rejecting[T]) Step(ctx context.Context, f *objective.Objective[T]) (optim.Report, error) {
	m.saved.save(f.Params())
	r, err := m.inner.Step(ctx, f)
	if err != nil || r.Skipped || r.Held {
		return r, err
	}
	after, err := f.GradientAt(ctx, f.Params(), nil)
	if err != nil {
		m.saved.restore(f)
		return r, err
	}
	if !(after <= r.Loss) || math.IsInf(after, 0) {
		m.saved.restore(f)
		m.rejected++
		m.k.scaleDamping(m.factor, f.Progress(), leastDamping, m.most)
		m.k.stale = 1
		r.StepSize = 0
	}
	m.extra = append(append(m.extra[:0], r.Extra...), optim.Value{Name: "rejected", Value: float64(m.rejected)})
	r.Extra = m.extra
	return r, nil
}

// State is that of the method, with the count.
func (m *Rejecting[T]) State() optim.State[T] {
	return append(m.inner.State(), optim.StateEntry[T]{Name: "rejected", Int: &m.rejected})
}

// Inner returns the method whose steps are taken back.
func (m *Rejecting[T]) Inner() optim.Method[T] { return m.inner }

// EvalParams is inner's, where it evaluates other parameters than it steps from.
func (m *Rejecting[T]) EvalParams(dst, params []T) { evalParams(m.inner, dst, params) }

// Observe passes the loss of an evaluation on.
func (m *Rejecting[T]) Observe(loss float64) { observe(m.inner, loss) }

func evalParams[T tensor.Float](inner optim.Method[T], dst, params []T) {
	if e, ok := inner.(optim.Evaluated[T]); ok {
		e.EvalParams(dst, params)
		return
	}
	copy(dst, params)
}

func observe[T tensor.Float](inner optim.Method[T], loss float64) {
	if o, ok := inner.(optim.Observer); ok {
		o.Observe(loss)
	}
}

// shadow is a copy of the parameters and of a method's state but for a preconditioner's.
type shadow[T tensor.Float] struct {
	params  []T
	entries optim.State[T] // the live ones
	vectors [][]T
	doubles [][]float64
	ints    []int64
	floats  []float64
}

func newShadow[T tensor.Float](env optim.Env, m optim.Method[T], k *Preconditioner[T]) shadow[T] {
	own := map[any]bool{}
	for _, e := range k.State() {
		own[reference(e)] = true
	}
	s := shadow[T]{params: make([]T, env.Layout.Size())}
	for _, e := range m.State() {
		if own[reference(e)] {
			continue
		}
		s.entries = append(s.entries, e)
		s.vectors = append(s.vectors, make([]T, len(e.Vector)))
		s.doubles = append(s.doubles, make([]float64, len(e.Double)))
	}
	s.ints, s.floats = make([]int64, len(s.entries)), make([]float64, len(s.entries))
	return s
}

// reference returns what identifies a piece of state.
func reference[T tensor.Float](e optim.StateEntry[T]) any {
	switch {
	case e.Int != nil:
		return e.Int
	case e.Float != nil:
		return e.Float
	case len(e.Vector) > 0:
		return &e.Vector[0]
	case len(e.Double) > 0:
		return &e.Double[0]
	}
	return nil
}

func (s *shadow[T]) save(params []T) {
	copy(s.params, params)
	for i, e := range s.entries {
		copy(s.vectors[i], e.Vector)
		copy(s.doubles[i], e.Double)
		if e.Int != nil {
			s.ints[i] = *e.Int
		}
		if e.Float != nil {
			s.floats[i] = *e.Float
		}
	}
}

func (s *shadow[T]) restore(f *objective.Objective[T]) {
	copy(f.Params(), s.params)
	for i, e := range s.entries {
		copy(e.Vector, s.vectors[i])
		copy(e.Double, s.doubles[i])
		if e.Int != nil {
			*e.Int = s.ints[i]
		}
		if e.Float != nil {
			*e.Float = s.floats[i]
		}
	}
	f.Moved()
}
