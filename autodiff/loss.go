package autodiff

import "github.com/descent-ml/descent/tensor"

// CrossEntropy returns the mean over the rows of z [..., K] of the cross-entropy of softmax(z) against the labels,
// smoothed: LSE(z) − Σ_j q_j z_j with q = (1 − ε) onehot(label) + ε/K. labels has one entry a row, in [0, K);
// it is kept until the tape is reset and must not change.
//
//	z̄ = ȳ (softmax(z) − q)/rows
func CrossEntropy[T tensor.Float](z Var[T], labels []int32, smoothing float64) Var[T] {
	if !(smoothing >= 0 && smoothing <= 1) {
		panic(ValueError{Op: "CrossEntropy", What: "label smoothing", Value: smoothing, Want: "[0, 1]"})
	}
	t := z.tape
	l := tensor.CrossEntropy(t.ws, z.Value(), labels, smoothing)
	y := t.out(tensor.Shape{})
	y.Data()[0] = l
	v := t.append(crossEntropy[T]{}, y, z)
	n := v.node()
	n.attr.idx, n.attr.f[0] = labels, smoothing
	return v
}

type crossEntropy[T tensor.Float] struct{}

func (crossEntropy[T]) name() string { return "CrossEntropy" }

func (crossEntropy[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if !t.wants(n, 0) {
		return
	}
	z := t.input(n, 0)
	if t.final {
		d := t.out(z.Shape())
		s := g.Value().Data()[0] / T(z.Shape().Rows())
		tensor.CrossEntropyGrad(t.ws, d, z.Value(), n.attr.idx, n.attr.f[0], s)
		t.give(n, 0, t.Input(d))
		return
	}
	t.give(n, 0, ScaleBy(crossEntropySlope(t, n), Scale(g, 1/float64(z.Shape().Rows()))))
}

func (crossEntropy[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	return Scale(Dot(crossEntropySlope(t, n), d[0]), 1/float64(d[0].Shape().Rows()))
}

// crossEntropySlope returns softmax(z) − q.
func crossEntropySlope[T tensor.Float](t *Tape[T], n *node[T]) Var[T] {
	z := t.input(n, 0)
	q := t.ws.New(z.Shape())
	tensor.SmoothedLabels(q, n.attr.idx, n.attr.f[0])
	return Sub(Softmax(z), t.Input(q))
}

// SquaredError returns the mean over the rows of z of ½ Σ_j (z_j − y_j)².
func SquaredError[T tensor.Float](z, y Var[T]) Var[T] {
	return elementLoss(tensor.SquaredLoss, z, y, 0)
}

// BernoulliNLL returns the mean over the rows of z of Σ_j ln(1 + e^(z_j)) − y_j z_j: the negative
// log-likelihood of y_j ∈ [0, 1] under independent Bernoulli laws with the logits z_j.
func BernoulliNLL[T tensor.Float](z, y Var[T]) Var[T] {
	return elementLoss(tensor.BernoulliLoss, z, y, 0)
}

// PoissonNLL returns the mean over the rows of z of Σ_j e^(z_j) − y_j z_j: the negative log-likelihood of the
// counts y_j under Poisson laws with the log rates z_j, without the constant ln y_j!.
func PoissonNLL[T tensor.Float](z, y Var[T]) Var[T] { return elementLoss(tensor.PoissonLoss, z, y, 0) }

// HuberLoss returns the mean over the rows of z of Σ_j h(z_j − y_j), where h(r) = ½ r² for |r| ≤ delta and
// delta (|r| − ½ delta) beyond (Huber, 1964).
func HuberLoss[T tensor.Float](z, y Var[T], delta float64) Var[T] {
	if !(delta > 0) {
		panic(ValueError{Op: "HuberLoss", What: "delta", Value: delta, Want: "a positive number"})
	}
	return elementLoss(tensor.HuberLoss, z, y, delta)
}

func elementLoss[T tensor.Float](l tensor.Loss, z, y Var[T], delta float64) Var[T] {
	if z.Shape() != y.Shape() {
		panic(tensor.ShapeError{Op: l.String(), A: z.Shape(), B: y.Shape()})
	}
	t := z.tape
	value := tensor.ElementLoss(t.ws, l, z.Value(), y.Value(), delta)
	r := t.out(tensor.Shape{})
	r.Data()[0] = value
	v := t.append(lossOp[T]{}, r, z, y)
	n := v.node()
	n.attr.i[0], n.attr.f[0] = int(l), delta
	return v
}

// lossOp is L = (1/rows) Σ ℓ(z, y):  z̄ = L̄ ℓ_z/rows,  ȳ = L̄ ℓ_y/rows.
type lossOp[T tensor.Float] struct{}

func (lossOp[T]) name() string { return "loss" }

func (lossOp[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	l, delta := tensor.Loss(n.attr.i[0]), n.attr.f[0]
	z, y := t.input(n, 0), t.input(n, 1)
	rows := float64(z.Shape().Rows())
	if t.final && t.wants(n, 0) {
		d := t.out(z.Shape())
		tensor.ElementLossGrad(t.ws, d, l, z.Value(), y.Value(), g.Value().Data()[0]/T(rows), delta)
		t.give(n, 0, t.Input(d))
	} else if t.needs(n, 0) {
		t.give(n, 0, ScaleBy(lossSlope(l, z, y, delta), Scale(g, 1/rows)))
	}
	if t.needs(n, 1) {
		t.give(n, 1, ScaleBy(targetSlope(l, z, y, delta), Scale(g, 1/rows)))
	}
}

func (lossOp[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	l, delta := tensor.Loss(n.attr.i[0]), n.attr.f[0]
	z, y := t.input(n, 0), t.input(n, 1)
	var r Var[T]
	if d[0].OK() {
		r = Dot(lossSlope(l, z, y, delta), d[0])
	}
	if d[1].OK() {
		r = sum(r, Dot(targetSlope(l, z, y, delta), d[1]))
	}
	return Scale(r, 1/float64(z.Shape().Rows()))
}

// lossSlope returns ∂ℓ/∂z, recorded.
func lossSlope[T tensor.Float](l tensor.Loss, z, y Var[T], delta float64) Var[T] {
	switch l {
	case tensor.BernoulliLoss:
		return Sub(Sigmoid(z), y)
	case tensor.PoissonLoss:
		return Sub(Exp(z), y)
	case tensor.HuberLoss:
		return Scale(HardTanh(Scale(Sub(z, y), 1/delta)), delta)
	}
	return Sub(z, y)
}

// targetSlope returns ∂ℓ/∂y, recorded.
func targetSlope[T tensor.Float](l tensor.Loss, z, y Var[T], delta float64) Var[T] {
	switch l {
	case tensor.BernoulliLoss, tensor.PoissonLoss:
		return Neg(z)
	}
	return Neg(lossSlope(l, z, y, delta))
}
