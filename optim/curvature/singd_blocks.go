package curvature

import (
	"math"

	"github.com/descent-ml/descent/tensor"
)

// blockRoot is block-diagonal. Its blocks lie one after the other in one vector; H likewise.
type blockRoot[T tensor.Float] struct {
	n      int
	k, m   []T
	blocks []*denseRoot[T]
}

func newBlockRoot[T tensor.Float](n, size int, momentum bool) *blockRoot[T] {
	r := &blockRoot[T]{n: n}
	total := 0
	for at := 0; at < n; at += size {
		b := min(size, n-at)
		total += b * b
	}
	r.k, r.m = make([]T, total), momentumOf[T](total, momentum)
	for at, from := 0, 0; at < n; at += size {
		b := min(size, n-at)
		var m []T
		if momentum {
			m = r.m[from : from+b*b]
		}
		r.blocks = append(r.blocks, newDenseRoot(r.k[from:from+b*b], m, b))
		from += b * b
	}
	return r
}

func (r *blockRoot[T]) order() int          { return r.n }
func (r *blockRoot[T]) vectors() (k, m []T) { return r.k, r.m }

func (r *blockRoot[T]) start(at T) {
	for _, b := range r.blocks {
		b.start(at)
	}
}

func (r *blockRoot[T]) zeros(ws *tensor.Workspace[T]) tensor.Tensor[T] {
	return ws.Zeros(tensor.ShapeOf(len(r.k)))
}

// each calls f with the blocks, their first row and column, and their part of h.
func (r *blockRoot[T]) each(h tensor.Tensor[T], f func(b *denseRoot[T], at int, h tensor.Tensor[T])) {
	at, from := 0, 0
	for _, b := range r.blocks {
		part := tensor.Tensor[T]{}
		if !h.IsZero() {
			part = tensor.FromSlice(h.Data()[from:from+b.n*b.n], b.n, b.n)
		}
		f(b, at, part)
		at += b.n
		from += b.n * b.n
	}
}

// columnsOf returns columns at to at+n−1 of x, lent by ws.
func columnsOf[T tensor.Float](ws *tensor.Workspace[T], x tensor.Tensor[T], at, n int) tensor.Tensor[T] {
	part := ws.New(tensor.ShapeOf(x.Shape().Rows(), n))
	tensor.CopySlice(ws, x, part, tensor.AxisOf(x.Shape(), 1, 2), at, false)
	return part
}

func (r *blockRoot[T]) accumulate(ws *tensor.Workspace[T], h, x tensor.Tensor[T]) {
	r.each(h, func(b *denseRoot[T], at int, h tensor.Tensor[T]) {
		mark := ws.Mark()
		b.accumulate(ws, h, columnsOf(ws, x, at, b.n))
		ws.Release(mark)
	})
}

func (r *blockRoot[T]) trace(h tensor.Tensor[T]) float64 {
	sum := 0.0
	r.each(h, func(b *denseRoot[T], _ int, h tensor.Tensor[T]) { sum += b.trace(h) })
	return sum
}

func (r *blockRoot[T]) squares(ws *tensor.Workspace[T]) float64 {
	k := tensor.FromSlice(r.k, len(r.k))
	return float64(tensor.Dot(ws, k, k))
}

func (r *blockRoot[T]) times(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], turned bool) {
	r.each(tensor.Tensor[T]{}, func(b *denseRoot[T], at int, _ tensor.Tensor[T]) {
		mark := ws.Mark()
		part := columnsOf(ws, x, at, b.n)
		out := ws.New(part.Shape())
		b.times(ws, out, part, turned)
		tensor.CopySlice(ws, dst, out, tensor.AxisOf(dst.Shape(), 1, 2), at, true)
		ws.Release(mark)
	})
}

func (r *blockRoot[T]) left(ws *tensor.Workspace[T], dst, y tensor.Tensor[T], turned bool) {
	r.each(tensor.Tensor[T]{}, func(b *denseRoot[T], at int, _ tensor.Tensor[T]) {
		b.left(ws, rowsFrom(dst, at, b.n), rowsFrom(y, at, b.n), turned)
	})
}

func (r *blockRoot[T]) move(ws *tensor.Workspace[T], h tensor.Tensor[T], s, t, alpha, beta float64) bool {
	all := true
	r.each(h, func(b *denseRoot[T], _ int, h tensor.Tensor[T]) {
		all = b.move(ws, h, s, t, alpha, beta) && all
	})
	return all
}

