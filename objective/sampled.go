package objective

import (
	"context"
	"fmt"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Sampling is a Function with a predictive distribution, from which targets can be drawn.
type Sampling[T tensor.Float] interface {
	// SampledGradient stores in out the gradient at theta of the batch's mean loss for targets that are drawn from the model's own
	// predictive distribution. Its mean over key is zero, and B times its covariance, with B the number of
	// examples, is the Fisher matrix: E[B·out∘out] is that matrix's diagonal. No running statistic moves.
	SampledGradient(theta []T, key tensor.Key, out []T) error
}

// SampledGradient stores the gradient for sampled targets at the current parameters in out; see [Sampling]. The error wraps
// [ErrUnsupported] where the function has no predictive distribution. It counts as a product.
func (o *Objective[T]) SampledGradient(ctx context.Context, key tensor.Key, out []T) error {
	f, ok := o.fn.(Sampling[T])
	if !ok {
		return fmt.Errorf("gradient for sampled targets: %w", ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.counts.Products++
	return f.SampledGradient(o.params, key, out)
}

// SampledGradient implements [Sampling]. A penalty is not included. Cost: a forward and a backward pass. With label smoothing
// the sampled targets are smoothed as well, a bias of the order of the smoothing.
func (n *Network[T]) SampledGradient(theta []T, key tensor.Key, out []T) error {
	mode := nn.Training
	if !n.training {
		mode = nn.Evaluating
	}
	z := n.outputs(&n.run, theta, mode, n.x, false)
	if err := n.loss.Check(z.Shape(), n.y); err != nil {
		return err
	}
	loss := n.loss.Apply(z, n.loss.Sample(z.Value(), key))
	n.run.tape.Backward(loss, n.run.pass.Params(), n.views(out), nil, nil)
	return nil
}
