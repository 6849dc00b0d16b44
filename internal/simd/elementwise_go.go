package simd

import "math"

// Loops that specify the element-wise kernels.

func addGo[T Float](dst, a, b []T) {
	for i, x := range a {
		dst[i] = x + b[i]
	}
}

func subGo[T Float](dst, a, b []T) {
	for i, x := range a {
		dst[i] = x - b[i]
	}
}

func mulGo[T Float](dst, a, b []T) {
	for i, x := range a {
		dst[i] = x * b[i]
	}
}

func divGo[T Float](dst, a, b []T) {
	for i, x := range a {
		dst[i] = x / b[i]
	}
}

func maxGo[T Float](dst, a, b []T) {
	for i, x := range a {
		dst[i] = larger(x, b[i])
	}
}

func minGo[T Float](dst, a, b []T) {
	for i, x := range a {
		dst[i] = smaller(x, b[i])
	}
}

// larger returns a if a > b, else b: b if either is NaN. It is the instruction MAXPS.
func larger[T Float](a, b T) T {
	if a > b {
		return a
	}
	return b
}

// smaller returns a if a < b, else b: b if either is NaN. It is the instruction MINPS.
func smaller[T Float](a, b T) T {
	if a < b {
		return a
	}
	return b
}

func mulAddGo[T Float](dst, a, b []T) {
	for i, x := range a {
		dst[i] = fma(x, b[i], dst[i])
	}
}

func reluGradGo[T Float](dst, y, g []T) {
	for i, v := range y {
		if v > 0 {
			dst[i] = g[i]
		} else {
			dst[i] = 0
		}
	}
}

func tanhGradGo[T Float](dst, y, g []T) {
	for i, v := range y {
		dst[i] = g[i] * fma(-v, v, 1)
	}
}

func sigmoidGradGo[T Float](dst, y, g []T) {
	for i, v := range y {
		dst[i] = (g[i] * v) * (1 - v)
	}
}

func absGo[T Float](dst, a []T) {
	for i, x := range a {
		dst[i] = abs(x)
	}
}

func abs[T Float](x T) T { return T(math.Abs(float64(x))) }

func sqrtGo[T Float](dst, a []T) {
	for i, x := range a {
		dst[i] = sqrt(x)
	}
}

// sqrt is correctly rounded for float32 too: rounding a square root of a float32 first to 53 and
// then to 24 bits gives the same as rounding once, as 53 ≥ 2·24 + 2.
func sqrt[T Float](x T) T { return T(math.Sqrt(float64(x))) }

func reluGo[T Float](dst, a []T) {
	for i, x := range a {
		dst[i] = larger(0, x)
	}
}

func addScalarGo[T Float](dst, a []T, s T) {
	for i, x := range a {
		dst[i] = x + s
	}
}

func scaleGo[T Float](dst, a []T, s T) {
	for i, x := range a {
		dst[i] = x * s
	}
}

func axpyGo[T Float](dst []T, s T, a []T) {
	for i, x := range a {
		dst[i] = fma(s, x, dst[i])
	}
}

func axpbyGo[T Float](dst []T, s T, a []T, t T) {
	for i, x := range a {
		dst[i] = fma(s, x, t*dst[i])
	}
}

func addRowsGo[T Float](dst []T, rows, ld int, bias []T) {
	for i := range rows {
		row := dst[i*ld:]
		for j, b := range bias {
			row[j] += b
		}
	}
}

func addRowsReLUGo[T Float](dst []T, rows, ld int, bias []T) {
	for i := range rows {
		row := dst[i*ld:]
		for j, b := range bias {
			row[j] = larger(0, row[j]+b)
		}
	}
}

func sumRowsGo[T Float](a []T, rows, ld int, dst []T) {
	for i := range rows {
		row := a[i*ld:]
		for j := range dst {
			dst[j] += row[j]
		}
	}
}

func adamGo[T Float](p, g, m, v []T, c AdamCoef[T]) {
	keep := 1 - c.Decay
	for i, gi := range g {
		mi := fma(c.Beta1, m[i], c.OneMinusBeta1*gi)
		vi := fma(c.Beta2, v[i], (c.OneMinusBeta2*gi)*gi)
		m[i], v[i] = mi, vi
		p[i] = fma(-c.StepSize, mi/(sqrt(vi)/c.Sqrt2+c.Eps), keep*p[i])
	}
}

func momentumGo[T Float](p, g, u []T, c MomentumCoef[T]) {
	for i, gi := range g {
		ui := fma(c.Mu, u[i], c.OneMinusDamp*gi)
		u[i] = ui
		if c.Nesterov {
			ui = fma(c.Mu, ui, gi)
		}
		p[i] = fma(-c.LR, ui, p[i])
	}
}

func bytesGo[T Float](dst []T, src []byte, scale, shift T) {
	for i, b := range src {
		dst[i] = fma(scale, T(b), shift)
	}
}

func transposeGo[T Float](dst []T, ldd int, src []T, lds, rows, cols int) {
	for i := range rows {
		for j := range cols {
			dst[j*ldd+i] = src[i*lds+j]
		}
	}
}

func packGo[T Float](dst []T, w int, src []T, lds, rows, n int) {
	for r := range rows {
		copy(dst[r*w:r*w+n], src[r*lds:])
	}
}
