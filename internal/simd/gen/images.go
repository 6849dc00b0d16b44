package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// notANumber is the predicate of VCMPPS that is true if an operand is NaN.
const notANumber = 3

// images writes the kernels that run over windows of images.
func (g gen) images() {
	g.runs("addRuns", "adds runs of src to runs of dst.", func(dst, src reg.Register, mask reg.Register) {
		g.store(g.add(g.load(dst, 0, mask), g.load(src, 0, mask)), dst, 0, mask)
	})
	g.runs("copyRuns", "copies runs of src to runs of dst.", func(dst, src reg.Register, mask reg.Register) {
		g.store(g.load(src, 0, mask), dst, 0, mask)
	})
	if !g.f64 {
		g.maxWindows()
	}
}

// runs writes a function that calls body on count runs of n elements, one register at a time.
func (g gen) runs(op, doc string, body func(dst, src, mask reg.Register)) {
	g.fn(op, "(dst, src *T, n, count, dstStep, srcStep int)", doc)
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	n, count := Load(Param("n"), GP64()), Load(Param("count"), GP64())
	dstStep, srcStep := Load(Param("dstStep"), GP64()), Load(Param("srcStep"), GP64())
	shift := uint64(2)
	if g.f64 {
		shift = 3
	}
	SHLQ(U8(shift), dstStep)
	SHLQ(U8(shift), srcStep)
	last := GP64() // elements in the last, partial register
	MOVQ(n, last)
	ANDQ(I32(int32(g.lanes()-1)), last)
	mask := g.tailMask(last)
	SUBQ(last, n)
	d, s, left := GP64(), GP64(), GP64()
	Label("run")
	MOVQ(dst, d)
	MOVQ(src, s)
	MOVQ(n, left)
	Label("full")
	TESTQ(left, left)
	JZ(LabelRef("tail"))
	body(d, s, nil)
	ADDQ(I32(g.bytes()), d)
	ADDQ(I32(g.bytes()), s)
	SUBQ(I32(g.lanes()), left)
	JMP(LabelRef("full"))
	Label("tail")
	TESTQ(last, last)
	JZ(LabelRef("next"))
	body(d, s, mask)
	Label("next")
	ADDQ(dstStep, dst)
	ADDQ(srcStep, src)
	DECQ(count)
	JNZ(LabelRef("run"))
	VZEROUPPER()
	RET()
}

// maxWindows writes the kernel of MaxWindows, for float32 alone: places are as wide as elements there.
func (g gen) maxWindows() {
	g.fn("maxWindows", "(y *T, at *int32, x *T, n, count, step, kh, kw, rowStep, colStep, first int)",
		"stores the largest of kh·kw elements of x, rowStep and colStep apart, and its place from first on, for count windows step apart.")
	y, at, x := Load(Param("y"), GP64()), Load(Param("at"), GP64()), Load(Param("x"), GP64())
	rowStep, colStep := Load(Param("rowStep"), GP64()), Load(Param("colStep"), GP64())

	// The place of the window's first cell for each lane; the steps in every lane.
	lane := GLOBL("lane32", attr.RODATA|attr.NOPTR)
	for i := range 16 {
		DATA(4*i, I32(int32(i)))
	}
	lanes := GLOBL("lanes32", attr.RODATA|attr.NOPTR)
	DATA(0, I32(int32(g.lanes())))
	splat := func(name string) reg.VecVirtual {
		addr, _ := Param(name).Resolve()
		v := g.vec()
		VPBROADCASTD(addr.Addr, v)
		return v
	}
	window, step, rows, cols, ahead := splat("first"), splat("step"), splat("rowStep"), splat("colStep"), g.vec()
	VPADDD(lane, window, window)
	VPBROADCASTD(lanes, ahead)
	SHLQ(U8(2), rowStep)
	SHLQ(U8(2), colStep)
	place := g.vec()

	body := func(name string, mask reg.Register) {
		best, where, row := g.vec(), g.vec(), g.vec()
		g.loadMasked(g.at(x, 0), mask, best)
		VMOVUPS(place, where)
		VMOVUPS(place, row)
		rowPtr, kh := GP64(), Load(Param("kh"), GP64())
		MOVQ(x, rowPtr)
		Label(name + "Row")
		ptr, kw, cell := GP64(), Load(Param("kw"), GP64()), g.vec()
		MOVQ(rowPtr, ptr)
		VMOVUPS(row, cell)
		Label(name + "Cell")
		v := g.vec()
		g.loadMasked(g.at(ptr, 0), mask, v)
		if g.wide {
			k, nan := K(), K()
			VCMPPS(U8(greater), best, v, k)
			VCMPPS(U8(notANumber), v, v, nan)
			KORW(nan, k, k)
			VMOVAPS(v, k, best)
			VMOVDQA32(cell, k, where)
		} else {
			k, nan := g.vec(), g.vec()
			VCMPPS(U8(greater), best, v, k)
			VCMPPS(U8(notANumber), v, v, nan)
			VORPS(nan, k, k)
			VBLENDVPS(k, v, best, best)
			VBLENDVPS(k, cell, where, where)
		}
		VPADDD(cols, cell, cell)
		ADDQ(colStep, ptr)
		DECQ(kw)
		JNZ(LabelRef(name + "Cell"))
		VPADDD(rows, row, row)
		ADDQ(rowStep, rowPtr)
		DECQ(kh)
		JNZ(LabelRef(name + "Row"))
		g.store(best, y, 0, mask)
		g.store(where, at, 0, mask)
	}
	count := Load(Param("count"), GP64())
	Label("window")
	n, next := Load(Param("n"), GP64()), Load(Param("step"), GP64())
	SHLQ(U8(2), next)
	ADDQ(x, next)
	VMOVUPS(window, place)
	Label("full")
	CMPQ(n, I32(g.lanes()))
	JL(LabelRef("tail"))
	body("full", nil)
	for _, p := range []reg.Register{x, y, at} {
		ADDQ(I32(g.bytes()), p)
	}
	SUBQ(I32(g.lanes()), n)
	VPADDD(ahead, place, place)
	JMP(LabelRef("full"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("next"))
	body("tail", g.tailMask(n))
	LEAQ(Mem{Base: y, Index: n, Scale: 4}, y)
	LEAQ(Mem{Base: at, Index: n, Scale: 4}, at)
	Label("next")
	MOVQ(next, x)
	VPADDD(step, window, window)
	DECQ(count)
	JNZ(LabelRef("window"))
	VZEROUPPER()
	RET()
}
