package simd

import (
	"fmt"
	"sync"
	"unsafe"
)

// Sizes of the blocks that GEMM works on. depth is part of the specification: it fixes the order of
// additions. The others are free.
const (
	depth     = 512  // inner dimension of a block
	blockRows = 336  // rows of op(A) in a block, a multiple of every kernel's rows
	blockCols = 1024 // columns of op(B) in a block, a multiple of every kernel's columns
	fewRows   = 42   // for so few rows of C, B is not packed
	skew      = 16   // added to the distance of packed rows, so that they fall on different sets of the cache
)

// Gemm computes C ← α op(A) op(B) + β C for row-major matrices, op(A) m×k, op(B) k×n, C m×n, where op
// transposes if the flag is set and ld is the distance between rows. C must not overlap A or B. If β
// is 0, C is not read.
//
// The order of operations for each element of C is fixed by k alone: the inner dimension is cut
// into blocks of 512, each is summed up from 0 in order by fused multiply-adds to S₀, S₁, …, then
//
//	c ← β·c,  c ← fma(α, S₀, c),  c ← fma(α, S₁, c), …       (c ← α·S₀ if β = 0)
//
// It is the same for a row, a column or a part of C computed by a call of its own.
func Gemm[T Float](transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	GemmAffine(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, nil, false)
}

// GemmAffine is [Gemm] followed, while C is in cache, by the addition of bias (length n; nil: none) to
// every row and, if relu, by ReLU.
func GemmAffine[T Float](transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int, bias []T, relu bool) {
	if transA {
		checkMatrix("Gemm", "A", k, m, len(a), lda)
	} else {
		checkMatrix("Gemm", "A", m, k, len(a), lda)
	}
	g := product[T]{transA: transA, transB: transB, m: m, n: n, k: k, alpha: alpha, a: a, lda: lda, b: b, ldb: ldb, beta: beta, c: c, ldc: ldc, bias: bias, relu: relu}
	g.run()
}

// GemmBlocks is [GemmAffine] with a matrix A that is made block by block: block must store
// A[row+i, col+j], i < rows, j < cols, at dst[i*ld+j], ld ≥ cols. A is the stored matrix, k×m if
// transA, else m×k. Convolution lets it gather patches of an image, so that the matrix of all patches
// never exists. Each element of A is asked for once for every 1024 columns of C; a block has at
// most 512 × 84 elements.
//
// The result has the same bits as that of Gemm with A stored.
func GemmBlocks[T Float](transA, transB bool, m, n, k int, alpha T, block func(dst []T, ld, row, rows, col, cols int), b []T, ldb int, beta T, c []T, ldc int, bias []T, relu bool) {
	g := product[T]{transA: transA, transB: transB, m: m, n: n, k: k, alpha: alpha, block: block, b: b, ldb: ldb, beta: beta, c: c, ldc: ldc, bias: bias, relu: relu}
	g.run()
}

func checkMatrix(op, name string, rows, cols, size, ld int) {
	if rows < 0 || cols < 0 || ld < max(1, cols) || rows > 0 && cols > 0 && size < (rows-1)*ld+cols {
		panic(fmt.Sprintf("simd: %s: matrix %s is %d×%d with distance %d between rows in %d elements", op, name, rows, cols, ld, size))
	}
}

// product is one call of Gemm.
type product[T Float] struct {
	transA, transB bool
	m, n, k        int
	alpha          T
	a              []T
	lda            int
	block          func(dst []T, ld, row, rows, col, cols int) // makes A, if not nil
	b              []T
	ldb            int
	beta           T
	c              []T
	ldc            int
	bias           []T
	relu           bool
}

func (g *product[T]) run() {
	if g.transB {
		checkMatrix("Gemm", "B", g.n, g.k, len(g.b), g.ldb)
	} else {
		checkMatrix("Gemm", "B", g.k, g.n, len(g.b), g.ldb)
	}
	checkMatrix("Gemm", "C", g.m, g.n, len(g.c), g.ldc)
	if g.bias != nil {
		same("Gemm (bias)", g.n, len(g.bias))
	}
	if g.m == 0 || g.n == 0 {
		return
	}
	kern := use[T]()
	if g.beta != 1 && (g.beta != 0 || g.k == 0) {
		for i := range g.m {
			if row := g.c[i*g.ldc : i*g.ldc+g.n]; g.beta == 0 {
				clear(row)
			} else {
				kern.scale(row, row, g.beta)
			}
		}
	}
	if g.k == 0 {
		g.finish(kern, 0, g.m, 0, g.n)
		return
	}
	buf := getBuffers[T]()
	defer putBuffers(buf)
	if g.m <= 2 && !g.transB && g.block == nil {
		g.rowByRow(kern, buf.b)
		return
	}
	for j := 0; j < g.n; j += blockCols {
		nb := min(blockCols, g.n-j)
		for p := 0; p < g.k; p += depth {
			kb := min(depth, g.k-p)
			b, bs, panel := g.packB(kern, buf, p, kb, j, nb)
			for i := 0; i < g.m; i += blockRows {
				mb := min(blockRows, g.m-i)
				a, rs, cs := g.packA(buf, i, mb, p, kb)
				g.tiles(kern, a, rs, cs, b, bs, panel, i, mb, j, nb, kb, g.beta == 0 && p == 0)
				if p+kb == g.k {
					g.finish(kern, i, mb, j, nb)
				}
			}
		}
	}
}

