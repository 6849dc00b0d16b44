package autodiff_test

import (
	"fmt"
	"math"
	"testing"

	ad "github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

func newTape(workers int) tape {
	return ad.NewTape(tensor.NewWorkspace[float64](tensor.NewPool(workers)))
}

// close reports whether a and b agree to tol relative to the largest element.
func near(a, b []float64, tol float64) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d and %d elements", len(a), len(b))
	}
	scale := 1e-300
	for i := range a {
		scale = math.Max(scale, math.Max(math.Abs(a[i]), math.Abs(b[i])))
	}
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= tol*scale) {
			return fmt.Errorf("element %d: %.17g and %.17g", i, a[i], b[i])
		}
	}
	return nil
}

// net is a small classifier: tanh and ReLU layers, layer norm, cross-entropy.
type net struct {
	x      tensor.Tensor[float64]
	labels []int32
	theta  []tensor.Tensor[float64]
}

func smallNet() net {
	return net{
		x:      normal("x", 5, 3),
		labels: []int32{0, 2, 1, 1, 0},
		theta:  tensors(normal("w1", 3, 4), normal("b1", 4), normal("w2", 4, 4), normal("b2", 4), normal("w3", 4, 3), normal("b3", 3)),
	}
}

func (n net) inputs(t tape) []vr {
	p := make([]vr, len(n.theta))
	for i, w := range n.theta {
		p[i] = t.Input(w)
	}
	return p
}

func (n net) output(t tape, p []vr) vr {
	h := ad.Tanh(ad.Affine(t.Input(n.x), p[0], p[1]))
	h = ad.LayerNorm(h, vr{}, vr{}, 1e-2)
	return ad.Affine(ad.AffineReLU(h, p[2], p[3]), p[4], p[5])
}

func (n net) loss(t tape, p []vr) vr { return ad.CrossEntropy(n.output(t, p), n.labels, 0.1) }

func (n net) size() int {
	s := 0
	for _, w := range n.theta {
		s += w.Size()
	}
	return s
}

// split cuts a flat vector into recorded inputs with the shapes of the parameters.
func (n net) split(t tape, flat []float64) []vr {
	p := make([]vr, len(n.theta))
	for i, w := range n.theta {
		p[i] = t.Input(tensor.Of(flat[:w.Size()], w.Shape()))
		flat = flat[w.Size():]
	}
	return p
}

func flat(vs []vr) []float64 {
	var r []float64
	for _, v := range vs {
		r = append(r, v.Value().Data()...)
	}
	return r
}

func inner(a, b []vr) vr {
	s := ad.Dot(a[0], b[0])
	for i := 1; i < len(a); i++ {
		s = ad.Add(s, ad.Dot(a[i], b[i]))
	}
	return s
}

func unit(n, i int) []float64 {
	e := make([]float64, n)
	e[i] = 1
	return e
}

// hessian returns the columns of the Hessian of the loss, forward over reverse.
func (n net) hessian() [][]float64 {
	t := newTape(1)
	p := n.inputs(t)
	g := t.Gradient(n.loss(t, p), p)
	m := t.Mark()
	h := make([][]float64, n.size())
	for i := range h {
		h[i] = flat(t.JVP(g, p, n.split(t, unit(n.size(), i))))
		t.Release(m)
	}
	return h
}

func TestHessianIsSymmetric(t *testing.T) {
	h := smallNet().hessian()
	for i := range h {
		for j := range i {
			if math.Abs(h[i][j]-h[j][i]) > 1e-13 {
				t.Fatalf("H[%d,%d] = %.17g, H[%d,%d] = %.17g", i, j, h[i][j], j, i, h[j][i])
			}
		}
	}
}

