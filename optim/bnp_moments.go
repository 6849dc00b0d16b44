package optim

import (
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// momentSums computes sums and sums of squares of the columns of a matrix, without cancellation where the mean is
// large against the deviation: with a the first row,
//
//	s = Σ (x − a),  r = Σ (x − a)²,      Σ x = s + N a,  Σ x² = r + 2 a s + N a²
//
// The rows are summed in the matrix's type over runs that fit the cache, the runs in double precision, in an order
// that the shape alone fixes.
type momentSums[T tensor.Float] struct {
	pool    *tensor.Pool
	workers []momentScratch[T]
	strips  []stripSums

	x       []T
	cols    int
	perPart int // rows of a strip
	run     func(worker, part int)
}

// momentScratch is the storage of one worker.
type momentScratch[T tensor.Float] struct{ rows, shift, s, r []T }

// stripSums are s and r of one strip of rows.
type stripSums struct{ s, r []float64 }

const (
	momentRun   = 16 << 10 // elements of a run
	momentPart  = 64 << 10 // elements from which on there is another strip
	momentParts = 16       // strips at most
)

func newMomentSums[T tensor.Float](pool *tensor.Pool, widest int) momentSums[T] {
	m := momentSums[T]{pool: pool}
	for range pool.Workers() {
		m.workers = append(m.workers, momentScratch[T]{
			make([]T, max(momentRun, widest)), make([]T, widest), make([]T, widest), make([]T, widest)})
	}
	for range momentParts {
		m.strips = append(m.strips, stripSums{make([]float64, widest), make([]float64, widest)})
	}
	return m
}

// add adds the sums over the rows of x to the first columns of to.
func (m *momentSums[T]) add(to *sums, x tensor.Tensor[T]) {
	rows, cols := x.Shape().Rows(), x.Shape().Cols()
	if rows == 0 {
		return
	}
	if m.run == nil {
		m.run = m.strip
	}
	parts := min(momentParts, rows, 1+rows*cols/momentPart)
	m.x, m.cols, m.perPart = x.Data(), cols, (rows+parts-1)/parts
	parts = (rows + m.perPart - 1) / m.perPart
	m.pool.Do(parts, m.run)
	n := float64(rows)
	for j, v := range m.x[:cols] {
		a, s, r := float64(v), 0.0, 0.0
		for _, strip := range m.strips[:parts] {
			s += strip.s[j]
			r += strip.r[j]
		}
		to.s1[j] += s + n*a
		to.s2[j] += r + 2*a*s + n*a*a
	}
	to.cells += int64(rows)
	m.x = nil
}

// strip sums one strip of rows.
func (m *momentSums[T]) strip(worker, part int) {
	w, c := &m.workers[worker], m.cols
	shift, s, r := w.shift[:c], w.s[:c], w.r[:c]
	simd.Scale(shift, m.x[:c], -1)
	out := &m.strips[part]
	clear(out.s[:c])
	clear(out.r[:c])
	last := min(len(m.x), (part+1)*m.perPart*c)
	run := max(1, momentRun/c) * c
	for lo := part * m.perPart * c; lo < last; lo += run {
		x := w.rows[:min(run, last-lo)]
		copy(x, m.x[lo:])
		simd.AddRows(x, shift)
		clear(s)
		simd.SumRows(s, x)
		simd.Mul(x, x, x)
		clear(r)
		simd.SumRows(r, x)
		for j := range s {
			out.s[j] += float64(s[j])
			out.r[j] += float64(r[j])
		}
	}
}
