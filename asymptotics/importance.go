package asymptotics

import (
	"context"
	"math"
	"sort"

	"github.com/descent-ml/descent/tensor"
)

// TailEstimate is a probability estimated by tilted importance sampling, in logarithms because it may be far below the
// smallest number.
type TailEstimate struct {
	N           int
	LogP        float64 // log P(g ≥ a)
	RelSE       float64 // standard error of P relative to P
	HitFraction float64 // of the tilted runs that make the event
	ESS         float64 // effective sample size of the hits, (Σw)²/Σw²
	Runs        int
	LogWeight   [2]float64 // smallest and largest logarithm of a weight
	Label       Label
}

// P returns the probability; 0 below the smallest number.
func (e TailEstimate) P() float64 { return math.Exp(e.LogP) }

// Estimate returns P(g_T(x*) ≥ A) of networks of width n (≤ A for λ < 0) from runs whose initial neurons are drawn from the
// tilted law (from the pool of the flow's nodes) and whose data come from ρ_{k/N}, each weighted by
//
//	Π (dμ₀/dν₀) · Π (π/ρ).
//
// The weights are added up as logarithms. Quenched solutions tilt the data alone: their neurons are drawn from μ₀, which
// makes the estimate that of the annealed probability all the same, with a larger variance.
func (t *Tail) Estimate(ctx context.Context, n int, gamma float64, o SimOptions) (*TailEstimate, error) {
	f := t.f
	if f.p.Batch != 1 || f.p.Sampling == FullBatch {
		return nil, bad("importance sampling", "batches", "one example a step", "apply the linear rule backwards: Batch 1, rate α/B, horizon T·B")
	}
	if math.Abs(f.s-math.Pow(float64(n), 1-gamma)) > 1e-9*f.s {
		return nil, bad("scale of the solution", "another s than N^(1-γ) of this width", "the same", "solve the tail for each width where γ < 1")
	}
	o.Times = nil
	sim, err := newSimulator(f.p, Width{n, gamma}, t.x, o)
	if err != nil {
		return nil, err
	}
	logw := make([]float64, o.Replicates)
	t.tiltStart(sim, logw)
	t.tiltData(sim, logw)
	if err := sim.run(ctx, o); err != nil {
		return nil, err
	}
	return t.summary(n, sim.result.Final(), logw), nil
}

// tiltStart draws neurons from the pool with probabilities p_i; each costs log(P p_i).
func (t *Tail) tiltStart(s *simulator, logw []float64) {
	if t.Quenched {
		return
	}
	f := t.f
	pool := f.initial.count
	cumulative, cost := make([]float64, pool), make([]float64, pool)
	sum := 0.0
	for i, w := range f.weight {
		sum += w
		cumulative[i] = sum
		cost[i] = math.Log(w * float64(pool))
	}
	coord := make([][]float64, 1+s.d)
	for j := range coord {
		coord[j] = make([]float64, pool)
		f.initial.get(j, coord[j])
	}
	s.start = func(rep int, params []float64, stride int) {
		key := s.key(rep, "tilted neurons")
		for i := range s.n {
			u := key.Float64(uint64(i)) * sum
			k := min(sort.SearchFloat64s(cumulative, u), pool-1)
			logw[rep] -= cost[k]
			for j := range coord {
				params[j*stride+i] = coord[j][k]
			}
		}
	}
}

// tiltData draws the example of step k from ρ at time k/N, between the flow's steps by interpolation; it costs log(ρ/π).
func (t *Tail) tiltData(s *simulator, logw []float64) {
	f := t.f
	steps := len(s.rate)
	cumulative, cost := make([][]float64, steps), make([][]float64, steps)
	for k := range steps {
		at := float64(k) / float64(s.n) / f.h
		n := min(int(at), f.steps-1)
		c := at - float64(n)
		cumulative[k], cost[k] = make([]float64, f.m), make([]float64, f.m)
		sum := 0.0
		for m := range f.m {
			r := (1-c)*f.rho[n][m] + c*f.rho[n+1][m]
			sum += r
			cumulative[k][m] = sum
			cost[k][m] = math.Log(r / f.pi[m])
		}
	}
	keys := make([]tensor.Key, len(logw))
	for r := range keys {
		keys[r] = s.key(r, "tilted data")
	}
	s.pick = func(rep, step int) int {
		u := keys[rep].Float64(uint64(step))
		c := cumulative[step]
		m := 0
		for m < len(c)-1 && c[m] <= u {
			m++
		}
		logw[rep] -= cost[step][m]
		return m
	}
}

// summary adds up the weights of the runs that make the event, scaled by the largest.
func (t *Tail) summary(n int, out [][]float64, logw []float64) *TailEstimate {
	e := &TailEstimate{N: n, Runs: len(logw), Label: Derived}
	e.LogWeight = [2]float64{math.Inf(1), math.Inf(-1)}
	top := math.Inf(-1)
	hit := func(r int) bool {
		if t.Lambda < 0 {
			return out[r][0] <= t.A
		}
		return out[r][0] >= t.A
	}
	for r, l := range logw {
		e.LogWeight[0], e.LogWeight[1] = min(e.LogWeight[0], l), max(e.LogWeight[1], l)
		if hit(r) {
			top = max(top, l)
		}
	}
	var sum, sum2, hits float64
	for r, l := range logw {
		if hit(r) {
			w := math.Exp(l - top)
			sum += w
			sum2 += w * w
			hits++
		}
	}
	runs := float64(len(logw))
	e.HitFraction = hits / runs
	if hits == 0 {
		e.LogP, e.RelSE = math.Inf(-1), math.Inf(1)
		return e
	}
	e.LogP = top + math.Log(sum/runs)
	mean := sum / runs
	e.RelSE = math.Sqrt(max(0, sum2/runs-mean*mean)/runs) / mean
	e.ESS = sum * sum / sum2
	return e
}

// TailSlope fits log P + ½ log N over widths by least squares with the estimates' standard errors; the slope is to be -I.
func TailSlope(estimates []*TailEstimate) Line {
	var x, y, se []float64
	for _, e := range estimates {
		x = append(x, float64(e.N))
		y = append(y, e.LogP+0.5*math.Log(float64(e.N)))
		se = append(se, e.RelSE)
	}
	return FitLine(x, y, se)
}
