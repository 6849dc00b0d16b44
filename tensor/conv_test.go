package tensor_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/descent-ml/descent/tensor"
)

// convCase is one row of the table of geometries that all convolution and pooling tests run over.
type convCase struct {
	n, h, w, in, out int
	g                tensor.ConvGeom
}

func (c convCase) String() string {
	return fmt.Sprintf("%dx%dx%dx%d-%d %v", c.n, c.h, c.w, c.in, c.out, c.g)
}

func convCases() []convCase {
	asym := tensor.ConvGeom{KH: 3, KW: 2, StrideH: 2, StrideW: 1, PadTop: 2, PadLeft: 0, PadBottom: 1, PadRight: 3}
	dilated := tensor.ConvGeom{KH: 3, KW: 3, DilationH: 2, DilationW: 2, PadTop: 1, PadLeft: 2, PadBottom: 2, PadRight: 1}
	wide := tensor.ConvGeom{KH: 1, KW: 5, PadLeft: 4, PadRight: 4}
	group := func(g tensor.ConvGeom, n int) tensor.ConvGeom { g.Groups = n; return g }
	return []convCase{
		{2, 6, 5, 3, 4, tensor.ValidConv(3, 3, 1)},
		{2, 7, 7, 1, 6, tensor.SameConv(5, 5, 1, 7, 7)},
		{3, 8, 7, 2, 3, tensor.SameConv(3, 3, 2, 8, 7)},
		{1, 9, 8, 3, 2, tensor.ValidConv(2, 3, 3)},
		{2, 7, 6, 3, 5, asym},
		{2, 7, 8, 2, 3, dilated},
		{2, 3, 4, 2, 3, wide},
		{2, 3, 4, 1, 3, wide},
		{3, 9, 8, 1, 3, tensor.ConvGeom{KH: 3, KW: 3, StrideH: 2, PadTop: 1, PadLeft: 2, PadRight: 1, DilationH: 2, DilationW: 2}},
		{2, 5, 6, 4, 7, tensor.ValidConv(1, 1, 1)},
		{2, 5, 6, 4, 7, tensor.ValidConv(1, 1, 2)},
		{2, 5, 6, 4, 6, group(tensor.SameConv(3, 3, 1, 5, 6), 2)},
		{2, 6, 6, 3, 6, group(asym, 3)},
		{2, 6, 6, 4, 4, group(dilated, 4)},
		{2, 1, 1, 5, 3, tensor.PadConv(3, 3, 1, 1)},
		{5, 12, 11, 3, 4, tensor.PadConv(4, 4, 3, 2)},
	}
}

// tensors returns images, weights, bias and output gradient of a case, normal numbers.
func (c convCase) tensors(seed uint64) (x, w, b, dy tensor.Tensor[float64]) {
	groups := c.g.Normal().Groups
	oh, ow := c.g.Output(c.h, c.w)
	x = tensor.New[float64](c.n, c.h, c.w, c.in)
	w = tensor.New[float64](c.g.KH*c.g.KW*c.in/groups, c.out)
	b = tensor.New[float64](c.out)
	dy = tensor.New[float64](c.n, oh, ow, c.out)
	for i, t := range []tensor.Tensor[float64]{x, w, b, dy} {
		tensor.Normal(tensor.KeyOf(seed).Fold(uint64(i)), t.Data(), 0, 1)
	}
	return
}

// visit calls f for every product of the convolution by its definition: output y[n, oy, ox, o]
// receives x[n, iy, ix, c]·w[r, o].
func (c convCase) visit(f func(n, oy, ox, o, iy, ix, ch, r int)) {
	g := c.g.Normal()
	oh, ow := g.Output(c.h, c.w)
	cg, og := c.in/g.Groups, c.out/g.Groups
	for n := range c.n {
		for oy := range oh {
			for ox := range ow {
				for o := range c.out {
					for ky := range g.KH {
						for kx := range g.KW {
							iy := oy*g.StrideH - g.PadTop + ky*g.DilationH
							ix := ox*g.StrideW - g.PadLeft + kx*g.DilationW
							if iy < 0 || ix < 0 || iy >= c.h || ix >= c.w {
								continue
							}
							for k := range cg {
								f(n, oy, ox, o, iy, ix, o/og*cg+k, (ky*g.KW+kx)*cg+k)
							}
						}
					}
				}
			}
		}
	}
}

