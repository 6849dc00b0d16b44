// Package check verifies derivatives of recorded computations.
//
// [Check] compares the derivatives of a function built from autodiff operations with finite
// differences and with each other, in double precision: first order in reverse and forward mode, and
// second order in every way the tape offers it. A new operation is tested by handing it to Check with
// inputs that keep away from its kinks.
package check

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// Func is a function of the inputs x, recorded on their tape t. The result may have any shape.
type Func func(t *autodiff.Tape[float64], x []autodiff.Var[float64]) autodiff.Var[float64]

// Tolerances of the comparisons: with finite differences, and of quantities that are equal but for
// rounding.
const (
	DifferenceTol = 1e-6
	IdentityTol   = 1e-11
)

// Report holds the largest relative error of each comparison. With c a random cotangent of y, φ(x) = ⟨c, y(x)⟩
// and u, v random directions:
type Report struct {
	JVP      float64 // J v against finite differences of y
	Gradient float64 // ∇φ, every element, against finite differences of φ
	Adjoint  float64 // ⟨Jᵀc, v⟩ against ⟨c, J v⟩
	Backward float64 // the fast reverse sweep against the recorded one
	Hessian  float64 // H v against finite differences of ∇φ
	Modes    float64 // H v as tangent of the gradient, gradient of the tangent, and gradient of ⟨∇φ, v⟩
	Symmetry float64 // ⟨u, H v⟩ against ⟨v, H u⟩
	Third    float64 // d/dt of ⟨u, H(x + t v) u⟩ against finite differences
}

// Check verifies the derivatives of f at the inputs. The error names the first comparison that
// failed, with what was found; nil means that all of them hold within [DifferenceTol] and
// [IdentityTol]. f must be smooth within 0.01 of the inputs in every element.
//
// Finite differences are central, extrapolated to sixth order (Richardson) from steps h, h/2 and h/4 with
// h = 1/256: their own error is about 1e-11.
func Check(f Func, inputs ...tensor.Tensor[float64]) (Report, error) {
	c := newChecker(f, inputs)
	return c.run()
}

type checker struct {
	f      Func
	inputs []tensor.Tensor[float64]
	tape   *autodiff.Tape[float64]
	x      []float64 // the inputs, joined
	cot    []float64
	u, v   []float64
	report Report
}

func newChecker(f Func, inputs []tensor.Tensor[float64]) *checker {
	c := &checker{f: f, inputs: inputs, tape: autodiff.NewTape(tensor.NewWorkspace[float64](nil))}
	for _, in := range inputs {
		c.x = append(c.x, in.Data()...)
	}
	c.cot = random("cotangent", c.record(c.x).Value().Size())
	c.u, c.v = random("u", len(c.x)), random("v", len(c.x))
	return c
}

func random(name string, n int) []float64 {
	r := make([]float64, n)
	tensor.Normal(tensor.KeyOf(1).Named(name), r, 0, 1)
	return r
}

// vars records the parts of flat, which have the shapes of the inputs.
func (c *checker) vars(flat []float64) []autodiff.Var[float64] {
	vs := make([]autodiff.Var[float64], len(c.inputs))
	at := 0
	for i, in := range c.inputs {
		vs[i] = c.tape.Input(tensor.Of(flat[at:at+in.Size():at+in.Size()], in.Shape()))
		at += in.Size()
	}
	return vs
}

func (c *checker) record(x []float64) autodiff.Var[float64] {
	c.tape.Reset()
	return c.f(c.tape, c.vars(x))
}

// phi records ⟨c, f(x)⟩ and returns it with the inputs.
func (c *checker) phi(x []float64) (autodiff.Var[float64], []autodiff.Var[float64]) {
	c.tape.Reset()
	in := c.vars(x)
	y := c.f(c.tape, in)
	return autodiff.Dot(y, c.tape.Input(tensor.Of(c.cot, y.Shape()))), in
}

func join(vs []autodiff.Var[float64]) []float64 {
	var r []float64
	for _, v := range vs {
		r = append(r, v.Value().Data()...)
	}
	return r
}

func (c *checker) value(x []float64) []float64 {
	return append([]float64(nil), c.record(x).Value().Data()...)
}

func (c *checker) gradient(x []float64) []float64 {
	p, in := c.phi(x)
	return join(c.tape.Gradient(p, in))
}

// hvp returns the Hessian of φ at x times v, as the tangent of the gradient.
func (c *checker) hvp(x, v []float64) []float64 {
	p, in := c.phi(x)
	g := c.tape.Gradient(p, in)
	return join(c.tape.JVP(g, in, c.vars(v)))
}

