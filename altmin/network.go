package altmin

import (
	"context"
	"fmt"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// network is what all trainers have: the layers of the network and the loss at its output, bound to the parameters at the first
// step.
type network[T tensor.Float] struct {
	method   string // for errors
	chain    []nn.ChainLayer
	layout   *nn.Layout
	examples int
	fista    bool
	out      *output[T] // nil before the first step
	ws       *tensor.Workspace[T]
}

// newNetwork returns an error unless env describes a network whose layers the method can train apart.
func newNetwork[T tensor.Float](method string, env optim.Env, fista bool) (network[T], error) {
	net := env.Network
	if net == nil {
		return network[T]{}, fmt.Errorf("altmin: %s needs to know the layers of the network\nhint: it trains multilayer perceptrons, by descent train or with optim.Env.Network set", method)
	}
	if net.ChainError != nil {
		return network[T]{}, fmt.Errorf("altmin: %s: %w\nhint: take a model of dense layers, such as mlp:100,100", method, net.ChainError)
	}
	if last := net.Chain[len(net.Chain)-1]; last.Activation != "identity" {
		return network[T]{}, fmt.Errorf("altmin: %s: the last layer %s has activation %s\nhint: the loss must see the affine map itself", method, last.Name, last.Activation)
	}
	return network[T]{method: method, chain: net.Chain, layout: env.Layout, examples: net.Examples, fista: fista, ws: tensor.NewWorkspace[T](env.Pool)}, nil
}

// top returns the index of the last layer.
func (n *network[T]) top() int { return len(n.chain) - 1 }

// activation returns the activation of hidden layer i, or an error that names the layer.
func (n *network[T]) activation(i int) (Activation, error) {
	a, err := ActivationByName(n.chain[i].Activation)
	if err != nil {
		err = fmt.Errorf("altmin: layer %s: %w", n.chain[i].Name, err)
	}
	return a, err
}

// bind returns the batch of f, which must be all examples, as a matrix and its targets. In the first step it finds the loss, and the weights
// and biases of the affine maps that layer returns.
func (n *network[T]) bind(ctx context.Context, f *objective.Objective[T], layer func(i int) *affine[T]) (tensor.Tensor[T], nn.Target[T], error) {
	var none tensor.Tensor[T]
	if err := ctx.Err(); err != nil {
		return none, nn.Target[T]{}, err
	}
	net, ok := f.Function().(objective.Layered[T])
	if !ok {
		return none, nn.Target[T]{}, fmt.Errorf("altmin: %s needs the layers of a network: %w", n.method, objective.ErrUnsupported)
	}
	x, y := net.Batch()
	if found := x.Shape().Dim(0); found != n.examples {
		return none, y, fmt.Errorf("altmin: %s was made for %d examples and given a batch of %d\nhint: it trains on all examples at once: set the batch to the number of training examples", n.method, n.examples, found)
	}
	if n.out == nil {
		out, err := newOutput(net.Loss(), n.fista)
		if err != nil {
			return none, y, err
		}
		n.out = out
		for i, c := range n.chain {
			a := layer(i)
			a.w = nn.View(n.layout, f.Params(), c.Weight)
			if c.Bias >= 0 {
				a.b = nn.View(n.layout, f.Params(), c.Bias).Data()
			}
		}
	}
	return x.Reshape(n.examples, n.chain[0].In), y, nil
}
