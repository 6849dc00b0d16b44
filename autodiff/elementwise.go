package autodiff

import (
	"math"

	"github.com/descent-ml/descent/tensor"
)

// Add returns a + b for equal shapes.
func Add[T tensor.Float](a, b Var[T]) Var[T] {
	t, c := equalShapes("Add", a, b)
	tensor.Add(t.ws, c, a.Value(), b.Value())
	return t.append(add[T]{}, c, a, b)
}

type add[T tensor.Float] struct{}

func (add[T]) name() string { return "Add" }

func (add[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if !t.needs(n, 0) || !t.needs(n, 1) {
		t.handOn(n, 0, g)
		t.handOn(n, 1, g)
		return
	}
	t.pass(n, 0, g)
	t.pass(n, 1, g)
}

func (add[T]) jvp(_ *Tape[T], _ *node[T], _ Var[T], d []Var[T]) Var[T] { return sum(d[0], d[1]) }

// Sub returns a − b for equal shapes.
func Sub[T tensor.Float](a, b Var[T]) Var[T] {
	t, c := equalShapes("Sub", a, b)
	tensor.Sub(t.ws, c, a.Value(), b.Value())
	return t.append(sub[T]{}, c, a, b)
}

type sub[T tensor.Float] struct{}

func (sub[T]) name() string { return "Sub" }

func (sub[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	t.pass(n, 0, g)
	if t.wants(n, 1) {
		t.give(n, 1, Neg(g))
	}
}

func (sub[T]) jvp(_ *Tape[T], _ *node[T], _ Var[T], d []Var[T]) Var[T] {
	switch {
	case !d[0].OK():
		return Neg(d[1])
	case !d[1].OK():
		return d[0]
	}
	return Sub(d[0], d[1])
}

// Mul returns the element by element product a∘b for equal shapes.
func Mul[T tensor.Float](a, b Var[T]) Var[T] {
	t, c := equalShapes("Mul", a, b)
	tensor.Mul(t.ws, c, a.Value(), b.Value())
	return t.append(mul[T]{}, c, a, b)
}

type mul[T tensor.Float] struct{}

func (mul[T]) name() string { return "Mul" }

func (mul[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, Mul(g, t.input(n, 1)))
	}
	if t.wants(n, 1) {
		t.give(n, 1, Mul(g, t.input(n, 0)))
	}
}

func (mul[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	var y Var[T]
	if d[0].OK() {
		y = Mul(d[0], t.input(n, 1))
	}
	if d[1].OK() {
		y = sum(y, Mul(t.input(n, 0), d[1]))
	}
	return y
}

// Div returns the element by element quotient a/b for equal shapes.
func Div[T tensor.Float](a, b Var[T]) Var[T] {
	t, c := equalShapes("Div", a, b)
	tensor.Div(t.ws, c, a.Value(), b.Value())
	return t.append(div[T]{}, c, a, b)
}

// y = a/b:  ā = g/b,  b̄ = −g y/b;  ẏ = (ȧ − y ḃ)/b
type div[T tensor.Float] struct{}

func (div[T]) name() string { return "Div" }

func (div[T]) vjp(t *Tape[T], n *node[T], y, g Var[T]) {
	b := t.input(n, 1)
	if t.wants(n, 0) {
		t.give(n, 0, Div(g, b))
	}
	if t.needs(n, 1) {
		t.give(n, 1, Neg(Div(Mul(g, y), b)))
	}
}

func (div[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	num := d[0]
	if d[1].OK() {
		if p := Mul(y, d[1]); num.OK() {
			num = Sub(num, p)
		} else {
			num = Neg(p)
		}
	}
	return Div(num, t.input(n, 1))
}

func equalShapes[T tensor.Float](op string, a, b Var[T]) (*Tape[T], tensor.Tensor[T]) {
	if a.Shape() != b.Shape() {
		panic(tensor.ShapeError{Op: op, A: a.Shape(), B: b.Shape()})
	}
	return a.tape, a.tape.out(a.Shape())
}

// AddScalar returns x + c.
func AddScalar[T tensor.Float](x Var[T], c float64) Var[T] {
	y := x.tape.out(x.Shape())
	tensor.AddScalar(x.tape.ws, y, x.Value(), T(c))
	return x.tape.append(addScalar[T]{}, y, x)
}

type addScalar[T tensor.Float] struct{}

func (addScalar[T]) name() string { return "AddScalar" }

func (addScalar[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) { t.handOn(n, 0, g) }

func (addScalar[T]) jvp(_ *Tape[T], _ *node[T], _ Var[T], d []Var[T]) Var[T] { return d[0] }

// Scale returns c·x.
func Scale[T tensor.Float](x Var[T], c float64) Var[T] {
	y := x.tape.out(x.Shape())
	tensor.Scale(x.tape.ws, y, x.Value(), T(c))
	v := x.tape.append(scale[T]{}, y, x)
	v.node().attr.f[0] = c
	return v
}

// Neg returns −x.
func Neg[T tensor.Float](x Var[T]) Var[T] { return Scale(x, -1) }

type scale[T tensor.Float] struct{}

func (scale[T]) name() string { return "Scale" }

func (scale[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, Scale(g, n.attr.f[0]))
	}
}

func (scale[T]) jvp(_ *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	return Scale(d[0], n.attr.f[0])
}

// Mask returns x∘m for a constant m with as many elements.
func Mask[T tensor.Float](x Var[T], m tensor.Tensor[T]) Var[T] {
	y := x.tape.out(x.Shape())
	tensor.Mul(x.tape.ws, y, x.Value(), m)
	v := x.tape.append(mask[T]{}, y, x)
	v.node().aux[0] = m
	return v
}

type mask[T tensor.Float] struct{}

func (mask[T]) name() string { return "Mask" }

func (mask[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, Mask(g, n.aux[0]))
	}
}

func (mask[T]) jvp(_ *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] { return Mask(d[0], n.aux[0]) }

// Dropout returns x with each element independently set to 0 with probability p and divided by 1 − p
// otherwise, so that the expectation is x (Srivastava et al., 2014, in the inverted form). Which
// elements is a function of key alone. p lies in [0, 1).
func Dropout[T tensor.Float](x Var[T], p float64, key tensor.Key) Var[T] {
	if !(p >= 0 && p < 1) {
		panic(ValueError{Op: "Dropout", What: "probability", Value: p, Want: "[0, 1)"})
	}
	if p == 0 {
		return x
	}
	m := x.tape.ws.New(x.Shape())
	tensor.DropoutMask(x.tape.ws, m, p, key)
	return Mask(x, m)
}

// Where returns a where the constant mask m is not zero and b elsewhere. What the mask hides does not
// reach the derivative either, not even as NaN.
func Where[T tensor.Float](m tensor.Tensor[T], a, b Var[T]) Var[T] {
	t, y := equalShapes("Where", a, b)
	tensor.Select(y, m, a.Value(), b.Value())
	v := t.append(where[T]{}, y, a, b)
	v.node().aux[0] = m
	return v
}

type where[T tensor.Float] struct{}

func (where[T]) name() string { return "Where" }

func (where[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	zero := t.Input(t.ws.Zeros(g.Shape()))
	if t.wants(n, 0) {
		t.give(n, 0, Where(n.aux[0], g, zero))
	}
	if t.wants(n, 1) {
		t.give(n, 1, Where(n.aux[0], zero, g))
	}
}

func (where[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	a, b := d[0], d[1]
	if !a.OK() {
		a = t.Input(t.ws.Zeros(y.Shape()))
	}
	if !b.OK() {
		b = t.Input(t.ws.Zeros(y.Shape()))
	}
	return Where(n.aux[0], a, b)
}

// Maximum returns the larger of a and b, element by element (b where they are equal).
func Maximum[T tensor.Float](a, b Var[T]) Var[T] { return choose(a, b, false) }

// Minimum returns the smaller of a and b, element by element (b where they are equal).
func Minimum[T tensor.Float](a, b Var[T]) Var[T] { return choose(a, b, true) }

func choose[T tensor.Float](a, b Var[T], smaller bool) Var[T] {
	t, m := equalShapes("Maximum or Minimum", a, b)
	if smaller {
		tensor.Sub(t.ws, m, b.Value(), a.Value())
	} else {
		tensor.Sub(t.ws, m, a.Value(), b.Value())
	}
	tensor.Apply(t.ws, m, tensor.ReLU, m, 0)
	return Where(m, a, b)
}

// The functions of one variable, element by element. See [tensor.Func] for their definitions.

// Reciprocal returns 1/x.
func Reciprocal[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Reciprocal, x, 0) }

// Square returns x².
func Square[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Square, x, 0) }

// Abs returns |x|; the derivative at 0 is −1.
func Abs[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Abs, x, 0) }

// Sqrt returns √x.
func Sqrt[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Sqrt, x, 0) }

