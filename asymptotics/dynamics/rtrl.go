package dynamics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/asymptotics/verdict"
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Truncated is the bias of back-propagation through Tau steps.
type Truncated struct {
	Tau  int     `json:"tau"`
	Bias float64 `json:"bias"` // ‖E g_τ - E g‖/‖E g‖ for the long-run gradient g
	SE   float64 `json:"se"`   // of Bias, from means of batches of steps, which allows for their autocorrelation
	// Floor is Bias that sampling alone would show: values near it are zero.
	Floor float64 `json:"floor"`
}

// Truncation is the comparison of truncated gradients with those of real-time recurrent learning.
type Truncation struct {
	Rows []Truncated `json:"rows"`
	// Decay is the fitted factor of the bias for one step more, and Contraction the mean of |∂u_k/∂u_{k-1}|, which it should not
	// exceed by much.
	Decay       verdict.Fit   `json:"decay"`
	Contraction float64       `json:"contraction"`
	Label       verdict.Label `json:"label"`
}

// Truncation freezes a network of the given width at its start and averages two gradients of the loss ½(y-ŷ)² over steps of one path: the whole one, by
// carrying the sensitivities of the memory forward (Williams and Zipser, 1989),
//
//	J_k = ∂u_k/∂θ = direct_k + a_k J_{k-1},     a_k = (1/N) Σ_i B^i σ'(z^i_k),     g_k = -(y-ŷ)(∂ŷ/∂θ + N^{-β} Σ C σ' · J_{k-1})
//
// and for each τ that which goes back τ steps, J^{(τ)}_k = J_k - (Π_{last τ} a) J_{k-τ}; τ = 0 leaves J out. As the past enters by one number, J is one
// vector of θ's length. Cost: steps·width·inputs for all τ together; memory: max τ vectors.
func (r RNN) Truncation(key tensor.Key, width, steps int, taus []int) (*Truncation, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	const batches = 20
	most := 0
	for _, tau := range taus {
		if tau < 0 || tau > 1000 {
			return nil, fmt.Errorf("dynamics: found τ = %d, expected a number of steps from 0 to 1000\nhint: 0, 1, 2, 4, 8", tau)
		}
		most = max(most, tau)
	}
	if width < 1 || steps < 100*batches || len(taus) == 0 {
		return nil, fmt.Errorf("dynamics: found width %d, %d steps and %d values of τ, expected a width from 1, at least %d steps and one τ\nhint: the bias is an average over a long path", width, steps, len(taus), 100*batches)
	}
	net := newNetwork(r, key.Named("network"), width)
	path := PathOf(r.Data, key.Named("path"), steps)
	size := width * (net.d + 2) // W, B, C
	ring := make([][]float64, most+1)
	for i := range ring {
		ring[i] = make([]float64, size)
	}
	factor := make([]float64, most+1) // a_k by position in the ring
	mean := make([]float64, size)
	diff := make([][][]float64, len(taus)) // Σ (g_τ - g) by τ and batch
	for i := range diff {
		diff[i] = make([][]float64, batches)
		for b := range diff[i] {
			diff[i][b] = make([]float64, size)
		}
	}
	direct := make([]float64, size)
	burn := max(steps/20, most+1)
	count, absolute := 0, 0.0
	batch := (steps - burn + batches - 1) / batches
	for k := range steps {
		x := path.X[k*net.d : (k+1)*net.d]
		e := path.Y[k] - net.forward(x)
		net.sigma.grad(net.g, net.s, net.z, net.c)
		through := net.scale * simd.Sum(net.g) // ∂ŷ/∂u
		now := ring[k%(most+1)]
		last := ring[(k+most)%(most+1)] // k-1, or itself where most is 0
		if k > burn {
			// g = -e (∂ŷ/∂θ + through·J_{k-1}), and the terms left out by τ.
			n := width
			for j := range net.d {
				simd.Axpy(mean[j*n:(j+1)*n], -e*net.scale*x[j], net.g)
			}
			simd.Axpy(mean[(net.d+1)*n:], -e*net.scale, net.s)
			simd.Axpy(mean, -e*through, last)
			b := (k - burn - 1) / batch
			for i, tau := range taus {
				product := 1.0
				for j := 1; j <= tau; j++ {
					product *= factor[(k-j)%(most+1)]
				}
				from := ring[(k-1-tau)%(most+1)] // for the largest τ, where J_k will lie
				simd.Axpy(diff[i][b], e*through*product, from)
			}
			count++
		}
		// J_k: ∂u_k/∂W = B σ' x/N, ∂u_k/∂B = S/N, and a_k J_{k-1}.
		net.sigma.grad(net.g, net.s, net.z, net.b)
		a := simd.Sum(net.g) / float64(width)
		clear(direct)
		for j := range net.d {
			simd.Axpy(direct[j*width:(j+1)*width], x[j]/float64(width), net.g)
		}
		simd.Axpy(direct[net.d*width:(net.d+1)*width], 1/float64(width), net.s)
		if most > 0 {
			copy(now, last)
		}
		simd.Axpby(now, 1, direct, a)
		factor[k%(most+1)] = a
		absolute += math.Abs(a)
		net.remember()
	}
	return summarize(taus, diff, mean, count, absolute/float64(steps)), nil
}

// summarize turns sums into relative biases.
func summarize(taus []int, diff [][][]float64, mean []float64, count int, contraction float64) *Truncation {
	out := &Truncation{Contraction: contraction, Label: verdict.Empirical}
	norm := math.Sqrt(simd.SumSquares(mean)) / float64(count)
	var x, y []float64
	for i, tau := range taus {
		batches := len(diff[i])
		total := make([]float64, len(mean))
		for _, d := range diff[i] {
			simd.Axpy(total, 1/float64(count), d)
		}
		bias := math.Sqrt(simd.SumSquares(total))
		// Variance of the mean along its own direction, and in all directions.
		var along, all float64
		for _, d := range diff[i] {
			dot := simd.Dot(d, total) / math.Max(bias, math.SmallestNonzeroFloat64) * float64(batches) / float64(count)
			along += (dot - bias) * (dot - bias)
			all += simd.SumSquares(d)*math.Pow(float64(batches)/float64(count), 2) - bias*bias
		}
		pairs := float64(batches * (batches - 1))
		row := Truncated{Tau: tau, Bias: bias / norm, SE: math.Sqrt(along/pairs) / norm, Floor: math.Sqrt(math.Max(0, all)/pairs) / norm}
		out.Rows = append(out.Rows, row)
		if row.Bias > 0 {
			x, y = append(x, math.Exp(float64(tau))), append(y, row.Bias)
		}
	}
	out.Decay = verdict.LogLog(x, y, nil)
	return out
}
