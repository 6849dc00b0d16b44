package kernel

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// Spectrum is the eigendecomposition of a kernel matrix between n points, repaired to be positive semi-definite.
type Spectrum struct {
	Values  []float64              `json:"values"` // descending, none negative
	Vectors tensor.Tensor[float64] `json:"-"`      // [n, n], column j belongs to Values[j]
	Repair  Repair                 `json:"repair"`
}

// Repair tells what was done to make a matrix a kernel.
type Repair struct {
	Asymmetry float64 `json:"asymmetry"` // max |K_ij - K_ji| / max |K|; the mean of the two is used
	Negative  int     `json:"negative"`  // eigenvalues below zero, set to zero
	Least     float64 `json:"least"`     // the smallest eigenvalue found
	Relative  float64 `json:"relative"`  // |Least|/largest where Least < 0: rounding leaves about n·10⁻¹⁶
}

// String says in words what was repaired.
func (r Repair) String() string {
	if r.Negative == 0 {
		return "positive semi-definite as found"
	}
	return fmt.Sprintf("%d negative eigenvalues set to zero, the least %.3g (%.2g of the largest)", r.Negative, r.Least, r.Relative)
}

// SpectrumOf decomposes k [n, n]. The error names an element that is not finite. Cost: 14n³/3 flops.
func SpectrumOf(pool *tensor.Pool, k tensor.Tensor[float64]) (*Spectrum, error) {
	n := k.Shape().Rows()
	if k.Shape() != tensor.ShapeOf(n, n) {
		panic(tensor.ShapeError{Op: "kernel.SpectrumOf", A: k.Shape(), B: tensor.ShapeOf(n, n)})
	}
	ws := tensor.NewWorkspace[float64](pool)
	s := &Spectrum{Values: make([]float64, n), Vectors: tensor.New[float64](n, n)}
	sym := tensor.New[float64](n, n)
	src, dst := k.Data(), sym.Data()
	var most float64
	for i := range n {
		for j := range n {
			most = math.Max(most, math.Abs(src[i*n+j]))
			s.Repair.Asymmetry = math.Max(s.Repair.Asymmetry, math.Abs(src[i*n+j]-src[j*n+i]))
			dst[i*n+j] = (src[i*n+j] + src[j*n+i]) / 2
		}
	}
	if most > 0 {
		s.Repair.Asymmetry /= most
	}
	ascending := make([]float64, n)
	vectors := tensor.New[float64](n, n)
	if err := linalg.SymmetricEigen(ws, ascending, vectors, sym); err != nil {
		return nil, fmt.Errorf("kernel: the eigenvalues of a %d×%d kernel: %w\nhint: look for points that are not finite", n, n, err)
	}
	v, out := vectors.Data(), s.Vectors.Data()
	for j := range n {
		from := n - 1 - j
		s.Values[j] = math.Max(0, ascending[from])
		for i := range n {
			out[i*n+j] = v[i*n+from]
		}
	}
	for _, x := range ascending {
		if x < 0 {
			s.Repair.Negative++
		}
	}
	if n > 0 {
		s.Repair.Least = ascending[0]
		if ascending[0] < 0 && s.Values[0] > 0 {
			s.Repair.Relative = -ascending[0] / s.Values[0]
		}
	}
	return s, nil
}

// EffectiveDimension is Σ λ/(λ + ridge): the number of modes that a regression with that ridge, on the sum of squares, can use. Training for
// a time t acts like the ridge n/(αt).
func (s *Spectrum) EffectiveDimension(ridge float64) float64 {
	sum := 0.0
	for _, v := range s.Values {
		if v > 0 {
			sum += v / (v + ridge)
		}
	}
	return sum
}

// Participation is (Σλ)²/Σλ²: how many modes share the kernel.
func (s *Spectrum) Participation() float64 {
	var a, b float64
	for _, v := range s.Values {
		a += v
		b += v * v
	}
	if b == 0 {
		return 0
	}
	return a * a / b
}

// Mode is one eigendirection of the training data.
type Mode struct {
	Value    float64 `json:"value"`    // λ
	Rate     float64 `json:"rate"`     // αλ/n, per unit of training time
	Time     float64 `json:"time"`     // until its residual has fallen to the fraction asked for; +Inf for λ = 0
	Residual float64 `json:"residual"` // squared share of the target Y in it
}

// MarshalJSON writes an infinite time as null.
func (m Mode) MarshalJSON() ([]byte, error) {
	type plain Mode
	out := struct {
		plain
		Time *float64 `json:"time"`
	}{plain: plain(m)}
	if !math.IsInf(m.Time, 0) {
		out.Time = &m.Time
	}
	return json.Marshal(out)
}

// Modes returns for every eigendirection how long training with rate alpha on the mean of squares needs until its residual
// is the given fraction of the first: log(1/fraction)/(αλ/n). target may be nil; it has one number a point.
func (s *Spectrum) Modes(alpha, fraction float64, target []float64) []Mode {
	n := len(s.Values)
	var total float64
	for _, y := range target {
		total += y * y
	}
	v := s.Vectors.Data()
	out := make([]Mode, n)
	for j, value := range s.Values {
		m := Mode{Value: value, Rate: alpha * value / float64(n), Time: math.Inf(1)}
		if m.Rate > 0 {
			m.Time = -math.Log(fraction) / m.Rate
		}
		if total > 0 {
			dot := 0.0
			for i, y := range target {
				dot += v[i*n+j] * y
			}
			m.Residual = dot * dot / total
		}
		out[j] = m
	}
	return out
}

// LargestRate is the largest rate α at which full-batch gradient descent in steps of length 1 does not diverge: 2n/λ_max.
func (s *Spectrum) LargestRate() float64 {
	if len(s.Values) == 0 || s.Values[0] == 0 {
		return math.Inf(1)
	}
	return 2 * float64(len(s.Values)) / s.Values[0]
}

// Drift is ‖K_t - K_0‖/‖K_0‖ in the Frobenius norm: near 0, training is lazy and the kernel's predictions hold; near 1 or above, the features
// were learnt. It panics with a [tensor.ShapeError] if the shapes differ.
func Drift(k0, kt tensor.Tensor[float64]) float64 {
	if k0.Shape() != kt.Shape() {
		panic(tensor.ShapeError{Op: "kernel.Drift", A: k0.Shape(), B: kt.Shape()})
	}
	ws := tensor.NewWorkspace[float64](nil)
	d := ws.New(k0.Shape())
	tensor.Sub(ws, d, kt, k0)
	return tensor.Norm(ws, d) / tensor.Norm(ws, k0)
}