func TestConv2DAgainstDefinition(t *testing.T) {
	for _, c := range convCases() {
		x, w, b, dy := c.tensors(1)
		y, dx, dw := tensor.New[float64](dy.Shape().Dims()...), tensor.New[float64](x.Shape().Dims()...), tensor.New[float64](w.Shape().Dims()...)
		for i := range y.Data() {
			y.Data()[i] = b.Data()[i%c.out]
		}
		c.visit(func(n, oy, ox, o, iy, ix, ch, r int) {
			xv, wv, gv := x.At(n, iy, ix, ch), w.At(r, o), dy.At(n, oy, ox, o)
			y.Set(y.At(n, oy, ox, o)+xv*wv, n, oy, ox, o)
			dx.Set(dx.At(n, iy, ix, ch)+gv*wv, n, iy, ix, ch)
			dw.Set(dw.At(r, o)+gv*xv, r, o)
		})
		ws := tensor.NewWorkspace[float64](tensor.NewPool(2))
		got := garbage(dy.Shape())
		tensor.Conv2D(ws, got, x, w, b, c.g)
		closeTo(t, c.String()+": output", got, y, 1e-13)
		relu := y.Clone()
		for i, v := range relu.Data() {
			relu.Data()[i] = max(0, v)
		}
		tensor.Conv2DReLU(ws, got, x, w, b, c.g)
		closeTo(t, c.String()+": rectified output", got, relu, 1e-13)
		got = garbage(x.Shape())
		tensor.Conv2DInputGrad(ws, got, dy, w, c.g)
		closeTo(t, c.String()+": input gradient", got, dx, 1e-13)
		got = garbage(w.Shape())
		tensor.Conv2DWeightGrad(ws, got, x, dy, c.g)
		closeTo(t, c.String()+": weight gradient", got, dw, 1e-13)
	}
}

// ⟨conv(x, w), g⟩ = ⟨x, I(g, w)⟩ = ⟨w, W(x, g)⟩.
func TestConv2DAdjoints(t *testing.T) {
	ws := tensor.NewWorkspace[float64](tensor.NewPool(2))
	for _, c := range convCases() {
		x, w, _, g := c.tensors(2)
		y, dx, dw := garbage(g.Shape()), garbage(x.Shape()), garbage(w.Shape())
		tensor.Conv2D(ws, y, x, w, tensor.Tensor[float64]{}, c.g)
		tensor.Conv2DInputGrad(ws, dx, g, w, c.g)
		tensor.Conv2DWeightGrad(ws, dw, x, g, c.g)
		want, scale := dot(y, g)
		for name, got := range map[string]float64{"input": first(dot(x, dx)), "weight": first(dot(w, dw))} {
			if math.Abs(got-want) > 1e-12*scale {
				t.Errorf("%v: ⟨conv, g⟩ = %v, %s side %v", c, want, name, got)
			}
		}
	}
}

func TestIm2ColIsTheConvolutionsMatrix(t *testing.T) {
	ws := tensor.NewWorkspace[float64](tensor.NewPool(2))
	for _, c := range convCases() {
		x, w, _, dy := c.tensors(3)
		groups := c.g.Normal().Groups
		rows, k, og := dy.Size()/c.out, w.Shape().Rows(), c.out/groups
		want := garbage(dy.Shape())
		tensor.Conv2D(ws, want, x, w, tensor.Tensor[float64]{}, c.g)
		got := tensor.New[float64](dy.Shape().Dims()...)
		for p := range groups {
			patches := garbage(tensor.ShapeOf(rows, k))
			tensor.Im2Col(ws, patches, x, c.g, p)
			for i := range rows {
				for o := p * og; o < (p+1)*og; o++ {
					for j := range k {
						got.Data()[i*c.out+o] += patches.At(i, j) * w.At(j, o)
					}
				}
			}
		}
		closeTo(t, c.String(), got, want, 1e-13)
	}
}

