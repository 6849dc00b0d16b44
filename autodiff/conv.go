package autodiff

import "github.com/descent-ml/descent/tensor"

// The convolution y = C(x, w) is linear in the images x and in the weights w. With its two adjoints,
// defined by
//
//	⟨C(x, w), g⟩ = ⟨x, I(g, w)⟩ = ⟨w, W(x, g)⟩    for all x, w, g,
//
// it forms a closed set: each derivative of one of the three bilinear maps is another.
//
//	map       reverse rules, cotangent u               forward rule
//	C(x, w)   x̄ = I(u, w)    w̄ = W(x, u)               C(ẋ, w) + C(x, ẇ)
//	I(g, w)   ḡ = C(u, w)    w̄ = W(u, g)               I(ġ, w) + I(g, ẇ)
//	W(x, g)   x̄ = I(g, u)    ḡ = C(x, u)               W(ẋ, g) + W(x, ġ)
//
// So derivatives of every order, in both modes, are again convolutions.

// Conv2D returns the convolution of the images x [batch, height, width, in] with the weights
// w [kh·kw·(in/groups), out] plus the bias b [out] (which may be the zero Var), of shape
// [batch, oh, ow, out]. See [tensor.Conv2D] for the order of the weights' rows.
func Conv2D[T tensor.Float](x, w, b Var[T], g tensor.ConvGeom) Var[T] {
	t := x.tape
	y := t.out(g.OutputShape(x.Shape(), w.Shape().Cols()))
	tensor.Conv2D(t.ws, y, x.Value(), w.Value(), biasValue(b), g)
	return t.convNode(conv2D[T]{}, y, g, x, w, b)
}

type conv2D[T tensor.Float] struct{}

func (conv2D[T]) name() string { return "Conv2D" }

func (conv2D[T]) vjp(t *Tape[T], n *node[T], _, u Var[T]) { convVJP(t, n, u) }

