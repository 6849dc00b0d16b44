//go:build !amd64 || noasm

package simd

func addRuns[T Float](dst, src []T, n, count, dstStep, srcStep int) {
	addRunsGo(dst, src, n, count, dstStep, srcStep)
}

func copyRuns[T Float](dst, src []T, n, count, dstStep, srcStep int) {
	copyRunsGo(dst, src, n, count, dstStep, srcStep)
}

func maxWindows[T Float](y []T, at []int32, x []T, n, count, step, kh, kw, rowStep, colStep, first int) {
	maxWindowsGo(y, at, x, n, count, step, kh, kw, rowStep, colStep, first)
}
