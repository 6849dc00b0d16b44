//go:build amd64 && !noasm

package simd

import "golang.org/x/sys/cpu"

// supported returns the best level that the processor and the operating system have.
func supported() Level {
	x := &cpu.X86
	switch {
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX2 && x.HasFMA && x.HasBMI2:
		return AVX512
	case x.HasAVX2 && x.HasFMA && x.HasBMI2:
		return AVX2
	}
	return Go
}

// kernelsOf returns the kernels of a level.
func kernelsOf[T Float](l Level) kernels[T] {
	k := plain[T]()
	switch k := any(&k).(type) {
	case *kernels[float32]:
		if l == AVX512 {
			useF32AVX512(k)
		} else if l == AVX2 {
			useF32AVX2(k)
		}
	case *kernels[float64]:
		if l == AVX512 {
			useF64AVX512(k)
		} else if l == AVX2 {
			useF64AVX2(k)
		}
	}
	return k
}

func useF32AVX512(k *kernels[float32]) {
	k.add, k.sub, k.mul, k.div, k.max, k.min = addF32AVX512, subF32AVX512, mulF32AVX512, divF32AVX512, maxF32AVX512, minF32AVX512
	k.mulAdd, k.reluGrad, k.tanhGrad, k.sigmoidGrad = mulAddF32AVX512, reluGradF32AVX512, tanhGradF32AVX512, sigmoidGradF32AVX512
	k.abs, k.sqrt, k.relu = absF32AVX512, sqrtF32AVX512, reluF32AVX512
	k.exp, k.log, k.tanh, k.sigmoid, k.erf, k.softplus, k.silu, k.gelu = expF32AVX512, logF32AVX512, tanhF32AVX512, sigmoidF32AVX512, erfF32AVX512, softplusF32AVX512, siluF32AVX512, geluF32AVX512
	k.addScalar, k.scale, k.axpy, k.axpby = addScalarF32AVX512, scaleF32AVX512, axpyF32AVX512, axpbyF32AVX512
	k.sum, k.sumSquares, k.maxOf, k.dot, k.allFinite = sumF32AVX512, sumSquaresF32AVX512, maxOfF32AVX512, dotF32AVX512, allFiniteF32AVX512
	k.addRows, k.addRowsReLU, k.sumRows = addRowsF32AVX512, addRowsReLUF32AVX512, sumRowsF32AVX512
	k.expSum = func(dst, a []float32, shift float32) float32 {
		if dst == nil {
			return expSumOnlyF32AVX512(a, shift)
		}
		return expSumF32AVX512(dst, a, shift)
	}
	k.adam = func(p, g, m, v []float32, c AdamCoef[float32]) { adamF32AVX512(p, g, m, v, &c.Beta1) }
	k.momentum = func(p, g, u []float32, c MomentumCoef[float32]) {
		if c.Nesterov {
			nesterovF32AVX512(p, g, u, c.Mu, c.OneMinusDamp, c.LR)
		} else {
			momentumF32AVX512(p, g, u, c.Mu, c.OneMinusDamp, c.LR)
		}
	}
	k.bytes = func(dst []float32, src []byte, scale, shift float32) {
		n := len(dst) &^ (16 - 1)
		bytesF32AVX512(dst[:n], src[:n], scale, shift)
		bytesGo(dst[n:], src[n:], scale, shift)
	}
	k.affineTanh, k.tanhStep = affineTanhF32AVX512, tanhStepF32AVX512
	k.transpose, k.pack = transposeF32, packPanelF32AVX512
	k.gemm = tileKernel[float32]{rows: 14, cols: 32, run: tileF32AVX512}
}

