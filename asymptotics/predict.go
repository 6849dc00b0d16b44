package asymptotics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// Width is the size of a network: N neurons with output N^(-γ) Σ φ.
type Width struct {
	N     int
	Gamma float64 // in [½, 1]
}

// Scale returns s = N^(1-γ).
func (w Width) Scale() float64 { return math.Pow(float64(w.N), 1-w.Gamma) }

// Check returns an error for a width below 1 or an exponent outside [½, 1].
func (w Width) Check() error {
	if w.N < 1 {
		return bad("width", fmt.Sprint(w.N), "at least 1", "N is the number of neurons")
	}
	if !(w.Gamma >= 0.5 && w.Gamma <= 1) {
		return bad("exponent γ", fmt.Sprint(w.Gamma), "a number from 0.5 to 1", "0.5 is the kernel scaling, 1 mean field")
	}
	return nil
}

// Limit is the equation behind a prediction.
type Limit uint8

const (
	// SFlowLimit is the s-flow, for every N and γ (derived).
	SFlowLimit Limit = iota
	// MeanFieldLimit is s = 1 whatever γ (theorem at γ = 1).
	MeanFieldLimit
	// KernelLimitOnly is the linear equation of the kernel at the start (theorem for γ < 1): no data noise.
	KernelLimitOnly
)

var limitNames = [...]string{"s-flow", "mean-field", "kernel"}

func (l Limit) String() string { return limitNames[l] }

// PredictOptions are the settings of [Predict].
type PredictOptions struct {
	Options
	Limit Limit
	Times []float64 // where means and bands are asked for; nil: the horizon alone
}

// Prediction is the output of networks over their training randomness: at each time a mean and a covariance over the
// test points.
//
// The covariance is Init + factor·Data. Init comes from the initial neurons, Data from the sampling of single examples
// with replacement; the factor belongs to batch and sampling, see [Prediction.DataFactor].
type Prediction struct {
	Width    Width
	Limit    Limit
	Label    Label
	Batch    int
	Sampling Sampling
	Epochs   float64                  // E = N·B/M a unit of time
	Test     tensor.Tensor[float64]   // [K, d]
	Times    []float64                // [J]
	Mean     [][]float64              // [J][K]
	Init     []tensor.Tensor[float64] // [J] of [K, K], initialisation part of Cov g
	Data     []tensor.Tensor[float64] // [J] of [K, K], data part for one example a step with replacement
	Curve    []float64                // [len(LossAt)] loss of the mean output over the data
	LossAt   []float64                // times of Curve
	Findings []Finding

	shuffled [][]float64 // [J][K] variances that reshuffling leaves
}

