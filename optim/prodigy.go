package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Prodigy is Adam that estimates its learning rate, the distance d from the start p₀ to the solution:
//
//	m ← β₁ m + (1−β₁) d u
//	v ← β₂ v + (1−β₂) d² u²
//	r ← √β₂ r + (1−√β₂) γ d² ⟨u, p₀−p⟩
//	s ← √β₂ s + (1−√β₂) γ d² u
//	u ← m / (√v + d ε)
//	d ← max(d, r/‖s‖₁)                     for the next step
//
// γ is the learning rate, 1 but for its schedule; p and d in the formulas are those before the step.
// The step, p ← p − γ·d·(u + λp), is completed by [Prodigy.Distance].
//
// Paper: Mishchenko and Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", 2024, algorithm
// 4. Deviations: none. (The authors' program uses the new d beside ε and offers bias correction.)
//
// Cost: four floats a parameter, one pass.
// Invariances: for ε → 0 the gradient's scale does not matter.
// Failure: the first steps, of length d₀, must carry information: d never falls, so a d that was found far from the
// solution stays. Needs a falling schedule to converge on noisy problems.
type Prodigy[T tensor.Float] struct {
	beta1, beta2, eps float64
	rate              *Hyper
	m, v, s, p0       []T
	d, r              float64

	dNow, weight float64
	first        bool
	dots, sums   []float64 // by block
}

// NewProdigy returns the link; d0 is the first estimate.
func NewProdigy[T tensor.Float](env Env, rate *Hyper, beta1, beta2, eps, d0 float64) *Prodigy[T] {
	n := env.Layout.Size()
	return &Prodigy[T]{beta1: beta1, beta2: beta2, eps: eps, rate: rate, d: d0,
		m: make([]T, n), v: make([]T, n), s: make([]T, n), p0: make([]T, n)}
}

// Name returns "prodigy".
func (*Prodigy[T]) Name() string { return "prodigy" }

// Hypers returns the learning rate.
func (l *Prodigy[T]) Hypers() []*Hyper { return []*Hyper{l.rate} }

// State returns the moments, the start, and the estimate.
func (l *Prodigy[T]) State() State[T] {
	return State[T]{{Name: "m", Vector: l.m}, {Name: "v", Vector: l.v}, {Name: "s", Vector: l.s}, {Name: "start", Vector: l.p0},
		{Name: "d", Float: &l.d}, {Name: "r", Float: &l.r}}
}

// Begin computes the weights.
func (l *Prodigy[T]) Begin(s *Stage[T]) {
	if l.dots == nil {
		l.dots, l.sums = make([]float64, s.Blocks()), make([]float64, s.Blocks())
	}
	l.first = s.T == 1
	l.dNow = l.d
	l.weight = (1 - math.Sqrt(l.beta2)) * l.rate.At(s.Progress) * l.d * l.d
	s.Log("d", l.d)
}

// Apply replaces the update.
func (l *Prodigy[T]) Apply(b *Block[T]) {
	m, v, s, p0, t := b.Of(l.m), b.Of(l.v), b.Of(l.s), b.Of(l.p0), b.Scratch(0)
	if l.first {
		copy(p0, b.P)
	}
	d := l.dNow
	simd.Sub(t, p0, b.P)
	l.dots[b.Index] = float64(simd.Dot(b.U, t))
	simd.Axpby(s, T(l.weight), b.U, T(math.Sqrt(l.beta2)))
	simd.Abs(t, s)
	l.sums[b.Index] = float64(simd.Sum(t))
	simd.Axpby(m, T((1-l.beta1)*d), b.U, T(l.beta1))
	simd.Scale(t, b.U, T(d))
	simd.Mul(t, t, t)
	simd.Axpby(v, T(1-l.beta2), t, T(l.beta2))
	simd.Sqrt(t, v)
	simd.AddScalar(t, t, T(d*l.eps))
	simd.Div(b.U, m, t)
}

// finish moves the estimate.
func (l *Prodigy[T]) finish(*Stage[T]) {
	dot, norm := 0.0, 0.0
	for i := range l.dots {
		dot += l.dots[i]
		norm += l.sums[i]
	}
	l.r = math.Sqrt(l.beta2)*l.r + l.weight*dot
	if norm > 0 {
		l.d = max(l.d, l.r/norm)
	}
}

// Distance returns the link that multiplies the update by the d of the step.
func (l *Prodigy[T]) Distance() Link[T] { return &byDistance[T]{of: l} }

type byDistance[T tensor.Float] struct{ of *Prodigy[T] }

func (*byDistance[T]) Name() string        { return "distance" }
func (*byDistance[T]) State() State[T]     { return nil }
func (*byDistance[T]) Begin(*Stage[T])     {}
func (l *byDistance[T]) Apply(b *Block[T]) { simd.Scale(b.U, b.U, T(l.of.dNow)) }

func specProdigy[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "prodigy", Title: "Prodigy",
		Formula: "m ← β₁ m + (1−β₁) d g\nv ← β₂ v + (1−β₂) d² g²\nr ← √β₂ r + (1−√β₂) lr d² ⟨g, p₀−p⟩\ns ← √β₂ s + (1−√β₂) lr d² g\n" +
			"p ← (1 − lr·d·λ) p − lr·d · m/(√v + d ε)\nd ← max(d, r/‖s‖₁)",
		Paper:   "Mishchenko and Defazio, Prodigy: an expeditiously adaptive parameter-free learner, ICML 2024, arXiv:2306.06101",
		When:    "Where the learning rate should not be tuned: lr stays 1. Give it a cosine schedule.",
		WhenNot: "Short runs: d has to grow from d₀ first. Where memory is short.",
		Settings: append(append([]Setting{rate(1)}, betas(0.9, 0.999, 1e-8)...),
			Setting{Name: "d0", Default: 1e-6, Min: 0, Max: 1e3, OpenMin: true, Log: true, Doc: "first estimate of the distance to the solution; must be too small"},
			weightDecay(0, "decoupled: a step multiplies the weights by 1 − lr·d·λ")),
		MemoryFloats: 4, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			lr := k.hyper("lr")
			p := NewProdigy[T](env, lr, s["beta1"], s["beta2"], s["eps"], s["d0"])
			return k.method(p, k.decay(), p.Distance(), NewDescend[T](lr))
		},
	}
}
