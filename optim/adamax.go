package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// ScaleByAdamax is Adam with the maximum norm in place of the Euclidean:
//
//	m ← β₁ m + (1−β₁) u
//	n ← max(β₂ n, |u| + ε)
//	u ← m / (1−β₁ᵗ) / n
//
// Paper: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, §7.1. Deviations: ε, as in
// PyTorch; the paper has none.
//
// Cost: two floats a parameter, one pass.
// Invariances: as Adam. Failure: an outlier of the gradient shortens the steps for 1/(1−β₂) updates.
type ScaleByAdamax[T tensor.Float] struct {
	beta1, beta2, eps float64
	m, n              []T

	correct T
}

// NewScaleByAdamax returns the link.
func NewScaleByAdamax[T tensor.Float](env Env, beta1, beta2, eps float64) *ScaleByAdamax[T] {
	n := env.Layout.Size()
	return &ScaleByAdamax[T]{beta1: beta1, beta2: beta2, eps: eps, m: make([]T, n), n: make([]T, n)}
}

// Name returns "adamax".
func (*ScaleByAdamax[T]) Name() string { return "adamax" }

// State returns the mean and the norm.
func (l *ScaleByAdamax[T]) State() State[T] {
	return State[T]{{Name: "m", Vector: l.m}, {Name: "n", Vector: l.n}}
}

// Begin computes the correction.
func (l *ScaleByAdamax[T]) Begin(s *Stage[T]) {
	l.correct = T(1 / (1 - math.Pow(l.beta1, float64(s.T))))
}

// Apply replaces the update.
func (l *ScaleByAdamax[T]) Apply(b *Block[T]) {
	m, n, t := b.Of(l.m), b.Of(l.n), b.Scratch(0)
	simd.Axpby(m, T(1-l.beta1), b.U, T(l.beta1))
	simd.Abs(t, b.U)
	simd.AddScalar(t, t, T(l.eps))
	simd.Scale(n, n, T(l.beta2))
	simd.Max(n, n, t)
	simd.Div(b.U, m, n)
	simd.Scale(b.U, b.U, l.correct)
}

func specAdamax[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "adamax", Title: "Adamax",
		Formula:      "g ← g + λ p\nm ← β₁ m + (1−β₁) g\nn ← max(β₂ n, |g| + ε)\np ← p − lr/(1−β₁ᵗ) · m/n",
		Paper:        "Kingma and Ba, Adam, ICLR 2015, §7.1, arXiv:1412.6980",
		When:         "Embeddings and other rare gradients, where Adam's steps are uneven.",
		WhenNot:      "Gradients with outliers.",
		Settings:     append(append([]Setting{rate(0.002)}, betas(0.9, 0.999, 1e-8)...), weightDecay(0, "coupled: λp is added to the gradient, and rescaled with it")),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewScaleByAdamax[T](env, s["beta1"], s["beta2"], s["eps"]), k.descend())
		},
	}
}
