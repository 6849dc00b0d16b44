package asymptotics

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/descent-ml/descent/tensor"
)

// Effort is how long checks may take.
type Effort uint8

const (
	// Fast uses few replicates, and thresholds of about three standard errors where those of the table have no power: half
	// a minute in all.
	Fast Effort = iota
	// Full uses the replicates and thresholds of the acceptance table: some ten minutes of computing.
	Full
)

// CheckOptions are the settings of checks.
type CheckOptions struct {
	Effort   Effort
	Seed     uint64
	Pool     *tensor.Pool
	Progress func(id, what string)
}

// Check is a named check that gives verdict rows.
type Check struct {
	ID   string
	What string
	Run  func(ctx context.Context, l *Lab) ([]Verdict, error)
}

// Checks are all checks of shallow networks on the reference problem, in the order of the table.
func Checks() []Check {
	return []Check{
		{"M1", "s-flow against reference values", checkReference},
		{"M2", "rate of the law of large numbers", checkLLN},
		{"M3", "order of the bias", checkBias},
		{"M4", "variance and covariance at width 316", checkCLT},
		{"M5", "variance at width 30", checkNarrow},
		{"M6", "Gaussianity", checkGaussian},
		{"M7", "coverage of the bands", checkCoverage},
		{"M8", "variance by batch size", checkBatch},
		{"M9", "linear rule", checkLinearRule},
		{"M10", "adjoint against sample paths", checkSamplePaths},
		{"M11", "adjoint against finite differences", checkFiniteDifference},
		{"M12", "reshuffled epochs", checkReshuffled},
		{"X1", "kernel limit: mean", checkKernelMean},
		{"X2", "kernel limit: covariance", checkKernelCovariance},
		{"G1", "s-flow variance over γ", checkGammaVariance},
		{"G2", "s-flow mean over γ", checkGammaMean},
		{"G3", "slope of the full-batch variance", checkFullBatchSlope},
		{"G4", "bias of order 1/s² for odd σ", checkBiasOrder},
		{"G5", "first bias term of skewed softplus", checkFirstTerm},
		{"G6", "variance falls with γ", checkMonotone},
		{"L1", "tails: duality with the central limit theorem", checkDuality},
		{"L2", "tails: dI/da = λ", checkLegendre},
		{"L3", "tails: slope in N, relative error, hits", checkTailSlope},
		{"L4", "tails: against plain simulation", checkTailNaive},
	}
}

// NegativeControls are checks of wrong theories. Each must give a row that fails.
func NegativeControls() []Check {
	return []Check{
		{"NC1", "rate 1/N at γ = 1", controlRate},
		{"NC2", "data noise left out", controlNoData},
		{"NC3", "wrong sign in the adjoint", controlSign},
		{"NC4", "formula for independent draws on reshuffled epochs", controlReshuffled},
	}
}

// Lab runs checks and shares simulations and predictions between them.
type Lab struct {
	o     CheckOptions
	sims  map[string]*Simulation
	preds map[string]*Prediction
	tails map[float64]*Tail
}

// NewLab returns a lab without results.
func NewLab(o CheckOptions) *Lab {
	if o.Pool == nil {
		o.Pool = tensor.NewPool(1)
	}
	return &Lab{o: o, sims: map[string]*Simulation{}, preds: map[string]*Prediction{}, tails: map[float64]*Tail{}}
}

