package optim

import (
	"context"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// Lookahead lets another method run ahead and follows it slowly: after every k updates
//
//	s ← s + α (p − s),   p ← s             (s = p at first)
//
// The slow parameters s are evaluated.
//
// Paper: Zhang et al., "Lookahead optimizer: k steps forward, 1 step back", 2019. Deviations: none; the inner method's
// state is kept over the step back.
//
// Cost: one float a parameter beside the inner method's, one pass every k updates.
// Failure: adds nothing where the inner method does not oscillate.
type Lookahead[T tensor.Float] struct {
	inner Method[T]
	k     int64
	alpha float64
	slow  []T
	diff  []T
	n     int64 // updates of the inner method
	begun int64 // 1 once slow holds the parameters of the start
}

// NewLookahead returns inner with slow parameters that are moved every k updates by the part alpha.
func NewLookahead[T tensor.Float](env Env, inner Method[T], k int, alpha float64) *Lookahead[T] {
	n := env.Layout.Size()
	return &Lookahead[T]{inner: inner, k: int64(k), alpha: alpha, slow: make([]T, n), diff: make([]T, n)}
}

// Step is inner's step, after which, every k updates, the slow parameters follow.
func (l *Lookahead[T]) Step(ctx context.Context, f *objective.Objective[T]) (Report, error) {
	p := f.Params()
	if l.begun == 0 {
		copy(l.slow, p)
		l.begun = 1
	}
	r, err := l.inner.Step(ctx, f)
	if err != nil || !moved(r) {
		return r, err
	}
	if l.n++; l.n%l.k == 0 {
		if l.alpha == 1 { // s is p: no rounding, so that k = 1, α = 1 is the inner method
			copy(l.slow, p)
			return r, nil
		}
		simd.Sub(l.diff, p, l.slow)
		simd.Axpy(l.slow, T(l.alpha), l.diff)
		copy(p, l.slow)
		f.Moved()
	}
	return r, nil
}

// EvalParams stores the slow parameters; the given ones before the first step.
func (l *Lookahead[T]) EvalParams(dst, params []T) {
	if l.begun == 0 {
		copy(dst, params)
		return
	}
	copy(dst, l.slow)
}

// State returns inner's state and the slow parameters.
func (l *Lookahead[T]) State() State[T] {
	return append(l.inner.State(), StateEntry[T]{Name: "lookahead.slow", Vector: l.slow},
		StateEntry[T]{Name: "lookahead.n", Int: &l.n}, StateEntry[T]{Name: "lookahead.begun", Int: &l.begun})
}

// Observe passes the loss of an evaluation on.
func (l *Lookahead[T]) Observe(loss float64) { observe(l.inner, loss) }

func specLookahead[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "lookahead", Title: "Lookahead (on AdamW)",
		Formula: "p: AdamW\nevery k updates:  s ← s + α (p − s),  p ← s      evaluation at s",
		Paper:   "Zhang et al., Lookahead optimizer: k steps forward, 1 step back, NeurIPS 2019, arXiv:1907.08610",
		When:    "To steady a learning rate that is a little too large.",
		WhenNot: "Where the inner method is slow rather than unsteady.",
		Settings: append([]Setting{
			{Name: "k", Default: 5, Min: 1, Max: 1e6, Integer: true, Doc: "updates of the inner method before the slow parameters move"},
			{Name: "alpha", Default: 0.5, Min: 0, Max: 1, OpenMin: true, Doc: "α, the part of the way that they move"},
		}, append([]Setting{rate(0.002)}, specAdamW[T]().Settings[1:]...)...),
		MemoryFloats: 4, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			c := k.chain(NewScaleByAdam[T](env, s["beta1"], s["beta2"], s["eps"], false), k.decay(), k.descend())
			return k.wrap(NewLookahead(env, Method[T](c), int(s["k"]), s["alpha"]))
		},
	}
}

