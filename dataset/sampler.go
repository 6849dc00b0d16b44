package dataset

import (
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// Position is where a [Sampler] stands: all of its state.
type Position struct {
	Epoch  int64 `json:"epoch"`  // complete passes
	Offset int64 `json:"offset"` // examples drawn in this one
}

// Sampler draws batches of example indices: in each epoch every example once, in an order that is a
// function of the seed and the epoch alone. So its state is two integers, and a run that is resumed
// in the middle of an epoch sees the batches that it would have seen.
type Sampler struct {
	key      tensor.Key
	perm     []int32
	drawn    int64 // epoch that perm belongs to; -1: none
	pos      Position
	dropLast bool
}

// NewSampler returns a sampler over n examples at the beginning of epoch 0. The last batch of an epoch
// is smaller if the batch does not divide n, or left out if dropLast is set (unless it is the only
// one). It panics if n < 1.
func NewSampler(n int, seed uint64, dropLast bool) *Sampler {
	if n < 1 {
		panic(fmt.Sprintf("dataset: NewSampler: %d examples", n))
	}
	return &Sampler{key: tensor.KeyOf(seed).Named("shuffle"), perm: make([]int32, n), drawn: -1, dropLast: dropLast}
}

// Len returns the number of examples.
func (s *Sampler) Len() int { return len(s.perm) }

// Position returns where the sampler stands. After the last batch of an epoch that is the beginning
// of the next.
func (s *Sampler) Position() Position { return s.pos }

// Seek continues at p, a position that a sampler over as many examples had.
func (s *Sampler) Seek(p Position) error {
	if p.Epoch < 0 || p.Offset < 0 || p.Offset >= int64(len(s.perm)) {
		return &Error{What: "position in the training data is out of range",
			Found:    fmt.Sprintf("epoch %d, offset %d", p.Epoch, p.Offset),
			Expected: fmt.Sprintf("epoch ≥ 0, 0 ≤ offset < %d examples", len(s.perm)),
			Hint:     "the run was made with other data, or its state file was changed"}
	}
	s.pos = p
	return nil
}

// Next returns the indices of the next batch: batch of them, or fewer at the end of an epoch. The
// slice is valid until the following call. It panics if batch < 1.
func (s *Sampler) Next(batch int) []int32 {
	if batch < 1 {
		panic(fmt.Sprintf("dataset: Next: batch of %d", batch))
	}
	if s.drawn != s.pos.Epoch {
		tensor.Permutation(s.key.Fold(uint64(s.pos.Epoch)), s.perm)
		s.drawn = s.pos.Epoch
	}
	n := len(s.perm)
	lo := int(s.pos.Offset)
	hi := min(n, lo+min(batch, n))
	s.pos.Offset = int64(hi)
	if hi == n || s.dropLast && n-hi < batch {
		s.pos = Position{Epoch: s.pos.Epoch + 1}
	}
	return s.perm[lo:hi]
}

// StepsPerEpoch returns the number of batches of an epoch.
func (s *Sampler) StepsPerEpoch(batch int) int {
	return StepsPerEpoch(len(s.perm), batch, s.dropLast)
}

// StepsPerEpoch returns the number of batches that n examples make.
func StepsPerEpoch(n, batch int, dropLast bool) int {
	if dropLast {
		return max(1, n/batch)
	}
	return (n + batch - 1) / batch
}
