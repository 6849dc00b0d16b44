package nn

import (
	"fmt"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// Model is a parametrised function of a batch of examples. It holds no numbers: the parameters lie in a
// buffer with the model's layout, which is the caller's.
type Model[T tensor.Float] interface {
	// Name returns the specification that the model was built from.
	Name() string
	// Layout describes the parameters, which are trained.
	Layout() *Layout
	// StateLayout describes the running statistics, which are not; it may be empty.
	StateLayout() *Layout
	// Forward returns the outputs [batch, outputs...] for inputs x, [batch, features...]. The model
	// takes any batch size.
	Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T]
}

// Layer is a part of a model. The layers of this package are structs whose exported fields are their
// settings; their zero values are documented defaults.
type Layer[T tensor.Float] interface {
	// Declare adds the layer's parameters and state to d, remembers where they are, and returns the
	// shape of one output example for input examples of shape in. The error says why the layer cannot
	// take such examples. Declare is called once.
	Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error)
	// Forward applies the layer to the batch x, [batch, in...].
	Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T]
}

// Declaration collects the parameters and the state of a model under construction. It names layers by
// kind and number, such as dense2, within the layer that contains them: block1.conv2.
type Declaration struct {
	params, state *Layout
	path          string
	count         map[string]int
}

// Enter returns the declaration of the next layer of the given kind.
func (d *Declaration) Enter(kind string) *Declaration {
	d.count[kind]++
	path := fmt.Sprintf("%s%d", kind, d.count[kind])
	if d.path != "" {
		path = d.path + "." + path
	}
	return &Declaration{d.params, d.state, path, map[string]int{}}
}

// Path returns the layer's name, unique in the model.
func (d *Declaration) Path() string { return d.path }

// Param adds a parameter, whose name is completed by the path, and returns its index in the layout.
func (d *Declaration) Param(p Param) int {
	p.Name = d.path + "." + p.Name
	return d.params.Add(p)
}

// State adds an entry to the state layout, like [Declaration.Param].
func (d *Declaration) State(p Param) int {
	p.Name = d.path + "." + p.Name
	return d.state.Add(p)
}

// New returns the model that applies the layers one after another to examples of shape input. A layer
// that cannot take what the one before it gives is an error that says which and why.
func New[T tensor.Float](name string, input tensor.Shape, layers ...Layer[T]) (Model[T], error) {
	d := &Declaration{params: new(Layout), state: new(Layout), count: map[string]int{}}
	s := &Sequential[T]{Layers: layers}
	if _, err := s.Declare(d, input); err != nil {
		return nil, fmt.Errorf("model %s for examples of shape %v: %w", name, input, err)
	}
	return &stack[T]{name: name, input: input, layout: d.params, state: d.state, body: s}, nil
}

// stack is the model made of layers.
type stack[T tensor.Float] struct {
	name          string
	input         tensor.Shape
	layout, state *Layout
	body          *Sequential[T]
}

func (m *stack[T]) Name() string         { return m.name }
func (m *stack[T]) Layout() *Layout      { return m.layout }
func (m *stack[T]) StateLayout() *Layout { return m.state }

// Forward accepts the examples in any shape of the right size, such as images as rows of pixels.
func (m *stack[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	s := x.Shape()
	if s.Rank() == 0 || s.Dim(0)*m.input.Size() != s.Size() {
		panic(tensor.ShapeError{Op: "input of " + m.name + " (one example, batch)", A: m.input, B: s})
	}
	return m.body.Forward(p, reshaped(x, batched(s.Dim(0), m.input)))
}

// batched returns the shape of n examples of shape s.
func batched(n int, s tensor.Shape) tensor.Shape {
	return tensor.ShapeOf(append([]int{n}, s.Dims()...)...)
}

// reshaped views x with shape s, without an operation if it has it already.
func reshaped[T tensor.Float](x autodiff.Var[T], s tensor.Shape) autodiff.Var[T] {
	if x.Shape() == s {
		return x
	}
	return autodiff.Reshape(x, s)
}

// Sequential applies layers one after another.
type Sequential[T tensor.Float] struct {
	Layers []Layer[T]
}

// Declare implements [Layer].
func (l *Sequential[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	var err error
	for i, layer := range l.Layers {
		if in, err = layer.Declare(d, in); err != nil {
			return in, fmt.Errorf("layer %d of %d: %w", i+1, len(l.Layers), err)
		}
	}
	return in, nil
}

// Forward implements [Layer].
func (l *Sequential[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	for i := 0; i < len(l.Layers); i++ {
		if conv, ok := l.Layers[i].(*Conv[T]); ok && i+1 < len(l.Layers) {
			if pool, ok := l.Layers[i+1].(*MaxPool[T]); ok && conv.fuses(p) {
				x = conv.forwardPooled(p, x, pool)
				i++
				continue
			}
		}
		x = l.Layers[i].Forward(p, x)
	}
	return x
}

// Residual computes Body(x) + Shortcut(x); a nil Shortcut is the identity. He et al., "Deep residual
// learning for image recognition", 2016.
type Residual[T tensor.Float] struct {
	Body, Shortcut Layer[T]
}

// Declare implements [Layer].
func (l *Residual[T]) Declare(d *Declaration, in tensor.Shape) (tensor.Shape, error) {
	d = d.Enter("block")
	out, err := l.Body.Declare(d, in)
	if err != nil {
		return out, err
	}
	short := in
	if l.Shortcut != nil {
		if short, err = l.Shortcut.Declare(d, in); err != nil {
			return out, err
		}
	}
	if short != out {
		return out, fmt.Errorf("%s: the body gives %v, the shortcut %v; they are to be added", d.Path(), out, short)
	}
	return out, nil
}

// Forward implements [Layer].
func (l *Residual[T]) Forward(p *Pass[T], x autodiff.Var[T]) autodiff.Var[T] {
	y := l.Body.Forward(p, x)
	if l.Shortcut != nil {
		x = l.Shortcut.Forward(p, x)
	}
	return autodiff.Add(y, x)
}
