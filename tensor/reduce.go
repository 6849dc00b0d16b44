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
		sumRows(ws, d, a, nil, ax.N, ax.Inner)
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

// sumRows stores the column sums of the rows×cols matrix a, or of a∘b if b is not nil, in d: blocks of
// rows, then the blocks' sums in order.
func sumRows[T Float](ws *Workspace[T], d, a, b []T, rows, cols int) {
	clear(d)
	if cols == 0 || rows == 0 {
		return
	}
	per := max(1, sumBlock/cols)
	blocks := (rows + per - 1) / per
	if blocks <= 1 {
		sumRowsBlock(d, a, b)
		return
	}
	m := ws.Mark()
	part := ws.Slice(blocks * cols)
	clear(part)
	if ws.serial(len(a), mapSerial) {
		sumRowsBlocks(part, a, b, cols, per*cols, 0, blocks)
	} else {
		ws.pool.Range(blocks, 1, func(lo, hi int) { sumRowsBlocks(part, a, b, cols, per*cols, lo, hi) })
	}
	simd.SumRows(d, part)
	ws.Release(m)
}

// sumRowsBlocks adds the sum of block k of a, or of a∘b, to row k of part, for k from lo to hi−1; a block has
// size elements.
func sumRowsBlocks[T Float](part, a, b []T, cols, size, lo, hi int) {
	for k := lo; k < hi; k++ {
		i, j := k*size, min((k+1)*size, len(a))
		if b == nil {
			sumRowsBlock(part[k*cols:(k+1)*cols], a[i:j], nil)
		} else {
			sumRowsBlock(part[k*cols:(k+1)*cols], a[i:j], b[i:j])
		}
	}
}

// sumRowsBlock adds the rows of a, or of a∘b, to d. Short rows are summed up several at a time, in a vector
// that holds a whole number of them and is folded at the end.
func sumRowsBlock[T Float](d, a, b []T) {
	if b == nil {
		simd.SumRows(d, a)
		return
	}
	var buf [tileElems]T
	acc := d
	if len(d) <= len(buf)/2 && len(a) > 2*len(d) {
		acc = buf[:len(buf)/len(d)*len(d)]
	}
	for len(a) > 0 {
		n := min(len(acc), len(a))
		simd.MulAdd(acc[:n], a[:n], b[:n])
		a, b = a[n:], b[n:]
	}
	if len(acc) != len(d) {
		simd.SumRows(d, acc)
	}
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
	if len(dst.data) == 0 {
		return
	}
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
	var buf [tileElems]T
	c := ax.Inner
	for i := lo; i < hi; {
		o := i / ax.N
		end := min(hi, (o+1)*ax.N)
		vt := tile(buf[:], v[o*c:(o+1)*c], end-i)
		for i < end {
			n := min(len(vt)/c, end-i)
			dr, xr, vr := d[i*c:(i+n)*c], x[i*c:(i+n)*c], vt[:n*c]
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
			i += n
		}
	}
}

const tileElems = 512 // elements of a vector on the stack that holds short rows several times

// tile returns v repeated, at most rows times, in buf; v itself if it is long.
func tile[T Float](buf, v []T, rows int) []T {
	n := min(rows, len(buf)/max(1, len(v)))
	if n < 2 {
		return v
	}
	for i := range n {
		copy(buf[i*len(v):], v)
	}
	return buf[:n*len(v)]
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
	if ax.Inner == 1 && ax.Outer != 1 {
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
	if ax.Outer == 1 {
		sumRows(ws, dst.data, a.data, b.data, ax.N, ax.Inner)
		return
	}
	size := ax.N * ax.Inner
	f := func(lo, hi int) {
		for o := lo; o < hi; o++ {
			row := dst.data[o*ax.Inner : (o+1)*ax.Inner]
			clear(row)
			sumRowsBlock(row, a.data[o*size:(o+1)*size], b.data[o*size:(o+1)*size])
		}
	}
	if ws.serial(len(a.data), mapSerial) {
		f(0, ax.Outer)
	} else {
		ws.pool.Range(ax.Outer, 1, f)
	}
}

// CombineAxis stores x∘a + y∘b + c in dst, in one pass, with a, b and c repeated along the axis ax. y and b, or
// c, may be the zero Tensor: that term is absent. dst may be x.
func CombineAxis[T Float](ws *Workspace[T], dst, x, a, y, b, c Tensor[T], ax Axis) {
	ax.check("CombineAxis", x.shape, a.shape)
	sameSize("CombineAxis", dst, x)
	if !b.IsZero() {
		ax.check("CombineAxis", y.shape, b.shape)
	}
	if !c.IsZero() {
		ax.check("CombineAxis", x.shape, c.shape)
	}
	if len(dst.data) == 0 {
		return
	}
	rows := ax.Outer * ax.N
	if ax.Inner == 1 {
		rows = ax.Outer
	}
	if ws.serial(len(dst.data), mapSerial) {
		combineRows(dst.data, x.data, a.data, y.data, b.data, c.data, ax, 0, rows)
		return
	}
	ws.pool.Range(rows, 8, func(lo, hi int) {
		combineRows(dst.data, x.data, a.data, y.data, b.data, c.data, ax, lo, hi)
	})
}

func combineRows[T Float](d, x, a, y, b, c []T, ax Axis, lo, hi int) {
	if ax.Inner == 1 {
		for i := lo; i < hi; i++ {
			p, q := i*ax.N, (i+1)*ax.N
			simd.Scale(d[p:q], x[p:q], a[i])
			if b != nil {
				simd.Axpy(d[p:q], b[i], y[p:q])
			}
			if c != nil {
				simd.AddScalar(d[p:q], d[p:q], c[i])
			}
		}
		return
	}
	var bufA, bufB, bufC [tileElems]T
	w := ax.Inner
	for i := lo; i < hi; {
		o := i / ax.N
		end := min(hi, (o+1)*ax.N)
		at := tile(bufA[:], a[o*w:(o+1)*w], end-i)
		var bt, ct []T
		if b != nil {
			bt = tile(bufB[:], b[o*w:(o+1)*w], end-i)
		}
		if c != nil {
			ct = tile(bufC[:], c[o*w:(o+1)*w], end-i)
		}
		for i < end {
			n := min(len(at)/w, end-i) * w
			p := i * w
			simd.Mul(d[p:p+n], x[p:p+n], at[:n])
			if b != nil {
				simd.MulAdd(d[p:p+n], y[p:p+n], bt[:n])
			}
			if c != nil {
				simd.Add(d[p:p+n], d[p:p+n], ct[:n])
			}
			i += n / w
		}
	}
}
