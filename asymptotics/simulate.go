package asymptotics

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// SimOptions are the settings of [Simulate].
type SimOptions struct {
	Replicates int
	Seed       uint64
	Times      []float64 // when outputs are recorded; nil: the horizon
	Pool       *tensor.Pool
	Progress   func(done, total int) // replicates; calls do not overlap
	RateFactor float64               // multiplies the rate of the γ-rule; 0: 1. Negative controls use it
}

// Simulation is the outputs of trained networks.
type Simulation struct {
	Width   Width
	Times   []float64
	Outputs [][][]float64 // [J][R][K]
}

// Final returns the outputs at the last time, [R][K].
func (s *Simulation) Final() [][]float64 { return s.Outputs[len(s.Outputs)-1] }

// Simulate trains Replicates networks of width w.N by
//
//	θ_i ← θ_i + α(t) N^(-(2-γ)) (1/B) Σ_b (y_b - g(x_b)) ∇φ_{x_b}(θ_i),     t = step/N,  T·N steps,
//
// and returns their outputs at the rows of test. Replicate r depends on the seed and r alone: more replicates, or
// other workers, leave it unchanged. Cost a network: T·N steps of min(B, M)·N activations.
//
// Small networks are trained in groups, so that each call of a vector function has some hundred elements.
func Simulate(ctx context.Context, p Problem, w Width, test tensor.Tensor[float64], o SimOptions) (*Simulation, error) {
	s, err := newSimulator(p, w, test, o)
	if err != nil {
		return nil, err
	}
	return s.result, s.run(ctx, o)
}

// simulator is what replicates share.
type simulator struct {
	p          Problem
	n, m, d    int
	group      int // replicates that are trained together
	gain       float64
	rate       []float64 // [steps] α(t) N^(-(2-γ)), the mean over the batch left to the step
	x          []float64 // [M, d]
	test       []float64 // [K, d]
	k          int
	pi         []float64
	cumulative []float64 // of pi, for weighted data
	record     []int     // steps after which outputs are recorded
	result     *Simulation
	seed       tensor.Key
	replicates int

	// Importance sampling replaces the initial neurons and the choice of data.
	start func(rep int, params []float64, stride int)
	pick  func(rep, step int) int
}

// groupElements is the number of neurons that a group of small networks has together.
const groupElements = 1024

func newSimulator(p Problem, w Width, test tensor.Tensor[float64], o SimOptions) (*simulator, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if err := w.Check(); err != nil {
		return nil, err
	}
	if o.Replicates < 1 {
		return nil, bad("replicates", fmt.Sprint(o.Replicates), "at least 1", "1000 give variances to 4.5 %")
	}
	if p.Sampling == Reshuffled && p.Weight != nil {
		return nil, bad("sampling", "reshuffled epochs with data weights", "equal weights", "repeat examples instead")
	}
	s := &simulator{p: p, n: w.N, m: p.Examples(), d: p.Inputs(), pi: p.weights(), replicates: o.Replicates,
		gain: math.Pow(float64(w.N), -w.Gamma), seed: tensor.KeyOf(o.Seed).Named("simulate"),
		result: &Simulation{Width: w, Times: append([]float64(nil), o.Times...)}}
	s.group = max(1, min(groupElements/w.N, o.Replicates))
	s.x, _ = p.inputs(p.X)
	s.test, s.k = p.inputs(test)
	if p.Weight != nil {
		sum := 0.0
		for _, w := range s.pi {
			sum += w
			s.cumulative = append(s.cumulative, sum)
		}
	}
	factor := o.RateFactor
	if factor == 0 {
		factor = 1
	}
	steps := p.Steps(w.N)
	s.rate = make([]float64, steps)
	for k := range s.rate {
		s.rate[k] = factor * p.Alpha(float64(k)/float64(w.N)) * math.Pow(float64(w.N), -(2-w.Gamma))
	}
	if o.Times == nil {
		s.result.Times = []float64{p.T}
	}
	for j, t := range s.result.Times {
		k := int(math.Round(t * float64(w.N)))
		if k < 0 || k > steps || j > 0 && k <= s.record[j-1] {
			return nil, bad("recorded time", fmt.Sprint(t), fmt.Sprintf("ascending times in [0, %g]", p.T), "they are rounded to steps")
		}
		s.record = append(s.record, k)
	}
	for range s.record {
		s.result.Outputs = append(s.result.Outputs, make([][]float64, o.Replicates))
	}
	return s, nil
}

func (s *simulator) run(ctx context.Context, o SimOptions) error {
	pool := o.Pool
	if pool == nil {
		pool = tensor.NewPool(1)
	}
	groups := (s.replicates + s.group - 1) / s.group
	work := make([]*simWork, pool.Workers())
	var mu sync.Mutex
	done := 0
	pool.Do(groups, func(worker, g int) {
		if ctx.Err() != nil {
			return
		}
		if work[worker] == nil {
			work[worker] = s.newWork()
		}
		first := g * s.group
		count := min(s.group, s.replicates-first)
		s.train(ctx, work[worker], first, count)
		if o.Progress != nil {
			mu.Lock()
			done += count
			o.Progress(done, s.replicates)
			mu.Unlock()
		}
	})
	return ctx.Err()
}

