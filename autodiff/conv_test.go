package autodiff_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/autodiff/check"
	"github.com/descent-ml/descent/tensor"
)

type (
	variable = autodiff.Var[float64]
	array    = tensor.Tensor[float64]
)

// imageFunction is a function of tensors with first and second derivatives to check.
type imageFunction struct {
	name   string
	f      func(in []variable) variable
	inputs []tensor.Shape
}

func imageFunctions() []imageFunction {
	group := func(g tensor.ConvGeom, n int) tensor.ConvGeom { g.Groups = n; return g }
	asym := tensor.ConvGeom{KH: 3, KW: 2, StrideH: 2, StrideW: 1, PadTop: 2, PadLeft: 0, PadBottom: 1, PadRight: 3}
	dilated := tensor.ConvGeom{KH: 3, KW: 3, DilationH: 2, DilationW: 2, PadTop: 1, PadLeft: 2, PadBottom: 2, PadRight: 1}
	var list []imageFunction
	for _, g := range []tensor.ConvGeom{
		tensor.ValidConv(3, 3, 1),
		tensor.SameConv(3, 3, 1, 6, 7),
		tensor.SameConv(3, 3, 2, 6, 7),
		tensor.ValidConv(2, 3, 3),
		tensor.ValidConv(1, 1, 1),
		asym, dilated,
		group(tensor.SameConv(3, 3, 1, 6, 7), 2),
		group(asym, 2),
		group(dilated, 4),
	} {
		const in, out = 4, 4
		x := tensor.ShapeOf(2, 6, 7, in)
		w, b := tensor.ShapeOf(g.KH*g.KW*in/g.Normal().Groups, out), tensor.ShapeOf(out)
		list = append(list,
			imageFunction{"Conv2D " + g.String(), func(v []variable) variable { return autodiff.Conv2D(v[0], v[1], v[2], g) }, []tensor.Shape{x, w, b}},
			imageFunction{"Conv2D without bias " + g.String(), func(v []variable) variable { return autodiff.Conv2D(v[0], v[1], variable{}, g) }, []tensor.Shape{x, w}},
			imageFunction{"ConvReLU2D " + g.String(), func(v []variable) variable { return autodiff.ConvReLU2D(v[0], v[1], v[2], g) }, []tensor.Shape{x, w, b}})
	}
	for _, g := range []tensor.ConvGeom{
		tensor.ValidConv(2, 2, 2),
		tensor.SameConv(3, 3, 2, 6, 7),
		tensor.PadConv(3, 3, 1, 1),
		{KH: 2, KW: 3, StrideH: 3, StrideW: 1, PadTop: 1, PadRight: 2, DilationH: 2},
	} {
		x := []tensor.Shape{tensor.ShapeOf(2, 6, 7, 3)}
		list = append(list,
			imageFunction{"MaxPool2D " + g.String(), func(v []variable) variable { return autodiff.MaxPool2D(v[0], g) }, x},
			imageFunction{"AvgPool2D " + g.String(), func(v []variable) variable { return autodiff.AvgPool2D(v[0], g) }, x})
	}
	for _, c := range []struct{ g, p tensor.ConvGeom }{
		{tensor.SameConv(3, 3, 1, 6, 7), tensor.SameConv(3, 3, 2, 6, 7)},
		{asym, tensor.ValidConv(2, 2, 2)},
		{group(tensor.ValidConv(3, 3, 1), 2), tensor.PadConv(3, 3, 2, 1)},
	} {
		f := func(v []variable) variable { return autodiff.ConvReLUMaxPool2D(v[0], v[1], v[2], c.g, c.p) }
		shapes := []tensor.Shape{tensor.ShapeOf(2, 6, 7, 4), tensor.ShapeOf(c.g.KH*c.g.KW*4/c.g.Normal().Groups, 4), tensor.ShapeOf(4)}
		list = append(list, imageFunction{"ConvReLUMaxPool2D " + c.g.String() + " pool " + c.p.String(), f, shapes})
	}
	return append(list, imageFunction{"GlobalAvgPool", func(v []variable) variable { return autodiff.GlobalAvgPool(v[0]) },
		[]tensor.Shape{tensor.ShapeOf(2, 6, 7, 3)}})
}

