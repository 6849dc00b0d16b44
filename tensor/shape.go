package tensor

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxRank is the largest number of axes of a tensor.
const MaxRank = 6

// Shape is the list of axis lengths of a tensor. It is a comparable value of fixed size, so that
// shapes are compared with == and passed without allocation. The zero Shape is that of a scalar
// (rank 0, one element).
type Shape struct {
	rank int8
	dim  [MaxRank]int32
}

// ShapeOf returns the shape with the given axis lengths.
// It panics with a [ShapeError] if there are more than [MaxRank] or one is negative.
func ShapeOf(dims ...int) Shape {
	var s Shape
	if len(dims) > MaxRank {
		panic(ShapeError{Op: "ShapeOf", Detail: fmt.Sprintf("%d axes, at most %d", len(dims), MaxRank)})
	}
	s.rank = int8(len(dims))
	for i, d := range dims {
		if d < 0 || d > 1<<31-1 {
			panic(ShapeError{Op: "ShapeOf", Detail: fmt.Sprintf("axis %d has length %d", i, d)})
		}
		s.dim[i] = int32(d)
	}
	return s
}

// Rank returns the number of axes.
func (s Shape) Rank() int { return int(s.rank) }

// Dim returns the length of axis i; a negative i counts from the last axis (-1 is the last).
func (s Shape) Dim(i int) int {
	if i < 0 {
		i += int(s.rank)
	}
	if i < 0 || i >= int(s.rank) {
		panic(ShapeError{Op: "Dim", A: s, Detail: fmt.Sprintf("axis %d of rank %d", i, s.rank)})
	}
	return int(s.dim[i])
}

// Size returns the number of elements, the product of the axis lengths.
func (s Shape) Size() int {
	n := 1
	for i := range int(s.rank) {
		n *= int(s.dim[i])
	}
	return n
}

// Rows and Cols view the shape as a matrix whose last axis is the columns and all others the rows:
// an affine layer treats [batch, time, features] as batch·time rows of features.
func (s Shape) Rows() int {
	if s.rank == 0 {
		return 1
	}
	n := 1
	for i := range int(s.rank) - 1 {
		n *= int(s.dim[i])
	}
	return n
}

// Cols returns the length of the last axis (1 for a scalar). See [Shape.Rows].
func (s Shape) Cols() int {
	if s.rank == 0 {
		return 1
	}
	return int(s.dim[s.rank-1])
}

// Dims returns the axis lengths as a new slice.
func (s Shape) Dims() []int {
	d := make([]int, s.rank)
	for i := range d {
		d[i] = int(s.dim[i])
	}
	return d
}

// With returns s with axis i set to n.
func (s Shape) With(i, n int) Shape {
	if i < 0 {
		i += int(s.rank)
	}
	if i < 0 || i >= int(s.rank) {
		panic(ShapeError{Op: "With", A: s, Detail: fmt.Sprintf("axis %d of rank %d", i, s.rank)})
	}
	s.dim[i] = int32(n)
	return s
}

// Append returns s with one more axis at the end.
func (s Shape) Append(n int) Shape {
	if s.rank == MaxRank {
		panic(ShapeError{Op: "Append", A: s, Detail: "no axis left"})
	}
	s.dim[s.rank] = int32(n)
	s.rank++
	return s
}

// String returns the shape as [2 3 4].
func (s Shape) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range int(s.rank) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(int(s.dim[i])))
	}
	b.WriteByte(']')
	return b.String()
}

// ShapeError is the value that a programming mistake with shapes panics with. It says the
// operation and both shapes.
type ShapeError struct {
	Op     string
	A, B   Shape
	Detail string
}

func (e ShapeError) Error() string {
	s := "tensor: " + e.Op + ": shapes " + e.A.String() + " and " + e.B.String()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}
