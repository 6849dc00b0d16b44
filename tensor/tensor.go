package tensor

import "github.com/descent-ml/descent/internal/simd"

// Float is the set of element types: float32 for training, float64 for verification.
type Float = simd.Float

// Tensor is a dense array, contiguous and row-major (the last axis varies fastest). It is a small
// handle, passed by value, on shared storage: copying a Tensor does not copy its elements.
type Tensor[T Float] struct {
	shape Shape
	data  []T
}

// New returns a zeroed tensor on the heap. Inside a training step use [Workspace.New].
func New[T Float](dims ...int) Tensor[T] {
	s := ShapeOf(dims...)
	return Tensor[T]{s, make([]T, s.Size())}
}

// Of wraps data as a tensor of shape s without copying. It panics if the sizes differ.
func Of[T Float](data []T, s Shape) Tensor[T] {
	if len(data) != s.Size() {
		panic(ShapeError{Op: "Of", A: s, B: ShapeOf(len(data)), Detail: "data has another size"})
	}
	return Tensor[T]{s, data}
}

// FromSlice wraps data as a tensor with the given axis lengths without copying.
func FromSlice[T Float](data []T, dims ...int) Tensor[T] { return Of(data, ShapeOf(dims...)) }

// Scalar returns a rank-0 tensor holding v.
func Scalar[T Float](v T) Tensor[T] { return Tensor[T]{Shape{}, []T{v}} }

// Shape returns the axis lengths.
func (t Tensor[T]) Shape() Shape { return t.shape }

// Data returns the elements in row-major order. The slice is the storage itself.
func (t Tensor[T]) Data() []T { return t.data }

// Size returns the number of elements.
func (t Tensor[T]) Size() int { return len(t.data) }

// IsZero reports whether t is the zero Tensor, which has no storage.
func (t Tensor[T]) IsZero() bool { return t.data == nil }

// Reshape returns a view of the same elements with another shape of the same size.
func (t Tensor[T]) Reshape(dims ...int) Tensor[T] { return Of(t.data, ShapeOf(dims...)) }

// View is Reshape with a Shape.
func (t Tensor[T]) View(s Shape) Tensor[T] { return Of(t.data, s) }

// At returns the element at the given indices; for tests and printing, not for hot loops.
func (t Tensor[T]) At(idx ...int) T { return t.data[t.offset(idx)] }

// Set stores v at the given indices; for tests and small set-ups, not for hot loops.
func (t Tensor[T]) Set(v T, idx ...int) { t.data[t.offset(idx)] = v }

func (t Tensor[T]) offset(idx []int) int {
	if len(idx) != t.shape.Rank() {
		panic(ShapeError{Op: "At", A: t.shape, Detail: "another number of indices"})
	}
	o := 0
	for i, k := range idx {
		d := t.shape.Dim(i)
		if k < 0 || k >= d {
			panic(ShapeError{Op: "At", A: t.shape, Detail: "index out of range"})
		}
		o = o*d + k
	}
	return o
}

// Clone returns a copy on the heap.
func (t Tensor[T]) Clone() Tensor[T] {
	return Tensor[T]{t.shape, append([]T(nil), t.data...)}
}
