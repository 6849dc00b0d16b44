package optim

import (
	"context"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// Method is a training algorithm: an optimizer, an alternating-minimization trainer or a sampler.
// It is given the objective of the current batch and asks for what it needs.
type Method[T tensor.Float] interface {
	// Step makes one update of f's parameters. A non-finite loss or gradient is not an error: it
	// is reported, the parameters are left as they were, and the loop's guard decides.
	Step(ctx context.Context, f *objective.Objective[T]) (Report, error)
	// State returns everything a resumed run needs, by name. The values are references to the
	// live state: a checkpoint reads them, a resume writes them.
	State() State[T]
}

// Evaluated is a Method whose parameters to evaluate and keep are not those it steps from
// (averages, schedule-free methods). There is no mode to switch: whoever evaluates asks.
type Evaluated[T tensor.Float] interface {
	// EvalParams stores the parameters to evaluate in dst, given the current ones.
	EvalParams(dst, params []T)
}

// Observer is a Method that wants the value of each evaluation (reduce-on-plateau).
type Observer interface {
	// Observe is called with the validation (else training) loss after each evaluation.
	Observe(loss float64)
}

// Report says what one step did.
type Report struct {
	Loss     float64 // of the batch, before the update
	GradNorm float64 // Euclidean norm of the batch's gradient
	StepSize float64 // the learning rate that was used
	Skipped  bool    // the parameters were left as they were: a non-finite loss or gradient
	Held     bool    // the gradient was accumulated only: the parameters were left as they were
	Extra    []Value // further quantities by name, for the log; valid until the next step
}

// Value is a named number.
type Value struct {
	Name  string
	Value float64
}

// State is the named state of a method. Names are unique; the order is fixed.
type State[T tensor.Float] []StateEntry[T]

// StateEntry is one piece of state. Exactly one of the references is set.
type StateEntry[T tensor.Float] struct {
	Name   string
	Vector []T       // a vector, often with the layout of the parameters
	Double []float64 // numbers kept in double precision
	Int    *int64    // a counter
	Float  *float64  // a number
}
