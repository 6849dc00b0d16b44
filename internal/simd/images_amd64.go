//go:build amd64 && !noasm

package simd

import "unsafe"

func addRuns[T Float](dst, src []T, n, count, dstStep, srcStep int) {
	d, s := unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0])
	switch {
	case active == AVX512 && is32[T]():
		addRunsF32AVX512((*float32)(d), (*float32)(s), n, count, dstStep, srcStep)
	case active == AVX512:
		addRunsF64AVX512((*float64)(d), (*float64)(s), n, count, dstStep, srcStep)
	case active == AVX2 && is32[T]():
		addRunsF32AVX2((*float32)(d), (*float32)(s), n, count, dstStep, srcStep)
	case active == AVX2:
		addRunsF64AVX2((*float64)(d), (*float64)(s), n, count, dstStep, srcStep)
	default:
		addRunsGo(dst, src, n, count, dstStep, srcStep)
	}
}

func copyRuns[T Float](dst, src []T, n, count, dstStep, srcStep int) {
	d, s := unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0])
	switch {
	case active == AVX512 && is32[T]():
		copyRunsF32AVX512((*float32)(d), (*float32)(s), n, count, dstStep, srcStep)
	case active == AVX512:
		copyRunsF64AVX512((*float64)(d), (*float64)(s), n, count, dstStep, srcStep)
	case active == AVX2 && is32[T]():
		copyRunsF32AVX2((*float32)(d), (*float32)(s), n, count, dstStep, srcStep)
	case active == AVX2:
		copyRunsF64AVX2((*float64)(d), (*float64)(s), n, count, dstStep, srcStep)
	default:
		copyRunsGo(dst, src, n, count, dstStep, srcStep)
	}
}

func maxWindows[T Float](y []T, at []int32, x []T, n, count, step, kh, kw, rowStep, colStep, first int) {
	switch {
	case active == AVX512 && is32[T]():
		maxWindowsF32AVX512((*float32)(unsafe.Pointer(&y[0])), &at[0], (*float32)(unsafe.Pointer(&x[0])), n, count, step, kh, kw, rowStep, colStep, first)
	case active == AVX2 && is32[T]():
		maxWindowsF32AVX2((*float32)(unsafe.Pointer(&y[0])), &at[0], (*float32)(unsafe.Pointer(&x[0])), n, count, step, kh, kw, rowStep, colStep, first)
	default:
		maxWindowsGo(y, at, x, n, count, step, kh, kw, rowStep, colStep, first)
	}
}
