package curvature

import (
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// ApplyPreconditioner replaces v by M v, with M the inverse of the damped curvature as it stands, without the clip. It
// implements [optim.Preconditions]: it reports false until a block has been inverted.
func (k *Preconditioner[T]) ApplyPreconditioner(v []T, p objective.Progress) bool {
	if k.updates == 0 {
		return false
	}
	mark := k.ws.Mark()
	defer k.ws.Release(mark)
	lambda := k.damping(p) * k.o.Multiplier
	for _, b := range k.blocks {
		b.apply(k.ws, v, lambda)
	}
	for _, d := range k.rest {
		d.divide(k.ws, v, lambda)
	}
	return true
}

// divide replaces the parameter's part of v by v/(d + λ), with the average as it stands.
func (p *diagonal[T]) divide(ws *tensor.Workspace[T], v []T, lambda float64) {
	if p.weight == 0 {
		return
	}
	mark := ws.Mark()
	defer ws.Release(mark)
	n := len(p.d)
	t := ws.New(tensor.ShapeOf(n))
	tensor.Scale(ws, t, tensor.FromSlice(p.d, n), T(1/p.weight))
	tensor.AddScalar(ws, t, t, T(lambda))
	g := tensor.FromSlice(v[p.at:p.at+n], n)
	tensor.Div(ws, g, g, t)
}

// Inner returns the chain whose damping is adapted.
func (m *LevenbergMarquardt[T]) Inner() optim.Method[T] { return m.inner }
