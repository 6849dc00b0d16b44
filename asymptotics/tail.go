package asymptotics

import (
	"fmt"
	"math"
	"sort"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// TailOptions are the settings of the tail solver.
type TailOptions struct {
	Options
	Quenched  bool    // the initial neurons are typical: only the data are tilted
	Tolerance float64 // on f₀ between sweeps (1e-7)
	MaxSweeps int     // 200
}

// Tail is the most likely way to a rare output g_T(x*) = a, and what it costs:
//
//	I(a) = min { H(ν₀|μ₀) + B ∫ H(ρ_t|π) dt :  ν driven by data of law ρ_t,  s <φ_x*, ν_T> = a },
//	P(g ≥ a) = exp(-N I(a) - ½ log N + O(1))
//
// (label: derived; the structure is that of Hirsch and Willhalm, 2024). The optimum solves
//
//	forward   θ' = (α/s) Σ ρ_t(m) e_m ∇φ_m,         nodes of weight p_i ∝ exp(f₀(θ_i))
//	backward  f_T = λ s φ_x*, and the adjoint equation with ρ_t for π and means under p
//	tilts     ρ_t(m) ∝ π_m exp(α e_m b_m / B),      b_m = <∇f·∇φ_m>/s
//
// and λ = dI/da parametrises a. As λ → 0, (a - g)/λ → σ², the variance of the central limit theorem.
type Tail struct {
	Lambda   float64
	A        float64 // the value a of the event g ≥ a (≤ a for λ < 0)
	Typical  float64 // g without a tilt
	Rate     float64 // I(a) = RateInit + RateData
	RateInit float64 // H(ν₀|μ₀)
	RateData float64 // B ∫ H(ρ|π) dt
	Variance float64 // σ² of the central limit theorem, N Var g
	Sweeps   int
	Residual float64
	Quenched bool
	Label    Label

	f    *Flow
	f0   []float64
	x    tensor.Tensor[float64]
	tilt [][]float64 // [steps+1][M] log(ρ/π) up to a constant
}

// NotConvergedError says that the tail solver's sweeps did not settle.
type NotConvergedError struct {
	Lambda, Residual float64
	Sweeps           int
}

func (e *NotConvergedError) Error() string {
	return fmt.Sprintf("asymptotics: tail: λ = %g did not settle in %d sweeps (change of f₀ %.3g)\nhint: approach it through smaller λ, or the event is out of reach",
		e.Lambda, e.Sweeps, e.Residual)
}

// SolveTail finds the optimum for the multiplier lambda at the single row of test.
func SolveTail(p Problem, s float64, test tensor.Tensor[float64], lambda float64, o TailOptions) (*Tail, error) {
	t, err := newTail(p, s, test, o)
	if err != nil {
		return nil, err
	}
	return t, t.solve(lambda, o)
}

// SolveTailAt finds the optimum for the event g ≥ a, or g ≤ a below the typical value, by Newton's method on λ with the
// slope of the last two solutions.
func SolveTailAt(p Problem, s float64, test tensor.Tensor[float64], a float64, o TailOptions) (*Tail, error) {
	t, err := newTail(p, s, test, o)
	if err != nil {
		return nil, err
	}
	if a == t.Typical {
		return nil, bad("event", fmt.Sprint(a), "a value that is not the typical one", "the typical value has rate 0")
	}
	tol := 1e-6 * math.Abs(a-t.Typical)
	lambda := (a - t.Typical) / t.Variance
	prevL, prevA := 0.0, t.Typical
	limit := 3 * math.Abs(lambda)
	for range 40 {
		if err := t.solve(lambda, o); err != nil {
			return nil, err
		}
		if math.Abs(t.A-a) < tol {
			return t, nil
		}
		slope := (t.A - prevA) / (lambda - prevL)
		prevL, prevA = lambda, t.A
		step := (a - t.A) / slope
		lambda += math.Copysign(min(math.Abs(step), limit), step)
	}
	return nil, bad("event", fmt.Sprint(a), fmt.Sprintf("a value the solver reaches (it got to %g)", t.A), "a bounded activation bounds the output")
}

func newTail(p Problem, s float64, test tensor.Tensor[float64], o TailOptions) (*Tail, error) {
	if test.Shape().Rows() != 1 {
		return nil, bad("event", fmt.Sprintf("%d test points", test.Shape().Rows()), "one test point", "a tail is of one output")
	}
	if p.Sampling == Reshuffled {
		return nil, bad("sampling", "reshuffled epochs", "iid, single-pass or full-batch", "the cost of data is known for independent draws alone")
	}
	f, err := NewFlow(p, s, o.Options)
	if err != nil {
		return nil, err
	}
	t := &Tail{f: f, x: test, Quenched: o.Quenched, Label: Derived, f0: make([]float64, f.initial.count)}
	adj := f.Adjoint(test)
	t.Typical = f.Output(test, f.steps)[0]
	if !o.Quenched {
		t.Variance = adj.Init.Data()[0]
	}
	if p.Sampling != FullBatch {
		t.Variance += adj.Data.Data()[0] / float64(p.Batch)
	}
	if !(t.Variance > 0) {
		return nil, bad("event", "an output without fluctuations", "a random output", "full batches with typical initial neurons leave nothing to chance")
	}
	t.tilt = make([][]float64, f.steps+1)
	for n := range t.tilt {
		t.tilt[n] = make([]float64, f.m)
	}
	return t, nil
}

// solve iterates forward, backward, tilt, from the tilts that are there. The first update is half of the proposed one; the
// later ones extrapolate from the last two sweeps (Anderson's mixing of depth 1).
func (t *Tail) solve(lambda float64, o TailOptions) error {
	tol, most := o.Tolerance, o.MaxSweeps
	if tol == 0 {
		tol = 1e-7
	}
	if most == 0 {
		most = 200
	}
	f := t.f
	t.Lambda = lambda
	size := len(t.f0) + len(t.tilt)*f.m
	x, g, oldX, oldG := make([]float64, size), make([]float64, size), make([]float64, size), make([]float64, size)
	obs := f.observables(t.x, []int{f.steps})
	for sweep := 1; sweep <= most; sweep++ {
		t.apply()
		f.stored = nil
		f.Forward()
		adj := f.adjoint(obs, true)
		t.pack(x)
		t.propose(adj, lambda, g) // the proposed tilts
		simd.Axpy(g, -1, x)       // their change
		t.Residual, t.Sweeps = 0, sweep
		for _, v := range g {
			t.Residual = max(t.Residual, math.Abs(v))
		}
		if t.Residual < tol {
			t.finish()
			return nil
		}
		if math.IsNaN(t.Residual) {
			break
		}
		beta := 0.0
		if sweep > 1 { // β minimises |g - β(g - g_old)|
			var num, den float64
			for i := range g {
				d := g[i] - oldG[i]
				num += d * g[i]
				den += d * d
			}
			if den > 0 {
				beta = max(-2, min(0.9, num/den))
			}
		}
		mix := 0.5
		if sweep > 1 {
			mix = 0.8
		}
		for i := range x {
			v := x[i] + mix*g[i]
			if beta != 0 {
				v -= beta * (x[i] - oldX[i] + mix*(g[i]-oldG[i]))
			}
			oldX[i], oldG[i] = x[i], g[i]
			x[i] = v
		}
		t.unpack(x)
	}
	return &NotConvergedError{Lambda: lambda, Residual: t.Residual, Sweeps: t.Sweeps}
}

func (t *Tail) pack(x []float64) {
	n := copy(x, t.f0)
	for _, r := range t.tilt {
		n += copy(x[n:], r)
	}
}

func (t *Tail) unpack(x []float64) {
	n := copy(t.f0, x)
	for _, r := range t.tilt {
		n += copy(r, x[n:])
	}
}

// propose stores f₀ = λ s ψ₀, centred, and α e b λ/B in g.
func (t *Tail) propose(adj *Adjoint, lambda float64, g []float64) {
	f := t.f
	n := len(t.f0)
	if t.Quenched {
		clear(g[:n])
	} else {
		simd.Scale(g[:n], adj.Psi.Data(), lambda*f.s)
		simd.AddScalar(g[:n], g[:n], -simd.Dot(g[:n], f.weight))
	}
	for k := range t.tilt {
		if f.p.Sampling == FullBatch {
			clear(g[n : n+f.m])
		} else {
			a := f.p.Alpha(f.time(k)) * lambda / float64(f.p.Batch)
			for m := range f.m {
				g[n+m] = a * f.error[k][m] * adj.gain[k][0][m]
			}
		}
		n += f.m
	}
}

// apply turns the tilts into weights of nodes and data.
func (t *Tail) apply() {
	f := t.f
	softmax(f.weight, t.f0, nil)
	if f.rho == nil {
		f.rho = make([][]float64, f.steps+1)
		for n := range f.rho {
			f.rho[n] = make([]float64, f.m)
		}
	}
	for n := range f.rho {
		softmax(f.rho[n], t.tilt[n], f.pi)
	}
}

// softmax stores base·exp(v), normalised, in dst; base nil means equal weights.
func softmax(dst, v, base []float64) {
	top := simd.MaxOf(v)
	simd.AddScalar(dst, v, -top)
	simd.Exp(dst, dst)
	if base != nil {
		simd.Mul(dst, dst, base)
	}
	simd.Scale(dst, dst, 1/simd.Sum(dst))
}

// finish computes the value and the rate of the settled optimum.
func (t *Tail) finish() {
	f := t.f
	t.A = f.Output(t.x, f.steps)[0]
	t.RateInit = entropy(f.weight, nil)
	t.RateData = 0
	if f.p.Sampling != FullBatch {
		for n := range f.rho {
			w := f.h
			if n == 0 || n == f.steps {
				w /= 2
			}
			t.RateData += w * float64(f.p.Batch) * entropy(f.rho[n], f.pi)
		}
	}
	t.Rate = t.RateInit + t.RateData
}

// entropy is Σ p log(p/q), q nil meaning equal weights.
func entropy(p, q []float64) float64 {
	var h float64
	for i, v := range p {
		if v == 0 {
			continue
		}
		r := v * float64(len(p))
		if q != nil {
			r = v / q[i]
		}
		h += v * math.Log(r)
	}
	return h
}

// Gaussian returns the rate (a-g)²/2σ² of the central limit theorem, for comparison.
func (t *Tail) Gaussian() float64 { return (t.A - t.Typical) * (t.A - t.Typical) / (2 * t.Variance) }

// LogProbability returns -N I - ½ log N, the logarithm of the probability up to a constant.
func (t *Tail) LogProbability(n int) float64 {
	return -float64(n)*t.Rate - 0.5*math.Log(float64(n))
}

// Scenario is the optimum in terms of data and neurons.
type Scenario struct {
	Times   []float64
	Data    [][]float64      // [times][M] ρ_t(m)/π_m: above 1, the example comes too often
	Average []float64        // [M] time average of Data
	Neurons []NeuronWeight   // the most favoured ones, then the least favoured ones
	Mean    []CoordinateTilt // by coordinate of θ
}

// NeuronWeight is an initial neuron and how much too often its like occurs.
type NeuronWeight struct {
	Theta  []float64 // c, then the weights, the bias last
	Weight float64   // exp(f₀) relative to the mean
}

// CoordinateTilt is the mean of a coordinate under μ₀ and under the tilt.
type CoordinateTilt struct {
	Name        string
	Mean, Tilt  float64
	SD, TiltSD  float64
	Correlation float64 // of the coordinate with f₀ under μ₀
}

// Scenario returns the optimum at count times and with count neurons at each end.
func (t *Tail) Scenario(count int) *Scenario {
	f := t.f
	s := &Scenario{Average: make([]float64, f.m)}
	for i := range count {
		n := 0
		if count > 1 {
			n = i * f.steps / (count - 1)
		}
		row := make([]float64, f.m)
		for m := range row {
			row[m] = f.rho[n][m] / f.pi[m]
		}
		s.Times, s.Data = append(s.Times, f.time(n)), append(s.Data, row)
	}
	for n := range f.rho {
		w := 1 / float64(f.steps)
		if n == 0 || n == f.steps {
			w /= 2
		}
		for m := range f.m {
			s.Average[m] += w * f.rho[n][m] / f.pi[m]
		}
	}
	p := f.initial.count
	order := make([]int, p)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return t.f0[order[a]] > t.f0[order[b]] })
	coord := make([][]float64, 1+f.d)
	for j := range coord {
		coord[j] = make([]float64, p)
		f.initial.get(j, coord[j])
	}
	for i := range 2 * min(count, p/2) {
		k := order[i]
		if i >= count {
			k = order[p-2*count+i]
		}
		nw := NeuronWeight{Weight: f.weight[k] * float64(p)}
		for j := range coord {
			nw.Theta = append(nw.Theta, coord[j][k])
		}
		s.Neurons = append(s.Neurons, nw)
	}
	for j, v := range coord {
		s.Mean = append(s.Mean, t.coordinateTilt(j, v))
	}
	return s
}

func (t *Tail) coordinateTilt(j int, v []float64) CoordinateTilt {
	f := t.f
	c := CoordinateTilt{Name: fmt.Sprintf("w%d", j)}
	switch {
	case j == 0:
		c.Name = "c"
	case f.p.Bias && j == f.d:
		c.Name = "bias"
	}
	var m2, t2, mf, f2, cf float64
	n := float64(len(v))
	for i, x := range v {
		c.Mean += x / n
		m2 += x * x / n
		c.Tilt += f.weight[i] * x
		t2 += f.weight[i] * x * x
		mf += t.f0[i] / n
		f2 += t.f0[i] * t.f0[i] / n
		cf += t.f0[i] * x / n
	}
	c.SD, c.TiltSD = math.Sqrt(max(0, m2-c.Mean*c.Mean)), math.Sqrt(max(0, t2-c.Tilt*c.Tilt))
	if d := (m2 - c.Mean*c.Mean) * (f2 - mf*mf); d > 0 {
		c.Correlation = (cf - c.Mean*mf) / math.Sqrt(d)
	}
	return c
}
