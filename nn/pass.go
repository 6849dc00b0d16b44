package nn

import (
	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// Mode says how layers that behave differently in training behave in a [Pass].
type Mode uint8

const (
	// Evaluating: no dropout, running statistics. Every example is treated on its own.
	Evaluating Mode = iota
	// Training: dropout, statistics of the batch.
	Training
	// Tracking is Training that also moves the running statistics towards those of the batch. It is
	// the mode of one evaluation a training step, whatever the number of evaluations the step makes.
	Tracking
)

// Pass is one evaluation of a model on a tape: the parameters as variables, the state, the mode, and
// a record of the affine layers met on the way. It is made once and started anew for each evaluation.
type Pass[T tensor.Float] struct {
	tape   *autodiff.Tape[T]
	layout *Layout
	states *Layout
	params []autodiff.Var[T]
	state  []T
	mode   Mode
	key    tensor.Key
	record bool
	affine []Affine[T]
	mixed  bool
	random bool
}

// Affine is the record of one affine layer Y = X W + b in a pass.
type Affine[T tensor.Float] struct {
	Name         string
	Weight, Bias int             // indices in the layout; Bias -1 if there is none
	X            autodiff.Var[T] // input: rows, or for a convolution the images
	Y            autodiff.Var[T] // output, before the activation
	Conv         bool
	Geom         tensor.ConvGeom // of a convolution: W acts on the patches of X that it describes
}

// NewPass returns a pass for m, to be started by [Pass.Start].
func NewPass[T tensor.Float](m Model[T]) *Pass[T] {
	return &Pass[T]{layout: m.Layout(), states: m.StateLayout(), params: make([]autodiff.Var[T], m.Layout().Len())}
}

// Start records the parameters in theta as inputs of tape and forgets the previous evaluation. theta
// and state are not copied; state is written in mode [Tracking] only. key decides the dropout masks: a
// pass with the same key and a batch of the same size drops the same units.
func (p *Pass[T]) Start(tape *autodiff.Tape[T], theta, state []T, mode Mode, key tensor.Key) {
	p.tape, p.state, p.mode, p.key = tape, state, mode, key
	p.record, p.affine = false, p.affine[:0]
	p.mixed, p.random = false, false
	if len(state) != p.states.Size() {
		panic(tensor.ShapeError{Op: "Pass.Start: state", A: tensor.ShapeOf(p.states.Size()), B: tensor.ShapeOf(len(state))})
	}
	for i := range p.params {
		p.params[i] = tape.Input(View(p.layout, theta, i))
	}
}

// RecordAffine asks for a record of the affine layers, see [Pass.Affine]. Layers then do not fuse the
// affine map with the activation that follows, so that the output before the activation is at hand;
// the values are the same.
func (p *Pass[T]) RecordAffine() { p.record = true }

// Affine returns the affine layers that the model's Forward went through, in order, if they were asked for.
func (p *Pass[T]) Affine() []Affine[T] { return p.affine }

// Tape returns the tape.
func (p *Pass[T]) Tape() *autodiff.Tape[T] { return p.tape }

// Mode returns the mode.
func (p *Pass[T]) Mode() Mode { return p.mode }

// Param returns parameter i of the layout as a variable.
func (p *Pass[T]) Param(i int) autodiff.Var[T] { return p.params[i] }

// Params returns all parameters, in the layout's order. The slice is the pass's own.
func (p *Pass[T]) Params() []autodiff.Var[T] { return p.params }

// State returns entry i of the state layout, a view of the state buffer.
func (p *Pass[T]) State(i int) tensor.Tensor[T] { return View(p.states, p.state, i) }

// Key returns the random stream of the layer called name in this evaluation.
func (p *Pass[T]) Key(name string) tensor.Key { return p.key.Named(name) }

// Mixed reports whether some layer made the output of one example depend on the others (batch statistics).
func (p *Pass[T]) Mixed() bool { return p.mixed }

// Random reports whether some layer used random numbers (dropout).
func (p *Pass[T]) Random() bool { return p.random }

// noted records an affine layer if that was asked for.
func (p *Pass[T]) noted(a Affine[T]) {
	if p.record {
		p.affine = append(p.affine, a)
	}
}