// SWA runs another method and evaluates the plain mean of its parameters, taken at regular distances
// from a point of the training on:
//
//	a ← a + (p − a)/n        after the n-th sample
//
// A sample is taken after each update that completes another interval of examples, counted from Start.
//
// Paper: Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018. Deviations: the
// learning rate is left alone; the paper holds it constant, or cycles it, while averaging: give such a schedule. The
// running statistics of batch normalisation are not recomputed.
//
// Cost: one float a parameter beside the inner method's, one pass a sample.
// Failure: parameters averaged from too early, or over too short a time.
type SWA[T tensor.Float] struct {
	inner  Method[T]
	start  float64 // part of the horizon
	passes float64 // interval, in passes over the data; 0: every update
	avg    []T
	diff   []T
	n      int64
}

// NewSWA returns inner with the mean of its parameters from the part start of the horizon on (from the
// beginning where the horizon is not known), sampled every so many passes over the data (0, or where
// the length of a pass is not known: after every update).
func NewSWA[T tensor.Float](env Env, inner Method[T], start, passes float64) *SWA[T] {
	n := env.Layout.Size()
	return &SWA[T]{inner: inner, start: start, passes: passes, avg: make([]T, n), diff: make([]T, n)}
}

// Step is inner's step, after which a sample is taken if one is due.
func (a *SWA[T]) Step(ctx context.Context, f *objective.Objective[T]) (Report, error) {
	r, err := a.inner.Step(ctx, f)
	if err != nil || !moved(r) || !a.due(f.Progress()) {
		return r, err
	}
	a.n++
	simd.Sub(a.diff, f.Params(), a.avg)
	simd.Axpy(a.avg, T(1/float64(a.n)), a.diff)
	return r, nil
}

// due reports whether the step that p describes completes an interval.
func (a *SWA[T]) due(p objective.Progress) bool {
	start := a.start * float64(p.Horizon)
	before, after := float64(p.Seen)-start, float64(p.Seen+int64(p.Batch))-start
	if after <= 0 && p.Horizon > 0 {
		return false
	}
	every := a.passes * float64(p.PerPass)
	if every <= 0 {
		return true
	}
	return int64(after/every) > int64(max(0, before)/every)
}

// EvalParams stores the mean; the given parameters before the first sample.
func (a *SWA[T]) EvalParams(dst, params []T) {
	if a.n == 0 {
		copy(dst, params)
		return
	}
	copy(dst, a.avg)
}

// State returns inner's state, the mean and the number of samples.
func (a *SWA[T]) State() State[T] {
	return append(a.inner.State(), StateEntry[T]{Name: "swa.avg", Vector: a.avg}, StateEntry[T]{Name: "swa.n", Int: &a.n})
}

// Observe passes the loss of an evaluation on.
func (a *SWA[T]) Observe(loss float64) { observe(a.inner, loss) }

func specSWA[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "swa", Title: "Stochastic weight averaging (on momentum)",
		Formula: "p: momentum\nfrom the part `start` of the training on, every `passes` passes:  a ← a + (p − a)/n      evaluation at a",
		Paper:   "Izmailov et al., Averaging weights leads to wider optima and better generalization, UAI 2018, arXiv:1803.05407",
		When:    "At the end of a training with momentum, at a rate that does not fall to zero.",
		WhenNot: "With batch normalisation, whose statistics would have to be recomputed for the mean.",
		Settings: append([]Setting{
			{Name: "start", Default: 0.75, Min: 0, Max: 1, OpenMax: true, Doc: "part of the training after which the mean begins"},
			{Name: "passes", Default: 1, Min: 0, Max: 1e6, Doc: "passes over the data between samples; 0: every update"},
		}, momentumSettings(0.9, 0.02)...),
		MemoryFloats: 3, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			c := k.chain(k.decay(), NewMomentum[T](env, k.hyper("momentum"), s["dampening"], false), k.descend())
			return k.wrap(NewSWA(env, Method[T](c), s["start"], s["passes"]))
		},
	}
}
