package simd

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// levels returns the levels that this processor has.
func levels() []Level {
	var ls []Level
	for l := Go; l <= supported(); l++ {
		ls = append(ls, l)
	}
	return ls
}

// setLevel makes l the active level.
func setLevel(l Level) {
	active, kernel32, kernel64 = l, kernelsOf[float32](l), kernelsOf[float64](l)
}

// sameBits reports whether a and b are equal bit by bit, all NaNs being equal.
func sameBits[T Float](a, b T) bool {
	if a != a || b != b {
		return a != a && b != b
	}
	return math.Float64bits(float64(a)) == math.Float64bits(float64(b))
}

func diff[T Float](got, want []T) error {
	if len(got) != len(want) {
		return fmt.Errorf("length %d, want %d", len(got), len(want))
	}
	for i := range got {
		if !sameBits(got[i], want[i]) {
			return fmt.Errorf("element %d of %d is %v, want %v", i, len(got), got[i], want[i])
		}
	}
	return nil
}

// gemmSpec is the order of operations that Gemm promises, one element at a time.
func gemmSpec[T Float](transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	for i := range m {
		for j := range n {
			x := c[i*ldc+j]
			if beta != 1 {
				x *= beta
			}
			if beta == 0 {
				x = 0
			}
			for p0 := 0; p0 < k; p0 += 512 {
				var s T
				for p := p0; p < min(k, p0+512); p++ {
					u, v := i*lda+p, p*ldb+j
					if transA {
						u = p*lda + i
					}
					if transB {
						v = j*ldb + p
					}
					s = fma(a[u], b[v], s)
				}
				if p0 == 0 && beta == 0 {
					x = alpha * s
				} else {
					x = fma(alpha, s, x)
				}
			}
			c[i*ldc+j] = x
		}
	}
}

func TestGemm(t *testing.T) {
	t.Run("float32", testGemm[float32])
	t.Run("float64", testGemm[float64])
}

func testGemm[T Float](t *testing.T) {
	defer setLevel(active)
	dim := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 80), rapid.SampledFrom([]int{1, 28, 32, 33, 64, 97}))
	rapid.Check(t, func(t *rapid.T) {
		m, n := dim.Draw(t, "m"), dim.Draw(t, "n")
		k := rapid.OneOf(dim, rapid.SampledFrom([]int{511, 512, 513, 600})).Draw(t, "k")
		if rapid.IntRange(0, 30).Draw(t, "large") == 0 {
			m += 160
		}
		ta, tb := rapid.Bool().Draw(t, "transA"), rapid.Bool().Draw(t, "transB")
		alpha := rapid.SampledFrom([]T{1, 1, -1, 0.3, 0}).Draw(t, "alpha")
		beta := rapid.SampledFrom([]T{0, 0, 1, -0.7}).Draw(t, "beta")
		extra := rapid.SampledFrom([]int{0, 0, 1, 50}).Draw(t, "ld")
		off := rapid.IntRange(0, 3).Draw(t, "offset")
		lda, ldb, ldc := k+extra, n+extra, n+extra
		if ta {
			lda = m + extra
		}
		if tb {
			ldb = k + extra
		}
		lda, ldb, ldc = max(lda, 1), max(ldb, 1), max(ldc, 1)
		ra, rb := m, k
		if ta {
			ra = k
		}
		if tb {
			rb = n
		}
		a, b, c := special[T](t, off+ra*lda)[off:], special[T](t, off+rb*ldb)[off:], special[T](t, off+m*ldc)[off:]
		var bias []T
		if rapid.Bool().Draw(t, "bias") {
			bias = special[T](t, n)
		}
		relu := rapid.Bool().Draw(t, "relu")
		want := append([]T(nil), c...)
		gemmSpec(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc)
		for i := range m {
			for j := range n {
				x := &want[i*ldc+j]
				if bias != nil {
					*x += bias[j]
				}
				if relu {
					*x = larger(0, *x)
				}
			}
		}
		for _, l := range levels() {
			setLevel(l)
			got := append([]T(nil), c...)
			GemmAffine(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, got, ldc, bias, relu)
			if err := diff(got, want); err != nil {
				t.Fatalf("%v: %v", l, err)
			}
			got = append([]T(nil), c...)
			GemmBlocks(ta, tb, m, n, k, alpha, func(dst []T, ld, row, rows, col, cols int) {
				for i := range rows {
					copy(dst[i*ld:i*ld+cols], a[(row+i)*lda+col:])
				}
			}, b, ldb, beta, got, ldc, bias, relu)
			if err := diff(got, want); err != nil {
				t.Fatalf("%v, blocks: %v", l, err)
			}
		}
	})
}

// special returns n numbers, some of them zeros of either sign, infinities, NaNs or subnormal.
func special[T Float](t *rapid.T, n int) []T {
	s := filled[T](n)
	x := rapid.Uint32().Draw(t, "seed")
	odd := rapid.SampledFrom([]uint32{0, 0, 5, 100}).Draw(t, "special per mille")
	for i := range s {
		x = x*1664525 + 1013904223
		s[i] = T(int32(x)>>4) / (1 << 27) * T(int32(1)<<(x>>8%11))
		x = x*1664525 + 1013904223
		if (x>>10)%1000 < odd {
			v := []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), 0x1p-149, -0x1p-140, 0x1p-1074, 0x1p-1030, math.MaxFloat32, -math.MaxFloat64, 1e30, -1e-30}
			s[i] = T(v[(x>>20)%uint32(len(v))])
		}
	}
	return s
}