func (conv2D[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] { return convJVP(t, n, d) }

// ConvReLU2D returns max(0, Conv2D(x, w, b, g)) in one pass.
func ConvReLU2D[T tensor.Float](x, w, b Var[T], g tensor.ConvGeom) Var[T] {
	t := x.tape
	y := t.out(g.OutputShape(x.Shape(), w.Shape().Cols()))
	tensor.Conv2DReLU(t.ws, y, x.Value(), w.Value(), biasValue(b), g)
	return t.convNode(convReLU2D[T]{}, y, g, x, w, b)
}

type convReLU2D[T tensor.Float] struct{}

func (convReLU2D[T]) name() string { return "ConvReLU2D" }

func (convReLU2D[T]) vjp(t *Tape[T], n *node[T], y, u Var[T]) { convVJP(t, n, reluGrad(t, y, u)) }

func (convReLU2D[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return reluGrad(t, y, convJVP(t, n, d))
}

func convVJP[T tensor.Float](t *Tape[T], n *node[T], u Var[T]) {
	g := n.geom()
	x, w := t.input(n, 0), t.input(n, 1)
	if t.wants(n, 2) {
		t.give(n, 2, SumRows(u))
	}
	if t.wants(n, 1) {
		t.give(n, 1, convWeightGrad(x, u, g, w.Shape()))
	}
	if t.wants(n, 0) {
		t.give(n, 0, convInputGrad(u, w, g, x.Shape()))
	}
}

func convJVP[T tensor.Float](t *Tape[T], n *node[T], d []Var[T]) Var[T] {
	g := n.geom()
	x, w := t.input(n, 0), t.input(n, 1)
	var y Var[T]
	bias := d[2]
	if d[0].OK() {
		y, bias = Conv2D(d[0], w, bias, g), Var[T]{}
	}
	if d[1].OK() {
		y, bias = sum(y, Conv2D(x, d[1], bias, g)), Var[T]{}
	}
	if bias.OK() {
		s := n.value.Shape()
		y = Reshape(BroadcastRow(bias, s.Rows()), s)
	}
	return y
}

// convInputGrad returns I(g, w), of shape images.
func convInputGrad[T tensor.Float](g, w Var[T], geom tensor.ConvGeom, images tensor.Shape) Var[T] {
	t := g.tape
	x := t.out(images)
	tensor.Conv2DInputGrad(t.ws, x, g.Value(), w.Value(), geom)
	return t.convNode(convInput[T]{}, x, geom, g, w)
}

type convInput[T tensor.Float] struct{}

func (convInput[T]) name() string { return "Conv2DInputGrad" }

func (convInput[T]) vjp(t *Tape[T], n *node[T], _, u Var[T]) {
	geom := n.geom()
	g, w := t.input(n, 0), t.input(n, 1)
	if t.wants(n, 0) {
		t.give(n, 0, Conv2D(u, w, Var[T]{}, geom))
	}
	if t.wants(n, 1) {
		t.give(n, 1, convWeightGrad(u, g, geom, w.Shape()))
	}
}

func (convInput[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	geom, images := n.geom(), n.value.Shape()
	var y Var[T]
	if d[0].OK() {
		y = convInputGrad(d[0], t.input(n, 1), geom, images)
	}
	if d[1].OK() {
		y = sum(y, convInputGrad(t.input(n, 0), d[1], geom, images))
	}
	return y
}

// convWeightGrad returns W(x, g), of shape weights.
func convWeightGrad[T tensor.Float](x, g Var[T], geom tensor.ConvGeom, weights tensor.Shape) Var[T] {
	t := x.tape
	w := t.out(weights)
	tensor.Conv2DWeightGrad(t.ws, w, x.Value(), g.Value(), geom)
	return t.convNode(convWeight[T]{}, w, geom, x, g)
}

type convWeight[T tensor.Float] struct{}

func (convWeight[T]) name() string { return "Conv2DWeightGrad" }

func (convWeight[T]) vjp(t *Tape[T], n *node[T], _, u Var[T]) {
	geom := n.geom()
	x, g := t.input(n, 0), t.input(n, 1)
	if t.wants(n, 0) {
		t.give(n, 0, convInputGrad(g, u, geom, x.Shape()))
	}
	if t.wants(n, 1) {
		t.give(n, 1, Conv2D(x, u, Var[T]{}, geom))
	}
}

func (convWeight[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	geom := n.geom()
	weights := n.value.Shape()
	var y Var[T]
	if d[0].OK() {
		y = convWeightGrad(d[0], t.input(n, 1), geom, weights)
	}
	if d[1].OK() {
		y = sum(y, convWeightGrad(t.input(n, 0), d[1], geom, weights))
	}
	return y
}

// convNode appends a node that keeps a geometry among its constants.
func (t *Tape[T]) convNode(o op[T], value tensor.Tensor[T], g tensor.ConvGeom, in ...Var[T]) Var[T] {
	v := t.append(o, value, in...)
	v.node().attr.i = [12]int{g.KH, g.KW, g.StrideH, g.StrideW, g.PadTop, g.PadLeft, g.PadBottom, g.PadRight,
		g.DilationH, g.DilationW, g.Groups}
	return v
}

// geom returns the geometry of a node made by convNode.
func (n *node[T]) geom() tensor.ConvGeom {
	i := &n.attr.i
	return tensor.ConvGeom{KH: i[0], KW: i[1], StrideH: i[2], StrideW: i[3],
		PadTop: i[4], PadLeft: i[5], PadBottom: i[6], PadRight: i[7],
		DilationH: i[8], DilationW: i[9], Groups: i[10]}
}

// biasValue returns the value of b, or the zero Tensor.
func biasValue[T tensor.Float](b Var[T]) tensor.Tensor[T] {
	if !b.OK() {
		return tensor.Tensor[T]{}
	}
	return b.Value()
}