// For y = f(x), a direction d and a cotangent g, in float64: the forward rule agrees with central
// differences of f, and the reverse rule is its adjoint, ⟨g, J d⟩ = ⟨Jᵀg, d⟩. Then the same for the
// function x ↦ Jᵀg itself, which checks the derivatives of the reverse rule in both modes.
func TestImageFunctionDerivatives(t *testing.T) {
	for _, c := range imageFunctions() {
		t.Run(c.name, func(t *testing.T) {
			x, d := normals(1, c.inputs), normals(2, c.inputs)
			probe := evaluate(c.f, x)
			g := normals(3, []tensor.Shape{probe.Shape()})[0]
			first := func(v []variable) []variable { return []variable{c.f(v)} }
			checkDerivatives(t, "first order", first, x, d, []array{g})
			second := func(v []variable) []variable {
				tape := v[0].Tape()
				return tape.VJP(c.f(v), tape.Input(g), v)
			}
			checkDerivatives(t, "second order", second, x, d, normals(4, c.inputs))
			forward := func(v []variable) []variable {
				tape := v[0].Tape()
				tangents := make([]variable, len(d))
				for i := range d {
					tangents[i] = tape.Input(d[i])
				}
				return tape.JVP([]variable{c.f(v)}, v, tangents)
			}
			checkDerivatives(t, "derivative of the forward rule", forward, x, normals(5, c.inputs), []array{g})
		})
	}
}

// checkDerivatives checks the JVP of f at x along d against central differences and the VJP with
// cotangents g against the JVP.
func checkDerivatives(t *testing.T, order string, f func([]variable) []variable, x, d, g []array) {
	t.Helper()
	tape := autodiff.NewTape(tensor.NewWorkspace[float64](tensor.NewPool(2)))
	in, tangents := make([]variable, len(x)), make([]variable, len(x))
	for i := range x {
		in[i], tangents[i] = tape.Input(x[i]), tape.Input(d[i])
	}
	ys := f(in)
	jvp := tape.JVP(ys, in, tangents)

	const h = 1e-5
	plus, minus := at(f, x, d, h), at(f, x, d, -h)
	left := 0.0
	for i, j := range jvp {
		scale := 1.0
		for k := range plus[i] {
			scale = max(scale, math.Abs(plus[i][k]-minus[i][k])/(2*h))
		}
		for k, v := range j.Value().Data() {
			if want := (plus[i][k] - minus[i][k]) / (2 * h); !(math.Abs(v-want) <= 1e-8*scale) {
				t.Fatalf("%s: forward rule, output %d element %d: %v, by differences %v", order, i, k, v, want)
			}
			left += v * g[i].Data()[k]
		}
	}
	right, scale := 0.0, math.Abs(left)
	for i, y := range ys {
		for k, v := range tape.VJP(y, tape.Input(g[i]), in) {
			for m, u := range v.Value().Data() {
				right += u * d[k].Data()[m]
				scale = max(scale, math.Abs(u*d[k].Data()[m]))
			}
		}
	}
	if !(math.Abs(left-right) <= 1e-12*scale) {
		t.Fatalf("%s: ⟨g, J d⟩ = %v, ⟨Jᵀg, d⟩ = %v", order, left, right)
	}
}

// at returns the values of f at x + h·d.
func at(f func([]variable) []variable, x, d []array, h float64) [][]float64 {
	tape := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
	in := make([]variable, len(x))
	for i := range x {
		p := x[i].Clone()
		for k := range p.Data() {
			p.Data()[k] += h * d[i].Data()[k]
		}
		in[i] = tape.Input(p)
	}
	var out [][]float64
	for _, y := range f(in) {
		out = append(out, append([]float64(nil), y.Value().Data()...))
	}
	return out
}

func evaluate(f func([]variable) variable, x []array) array {
	tape := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
	in := make([]variable, len(x))
	for i := range x {
		in[i] = tape.Input(x[i])
	}
	return f(in).Value().Clone()
}

func normals(seed uint64, shapes []tensor.Shape) []array {
	list := make([]array, len(shapes))
	for i, s := range shapes {
		list[i] = tensor.New[float64](s.Dims()...)
		tensor.Normal(tensor.KeyOf(seed).Fold(uint64(i)), list[i].Data(), 0, 1)
	}
	return list
}

