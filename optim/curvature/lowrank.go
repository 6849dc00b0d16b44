package curvature

import (
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// A low-rank inverse keeps r leading eigenvectors U [n, r] of a factor M and its eigenvalues d_1 ≥ … ≥ d_r:
//
//	(M̃ + δI)⁻¹ x = x/(δ+t) + U [ (1/(d+δ) − 1/(δ+t)) ∘ (Uᵀx) ]
//
// where t stands for the n−r eigenvalues that are not kept. Spectrum continuation: t = d_r, so that the inverse is at most the true one
// of the best rank-r part with that tail, and the step never too long; without it t = 0. It is a stability device: where the
// true tail is all but 0 it makes the inverse less accurate. Or t is the mean of the missing eigenvalues, (tr M − Σd)/(n−r).
//
//	rs-kfac     every T₂ updates: randomized singular vectors of the dense mean (linalg.RSVD)
//	sre-kfac    every T₂ updates: a symmetric randomized eigendecomposition (linalg.SRE)
//	b-kfac      every T₁ updates: Brand's update by the batch's rows; there is no dense mean
//	b-r-kfac    that, and every RefreshEvery·T₂ updates the randomized vectors of a dense mean kept beside it
//	b-kfac-c    that, and every RefreshEvery·T₁ updates Rayleigh–Ritz values of the dense mean in a part of the columns
//
// Each side of a layer chooses for itself: a randomized form needs r+l < n, Brand's a dense layer and r+b < n; what is
// too narrow for Brand has a randomized form, and what is too narrow for that its exact inverse.
//
// Papers: Puiu, "Randomized K-FACs: speeding up K-FAC with randomized numerical linear algebra", arXiv:2206.15397; Puiu, "Brand
// New K-FACs: speeding up K-FAC with online decomposition updates", arXiv:2210.08494.
// Deviations: means are weight-tracked, and not moved from the identity, so that nothing is added to the damping for it. The
// adaptive rank looks at each factor alone, not at the mean of the layers of a kind.
//
// Cost, for a side of order n, of a layer with m on the other: 2n²(r+l)(q+2) flops an inversion; Brand 4nrb + 4nb² + 2n(r+b)r; 4nmr to
// apply it to the gradient; nr numbers, and n² where a dense mean is kept.
// Invariances: rest.
// Failure: a spectrum that does not decay within r leaves most of the curvature to the continuation, and the gradient almost as it was.
// What Brand's update drops is lost: the curvature is under-estimated, by a bound that grows with the dropped values.

// Sketch says how leading eigenvectors of a dense mean are found.
type Sketch uint8

const (
	SketchSVD   Sketch = iota // right singular vectors of the projected matrix: RS-KFAC
	SketchEigen               // eigenvectors of the matrix projected from both sides: SRE-KFAC
)

// Online says what wide factors of dense layers do between inversions.
type Online uint8

const (
	Offline      Online = iota // nothing
	Brand                      // are updated by every batch of statistics; no dense mean is kept
	BrandRefresh               // that, and are computed anew at times from a dense mean
	BrandCorrect               // that, and are corrected at times in a part of their columns
)

// Tail says what the eigenvalues that are not kept count as.
type Tail uint8

const (
	TailZero Tail = iota // 0: the longest steps
	TailLast             // d_r, the least that is kept: never longer steps than with the true ones
	TailMean             // their mean, which the trace tells
)

// LowRank says how [Truncated] factors are approximated.
type LowRank struct {
	Sketch       Sketch
	Online       Online
	Rank         int     // r, eigenvectors kept
	Oversampling int     // l, columns of a sketch beyond r
	Power        int     // q, power iterations of a sketch
	Tail         Tail    // what the eigenvalues that are not kept count as
	Relative     bool    // δ is λ times the factor's largest eigenvalue; else the split of λ by the traces
	Target       float64 // r moves so that d_r/d_1 is near that; 0: r is fixed
	MostRank     int     // the largest r an adaptive rank may have
	Columns      int     // b, the most rows of a batch that Brand's update takes up; of more, a uniform sample
	Late         bool    // Brand's b new directions are kept until the next update; else cut to r at once
	RefreshEvery int     // inversions (b-r-kfac) or statistics (b-kfac-c) from one refresh to the next
	Fraction     float64 // of the columns that a correction chooses
}

// DefaultLowRank returns the options in force when none is given.
func DefaultLowRank() LowRank {
	return LowRank{Rank: 20, Oversampling: 10, Power: 1, Tail: TailLast, MostRank: 300, Columns: 128, RefreshEvery: 5, Fraction: 0.2}
}

func (o LowRank) name() string {
	switch {
	case o.Online == Brand:
		return "b-kfac"
	case o.Online == BrandRefresh:
		return "b-r-kfac"
	case o.Online == BrandCorrect:
		return "b-kfac-c"
	case o.Sketch == SketchEigen:
		return "sre-kfac"
	}
	return "rs-kfac"
}

// newSolver returns the kind of factor of order n that the options allow.
func newSolver[T tensor.Float](name string, n int, positions bool, o Options) solver[T] {
	l, key := o.LowRank, o.Key.Named("sketch").Named(name)
	switch {
	case l.Rank+l.Oversampling >= n:
		return newDense[T](n)
	case l.Online != Offline && !positions && l.Rank+l.Columns < n:
		return newOnline[T](n, l, key)
	}
	return newRandomized[T](n, l, key)
}

// modes are leading eigenvectors and eigenvalues of a matrix of order n, and the inverse that they give.
type modes[T tensor.Float] struct {
	n       int
	storage []T     // U [n, rank] and room for more columns
	values  []T     // d, descending
	rank    int64   // r; 0: nothing yet
	delta   float64 // δ
	tail    Tail
	missing float64 // the mean of the n−r other eigenvalues
}

func newModes[T tensor.Float](n, most int, tail Tail) modes[T] {
	return modes[T]{n: n, storage: make([]T, n*most), values: make([]T, most), tail: tail}
}

func (m *modes[T]) state(name string) optim.State[T] {
	return optim.State[T]{{Name: name + "-vectors", Vector: m.storage}, {Name: name + "-values", Vector: m.values},
		{Name: name + "-rank", Int: &m.rank}, {Name: name + "-delta", Float: &m.delta}, {Name: name + "-missing", Float: &m.missing}}
}

// vectors returns U [n, r].
func (m *modes[T]) vectors() tensor.Tensor[T] {
	return tensor.FromSlice(m.storage[:m.n*int(m.rank)], m.n, int(m.rank))
}

// set stores the first r of the given columns and values of a matrix with the given trace.
func (m *modes[T]) set(ws *tensor.Workspace[T], vectors tensor.Tensor[T], values []T, r int, trace float64) {
	m.rank = int64(r)
	tensor.CopySlice(ws, vectors, m.vectors(), tensor.AxisOf(vectors.Shape(), 1, 2), 0, false)
	clear(m.values)
	for i, v := range values[:r] {
		m.values[i] = max(v, 0)
		trace -= float64(m.values[i])
	}
	m.missing = max(trace, 0) / float64(max(m.n-r, 1))
}

// ratio returns d_r/d_1.
func (m *modes[T]) ratio() float64 {
	if m.rank == 0 || m.values[0] == 0 {
		return 0
	}
	return float64(m.values[m.rank-1] / m.values[0])
}

// damp sets δ.
func (m *modes[T]) damp(d damping) { m.delta = d.absolute + d.relative*float64(m.values[0]) }

// inverse returns 1/(δ+t) and the coefficients 1/(d+δ) − 1/(δ+t) [r].
func (m *modes[T]) inverse(ws *tensor.Workspace[T]) (rest T, c tensor.Tensor[T]) {
	r := int(m.rank)
	tail := m.delta
	switch {
	case m.tail == TailMean:
		tail += m.missing
	case m.tail == TailLast && r > 0:
		tail += float64(m.values[r-1])
	}
	c = ws.New(tensor.ShapeOf(r))
	for i := range r {
		c.Data()[i] = T(1/(float64(m.values[i])+m.delta) - 1/tail)
	}
	return T(1 / tail), c
}

func (m *modes[T]) solve(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], right bool) {
	mark := ws.Mark()
	defer ws.Release(mark)
	r, u := int(m.rank), m.vectors()
	rest, c := m.inverse(ws)
	tensor.Scale(ws, dst, x, rest)
	if right {
		p := ws.New(tensor.ShapeOf(x.Shape().Dim(0), r))
		tensor.MatMul(ws, p, x, u, false, false)
		tensor.MulAxis(ws, p, p, c, tensor.AxisOf(p.Shape(), 0, 1))
		tensor.MatMulAcc(ws, dst, p, u, false, true)
		return
	}
	p := ws.New(tensor.ShapeOf(r, x.Shape().Dim(1)))
	tensor.MatMul(ws, p, u, x, true, false)
	tensor.MulAxis(ws, p, p, c, tensor.AxisOf(p.Shape(), 1, 2))
	tensor.MatMulAcc(ws, dst, u, p, false, false)
}