func useF32AVX2(k *kernels[float32]) {
	k.add, k.sub, k.mul, k.div, k.max, k.min = addF32AVX2, subF32AVX2, mulF32AVX2, divF32AVX2, maxF32AVX2, minF32AVX2
	k.mulAdd, k.reluGrad, k.tanhGrad, k.sigmoidGrad = mulAddF32AVX2, reluGradF32AVX2, tanhGradF32AVX2, sigmoidGradF32AVX2
	k.abs, k.sqrt, k.relu = absF32AVX2, sqrtF32AVX2, reluF32AVX2
	k.exp, k.log, k.tanh, k.sigmoid, k.erf, k.softplus, k.silu, k.gelu = expF32AVX2, logF32AVX2, tanhF32AVX2, sigmoidF32AVX2, erfF32AVX2, softplusF32AVX2, siluF32AVX2, geluF32AVX2
	k.addScalar, k.scale, k.axpy, k.axpby = addScalarF32AVX2, scaleF32AVX2, axpyF32AVX2, axpbyF32AVX2
	k.sum, k.sumSquares, k.maxOf, k.dot, k.allFinite = sumF32AVX2, sumSquaresF32AVX2, maxOfF32AVX2, dotF32AVX2, allFiniteF32AVX2
	k.addRows, k.addRowsReLU, k.sumRows = addRowsF32AVX2, addRowsReLUF32AVX2, sumRowsF32AVX2
	k.expSum = func(dst, a []float32, shift float32) float32 {
		if dst == nil {
			return expSumOnlyF32AVX2(a, shift)
		}
		return expSumF32AVX2(dst, a, shift)
	}
	k.adam = func(p, g, m, v []float32, c AdamCoef[float32]) { adamF32AVX2(p, g, m, v, &c.Beta1) }
	k.momentum = func(p, g, u []float32, c MomentumCoef[float32]) {
		if c.Nesterov {
			nesterovF32AVX2(p, g, u, c.Mu, c.OneMinusDamp, c.LR)
		} else {
			momentumF32AVX2(p, g, u, c.Mu, c.OneMinusDamp, c.LR)
		}
	}
	k.bytes = func(dst []float32, src []byte, scale, shift float32) {
		n := len(dst) &^ (8 - 1)
		bytesF32AVX2(dst[:n], src[:n], scale, shift)
		bytesGo(dst[n:], src[n:], scale, shift)
	}
	k.affineTanh, k.tanhStep = affineTanhF32AVX2, tanhStepF32AVX2
	k.transpose, k.pack = transposeF32, packPanelF32AVX2
	k.gemm = tileKernel[float32]{rows: 6, cols: 16, run: tileF32AVX2}
}

func useF64AVX512(k *kernels[float64]) {
	k.add, k.sub, k.mul, k.div, k.max, k.min = addF64AVX512, subF64AVX512, mulF64AVX512, divF64AVX512, maxF64AVX512, minF64AVX512
	k.mulAdd, k.reluGrad, k.tanhGrad, k.sigmoidGrad = mulAddF64AVX512, reluGradF64AVX512, tanhGradF64AVX512, sigmoidGradF64AVX512
	k.abs, k.sqrt, k.relu = absF64AVX512, sqrtF64AVX512, reluF64AVX512
	k.exp, k.log, k.tanh, k.sigmoid, k.erf, k.softplus, k.silu, k.gelu = expF64AVX512, logF64AVX512, tanhF64AVX512, sigmoidF64AVX512, erfF64AVX512, softplusF64AVX512, siluF64AVX512, geluF64AVX512
	k.addScalar, k.scale, k.axpy, k.axpby = addScalarF64AVX512, scaleF64AVX512, axpyF64AVX512, axpbyF64AVX512
	k.sum, k.sumSquares, k.maxOf, k.dot, k.allFinite = sumF64AVX512, sumSquaresF64AVX512, maxOfF64AVX512, dotF64AVX512, allFiniteF64AVX512
	k.addRows, k.addRowsReLU, k.sumRows = addRowsF64AVX512, addRowsReLUF64AVX512, sumRowsF64AVX512
	k.expSum = func(dst, a []float64, shift float64) float64 {
		if dst == nil {
			return expSumOnlyF64AVX512(a, shift)
		}
		return expSumF64AVX512(dst, a, shift)
	}
	k.adam = func(p, g, m, v []float64, c AdamCoef[float64]) { adamF64AVX512(p, g, m, v, &c.Beta1) }
	k.momentum = func(p, g, u []float64, c MomentumCoef[float64]) {
		if c.Nesterov {
			nesterovF64AVX512(p, g, u, c.Mu, c.OneMinusDamp, c.LR)
		} else {
			momentumF64AVX512(p, g, u, c.Mu, c.OneMinusDamp, c.LR)
		}
	}
	k.bytes = func(dst []float64, src []byte, scale, shift float64) {
		n := len(dst) &^ (8 - 1)
		bytesF64AVX512(dst[:n], src[:n], scale, shift)
		bytesGo(dst[n:], src[n:], scale, shift)
	}
	k.affineTanh, k.tanhStep = affineTanhF64AVX512, tanhStepF64AVX512
	k.transpose, k.pack = transposeF64, packPanelF64AVX512
	k.gemm = tileKernel[float64]{rows: 14, cols: 16, run: tileF64AVX512}
}