// Exp returns eˣ.
func Exp[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Exp, x, 0) }

// Log returns ln x.
func Log[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Log, x, 0) }

// Pow returns xᵖ.
func Pow[T tensor.Float](x Var[T], p float64) Var[T] { return applyFunc(tensor.Pow, x, p) }

// Sin returns sin x.
func Sin[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Sin, x, 0) }

// Cos returns cos x.
func Cos[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Cos, x, 0) }

// Erf returns the error function of x.
func Erf[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Erf, x, 0) }

// Tanh returns tanh x.
func Tanh[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Tanh, x, 0) }

// Sigmoid returns 1/(1 + e⁻ˣ).
func Sigmoid[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Sigmoid, x, 0) }

// Softplus returns ln(1 + eˣ).
func Softplus[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.Softplus, x, 0) }

// ReLU returns max(x, 0); the derivative at 0 is 0.
func ReLU[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.ReLU, x, 0) }

// LeakyReLU returns x where x > 0 and slope·x elsewhere.
func LeakyReLU[T tensor.Float](x Var[T], slope float64) Var[T] {
	return applyFunc(tensor.LeakyReLU, x, slope)
}

// ELU returns x where x > 0 and eˣ − 1 elsewhere.
func ELU[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.ELU, x, 0) }

// GELU returns x Φ(x), with Φ the standard normal distribution function.
func GELU[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.GELU, x, 0) }

