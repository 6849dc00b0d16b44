package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// ScaleByAdam divides a running mean of the updates by the root of a running mean of their squares:
//
//	m ← β₁ m + (1−β₁) u
//	v ← β₂ v + (1−β₂) u²
//	u ← m/(1−β₁ᵗ) / ( √v/√(1−β₂ᵗ) + ε )
//
// With the maximum (AMSGrad), v̄ ← max(v̄, v) stands under the root, before the correction.
//
// Paper: Kingma and Ba, "Adam: a method for stochastic optimization", 2015; Reddi, Kale and Kumar,
// "On the convergence of Adam and beyond", 2018. Deviations: none from Adam's algorithm 1; ε is added
// after the correction, outside the root. (TensorFlow adds it before the correction: its ε is
// ε·√(1−β₂ᵗ) here.) The maximum is taken of the uncorrected v, as in PyTorch.
//
// Cost: two floats a parameter (three with the maximum), one pass.
// Invariances: for ε → 0 the update does not change when the gradient is multiplied by a constant; its
// elements are at most about 1 in size, and ±1 in the first step. Equivariant under permutations, not
// under rotations.
// Failure: where gradients are rare and large, v forgets them and the step that follows is too long
// (AMSGrad, ADOPT); ε is felt where gradients are below it.
type ScaleByAdam[T tensor.Float] struct {
	beta1, beta2, eps float64
	m, v, max         []T

	c simd.AdamCoef[T] // the step's constants
}

// NewScaleByAdam returns the link; amsgrad turns the maximum on.
func NewScaleByAdam[T tensor.Float](env Env, beta1, beta2, eps float64, amsgrad bool) *ScaleByAdam[T] {
	n := env.Layout.Size()
	l := &ScaleByAdam[T]{beta1: beta1, beta2: beta2, eps: eps, m: make([]T, n), v: make([]T, n)}
	if amsgrad {
		l.max = make([]T, n)
	}
	return l
}

// Name returns "adam".
func (*ScaleByAdam[T]) Name() string { return "adam" }

// State returns the moments.
func (l *ScaleByAdam[T]) State() State[T] {
	s := State[T]{{Name: "m", Vector: l.m}, {Name: "v", Vector: l.v}}
	if l.max != nil {
		s = append(s, StateEntry[T]{Name: "max", Vector: l.max})
	}
	return s
}

// Begin computes the corrections.
func (l *ScaleByAdam[T]) Begin(s *Stage[T]) {
	t := float64(s.T)
	l.c = simd.AdamCoef[T]{
		Beta1: T(l.beta1), OneMinusBeta1: T(1 - l.beta1),
		Beta2: T(l.beta2), OneMinusBeta2: T(1 - l.beta2),
		StepSize: T(1 / (1 - math.Pow(l.beta1, t))),
		Sqrt2:    T(math.Sqrt(1 - math.Pow(l.beta2, t))),
		Eps:      T(l.eps),
	}
}

// Apply replaces the update by the scaled mean.
func (l *ScaleByAdam[T]) Apply(b *Block[T]) {
	m, v, t := b.Of(l.m), b.Of(l.v), b.Scratch(0)
	simd.Axpby(m, l.c.OneMinusBeta1, b.U, l.c.Beta1)
	simd.Mul(t, b.U, b.U)
	simd.Axpby(v, l.c.OneMinusBeta2, t, l.c.Beta2)
	if l.max != nil {
		max := b.Of(l.max)
		simd.Max(max, max, v)
		v = max
	}
	simd.Sqrt(t, v)
	simd.Scale(t, t, 1/l.c.Sqrt2)
	simd.AddScalar(t, t, l.c.Eps)
	simd.Div(b.U, m, t)
	simd.Scale(b.U, b.U, l.c.StepSize)
}

func betas(beta1, beta2, eps float64) []Setting {
	return []Setting{
		{Name: "beta1", Default: beta1, Min: 0, Max: 1, OpenMax: true, Doc: "β₁, decay of the mean of the gradients"},
		{Name: "beta2", Default: beta2, Min: 0, Max: 1, OpenMax: true, Doc: "β₂, decay of the mean of their squares"},
		epsilon(eps),
	}
}

const adamFormula = "m ← β₁ m + (1−β₁) g\nv ← β₂ v + (1−β₂) g²\n"

func specAdam[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "adam", Title: "Adam",
		Formula:      "g ← g + λ p\n" + adamFormula + "p ← p − lr · m/(1−β₁ᵗ) / (√v/√(1−β₂ᵗ) + ε)",
		Paper:        "Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980",
		When:         "The first thing to try: works over a wide range of problems with little tuning.",
		WhenNot:      "With weight decay (use adamw). May generalise worse than tuned momentum on images.",
		Settings:     append(append([]Setting{rate(0.001)}, betas(0.9, 0.999, 1e-8)...), weightDecay(0, "coupled: λp is added to the gradient, and rescaled with it")),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewScaleByAdam[T](env, s["beta1"], s["beta2"], s["eps"], false), k.descend())
		},
	}
}

func specAMSGrad[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "amsgrad", Title: "AMSGrad",
		Formula:      "g ← g + λ p\n" + adamFormula + "v̄ ← max(v̄, v)\np ← p − lr · m/(1−β₁ᵗ) / (√v̄/√(1−β₂ᵗ) + ε)",
		Paper:        "Reddi, Kale and Kumar, On the convergence of Adam and beyond, ICLR 2018",
		When:         "Where Adam's loss jumps up late in the training.",
		WhenNot:      "Long runs from a bad start: an early large gradient slows its coordinate for good.",
		Settings:     append(append([]Setting{rate(0.001)}, betas(0.9, 0.999, 1e-8)...), weightDecay(0, "coupled: λp is added to the gradient, and rescaled with it")),
		MemoryFloats: 3, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(k.decay(), NewScaleByAdam[T](env, s["beta1"], s["beta2"], s["eps"], true), k.descend())
		},
	}
}

func specAdamW[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "adamw", Title: "AdamW",
		Formula:      adamFormula + "p ← (1 − lr·λ) p − lr · m/(1−β₁ᵗ) / (√v/√(1−β₂ᵗ) + ε)",
		Paper:        "Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101",
		When:         "Transformers, and wherever Adam would be used with weight decay.",
		WhenNot:      "Its decay is multiplied by the learning rate: with lr 0.001 and λ 0.01 a weight halves in 70,000 steps.",
		Settings:     append(append([]Setting{rate(0.001)}, betas(0.9, 0.999, 1e-8)...), weightDecay(0.01, "decoupled: a step multiplies the weights by 1 − lr·λ")),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(NewScaleByAdam[T](env, s["beta1"], s["beta2"], s["eps"], false), k.decay(), k.descend())
		},
	}
}
