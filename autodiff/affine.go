package autodiff

import "github.com/descent-ml/descent/tensor"

// MatMul returns op(a)·op(b) for matrices a and b, where op transposes if the flag is set.
//
//	C = A B:   Ā = C̄ Bᵀ,  B̄ = Aᵀ C̄;   Ċ = Ȧ B + A Ḃ
//
// a and b are viewed as matrices of Shape.Rows rows and Shape.Cols columns.
func MatMul[T tensor.Float](a, b Var[T], transA, transB bool) Var[T] {
	t := a.tape
	s := tensor.MatMulShape(a.Shape(), b.Shape(), transA, transB)
	c := t.out(s)
	tensor.MatMul(t.ws, c, a.Value(), b.Value(), transA, transB)
	v := t.append(matMul[T]{}, c, a, b)
	n := v.node()
	n.attr.i[0], n.attr.i[1] = flag(transA), flag(transB)
	return v
}

type matMul[T tensor.Float] struct{}

func (matMul[T]) name() string { return "MatMul" }

func (matMul[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	a, b := t.input(n, 0), t.input(n, 1)
	ta, tb := n.attr.i[0] != 0, n.attr.i[1] != 0
	if t.wants(n, 0) {
		if ta {
			t.give(n, 0, like(MatMul(b, g, tb, true), a)) // C = Aᵀ op(B): Ā = op(B) C̄ᵀ
		} else {
			t.give(n, 0, like(MatMul(g, b, false, !tb), a))
		}
	}
	if t.wants(n, 1) {
		if tb {
			t.give(n, 1, like(MatMul(g, a, true, ta), b))
		} else {
			t.give(n, 1, like(MatMul(a, g, !ta, false), b))
		}
	}
}

func (matMul[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	ta, tb := n.attr.i[0] != 0, n.attr.i[1] != 0
	var y Var[T]
	if d[0].OK() {
		y = MatMul(d[0], t.input(n, 1), ta, tb)
	}
	if d[1].OK() {
		y = sum(y, MatMul(t.input(n, 0), d[1], ta, tb))
	}
	return y
}

// Affine returns x·w + b, the vector b added to every row: x [..., in] is viewed as rows, w is [in, out], b
// [out] or the zero Var for none; the result is [..., out].
//
//	Y = X W + 1 bᵀ:   X̄ = Ȳ Wᵀ,  W̄ = Xᵀ Ȳ,  b̄ = Ȳᵀ 1;   Ẏ = Ẋ W + X Ẇ + 1 ḃᵀ
func Affine[T tensor.Float](x, w, b Var[T]) Var[T] { return recordAffine(x, w, b, false) }

// AffineReLU returns max(0, x·w + b), computed in one pass; see [Affine]. It is recorded as an affine
// operation and a [ReLU] that share their storage: the result's [Var.Operand] 0 is the affine
// operation, which can be watched for ∂L/∂(x·w + b), but whose value holds max(0, x·w + b).
func AffineReLU[T tensor.Float](x, w, b Var[T]) Var[T] {
	y := recordAffine(x, w, b, true)
	return y.tape.recordUnary(tensor.ReLU, y.Value(), y, 0)
}

func recordAffine[T tensor.Float](x, w, b Var[T], relu bool) Var[T] {
	t := x.tape
	if w.Shape().Rank() != 2 {
		panic(tensor.ShapeError{Op: "Affine: want a weight of 2 axes", A: x.Shape(), B: w.Shape()})
	}
	y := t.out(tensor.MatMulShape(x.Shape(), w.Shape(), false, false))
	var bias tensor.Tensor[T]
	if b.OK() {
		bias = b.Value()
	}
	tensor.Affine(t.ws, y, x.Value(), w.Value(), bias, relu)
	return t.append(affine[T]{}, y, x, w, b)
}

type affine[T tensor.Float] struct{}

func (affine[T]) name() string { return "Affine" }

func (affine[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 2) {
		t.give(n, 2, like(SumRows(g), t.input(n, 2)))
	}
	if t.wants(n, 1) {
		t.give(n, 1, MatMul(t.input(n, 0), g, true, false))
	}
	if t.wants(n, 0) {
		t.give(n, 0, MatMul(g, t.input(n, 1), false, true))
	}
}

func (affine[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	bias := d[2]
	var r Var[T]
	if d[0].OK() {
		r, bias = Affine(d[0], t.input(n, 1), bias), Var[T]{}
	}
	if d[1].OK() {
		r, bias = sum(r, Affine(t.input(n, 0), d[1], bias)), Var[T]{}
	}
	if bias.OK() {
		r = spread(bias, y.Shape(), rowsOf(y.Shape()))
	}
	return r
}

// BatchMatMul returns op(a_i)·op(b_i) for stacks of matrices: the last two axes are a matrix, the axes before
// them must be equal.
func BatchMatMul[T tensor.Float](a, b Var[T], transA, transB bool) Var[T] {
	t := a.tape
	c := t.out(tensor.BatchMatMulShape(a.Shape(), b.Shape(), transA, transB))
	tensor.BatchMatMul(t.ws, c, a.Value(), b.Value(), transA, transB)
	v := t.append(batchMatMul[T]{}, c, a, b)
	n := v.node()
	n.attr.i[0], n.attr.i[1] = flag(transA), flag(transB)
	return v
}

type batchMatMul[T tensor.Float] struct{}

func (batchMatMul[T]) name() string { return "BatchMatMul" }

func (batchMatMul[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	a, b := t.input(n, 0), t.input(n, 1)
	ta, tb := n.attr.i[0] != 0, n.attr.i[1] != 0
	if t.wants(n, 0) {
		if ta {
			t.give(n, 0, BatchMatMul(b, g, tb, true))
		} else {
			t.give(n, 0, BatchMatMul(g, b, false, !tb))
		}
	}
	if t.wants(n, 1) {
		if tb {
			t.give(n, 1, BatchMatMul(g, a, true, ta))
		} else {
			t.give(n, 1, BatchMatMul(a, g, !ta, false))
		}
	}
}

func (batchMatMul[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	ta, tb := n.attr.i[0] != 0, n.attr.i[1] != 0
	var y Var[T]
	if d[0].OK() {
		y = BatchMatMul(d[0], t.input(n, 1), ta, tb)
	}
	if d[1].OK() {
		y = sum(y, BatchMatMul(t.input(n, 0), d[1], ta, tb))
	}
	return y
}

// SparseMatMul returns m·x, or mᵀ·x if transposed, for a constant sparse matrix m; x is viewed as a matrix
// with as many rows as m has columns (rows if transposed).
func SparseMatMul[T tensor.Float](m *tensor.CSR[T], x Var[T], transposed bool) Var[T] {
	t := x.tape
	if transposed {
		m = m.T()
	}
	rows, _ := m.Dims()
	y := t.out(tensor.ShapeOf(rows, x.Shape().Cols()))
	tensor.SparseMatMul(t.ws, y, m, x.Value())
	v := t.append(sparseMatMul[T]{}, y, x)
	v.node().attr.any = m
	return v
}

type sparseMatMul[T tensor.Float] struct{}

func (sparseMatMul[T]) name() string { return "SparseMatMul" }

func (sparseMatMul[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, like(SparseMatMul(n.attr.any.(*tensor.CSR[T]), g, true), t.input(n, 0)))
	}
}

func (sparseMatMul[T]) jvp(_ *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	return SparseMatMul(n.attr.any.(*tensor.CSR[T]), d[0], false)
}

// like returns v with the shape of x, which has as many elements.
func like[T tensor.Float](v, x Var[T]) Var[T] {
	if v.Shape() == x.Shape() {
		return v
	}
	return Reshape(v, x.Shape())
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sum adds two tangents, either of which may be the zero Var.
func sum[T tensor.Float](a, b Var[T]) Var[T] {
	switch {
	case !a.OK():
		return b
	case !b.OK():
		return a
	}
	return Add(a, b)
}
