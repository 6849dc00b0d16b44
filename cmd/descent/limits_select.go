package main

import (
	"context"
	"fmt"
	"math"
	"sort"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/tensor"
)

type limitsSelectCmd struct {
	problemFlags
	answerFlags
	Budget  float64 `group:"Question" placeholder:"C" help:"Neuron evaluations width · steps · batch of one training (default 1e6)."`
	Gammas  string  `group:"Question" placeholder:"G,..." help:"Exponents to choose from (default 0.5,0.75,0.9,1)."`
	Batches string  `group:"Question" placeholder:"B,..." help:"Batches to choose from (default 1,4,16,64)."`
	Alphas  string  `group:"Question" placeholder:"A,..." help:"Rates α to choose from (default half of --alpha, --alpha and its double)."`
	Level   float64 `group:"Question" placeholder:"P" help:"Of the bands that are checked (default 0.95)."`
	Verify  *int    `group:"Verification" placeholder:"K" help:"Choices that are trained, the best first (default 3; 0: none)."`
	Runs    int     `group:"Verification" placeholder:"N" help:"Networks a choice (default 40)."`
}

// Help shows the examples.
func (limitsSelectCmd) Help() string {
	return `Predicts the squared error bias² + variance at the test points for every exponent, batch and rate, each at the width that the budget
affords, and ranks them. The best are then trained, and their measured error and band coverage stand beside the prediction.

The budget counts neuron evaluations, width · steps · batch with steps = T · width: a larger batch buys a narrower network.

Examples:

    descent limits select
    descent limits select --budget 1e7 --sampling reshuffled
    descent limits select --data diabetes --examples 50 --gammas 0.75,1 --batches 1,8
    descent limits select --report select.html`
}

// choice is a candidate.
type choice struct {
	Gamma     float64 `json:"gamma"`
	N         int     `json:"n"`
	Batch     int     `json:"batch"`
	Alpha     float64 `json:"alpha"`
	Steps     int     `json:"steps"`
	Rate      num     `json:"step_rate"`
	Cost      num     `json:"cost"`
	Bias      num     `json:"bias_squared"`
	Variance  num     `json:"variance"`
	Error     num     `json:"error"`
	Refused   string  `json:"refused,omitempty"`
	Measured  *num    `json:"measured_error,omitempty"`
	SE        *num    `json:"measured_error_se,omitempty"`
	MeasuredV *num    `json:"measured_variance,omitempty"`
	Coverage  *num    `json:"coverage,omitempty"`

	p  asymptotics.Problem
	pr *asymptotics.Prediction
}

