package tensor

// Workspace is an arena for the temporaries of a computation together with the worker pool that
// runs it. New takes from the arena, Release and Reset give back everything taken since a mark,
// so a steady training step allocates nothing. Storage is kept in chunks that never move.
//
// A Workspace is not safe for concurrent use; the operations run on it are parallel inside.
type Workspace[T Float] struct {
	pool   *Pool
	chunks [][]T
	chunk  int // chunk in use
	off    int // first free element in it
}

// Mark is a position in a workspace, for [Workspace.Release].
type Mark struct{ chunk, off int }

const (
	chunkElems = 1 << 18 // smallest chunk, elements
	alignElems = 16      // every tensor starts at a multiple of 64 bytes within its chunk
)

// NewWorkspace returns an empty workspace whose operations run on pool (nil: one worker).
func NewWorkspace[T Float](pool *Pool) *Workspace[T] {
	if pool == nil {
		pool = NewPool(1)
	}
	return &Workspace[T]{pool: pool}
}

// Pool returns the worker pool.
func (w *Workspace[T]) Pool() *Pool { return w.pool }

// New returns an uninitialised tensor from the arena; it is valid until a Release or Reset that
// covers it. The contents are arbitrary: use [Workspace.Zeros] where zeros are needed.
func (w *Workspace[T]) New(s Shape) Tensor[T] { return Tensor[T]{s, w.Slice(s.Size())} }

// Zeros is New with all elements zero.
func (w *Workspace[T]) Zeros(s Shape) Tensor[T] {
	t := w.New(s)
	clear(t.data)
	return t
}

// Slice returns n uninitialised elements from the arena. See [Workspace.New].
func (w *Workspace[T]) Slice(n int) []T {
	need := (n + alignElems - 1) / alignElems * alignElems
	for w.chunk < len(w.chunks) {
		if c := w.chunks[w.chunk]; w.off+need <= len(c) {
			s := c[w.off : w.off+n : w.off+n]
			w.off += need
			return s
		}
		w.chunk, w.off = w.chunk+1, 0
	}
	w.chunks = append(w.chunks, make([]T, max(chunkElems, need)))
	w.off = need
	return w.chunks[w.chunk][:n:n]
}

// Mark returns the present position.
func (w *Workspace[T]) Mark() Mark { return Mark{w.chunk, w.off} }

// Release gives back everything taken since m.
func (w *Workspace[T]) Release(m Mark) { w.chunk, w.off = m.chunk, m.off }

// Reset gives back everything.
func (w *Workspace[T]) Reset() { w.chunk, w.off = 0, 0 }

// Bytes returns the memory that the arena holds.
func (w *Workspace[T]) Bytes() int {
	n := 0
	for _, c := range w.chunks {
		n += len(c)
	}
	var z T
	if any(z) == any(float32(0)) {
		return 4 * n
	}
	return 8 * n
}
