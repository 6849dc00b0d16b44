package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// ahead is how many rows pack prefetches in advance.
const ahead = 12

// pack writes the copy of a panel of B: two registers of every row, which are far apart in src. The
// rows to come are prefetched, as no hardware does over such distances.
func (g gen) pack() {
	name := "pack" + g.suffix()
	TEXT(name, attr.NOSPLIT, "func(dst, src *"+g.typ()+", ld, rows int)")
	Pragma("noescape")
	Doc(name + " copies two registers from each of the rows of src, ld bytes apart, to dst.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	ld, rows := Load(Param("ld"), GP64()), Load(Param("rows"), GP64())
	next := GP64()
	IMUL3Q(I8(ahead), ld, next)
	ADDQ(src, next)
	Label("loop")
	for off := 0; off < 2*g.bytes(); off += 64 {
		PREFETCHT0(Mem{Base: next, Disp: off})
	}
	for j := range 2 {
		x := g.vec()
		g.mov(g.at(src, j), x)
		g.mov(x, g.at(dst, j))
	}
	ADDQ(ld, src)
	ADDQ(ld, next)
	ADDQ(I32(2*g.bytes()), dst)
	DECQ(rows)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