// truncated is a solver that applies leading eigenvectors.
type truncated[T tensor.Float] interface{ leading() *modes[T] }

// solveBoth stores (αI + U C Uᵀ) x (βI + V E Vᵀ) in dst [n, m], with the inverse of the modes a from the left, U [n, r], and that of g from
// the right, V [m, s]. x is read three times and dst written twice:
//
//	P = Uᵀx [r, m],   Q = xV [n, s],   S = PV [r, s]
//	dst = αβ x + [U, αQE] [C(βP + SEVᵀ); Vᵀ]          an inner dimension of r + s
//
// Cost: 4nm(r+s) + 4mrs flops.
func solveBoth[T tensor.Float](ws *tensor.Workspace[T], dst, x tensor.Tensor[T], a, g *modes[T]) {
	mark := ws.Mark()
	defer ws.Release(mark)
	n, m, r, s := a.n, g.n, int(a.rank), int(g.rank)
	u, v := a.vectors(), g.vectors()
	alpha, c := a.inverse(ws)
	beta, e := g.inverse(ws)
	tensor.Scale(ws, dst, x, alpha*beta)

	left, right := ws.New(tensor.ShapeOf(n, r+s)), ws.New(tensor.ShapeOf(r+s, m))
	p, vt := tensor.FromSlice(right.Data()[:r*m], r, m), tensor.FromSlice(right.Data()[r*m:], s, m)
	q, se := ws.New(tensor.ShapeOf(n, s)), ws.New(tensor.ShapeOf(r, s))
	tensor.MatMul(ws, p, u, x, true, false)
	tensor.MatMul(ws, q, x, v, false, false)
	tensor.MatMul(ws, se, p, v, false, false)

	tensor.MulAxis(ws, se, se, e, tensor.AxisOf(se.Shape(), 0, 1))
	tensor.Scale(ws, p, p, beta)
	tensor.MatMulAcc(ws, p, se, v, false, true)
	tensor.MulAxis(ws, p, p, c, tensor.AxisOf(p.Shape(), 1, 2))
	tensor.Permute(ws, vt, v, []int{1, 0})

	tensor.Scale(ws, e, e, alpha)
	tensor.MulAxis(ws, q, q, e, tensor.AxisOf(q.Shape(), 0, 1))
	columns := tensor.AxisOf(left.Shape(), 1, 2)
	tensor.CopySlice(ws, left, u, columns, 0, true)
	tensor.CopySlice(ws, left, q, columns, r, true)
	tensor.MatMulAcc(ws, dst, left, right, false, false)
}

