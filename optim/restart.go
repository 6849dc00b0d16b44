package optim

import (
	"context"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Accelerate ends a chain with Nesterov's method for convex functions, whose momentum grows from step to step, and with
// restarts, at which it begins again from nothing. With c = 1, 2, … the steps of a cycle,
//
//	v ← p − lr·u,   p ← v + μ (v − v₋₁),   μ = (c − 1)/(c + 2)
//
// It is kept as w = p − v, the displacement by the last extrapolation, from 0:
//
//	d = w − lr·u,   p ← p − lr·u + μ d,   w ← μ d      (d = v − v₋₁)
//
// Scheduled restart (SRSGD): c begins again at 1 when it reaches the length F of the cycle, which therefore
// has F − 1 steps. When the learning rate falls to half or less in one step, v₋₁ becomes p, and the next of the
// lengths F₁ (1 + (r−1) i) or F₁ rⁱ (exponential), i = 0, 1, …, is in force; c carries on.
//
// Adaptive restart: at the step in which ⟨u, v − v₋₁⟩ > 0, the direction leads uphill, μ is 0 and c = 1; or, with
// ByValue, when the loss is larger than at the step before.
//
// Papers: Nesterov, 1983; Wang, Nguyen, Sun, Bertozzi, Baraniuk and Osher, "Scheduled restart momentum for
// accelerated stochastic gradient descent", SIAM J. Imaging Sci. 15, 2022, arXiv:2002.10583; O'Donoghue and Candès,
// "Adaptive restart for accelerated gradient schemes", 2015. Deviations: the form with w, equal in exact
// arithmetic. The authors begin a new object at each drop of the rate; here the drop is looked for.
//
// Cost: one float a parameter; one pass, two with adaptive restart.
// Failure: with gradient noise and no restart the errors accumulate, for μ tends to 1; adaptive restarts
// then happen at random.
type Accelerate[T tensor.Float] struct {
	rate *Hyper
	o    AccelerateOptions
	w    []T

	c, stage   int64
	rateBefore float64
	lossBefore float64
	lr, mu     T
}

// AccelerateOptions are the settings of [Accelerate].
type AccelerateOptions struct {
	Length      int     // F₁; 0: no scheduled restart
	Growth      float64 // r
	Exponential bool
	Adaptive    bool
	ByValue     bool // adaptive restart by the loss, not the gradient
}

// NewAccelerate returns the link.
func NewAccelerate[T tensor.Float](env Env, rate *Hyper, o AccelerateOptions) *Accelerate[T] {
	return &Accelerate[T]{rate: rate, o: o, w: make([]T, env.Layout.Size()), c: 1}
}

// Name returns "accelerate".
func (*Accelerate[T]) Name() string { return "accelerate" }

// Hypers returns the learning rate.
func (l *Accelerate[T]) Hypers() []*Hyper { return []*Hyper{l.rate} }

// State returns the displacement, the place in the cycle, and what the restarts look at.
func (l *Accelerate[T]) State() State[T] {
	return State[T]{{Name: "w", Vector: l.w}, {Name: "c", Int: &l.c}, {Name: "stage", Int: &l.stage},
		{Name: "rate", Float: &l.rateBefore}, {Name: "loss", Float: &l.lossBefore}}
}

// length is F of the stage in force.
func (l *Accelerate[T]) length() float64 {
	f, i := float64(l.o.Length), float64(l.stage)
	if l.o.Exponential {
		return math.Floor(f * math.Pow(l.o.Growth, i))
	}
	return math.Floor(f * (1 + (l.o.Growth-1)*i))
}

// Transform decides on the step's μ.
func (l *Accelerate[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	rate := l.rate.At(s.Progress)
	s.SetRate(rate)
	if l.o.Length > 0 && s.T > 1 && rate <= l.rateBefore/2 {
		clear(l.w)
		l.stage++
	}
	if l.o.Adaptive {
		// ⟨u, d⟩ = ⟨u, w⟩ − lr‖u‖².
		up := s.Dot(s.Update, l.w) > rate*s.Dot(s.Update, s.Update)
		if l.o.ByValue {
			up = s.T > 1 && s.Loss > l.lossBefore
		}
		if up {
			l.c = 1
		}
	}
	l.rateBefore, l.lossBefore = rate, s.Loss
	mu := float64(l.c-1) / float64(l.c+2)
	l.lr, l.mu = T(rate), T(mu)
	s.Log("momentum", mu)
	l.c++
	if l.o.Length > 0 && float64(l.c) >= l.length() {
		l.c = 1
	}
	return Continue, nil
}

// Begin does nothing.
func (*Accelerate[T]) Begin(*Stage[T]) {}

// Apply moves the parameters.
func (l *Accelerate[T]) Apply(b *Block[T]) {
	w := b.Of(l.w)
	simd.Axpy(b.P, -l.lr, b.U)
	simd.Axpy(w, -l.lr, b.U)
	simd.Scale(w, w, l.mu)
	simd.Add(b.P, b.P, w)
}

func specSRSGD[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "srsgd", Title: "Scheduled restart SGD",
		Formula: "g ← g + λ p\nv ← p − lr·g\np ← v + (c−1)/(c+2) · (v − v₋₁)\nc ← c + 1, or 1 when that is F\nat each drop of lr: v ← p, F ← F₁(1 + (r−1)i) or F₁rⁱ, i = 1, 2, …",
		Paper:   "Wang, Nguyen, Sun, Bertozzi, Baraniuk and Osher, Scheduled restart momentum for accelerated stochastic gradient descent, SIAM J. Imaging Sci. 15, 2022, arXiv:2002.10583",
		When:    "Deep networks trained with a stepwise learning rate, instead of momentum: the gain grows with the depth.",
		WhenNot: "Short trainings with a smooth schedule, where F stays F₁. Published for learning rates that fall tenfold at milestones (schedule step:0.1@…).",
		Settings: []Setting{
			rate(0.05), weightDecay(0, "coupled: λp is added to the gradient"),
			{Name: "restart", Default: 40, Min: 2, Max: 1e9, Integer: true, Doc: "F₁, length of a cycle (of F₁ − 1 steps) until the learning rate drops first"},
			{Name: "growth", Default: 2, Min: 1, Max: 100, Doc: "r, growth of the cycles at each drop of the learning rate"},
			{Name: "exponential", Min: 0, Max: 1, Switch: true, Doc: "cycles grow as F₁rⁱ, not as F₁(1 + (r−1)i)"},
		},
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewAccelerate[T](env, k.hyper("lr"), AccelerateOptions{
				Length: int(s["restart"]), Growth: s["growth"], Exponential: s.On("exponential")}))
		},
	}
}

func specAdaptiveRestart[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "adaptive-restart-nesterov", Title: "Nesterov's method with adaptive restart",
		Formula: "g ← g + λ p\nv ← p − lr·g\nif ⟨g, v − v₋₁⟩ > 0: c ← 1\np ← v + (c−1)/(c+2) · (v − v₋₁),   c ← c + 1",
		Paper:   "O'Donoghue and Candès, Adaptive restart for accelerated gradient schemes, Found. Comput. Math. 15, 2015, arXiv:1204.3982",
		When:    "Smooth problems without gradient noise: full batches, convex losses. Linear convergence without knowing the condition number.",
		WhenNot: "Small batches: the restarts follow the noise.",
		Settings: []Setting{
			rate(0.05), weightDecay(0, "coupled: λp is added to the gradient"),
			{Name: "by-value", Min: 0, Max: 1, Switch: true, Doc: "restarts where the loss has grown, instead of where the direction leads uphill"},
		},
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewAccelerate[T](env, k.hyper("lr"), AccelerateOptions{Adaptive: true, ByValue: s.On("by-value")}))
		},
	}
}
