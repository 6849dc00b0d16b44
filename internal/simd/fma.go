package simd

import "math"

// fma returns a·b + c, rounded once.
func fma[T Float](a, b, c T) T {
	if is32[T]() {
		return T(fma32(float32(a), float32(b), float32(c)))
	}
	return T(math.FMA(float64(a), float64(b), float64(c)))
}

// fma32 returns a·b + c, rounded once to float32.
//
// The product of two float32 is exact in float64, so s = a·b + c is rounded once to float64, and
// float32(s) is rounded a second time. Two roundings differ from one only if s lies exactly half-way
// between two float32 (or is subnormal there, where the half-way points are elsewhere).
func fma32(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := float64(p) + float64(c)
	if u := math.Float64bits(s); u&(1<<29-1) == 1<<28 || u<<1 < 0x381<<53 {
		return roundOdd(p, float64(c), s)
	}
	return float32(s)
}

// roundOdd returns p + c rounded to float32, where s is the sum rounded to float64. The error of s
// is exact (Knuth's TwoSum). If it is not zero, s is replaced by that neighbour of the exact sum
// whose last bit is odd: it is never a half-way point of float32, and on the same side as the sum
// (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
func roundOdd(p, c, s float64) float32 {
	v := s - p
	if e := (p - (s - v)) + (c - v); e != 0 {
		u := math.Float64bits(s)
		if (e < 0) != (s < 0) {
			u--
		}
		s = math.Float64frombits(u | 1)
	}
	return float32(s)
}
