package simd

// kernels holds one implementation of every operation for one element type and level. Callers
// have checked the lengths.
type kernels[T Float] struct {
	add, sub, mul, div, max, min            func(dst, a, b []T)
	mulAdd, reluGrad, tanhGrad, sigmoidGrad func(dst, a, b []T)

	abs, sqrt, relu, exp, log, tanh, sigmoid, erf, softplus, silu, gelu func(dst, a []T)

	addScalar, scale func(dst, a []T, s T)
	axpy             func(dst []T, s T, a []T)
	axpby            func(dst []T, s T, a []T, t T)

	sum, sumSquares, maxOf func(a []T) T
	dot                    func(a, b []T) T
	allFinite              func(a []T) bool
	expSum                 func(dst, a []T, shift T) T

	// The first slice is a matrix of rows that are ld apart.
	addRows, addRowsReLU func(dst []T, rows, ld int, bias []T)
	sumRows              func(a []T, rows, ld int, dst []T)

	adam     func(p, g, m, v []T, c AdamCoef[T])
	momentum func(p, g, u []T, c MomentumCoef[T])
	bytes    func(dst []T, src []byte, scale, shift T)

	affineTanh func(dst, w []T, ld int, x []T)
	tanhStep   func(c, w []T, ld int, s, kx []T, k T)

	// transpose stores the transpose of the rows×cols matrix src in dst.
	transpose func(dst []T, ldd int, src []T, lds, rows, cols int)
	// pack copies n columns of the rows of src to dst, rows w apart.
	pack func(dst []T, w int, src []T, lds, rows, n int)
	gemm tileKernel[T]
}

// plain returns the kernels in Go, which specify all others.
func plain[T Float]() kernels[T] {
	return kernels[T]{
		add: addGo[T], sub: subGo[T], mul: mulGo[T], div: divGo[T], max: maxGo[T], min: minGo[T],
		mulAdd: mulAddGo[T], reluGrad: reluGradGo[T], tanhGrad: tanhGradGo[T], sigmoidGrad: sigmoidGradGo[T],
		abs: absGo[T], sqrt: sqrtGo[T], relu: reluGo[T],
		exp: expGo[T], log: logGo[T], tanh: tanhGo[T], sigmoid: sigmoidGo[T], erf: erfGo[T],
		softplus: softplusGo[T], silu: siluGo[T], gelu: geluGo[T],
		addScalar: addScalarGo[T], scale: scaleGo[T], axpy: axpyGo[T], axpby: axpbyGo[T],
		sum: sumGo[T], sumSquares: sumSquaresGo[T], maxOf: maxOfGo[T], dot: dotGo[T],
		allFinite: allFiniteGo[T], expSum: expSumGo[T],
		addRows: addRowsGo[T], addRowsReLU: addRowsReLUGo[T], sumRows: sumRowsGo[T],
		adam: adamGo[T], momentum: momentumGo[T], bytes: bytesGo[T],
		affineTanh: affineTanhGo[T], tanhStep: tanhStepGo[T],
		transpose: transposeGo[T], pack: packGo[T],
		gemm: tileKernel[T]{rows: 4, cols: 16, run: tileGo[T]},
	}
}
