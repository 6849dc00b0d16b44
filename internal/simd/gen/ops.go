package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// One rounded operation each; the result is a fresh register. Instructions name operands from the
// last to the first.

type vec = reg.VecVirtual

func (g gen) do2(ps, pd func(...Op), a, b vec) vec {
	d := g.vec()
	g.op(ps, pd, b, a, d)
	return d
}

func (g gen) add(a, b vec) vec { return g.do2(VADDPS, VADDPD, a, b) }
func (g gen) sub(a, b vec) vec { return g.do2(VSUBPS, VSUBPD, a, b) }
func (g gen) mul(a, b vec) vec { return g.do2(VMULPS, VMULPD, a, b) }
func (g gen) div(a, b vec) vec { return g.do2(VDIVPS, VDIVPD, a, b) }

// larger is a > b ? a : b, smaller a < b ? a : b; b if one is NaN.
func (g gen) larger(a, b vec) vec  { return g.do2(VMAXPS, VMAXPD, a, b) }
func (g gen) smaller(a, b vec) vec { return g.do2(VMINPS, VMINPD, a, b) }

func (g gen) and(a, b vec) vec { return g.do2(VANDPS, VANDPD, a, b) }
func (g gen) or(a, b vec) vec  { return g.do2(VORPS, VORPD, a, b) }

func (g gen) sqrt(a vec) vec {
	d := g.vec()
	g.op(VSQRTPS, VSQRTPD, a, d)
	return d
}

func (g gen) copy(a vec) vec {
	d := g.vec()
	VMOVAPS(a, d)
	return d
}

// fma is a·b + c, fnma -a·b + c; both overwrite c and return it.
func (g gen) fma(a, b, c vec) vec {
	g.op(VFMADD231PS, VFMADD231PD, b, a, c)
	return c
}

func (g gen) fnma(a, b, c vec) vec {
	g.op(VFNMADD231PS, VFNMADD231PD, b, a, c)
	return c
}

// constant returns a register filled with x.
func (g gen) constant(x float64) vec {
	v := g.vec()
	if g.bits(x) == 0 {
		g.zero(v)
		return v
	}
	g.broadcast(g.bitsConst(g.bits(x)), v)
	return v
}

// pattern returns a register whose elements have the given bits.
func (g gen) pattern(u32, u64 uint64) vec {
	v := g.vec()
	if g.f64 {
		g.broadcast(g.bitsConst(u64), v)
	} else {
		g.broadcast(g.bitsConst(u32), v)
	}
	return v
}

func (g gen) signMask() vec { return g.pattern(1<<31, 1<<63) }

func (g gen) abs(a vec) vec { return g.and(a, g.pattern(1<<31-1, 1<<63-1)) }

// neg flips the sign.
func (g gen) neg(a vec) vec { return g.do2(VXORPS, VXORPD, a, g.signMask()) }

// copysign is |a| with the sign of s.
func (g gen) copysign(a, s vec) vec { return g.or(g.abs(a), g.and(s, g.signMask())) }

// shl and shr shift the bits of the elements, logically.
func (g gen) shl(a vec, n int) vec {
	d := g.vec()
	g.op(VPSLLD, VPSLLQ, U8(n), a, d)
	return d
}

func (g gen) shr(a vec, n int) vec {
	d := g.vec()
	g.op(VPSRLD, VPSRLQ, U8(n), a, d)
	return d
}

// addInt adds the bits of elements as integers.
func (g gen) addInt(a, b vec) vec { return g.do2(VPADDD, VPADDQ, a, b) }

// Predicates of VCMPPS.
const (
	equal      = 0  // ordered
	less       = 17 // ordered, quiet
	notGreater = 26 // or unordered, quiet
	greater    = 30 // ordered, quiet
)

// choose is a ⋄ b ? yes : no.
func (g gen) choose(predicate int, a, b, yes, no vec) vec {
	d := g.vec()
	if g.wide {
		k := K()
		g.op(VCMPPS, VCMPPD, U8(predicate), b, a, k)
		g.op(VBLENDMPS, VBLENDMPD, yes, no, k, d)
		return d
	}
	m := g.vec()
	g.op(VCMPPS, VCMPPD, U8(predicate), b, a, m)
	if g.f64 {
		VBLENDVPD(m, yes, no, d)
	} else {
		VBLENDVPS(m, yes, no, d)
	}
	return d
}

// selectGreater is a > b ? v : 0.
func (g gen) selectGreater(a, b, v vec) vec {
	d := g.vec()
	if g.wide {
		k := K()
		g.op(VCMPPS, VCMPPD, U8(greater), b, a, k)
		if g.f64 {
			VMOVAPD_Z(v, k, d)
		} else {
			VMOVAPS_Z(v, k, d)
		}
		return d
	}
	g.op(VCMPPS, VCMPPD, U8(greater), b, a, d)
	return g.and(d, v)
}

// keep returns v in the lanes of the mask and other in the rest.
func (g gen) keepLanes(mask reg.Register, v, other vec) vec {
	if mask == nil {
		return v
	}
	d := g.vec()
	switch {
	case g.wide:
		g.op(VBLENDMPS, VBLENDMPD, v, other, mask, d)
	case g.f64:
		VBLENDVPD(mask, v, other, d)
	default:
		VBLENDVPS(mask, v, other, d)
	}
	return d
}
