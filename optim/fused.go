package optim

import (
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// fuse replaces the tail of a chain by one loop where there is one for it:
//
//	ScaleByAdam [Decay] Descend  →  fusedAdam
//	Momentum Descend             →  fusedMomentum
//
// The state stays in the links that were given.
func fuse[T tensor.Float](links []Link[T]) []Link[T] {
	n := len(links)
	if n < 2 {
		return links
	}
	descend, ok := links[n-1].(*Descend[T])
	if !ok {
		return links
	}
	if m, ok := links[n-2].(*Momentum[T]); ok {
		return append(append([]Link[T]{}, links[:n-2]...), &fusedMomentum[T]{Momentum: m, descend: descend})
	}
	var decay *Decay[T]
	at := n - 2
	if decay, ok = links[at].(*Decay[T]); ok && at > 0 {
		at--
	}
	if a, ok := links[at].(*ScaleByAdam[T]); ok && a.max == nil {
		return append(append([]Link[T]{}, links[:at]...), &fusedAdam[T]{ScaleByAdam: a, decay: decay, descend: descend})
	}
	return links
}

// fusedMomentum is Momentum and Descend in one loop.
type fusedMomentum[T tensor.Float] struct {
	*Momentum[T]
	descend *Descend[T]
	c       simd.MomentumCoef[T]
}

func (f *fusedMomentum[T]) Begin(s *Stage[T]) {
	f.Momentum.Begin(s)
	f.descend.Begin(s)
	f.c = simd.MomentumCoef[T]{Mu: f.m, OneMinusDamp: f.fresh, LR: f.descend.r, Nesterov: f.nesterov}
}

func (f *fusedMomentum[T]) Apply(b *Block[T]) {
	c := f.c
	c.LR = f.descend.rateOf(b.Param)
	simd.Momentum(b.P, b.U, b.Of(f.b), c)
}

// fusedAdam is ScaleByAdam, Decay and Descend in one loop.
type fusedAdam[T tensor.Float] struct {
	*ScaleByAdam[T]
	decay   *Decay[T] // nil: none
	descend *Descend[T]
}

func (f *fusedAdam[T]) Begin(s *Stage[T]) {
	f.ScaleByAdam.Begin(s)
	if f.decay != nil {
		f.decay.Begin(s)
	}
	f.descend.Begin(s)
}

func (f *fusedAdam[T]) Apply(b *Block[T]) {
	c := f.c
	rate := f.descend.rateOf(b.Param)
	c.StepSize *= rate
	c.Decay = rate * f.decay.coefficient(b.Param)
	simd.Adam(b.P, b.U, b.Of(f.m), b.Of(f.v), c)
}
