package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// ScaleByNAdam is Adam with Nesterov's momentum, and a momentum that rises with the steps:
//
//	μ_t = β₁ (1 − ½·0.96^(tψ)),   M_t = Π_{i≤t} μ_i
//	m ← β₁ m + (1−β₁) u
//	v ← β₂ v + (1−β₂) u²
//	u ← [ (1−μ_t)/(1−M_t) · u + μ_{t+1}/(1−M_t·μ_{t+1}) · m ] / ( √(v/(1−β₂ᵗ)) + ε )
//
// Paper: Dozat, "Incorporating Nesterov momentum into Adam", 2016. Deviations: as in PyTorch the mean m
// decays with β₁, not with μ_t.
//
// Cost: two floats a parameter, one pass.
// Invariances and failure: as Adam.
type ScaleByNAdam[T tensor.Float] struct {
	beta1, beta2, eps, psi float64
	m, v                   []T
	product                float64 // M of the last update

	onU, onM, inv T
}

// NewScaleByNAdam returns the link; psi is ψ.
func NewScaleByNAdam[T tensor.Float](env Env, beta1, beta2, eps, psi float64) *ScaleByNAdam[T] {
	n := env.Layout.Size()
	return &ScaleByNAdam[T]{beta1: beta1, beta2: beta2, eps: eps, psi: psi, m: make([]T, n), v: make([]T, n), product: 1}
}

// Name returns "nadam".
func (*ScaleByNAdam[T]) Name() string { return "nadam" }

// State returns the moments and the product of the momenta.
func (l *ScaleByNAdam[T]) State() State[T] {
	return State[T]{{Name: "m", Vector: l.m}, {Name: "v", Vector: l.v}, {Name: "product", Float: &l.product}}
}

// Begin moves the product and computes the weights.
func (l *ScaleByNAdam[T]) Begin(s *Stage[T]) {
	t := float64(s.T)
	mu := l.beta1 * (1 - 0.5*math.Pow(0.96, t*l.psi))
	next := l.beta1 * (1 - 0.5*math.Pow(0.96, (t+1)*l.psi))
	l.product *= mu
	l.onU = T((1 - mu) / (1 - l.product))
	l.onM = T(next / (1 - l.product*next))
	l.inv = T(1 / math.Sqrt(1-math.Pow(l.beta2, t)))
}

// Apply replaces the update.
func (l *ScaleByNAdam[T]) Apply(b *Block[T]) {
	m, v, t := b.Of(l.m), b.Of(l.v), b.Scratch(0)
	simd.Axpby(m, T(1-l.beta1), b.U, T(l.beta1))
	simd.Mul(t, b.U, b.U)
	simd.Axpby(v, T(1-l.beta2), t, T(l.beta2))
	simd.Sqrt(t, v)
	simd.Scale(t, t, l.inv)
	simd.AddScalar(t, t, T(l.eps))
	simd.Axpby(b.U, l.onM, m, l.onU)
	simd.Div(b.U, b.U, t)
}

func specNAdam[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "nadam", Title: "NAdam",
		Formula: "g ← g + λ p\nμ_t = β₁ (1 − ½·0.96^(tψ)),  M_t = μ_1 … μ_t\n" + adamFormula +
			"p ← p − lr · [(1−μ_t)/(1−M_t)·g + μ_{t+1}/(1−M_t μ_{t+1})·m] / (√(v/(1−β₂ᵗ)) + ε)",
		Paper:   "Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016",
		When:    "As Adam; often a little faster early in the training.",
		WhenNot: "As Adam.",
		Settings: append(append([]Setting{rate(0.002)}, betas(0.9, 0.999, 1e-8)...),
			Setting{Name: "momentum-decay", Default: 0.004, Min: 0, Max: 1, Doc: "ψ, how fast the momentum rises from β₁/2 to β₁"},
			weightDecay(0, "coupled: λp is added to the gradient, and rescaled with it")),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewScaleByNAdam[T](env, s["beta1"], s["beta2"], s["eps"], s["momentum-decay"]), k.descend())
		},
	}
}

