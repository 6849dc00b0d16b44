package asymptotics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
)

// Severity ranks findings.
type Severity uint8

const (
	// Note says something to know.
	Note Severity = iota
	// Warning says that an assumption of the theory does not hold.
	Warning
	// Refused says that a prediction has no basis.
	Refused
)

var severityNames = [...]string{"note", "warning", "refused"}

func (s Severity) String() string { return severityNames[s] }

// Finding is an assumption that does not hold, in plain words, and what still holds.
type Finding struct {
	Subject  string
	Severity Severity
	Text     string
	Holds    string // what still holds
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s: %s; still holds: %s", f.Severity, f.Subject, f.Text, f.Holds)
}

// Findings checks what the theory assumes of p, whatever the width.
func (p *Problem) Findings() []Finding {
	var fs []Finding
	add := func(sev Severity, subject, text, holds string) {
		fs = append(fs, Finding{Subject: subject, Severity: sev, Text: text, Holds: holds})
	}
	a := p.Activation
	if !a.Bounded {
		add(Warning, "activation "+a.Name, "it is unbounded, outside the theorems",
			"the equations and their numerical solution; measured agreement, no proof")
	}
	if !a.Smooth {
		add(Warning, "activation "+a.Name, "it has no second derivative everywhere; the adjoint leaves out the kink",
			"means; variances to the share of neurons that cross the kink, so check them by simulation")
	}
	out := p.Init.Output
	if m := out.Moment(1); math.Abs(m) > 1e-12 {
		add(Warning, "output law "+out.String(), fmt.Sprintf("its mean is %.3g, not 0: for γ < 1 the output at the start is of order N^(1-γ)", m),
			"γ = 1 in full; for γ < 1 nothing but simulation")
	}
	if !out.Bounded() {
		add(Warning, "output law "+out.String(), "its support is not compact, which the theorems ask for", "the equations; Gaussian tails behave in practice")
	}
	skew := math.Abs(out.Moment(3)) > 1e-12
	symmetric := p.Init.Weight.Symmetric() && (!p.Bias || p.Init.Bias.Symmetric())
	if skew && !(a.Odd && symmetric) {
		add(Note, "output law "+out.String(), "it is skewed and σ is not odd on symmetric weights: the bias against the kernel limit is of order N^-(1-γ)",
			"the s-flow in full; expect slope -(1-γ) and not -2(1-γ) against the kernel limit")
	} else if skew {
		add(Note, "output law "+out.String(), "it is skewed, but σ is odd up to a constant and the weights are symmetric: the first bias term vanishes",
			"all; the bias against the kernel limit is of order N^(-2(1-γ))")
	}
	if i, j, ok := p.coincide(); ok {
		text := fmt.Sprintf("examples %d and %d have the same inputs", i, j)
		holds := "all but the fit to zero loss: the kernel on the data is singular"
		if p.Y[i] != p.Y[j] {
			text += " and different targets, so no network fits both"
		}
		add(Warning, "data", text, holds)
	}
	if p.Sampling == Reshuffled {
		add(Note, "reshuffled epochs", "the theorems are for sampling with replacement; with many epochs in a unit of time the data part of the variance vanishes (measured)",
			"means; the variance with the initialisation part and the leading correction in 1/E")
	}
	if p.T > 12 {
		add(Note, fmt.Sprintf("horizon T = %g", p.T), "constants of the limit theorems grow with T", "the bands as long as the loss keeps falling; check one width by simulation")
	}
	return fs
}

// coincide finds two examples with the same inputs.
func (p *Problem) coincide() (int, int, bool) {
	seen := make(map[string]int, p.Examples())
	d := p.X.Shape().Cols()
	for i := range p.Examples() {
		k := fmt.Sprint(p.X.Data()[i*d : (i+1)*d])
		if j, ok := seen[k]; ok {
			return j, i, true
		}
		seen[k] = i
	}
	return 0, 0, false
}

// Stability has the largest stable rates of a width.
type Stability struct {
	OneSample float64 // α max_x K(x,x) / N: monotone below 1, stable below 2 (times batch 1)
	FullBatch float64 // α λ_max(K diag π) / N: stable below 2
	RateOne   float64 // largest α with OneSample ≤ 1
	RateTwo   float64 // largest α with OneSample < 2
	RateFull  float64 // largest α with FullBatch < 2
	MaxBatch  float64 // B_max ≈ 2N/(α λ_max) under the linear rule α → Bα
	Label     Label
}

// StabilityAt returns the conditions on the rate at width n for the kernel at the start, found with 1024 nodes.
func (p *Problem) StabilityAt(n int) Stability {
	l := KernelLimit{p: *p, m: p.Examples(), d: p.Inputs()}
	l.x, _ = p.inputs(p.X)
	l.nodes = makeNodes(p, 1024, Sobol, 1)
	diag := l.diagonal()
	lam := l.topEigenvalue()
	var alpha float64
	for i := range 9 {
		alpha = max(alpha, p.Alpha(p.T*float64(i)/8))
	}
	fn := float64(n)
	return Stability{OneSample: alpha * diag / fn, FullBatch: alpha * lam / fn, RateOne: fn / diag, RateTwo: 2 * fn / diag,
		RateFull: 2 * fn / lam, MaxBatch: 2 * fn / (alpha * lam), Label: Derived}
}

