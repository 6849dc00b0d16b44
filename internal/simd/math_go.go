package simd

import (
	"math"
	"unsafe"

	"github.com/descent-ml/descent/internal/simd/coef"
)

// Scalar functions that specify the vector kernels operation by operation: every line is one
// instruction of the kernels (fma, a rounded operation or a bit operation), in the same order.

func expGo[T Float](dst, a []T) {
	for i, x := range a {
		dst[i] = exp1(x)
	}
}

func logGo[T Float](dst, a []T) {
	for i, x := range a {
		dst[i] = log1(x)
	}
}

func tanhGo[T Float](dst, a []T) {
	c := consts[T]()
	for i, x := range a {
		// tanh|x| = (e²ˣ - 1)/(e²ˣ + 1).
		y := smaller(c.TanhMax, abs(x))
		e := expm1(c, y+y)
		dst[i] = copysign(e/(e+2), x)
	}
}

func sigmoidGo[T Float](dst, a []T) {
	for i, x := range a {
		dst[i] = sigmoid1(x)
	}
}

// sigmoid1 is 1/(1+e) for x ≥ 0 and e/(1+e) for x < 0, e = exp(-|x|).
func sigmoid1[T Float](x T) T {
	e := exp1(-abs(x))
	num := T(1)
	if x < 0 {
		num = e
	}
	return num / (1 + e)
}

func erfGo[T Float](dst, a []T) {
	for i, x := range a {
		dst[i] = erf1(x)
	}
}

// erf1 is 1 - exp(-|x| Q(|x|)) with the sign of x, where Q(x) = -log(1 - erf x)/x is smooth.
func erf1[T Float](x T) T {
	c := consts[T]()
	y := smaller(c.ErfMax, abs(x))
	q := c.Erf[0]
	for _, k := range c.Erf[1:] {
		q = fma(q, y, k)
	}
	return copysign(expm1(c, -y*q), x)
}

func softplusGo[T Float](dst, a []T) {
	for i, x := range a {
		// max(x, 0) + log(1+e), e = exp(-|x|); log(1+e) = log u + (e - (u-1))/u for u = 1+e rounded.
		e := exp1(-abs(x))
		u := 1 + e
		l := logNormal(consts[T](), u, 0) + (e-(u-1))/u
		dst[i] = larger(0, x) + l
	}
}

func siluGo[T Float](dst, a []T) {
	c := consts[T]()
	for i, x := range a {
		dst[i] = larger(c.Lowest, x) * sigmoid1(x) // lowest: -∞·0 would be NaN
	}
}

func geluGo[T Float](dst, a []T) {
	c := consts[T]()
	for i, x := range a {
		h := larger(c.Lowest, x) * 0.5
		dst[i] = fma(h, erf1(x*c.HalfSqrt2), h)
	}
}

// exp1 is exp(x) = 2ⁿ exp(r), r = x - n ln 2, |r| ≤ ln 2 / 2. 2ⁿ is applied in two factors, so that
// overflow and subnormal results come out right, rounded once.
func exp1[T Float](x T) T {
	c := consts[T]()
	x = smaller(c.ExpHi, x)
	x = larger(c.ExpLo, x)
	t := fma(x, c.Log2E, c.Round)
	n := t - c.Round
	r := fma(n, -c.Ln2, x)
	r = fma(n, -c.Ln2Lo, r)
	p := c.Exp[0]
	for _, k := range c.Exp[1:] {
		p = fma(p, r, k)
	}
	p = fma(p, r, 1)
	p = fma(p, r, 1)
	t = fma(n, 0.5, c.Round)
	n1 := t - c.Round
	n2 := n - n1
	p = p * pow2(t)
	return p * pow2(n2+c.Round)
}

// expm1 is exp(x) - 1 for |x| so small that 2ⁿ does not overflow: 2ⁿ (exp(r)-1) + (2ⁿ-1). It is
// accurate for small x, where n = 0.
func expm1[T Float](c *coef.Set[T], x T) T {
	t := fma(x, c.Log2E, c.Round)
	n := t - c.Round
	r := fma(n, -c.Ln2, x)
	r = fma(n, -c.Ln2Lo, r)
	p := c.Exp[0]
	for _, k := range c.Exp[1:] {
		p = fma(p, r, k)
	}
	p = fma(p*r, r, r)
	s := pow2(t)
	return fma(s, p, s-1)
}

// log1 is log(x): subnormal numbers are scaled, and what has no logarithm is replaced at the end.
func log1[T Float](x T) T {
	c := consts[T]()
	y, e := x, T(0)
	if x < c.Tiny {
		y, e = x*c.Big, c.BigLog2
	}
	l := logNormal(c, y, e)
	if !(x > 0) {
		l = T(math.NaN())
	}
	if x == 0 {
		l = T(math.Inf(-1))
	}
	if x == T(math.Inf(1)) {
		l = x
	}
	return l
}

// logNormal is log(x) - shift·ln 2 for a normal number x = 2ᵉ m, √½ ≤ m < √2:
// with f = m-1, s = f/(2+f), log m = f - (f²/2 - s (f²/2 + R)), R = Σ 2/(2k+1) s²ᵏ
// (the arrangement is that of fdlibm).
func logNormal[T Float](c *coef.Set[T], x, shift T) T {
	e, f := split(c, x)
	e = e - shift
	s := f / (f + 2)
	z := s * s
	r := c.Log[0]
	for _, k := range c.Log[1:] {
		r = fma(r, z, k)
	}
	r = T(r * z) // the conversions keep compilers from fusing
	h := T((f * 0.5) * f)
	r = fma(s, h+r, e*c.Ln2Lo)
	return fma(e, c.Ln2, f-(h-r))
}

// split returns e and m-1, where x = 2ᵉ m and √½ ≤ m < √2. The bits of x plus those of 1 minus those
// of √½ have e + bias in the place of the exponent.
func split[T Float](c *coef.Set[T], x T) (e, f T) {
	if is32[T]() {
		u := math.Float32bits(float32(x)) + (0x3f800000 - 0x3f3504f3)
		e := math.Float32frombits(u>>23|0x4b000000) - float32(c.IntBias)
		m := math.Float32frombits(u&(1<<23-1) + 0x3f3504f3)
		return T(e), T(m - 1)
	}
	u := math.Float64bits(float64(x)) + (0x3ff0000000000000 - 0x3fe6a09e667f3bcd)
	e64 := math.Float64frombits(u>>52|0x4330000000000000) - float64(c.IntBias)
	m := math.Float64frombits(u&(1<<52-1) + 0x3fe6a09e667f3bcd)
	return T(e64), T(m - 1)
}

// pow2 is 2ⁿ for t = n + c.Round: the last bits of t, moved to the place of the exponent.
func pow2[T Float](t T) T {
	if is32[T]() {
		return T(math.Float32frombits(math.Float32bits(float32(t))<<23 + 127<<23))
	}
	return T(math.Float64frombits(math.Float64bits(float64(t))<<52 + 1023<<52))
}

func copysign[T Float](x, sign T) T { return T(math.Copysign(float64(x), float64(sign))) }

// consts returns the constants of T.
func consts[T Float]() *coef.Set[T] {
	if is32[T]() {
		return (*coef.Set[T])(unsafe.Pointer(&coef.F32))
	}
	return (*coef.Set[T])(unsafe.Pointer(&coef.F64))
}
