package curvature

import (
	"math"

	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Step says how far a method goes along the preconditioned gradient. It is one of [FixedStep], [ModelStep], [ModelRate] and
// [ModelMomentum]: only the first has a clip, since the others know the length of the step.
type Step interface{ step() }

// FixedStep takes rate and momentum as they are given, the regime of small batches. Momentum nil is none, Clip nil is none.
type FixedStep struct {
	Rate, Momentum *optim.Hyper
	Clip           Clip
}

// ModelStep takes the rate and the momentum at which the quadratic model is least; see [Quadratic].
type ModelStep struct{}

// ModelRate takes a momentum as it is given and the rate at which the quadratic model is least.
type ModelRate struct{ Momentum *optim.Hyper }

// ModelMomentum takes a rate as it is given and the momentum at which the quadratic model is least.
type ModelMomentum struct{ Rate *optim.Hyper }

func (FixedStep) step()     {}
func (ModelStep) step()     {}
func (ModelRate) step()     {}
func (ModelMomentum) step() {}

// Clip bounds the preconditioned gradient U before the momentum accumulates it. It is one of [KLClip], [NormClip] and
// [LayerClip].
type Clip interface{ clip() }

// KLClip bounds the step in the metric of the curvature: ν = min(1, √(κ/(lr²·Σ_l ⟨U_l, ∇_l⟩))). The sum is about twice the
// Kullback–Leibler divergence between the predictions before and after. It is also the norm constraint of Ba, Grosse
// and Martens, 2017, and while it is active lr drops out of the step, which is proportional to √κ.
type KLClip float64

// NormClip bounds the Euclidean length of the step, whatever the loss is scaled by: ν = min(1, c/(lr·‖U‖)).
type NormClip float64

// LayerClip bounds the root mean square of each block's own direction: ν_l = min(1, c/(‖U_l‖/√n_l)), n_l numbers. The
// learning rate comes on top.
type LayerClip float64

func (KLClip) clip()    {}
func (NormClip) clip()  {}
func (LayerClip) clip() {}

// klScale returns ν of a [KLClip].
func klScale(c KLClip, lr, inner float64) float64 {
	if size := lr * lr * inner; size > float64(c) {
		return math.Sqrt(float64(c) / size)
	}
	return 1
}

// bound shrinks u, the preconditioned gradient, as the step's clip says, and logs by how much; inner is ⟨u, ∇⟩.
func (k *Preconditioner[T]) bound(s *optim.Stage[T], inner float64) {
	fixed, ok := k.o.Step.(FixedStep)
	if !ok || fixed.Clip == nil {
		return
	}
	lr, nu := fixed.Rate.At(s.Progress), 1.0
	switch c := fixed.Clip.(type) {
	case KLClip:
		nu = klScale(c, lr, inner)
		s.Log("kl-clip", nu)
	case NormClip:
		s.Changed()
		if size := lr * s.Norm(); size > float64(c) {
			nu = float64(c) / size
		}
		s.Log("norm-clip", nu)
	case LayerClip:
		s.Log("layer-clip", k.boundLayers(s.Update, float64(c)))
	}
	if nu < 1 {
		u := tensor.FromSlice(s.Update, len(s.Update))
		tensor.Scale(k.ws, u, u, T(nu))
	}
}

// boundLayers applies a [LayerClip] and returns the least ν_l.
func (k *Preconditioner[T]) boundLayers(u []T, c float64) float64 {
	least := 1.0
	one := func(parts ...[]T) {
		squares, n := 0.0, 0
		for _, v := range parts {
			x := tensor.FromSlice(v, len(v))
			squares += tensor.DotDouble(x, x)
			n += len(v)
		}
		nu := c / math.Sqrt(squares/float64(n))
		if !(nu < 1) {
			return
		}
		least = min(least, nu)
		for _, v := range parts {
			x := tensor.FromSlice(v, len(v))
			tensor.Scale(k.ws, x, x, T(nu))
		}
	}
	for _, b := range k.blocks {
		one(u[b.place.weight:b.place.weight+b.weightLen], u[b.bias:b.bias+b.biasLen])
	}
	for _, p := range k.rest {
		one(u[p.at : p.at+len(p.d)])
	}
	return least
}
