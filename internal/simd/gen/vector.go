package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fn begins a function op…F32AVX2 with the given parameters, where T stands for the element type.
func (g gen) fn(op, params, doc string) {
	name := op + g.suffix()
	TEXT(name, attr.NOSPLIT, "func"+strings.ReplaceAll(params, "T", g.typ()))
	Pragma("noescape")
	Doc(name + " " + doc)
}

func base(name string) reg.Register { return Load(Param(name).Base(), GP64()) }

// scalar returns a register filled with a parameter.
func (g gen) scalar(name string) reg.VecVirtual {
	addr, _ := Param(name).Resolve()
	v := g.vec()
	g.broadcast(addr.Addr, v)
	return v
}

// each runs body over n elements: unroll registers at a time, one at a time, and the rest with a mask.
// ptrs are moved on; body gets the displacement from them in registers.
func (g gen) each(n reg.Register, ptrs []reg.Register, unroll int, body func(j int, mask reg.Register)) {
	step := func(u int) {
		for _, p := range ptrs {
			ADDQ(I32(u*g.bytes()), p)
		}
		SUBQ(I32(u*g.lanes()), n)
	}
	if unroll > 1 {
		Label("unrolled")
		CMPQ(n, I32(unroll*g.lanes()))
		JL(LabelRef("single"))
		for j := range unroll {
			body(j, nil)
		}
		step(unroll)
		JMP(LabelRef("unrolled"))
	}
	Label("single")
	CMPQ(n, I32(g.lanes()))
	JL(LabelRef("tail"))
	body(0, nil)
	step(1)
	JMP(LabelRef("single"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	body(0, g.tailMask(n))
	Label("done")
}

// tailMask returns the mask of the first n lanes, n < lanes.
func (g gen) tailMask(n reg.Register) reg.Register {
	if g.wide {
		ones, k := GP64(), K()
		MOVQ(I64(-1), ones)
		BZHIQ(n, ones, ones)
		KMOVW(ones.As32(), k)
		return k
	}
	t, m := GP64(), YMM()
	LEAQ(g.maskTable(g.lanes()).Offset(g.bytes()), t)
	i := GP64()
	MOVQ(n, i)
	NEGQ(i)
	VMOVUPS(Mem{Base: t, Index: i, Scale: uint8(g.size())}, m)
	return m
}

func (g gen) at(p reg.Register, j int) Mem { return Mem{Base: p, Disp: j * g.bytes()} }

func (g gen) load(p reg.Register, j int, mask reg.Register) reg.VecVirtual {
	v := g.vec()
	g.loadMasked(g.at(p, j), mask, v)
	return v
}

func (g gen) store(v Op, p reg.Register, j int, mask reg.Register) {
	g.storeMasked(v, mask, g.at(p, j))
}

// zip writes dst[i] = f(a[i], b[i]).
func (g gen) zip(op, doc string, f func(a, b reg.VecVirtual) reg.VecVirtual) {
	g.fn(op, "(dst, a, b []T)", doc)
	dst, a, b := base("dst"), base("a"), base("b")
	n := Load(Param("dst").Len(), GP64())
	g.each(n, []reg.Register{dst, a, b}, 4, func(j int, m reg.Register) {
		g.store(f(g.load(a, j, m), g.load(b, j, m)), dst, j, m)
	})
	VZEROUPPER()
	RET()
}

// apply writes dst[i] = f(a[i]); f also gets the mask of the last elements.
func (g gen) apply(op, doc string, unroll int, f func(a reg.VecVirtual, m reg.Register) reg.VecVirtual) {
	g.fn(op, "(dst, a []T)", doc)
	dst, a := base("dst"), base("a")
	n := Load(Param("dst").Len(), GP64())
	g.each(n, []reg.Register{dst, a}, unroll, func(j int, m reg.Register) {
		g.store(f(g.load(a, j, m), m), dst, j, m)
	})
	VZEROUPPER()
	RET()
}

func (g gen) elementwise() {
	g.zip("add", "stores a + b.", g.add)
	g.zip("sub", "stores a - b.", g.sub)
	g.zip("mul", "stores a · b.", g.mul)
	g.zip("div", "stores a / b.", g.div)
	g.zip("max", "stores a > b ? a : b.", g.larger)
	g.zip("min", "stores a < b ? a : b.", g.smaller)
	g.zip("reluGrad", "stores a > 0 ? b : 0.", func(y, v reg.VecVirtual) reg.VecVirtual {
		return g.selectGreater(y, g.constant(0), v)
	})
	g.zip("tanhGrad", "stores b · (1 - a²).", func(y, v reg.VecVirtual) reg.VecVirtual {
		t := g.constant(1)
		g.op(VFNMADD231PS, VFNMADD231PD, y, y, t)
		return g.mul(v, t)
	})
	g.zip("sigmoidGrad", "stores b · a · (1 - a).", func(y, v reg.VecVirtual) reg.VecVirtual {
		return g.mul(g.mul(v, y), g.sub(g.constant(1), y))
	})

	g.fn("mulAdd", "(dst, a, b []T)", "adds a · b to dst.")
	dst, a, b := base("dst"), base("a"), base("b")
	g.each(Load(Param("dst").Len(), GP64()), []reg.Register{dst, a, b}, 4, func(j int, m reg.Register) {
		g.store(g.fma(g.load(a, j, m), g.load(b, j, m), g.load(dst, j, m)), dst, j, m)
	})
	VZEROUPPER()
	RET()

	g.apply("abs", "stores |a|.", 4, func(x reg.VecVirtual, _ reg.Register) reg.VecVirtual { return g.abs(x) })
	g.apply("sqrt", "stores √a.", 2, func(x reg.VecVirtual, _ reg.Register) reg.VecVirtual { return g.sqrt(x) })
	g.apply("relu", "stores 0 > a ? 0 : a.", 4, func(x reg.VecVirtual, _ reg.Register) reg.VecVirtual {
		return g.larger(g.constant(0), x)
	})

	for _, f := range []struct {
		op, doc string
		f       func(x, s reg.VecVirtual) reg.VecVirtual
	}{
		{"addScalar", "stores a + s.", g.add},
		{"scale", "stores a · s.", g.mul},
	} {
		g.fn(f.op, "(dst, a []T, s T)", f.doc)
		dst, a, s := base("dst"), base("a"), g.scalar("s")
		g.each(Load(Param("dst").Len(), GP64()), []reg.Register{dst, a}, 4, func(j int, m reg.Register) {
			g.store(f.f(g.load(a, j, m), s), dst, j, m)
		})
		VZEROUPPER()
		RET()
	}

	g.fn("axpy", "(dst []T, s T, a []T)", "adds s · a to dst.")
	dst, a = base("dst"), base("a")
	s := g.scalar("s")
	g.each(Load(Param("dst").Len(), GP64()), []reg.Register{dst, a}, 4, func(j int, m reg.Register) {
		g.store(g.fma(s, g.load(a, j, m), g.load(dst, j, m)), dst, j, m)
	})
	VZEROUPPER()
	RET()

	g.fn("axpby", "(dst []T, s T, a []T, t T)", "stores s · a + t · dst.")
	dst, a = base("dst"), base("a")
	s = g.scalar("s")
	t := g.scalar("t")
	g.each(Load(Param("dst").Len(), GP64()), []reg.Register{dst, a}, 4, func(j int, m reg.Register) {
		g.store(g.fma(s, g.load(a, j, m), g.mul(t, g.load(dst, j, m))), dst, j, m)
	})
	VZEROUPPER()
	RET()

	g.fn("bytes", "(dst []T, src []byte, scale, shift T)", "stores scale · src + shift for the first len(dst) &^ (lanes-1) elements.")
	dst = base("dst")
	src := base("src")
	n := Load(Param("dst").Len(), GP64())
	scale := g.scalar("scale")
	shift := g.scalar("shift")
	Label("loop")
	CMPQ(n, I32(g.lanes()))
	JL(LabelRef("done"))
	i, x := g.vec(), g.vec()
	if g.f64 {
		if g.wide {
			VPMOVZXBD(Mem{Base: src}, i.AsY())
			VCVTDQ2PD(i.AsY(), x)
		} else {
			VPMOVZXBD(Mem{Base: src}, i.AsX())
			VCVTDQ2PD(i.AsX(), x)
		}
	} else {
		VPMOVZXBD(Mem{Base: src}, i)
		VCVTDQ2PS(i, x)
	}
	g.store(g.fma(scale, x, g.copy(shift)), dst, 0, nil)
	ADDQ(I32(g.bytes()), dst)
	ADDQ(I32(g.lanes()), src)
	SUBQ(I32(g.lanes()), n)
	JMP(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// rows writes what works on the rows of a matrix.
func (g *gen) rows() {
	for _, relu := range []bool{false, true} {
		op, doc := "addRows", "adds bias to every row of dst."
		if relu {
			op, doc = "addRowsReLU", "adds bias to every row of dst and applies ReLU."
		}
		// Registers of columns in the outer loop, rows in the inner one.
		g.columns(op, "(dst []T, rows, ld int, bias []T)", doc, "dst", "bias", func(width int, p, q, rows, ld reg.Register, m reg.Register) {
			bias := make([]reg.VecVirtual, width)
			for j := range bias {
				bias[j] = g.load(q, j, m)
			}
			var zero reg.VecVirtual
			if relu {
				zero = g.constant(0)
			}
			g.downRows(p, rows, ld, func(r reg.Register) {
				for j := range bias {
					x := g.add(g.load(r, j, m), bias[j])
					if relu {
						x = g.larger(zero, x)
					}
					g.store(x, r, j, m)
				}
			})
		})
	}
	g.columns("sumRows", "(a []T, rows, ld int, dst []T)", "adds the rows of a to dst.", "a", "dst", func(width int, p, q, rows, ld reg.Register, m reg.Register) {
		acc := make([]reg.VecVirtual, width)
		for j := range acc {
			acc[j] = g.load(q, j, m)
		}
		g.downRows(p, rows, ld, func(r reg.Register) {
			for j := range acc {
				x := g.load(r, j, m)
				g.op(VADDPS, VADDPD, x, acc[j], acc[j])
			}
		})
		for j := range acc {
			g.store(acc[j], q, j, m)
		}
	})
}

// downRows runs body for every row, with the address of the row in r.
func (g *gen) downRows(p, rows, ld reg.Register, body func(r reg.Register)) {
	g.labels++
	l := fmt.Sprint("rows", g.labels)
	r, i := GP64(), GP64()
	MOVQ(p, r)
	MOVQ(rows, i)
	Label(l)
	body(r)
	ADDQ(ld, r)
	DECQ(i)
	JNZ(LabelRef(l))
}

// columns cuts a matrix into columns of four registers, of one, and the rest. ld is in elements.
func (g gen) columns(op, params, doc, matrix, vector string, body func(width int, p, q, rows, ld reg.Register, m reg.Register)) {
	g.fn(op, params, doc)
	p, q := base(matrix), base(vector)
	n := Load(Param(vector).Len(), GP64())
	rows := Load(Param("rows"), GP64())
	ld := Load(Param("ld"), GP64())
	SHLQ(U8(map[int]int{4: 2, 8: 3}[g.size()]), ld)
	width := 4
	g.each4(n, []reg.Register{p, q}, width, func(w int, m reg.Register) { body(w, p, q, rows, ld, m) })
	VZEROUPPER()
	RET()
}

// each4 is each with a body that does the unrolled registers at once.
func (g gen) each4(n reg.Register, ptrs []reg.Register, unroll int, body func(w int, mask reg.Register)) {
	g.each(n, ptrs, 1, func(_ int, m reg.Register) {
		if m == nil {
			// Four registers while there are so many elements.
			CMPQ(n, I32(unroll*g.lanes()))
			JL(LabelRef("one"))
			body(unroll, nil)
			for _, p := range ptrs {
				ADDQ(I32(unroll*g.bytes()), p)
			}
			SUBQ(I32(unroll*g.lanes()), n)
			JMP(LabelRef("single"))
			Label("one")
		}
		body(1, m)
	})
}

// updates writes the steps of optimizers. Their constants are the fields of AdamCoef and
// MomentumCoef in order.
func (g gen) updates() {
	g.fn("adam", "(p, grad, m, v []T, c *T)", "does one step of Adam.")
	p, grad, m, v := base("p"), base("grad"), base("m"), base("v")
	n := Load(Param("p").Len(), GP64())
	c := Load(Param("c"), GP64())
	coef := func(i int) reg.VecVirtual {
		x := g.vec()
		g.broadcast(Mem{Base: c, Disp: i * g.size()}, x)
		return x
	}
	keep := g.sub(g.constant(1), coef(7))
	g.each(n, []reg.Register{p, grad, m, v}, 1, func(j int, k reg.Register) {
		gi := g.load(grad, j, k)
		mi := g.fma(coef(0), g.load(m, j, k), g.mul(coef(1), gi))
		g.store(mi, m, j, k)
		vi := g.fma(coef(2), g.load(v, j, k), g.mul(g.mul(coef(3), gi), gi))
		g.store(vi, v, j, k)
		d := g.add(g.div(g.sqrt(vi), coef(5)), coef(6))
		x := g.mul(keep, g.load(p, j, k))
		g.op(VFNMADD231PS, VFNMADD231PD, g.div(mi, d), coef(4), x)
		g.store(x, p, j, k)
	})
	VZEROUPPER()
	RET()

	for _, nesterov := range []bool{false, true} {
		op, doc := "momentum", "does one step with momentum."
		if nesterov {
			op, doc = "nesterov", "does one step with Nesterov's momentum."
		}
		g.fn(op, "(p, grad, u []T, mu, w, lr T)", doc)
		p, grad, u := base("p"), base("grad"), base("u")
		n := Load(Param("p").Len(), GP64())
		mu, w, lr := g.scalar("mu"), g.scalar("w"), g.scalar("lr")
		g.each(n, []reg.Register{p, grad, u}, 2, func(j int, k reg.Register) {
			gi := g.load(grad, j, k)
			ui := g.fma(mu, g.load(u, j, k), g.mul(w, gi))
			g.store(ui, u, j, k)
			if nesterov {
				ui = g.fma(mu, ui, gi)
			}
			x := g.load(p, j, k)
			g.op(VFNMADD231PS, VFNMADD231PD, ui, lr, x)
			g.store(x, p, j, k)
		})
		VZEROUPPER()
		RET()
	}
}
