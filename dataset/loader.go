package dataset

import "github.com/descent-ml/descent/tensor"

// Batch is what a model sees of some examples at once.
type Batch[T tensor.Float] struct {
	X      tensor.Tensor[T] // [n, Input...]
	Labels []int32          // [n], classification
	Values tensor.Tensor[T] // [n, Outputs], regression and reconstruction
}

// Len returns the number of examples.
func (b Batch[T]) Len() int { return b.X.Shape().Dim(0) }

// Loader gathers batches into storage that it reuses: after the first batch of a size it allocates
// nothing. It is not safe for concurrent use.
type Loader[T tensor.Float] struct {
	e      Examples
	x      []T
	y      []T
	labels []int32
	idx    []int32

	augment Augmentation
	key     tensor.Key
}

// NewLoader returns a loader of the examples e.
func NewLoader[T tensor.Float](e Examples) *Loader[T] { return &Loader[T]{e: e} }

// Augment makes the following batches augmented by a. key is that of the seed and the epoch (see
// [AugmentKey]); the zero Augmentation ends it.
func (l *Loader[T]) Augment(a Augmentation, key tensor.Key) { l.augment, l.key = a, key }

// Load returns the examples idx. The batch is valid until the next call.
func (l *Loader[T]) Load(idx []int32) Batch[T] {
	n, shape := len(idx), l.e.Shape()
	l.x = grow(l.x, n*shape.Size())
	var b Batch[T]
	b.X = tensor.Of(l.x, batchShape(n, shape))
	GatherAugmented(l.e, idx, l.x, l.augment, l.key)
	switch l.e.data.task {
	case Classification:
		l.labels = grow(l.labels, n)
		GatherLabels(l.e, idx, l.labels)
		b.Labels = l.labels
	case Regression:
		k := l.e.Outputs()
		l.y = grow(l.y, n*k)
		GatherValues(l.e, idx, l.y)
		b.Values = tensor.FromSlice(l.y, n, k)
	case Reconstruction: // the input as it is now, augmented or not
		b.Values = b.X.Reshape(n, shape.Size())
	}
	return b
}

// Range returns the examples lo ≤ i < hi in order, as evaluation reads them. The batch is valid until
// the next call.
func (l *Loader[T]) Range(lo, hi int) Batch[T] {
	l.idx = grow(l.idx, hi-lo)
	for i := range l.idx {
		l.idx[i] = int32(lo + i)
	}
	a := l.augment
	l.augment = Augmentation{}
	defer func() { l.augment = a }()
	return l.Load(l.idx)
}

// batchShape returns [n, s...].
func batchShape(n int, s tensor.Shape) tensor.Shape {
	b := tensor.ShapeOf(n)
	for i := range s.Rank() {
		b = b.Append(s.Dim(i))
	}
	return b
}

// grow returns s with length n, its storage reused where it suffices.
func grow[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n)
	}
	return s[:n]
}