// Run runs the checks with the given identifiers, in the order of the table; none means all of [Checks].
func (l *Lab) Run(ctx context.Context, ids ...string) ([]Verdict, error) {
	var rows []Verdict
	all := Checks()
	known := append(Checks(), NegativeControls()...)
	var names []string
	for _, c := range known {
		names = append(names, c.ID)
	}
	for _, id := range ids {
		if !slices.Contains(names, id) {
			return nil, bad("check", id, "one of "+strings.Join(names, ", "), "L5 and L6 are rows of L3")
		}
	}
	if len(ids) > 0 {
		all = known
	}
	for _, c := range all {
		if len(ids) > 0 && !slices.Contains(ids, c.ID) {
			continue
		}
		if l.o.Progress != nil {
			l.o.Progress(c.ID, c.What)
		}
		r, err := c.Run(ctx, l)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", c.ID, err)
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

// pick returns fast or full by effort.
func pick[V any](l *Lab, fast, full V) V {
	if l.o.Effort == Full {
		return full
	}
	return fast
}

// setting names a variant of the reference problem.
type setting struct {
	gamma    float64
	n        int
	T        float64
	batch    int
	sampling Sampling
	linear   int // the linear rule for this batch; 0: none
	factor   float64
}

func (s setting) problem() Problem {
	p := BenchmarkA()
	p.T, p.Batch, p.Sampling = s.T, max(1, s.batch), s.sampling
	if s.linear > 0 {
		p = p.LinearRule(s.linear)
	}
	return p
}

// simulate returns at least r replicates of a setting.
func (l *Lab) simulate(ctx context.Context, s setting, r int) ([][]float64, error) {
	key := fmt.Sprint(s)
	if c := l.sims[key]; c != nil && len(c.Final()) >= r {
		return c.Final(), nil
	}
	sim, err := Simulate(ctx, s.problem(), Width{s.n, s.gamma}, BenchmarkTest(),
		SimOptions{Replicates: r, Seed: 1000 + l.o.Seed, Pool: l.o.Pool, RateFactor: s.factor})
	if err != nil {
		return nil, err
	}
	l.sims[key] = sim
	return sim.Final(), nil
}

// predict returns the s-flow's prediction for a setting.
func (l *Lab) predict(s setting) (*Prediction, error) {
	key := fmt.Sprint(s)
	if p := l.preds[key]; p != nil {
		return p, nil
	}
	p, err := Predict(s.problem(), Width{s.n, s.gamma}, BenchmarkTest(), PredictOptions{Options: Options{Nodes: pick(l, 4096, 16384), Steps: pick(l, 120, 200), Pool: l.o.Pool}})
	if err == nil {
		l.preds[key] = p
	}
	return p, err
}

// comparison is a simulation beside a prediction.
type comparison struct {
	ratio, ratioSE   []float64 // Var/predicted by test point
	bias, biasSE     []float64
	pooled, pooledSE float64 // Σ Var / Σ predicted
	meanBias         float64 // mean |bias|
	frobenius        float64
}

// compare returns moments of out relative to mean and covariance.
func compare(out [][]float64, mean []float64, cov tensor.Tensor[float64]) comparison {
	var c comparison
	k := len(mean)
	sample, _ := Covariance(out)
	want := make([][]float64, k)
	var num, den, square float64
	for i := range k {
		m := MomentsOf(columnOf(out, i))
		v := cov.At(i, i)
		c.ratio, c.ratioSE = append(c.ratio, m.Variance/v), append(c.ratioSE, m.Variance/v*m.VarianceRelSE())
		c.bias, c.biasSE = append(c.bias, m.Mean-mean[i]), append(c.biasSE, m.MeanSE())
		c.meanBias += math.Abs(m.Mean-mean[i]) / float64(k)
		num += m.Variance
		den += v
		for j := range k {
			want[i] = append(want[i], cov.At(i, j))
			square += cov.At(i, j) * cov.At(i, j)
		}
	}
	c.pooled = num / den
	// The variance of tr S is 2 tr(Σ²)/(R-1) for normal data.
	c.pooledSE = c.pooled * math.Sqrt(2*square/float64(len(out)-1)) / den
	c.frobenius = RelativeFrobenius(sample, want)
	return c
}

// against simulates and predicts a setting and compares.
func (l *Lab) against(ctx context.Context, s setting, r int) (comparison, error) {
	out, err := l.simulate(ctx, s, r)
	if err != nil {
		return comparison{}, err
	}
	p, err := l.predict(s)
	if err != nil {
		return comparison{}, err
	}
	return compare(out, p.Mean[0], p.Covariance(0)), nil
}