// rowByRow computes one or two rows of C from whole rows of B, which are read once, in the order in
// which they lie: acc ← fma(a[i,p], b[p,:], acc). The order of operations is that of the tiles.
func (g *product[T]) rowByRow(kern *kernels[T], acc []T) {
	for j := 0; j < g.n; j += blockCols {
		nb := min(blockCols, g.n-j)
		for i := range g.m {
			c := g.c[i*g.ldc+j : i*g.ldc+j+nb]
			for p0 := 0; p0 < g.k; p0 += depth {
				clear(acc[:nb])
				for p := p0; p < min(g.k, p0+depth); p++ {
					at := i*g.lda + p
					if g.transA {
						at = p*g.lda + i
					}
					kern.axpy(acc[:nb], g.a[at], g.b[p*g.ldb+j:p*g.ldb+j+nb])
				}
				if p0 == 0 && g.beta == 0 {
					kern.scale(c, acc[:nb], g.alpha)
				} else {
					kern.axpy(c, g.alpha, acc[:nb])
				}
			}
		}
		g.finish(kern, 0, g.m, j, nb)
	}
}

// tiles multiplies a block of op(A), element (i, p) at a[i·rs+p·cs], and a block of op(B), whose
// panels of kern.gemm.cols columns are panel apart, element (p, j) at b[p·bs+j].
func (g *product[T]) tiles(kern *kernels[T], a []T, rs, cs int, b []T, bs, panel int, i, mb, j, nb, kb int, overwrite bool) {
	t := &kern.gemm
	for jj := 0; jj < nb; jj += t.cols {
		bp := b[jj/t.cols*panel:]
		nt := min(t.cols, nb-jj)
		for ii := 0; ii < mb; ii += t.rows {
			t.run(min(t.rows, mb-ii), nt, kb, a[ii*rs:], rs, cs, bp, bs, g.c[(i+ii)*g.ldc+j+jj:], g.ldc, g.alpha, overwrite)
		}
	}
}

// finish adds the bias to a block of C and applies ReLU.
func (g *product[T]) finish(kern *kernels[T], i, mb, j, nb int) {
	c := g.c[i*g.ldc+j:]
	switch {
	case g.bias != nil && g.relu:
		kern.addRowsReLU(c, mb, g.ldc, g.bias[j:j+nb])
	case g.bias != nil:
		kern.addRows(c, mb, g.ldc, g.bias[j:j+nb])
	case g.relu:
		for r := range mb {
			row := c[r*g.ldc : r*g.ldc+nb]
			kern.relu(row, row)
		}
	}
}

// packA returns rows i…i+mb and columns p…p+kb of op(A) with the distances between its rows and
// columns.
//
// The kernels read A one element of each row at a time, so its rows need not be interleaved: A is
// used where it lies. It is copied, row by row, only if its rows are so far apart that they would
// share few pages or sets of the cache, and enough columns of C make up for the copy.
func (g *product[T]) packA(buf *buffers[T], i, mb, p, kb int) (a []T, rs, cs int) {
	row, rows, col, cols := i, mb, p, kb
	if g.transA {
		row, rows, col, cols = p, kb, i, mb
	}
	var z T
	ld, far := g.lda, g.lda*int(unsafe.Sizeof(z))
	switch {
	case g.block != nil:
		ld = cols + skew
		g.block(buf.a, ld, row, rows, col, cols)
		a = buf.a
	case far >= 1024 && (g.n > 64 || far%4096 == 0 && g.n > 4 && !g.transA):
		ld = cols + skew
		for r := range rows {
			copy(buf.a[r*ld:r*ld+cols], g.a[(row+r)*g.lda+col:])
		}
		a = buf.a
	default:
		a = g.a[row*g.lda+col:]
	}
	if g.transA {
		return a, 1, ld
	}
	return a, ld, 1
}

// packB copies rows p…p+kb and columns j…j+nb of op(B) to panels of as many columns as the kernel
// takes, each contiguous. If there are few rows of A to make up for the copy, or B is narrow, it is
// used where it lies.
func (g *product[T]) packB(kern *kernels[T], buf *buffers[T], p, kb, j, nb int) (b []T, bs, panel int) {
	w := kern.gemm.cols
	var z T
	if !g.transB && (g.m <= fewRows || g.ldb*int(unsafe.Sizeof(z)) <= 512) {
		return g.b[p*g.ldb+j:], g.ldb, w
	}
	for jj := 0; jj < nb; jj += w {
		dst := buf.b[jj*kb:]
		n := min(w, nb-jj)
		if g.transB {
			kern.transpose(dst, w, g.b[(j+jj)*g.ldb+p:], g.ldb, n, kb)
			continue
		}
		kern.pack(dst, w, g.b[p*g.ldb+j+jj:], g.ldb, kb, n)
	}
	return buf.b, w, w * kb
}

// buffers are the packed blocks of one product.
type buffers[T Float] struct{ a, b []T }

var pool32, pool64 sync.Pool

func getBuffers[T Float]() *buffers[T] {
	pool := &pool64
	if is32[T]() {
		pool = &pool32
	}
	if b, ok := pool.Get().(*buffers[T]); ok {
		return b
	}
	return &buffers[T]{
		a: aligned[T](max(blockRows*(depth+skew), depth*(blockRows+skew))),
		b: aligned[T](depth * blockCols),
	}
}

func putBuffers[T Float](b *buffers[T]) {
	if is32[T]() {
		pool32.Put(b)
	} else {
		pool64.Put(b)
	}
}

// aligned returns n elements that begin at a multiple of 64 bytes.
func aligned[T Float](n int) []T {
	s := make([]T, n+16)
	off := uintptr(unsafe.Pointer(&s[0])) % 64
	skip := int((64-off)%64) / int(unsafe.Sizeof(s[0]))
	return s[skip : skip+n]
}
