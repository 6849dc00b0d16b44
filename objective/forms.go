package objective

import (
	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Forms is a Function that gives inner products in the metric of its generalised Gauss–Newton matrix C more cheaply than by
// products with C: v₁ᵀ C v₂ = (J v₁)ᵀ Hₒ (J v₂) needs no backward pass.
type Forms[T tensor.Float] interface {
	// GGNForms stores vᵢᵀ C vⱼ in out[i*k+j], for the k vectors of vs.
	GGNForms(theta []T, vs [][]T, out []float64) error
}

// GGNForms stores vᵢᵀ C vⱼ in out[i*k+j], for the k vectors of vs, with C the generalised Gauss–Newton matrix at the current
// parameters. Sums are taken in double precision. Where the function is not [Forms], products with C are taken; where it has
// neither, the error wraps [ErrUnsupported]. Each vector counts as a product.
func (o *Objective[T]) GGNForms(vs [][]T, out []float64) error {
	k := len(vs)
	if f, ok := o.fn.(Forms[T]); ok {
		o.counts.Products += int64(k)
		return f.GGNForms(o.params, vs, out)
	}
	product := make([]T, len(o.params))
	for j, v := range vs {
		if err := o.GGNVP(v, product); err != nil {
			return err
		}
		for i, u := range vs {
			out[i*k+j] = tensor.DotDouble(tensor.FromSlice(u, len(u)), tensor.FromSlice(product, len(product)))
		}
	}
	return nil
}

// GGNForms implements [Forms] by one forward-mode product with the recorded model a vector. Cost: after the recording, about
// half an evaluation with gradient a vector. A penalty adds λ ⟨vᵢ, vⱼ⟩ over the weights.
func (n *Network[T]) GGNForms(theta []T, vs [][]T, out []float64) error {
	r, err := n.record(theta)
	if err != nil {
		return err
	}
	mark := r.tape.Mark()
	defer r.tape.Release(mark)
	k, ws := len(vs), r.tape.Workspace()
	// The first products stay on the tape while the later ones are taken.
	outputs := make([]tensor.Tensor[T], k)
	for i, v := range vs {
		outputs[i] = r.tape.JVP([]autodiff.Var[T]{r.z}, r.pass.Params(), r.enter(n.Layout(), v))[0].Value()
	}
	h := ws.New(r.z.Shape())
	for j := range vs {
		n.loss.HessianProduct(r.z.Value(), outputs[j], h, n.y)
		for i := range j + 1 {
			f := tensor.DotDouble(outputs[i], h) + n.penaltyForm(vs[i], vs[j])
			out[i*k+j], out[j*k+i] = f, f
		}
	}
	return nil
}

// penaltyForm returns λ ⟨u, v⟩ over the weights.
func (n *Network[T]) penaltyForm(u, v []T) float64 {
	if n.penalty == 0 {
		return 0
	}
	sum, l := 0.0, n.Layout()
	for i := range l.Len() {
		if l.At(i).Kind == nn.Weight {
			sum += tensor.DotDouble(nn.View(l, u, i), nn.View(l, v, i))
		}
	}
	return n.penalty * sum
}
