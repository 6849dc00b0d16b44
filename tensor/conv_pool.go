package tensor

import "strconv"

// A convolution that is followed by a max pooling makes four or more numbers of which one is used. These
// functions never store them all: workers go through the batch in blocks of a few images, whose
// convolution stays in cache. In training this saves the two largest arrays of a convolutional network,
// the first layer's output and its gradient, and the time to move them.

// ConvReLUMaxPool stores max(0, P(conv(x, w) + b)) in dst, P the max pooling of geometry p, and the places of the
// largest elements in at; see [Conv2D] and [MaxPool2D]. (ReLU and maximum can be exchanged, so that it
// is the same as pooling the rectified convolution.) dst has the shape of the pooling's output.
func ConvReLUMaxPool[T Float](ws *Workspace[T], dst Tensor[T], at []int32, x, w, b Tensor[T], g, p ConvGeom) {
	c, q := newConvPool("ConvReLUMaxPool", x.shape, w.shape, dst.shape, len(at), g, p)
	if !b.IsZero() && b.Size() != c.o {
		panic(ShapeError{Op: "ConvReLUMaxPool", A: ShapeOf(c.o), B: b.shape, Detail: "bias"})
	}
	defer ws.Release(ws.Mark())
	rows, end := patchesOf(ws, x.data, c.patchGeom), newFinish(ws, b.data, true)
	pixels, out, step := c.oh*c.ow, q.oh*q.ow*c.o, imagesPerBlock(&c)
	workers := max(1, min(ws.pool.workers, (c.n+step-1)/step))
	scratch := ws.Slice(workers * step * pixels * c.o)
	var none finish[T]
	ws.pool.Do(workers, func(_, part int) {
		r, buf := rows.reader(), scratch[part*step*pixels*c.o:]
		last := (part + 1) * c.n / workers
		for lo := part * c.n / workers; lo < last; lo += step {
			hi := min(lo+step, last)
			y := buf[:(hi-lo)*pixels*c.o]
			r.times(y, &c, w.data, &none, lo*pixels, (hi-lo)*pixels)
			d := dst.data[lo*out : hi*out]
			for i := range hi - lo {
				for oy := range q.oh {
					o := i*out + oy*q.ow*c.o
					maxLine(&q, d[o:o+q.ow*c.o], at[lo*out+o:][:q.ow*c.o], y[i*pixels*c.o:(i+1)*pixels*c.o], oy)
				}
			}
			end.rows(d) // the bias is the same for all that a window sees
		}
	})
}

// ConvPoolWeightGrad stores in dw the gradient of a convolution's weights, given the gradient dy of the pooled
// output and the places that [ConvReLUMaxPool] stored: [Conv2DWeightGrad] of [PlaceMax] of dy.
func ConvPoolWeightGrad[T Float](ws *Workspace[T], dw, x, dy Tensor[T], at []int32, g, p ConvGeom) {
	c, q := newConvPool("ConvPoolWeightGrad", x.shape, dw.shape, dy.shape, len(at), g, p)
	defer ws.Release(ws.Mark())
	rows := patchesOf(ws, x.data, c.patchGeom)
	parts := max(1, min(c.n, maxSums, maxSumElems/(c.k*c.o)))
	sums := dw.data
	if parts > 1 {
		sums = ws.Slice(parts * len(dw.data))
	}
	pixels, out, step := c.oh*c.ow, q.oh*q.ow*c.o, imagesPerBlock(&c)
	scratch := ws.Slice(min(ws.pool.workers, parts) * step * pixels * c.o)
	ws.pool.Do(parts, func(worker, part int) {
		r, buf := rows.reader(), scratch[worker*step*pixels*c.o:]
		sum := sums[part*len(dw.data):][:len(dw.data)]
		clear(sum)
		last := (part + 1) * c.n / parts
		for lo := part * c.n / parts; lo < last; lo += step {
			hi := min(lo+step, last)
			y := buf[:(hi-lo)*pixels*c.o]
			placeMax(y, dy.data[lo*out:hi*out], at[lo*out:hi*out], pixels*c.o, out)
			r.transposedTimes(sum, &c, y, 1, lo*pixels, (hi-lo)*pixels)
		}
	})
	if parts > 1 {
		addParts(ws, dw.data, sums, parts)
	}
}

// ConvPoolInputGrad stores in dx the gradient of a convolution's images, given the gradient dy of the pooled
// output and the places that [ConvReLUMaxPool] stored: [Conv2DInputGrad] of [PlaceMax] of dy.
func ConvPoolInputGrad[T Float](ws *Workspace[T], dx, dy, w Tensor[T], at []int32, g, p ConvGeom) {
	c, q := newConvPool("ConvPoolInputGrad", dx.shape, w.shape, dy.shape, len(at), g, p)
	defer ws.Release(ws.Mark())
	wt := ws.New(ShapeOf(c.o, c.k))
	Permute(ws, wt, w.View(ShapeOf(c.k, c.o)), []int{1, 0})
	pixels, out, step, lines := c.oh*c.ow, q.oh*q.ow*c.o, imagesPerBlock(&c), c.linesPerBlock()
	workers := max(1, min(ws.pool.workers, (c.n+step-1)/step))
	scratch, contributions := ws.Slice(workers*step*pixels*c.o), ws.Slice(workers*lines*c.ow*c.k)
	ws.pool.Do(workers, func(_, part int) {
		buf, rows := scratch[part*step*pixels*c.o:], contributions[part*lines*c.ow*c.k:][:lines*c.ow*c.k]
		last := (part + 1) * c.n / workers
		for lo := part * c.n / workers; lo < last; lo += step {
			hi := min(lo+step, last)
			y := buf[:(hi-lo)*pixels*c.o]
			placeMax(y, dy.data[lo*out:hi*out], at[lo*out:hi*out], pixels*c.o, out)
			addInputGrad(dx.data, rows, y, wt.data, &c, lo, hi)
		}
	})
}

// newConvPool works out the sizes of a convolution of images x and the pooling of its output.
func newConvPool(op string, x, w, y Shape, places int, g, p ConvGeom) (conv, pool) {
	s := g.OutputShape(x, w.Cols())
	if places != y.Size() {
		panic(ShapeError{Op: op, A: y, Detail: strconv.Itoa(places) + " places"})
	}
	return newConv(op, x, s, w, g), newPool(op, s, y, p)
}

// imagesPerBlock returns how many images are convolved at once: enough rows that packing the weights costs
// little, few enough that the result stays in cache.
func imagesPerBlock(c *conv) int {
	const rows, elems = 1024, 1 << 17
	pixels := c.oh * c.ow
	return max(1, min(c.n, (rows+pixels-1)/pixels, elems/(pixels*c.o)))
}
