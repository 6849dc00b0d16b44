package tensor

import (
	"strconv"
	"unsafe"

	"github.com/descent-ml/descent/internal/simd"
)

// Int32s returns n uninitialised integers from the arena; see [Workspace.New].
func (w *Workspace[T]) Int32s(n int) []int32 {
	var z T
	per := int(unsafe.Sizeof(z) / 4)
	s := w.Slice((n + per - 1) / per)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(&s[0])), n)
}

// MaxPool2D stores in dst [batch, oh, ow, channels] the largest element that the window of geometry g
// sees in each channel of the images x [batch, height, width, channels], and in at (of dst's size) its
// place: the offset within the image. Padding is never chosen. Of equal elements the first in (ky, kx)
// order is taken; a NaN is taken over any number. Groups has no meaning here and must be one.
func MaxPool2D[T Float](ws *Workspace[T], dst Tensor[T], at []int32, x Tensor[T], g ConvGeom) {
	q := newPool("MaxPool2D", x.shape, dst.shape, g)
	if len(at) != len(dst.data) {
		panic(ShapeError{Op: "MaxPool2D", A: dst.shape, B: ShapeOf(len(at)), Detail: "storage for the places"})
	}
	ws.pool.Range(q.n*q.oh, 1, func(lo, hi int) {
		for line := lo; line < hi; line++ {
			img, o := line/q.oh, line*q.ow*q.c
			maxLine(&q, dst.data[o:o+q.ow*q.c], at[o:o+q.ow*q.c], x.data[img*q.image():(img+1)*q.image()], line%q.oh)
		}
	})
}

// maxLine is MaxPool2D for output line oy of the image x. Neighbouring windows of which the same columns
// lie inside the image are done together.
func maxLine[T Float](q *pool, dst []T, at []int32, x []T, oy int) {
	k0, k1 := q.rows(oy)
	for ox := 0; ox < q.ow; {
		l0, l1 := q.cols(ox)
		end := ox + 1
		for end < q.ow {
			if a, b := q.cols(end); a != l0 || b != l1 {
				break
			}
			end++
		}
		off := q.offset(oy, ox, k0, l0)
		simd.MaxWindows(dst[ox*q.c:end*q.c], at[ox*q.c:end*q.c], x[off:],
			q.c, end-ox, q.strideW*q.c, k1-k0, l1-l0, q.dilationH*q.w*q.c, q.dilationW*q.c, off)
		ox = end
	}
}

// PickMax stores in dst [batch, oh, ow, channels] the elements of x [batch, height, width, channels] at
// the places at that [MaxPool2D] stored: a linear map, whose adjoint is [PlaceMax].
func PickMax[T Float](ws *Workspace[T], dst, x Tensor[T], at []int32) {
	n, image, out := poolSizes("PickMax", x.shape, dst.shape, len(at))
	ws.pool.Range(n, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			src, d := x.data[i*image:][:image], dst.data[i*out:][:out]
			for j, a := range at[i*out:][:out] {
				d[j] = src[a]
			}
		}
	})
}

// PlaceMax stores in dx the sum of the elements of dy at their places at; the rest of dx is zero. It is
// the adjoint of [PickMax] and the reverse rule of [MaxPool2D].
func PlaceMax[T Float](ws *Workspace[T], dx, dy Tensor[T], at []int32) {
	n, image, out := poolSizes("PlaceMax", dx.shape, dy.shape, len(at))
	ws.pool.Range(n, 1, func(lo, hi int) {
		placeMax(dx.data[lo*image:hi*image], dy.data[lo*out:hi*out], at[lo*out:hi*out], image, out)
	})
}

// placeMax is PlaceMax for consecutive images of image elements, each with out elements of dy.
func placeMax[T Float](dx, dy []T, at []int32, image, out int) {
	clear(dx)
	for len(dx) > 0 {
		d, g := dx[:image], dy[:out]
		for j, a := range at[:out] {
			d[a] += g[j]
		}
		dx, dy, at = dx[image:], dy[out:], at[out:]
	}
}

