package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// neurons writes the two halves of a training step of a layer of tanh neurons on one example.
func (g *gen) neurons() {
	c := g.constants()
	g.fn("affineTanh", "(dst, w []T, ld int, x []T)", "is affineTanhGo.")
	dst, w := base("dst"), base("w")
	x, d, ld, n := base("x"), Load(Param("x").Len(), GP64()), Load(Param("ld"), GP64()), Load(Param("dst").Len(), GP64())
	SHLQ(U8(map[int]int{4: 2, 8: 3}[g.size()]), ld)
	k := g.keep(c.TanhMax, -c.TanhMax, 2*c.Log2E, c.Round, c.Ln2/2, 0.5, -0.5, 1)
	series := g.keep(c.HalfExp...)
	// Two registers at once: the chain of operations on one is long.
	g.each4(n, []reg.Register{dst, w}, 2, func(width int, m reg.Register) {
		u, t, r, p := make([]vec, width), make([]vec, width), make([]vec, width), make([]vec, width)
		each := func(f func(i int)) {
			for i := range width {
				f(i)
			}
		}
		each(func(i int) { u[i] = g.vec(); g.zero(u[i]) })
		g.inputs(w, x, d, ld, func(row reg.Register, xj vec) {
			each(func(i int) { g.op(VFMADD231PS, VFMADD231PD, g.load(row, i, m), xj, u[i]) })
		})
		each(func(i int) { r[i] = g.larger(k(1), g.smaller(k(0), u[i])) })
		each(func(i int) { t[i] = g.fma(r[i], k(2), g.copy(k(3))) })
		each(func(i int) { r[i] = g.fnma(g.sub(t[i], k(3)), k(4), r[i]) })
		each(func(i int) { p[i] = g.copy(series(0)) })
		for n := range c.HalfExp[1:] {
			each(func(i int) { g.op(VFMADD213PS, VFMADD213PD, series(n+1), r[i], p[i]) })
		}
		each(func(i int) { p[i] = g.fma(g.mul(p[i], r[i]), r[i], r[i]) })
		each(func(i int) {
			s := g.pow2(t[i])
			e := g.fma(s, p[i], g.fma(s, k(5), g.copy(k(6))))
			g.store(g.div(e, g.add(e, k(7))), dst, i, m)
		})
	})
	VZEROUPPER()
	RET()

	g.fn("tanhStep", "(c, w []T, ld int, s, kx []T, k T)", "is tanhStepGo.")
	cp, w := base("c"), base("w")
	s := base("s")
	x, d, ld, n = base("kx"), Load(Param("kx").Len(), GP64()), Load(Param("ld"), GP64()), Load(Param("c").Len(), GP64())
	step := g.scalar("k")
	SHLQ(U8(map[int]int{4: 2, 8: 3}[g.size()]), ld)
	g.each(n, []reg.Register{cp, w, s}, 1, func(_ int, m reg.Register) {
		ci, si := g.load(cp, 0, m), g.load(s, 0, m)
		t := g.constant(1)
		g.op(VFNMADD231PS, VFNMADD231PD, si, si, t)
		slope := g.mul(ci, t)
		g.store(g.fma(step, si, g.copy(ci)), cp, 0, m)
		g.inputs(w, x, d, ld, func(row reg.Register, xj vec) {
			g.store(g.fma(xj, slope, g.load(row, 0, m)), row, 0, m)
		})
	})
	VZEROUPPER()
	RET()
}

// inputs runs body for every input: the address of its row of weights, and the input in all lanes.
func (g *gen) inputs(w, x, d, ld reg.Register, body func(row reg.Register, xj vec)) {
	g.labels++
	l := fmt.Sprint("inputs", g.labels)
	r, xp, i := GP64(), GP64(), GP64()
	MOVQ(w, r)
	MOVQ(x, xp)
	MOVQ(d, i)
	Label(l)
	xj := g.vec()
	g.broadcast(Mem{Base: xp}, xj)
	body(r, xj)
	ADDQ(I32(g.size()), xp)
	ADDQ(ld, r)
	DECQ(i)
	JNZ(LabelRef(l))
}

// keep returns constants by number: from registers that hold them throughout with AVX-512, which has 32, loaded anew for each
// use with AVX2.
func (g *gen) keep(values ...float64) func(i int) vec {
	if !g.wide {
		return func(i int) vec { return g.constant(values[i]) }
	}
	kept := make([]vec, len(values))
	for i, v := range values {
		kept[i] = g.constant(v)
	}
	return func(i int) vec { return kept[i] }
}
