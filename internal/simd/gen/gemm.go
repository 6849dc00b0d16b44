package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gemm writes the tile kernels: every number of rows up to the largest that fits in the registers,
// and two, one or (AVX-512) half a register of columns.
//
// The kernels read op(A) one element of each row at a time, at a distance rs between rows and cs
// between columns, both in bytes. For every p, one or two vectors of B are loaded and each element
// of A is broadcast and multiplied with them: rows × vectors independent chains of fused
// multiply-adds. The last vector of B is loaded with a mask, so B need not be padded.
func (g gen) gemm() {
	if g.wide {
		for m := 1; m <= 14; m++ {
			g.tile(m, 2, g)
			g.tile(m, 1, g)
			half := g
			half.half = true
			g.tile(m, 1, half)
		}
	} else {
		for m := 1; m <= 6; m++ {
			g.tile(m, 2, g)
			g.tile(m, 1, g)
		}
	}
	g.peak()
}

// tile writes the kernel for m rows and nv vectors of columns. v is the kind of vector.
func (g gen) tile(m, nv int, v gen) {
	name := fmt.Sprintf("tile%dx%d%s", m, nv*v.lanes(), g.suffix())
	t := g.typ()
	TEXT(name, attr.NOSPLIT, fmt.Sprintf("func(k int, a *%s, rs, cs int, b *%s, bs int, c *%s, ldc int, alpha %s, cols int, overwrite bool)", t, t, t, t))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s multiplies a tile of %d rows and up to %d columns; see tileKernel. Distances are in bytes.", name, m, nv*v.lanes()))

	k := Load(Param("k"), reg.RCX).(reg.GPPhysical)
	rs := Load(Param("rs"), reg.RAX).(reg.GPPhysical)
	cs := Load(Param("cs"), reg.RBX).(reg.GPPhysical)
	b := Load(Param("b"), reg.RDX).(reg.GPPhysical)
	bs := Load(Param("bs"), reg.RSI).(reg.GPPhysical)
	base := []reg.GPPhysical{reg.RDI, reg.R8, reg.R9, reg.R10, reg.R11}[:(m+2)/3]
	Load(Param("a"), base[0])
	for i := 1; i < len(base); i++ {
		LEAQ(Mem{Base: base[i-1], Index: rs, Scale: 2}, base[i])
		ADDQ(rs, base[i])
	}
	at := func(i int) Mem {
		x := Mem{Base: base[i/3]}
		if i%3 > 0 {
			x.Index, x.Scale = rs, uint8(i%3)
		}
		return x
	}
	acc := func(i, j int) reg.VecPhysical { return v.phys(i*nv + j) }
	n := m * nv
	bv := []reg.VecPhysical{v.phys(n), v.phys(n + 1)}[:nv]
	av := v.phys(n + nv)
	masks := make([]reg.Register, nv)
	masks[nv-1] = v.columnMask(nv, n+nv+1)
	for i := range n {
		v.zero(v.phys(i))
	}
	if nv == 2 {
		// C will be needed at the end; it may be far away.
		c := Load(Param("c"), reg.R12).(reg.GPPhysical)
		ldc := Load(Param("ldc"), reg.R13).(reg.GPPhysical)
		for i := range m {
			for off := 0; off < nv*v.bytes(); off += 64 {
				PREFETCHT0(Mem{Base: c, Disp: off})
			}
			if i+1 < m {
				ADDQ(ldc, c)
			}
		}
	}
	Label("loop")
	for j := range nv {
		v.loadMasked(Mem{Base: b, Disp: j * v.bytes()}, masks[j], bv[j])
	}
	if nv == 2 {
		for off := 0; off < nv*v.bytes(); off += 64 {
			PREFETCHT0(Mem{Base: b, Index: bs, Scale: 8, Disp: off})
		}
	}
	ADDQ(bs, b)
	for i := range m {
		v.broadcast(at(i), av)
		for j := range nv {
			v.op(VFMADD231PS, VFMADD231PD, bv[j], av, acc(i, j))
		}
	}
	for _, p := range base {
		ADDQ(cs, p)
	}
	DECQ(k)
	JNZ(LabelRef("loop"))

	// C ← α·acc, or α·acc + C, in the columns of the mask.
	alpha := bv[0]
	addr, _ := Param("alpha").Resolve()
	v.broadcast(addr.Addr, alpha)
	c := Load(Param("c"), reg.RDI).(reg.GPPhysical)
	ldc := Load(Param("ldc"), reg.RSI).(reg.GPPhysical)
	old := av
	ov := Load(Param("overwrite"), reg.BL)
	TESTB(ov, ov)
	JNZ(LabelRef("store"))
	for i := range m {
		for j := range nv {
			p := Mem{Base: c, Disp: j * v.bytes()}
			v.loadMasked(p, masks[j], old)
			v.op(VFMADD231PS, VFMADD231PD, acc(i, j), alpha, old)
			v.storeMasked(old, masks[j], p)
		}
		if i+1 < m {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
	Label("store")
	for i := range m {
		for j := range nv {
			v.op(VMULPS, VMULPD, acc(i, j), alpha, acc(i, j))
			v.storeMasked(acc(i, j), masks[j], Mem{Base: c, Disp: j * v.bytes()})
		}
		if i+1 < m {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}

// columnMask makes the mask of the columns in the last of nv vectors, with AVX2 in register r.
func (g gen) columnMask(nv, r int) reg.Register {
	cols := Load(Param("cols"), reg.R12).(reg.GPPhysical)
	if nv > 1 {
		SUBQ(I8((nv-1)*g.lanes()), cols)
	}
	if g.wide {
		MOVQ(I64(-1), reg.R13)
		BZHIQ(cols, reg.R13, reg.R13)
		KMOVW(reg.R13L, reg.K1)
		return reg.K1
	}
	LEAQ(g.maskTable(g.lanes()).Offset(g.bytes()), reg.R13)
	NEGQ(cols)
	m := g.phys(r)
	VMOVUPS(Mem{Base: reg.R13, Index: cols, Scale: uint8(g.size())}, m)
	return m
}

// peak writes a loop of independent fused multiply-adds in registers: the most that the processor
// can do.
func (g gen) peak() {
	TEXT("fmaPeak"+g.suffix(), attr.NOSPLIT, "func(n int)")
	Doc("fmaPeak" + g.suffix() + " does 12n fused multiply-adds of whole registers.")
	n := Load(Param("n"), reg.RCX)
	for i := range 14 {
		g.zero(g.phys(i))
	}
	Label("loop")
	for i := range 12 {
		g.op(VFMADD231PS, VFMADD231PD, g.phys(12), g.phys(13), g.phys(i))
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
