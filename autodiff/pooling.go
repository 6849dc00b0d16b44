package autodiff

import "github.com/descent-ml/descent/tensor"

// MaxPool2D returns the largest element that each window of geometry g sees in each channel of the images
// x [batch, height, width, channels]; see [tensor.MaxPool2D].
//
// Where the choice does not change, the pooling is a linear map P that picks elements, y = P x. So with
// the choice kept, the reverse rule is x̄ = Pᵀ ȳ, the forward rule ẏ = P ẋ, and the two maps are
// each other's derivatives.
func MaxPool2D[T tensor.Float](x Var[T], g tensor.ConvGeom) Var[T] {
	t := x.tape
	s := g.OutputShape(x.Shape(), x.Shape().Cols())
	y, at := t.out(s), t.ws.Int32s(s.Size())
	tensor.MaxPool2D(t.ws, y, at, x.Value(), g)
	v := t.append(maxPool[T]{}, y, x)
	v.node().attr.idx = at
	return v
}

type maxPool[T tensor.Float] struct{}

func (maxPool[T]) name() string { return "MaxPool2D" }

func (maxPool[T]) vjp(t *Tape[T], n *node[T], y, u Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, placeMax(u, n.attr.idx, t.input(n, 0).Shape()))
	}
}

func (maxPool[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return pickMax(d[0], n.attr.idx, y.Shape())
}

// pickMax returns P x, of shape s.
func pickMax[T tensor.Float](x Var[T], at []int32, s tensor.Shape) Var[T] {
	t := x.tape
	y := t.out(s)
	tensor.PickMax(t.ws, y, x.Value(), at)
	v := t.append(maxPick[T]{}, y, x)
	v.node().attr.idx = at
	return v
}

type maxPick[T tensor.Float] struct{ maxPool[T] }

func (maxPick[T]) name() string { return "PickMax" }

// placeMax returns Pᵀ g, of shape s.
func placeMax[T tensor.Float](g Var[T], at []int32, s tensor.Shape) Var[T] {
	t := g.tape
	x := t.out(s)
	tensor.PlaceMax(t.ws, x, g.Value(), at)
	v := t.append(maxPlace[T]{}, x, g)
	v.node().attr.idx = at
	return v
}

type maxPlace[T tensor.Float] struct{}

func (maxPlace[T]) name() string { return "PlaceMax" }

func (maxPlace[T]) vjp(t *Tape[T], n *node[T], _, u Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, pickMax(u, n.attr.idx, t.input(n, 0).Shape()))
	}
}

func (maxPlace[T]) jvp(_ *Tape[T], n *node[T], x Var[T], d []Var[T]) Var[T] {
	return placeMax(d[0], n.attr.idx, x.Shape())
}

// AvgPool2D returns the mean of what each window of geometry g sees in each channel of the images
// x [batch, height, width, channels], padding not counted; see [tensor.AvgPool2D]. It is linear: its
// derivatives are itself and its adjoint.
func AvgPool2D[T tensor.Float](x Var[T], g tensor.ConvGeom) Var[T] {
	return avgPool2D(x, g, g.OutputShape(x.Shape(), x.Shape().Cols()))
}

// GlobalAvgPool returns the mean over height and width of the images x [batch, height, width, channels],
// of shape [batch, channels].
func GlobalAvgPool[T tensor.Float](x Var[T]) Var[T] {
	s := x.Shape()
	if s.Rank() != 4 {
		panic(tensor.ShapeError{Op: "GlobalAvgPool", A: s, Detail: "images must have shape [batch height width channels]"})
	}
	return avgPool2D(x, tensor.ValidConv(s.Dim(1), s.Dim(2), 1), tensor.ShapeOf(s.Dim(0), s.Dim(3)))
}

// avgPool2D returns the pooling of x, in shape s.
func avgPool2D[T tensor.Float](x Var[T], g tensor.ConvGeom, s tensor.Shape) Var[T] {
	t := x.tape
	y := t.out(s)
	tensor.AvgPool2D(t.ws, y, x.Value(), g)
	return t.convNode(avgPool[T]{}, y, g, x)
}

type avgPool[T tensor.Float] struct{}

func (avgPool[T]) name() string { return "AvgPool2D" }

func (avgPool[T]) vjp(t *Tape[T], n *node[T], _, u Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, avgPoolGrad(u, n.geom(), t.input(n, 0).Shape()))
	}
}

func (avgPool[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return avgPool2D(d[0], n.geom(), y.Shape())
}

// avgPoolGrad returns the adjoint of avgPool2D applied to u, of shape images.
func avgPoolGrad[T tensor.Float](u Var[T], g tensor.ConvGeom, images tensor.Shape) Var[T] {
	t := u.tape
	x := t.out(images)
	tensor.AvgPool2DGrad(t.ws, x, u.Value(), g)
	return t.convNode(avgPoolAdjoint[T]{}, x, g, u)
}

type avgPoolAdjoint[T tensor.Float] struct{}

func (avgPoolAdjoint[T]) name() string { return "AvgPool2DGrad" }

func (avgPoolAdjoint[T]) vjp(t *Tape[T], n *node[T], _, u Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, avgPool2D(u, n.geom(), t.input(n, 0).Shape()))
	}
}

func (avgPoolAdjoint[T]) jvp(_ *Tape[T], n *node[T], x Var[T], d []Var[T]) Var[T] {
	return avgPoolGrad(d[0], n.geom(), x.Shape())
}
