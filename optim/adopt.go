package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// ADOPT is Adam with the gradient divided by the second moment of the past alone, before it enters the
// mean:
//
//	first update:  v ← u²,  u ← 0
//	then, k = 1, 2, …:
//	c ← clip( u / max(√v, ε), −k^¼, k^¼ )
//	m ← β₁ m + (1−β₁) c
//	v ← β₂ v + (1−β₂) u²
//	u ← m
//
// Paper: Taniguchi et al., "ADOPT: modified Adam can converge with any β₂ with the optimal rate", 2024,
// algorithm 2. Deviations: none. The first update only measures; the parameters stay.
//
// Cost: two floats a parameter, one pass.
// Invariances: for ε → 0 the gradient's scale does not matter.
// Failure: an element whose first gradient is 0 is divided by ε; the clipping bounds the harm.
type ADOPT[T tensor.Float] struct {
	beta1, beta2 float64
	m, v         []T
	eps          []T // a block of ε
	above, below []T // blocks of the bounds ±k^¼
	first        bool
}

// NewADOPT returns the link.
func NewADOPT[T tensor.Float](env Env, beta1, beta2, eps float64) *ADOPT[T] {
	n := env.Layout.Size()
	return &ADOPT[T]{beta1: beta1, beta2: beta2, m: make([]T, n), v: make([]T, n),
		eps: constant(T(eps)), above: constant(T(0)), below: constant(T(0))}
}

// Name returns "adopt".
func (*ADOPT[T]) Name() string { return "adopt" }

// State returns the moments.
func (l *ADOPT[T]) State() State[T] {
	return State[T]{{Name: "m", Vector: l.m}, {Name: "v", Vector: l.v}}
}

// Begin computes the bounds.
func (l *ADOPT[T]) Begin(s *Stage[T]) {
	l.first = s.T == 1
	bound := T(math.Pow(float64(s.T-1), 0.25))
	for i := range l.above {
		l.above[i], l.below[i] = bound, -bound
	}
}

// Apply replaces the update.
func (l *ADOPT[T]) Apply(b *Block[T]) {
	m, v, c, t := b.Of(l.m), b.Of(l.v), b.Scratch(0), b.Scratch(1)
	if l.first {
		simd.Mul(v, b.U, b.U)
		clear(b.U)
		return
	}
	simd.Sqrt(t, v)
	simd.Max(t, t, l.eps[:len(t)])
	simd.Div(c, b.U, t)
	simd.Min(c, c, l.above[:len(c)])
	simd.Max(c, c, l.below[:len(c)])
	simd.Axpby(m, T(1-l.beta1), c, T(l.beta1))
	simd.Mul(t, b.U, b.U)
	simd.Axpby(v, T(1-l.beta2), t, T(l.beta2))
	copy(b.U, m)
}

func specADOPT[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "adopt", Title: "ADOPT",
		Formula:      "first step: v ← g²\nthen, k = 1, 2, …:\nc ← clip( g / max(√v, ε), ±k^¼ )\nm ← β₁ m + (1−β₁) c\nv ← β₂ v + (1−β₂) g²\np ← (1 − lr·λ) p − lr·m",
		Paper:        "Taniguchi et al., ADOPT: modified Adam can converge with any β₂ with the optimal rate, NeurIPS 2024, arXiv:2411.02853",
		When:         "Instead of Adam where noise or a small β₂ makes it diverge.",
		WhenNot:      "Very short runs: with β₂ = 0.9999 it remembers its first gradient for long.",
		Settings:     append(append([]Setting{rate(0.001)}, betas(0.9, 0.9999, 1e-6)...), weightDecay(0, "decoupled: a step multiplies the weights by 1 − lr·λ")),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(NewADOPT[T](env, s["beta1"], s["beta2"], s["eps"]), k.decay(), k.descend())
		},
	}
}