func TestReverseOverReverseIsForwardOverReverse(t *testing.T) {
	n := smallNet()
	h := n.hessian()
	tp := newTape(1)
	p := n.inputs(tp)
	g := tp.Gradient(n.loss(tp, p), p)
	m := tp.Mark()
	for i := range h {
		rr := flat(tp.Gradient(inner(g, n.split(tp, unit(len(h), i))), p))
		if err := near(rr, h[i], 1e-12); err != nil {
			t.Fatalf("column %d: %v", i, err)
		}
		tp.Release(m)
	}
}

// A Gauss-Newton product is Jᵀ(H_out(J v)): a tangent, a product with the loss's Hessian, a cotangent.
func TestGaussNewtonProduct(t *testing.T) {
	n := smallNet()
	size, rows, k := n.size(), n.x.Shape().Rows(), 3
	tp := newTape(1)
	p := n.inputs(tp)
	z := n.output(tp, p)
	m := tp.Mark()

	// J densely, by columns (tangents) and by rows (cotangents).
	jac := make([][]float64, size)
	for i := range jac {
		jac[i] = flat(tp.JVP([]vr{z}, p, n.split(tp, unit(size, i))))
		tp.Release(m)
	}
	for o := range rows * k {
		row := flat(tp.VJP(z, tp.Input(tensor.FromSlice(unit(rows*k, o), rows, k)), p))
		for i := range row {
			if math.Abs(row[i]-jac[i][o]) > 1e-13 {
				t.Fatalf("J[%d,%d]: reverse %.17g, forward %.17g", o, i, row[i], jac[i][o])
			}
		}
		tp.Release(m)
	}

	// The Hessian of the mean cross-entropy with respect to the outputs: (diag(s) − s sᵀ)/rows, row by row.
	soft := ad.Softmax(z).Value().Clone()
	v := normal("v", size).Data()
	jv := make([]float64, rows*k)
	for i := range jac {
		for o := range jv {
			jv[o] += jac[i][o] * v[i]
		}
	}
	hjv := make([]float64, rows*k)
	for r := range rows {
		s, a := soft.Data()[r*k:(r+1)*k], jv[r*k:(r+1)*k]
		sa := 0.0
		for j := range s {
			sa += s[j] * a[j]
		}
		for j := range s {
			hjv[r*k+j] = s[j] * (a[j] - sa) / float64(rows)
		}
	}
	want := make([]float64, size)
	for i := range jac {
		for o := range hjv {
			want[i] += jac[i][o] * hjv[o]
		}
	}

	tp.Release(m)
	jvv := tp.JVP([]vr{z}, p, n.split(tp, v))[0]
	zc := tp.Input(z.Value())
	grad := tp.Gradient(ad.CrossEntropy(zc, n.labels, 0.1), []vr{zc})
	hv := tp.JVP(grad, []vr{zc}, []vr{jvv})[0]
	got := flat(tp.VJP(z, hv, p))
	if err := near(got, want, 1e-12); err != nil {
		t.Error(err)
	}
}

func TestDerivativesAreLinear(t *testing.T) {
	n := smallNet()
	tp := newTape(1)
	p := n.inputs(tp)
	z := n.output(tp, p)
	u, v := normal("u", n.size()).Data(), normal("v", n.size()).Data()
	w := make([]float64, len(u))
	for i := range w {
		w[i] = 2*u[i] - 3*v[i]
	}
	jvp := func(d []float64) []float64 { return flat(tp.JVP([]vr{z}, p, n.split(tp, d))) }
	ju, jv, jw := jvp(u), jvp(v), jvp(w)
	for i := range ju {
		ju[i] = 2*ju[i] - 3*jv[i]
	}
	if err := near(jw, ju, 1e-13); err != nil {
		t.Errorf("JVP: %v", err)
	}
	vjp := func(c tensor.Tensor[float64]) []float64 { return flat(tp.VJP(z, tp.Input(c), p)) }
	a, b := normal("a", 5, 3), normal("b", 5, 3)
	c := a.Clone()
	for i := range c.Data() {
		c.Data()[i] = 2*a.Data()[i] - 3*b.Data()[i]
	}
	va, vb, vc := vjp(a), vjp(b), vjp(c)
	for i := range va {
		va[i] = 2*va[i] - 3*vb[i]
	}
	if err := near(vc, va, 1e-13); err != nil {
		t.Errorf("VJP: %v", err)
	}
}

