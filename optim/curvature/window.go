package curvature

import (
	"context"

	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// window is the state of gradient accumulation: several batches to one update.
type window struct {
	on       bool  // a [watch] takes the statistics
	batches  int64 // of the window so far, with statistics
	examples int64 // of the last of them
}

// watch is a link before [optim.Accumulate] that takes the statistics of every batch of a window. The averages decay once a window, at its first
// batch, and batches count by their examples: with b examples in the part of this batch and b' in that of the one before,
//
//	Σ ← cΣ + new,   w ← cw + 1,      c = ρ b'/b at the first batch of a window, b'/b at the others
//
// so that Σ/w is what the batch of the whole window gives.
type watch[T tensor.Float] struct{ k *Preconditioner[T] }

// newWatch returns the link; k then leaves the statistics to it.
func newWatch[T tensor.Float](k *Preconditioner[T]) *watch[T] {
	k.window.on = true
	return &watch[T]{k}
}

func (*watch[T]) Name() string          { return "watch" }
func (*watch[T]) State() optim.State[T] { return nil } // the preconditioner has it

func (w *watch[T]) Transform(ctx context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	k := w.k
	due, decay := k.statisticsDue(k.updates + 1)
	if !due || k.frozen || k.reuse {
		return optim.Continue, nil
	}
	mark := k.ws.Mark()
	defer k.ws.Release(mark)
	examples := int64(max(1, k.o.Part.Of(s.Progress.Batch)))
	if k.window.batches > 0 {
		decay = 1
	}
	if k.window.examples > 0 {
		decay *= float64(k.window.examples) / float64(examples)
	}
	if err := k.observe(ctx, s.Objective, decay); err != nil {
		return optim.Skip, err
	}
	k.window.batches++
	k.window.examples = examples
	return optim.Continue, nil
}
