package optim

import (
	"context"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// TrustRatio gives each parameter a step in proportion to its norm:
//
//	u ← η ‖p‖/‖u‖ · u                        decay is nil (LAMB, with η = 1: comes after the decay)
//	u ← η ‖p‖/(‖u‖ + λ‖p‖) · (u + λ p)       with decay λ (LARS)
//
// norms over one parameter. Where a norm is 0, and for biases and the parameters of normalisation, λ is 0 and the
// quotient of the norms counts as 1: u ← η u.
//
// Papers: You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017 (LARS); You et al.,
// "Large batch optimization for deep learning: training BERT in 76 minutes", 2020 (LAMB), with φ(z) = z. Deviations:
// the papers do not say what happens to biases and normalisation. Leaving them out is common practice; that η stays
// is not (programs give them the whole learning rate, with which a bias diverges at the rates LARS wants elsewhere).
//
// Cost: no memory, three passes.
// Invariances: the step of a layer does not depend on the scale of its gradient, and a layer scaled by c gets
// a step scaled by c.
// Failure: a layer that starts at zero has ratio η.
type TrustRatio[T tensor.Float] struct {
	eta   float64
	decay *Hyper
	on    []bool

	lambda    float64
	p2, u2    []float64 // squared norms by parameter
	ratio     []float64
	withDecay bool
}

// NewTrustRatio returns the link. eta is η; decay nil gives the first form.
func NewTrustRatio[T tensor.Float](env Env, eta float64, decay *Hyper) *TrustRatio[T] {
	n := env.Layout.Len()
	scaled := func(k nn.Kind) bool { return DecayedKind(k) || k == nn.Other }
	return &TrustRatio[T]{eta: eta, decay: decay, withDecay: decay != nil, on: kinds(env.Layout, scaled),
		p2: make([]float64, n), u2: make([]float64, n), ratio: make([]float64, n)}
}

// Name returns "trust".
func (*TrustRatio[T]) Name() string { return "trust" }

// Hypers returns the decay.
func (l *TrustRatio[T]) Hypers() []*Hyper {
	if l.decay == nil {
		return nil
	}
	return []*Hyper{l.decay}
}

// State returns nothing: the link keeps none.
func (*TrustRatio[T]) State() State[T] { return nil }

// Transform computes the ratios.
func (l *TrustRatio[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	if l.decay != nil {
		l.lambda = l.decay.At(s.Progress)
	}
	s.TensorSquares(l.p2, s.Params)
	s.TensorSquares(l.u2, s.Update)
	for i := range l.ratio {
		p, u := math.Sqrt(l.p2[i]), math.Sqrt(l.u2[i])
		switch {
		case !l.on[i] || p == 0 || u == 0:
			l.ratio[i] = l.eta
		case l.withDecay:
			l.ratio[i] = l.eta * p / (u + l.lambda*p)
		default:
			l.ratio[i] = l.eta * p / u
		}
	}
	return Continue, nil
}

// Begin does nothing.
func (*TrustRatio[T]) Begin(*Stage[T]) {}

// Apply scales the update.
func (l *TrustRatio[T]) Apply(b *Block[T]) {
	if l.lambda != 0 && l.on[b.Param] {
		simd.Axpy(b.U, T(l.lambda), b.P)
	}
	if r := l.ratio[b.Param]; r != 1 {
		simd.Scale(b.U, b.U, T(r))
	}
}

func specLARS[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "lars", Title: "LARS",
		Formula: "per layer:  r = η ‖p‖ / (‖g‖ + λ‖p‖)      (r = η and λ = 0 for biases and normalisation)\nb ← μ b + lr·r·(g + λ p)\np ← p − b",
		Paper:   "You, Gitman and Ginsburg, Large batch training of convolutional networks, arXiv:1708.03888",
		When:    "Batches of thousands on convolutional networks, with warm-up and a polynomial schedule.",
		WhenNot: "Small batches: tuned momentum does as well. lr is large (1 and more), since η makes the steps short.",
		Settings: []Setting{
			rate(1),
			{Name: "momentum", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Schedulable: true, Doc: "μ, the part of the accumulated step that is kept"},
			{Name: "trust", Default: 0.001, Min: 0, Max: 10, OpenMin: true, Log: true, Doc: "η, the part of a layer's norm that a step of rate 1 may change"},
			weightDecay(0, "coupled, inside the trust ratio"),
		},
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: LayerScale | Rest | Permutation,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(NewTrustRatio[T](env, s["trust"], k.hyper("weight-decay")),
				NewScaleByRate[T](k.hyper("lr")), NewMomentum[T](env, k.hyper("momentum"), 0, false), NewDescend[T](Fixed("", 1)))
		},
	}
}

func specLAMB[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "lamb", Title: "LAMB",
		Formula:      adamFormula + "u = m/(1−β₁ᵗ) / (√v/√(1−β₂ᵗ) + ε) + λ p\nper layer:  p ← p − lr · ‖p‖/‖u‖ · u      (ratio 1, and λ = 0, for biases and normalisation)",
		Paper:        "You et al., Large batch optimization for deep learning: training BERT in 76 minutes, ICLR 2020, arXiv:1904.00962",
		When:         "Batches of thousands on transformers.",
		WhenNot:      "Small batches: adamw does as well. Layers that start at zero.",
		Settings:     append(append([]Setting{rate(0.005)}, betas(0.9, 0.999, 1e-6)...), weightDecay(0.01, "decoupled, inside the trust ratio")),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: GradientScale | LayerScale | Rest | Permutation,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.method(NewScaleByAdam[T](env, s["beta1"], s["beta2"], s["eps"], false), k.decay(), NewTrustRatio[T](env, 1, nil), k.descend())
		},
	}
}