func TestHigherDerivatives(t *testing.T) {
	// d⁵/dx⁵ of x³ sin x by five nested derivatives, alternating modes.
	x0 := 0.7
	tp := newTape(1)
	x := tp.Input(tensor.Scalar(x0))
	y := ad.Mul(ad.Mul(x, ad.Square(x)), ad.Sin(x))
	one := tp.Input(tensor.Scalar(1.0))
	for k := range 5 {
		if k%2 == 0 {
			y = tp.Gradient(y, []vr{x})[0]
		} else {
			y = tp.JVP([]vr{y}, []vr{x}, []vr{one})[0]
		}
	}
	s, c := math.Sin(x0), math.Cos(x0)
	// Leibniz: Σ_k C(5,k) (x³)^(k) sin^(5−k).
	want := x0*x0*x0*c + 5*3*x0*x0*s - 10*6*x0*c - 10*6*s
	if got := y.Value().Data()[0]; math.Abs(got-want) > 1e-12 {
		t.Errorf("fifth derivative = %.17g, want %.17g", got, want)
	}
}

func TestBackward(t *testing.T) {
	n := smallNet()
	tp := newTape(1)
	p := n.inputs(tp)
	x := tp.Input(n.x)
	a := ad.Affine(x, p[0], p[1])
	h := ad.Tanh(a)
	r := ad.AffineReLU(h, p[2], p[3])
	z := ad.Affine(ad.Add(r, h), p[4], p[5]) // h has two consumers
	y := ad.CrossEntropy(z, n.labels, 0)
	unused := tp.Input(normal("unused", 2))

	// Intermediate values can be asked for too, the output itself, values that y does not depend on and
	// the same one twice.
	wrt := append([]vr{h, z, y, unused, r, p[0], a}, p...)
	want := tp.Gradient(y, wrt)
	watch := []vr{x, a, h, r.Operand(0), r, z, y}
	watched := tp.Gradient(y, watch)
	into := make([]tensor.Tensor[float64], len(wrt))
	for i, v := range wrt {
		into[i] = tensor.New[float64](v.Shape().Dims()...)
		tensor.Fill(into[i], math.NaN())
	}
	value := y.Value().Data()[0]
	for range 2 {
		var order []int
		tp.Backward(y, wrt, into, watch, func(i int, g tensor.Tensor[float64]) {
			order = append(order, i)
			if err := near(g.Data(), watched[i].Value().Data(), 1e-13); err != nil {
				t.Errorf("watched %d: %v", i, err)
			}
		})
		if fmt.Sprint(order) != "[6 5 4 3 2 1 0]" {
			t.Errorf("watched in order %v", order)
		}
		for i := range wrt {
			if err := near(into[i].Data(), want[i].Value().Data(), 1e-13); err != nil {
				t.Errorf("gradient %d: %v", i, err)
			}
		}
	}
	if got := y.Value().Data()[0]; got != value {
		t.Errorf("loss changed from %g to %g", value, got)
	}
	// The tape is as good as before for recorded derivatives.
	again := tp.Gradient(y, wrt)
	if err := near(flat(again), flat(want), 0); err != nil {
		t.Errorf("gradient after Backward: %v", err)
	}
}

