package curvature

import (
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// online is a factor whose leading eigenvectors follow the running mean by Brand's update, with a rank-b term for every batch
// of statistics:
//
//	M ← (ρw M + c XᵀX)/(ρw + 1),    w ← ρw + 1,    X [b, n] the batch's rows
//
// cut to r eigenvectors before the next update or at once. The trace is followed exactly. A dense mean is kept where the options
// ask for refreshes or corrections.
type online[T tensor.Float] struct {
	modes  modes[T]
	o      LowRank
	key    tensor.Key
	weight float64    // w
	trace  float64    // of Σ
	full   average[T] // with refreshes or corrections; else zero
	rank   int64      // r
	count  int64      // of updates
	turns  int64      // of inversions

	// The statistics in progress: a uniform sample of the rows seen, and the trace of all.
	rows       []T // [b, n]
	kept, seen int64
	newTrace   float64
}

func newOnline[T tensor.Float](n int, o LowRank, key tensor.Key) *online[T] {
	most := o.Rank
	if o.Target > 0 {
		most = max(o.Rank, min(o.MostRank, n-o.Columns-1))
	}
	capacity := most
	if o.Late {
		capacity += o.Columns
	}
	f := &online[T]{modes: newModes[T](n, capacity, o.Tail), o: o, key: key, rank: int64(o.Rank), rows: make([]T, o.Columns*n)}
	if o.Online != Brand {
		f.full = newAverage[T](n)
	}
	return f
}

func (f *online[T]) dense() bool { return f.o.Online != Brand }

func (f *online[T]) state(name string) optim.State[T] {
	s := append(f.modes.state(name), optim.State[T]{{Name: name + "-weight", Float: &f.weight}, {Name: name + "-trace", Float: &f.trace},
		{Name: name + "-target", Int: &f.rank}, {Name: name + "-updates", Int: &f.count}, {Name: name + "-inversions", Int: &f.turns}}...)
	if f.dense() {
		s = append(s, f.full.state(name)...)
	}
	return s
}

func (f *online[T]) begin(ws *tensor.Workspace[T]) {
	f.kept, f.seen, f.newTrace = 0, 0, 0
	if f.dense() {
		f.full.begin(ws)
	}
}

// add takes rows up. Of more than b rows a uniform sample without replacement is kept (Vitter's algorithm R).
func (f *online[T]) add(ws *tensor.Workspace[T], rows tensor.Tensor[T]) {
	n, most := f.modes.n, int64(f.o.Columns)
	key := f.key.Named("rows").Fold(uint64(f.count))
	for i := range rows.Shape().Rows() {
		at := f.kept
		if f.kept < most {
			f.kept++
		} else {
			at = int64(key.IntN(uint64(f.seen), int(f.seen)+1))
		}
		f.seen++
		if at < most {
			copy(f.rows[int(at)*n:(int(at)+1)*n], rows.Data()[i*n:(i+1)*n])
		}
	}
	f.newTrace += float64(tensor.Dot(ws, rows, rows))
	if f.dense() {
		f.full.add(ws, rows)
	}
}

func (f *online[T]) finite() bool {
	return !math.IsNaN(f.newTrace) && !math.IsInf(f.newTrace, 0) && (!f.dense() || f.full.finite())
}

// commit is Brand's update. One that fails leaves the modes as they were.
func (f *online[T]) commit(ws *tensor.Workspace[T], scale, decay float64) {
	mark := ws.Mark()
	defer ws.Release(mark)
	n, b := f.modes.n, int(f.kept)
	f.trace = decay*f.trace + scale*f.newTrace
	if f.dense() {
		f.full.commit(ws, scale, decay)
	}
	old := decay * f.weight
	f.weight = old + 1
	f.count++
	x := ws.New(tensor.ShapeOf(n, b))
	tensor.Permute(ws, x, tensor.FromSlice(f.rows[:b*n], b, n), []int{1, 0})
	tensor.Scale(ws, x, x, T(math.Sqrt(scale/f.weight)*sampleScale(f.seen, f.kept)))
	r := int(min(f.modes.rank, f.rank)) // cut to r
	u := ws.New(tensor.ShapeOf(n, r))
	if r > 0 {
		all := f.modes.vectors()
		tensor.CopySlice(ws, all, u, tensor.AxisOf(all.Shape(), 1, 2), 0, false)
	}
	keep := r + b
	if !f.o.Late {
		keep = min(keep, int(f.rank))
	}
	vectors, values := ws.New(tensor.ShapeOf(n, keep)), ws.Slice(keep)
	if linalg.BrandUpdate(ws, values, vectors, f.modes.values[:r], u, x, T(old/f.weight)) != nil || !tensor.AllFinite(vectors) {
		return
	}
	f.modes.set(ws, vectors, values, keep, f.trace/f.weight)
	if f.o.Online == BrandCorrect && f.count%int64(f.o.RefreshEvery) == 0 {
		f.correct(ws)
	}
}

// correct replaces a random part of the columns by Ritz vectors of the dense mean.
func (f *online[T]) correct(ws *tensor.Workspace[T]) {
	r := int(f.modes.rank)
	columns := make([]int32, r)
	tensor.Permutation(f.key.Named("columns").Fold(uint64(f.count)), columns)
	columns = columns[:max(1, int(math.Ceil(f.o.Fraction*float64(r))))]
	vectors, values := ws.New(tensor.ShapeOf(f.modes.n, r)), ws.Slice(r)
	tensor.Copy(ws, vectors, f.modes.vectors())
	copy(values, f.modes.values[:r])
	if linalg.BrandCorrection(ws, values, vectors, f.full.value(ws, f.weight), columns) == nil && tensor.AllFinite(vectors) {
		f.modes.set(ws, vectors, values, r, f.trace/f.weight)
	}
}

func (f *online[T]) mean(weight float64) float64 { return f.trace / weight / float64(f.modes.n) }

// refresh sets the damping; with refreshes it computes the modes anew when it is their turn.
func (f *online[T]) refresh(ws *tensor.Workspace[T], weight float64, d damping) bool {
	mark := ws.Mark()
	defer ws.Release(mark)
	if f.modes.rank == 0 {
		return false
	}
	turn := f.turns
	f.turns++
	if f.o.Online == BrandRefresh && turn%int64(f.o.RefreshEvery) == 0 &&
		!sketch(ws, &f.modes, f.full.value(ws, weight), f.o, int(min(f.rank, int64(len(f.modes.values)))), f.key.Fold(uint64(turn))) {
		return false
	}
	if f.o.Target > 0 && f.modes.rank >= f.rank {
		ratio := 0.0
		if f.modes.values[0] > 0 {
			ratio = float64(f.modes.values[f.rank-1] / f.modes.values[0])
		}
		most := int64(len(f.modes.values))
		if f.o.Late {
			most -= int64(f.o.Columns)
		}
		f.rank = nextRank(f.rank, ratio, rankRule{f.o.Target, 0.02, 0.015, 5, 10, min(70, int64(f.o.Rank)), most})
	}
	f.modes.damp(d)
	return true
}

func (f *online[T]) leading() *modes[T] { return &f.modes }

func (f *online[T]) solve(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], right bool) {
	f.modes.solve(ws, dst, x, right)
}
