package autodiff

import (
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// ValueError is the value that a programming mistake with a constant argument panics with.
type ValueError struct {
	Op, What string
	Value    any
	Want     string
}

func (e ValueError) Error() string {
	return fmt.Sprintf("autodiff: %s: %s is %v, want %s", e.Op, e.What, e.Value, e.Want)
}

// axisOf resolves a possibly negative axis of s.
func axisOf(op string, s tensor.Shape, axis int) int {
	a := axis
	if a < 0 {
		a += s.Rank()
	}
	if a < 0 || a >= s.Rank() {
		panic(tensor.ShapeError{Op: op, A: s, Detail: fmt.Sprintf("no axis %d", axis)})
	}
	return a
}

// without returns s without the given axis.
func without(s tensor.Shape, axis int) tensor.Shape {
	var r tensor.Shape
	for i := range s.Rank() {
		if i != axis {
			r = r.Append(s.Dim(i))
		}
	}
	return r
}

// Reshape returns the elements of x, in the same order, with another shape of the same size. It copies
// nothing.
func Reshape[T tensor.Float](x Var[T], s tensor.Shape) Var[T] {
	return x.tape.append(reshape[T]{}, x.Value().View(s), x)
}

type reshape[T tensor.Float] struct{}

func (reshape[T]) name() string { return "Reshape" }

func (reshape[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	t.handOn(n, 0, Reshape(g, t.input(n, 0).Shape()))
}

func (reshape[T]) jvp(_ *Tape[T], _ *node[T], y Var[T], d []Var[T]) Var[T] {
	return Reshape(d[0], y.Shape())
}

// Flatten returns x [n, ...] as a matrix of n rows. It copies nothing.
func Flatten[T tensor.Float](x Var[T]) Var[T] {
	s := x.Shape()
	if s.Rank() == 0 || s.Dim(0) == 0 {
		panic(tensor.ShapeError{Op: "Flatten", A: s})
	}
	return Reshape(x, tensor.ShapeOf(s.Dim(0), s.Size()/s.Dim(0)))
}

// Permute returns x with its axes in another order: axis i of the result is axis perm[i] of x.
func Permute[T tensor.Float](x Var[T], perm ...int) Var[T] {
	t := x.tape
	y := t.out(tensor.PermuteShape(x.Shape(), perm))
	tensor.Permute(t.ws, y, x.Value(), perm)
	v := t.append(permute[T]{}, y, x)
	copy(v.node().attr.i[:], perm)
	return v
}

// Transpose returns the matrix x transposed.
func Transpose[T tensor.Float](x Var[T]) Var[T] {
	if x.Shape().Rank() != 2 {
		panic(tensor.ShapeError{Op: "Transpose: want 2 axes", A: x.Shape()})
	}
	return Permute(x, 1, 0)
}

type permute[T tensor.Float] struct{}

func (permute[T]) name() string { return "Permute" }

func (permute[T]) vjp(t *Tape[T], n *node[T], y, g Var[T]) {
	if !t.wants(n, 0) {
		return
	}
	var inv [tensor.MaxRank]int
	for i, p := range n.attr.i[:y.Shape().Rank()] {
		inv[p] = i
	}
	t.give(n, 0, Permute(g, inv[:y.Shape().Rank()]...))
}

func (permute[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return Permute(d[0], n.attr.i[:y.Shape().Rank()]...)
}

// Slice returns the part of x with indices lo to hi−1 along the given axis.
func Slice[T tensor.Float](x Var[T], axis, lo, hi int) Var[T] {
	t, s := x.tape, x.Shape()
	axis = axisOf("Slice", s, axis)
	if lo < 0 || hi < lo || hi > s.Dim(axis) {
		panic(tensor.ShapeError{Op: "Slice", A: s, Detail: fmt.Sprintf("elements %d to %d of axis %d", lo, hi, axis)})
	}
	y := t.out(s.With(axis, hi-lo))
	tensor.CopySlice(t.ws, x.Value(), y, tensor.AxisOf(s, axis, axis+1), lo, false)
	v := t.append(slice[T]{}, y, x)
	n := v.node()
	n.attr.i[0], n.attr.i[1] = axis, lo
	return v
}

type slice[T tensor.Float] struct{}

func (slice[T]) name() string { return "Slice" }

func (slice[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, Pad(g, n.attr.i[0], n.attr.i[1], t.input(n, 0).Shape().Dim(n.attr.i[0])))
	}
}

func (slice[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	axis, lo := n.attr.i[0], n.attr.i[1]
	return Slice(d[0], axis, lo, lo+y.Shape().Dim(axis))
}

// Pad returns a tensor of zeros, of length total along the given axis, with x at the indices from lo on: the
// transpose of [Slice].
func Pad[T tensor.Float](x Var[T], axis, lo, total int) Var[T] {
	t := x.tape
	axis = axisOf("Pad", x.Shape(), axis)
	s := x.Shape().With(axis, total)
	y := t.out(s)
	clear(y.Data())
	tensor.CopySlice(t.ws, y, x.Value(), tensor.AxisOf(s, axis, axis+1), lo, true)
	v := t.append(pad[T]{}, y, x)
	n := v.node()
	n.attr.i[0], n.attr.i[1] = axis, lo
	return v
}

type pad[T tensor.Float] struct{}

func (pad[T]) name() string { return "Pad" }

func (pad[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	axis, lo := n.attr.i[0], n.attr.i[1]
	if t.wants(n, 0) {
		t.give(n, 0, Slice(g, axis, lo, lo+t.input(n, 0).Shape().Dim(axis)))
	}
}

func (pad[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return Pad(d[0], n.attr.i[0], n.attr.i[1], y.Shape().Dim(n.attr.i[0]))
}

// Concat returns the xs joined along the given axis; their other axes are equal.
func Concat[T tensor.Float](axis int, xs ...Var[T]) Var[T] {
	if len(xs) == 0 {
		panic(ValueError{Op: "Concat", What: "number of operands", Value: 0, Want: "at least 1"})
	}
	t, s := xs[0].tape, xs[0].Shape()
	axis = axisOf("Concat", s, axis)
	total := 0
	for _, x := range xs {
		if x.Shape().Rank() != s.Rank() || x.Shape().With(axis, 0) != s.With(axis, 0) {
			panic(tensor.ShapeError{Op: "Concat", A: s, B: x.Shape()})
		}
		total += x.Shape().Dim(axis)
	}
	s = s.With(axis, total)
	y := t.out(s)
	ax, at := tensor.AxisOf(s, axis, axis+1), 0
	for _, x := range xs {
		tensor.CopySlice(t.ws, y, x.Value(), ax, at, true)
		at += x.Shape().Dim(axis)
	}
	v := t.append(concat[T]{}, y, xs...)
	v.node().attr.i[0] = axis
	return v
}

type concat[T tensor.Float] struct{}

func (concat[T]) name() string { return "Concat" }

func (concat[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	axis, at := n.attr.i[0], 0
	for i := range n.in {
		d := t.input(n, i).Shape().Dim(axis)
		if t.wants(n, i) {
			t.give(n, i, Slice(g, axis, at, at+d))
		}
		at += d
	}
}

func (concat[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	parts := make([]Var[T], len(d))
	for i, v := range d {
		if !v.OK() {
			v = t.Input(t.ws.Zeros(t.input(n, i).Shape()))
		}
		parts[i] = v
	}
	return Concat(n.attr.i[0], parts...)
}

// Gather returns the rows idx of x viewed as a matrix, [len(idx), cols]. idx is kept until the tape is
// reset and must not change.
func Gather[T tensor.Float](x Var[T], idx []int32) Var[T] {
	t := x.tape
	y := t.out(tensor.ShapeOf(len(idx), x.Shape().Cols()))
	tensor.Gather(t.ws, y, x.Value(), idx)
	v := t.append(gather[T]{}, y, x)
	v.node().attr.idx = idx
	return v
}

// Embedding returns the rows of table [symbols, dim] for the given symbols: [len(symbols), dim].
func Embedding[T tensor.Float](table Var[T], symbols []int32) Var[T] { return Gather(table, symbols) }

type gather[T tensor.Float] struct{}

func (gather[T]) name() string { return "Gather" }

func (gather[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	x := t.input(n, 0)
	if t.wants(n, 0) {
		t.give(n, 0, like(ScatterAdd(g, n.attr.idx, x.Shape().Rows()), x))
	}
}

func (gather[T]) jvp(_ *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	return Gather(d[0], n.attr.idx)
}

// ScatterAdd returns the matrix [rows, cols] whose row k is the sum of the rows i of g with idx[i] = k, in
// order of i: the transpose of [Gather].
func ScatterAdd[T tensor.Float](g Var[T], idx []int32, rows int) Var[T] {
	t := g.tape
	y := t.out(tensor.ShapeOf(rows, g.Shape().Cols()))
	tensor.ScatterAdd(t.ws, y, g.Value(), idx)
	v := t.append(scatterAdd[T]{}, y, g)
	v.node().attr.idx = idx
	return v
}

type scatterAdd[T tensor.Float] struct{}

func (scatterAdd[T]) name() string { return "ScatterAdd" }

func (scatterAdd[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, like(Gather(g, n.attr.idx), t.input(n, 0)))
	}
}

func (scatterAdd[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return ScatterAdd(d[0], n.attr.idx, y.Shape().Rows())
}

// Pick returns the element in column col[i] of each row i of x viewed as a matrix, [rows]. col is kept
// until the tape is reset and must not change.
func Pick[T tensor.Float](x Var[T], col []int32) Var[T] {
	t := x.tape
	y := t.out(tensor.ShapeOf(len(col)))
	tensor.Pick(y, x.Value(), col)
	v := t.append(pick[T]{}, y, x)
	v.node().attr.idx = col
	return v
}

type pick[T tensor.Float] struct{}

func (pick[T]) name() string { return "Pick" }

func (pick[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, place(g, n.attr.idx, t.input(n, 0).Shape()))
	}
}

func (pick[T]) jvp(_ *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	return Pick(d[0], n.attr.idx)
}

// place is the transpose of Pick: v_i in column col[i] of row i, 0 elsewhere.
func place[T tensor.Float](v Var[T], col []int32, s tensor.Shape) Var[T] {
	t := v.tape
	y := t.out(s)
	tensor.Place(y, v.Value(), col)
	r := t.append(placeOp[T]{}, y, v)
	r.node().attr.idx = col
	return r
}

type placeOp[T tensor.Float] struct{}

func (placeOp[T]) name() string { return "Place" }

func (placeOp[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, Pick(g, n.attr.idx))
	}
}

func (placeOp[T]) jvp(_ *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return place(d[0], n.attr.idx, y.Shape())
}
