package tensor

import "github.com/descent-ml/descent/internal/simd"

// patchGeom says which elements of a batch of images form the patches of a convolution.
type patchGeom struct {
	n, h, w, c           int // images [n, h, w, c]
	oh, ow               int // output positions
	kh, kw               int
	strideH, strideW     int
	padTop, padLeft      int
	dilationH, dilationW int
	groups, cg           int // channels in a group
	k                    int // length of a patch: kh·kw·cg
}

func newPatchGeom(x Shape, g ConvGeom) patchGeom {
	g = g.Normal()
	oh, ow := g.Output(x.Dim(1), x.Dim(2))
	cg := x.Dim(3) / g.Groups
	return patchGeom{
		n: x.Dim(0), h: x.Dim(1), w: x.Dim(2), c: x.Dim(3),
		oh: oh, ow: ow, kh: g.KH, kw: g.KW,
		strideH: g.StrideH, strideW: g.StrideW, padTop: g.PadTop, padLeft: g.PadLeft,
		dilationH: g.DilationH, dilationW: g.DilationW,
		groups: g.Groups, cg: cg, k: g.KH * g.KW * cg,
	}
}

// positions returns the number of output positions of the batch: the rows of the matrix of patches.
func (q *patchGeom) positions() int { return q.n * q.oh * q.ow }

// patches is the matrix of all patches of a batch, [positions, k] for each group, of which only blocks ever
// exist: a matrix product asks for them while it runs.
type patches[T Float] struct {
	x []T
	q patchGeom
	// With one channel and no horizontal stride not the rows but the columns of the matrix are
	// consecutive elements of the images. Then blocks of the transposed matrix are made instead, by
	// copying parts of image lines.
	transposed bool
}

// patchesOf returns the patches of the images x. Where they are made transposed, the images are copied to
// storage of ws with their padding.
func patchesOf[T Float](ws *Workspace[T], x []T, q patchGeom) patches[T] {
	if q.c != 1 || q.strideW != 1 {
		return patches[T]{x: x, q: q}
	}
	h, w := (q.oh-1)*q.strideH+(q.kh-1)*q.dilationH+1, q.ow+(q.kw-1)*q.dilationW
	if q.padTop == 0 && q.padLeft == 0 && h <= q.h && w <= q.w {
		return patches[T]{x, q, true}
	}
	padded := ws.Slice(q.n * h * w)
	ws.pool.Range(q.n, 1, func(lo, hi int) {
		clear(padded[lo*h*w : hi*h*w])
		for i := lo; i < hi && h > q.padTop && w > q.padLeft; i++ {
			simd.CopyRuns(padded[i*h*w+q.padTop*w+q.padLeft:], w, x[i*q.h*q.w:], q.w, min(q.w, w-q.padLeft), min(q.h, h-q.padTop))
		}
	})
	q.h, q.w, q.padTop, q.padLeft = h, w, 0, 0
	return patches[T]{padded, q, true}
}

// A patchReader makes products with rows of the matrix of patches, for one worker.
type patchReader[T Float] struct {
	patches[T]
	first, group int // of the product under way: first row, group
	block        func(dst []T, ld, row, rows, col, cols int)
}

func (p patches[T]) reader() *patchReader[T] {
	r := &patchReader[T]{patches: p}
	r.block = r.take
	return r
}

// take stores a block of the matrix; see [simd.GemmBlocks].
func (r *patchReader[T]) take(dst []T, ld, row, rows, col, cols int) {
	if r.transposed {
		takeTransposed(dst, ld, r.x, &r.q, row, rows, r.first+col, cols)
	} else {
		takePatches(dst, ld, r.x, &r.q, r.group, r.first+row, rows, col, cols)
	}
}

