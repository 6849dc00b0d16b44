package curvature

import (
	"context"
	"errors"
	"fmt"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Sophia divides a running mean of the gradients by a running estimate of the curvature's diagonal and cuts each element
// at 1, so that a step is nowhere longer than the learning rate:
//
//	every k updates:   h ← β₂ h + (1−β₂) ĥ
//	                   ĥ = B·ĝ∘ĝ      ĝ: gradient of the batch's mean loss for targets drawn from the model, B examples   (G)
//	                   ĥ = z∘(H z)    z: independent signs ±1, H: the Hessian of the batch's loss                        (H)
//	m ← β₁ m + (1−β₁) u
//	u ← clip( m/max(ρ h, ε), ±1 )
//
// E[B·ĝ∘ĝ] is the diagonal of the Gauss–Newton matrix of the batch, since ĝ has mean zero; E[z∘(Hz)] is that of H. The report has the
// win rate, the part of the elements that is not cut (see [Sophia.WinRate]).
//
// Paper: Liu, Li, Hall, Liang and Ma, "Sophia: a scalable stochastic second-order optimizer for language model pre-training",
// ICLR 2024. Deviations: ε under the maximum is 10⁻¹⁵ there, a setting here. A function without a predictive distribution gives
// ĝ = u, the batch's own gradient: the empirical diagonal.
//
// Cost: two floats a parameter and a temporary; every k updates a gradient (G) or a product with H (H).
// Invariances: relabelling of the coordinates (G on functions without a distribution). Not the gradient's scale: h scales with its
// square for G, so that ρ depends on the loss's scale.
// Failure: near a minimum h vanishes with the curvature and the method takes the sign of m. A negative h (H, where the loss is
// concave) counts as ε: sign steps. Where gradients are accumulated the estimate is of the last batch alone.
//
// An estimate that is not finite is left out and counted.
type Sophia[T tensor.Float] struct {
	o       SophiaOptions
	m, h    []T
	v, z    []T // temporaries: ĥ; z of H
	key     tensor.Key
	drawn   int64
	refused int64

	won                 []int64 // elements not cut, by block
	keep, fresh, rho, e T
}

// SophiaOptions are the constants of [Sophia].
type SophiaOptions struct {
	Beta1, Beta2 float64
	Rho          *optim.Hyper // ρ
	Eps          float64
	Every        int  // k
	Hutchinson   bool // H, not G
}

// NewSophia returns the link.
func NewSophia[T tensor.Float](env optim.Env, o SophiaOptions) *Sophia[T] {
	n := env.Layout.Size()
	s := &Sophia[T]{o: o, m: make([]T, n), h: make([]T, n), v: make([]T, n), key: tensor.KeyOf(0).Named("sophia")}
	if o.Hutchinson {
		s.z = make([]T, n)
	}
	return s
}

// Name returns "sophia".
func (*Sophia[T]) Name() string { return "sophia" }

// WinRate returns a link, to stand behind this one, that reports the part of the elements that was not cut.
func (l *Sophia[T]) WinRate() optim.Link[T] {
	return optim.Do[T](func(_ context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
		sum := int64(0)
		for _, n := range l.won {
			sum += n
		}
		s.Log("win-rate", float64(sum)/float64(max(1, len(s.Update))))
		if l.refused > 0 {
			s.Log("refused-estimates", float64(l.refused))
		}
		return optim.Continue, nil
	})
}

// Hypers returns ρ.
func (l *Sophia[T]) Hypers() []*optim.Hyper { return []*optim.Hyper{l.o.Rho} }

// State returns the means and the counters.
func (l *Sophia[T]) State() optim.State[T] {
	return optim.State[T]{{Name: "m", Vector: l.m}, {Name: "h", Vector: l.h}, {Name: "drawn", Int: &l.drawn}, {Name: "refused", Int: &l.refused}}
}

// Transform renews h if that is due.
func (l *Sophia[T]) Transform(ctx context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	if (s.T-1)%int64(l.o.Every) != 0 {
		return optim.Continue, nil
	}
	if err := l.estimate(ctx, s); err != nil {
		return optim.Skip, err
	}
	l.drawn++
	if !simd.AllFinite(l.v) {
		l.refused++
		return optim.Continue, nil
	}
	simd.Axpby(l.h, T(1-l.o.Beta2), l.v, T(l.o.Beta2))
	return optim.Continue, nil
}

// estimate stores ĥ in v.
func (l *Sophia[T]) estimate(ctx context.Context, s *optim.Stage[T]) error {
	key := l.key.Fold(uint64(l.drawn))
	if l.o.Hutchinson {
		return hutchinson(s, key, l.z, l.v, "sophia-h")
	}
	err := s.Objective.SampledGradient(ctx, key, l.v)
	if errors.Is(err, objective.ErrUnsupported) {
		copy(l.v, s.Update)
		err = nil
	}
	simd.Mul(l.v, l.v, l.v)
	simd.Scale(l.v, l.v, T(max(1, s.Progress.Batch)))
	return err
}

// hutchinson stores z∘(Hz) in v, for signs z that key decides: an unbiased estimate of the Hessian's diagonal.
func hutchinson[T tensor.Float](s *optim.Stage[T], key tensor.Key, z, v []T, method string) error {
	for i := range z {
		z[i] = T(1 - 2*float64(key.Uint64(uint64(i))>>63))
	}
	err := s.Objective.HVP(z, v)
	if errors.Is(err, objective.ErrUnsupported) {
		return fmt.Errorf("curvature: %s needs products with the Hessian: %w\nhint: use it on a network (objective.Network), or a method that needs gradients only (adam)", method, err)
	}
	simd.Mul(v, v, z)
	return err
}

// Begin computes the step's constants and prepares the count of the win rate.
func (l *Sophia[T]) Begin(s *optim.Stage[T]) {
	l.keep, l.fresh = T(l.o.Beta1), T(1-l.o.Beta1)
	l.rho, l.e = T(l.o.Rho.At(s.Progress)), T(l.o.Eps)
	if l.won == nil {
		l.won = make([]int64, s.Blocks())
	}
}

// Apply replaces the update by the cut quotient.
func (l *Sophia[T]) Apply(b *optim.Block[T]) {
	m, d := b.Of(l.m), b.Scratch(0)
	simd.Axpby(m, l.fresh, b.U, l.keep)
	simd.Scale(d, b.Of(l.h), l.rho)
	simd.AddScalar(d, d, -l.e)
	simd.ReLU(d, d)
	simd.AddScalar(d, d, l.e) // max(ρh, ε)
	simd.Div(b.U, m, d)
	won := int64(0)
	for i, u := range b.U {
		switch {
		case u >= 1:
			b.U[i] = 1
		case u <= -1:
			b.U[i] = -1
		default:
			won++
		}
	}
	l.won[b.Index] = won
}
