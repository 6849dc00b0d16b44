package optim

import (
	"context"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// Accumulate holds the update back until n batches have been seen and then passes on the gradient of
// their mean over examples:
//
//	u = Σᵢ bᵢ gᵢ / Σᵢ bᵢ      bᵢ examples in batch i, gᵢ the gradient of its mean loss
//
// Sums and counts are accumulated and divided once, so a last batch that is smaller, and a last
// window with fewer batches (the link looks at the horizon and does not wait for what will not come),
// give the gradient of the large batch exactly, up to rounding. Links after it, and schedules, see the
// progress of the whole window: examples seen before its first batch, and the sum of its examples.
// A batch without a finite gradient is not counted.
//
// Cost: one float a parameter, one pass a batch.
type Accumulate[T tensor.Float] struct {
	n int
	// The window in progress.
	sum      []T
	batches  int64
	examples int64
	first    objective.Progress // Step and Seen at its first batch
}

// NewAccumulate returns the link for windows of n batches.
func NewAccumulate[T tensor.Float](env Env, n int) *Accumulate[T] {
	return &Accumulate[T]{n: n, sum: make([]T, env.Layout.Size())}
}

// Name returns "accumulate".
func (*Accumulate[T]) Name() string { return "accumulate" }

// State returns the window in progress.
func (a *Accumulate[T]) State() State[T] {
	return State[T]{{Name: "sum", Vector: a.sum}, {Name: "batches", Int: &a.batches}, {Name: "examples", Int: &a.examples},
		{Name: "step", Int: &a.first.Step}, {Name: "seen", Int: &a.first.Seen}}
}

// Transform adds the batch to the window and holds, unless it is the last of it.
func (a *Accumulate[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	p := s.Progress
	if a.batches == 0 {
		clear(a.sum)
		a.examples, a.first = 0, p
	}
	weight := int64(max(1, p.Batch)) // a function without examples counts as one
	simd.Axpy(a.sum, T(weight), s.Update)
	a.batches++
	a.examples += weight
	last := p.Horizon > 0 && p.Seen+int64(p.Batch) >= p.Horizon
	if a.batches < int64(a.n) && !last {
		return Hold, nil
	}
	a.batches = 0
	simd.Scale(s.Update, a.sum, 1/T(a.examples))
	s.Progress.Step, s.Progress.Seen, s.Progress.Batch = a.first.Step, a.first.Seen, int(a.examples)
	s.known = false
	return Continue, nil
}