// times stores the product of rows patches from position first on with the weights w, finished by end, in y.
func (r *patchReader[T]) times(y []T, c *conv, w []T, end *finish[T], first, rows int) {
	r.first = first
	if r.transposed {
		simd.GemmBlocks(true, false, rows, c.o, c.k, 1, r.block, w, c.o, 0, y, c.o, nil, false)
		end.rows(y[:rows*c.o])
		return
	}
	for r.group = range c.groups {
		at := r.group * c.og
		bias := end.bias
		if bias != nil {
			bias = bias[at : at+c.og]
		}
		simd.GemmBlocks(false, false, rows, c.og, c.k, 1, r.block, w[at:], c.o, 0, y[at:], c.o, bias, end.relu)
	}
}

// transposedTimes stores beta·sum plus the product of rows patches from position first on, transposed, with
// dy in sum.
func (r *patchReader[T]) transposedTimes(sum []T, c *conv, dy []T, beta T, first, rows int) {
	r.first = first
	for r.group = range c.groups {
		at := r.group * c.og
		simd.GemmBlocks(!r.transposed, false, c.k, c.og, rows, 1, r.block, dy[at:], c.o, beta, sum[at:], c.o, nil, false)
	}
}

// takeTransposed stores elements k … k+rows of the patches at output positions pos … pos+cols in the
// rows of dst, which are ld apart, for images of one channel without padding and horizontal stride:
// row (ky, kx) holds the image lines moved by the window position.
func takeTransposed[T Float](dst []T, ld int, x []T, q *patchGeom, k, rows, pos, cols int) {
	for c := 0; c < cols; {
		// As many whole lines of one image as there are, else a part of one.
		line, ox := (pos+c)/q.ow, (pos+c)%q.ow
		img, oy := line/q.oh, line%q.oh
		n, lines := min(q.ow-ox, cols-c), 1
		if n == q.ow {
			lines = min(q.oh-oy, (cols-c)/q.ow)
		}
		src := x[(img*q.h+oy*q.strideH)*q.w+ox:]
		ky, kx := k/q.kw, k%q.kw
		for r := range rows {
			simd.CopyRuns(dst[r*ld+c:], q.ow, src[ky*q.dilationH*q.w+kx*q.dilationW:], q.strideH*q.w, n, lines)
			if kx++; kx == q.kw {
				ky, kx = ky+1, 0
			}
		}
		c += n * lines
	}
}

// takePatches stores columns col … col+cols of the patches of group p at the output positions pos …
// pos+rows in dst, whose rows are ld apart.
func takePatches[T Float](dst []T, ld int, x []T, q *patchGeom, p, pos, rows, col, cols int) {
	run := q.kw * q.cg // the part of a patch that lies on one image line
	for end := pos + rows; pos < end; {
		line, ox := pos/q.ow, pos%q.ow
		count := min(q.ow-ox, end-pos)
		img, oy := line/q.oh, line%q.oh
		for ky := col / run; ky*run < col+cols; ky++ {
			a, b := max(0, col-ky*run), min(run, col+cols-ky*run)
			d := dst[ky*run+a-col:]
			iy := oy*q.strideH - q.padTop + ky*q.dilationH
			switch {
			case iy < 0 || iy >= q.h:
				for r := range count {
					clear(d[r*ld:][:b-a])
				}
			case q.dilationW == 1 && q.groups == 1:
				takeRuns(d, ld, x[(img*q.h+iy)*q.w*q.c:][:q.w*q.c], (ox*q.strideW-q.padLeft)*q.c+a, q.strideW*q.c, b-a, count)
			default:
				takeCells(d, ld, x[(img*q.h+iy)*q.w*q.c:][:q.w*q.c], q, p, ox, a, b, count)
			}
		}
		pos += count
		if pos < end {
			dst = dst[count*ld:]
		}
	}
}

// takeRuns stores count runs of n consecutive elements of src, the first beginning at element at and
// each step after the one before, in rows of dst that are ld apart; zero outside src.
func takeRuns[T Float](dst []T, ld int, src []T, at, step, n, count int) {
	a, b := inner(len(src), at, step, n, count)
	for r := range a {
		takeClipped(dst[r*ld:][:n], src, at+r*step)
	}
	if a < b {
		simd.CopyRuns(dst[a*ld:], ld, src[at+a*step:], step, n, b-a)
	}
	for r := b; r < count; r++ {
		takeClipped(dst[r*ld:][:n], src, at+r*step)
	}
}

