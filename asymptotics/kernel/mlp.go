package kernel

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/tensor"
)

// MLP is a network of infinite width: Depth hidden layers with the activation σ, and a readout,
//
//	Y_1 = X W_1 + b_1,   Y_{l+1} = σ(Y_l) W_{l+1} + b_{l+1},     W_{l+1} of variance WeightVar/width, b of variance BiasVar.
//
// Its output at the start is the Gaussian process with covariance Q (NNGP), and it moves in training by the tangent kernel Θ (NTK), with S and D
// the dual of Q ([Activation]):
//
//	Q_1 = WeightVar·s·XXᵀ + BiasVar      Q_{l+1} = WeightVar·S(Q_l) + BiasVar
//	Θ_1 = Q_1                            Θ_{l+1} = Q_{l+1} + WeightVar·Θ_l ∘ D(Q_l)
//
// Jacot, Gabriel and Hongler, Neural tangent kernel, 2018; Lee et al., Deep neural networks as Gaussian processes, 2018. With Depth 0 it
// is the linear model.
type MLP struct {
	Activation Activation
	Depth      int
	WeightVar  float64 // 0 stands for 1
	BiasVar    float64
	// Input is the factor s of XXᵀ: 0 stands for 1/features, which is right for features of size one; 1 for weights of unit
	// variance on inputs of unit length.
	Input float64
	// Frozen leaves the biases out of the training: their variance counts in Q and not in Θ.
	Frozen bool
}

// Validate says what is wrong with the numbers.
func (m MLP) Validate() error {
	if m.Depth < 0 || m.Depth > 10000 || m.Depth > 0 && m.Activation.f == nil {
		return fmt.Errorf("kernel: found depth %d with the activation %q, expected a depth from 0 and an activation\nhint: a shallow network has depth 1", m.Depth, m.Activation.Name)
	}
	if !(m.WeightVar >= 0) || !(m.BiasVar >= 0) || !(m.Input >= 0) {
		return fmt.Errorf("kernel: found variances %g and %g and input scale %g, expected numbers from 0 on\nhint: leave them out for 1, 0 and 1/features", m.WeightVar, m.BiasVar, m.Input)
	}
	return nil
}

// Kernels are the covariance at the start and the tangent kernel of the same pairs of points.
type Kernels struct {
	NNGP tensor.Tensor[float64] // Q, [n, m]
	NTK  tensor.Tensor[float64] // Θ, [n, m]
}

// Kernel returns the kernels between the rows of x [n, features] and of y [m, features]; a zero y stands for x, and the result is
// then symmetric to the last bit. Memory: the two results, and for quadratures 1 kB a point and layer. The error says which number of the
// data is not finite. It panics with a [tensor.ShapeError] if the features differ.
func (m MLP) Kernel(pool *tensor.Pool, x, y tensor.Tensor[float64]) (Kernels, error) {
	if err := m.Validate(); err != nil {
		return Kernels{}, err
	}
	symmetric := y.IsZero()
	if symmetric {
		y = x
	}
	if x.Shape().Cols() != y.Shape().Cols() {
		panic(tensor.ShapeError{Op: "kernel.MLP.Kernel", A: x.Shape(), B: y.Shape()})
	}
	if !tensor.AllFinite(x) || !tensor.AllFinite(y) {
		return Kernels{}, fmt.Errorf("kernel: the inputs have elements that are not finite\nhint: clean the data, or normalise it")
	}
	if pool == nil {
		pool = tensor.NewPool(1)
	}
	if m.WeightVar == 0 {
		m.WeightVar = 1
	}
	if m.Input == 0 {
		m.Input = 1 / float64(max(1, x.Shape().Cols()))
	}
	rows, cols := m.states(x), m.states(y)
	if symmetric {
		cols = rows
	}
	n, k := x.Shape().Rows(), y.Shape().Rows()
	out := Kernels{tensor.New[float64](n, k), tensor.New[float64](n, k)}
	ws := tensor.NewWorkspace[float64](pool)
	tensor.MatMul(ws, out.NNGP, x, y, false, true)
	tensor.Scale(ws, out.NNGP, out.NNGP, m.WeightVar*m.Input)
	tensor.AddScalar(ws, out.NNGP, out.NNGP, m.BiasVar)
	q, t := out.NNGP.Data(), out.NTK.Data()
	trained := m.BiasVar
	if m.Frozen {
		trained = 0
	}
	pool.Do(n, func(_, i int) {
		first := 0
		if symmetric {
			first = i
		}
		for j := first; j < k; j++ {
			cov := q[i*k+j]
			theta := cov - m.BiasVar + trained
			for l := range m.Depth {
				s, d := m.pair(rows, cols, l, i, j, cov)
				cov = m.WeightVar*s + m.BiasVar
				theta = m.WeightVar*(s+theta*d) + trained
			}
			q[i*k+j], t[i*k+j] = cov, theta
		}
	})
	if symmetric {
		mirror(q, n)
		mirror(t, n)
	}
	return out, nil
}

// mirror copies the upper triangle to the lower.
func mirror(a []float64, n int) {
	for i := range n {
		for j := range i {
			a[i*n+j] = a[j*n+i]
		}
	}
}

// states is what the recursion needs of single points: the variances, layer by layer, and their Hermite series for an activation
// without formula.
type states struct {
	variance [][]float64
	series   [][]*series
}

func (m MLP) states(x tensor.Tensor[float64]) states {
	n, d := x.Shape().Rows(), x.Shape().Cols()
	var s states
	v := make([]float64, n)
	for i := range v {
		row := tensor.FromSlice(x.Data()[i*d:(i+1)*d], d)
		v[i] = m.WeightVar*m.Input*tensor.Dot(tensor.NewWorkspace[float64](nil), row, row) + m.BiasVar
	}
	for range m.Depth {
		s.variance = append(s.variance, v)
		next := make([]float64, n)
		var list []*series
		if m.Activation.usesSeries() {
			list = make([]*series, n)
			known := map[float64]*series{}
			for i, a := range v {
				if known[a] == nil {
					known[a] = m.Activation.newSeries(a)
				}
				list[i] = known[a]
			}
		}
		for i, a := range v {
			var second float64
			if list != nil {
				second = list[i].second
			} else {
				second, _ = m.Activation.Pair(a, a, a)
			}
			next[i] = m.WeightVar*second + m.BiasVar
		}
		s.series = append(s.series, list)
		v = next
	}
	return s
}

// usesSeries reports whether the dual is summed by Mehler's series.
func (s Activation) usesSeries() bool { return s.dual == nil && len(s.kinks) == 0 }

func (m MLP) pair(rows, cols states, l, i, j int, cov float64) (value, slope float64) {
	if rows.series[l] != nil {
		return m.Activation.pair(rows.series[l][i], cols.series[l][j], cov)
	}
	return m.Activation.Pair(rows.variance[l][i], cols.variance[l][j], cov)
}

// Correlations returns the correlation of two inputs layer by layer, from the first pre-activation on: at 1 after few layers, deep networks of
// this kind cannot tell points apart; a is the first variance, the same for both points, and r their first correlation.
func (m MLP) Correlations(a, r float64, layers int) []float64 {
	if m.WeightVar == 0 {
		m.WeightVar = 1
	}
	out := []float64{r}
	for range layers {
		v, _ := m.Activation.Pair(a, a, a)
		c, _ := m.Activation.Pair(a, a, r*a)
		next := m.WeightVar*v + m.BiasVar
		r = (m.WeightVar*c + m.BiasVar) / math.Max(next, math.SmallestNonzeroFloat64)
		a = next
		out = append(out, r)
	}
	return out
}
