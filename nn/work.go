package nn

import (
	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// Work is what one affine layer computes for one example: Positions rows of In inputs each become Out outputs.
type Work struct {
	Name      string
	Weight    int  // index in the layout
	In, Out   int  // of a grouped convolution In is that of one group
	Positions int  // rows of an example: 1 for a dense layer, positions for a convolution
	First     bool // nothing before it has parameters: no gradient of its input is needed
}

// Forward returns the flops of the layer's product for one example.
func (w Work) Forward() float64 { return 2 * float64(w.Positions) * float64(w.In) * float64(w.Out) }

// Gradient returns the flops of the three products that the gradient takes: forward, with respect to the weight, and with respect
// to the input, which the first layer leaves out.
func (w Work) Gradient() float64 {
	if w.First {
		return 2 * w.Forward()
	}
	return 3 * w.Forward()
}

// AffineWork returns the affine layers that an example of shape input goes through, in order; a layer that is used twice is there
// twice. Activations, normalisations and poolings are not in it: they are a few flops an element. It evaluates the model once,
// on zeros.
func AffineWork[T tensor.Float](m Model[T], input tensor.Shape) []Work {
	tape := autodiff.NewTape(tensor.NewWorkspace[T](nil))
	p := NewPass(m)
	state := make([]T, m.StateLayout().Size())
	p.Start(tape, make([]T, m.Layout().Size()), state, Evaluating, tensor.KeyOf(0))
	p.RecordAffine()
	m.Forward(p, tape.Input(tensor.Of(make([]T, input.Size()), batched(1, input))))
	var work []Work
	for i, a := range p.Affine() {
		w := m.Layout().At(a.Weight).Shape
		work = append(work, Work{Name: a.Name, Weight: a.Weight, In: w.Dim(0), Out: w.Dim(1), Positions: a.Y.Shape().Size() / w.Dim(1), First: i == 0})
	}
	return work
}
