package nn

import (
	"fmt"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// Dense is the affine layer Y = X W + b followed by an activation. An input example of several axes is
// flattened, so that X is [batch, in].
//
//	weight  [in, out]
//	bias    [out], absent with NoBias
type Dense[T tensor.Float] struct {
	Out        int
	Activation string      // one of [Activations]; "" is the identity
	Init       Initializer // of the weight; the zero value is glorot-uniform
	BiasInit   Initializer // the zero value gives zeros
	NoBias     bool

	affine
	activate func(autodiff.Var[T]) autodiff.Var[T]
	in       int
}

// affine is where the parameters of an affine layer are.
type affine struct {
	name         string
	weight, bias int
}

// declareAffine adds weight and bias of an affine layer in groups (1 but for convolutions).
func declareAffine(d *Declaration, shape tensor.Shape, fanIn, fanOut, groups int, weight, bias Initializer, noBias bool) affine {
	if weight == (Initializer{}) {
		weight = Initializer{"glorot-uniform", 1}
	}
	a := affine{name: d.Path(), bias: -1}
	a.weight = d.Param(Param{Name: "weight", Shape: shape, Kind: Weight, FanIn: fanIn, FanOut: fanOut, Groups: groups, Init: weight})
	if !noBias {
		a.bias = d.Param(Param{Name: "bias", Shape: tensor.ShapeOf(shape.Cols()), Kind: Bias, FanIn: fanIn, FanOut: fanOut, Init: bias})
	}
	return a
}

// Declare implements [Layer].
func (l *Dense[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	if l.Out < 1 {
		return in, fmt.Errorf("dense layer: %d outputs, expected at least 1", l.Out)
	}
	a, err := findActivation[T](orIdentity(l.Activation))
	if err != nil {
		return in, err
	}
	l.activate, l.in = a.apply, in.Size()
	l.affine = declareAffine(d.Enter("dense"), tensor.ShapeOf(l.in, l.Out), l.in, l.Out, 1, l.Init, l.BiasInit, l.NoBias)
	return tensor.ShapeOf(l.Out), nil
}

// Forward implements [Layer].
func (l *Dense[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	x = reshaped(x, tensor.ShapeOf(x.Shape().Dim(0), l.in))
	w, b := parameters(p, l.affine)
	if l.Activation == "relu" && !p.record {
		return autodiff.AffineReLU(x, w, b)
	}
	y := autodiff.Affine(x, w, b)
	p.noted(Affine[T]{Name: l.name, Weight: l.weight, Bias: l.bias, X: x, Y: y})
	return l.activate(y)
}

// parameters returns weight and bias of an affine layer, the latter the zero Var if there is none.
func parameters[T tensor.Float](p *Pass[T], a affine) (w, b autodiff.Var[T]) {
	w = p.Param(a.weight)
	if a.bias >= 0 {
		b = p.Param(a.bias)
	}
	return w, b
}

func orIdentity(name string) string {
	if name == "" {
		return "identity"
	}
	return name
}

// Flatten turns every example into a vector. [Dense] does so by itself.
type Flatten[T tensor.Float] struct{}

// Declare implements [Layer].
func (*Flatten[T]) Declare(_ *Declaration, in tensor.Shape) (tensor.Shape, error) {
	return tensor.ShapeOf(in.Size()), nil
}

// Forward implements [Layer].
func (*Flatten[T]) Forward(_ *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	n := x.Shape().Dim(0)
	return reshaped(x, tensor.ShapeOf(n, x.Shape().Size()/max(1, n)))
}
