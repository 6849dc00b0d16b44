package objective

import (
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Layered is a Function that is the loss of a multilayer perceptron on a batch and shows its parts, for methods that
// train the layers apart (alternating minimisation).
type Layered[T tensor.Float] interface {
	// Chain returns the layers, or an error that says what the model has besides.
	Chain() ([]nn.ChainLayer, error)
	// Batch returns the examples, [examples, features...], and their targets; both stay as they are until the next batch.
	Batch() (tensor.Tensor[T], nn.Target[T])
	// Loss returns the loss at the output.
	Loss() nn.Loss[T]
}

// Chain implements [Layered].
func (n *Network[T]) Chain() ([]nn.ChainLayer, error) { return nn.Chain(n.model) }

// Batch implements [Layered].
func (n *Network[T]) Batch() (tensor.Tensor[T], nn.Target[T]) { return n.x, n.y }
