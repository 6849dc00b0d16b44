package tensor

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
)

// A sum depends on the order of its terms. The orders here are fixed by the sizes alone: long
// sums are cut in blocks of fixed length, whose partial sums are added in order.

const sumBlock = 1 << 13 // elements of one partial sum

// Sum returns the sum of all elements.
func Sum[T Float](ws *Workspace[T], a Tensor[T]) T {
	return reduce(ws, a.data, nil)
}

// Dot returns the inner product of a and b, which have equally many elements.
func Dot[T Float](ws *Workspace[T], a, b Tensor[T]) T {
	sameSize("Dot", a, b)
	if len(a.data) == 0 {
		return 0
	}
	return reduce(ws, a.data, b.data)
}

// Norm returns the Euclidean norm.
func Norm[T Float](ws *Workspace[T], a Tensor[T]) float64 {
	return math.Sqrt(float64(Dot(ws, a, a)))
}

// reduce returns Σ aᵢ, or Σ aᵢ bᵢ if b is not nil.
func reduce[T Float](ws *Workspace[T], a, b []T) T {
	if len(a) <= sumBlock {
		return reduceBlock(a, b, 0)
	}
	blocks := (len(a) + sumBlock - 1) / sumBlock
	m := ws.Mark()
	part := ws.Slice(blocks)
	if ws.serial(len(a), mapSerial) {
		for k := range part {
			part[k] = reduceBlock(a, b, k)
		}
	} else {
		ws.pool.Range(blocks, 1, func(lo, hi int) {
			for k := lo; k < hi; k++ {
				part[k] = reduceBlock(a, b, k)
			}
		})
	}
	s := simd.Sum(part)
	ws.Release(m)
	return s
}

func reduceBlock[T Float](a, b []T, k int) T {
	lo, hi := k*sumBlock, min((k+1)*sumBlock, len(a))
	if b == nil {
		return simd.Sum(a[lo:hi])
	}
	return simd.Dot(a[lo:hi], b[lo:hi])
}

// AllFinite reports whether no element is infinite or NaN.
func AllFinite[T Float](a Tensor[T]) bool { return simd.AllFinite(a.data) }

// Axis says how an axis of a tensor lies in memory: the tensor is Outer × N × Inner, with N the length
// of the axis. A group of neighbouring axes counts as one.
type Axis struct{ Outer, N, Inner int }

// AxisOf returns the layout of axes lo to hi−1 of s.
func AxisOf(s Shape, lo, hi int) Axis {
	a := Axis{1, 1, 1}
	for i := range s.Rank() {
		switch d := s.Dim(i); {
		case i < lo:
			a.Outer *= d
		case i < hi:
			a.N *= d
		default:
			a.Inner *= d
		}
	}
	return a
}

func (a Axis) check(op string, full, reduced Shape) {
	if full.Size() != a.Outer*a.N*a.Inner || reduced.Size() != a.Outer*a.Inner {
		panic(ShapeError{Op: op, A: full, B: reduced})
	}
}

// SumAxis stores the sums of x along the axis ax in dst (Outer × Inner).
func SumAxis[T Float](ws *Workspace[T], dst, x Tensor[T], ax Axis) {
	ax.check("SumAxis", x.shape, dst.shape)
	d, a := dst.data, x.data
	switch {
	case ax.Inner == 1 && ax.Outer == 1:
		d[0] = Sum(ws, x)
	case ax.Inner == 1:
		f := func(lo, hi int) {
			for i := lo; i < hi; i++ {
				d[i] = simd.Sum(a[i*ax.N : (i+1)*ax.N])
			}
		}
		if ws.serial(len(a), mapSerial) {
			f(0, ax.Outer)
		} else {
			ws.pool.Range(ax.Outer, 8, f)
		}
	case ax.Outer == 1:
		sumRows(ws, d, a, ax.N, ax.Inner)
	default:
		size := ax.N * ax.Inner
		f := func(lo, hi int) {
			for o := lo; o < hi; o++ {
				row := d[o*ax.Inner : (o+1)*ax.Inner]
				clear(row)
				simd.SumRows(row, a[o*size:(o+1)*size])
			}
		}
		if ws.serial(len(a), mapSerial) {
			f(0, ax.Outer)
		} else {
			ws.pool.Range(ax.Outer, 1, f)
		}
	}
}

