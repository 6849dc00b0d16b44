package asymptotics

import (
	"github.com/descent-ml/descent/tensor"
)

// nodeBlock is the number of nodes of a block: the unit of work of a worker and of the order of sums.
const nodeBlock = 256

// NodeRule is how quadrature nodes of μ₀ are chosen.
type NodeRule uint8

const (
	// Sobol carries scrambled Sobol points through the inverse distribution functions. The error of a smooth mean falls
	// nearly as 1/P; past 21 coordinates the rest is a Latin hypercube.
	Sobol NodeRule = iota
	// Paired makes nodes in ±w, and in ±c where the output law is symmetric; a skewed output law is recentred to the exact
	// mean. What vanishes by symmetry then vanishes exactly, which slope tests at large s need.
	Paired
	// Independent draws nodes independently: error 1/√P, for comparison.
	Independent
)

// nodeSet is the parameters of P neurons in blocks of nodeBlock nodes. Block k is [1+d, n] row-major: row 0 is c, then the
// rows of w, each contiguous over its n nodes (n = nodeBlock but for the last block).
type nodeSet struct {
	d, count int
	data     []float64 // (1+d)·count
}

func newNodeSet(d, count int) nodeSet {
	return nodeSet{d: d, count: count, data: make([]float64, (1+d)*count)}
}

// blocks returns the number of blocks.
func (s *nodeSet) blocks() int { return (s.count + nodeBlock - 1) / nodeBlock }

// span returns the first node and the number of nodes of block k.
func (s *nodeSet) span(k int) (at, n int) {
	at = k * nodeBlock
	return at, min(nodeBlock, s.count-at)
}

// block returns the rows of block k.
func (s *nodeSet) block(k int) []float64 {
	at, n := s.span(k)
	return s.data[at*(1+s.d) : (at+n)*(1+s.d)]
}

// set stores coordinate j of all nodes.
func (s *nodeSet) set(j int, v []float64) {
	for k := range s.blocks() {
		at, n := s.span(k)
		copy(s.block(k)[j*n:(j+1)*n], v[at:])
	}
}

// get loads coordinate j of all nodes.
func (s *nodeSet) get(j int, v []float64) {
	for k := range s.blocks() {
		at, n := s.span(k)
		copy(v[at:at+n], s.block(k)[j*n:(j+1)*n])
	}
}

// makeNodes returns count quadrature nodes of μ₀, rounded up to a multiple of 4 for Paired.
func makeNodes(p *Problem, count int, rule NodeRule, seed uint64) nodeSet {
	d := p.Inputs()
	key := tensor.KeyOf(seed).Named("nodes")
	signs := 1 // copies of a base node
	if rule == Paired {
		signs = 2
		if p.Init.Output.Symmetric() {
			signs = 4
		}
		count = (count + 3) / 4 * 4
	}
	s := newNodeSet(d, count)
	base := count / signs
	v, all := make([]float64, base), make([]float64, count)
	for j := range 1 + d {
		l := p.Init.coordinate(j, d, p.Bias)
		if rule == Independent {
			sample(l, key.Fold(uint64(j)), v)
		} else {
			sobol(key, j, v)
			for i, u := range v {
				v[i] = l.Quantile(u)
			}
		}
		if j == 0 && signs == 2 {
			recentre(v, l.Moment(1))
		}
		for k := range signs {
			sign := 1.0
			if j == 0 && k >= 2 || j > 0 && k%2 == 1 && l.Symmetric() {
				sign = -1
			}
			for i, x := range v {
				all[k*base+i] = sign * x
			}
		}
		s.set(j, all)
	}
	return s
}

// recentre shifts v to the given mean.
func recentre(v []float64, mean float64) {
	var sum float64
	for _, x := range v {
		sum += x
	}
	shift := mean - sum/float64(len(v))
	for i := range v {
		v[i] += shift
	}
}
