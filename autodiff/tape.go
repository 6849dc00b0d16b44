package autodiff

import (
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// Tape records a computation as it is carried out and differentiates it afterwards.
//
// Every operation appends one node. Derivatives are themselves recorded: [Tape.VJP] and [Tape.JVP]
// append the nodes of the derivative to the same tape, written in the same operations, so they can
// be differentiated again, in either mode and to any order. Values and derivatives live in the
// tape's workspace: after [Tape.Reset] they are invalid, and a steady step allocates nothing.
//
// A Tape is not safe for concurrent use; the operations are parallel inside.
type Tape[T tensor.Float] struct {
	ws    *tensor.Workspace[T]
	nodes []*node[T] // stable addresses: a vjp appends nodes while it reads one
	n     int        // nodes in use

	// State of a reverse sweep, indexed by node.
	active    []bool             // depends on a variable asked for
	cotangent []Var[T]           // sum of the contributions so far
	owned     []bool             // cotangent is a temporary that nobody else holds
	into      []tensor.Tensor[T] // where the gradient is wanted (Backward alone)
	current   int32              // node whose rule is running
	sweeping  bool
	final     bool             // a sweep of Backward: its result is not differentiated again
	dest      tensor.Tensor[T] // storage that the next operation's output takes

	// State of a forward sweep, indexed by node.
	tangent []Var[T]
	reaches []bool // a value asked for depends on it
}

// Var is a value on a tape: a handle, passed by value. The zero Var stands for "no value" (a zero
// tangent, an absent bias).
type Var[T tensor.Float] struct {
	tape *Tape[T]
	id   int32
}

// op is the differentiation rule of one operation. Implementations are empty structs: all that an
// application of the operation needs is kept in its node.
type op[T tensor.Float] interface {
	name() string
	// vjp receives the node n, its output y and the cotangent g of y (same shape), and hands
	// the cotangents of the inputs to t.give or t.pass.
	vjp(t *Tape[T], n *node[T], y, g Var[T])
	// jvp receives the tangents d of the inputs (zero Var: zero tangent; at least one is
	// not zero) and returns the tangent of the output.
	jvp(t *Tape[T], n *node[T], y Var[T], d []Var[T]) Var[T]
}

// node is one recorded operation.
type node[T tensor.Float] struct {
	op    op[T] // nil for an input
	value tensor.Tensor[T]
	in    []int32 // inputs; -1 for an absent one
	inbuf [4]int32
	attr  attrs               // constants of this application
	aux   [3]tensor.Tensor[T] // saved intermediate results
}

// attrs are the constants of one application of an operation: what they mean is said by the
// operation that sets them.
type attrs struct {
	i   [12]int
	f   [4]float64
	idx []int32
	any any
}

// NewTape returns an empty tape whose values live in ws. The tape owns ws from now on.
func NewTape[T tensor.Float](ws *tensor.Workspace[T]) *Tape[T] { return &Tape[T]{ws: ws} }

// Workspace returns the workspace of the tape's values.
func (t *Tape[T]) Workspace() *tensor.Workspace[T] { return t.ws }

// Reset forgets everything recorded. All Vars and their values become invalid.
func (t *Tape[T]) Reset() {
	t.n = 0
	t.ws.Reset()
}

// Mark is a position on a tape, for [Tape.Release].
type Mark struct {
	n int
	w tensor.Mark
}

// Mark returns the present position.
func (t *Tape[T]) Mark() Mark { return Mark{t.n, t.ws.Mark()} }

// Release forgets everything recorded since m; repeated products with one Hessian are each
// recorded and released.
func (t *Tape[T]) Release(m Mark) {
	t.n = m.n
	t.ws.Release(m.w)
}

// Input records x, a parameter or a constant. x is not copied. Derivatives can be asked with
// respect to any Var; what does not depend on the Vars asked for costs nothing.
func (t *Tape[T]) Input(x tensor.Tensor[T]) Var[T] { return t.append(nil, x) }

// Value returns the value of v. It must not be modified.
func (v Var[T]) Value() tensor.Tensor[T] { return v.node().value }

// Shape returns the shape of v's value.
func (v Var[T]) Shape() tensor.Shape { return v.node().value.Shape() }

// OK reports whether v is a value (false for the zero Var).
func (v Var[T]) OK() bool { return v.tape != nil }

// Tape returns the tape that v is on.
func (v Var[T]) Tape() *Tape[T] { return v.tape }

func (v Var[T]) node() *node[T] { return v.tape.nodes[v.id] }

// append adds a node with the given inputs (zero Vars allowed) and output value.
func (t *Tape[T]) append(o op[T], value tensor.Tensor[T], in ...Var[T]) Var[T] {
	if t.n == len(t.nodes) {
		t.nodes = append(t.nodes, new(node[T]))
	}
	n := t.nodes[t.n]
	*n = node[T]{op: o, value: value}
	n.in = n.inbuf[:0]
	for _, v := range in {
		if !v.OK() {
			n.in = append(n.in, -1)
			continue
		}
		if v.tape != t {
			panic(fmt.Sprintf("autodiff: %s: operands on different tapes", o.name()))
		}
		n.in = append(n.in, v.id)
	}
	t.n++
	return Var[T]{t, int32(t.n - 1)}
}

// Operand returns input i of the operation that computed v, the zero Var if it is absent. It panics if
// there is no such input.
func (v Var[T]) Operand(i int) Var[T] { return v.tape.input(v.node(), i) }

// input returns input i of n as a Var (zero if absent).
func (t *Tape[T]) input(n *node[T], i int) Var[T] {
	if n.in[i] < 0 {
		return Var[T]{}
	}
	return Var[T]{t, n.in[i]}
}

// out returns storage for an operation's output: the place where a gradient is wanted if this
// operation computes one, else fresh storage of the workspace.
func (t *Tape[T]) out(s tensor.Shape) tensor.Tensor[T] {
	if d := t.dest; !d.IsZero() {
		t.dest = tensor.Tensor[T]{}
		if d.Size() == s.Size() {
			return d.View(s)
		}
	}
	return t.ws.New(s)
}

// wants reports whether the cotangent of input i of n is needed, and prepares the next operation to
// write it directly to its place if it is a wanted gradient and the first contribution. A rule's vjp
// calls it before it computes the cotangent of input i by exactly one operation; if by several, it
// calls [Tape.needs] instead.
func (t *Tape[T]) wants(n *node[T], i int) bool {
	t.dest = tensor.Tensor[T]{}
	if !t.needs(n, i) {
		return false
	}
	if id := n.in[i]; t.final && !t.cotangent[id].OK() {
		t.dest = t.into[id]
	}
	return true
}

// needs reports whether input i of n is present and its cotangent is needed.
func (t *Tape[T]) needs(n *node[T], i int) bool {
	return n.in[i] >= 0 && t.active[n.in[i]]
}

// give adds g, computed by the running rule for this purpose alone, to the cotangent of input i.
func (t *Tape[T]) give(n *node[T], i int, g Var[T]) { t.accumulate(n.in[i], g, true) }

// pass adds g, which others hold too (the rule's own cotangent given to two inputs, say), to the
// cotangent of input i.
func (t *Tape[T]) pass(n *node[T], i int, g Var[T]) { t.accumulate(n.in[i], g, false) }

// handOn adds g, a view of the running rule's own cotangent (or itself), to the cotangent of input i,
// to which alone the rule gives it.
func (t *Tape[T]) handOn(n *node[T], i int, g Var[T]) { t.accumulate(n.in[i], g, t.owned[t.current]) }

func (t *Tape[T]) accumulate(id int32, g Var[T], owned bool) {
	t.dest = tensor.Tensor[T]{}
	if id < 0 || !t.active[id] {
		return
	}
	if gs, s := g.Shape(), t.nodes[id].value.Shape(); gs != s {
		panic(tensor.ShapeError{Op: "cotangent of " + t.nodeName(id), A: s, B: gs})
	}
	switch c := t.cotangent[id]; {
	case !c.OK():
	case t.final && t.owned[id]:
		tensor.Add(t.ws, c.Value(), c.Value(), g.Value())
		g, owned = c, true
	case t.final && owned:
		tensor.Add(t.ws, g.Value(), c.Value(), g.Value())
	default:
		g, owned = Add(c, g), true
	}
	t.cotangent[id], t.owned[id] = g, owned
}

// reuse returns storage of shape s for the output of an operation in a vjp that reads the running
// rule's cotangent g element by element: g's own storage where nothing else can see it (a sweep of
// [Tape.Backward], g not shared), else new storage. The rule must not use g afterwards.
func (t *Tape[T]) reuse(g Var[T], s tensor.Shape) tensor.Tensor[T] {
	if t.dest.IsZero() && t.final && t.owned[t.current] && t.cotangent[t.current] == g && g.Value().Size() == s.Size() {
		return g.Value().View(s)
	}
	return t.out(s)
}

// VJP returns, for every v in wrt, the product of the transposed Jacobian of y with respect to v
// and the cotangent g (shape of y): for a scalar y and g = 1 the gradient. The result is recorded
// and can be differentiated again. A v that y does not depend on gets zeros.
//
// Cost: one to two evaluations of the recorded computation.
func (t *Tape[T]) VJP(y, g Var[T], wrt []Var[T]) []Var[T] {
	if g.Shape() != y.Shape() {
		panic(tensor.ShapeError{Op: "VJP", A: y.Shape(), B: g.Shape()})
	}
	t.begin(y, wrt, nil)
	t.sweep(y, g, nil, nil, nil, nil)
	res := make([]Var[T], len(wrt))
	for i, v := range wrt {
		if v.id <= y.id {
			res[i] = t.cotangent[v.id]
		}
		if !res[i].OK() {
			res[i] = t.Input(t.ws.Zeros(v.Shape()))
		}
	}
	return res
}

// Gradient returns the gradient of the scalar y with respect to every v in wrt; see [Tape.VJP].
func (t *Tape[T]) Gradient(y Var[T], wrt []Var[T]) []Var[T] { return t.VJP(y, t.one(y), wrt) }

// Backward writes the gradient of the scalar y with respect to wrt[i] to into[i], overwriting it.
// It is the fast path of a training step: the result cannot be differentiated again, and
// intermediate cotangents are overwritten. The recording itself stays intact. keep, if not nil, is
// called with the complete cotangent of each watch[i] that y depends on, in reverse order of recording;
// the tensor is valid during the call alone. watch is in order of recording.
//
// The destinations must not overlap each other or a recorded value.
func (t *Tape[T]) Backward(y Var[T], wrt []Var[T], into []tensor.Tensor[T], watch []Var[T], keep func(i int, g tensor.Tensor[T])) {
	if len(into) != len(wrt) {
		panic(fmt.Sprintf("autodiff: Backward: %d variables, %d destinations", len(wrt), len(into)))
	}
	for i := 1; i < len(watch); i++ {
		if watch[i].id <= watch[i-1].id {
			panic("autodiff: Backward: the watched values are not in order of recording")
		}
	}
	g := t.one(y)
	t.begin(y, wrt, watch)
	t.into = resize(t.into, int(y.id)+1)
	for i, v := range wrt {
		if into[i].Shape() != v.Shape() {
			panic(tensor.ShapeError{Op: "Backward", A: v.Shape(), B: into[i].Shape()})
		}
		// Only an input's cotangent may be gathered in the caller's storage: that of an
		// operation is overwritten by its rule.
		if v.id <= y.id && t.nodes[v.id].op == nil {
			t.into[v.id] = into[i]
		}
	}
	t.final = true
	defer func() { t.final = false }()
	t.sweep(y, g, wrt, into, watch, keep)
	for i, v := range wrt {
		if v.id <= y.id && t.nodes[v.id].op != nil && t.cotangent[v.id].OK() {
			continue // stored by sweep
		}
		var c Var[T]
		if v.id <= y.id {
			c = t.cotangent[v.id]
		}
		dst := into[i].Data()
		if !c.OK() {
			clear(dst)
		} else if src := c.Value().Data(); len(src) > 0 && &dst[0] != &src[0] {
			copy(dst, src)
		}
	}
	clear(t.into) // no reference to the caller's storage stays
}

// begin sets up a sweep from y: which nodes lie between wrt or watch and y.
func (t *Tape[T]) begin(y Var[T], wrt, watch []Var[T]) {
	if t.sweeping {
		panic("autodiff: a derivative was asked for inside a differentiation rule")
	}
	n := int(y.id) + 1
	t.active = resize(t.active, n)
	t.cotangent = resize(t.cotangent, n)
	t.owned = resize(t.owned, n)
	for _, vs := range [2][]Var[T]{wrt, watch} {
		for _, v := range vs {
			if v.tape != t {
				panic("autodiff: derivative with respect to a value on another tape")
			}
			if int(v.id) < n {
				t.active[v.id] = true
			}
		}
	}
	for id := range n {
		for _, in := range t.nodes[id].in {
			if in >= 0 && t.active[in] {
				t.active[id] = true
				break
			}
		}
	}
}

// sweep runs the rules from y down. The cotangents of operations (not inputs) among wrt are copied to
// their places in into as soon as they are complete.
func (t *Tape[T]) sweep(y, g Var[T], wrt []Var[T], into []tensor.Tensor[T], watch []Var[T], keep func(i int, g tensor.Tensor[T])) {
	t.sweeping = true
	defer func() { t.sweeping, t.dest = false, tensor.Tensor[T]{} }()
	w := len(watch) - 1
	t.cotangent[y.id] = g
	for id := y.id; id >= 0; id-- {
		c := t.cotangent[id]
		if !c.OK() {
			continue
		}
		for ; w >= 0 && watch[w].id >= id; w-- {
			if watch[w].id == id && keep != nil {
				keep(w, c.Value())
			}
		}
		n := t.nodes[id]
		if n.op == nil || !t.active[id] {
			continue
		}
		if into != nil {
			for i, v := range wrt {
				if v.id == id {
					copy(into[i].Data(), c.Value().Data())
				}
			}
		}
		t.current, t.dest = id, tensor.Tensor[T]{}
		n.op.vjp(t, n, Var[T]{t, id}, c)
	}
}

// JVP returns, for every y in ys, the directional derivative of y along the tangents of wrt: the
// product of the Jacobian and the tangent (tangents[i] has the shape of wrt[i]). The result is
// recorded and can be differentiated again; applied to the result of [Tape.Gradient] it gives the
// Hessian-vector product. A y that does not depend on wrt gets zeros.
//
// Cost: one to two evaluations of the part of the recorded computation that lies between wrt and ys.
func (t *Tape[T]) JVP(ys, wrt, tangents []Var[T]) []Var[T] {
	if t.sweeping {
		panic("autodiff: a derivative was asked for inside a differentiation rule")
	}
	if len(wrt) != len(tangents) {
		panic(fmt.Sprintf("autodiff: JVP: %d variables, %d tangents", len(wrt), len(tangents)))
	}
	last := int32(-1)
	for _, y := range ys {
		last = max(last, y.id)
	}
	t.tangent = resize(t.tangent, int(last)+1)
	t.reaches = resize(t.reaches, int(last)+1)
	for _, y := range ys {
		t.reaches[y.id] = true
	}
	for id := last; id >= 0; id-- {
		if t.reaches[id] {
			for _, in := range t.nodes[id].in {
				if in >= 0 {
					t.reaches[in] = true
				}
			}
		}
	}
	for i, v := range wrt {
		if v.Shape() != tangents[i].Shape() {
			panic(tensor.ShapeError{Op: "JVP", A: v.Shape(), B: tangents[i].Shape()})
		}
		if v.id <= last {
			t.tangent[v.id] = tangents[i]
		}
	}
	var buf [4]Var[T]
	for id := range last + 1 {
		n := t.nodes[id]
		if n.op == nil || !t.reaches[id] || t.tangent[id].OK() {
			continue
		}
		d, some := buf[:0], false
		for _, in := range n.in {
			var v Var[T]
			if in >= 0 {
				v = t.tangent[in]
			}
			some = some || v.OK()
			d = append(d, v)
		}
		if some {
			v := n.op.jvp(t, n, Var[T]{t, id}, d)
			if v.OK() && v.Shape() != n.value.Shape() {
				panic(tensor.ShapeError{Op: "tangent of " + t.nodeName(id), A: n.value.Shape(), B: v.Shape()})
			}
			t.tangent[id] = v
		}
	}
	res := make([]Var[T], len(ys))
	for i, y := range ys {
		if res[i] = t.tangent[y.id]; !res[i].OK() {
			res[i] = t.Input(t.ws.Zeros(y.Shape()))
		}
	}
	return res
}

func (t *Tape[T]) one(y Var[T]) Var[T] {
	if y.Value().Size() != 1 {
		panic(tensor.ShapeError{Op: "gradient of a non-scalar", A: y.Shape()})
	}
	o := t.ws.New(y.Shape())
	o.Data()[0] = 1
	return t.Input(o)
}

func (t *Tape[T]) nodeName(id int32) string {
	switch n := t.nodes[id]; n.op.(type) {
	case nil:
		return "input"
	case unary[T]:
		return n.fn().String()
	default:
		return n.op.name()
	}
}

// resize returns s with length n and all elements zero, reusing its storage.
func resize[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n, n+n/2)
	}
	s = s[:n]
	clear(s)
	return s
}