// sumRows stores the column sums of the rows×cols matrix a in d: blocks of rows, then the blocks'
// sums in order.
func sumRows[T Float](ws *Workspace[T], d, a []T, rows, cols int) {
	clear(d)
	if cols == 0 || rows == 0 {
		return
	}
	per := max(1, sumBlock/cols)
	blocks := (rows + per - 1) / per
	if blocks <= 1 {
		simd.SumRows(d, a)
		return
	}
	m := ws.Mark()
	part := ws.Slice(blocks * cols)
	clear(part)
	if ws.serial(len(a), mapSerial) {
		for k := range blocks {
			simd.SumRows(part[k*cols:(k+1)*cols], a[k*per*cols:min((k+1)*per, rows)*cols])
		}
	} else {
		ws.pool.Range(blocks, 1, func(lo, hi int) {
			for k := lo; k < hi; k++ {
				simd.SumRows(part[k*cols:(k+1)*cols], a[k*per*cols:min((k+1)*per, rows)*cols])
			}
		})
	}
	simd.SumRows(d, part)
	ws.Release(m)
}

// spread is a combination of a full tensor (Outer × N × Inner) with a reduced one (Outer × Inner) that is
// repeated along the axis.
type spread uint8

const (
	spreadCopy spread = iota
	spreadAdd
	spreadSub
	spreadMul
)

// SpreadAxis stores v, repeated along the axis ax, in dst.
func SpreadAxis[T Float](ws *Workspace[T], dst, v Tensor[T], ax Axis) {
	mapSpread(ws, spreadCopy, dst, dst, v, ax)
}

// AddAxis stores x + v in dst, with v repeated along the axis ax.
func AddAxis[T Float](ws *Workspace[T], dst, x, v Tensor[T], ax Axis) {
	mapSpread(ws, spreadAdd, dst, x, v, ax)
}

// SubAxis stores x − v in dst, with v repeated along the axis ax.
func SubAxis[T Float](ws *Workspace[T], dst, x, v Tensor[T], ax Axis) {
	mapSpread(ws, spreadSub, dst, x, v, ax)
}

// MulAxis stores x∘v in dst, with v repeated along the axis ax.
func MulAxis[T Float](ws *Workspace[T], dst, x, v Tensor[T], ax Axis) {
	mapSpread(ws, spreadMul, dst, x, v, ax)
}

func mapSpread[T Float](ws *Workspace[T], k spread, dst, x, v Tensor[T], ax Axis) {
	ax.check("broadcast", x.shape, v.shape)
	sameSize("broadcast", dst, x)
	rows := ax.Outer * ax.N // rows of Inner elements; with Inner = 1: Outer rows of N
	if ax.Inner == 1 {
		rows = ax.Outer
	}
	if ws.serial(len(dst.data), mapSerial) {
		spreadRows(k, dst.data, x.data, v.data, ax, 0, rows)
		return
	}
	if ax.Inner == 1 && ax.Outer == 1 {
		ws.pool.Range(ax.N, mapGrain, func(lo, hi int) {
			spreadScalar(k, dst.data[lo:hi], x.data[lo:hi], v.data[0])
		})
		return
	}
	ws.pool.Range(rows, 8, func(lo, hi int) { spreadRows(k, dst.data, x.data, v.data, ax, lo, hi) })
}

func spreadRows[T Float](k spread, d, x, v []T, ax Axis, lo, hi int) {
	if ax.Inner == 1 {
		for i := lo; i < hi; i++ {
			spreadScalar(k, d[i*ax.N:(i+1)*ax.N], x[i*ax.N:(i+1)*ax.N], v[i])
		}
		return
	}
	c := ax.Inner
	for i := lo; i < hi; i++ {
		o := i / ax.N
		dr, xr, vr := d[i*c:(i+1)*c], x[i*c:(i+1)*c], v[o*c:(o+1)*c]
		switch k {
		case spreadCopy:
			copy(dr, vr)
		case spreadAdd:
			simd.Add(dr, xr, vr)
		case spreadSub:
			simd.Sub(dr, xr, vr)
		case spreadMul:
			simd.Mul(dr, xr, vr)
		}
	}
}

func spreadScalar[T Float](k spread, d, x []T, s T) {
	switch k {
	case spreadCopy:
		for i := range d {
			d[i] = s
		}
	case spreadAdd:
		simd.AddScalar(d, x, s)
	case spreadSub:
		simd.AddScalar(d, x, -s)
	case spreadMul:
		simd.Scale(d, x, s)
	}
}

// DotAxis stores the sums of a∘b along the axis ax in dst.
func DotAxis[T Float](ws *Workspace[T], dst, a, b Tensor[T], ax Axis) {
	ax.check("DotAxis", a.shape, dst.shape)
	sameSize("DotAxis", a, b)
	if ax.Inner == 1 && ax.Outer > 1 {
		eachRow(ws, ax.Outer, ax.N, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				dst.data[i] = simd.Dot(a.data[i*ax.N:(i+1)*ax.N], b.data[i*ax.N:(i+1)*ax.N])
			}
		})
		return
	}
	if ax.Inner == 1 {
		dst.data[0] = Dot(ws, a, b)
		return
	}
	m := ws.Mark()
	t := ws.New(a.shape)
	Mul(ws, t, a, b)
	SumAxis(ws, dst, t, ax)
	ws.Release(m)
}