// AvgPool2D stores in dst [batch, oh, ow, channels] the mean of what the window of geometry g sees in each
// channel of x [batch, height, width, channels]. Padding is not counted (PyTorch counts it unless told
// otherwise). Groups has no meaning here and must be one.
func AvgPool2D[T Float](ws *Workspace[T], dst, x Tensor[T], g ConvGeom) {
	q := newPool("AvgPool2D", x.shape, dst.shape, g)
	ws.pool.Range(q.n*q.oh, 1, func(lo, hi int) {
		for line := lo; line < hi; line++ {
			img, oy := line/q.oh, line%q.oh
			k0, k1 := q.rows(oy)
			for ox := range q.ow {
				d := dst.data[(line*q.ow+ox)*q.c:][:q.c]
				clear(d)
				l0, l1 := q.cols(ox)
				for ky := k0; ky < k1; ky++ {
					for kx := l0; kx < l1; kx++ {
						simd.Add(d, d, x.data[img*q.image()+q.offset(oy, ox, ky, kx):][:q.c])
					}
				}
				simd.Scale(d, d, 1/T((k1-k0)*(l1-l0)))
			}
		}
	})
}

// AvgPool2DGrad stores in dx the adjoint of [AvgPool2D] applied to dy: each element of dy is shared out
// evenly over what its window saw.
func AvgPool2DGrad[T Float](ws *Workspace[T], dx, dy Tensor[T], g ConvGeom) {
	q := newPool("AvgPool2DGrad", dx.shape, dy.shape, g)
	ws.pool.Range(q.n, 1, func(lo, hi int) {
		clear(dx.data[lo*q.image() : hi*q.image()])
		for line := lo * q.oh; line < hi*q.oh; line++ {
			img, oy := line/q.oh, line%q.oh
			k0, k1 := q.rows(oy)
			for ox := range q.ow {
				src := dy.data[(line*q.ow+ox)*q.c:][:q.c]
				l0, l1 := q.cols(ox)
				scale := 1 / T((k1-k0)*(l1-l0))
				for ky := k0; ky < k1; ky++ {
					for kx := l0; kx < l1; kx++ {
						d := dx.data[img*q.image()+q.offset(oy, ox, ky, kx):][:q.c]
						simd.Axpy(d, scale, src)
					}
				}
			}
		}
	})
}

// pool is a pooling with all sizes worked out.
type pool struct{ patchGeom }

func newPool(op string, x, y Shape, g ConvGeom) pool {
	g = g.Normal()
	if want := g.OutputShape(x, x.Cols()); want.Size() != y.Size() {
		panic(ShapeError{Op: op, A: want, B: y, Detail: "output of " + g.String() + " on " + x.String()})
	}
	if g.Groups != 1 {
		panic(ShapeError{Op: op, A: x, B: y, Detail: "a pooling has no groups"})
	}
	q := pool{newPatchGeom(x, g)}
	for oy := range q.oh {
		if lo, hi := q.rows(oy); lo >= hi {
			panic(ShapeError{Op: op, A: x, B: y, Detail: "the window of " + g.String() + " sees only padding"})
		}
	}
	for ox := range q.ow {
		if lo, hi := q.cols(ox); lo >= hi {
			panic(ShapeError{Op: op, A: x, B: y, Detail: "the window of " + g.String() + " sees only padding"})
		}
	}
	return q
}

// rows returns the window rows lo ≤ ky < hi that lie inside the image at output row oy.
func (q *pool) rows(oy int) (lo, hi int) {
	return inside(q.kh, q.h, oy*q.strideH-q.padTop, q.dilationH)
}

// cols returns the window columns that lie inside the image at output column ox.
func (q *pool) cols(ox int) (lo, hi int) {
	return inside(q.kw, q.w, ox*q.strideW-q.padLeft, q.dilationW)
}

// offset returns the offset in its image of channel 0 of the cell that window position (ky, kx) meets.
func (q *pool) offset(oy, ox, ky, kx int) int {
	iy := oy*q.strideH - q.padTop + ky*q.dilationH
	ix := ox*q.strideW - q.padLeft + kx*q.dilationW
	return (iy*q.w + ix) * q.c
}

// image returns the number of elements of an image.
func (q *pool) image() int { return q.h * q.w * q.c }

// inside returns the k in [lo, hi) ⊂ [0, window) with 0 ≤ start + k·dilation < n.
func inside(window, n, start, dilation int) (lo, hi int) {
	if start >= 0 && start+(window-1)*dilation < n {
		return 0, window
	}
	if start < 0 {
		lo = (-start + dilation - 1) / dilation
	}
	if start < n {
		hi = min(window, (n-1-start)/dilation+1)
	}
	return lo, hi
}

func poolSizes(op string, x, y Shape, places int) (n, image, out int) {
	if x.Rank() != 4 || x.Dim(0) == 0 || y.Size()%x.Dim(0) != 0 || places != y.Size() {
		panic(ShapeError{Op: op, A: x, B: y, Detail: strconv.Itoa(places) + " places"})
	}
	n = x.Dim(0)
	return n, x.Size() / n, y.Size() / n
}