// randomized is a factor with a dense mean whose leading eigenvectors are found by a sketch.
type randomized[T tensor.Float] struct {
	average[T]
	modes    modes[T]
	o        LowRank
	key      tensor.Key
	target   int64 // r that the next sketch is to have
	sketches int64
}

func newRandomized[T tensor.Float](n int, o LowRank, key tensor.Key) *randomized[T] {
	most := o.Rank
	if o.Target > 0 {
		most = min(max(o.Rank, o.MostRank), n-o.Oversampling-1)
	}
	return &randomized[T]{average: newAverage[T](n), modes: newModes[T](n, most, o.Tail), o: o, key: key, target: int64(o.Rank)}
}

func (f *randomized[T]) state(name string) optim.State[T] {
	s := append(f.average.state(name), f.modes.state(name)...)
	return append(s, optim.State[T]{{Name: name + "-target", Int: &f.target}, {Name: name + "-sketches", Int: &f.sketches}}...)
}

func (f *randomized[T]) refresh(ws *tensor.Workspace[T], weight float64, d damping) bool {
	mark := ws.Mark()
	defer ws.Release(mark)
	if !sketch(ws, &f.modes, f.value(ws, weight), f.o, int(f.target), f.key.Fold(uint64(f.sketches))) {
		return false
	}
	f.sketches++
	f.modes.damp(d)
	if f.o.Target > 0 {
		f.target = nextRank(f.modes.rank, f.modes.ratio(), rankRule{f.o.Target, 0.007, 0.02, 10, 10, 10, int64(len(f.modes.values))})
	}
	return true
}

func (f *randomized[T]) leading() *modes[T] { return &f.modes }

func (f *randomized[T]) solve(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], right bool) {
	f.modes.solve(ws, dst, x, right)
}

// sketch stores r leading modes of a in m. It reports false, and changes nothing, if there are none.
func sketch[T tensor.Float](ws *tensor.Workspace[T], m *modes[T], a tensor.Tensor[T], o LowRank, r int, key tensor.Key) bool {
	vectors, values := ws.New(tensor.ShapeOf(m.n, r)), ws.Slice(r)
	s := linalg.Sketch{Oversampling: o.Oversampling, Power: o.Power, Key: key}
	find := linalg.RSVD[T]
	if o.Sketch == SketchEigen {
		find = linalg.SRE[T]
	}
	if find(ws, values, vectors, a, s) != nil || !tensor.AllFinite(vectors) {
		return false
	}
	m.set(ws, vectors, values, r, meanDiagonal(a)*float64(m.n))
	return true
}

// rankRule moves a rank so that d_r/d_1 comes near the target: less by down if the ratio is below target−below, more by up if it is
// above target+above.
type rankRule struct {
	target, below, above float64
	down, up             int64
	least, most          int64
}

func nextRank(rank int64, ratio float64, r rankRule) int64 {
	switch {
	case ratio < r.target-r.below:
		rank = max(rank-r.down, r.least)
	case ratio > r.target+r.above:
		rank += r.up
	}
	return max(1, min(rank, r.most))
}

// sampleScale returns √(seen/kept).
func sampleScale(seen, kept int64) float64 { return math.Sqrt(float64(seen) / float64(kept)) }
