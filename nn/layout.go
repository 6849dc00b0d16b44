package nn

import (
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// Kind says what a parameter is for. Weight decay, layer-wise rates and preconditioners choose by it.
type Kind uint8

const (
	Weight    Kind = iota // matrix of an affine layer, [in, out] (convolution: [kh·kw·in/groups, out])
	Bias                  // additive vector of an affine layer
	Scale                 // multiplicative vector of a normalisation layer
	Shift                 // additive vector of a normalisation layer
	Embedding             // table with one row a symbol
	Other                 // anything else
)

// String returns the kind in lower case.
func (k Kind) String() string {
	return [...]string{"weight", "bias", "scale", "shift", "embedding", "other"}[k]
}

// Param describes one parameter: a named, shaped part of the parameter buffer.
type Param struct {
	Name   string // path, such as "dense1.weight"
	Shape  tensor.Shape
	Kind   Kind
	Offset int // of its first element in the buffer
	FanIn  int // inputs of one output unit (0 where it has no meaning)
	FanOut int
	Groups int // of a convolution whose inputs and outputs are cut into so many that do not see each other; 0 and 1: not cut
	Init   Initializer
}

// Layout lists the parameters of a model in the order in which they lie, without gaps, in one
// contiguous buffer. Gradients and optimizer state use the same layout, so that a whole-vector
// operation is one loop and a checkpoint one write.
type Layout struct {
	params []Param
	size   int
	index  map[string]int
}

// Add appends a parameter and returns its index. It panics if the name is taken.
func (l *Layout) Add(p Param) int {
	if l.index == nil {
		l.index = map[string]int{}
	}
	if _, ok := l.index[p.Name]; ok {
		panic(fmt.Sprintf("nn: parameter %q is declared twice", p.Name))
	}
	p.Offset = l.size
	l.index[p.Name] = len(l.params)
	l.params = append(l.params, p)
	l.size += p.Shape.Size()
	return len(l.params) - 1
}

// Len returns the number of parameters (tensors).
func (l *Layout) Len() int { return len(l.params) }

// Size returns the number of elements of the buffer.
func (l *Layout) Size() int { return l.size }

// At returns the description of parameter i.
func (l *Layout) At(i int) Param { return l.params[i] }

// Index returns the index of the named parameter, or -1.
func (l *Layout) Index(name string) int {
	if i, ok := l.index[name]; ok {
		return i
	}
	return -1
}

// View returns parameter i as a tensor on the storage of buf, a buffer with this layout.
func View[T tensor.Float](l *Layout, buf []T, i int) tensor.Tensor[T] {
	p := l.params[i]
	if len(buf) != l.size {
		panic(fmt.Sprintf("nn: buffer of %d elements for a layout of %d", len(buf), l.size))
	}
	n := p.Shape.Size()
	return tensor.Of(buf[p.Offset:p.Offset+n:p.Offset+n], p.Shape)
}

// FlatLayout is the layout of a plain vector of n elements in one parameter named "x": for
// functions that are not networks.
func FlatLayout(n int) *Layout {
	l := new(Layout)
	l.Add(Param{Name: "x", Shape: tensor.ShapeOf(n), Kind: Other})
	return l
}
