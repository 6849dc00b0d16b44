package objective

import (
	"context"
	"fmt"
	"math"

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

// Part is how much of a batch is used, from its first example on: a batch that was drawn at random needs no further draw. The
// zero Part is all of it.
type Part struct {
	Fraction float64 // in (0, 1]; 0 means 1
	Least    int     // examples; a batch with fewer is used whole
}

// Of returns the number of examples of a batch of n that are used, ⌈Fraction·n⌉ or Least, whichever is more, and at most n.
func (p Part) Of(n int) int {
	if p.Fraction <= 0 || p.Fraction >= 1 {
		return n
	}
	count := int(math.Ceil(p.Fraction*float64(n) - 1e-9)) // a product such as 0.07·100 is a little more than 7
	return min(n, max(count, p.Least))
}

// Fisher is a Function whose layers can be tapped while curvature goes back through them.
type Fisher[T tensor.Float] interface {
	// TapFisher sends the seeds of signal back through the model at theta and calls tap for every affine
	// layer, from the output to the input, in each backward pass; pass counts from 0. The taps' DY are
	// scaled as those of a mean over the n examples, δᵢ/n propagated: the mean over examples of
	// ∂ℓ/∂y (∂ℓ/∂y)ᵀ is n Σ DY DYᵀ, summed over rows and passes. X is the same in every pass. No
	// gradient is computed and no running statistic moves; key decides all that is random. Of the
	// batch, the first part.Of(n) examples are used, as if there were no others: n is their number.
	TapFisher(theta []T, signal Signal, part Part, key tensor.Key, tap func(pass int, t Tap[T])) error
}

// TapFisher hands over the taps of a curvature signal at the current parameters; see [Fisher]. The error
// wraps [ErrUnsupported] where the function has no predictive distribution. It counts as a product.
func (o *Objective[T]) TapFisher(ctx context.Context, signal Signal, part Part, key tensor.Key, tap func(pass int, t Tap[T])) error {
	f, ok := o.fn.(Fisher[T])
	if !ok {
		return fmt.Errorf("%v curvature signal: %w", signal, ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.counts.Products++
	return f.TapFisher(o.params, signal, part, key, tap)
}

// TapValue evaluates the loss at the current parameters without a gradient and hands over the taps of
// every affine layer: the empirical signal of functions that are not a [Fisher]. No running statistic moves. It counts as a product.
// The whole batch is evaluated; the taps are cut to the part, with DY as those of its mean.
func (o *Objective[T]) TapValue(ctx context.Context, part Part, tap func(Tap[T])) error {
	f, ok := o.fn.(Tapped[T])
	if !ok {
		return fmt.Errorf("layer taps: %w", ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.counts.Products++
	use := tap
	if part.Fraction > 0 && part.Fraction < 1 {
		use = func(t Tap[T]) { tap(t.first(part)) }
	}
	_, err := f.EvaluateTapped(o.params, nil, use)
	return err
}

// first returns the tap of the first examples alone.
func (t Tap[T]) first(part Part) Tap[T] {
	per := max(1, t.RowsPer)
	all := t.X.Shape().Rows() / per
	n := part.Of(all)
	if n == all {
		return t
	}
	t.X = rowRange(t.X, 0, n*per)
	t.DY = rowRange(t.DY, 0, n*per).Clone()
	tensor.Scale(tensor.NewWorkspace[T](nil), t.DY, t.DY, T(all)/T(n)) // of a mean over n
	if !t.Input.IsZero() {
		t.Input = firstOf(t.Input, n)
	}
	return t
}
