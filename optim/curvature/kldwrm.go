package curvature

import (
	"context"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Wake regularises a step by the models of the past (KLD-WRM): s_k minimises
//
//	g_kᵀs + ½ sᵀB_k s + λ Σ_{i≤k} ρ^{k−i} ½ (θ_k+s−θ_i)ᵀ F_i (θ_k+s−θ_i)
//
// each term of the sum being the second-order divergence of the new model from that of step i. With
//
//	F̄_k = Σ ρ^{k−i} F_i,    c_k = Σ ρ^{k−i} F_i (θ_k − θ_i)
//
// the step is (B_k + λF̄_k) s_k = −(g_k + λc_k), and c_{k+1} = ρ (c_k + F̄_k s_k). For B_k = ωF̄_k (Q; SO is ω = 0) both are one
// solution with F̄_k, and the product F̄_k s_k is known without one. Two links around a preconditioner do it, with w = λc and
// lr = 1/(ω+λ):
//
//	front:     r = g + w,    u ← r
//	between:   u ← F̄⁻¹ u                        any preconditioner, with damping: the same one solves and multiplies
//	back:      ν = min(1, √(κ/(lr² ⟨u, r⟩))),   u ← ν u
//	           w ← ρ ( w − ν σ r ),             σ = λ/(ω+λ)
//
// For SO and ν = 1 that is w = −ρ g_k: the preconditioner meets the difference g_k − ρ g_{k−1}. For ρ = 0 it is the natural gradient,
// and F̄ proper has the decay ρ in its averages. F̄ of a weight-tracked average is (1−ρ) times that of the formula, which lr absorbs.
//
// Paper: Puiu, "Rethinking exponential averaging of the Fisher", ECML-PKDD 2022, arXiv:2204.04718. Deviations: ρ of the wake is not
// tied to the decay of the factors' averages, which have statistics in every T₁-th update only; the shortened step enters c as
// shortened. Weight decay belongs before the front link, into g: a decoupled one moves the parameters behind the wake's back.
//
// A change of lr changes λ, and w = λc by the same factor: changes of up to a tenth an update rescale w; others set it to 0.
// A step that was refused behind the front link (a preconditioned gradient that is not finite) sets it to 0 too. A batch that was skipped
// before is as if it had not been: it leaves no term in the sum.
//
// Cost: a vector and a temporary, besides the preconditioner.
// Invariances: none by itself.
// Failure: the difference amplifies the noise of the gradients, to (1+ρ²) times the variance, while what is common to them passes with
// the factor 1−ρ: large batches, or a small ρ.
type Wake[T tensor.Float] struct {
	rate  *optim.Hyper
	rho   *optim.Hyper
	share float64 // σ
	clip  float64 // κ

	w        []T
	r        []T     // of the step in progress
	last     float64 // lr that w belongs to
	open     int64   // 1 between front and back
	restarts int64
}

// NewWake returns the front link; its [Wake.Back] belongs behind the preconditioner. rho is ρ, omega is ω/λ (0: SO), and clip is κ
// (0: off), which the preconditioner itself must then not have.
func NewWake[T tensor.Float](env optim.Env, rate, rho *optim.Hyper, omega, clip float64) *Wake[T] {
	n := env.Layout.Size()
	return &Wake[T]{rate: rate, rho: rho, share: 1 / (1 + omega), clip: clip, w: make([]T, n), r: make([]T, n)}
}

// Name returns "wake".
func (*Wake[T]) Name() string { return "wake" }

// Hypers returns ρ.
func (l *Wake[T]) Hypers() []*optim.Hyper { return []*optim.Hyper{l.rho} }

// State returns w = λc, the rate that it belongs to, and the counters.
func (l *Wake[T]) State() optim.State[T] {
	return optim.State[T]{{Name: "w", Vector: l.w}, {Name: "rate", Float: &l.last}, {Name: "open", Int: &l.open}, {Name: "restarts", Int: &l.restarts}}
}

// rescaled is the largest relative change of the rate in an update that keeps the wake.
const rescaled = 0.1

// Transform is the front: u ← r = g + w.
func (l *Wake[T]) Transform(_ context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	rate := l.rate.At(s.Progress)
	if rate != l.last {
		if ratio := l.last / rate; math.Abs(ratio-1) <= rescaled {
			simd.Scale(l.w, l.w, T(ratio))
		} else {
			l.restart()
		}
		l.last = rate
	}
	if l.open != 0 {
		l.restart()
	}
	simd.Add(s.Update, s.Update, l.w)
	copy(l.r, s.Update)
	l.open = 1
	s.Changed()
	return optim.Continue, nil
}

func (l *Wake[T]) restart() {
	for _, v := range l.w {
		if v != 0 {
			l.restarts++
			break
		}
	}
	clear(l.w)
}

// Back returns the link behind the preconditioner.
func (l *Wake[T]) Back() optim.Link[T] { return wakeBack[T]{l} }

// wakeBack shortens the step and moves the wake. Its state is that of the front.
type wakeBack[T tensor.Float] struct{ *Wake[T] }

// Name returns "wake-back".
func (wakeBack[T]) Name() string { return "wake-back" }

// State returns nothing: it is the front's.
func (wakeBack[T]) State() optim.State[T] { return nil }

// Transform clips u and moves w.
func (b wakeBack[T]) Transform(_ context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	l := b.Wake
	inner := s.Dot(s.Update, l.r)
	if math.IsNaN(inner) || math.IsInf(inner, 0) {
		return optim.Skip, nil // the front will find the step open
	}
	nu := 1.0
	if size := l.last * l.last * inner; l.clip > 0 && size > l.clip {
		nu = math.Sqrt(l.clip / size)
		simd.Scale(s.Update, s.Update, T(nu))
		s.Changed()
	}
	rho := l.rho.At(s.Progress)
	simd.Axpby(l.w, T(-rho*nu*l.share), l.r, T(rho))
	l.open = 0
	s.Log("wake-clip", nu)
	if l.restarts > 0 {
		s.Log("wake-restarts", float64(l.restarts))
	}
	return optim.Continue, nil
}
