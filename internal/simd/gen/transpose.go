package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transpose writes the transposition of a matrix in blocks of 8×8 float32 or 4×4 float64, with
// AVX2 instructions, which AVX-512 uses too.
func (g gen) transpose() {
	b := 32 / g.size()
	name := "transpose" + g.suffix()
	TEXT(name, attr.NOSPLIT, "func(dst *"+g.typ()+", ldd int, src *"+g.typ()+", lds, rows, cols int)")
	Pragma("noescape")
	Doc(name + " stores the transpose of src in dst; rows and cols are multiples of the block. Distances are in bytes.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	ldd, lds := Load(Param("ldd"), GP64()), Load(Param("lds"), GP64())
	rows, cols := Load(Param("rows"), GP64()), Load(Param("cols"), GP64())
	ldd3, lds3 := GP64(), GP64()
	LEAQ(Mem{Base: ldd, Index: ldd, Scale: 2}, ldd3)
	LEAQ(Mem{Base: lds, Index: lds, Scale: 2}, lds3)
	s, d, n := GP64(), GP64(), GP64()
	row := func(p, ld, ld3 reg.Register, i int) Mem {
		switch i {
		case 0:
			return Mem{Base: p}
		case 3:
			return Mem{Base: p, Index: ld3, Scale: 1}
		}
		return Mem{Base: p, Index: ld, Scale: uint8(i)}
	}

	Label("rows")
	MOVQ(src, s)
	MOVQ(dst, d)
	MOVQ(cols, n)
	Label("cols")
	// Register k of half h: rows k and k + b/2, columns of half h.
	lower := GP64()
	LEAQ(Mem{Base: s, Index: lds, Scale: uint8(b / 2)}, lower)
	t := [2][]reg.VecVirtual{}
	for h := range 2 {
		for k := range b / 2 {
			y := YMM()
			VMOVUPS(row(s, lds, lds3, k).Offset(16*h), y.AsX())
			VINSERTF128(U8(1), row(lower, lds, lds3, k).Offset(16*h), y, y)
			t[h] = append(t[h], y)
		}
	}
	for h := range 2 {
		x := t[h]
		if !g.f64 {
			// Pairs of rows interleaved: columns 0, 1 and columns 2, 3.
			y := []reg.VecVirtual{YMM(), YMM(), YMM(), YMM()}
			VUNPCKLPS(x[1], x[0], y[0])
			VUNPCKLPS(x[3], x[2], y[1])
			VUNPCKHPS(x[1], x[0], y[2])
			VUNPCKHPS(x[3], x[2], y[3])
			x = y
		}
		for k := 0; k < b/2; k += 2 {
			lo, hi := YMM(), YMM()
			VUNPCKLPD(x[k+1], x[k], lo)
			VUNPCKHPD(x[k+1], x[k], hi)
			VMOVUPS(lo, row(d, ldd, ldd3, k))
			VMOVUPS(hi, row(d, ldd, ldd3, k+1))
		}
		LEAQ(Mem{Base: d, Index: ldd, Scale: uint8(b / 2)}, d)
	}
	ADDQ(I8(32), s)
	SUBQ(I8(b), n)
	JNZ(LabelRef("cols"))
	ADDQ(I8(32), dst)
	LEAQ(Mem{Base: src, Index: lds, Scale: uint8(b)}, src)
	SUBQ(I8(b), rows)
	JNZ(LabelRef("rows"))
	VZEROUPPER()
	RET()
}
