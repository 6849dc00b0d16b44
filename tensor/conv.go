package tensor

import (
	"strconv"

	"github.com/descent-ml/descent/internal/simd"
)

// Conv2D stores the convolution of the images x with the weights w, plus the bias b of each output
// channel if b is not the zero Tensor, in dst:
//
//	x   [batch, height, width, in]
//	w   [kh·kw·(in/groups), out], rows in the order (ky, kx, channel)
//	dst [batch, oh, ow, out] = patches(x)·w + b
//
// where row (n, oy, ox) of patches(x) (see [Im2Col]) holds what the window at that position sees. With
// groups, output channels of part p of groups see input channels of part p alone.
//
// The patches are never stored: the matrix product gathers them block by block while it runs. Cost:
// 2·batch·oh·ow·kh·kw·in/groups·out flops.
func Conv2D[T Float](ws *Workspace[T], dst, x, w, b Tensor[T], g ConvGeom) {
	convForward(ws, dst, x, w, b, g, false)
}

// Conv2DReLU is [Conv2D] followed by max(0, ·).
func Conv2DReLU[T Float](ws *Workspace[T], dst, x, w, b Tensor[T], g ConvGeom) {
	convForward(ws, dst, x, w, b, g, true)
}

func convForward[T Float](ws *Workspace[T], dst, x, w, b Tensor[T], g ConvGeom, relu bool) {
	c := newConv("Conv2D", x.shape, dst.shape, w.shape, g)
	if !b.IsZero() && b.Size() != c.o {
		panic(ShapeError{Op: "Conv2D", A: ShapeOf(c.o), B: b.shape, Detail: "bias"})
	}
	// Every element of the output is summed in the order of the patch's columns, whatever the cut.
	defer ws.Release(ws.Mark())
	rows, end := patchesOf(ws, x.data, c.patchGeom), newFinish(ws, b.data, relu)
	ws.pool.Range(c.positions(), c.ow, func(lo, hi int) {
		rows.reader().times(dst.data[lo*c.o:hi*c.o], &c, w.data, &end, lo, hi-lo)
	})
}

// Conv2DInputGrad stores in dx the transposed convolution of dy, which is the adjoint of [Conv2D] in its
// first argument: ⟨conv(x, w), dy⟩ = ⟨x, dx⟩ for all x. dx [batch, height, width, in] has the shape of
// the images, dy that of the output. The cost is that of Conv2D.
func Conv2DInputGrad[T Float](ws *Workspace[T], dx, dy, w Tensor[T], g ConvGeom) {
	c := newConv("Conv2DInputGrad", dx.shape, dy.shape, w.shape, g)
	defer ws.Release(ws.Mark())
	// The rows of dy·wᵀ, [positions, k], are what each patch contributes to the images. They are
	// made in blocks of output lines that fit in cache and added to where the patches were taken
	// from. Images are independent and each receives its lines in order, whatever the cut.
	wt := ws.New(ShapeOf(c.o, c.k)) // wᵀ; the rows of group p begin at p·og
	Permute(ws, wt, w.View(ShapeOf(c.k, c.o)), []int{1, 0})
	size := c.linesPerBlock() * c.ow * c.k
	workers := min(ws.pool.workers, c.n)
	scratch := ws.Slice(workers * size)
	ws.pool.Do(workers, func(_, part int) {
		lo, hi := part*c.n/workers, (part+1)*c.n/workers
		addInputGrad(dx.data, scratch[part*size:][:size], dy.data[lo*c.oh*c.ow*c.o:], wt.data, &c, lo, hi)
	})
}

// addInputGrad is Conv2DInputGrad for the images lo … hi of dx; dy begins with image lo.
func addInputGrad[T Float](dx, patches, dy, wt []T, c *conv, lo, hi int) {
	clear(dx[lo*c.h*c.w*c.c : hi*c.h*c.w*c.c])
	step := len(patches) / (c.ow * c.k)
	for line := 0; line < (hi-lo)*c.oh; line += step {
		rows := min(step, (hi-lo)*c.oh-line) * c.ow
		for p := range c.groups {
			simd.Gemm(false, false, rows, c.k, c.og, 1, dy[line*c.ow*c.o+p*c.og:], c.o, wt[p*c.og*c.k:], c.k, 0, patches, c.k)
			addPatches(dx, patches, &c.patchGeom, p, (lo*c.oh+line)*c.ow, rows)
		}
	}
}

// linesPerBlock returns how many output lines have their patches' gradients stored at once.
func (c *conv) linesPerBlock() int { return min(c.n*c.oh, max(1, blockElems/(c.ow*c.k))) }

