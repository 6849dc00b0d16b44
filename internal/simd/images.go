package simd

//go:generate go -C gen run . -kind images -level avx2 -pkg simd -out ../images_avx2_amd64.s -stubs ../images_avx2_amd64.go
//go:generate go -C gen run . -kind images -level avx512 -pkg simd -out ../images_avx512_amd64.s -stubs ../images_avx512_amd64.go

// AddRuns adds count runs of n elements of src, srcStep apart, to runs of dst, dstStep apart, one after
// another: runs of dst may overlap each other.
func AddRuns[T Float](dst []T, dstStep int, src []T, srcStep, n, count int) {
	if n <= 0 || count <= 0 {
		return
	}
	_, _ = dst[(count-1)*dstStep+n-1], src[(count-1)*srcStep+n-1]
	addRuns(dst, src, n, count, dstStep, srcStep)
}

// CopyRuns copies count runs of n elements of src, srcStep apart, to runs of dst, dstStep apart, one
// after another.
func CopyRuns[T Float](dst []T, dstStep int, src []T, srcStep, n, count int) {
	if n <= 0 || count <= 0 {
		return
	}
	_, _ = dst[(count-1)*dstStep+n-1], src[(count-1)*srcStep+n-1]
	copyRuns(dst, src, n, count, dstStep, srcStep)
}

// MaxWindows finds the largest elements of count windows of kh·kw cells. Window w has the cells
//
//	x[w·step + ky·rowStep + kx·colStep + j],  ky < kh, kx < kw,
//
// of which it stores the largest for each channel j < n in y[w·n + j], and its place, the index in x
// plus first, in at[w·n + j]: of equal elements the first in (ky, kx) order, and a NaN rather than
// any number. Places must fit in 32 bits.
func MaxWindows[T Float](y []T, at []int32, x []T, n, count, step, kh, kw, rowStep, colStep, first int) {
	same("MaxWindows", n*count, len(y))
	same("MaxWindows", n*count, len(at))
	if n <= 0 || count <= 0 || kh <= 0 || kw <= 0 {
		return
	}
	_ = x[(count-1)*step+(kh-1)*rowStep+(kw-1)*colStep+n-1]
	maxWindows(y, at, x, n, count, step, kh, kw, rowStep, colStep, first)
}

func addRunsGo[T Float](dst, src []T, n, count, dstStep, srcStep int) {
	for i := range count {
		d := dst[i*dstStep:][:n]
		for j, v := range src[i*srcStep:][:n] {
			d[j] += v
		}
	}
}

func copyRunsGo[T Float](dst, src []T, n, count, dstStep, srcStep int) {
	for i := range count {
		copy(dst[i*dstStep:][:n], src[i*srcStep:])
	}
}

func maxWindowsGo[T Float](y []T, at []int32, x []T, n, count, step, kh, kw, rowStep, colStep, first int) {
	for w := range count {
		y, at := y[w*n:(w+1)*n], at[w*n:(w+1)*n]
		for ky := range kh {
			for kx := range kw {
				o := w*step + ky*rowStep + kx*colStep
				for j, v := range x[o : o+n] {
					if ky+kx == 0 || v > y[j] || v != v {
						y[j], at[j] = v, int32(first+o+j)
					}
				}
			}
		}
	}
}
