package autodiff

import "github.com/descent-ml/descent/tensor"

// Softmax returns the softmax along the last axis: e^(x_j)/Σ_k e^(x_k).
func Softmax[T tensor.Float](x Var[T]) Var[T] { return recordSoftmax(x, 0) }

// recordSoftmax is Softmax with the causal mask of [tensor.Softmax].
//
//	y = softmax(x):   x̄ = y∘(ȳ − ⟨y, ȳ⟩) row by row;  the Jacobian is symmetric, so ẏ is the same map of ẋ
//
// A masked element has y = 0, which makes both zero there too.
func recordSoftmax[T tensor.Float](x Var[T], causal int) Var[T] {
	t := x.tape
	y := t.out(x.Shape())
	tensor.Softmax(t.ws, y, x.Value(), causal)
	return t.append(softmax[T]{}, y, x)
}

type softmax[T tensor.Float] struct{}

func (softmax[T]) name() string { return "Softmax" }

func (softmax[T]) vjp(t *Tape[T], n *node[T], y, g Var[T]) {
	if !t.wants(n, 0) {
		return
	}
	if t.final {
		d := t.reuse(g, y.Shape())
		tensor.SoftmaxGrad(t.ws, d, y.Value(), g.Value())
		t.give(n, 0, t.Input(d))
		return
	}
	t.give(n, 0, softmaxTangent(y, g))
}

func (softmax[T]) jvp(_ *Tape[T], _ *node[T], y Var[T], d []Var[T]) Var[T] {
	return softmaxTangent(y, d[0])
}

// softmaxTangent returns y∘(g − ⟨y, g⟩).
func softmaxTangent[T tensor.Float](y, g Var[T]) Var[T] {
	s := Neg(dotAxis(y, g, tensor.ShapeOf(y.Shape().Rows()), colsOf(y.Shape())))
	return Mul(y, AddCol(g, s))
}

// LogSoftmax returns x − ln Σ_k e^(x_k) along the last axis.
//
//	y = logsoftmax(x), p = e^y:   x̄ = ȳ − p Σ_k ȳ_k;   ẏ = ẋ − ⟨p, ẋ⟩
func LogSoftmax[T tensor.Float](x Var[T]) Var[T] {
	t := x.tape
	y := t.out(x.Shape())
	tensor.LogSoftmax(t.ws, y, x.Value())
	return t.append(logSoftmax[T]{}, y, x)
}

type logSoftmax[T tensor.Float] struct{}

func (logSoftmax[T]) name() string { return "LogSoftmax" }

func (logSoftmax[T]) vjp(t *Tape[T], n *node[T], y, g Var[T]) {
	if t.needs(n, 0) {
		t.give(n, 0, Sub(g, MulCol(Exp(y), SumCols(g))))
	}
}

func (logSoftmax[T]) jvp(_ *Tape[T], _ *node[T], y Var[T], d []Var[T]) Var[T] {
	s := dotAxis(Exp(y), d[0], tensor.ShapeOf(y.Shape().Rows()), colsOf(y.Shape()))
	return AddCol(d[0], Neg(s))
}

// LogSumExpRows returns ln Σ_k e^(x_ik) for each row i of x viewed as a matrix, [rows].
func LogSumExpRows[T tensor.Float](x Var[T]) Var[T] {
	t := x.tape
	y := t.out(tensor.ShapeOf(x.Shape().Rows()))
	tensor.LogSumExp(t.ws, y, x.Value())
	return t.append(logSumExp[T]{}, y, x)
}

type logSumExp[T tensor.Float] struct{}

func (logSumExp[T]) name() string { return "LogSumExpRows" }

func (logSumExp[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.needs(n, 0) {
		t.give(n, 0, MulCol(Softmax(t.input(n, 0)), g))
	}
}

func (logSumExp[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	x := t.input(n, 0)
	return dotAxis(Softmax(x), d[0], y.Shape(), colsOf(x.Shape()))
}
