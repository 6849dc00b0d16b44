package asymptotics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/tensor"
)

// WidthPlan is the smallest width for a tolerance.
type WidthPlan struct {
	Width     Width
	Tolerance float64
	Level     float64
	Joint     bool
	Z         float64   // the quantile of the band
	SD        []float64 // at that width, by test point
	Label     Label
	Findings  []Finding
}

// SmallestWidth returns the smallest width whose band of the given level at time T lies within ±eps of the mean at all test
// points: for γ = 1 N = (z σ_T/eps)² (derived from the central limit theorem), for γ < 1 by bisection on N, since s changes
// with N. A joint band holds at all test points together.
func SmallestWidth(p Problem, gamma float64, test tensor.Tensor[float64], eps, level float64, joint bool, o Options) (*WidthPlan, error) {
	if !(eps > 0) {
		return nil, bad("tolerance", fmt.Sprint(eps), "a positive number", "half the width of the band")
	}
	halfWidth := func(n int) (float64, *Prediction, error) {
		pr, err := Predict(p, Width{n, gamma}, test, PredictOptions{Options: o})
		if err != nil {
			return 0, nil, err
		}
		_, hi, err := pr.Band(0, level, joint)
		if err != nil {
			return 0, nil, err
		}
		var h float64
		for k, v := range hi {
			h = max(h, v-pr.Mean[0][k])
		}
		return h, pr, nil
	}
	const largest = 1 << 40
	lo, hi := 1, 1
	n := 1000
	h, _, err := halfWidth(n)
	if err != nil {
		return nil, err
	}
	if gamma == 1 && p.Sampling != Reshuffled {
		hi = max(1, int(math.Ceil(float64(n)*(h/eps)*(h/eps))))
	} else {
		for hi = n; h > eps; hi *= 4 {
			if hi > largest {
				return nil, bad("tolerance", fmt.Sprint(eps), fmt.Sprintf("a tolerance that some width below %d reaches (at γ = %g the band is ±%.3g there)", largest, gamma, h),
					"for γ near ½ the variance of the initialisation does not fall with the width")
			}
			lo = hi
			if h, _, err = halfWidth(4 * hi); err != nil {
				return nil, err
			}
		}
		for float64(hi-lo) > 0.002*float64(hi) && hi-lo > 1 {
			mid := (lo + hi) / 2
			if h, _, err = halfWidth(mid); err != nil {
				return nil, err
			}
			if h > eps {
				lo = mid
			} else {
				hi = mid
			}
		}
	}
	h, pr, err := halfWidth(hi)
	if err != nil {
		return nil, err
	}
	plan := &WidthPlan{Width: Width{hi, gamma}, Tolerance: eps, Level: level, Joint: joint, SD: pr.SD(0), Label: Derived, Findings: pr.Findings}
	plan.Z = h / maxOf(plan.SD)
	return plan, nil
}

// BudgetPlan is a split of a compute budget between width and batch.
type BudgetPlan struct {
	Width    Width
	Batch    int
	Steps    int
	Cost     float64 // neuron evaluations: N · steps · B
	Variance float64 // largest predicted variance over the test points
	Label    Label
	Rows     []BudgetPlan // all candidates on the way
}

// SplitBudget finds width and batch with the smallest largest variance of the outputs for at most cost neuron evaluations N
// · (T N) · B, at fixed α and T (label: derived): for each batch of a ladder 1, 2, 4 … the width is √(cost/(T B)) and the
// variance (Init + Data/B)/N. Raising B pays until Data/B ≈ Init, after which only N helps.
func SplitBudget(p Problem, gamma float64, test tensor.Tensor[float64], cost float64, o Options) (*BudgetPlan, error) {
	var best *BudgetPlan
	var rows []BudgetPlan
	for b := 1; ; b *= 2 {
		n := int(math.Sqrt(cost / (p.T * float64(b))))
		if n < 30 || b > 1<<20 {
			break
		}
		q := p
		q.Batch = b
		pr, err := Predict(q, Width{n, gamma}, test, PredictOptions{Options: o})
		if err != nil {
			return nil, err
		}
		v := maxOf(pr.SD(0))
		row := BudgetPlan{Width: Width{n, gamma}, Batch: b, Steps: q.Steps(n), Variance: v * v, Label: Derived}
		row.Cost = float64(n) * float64(row.Steps) * float64(b)
		rows = append(rows, row)
		if best == nil || row.Variance < best.Variance {
			best = &rows[len(rows)-1]
		}
	}
	if best == nil {
		return nil, bad("budget", fmt.Sprintf("%g neuron evaluations", cost), fmt.Sprintf("at least %g, a width of 30", 900*p.T), "raise the budget or shorten T")
	}
	res := *best
	res.Rows = rows
	return &res, nil
}

