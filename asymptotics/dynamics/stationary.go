package dynamics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/asymptotics/kernel"
	"github.com/descent-ml/descent/asymptotics/verdict"
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// Stationary is a sample of the stationary law of (x_k, y_k, u_{k-1}) in the limit of infinite width: the fixed point that training sees.
type Stationary struct {
	Path
	Memory []float64 // u_{k-1}, one a sample
	// Contraction is E|B|·sup|σ'|: below 1 the memory forgets its start.
	Contraction float64 `json:"contraction"`
	// MemorySD is the standard deviation of u: at 0 the network has no memory.
	MemorySD float64       `json:"memory_sd"`
	Label    verdict.Label `json:"label"`

	rnn   RNN
	nodes *nodes
}

// nodes is a quadrature of the start of one unit: W, and B where it depends on W.
type nodes struct {
	count, d int
	w        []float64 // [d, count]
	weight   []float64 // of the nodes; their sum is 1
	b        []float64 // weight·E(B | W)
	c2       float64   // E C²
	z, s     []float64
}

// newNodes has, for one input, equidistant nodes with the weights of the normal density, a rule whose error falls exponentially with their number
// for smooth functions; for more inputs, normal points with their reflections and equal weights. Both are symmetric.
func newNodes(r RNN, count int) *nodes {
	d := r.Data.Inputs()
	if count == 0 {
		count = 96
		if d > 1 {
			count = 512
		}
	}
	count += count % 2
	n := &nodes{count: count, d: d, w: make([]float64, d*count), weight: make([]float64, count), b: make([]float64, count), z: make([]float64, count), s: make([]float64, count),
		c2: r.output() * r.output() / 3}
	half := count / 2
	for j := range d {
		row := n.w[j*count : (j+1)*count]
		if d == 1 {
			const reach = 7.0
			for i := range half {
				row[i] = reach * (float64(i) + 0.5) / float64(half)
			}
		} else {
			tensor.Normal(tensor.KeyOf(1).Named("nodes").Fold(uint64(j)), row[:half], 0, 1)
		}
		simd.Scale(row[half:], row[:half], -1)
	}
	for i := range n.weight {
		n.weight[i] = 1
		if d == 1 {
			n.weight[i] = math.Exp(-n.w[i] * n.w[i] / 2)
		}
	}
	simd.Scale(n.weight, n.weight, 1/simd.Sum(n.weight))
	if r.Memory.Coupled {
		simd.Tanh(n.b, n.w[:count])
		simd.Scale(n.b, n.b, r.Memory.Scale)
	} else {
		for i := range n.b {
			n.b[i] = r.Memory.Mean
		}
	}
	simd.Mul(n.b, n.b, n.weight)
	return n
}

// units computes z = W·x + u and s = σ(z) at all nodes.
func (n *nodes) units(sigma Nonlinearity, x []float64, u float64) {
	simd.Scale(n.z, n.w[:n.count], x[0])
	for j := 1; j < n.d; j++ {
		simd.Axpy(n.z, x[j], n.w[j*n.count:(j+1)*n.count])
	}
	simd.AddScalar(n.z, n.z, u)
	sigma.value(n.s, n.z)
}

// step returns u_k = <b σ(W·x_k + u_{k-1})>.
func (n *nodes) step(sigma Nonlinearity, x []float64, u float64) float64 {
	n.units(sigma, x, u)
	return simd.Dot(n.b, n.s)
}

// meanAbs is E|B|.
func (r RNN) meanAbs(n *nodes) float64 {
	if r.Memory.Coupled {
		sum := 0.0
		for _, b := range n.b {
			sum += math.Abs(b)
		}
		return sum
	}
	m, s := math.Abs(r.Memory.Mean), r.Memory.SD
	if s == 0 {
		return m
	}
	// Of a normal law.
	return s*math.Sqrt(2/math.Pi)*math.Exp(-m*m/(2*s*s)) + m*math.Erf(m/(s*math.Sqrt2))
}