// Conv2DWeightGrad stores in dw the gradient with respect to the weights, the adjoint of [Conv2D] in its
// second argument: dw = patches(x)ᵀ·dy, of the shape of the weights. The batch is cut into groups of
// images, their number fixed by the problem's size; their sums are added in order, so the result has
// the same bits for every number of workers. The cost is that of Conv2D.
func Conv2DWeightGrad[T Float](ws *Workspace[T], dw, x, dy Tensor[T], g ConvGeom) {
	c := newConv("Conv2DWeightGrad", x.shape, dy.shape, dw.shape, g)
	defer ws.Release(ws.Mark())
	parts := max(1, min(c.n, maxSums, maxSumElems/(c.k*c.o)))
	sums := dw.data
	if parts > 1 {
		sums = ws.Slice(parts * len(dw.data))
	}
	rows := patchesOf(ws, x.data, c.patchGeom)
	ws.pool.Do(parts, func(_, part int) {
		lo, hi := part*c.n/parts*c.oh*c.ow, (part+1)*c.n/parts*c.oh*c.ow
		rows.reader().transposedTimes(sums[part*len(dw.data):][:len(dw.data)], &c, dy.data[lo*c.o:], 0, lo, hi-lo)
	})
	if parts > 1 {
		addParts(ws, dw.data, sums, parts)
	}
}

// Im2Col stores in dst the patches of group p of the images x, one row for each output position:
// dst [batch·oh·ow, kh·kw·(in/groups)], columns in the order (ky, kx, channel), zero outside the image.
// It is what a convolution's weights are multiplied with: the rows that enter it as an affine layer.
func Im2Col[T Float](ws *Workspace[T], dst, x Tensor[T], g ConvGeom, p int) {
	g = g.Normal()
	y := g.OutputShape(x.shape, 1)
	if p < 0 || p >= g.Groups || x.shape.Dim(3)%g.Groups != 0 {
		panic(ShapeError{Op: "Im2Col", A: x.shape, Detail: "group " + strconv.Itoa(p) + " of " + strconv.Itoa(g.Groups)})
	}
	q := newPatchGeom(x.shape, g)
	if dst.Size() != y.Size()*q.k {
		panic(ShapeError{Op: "Im2Col", A: ShapeOf(y.Size(), q.k), B: dst.shape})
	}
	ws.pool.Range(q.positions(), 1, func(lo, hi int) {
		takePatches(dst.data[lo*q.k:], q.k, x.data, &q, p, lo, hi-lo, 0, q.k)
	})
}

const (
	blockElems  = 1 << 17 // elements of a block of patch gradients
	maxSums     = 8       // most partial sums of a weight gradient
	maxSumElems = 1 << 22 // most elements of all partial sums together
)

// conv is a convolution with all sizes worked out.
type conv struct {
	patchGeom
	o, og int // output channels in all, in a group
}

func newConv(op string, x, y, w Shape, g ConvGeom) conv {
	g = g.Normal()
	o := w.Cols()
	if want := g.OutputShape(x, o); want.Size() != y.Size() {
		panic(ShapeError{Op: op, A: want, B: y, Detail: "output of " + g.String() + " on " + x.String()})
	}
	if x.Dim(3)%g.Groups != 0 || o%g.Groups != 0 {
		panic(ShapeError{Op: op, A: x, B: w, Detail: "channels are not a multiple of " + strconv.Itoa(g.Groups) + " groups"})
	}
	c := conv{patchGeom: newPatchGeom(x, g), o: o, og: o / g.Groups}
	if w.Rows() != c.k {
		panic(ShapeError{Op: op, A: ShapeOf(c.k, o), B: w, Detail: "weights of " + g.String() + " on " + x.String()})
	}
	return c
}

// finish is what happens to the rows of a convolution's output at the end.
type finish[T Float] struct {
	bias []T // added to every row, if not nil
	wide []T // for narrow rows: the bias repeated, to fill the vector registers
	relu bool
}

func newFinish[T Float](ws *Workspace[T], bias []T, relu bool) finish[T] {
	f := finish[T]{bias: bias, relu: relu}
	if n := len(bias); n > 0 && n < 16 {
		f.wide = ws.Slice(16 * n)
		for i := range f.wide {
			f.wide[i] = bias[i%n]
		}
	}
	return f
}

// rows finishes the rows of y.
func (f *finish[T]) rows(y []T) {
	if f.wide != nil {
		n := len(y) / len(f.wide) * len(f.wide)
		f.add(y[:n], f.wide)
		y = y[n:]
	}
	f.add(y, f.bias)
}

func (f *finish[T]) add(y, bias []T) {
	switch {
	case bias != nil && f.relu:
		simd.AddRowsReLU(y, bias)
	case bias != nil:
		simd.AddRows(y, bias)
	case f.relu:
		simd.ReLU(y, y)
	}
}

// addParts stores the sum of the parts consecutive vectors in src, added in order, in dst.
func addParts[T Float](ws *Workspace[T], dst, src []T, parts int) {
	n := len(dst)
	ws.pool.Range(n, 4096, func(lo, hi int) {
		d := dst[lo:hi]
		simd.Add(d, src[lo:hi], src[n+lo:n+hi])
		for p := 2; p < parts; p++ {
			simd.Add(d, d, src[p*n+lo:p*n+hi])
		}
	})
}