// Backward, the fast path, gives the same bits as VJP, in whatever order the gradients are wanted.
func TestBackwardOfImagesEqualsVJP(t *testing.T) {
	g := tensor.SameConv(3, 3, 1, 8, 8)
	shapes := []tensor.Shape{tensor.ShapeOf(3, 8, 8, 2), tensor.ShapeOf(18, 4), tensor.ShapeOf(4), tensor.ShapeOf(36, 5), tensor.ShapeOf(5), tensor.ShapeOf(5, 1)}
	vals := normals(6, shapes)
	tape := autodiff.NewTape(tensor.NewWorkspace[float64](tensor.NewPool(2)))
	in := make([]variable, len(vals))
	for i := range vals {
		in[i] = tape.Input(vals[i])
	}
	h := autodiff.MaxPool2D(autodiff.ConvReLU2D(in[0], in[1], in[2], g), tensor.SameConv(3, 3, 2, 8, 8))
	h = autodiff.GlobalAvgPool(autodiff.Conv2D(h, in[3], in[4], tensor.SameConv(3, 3, 1, 4, 4)))
	z := autodiff.MatMul(h, in[5], false, false)
	y := autodiff.MatMul(z, z, true, false)
	want := tape.Gradient(y, in)
	into := make([]array, len(vals))
	for i := range vals {
		into[i] = tensor.New[float64](shapes[i].Dims()...)
	}
	tape.Backward(y, in, into, nil, nil)
	for i := range want {
		for k, v := range want[i].Value().Data() {
			if got := into[i].Data()[k]; got != v {
				t.Fatalf("input %d element %d: Backward %v, VJP %v", i, k, got, v)
			}
		}
	}
	if fmt.Sprint(into[0].Data()[:4]) == fmt.Sprint(make([]float64, 4)) {
		t.Error("the gradient is zero: the test compares nothing")
	}
}

// The package's own gradient checker, which takes long, over a part of the same table: windows with
// uneven padding, gaps or groups, and poolings. It needs inputs away from kinks: for a max pooling,
// numbers that differ by more than its steps; ReLU is left to the test above.
func TestImageFunctionsPassTheGradientChecker(t *testing.T) {
	for _, c := range imageFunctions() {
		if strings.HasPrefix(c.name, "Conv2D") && !strings.Contains(c.name, "padding top 1 left 2") && !strings.Contains(c.name, "groups 2") {
			continue
		}
		if strings.HasPrefix(c.name, "ConvReLU") || strings.Contains(c.name, "without bias") {
			continue
		}
		inputs := normals(7, c.inputs)
		if strings.HasPrefix(c.name, "MaxPool2D") {
			order := make([]int32, inputs[0].Size())
			tensor.Permutation(tensor.KeyOf(8), order)
			for i, k := range order {
				inputs[0].Data()[i] = 0.1 * float64(k)
			}
		}
		f := func(_ *autodiff.Tape[float64], x []variable) variable { return c.f(x) }
		if _, err := check.Check(f, inputs...); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The fused operation is the composition of the two, in values and gradients.
func TestConvReLUMaxPoolIsTheComposition(t *testing.T) {
	for _, c := range []struct {
		x    []int
		g, p tensor.ConvGeom
	}{
		{[]int{21, 12, 13, 1}, tensor.SameConv(5, 5, 1, 12, 13), tensor.ValidConv(2, 2, 2)},
		{[]int{21, 12, 13, 4}, tensor.ValidConv(3, 3, 1), tensor.SameConv(3, 3, 2, 10, 11)},
		{[]int{3, 40, 41, 4}, tensor.SameConv(3, 3, 1, 40, 41), tensor.SameConv(3, 3, 2, 40, 41)},
	} {
		const out = 6
		in := normals(9, []tensor.Shape{tensor.ShapeOf(c.x...), tensor.ShapeOf(c.g.KH*c.g.KW*c.x[3], out), tensor.ShapeOf(out)})
		run := func(fused bool, workers int) [][]float64 {
			tape := autodiff.NewTape(tensor.NewWorkspace[float64](tensor.NewPool(workers)))
			v := []variable{tape.Input(in[0]), tape.Input(in[1]), tape.Input(in[2])}
			var y variable
			if fused {
				y = autodiff.ConvReLUMaxPool2D(v[0], v[1], v[2], c.g, c.p)
			} else {
				y = autodiff.MaxPool2D(autodiff.ConvReLU2D(v[0], v[1], v[2], c.g), c.p)
			}
			values := [][]float64{append([]float64(nil), y.Value().Data()...)}
			g := normals(10, []tensor.Shape{y.Shape()})[0]
			for _, d := range tape.VJP(y, tape.Input(g), v) {
				values = append(values, append([]float64(nil), d.Value().Data()...))
			}
			return values
		}
		want, got, again := run(false, 1), run(true, 1), run(true, 3)
		for i := range want {
			scale := 0.0
			for _, v := range want[i] {
				scale = max(scale, math.Abs(v))
			}
			for j, v := range want[i] {
				if !(math.Abs(got[i][j]-v) <= 1e-13*scale) {
					t.Fatalf("%v: result %d element %d: %v, composition %v", c.x, i, j, got[i][j], v)
				}
				if got[i][j] != again[i][j] {
					t.Fatalf("%v: result %d element %d: %v with one worker, %v with three", c.x, i, j, got[i][j], again[i][j])
				}
			}
		}
	}
}