// Stationary runs the limit's memory recursion on one path of the data and keeps samples of it, thin steps apart, after 200 steps
// to forget the start. nodes is the number of quadrature nodes over W; 0 stands for 96 with one input and 512 with more. Cost: samples·thin·nodes
// evaluations of σ.
func (r RNN) Stationary(key tensor.Key, samples, thin, nodes int) (*Stationary, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	if samples < 2 || thin < 1 || nodes < 0 {
		return nil, fmt.Errorf("dynamics: found %d samples %d steps apart with %d nodes, expected at least 2 samples and 1 step\nhint: 20000 samples, 1 step, 0 nodes for the default", samples, thin, nodes)
	}
	const burn = 200
	q := newNodes(r, nodes)
	all := PathOf(r.Data, key, burn+samples*thin)
	s := &Stationary{rnn: r, nodes: q, Contraction: r.meanAbs(q) * r.Sigma.Lipschitz, Label: verdict.Derived}
	var u, mean, square float64
	for k := range all.Y {
		x := all.X[k*q.d : (k+1)*q.d]
		if k >= burn && (k-burn)%thin == 0 {
			s.X = append(s.X, x...)
			s.Y = append(s.Y, all.Y[k])
			s.Memory = append(s.Memory, u)
			mean += u
		}
		u = q.step(r.Sigma, x, u)
	}
	mean /= float64(len(s.Memory))
	for _, v := range s.Memory {
		square += (v - mean) * (v - mean)
	}
	s.MemorySD = math.Sqrt(square / float64(len(s.Memory)-1))
	return s, nil
}

// noMemory is the standard deviation of u below which a network counts as one without memory.
const noMemory = 1e-8

// Check says in plain words what of the limit's assumptions fails.
func (s *Stationary) Check() []string {
	var w []string
	if s.Contraction >= 1 {
		w = append(w, fmt.Sprintf("E|B|·sup|σ'| = %.3g is not below 1: the memory need not forget its start, and the stationary law need not be unique", s.Contraction))
	}
	if s.MemorySD < noMemory {
		why := "the memory weights average out"
		if s.rnn.Sigma.Odd && !s.rnn.Memory.Coupled {
			why = "σ is odd, W symmetric, and B independent of W"
		}
		w = append(w, fmt.Sprintf("the limit has no memory: sd(u) = %.1g, since %s; let B depend on W, or give σ or B a mean", s.MemorySD, why))
	}
	return w
}

// Points returns the memory u_{k-1} in front of every step of a path, starting from zero.
func (s *Stationary) Points(p Path) []float64 {
	u := make([]float64, len(p.Y))
	d := s.nodes.d
	for k := 1; k < len(u); k++ {
		u[k] = s.nodes.step(s.rnn.Sigma, p.X[(k-1)*d:k*d], u[k-1])
	}
	return u
}

// Limit is the kernel equation of the output under the stationary law,
//
//	dg_t(v)/dt = α E_μ[(y - g_t(v')) K(v, v')],   K((x,u),(x',u')) = <v v' + c² σ'(z)σ'(z') x·x'>,   v = σ(w·x + u)
//
// with g_0 = 0 for β > 1/2, Gaussian with covariance <c² v v'> for β = 1/2. K is a finite sum over the nodes, K = φ·φ' with the features
// φ = (v, c σ' x)·√weight, so the equation is one in their space: with S = E φφᵀ and b = E φ y,
//
//	g_t = φᵀθ_t,   θ_t = e^{-αSt} θ_0 + (1 - e^{-αSt}) S⁻¹ b,   Cov θ_0 = c² on the v part.
//
// The number of samples then costs time and no memory.
type Limit struct {
	s       *Stationary
	forget  bool
	values  []float64
	vectors tensor.Tensor[float64]
	b       []float64 // in the eigenbasis
}

// chunk is the number of samples whose features are in memory at once.
const chunk = 512

