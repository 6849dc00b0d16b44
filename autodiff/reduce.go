package autodiff

import "github.com/descent-ml/descent/tensor"

// Sums along an axis and their transpose, the repetition along an axis, with the products that go with
// them. An axis (tensor.Axis) views the full tensor as Outer × N × Inner and the reduced one as Outer × Inner:
//
//	sumAxis     y_oi  = Σ_n x_oni          x̄ = spread(ȳ)
//	spread      y_oni = v_oi               v̄ = sumAxis(ȳ)
//	addAxis     y_oni = x_oni + v_oi       x̄ = ȳ             v̄ = sumAxis(ȳ)
//	mulAxis     y_oni = x_oni v_oi         x̄ = mulAxis(ȳ, v)  v̄ = dotAxis(ȳ, x)
//	dotAxis     y_oi  = Σ_n a_oni b_oni    ā = mulAxis(b, ȳ)  b̄ = mulAxis(a, ȳ)

// rowsOf is the axis of the rows of a matrix: its reduced tensor is one row.
func rowsOf(s tensor.Shape) tensor.Axis { return tensor.Axis{Outer: 1, N: s.Rows(), Inner: s.Cols()} }

// colsOf is the axis of the columns of a matrix: its reduced tensor has one element a row.
func colsOf(s tensor.Shape) tensor.Axis { return tensor.Axis{Outer: s.Rows(), N: s.Cols(), Inner: 1} }

// allOf is the axis of all elements: its reduced tensor is a scalar.
func allOf(s tensor.Shape) tensor.Axis { return tensor.Axis{Outer: 1, N: s.Size(), Inner: 1} }

func (n *node[T]) setAxis(ax tensor.Axis) {
	n.attr.i[0], n.attr.i[1], n.attr.i[2] = ax.Outer, ax.N, ax.Inner
}

func (n *node[T]) axis() tensor.Axis {
	return tensor.Axis{Outer: n.attr.i[0], N: n.attr.i[1], Inner: n.attr.i[2]}
}

// Sum returns the sum of all elements, a scalar.
func Sum[T tensor.Float](x Var[T]) Var[T] { return sumAxis(x, tensor.Shape{}, allOf(x.Shape())) }

// Mean returns the mean of all elements, a scalar.
func Mean[T tensor.Float](x Var[T]) Var[T] { return Scale(Sum(x), 1/float64(x.Shape().Size())) }

// SumRows returns the sum of the rows of x viewed as a matrix, [cols].
func SumRows[T tensor.Float](x Var[T]) Var[T] {
	return sumAxis(x, tensor.ShapeOf(x.Shape().Cols()), rowsOf(x.Shape()))
}

// SumCols returns the sum of each row of x viewed as a matrix, [rows].
func SumCols[T tensor.Float](x Var[T]) Var[T] {
	return sumAxis(x, tensor.ShapeOf(x.Shape().Rows()), colsOf(x.Shape()))
}

// SumAxis returns the sum along the given axis, which the result lacks; a negative axis counts from the
// last.
func SumAxis[T tensor.Float](x Var[T], axis int) Var[T] {
	s, axis := x.Shape(), axisOf("SumAxis", x.Shape(), axis)
	return sumAxis(x, without(s, axis), tensor.AxisOf(s, axis, axis+1))
}

// MeanAxis returns the mean along the given axis; see [SumAxis].
func MeanAxis[T tensor.Float](x Var[T], axis int) Var[T] {
	return Scale(SumAxis(x, axis), 1/float64(x.Shape().Dim(axis)))
}

// MaxCols returns the largest element of each row of x viewed as a matrix, [rows]. The derivative is that
// of the first largest one.
func MaxCols[T tensor.Float](x Var[T]) Var[T] {
	at := x.tape.ws.Int32s(x.Shape().Rows())
	tensor.ArgMax(at, x.Value())
	return Pick(x, at)
}

// Max returns the largest element, a scalar. The derivative is that of the first largest one.
func Max[T tensor.Float](x Var[T]) Var[T] {
	return Reshape(MaxCols(Reshape(x, tensor.ShapeOf(1, x.Shape().Size()))), tensor.Shape{})
}

// Dot returns the inner product of a and b, a scalar.
func Dot[T tensor.Float](a, b Var[T]) Var[T] {
	if a.Shape() != b.Shape() {
		panic(tensor.ShapeError{Op: "Dot", A: a.Shape(), B: b.Shape()})
	}
	return dotAxis(a, b, tensor.Shape{}, allOf(a.Shape()))
}

// BroadcastRow returns the matrix [rows, len(v)] all of whose rows are v.
func BroadcastRow[T tensor.Float](v Var[T], rows int) Var[T] {
	s := tensor.ShapeOf(rows, v.Shape().Size())
	return spread(v, s, rowsOf(s))
}

// BroadcastCol returns the matrix [len(v), cols] all of whose columns are v.
func BroadcastCol[T tensor.Float](v Var[T], cols int) Var[T] {
	s := tensor.ShapeOf(v.Shape().Size(), cols)
	return spread(v, s, colsOf(s))
}

// BroadcastScalar returns a tensor of shape s all of whose elements are the one element of v.
func BroadcastScalar[T tensor.Float](v Var[T], s tensor.Shape) Var[T] { return spread(v, s, allOf(s)) }

// AddRow returns x with the vector b (length of the last axis) added to every row.
func AddRow[T tensor.Float](x, b Var[T]) Var[T] { return addAxis(x, b, rowsOf(x.Shape())) }

