package deepobs

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

const (
	dim       = 100
	examples  = 1000 // of the training and of the test part
	noise     = 0.6  // standard deviation of the data
	batchSize = 128  // a smaller rest of an epoch is dropped, in training and in testing
)

// Quadratic is the problem quadratic_deep:
//
//	L(θ) = E_x ½ (θ − x)ᵀ H (θ − x),   θ, x ∈ R¹⁰⁰,   x ~ N(0, 0.6² I)
//
// with 90 eigenvalues of H uniform in (0, 1), 10 in (30, 60), and eigenvectors from the Haar measure.
// θ starts at (1, …, 1). It implements [objective.Function] for the batch that [Quadratic.SetBatch]
// chose.
type Quadratic struct {
	hessian     []float64 // [dim, dim]
	train, test part
	batch       []int32
	work        [3][dim]float64
}

// NewQuadratic draws the problem from the published seeds (Hessian 42, training data 42, test data 43).
func NewQuadratic() *Quadratic {
	rng := newTwister(42)
	eigen := make([]float64, dim)
	for i := range 90 {
		eigen[i] = rng.float64()
	}
	for i := 90; i < dim; i++ {
		eigen[i] = 30 + 30*rng.float64()
	}
	r := haarRotation(rng, dim)
	q := &Quadratic{hessian: make([]float64, dim*dim)}
	for i := range dim {
		for j := range dim {
			var s float64
			for k := range dim {
				s += r[k*dim+i] * eigen[k] * r[k*dim+j]
			}
			q.hessian[i*dim+j] = float64(float32(s))
		}
	}
	q.train, q.test = q.newPart(42), q.newPart(43)
	return q
}

// haarRotation draws a rotation of R^n uniformly by the subgroup algorithm of Diaconis and
// Shahshahani (1987): from a rotation R of R^d to one of R^{d+1},
//
//	(I − 2 x xᵀ) [1 0; 0 R],   x = (e₁ − v)/‖e₁ − v‖,   v uniform on the unit sphere,
//
// and the sign of the last one turned, which mends its determinant.
func haarRotation(rng *twister, n int) []float64 {
	s, c := math.Sincos(2 * math.Pi * rng.float64())
	r := []float64{c, s, -s, c}
	for d := 2; d < n; d++ {
		m := d + 1
		x, norm := make([]float64, m), 0.0
		for i := range x {
			x[i] = rng.normal()
			norm += x[i] * x[i]
		}
		norm = math.Sqrt(norm)
		var length float64
		for i := range x {
			x[i] /= -norm
			if i == 0 {
				x[i]++
			}
			length += x[i] * x[i]
		}
		next := make([]float64, m*m)
		next[0] = 1
		for i := range d {
			copy(next[(i+1)*m+1:(i+2)*m], r[i*d:(i+1)*d])
		}
		for j := range m {
			var p float64
			for i := range m {
				p += x[i] * next[i*m+j]
			}
			for i := range m {
				next[i*m+j] -= 2 * x[i] * p / length
			}
		}
		r = next
	}
	for i := range r {
		r[i] = -r[i]
	}
	return r
}

// SetBatch chooses the training examples that Evaluate averages over.
func (q *Quadratic) SetBatch(idx []int32) { q.batch = idx }

// Evaluate returns the mean loss of the batch at theta, and its gradient.
func (q *Quadratic) Evaluate(theta, grad []float64) (float64, error) {
	return q.train.loss(q, q.batch, theta, grad), nil
}

// product stores H d in hd and returns ½ dᵀ H d.
func (q *Quadratic) product(d, hd []float64) float64 {
	var v float64
	for i := range hd {
		var s float64
		for j, h := range q.hessian[i*dim : (i+1)*dim] {
			s += h * d[j]
		}
		hd[i] = s
		v += s * d[i]
	}
	return v / 2
}

// part is the training or the test part of the data.
type part struct {
	x    []float64 // [examples, dim]
	half []float64 // ½ xᵀ H x of each example
}

func (q *Quadratic) newPart(seed uint32) part {
	rng := newTwister(seed)
	p := part{make([]float64, examples*dim), make([]float64, examples)}
	for i := range p.x {
		p.x[i] = float64(float32(noise * rng.normal()))
	}
	for e := range p.half {
		p.half[e] = q.product(p.x[e*dim:(e+1)*dim], q.work[1][:])
	}
	return p
}

// loss returns the mean loss of the examples idx at theta, and stores its gradient H (θ − x̄) in grad if
// that is not nil:
//
//	½ mean of (θ − x)ᵀ H (θ − x) = ½ (θ − x̄)ᵀ H (θ − x̄) + ½ (mean of xᵀ H x − x̄ᵀ H x̄)
//
// with x̄ the mean of the examples.
func (p part) loss(q *Quadratic, idx []int32, theta, grad []float64) float64 {
	d, hd, mean := q.work[0][:], q.work[1][:], q.work[2][:]
	clear(mean)
	scatter, n := 0.0, float64(len(idx))
	for _, e := range idx {
		for i, v := range p.x[int(e)*dim : int(e+1)*dim] {
			mean[i] += v / n
		}
		scatter += p.half[e] / n
	}
	for i := range d {
		d[i] = theta[i] - mean[i]
	}
	scatter += q.product(d, hd)
	if grad != nil {
		copy(grad, hd)
	}
	return scatter - q.product(mean, hd)
}

// TestLoss returns the mean loss over the 896 test examples that full batches hold.
func (q *Quadratic) TestLoss(theta []float64) float64 {
	idx := make([]int32, examples/batchSize*batchSize)
	for i := range idx {
		idx[i] = int32(i)
	}
	return q.test.loss(q, idx, theta, nil)
}

// Run trains with the named method for the given number of epochs and returns the test loss at the
// start and after each epoch.
//
// The seed draws one permutation of the examples, and every epoch goes through the same batches in the same
// order. So did the published runs: within one seed their curves are smooth, and two seeds differ by the
// same amount after every epoch, which a new permutation each epoch would not give.
func (q *Quadratic) Run(ctx context.Context, method string, settings optim.Settings, seed uint64, epochs int) ([]float64, error) {
	layout := nn.FlatLayout(dim)
	m, err := optim.New[float64](method, optim.Env{Layout: layout}, settings)
	if err != nil {
		return nil, err
	}
	theta := make([]float64, dim)
	for i := range theta {
		theta[i] = 1
	}
	f := objective.New(objective.Function[float64](q), layout, theta)
	losses := []float64{q.TestLoss(theta)}
	perm := make([]int32, examples)
	tensor.Permutation(tensor.KeyOf(seed).Named("shuffle"), perm)
	var p objective.Progress
	p.Batch, p.PerPass = batchSize, examples/batchSize*batchSize
	p.Horizon = p.PerPass * int64(epochs)
	for epoch := range epochs {
		for b := 0; b+batchSize <= examples; b += batchSize {
			q.SetBatch(perm[b : b+batchSize])
			f.SetProgress(p)
			if _, err := m.Step(ctx, f); err != nil {
				return losses, fmt.Errorf("epoch %d: %w", epoch, err)
			}
			p.Step++
			p.Seen += batchSize
		}
		losses = append(losses, q.TestLoss(theta))
	}
	return losses, nil
}