func TestAffineReLUTap(t *testing.T) {
	// The watched operand of AffineReLU gets the cotangent from before the ReLU: that of the unfused pair.
	n := smallNet()
	var grads [2][]float64
	for k := range grads {
		tp := newTape(1)
		p := n.inputs(tp)
		h := tp.Input(normal("h", 5, 4))
		var a, r vr
		if k == 0 {
			a = ad.Affine(h, p[2], p[3])
			r = ad.ReLU(a)
		} else {
			r = ad.AffineReLU(h, p[2], p[3])
			a = r.Operand(0)
		}
		y := ad.CrossEntropy(ad.Affine(r, p[4], p[5]), n.labels, 0)
		tp.Backward(y, nil, nil, []vr{a}, func(_ int, g tensor.Tensor[float64]) {
			grads[k] = append(grads[k], g.Data()...)
		})
	}
	if err := near(grads[0], grads[1], 0); err != nil || len(grads[0]) != 20 {
		t.Errorf("%d elements, %v", len(grads[0]), err)
	}
}

func TestReset(t *testing.T) {
	n := smallNet()
	tp := newTape(2)
	run := func() []float64 {
		tp.Reset()
		p := n.inputs(tp)
		return append([]float64(nil), flat(tp.Gradient(n.loss(tp, p), p))...)
	}
	first := run()
	bytes := tp.Workspace().Bytes()
	for range 3 {
		if err := near(run(), first, 0); err != nil {
			t.Error(err)
		}
	}
	if got := tp.Workspace().Bytes(); got != bytes {
		t.Errorf("the workspace grew from %d to %d bytes", bytes, got)
	}
}

// Every operation gives the same bits for every number of workers; the sizes are beyond the thresholds
// below which one worker does the work.
func TestSameBitsForEveryNumberOfWorkers(t *testing.T) {
	const rows, cols = 264, 128 // beyond the thresholds of package tensor
	labels := make([]int32, rows)
	for i := range labels {
		labels[i] = int32(i * 7 % cols)
	}
	idx := make([]int32, 2*rows)
	for i := range idx {
		idx[i] = int32(i * i % rows)
	}
	x0, w0, b0 := normal("x", rows, cols), normal("w", cols, cols), normal("b", cols)
	run := func(workers int) []float64 {
		tp := newTape(workers)
		x, w, b := tp.Input(x0), tp.Input(w0), tp.Input(b0)
		h := ad.AffineReLU(x, ad.Scale(w, 0.1), b)
		h = ad.Add(h, ad.GELU(ad.Affine(h, w, b)))
		h, _, _ = ad.BatchNorm(h, b, b, 1e-5)
		h = ad.Add(h, ad.LayerNorm(h, b, vr{}, 1e-5))
		g := ad.ScatterAdd(ad.Gather(h, idx), idx, rows)
		h = ad.Add(h, ad.Dropout(ad.Tanh(g), 0.3, tensor.KeyOf(5)))
		s := ad.Reshape(h, tensor.ShapeOf(3, rows/3, cols))
		h = ad.Reshape(ad.Attention(s, s, s, 4, true), h.Shape())
		h = ad.Mul(h, ad.AddCol(h, ad.SumCols(h)))
		h = ad.Concat(1, ad.Slice(h, 1, 3, cols), ad.Slice(h, 1, 0, 3))
		y := ad.Add(ad.CrossEntropy(h, labels, 0.1), ad.Mean(ad.Softplus(h)))
		y = ad.Add(y, ad.HuberLoss(h, x, 1))
		wrt := []vr{x, w, b}
		into := []tensor.Tensor[float64]{tensor.New[float64](rows, cols), tensor.New[float64](cols, cols), tensor.New[float64](cols)}
		res := append([]float64(nil), y.Value().Data()...)
		tp.Backward(y, wrt, into, nil, nil)
		for _, g := range into {
			res = append(res, g.Data()...)
		}
		return append(res, flat(tp.JVP(tp.Gradient(y, wrt), wrt, []vr{x, w, b}))...)
	}
	want := run(1)
	for _, v := range want {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatal("the test computes nonsense")
		}
	}
	for _, workers := range []int{2, 3, 5} {
		got := run(workers)
		for i := range want {
			if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
				t.Fatalf("%d workers: element %d is %.17g, with one %.17g", workers, i, got[i], want[i])
			}
		}
	}
}

