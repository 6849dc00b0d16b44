package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// AdEMAMix is Adam with a second, slow mean of the gradients:
//
//	m ← β₁ m + (1−β₁) u
//	n ← β₃ n + (1−β₃) u
//	v ← β₂ v + (1−β₂) u²
//	u ← ( m/(1−β₁ᵗ) + α n ) / ( √v/√(1−β₂ᵗ) + ε )
//
// α and β₃ rise over the part r of the horizon. With x = min(1, (Seen+Batch)/(r·Horizon)),
//
//	α ← x·α,   β₃ ← min(β₃, exp( ln β₁ ln β₃ / ((1−x) ln β₃ + x ln β₁) ))
//
// which lengthens the half-life of n about linearly. Without a horizon x is 1.
//
// Paper: Pagliardini, Ablin and Grangier, "The AdEMAMix optimizer: better, faster, older", 2024. Deviations:
// the paper counts steps, here examples are counted, as in all schedules.
//
// Cost: three floats a parameter, one pass.
// Invariances: for ε → 0 the gradient's scale does not matter.
// Failure: the slow mean makes late changes of direction slow; without the rise it diverges early.
type AdEMAMix[T tensor.Float] struct {
	beta1, beta2, beta3, alpha, ramp, eps float64
	m, n, v                               []T

	b3, a, correct, inv float64
}

// NewAdEMAMix returns the link. ramp is r; 0 turns the rise off.
func NewAdEMAMix[T tensor.Float](env Env, beta1, beta2, beta3, alpha, ramp, eps float64) *AdEMAMix[T] {
	n := env.Layout.Size()
	return &AdEMAMix[T]{beta1: beta1, beta2: beta2, beta3: beta3, alpha: alpha, ramp: ramp, eps: eps,
		m: make([]T, n), n: make([]T, n), v: make([]T, n)}
}

// Name returns "ademamix".
func (*AdEMAMix[T]) Name() string { return "ademamix" }

// State returns the moments; n is the slow mean.
func (l *AdEMAMix[T]) State() State[T] {
	return State[T]{{Name: "m", Vector: l.m}, {Name: "n", Vector: l.n}, {Name: "v", Vector: l.v}}
}

// Begin computes α, β₃ and the corrections.
func (l *AdEMAMix[T]) Begin(s *Stage[T]) {
	l.a, l.b3 = l.alpha, l.beta3
	p := s.Progress
	if l.ramp > 0 && p.Horizon > 0 {
		if x := float64(p.Seen+int64(p.Batch)) / (l.ramp * float64(p.Horizon)); x < 1 {
			l.a *= x
			ln1, ln3 := math.Log(l.beta1), math.Log(l.beta3)
			l.b3 = min(l.beta3, math.Exp(ln1*ln3/((1-x)*ln3+x*ln1)))
		}
	}
	t := float64(s.T)
	l.correct = 1 / (1 - math.Pow(l.beta1, t))
	l.inv = 1 / math.Sqrt(1-math.Pow(l.beta2, t))
	s.Log("alpha", l.a)
	s.Log("beta3", l.b3)
}

// Apply replaces the update.
func (l *AdEMAMix[T]) Apply(b *Block[T]) {
	m, n, v, t := b.Of(l.m), b.Of(l.n), b.Of(l.v), b.Scratch(0)
	simd.Axpby(m, T(1-l.beta1), b.U, T(l.beta1))
	simd.Axpby(n, T(1-l.b3), b.U, T(l.b3))
	simd.Mul(t, b.U, b.U)
	simd.Axpby(v, T(1-l.beta2), t, T(l.beta2))
	simd.Sqrt(t, v)
	simd.Scale(t, t, T(l.inv))
	simd.AddScalar(t, t, T(l.eps))
	simd.Scale(b.U, m, T(l.correct))
	simd.Axpy(b.U, T(l.a), n)
	simd.Div(b.U, b.U, t)
}

func specAdEMAMix[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "ademamix", Title: "AdEMAMix",
		Formula: "m ← β₁ m + (1−β₁) g\nn ← β₃ n + (1−β₃) g\nv ← β₂ v + (1−β₂) g²\np ← (1 − lr·λ) p − lr · ( m/(1−β₁ᵗ) + α n ) / ( √v/√(1−β₂ᵗ) + ε )\n" +
			"α and β₃ rise to their values over the part r of the training",
		Paper:   "Pagliardini, Ablin and Grangier, The AdEMAMix optimizer: better, faster, older, arXiv:2409.03137",
		When:    "Long runs of transformers: old gradients still help.",
		WhenNot: "Data that change on the way. Short runs with the β₃ of the paper: there the slow mean is mostly the start.",
		Settings: []Setting{
			rate(0.0003),
			{Name: "beta1", Default: 0.9, Min: 0, Max: 1, OpenMin: true, OpenMax: true, Doc: "β₁, decay of the fast mean"},
			{Name: "beta2", Default: 0.999, Min: 0, Max: 1, OpenMax: true, Doc: "β₂, decay of the mean of the squares"},
			{Name: "beta3", Default: 0.99, Min: 0, Max: 1, OpenMin: true, OpenMax: true, Doc: "β₃, decay of the slow mean at the end of the rise; the paper has 0.9999, for 100,000 steps and more"},
			{Name: "alpha", Default: 5, Min: 0, Max: 100, Doc: "α, weight of the slow mean at the end of the rise"},
			{Name: "ramp", Default: 1, Min: 0, Max: 1, Doc: "r, part of the training over which α and β₃ rise; 0: at once"},
			epsilon(1e-8),
			weightDecay(0, "decoupled: a step multiplies the weights by 1 − lr·λ"),
		},
		MemoryFloats: 3, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(NewAdEMAMix[T](env, s["beta1"], s["beta2"], s["beta3"], s["alpha"], s["ramp"], s["eps"]), k.decay(), k.descend())
		},
	}
}
