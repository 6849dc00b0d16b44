package simd

import "math"

// Sum returns the sum of a, added up in lanes; see the package documentation.
func Sum[T Float](a []T) T { return use[T]().sum(a) }

// SumSquares returns the sum of a², fused multiply-adds in lanes.
func SumSquares[T Float](a []T) T { return use[T]().sumSquares(a) }

// Dot returns the inner product of a and b, fused multiply-adds in lanes.
func Dot[T Float](a, b []T) T {
	same("Dot", len(a), len(b))
	return use[T]().dot(a, b)
}

// MaxOf returns the largest element of a: -Inf if there is none; NaNs are skipped.
func MaxOf[T Float](a []T) T { return use[T]().maxOf(a) }

// AllFinite reports whether a holds neither NaN nor ±Inf.
func AllFinite[T Float](a []T) bool { return use[T]().allFinite(a) }

// LogSumExp returns log Σ exp(a) without overflow: m + log Σ exp(a - m), m the maximum. It is -Inf
// for no elements.
func LogSumExp[T Float](a []T) T {
	k := use[T]()
	m := k.maxOf(a)
	if math.IsInf(float64(m), 0) {
		// exp(a - m) has no meaning; the answer is m unless there is a NaN.
		for _, x := range a {
			if x != x {
				return x
			}
		}
		return m
	}
	return m + log1(k.expSum(nil, a, m))
}

// SoftmaxRow stores exp(a) / Σ exp(a) in dst and returns the maximum m and the sum of exp(a - m),
// from which log Σ exp(a) = m + log(sum). Where the maximum is infinite the result is NaN.
func SoftmaxRow[T Float](dst, a []T) (m, sum T) {
	same("SoftmaxRow", len(dst), len(a))
	k := use[T]()
	m = k.maxOf(a)
	sum = k.expSum(dst, a, m)
	k.scale(dst, dst, 1/sum)
	return m, sum
}
