package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gen writes kernels for one element type and register width. Its methods hide the differences:
// names of instructions, masks in k registers (AVX-512) or vector registers (AVX2).
type gen struct {
	f64  bool
	wide bool // AVX-512
	half bool // AVX-512 instructions on 256-bit registers

	labels int // loops over rows so far
}

func (g gen) typ() string {
	if g.f64 {
		return "float64"
	}
	return "float32"
}

// suffix ends the names of functions.
func (g gen) suffix() string {
	s := "F32"
	if g.f64 {
		s = "F64"
	}
	if g.wide {
		return s + "AVX512"
	}
	return s + "AVX2"
}

// bytes and lanes are the sizes of a register, size that of an element.
func (g gen) bytes() int {
	if g.wide && !g.half {
		return 64
	}
	return 32
}

func (g gen) size() int {
	if g.f64 {
		return 8
	}
	return 4
}

func (g gen) lanes() int { return g.bytes() / g.size() }

// phys returns vector register i.
func (g gen) phys(i int) reg.VecPhysical {
	z := []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}[i]
	if g.bytes() == 64 {
		return z
	}
	return z.AsY().(reg.VecPhysical)
}

// vec returns a fresh virtual register.
func (g gen) vec() reg.VecVirtual {
	if g.bytes() == 64 {
		return ZMM()
	}
	return YMM()
}

// op emits the instruction of the element type.
func (g gen) op(ps, pd func(...Op), ops ...Op) {
	if g.f64 {
		pd(ops...)
	} else {
		ps(ops...)
	}
}

func (g gen) mov(src, dst Op) { VMOVUPS(src, dst) }

// zero clears a register.
func (g gen) zero(r Op) {
	if g.wide {
		VPXORD(r, r, r)
	} else {
		VXORPS(r, r, r)
	}
}

// broadcast fills a register with the element in memory.
func (g gen) broadcast(m, r Op) { g.op(VBROADCASTSS, VBROADCASTSD, m, r) }

// loadMasked loads the lanes of the mask, the others are 0.
func (g gen) loadMasked(m Mem, mask reg.Register, dst Op) {
	switch {
	case mask == nil:
		VMOVUPS(m, dst)
	case g.wide && g.f64:
		VMOVUPD_Z(m, mask, dst)
	case g.wide:
		VMOVUPS_Z(m, mask, dst)
	case g.f64:
		VMASKMOVPD(m, mask, dst)
	default:
		VMASKMOVPS(m, mask, dst)
	}
}

// storeMasked stores the lanes of the mask.
func (g gen) storeMasked(src Op, mask reg.Register, m Mem) {
	switch {
	case mask == nil:
		VMOVUPS(src, m)
	case g.wide && g.f64:
		VMOVUPD(src, mask, m)
	case g.wide:
		VMOVUPS(src, mask, m)
	case g.f64:
		VMASKMOVPD(src, mask, m)
	default:
		VMASKMOVPS(src, mask, m)
	}
}

// tables are the constants written so far, by name.
var tables = map[string]Mem{}

// maskTable is n elements of all ones, then n of zeros.
func (g gen) maskTable(n int) Mem {
	name := fmt.Sprintf("mask%d_%d", 8*g.size(), n)
	if m, ok := tables[name]; ok {
		return m
	}
	m := GLOBL(name, attr.RODATA|attr.NOPTR)
	for i := range 2 * n {
		v := int64(-1)
		if i >= n {
			v = 0
		}
		if g.f64 {
			DATA(8*i, I64(v))
		} else {
			DATA(4*i, I32(int32(v)))
		}
	}
	tables[name] = m
	return m
}

// bitsConst is an element with the given bits in memory.
func (g gen) bitsConst(u uint64) Mem {
	name := fmt.Sprintf("c%d_%x", 8*g.size(), u)
	if m, ok := tables[name]; ok {
		return m
	}
	m := GLOBL(name, attr.RODATA|attr.NOPTR)
	if g.f64 {
		DATA(0, U64(u))
	} else {
		DATA(0, U32(uint32(u)))
	}
	tables[name] = m
	return m
}

// bits is x as an element, as bits.
func (g gen) bits(x float64) uint64 {
	if g.f64 {
		return math.Float64bits(x)
	}
	return uint64(math.Float32bits(float32(x)))
}
