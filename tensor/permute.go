package tensor

import "fmt"

// Permute stores x with its axes in another order in dst: axis i of dst is axis perm[i] of x.
func Permute[T Float](ws *Workspace[T], dst, x Tensor[T], perm []int) {
	s := PermuteShape(x.shape, perm)
	if s != dst.shape {
		panic(ShapeError{Op: "Permute", A: s, B: dst.shape})
	}
	if len(x.data) == 0 {
		return
	}
	// stride[i] is the distance in x of neighbours along axis i of dst.
	var stride [MaxRank]int
	for i, p := range perm {
		n := 1
		for j := p + 1; j < x.shape.Rank(); j++ {
			n *= x.shape.Dim(j)
		}
		stride[i] = n
	}
	rank := s.Rank()
	if rank == 0 {
		dst.data[0] = x.data[0]
		return
	}
	cols, rows := s.Cols(), s.Rows()
	step := stride[rank-1]
	f := func(lo, hi int) {
		var at [MaxRank]int
		off := 0
		for i, r := rank-2, lo; i >= 0; i-- {
			at[i] = r % s.Dim(i)
			r /= s.Dim(i)
			off += at[i] * stride[i]
		}
		for r := lo; r < hi; r++ {
			d := dst.data[r*cols : (r+1)*cols]
			if step == 1 {
				copy(d, x.data[off:off+cols])
			} else {
				k := off
				for j := range d {
					d[j] = x.data[k]
					k += step
				}
			}
			for i := rank - 2; i >= 0; i-- {
				at[i]++
				off += stride[i]
				if at[i] < s.Dim(i) {
					break
				}
				off -= at[i] * stride[i]
				at[i] = 0
			}
		}
	}
	if ws.serial(len(x.data), mapSerial) {
		f(0, rows)
	} else {
		ws.pool.Range(rows, 8, f)
	}
}

// PermuteShape returns s with its axes in another order: axis i is axis perm[i] of s.
func PermuteShape(s Shape, perm []int) Shape {
	r := s
	seen := 0
	for i, p := range perm {
		if len(perm) != s.Rank() || p < 0 || p >= s.Rank() || seen&(1<<p) != 0 {
			panic(ShapeError{Op: "Permute", A: s, Detail: fmt.Sprintf("%v is no permutation of the axes", perm)})
		}
		seen |= 1 << p
		r.dim[i] = s.dim[p]
	}
	if len(perm) != s.Rank() {
		panic(ShapeError{Op: "Permute", A: s, Detail: fmt.Sprintf("%v is no permutation of the axes", perm)})
	}
	return r
}

// CopySlice copies between a tensor and the part of another that has indices off to off+n−1 along an
// axis. part is Outer × n × Inner, full Outer × N × Inner with axis layout ax. With into true part is copied
// into full, else out of it.
func CopySlice[T Float](ws *Workspace[T], full, part Tensor[T], ax Axis, off int, into bool) {
	if ax.Outer*ax.Inner == 0 || len(part.data) == 0 {
		return
	}
	n := len(part.data) / (ax.Outer * ax.Inner)
	if len(full.data) != ax.Outer*ax.N*ax.Inner || len(part.data) != ax.Outer*n*ax.Inner || off < 0 || off+n > ax.N {
		panic(ShapeError{Op: "slice", A: full.shape, B: part.shape, Detail: fmt.Sprintf("elements %d to %d of %d", off, off+n, ax.N)})
	}
	f := func(lo, hi int) {
		for o := lo; o < hi; o++ {
			p := part.data[o*n*ax.Inner : (o+1)*n*ax.Inner]
			a := full.data[(o*ax.N+off)*ax.Inner : (o*ax.N+off+n)*ax.Inner]
			if into {
				copy(a, p)
			} else {
				copy(p, a)
			}
		}
	}
	if ws.serial(len(part.data), mapSerial) {
		f(0, ax.Outer)
	} else {
		ws.pool.Range(ax.Outer, 1, f)
	}
}
