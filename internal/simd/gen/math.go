package main

import (
	"math"

	"github.com/descent-ml/descent/internal/simd/coef"
	"github.com/mmcloughlin/avo/reg"
)

// constants returns the constants of the elementary functions; those of float32 are exact in float64.
func (g gen) constants() *coef.Set[float64] {
	if g.f64 {
		return &coef.F64
	}
	c := &coef.F32
	wide := func(s []float32) []float64 {
		w := make([]float64, len(s))
		for i, x := range s {
			w[i] = float64(x)
		}
		return w
	}
	return &coef.Set[float64]{
		Round: float64(c.Round), Log2E: float64(c.Log2E), Ln2: float64(c.Ln2), Ln2Lo: float64(c.Ln2Lo),
		ExpLo: float64(c.ExpLo), ExpHi: float64(c.ExpHi), Exp: wide(c.Exp), HalfExp: wide(c.HalfExp),
		Tiny: float64(c.Tiny), Big: float64(c.Big), BigLog2: float64(c.BigLog2), Log: wide(c.Log),
		IntBase: float64(c.IntBase), IntBias: float64(c.IntBias),
		TanhMax: float64(c.TanhMax), ErfMax: float64(c.ErfMax), Erf: wide(c.Erf), HalfSqrt2: float64(c.HalfSqrt2), Lowest: float64(c.Lowest),
	}
}

// math writes the elementary functions. Each follows the plain Go function of the same name line by
// line.
func (g gen) math() {
	c := g.constants()
	fn := func(op string, f func(x vec) vec) {
		g.apply(op, "is "+op+" by the operations of "+op+"Go.", 1, func(x vec, _ reg.Register) vec { return f(x) })
	}
	fn("exp", g.exp)
	fn("log", g.log)
	fn("tanh", func(x vec) vec {
		y := g.smaller(g.constant(c.TanhMax), g.abs(x))
		e := g.expm1(g.add(y, y))
		return g.copysign(g.div(e, g.add(e, g.constant(2))), x)
	})
	fn("sigmoid", g.sigmoid)
	fn("erf", g.erf)
	fn("softplus", func(x vec) vec {
		e := g.exp(g.neg(g.abs(x)))
		u := g.add(g.constant(1), e)
		rest := g.div(g.sub(e, g.sub(u, g.constant(1))), u)
		l := g.add(g.logNormal(u, g.constant(0)), rest)
		return g.add(g.larger(g.constant(0), x), l)
	})
	fn("silu", func(x vec) vec {
		return g.mul(g.larger(g.constant(c.Lowest), x), g.sigmoid(x))
	})
	fn("gelu", func(x vec) vec {
		h := g.mul(g.larger(g.constant(c.Lowest), x), g.constant(0.5))
		return g.fma(h, g.erf(g.mul(x, g.constant(c.HalfSqrt2))), g.copy(h))
	})
}

// horner is the polynomial with the given coefficients, highest first.
func (g gen) horner(x vec, coefs ...float64) vec {
	p := g.constant(coefs[0])
	for _, k := range coefs[1:] {
		p = g.fma(p, x, g.constant(k))
	}
	return p
}

// reduce returns t = x·log₂e + round, n = t - round and r = x - n ln 2.
func (g gen) reduce(x vec) (t, n, r vec) {
	c := g.constants()
	t = g.fma(x, g.constant(c.Log2E), g.constant(c.Round))
	n = g.sub(t, g.constant(c.Round))
	r = g.fnma(n, g.constant(c.Ln2), g.copy(x))
	r = g.fnma(n, g.constant(c.Ln2Lo), r)
	return t, n, r
}

// pow2 is 2ⁿ for t = n + round.
func (g gen) pow2(t vec) vec {
	bits := 23
	if g.f64 {
		bits = 52
	}
	return g.addInt(g.shl(t, bits), g.pattern(127<<23, 1023<<52))
}

func (g gen) exp(x vec) vec {
	c := g.constants()
	x = g.smaller(g.constant(c.ExpHi), x)
	x = g.larger(g.constant(c.ExpLo), x)
	_, n, r := g.reduce(x)
	p := g.horner(r, append(append([]float64(nil), c.Exp...), 1, 1)...)
	t := g.fma(n, g.constant(0.5), g.constant(c.Round))
	n2 := g.sub(n, g.sub(t, g.constant(c.Round)))
	p = g.mul(p, g.pow2(t))
	return g.mul(p, g.pow2(g.add(n2, g.constant(c.Round))))
}

func (g gen) expm1(x vec) vec {
	c := g.constants()
	t, _, r := g.reduce(x)
	p := g.horner(r, c.Exp...)
	p = g.fma(g.mul(p, r), r, r)
	s := g.pow2(t)
	return g.fma(s, p, g.sub(s, g.constant(1)))
}

func (g gen) sigmoid(x vec) vec {
	e := g.exp(g.neg(g.abs(x)))
	num := g.choose(less, x, g.constant(0), e, g.constant(1))
	return g.div(num, g.add(g.constant(1), e))
}

func (g gen) erf(x vec) vec {
	c := g.constants()
	y := g.smaller(g.constant(c.ErfMax), g.abs(x))
	q := g.horner(y, c.Erf...)
	return g.copysign(g.expm1(g.mul(g.neg(y), q)), x)
}

func (g gen) log(x vec) vec {
	c := g.constants()
	tiny := g.constant(c.Tiny)
	y := g.choose(less, x, tiny, g.mul(x, g.constant(c.Big)), x)
	e := g.choose(less, x, tiny, g.constant(c.BigLog2), g.constant(0))
	l := g.logNormal(y, e)
	zero := g.constant(0)
	inf := g.constant(math.Inf(1))
	l = g.choose(notGreater, x, zero, g.pattern(0x7fc00000, 0x7ff8000000000001), l)
	l = g.choose(equal, x, zero, g.constant(math.Inf(-1)), l)
	return g.choose(equal, x, inf, x, l)
}

func (g gen) logNormal(x, shift vec) vec {
	c := g.constants()
	bits, one, root := 23, uint64(0x3f800000), uint64(0x3f3504f3)
	mantissa := uint64(1<<23 - 1)
	if g.f64 {
		bits, one, root, mantissa = 52, 0x3ff0000000000000, 0x3fe6a09e667f3bcd, 1<<52-1
	}
	u := g.addInt(x, g.pattern(one-root, one-root))
	e := g.sub(g.or(g.shr(u, bits), g.constant(c.IntBase)), g.constant(c.IntBias))
	m := g.addInt(g.and(u, g.pattern(mantissa, mantissa)), g.pattern(root, root))
	f := g.sub(m, g.constant(1))
	e = g.sub(e, shift)
	s := g.div(f, g.add(f, g.constant(2)))
	z := g.mul(s, s)
	r := g.mul(g.horner(z, c.Log...), z)
	h := g.mul(g.mul(f, g.constant(0.5)), f)
	r = g.fma(s, g.add(h, r), g.mul(e, g.constant(c.Ln2Lo)))
	return g.fma(e, g.constant(c.Ln2), g.sub(f, g.sub(h, r)))
}
