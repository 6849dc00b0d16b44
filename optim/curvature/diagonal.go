package curvature

import (
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// diagonal is the curvature of a parameter without a block: a weight-tracked mean d of squared gradients. By default that is N g², with g the gradient of
// the mean over N examples, which estimates E[(∂ℓ/∂p)²] where the noise outweighs the mean; with exact diagonals it is
// the mean over the examples of (∂ℓᵢ/∂p)² itself.
type diagonal[T tensor.Float] struct {
	name   string
	at     int
	d      []T
	weight float64
}

func (p *diagonal[T]) state() optim.State[T] {
	return optim.State[T]{{Name: p.name + ".diagonal", Vector: p.d}, {Name: p.name + ".weight", Float: &p.weight}}
}

// add moves the average by N g², for the gradient u of the mean over N examples.
func (p *diagonal[T]) add(ws *tensor.Workspace[T], u []T, examples int, decay float64) {
	mark := ws.Mark()
	defer ws.Release(mark)
	g, d := tensor.FromSlice(u[p.at:p.at+len(p.d)], len(p.d)), tensor.FromSlice(p.d, len(p.d))
	t := ws.New(g.Shape())
	tensor.Mul(ws, t, g, g)
	tensor.Axpby(ws, d, T(max(1, examples)), t, T(decay))
	p.weight = decay*p.weight + 1
}

// addSquares moves the average by scale times the squares. It reports false, and changes nothing, if they are not finite.
func (p *diagonal[T]) addSquares(ws *tensor.Workspace[T], squares []T, scale, decay float64) bool {
	v, d := tensor.FromSlice(squares[p.at:p.at+len(p.d)], len(p.d)), tensor.FromSlice(p.d, len(p.d))
	if !tensor.AllFinite(v) {
		return false
	}
	tensor.Axpby(ws, d, T(scale), v, T(decay))
	p.weight = decay*p.weight + 1
	return true
}

// apply replaces the parameter's part of u, its gradient, by u/(d + λ). It returns their inner product.
func (p *diagonal[T]) apply(ws *tensor.Workspace[T], u []T, lambda float64) float64 {
	mark := ws.Mark()
	defer ws.Release(mark)
	n := len(p.d)
	g := tensor.FromSlice(u[p.at:p.at+n], n)
	old, t := ws.New(g.Shape()), ws.New(g.Shape())
	tensor.Copy(ws, old, g)
	scale := 0.0
	if p.weight > 0 {
		scale = 1 / p.weight
	}
	tensor.Scale(ws, t, tensor.FromSlice(p.d, n), T(scale))
	tensor.AddScalar(ws, t, t, T(lambda))
	tensor.Div(ws, g, g, t)
	return float64(tensor.Dot(ws, old, g))
}