// The same bits for every number of workers, on sizes that make several blocks and partial sums.
func TestConvolutionBitsDoNotDependOnWorkers(t *testing.T) {
	for _, c := range []convCase{
		{13, 16, 15, 24, 20, tensor.SameConv(5, 5, 1, 16, 15)},
		{9, 28, 28, 1, 6, tensor.SameConv(5, 5, 1, 28, 28)},
		{9, 40, 40, 3, 8, tensor.SameConv(5, 5, 2, 40, 40)},
		{7, 9, 9, 8, 8, tensor.ConvGeom{KH: 3, KW: 3, PadTop: 1, PadLeft: 1, Groups: 4}},
	} {
		x64, w64, b64, dy64 := c.tensors(4)
		x, w, b, dy := to32(x64), to32(w64), to32(b64), to32(dy64)
		run := func(workers int) []tensor.Tensor[float32] {
			ws := tensor.NewWorkspace[float32](tensor.NewPool(workers))
			y, dx, dw := tensor.New[float32](dy.Shape().Dims()...), x.Clone(), w.Clone()
			tensor.Conv2DReLU(ws, y, x, w, b, c.g)
			tensor.Conv2DInputGrad(ws, dx, dy, w, c.g)
			tensor.Conv2DWeightGrad(ws, dw, x, dy, c.g)
			return []tensor.Tensor[float32]{y, dx, dw}
		}
		want := run(1)
		for _, workers := range []int{2, 3, 7, 16} {
			for i, got := range run(workers) {
				for j, v := range got.Data() {
					if math.Float32bits(v) != math.Float32bits(want[i].Data()[j]) {
						t.Fatalf("%v: result %d element %d: %v with %d workers, %v with one", c, i, j, v, workers, want[i].Data()[j])
					}
				}
			}
		}
	}
}

// A steady step allocates the same few objects and holds the same scratch for every batch size.
func TestConvolutionStorageDoesNotGrowWithBatch(t *testing.T) {
	measure := func(n int) (allocs float64, scratch int) {
		c := convCase{n, 14, 14, 8, 16, tensor.SameConv(3, 3, 1, 14, 14)}
		x, w, b, dy := c.tensors(5)
		y, dx, dw := dy.Clone(), x.Clone(), w.Clone()
		ws := tensor.NewWorkspace[float64](tensor.NewPool(1))
		allocs = testing.AllocsPerRun(5, func() {
			tensor.Conv2D(ws, y, x, w, b, c.g)
			tensor.Conv2DInputGrad(ws, dx, dy, w, c.g)
			tensor.Conv2DWeightGrad(ws, dw, x, dy, c.g)
		})
		return allocs, ws.Bytes()
	}
	allocs, scratch := measure(8)
	bigAllocs, bigScratch := measure(64)
	// The buffers of matrix products come from a sync.Pool, which may drop a few.
	if bigAllocs > allocs+8 || bigScratch > scratch {
		t.Errorf("batch 8: %v allocations, %d bytes of scratch; batch 64: %v and %d", allocs, scratch, bigAllocs, bigScratch)
	}
}