// Predict computes means and covariances of a network's output without training it. Cost: one forward solution and a
// backward one for each test point and time.
func Predict(p Problem, w Width, test tensor.Tensor[float64], o PredictOptions) (*Prediction, error) {
	if err := w.Check(); err != nil {
		return nil, err
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	if o.Times == nil {
		o.Times = []float64{p.T}
	}
	for _, t := range o.Times {
		if !(t > 0 && t <= p.T) {
			return nil, bad("time of a prediction", fmt.Sprint(t), fmt.Sprintf("a number in (0, %g]", p.T), "raise the horizon T")
		}
	}
	if o.Limit == KernelLimitOnly {
		return predictKernel(p, w, test, o)
	}
	s, label := w.Scale(), Derived
	if o.Limit == MeanFieldLimit || w.Gamma == 1 {
		s, label = 1, Theorem
	}
	f, err := NewFlow(p, s, o.Options)
	if err != nil {
		return nil, err
	}
	res := newPrediction(p, w, test, o, label)
	f.Forward()
	for n := 0; n <= f.steps; n += max(1, f.steps/100) {
		res.LossAt = append(res.LossAt, f.time(n))
		res.Curve = append(res.Curve, f.Loss(n))
	}
	steps := make([]int, len(o.Times))
	for j, t := range o.Times {
		n := int(math.Round(t / f.h))
		if f.method == RK4 {
			n += n % 2
		}
		steps[j] = n
		res.Times[j] = f.time(n)
		res.Mean = append(res.Mean, f.Output(test, n))
	}
	adj := f.adjoint(f.observables(test, steps), false)
	k := len(res.Mean[0])
	for j := range steps {
		init, data := tensor.New[float64](k, k), tensor.New[float64](k, k)
		all := adj.Init.Shape().Dim(0)
		shuffled := make([]float64, k)
		for a := range k {
			for b := range k {
				at := (j*k+a)*all + j*k + b
				init.Set(adj.Init.Data()[at]/float64(w.N), a, b)
				data.Set(adj.Data.Data()[at]/float64(w.N), a, b)
			}
			shuffled[a] = reshuffledVariance(&p, w.N, res.Times[j], adj.drift[j*k+a], adj.last[j*k+a])
		}
		res.Init, res.Data, res.shuffled = append(res.Init, init), append(res.Data, data), append(res.shuffled, shuffled)
	}
	res.Findings = p.FindingsAt(w)
	return res, nil
}

func newPrediction(p Problem, w Width, test tensor.Tensor[float64], o PredictOptions, label Label) *Prediction {
	return &Prediction{Width: w, Limit: o.Limit, Label: label, Batch: p.Batch, Sampling: p.Sampling, Epochs: p.Epochs(w.N),
		Test: test, Times: append([]float64(nil), o.Times...)}
}

// reshuffledVariance is the variance that the data leave in g at a test point when they come in shuffled epochs (label:
// derived to leading order in 1/E). The sum over a whole epoch is fixed, so what remains is the change of the summand
// f = α e b within an epoch of duration 1/E, and the examples of an unfinished last epoch:
//
//	Var ≈ (1/(N B)) ∫ Var_m(f') / (12 E²) dt + (k (M-k)/(M-1)) Var_m(f_T) / N² B²      (k: examples of the last epoch)
func reshuffledVariance(p *Problem, n int, t, drift, last float64) float64 {
	e := p.Epochs(n)
	nb := float64(n) * float64(p.Batch)
	v := drift / (12 * e * e) / nb
	m := float64(p.Examples())
	if m > 1 {
		k := math.Mod(math.Round(t*nb), m)
		v += k * (m - k) / (m - 1) * last / (nb * nb)
	}
	return v
}

// DataFactor is the factor of the data part: 1/B with replacement and for a single pass (derived: 1/B; theorem for B = 1), 0
// for full batches and for reshuffled epochs, of which [Prediction.Residue] tells what they leave.
func (p *Prediction) DataFactor() float64 {
	switch p.Sampling {
	case FullBatch, Reshuffled:
		return 0
	}
	return 1 / float64(p.Batch)
}

// Residue returns the variance of the data part that reshuffled epochs leave at time j, by test point; nil for other
// sampling. It is of leading order in 1/E and is not to be used for E below about 5.
func (p *Prediction) Residue(j int) []float64 {
	if p.Sampling != Reshuffled || p.shuffled == nil {
		return nil
	}
	return p.shuffled[j]
}

// Covariance returns the covariance of the outputs at time j, [K, K].
func (p *Prediction) Covariance(j int) tensor.Tensor[float64] {
	c := p.Init[j].Clone()
	ws := tensor.NewWorkspace[float64](nil)
	if a := p.DataFactor(); a != 0 && !p.Data[j].IsZero() {
		tensor.Axpy(ws, c, a, p.Data[j])
	}
	for k, v := range p.Residue(j) {
		c.Set(c.At(k, k)+v, k, k)
	}
	return c
}

// SD returns the standard deviations of the outputs at time j.
func (p *Prediction) SD(j int) []float64 {
	c := p.Covariance(j)
	sd := make([]float64, len(p.Mean[j]))
	for k := range sd {
		sd[k] = math.Sqrt(max(0, c.At(k, k)))
	}
	return sd
}

// Band returns the bounds of a band at time j for the given level. A joint band holds at all test points together with that
// probability; otherwise each point does by itself.
func (p *Prediction) Band(j int, level float64, joint bool) (lo, hi []float64, err error) {
	if !(level > 0 && level < 1) {
		return nil, nil, bad("level of a band", fmt.Sprint(level), "a number between 0 and 1", "0.95 for 95 %")
	}
	z := quantile((1 + level) / 2)
	if joint {
		if z, err = jointQuantile(p.Covariance(j), level); err != nil {
			return nil, nil, err
		}
	}
	for k, sd := range p.SD(j) {
		lo = append(lo, p.Mean[j][k]-z*sd)
		hi = append(hi, p.Mean[j][k]+z*sd)
	}
	return lo, hi, nil
}

// EnsembleBand is Band for the mean of k independent networks.
func (p *Prediction) EnsembleBand(j int, level float64, joint bool, k int) (lo, hi []float64, err error) {
	lo, hi, err = p.Band(j, level, joint)
	r := math.Sqrt(float64(max(1, k)))
	for i := range lo {
		m := p.Mean[j][i]
		lo[i], hi[i] = m+(lo[i]-m)/r, m+(hi[i]-m)/r
	}
	return lo, hi, err
}

// quantile is the standard normal quantile.
func quantile(u float64) float64 { return math.Sqrt2 * math.Erfinv(2*u-1) }

// jointDraws is the number of normal vectors behind a joint quantile; the level is met to about 0.2 %.
const jointDraws = 20000

// jointQuantile returns z with P(max_k |G_k|/sd_k ≤ z) = level for G normal with covariance c, by draws from a factor of the
// correlation matrix. Points without variance do not count.
func jointQuantile(c tensor.Tensor[float64], level float64) (float64, error) {
	k := c.Shape().Dim(0)
	corr := tensor.New[float64](k, k)
	for a := range k {
		for b := range k {
			if d := c.At(a, a) * c.At(b, b); d > 0 {
				corr.Set(c.At(a, b)/math.Sqrt(d), a, b)
			}
		}
	}
	root, _, err := psdRoot(corr)
	if err != nil {
		return 0, err
	}
	ws := tensor.NewWorkspace[float64](nil)
	g, v := tensor.New[float64](jointDraws, k), tensor.New[float64](jointDraws, k)
	tensor.Normal(tensor.KeyOf(1).Named("joint band"), g.Data(), 0, 1)
	tensor.MatMul(ws, v, g, root, false, true)
	largest := make([]float64, jointDraws)
	for i := range largest {
		for _, x := range v.Data()[i*k : (i+1)*k] {
			largest[i] = max(largest[i], math.Abs(x))
		}
	}
	return sortedQuantile(largest, level), nil
}

// psdRoot returns R with R Rᵀ = c, by eigenvectors, with negative eigenvalues of rounding set to 0; repaired is the largest
// of them relative to the largest eigenvalue.
func psdRoot(c tensor.Tensor[float64]) (root tensor.Tensor[float64], repaired float64, err error) {
	k := c.Shape().Dim(0)
	ws := tensor.NewWorkspace[float64](nil)
	val, vec := make([]float64, k), tensor.New[float64](k, k)
	if err := linalg.SymmetricEigen(ws, val, vec, c); err != nil {
		return root, 0, fmt.Errorf("asymptotics: covariance: %w", err)
	}
	top := max(val[k-1], 1e-300)
	for j, l := range val {
		if l < 0 {
			repaired = max(repaired, -l/top)
			l = 0
		}
		r := math.Sqrt(l)
		for i := range k {
			vec.Data()[i*k+j] *= r
		}
	}
	return vec, repaired, nil
}