// Limit averages over the sample. forget replaces u by zero: a kernel without memory, for comparison. Cost: samples·F² for F = nodes·(1 + inputs)
// features, and the eigenvalues of an F×F matrix.
func (s *Stationary) Limit(pool *tensor.Pool, forget bool) (*Limit, error) {
	l := &Limit{s: s, forget: forget}
	n, f := len(s.Y), s.nodes.count*(1+s.nodes.d)
	ws := tensor.NewWorkspace[float64](pool)
	l.values, l.vectors = make([]float64, f), tensor.New[float64](f, f)
	moment, b := tensor.New[float64](f, f), tensor.New[float64](f, 1)
	for lo := 0; lo < n; lo += chunk {
		hi := min(n, lo+chunk)
		phi := l.features(s.X[lo*s.nodes.d:hi*s.nodes.d], s.Memory[lo:hi])
		y := tensor.FromSlice(s.Y[lo:hi], hi-lo, 1)
		tensor.MatMulAcc(ws, moment, phi, phi, true, false)
		tensor.MatMulAcc(ws, b, phi, y, true, false)
		ws.Reset()
	}
	tensor.Scale(ws, moment, moment, 1/float64(n))
	tensor.Scale(ws, b, b, 1/float64(n))
	if err := linalg.SymmetricEigen(ws, l.values, l.vectors, moment); err != nil {
		return nil, fmt.Errorf("dynamics: eigenvalues of the limit's kernel: %w\nhint: look for data that is not finite", err)
	}
	rotated := tensor.New[float64](f, 1)
	tensor.MatMul(ws, rotated, l.vectors, b, true, false)
	l.b = rotated.Data()
	return l, nil
}

// Eigenvalues returns those of the kernel under the stationary law, ascending; mode i decays at the rate α times the i-th.
func (l *Limit) Eigenvalues() []float64 { return l.values }

// features returns φ [points, nodes·(1+inputs)] at the points (x, u).
func (l *Limit) features(x, u []float64) tensor.Tensor[float64] {
	n := l.s.nodes
	f := n.count * (1 + n.d)
	phi := tensor.New[float64](len(u), f)
	root, slope, grad := make([]float64, n.count), make([]float64, n.count), make([]float64, n.count)
	simd.Sqrt(root, n.weight)
	simd.Scale(slope, root, math.Sqrt(n.c2))
	for i, v := range u {
		if l.forget {
			v = 0
		}
		row := phi.Data()[i*f : (i+1)*f]
		n.units(l.s.rnn.Sigma, x[i*n.d:(i+1)*n.d], v)
		simd.Mul(row[:n.count], n.s, root)
		l.s.rnn.Sigma.grad(grad, n.s, n.z, slope)
		for j := range n.d {
			simd.Scale(row[(1+j)*n.count:(2+j)*n.count], grad, x[i*n.d+j])
		}
	}
	return phi
}

// Predict returns mean and covariance of the outputs at time t on the steps of p from burn on; the covariance is the zero Tensor for β > 1/2.
func (l *Limit) Predict(pool *tensor.Pool, p Path, burn int, t float64) kernel.Prediction {
	ws := tensor.NewWorkspace[float64](pool)
	n := l.s.nodes
	phi := l.features(p.X[burn*n.d:], l.s.Points(p)[burn:])
	m, f := phi.Shape().Rows(), phi.Shape().Cols()
	rotated := ws.New(phi.Shape())
	tensor.MatMul(ws, rotated, phi, l.vectors, false, false)
	alpha := l.s.rnn.Alpha
	theta, decay := ws.New(tensor.ShapeOf(f, 1)), ws.New(tensor.ShapeOf(f))
	for i, v := range l.values {
		v = math.Max(0, v)
		decay.Data()[i] = math.Exp(-alpha * v * t)
		theta.Data()[i] = alpha * t * l.b[i]
		if v > 0 {
			theta.Data()[i] = -math.Expm1(-alpha*v*t) / v * l.b[i]
		}
	}
	out := kernel.Prediction{Time: t, Mean: tensor.New[float64](m, 1)}
	tensor.MatMul(ws, out.Mean, rotated, theta, false, false)
	if l.s.rnn.Beta > 0.5 {
		return out
	}
	// Cov = c² A Aᵀ with A = φᵀ e^{-αSt} cut to the v part.
	tensor.MulAxis(ws, rotated, rotated, decay, tensor.AxisOf(rotated.Shape(), 0, 1))
	back := ws.New(phi.Shape())
	tensor.MatMul(ws, back, rotated, l.vectors, false, true)
	part := ws.New(tensor.ShapeOf(m, n.count))
	for i := range m {
		simd.Scale(part.Data()[i*n.count:(i+1)*n.count], back.Data()[i*f:i*f+n.count], math.Sqrt(n.c2))
	}
	out.Cov = tensor.New[float64](m, m)
	tensor.MatMul(ws, out.Cov, part, part, false, true)
	return out
}