// simWork is the storage of one worker. Row j of params is coordinate j of all neurons of the group, [1+d, group·N].
type simWork struct {
	params, u, s, d []float64
	index           []int32   // [group, 2] examples of this step and the next
	row             []float64 // [rows, d] inputs of a batch
	scaled          []float64 // the same times the factor of each
	count           []float64 // [rows] share of the batch
	target, factor  []float64 // [rows]
	perm            []int32   // [group·M]
	draws           []uint64
}

func (s *simulator) rows() int {
	switch {
	case s.p.Sampling == FullBatch:
		return s.m
	case s.p.Batch == 1:
		return 1
	case s.m <= 4*s.p.Batch:
		return min(s.m, s.p.Batch) // repeated examples are counted
	}
	return s.p.Batch
}

func (s *simulator) newWork() *simWork {
	g, rows := s.group*s.n, s.rows()
	cells := max(g, rows*s.n, s.k*s.n)
	w := &simWork{params: make([]float64, (1+s.d)*g), u: make([]float64, cells), s: make([]float64, cells), d: make([]float64, cells),
		index: make([]int32, 2*s.group), row: make([]float64, rows*s.d), scaled: make([]float64, rows*s.d), count: make([]float64, max(rows, s.m)), target: make([]float64, rows), factor: make([]float64, rows)}
	if s.p.Sampling == Reshuffled {
		w.perm = make([]int32, s.group*s.m)
	}
	return w
}

// key returns the stream of a replicate for a purpose.
func (s *simulator) key(rep int, purpose string) tensor.Key {
	return s.seed.Fold(uint64(rep)).Named(purpose)
}

// train trains replicates first … first+count-1.
func (s *simulator) train(ctx context.Context, w *simWork, first, count int) {
	stride := count * s.n
	for g := range count {
		part := w.params[g*s.n:]
		if s.start != nil {
			s.start(first+g, part, stride)
			continue
		}
		key := s.key(first+g, "neurons")
		for j := range 1 + s.d {
			sample(s.p.Init.coordinate(j, s.d, s.p.Bias), key.Fold(uint64(j)), part[j*stride:j*stride+s.n])
		}
	}
	streams := make([]tensor.Key, count)
	for g := range streams {
		streams[g] = s.key(first+g, "data")
	}
	next := 0
	for k := range len(s.rate) + 1 {
		for next < len(s.record) && s.record[next] == k {
			s.observe(w, first, count, next)
			next++
		}
		if k == len(s.rate) || k%256 == 0 && ctx.Err() != nil {
			return
		}
		if s.p.Batch == 1 && s.p.Sampling != FullBatch {
			s.single(w, first, count, k, streams)
			continue
		}
		for g := range count {
			s.batch(w, g, count, k, streams[g])
		}
	}
}

// draw returns example number i of the stream of a replicate, i = step·B + position. Two examples come from 64 random
// bits, with a bias below M·2⁻³².
func (s *simulator) draw(key tensor.Key, i int, perm []int32) int {
	if s.p.Sampling == Reshuffled {
		if i%s.m == 0 {
			tensor.Permutation(key.Fold(uint64(i/s.m)), perm)
		}
		return int(perm[i%s.m])
	}
	if s.cumulative != nil {
		u := key.Float64(uint64(i))
		lo, hi := 0, s.m-1
		for lo < hi {
			if mid := (lo + hi) / 2; s.cumulative[mid] > u {
				hi = mid
			} else {
				lo = mid + 1
			}
		}
		return lo
	}
	a, b := s.pair(key, i/2)
	if i%2 == 0 {
		return int(a)
	}
	return int(b)
}

// pair returns examples 2i and 2i+1 of a stream.
func (s *simulator) pair(key tensor.Key, i int) (a, b int32) {
	bits, m := key.Uint64(uint64(i)), uint64(s.m)
	return int32(bits & (1<<32 - 1) * m >> 32), int32(bits >> 32 * m >> 32)
}