// ScaleByRAdam is Adam that takes unscaled momentum steps until its second moment can be trusted:
//
//	m ← β₁ m + (1−β₁) u,  v ← β₂ v + (1−β₂) u²
//	ρ∞ = 2/(1−β₂) − 1,  ρ_t = ρ∞ − 2t β₂ᵗ/(1−β₂ᵗ)
//	u ← m/(1−β₁ᵗ) · r_t √(1−β₂ᵗ)/(√v + ε)    if ρ_t > 5,  r_t² = (ρ_t−4)(ρ_t−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ_t)
//	u ← m/(1−β₁ᵗ)                              else
//
// Paper: Liu et al., "On the variance of the adaptive learning rate and beyond", 2020. Deviations: the
// bound is 5 where the paper has 4, as in the authors' program and in PyTorch; ε is added before the
// correction.
//
// Cost: two floats a parameter, one pass.
// Failure: the first steps (5 with β₂ = 0.999) are plain momentum and as long as the gradient is large: it is not
// invariant to the gradient's scale.
type ScaleByRAdam[T tensor.Float] struct {
	beta1, beta2, eps float64
	m, v              []T

	adaptive bool
	scale    T
}

// NewScaleByRAdam returns the link.
func NewScaleByRAdam[T tensor.Float](env Env, beta1, beta2, eps float64) *ScaleByRAdam[T] {
	n := env.Layout.Size()
	return &ScaleByRAdam[T]{beta1: beta1, beta2: beta2, eps: eps, m: make([]T, n), v: make([]T, n)}
}

// Name returns "radam".
func (*ScaleByRAdam[T]) Name() string { return "radam" }

// State returns the moments.
func (l *ScaleByRAdam[T]) State() State[T] {
	return State[T]{{Name: "m", Vector: l.m}, {Name: "v", Vector: l.v}}
}

// Begin computes the rectification.
func (l *ScaleByRAdam[T]) Begin(s *Stage[T]) {
	t := float64(s.T)
	b2 := math.Pow(l.beta2, t)
	scale := 1 / (1 - math.Pow(l.beta1, t))
	limit := 2/(1-l.beta2) - 1
	rho := limit - 2*t*b2/(1-b2)
	if l.adaptive = rho > 5; l.adaptive {
		scale *= math.Sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho) * (1 - b2))
	}
	l.scale = T(scale)
}

// Apply replaces the update.
func (l *ScaleByRAdam[T]) Apply(b *Block[T]) {
	m, v, t := b.Of(l.m), b.Of(l.v), b.Scratch(0)
	simd.Axpby(m, T(1-l.beta1), b.U, T(l.beta1))
	simd.Mul(t, b.U, b.U)
	simd.Axpby(v, T(1-l.beta2), t, T(l.beta2))
	if !l.adaptive {
		simd.Scale(b.U, m, l.scale)
		return
	}
	simd.Sqrt(t, v)
	simd.AddScalar(t, t, T(l.eps))
	simd.Div(b.U, m, t)
	simd.Scale(b.U, b.U, l.scale)
}

func specRAdam[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "radam", Title: "RAdam",
		Formula: "g ← g + λ p\n" + adamFormula + "ρ∞ = 2/(1−β₂) − 1,  ρ_t = ρ∞ − 2t β₂ᵗ/(1−β₂ᵗ)\n" +
			"ρ_t > 5:  p ← p − lr · m/(1−β₁ᵗ) · r_t √(1−β₂ᵗ)/(√v + ε),  r_t² = (ρ_t−4)(ρ_t−2)ρ∞/((ρ∞−4)(ρ∞−2)ρ_t)\nelse:     p ← p − lr · m/(1−β₁ᵗ)",
		Paper:        "Liu et al., On the variance of the adaptive learning rate and beyond, ICLR 2020, arXiv:1908.03265",
		When:         "Instead of Adam with a warm-up.",
		WhenNot:      "Where the gradient is large at the start: its first steps are not scaled.",
		Settings:     append(append([]Setting{rate(0.002)}, betas(0.9, 0.999, 1e-8)...), weightDecay(0, "coupled: λp is added to the gradient, and rescaled with it")),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewScaleByRAdam[T](env, s["beta1"], s["beta2"], s["eps"]), k.descend())
		},
	}
}