func TestConvGeom(t *testing.T) {
	for _, c := range []struct {
		g            tensor.ConvGeom
		h, w, oh, ow int
		pads         [4]int
	}{
		{tensor.ValidConv(5, 5, 1), 32, 32, 28, 28, [4]int{}},
		{tensor.SameConv(3, 3, 2, 28, 28), 28, 28, 14, 14, [4]int{0, 0, 1, 1}},
		{tensor.SameConv(3, 3, 2, 12, 12), 12, 12, 6, 6, [4]int{0, 0, 1, 1}},
		{tensor.SameConv(3, 3, 2, 7, 7), 7, 7, 4, 4, [4]int{1, 1, 1, 1}},
		{tensor.SameConv(5, 5, 1, 28, 28), 28, 28, 28, 28, [4]int{2, 2, 2, 2}},
		{tensor.SameConv(1, 1, 2, 5, 5), 5, 5, 3, 3, [4]int{}},
		{tensor.ConvGeom{KH: 3, KW: 3, DilationH: 2, DilationW: 3}.Same(9, 9), 9, 9, 9, 9, [4]int{2, 3, 2, 3}},
		{tensor.PadConv(3, 3, 2, 1), 32, 32, 16, 16, [4]int{1, 1, 1, 1}},
	} {
		oh, ow := c.g.Output(c.h, c.w)
		pads := [4]int{c.g.PadTop, c.g.PadLeft, c.g.PadBottom, c.g.PadRight}
		if oh != c.oh || ow != c.ow || pads != c.pads {
			t.Errorf("%v on %d×%d: output %d×%d padding %v, want %d×%d %v", c.g, c.h, c.w, oh, ow, pads, c.oh, c.ow, c.pads)
		}
	}
	for _, g := range []tensor.ConvGeom{{}, {KH: 3}, {KH: 3, KW: 3, StrideH: -1}, {KH: 3, KW: 3, PadLeft: -1}, {KH: 1, KW: 1, Groups: -2}} {
		if g.Validate() == nil {
			t.Errorf("%+v: no error", g)
		}
	}
}

func TestConvolutionMistakesPanic(t *testing.T) {
	ws := tensor.NewWorkspace[float64](nil)
	x, y := tensor.New[float64](2, 5, 5, 4), tensor.New[float64](2, 3, 3, 6)
	for name, f := range map[string]func(){
		"window too large": func() { tensor.ValidConv(6, 1, 1).Output(5, 5) },
		"output shape": func() {
			tensor.Conv2D(ws, x, x, tensor.New[float64](36, 6), tensor.Tensor[float64]{}, tensor.ValidConv(3, 3, 1))
		},
		"weight rows": func() {
			tensor.Conv2D(ws, y, x, tensor.New[float64](9, 6), tensor.Tensor[float64]{}, tensor.ValidConv(3, 3, 1))
		},
		"bias": func() {
			tensor.Conv2D(ws, y, x, tensor.New[float64](36, 6), tensor.New[float64](5), tensor.ValidConv(3, 3, 1))
		},
		"groups": func() {
			tensor.Conv2D(ws, y, x, tensor.New[float64](12, 6), tensor.Tensor[float64]{}, tensor.ConvGeom{KH: 3, KW: 3, Groups: 3})
		},
		"only padding": func() {
			tensor.AvgPool2D(ws, tensor.New[float64](2, 9, 9, 4), x, tensor.PadConv(2, 2, 1, 3).Normal())
		},
	} {
		func() {
			defer func() {
				if _, ok := recover().(tensor.ShapeError); !ok {
					t.Errorf("%s: no ShapeError", name)
				}
			}()
			f()
		}()
	}
}

