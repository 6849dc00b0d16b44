package simd

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// functions are the elementary functions with the largest error, in units of the last place, that
// the package documentation states, and an interval to look at.
var functions = []struct {
	name      string
	f32       func(dst, a []float32)
	f64       func(dst, a []float64)
	exact     func(x *big.Float) *big.Float
	near      func(x float64) float64 // good enough for float32
	lo, hi    float64
	max       float64
	inf, ninf float64 // results for ∞, -∞
}{
	{name: "exp", f32: expGo[float32], f64: expGo[float64], exact: bigExp, near: math.Exp, lo: -87, hi: 88, max: 1, inf: math.Inf(1), ninf: 0},
	{name: "log", f32: logGo[float32], f64: logGo[float64], exact: bigLog, near: math.Log, lo: 1e-30, hi: 4, max: 1, inf: math.Inf(1), ninf: math.NaN()},
	{name: "tanh", f32: tanhGo[float32], f64: tanhGo[float64], exact: bigTanh, near: math.Tanh, lo: -11, hi: 11, max: 2.5, inf: 1, ninf: -1},
	{name: "sigmoid", f32: sigmoidGo[float32], f64: sigmoidGo[float64], exact: bigSigmoid, near: func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, lo: -87, hi: 40, max: 2.5, inf: 1, ninf: 0},
	{name: "erf", f32: erfGo[float32], f64: erfGo[float64], exact: bigErf, near: math.Erf, lo: -6.5, hi: 6.5, max: 3, inf: 1, ninf: -1},
	{name: "softplus", f32: softplusGo[float32], f64: softplusGo[float64], exact: bigSoftplus, near: func(x float64) float64 { return math.Log1p(math.Exp(x)) }, lo: -80, hi: 40, max: 2, inf: math.Inf(1), ninf: 0},
}

func TestAccuracy(t *testing.T) {
	for _, f := range functions {
		var worst32, worst64, at32, at64 float64
		key := uint64(1)
		const n32, n64 = 100000, 500
		for i := range n32 {
			key = key*6364136223846793005 + 1442695040888963407
			x := float64(float32(argument(f.lo, f.hi, i, key)))
			d := [1]float32{}
			f.f32(d[:], []float32{float32(x)})
			if want := f.near(x); math.Abs(want) >= 0x1p-126 {
				_, e := math.Frexp(want)
				if u := math.Abs(float64(d[0])-want) / math.Ldexp(1, e-24); u > worst32 {
					worst32, at32 = u, x
				}
			}
		}
		for i := range n64 {
			key = key*6364136223846793005 + 1442695040888963407
			x := argument(f.lo, f.hi, i, key)
			d := [1]float64{}
			f.f64(d[:], []float64{x})
			want := f.exact(new(big.Float).SetPrec(precision).SetFloat64(x))
			w, _ := want.Float64()
			_, e := math.Frexp(w)
			diff, _ := new(big.Float).Sub(want, new(big.Float).SetFloat64(d[0])).Float64()
			if u := math.Abs(diff) / math.Ldexp(1, e-53); u > worst64 {
				worst64, at64 = u, x
			}
		}
		t.Logf("%-8s float32 %.3f at %.9g, float64 %.3f at %.17g", f.name, worst32, at32, worst64, at64)
		if !(worst32 <= f.max) || !(worst64 <= f.max) {
			t.Errorf("%s: error %.3f (float32, at %v), %.3f (float64, at %v) units in the last place, stated %v", f.name, worst32, at32, worst64, at64, f.max)
		}
	}
}

// argument returns the i-th argument in [lo, hi], every second one of a random order of magnitude.
func argument(lo, hi float64, i int, key uint64) float64 {
	u := float64(key>>11) * 0x1p-53
	if i%2 == 0 {
		return lo + (hi-lo)*u
	}
	x := hi * math.Exp2(-24*u)
	if lo < 0 && key&1024 != 0 {
		x = lo * math.Exp2(-24*u)
	}
	return x
}

