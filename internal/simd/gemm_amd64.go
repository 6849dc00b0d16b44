//go:build amd64 && !noasm

package simd

// tileFunc is a kernel for a fixed number of rows and up to a number of columns. It works as a
// tileKernel, distances in bytes.
type tileFunc[T Float] = func(k int, a *T, rs, cs int, b *T, bs int, c *T, ldc int, alpha T, cols int, overwrite bool)

func tileF32AVX512(m, n, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, alpha float32, overwrite bool) {
	v := 2
	if n <= 8 {
		v = 0
	} else if n <= 16 {
		v = 1
	}
	tilesF32AVX512[v][m-1](k, &a[0], 4*rs, 4*cs, &b[0], 4*bs, &c[0], 4*ldc, alpha, n, overwrite)
}

func tileF64AVX512(m, n, k int, a []float64, rs, cs int, b []float64, bs int, c []float64, ldc int, alpha float64, overwrite bool) {
	v := 2
	if n <= 4 {
		v = 0
	} else if n <= 8 {
		v = 1
	}
	tilesF64AVX512[v][m-1](k, &a[0], 8*rs, 8*cs, &b[0], 8*bs, &c[0], 8*ldc, alpha, n, overwrite)
}

func tileF32AVX2(m, n, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, alpha float32, overwrite bool) {
	v := 1
	if n <= 8 {
		v = 0
	}
	tilesF32AVX2[v][m-1](k, &a[0], 4*rs, 4*cs, &b[0], 4*bs, &c[0], 4*ldc, alpha, n, overwrite)
}

func tileF64AVX2(m, n, k int, a []float64, rs, cs int, b []float64, bs int, c []float64, ldc int, alpha float64, overwrite bool) {
	v := 1
	if n <= 4 {
		v = 0
	}
	tilesF64AVX2[v][m-1](k, &a[0], 8*rs, 8*cs, &b[0], 8*bs, &c[0], 8*ldc, alpha, n, overwrite)
}

// transposeF32 transposes blocks of 8×8, and the rest in Go.
func transposeF32(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	r, c := rows&^7, cols&^7
	if r > 0 && c > 0 {
		_, _ = dst[(c-1)*ldd+r-1], src[(r-1)*lds+c-1]
		transposeF32AVX2(&dst[0], 4*ldd, &src[0], 4*lds, r, c)
	} else {
		r, c = 0, 0
	}
	transposeRest(dst, ldd, src, lds, rows, cols, r, c)
}

// transposeF64 transposes blocks of 4×4, and the rest in Go.
func transposeF64(dst []float64, ldd int, src []float64, lds, rows, cols int) {
	r, c := rows&^3, cols&^3
	if r > 0 && c > 0 {
		_, _ = dst[(c-1)*ldd+r-1], src[(r-1)*lds+c-1]
		transposeF64AVX2(&dst[0], 8*ldd, &src[0], 8*lds, r, c)
	} else {
		r, c = 0, 0
	}
	transposeRest(dst, ldd, src, lds, rows, cols, r, c)
}

// transposeRest transposes all but the first r rows and c columns.
func transposeRest[T Float](dst []T, ldd int, src []T, lds, rows, cols, r, c int) {
	if c < cols && r > 0 {
		transposeGo(dst[c*ldd:], ldd, src[c:], lds, r, cols-c)
	}
	if r < rows {
		transposeGo(dst[r:], ldd, src[r*lds:], lds, rows-r, cols)
	}
}

func packPanelF32AVX512(dst []float32, w int, src []float32, lds, rows, n int) {
	if n != 32 || w != n {
		packGo(dst, w, src, lds, rows, n)
		return
	}
	_, _ = dst[rows*n-1], src[(rows-1)*lds+n-1]
	packF32AVX512(&dst[0], &src[0], 4*lds, rows)
}

func packPanelF32AVX2(dst []float32, w int, src []float32, lds, rows, n int) {
	if n != 16 || w != n {
		packGo(dst, w, src, lds, rows, n)
		return
	}
	_, _ = dst[rows*n-1], src[(rows-1)*lds+n-1]
	packF32AVX2(&dst[0], &src[0], 4*lds, rows)
}

func packPanelF64AVX512(dst []float64, w int, src []float64, lds, rows, n int) {
	if n != 16 || w != n {
		packGo(dst, w, src, lds, rows, n)
		return
	}
	_, _ = dst[rows*n-1], src[(rows-1)*lds+n-1]
	packF64AVX512(&dst[0], &src[0], 8*lds, rows)
}

func packPanelF64AVX2(dst []float64, w int, src []float64, lds, rows, n int) {
	if n != 8 || w != n {
		packGo(dst, w, src, lds, rows, n)
		return
	}
	_, _ = dst[rows*n-1], src[(rows-1)*lds+n-1]
	packF64AVX2(&dst[0], &src[0], 8*lds, rows)
}