// CheapestFor finds width and batch that reach the variance target at all test points with the smallest cost N·(TN)·B at γ =
// 1 (label: derived): with V(B) = Init + Data/B the width is V/target, the cost T V² B/target², least where Data/B = Init at
// the worst test point.
func CheapestFor(p Problem, test tensor.Tensor[float64], target float64, o Options) (*BudgetPlan, error) {
	if !(target > 0) {
		return nil, bad("target variance", fmt.Sprint(target), "a positive number", "the square of a standard deviation")
	}
	pr, err := Predict(p, Width{1, 1}, test, PredictOptions{Options: o})
	if err != nil {
		return nil, err
	}
	var best *BudgetPlan
	var rows []BudgetPlan
	for b := 1; b <= 1<<20; b *= 2 {
		var v float64
		for k := range pr.Mean[0] {
			v = max(v, pr.Init[0].At(k, k)+pr.Data[0].At(k, k)/float64(b))
		}
		n := int(math.Ceil(v / target))
		row := BudgetPlan{Width: Width{n, 1}, Batch: b, Steps: p.Steps(n), Variance: v / float64(n), Label: Derived}
		row.Cost = float64(n) * float64(row.Steps) * float64(b)
		rows = append(rows, row)
		if best == nil || row.Cost < best.Cost {
			best = &rows[len(rows)-1]
		}
		if row.Cost > 64*best.Cost {
			break
		}
	}
	res := *best
	res.Rows = rows
	return &res, nil
}

// BatchRow is the variance of the outputs for one batch size at a fixed rate.
type BatchRow struct {
	Batch    int
	Variance []float64 // by test point
	Useful   bool      // the data part still exceeds the initialisation part at some test point
}

// BatchPlan says what batches are good for at a width.
type BatchPlan struct {
	Width     Width
	Rows      []BatchRow
	Balance   []float64 // Data/Init by test point: the batch at which both parts are equal
	Stability Stability // its MaxBatch is the largest batch of the linear rule α → Bα
	Label     Label
}

// BatchLaw tabulates the variance over batches 1, 2, 4 … up to the batch beyond which only width helps.
func BatchLaw(p Problem, w Width, test tensor.Tensor[float64], o Options) (*BatchPlan, error) {
	pr, err := Predict(p, w, test, PredictOptions{Options: o})
	if err != nil {
		return nil, err
	}
	plan := &BatchPlan{Width: w, Stability: p.StabilityAt(w.N), Label: Derived}
	k := len(pr.Mean[0])
	for i := range k {
		plan.Balance = append(plan.Balance, pr.Data[0].At(i, i)/pr.Init[0].At(i, i))
	}
	for b := 1; b <= 1<<20; b *= 2 {
		row := BatchRow{Batch: b}
		for i := range k {
			row.Variance = append(row.Variance, pr.Init[0].At(i, i)+pr.Data[0].At(i, i)/float64(b))
			row.Useful = row.Useful || plan.Balance[i] > float64(b)
		}
		plan.Rows = append(plan.Rows, row)
		if !row.Useful {
			break
		}
	}
	return plan, nil
}

// LinearRule returns p with rate Bα and horizon T/B for batches of b: means and variances stay (label: derived).
func (p Problem) LinearRule(b int) Problem {
	alpha, f := p.Alpha, float64(b)
	p.Alpha = func(t float64) float64 { return f * alpha(t*f) }
	p.T /= f
	p.Batch = b
	return p
}

func maxOf(v []float64) float64 {
	m := math.Inf(-1)
	for _, x := range v {
		m = max(m, x)
	}
	return m
}
