package objective

import (
	"context"
	"errors"
	"fmt"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// ErrUnsupported is wrapped by the errors of an [Objective] that is asked for something which its
// function cannot answer (a Hessian-vector product of a function given by its gradient alone).
var ErrUnsupported = errors.New("objective: not supported by this function")

// Function is a differentiable scalar function of a parameter vector: the loss of a model on the
// current batch, or any other. What else it can answer it says by implementing [Curvature],
// [Tapped] or [PerExample].
type Function[T tensor.Float] interface {
	// Evaluate returns the value at theta and, if grad is not nil, stores the gradient there.
	// theta is not modified. An error is for data-dependent failure only; a non-finite value is
	// returned as it is.
	Evaluate(theta, grad []T) (float64, error)
}

// Curvature is a Function with exact products of its Hessian and its generalised Gauss-Newton matrix
// at theta.
type Curvature[T tensor.Float] interface {
	// HVP stores H v, the Hessian times v, in out.
	HVP(theta, v, out []T) error
	// GGNVP stores JᵀHₒJ v in out, with J the Jacobian of the model's output and Hₒ the Hessian
	// of the loss with respect to it.
	GGNVP(theta, v, out []T) error
}

// Tap is what an affine layer Y = X W + b saw on one batch: the rows that entered and the loss
// gradients that came back to its output, for preconditioners and per-example statistics.
type Tap[T tensor.Float] struct {
	Name         string           // of the layer
	Weight, Bias int              // indices in the layout; Bias -1 if there is none
	X            tensor.Tensor[T] // [rows, in]
	DY           tensor.Tensor[T] // [rows, out]: ∂L/∂Y, with L the batch's mean loss
	RowsPer      int              // rows of one example (1 for a dense layer, positions for a convolution)

	// Input is, for a convolution, the images [batch, height, width, in] whose patches are X, with
	// columns in the order (ky, kx, channel); the zero Tensor for other layers.
	Input tensor.Tensor[T]
}

// Tapped is a Function whose affine layers can be tapped.
type Tapped[T tensor.Float] interface {
	// EvaluateTapped is Evaluate that also calls tap for every affine layer, from the output to the
	// input. The tensors are valid during the call alone.
	EvaluateTapped(theta, grad []T, tap func(Tap[T])) (float64, error)
}

// PerExample is a Function that is a mean over examples.
type PerExample[T tensor.Float] interface {
	// SquaredGradients stores, for every parameter element, the sum over the batch's examples of
	// the square of that example's gradient.
	SquaredGradients(theta, out []T) (float64, error)
}

// Progress says where in the training a step stands. Schedules are functions of it; they count
// examples, not calls, so that neither accumulation nor the number of workers changes them.
type Progress struct {
	Step    int64 // steps done before this one
	Seen    int64 // examples seen before this step
	Batch   int   // examples of this step's batch
	Horizon int64 // examples planned in all; 0 if unknown
	PerPass int64 // examples of one pass over the training data; 0 if unknown
}

// Counts are the evaluations that methods asked for.
type Counts struct {
	Values, Gradients, Products int64
}

// Objective is what a training method is given: the loss of the current batch as a function of the
// parameters, which answers questions. What is not asked for is never computed.
type Objective[T tensor.Float] struct {
	fn       Function[T]
	layout   *nn.Layout
	params   []T
	grad     []T
	loss     float64
	fresh    bool // loss and grad belong to params and the current batch
	progress Progress
	counts   Counts
}

// New returns the objective of fn with parameters params, which methods update in place.
func New[T tensor.Float](fn Function[T], layout *nn.Layout, params []T) *Objective[T] {
	if len(params) != layout.Size() {
		panic(fmt.Sprintf("objective: %d parameters for a layout of %d", len(params), layout.Size()))
	}
	return &Objective[T]{fn: fn, layout: layout, params: params, grad: make([]T, len(params))}
}

// Layout returns the names, shapes and kinds of the parameters.
func (o *Objective[T]) Layout() *nn.Layout { return o.layout }

// Params returns the parameter buffer itself. A method that has changed it calls [Objective.Moved].
func (o *Objective[T]) Params() []T { return o.params }

// Moved says that the parameters or the batch changed: the cached gradient is dropped.
func (o *Objective[T]) Moved() { o.fresh = false }

// Progress returns where in the training this step stands.
func (o *Objective[T]) Progress() Progress { return o.progress }

// SetProgress is called by the training loop before each step, after it changed the batch.
func (o *Objective[T]) SetProgress(p Progress) { o.progress, o.fresh = p, false }

// Counts returns the evaluations so far.
func (o *Objective[T]) Counts() Counts { return o.counts }

// Function returns the function itself, for what Objective does not forward.
func (o *Objective[T]) Function() Function[T] { return o.fn }

// Gradient returns the loss and its gradient at the current parameters. The gradient is the
// objective's own buffer: it may be overwritten by the caller (a chain of links does), after which
// [Objective.Moved] must be called before it is asked for again. A second call without a move costs
// nothing.
func (o *Objective[T]) Gradient(ctx context.Context) (float64, []T, error) {
	if o.fresh {
		return o.loss, o.grad, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	loss, err := o.fn.Evaluate(o.params, o.grad)
	o.counts.Gradients++
	if err != nil {
		return 0, nil, err
	}
	o.loss, o.fresh = loss, true
	return loss, o.grad, nil
}

// GradientAt evaluates loss and gradient at another point of the same batch; grad may be nil.
func (o *Objective[T]) GradientAt(ctx context.Context, theta, grad []T) (float64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if grad == nil {
		o.counts.Values++
	} else {
		o.counts.Gradients++
	}
	return o.fn.Evaluate(theta, grad)
}

// HVP stores the product of the Hessian at the current parameters with v in out.
func (o *Objective[T]) HVP(v, out []T) error {
	c, ok := o.fn.(Curvature[T])
	if !ok {
		return fmt.Errorf("product with the Hessian: %w", ErrUnsupported)
	}
	o.counts.Products++
	return c.HVP(o.params, v, out)
}

// GGNVP stores the product of the generalised Gauss-Newton matrix with v in out.
func (o *Objective[T]) GGNVP(v, out []T) error {
	c, ok := o.fn.(Curvature[T])
	if !ok {
		return fmt.Errorf("product with the Gauss-Newton matrix: %w", ErrUnsupported)
	}
	o.counts.Products++
	return c.GGNVP(o.params, v, out)
}

// GradientTapped is [Objective.Gradient] that also hands over the taps of every affine layer.
func (o *Objective[T]) GradientTapped(ctx context.Context, tap func(Tap[T])) (float64, []T, error) {
	f, ok := o.fn.(Tapped[T])
	if !ok {
		return 0, nil, fmt.Errorf("layer taps: %w", ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	loss, err := f.EvaluateTapped(o.params, o.grad, tap)
	o.counts.Gradients++
	if err != nil {
		return 0, nil, err
	}
	o.loss, o.fresh = loss, true
	return loss, o.grad, nil
}

// SquaredGradients stores the sum over the batch's examples of their squared gradients in out.
func (o *Objective[T]) SquaredGradients(out []T) (float64, error) {
	f, ok := o.fn.(PerExample[T])
	if !ok {
		return 0, fmt.Errorf("per-example squared gradients: %w", ErrUnsupported)
	}
	o.counts.Gradients++
	return f.SquaredGradients(o.params, out)
}
