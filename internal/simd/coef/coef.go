// Package coef holds the numbers of the elementary functions, for the plain Go kernels and for the
// generator of the assembly kernels.
package coef

import "math"

// Set holds the constants for an element type with p bits of mantissa.
type Set[T float32 | float64] struct {
	Round     T   // 1.5·2ᵖ⁻¹: x + Round has the nearest integer to x in its last bits
	Log2E     T   // 1/ln 2
	Ln2       T   // ln 2, rounded
	Ln2Lo     T   // ln 2 - Ln2
	ExpLo     T   // exp is 0 below
	ExpHi     T   // exp is ∞ above
	Exp       []T // 1/k!, k from the highest down to 2
	HalfExp   []T // 2ᵏ⁻¹/k!, k from the highest down to 2
	Tiny      T   // smallest normal number
	Big       T   // a power of two that makes a subnormal number normal
	BigLog2   T   // its logarithm
	Log       []T // 2/(2k+1), k from the highest down to 1
	IntBase   T   // 2ᵖ⁻¹: its last bits are those of an integer added to it
	IntBias   T   // IntBase + bias of the exponent
	TanhMax   T   // tanh is 1 above
	ErfMax    T   // erf is 1 above
	Erf       []T // coefficients of Q, erf x = 1 - exp(-x Q(x)), highest power first
	HalfSqrt2 T   // √½
	Lowest    T   // -(largest finite number)
}

// F32 and F64 are the constants of the two element types.
var (
	F32 = Set[float32]{
		Round: 0x1.8p23, Log2E: 1 / math.Ln2, Ln2: 0x1.62e43p-1, Ln2Lo: math.Ln2 - 0x1.62e43p-1,
		ExpLo: -104, ExpHi: 89, Exp: expSeries[float32](7), HalfExp: halfExp[float32](7),
		Tiny: 0x1p-126, Big: 0x1p24, BigLog2: 24, Log: logSeries[float32](4),
		IntBase: 0x1p23, IntBias: 0x1p23 + 127,
		TanhMax: 10, ErfMax: 4, Erf: erf32, HalfSqrt2: math.Sqrt2 / 2, Lowest: -math.MaxFloat32,
	}
	F64 = Set[float64]{
		Round: 0x1.8p52, Log2E: 1 / math.Ln2, Ln2: 0x1.62e42fefa39efp-1, Ln2Lo: math.Ln2 - 0x1.62e42fefa39efp-1,
		ExpLo: -746, ExpHi: 710, Exp: expSeries[float64](13), HalfExp: halfExp[float64](11),
		Tiny: 0x1p-1022, Big: 0x1p54, BigLog2: 54, Log: logSeries[float64](10),
		IntBase: 0x1p52, IntBias: 0x1p52 + 1023,
		TanhMax: 20, ErfMax: 6, Erf: erf64, HalfSqrt2: math.Sqrt2 / 2, Lowest: -math.MaxFloat64,
	}
)

// halfExp returns 2ᵏ⁻¹/k!, k = n … 2: the series of (exp(2r) - 1)/2.
func halfExp[T float32 | float64](n int) []T {
	c := expSeries[T](n)
	for i := range c {
		c[i] *= T(math.Ldexp(1, n-i-1))
	}
	return c
}

// expSeries returns 1/k!, k = n … 2.
func expSeries[T float32 | float64](n int) []T {
	c := make([]T, 0, n-1)
	f := 1.0
	for k := 2; k <= n; k++ {
		f *= float64(k)
		c = append(c, T(1/f))
	}
	for i, j := 0, len(c)-1; i < j; i, j = i+1, j-1 {
		c[i], c[j] = c[j], c[i]
	}
	return c
}

// logSeries returns 2/(2k+1), k = n … 1.
func logSeries[T float32 | float64](n int) []T {
	c := make([]T, 0, n)
	for k := n; k >= 1; k-- {
		c = append(c, T(2/float64(2*k+1)))
	}
	return c
}
