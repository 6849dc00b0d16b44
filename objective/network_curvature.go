package objective

import (
	"fmt"
	"slices"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// recording is the computation that products are taken with: the forward pass at one theta, and for
// Hessian products its recorded gradient. It has a tape of its own, so that evaluations between two
// products do not disturb it, and is made once a (theta, batch), however many products follow.
type recording[T tensor.Float] struct {
	evaluation[T]
	theta, state []T // copies of what was recorded at
	valid        bool
	z, loss      autodiff.Var[T]
	gradient     []autodiff.Var[T] // nil if not recorded yet
	tangents     []autodiff.Var[T]
}

// record makes the recording at theta, unless it is there.
func (n *Network[T]) record(theta []T) (*recording[T], error) {
	r := &n.recorded
	if r.valid && slices.Equal(r.theta, theta) && slices.Equal(r.state, n.state) {
		return r, nil
	}
	if r.tape == nil {
		r.evaluation = newEvaluation(n.model, n.pool)
		r.theta, r.state = make([]T, n.Layout().Size()), make([]T, len(n.state))
		r.tangents = make([]autodiff.Var[T], n.Layout().Len())
	}
	if len(theta) != len(r.theta) {
		panic(tensor.ShapeError{Op: "product", A: tensor.ShapeOf(len(r.theta)), B: tensor.ShapeOf(len(theta))})
	}
	copy(r.theta, theta)
	copy(r.state, n.state)
	r.gradient = nil
	mode := nn.Training
	if !n.training {
		mode = nn.Evaluating
	}
	var err error
	r.z, r.loss, err = n.forward(&r.evaluation, r.theta, mode, n.x, n.y, false)
	r.valid = err == nil
	return r, err
}

// enter records the vector v, cut by parameter, and returns the parts.
func (r *recording[T]) enter(l *nn.Layout, v []T) []autodiff.Var[T] {
	for i := range r.tangents {
		r.tangents[i] = r.tape.Input(nn.View(l, v, i))
	}
	return r.tangents
}

// HVP implements [Curvature]: the exact Hessian of f at theta times v, as the derivative of the recorded
// gradient along v (Pearlmutter, 1994). The first product at a point records the gradient; each product
// then costs less than two evaluations with gradient. Where f has kinks (ReLU, max pooling) it is the
// Hessian of the smooth piece that theta lies on. A penalty is included.
func (n *Network[T]) HVP(theta, v, out []T) error {
	r, err := n.record(theta)
	if err != nil {
		return err
	}
	if r.gradient == nil {
		r.gradient = r.tape.Gradient(r.loss, r.pass.Params())
	}
	mark := r.tape.Mark()
	defer r.tape.Release(mark)
	products := r.tape.JVP(r.gradient, r.pass.Params(), r.enter(n.Layout(), v))
	n.collect(products, v, out)
	return nil
}

// GGNVP implements [Curvature]: the generalised Gauss–Newton matrix JᵀHₒJ times v, by one forward-mode
// and one reverse-mode product with the recorded model (Schraudolph, 2002). It is positive semi-definite,
// and the Fisher matrix of the model for the losses of package nn without label smoothing (Huber's: in
// the mean over targets). Cost: between one and one and a half evaluations with gradient. A penalty adds
// λ v on the weights.
func (n *Network[T]) GGNVP(theta, v, out []T) error {
	r, err := n.record(theta)
	if err != nil {
		return err
	}
	mark := r.tape.Mark()
	defer r.tape.Release(mark)
	params := r.pass.Params()
	jv := r.tape.JVP([]autodiff.Var[T]{r.z}, params, r.enter(n.Layout(), v))[0]
	hjv := r.tape.Workspace().New(r.z.Shape())
	n.loss.HessianProduct(r.z.Value(), jv.Value(), hjv, n.y)
	products := r.tape.VJP(r.z, r.tape.Input(hjv), params)
	n.collect(products, v, out)
	return nil
}

// collect stores the parts in out, and adds the penalty's λ v.
func (n *Network[T]) collect(parts []autodiff.Var[T], v, out []T) {
	ws, l := n.recorded.tape.Workspace(), n.Layout()
	for i, p := range parts {
		dst := nn.View(l, out, i)
		copy(dst.Data(), p.Value().Data())
		if n.penalty != 0 && l.At(i).Kind == nn.Weight {
			tensor.Axpy(ws, dst, T(n.penalty), nn.View(l, v, i))
		}
	}
}

// SquaredGradients implements [PerExample]: Σᵢ (∂ℓᵢ/∂θ_j)² for every j, where ℓᵢ is the loss of example i
// alone; a penalty is not included. It returns the mean loss.
//
// If all parameters belong to affine layers, each used once, one backward pass suffices. With rows xᵢ and
// output gradients δᵢ of example i its weight gradient is Σ_rows xᵢ δᵢᵀ, which for a dense layer (one row
// an example) gives (X∘X)ᵀ(Δ∘Δ) for the whole batch at the cost of the weight gradient. Otherwise
// (normalisation layers, embeddings, grouped convolutions) the examples are evaluated one at a time:
// exact, and as slow as that.
//
// The error wraps [ErrUnsupported] where ℓᵢ is not defined (batch normalisation in training mode mixes
// the examples), or where one example at a time would meet other dropout masks.
func (n *Network[T]) SquaredGradients(theta, out []T) (float64, error) {
	mode := nn.Training
	if !n.training {
		mode = nn.Evaluating
	}
	_, loss, err := n.forward(&n.run, theta, mode, n.x, n.y, true)
	if err != nil {
		return 0, err
	}
	if n.run.pass.Mixed() {
		return 0, fmt.Errorf("per-example gradients of a model with batch normalisation in training mode: %w\nhint: the examples of a batch are not independent; use evaluation mode or a model without batch normalisation", ErrUnsupported)
	}
	value := float64(loss.Value().Data()[0])
	if n.affineOnly() {
		n.backwardTapped(loss, nil, nil, func(t Tap[T]) { n.squareTap(t, out) })
		return value, nil
	}
	if n.run.pass.Random() {
		return 0, fmt.Errorf("per-example gradients of a model with dropout and parameters outside affine layers: %w\nhint: use evaluation mode or a model without dropout", ErrUnsupported)
	}
	return value, n.squareOneByOne(theta, out, mode)
}

// affineOnly reports whether every parameter is the weight or bias of exactly one ungrouped affine layer
// of the pass.
func (n *Network[T]) affineOnly() bool {
	uses := make([]int, n.Layout().Len())
	for _, a := range n.run.pass.Affine() {
		if a.Conv && a.Geom.Groups > 1 {
			return false
		}
		uses[a.Weight]++
		if a.Bias >= 0 {
			uses[a.Bias]++
		}
	}
	for _, u := range uses {
		if u != 1 {
			return false
		}
	}
	return true
}

// squareTap stores the sums of squared per-example gradients of one affine layer in out. The factor n²
// undoes the mean in the tap's DY.
func (n *Network[T]) squareTap(t Tap[T], out []T) {
	ws, l := n.run.tape.Workspace(), n.Layout()
	scale := T(n.examples()) * T(n.examples())
	weight := nn.View(l, out, t.Weight)
	bias := tensor.Tensor[T]{}
	if t.Bias >= 0 {
		bias = nn.View(l, out, t.Bias)
	}
	if t.RowsPer == 1 {
		x2, dy2 := ws.New(t.X.Shape()), ws.New(t.DY.Shape())
		tensor.Mul(ws, x2, t.X, t.X)
		tensor.Mul(ws, dy2, t.DY, t.DY)
		tensor.MatMul(ws, weight, x2, dy2, true, false)
		tensor.Scale(ws, weight, weight, scale)
		if t.Bias >= 0 {
			tensor.SumAxis(ws, bias, dy2, tensor.AxisOf(dy2.Shape(), 0, 1))
			tensor.Scale(ws, bias, bias, scale)
		}
		return
	}
	clear(weight.Data())
	clear(bias.Data())
	g := ws.New(weight.Shape())
	gb := ws.New(tensor.ShapeOf(t.DY.Shape().Cols()))
	for i := range n.examples() {
		x, dy := rowRange(t.X, i*t.RowsPer, t.RowsPer), rowRange(t.DY, i*t.RowsPer, t.RowsPer)
		tensor.MatMul(ws, g, x, dy, true, false)
		tensor.MulAdd(ws, weight, g, g)
		if t.Bias >= 0 {
			tensor.SumAxis(ws, gb, dy, tensor.AxisOf(dy.Shape(), 0, 1))
			tensor.MulAdd(ws, bias, gb, gb)
		}
	}
	tensor.Scale(ws, weight, weight, scale)
	if t.Bias >= 0 {
		tensor.Scale(ws, bias, bias, scale)
	}
}

// squareOneByOne evaluates every example as a batch of its own.
func (n *Network[T]) squareOneByOne(theta, out []T, mode nn.Mode) error {
	clear(out)
	grad := make([]T, len(out))
	for i := range n.examples() {
		x := exampleOf(n.x, i)
		y := nn.Target[T]{}
		if n.y.Labels != nil {
			y.Labels = n.y.Labels[i : i+1]
		}
		if !n.y.Values.IsZero() {
			y.Values = exampleOf(n.y.Values, i)
		}
		_, loss, err := n.forward(&n.run, theta, mode, x, y, false)
		if err != nil {
			return err
		}
		n.run.tape.Backward(loss, n.run.pass.Params(), n.views(grad), nil, nil)
		ws := n.run.tape.Workspace()
		g := tensor.FromSlice(grad, len(grad))
		tensor.MulAdd(ws, tensor.FromSlice(out, len(out)), g, g)
	}
	return nil
}

// rowRange returns count rows of the matrix a from row first on.
func rowRange[T tensor.Float](a tensor.Tensor[T], first, count int) tensor.Tensor[T] {
	c := a.Shape().Cols()
	return tensor.FromSlice(a.Data()[first*c:(first+count)*c], count, c)
}

// exampleOf returns example i of a batch as a batch of one.
func exampleOf[T tensor.Float](a tensor.Tensor[T], i int) tensor.Tensor[T] {
	s := a.Shape().With(0, 1)
	return tensor.Of(a.Data()[i*s.Size():(i+1)*s.Size()], s)
}