// diagonal returns max_m K(x_m, x_m).
func (l *KernelLimit) diagonal() float64 {
	sum := make([]float64, l.m)
	act := &l.p.Activation
	for blk := range l.nodes.blocks() {
		_, n := l.nodes.span(blk)
		b := l.nodes.block(blk)
		u, s, cd := make([]float64, n), make([]float64, n), make([]float64, n)
		for m := range l.m {
			x := l.x[m*l.d : (m+1)*l.d]
			simd.Gemm(false, false, 1, n, l.d, 1, x, l.d, b[n:], n, 0, u, n)
			act.value(s, u)
			act.weightedFirst(cd, s, u, b[:n])
			sum[m] += (simd.SumSquares(s) + simd.SumSquares(cd)*simd.SumSquares(x)) / float64(l.nodes.count)
		}
	}
	return simd.MaxOf(sum)
}

// topEigenvalue returns λ_max(K diag π) by power iteration without the matrix: K v = <∇φ_· (Σ_m v_m ∇φ_m)>.
func (l *KernelLimit) topEigenvalue() float64 {
	m, d, act, pi := l.m, l.d, &l.p.Activation, l.p.weights()
	v, kv := make([]float64, m), make([]float64, m)
	for i := range v {
		v[i] = 1
	}
	var lam float64
	type rows struct{ s, cd []float64 }
	cache := make([]rows, l.nodes.blocks())
	for blk := range cache {
		_, n := l.nodes.span(blk)
		b := l.nodes.block(blk)
		u := make([]float64, m*n)
		r := rows{make([]float64, m*n), make([]float64, m*n)}
		simd.Gemm(false, false, m, n, d, 1, l.x, d, b[n:], n, 0, u, n)
		act.value(r.s, u)
		for i := range m {
			act.weightedFirst(r.cd[i*n:(i+1)*n], r.s[i*n:(i+1)*n], u[i*n:(i+1)*n], b[:n])
		}
		cache[blk] = r
	}
	xv := make([]float64, m*d)
	for range 60 {
		clear(kv)
		for i := range m {
			v[i] *= pi[i]
			simd.Scale(xv[i*d:(i+1)*d], l.x[i*d:(i+1)*d], v[i])
		}
		for blk, r := range cache {
			_, n := l.nodes.span(blk)
			pc, pw, q := make([]float64, n), make([]float64, d*n), make([]float64, m*n)
			w := 1 / float64(l.nodes.count)
			simd.Gemv(true, m, n, w, r.s, n, v, 0, pc)
			simd.Gemv(false, m, n, 1, r.s, n, pc, 1, kv)
			simd.Gemm(true, false, d, n, m, w, xv, d, r.cd, n, 0, pw, n)
			simd.Gemm(false, false, m, n, d, 1, l.x, d, pw, n, 0, q, n)
			for i := range m {
				kv[i] += simd.Dot(q[i*n:(i+1)*n], r.cd[i*n:(i+1)*n])
			}
		}
		next := math.Sqrt(simd.SumSquares(kv))
		if next == 0 {
			return 0
		}
		// v had norm 1 before the weights; ‖K D v‖ → λ.
		done := math.Abs(next-lam) < 1e-10*next
		lam = next
		simd.Scale(v, kv, 1/next)
		if done {
			break
		}
	}
	return lam
}

// FindingsAt adds to Findings what depends on the width.
func (p *Problem) FindingsAt(w Width) []Finding {
	fs := p.Findings()
	add := func(sev Severity, subject, text, holds string) {
		fs = append(fs, Finding{Subject: subject, Severity: sev, Text: text, Holds: holds})
	}
	st := p.StabilityAt(w.N)
	one := st.OneSample
	if p.Sampling == FullBatch {
		one = st.FullBatch / 2
	}
	switch {
	case one >= 2:
		add(Refused, "rate", fmt.Sprintf("αK/N = %.3g is at least 2: a step overshoots and the network diverges", one), fmt.Sprintf("nothing; take α below %.3g", st.RateOne))
	case one >= 1:
		add(Warning, "rate", fmt.Sprintf("αK/N = %.3g is at least 1: steps overshoot, the continuous limit is not reached", one), fmt.Sprintf("stability only; take α below %.3g or a larger width", st.RateOne))
	}
	if w.N < 30 {
		add(Warning, fmt.Sprintf("width %d", w.N), "below 30 neither variances (5 % at 30) nor Gaussianity are accurate", "orders of magnitude")
	} else if w.N < 100 {
		add(Note, fmt.Sprintf("width %d", w.N), "at width 30 the output is visibly skewed and variances are 2 to 5 % larger than predicted", "means and variances to 5 %")
	}
	if e := p.Epochs(w.N); p.Sampling == Reshuffled && e < 5 {
		add(Warning, "reshuffled epochs", fmt.Sprintf("only %.3g epochs in a unit of time: the variance lies between the initialisation part and the full formula, where there is no formula", e),
			"the two bounds: sampling full-batch and iid")
	}
	return fs
}
