package autodiff

import "github.com/descent-ml/descent/tensor"

// ConvReLUMaxPool2D returns MaxPool2D(ConvReLU2D(x, w, b, g), p), with the convolution never stored as a
// whole: in training that is most of the memory of a convolutional network, and the time to move it.
//
// With the choice of the largest elements kept, as a linear map P that picks them, y = max(0, P C(x, w) + b), so with
// u the cotangent of y where y > 0, and 0 elsewhere,
//
//	b̄ = Σ_rows u,    w̄ = W(x, Pᵀu),    x̄ = I(Pᵀu, w),
//
// the maps of [Conv2D]. The last two are operations of their own, which spare Pᵀu in the same way; their
// derivatives are again these, convolutions and P.
func ConvReLUMaxPool2D[T tensor.Float](x, w, b Var[T], g, p tensor.ConvGeom) Var[T] {
	t := x.tape
	s := p.OutputShape(g.OutputShape(x.Shape(), w.Shape().Cols()), w.Shape().Cols())
	y, at := t.out(s), t.ws.Int32s(s.Size())
	tensor.ConvReLUMaxPool(t.ws, y, at, x.Value(), w.Value(), biasValue(b), g, p)
	return t.convPoolNode(convPool[T]{}, y, g, p, at, x, w, b)
}

type convPool[T tensor.Float] struct{}

func (convPool[T]) name() string { return "ConvReLUMaxPool2D" }

func (convPool[T]) vjp(t *Tape[T], n *node[T], y, u Var[T]) {
	x, w := t.input(n, 0), t.input(n, 1)
	g, p, at := n.geom(), n.attr.any.(tensor.ConvGeom), n.attr.idx
	u = reluGrad(t, y, u)
	if t.wants(n, 2) {
		t.give(n, 2, SumRows(u))
	}
	if t.wants(n, 1) {
		t.give(n, 1, convPoolWeightGrad(x, u, g, p, at, w.Shape()))
	}
	if t.wants(n, 0) {
		t.give(n, 0, convPoolInputGrad(u, w, g, p, at, x.Shape()))
	}
}

func (convPool[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	var z Var[T]
	bias := d[2]
	if d[0].OK() || d[1].OK() {
		z = pickMax(convJVP(t, n, []Var[T]{d[0], d[1], {}}), n.attr.idx, y.Shape())
	}
	if bias.OK() {
		s := y.Shape()
		z = sum(z, Reshape(BroadcastRow(bias, s.Rows()), s))
	}
	return reluGrad(t, y, z)
}

// convPoolInputGrad returns I(Pᵀg, w), of shape images.
func convPoolInputGrad[T tensor.Float](g, w Var[T], geom, p tensor.ConvGeom, at []int32, images tensor.Shape) Var[T] {
	t := g.tape
	x := t.out(images)
	tensor.ConvPoolInputGrad(t.ws, x, g.Value(), w.Value(), at, geom, p)
	return t.convPoolNode(convPoolInput[T]{}, x, geom, p, at, g, w)
}

type convPoolInput[T tensor.Float] struct{}

func (convPoolInput[T]) name() string { return "ConvPoolInputGrad" }

func (convPoolInput[T]) vjp(t *Tape[T], n *node[T], _, u Var[T]) {
	g, w := t.input(n, 0), t.input(n, 1)
	geom, p, at := n.geom(), n.attr.any.(tensor.ConvGeom), n.attr.idx
	if t.needs(n, 0) {
		t.give(n, 0, pickMax(Conv2D(u, w, Var[T]{}, geom), at, g.Shape()))
	}
	if t.wants(n, 1) {
		t.give(n, 1, convPoolWeightGrad(u, g, geom, p, at, w.Shape()))
	}
}

func (convPoolInput[T]) jvp(t *Tape[T], n *node[T], x Var[T], d []Var[T]) Var[T] {
	geom, p, at := n.geom(), n.attr.any.(tensor.ConvGeom), n.attr.idx
	var y Var[T]
	if d[0].OK() {
		y = convPoolInputGrad(d[0], t.input(n, 1), geom, p, at, x.Shape())
	}
	if d[1].OK() {
		y = sum(y, convPoolInputGrad(t.input(n, 0), d[1], geom, p, at, x.Shape()))
	}
	return y
}

// convPoolWeightGrad returns W(x, Pᵀg), of shape weights.
func convPoolWeightGrad[T tensor.Float](x, g Var[T], geom, p tensor.ConvGeom, at []int32, weights tensor.Shape) Var[T] {
	t := x.tape
	w := t.out(weights)
	tensor.ConvPoolWeightGrad(t.ws, w, x.Value(), g.Value(), at, geom, p)
	return t.convPoolNode(convPoolWeight[T]{}, w, geom, p, at, x, g)
}

type convPoolWeight[T tensor.Float] struct{}

func (convPoolWeight[T]) name() string { return "ConvPoolWeightGrad" }

func (convPoolWeight[T]) vjp(t *Tape[T], n *node[T], _, u Var[T]) {
	x, g := t.input(n, 0), t.input(n, 1)
	geom, p, at := n.geom(), n.attr.any.(tensor.ConvGeom), n.attr.idx
	if t.wants(n, 0) {
		t.give(n, 0, convPoolInputGrad(g, u, geom, p, at, x.Shape()))
	}
	if t.needs(n, 1) {
		t.give(n, 1, pickMax(Conv2D(x, u, Var[T]{}, geom), at, g.Shape()))
	}
}

func (convPoolWeight[T]) jvp(t *Tape[T], n *node[T], w Var[T], d []Var[T]) Var[T] {
	geom, p, at := n.geom(), n.attr.any.(tensor.ConvGeom), n.attr.idx
	var y Var[T]
	if d[0].OK() {
		y = convPoolWeightGrad(d[0], t.input(n, 1), geom, p, at, w.Shape())
	}
	if d[1].OK() {
		y = sum(y, convPoolWeightGrad(t.input(n, 0), d[1], geom, p, at, w.Shape()))
	}
	return y
}

// convPoolNode appends a node that keeps the geometries of a convolution and a pooling, and the places
// that the pooling chose.
func (t *Tape[T]) convPoolNode(o op[T], value tensor.Tensor[T], g, p tensor.ConvGeom, at []int32, in ...Var[T]) Var[T] {
	v := t.convNode(o, value, g, in...)
	v.node().attr.any, v.node().attr.idx = p, at
	return v
}
