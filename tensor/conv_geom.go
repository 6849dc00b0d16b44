package tensor

import "fmt"

// ConvGeom is the geometry of a convolution or a pooling over images: how the window lies on the
// input. Zero strides, dilations and groups stand for one, zero paddings for none; KH and KW must
// be positive.
//
// Output position (oy, ox) and window position (ky, kx) meet input position
//
//	iy = oy·StrideH − PadTop  + ky·DilationH
//	ix = ox·StrideW − PadLeft + kx·DilationW
//
// where it lies inside the image; outside, convolutions read zero and poolings read nothing. The four
// paddings are separate because "same" padding is uneven when the total is odd.
type ConvGeom struct {
	KH, KW                               int // window
	StrideH, StrideW                     int
	PadTop, PadLeft, PadBottom, PadRight int
	DilationH, DilationW                 int
	Groups                               int // channels and outputs are cut into Groups parts that do not mix
}

// ValidConv returns the geometry of a kh×kw window without padding ("valid").
func ValidConv(kh, kw, stride int) ConvGeom {
	return ConvGeom{KH: kh, KW: kw, StrideH: stride, StrideW: stride}.Normal()
}

// SameConv returns the geometry of a kh×kw window on h×w images with the padding that TensorFlow calls
// "same": the output has ⌈h/stride⌉×⌈w/stride⌉ positions, and if the total padding is odd the larger
// half is at the bottom and right.
func SameConv(kh, kw, stride, h, w int) ConvGeom {
	return ConvGeom{KH: kh, KW: kw, StrideH: stride, StrideW: stride}.Same(h, w)
}

// PadConv returns the geometry of a kh×kw window with padding pad on all four sides.
func PadConv(kh, kw, stride, pad int) ConvGeom {
	return ConvGeom{KH: kh, KW: kw, StrideH: stride, StrideW: stride,
		PadTop: pad, PadLeft: pad, PadBottom: pad, PadRight: pad}.Normal()
}

// Normal returns g with zero strides, dilations and groups replaced by one.
func (g ConvGeom) Normal() ConvGeom {
	for _, p := range []*int{&g.StrideH, &g.StrideW, &g.DilationH, &g.DilationW, &g.Groups} {
		if *p == 0 {
			*p = 1
		}
	}
	return g
}

// Same returns g with its padding replaced by "same" padding on h×w images; see [SameConv].
func (g ConvGeom) Same(h, w int) ConvGeom {
	g = g.Normal()
	total := func(n, k, stride, dilation int) int {
		out := (n + stride - 1) / stride
		return max(0, (out-1)*stride+(k-1)*dilation+1-n)
	}
	ph, pw := total(h, g.KH, g.StrideH, g.DilationH), total(w, g.KW, g.StrideW, g.DilationW)
	g.PadTop, g.PadBottom = ph/2, ph-ph/2
	g.PadLeft, g.PadRight = pw/2, pw-pw/2
	return g
}

// Validate returns an error if g is no geometry: a window, stride, dilation or number of groups below
// one, or a negative padding.
func (g ConvGeom) Validate() error {
	g = g.Normal()
	if min(g.KH, g.KW, g.StrideH, g.StrideW, g.DilationH, g.DilationW, g.Groups) < 1 {
		return fmt.Errorf("tensor: convolution geometry %v: window, stride, dilation and groups must be at least 1", g)
	}
	if min(g.PadTop, g.PadLeft, g.PadBottom, g.PadRight) < 0 {
		return fmt.Errorf("tensor: convolution geometry %v: negative padding", g)
	}
	return nil
}

// Output returns the numbers of output rows and columns for h×w images. It panics with a [ShapeError]
// if g is not valid or its window is larger than the padded image.
func (g ConvGeom) Output(h, w int) (oh, ow int) {
	if err := g.Validate(); err != nil {
		panic(ShapeError{Op: "ConvGeom", A: ShapeOf(h, w), Detail: err.Error()})
	}
	g = g.Normal()
	spanH, spanW := (g.KH-1)*g.DilationH+1, (g.KW-1)*g.DilationW+1
	h, w = h+g.PadTop+g.PadBottom, w+g.PadLeft+g.PadRight
	if h < spanH || w < spanW {
		panic(ShapeError{Op: "ConvGeom", A: ShapeOf(h, w), B: ShapeOf(spanH, spanW), Detail: "the window is larger than the padded image"})
	}
	return (h-spanH)/g.StrideH + 1, (w-spanW)/g.StrideW + 1
}

// OutputShape returns the shape [batch, oh, ow, channels] of the output for images of shape x =
// [batch, height, width, ·]. See [ConvGeom.Output].
func (g ConvGeom) OutputShape(x Shape, channels int) Shape {
	if x.Rank() != 4 {
		panic(ShapeError{Op: "ConvGeom", A: x, Detail: "images must have shape [batch height width channels]"})
	}
	oh, ow := g.Output(x.Dim(1), x.Dim(2))
	return ShapeOf(x.Dim(0), oh, ow, channels)
}

// String returns the geometry in words, leaving out what has its usual value.
func (g ConvGeom) String() string {
	g = g.Normal()
	s := fmt.Sprintf("%d×%d", g.KH, g.KW)
	if g.StrideH != 1 || g.StrideW != 1 {
		s += fmt.Sprintf(" stride %d×%d", g.StrideH, g.StrideW)
	}
	if g.PadTop != 0 || g.PadLeft != 0 || g.PadBottom != 0 || g.PadRight != 0 {
		s += fmt.Sprintf(" padding top %d left %d bottom %d right %d", g.PadTop, g.PadLeft, g.PadBottom, g.PadRight)
	}
	if g.DilationH != 1 || g.DilationW != 1 {
		s += fmt.Sprintf(" dilation %d×%d", g.DilationH, g.DilationW)
	}
	if g.Groups != 1 {
		s += fmt.Sprintf(" groups %d", g.Groups)
	}
	return s
}
