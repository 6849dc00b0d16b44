package objective

import (
	"math"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// TapFisher implements [Fisher]. Cost: one forward pass, and for each backward pass about half of a
// gradient: the products for the inputs of the layers, not those for the weights.
//
// A part of the batch costs that part of it. In training mode, batch normalisation then sees the part alone.
//
// A linear form in the outputs has any seed as its gradient: f = Σ zᵢ·δᵢ/n, with δ held fixed.
func (n *Network[T]) TapFisher(theta []T, signal Signal, part Part, key tensor.Key, tap func(pass int, t Tap[T])) error {
	if all := n.examples(); part.Of(all) < all {
		x, y := n.x, n.y
		defer func() { n.x, n.y = x, y }()
		n.x, n.y = firstOf(x, part.Of(all)), firstTargets(y, part.Of(all), all)
	}
	mode := nn.Training
	if !n.training {
		mode = nn.Evaluating
	}
	z := n.outputs(&n.run, theta, mode, n.x, true)
	if err := n.loss.Check(z.Shape(), n.y); err != nil {
		return err
	}
	one := func(pass int, root autodiff.Var[T]) {
		n.backwardTapped(root, nil, nil, func(t Tap[T]) { tap(pass, t) })
	}
	tape := n.run.tape
	ws := tape.Workspace()
	switch signal {
	case Empirical:
		one(0, n.loss.Apply(z, n.y))
	case Sampled:
		one(0, n.loss.Apply(z, n.loss.Sample(z.Value(), key)))
	case Propagated:
		signs := ws.New(z.Shape())
		for i := range signs.Data() {
			signs.Data()[i] = T(1 - 2*float64(key.Uint64(uint64(i))>>63))
		}
		one(0, n.seeded(z, signs))
	case Exact:
		column := ws.New(z.Shape())
		width := z.Shape().Size() / max(1, n.examples())
		for k := range width {
			mark := tape.Mark()
			clear(column.Data())
			for i := k; i < column.Size(); i += width {
				column.Data()[i] = 1
			}
			one(k, n.seeded(z, column))
			tape.Release(mark)
		}
	}
	return nil
}

// seeded records Σ z·(S v)/√n, whose gradient in z is S v/√n. The loss's root S contains a factor 1/√n,
// the mean's second one is added here.
func (n *Network[T]) seeded(z autodiff.Var[T], v tensor.Tensor[T]) autodiff.Var[T] {
	ws := n.run.tape.Workspace()
	seed := ws.New(z.Shape())
	n.loss.SqrtHessianProduct(z.Value(), v, seed, n.y)
	tensor.Scale(ws, seed, seed, T(1/math.Sqrt(float64(max(1, n.examples())))))
	return autodiff.Dot(z, n.run.tape.Input(seed))
}

// firstOf returns the first k of the batch x.
func firstOf[T tensor.Float](x tensor.Tensor[T], k int) tensor.Tensor[T] {
	s := x.Shape().With(0, k)
	return tensor.Of(x.Data()[:s.Size()], s)
}

// firstTargets returns the targets of the first k of n examples; an example may have several rows of them.
func firstTargets[T tensor.Float](y nn.Target[T], k, n int) nn.Target[T] {
	if y.Labels != nil {
		y.Labels = y.Labels[:len(y.Labels)/n*k]
	}
	if !y.Values.IsZero() && y.Values.Shape().Rank() > 0 {
		y.Values = firstOf(y.Values, y.Values.Shape().Dim(0)/n*k)
	}
	return y
}