func useF64AVX2(k *kernels[float64]) {
	k.add, k.sub, k.mul, k.div, k.max, k.min = addF64AVX2, subF64AVX2, mulF64AVX2, divF64AVX2, maxF64AVX2, minF64AVX2
	k.mulAdd, k.reluGrad, k.tanhGrad, k.sigmoidGrad = mulAddF64AVX2, reluGradF64AVX2, tanhGradF64AVX2, sigmoidGradF64AVX2
	k.abs, k.sqrt, k.relu = absF64AVX2, sqrtF64AVX2, reluF64AVX2
	k.exp, k.log, k.tanh, k.sigmoid, k.erf, k.softplus, k.silu, k.gelu = expF64AVX2, logF64AVX2, tanhF64AVX2, sigmoidF64AVX2, erfF64AVX2, softplusF64AVX2, siluF64AVX2, geluF64AVX2
	k.addScalar, k.scale, k.axpy, k.axpby = addScalarF64AVX2, scaleF64AVX2, axpyF64AVX2, axpbyF64AVX2
	k.sum, k.sumSquares, k.maxOf, k.dot, k.allFinite = sumF64AVX2, sumSquaresF64AVX2, maxOfF64AVX2, dotF64AVX2, allFiniteF64AVX2
	k.addRows, k.addRowsReLU, k.sumRows = addRowsF64AVX2, addRowsReLUF64AVX2, sumRowsF64AVX2
	k.expSum = func(dst, a []float64, shift float64) float64 {
		if dst == nil {
			return expSumOnlyF64AVX2(a, shift)
		}
		return expSumF64AVX2(dst, a, shift)
	}
	k.adam = func(p, g, m, v []float64, c AdamCoef[float64]) { adamF64AVX2(p, g, m, v, &c.Beta1) }
	k.momentum = func(p, g, u []float64, c MomentumCoef[float64]) {
		if c.Nesterov {
			nesterovF64AVX2(p, g, u, c.Mu, c.OneMinusDamp, c.LR)
		} else {
			momentumF64AVX2(p, g, u, c.Mu, c.OneMinusDamp, c.LR)
		}
	}
	k.bytes = func(dst []float64, src []byte, scale, shift float64) {
		n := len(dst) &^ (4 - 1)
		bytesF64AVX2(dst[:n], src[:n], scale, shift)
		bytesGo(dst[n:], src[n:], scale, shift)
	}
	k.affineTanh, k.tanhStep = affineTanhF64AVX2, tanhStepF64AVX2
	k.transpose, k.pack = transposeF64, packPanelF64AVX2
	k.gemm = tileKernel[float64]{rows: 6, cols: 8, run: tileF64AVX2}
}
