package optim

import (
	"context"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Conjugate is momentum whose coefficient follows the gradients, as in the nonlinear conjugate-gradient method: with
// u the update that comes in,
//
//	b ← u + β b,   u ← b
//	β = min(cap, ‖u‖²/‖u₋₁‖²)                         Fletcher–Reeves
//	β = min(cap, max(0, ⟨u, u − u₋₁⟩/‖u₋₁‖²))         Polak–Ribière, "PR+"
//
// and β = 0 in the first step and at a restart. With smoothing d the products are running means, n ← d n + (1−d)‖u‖²
// from n = ‖u‖² on (⟨u, u₋₁⟩ likewise): single batches say little about ‖∇L‖. The norms are taken over all
// parameters, or tensor by tensor, each with its own β.
//
// Restarts: every Every steps; when the learning rate falls to half or less from one step to the next
// (directions of another scale do not carry over); and, with Uphill, when ⟨b, u⟩ ≤ 0, so that the step
// always leads down the (batch's) loss.
//
// Papers: Fletcher and Reeves, "Function minimization by conjugate gradients", 1964; Polak and Ribière, 1969, with
// Powell's restart; as momentum: Wang and Ye, "Improving deep neural networks' training for image classification
// with nonlinear conjugate gradient-style adaptive momentum", IEEE TNNLS 35, 2024, arXiv:2012.02188. The recursion is
// theirs; cap, scope, smoothing and restarts were not to be had from the paper and are this program's.
//
// Cost: one float a parameter (two for PR+), two or three passes.
// Invariances: β does not change with the scale of the loss. Without cap and restarts Fletcher–Reeves has the closed form
// b = ‖u‖² Σᵢ uᵢ/‖uᵢ‖², and with exact line search on a quadratic both are linear CG: the tests hold them to it.
// Failure: without a cap and with gradient noise β > 1 over and over, and b overflows.
type Conjugate[T tensor.Float] struct {
	o    ConjugateOptions
	rate *Hyper
	b    []T
	last []T // u₋₁, of PR+ alone

	norm, cross  []float64 // running ‖u‖² and ⟨u, u₋₁⟩, by scope
	steps        int64     // since the restart
	rateBefore   float64
	beta         []float64 // of the step
	square, with []float64
}

// ConjugateOptions are the settings of [Conjugate].
type ConjugateOptions struct {
	PolakRibiere bool
	Cap          float64 // largest β
	Smoothing    float64 // d; 0: the norms of this step and the last
	PerTensor    bool    // norms and β for each parameter of the layout
	Every        int     // steps from restart to restart; 0: none
	Uphill       bool    // restart where the direction does not descend
	Drop         bool    // restart where the learning rate falls to half or less
}

// NewConjugate returns the link. rate, which may be nil, is the learning rate that Drop looks at.
func NewConjugate[T tensor.Float](env Env, o ConjugateOptions, rate *Hyper) *Conjugate[T] {
	n, groups := env.Layout.Size(), 1
	if o.PerTensor {
		groups = env.Layout.Len()
	}
	l := &Conjugate[T]{o: o, rate: rate, b: make([]T, n)}
	if o.PolakRibiere {
		l.last = make([]T, n)
	}
	for _, v := range []*[]float64{&l.norm, &l.cross, &l.beta, &l.square, &l.with} {
		*v = make([]float64, groups)
	}
	return l
}

// Name returns "conjugate".
func (*Conjugate[T]) Name() string { return "conjugate" }

// State returns the direction, the norms and what the restarts look at.
func (l *Conjugate[T]) State() State[T] {
	s := State[T]{{Name: "b", Vector: l.b}, {Name: "norm", Double: l.norm}, {Name: "steps", Int: &l.steps}, {Name: "rate", Float: &l.rateBefore}}
	if l.last != nil {
		s = append(s, StateEntry[T]{Name: "last", Vector: l.last}, StateEntry[T]{Name: "cross", Double: l.cross})
	}
	return s
}

// Transform computes the step's β.
func (l *Conjugate[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	restart := l.steps == 0 || l.o.Every > 0 && l.steps >= int64(l.o.Every)
	if l.rate != nil {
		rate := l.rate.At(s.Progress)
		restart = restart || l.o.Drop && rate <= l.rateBefore/2
		l.rateBefore = rate
	}
	first := s.T == 1
	l.sums(s, l.square, sumSquares, s.Update, nil)
	if l.last != nil {
		l.sums(s, l.with, dotProduct, s.Update, l.last)
	}
	d := l.o.Smoothing
	if first {
		d = 0
	}
	for i, square := range l.square {
		before := l.norm[i]
		l.norm[i] = d*before + (1-d)*square
		top := l.norm[i]
		if l.last != nil {
			// The first product of two gradients is that of the second step.
			if s.T == 2 {
				l.cross[i] = l.with[i]
			} else {
				l.cross[i] = d*l.cross[i] + (1-d)*l.with[i]
			}
			top = max(0, l.norm[i]-l.cross[i])
		}
		beta := min(l.o.Cap, top/before)
		if restart || before == 0 || math.IsNaN(beta) {
			beta = 0
		}
		l.beta[i] = beta
	}
	if l.o.Uphill && !restart {
		// ⟨u + β b, u⟩ > 0, or else b begins anew.
		l.sums(s, l.with, dotProduct, s.Update, l.b)
		for i, with := range l.with {
			if l.square[i]+l.beta[i]*with <= 0 {
				l.beta[i] = 0
			}
		}
	}
	if restart {
		l.steps = 0
	}
	l.steps++
	mean := 0.0
	for _, beta := range l.beta {
		mean += beta / float64(len(l.beta))
	}
	s.Log("beta", mean)
	return Continue, nil
}

// sums stores a reduction over all parameters, or over each, in dst.
func (l *Conjugate[T]) sums(s *Stage[T], dst []float64, op reduction, a, b []T) {
	s.run(op, a, b)
	clear(dst)
	for i, at := range s.spans {
		group := 0
		if l.o.PerTensor {
			group = at.param
		}
		dst[group] += s.partial[i]
	}
}

// Begin does nothing.
func (*Conjugate[T]) Begin(*Stage[T]) {}

// Apply replaces the update by the direction.
func (l *Conjugate[T]) Apply(b *Block[T]) {
	beta := l.beta[0]
	if l.o.PerTensor {
		beta = l.beta[b.Param]
	}
	if l.last != nil {
		copy(b.Of(l.last), b.U)
	}
	acc := b.Of(l.b)
	if beta == 0 {
		copy(acc, b.U) // whatever b was, be it infinite
	} else {
		simd.Axpby(acc, 1, b.U, T(beta))
	}
	copy(b.U, acc)
}

// conjugateSettings are those of the momentum itself.
func conjugateSettings() []Setting {
	return []Setting{
		{Name: "cap", Default: 0.99, Min: 0, Max: 1e9, OpenMin: true, Doc: "largest β; above 1 only without gradient noise"},
		{Name: "smoothing", Default: 0, Min: 0, Max: 1, OpenMax: true, Doc: "d, decay of the running means of the products of gradients; 0: this step's alone"},
		{Name: "per-tensor", Min: 0, Max: 1, Switch: true, Doc: "norms and β for each parameter tensor instead of all together"},
		{Name: "restart", Min: 0, Max: 1e9, Integer: true, Doc: "begins anew with β = 0 after so many steps; 0: never"},
		{Name: "restart-uphill", Default: 0, Min: 0, Max: 1, Switch: true, Doc: "begins anew where the direction does not descend the batch's loss"},
		{Name: "restart-at-drop", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "begins anew where the learning rate falls to half or less in one step"},
	}
}

func (k *builder[T]) conjugate(pr bool) Link[T] {
	s := k.s
	return NewConjugate[T](k.env, ConjugateOptions{PolakRibiere: pr, Cap: s["cap"], Smoothing: s["smoothing"], PerTensor: s.On("per-tensor"),
		Every: int(s["restart"]), Uphill: s.On("restart-uphill"), Drop: s.On("restart-at-drop")}, k.hyper("lr"))
}

func conjugateSpec[T tensor.Float](pr bool) func(Env, Settings) (Method[T], error) {
	return func(env Env, s Settings) (Method[T], error) {
		k := newBuilder[T](env, s)
		return k.method(k.decay(), k.conjugate(pr), k.descend())
	}
}

func specFR[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "fr-momentum", Title: "Fletcher–Reeves adaptive momentum",
		Formula: "g ← g + λ p\nβ = min(cap, ‖g‖²/‖g₋₁‖²)      (0 in the first step and at a restart)\nb ← g + β b\np ← p − lr·b",
		Paper:   "Wang and Ye, Improving deep neural networks' training for image classification with nonlinear conjugate gradient-style adaptive momentum, IEEE TNNLS 35, 2024, arXiv:2012.02188 (cap, smoothing and restarts are not from the paper)",
		When:    "Instead of momentum where its coefficient is not to be tuned; ill-conditioned problems with large batches.",
		WhenNot: "Small, noisy batches: β follows the noise (smoothing helps). With a cap above 1 it overflows there.",
		Settings: append([]Setting{rate(0.02), weightDecay(0, "coupled: λp is added to the gradient")},
			conjugateSettings()...),
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: conjugateSpec[T](false),
	}
}

func specPR[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "pr-momentum", Title: "Polak–Ribière adaptive momentum",
		Formula: "g ← g + λ p\nβ = min(cap, max(0, ⟨g, g − g₋₁⟩/‖g₋₁‖²))      (0 in the first step and at a restart)\nb ← g + β b\np ← p − lr·b",
		Paper:   "Polak and Ribière, Note sur la convergence de méthodes de directions conjuguées, 1969, with Powell's β ≥ 0; as momentum after Wang and Ye, arXiv:2012.02188",
		When:    "As fr-momentum; restarts by itself where gradients stop changing.",
		WhenNot: "Small batches: independent noise in two gradients makes β large, not small.",
		Settings: append([]Setting{rate(0.02), weightDecay(0, "coupled: λp is added to the gradient")},
			conjugateSettings()...),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: Permutation | Rest,
		New: conjugateSpec[T](true),
	}
}
