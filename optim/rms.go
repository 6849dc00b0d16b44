package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// ScaleByRMS divides the update by the root of a running mean of its squares:
//
//	v ← α v + (1−α) u²
//	a ← α a + (1−α) u                  centred only
//	u ← u / ( √v + ε )                 plain
//	u ← u / ( √max(v−a², 0) + ε )      centred
//	u ← u / ( √v/√(1−αᵗ) + ε )         corrected
//
// Paper: Tieleman and Hinton, "Lecture 6.5: RMSprop", Coursera, 2012; centred: Graves, "Generating
// sequences with recurrent neural networks", 2013. Deviations: ε outside the root, as in PyTorch
// (Graves and TensorFlow add it inside); v−a² is kept from becoming negative by rounding.
//
// Cost: one float a parameter (two centred), one pass.
// Invariances: for ε → 0 the update does not change when the gradient is multiplied by a constant.
// Failure: without correction the first steps are longer than lr by the factor 1/√(1−α).
type ScaleByRMS[T tensor.Float] struct {
	alpha, eps float64
	correct    bool
	v, a       []T

	keep, fresh, e, inv T
}

// NewScaleByRMS returns the link. centred subtracts the squared mean; correct divides by 1−αᵗ.
func NewScaleByRMS[T tensor.Float](env Env, alpha, eps float64, centred, correct bool) *ScaleByRMS[T] {
	l := &ScaleByRMS[T]{alpha: alpha, eps: eps, correct: correct, v: make([]T, env.Layout.Size())}
	if centred {
		l.a = make([]T, env.Layout.Size())
	}
	return l
}

// Name returns "rms".
func (*ScaleByRMS[T]) Name() string { return "rms" }

// State returns the running means.
func (l *ScaleByRMS[T]) State() State[T] {
	s := State[T]{{Name: "v", Vector: l.v}}
	if l.a != nil {
		s = append(s, StateEntry[T]{Name: "a", Vector: l.a})
	}
	return s
}

// Begin computes the correction.
func (l *ScaleByRMS[T]) Begin(s *Stage[T]) {
	l.keep, l.fresh, l.e, l.inv = T(l.alpha), T(1-l.alpha), T(l.eps), 1
	if l.correct {
		l.inv = T(1 / math.Sqrt(1-math.Pow(l.alpha, float64(s.T))))
	}
}

// Apply divides the update.
func (l *ScaleByRMS[T]) Apply(b *Block[T]) {
	v, t := b.Of(l.v), b.Scratch(0)
	simd.Mul(t, b.U, b.U)
	simd.Axpby(v, l.fresh, t, l.keep)
	if l.a == nil {
		simd.Sqrt(t, v)
	} else {
		a := b.Of(l.a)
		simd.Axpby(a, l.fresh, b.U, l.keep)
		simd.Mul(t, a, a)
		simd.Sub(t, v, t)
		simd.ReLU(t, t)
		simd.Sqrt(t, t)
	}
	if l.correct {
		simd.Scale(t, t, l.inv)
	}
	simd.AddScalar(t, t, l.e)
	simd.Div(b.U, b.U, t)
}

func specRMSprop[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "rmsprop", Title: "RMSprop",
		Formula: "g ← g + λ p\nv ← α v + (1−α) g²\nd ← g / (√v + ε)      centred: √(v−a²) with a ← α a + (1−α) g\nb ← μ b + d\np ← p − lr·b",
		Paper:   "Tieleman and Hinton, Lecture 6.5: RMSprop, Coursera 2012; centred: Graves, arXiv:1308.0850",
		When:    "Recurrent networks and reinforcement learning; Adam without the mean.",
		WhenNot: "The first steps are longer than lr, by 1/√(1−α): warm up, or use adam.",
		Settings: []Setting{
			rate(0.001),
			{Name: "alpha", Default: 0.99, Min: 0, Max: 1, OpenMax: true, Doc: "α, decay of the mean of the squares"},
			epsilon(1e-8),
			{Name: "momentum", Default: 0, Min: 0, Max: 1, OpenMax: true, Schedulable: true, Doc: "μ, the part of the accumulated update that is kept"},
			{Name: "centered", Default: 0, Max: 1, Switch: true, Doc: "divides by the standard deviation instead of the root mean square"},
			weightDecay(0, "coupled: λp is added to the gradient, and rescaled with it"),
		},
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: GradientScale | Permutation | Rest | LayerScale,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			scale := NewScaleByRMS[T](env, s["alpha"], s["eps"], s.On("centered"), false)
			var momentum Link[T]
			if mu := k.hyper("momentum"); !mu.zero() {
				momentum = NewMomentum[T](env, mu, 0, false)
			}
			return k.method(k.decay(), scale, momentum, k.descend())
		},
	}
}