// inner returns the range a ≤ r < b of the runs at + r·step … + n, r < count, that lie in [0, size).
func inner(size, at, step, n, count int) (a, b int) {
	if at < 0 {
		a = min(count, (-at+step-1)/step)
	}
	if last := size - n - at; last >= 0 {
		b = min(count, last/step+1)
	}
	return a, max(a, b)
}

// takeClipped stores the elements of src from at on in dst, zero outside src.
func takeClipped[T Float](dst, src []T, at int) {
	a := min(max(0, -at), len(dst))
	b := max(a, min(len(dst), len(src)-at))
	clear(dst[:a])
	if a < b {
		copy(dst[a:b], src[at+a:at+b])
	}
	clear(dst[b:])
}

// takeCells is takeRuns for the elements a … b of the part of a patch on the image line src, cell by
// cell: for windows with gaps and for groups.
func takeCells[T Float](dst []T, ld int, src []T, q *patchGeom, p, ox, a, b, count int) {
	for r := range count {
		for o := a; o < b; {
			kx, ch := o/q.cg, o%q.cg
			n := min(q.cg-ch, b-o)
			d := dst[r*ld+o-a:][:n]
			ix := (ox+r)*q.strideW - q.padLeft + kx*q.dilationW
			if ix < 0 || ix >= q.w {
				clear(d)
			} else {
				copy(d, src[ix*q.c+p*q.cg+ch:])
			}
			o += n
		}
	}
}

// addPatches is the adjoint of takePatches on whole patches: it adds every element of rows patches,
// the first at output position pos at the beginning of an output line, to the element of x that it
// was taken from, in the order of the positions.
func addPatches[T Float](x, patches []T, q *patchGeom, p, pos, rows int) {
	run := q.kw * q.cg
	for r := 0; r < rows; r += q.ow {
		line := (pos + r) / q.ow
		img, oy := line/q.oh, line%q.oh
		for ky := range q.kh {
			iy := oy*q.strideH - q.padTop + ky*q.dilationH
			if iy < 0 || iy >= q.h {
				continue
			}
			dst := x[(img*q.h+iy)*q.w*q.c:][:q.w*q.c]
			src := patches[r*q.k+ky*run:]
			if q.dilationW == 1 && q.groups == 1 {
				addRuns(dst, src, q, run)
			} else {
				addCells(dst, src, q, p)
			}
		}
	}
}

// addRuns is the adjoint of takeRuns for the whole of the windows' part on one image line.
func addRuns[T Float](dst, patches []T, q *patchGeom, run int) {
	at, step := -q.padLeft*q.c, q.strideW*q.c
	a, b := inner(len(dst), at, step, run, q.ow)
	for r := range a {
		addClipped(dst, patches[r*q.k:][:run], at+r*step)
	}
	if a < b {
		simd.AddRuns(dst[at+a*step:], step, patches[a*q.k:], q.k, run, b-a)
	}
	for r := b; r < q.ow; r++ {
		addClipped(dst, patches[r*q.k:][:run], at+r*step)
	}
}

// addClipped adds src to the elements of dst from at on, as far as they exist.
func addClipped[T Float](dst, src []T, at int) {
	a, b := max(0, -at), min(len(src), len(dst)-at)
	if a < b {
		d := dst[at+a : at+b]
		simd.Add(d, d, src[a:b])
	}
}

func addCells[T Float](dst, patches []T, q *patchGeom, p int) {
	for ox := range q.ow {
		for kx := range q.kw {
			ix := ox*q.strideW - q.padLeft + kx*q.dilationW
			if ix >= 0 && ix < q.w {
				d := dst[ix*q.c+p*q.cg:][:q.cg]
				simd.Add(d, d, patches[ox*q.k+kx*q.cg:][:q.cg])
			}
		}
	}
}
