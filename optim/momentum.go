package optim

import (
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Momentum accumulates the updates:
//
//	b₁ = u₁,   b ← μ b + (1−δ) u      (δ: dampening, from the second step on)
//	u ← b                             heavy ball
//	u ← u + μ b                       Nesterov
//
// Paper: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; the second
// form is Nesterov's method of 1983 in the notation of Sutskever et al., "On the importance of
// initialization and momentum in deep learning", 2013, with the learning rate applied after the
// accumulation, as in PyTorch: a change of the rate takes effect at once, on all of the past.
// Deviations: none.
//
// Cost: one float a parameter, one pass.
// Invariances: equivariant under permutations and, as a linear filter, under any orthogonal change of
// coordinates. On a quadratic with curvature λ the heavy ball is the two-term recurrence with
// characteristic polynomial z² − (1+μ−lr·λ)z + μ, which the tests hold it to.
// Failure: diverges for lr·λ > 2(1+μ), oscillates for large μ.
type Momentum[T tensor.Float] struct {
	mu        *Hyper
	dampening float64
	nesterov  bool
	b         []T

	m, fresh T // the step's μ and weight of u
}

// NewMomentum returns the link. dampening is δ.
func NewMomentum[T tensor.Float](env Env, mu *Hyper, dampening float64, nesterov bool) *Momentum[T] {
	return &Momentum[T]{mu: mu, dampening: dampening, nesterov: nesterov, b: make([]T, env.Layout.Size())}
}

// Name returns "momentum".
func (*Momentum[T]) Name() string { return "momentum" }

// Hypers returns the coefficient μ.
func (l *Momentum[T]) Hypers() []*Hyper { return []*Hyper{l.mu} }

// State returns the accumulated updates.
func (l *Momentum[T]) State() State[T] { return State[T]{{Name: "b", Vector: l.b}} }

// Begin evaluates the schedule.
func (l *Momentum[T]) Begin(s *Stage[T]) {
	l.m, l.fresh = T(l.mu.At(s.Progress)), T(1-l.dampening)
	if s.T == 1 {
		l.fresh = 1
	}
}

// Apply replaces the update by the accumulated one.
func (l *Momentum[T]) Apply(b *Block[T]) {
	acc := b.Of(l.b)
	simd.Axpby(acc, l.fresh, b.U, l.m)
	if l.nesterov {
		simd.Axpy(b.U, l.m, acc)
	} else {
		copy(b.U, acc)
	}
}

func specSGD[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "sgd", Title: "Stochastic gradient descent",
		Formula: "g ← g + λ p\np ← p − lr·g",
		Paper:   "Robbins and Monro, A stochastic approximation method, Ann. Math. Statist. 22, 1951",
		When:    "A baseline; large batches of well-scaled problems; when memory is short.",
		WhenNot: "Ill-conditioned problems: the time grows with the condition number. Diverges for lr above 2/λmax.",
		Settings: []Setting{
			rate(0.1), weightDecay(0, "coupled: λp is added to the gradient"),
		},
		MemoryFloats: 0, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), k.descend())
		},
	}
}

func momentumSettings(mu, lr float64) []Setting {
	return []Setting{
		rate(lr),
		{Name: "momentum", Default: mu, Min: 0, Max: 1, OpenMax: true, Schedulable: true, Doc: "μ, the part of the accumulated update that is kept"},
		{Name: "dampening", Default: 0, Min: 0, Max: 1, Doc: "δ, takes this part off each new gradient, from the second step on"},
		weightDecay(0, "coupled: λp is added to the gradient"),
	}
}

func specMomentum[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "momentum", Title: "Heavy-ball momentum",
		Formula:      "g ← g + λ p\nb ← μ b + (1−δ) g      (b = g in the first step)\np ← p − lr·b",
		Paper:        "Polyak, Some methods of speeding up the convergence of iteration methods, USSR Comput. Math. 4, 1964",
		When:         "The standard for convolutional networks, with a decaying learning rate.",
		WhenNot:      "Sparse gradients or layers of very different scale. The effective rate is lr/(1−μ): lower lr when raising μ.",
		Settings:     momentumSettings(0.9, 0.02),
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: newMomentumMethod[T](false),
	}
}

func specNesterov[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "nesterov", Title: "Nesterov's accelerated gradient",
		Formula:      "g ← g + λ p\nb ← μ b + (1−δ) g      (b = g in the first step)\np ← p − lr·(g + μ b)",
		Paper:        "Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²), 1983; Sutskever et al., ICML 2013",
		When:         "As momentum; a little more stable at the same learning rate.",
		WhenNot:      "As momentum.",
		Settings:     momentumSettings(0.9, 0.02),
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: newMomentumMethod[T](true),
	}
}

func newMomentumMethod[T tensor.Float](nesterov bool) func(Env, Settings) (Method[T], error) {
	return func(env Env, s Settings) (Method[T], error) {
		k := newBuilder[T](env, s)
		mu := k.hyper("momentum")
		return k.method(k.decay(), NewMomentum[T](env, mu, s["dampening"], nesterov), k.descend())
	}
}