// SiLU returns x/(1 + e⁻ˣ).
func SiLU[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.SiLU, x, 0) }

// HardTanh returns x cut to [−1, 1].
func HardTanh[T tensor.Float](x Var[T]) Var[T] { return applyFunc(tensor.HardTanh, x, 0) }

// Step returns 1 where x is positive and 0 elsewhere. Its derivative is zero almost everywhere; differentiation takes that of
// [HardTanh] in its place, 1 in (−1, 1] and 0 elsewhere: the straight-through estimator (Bengio, Léonard and Courville, 2013;
// Hubara et al., 2016), with which gradient methods can be run, though nothing that they compute is a derivative.
func Step[T tensor.Float](x Var[T]) Var[T] {
	y := x.tape.out(x.Shape())
	d, v := y.Data(), x.Value().Data()
	x.tape.ws.Pool().Range(len(d), 1<<14, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d[i] = 0
			if v[i] > 0 {
				d[i] = 1
			}
		}
	})
	return x.tape.recordUnary(tensor.HardTanh, y, x, 0)
}

func applyFunc[T tensor.Float](f tensor.Func, x Var[T], p float64) Var[T] {
	y := x.tape.out(x.Shape())
	tensor.Apply(x.tape.ws, y, f, x.Value(), p)
	return x.tape.recordUnary(f, y, x, p)
}

func (t *Tape[T]) recordUnary(f tensor.Func, y tensor.Tensor[T], x Var[T], p float64) Var[T] {
	v := t.append(unary[T]{}, y, x)
	n := v.node()
	n.attr.i[0], n.attr.f[0] = int(f), p
	return v
}

// unary is y = f(x), element by element: x̄ = g∘f′(x), ẏ = ẋ∘f′(x). In a final sweep the product is one
// pass over x, y and g, in g's own storage where possible; else f′(x) is itself recorded, as an
// expression in x and y.
type unary[T tensor.Float] struct{}

func (n *node[T]) fn() tensor.Func { return tensor.Func(n.attr.i[0]) }

func (unary[T]) name() string { return "elementwise function" }

