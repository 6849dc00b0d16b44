package optim

import (
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// ScaleByAdagrad divides the update by the root of the sum of all its squares so far:
//
//	v ← v + u²                   (v = initial at first)
//	u ← u / (√v + ε) / (1 + (t−1)·η)
//
// Paper: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
// optimization", 2011, diagonal form. Deviations: η, a decay of the rate, as in PyTorch; 0 is the paper.
//
// Cost: one float a parameter, one pass.
// Invariances: for ε → 0 and v = 0 at first, multiplying the gradient by a constant changes nothing.
// Failure: the rate only falls; a large gradient at the start is never forgotten.
type ScaleByAdagrad[T tensor.Float] struct {
	initial, eps, decay float64
	v                   []T

	e, f T
}

// NewScaleByAdagrad returns the link.
func NewScaleByAdagrad[T tensor.Float](env Env, initial, eps, decay float64) *ScaleByAdagrad[T] {
	l := &ScaleByAdagrad[T]{initial: initial, eps: eps, decay: decay, v: make([]T, env.Layout.Size())}
	for i := range l.v {
		l.v[i] = T(initial)
	}
	return l
}

// Name returns "adagrad".
func (*ScaleByAdagrad[T]) Name() string { return "adagrad" }

// State returns the sum of squares.
func (l *ScaleByAdagrad[T]) State() State[T] { return State[T]{{Name: "v", Vector: l.v}} }

// Begin computes the decay of the rate.
func (l *ScaleByAdagrad[T]) Begin(s *Stage[T]) {
	l.e, l.f = T(l.eps), T(1/(1+float64(s.T-1)*l.decay))
}

// Apply divides the update.
func (l *ScaleByAdagrad[T]) Apply(b *Block[T]) {
	v, t := b.Of(l.v), b.Scratch(0)
	simd.MulAdd(v, b.U, b.U)
	simd.Sqrt(t, v)
	simd.AddScalar(t, t, l.e)
	simd.Div(b.U, b.U, t)
	if l.f != 1 {
		simd.Scale(b.U, b.U, l.f)
	}
}

func specAdagrad[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "adagrad", Title: "Adagrad",
		Formula: "g ← g + λ p\nv ← v + g²\np ← p − lr/(1+(t−1)η) · g / (√v + ε)",
		Paper:   "Duchi, Hazan and Singer, Adaptive subgradient methods, JMLR 12, 2011",
		When:    "Sparse features and convex problems; no schedule is needed.",
		WhenNot: "Long non-convex training: the rate falls like 1/√t whatever happens.",
		Settings: []Setting{
			rate(0.02),
			{Name: "lr-decay", Default: 0, Min: 0, Max: 1, Doc: "η, lowers the rate by 1/(1+(t−1)η)"},
			{Name: "initial", Default: 0, Min: 0, Max: 1e6, Doc: "value of the sum of squares at the start"},
			epsilon(1e-10),
			weightDecay(0, "coupled: λp is added to the gradient, and rescaled with it"),
		},
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewScaleByAdagrad[T](env, s["initial"], s["eps"], s["lr-decay"]), k.descend())
		},
	}
}

// ScaleByAdadelta gives the update the units of the parameters by the ratio of two running means:
//
//	v ← ρ v + (1−ρ) u²
//	u ← √(d+ε) / √(v+ε) · u
//	d ← ρ d + (1−ρ) u²          (the new u)
//
// Paper: Zeiler, "ADADELTA: an adaptive learning rate method", 2012. Deviations: none; a learning rate
// of 1 is the paper's.
//
// Cost: two floats a parameter, one pass.
// Failure: starts slowly, since d is 0 and ε alone sets the length of the first steps.
type ScaleByAdadelta[T tensor.Float] struct {
	rho, eps float64
	v, d     []T
}

// NewScaleByAdadelta returns the link.
func NewScaleByAdadelta[T tensor.Float](env Env, rho, eps float64) *ScaleByAdadelta[T] {
	n := env.Layout.Size()
	return &ScaleByAdadelta[T]{rho: rho, eps: eps, v: make([]T, n), d: make([]T, n)}
}

// Name returns "adadelta".
func (*ScaleByAdadelta[T]) Name() string { return "adadelta" }

// State returns the two running means.
func (l *ScaleByAdadelta[T]) State() State[T] {
	return State[T]{{Name: "v", Vector: l.v}, {Name: "d", Vector: l.d}}
}

// Begin does nothing.
func (*ScaleByAdadelta[T]) Begin(*Stage[T]) {}

// Apply scales the update.
func (l *ScaleByAdadelta[T]) Apply(b *Block[T]) {
	v, d, t, r := b.Of(l.v), b.Of(l.d), b.Scratch(0), b.Scratch(1)
	simd.Mul(t, b.U, b.U)
	simd.Axpby(v, T(1-l.rho), t, T(l.rho))
	simd.AddScalar(t, v, T(l.eps))
	simd.Sqrt(t, t)
	simd.AddScalar(r, d, T(l.eps))
	simd.Sqrt(r, r)
	simd.Div(r, r, t)
	simd.Mul(b.U, b.U, r)
	simd.Mul(t, b.U, b.U)
	simd.Axpby(d, T(1-l.rho), t, T(l.rho))
}

func specAdadelta[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "adadelta", Title: "Adadelta",
		Formula: "g ← g + λ p\nv ← ρ v + (1−ρ) g²\nΔ ← √(d+ε)/√(v+ε) · g\nd ← ρ d + (1−ρ) Δ²\np ← p − lr·Δ",
		Paper:   "Zeiler, ADADELTA: an adaptive learning rate method, arXiv:1212.5701",
		When:    "Where no learning rate is known at all.",
		WhenNot: "When time matters: its first steps are as short as √ε.",
		Settings: []Setting{
			rate(1),
			{Name: "rho", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Doc: "ρ, decay of both running means"},
			{Name: "eps", Default: 1e-6, Min: 1e-30, Max: 1, Log: true, Doc: "ε, under both roots: it sets the length of the first steps"},
			weightDecay(0, "coupled: λp is added to the gradient, and rescaled with it"),
		},
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewScaleByAdadelta[T](env, s["rho"], s["eps"]), k.descend())
		},
	}
}