func TestMaxPool2DAgainstDefinition(t *testing.T) {
	ws := tensor.NewWorkspace[float64](tensor.NewPool(2))
	for _, c := range poolCases() {
		oh, ow := c.g.Output(c.h, c.w)
		x, g := tensor.New[float64](c.n, c.h, c.w, c.in), tensor.New[float64](c.n, oh, ow, c.in)
		tensor.Normal(tensor.KeyOf(6), x.Data(), -2, 1)
		for i, v := range x.Data() {
			x.Data()[i] = math.Round(2 * v) // many ties, mostly negative: padding would win
		}
		tensor.Normal(tensor.KeyOf(7), g.Data(), 0, 1)
		want, dx := tensor.New[float64](c.n, oh, ow, c.in), tensor.New[float64](x.Shape().Dims()...)
		mean, dmean := want.Clone(), dx.Clone()
		for i := range want.Data() {
			o := coordinates(want.Shape(), i)
			cells := c.cells(o)
			best := cells[0]
			for _, cell := range cells {
				if x.At(cell...) > x.At(best...) {
					best = cell
				}
				mean.Data()[i] += x.At(cell...) / float64(len(cells))
				dmean.Set(dmean.At(cell...)+g.Data()[i]/float64(len(cells)), cell...)
			}
			want.Data()[i] = x.At(best...)
			dx.Set(dx.At(best...)+g.Data()[i], best...)
		}
		y, at := garbage(want.Shape()), make([]int32, want.Size())
		tensor.MaxPool2D(ws, y, at, x, c.g)
		closeTo(t, c.String()+": largest", y, want, 0)
		got := garbage(x.Shape())
		tensor.PlaceMax(ws, got, g, at)
		closeTo(t, c.String()+": gradient", got, dx, 1e-15)
		picked := garbage(want.Shape())
		tensor.PickMax(ws, picked, x, at)
		closeTo(t, c.String()+": picked", picked, want, 0)
		tensor.AvgPool2D(ws, y, x, c.g)
		closeTo(t, c.String()+": mean", y, mean, 1e-14)
		tensor.AvgPool2DGrad(ws, got, g, c.g)
		closeTo(t, c.String()+": gradient of the mean", got, dmean, 1e-14)
	}
}

func TestMaxPool2DTakesNaN(t *testing.T) {
	for place := range 9 {
		x := tensor.New[float32](1, 3, 3, 1)
		tensor.Normal(tensor.KeyOf(8), x.Data(), 0, 1)
		x.Data()[place] = float32(math.NaN())
		y, at := tensor.New[float32](1, 1, 1, 1), make([]int32, 1)
		tensor.MaxPool2D(tensor.NewWorkspace[float32](nil), y, at, x, tensor.ValidConv(3, 3, 1))
		if v := y.Data()[0]; v == v || at[0] != int32(place) {
			t.Errorf("NaN at %d: got %v at %d", place, v, at[0])
		}
	}
}

func poolCases() []convCase {
	same := tensor.SameConv(3, 3, 2, 7, 8)
	return []convCase{
		{2, 6, 8, 3, 3, tensor.ValidConv(2, 2, 2)},
		{2, 6, 8, 17, 17, tensor.ValidConv(2, 2, 2)},
		{3, 7, 8, 5, 5, same},
		{2, 7, 8, 16, 16, same},
		{2, 7, 7, 2, 2, tensor.PadConv(3, 3, 2, 1)},
		{2, 7, 9, 3, 3, tensor.ConvGeom{KH: 2, KW: 3, StrideH: 3, StrideW: 1, PadTop: 1, PadRight: 2, DilationH: 2}},
		{2, 5, 4, 6, 6, tensor.ValidConv(5, 4, 1)},
		{1, 4, 4, 2, 2, tensor.ValidConv(1, 1, 2)},
	}
}

// cells returns the indices of the elements of x that output element o sees, in (ky, kx) order.
func (c convCase) cells(o []int) [][]int {
	g := c.g.Normal()
	var cells [][]int
	for ky := range g.KH {
		for kx := range g.KW {
			iy := o[1]*g.StrideH - g.PadTop + ky*g.DilationH
			ix := o[2]*g.StrideW - g.PadLeft + kx*g.DilationW
			if iy >= 0 && ix >= 0 && iy < c.h && ix < c.w {
				cells = append(cells, []int{o[0], iy, ix, o[3]})
			}
		}
	}
	return cells
}