// single is a step of one example for each network of the group:
//
//	u = W x,  σ = σ(u),  k = rate (y - N^(-γ) c·σ),  W ← W + k x ⊗ (c∘σ'),  c ← c + k σ
func (s *simulator) single(w *simWork, first, count, step int, streams []tensor.Key) {
	n, stride := s.n, count*s.n
	c, weights := w.params[:stride], w.params[stride:]
	u, sig, d := w.u[:stride], w.s[:stride], w.d[:stride]
	tanh := s.p.Activation.Name == "tanh" // has a pass for each half of the step
	var chosen [groupElements]int32
	for g := range count {
		var m int
		if s.pick != nil {
			m = s.pick(first+g, step)
		} else if s.cumulative == nil && w.perm == nil {
			if step%2 == 0 { // two examples at a time
				w.index[2*g], w.index[2*g+1] = s.pair(streams[g], step/2)
			}
			m = int(w.index[2*g+step%2])
		} else {
			var perm []int32
			if w.perm != nil {
				perm = w.perm[g*s.m : (g+1)*s.m]
			}
			m = s.draw(streams[g], step, perm)
		}
		chosen[g] = int32(m)
		if tanh {
			simd.AffineTanh(sig[g*n:(g+1)*n], weights[g*n:], stride, s.x[m*s.d:(m+1)*s.d])
			continue
		}
		simd.Gemm(false, false, 1, n, s.d, 1, s.x[m*s.d:], s.d, weights[g*n:], stride, 0, u[g*n:], n)
	}
	if !tanh {
		s.p.Activation.value(sig, u)
		s.p.Activation.weightedFirst(d, sig, u, c)
	}
	for g := range count {
		m := int(chosen[g])
		lo, hi := g*n, (g+1)*n
		k := s.rate[step] * (s.p.Y[m] - s.gain*simd.Dot(c[lo:hi], sig[lo:hi]))
		if tanh {
			simd.Scale(w.scaled, s.x[m*s.d:(m+1)*s.d], k)
			simd.TanhStep(c[lo:hi], weights[lo:], stride, sig[lo:hi], w.scaled, k)
			continue
		}
		simd.Ger(k, s.x[m*s.d:(m+1)*s.d], d[lo:hi], weights[lo:], stride)
		simd.Axpy(c[lo:hi], k, sig[lo:hi])
	}
}

// batch is a step of network g of the group with the mean over a batch. Examples that a batch has twice are computed
// once where the data set is small.
func (s *simulator) batch(w *simWork, g, count, step int, key tensor.Key) {
	n, stride, d := s.n, count*s.n, s.d
	c, weights := w.params[g*n:(g+1)*n], w.params[stride+g*n:]
	rows := s.gather(w, g, step, key)
	u, sig, grad := w.u[:rows*n], w.s[:rows*n], w.d[:rows*n]
	simd.Gemm(false, false, rows, n, d, 1, w.row, d, weights, stride, 0, u, n)
	s.p.Activation.value(sig, u)
	k := w.factor[:rows]
	simd.Gemv(false, rows, n, -s.gain, sig, n, c, 0, k)
	for r := range rows {
		k[r] = s.rate[step] * w.count[r] * (w.target[r] + k[r])
		simd.Scale(w.scaled[r*d:(r+1)*d], w.row[r*d:(r+1)*d], k[r])
		s.p.Activation.weightedFirst(grad[r*n:(r+1)*n], sig[r*n:(r+1)*n], u[r*n:(r+1)*n], c)
	}
	simd.Gemm(true, false, d, n, rows, 1, w.scaled, d, grad, n, 1, weights, stride)
	simd.Gemv(true, rows, n, 1, sig, n, k, 1, c)
}

// gather stores the batch's inputs, targets and shares and returns the number of its rows.
func (s *simulator) gather(w *simWork, g, step int, key tensor.Key) int {
	d, b := s.d, s.p.Batch
	set := func(r, m int, share float64) {
		copy(w.row[r*d:(r+1)*d], s.x[m*d:(m+1)*d])
		w.target[r], w.count[r] = s.p.Y[m], share
	}
	if s.p.Sampling == FullBatch {
		for m := range s.m {
			set(m, m, s.pi[m])
		}
		return s.m
	}
	var perm []int32
	if w.perm != nil {
		perm = w.perm[g*s.m : (g+1)*s.m]
	}
	if s.m > 4*b {
		for r := range b {
			set(r, s.draw(key, step*b+r, perm), 1/float64(b))
		}
		return b
	}
	if cap(w.draws) < s.m {
		w.draws = make([]uint64, s.m)
	}
	times := w.draws[:s.m]
	clear(times)
	for r := range b {
		times[s.draw(key, step*b+r, perm)]++
	}
	rows := 0
	for m, t := range times {
		if t > 0 {
			set(rows, m, float64(t)/float64(b))
			rows++
		}
	}
	return rows
}

// observe records the outputs of the group.
func (s *simulator) observe(w *simWork, first, count, j int) {
	n, stride := s.n, count*s.n
	for g := range count {
		u := w.u[:s.k*n]
		simd.Gemm(false, false, s.k, n, s.d, 1, s.test, s.d, w.params[stride+g*n:], stride, 0, u, n)
		s.p.Activation.value(u, u)
		out := make([]float64, s.k)
		simd.Gemv(false, s.k, n, s.gain, u, n, w.params[g*n:(g+1)*n], 0, out)
		s.result.Outputs[j][first+g] = out
	}
}