func (unary[T]) vjp(t *Tape[T], n *node[T], y, g Var[T]) {
	if !t.wants(n, 0) {
		return
	}
	x, f, p := t.input(n, 0), n.fn(), n.attr.f[0]
	if t.final {
		d := t.reuse(g, y.Shape())
		tensor.ApplyGrad(t.ws, d, f, x.Value(), y.Value(), g.Value(), p)
		t.give(n, 0, t.Input(d))
		return
	}
	t.give(n, 0, timesSlope(f, x, y, g, p))
}

func (unary[T]) jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T] {
	return timesSlope(n.fn(), t.input(n, 0), y, d[0], n.attr.f[0])
}

// timesSlope returns g∘f′(x), differentiable in all of them.
func timesSlope[T tensor.Float](f tensor.Func, x, y, g Var[T], p float64) Var[T] {
	if f.PiecewiseLinear() {
		return recordGate(f, x, y, g, p)
	}
	switch f {
	case tensor.Reciprocal:
		return Neg(Mul(g, Square(y)))
	case tensor.Square:
		return Scale(Mul(g, x), 2)
	case tensor.Sqrt:
		return Scale(Div(g, y), 0.5)
	case tensor.Exp:
		return Mul(g, y)
	case tensor.Log:
		return Div(g, x)
	case tensor.Pow:
		return Scale(Mul(g, Pow(x, p-1)), p)
	case tensor.Sin:
		return Mul(g, Cos(x))
	case tensor.Cos:
		return Neg(Mul(g, Sin(x)))
	case tensor.Erf:
		return Scale(Mul(g, Exp(Neg(Square(x)))), 2/math.SqrtPi)
	case tensor.Tanh:
		return Sub(g, Mul(g, Square(y)))
	case tensor.Sigmoid:
		return Mul(g, Sub(y, Square(y)))
	case tensor.Softplus:
		return Mul(g, Sigmoid(x))
	case tensor.ELU:
		return Mul(g, Exp(Sub(x, ReLU(x)))) // 1 for x > 0, else eˣ
	case tensor.GELU: // Φ + x φ
		cdf := Scale(AddScalar(Erf(Scale(x, 1/math.Sqrt2)), 1), 0.5)
		pdf := Scale(Exp(Scale(Square(x), -0.5)), 1/math.Sqrt(2*math.Pi))
		return Mul(g, Add(cdf, Mul(x, pdf)))
	case tensor.SiLU: // σ + y(1 − σ)
		s := Sigmoid(x)
		return Mul(g, Add(s, Sub(y, Mul(y, s))))
	}
	panic("autodiff: no derivative of " + f.String())
}

// recordGate is g∘f′(x) for a piecewise linear f: linear in g, and constant in x almost everywhere.
func recordGate[T tensor.Float](f tensor.Func, x, y, g Var[T], p float64) Var[T] {
	t := g.tape
	d := t.reuse(g, g.Shape())
	tensor.ApplyGrad(t.ws, d, f, x.Value(), y.Value(), g.Value(), p)
	v := t.append(gate[T]{}, d, g, x, y)
	n := v.node()
	n.attr.i[0], n.attr.f[0] = int(f), p
	return v
}

// reluGrad returns g where y = ReLU(x) is positive and 0 elsewhere.
func reluGrad[T tensor.Float](_ *Tape[T], y, g Var[T]) Var[T] {
	return recordGate(tensor.ReLU, y, y, g, 0)
}

type gate[T tensor.Float] struct{}

func (gate[T]) name() string { return "slope of a piecewise linear function" }

func (gate[T]) vjp(t *Tape[T], n *node[T], _, g Var[T]) {
	if t.wants(n, 0) {
		t.give(n, 0, recordGate(n.fn(), t.input(n, 1), t.input(n, 2), g, n.attr.f[0]))
	}
}

func (gate[T]) jvp(t *Tape[T], n *node[T], _ Var[T], d []Var[T]) Var[T] {
	if !d[0].OK() {
		return Var[T]{}
	}
	return recordGate(n.fn(), t.input(n, 1), t.input(n, 2), d[0], n.attr.f[0])
}