func TestMisuse(t *testing.T) {
	tp, other := newTape(1), newTape(1)
	a, b := tp.Input(normal("a", 2, 3)), tp.Input(normal("b", 3, 2))
	scalar := ad.Sum(a)
	for name, f := range map[string]func(){
		"Add of shapes":          func() { ad.Add(a, b) },
		"MatMul of shapes":       func() { ad.MatMul(a, a, false, false) },
		"Affine weight":          func() { ad.Affine(a, ad.Sum(a), vr{}) },
		"Affine bias":            func() { ad.Affine(a, b, a) },
		"two tapes":              func() { ad.Add(a, other.Input(normal("a", 2, 3))) },
		"gradient of a matrix":   func() { tp.Gradient(a, []vr{a}) },
		"cotangent shape":        func() { tp.VJP(a, b, []vr{a}) },
		"tangent shape":          func() { tp.JVP([]vr{scalar}, []vr{a}, []vr{b}) },
		"destination shape":      func() { tp.Backward(scalar, []vr{a}, tensors(normal("b", 3, 2)), nil, nil) },
		"destination missing":    func() { tp.Backward(scalar, []vr{a}, nil, nil, nil) },
		"watch order":            func() { tp.Backward(scalar, nil, nil, []vr{b, a}, nil) },
		"variable on other tape": func() { tp.Gradient(scalar, []vr{other.Input(normal("a", 1))}) },
		"label range":            func() { ad.CrossEntropy(a, []int32{0, 3}, 0) },
		"label number":           func() { ad.CrossEntropy(a, []int32{0}, 0) },
		"dropout probability":    func() { ad.Dropout(a, 1, tensor.KeyOf(1)) },
		"slice range":            func() { ad.Slice(a, 1, 2, 4) },
		"axis":                   func() { ad.SumAxis(a, 2) },
		"permutation":            func() { ad.Permute(a, 0, 0) },
		"concat shapes":          func() { ad.Concat(0, a, b) },
		"gather index":           func() { ad.Gather(a, []int32{2}) },
		"groups":                 func() { ad.GroupNorm(a, vr{}, vr{}, 2, 1e-5) },
		"heads":                  func() { ad.Attention(a, a, a, 1, false) },
		"huber delta":            func() { ad.HuberLoss(a, a, 0) },
		"target shape":           func() { ad.SquaredError(a, b) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				r := recover()
				if r == nil {
					t.Error("no panic")
				} else if _, ok := r.(error); !ok && name != "two tapes" && name != "watch order" && name != "variable on other tape" && name != "destination missing" {
					t.Errorf("panic with %T %v, want a typed error", r, r)
				}
			}()
			f()
		})
	}
	// After a panic in a sweep the tape still works.
	if g := tp.Gradient(scalar, []vr{a})[0]; g.Value().Data()[5] != 1 {
		t.Error("wrong gradient after recovered panics")
	}
}

// Single precision gives the gradient of double precision to single precision.
func TestSinglePrecision(t *testing.T) {
	a, b := newMLP[float32](20, 16, 12, nil), newMLP[float64](20, 16, 12, nil)
	for i, w := range a.theta {
		for j, v := range w.Data() {
			b.theta[i].Data()[j] = float64(v)
		}
	}
	for i, v := range a.x.Data() {
		b.x.Data()[i] = float64(v)
	}
	a.forward()
	a.backward()
	b.forward()
	b.backward()
	for i := range a.grad {
		g := make([]float64, a.grad[i].Size())
		for j, v := range a.grad[i].Data() {
			g[j] = float64(v)
		}
		if err := near(g, b.grad[i].Data(), 3e-6); err != nil {
			t.Errorf("gradient %d: %v", i, err)
		}
	}
}