// MulRow returns x with every row multiplied element by element by the vector v.
func MulRow[T tensor.Float](x, v Var[T]) Var[T] { return mulAxis(x, v, rowsOf(x.Shape())) }

// AddCol returns x, viewed as a matrix, with c_i added to row i.
func AddCol[T tensor.Float](x, c Var[T]) Var[T] { return addAxis(x, c, colsOf(x.Shape())) }

// MulCol returns x, viewed as a matrix, with row i multiplied by c_i.
func MulCol[T tensor.Float](x, c Var[T]) Var[T] { return mulAxis(x, c, colsOf(x.Shape())) }

// ScaleBy returns x multiplied by the one element of s.
func ScaleBy[T tensor.Float](x, s Var[T]) Var[T] { return mulAxis(x, s, allOf(x.Shape())) }

func sumAxis[T tensor.Float](x Var[T], s tensor.Shape, ax tensor.Axis) Var[T] {
	t := x.tape
	y := t.out(s)
	tensor.SumAxis(t.ws, y, x.Value(), ax)
	v := t.append(sumOp[T]{}, y, x)
	v.node().setAxis(ax)
	return v
}

type sumOp[T tensor.Float] struct{}

func (sumOp[T]) name() string { return "Sum" }

func (sumOp[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, spread(g, t.input(n, 0).Shape(), n.axis()))
	}
}

func (sumOp[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return sumAxis(d[0], y.Shape(), n.axis())
}

func spread[T tensor.Float](v Var[T], s tensor.Shape, ax tensor.Axis) Var[T] {
	t := v.tape
	y := t.out(s)
	tensor.SpreadAxis(t.ws, y, v.Value(), ax)
	r := t.append(spreadOp[T]{}, y, v)
	r.node().setAxis(ax)
	return r
}

type spreadOp[T tensor.Float] struct{}

func (spreadOp[T]) name() string { return "Broadcast" }

func (spreadOp[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, sumAxis(g, t.input(n, 0).Shape(), n.axis()))
	}
}

func (spreadOp[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return spread(d[0], y.Shape(), n.axis())
}

func addAxis[T tensor.Float](x, v Var[T], ax tensor.Axis) Var[T] {
	t := x.tape
	y := t.out(x.Shape())
	tensor.AddAxis(t.ws, y, x.Value(), v.Value(), ax)
	r := t.append(addAxisOp[T]{}, y, x, v)
	r.node().setAxis(ax)
	return r
}

type addAxisOp[T tensor.Float] struct{}

func (addAxisOp[T]) name() string { return "AddRow" }

func (addAxisOp[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 1) {
		t.give(n, 1, sumAxis(g, t.input(n, 1).Shape(), n.axis()))
	}
	t.handOn(n, 0, g)
}

func (addAxisOp[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	switch {
	case !d[0].OK():
		return spread(d[1], y.Shape(), n.axis())
	case !d[1].OK():
		return d[0]
	}
	return addAxis(d[0], d[1], n.axis())
}

func mulAxis[T tensor.Float](x, v Var[T], ax tensor.Axis) Var[T] {
	t := x.tape
	y := t.out(x.Shape())
	tensor.MulAxis(t.ws, y, x.Value(), v.Value(), ax)
	r := t.append(mulAxisOp[T]{}, y, x, v)
	r.node().setAxis(ax)
	return r
}

type mulAxisOp[T tensor.Float] struct{}

func (mulAxisOp[T]) name() string { return "MulRow" }

func (mulAxisOp[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	x, v := t.input(n, 0), t.input(n, 1)
	if t.wants(n, 1) {
		t.give(n, 1, dotAxis(g, x, v.Shape(), n.axis()))
	}
	if t.wants(n, 0) {
		if t.final {
			d := t.reuse(g, x.Shape())
			tensor.MulAxis(t.ws, d, g.Value(), v.Value(), n.axis())
			t.give(n, 0, t.Input(d))
			return
		}
		t.give(n, 0, mulAxis(g, v, n.axis()))
	}
}

func (mulAxisOp[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	var y Var[T]
	if d[0].OK() {
		y = mulAxis(d[0], t.input(n, 1), n.axis())
	}
	if d[1].OK() {
		y = sum(y, mulAxis(t.input(n, 0), d[1], n.axis()))
	}
	return y
}

func dotAxis[T tensor.Float](a, b Var[T], s tensor.Shape, ax tensor.Axis) Var[T] {
	t := a.tape
	y := t.out(s)
	tensor.DotAxis(t.ws, y, a.Value(), b.Value(), ax)
	r := t.append(dotAxisOp[T]{}, y, a, b)
	r.node().setAxis(ax)
	return r
}

type dotAxisOp[T tensor.Float] struct{}

func (dotAxisOp[T]) name() string { return "Dot" }

func (dotAxisOp[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	a, b := t.input(n, 0), t.input(n, 1)
	if t.wants(n, 0) {
		t.give(n, 0, mulAxis(b, g, n.axis()))
	}
	if t.wants(n, 1) {
		t.give(n, 1, mulAxis(a, g, n.axis()))
	}
}

func (dotAxisOp[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	var r Var[T]
	if d[0].OK() {
		r = dotAxis(d[0], t.input(n, 1), y.Shape(), n.axis())
	}
	if d[1].OK() {
		r = sum(r, dotAxis(t.input(n, 0), d[1], y.Shape(), n.axis()))
	}
	return r
}
