package optim

import (
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// ScheduleFree ends a chain in place of [Descend]: gradients are taken at y, between the base sequence z
// and its average x, and the average is what is evaluated:
//
//	z ← z − γ u                          (z = x = p at first)
//	x ← (1−c) x + c z,   c = γ²/Σγ²
//	p = y ← (1−β) z + β x
//
// γ is the learning rate with its schedule (a warm-up is the only one it should have), Σ runs over the updates so far.
// With a constant rate x is the plain mean of all z. The u may contain decoupled decay of y.
//
// Paper: Defazio et al., "The road less scheduled", 2024. Deviations: weights γ² are those of the authors' program; the
// paper's text weights with γ² too, for constant γ both are the mean. The program recovers x from y and z to save memory;
// here x is kept, which is exact and allows β = 0.
//
// Cost: two floats a parameter, one pass.
// Failure: whoever evaluates or saves must ask EvalParams; the running statistics of batch normalisation belong to y,
// not to x.
type ScheduleFree[T tensor.Float] struct {
	rate   *Hyper
	beta   float64
	z, x   []T
	weight float64 // Σγ²

	r, c  T
	first bool
}

// NewScheduleFree returns the link; beta is β.
func NewScheduleFree[T tensor.Float](env Env, rate *Hyper, beta float64) *ScheduleFree[T] {
	n := env.Layout.Size()
	return &ScheduleFree[T]{rate: rate, beta: beta, z: make([]T, n), x: make([]T, n)}
}

// Name returns "schedule-free".
func (*ScheduleFree[T]) Name() string { return "schedule-free" }

// Hypers returns the learning rate.
func (l *ScheduleFree[T]) Hypers() []*Hyper { return []*Hyper{l.rate} }

// State returns both sequences and the sum of the weights.
func (l *ScheduleFree[T]) State() State[T] {
	return State[T]{{Name: "z", Vector: l.z}, {Name: "x", Vector: l.x}, {Name: "weight", Float: &l.weight}}
}

// Begin evaluates the schedule and the weight of z in the average.
func (l *ScheduleFree[T]) Begin(s *Stage[T]) {
	rate := l.rate.At(s.Progress)
	s.SetRate(rate)
	l.first = s.T == 1
	l.weight += rate * rate
	l.r, l.c = T(rate), 1
	if l.weight > 0 {
		l.c = T(rate * rate / l.weight)
	}
}

// Apply moves both sequences and the parameters.
func (l *ScheduleFree[T]) Apply(b *Block[T]) {
	z, x := b.Of(l.z), b.Of(l.x)
	if l.first {
		copy(z, b.P)
		copy(x, b.P)
	}
	simd.Axpy(z, -l.r, b.U)
	// x + c (z−x) rather than (1−c) x + c z: where they agree they stay the same to the bit.
	t := b.Scratch(0)
	simd.Sub(t, z, x)
	simd.Axpy(x, l.c, t)
	simd.Sub(t, x, z)
	copy(b.P, z)
	simd.Axpy(b.P, T(l.beta), t)
}

// scheduleFree is a chain that ends with ScheduleFree.
type scheduleFree[T tensor.Float] struct {
	*Chain[T]
	end *ScheduleFree[T]
}

// EvalParams stores the average x in dst; the given parameters before the first update.
func (m scheduleFree[T]) EvalParams(dst, params []T) {
	if m.Updates() == 0 {
		copy(dst, params)
		return
	}
	copy(dst, m.end.x)
}

func specScheduleFreeSGD[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "schedule-free-sgd", Title: "Schedule-free SGD",
		Formula: "z ← z − lr·(g(y) + λ y)\nx ← (1−c) x + c z,  c = lr²/Σlr²\ny ← (1−β) z + β x      gradients at y, evaluation at x",
		Paper:   "Defazio et al., The road less scheduled, NeurIPS 2024, arXiv:2405.15682",
		When:    "Where the length of the training is not known beforehand.",
		WhenNot: "With a falling schedule: the average is one already. lr is larger than SGD's with momentum (about 10 times).",
		Settings: []Setting{
			rate(0.3),
			{Name: "momentum", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Doc: "β, weight of the average in the point where gradients are taken"},
			weightDecay(0, "coupled, of y: λy is added to the gradient"),
		},
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			end := NewScheduleFree[T](env, k.hyper("lr"), s["momentum"])
			return k.wrap(scheduleFree[T]{k.chain(k.decay(), end), end})
		},
	}
}

func specScheduleFreeAdamW[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "schedule-free-adamw", Title: "Schedule-free AdamW",
		Formula: "v ← β₂ v + (1−β₂) g(y)²\nz ← z − lr·( g(y) / (√v/√(1−β₂ᵗ) + ε) + λ y )\nx ← (1−c) x + c z,  c = lr²/Σlr²\ny ← (1−β₁) z + β₁ x      gradients at y, evaluation at x",
		Paper:   "Defazio et al., The road less scheduled, NeurIPS 2024, arXiv:2405.15682",
		When:    "Instead of AdamW with a schedule, where the length of the training is not known. A warm-up helps.",
		WhenNot: "With a falling schedule: the average is one already.",
		Settings: append(append([]Setting{rate(0.0025)}, betas(0.9, 0.999, 1e-8)...),
			weightDecay(0, "decoupled, of y: lr·λ·y is taken off z")),
		MemoryFloats: 3, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			end := NewScheduleFree[T](env, k.hyper("lr"), s["beta1"])
			return k.wrap(scheduleFree[T]{k.chain(NewScaleByRMS[T](env, s["beta2"], s["eps"], false, true), k.decay(), end), end})
		},
	}
}
