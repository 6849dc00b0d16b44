package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Lion takes the sign of an interpolation of momentum and gradient:
//
//	c ← β₁ m + (1−β₁) u
//	m ← β₂ m + (1−β₂) u
//	u ← sign(c)                 (0 where c is 0)
//
// Paper: Chen et al., "Symbolic discovery of optimization algorithms", 2023. Deviations: none; decoupled
// decay, multiplied by the learning rate, comes after it in the chain.
//
// Cost: one float a parameter, one pass.
// Invariances: exactly independent of the gradient's scale (for factors that are powers of two to the
// bit). Every element of a step is lr or 0 in size.
// Failure: near the minimum it hops with the length lr; small batches make the sign noise.
type Lion[T tensor.Float] struct {
	beta1, beta2 float64
	m            []T
	tiny         []T // a block of the smallest number
}

// NewLion returns the link.
func NewLion[T tensor.Float](env Env, beta1, beta2 float64) *Lion[T] {
	return &Lion[T]{beta1: beta1, beta2: beta2, m: make([]T, env.Layout.Size()), tiny: constant(smallest[T]())}
}

// smallest returns the smallest positive number of the type.
func smallest[T tensor.Float]() T {
	var z T
	if _, ok := any(z).(float32); ok {
		return T(math.SmallestNonzeroFloat32)
	}
	tiny := math.SmallestNonzeroFloat64
	return T(tiny)
}

// Name returns "lion".
func (*Lion[T]) Name() string { return "lion" }

// State returns the momentum.
func (l *Lion[T]) State() State[T] { return State[T]{{Name: "m", Vector: l.m}} }

// Begin does nothing.
func (*Lion[T]) Begin(*Stage[T]) {}

// Apply replaces the update by the sign.
func (l *Lion[T]) Apply(b *Block[T]) {
	m, c, t := b.Of(l.m), b.Scratch(0), b.Scratch(1)
	simd.Scale(c, m, T(l.beta1))
	simd.Axpy(c, T(1-l.beta1), b.U)
	simd.Axpby(m, T(1-l.beta2), b.U, T(l.beta2))
	// c/|c| is exactly ±1, and 0/tiny is 0.
	simd.Abs(t, c)
	simd.Max(t, t, l.tiny[:len(t)])
	simd.Div(b.U, c, t)
}

func specLion[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "lion", Title: "Lion",
		Formula: "c ← β₁ m + (1−β₁) g\nm ← β₂ m + (1−β₂) g\np ← (1 − lr·λ) p − lr·sign(c)",
		Paper:   "Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, arXiv:2302.06675",
		When:    "Large batches; half of Adam's memory.",
		WhenNot: "Small batches, or without a falling learning rate: its steps do not get shorter. Use a third to a tenth of AdamW's lr and 3 to 10 times its λ.",
		Settings: []Setting{
			rate(0.0003),
			{Name: "beta1", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Doc: "β₁, weight of the momentum in the direction"},
			{Name: "beta2", Default: 0.99, Min: 0, Max: 1, OpenMax: true, Doc: "β₂, decay of the momentum"},
			weightDecay(0, "decoupled: a step multiplies the weights by 1 − lr·λ"),
		},
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(NewLion[T](env, s["beta1"], s["beta2"]), k.decay(), k.descend())
		},
	}
}