func TestLimits(t *testing.T) {
	for _, f := range functions {
		for _, l := range levels() {
			k32, k64 := kernelsOf[float32](l), kernelsOf[float64](l)
			g32 := map[string]func(dst, a []float32){"exp": k32.exp, "log": k32.log, "tanh": k32.tanh, "sigmoid": k32.sigmoid, "erf": k32.erf, "softplus": k32.softplus}[f.name]
			g64 := map[string]func(dst, a []float64){"exp": k64.exp, "log": k64.log, "tanh": k64.tanh, "sigmoid": k64.sigmoid, "erf": k64.erf, "softplus": k64.softplus}[f.name]
			d64, d32 := make([]float64, 3), make([]float32, 3)
			g64(d64, []float64{math.Inf(1), math.Inf(-1), math.NaN()})
			g32(d32, []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())})
			if err := diff(d64, []float64{f.inf, f.ninf, math.NaN()}); err != nil {
				t.Errorf("%v %s: %v", l, f.name, err)
			}
			if err := diff(d32, []float32{float32(f.inf), float32(f.ninf), float32(math.NaN())}); err != nil {
				t.Errorf("%v %s float32: %v", l, f.name, err)
			}
		}
	}
	// Overflow, underflow, subnormal results and arguments, zeros.
	for _, c := range []struct {
		f       func(dst, a []float32)
		x, want float64
	}{
		{expGo[float32], 89, math.Inf(1)}, {expGo[float32], 1e30, math.Inf(1)}, {expGo[float32], -110, 0}, {expGo[float32], -100, math.Exp(-100)}, {expGo[float32], 0, 1},
		{logGo[float32], 0, math.Inf(-1)}, {logGo[float32], math.Copysign(0, -1), math.Inf(-1)}, {logGo[float32], -1, math.NaN()}, {logGo[float32], 0x1p-149, math.Log(0x1p-149)}, {logGo[float32], 1, 0},
		{tanhGo[float32], 0x1p-140, 0x1p-140}, {tanhGo[float32], math.Copysign(0, -1), math.Copysign(0, -1)}, {erfGo[float32], math.Copysign(0, -1), math.Copysign(0, -1)},
		{sigmoidGo[float32], -100, math.Exp(-100)}, {softplusGo[float32], -100, math.Exp(-100)}, {softplusGo[float32], 1e30, 1e30},
		{siluGo[float32], math.Inf(-1), math.Copysign(0, -1)}, {geluGo[float32], math.Inf(-1), math.Copysign(0, -1)}, {geluGo[float32], 3, 3 * 0.9986501019683699},
	} {
		d := [1]float32{}
		c.f(d[:], []float32{float32(c.x)})
		if !sameBits(d[0], float32(c.want)) && !(math.Abs(float64(d[0])-c.want) <= math.Abs(c.want)*0x1p-22) && !(math.Abs(float64(d[0])-c.want) <= 0x1p-149 && c.want != 0) {
			t.Errorf("f(%v) = %v, want %v", c.x, d[0], float32(c.want))
		}
	}
}

// TestFMA checks the emulation of a float32 fused multiply-add against exact arithmetic.
func TestFMA(t *testing.T) {
	number := rapid.Custom(func(t *rapid.T) float32 {
		if rapid.Bool().Draw(t, "any") {
			return math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		}
		// Few bits of mantissa and close exponents: half-way cases.
		return float32(math.Ldexp(float64(rapid.IntRange(-1<<12, 1<<12).Draw(t, "mantissa")), rapid.SampledFrom([]int{0, 1, 12, 24, -12, -24, -75, -76, -140}).Draw(t, "exponent")))
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := number.Draw(t, "a"), number.Draw(t, "b"), number.Draw(t, "c")
		got := fma32(a, b, c)
		var want float32
		if s := float64(a)*float64(b) + float64(c); math.IsNaN(s) || math.IsInf(s, 0) {
			want = float32(s)
		} else if exact := new(big.Float).SetPrec(600).Mul(big.NewFloat(float64(a)), big.NewFloat(float64(b))); true {
			exact.SetPrec(600).Add(exact, big.NewFloat(float64(c)))
			want, _ = exact.Float32()
			if exact.Sign() == 0 {
				want = float32(s) // big has other rules for the sign of zero
			}
		}
		if !sameBits(got, want) {
			t.Fatalf("fma(%v, %v, %v) = %v, want %v", a, b, c, got, want)
		}
	})
}

const precision = 300

func num(x float64) *big.Float       { return new(big.Float).SetPrec(precision).SetFloat64(x) }
func fresh() *big.Float              { return new(big.Float).SetPrec(precision) }
func quo(a, b *big.Float) *big.Float { return fresh().Quo(a, b) }
func sum(a, b *big.Float) *big.Float { return fresh().Add(a, b) }
func dif(a, b *big.Float) *big.Float { return fresh().Sub(a, b) }

// bigExp is the Taylor series at x/2²⁰, squared 20 times.
func bigExp(x *big.Float) *big.Float {
	r := fresh().SetMantExp(x, -20)
	s, term := num(1), num(1)
	for k := 1; k < 40; k++ {
		term.Mul(term, r).Quo(term, num(float64(k)))
		s.Add(s, term)
	}
	for range 20 {
		s.Mul(s, s)
	}
	return s
}

// bigLog is Newton's method for exp(y) = x.
func bigLog(x *big.Float) *big.Float {
	f, _ := x.Float64()
	y := num(math.Log(f))
	for range 5 {
		e := bigExp(y)
		y.Add(y, quo(dif(x, e), e))
	}
	return y
}

func bigTanh(x *big.Float) *big.Float {
	e := bigExp(sum(x, x))
	return quo(dif(e, num(1)), sum(e, num(1)))
}

func bigSigmoid(x *big.Float) *big.Float { return quo(num(1), sum(num(1), bigExp(fresh().Neg(x)))) }

func bigSoftplus(x *big.Float) *big.Float { return bigLog(sum(num(1), bigExp(x))) }

// bigErf is 2/√π Σ (-1)ⁿ x²ⁿ⁺¹ / (n! (2n+1)).
func bigErf(x *big.Float) *big.Float {
	s, p := fresh(), fresh().Set(x)
	x2 := fresh().Mul(x, x)
	for n := range 250 {
		s.Add(s, quo(p, num(float64(2*n+1))))
		p.Mul(p, x2).Quo(p, num(float64(-(n + 1))))
	}
	pi, _, _ := big.ParseFloat("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651", 10, precision, big.ToNearestEven)
	return quo(s.Mul(s, num(2)), fresh().Sqrt(pi))
}