func (c *checker) run() (Report, error) {
	r := &c.report
	y := c.value(c.x)

	// First order.
	c.tape.Reset()
	in := c.vars(c.x)
	out := c.f(c.tape, in)
	jv := join(c.tape.JVP([]autodiff.Var[float64]{out}, in, c.vars(c.v)))
	if err := c.compare(&r.JVP, "JVP", jv, derivative(c.value, c.x, c.v), norm(y), DifferenceTol); err != nil {
		return *r, err
	}
	grad := c.gradient(c.x)
	num := make([]float64, len(c.x))
	e := make([]float64, len(c.x))
	for i := range e {
		e[i] = 1
		num[i] = dot(c.cot, derivative(c.value, c.x, e))
		e[i] = 0
	}
	if err := c.compare(&r.Gradient, "VJP", grad, num, norm(y), DifferenceTol); err != nil {
		return *r, err
	}
	if err := c.scalars(&r.Adjoint, "<VJP(c), v> and <c, JVP(v)>", dot(grad, c.v), dot(c.cot, jv), norm(grad)*norm(c.v)); err != nil {
		return *r, err
	}
	if err := c.backward(grad); err != nil {
		return *r, err
	}

	// Second order.
	hv := c.hvp(c.x, c.v)
	scale := math.Max(norm(grad), norm(y))
	if err := c.compare(&r.Hessian, "Hessian-vector product", hv, derivative(c.gradient, c.x, c.v), scale, DifferenceTol); err != nil {
		return *r, err
	}
	p, in := c.phi(c.x)
	g := c.tape.Gradient(p, in)
	s := c.inner(g, c.vars(c.v))
	rr := join(c.tape.Gradient(s, in))
	if err := c.compare(&r.Modes, "gradient of <gradient, v> and tangent of the gradient", rr, hv, scale, IdentityTol); err != nil {
		return *r, err
	}
	p, in = c.phi(c.x)
	tan := c.tape.JVP([]autodiff.Var[float64]{p}, in, c.vars(c.v))
	rf := join(c.tape.Gradient(tan[0], in))
	if err := c.compare(&r.Modes, "gradient of the tangent and tangent of the gradient", rf, hv, scale, IdentityTol); err != nil {
		return *r, err
	}
	hu := c.hvp(c.x, c.u)
	if err := c.scalars(&r.Symmetry, "<u, H v> and <v, H u>", dot(c.u, hv), dot(c.v, hu), math.Max(norm(hu), scale)*norm(c.v)); err != nil {
		return *r, err
	}

	// Third order: differentiate ⟨u, H u⟩ once more.
	p, in = c.phi(c.x)
	u := c.vars(c.u)
	g = c.tape.Gradient(p, in)
	q := c.inner(c.tape.JVP(g, in, u), u)
	third := dot(join(c.tape.Gradient(q, in)), c.v)
	curvature := func(x []float64) []float64 { return []float64{dot(c.hvp(x, c.u), c.u)} }
	err := c.compare(&r.Third, "third derivative", []float64{third}, derivative(curvature, c.x, c.v),
		math.Max(scale, norm(hu))*norm(c.u)*norm(c.v), DifferenceTol)
	return *r, err
}

// inner records Σ_i ⟨a_i, b_i⟩.
func (c *checker) inner(a, b []autodiff.Var[float64]) autodiff.Var[float64] {
	var s autodiff.Var[float64]
	for i := range a {
		d := autodiff.Dot(a[i], b[i])
		if s.OK() {
			d = autodiff.Add(s, d)
		}
		s = d
	}
	return s
}

// backward compares the fast sweep with the recorded one, twice on one recording: a sweep must leave the
// recording as it was.
func (c *checker) backward(grad []float64) error {
	p, in := c.phi(c.x)
	for range 2 {
		into := make([]tensor.Tensor[float64], len(in))
		for i, v := range in {
			into[i] = tensor.Of(random("garbage", v.Value().Size()), v.Shape())
		}
		c.tape.Backward(p, in, into, nil, nil)
		var g []float64
		for _, d := range into {
			g = append(g, d.Data()...)
		}
		if err := c.compare(&c.report.Backward, "Backward and Gradient", g, grad, norm(grad), IdentityTol); err != nil {
			return err
		}
	}
	return nil
}

// compare stores the largest error of found, relative to the largest of found, want and 10⁻³ of scale or
// of the inputs, and reports it if it is above tol. The last two stand in for the intermediate results,
// whose rounding a derivative that vanishes is compared with.
func (c *checker) compare(store *float64, what string, found, want []float64, scale, tol float64) error {
	if len(found) != len(want) {
		return fmt.Errorf("%s: %d elements, expected %d", what, len(found), len(want))
	}
	size := 1e-3*math.Max(scale, maxAbs(c.x)) + 1e-300
	for i := range want {
		size = math.Max(size, math.Max(math.Abs(want[i]), math.Abs(found[i])))
	}
	for i := range want {
		e := math.Abs(found[i]-want[i]) / size
		if !(e <= tol) {
			return fmt.Errorf("%s: element %d: found %.17g, expected %.17g: relative error %.2g, at most %.0g", what, i, found[i], want[i], e, tol)
		}
		*store = math.Max(*store, e)
	}
	return nil
}

func (c *checker) scalars(store *float64, what string, a, b, scale float64) error {
	return c.compare(store, what, []float64{a}, []float64{b}, scale, IdentityTol)
}

// derivative returns d/dt f(x + t v) at t = 0.
func derivative(f func([]float64) []float64, x, v []float64) []float64 {
	const h = 1.0 / 256
	scale := 1 / math.Max(1, maxAbs(v))
	central := func(h float64) []float64 {
		h *= scale
		p := make([]float64, len(x))
		for i := range x {
			p[i] = x[i] + h*v[i]
		}
		a := f(p)
		for i := range x {
			p[i] = x[i] - h*v[i]
		}
		b := f(p)
		for i := range a {
			a[i] = (a[i] - b[i]) / (2 * h)
		}
		return a
	}
	d1, d2, d4 := central(h), central(h/2), central(h/4)
	for i := range d1 {
		// The error of a central difference is a₂h² + a₄h⁴ + …
		e2, e4 := (4*d2[i]-d1[i])/3, (4*d4[i]-d2[i])/3
		d1[i] = (16*e4 - e2) / 15
	}
	return d1
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

func norm(a []float64) float64 { return math.Sqrt(dot(a, a)) }

func maxAbs(a []float64) float64 {
	m := 0.0
	for _, x := range a {
		m = math.Max(m, math.Abs(x))
	}
	return m
}
