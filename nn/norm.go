package nn

import (
	"fmt"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

const (
	standardEps      = 1e-5 // added to variances
	standardMomentum = 0.1  // weight of the newest batch in running statistics
)

// gainShift declares the parameters of a normalisation layer: a scale that starts at one and, if wanted, a
// shift that starts at zero, both [channels].
func gainShift(d *Declaration, channels int, shifted bool) (scale, shift int) {
	s := tensor.ShapeOf(channels)
	scale, shift = d.Param(Param{Name: "scale", Shape: s, Kind: Scale, Init: Constant(1)}), -1
	if shifted {
		shift = d.Param(Param{Name: "shift", Shape: s, Kind: Shift})
	}
	return scale, shift
}

func orStandard(x, standard float64) float64 {
	if x == 0 {
		return standard
	}
	return x
}

// BatchNorm brings every channel (last axis) to mean 0 and variance 1, then multiplies by a scale and adds a
// shift (Ioffe and Szegedy, 2015). In training the mean and the variance are those of the batch, over examples
// and positions; in evaluation they are running means, kept in the state as "mean" and "variance", to which a
// batch contributes in mode [Tracking]:
//
//	running ← (1 − m) running + m batch
//
// with the batch's variance divided by rows − 1, as in torch. In training an output depends on the other
// examples of the batch.
type BatchNorm[T tensor.Float] struct {
	Eps      float64 // added to the variance; 0 stands for 1e-5
	Momentum float64 // m; 0 stands for 0.1

	scale, shift   int
	mean, variance int // in the state
}

// Declare implements [Layer].
func (l *BatchNorm[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	if l.Eps < 0 || l.Momentum < 0 || l.Momentum > 1 {
		return in, fmt.Errorf("batch normalisation: eps %v, momentum %v; expected eps at least 0 and momentum in [0, 1]", l.Eps, l.Momentum)
	}
	d = d.Enter("batchnorm")
	l.scale, l.shift = gainShift(d, in.Cols(), true)
	s := tensor.ShapeOf(in.Cols())
	l.mean = d.State(Param{Name: "mean", Shape: s, Kind: Other})
	l.variance = d.State(Param{Name: "variance", Shape: s, Kind: Other, Init: Constant(1)})
	return in, nil
}

// Forward implements [Layer].
func (l *BatchNorm[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	scale, shift, eps := p.Param(l.scale), p.Param(l.shift), orStandard(l.Eps, standardEps)
	if p.mode == Evaluating {
		return autodiff.BatchNormInference(x, scale, shift, p.State(l.mean), p.State(l.variance), eps)
	}
	p.mixed = true
	y, mean, variance := autodiff.BatchNorm(x, scale, shift, eps)
	if p.mode == Tracking {
		ws, m := p.tape.Workspace(), orStandard(l.Momentum, standardMomentum)
		rows := float64(x.Shape().Rows())
		tensor.Axpby(ws, p.State(l.mean), T(m), mean, T(1-m))
		tensor.Axpby(ws, p.State(l.variance), T(m*rows/max(1, rows-1)), variance, T(1-m))
	}
	return y
}

// LayerNorm brings the last axis of every row to mean 0 and variance 1, then multiplies by a scale and adds a
// shift, both of that axis's length (Ba, Kiros and Hinton, 2016).
type LayerNorm[T tensor.Float] struct {
	Eps float64 // added to the variance; 0 stands for 1e-5

	scale, shift int
}

// Declare implements [Layer].
func (l *LayerNorm[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	l.scale, l.shift = gainShift(d.Enter("layernorm"), in.Cols(), true)
	return in, nil
}

// Forward implements [Layer].
func (l *LayerNorm[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	return autodiff.LayerNorm(x, p.Param(l.scale), p.Param(l.shift), orStandard(l.Eps, standardEps))
}

// GroupNorm cuts the channels (last axis) into Groups groups and brings each example's values of each group,
// over all positions, to mean 0 and variance 1, then multiplies by a scale and adds a shift, both [channels]
// (Wu and He, 2018).
type GroupNorm[T tensor.Float] struct {
	Groups int
	Eps    float64 // added to the variance; 0 stands for 1e-5

	scale, shift int
}

// Declare implements [Layer].
func (l *GroupNorm[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	if l.Groups < 1 || in.Cols()%l.Groups != 0 {
		return in, fmt.Errorf("group normalisation: %d channels cannot be cut into %d groups", in.Cols(), l.Groups)
	}
	l.scale, l.shift = gainShift(d.Enter("groupnorm"), in.Cols(), true)
	return in, nil
}

// Forward implements [Layer].
func (l *GroupNorm[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	return autodiff.GroupNorm(x, p.Param(l.scale), p.Param(l.shift), l.Groups, orStandard(l.Eps, standardEps))
}

// RMSNorm divides every row by its root mean square along the last axis, then multiplies by a scale of that
// axis's length (Zhang and Sennrich, 2019).
type RMSNorm[T tensor.Float] struct {
	Eps float64 // added to the mean square; 0 stands for 1e-5

	scale int
}

// Declare implements [Layer].
func (l *RMSNorm[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	l.scale, _ = gainShift(d.Enter("rmsnorm"), in.Cols(), false)
	return in, nil
}

// Forward implements [Layer].
func (l *RMSNorm[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	return autodiff.RMSNorm(x, p.Param(l.scale), orStandard(l.Eps, standardEps))
}

// Dropout sets every unit to zero with probability Rate in training and divides the others by 1 − Rate, so
// that the mean stays (Srivastava et al., 2014). The mask is a function of the pass's key, the layer's name and
// the unit's place in the batch. In evaluation it does nothing.
type Dropout[T tensor.Float] struct {
	Rate float64

	name string
}

// Declare implements [Layer].
func (l *Dropout[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	if !(l.Rate >= 0 && l.Rate < 1) {
		return in, fmt.Errorf("dropout: rate %v, expected a number in [0, 1)", l.Rate)
	}
	l.name = d.Enter("dropout").Path()
	return in, nil
}

// Forward implements [Layer].
func (l *Dropout[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	if p.mode == Evaluating || l.Rate == 0 {
		return x
	}
	p.random = true
	return autodiff.Dropout(x, l.Rate, p.Key(l.name))
}

// SymbolTable is an embedding: it replaces every number k of the input, a whole number from 0 to Symbols − 1, by
// row k of a table [Symbols, Width]: [length] → [length, Width]. A number out of this range panics with a
// [tensor.ShapeError]: check the data where it enters.
type SymbolTable[T tensor.Float] struct {
	Symbols, Width int
	Init           Initializer // the zero value is normal with standard deviation 1/√Width

	table int
}

// Declare implements [Layer].
func (l *SymbolTable[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	if l.Symbols < 1 || l.Width < 1 || in.Rank() != 1 {
		return in, fmt.Errorf("embedding of %d symbols in width %d: found examples of shape %v, expected [length] of symbol numbers", l.Symbols, l.Width, in)
	}
	init := l.Init
	if init == (Initializer{}) {
		init = Initializer{"lecun-normal", 1}
	}
	l.table = d.Enter("embedding").Param(Param{Name: "table", Shape: tensor.ShapeOf(l.Symbols, l.Width), Kind: Embedding, FanIn: l.Width, FanOut: l.Width, Init: init})
	return in.Append(l.Width), nil
}

// Forward implements [Layer].
func (l *SymbolTable[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	numbers := x.Value().Data()
	symbols := p.tape.Workspace().Int32s(len(numbers))
	for i, v := range numbers {
		if symbols[i] = int32(v); T(symbols[i]) != v {
			panic(tensor.ShapeError{Op: "embedding", A: x.Shape(), Detail: fmt.Sprintf("found %v, expected a whole number from 0 to %d", v, l.Symbols-1)})
		}
	}
	return reshaped(autodiff.Embedding(p.Param(l.table), symbols), x.Shape().Append(l.Width))
}