// TestAgainstTorch compares with numbers that testdata/conv_torch.py made with PyTorch.
func TestAgainstTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/conv_torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Torch string
		Cases []struct {
			Kind                                                            string
			X, W, B, Y, DY, DX, DW, DB                                      []float64
			Batch, Height, Width, In, Out, KH, KW, Stride, Pad, Dil, Groups int
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) < 6 {
		t.Fatalf("%d cases, want at least 6", len(golden.Cases))
	}
	ws := tensor.NewWorkspace[float64](tensor.NewPool(2))
	for i, c := range golden.Cases {
		g := tensor.ConvGeom{KH: c.KH, KW: c.KW, StrideH: c.Stride, StrideW: c.Stride,
			PadTop: c.Pad, PadLeft: c.Pad, PadBottom: c.Pad, PadRight: c.Pad,
			DilationH: c.Dil, DilationW: c.Dil, Groups: c.Groups}
		name := fmt.Sprintf("torch case %d (%s %v)", i, c.Kind, g)
		x := tensor.FromSlice(c.X, c.Batch, c.Height, c.Width, c.In)
		y := garbage(g.OutputShape(x.Shape(), c.Out))
		dy, dx := tensor.FromSlice(c.DY, y.Shape().Dims()...), garbage(x.Shape())
		switch c.Kind {
		case "conv":
			w := tensor.FromSlice(c.W, c.KH*c.KW*c.In/c.Groups, c.Out)
			dw := garbage(w.Shape())
			tensor.Conv2D(ws, y, x, w, tensor.FromSlice(c.B, c.Out), g)
			tensor.Conv2DInputGrad(ws, dx, dy, w, g)
			tensor.Conv2DWeightGrad(ws, dw, x, dy, g)
			closeTo(t, name+": weight gradient", dw, tensor.FromSlice(c.DW, dw.Shape().Dims()...), 1e-12)
		case "max":
			at := make([]int32, y.Size())
			tensor.MaxPool2D(ws, y, at, x, g)
			tensor.PlaceMax(ws, dx, dy, at)
		case "avg":
			tensor.AvgPool2D(ws, y, x, g)
			tensor.AvgPool2DGrad(ws, dx, dy, g)
		}
		closeTo(t, name+": output", y, tensor.FromSlice(c.Y, y.Shape().Dims()...), 1e-12)
		closeTo(t, name+": input gradient", dx, tensor.FromSlice(c.DX, dx.Shape().Dims()...), 1e-12)
	}
}

// garbage returns a tensor full of NaN: what an operation must overwrite.
func garbage(s tensor.Shape) tensor.Tensor[float64] {
	g := tensor.New[float64](s.Dims()...)
	for i := range g.Data() {
		g.Data()[i] = math.NaN()
	}
	return g
}

func closeTo(t *testing.T, what string, got, want tensor.Tensor[float64], tol float64) {
	t.Helper()
	if got.Size() != want.Size() {
		t.Fatalf("%s: shapes %v and %v", what, got.Shape(), want.Shape())
	}
	scale := 0.0
	for _, v := range want.Data() {
		scale = max(scale, math.Abs(v))
	}
	for i, v := range got.Data() {
		if !(math.Abs(v-want.Data()[i]) <= tol*scale) {
			t.Fatalf("%s: element %v is %v, want %v", what, coordinates(got.Shape(), i), v, want.Data()[i])
		}
	}
}

func coordinates(s tensor.Shape, i int) []int {
	idx := make([]int, s.Rank())
	for a := s.Rank() - 1; a >= 0; a-- {
		idx[a], i = i%s.Dim(a), i/s.Dim(a)
	}
	return idx
}

// dot returns ⟨a, b⟩ and the sum of the absolute products.
func dot(a, b tensor.Tensor[float64]) (sum, abs float64) {
	for i, v := range a.Data() {
		sum += v * b.Data()[i]
		abs += math.Abs(v * b.Data()[i])
	}
	return
}

func first(a, _ float64) float64 { return a }

func to32(a tensor.Tensor[float64]) tensor.Tensor[float32] {
	b := tensor.New[float32](a.Shape().Dims()...)
	for i, v := range a.Data() {
		b.Data()[i] = float32(v)
	}
	return b
}