// toeplitzRoot is lower-triangular with K_ij = k_{i−j}. Such matrices multiply like polynomials: the product has the coefficients of the
// truncated product. The part of a symmetric H is, for each diagonal d, the mean of its elements, twice that for d > 0, as
// the projection onto symmetric matrices' tangent has it: the lower triangle stands for both.
type toeplitzRoot[T tensor.Float] struct {
	n    int
	k, m []T
}

func newToeplitzRoot[T tensor.Float](n int, momentum bool) *toeplitzRoot[T] {
	r := &toeplitzRoot[T]{n: n, k: make([]T, n), m: momentumOf[T](n, momentum)}
	r.start(1)
	return r
}

func (r *toeplitzRoot[T]) order() int          { return r.n }
func (r *toeplitzRoot[T]) vectors() (k, m []T) { return r.k, r.m }

func (r *toeplitzRoot[T]) start(at T) {
	clear(r.k)
	r.k[0] = at
}

func (r *toeplitzRoot[T]) zeros(ws *tensor.Workspace[T]) tensor.Tensor[T] {
	return ws.Zeros(tensor.ShapeOf(r.n))
}

// dense returns K, lent by ws.
func (r *toeplitzRoot[T]) dense(ws *tensor.Workspace[T]) tensor.Tensor[T] {
	k := ws.Zeros(tensor.ShapeOf(r.n, r.n))
	for i := range r.n {
		row := k.Data()[i*r.n : i*r.n+i+1]
		for j := range row {
			row[j] = r.k[i-j]
		}
	}
	return k
}

// project adds scale times the structure's part of a symmetric matrix to dst.
func (r *toeplitzRoot[T]) project(dst []T, full tensor.Tensor[T], scale float64) {
	for d := range r.n {
		sum := 0.0
		for j := range r.n - d {
			sum += float64(full.Data()[(j+d)*r.n+j])
		}
		if d > 0 {
			sum *= 2
		}
		dst[d] += T(scale * sum / float64(r.n-d))
	}
}

func (r *toeplitzRoot[T]) accumulate(ws *tensor.Workspace[T], h, x tensor.Tensor[T]) {
	defer ws.Release(ws.Mark())
	y, full := ws.New(x.Shape()), ws.New(tensor.ShapeOf(r.n, r.n))
	tensor.MatMul(ws, y, x, r.dense(ws), false, false)
	tensor.MatMul(ws, full, y, y, true, false)
	r.project(h.Data(), full, 1)
}

func (r *toeplitzRoot[T]) trace(h tensor.Tensor[T]) float64 {
	return float64(h.Data()[0]) * float64(r.n)
}

func (r *toeplitzRoot[T]) squares(*tensor.Workspace[T]) float64 {
	sum := 0.0
	for d, v := range r.k {
		sum += float64(r.n-d) * float64(v) * float64(v)
	}
	return sum
}

func (r *toeplitzRoot[T]) times(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], turned bool) {
	defer ws.Release(ws.Mark())
	tensor.MatMul(ws, dst, x, r.dense(ws), false, turned)
}

func (r *toeplitzRoot[T]) left(ws *tensor.Workspace[T], dst, y tensor.Tensor[T], turned bool) {
	defer ws.Release(ws.Mark())
	tensor.MatMul(ws, dst, r.dense(ws), y, turned, false)
}

func (r *toeplitzRoot[T]) move(ws *tensor.Workspace[T], h tensor.Tensor[T], s, t, alpha, beta float64) bool {
	defer ws.Release(ws.Mark())
	dense, full := r.dense(ws), ws.New(tensor.ShapeOf(r.n, r.n))
	tensor.MatMul(ws, full, dense, dense, true, false)
	m, next := ws.Slice(r.n), ws.Slice(r.n)
	clear(m)
	r.project(m, full, t/2)
	for d, v := range h.Data() {
		m[d] += T(s/2) * v
	}
	m[0] -= 0.5
	bound := 0.0 // of a Toeplitz matrix: the sum of its coefficients' absolute values
	for d := range m {
		if r.m != nil {
			m[d] += T(alpha) * r.m[d]
		}
		bound += math.Abs(float64(m[d]))
	}
	step := T(shortened(beta, bound))
	for d := range next {
		sum := T(0)
		for e := range d + 1 {
			sum += r.k[d-e] * m[e]
		}
		next[d] = r.k[d] - step*sum
	}
	if !tensor.AllFinite(tensor.FromSlice(next, r.n)) || !tensor.AllFinite(tensor.FromSlice(m, r.n)) {
		return false
	}
	copy(r.k, next)
	copy(r.m, m)
	return true
}
