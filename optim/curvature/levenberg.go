package curvature

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// LevenbergMarquardt moves the damping of a method with a [Preconditioner] by how well the quadratic model predicts the
// change of the loss. Every T updates, with δ the update that was made, h the loss of the batch, g and C its
// gradient and Gauss–Newton matrix before it:
//
//	r = (h(θ+δ) − h(θ)) / (gᵀδ + ½ δᵀCδ)
//	λ ← ω^T λ  if r > 3/4,      λ ← λ/ω^T  if r < 1/4 or r is not a number,      kept within [10⁻⁸, 10⁸]
//
// The denominator leaves the damping out. Where it is not negative (momentum went uphill on this batch) nothing is learnt and λ
// stays.
//
// Paper: Martens and Grosse, 2015, §6.5; Moré, "The Levenberg–Marquardt algorithm", 1978. Cost: every T updates a value, a
// product with C, and three copies of the parameters; four vectors of memory.
type LevenbergMarquardt[T tensor.Float] struct {
	inner optim.Method[T]
	k     *Preconditioner[T]
	every int64
	omega float64
	ratio float64 // the last

	before, after, grad, delta []T
	extra                      []optim.Value
}

// NewLevenbergMarquardt returns inner, a chain with k in it, with its damping adapted every so many updates by the
// factor omega an update.
func NewLevenbergMarquardt[T tensor.Float](env optim.Env, inner optim.Method[T], k *Preconditioner[T], every int, omega float64) *LevenbergMarquardt[T] {
	vector := func() []T { return make([]T, env.Layout.Size()) }
	return &LevenbergMarquardt[T]{inner: inner, k: k, every: int64(every), omega: omega,
		before: vector(), after: vector(), grad: vector(), delta: vector()}
}

// Step is inner's step, after which the damping is adapted if that is due.
func (m *LevenbergMarquardt[T]) Step(ctx context.Context, f *objective.Objective[T]) (optim.Report, error) {
	due := (m.k.updates+1)%m.every == 0
	if due {
		if _, ok := f.Function().(objective.Curvature[T]); !ok {
			return optim.Report{}, fmt.Errorf("curvature: an adaptive damping needs products with the Gauss–Newton matrix: %w\nhint: use it on a network (objective.Network), or set adaptive-damping to 0", objective.ErrUnsupported)
		}
		_, g, err := f.Gradient(ctx) // the step will find it in the objective's cache
		if err != nil {
			return optim.Report{}, err
		}
		copy(m.grad, g)
		copy(m.before, f.Params())
	}
	r, err := m.inner.Step(ctx, f)
	if err != nil || r.Skipped || r.Held {
		return r, err
	}
	if due {
		if err := m.adapt(ctx, f, r.Loss); err != nil {
			return r, err
		}
	}
	m.extra = append(append(m.extra[:0], r.Extra...), optim.Value{Name: "reduction-ratio", Value: m.ratio})
	r.Extra = m.extra
	return r, nil
}

// adapt compares the model with what happened.
func (m *LevenbergMarquardt[T]) adapt(ctx context.Context, f *objective.Objective[T], loss float64) error {
	after, err := f.GradientAt(ctx, f.Params(), nil)
	if err != nil {
		return err
	}
	n := len(m.before)
	vector := func(v []T) tensor.Tensor[T] { return tensor.FromSlice(v, n) }
	ws := m.k.ws
	copy(m.after, f.Params())
	tensor.Sub(ws, vector(m.delta), vector(m.after), vector(m.before))
	slope := float64(tensor.Dot(ws, vector(m.grad), vector(m.delta)))
	// The product is taken at the parameters before the update.
	copy(f.Params(), m.before)
	err = f.GGNVP(m.delta, m.grad)
	copy(f.Params(), m.after)
	if err != nil {
		return err
	}
	model := slope + float64(tensor.Dot(ws, vector(m.delta), vector(m.grad)))/2
	if model >= 0 {
		return nil
	}
	m.ratio = (after - loss) / model
	m.k.factor = nextFactor(m.k.factor, m.ratio, math.Pow(m.omega, float64(m.every)), m.k.o.Damping.At(f.Progress()))
	return nil
}

// The bounds of an adaptive damping.
const leastDamping, mostDamping = 1e-8, 1e8

// nextFactor returns the factor on the damping base after a reduction ratio r; shrink is ω^T.
func nextFactor(factor, r, shrink, base float64) float64 {
	switch {
	case r > 0.75:
		factor *= shrink
	case !(r >= 0.25): // also where r is not a number
		factor /= shrink
	}
	return min(max(factor, leastDamping/base), mostDamping/base)
}

// State is that of the method, with the last ratio.
func (m *LevenbergMarquardt[T]) State() optim.State[T] {
	return append(m.inner.State(), optim.StateEntry[T]{Name: "levenberg.ratio", Float: &m.ratio})
}

// EvalParams is inner's, where it evaluates other parameters than it steps from.
func (m *LevenbergMarquardt[T]) EvalParams(dst, params []T) {
	if e, ok := m.inner.(optim.Evaluated[T]); ok {
		e.EvalParams(dst, params)
		return
	}
	copy(dst, params)
}

// Observe passes the loss of an evaluation on.
func (m *LevenbergMarquardt[T]) Observe(loss float64) {
	if o, ok := m.inner.(optim.Observer); ok {
		o.Observe(loss)
	}
}
