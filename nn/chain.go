package nn

import (
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// ChainLayer is one affine layer of a multilayer perceptron, Y = f(X W + b).
type ChainLayer struct {
	Name         string
	Weight, Bias int // indices in the layout, of shapes [In, Out] and [Out]; Bias −1 if there is none
	In, Out      int
	Activation   string // one of [Activations]
}

// Chain returns the layers of a model that is a multilayer perceptron: dense layers, each with an elementwise activation or
// none, one after another. The error of any other model names the first layer that is none of that.
func Chain[T tensor.Float](m Model[T]) ([]ChainLayer, error) {
	s, ok := m.(*stack[T])
	if !ok {
		return nil, fmt.Errorf("model %s is no chain of layers", m.Name())
	}
	var chain []ChainLayer
	for i, layer := range s.body.Layers {
		fail := func(why string) error {
			return fmt.Errorf("model %s is no multilayer perceptron: layer %d of %d %s", m.Name(), i+1, len(s.body.Layers), why)
		}
		switch l := layer.(type) {
		case *Dense[T]:
			chain = append(chain, ChainLayer{Name: l.name, Weight: l.weight, Bias: l.bias, In: l.in, Out: l.Out, Activation: orIdentity(l.Activation)})
		case *Activation[T]:
			if len(chain) == 0 || chain[len(chain)-1].Activation != "identity" {
				return nil, fail("is an activation that follows no affine layer")
			}
			chain[len(chain)-1].Activation = l.Name
		case *Flatten[T]:
		default:
			return nil, fail(fmt.Sprintf("is a %T", layer))
		}
	}
	return chain, nil
}
