package kernel

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/tensor"
)

// GCN is a graph convolutional network of infinite width on the nodes of one graph, with aggregation matrix Â:
//
//	Y_1 = Â X W_1,   Y_{l+1} = Â σ(Y_l) W_{l+1}
//
// with Depth hidden layers and a readout that aggregates too. Between the nodes,
//
//	Q ← Â Q₀ Âᵀ, Θ ← Q            and a layer:   (S, D) = dual(Q),   Θ ← WeightVar·Â (S + Θ ∘ D) Âᵀ,   Q ← WeightVar·Â S Âᵀ
//
// with Q₀ = WeightVar·s·XXᵀ. The recursion is derived and confirmed by simulation; the graph is fixed, the width infinite.
type GCN struct {
	Activation Activation
	Depth      int
	WeightVar  float64 // 0 stands for 1
	Input      float64 // factor s of XXᵀ; 0 stands for 1/features
}

// Aggregation is the matrix Â of a graph. Set one of the two.
type Aggregation struct {
	Dense  tensor.Tensor[float64] // [nodes, nodes]
	Sparse *tensor.CSR[float64]
}

// Symmetric returns D^{-1/2} (A + I) D^{-1/2}, D the degrees with the loop, of Kipf and Welling, 2017, for the graph with the given undirected
// edges. The error names an edge that leaves the graph.
func Symmetric(nodes int, edges [][2]int) (Aggregation, error) {
	a := tensor.New[float64](nodes, nodes)
	for i := range nodes {
		a.Set(1, i, i)
	}
	for k, e := range edges {
		if e[0] < 0 || e[1] < 0 || e[0] >= nodes || e[1] >= nodes {
			return Aggregation{}, fmt.Errorf("kernel: edge %d joins %d and %d, found %d nodes\nhint: nodes are numbered from 0", k, e[0], e[1], nodes)
		}
		a.Set(1, e[0], e[1])
		a.Set(1, e[1], e[0])
	}
	d := a.Data()
	inv := make([]float64, nodes)
	for i := range nodes {
		deg := 0.0
		for _, v := range d[i*nodes : (i+1)*nodes] {
			deg += v
		}
		inv[i] = 1 / math.Sqrt(deg)
	}
	for i := range nodes {
		for j := range nodes {
			d[i*nodes+j] *= inv[i] * inv[j]
		}
	}
	return Aggregation{Dense: a}, nil
}

// times stores Â k Âᵀ in dst, for symmetric k.
func (a Aggregation) times(ws *tensor.Workspace[float64], dst, k tensor.Tensor[float64]) {
	mark := ws.Mark()
	defer ws.Release(mark)
	half, turned := ws.New(k.Shape()), ws.New(k.Shape())
	if a.Sparse != nil {
		tensor.SparseMatMul(ws, half, a.Sparse, k)
		tensor.Permute(ws, turned, half, []int{1, 0})
		tensor.SparseMatMul(ws, dst, a.Sparse, turned)
		return
	}
	tensor.MatMul(ws, half, a.Dense, k, false, false)
	tensor.MatMul(ws, dst, half, a.Dense, false, true)
}

// Kernel returns the kernels between all nodes, whose features are the rows of x [nodes, features]. Memory: five matrices of that
// size. The error says what does not fit.
func (g GCN) Kernel(pool *tensor.Pool, a Aggregation, x tensor.Tensor[float64]) (Kernels, error) {
	m := MLP{Activation: g.Activation, Depth: g.Depth, WeightVar: g.WeightVar, Input: g.Input}
	if err := m.Validate(); err != nil {
		return Kernels{}, err
	}
	n := x.Shape().Rows()
	if a.Sparse == nil && a.Dense.Shape() != tensor.ShapeOf(n, n) {
		return Kernels{}, fmt.Errorf("kernel: the aggregation is %v, found %d nodes in the features\nhint: one row of features for each node", a.Dense.Shape(), n)
	}
	if !tensor.AllFinite(x) {
		return Kernels{}, fmt.Errorf("kernel: the features have elements that are not finite\nhint: clean the data, or normalise it")
	}
	wv, in := g.WeightVar, g.Input
	if wv == 0 {
		wv = 1
	}
	if in == 0 {
		in = 1 / float64(max(1, x.Shape().Cols()))
	}
	ws := tensor.NewWorkspace[float64](pool)
	s, d, q, t := tensor.New[float64](n, n), tensor.New[float64](n, n), tensor.New[float64](n, n), tensor.New[float64](n, n)
	tensor.MatMul(ws, s, x, x, false, true)
	tensor.Scale(ws, s, s, wv*in)
	a.times(ws, q, s)
	tensor.Copy(ws, t, q)
	for range g.Depth {
		g.Activation.matrix(ws.Pool(), s, d, q)
		tensor.Mul(ws, d, d, t)
		tensor.Add(ws, d, d, s)
		a.times(ws, t, d)
		a.times(ws, q, s)
		tensor.Scale(ws, t, t, wv)
		tensor.Scale(ws, q, q, wv)
	}
	return Kernels{q, t}, nil
}

// matrix stores the dual of the covariance matrix q [n, n] in value and slope.
func (s Activation) matrix(pool *tensor.Pool, value, slope, q tensor.Tensor[float64]) {
	n := q.Shape().Rows()
	v, d, c := value.Data(), slope.Data(), q.Data()
	list := make([]*series, n)
	if s.usesSeries() {
		for i := range list {
			list[i] = s.newSeries(math.Max(0, c[i*n+i]))
		}
	}
	if pool == nil {
		pool = tensor.NewPool(1)
	}
	pool.Do(n, func(_, i int) {
		for j := i; j < n; j++ {
			if list[i] != nil {
				v[i*n+j], d[i*n+j] = s.pair(list[i], list[j], c[i*n+j])
			} else {
				v[i*n+j], d[i*n+j] = s.Pair(math.Max(0, c[i*n+i]), math.Max(0, c[j*n+j]), c[i*n+j])
			}
		}
	})
	mirror(v, n)
	mirror(d, n)
}

// Oversmoothing returns the smallest correlation between two nodes after 0, 1, … Depth layers: near 1, the nodes look alike and depth
// has done away with the graph.
func (g GCN) Oversmoothing(pool *tensor.Pool, a Aggregation, x tensor.Tensor[float64]) ([]float64, error) {
	out := make([]float64, 0, g.Depth+1)
	for l := range g.Depth + 1 {
		h := g
		h.Depth = l
		k, err := h.Kernel(pool, a, x)
		if err != nil {
			return nil, err
		}
		n := k.NNGP.Shape().Rows()
		q := k.NNGP.Data()
		least := 1.0
		for i := range n {
			for j := range i {
				least = math.Min(least, correlation(q[i*n+i], q[j*n+j], q[i*n+j]))
			}
		}
		out = append(out, least)
	}
	return out, nil
}
