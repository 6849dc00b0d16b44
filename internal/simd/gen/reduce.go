package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// reductions writes sums over a slice in lanes: 256 bytes of partial results, four registers of 512
// bits or eight of 256. Element i belongs to lane i modulo their number.
func (g gen) reductions() {
	sum := func(acc, x vec) { g.op(VADDPS, VADDPD, x, acc, acc) }
	g.fold("sum", "(a []T) T", "adds up a.", 0, plus, []string{"a"}, func(p []reg.Register, j int, acc vec, m reg.Register) {
		sum(acc, g.load(p[0], j, m))
	})
	g.fold("sumSquares", "(a []T) T", "adds up a².", 0, plus, []string{"a"}, func(p []reg.Register, j int, acc vec, m reg.Register) {
		x := g.load(p[0], j, m)
		g.fma(x, x, acc)
	})
	g.fold("dot", "(a, b []T) T", "adds up a · b.", 0, plus, []string{"a", "b"}, func(p []reg.Register, j int, acc vec, m reg.Register) {
		g.fma(g.load(p[0], j, m), g.load(p[1], j, m), acc)
	})
	g.fold("maxOf", "(a []T) T", "returns the largest element.", math.Inf(-1), most, []string{"a"}, func(p []reg.Register, j int, acc vec, m reg.Register) {
		x := g.load(p[0], j, m)
		if m != nil {
			x = g.keepLanes(m, x, acc)
		}
		g.op(VMAXPS, VMAXPD, acc, x, acc)
	})
	for _, store := range []bool{true, false} {
		op, doc, params, names := "expSum", "stores exp(a - shift) and adds it up.", "(dst, a []T, shift T) T", []string{"a", "dst"}
		if !store {
			op, doc, params, names = "expSumOnly", "adds up exp(a - shift).", "(a []T, shift T) T", []string{"a"}
		}
		g.fold(op, params, doc, 0, plus, names, func(p []reg.Register, j int, acc vec, m reg.Register) {
			e := g.exp(g.sub(g.load(p[0], j, m), g.scalar("shift")))
			if store {
				g.store(e, p[1], j, m)
			}
			if m != nil {
				e = g.keepLanes(m, e, g.constant(0))
			}
			sum(acc, e)
		})
	}

	g.fn("allFinite", "(a []T) bool", "reports whether a - a is 0 everywhere.")
	a := base("a")
	n := Load(Param("a").Len(), GP64())
	acc := g.constant(0)
	g.each(n, []reg.Register{a}, 4, func(j int, m reg.Register) {
		x := g.load(a, j, m)
		g.op(VORPS, VORPD, g.sub(x, x), acc, acc)
	})
	ok := GP8()
	if g.wide {
		k := K()
		VPTESTMD(acc, acc, k)
		KORTESTW(k, k)
	} else {
		VPTEST(acc, acc)
	}
	SETEQ(ok)
	Store(ok, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// operation combines two partial results.
type operation struct{ ps, pd func(...Op) }

var (
	plus = operation{VADDPS, VADDPD}
	most = operation{VMAXPS, VMAXPD}
)

// fold writes a reduction: body combines register j of the slices with acc.
func (g gen) fold(op, params, doc string, start float64, combine operation, names []string, body func(p []reg.Register, j int, acc vec, m reg.Register)) {
	g.fn(op, params, doc)
	ptrs := make([]reg.Register, len(names))
	for i, s := range names {
		ptrs[i] = base(s)
	}
	n := Load(Param("a").Len(), GP64())
	acc := make([]vec, 256/g.bytes())
	for i := range acc {
		acc[i] = g.constant(start)
	}
	Label("loop")
	CMPQ(n, I32(256/g.size()))
	JL(LabelRef("rest"))
	for j := range acc {
		body(ptrs, j, acc[j], nil)
	}
	for _, p := range ptrs {
		ADDQ(I32(256), p)
	}
	SUBQ(I32(256/g.size()), n)
	JMP(LabelRef("loop"))
	Label("rest")
	for j := range acc {
		tail, next := fmt.Sprint("tail", j), fmt.Sprint("next", j)
		CMPQ(n, I32(g.lanes()))
		JL(LabelRef(tail))
		body(ptrs, 0, acc[j], nil)
		for _, p := range ptrs {
			ADDQ(I32(g.bytes()), p)
		}
		SUBQ(I32(g.lanes()), n)
		JMP(LabelRef(next))
		Label(tail)
		TESTQ(n, n)
		JZ(LabelRef("combine"))
		body(ptrs, 0, acc[j], g.tailMask(n))
		JMP(LabelRef("combine"))
		Label(next)
	}
	Label("combine")
	// The tree: the upper half of the lanes to the lower half.
	for h := len(acc) / 2; h > 0; h /= 2 {
		for i := range h {
			g.op(combine.ps, combine.pd, acc[i], acc[i+h], acc[i])
		}
	}
	r := acc[0]
	if g.bytes() == 64 {
		hi := YMM()
		VEXTRACTF64X4(U8(1), r, hi)
		g.op(combine.ps, combine.pd, r.AsY(), hi, r.AsY())
	}
	x, hi := r.AsX(), XMM()
	VEXTRACTF128(U8(1), r.AsY(), hi)
	g.op(combine.ps, combine.pd, x, hi, x)
	VPSHUFD(U8(0xee), x, hi) // the upper half
	g.op(combine.ps, combine.pd, x, hi, x)
	if !g.f64 {
		VPSHUFD(U8(0x55), x, hi) // lane 1
		g.op(combine.ps, combine.pd, x, hi, x)
	}
	Store(x, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
