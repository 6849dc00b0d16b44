package autodiff

import "github.com/descent-ml/descent/tensor"

// BatchNorm returns gain∘x̂ + shift with x̂ the columns of x (viewed as a matrix: rows are examples and
// positions, columns are features or channels) brought to mean 0 and variance 1 over the batch (Ioffe and
// Szegedy, 2015). It also returns the batch's mean and variance, [cols], for running statistics; the variance
// is divided by the number of rows. gain and shift, [cols], may be the zero Var: 1 and 0. The mean and variance
// live as long as the recording.
//
//	x̂ = (x − μ) r,  r = 1/√(v + eps):   x̄ = r (ȳ − mean(ȳ) − x̂ mean(ȳ∘x̂));   the Jacobian is symmetric
func BatchNorm[T tensor.Float](x, gain, shift Var[T], eps float64) (y Var[T], mean, variance tensor.Tensor[T]) {
	cols := tensor.ShapeOf(x.Shape().Cols())
	mean, variance = x.tape.ws.New(cols), x.tape.ws.New(cols)
	y = standardize(x, rowsOf(x.Shape()), eps, true, mean, variance)
	return gainShift(y, gain, shift), mean, variance
}

// BatchNormInference returns gain∘(x − mean)/√(variance + eps) + shift for given statistics of the columns.
func BatchNormInference[T tensor.Float](x, gain, shift Var[T], mean, variance tensor.Tensor[T], eps float64) Var[T] {
	t := x.tape
	r := t.ws.New(variance.Shape())
	tensor.AddScalar(t.ws, r, variance, T(eps))
	tensor.Apply(t.ws, r, tensor.Pow, r, -0.5)
	m := t.ws.New(mean.Shape())
	tensor.Scale(t.ws, m, mean, -1)
	y := MulRow(AddRow(x, t.Input(m)), t.Input(r))
	return gainShift(y, gain, shift)
}

// LayerNorm returns gain∘x̂ + shift with x̂ each row of x brought to mean 0 and variance 1 along the last
// axis (Ba, Kiros and Hinton, 2016). gain and shift, [cols], may be the zero Var: 1 and 0.
func LayerNorm[T tensor.Float](x, gain, shift Var[T], eps float64) Var[T] {
	var none tensor.Tensor[T]
	return gainShift(standardize(x, colsOf(x.Shape()), eps, true, none, none), gain, shift)
}

// RMSNorm returns gain∘x/√(mean(x²) + eps) along the last axis (Zhang and Sennrich, 2019). gain, [cols], may
// be the zero Var: 1.
func RMSNorm[T tensor.Float](x, gain Var[T], eps float64) Var[T] {
	var none tensor.Tensor[T]
	return gainShift(standardize(x, colsOf(x.Shape()), eps, false, none, none), gain, Var[T]{})
}

// GroupNorm cuts the channels (last axis) of x [batch, ..., channels] into groups of equal size and brings
// each example's values of each group, over all positions, to mean 0 and variance 1 (Wu and He, 2018), then
// applies gain and shift, [channels], either of which may be the zero Var. One group a channel is instance norm.
func GroupNorm[T tensor.Float](x, gain, shift Var[T], groups int, eps float64) Var[T] {
	s := x.Shape()
	if s.Rank() < 2 || groups < 1 || s.Cols()%groups != 0 {
		panic(tensor.ShapeError{Op: "GroupNorm", A: s, B: tensor.ShapeOf(groups), Detail: "the groups do not divide the channels"})
	}
	batch, per := s.Dim(0), s.Cols()/groups
	positions := s.Rows() / max(1, batch)
	var none tensor.Tensor[T]
	y := Reshape(x, tensor.ShapeOf(batch, positions, groups, per))
	if groups > 1 {
		y = Permute(y, 0, 2, 1, 3)
	}
	y = standardize(y, tensor.Axis{Outer: batch * groups, N: positions * per, Inner: 1}, eps, true, none, none)
	if groups > 1 {
		y = Permute(y, 0, 2, 1, 3)
	}
	return gainShift(Reshape(y, s), gain, shift)
}

func gainShift[T tensor.Float](y, gain, shift Var[T]) Var[T] {
	if gain.OK() {
		y = MulRow(y, gain)
	}
	if shift.OK() {
		y = AddRow(y, shift)
	}
	return y
}

// standardize returns x̂; see [tensor.Standardize].
func standardize[T tensor.Float](x Var[T], ax tensor.Axis, eps float64, centred bool, mean, variance tensor.Tensor[T]) Var[T] {
	t := x.tape
	y, inv := t.out(x.Shape()), t.ws.New(tensor.ShapeOf(ax.Outer*ax.Inner))
	tensor.Standardize(t.ws, y, mean, variance, inv, x.Value(), ax, eps, centred)
	v := t.append(standard[T]{}, y, x)
	n := v.node()
	n.setAxis(ax)
	n.attr.i[3] = flag(centred)
	n.aux[0] = inv
	return v
}

type standard[T tensor.Float] struct{}

func (standard[T]) name() string { return "Standardize" }

func (standard[T]) vjp(t *Tape[T], n *node[T], y, g Var[T]) {
	if !t.wants(n, 0) {
		return
	}
	if t.final {
		d := t.reuse(g, y.Shape())
		tensor.StandardizeGrad(t.ws, d, y.Value(), n.aux[0], g.Value(), n.axis(), n.attr.i[3] != 0)
		t.give(n, 0, t.Input(d))
		return
	}
	t.give(n, 0, standardTangent(t, n, y, g))
}

func (standard[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return standardTangent(t, n, y, d[0])
}

// standardTangent returns r (u − mean(u) − x̂ mean(u∘x̂)), the Jacobian at x̂ = y times u.
func standardTangent[T tensor.Float](t *Tape[T], n *node[T], y, u Var[T]) Var[T] {
	ax, r := n.axis(), recordInvStd(t, n, y)
	s := n.aux[0].Shape()
	c := Scale(dotAxis(u, y, s, ax), -1/float64(ax.N))
	w := Add(u, mulAxis(y, c, ax))
	if n.attr.i[3] != 0 {
		w = addAxis(w, Scale(sumAxis(u, s, ax), -1/float64(ax.N)), ax)
	}
	return mulAxis(w, r, ax)
}

// recordInvStd records r = 1/√(v + eps), known already, as a function of x. With x̂ = y,
//
//	ṙ = −(r²/N) Σ x̂∘ẋ,   x̄ = −(r²/N) r̄ x̂.
//
// x̂ is an operand for reading: what r owes to x goes through operand 0 alone.
func recordInvStd[T tensor.Float](t *Tape[T], n *node[T], y Var[T]) Var[T] {
	r := t.append(invStd[T]{}, n.aux[0], t.input(n, 0), y)
	r.node().setAxis(n.axis())
	return r
}

type invStd[T tensor.Float] struct{}

func (invStd[T]) name() string { return "InverseDeviation" }

func (invStd[T]) vjp(t *Tape[T], n *node[T], r, g Var[T]) {
	if t.needs(n, 0) {
		ax := n.axis()
		c := Scale(Mul(g, Square(r)), -1/float64(ax.N))
		t.give(n, 0, like(mulAxis(t.input(n, 1), c, ax), t.input(n, 0)))
	}
}

func (invStd[T]) jvp(t *Tape[T], n *node[T], r Var[T], d []Var[T]) Var[T] {
	if !d[0].OK() {
		return Var[T]{}
	}
	ax := n.axis()
	return Mul(Square(r), Scale(dotAxis(t.input(n, 1), d[0], r.Shape(), ax), -1/float64(ax.N)))
}
