package optim

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// blockLen is the number of elements that a chain takes through its elementwise links at a time: a
// few vectors of this length lie in the first-level cache together. It also cuts the sums over the
// parameters, so it is a part of what a trajectory's bits depend on; the number of workers is not.
const blockLen = 1024

// scratchVectors is the number of temporaries of a block.
const scratchVectors = 3

// Block is a range of the parameter buffer on its way through the elementwise links of a chain. A
// block lies within one parameter.
type Block[T tensor.Float] struct {
	Lo, Hi int // the range in the buffer
	Param  int // index of the parameter in the layout
	Index  int // of the block among all, for sums over blocks
	P      []T // the parameters of the range; only the last link of a chain writes them
	U      []T // the update vector of the range, to be transformed in place

	scratch [scratchVectors][]T
}

// Of returns the block's range of v, a vector with the layout of the parameters.
func (b *Block[T]) Of(v []T) []T { return v[b.Lo:b.Hi:b.Hi] }

// Scratch returns temporary i, 0 to 2, of the block's length; its contents are arbitrary.
func (b *Block[T]) Scratch(i int) []T { return b.scratch[i][: b.Hi-b.Lo : b.Hi-b.Lo] }

// span is a block's place.
type span struct{ lo, hi, param int }

// Stage is what the links of a chain are told about the step they take part in.
type Stage[T tensor.Float] struct {
	Objective *objective.Objective[T]
	Layout    *nn.Layout
	Params    []T                // the parameters, not yet updated
	Update    []T                // the update vector: the gradient at first, transformed by each link
	Progress  objective.Progress // of the update: of the whole window where gradients are accumulated
	T         int64              // number of this update, 1 for the first
	Loss      float64            // of the batch

	pool   *tensor.Pool
	spans  []span
	blocks []Block[T] // one a worker

	rate  float64
	rated bool // rate was set
	extra []Value

	// A reduction in progress: what the workers compute for every block, and where it goes.
	op      reduction
	a, b    []T
	partial []float64
	reduce  func(worker, part int)
	known   bool // norm2 is the squared norm of Update
	norm2   float64
}

type reduction uint8

const (
	sumSquares reduction = iota
	dotProduct
	sumAbs
)

func newStage[T tensor.Float](layout *nn.Layout, pool *tensor.Pool) *Stage[T] {
	if pool == nil {
		pool = tensor.NewPool(1)
	}
	s := &Stage[T]{Layout: layout, pool: pool, blocks: make([]Block[T], pool.Workers())}
	for i := range layout.Len() {
		p := layout.At(i)
		end := p.Offset + p.Shape.Size()
		for lo := p.Offset; lo < end; lo += blockLen {
			s.spans = append(s.spans, span{lo, min(end, lo+blockLen), i})
		}
	}
	for w := range s.blocks {
		for k := range scratchVectors {
			s.blocks[w].scratch[k] = make([]T, blockLen)
		}
	}
	s.partial = make([]float64, len(s.spans))
	s.reduce = s.reduceBlock
	return s
}

// at moves worker w's block to span i.
func (s *Stage[T]) at(w, i int) *Block[T] {
	b, at := &s.blocks[w], s.spans[i]
	b.Lo, b.Hi, b.Param, b.Index = at.lo, at.hi, at.param, i
	b.P, b.U = b.Of(s.Params), b.Of(s.Update)
	return b
}

// Log adds a quantity to the step's report.
func (s *Stage[T]) Log(name string, v float64) { s.extra = append(s.extra, Value{name, v}) }

// Blocks returns the number of blocks of a step.
func (s *Stage[T]) Blocks() int { return len(s.spans) }

// SetRate states the learning rate of the step, for the report.
func (s *Stage[T]) SetRate(v float64) { s.rate, s.rated = v, true }

// Norm returns the Euclidean norm of the update vector as it is.
func (s *Stage[T]) Norm() float64 {
	if !s.known {
		s.norm2, s.known = s.total(sumSquares, s.Update, nil), true
	}
	return math.Sqrt(s.norm2)
}

// Dot returns the inner product of two vectors with the layout of the parameters. Like all sums of a
// Stage it is taken block by block, and the blocks are added in order and in double precision.
func (s *Stage[T]) Dot(a, b []T) float64 { return s.total(dotProduct, a, b) }

// SumAbs returns the sum of the absolute values of a.
func (s *Stage[T]) SumAbs(a []T) float64 { return s.total(sumAbs, a, nil) }

// TensorSquares stores in dst, for each parameter of the layout, the sum of squares of its part of a.
func (s *Stage[T]) TensorSquares(dst []float64, a []T) {
	s.run(sumSquares, a, nil)
	clear(dst)
	for i, at := range s.spans {
		dst[at.param] += s.partial[i]
	}
}

func (s *Stage[T]) total(op reduction, a, b []T) float64 {
	s.run(op, a, b)
	sum := 0.0
	for _, x := range s.partial {
		sum += x
	}
	return sum
}

func (s *Stage[T]) run(op reduction, a, b []T) {
	s.op, s.a, s.b = op, a, b
	s.pool.Do(len(s.spans), s.reduce)
	s.a, s.b = nil, nil
}

func (s *Stage[T]) reduceBlock(worker, part int) {
	at := s.spans[part]
	a := s.a[at.lo:at.hi]
	switch s.op {
	case sumSquares:
		x := float64(simd.SumSquares(a))
		if math.IsInf(x, 1) && simd.AllFinite(a) {
			// The squares overflow float32, the numbers do not.
			x = 0
			for _, v := range a {
				x += float64(v) * float64(v)
			}
		}
		s.partial[part] = x
	case dotProduct:
		s.partial[part] = float64(simd.Dot(a, s.b[at.lo:at.hi]))
	case sumAbs:
		t := s.blocks[worker].scratch[0][:len(a)]
		simd.Abs(t, a)
		s.partial[part] = float64(simd.Sum(t))
	}
}
