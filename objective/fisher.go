package objective

import (
	"context"
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// Signal says which gradients at the model's output are sent back through the layers to estimate the
// generalised Gauss–Newton matrix. With Hᵢ the Hessian of the loss of example i in its output zᵢ, all but
// Empirical have seeds δᵢ whose second moment E[δᵢ δᵢᵀ] is Hᵢ.
type Signal uint8

const (
	// Propagated: δᵢ = Sᵢ ε with Sᵢ Sᵢᵀ = Hᵢ and independent signs ε = ±1. One backward pass; its noise is
	// bounded.
	Propagated Signal = iota
	// Sampled: δᵢ is the gradient for a target that is drawn from the model's own predictive distribution. One
	// backward pass. (With label smoothing it is the gradient of the smoothed loss, which has a bias
	// of the order of the smoothing.)
	Sampled
	// Exact: one backward pass for each column of S, one a model output; no noise.
	Exact
	// Empirical: the gradient for the training target. It is not the Fisher matrix: near interpolation it
	// collapses to zero.
	Empirical
)

// String returns the name in lower case.
func (s Signal) String() string {
	if int(s) < len(signalNames) {
		return signalNames[s]
	}
	return fmt.Sprintf("Signal(%d)", uint8(s))
}

var signalNames = [...]string{"propagated", "sampled", "exact", "empirical"}

// Fisher is a Function whose layers can be tapped while curvature goes back through them.
type Fisher[T tensor.Float] interface {
	// TapFisher sends the seeds of signal back through the model at theta and calls tap for every affine
	// layer, from the output to the input, in each backward pass; pass counts from 0. The taps' DY are
	// scaled as those of a mean over the n examples, δᵢ/n propagated: the mean over examples of
	// ∂ℓ/∂y (∂ℓ/∂y)ᵀ is n Σ DY DYᵀ, summed over rows and passes. X is the same in every pass. No
	// gradient is computed and no running statistic moves; key decides all that is random.
	TapFisher(theta []T, signal Signal, key tensor.Key, tap func(pass int, t Tap[T])) error
}

// TapFisher hands over the taps of a curvature signal at the current parameters; see [Fisher]. The error
// wraps [ErrUnsupported] where the function has no predictive distribution. It counts as a product.
func (o *Objective[T]) TapFisher(ctx context.Context, signal Signal, key tensor.Key, tap func(pass int, t Tap[T])) error {
	f, ok := o.fn.(Fisher[T])
	if !ok {
		return fmt.Errorf("%v curvature signal: %w", signal, ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.counts.Products++
	return f.TapFisher(o.params, signal, key, tap)
}

// TapValue evaluates the loss at the current parameters without a gradient and hands over the taps of
// every affine layer: the empirical signal of functions that are not a [Fisher]. No running statistic moves. It counts as a product.
func (o *Objective[T]) TapValue(ctx context.Context, tap func(Tap[T])) error {
	f, ok := o.fn.(Tapped[T])
	if !ok {
		return fmt.Errorf("layer taps: %w", ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.counts.Products++
	_, err := f.EvaluateTapped(o.params, nil, tap)
	return err
}
