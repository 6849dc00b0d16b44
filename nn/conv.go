package nn

import (
	"fmt"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// Padding says how the window of a convolution or a pooling treats the border of an image.
type Padding uint8

const (
	Valid Padding = iota // the window stays inside: the output is smaller
	Same                 // zeros around, as many as make the output ⌈size/stride⌉ long (poolings read no zeros)
)

// Conv is a convolution (cross-correlation, as everywhere in machine learning) over images [h, w, c]
// followed by an activation. With the patches of the input as rows it is the affine layer Y = X W + b:
//
//	weight  [kernel·kernel·c/groups, out], row (ky·kernel + kx)·c/groups + channel
//	bias    [out], absent with NoBias
type Conv[T tensor.Float] struct {
	Out        int
	Kernel     int // height and width of the window
	Stride     int // 0 stands for 1
	Padding    Padding
	Dilation   int         // 0 stands for 1
	Groups     int         // 0 stands for 1
	Activation string      // one of [Activations]; "" is the identity
	Init       Initializer // of the weight; the zero value is glorot-uniform
	BiasInit   Initializer // the zero value gives zeros
	NoBias     bool

	affine
	activate func(autodiff.Var[T]) autodiff.Var[T]
	geom     tensor.ConvGeom
}

// Declare implements [Layer].
func (l *Conv[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	a, err := findActivation[T](orIdentity(l.Activation))
	if err != nil {
		return in, err
	}
	groups := max(1, l.Groups)
	if l.Out < 1 || in.Rank() == 3 && (in.Dim(2)%groups != 0 || l.Out%groups != 0) {
		return in, fmt.Errorf("convolution of %v: %d outputs in %d groups", in, l.Out, groups)
	}
	g := tensor.ConvGeom{KH: l.Kernel, KW: l.Kernel, StrideH: l.Stride, StrideW: l.Stride,
		DilationH: l.Dilation, DilationW: l.Dilation, Groups: l.Groups}
	out, err := windowed("convolution", &g, l.Padding, in)
	if err != nil {
		return in, err
	}
	l.activate, l.geom = a.apply, g
	fan := l.Kernel * l.Kernel * in.Dim(2) / groups
	l.affine = declareAffine(d.Enter("conv"), tensor.ShapeOf(fan, l.Out), fan, l.Kernel*l.Kernel*l.Out/groups, groups, l.Init, l.BiasInit, l.NoBias)
	return out.With(2, l.Out), nil
}

// windowed completes the geometry of a window on examples of shape in and returns the output's shape.
func windowed(what string, g *tensor.ConvGeom, p Padding, in tensor.Shape) (tensor.Shape, error) {
	if in.Rank() != 3 {
		return in, fmt.Errorf("%s: found examples of shape %v, expected images [height width channels]\nhint: use a dense model such as mlp, or give the data an image shape", what, in)
	}
	h, w := in.Dim(0), in.Dim(1)
	if *g = g.Normal(); p == Same {
		*g = g.Same(h, w)
	}
	if err := g.Validate(); err != nil {
		return in, err
	}
	if kh, kw := (g.KH-1)*g.DilationH+1, (g.KW-1)*g.DilationW+1; h+g.PadTop+g.PadBottom < kh || w+g.PadLeft+g.PadRight < kw {
		return in, fmt.Errorf("%s: a %d×%d window does not fit into %d×%d\nhint: this model needs larger images; mlp takes any", what, kh, kw, h, w)
	}
	oh, ow := g.Output(h, w)
	return tensor.ShapeOf(oh, ow, in.Dim(2)), nil
}

// Forward implements [Layer].
func (l *Conv[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	w, b := parameters(p, l.affine)
	if l.fuses(p) {
		return autodiff.ConvReLU2D(x, w, b, l.geom)
	}
	y := autodiff.Conv2D(x, w, b, l.geom)
	p.noted(Affine[T]{Name: l.name, Weight: l.weight, Bias: l.bias, X: x, Y: y, Conv: true, Geom: l.geom})
	return l.activate(y)
}

// fuses reports whether the convolution may be done together with what follows it: nobody wants its
// output before the activation, and the activation is the one that the fused operations have.
func (l *Conv[T]) fuses(p *Pass[T]) bool { return l.Activation == "relu" && !p.record }

// forwardPooled applies the convolution and the pooling after it; the values are those of the two
// layers one after the other, but the convolution is never stored as a whole.
func (l *Conv[T]) forwardPooled(p *Pass[T], x autodiff.Var[T], pool *MaxPool[T]) autodiff.Var[T] {
	w, b := parameters(p, l.affine)
	return autodiff.ConvReLUMaxPool2D(x, w, b, l.geom, pool.geom)
}

// MaxPool takes the maximum over windows of an image, channel by channel.
type MaxPool[T tensor.Float] struct {
	Size    int
	Stride  int // 0 stands for Size
	Padding Padding

	geom tensor.ConvGeom
}

// Declare implements [Layer].
func (l *MaxPool[T]) Declare(_ *Declaration, in tensor.Shape) (tensor.Shape, error) {
	l.geom = poolGeom(l.Size, l.Stride)
	return windowed("max pooling", &l.geom, l.Padding, in)
}

// Forward implements [Layer].
func (l *MaxPool[T]) Forward(_ *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	return autodiff.MaxPool2D(x, l.geom)
}

// AvgPool takes the mean over windows of an image, channel by channel; positions outside the image do
// not count.
type AvgPool[T tensor.Float] struct {
	Size    int
	Stride  int // 0 stands for Size
	Padding Padding

	geom tensor.ConvGeom
}

// Declare implements [Layer].
func (l *AvgPool[T]) Declare(_ *Declaration, in tensor.Shape) (tensor.Shape, error) {
	l.geom = poolGeom(l.Size, l.Stride)
	return windowed("average pooling", &l.geom, l.Padding, in)
}

// Forward implements [Layer].
func (l *AvgPool[T]) Forward(_ *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	return autodiff.AvgPool2D(x, l.geom)
}

func poolGeom(size, stride int) tensor.ConvGeom {
	if stride == 0 {
		stride = size
	}
	return tensor.ConvGeom{KH: size, KW: size, StrideH: stride, StrideW: stride}
}

// GlobalAvgPool takes the mean of every channel over the whole image: [h, w, c] → [c].
type GlobalAvgPool[T tensor.Float] struct{}

// Declare implements [Layer].
func (*GlobalAvgPool[T]) Declare(_ *Declaration, in tensor.Shape) (tensor.Shape, error) {
	if in.Rank() != 3 {
		return in, fmt.Errorf("global average pooling: found examples of shape %v, expected images [height width channels]", in)
	}
	return tensor.ShapeOf(in.Dim(2)), nil
}

// Forward implements [Layer].
func (*GlobalAvgPool[T]) Forward(_ *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	return reshaped(autodiff.GlobalAvgPool(x), tensor.ShapeOf(x.Shape().Dim(0), x.Shape().Dim(3)))
}

// Subsample is the parameter-free shortcut of residual networks where the image shrinks and the channels
// grow (He et al., 2016, option A): every Stride-th row and column, and zeros for the channels beyond
// those of the input.
type Subsample[T tensor.Float] struct {
	Stride, Out int

	geom tensor.ConvGeom
	in   int
}

// Declare implements [Layer].
func (l *Subsample[T]) Declare(_ *Declaration, in tensor.Shape) (tensor.Shape, error) {
	l.geom = poolGeom(1, l.Stride)
	out, err := windowed("subsampling", &l.geom, Valid, in)
	if err != nil {
		return in, err
	}
	if l.in = in.Dim(2); l.Out < l.in {
		return in, fmt.Errorf("subsampling: %d channels cannot be made %d", l.in, l.Out)
	}
	return out.With(2, l.Out), nil
}

// Forward implements [Layer].
func (l *Subsample[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	y := autodiff.AvgPool2D(x, l.geom) // of windows of one position: a selection
	if l.Out == l.in {
		return y
	}
	zeros := p.tape.Input(p.tape.Workspace().Zeros(y.Shape().With(3, l.Out-l.in)))
	return autodiff.Concat(3, y, zeros)
}
