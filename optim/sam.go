package optim

import (
	"context"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Sharpness replaces the gradient by the one at the worst point nearby (sharpness-aware minimization):
//
//	e = ρ g/‖g‖,   u ← ∇L(p + e)        on the same batch
//
// It is the first link of a chain, so that what follows is the inner method. A zero gradient is left as it
// is. Where gradients are accumulated each small batch has its own e, so that the sum is not that of the large
// batch (the paper's m-sharpness).
//
// Paper: Foret et al., "Sharpness-aware minimization for efficiently improving generalization", 2021. Deviations:
// none (programs add 10⁻¹² to ‖g‖).
//
// Cost: one float a parameter; two gradients a step. Batch normalisation sees the batch twice.
// Invariances: e does not depend on the gradient's scale.
// Failure: for a large ρ the second gradient says little about the first point.
type Sharpness[T tensor.Float] struct {
	rho float64
	w   []T // p + e
}

// NewSharpness returns the link; rho is ρ.
func NewSharpness[T tensor.Float](env Env, rho float64) *Sharpness[T] {
	return &Sharpness[T]{rho: rho, w: make([]T, env.Layout.Size())}
}

// Name returns "sharpness".
func (*Sharpness[T]) Name() string { return "sharpness" }

// State returns nothing: the link keeps none.
func (*Sharpness[T]) State() State[T] { return nil }

// Transform evaluates the second gradient.
func (l *Sharpness[T]) Transform(ctx context.Context, s *Stage[T]) (Verdict, error) {
	norm := s.Norm()
	if norm == 0 || l.rho == 0 {
		return Continue, nil
	}
	copy(l.w, s.Params)
	simd.Axpy(l.w, T(l.rho/norm), s.Update)
	loss, err := s.Objective.GradientAt(ctx, l.w, s.Update)
	if err != nil {
		return Skip, err
	}
	s.known = false
	if !finite(loss) || !finite(s.Norm()) {
		return Skip, nil
	}
	s.Log("sharpness", loss-s.Loss)
	return Continue, nil
}

func specSAM[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "sam", Title: "Sharpness-aware minimization (on momentum)",
		Formula: "e = ρ g(p)/‖g(p)‖\ng' = g(p + e) + λ p      on the same batch\nb ← μ b + g'\np ← p − lr·b",
		Paper:   "Foret et al., Sharpness-aware minimization for efficiently improving generalization, ICLR 2021, arXiv:2010.01412",
		When:    "Images and small data, where generalisation is worth twice the time.",
		WhenNot: "When time is short; where the training loss is still high.",
		Settings: append([]Setting{{Name: "rho", Default: 0.05, Min: 0, Max: 10, Log: true, Doc: "ρ, distance of the point whose gradient is used"}},
			momentumSettings(0.9, 0.02)...),
		MemoryFloats: 2, GradientsPerStep: 2, Invariances: Permutation | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			k.before = append(k.before, NewSharpness[T](env, s["rho"]))
			return k.method(k.decay(), NewMomentum[T](env, k.hyper("momentum"), s["dampening"], false), k.descend())
		},
	}
}
