package dataset

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"

	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Operator is how features spread over a graph in one hop. With A the adjacency matrix and D the diagonal of its
// degrees, H₀ = H the features:
//
//	Renormalized   H_k = Ã H_{k−1},                 Ã = (D+I)^{-1/2} (A+I) (D+I)^{-1/2}
//	RandomWalk     H_k = (D+I)⁻¹ (A+I) H_{k−1}
//	PageRank       H_k = 0.9 Ã H_{k−1} + 0.1 H      (personalised PageRank)
//	SelfLooped     H_k = (Ã + I) H_{k−1}            (rows grow by about two a hop)
//
// A node without neighbours keeps its own features under the first three.
type Operator uint8

const (
	Renormalized Operator = iota
	RandomWalk
	PageRank
	SelfLooped
)

var operatorNames = [...]string{"renormalized", "random-walk", "pagerank", "self-looped"}

// String returns the name in lower case.
func (p Operator) String() string {
	if int(p) < len(operatorNames) {
		return operatorNames[p]
	}
	return fmt.Sprintf("operator(%d)", uint8(p))
}

// OperatorByName returns the operator called name; Renormalized for the empty name.
func OperatorByName(name string) (Operator, error) {
	if name == "" {
		return Renormalized, nil
	}
	for i, n := range operatorNames {
		if n == name {
			return Operator(i), nil
		}
	}
	return 0, &Error{What: "unknown operator of a graph", Found: name, Expected: strings.Join(operatorNames[:], ", "),
		Hint: nearest.Hint(name, operatorNames[:], "renormalized is the usual one")}
}

// hopColumns is how many features spread at a time: the neighbours' rows of that width are added up by vector
// instructions, and two such strips of all nodes stay small.
const hopColumns = 32

// Propagate returns [len(rows), (hops+1)·Features], row after row: for every node of rows its features H and those after
// 1 … hops hops, H_1 … H_hops, side by side. The arithmetic is float64, rounded to T at the end, the sum over the
// neighbours in ascending order: the same bits for every number of processors.
//
// Cost: 4·hops·Edges·Features flops, which is a second or two for 250,000 edges and 8,000 features; two strips of 32
// features of all nodes for each processor beside the result.
func Propagate[T tensor.Float](g *Graph, op Operator, hops int, rows []int32) []T {
	if hops < 0 {
		panic(fmt.Sprintf("dataset: Propagate over %d hops", hops))
	}
	width := (hops + 1) * g.Features
	out := make([]T, len(rows)*width)
	left, right := operatorScales(g, op)
	byColumn := g.columns()
	strips := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (g.Features+hopColumns-1)/hopColumns) {
		wg.Go(func() {
			n := g.Nodes()
			h, next, start := make([]float64, n*hopColumns), make([]float64, n*hopColumns), []float64(nil)
			for lo := range strips {
				hi := min(lo+hopColumns, g.Features)
				clear(h)
				for j := lo; j < hi; j++ {
					for _, e := range byColumn[j] {
						h[int(e.node)*hopColumns+j-lo] += e.value
					}
				}
				if op == PageRank {
					start = append(start[:0], h...)
				}
				for k := range hops + 1 {
					if k > 0 {
						g.spread(op, next, h, start, left, right)
						h, next = next, h
					}
					for i, r := range rows {
						to := out[i*width+k*g.Features+lo:][:hi-lo]
						for j := range to {
							to[j] = T(h[int(r)*hopColumns+j])
						}
					}
				}
			}
		})
	}
	for lo := 0; lo < g.Features; lo += hopColumns {
		strips <- lo
	}
	close(strips)
	wg.Wait()
	return out
}

// operatorScales returns the factors of a sum over neighbours and the node itself: left of its result, right of what is
// added up.
func operatorScales(g *Graph, op Operator) (left, right []float64) {
	left, right = make([]float64, g.Nodes()), make([]float64, g.Nodes())
	for i := range left {
		d := float64(g.Degree(i) + 1)
		left[i], right[i] = 1/math.Sqrt(d), 1/math.Sqrt(d)
		if op == RandomWalk {
			left[i], right[i] = 1/d, 1
		}
	}
	return left, right
}

// restart is the weight of a node's own features in each hop of personalised PageRank.
const restart = 0.1

// spread stores the next hop of the strip h [nodes, hopColumns] in next.
func (g *Graph) spread(op Operator, next, h, start, left, right []float64) {
	for i := range g.Nodes() {
		sum := next[i*hopColumns:][:hopColumns]
		own := h[i*hopColumns:][:hopColumns]
		for j := range sum {
			sum[j] = right[i] * own[j]
		}
		for _, k := range g.Neighbours[g.First[i]:g.First[i+1]] {
			simd.Axpy(sum, right[k], h[int(k)*hopColumns:][:hopColumns])
		}
		simd.Scale(sum, sum, left[i])
		switch op {
		case PageRank:
			simd.Axpby(sum, restart, start[i*hopColumns:][:hopColumns], 1-restart)
		case SelfLooped:
			simd.Add(sum, sum, own)
		}
	}
}

// entry is a feature of a node.
type entry struct {
	node  int32
	value float64
}

// columns returns the non-zero features by column.
func (g *Graph) columns() [][]entry {
	by := make([][]entry, g.Features)
	for i := range g.Nodes() {
		for k := g.Start[i]; k < g.Start[i+1]; k++ {
			by[g.Column[k]] = append(by[g.Column[k]], entry{int32(i), g.Value[k]})
		}
	}
	return by
}
