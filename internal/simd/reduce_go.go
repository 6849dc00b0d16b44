package simd

import "math"

// lanes32 and lanes64 are the numbers of partial sums of a reduction: 256 bytes, four 512-bit
// registers.
const (
	lanes32 = 64
	lanes64 = 32
)

func lanes[T Float]() int {
	if is32[T]() {
		return lanes32
	}
	return lanes64
}

// tree adds up partial sums: the upper half to the lower half, until one is left.
func tree[T Float](acc []T) T {
	for h := len(acc) / 2; h > 0; h /= 2 {
		for i := range h {
			acc[i] += acc[i+h]
		}
	}
	return acc[0]
}

func sumGo[T Float](a []T) T {
	var buf [lanes32]T
	acc := buf[:lanes[T]()]
	for ; len(a) > len(acc); a = a[len(acc):] {
		for i := range acc {
			acc[i] += a[i]
		}
	}
	for i, x := range a {
		acc[i] += x
	}
	return tree(acc)
}

func sumSquaresGo[T Float](a []T) T { return dotGo(a, a) }

func dotGo[T Float](a, b []T) T {
	var buf [lanes32]T
	acc := buf[:lanes[T]()]
	for ; len(a) > len(acc); a, b = a[len(acc):], b[len(acc):] {
		for i := range acc {
			acc[i] = fma(a[i], b[i], acc[i])
		}
	}
	for i, x := range a {
		acc[i] = fma(x, b[i], acc[i])
	}
	return tree(acc)
}

func maxOfGo[T Float](a []T) T {
	var buf [lanes32]T
	acc := buf[:lanes[T]()]
	for i := range acc {
		acc[i] = T(math.Inf(-1))
	}
	for i, x := range a {
		j := i % len(acc)
		acc[j] = larger(x, acc[j])
	}
	for h := len(acc) / 2; h > 0; h /= 2 {
		for i := range h {
			acc[i] = larger(acc[i+h], acc[i])
		}
	}
	return acc[0]
}

func allFiniteGo[T Float](a []T) bool {
	for _, x := range a {
		if x-x != 0 {
			return false
		}
	}
	return true
}

// expSumGo stores exp(a - shift) in dst, unless that is nil, and returns the sum.
func expSumGo[T Float](dst, a []T, shift T) T {
	var buf [lanes32]T
	acc := buf[:lanes[T]()]
	for i, x := range a {
		e := exp1(x - shift)
		acc[i%len(acc)] += e
		if dst != nil {
			dst[i] = e
		}
	}
	return tree(acc)
}
