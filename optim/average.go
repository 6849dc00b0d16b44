package optim

import (
	"context"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// EMA runs another method and evaluates an exponential moving average of its parameters:
//
//	a ← d a + (1−d) p,   evaluated: a / (1−dᵗ)      (a = 0 at first)
//
// The training is not touched. The division makes the average that of the parameters seen so far, with
// weights that sum to one, from the first update on.
//
// Paper: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; in this form
// Kingma and Ba, 2015, §7.2. Deviations: none.
// Cost: one float a parameter, one pass.
// Failure: a decay that is long against the training evaluates parameters from near its start; the running
// statistics of batch normalisation belong to the parameters, not to the average.
type EMA[T tensor.Float] struct {
	inner Method[T]
	decay float64
	avg   []T
	n     int64 // parameters averaged
}

// NewEMA returns inner with an average of decay d.
func NewEMA[T tensor.Float](env Env, inner Method[T], decay float64) *EMA[T] {
	return &EMA[T]{inner: inner, decay: decay, avg: make([]T, env.Layout.Size())}
}

// Step is inner's step, after which the average is moved.
func (e *EMA[T]) Step(ctx context.Context, f *objective.Objective[T]) (Report, error) {
	r, err := e.inner.Step(ctx, f)
	if err == nil && moved(r) {
		simd.Axpby(e.avg, T(1-e.decay), f.Params(), T(e.decay))
		e.n++
	}
	return r, err
}

// moved reports whether a step made an update.
func moved(r Report) bool { return !r.Skipped && !r.Held }

// EvalParams stores the average; the given parameters before the first update.
func (e *EMA[T]) EvalParams(dst, params []T) {
	if e.n == 0 {
		copy(dst, params)
		return
	}
	simd.Scale(dst, e.avg, T(1/(1-math.Pow(e.decay, float64(e.n)))))
}

// State returns inner's state and the average.
func (e *EMA[T]) State() State[T] {
	return append(e.inner.State(), StateEntry[T]{Name: "ema.avg", Vector: e.avg}, StateEntry[T]{Name: "ema.n", Int: &e.n})
}

// Observe passes the loss of an evaluation on.
func (e *EMA[T]) Observe(loss float64) { observe(e.inner, loss) }

func observe[T tensor.Float](m Method[T], loss float64) {
	if o, ok := m.(Observer); ok {
		o.Observe(loss)
	}
}