// Run selects.
func (c *limitsSelectCmd) Run(a *app) error {
	t, err := c.task(c.answerFlags, 100)
	if err != nil {
		return err
	}
	if c.Nodes == 0 {
		t.o.Nodes = 1024
	}
	if c.Steps == 0 {
		t.o.Steps = 100
	}
	gammas, err := listOf("gammas", orElse(c.Gammas, "0.5,0.75,0.9,1"))
	if err != nil {
		return err
	}
	for _, g := range gammas {
		if err := (asymptotics.Width{N: 1, Gamma: g}).Check(); err != nil {
			return plain(err)
		}
	}
	alphas, err := listOf("alphas", c.Alphas)
	if err != nil {
		return err
	}
	if len(alphas) == 0 {
		alphas = []float64{t.alpha / 2, t.alpha, 2 * t.alpha}
	}
	batches, err := widthList("batches", orElse(c.Batches, "1,4,16,64"), 1)
	if err != nil {
		return err
	}
	budget, level := orDefault(c.Budget, 1e6), orDefault(c.Level, 0.95)
	verify, runs := 3, c.Runs
	if c.Verify != nil {
		verify = *c.Verify
	}
	if runs == 0 {
		runs = 40
	}
	if !(budget > 0) || !isFinite(budget) || verify < 0 || runs < 2 {
		return usage(fmt.Errorf("--budget, --verify, --runs: found %g, %d and %d, expected a positive budget, no negative number and at least 2 runs\nhint: leave them out for 1e6, 3 and 40", budget, verify, runs))
	}
	spec, err := c.spec()
	if err != nil {
		return err
	}
	target := t.testY
	where := "the targets at the test points"
	if target == nil {
		// Without targets at the test points the error is that on the examples.
		k := min(32, t.p.Examples())
		t.test, target = t.headOfData(k)
		where = fmt.Sprintf("the targets of the first %s, which are trained on", plural(k, "example"))
	}
	p := a.progress()
	var all []*choice
	count := len(gammas) * len(alphas) * len(batches)
	for _, g := range gammas {
		for _, alpha := range alphas {
			for _, b := range batches {
				p.update(float64(len(all))/float64(count), fmt.Sprintf("predicting %d of %d choices", len(all)+1, count))
				s := spec
				s.Alpha = alpha
				x := &choice{Gamma: g, Batch: b, Alpha: alpha, N: int(math.Sqrt(budget / (t.p.T * float64(b)))), p: t.p}
				x.p.Batch = b
				if x.p.Alpha, err = parseSchedule(s); err != nil {
					return err
				}
				all = append(all, x)
				if x.N < 30 {
					x.Refused = fmt.Sprintf("the budget leaves width %d, below 30", x.N)
					continue
				}
				if err := x.predict(a, t, target); err != nil {
					return plain(err)
				}
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool {
		if (all[i].Refused == "") != (all[j].Refused == "") {
			return all[i].Refused == ""
		}
		return all[i].Refused == "" && all[i].Error < all[j].Error
	})
	if all[0].Refused != "" {
		return usage(fmt.Errorf("no choice can be predicted: %s\nhint: raise --budget, or take smaller batches", all[0].Refused))
	}
	for i, x := range all[:min(verify, len(all))] {
		if x.Refused != "" {
			break
		}
		if err := x.verify(a.ctx, t, target, level, asymptotics.SimOptions{Replicates: runs, Seed: c.Seed, Pool: t.o.Pool, Progress: counting(p, fmt.Sprintf("networks of choice %d of %d", i+1, verify))}); err != nil {
			return plain(err)
		}
	}
	p.clear()
	r := &answer{verb: "select", title: fmt.Sprintf("Choices for %s neuron evaluations", sig(budget)), findings: append(t.notes, t.p.Findings()...), settings: t.facts}
	t.facts[1].Value = t.p.Activation.Name
	t.facts[3].Value = fmt.Sprintf("time T = %s, %s; error against %s", number(t.p.T), t.p.Sampling, where)
	r.fillChoices(all, runs, level)
	r.data = map[string]any{"budget": num(budget), "choices": all, "label": string(asymptotics.Derived)}
	return a.give(c.answerFlags, r)
}

// headOfData returns the first k examples as test points.
func (t *task) headOfData(k int) (tensor.Tensor[float64], []float64) {
	d := t.p.X.Shape().Cols()
	return tensor.FromSlice(t.p.X.Data()[:k*d], k, d), t.p.Y[:k]
}

// predict fills in the predicted error.
func (x *choice) predict(a *app, t *task, target []float64) error {
	w := asymptotics.Width{N: x.N, Gamma: x.Gamma}
	for _, f := range x.p.FindingsAt(w) {
		if f.Subject == "rate" { // beyond the continuous limit: nothing is predicted from there
			x.Refused = f.Text
			return nil
		}
	}
	var err error
	x.pr, err = await(a, func() (*asymptotics.Prediction, error) {
		return asymptotics.Predict(x.p, w, t.test, asymptotics.PredictOptions{Options: t.o})
	})
	if err != nil {
		return err
	}
	var bias, variance float64
	for k, sd := range x.pr.SD(0) {
		e := x.pr.Mean[0][k] - target[k]
		bias += e * e / float64(len(target))
		variance += sd * sd / float64(len(target))
	}
	x.Steps = x.p.Steps(x.N)
	x.Rate = num(x.Alpha * math.Pow(float64(x.N), 2*x.Gamma-2))
	x.Cost = num(float64(x.N) * float64(x.Steps) * float64(x.Batch))
	x.Bias, x.Variance, x.Error = num(bias), num(variance), num(bias+variance)
	return nil
}

// verify trains networks of the choice.
func (x *choice) verify(ctx context.Context, t *task, target []float64, level float64, o asymptotics.SimOptions) error {
	sim, err := asymptotics.Simulate(ctx, x.p, asymptotics.Width{N: x.N, Gamma: x.Gamma}, t.test, o)
	if err != nil {
		return err
	}
	lo, hi, err := x.pr.Band(0, level, false)
	if err != nil {
		return err
	}
	var each []float64
	inside := 0.0
	for _, row := range sim.Final() {
		sum := 0.0
		for k, g := range row {
			sum += (g - target[k]) * (g - target[k]) / float64(len(target))
			if g >= lo[k] && g <= hi[k] {
				inside += 1 / float64(len(target)*o.Replicates)
			}
		}
		each = append(each, sum)
	}
	var variance float64
	for k := range target {
		variance += asymptotics.MomentsOf(columnOf(sim.Final(), k)).Variance / float64(len(target))
	}
	m := asymptotics.MomentsOf(each)
	ref := func(v float64) *num { n := num(v); return &n }
	x.Measured, x.SE, x.MeasuredV, x.Coverage = ref(m.Mean), ref(m.MeanSE()), ref(variance), ref(inside)
	return nil
}

// fillChoices shows the ranking.
func (r *answer) fillChoices(all []*choice, runs int, level float64) {
	head := []string{">γ", ">width", ">batch", ">α", ">step rate", ">bias²", ">variance", ">error", ">measured", fmt.Sprintf(">in the %s band", shortPercent(level))}
	t := report.Table{Name: "Predicted mean squared error, best first", Head: head, Note: fmt.Sprintf("Measured: %d trained networks a choice, ± one standard error. Rests on: derived, confirmed by simulation; measured: empirical.", runs)}
	refused := map[string]int{}
	for i, x := range all {
		if x.Refused != "" {
			refused[x.Refused]++
			continue
		}
		if i >= 12 {
			continue
		}
		row := []string{number(x.Gamma), grouped(x.N), grouped(x.Batch), number(x.Alpha), sig(float64(x.Rate)), sig(float64(x.Bias)), sig(float64(x.Variance)), sig(float64(x.Error)), "", ""}
		if x.Measured != nil {
			row[8], row[9] = plusMinus(float64(*x.Measured), float64(*x.SE)), percent(float64(*x.Coverage))
		}
		t.Rows = append(t.Rows, row)
	}
	r.tables = append(r.tables, t)
	best := all[0]
	r.summary = append(r.summary, fmt.Sprintf("Best: γ = %s, width %s, batch %d, α = %s (a step rate of %s on the loss), for an error of %s: bias² %s and variance %s.",
		number(best.Gamma), grouped(best.N), best.Batch, number(best.Alpha), sig(float64(best.Rate)), sig(float64(best.Error)), sig(float64(best.Bias)), sig(float64(best.Variance))))
	if best.Measured != nil {
		off := math.Abs(float64(*best.Measured)-float64(best.Error)) / math.Max(float64(*best.SE), 1e-300)
		word := "agrees with"
		if off > 3 {
			word = "is off"
		}
		r.summary = append(r.summary, fmt.Sprintf("Trained, it has an error of %s, which %s the prediction (%s standard errors apart).", plusMinus(float64(*best.Measured), float64(*best.SE)), word, fixed(off, 1)))
	}
	for text, n := range refused {
		r.findings = append(r.findings, asymptotics.Finding{Subject: plural(n, "choice") + " left out", Severity: asymptotics.Warning, Text: text, Holds: "the others"})
	}
	sort.SliceStable(r.findings, func(i, j int) bool { return r.findings[i].Text < r.findings[j].Text })
	f := report.Figure{Name: "choices", Title: "Bias² and variance of the choices", X: report.Axis{Label: "variance", Log: true}, Y: report.Axis{Label: "bias²", Log: true}}
	colours := map[float64]int{}
	for _, x := range all {
		if x.Refused != "" {
			continue
		}
		k, ok := colours[x.Gamma]
		if !ok {
			k = len(colours)
			colours[x.Gamma] = k
			f.Series = append(f.Series, report.Series{Name: "γ = " + number(x.Gamma), Mark: report.Points, Colour: k})
		}
		f.Series[k].X, f.Series[k].Y = append(f.Series[k].X, float64(x.Variance)), append(f.Series[k].Y, float64(x.Bias))
	}
	r.figures = append(r.figures, f)
	v := report.Figure{Name: "verified", Title: "Error: predicted and measured", X: report.Axis{Label: "predicted"}, Y: report.Axis{Label: "measured"}, Caption: "Bars are two standard errors."}
	pts := report.Series{Mark: report.Points}
	for _, x := range all {
		if x.Measured != nil {
			m, se := float64(*x.Measured), float64(*x.SE)
			pts.X, pts.Y, pts.Low, pts.High = append(pts.X, float64(x.Error)), append(pts.Y, m), append(pts.Low, m-2*se), append(pts.High, m+2*se)
		}
	}
	if len(pts.X) > 1 {
		lo, hi := math.Inf(1), math.Inf(-1)
		for i := range pts.X {
			lo, hi = math.Min(lo, math.Min(pts.X[i], pts.Low[i])), math.Max(hi, math.Max(pts.X[i], pts.High[i]))
		}
		v.Series = []report.Series{{Name: "equal", Mark: report.Line, Dashed: true, Colour: 8, X: []float64{lo, hi}, Y: []float64{lo, hi}}, pts}
		r.figures = append(r.figures, v)
	}
}
