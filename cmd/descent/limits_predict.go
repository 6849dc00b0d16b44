package main

import (
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/report"
)

type limitsPredictCmd struct {
	problemFlags
	answerFlags
	Limit string  `group:"Prediction" placeholder:"NAME" help:"auto (default: the s-flow, and whether a simpler limit would do), s-flow, mean-field or kernel."`
	Times string  `group:"Prediction" placeholder:"T,..." help:"When means and bands are asked for (default: the end)."`
	Level float64 `group:"Prediction" placeholder:"P" help:"Of the bands (default 0.95)."`
	Joint bool    `group:"Prediction" help:"Bands that hold at all test points together."`
	Runs  *int    `group:"Prediction" placeholder:"N" help:"Networks trained for the drawing (default 30)."`
}

// Help shows the examples.
func (limitsPredictCmd) Help() string {
	return `The output of a network with one hidden layer, trained by stochastic gradient descent, is nearly normal over initial weights
and the order of the data. Its mean comes from the limit equation, its covariance from an adjoint equation, in two parts:
what the initial weights leave, and what the sampling of the data adds. Nothing is trained. With --report some networks are, to be
drawn over the bands.

Bands are over the randomness of training on the given data; they say nothing of how the data themselves were drawn.

Examples:

    descent limits predict
    descent limits predict --width 300 --gamma 0.75 --limit auto
    descent limits predict --batch 16 --sampling reshuffled --schedule cosine
    descent limits predict --data diabetes --examples 100 --times 1,2,3 --joint
    descent limits predict --report predict.html`
}

// lawAt is the law of the outputs at one time, in JSON.
type lawAt struct {
	Time       num     `json:"time"`
	Mean       []num   `json:"mean"`
	SD         []num   `json:"sd"`
	Low        []num   `json:"low"`
	High       []num   `json:"high"`
	Covariance [][]num `json:"covariance"`
	Init       [][]num `json:"covariance_init"`
	Data       [][]num `json:"covariance_data_one_example,omitempty"`
}

// lawsOf puts a prediction into JSON.
func lawsOf(pr *asymptotics.Prediction, level float64, joint bool) ([]lawAt, error) {
	var out []lawAt
	for j, t := range pr.Times {
		lo, hi, err := pr.Band(j, level, joint)
		if err != nil {
			return nil, plain(err)
		}
		l := lawAt{Time: num(t), Mean: nums(pr.Mean[j]), SD: nums(pr.SD(j)), Low: nums(lo), High: nums(hi), Covariance: matrixOf(pr.Covariance(j)), Init: matrixOf(pr.Init[j])}
		if !pr.Data[j].IsZero() {
			l.Data = matrixOf(pr.Data[j])
		}
		out = append(out, l)
	}
	return out, nil
}

// Run predicts.
func (c *limitsPredictCmd) Run(a *app) error {
	t, err := c.task(c.answerFlags, 1000)
	if err != nil {
		return err
	}
	limit, auto, err := limitOf(c.Limit)
	if err != nil {
		return err
	}
	c.Level = orDefault(c.Level, 0.95)
	o := asymptotics.PredictOptions{Options: t.o, Limit: limit}
	if o.Times, err = listOf("times", c.Times); err != nil {
		return err
	}
	asked := len(o.Times)
	if asked == 0 {
		o.Times = []float64{t.p.T}
	}
	findings := append(t.notes, t.p.FindingsAt(t.w)...)
	if err := refuse(findings); err != nil {
		return err
	}
	p := a.progress()
	p.update(-1, "limit equation and its adjoint")
	pr, err := await(a, func() (*asymptotics.Prediction, error) { return asymptotics.Predict(t.p, t.w, t.test, o) })
	if err != nil {
		return plain(err)
	}
	laws, err := lawsOf(pr, c.Level, c.Joint)
	if err != nil {
		return err
	}
	r := &answer{verb: "predict", findings: findings, settings: t.facts,
		title: fmt.Sprintf("Outputs of networks of width %s, γ = %s: %s", grouped(t.w.N), number(t.w.Gamma), limitName(limit, t.w.Gamma))}
	data := map[string]any{"n": t.w.N, "gamma": t.w.Gamma, "scale": num(t.w.Scale()), "limit": limit.String(), "label": string(pr.Label), "level": c.Level, "joint": c.Joint, "test": matrixOf(t.test),
		"at": laws, "loss": map[string]any{"time": nums(pr.LossAt), "value": nums(pr.Curve)}}
	r.data = data
	var rows [][]string
	for j, l := range laws {
		for k := range l.Mean {
			when := ""
			if k == 0 {
				when = number(float64(l.Time))
			}
			init := pr.Init[j].At(k, k)
			share := init / float64(l.SD[k]*l.SD[k])
			rows = append(rows, []string{when, t.points[k], fixed(float64(l.Mean[k]), 4), fixed(float64(l.SD[k]), 4), fixed(float64(l.Low[k]), 4) + " … " + fixed(float64(l.High[k]), 4), percent(share)})
		}
	}
	kind := "each point by itself"
	if c.Joint {
		kind = "all points together"
	}
	r.tables = append(r.tables, report.Table{Name: "Outputs", Head: []string{">time", "at", ">mean", ">sd", fmt.Sprintf("%s band, %s", shortPercent(c.Level), kind), ">of the variance from the start"},
		Rows: rows, Note: labelNote(pr.Label, t)})
	r.summary = predictSentences(t, pr, len(laws)-1, c.Level)
	if auto && t.w.Gamma < 1 {
		p.update(-1, "kernel and mean-field limits, for comparison")
		cmp, err := await(a, func() (*asymptotics.Adequacy, error) { return asymptotics.CompareLimits(t.p, t.w, t.test, t.o) })
		if err != nil {
			return plain(err)
		}
		r.tables = append(r.tables, adequacyTable(t, cmp))
		r.summary = append(r.summary, capital(cmp.Advice)+".")
		data["adequacy"] = map[string]any{"s_flow": nums(cmp.SFlow), "kernel": nums(cmp.Kernel), "mean_field": nums(cmp.Field), "kernel_off_sd": num(cmp.KernelOff), "mean_field_off_sd": num(cmp.FieldOff),
			"best": cmp.Best.String(), "advice": cmp.Advice}
	} else if limit == asymptotics.SFlowLimit && t.w.Gamma == 1 {
		r.summary = append(r.summary, "At γ = 1 the s-flow is the mean-field limit itself.")
	}
	if c.drawn() {
		runs := 30
		if c.Runs != nil {
			runs = *c.Runs
		}
		if err := c.draw(a, p, t, o, runs, r, pr); err != nil {
			return plain(err)
		}
	}
	p.clear()
	return a.give(c.answerFlags, r)
}

// draw adds the outputs over time with bands and trained networks, and the loss.
func (c *limitsPredictCmd) draw(a *app, p *progress, t *task, o asymptotics.PredictOptions, runs int, r *answer, pr *asymptotics.Prediction) error {
	o.Times = nil
	for i := 1; i <= 8; i++ {
		o.Times = append(o.Times, t.p.T*float64(i)/8)
	}
	p.update(-1, "bands at eight times")
	curve, err := await(a, func() (*asymptotics.Prediction, error) { return asymptotics.Predict(t.p, t.w, t.test, o) })
	if err != nil {
		return err
	}
	r.figures, err = bandFigures(a, p, t, curve, c.Level, runs, c.Seed)
	if err != nil {
		return err
	}
	if len(pr.LossAt) > 0 {
		r.figures = append(r.figures, report.Figure{Name: "loss", Title: "Loss of the mean output", X: report.Axis{Label: "time = steps / N"}, Y: report.Axis{Label: "½ mean (y - g)²", Log: true},
			Series:  []report.Series{{Mark: report.Line, X: pr.LossAt, Y: pr.Curve}},
			Caption: "Single networks have on average half their variance more."})
	}
	return nil
}

// bandFigures draws, for up to six test points, the mean and the band over time and trained networks.
func bandFigures(a *app, p *progress, t *task, curve *asymptotics.Prediction, level float64, runs int, seed uint64) ([]report.Figure, error) {
	var sim *asymptotics.Simulation
	if runs > 0 {
		var at []float64
		for i := range 61 {
			if k := t.p.T * float64(i) / 60; i == 0 || math.Round(k*float64(t.w.N)) > math.Round(at[len(at)-1]*float64(t.w.N)) {
				at = append(at, k)
			}
		}
		var err error
		sim, err = asymptotics.Simulate(a.ctx, t.p, t.w, t.test, asymptotics.SimOptions{Replicates: runs, Seed: seed, Times: at, Pool: t.o.Pool, Progress: counting(p, "networks trained")})
		if err != nil {
			return nil, err
		}
	}
	var out []report.Figure
	start := startLaw(t)
	for k := range min(6, len(t.points)) {
		m, half := start.mean[k], math.Sqrt2*math.Erfinv(level)*start.sd[k]
		times, mean, lo, hi := []float64{0}, []float64{m}, []float64{m - half}, []float64{m + half}
		for j := range curve.Times {
			l, h, err := curve.Band(j, level, false)
			if err != nil {
				return nil, err
			}
			times, mean, lo, hi = append(times, curve.Times[j]), append(mean, curve.Mean[j][k]), append(lo, l[k]), append(hi, h[k])
		}
		f := report.Figure{Name: fmt.Sprintf("output-%d", k+1), Title: "Output at " + t.points[k], X: report.Axis{Label: "time = steps / N"}, Y: report.Axis{Label: "output g"}}
		if sim != nil {
			for i := range runs {
				s := report.Series{Mark: report.Thin, X: sim.Times, Colour: 8}
				for j := range sim.Times {
					s.Y = append(s.Y, sim.Outputs[j][i][k])
				}
				if i == 0 {
					s.Name = plural(runs, "trained network")
				}
				f.Series = append(f.Series, s)
			}
		}
		f.Series = append(f.Series,
			report.Series{Name: shortPercent(level) + " band", Mark: report.Band, X: times, Low: lo, High: hi},
			report.Series{Name: "predicted mean", Mark: report.Line, X: times, Y: mean})
		out = append(out, f)
	}
	return out, nil
}

// initial is the law of the outputs before training.
type initial struct{ mean, sd []float64 }

// startLaw is the law of the outputs at time zero: the sum of N independent c σ(u), times N^-γ.
func startLaw(t *task) initial {
	var out initial
	const nodes = 4096
	s := make([]float64, nodes)
	n := float64(t.w.N)
	for k := range t.points {
		// Where weights are normal u is too; other laws have the same mean and variance of u, which is enough for a drawing.
		var mean, variance float64
		add := func(x float64, l asymptotics.Law) {
			m := l.Moment(1)
			mean += x * m
			variance += x * x * (l.Moment(2) - m*m)
		}
		d := t.test.Shape().Cols()
		for _, x := range t.test.Data()[k*d : (k+1)*d] {
			add(x, t.p.Init.Weight)
		}
		if t.p.Bias {
			add(1, t.p.Init.Bias)
		}
		for i := range s {
			s[i] = mean + math.Sqrt(2*variance)*math.Erfinv(2*(float64(i)+0.5)/nodes-1)
		}
		t.p.Activation.Value(s, s)
		var first, second float64
		for _, v := range s {
			first += v / nodes
			second += v * v / nodes
		}
		one := t.p.Init.Output.Moment(1) * first
		out.mean = append(out.mean, one*math.Pow(n, 1-t.w.Gamma))
		out.sd = append(out.sd, math.Sqrt(max(0, t.p.Init.Output.Moment(2)*second-one*one))*math.Pow(n, 0.5-t.w.Gamma))
	}
	return out
}

// counting shows a count as progress.
func counting(p *progress, what string) func(done, total int) {
	return func(done, total int) {
		p.update(float64(done)/float64(max(1, total)), fmt.Sprintf("%s of %s %s", grouped(done), grouped(total), what))
	}
}

func limitOf(name string) (limit asymptotics.Limit, auto bool, err error) {
	switch name {
	case "", "auto":
		return asymptotics.SFlowLimit, true, nil
	case "s-flow":
		return asymptotics.SFlowLimit, false, nil
	case "mean-field", "meanfield":
		return asymptotics.MeanFieldLimit, false, nil
	case "kernel":
		return asymptotics.KernelLimitOnly, false, nil
	}
	return 0, false, usage(fmt.Errorf("--limit: found %q, expected auto, s-flow, mean-field or kernel\nhint: leave it out for the s-flow, which holds for every width and exponent", name))
}

func limitName(l asymptotics.Limit, gamma float64) string {
	switch {
	case l == asymptotics.KernelLimitOnly:
		return "kernel limit"
	case l == asymptotics.MeanFieldLimit:
		return "mean-field limit"
	case gamma == 1:
		return "mean-field limit with its central limit theorem"
	}
	return "s-flow"
}

func shortPercent(level float64) string { return number(100*level) + " %" }

// labelNote says what a prediction rests on.
func labelNote(l asymptotics.Label, t *task) string {
	text := "Rests on: " + string(l) + "."
	if l == asymptotics.Theorem {
		text = "Rests on: theorem (law of large numbers and central limit theorem of Sirignano and Spiliopoulos), where its assumptions hold"
		if t.p.Batch > 1 && t.p.Sampling != asymptotics.FullBatch {
			text += "; the factor 1/B of batches is derived, confirmed by simulation"
		}
		text += "."
	}
	return text
}

// predictSentences say in words what a prediction means.
func predictSentences(t *task, pr *asymptotics.Prediction, j int, level float64) []string {
	var s []string
	sd := pr.SD(j)
	worst := 0
	for k := range sd {
		if sd[k] > sd[worst] {
			worst = k
		}
	}
	z := math.Sqrt2 * math.Erfinv(level)
	s = append(s, fmt.Sprintf("At time %s, %s of networks lie within ±%s of the mean at %s, where they spread most.", number(pr.Times[j]), shortPercent(level), sig(z*sd[worst]), t.points[worst]))
	if n := len(pr.Curve); n > 0 {
		s = append(s, fmt.Sprintf("The loss of the mean output falls from %s to %s.", sig(pr.Curve[0]), sig(pr.Curve[n-1])))
	}
	if pr.Data[j].IsZero() {
		return append(s, "The kernel limit has the spread of the initial weights alone: at moderate widths the noise of the sampling is larger.")
	}
	init, data := pr.Init[j].At(worst, worst), pr.Data[j].At(worst, worst)*pr.DataFactor()
	switch {
	case pr.Sampling == asymptotics.Reshuffled:
		s = append(s, fmt.Sprintf("Reshuffled epochs, %s to a unit of time, take the noise of the sampling out of the output: the initial weights make the spread.", number(pr.Epochs)))
	case data > init:
		s = append(s, fmt.Sprintf("%s of the variance there comes from the sampling of the data: batches up to about %s, or reshuffled epochs, reduce it; beyond, only width does.",
			percent(data/(init+data)), grouped(int(math.Round(pr.Data[j].At(worst, worst)/init)))))
	default:
		s = append(s, fmt.Sprintf("%s of the variance there comes from the initial weights: only more width reduces it.", percent(init/(init+data))))
	}
	return s
}

func adequacyTable(t *task, c *asymptotics.Adequacy) report.Table {
	var rows [][]string
	for k, name := range t.points {
		rows = append(rows, []string{name, fixed(c.SFlow[k], 4), fixed(c.Kernel[k], 4), fixed(c.Field[k], 4), fixed(c.SD[k], 4)})
	}
	rows = append(rows, []string{"farthest from the s-flow, in sd", "", fixed(c.KernelOff, 2), fixed(c.FieldOff, 2), ""})
	return report.Table{Name: "Would a simpler limit do?", Head: []string{"mean at", ">s-flow", ">kernel", ">mean field", ">sd"}, Rows: rows,
		Note: "Rests on: s-flow derived, confirmed by simulation; kernel and mean-field limits theorems as N → ∞."}
}

// capital makes the first letter a capital.
func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

type limitsSimulateCmd struct {
	problemFlags
	answerFlags
	Runs  int     `group:"Simulation" placeholder:"N" help:"Networks to train (default 1000)."`
	Level float64 `group:"Simulation" placeholder:"P" help:"Of the bands (default 0.95)."`
}

// Help shows the examples.
func (limitsSimulateCmd) Help() string {
	return `Trains many small networks, each with its own initial weights and data order, and lays their law beside the prediction.
Network r depends on the seed and on r alone.

Examples:

    descent limits simulate
    descent limits simulate --width 1000 --gamma 0.75 --runs 200
    descent limits simulate --sampling reshuffled --width 300
    descent limits simulate --report simulate.html`
}

// Run simulates.
func (c *limitsSimulateCmd) Run(a *app) error {
	t, err := c.task(c.answerFlags, 100)
	if err != nil {
		return err
	}
	c.Level = orDefault(c.Level, 0.95)
	runs := c.Runs
	if runs == 0 {
		runs = 1000
	}
	if runs < 2 {
		return usage(fmt.Errorf("--runs: found %d, expected at least 2\nhint: 1000 give variances to 4.5 %%", runs))
	}
	findings := append(t.notes, t.p.FindingsAt(t.w)...)
	refused := refuse(findings)
	p := a.progress()
	sim, err := asymptotics.Simulate(a.ctx, t.p, t.w, t.test, asymptotics.SimOptions{Replicates: runs, Seed: c.Seed, Pool: t.o.Pool, Progress: counting(p, "networks trained")})
	if err != nil {
		return plain(err)
	}
	r := &answer{verb: "simulate", title: fmt.Sprintf("%s networks of width %s", grouped(runs), grouped(t.w.N)), findings: findings, settings: t.facts}
	if refused != nil {
		r.summary = append(r.summary, "There is no prediction to compare with; see below. What was simulated stands.")
		r.data = c.measured(t, sim, nil, 0, r)
		p.clear()
		return a.give(c.answerFlags, r)
	}
	p.update(-1, "limit equation and its adjoint")
	pr, err := await(a, func() (*asymptotics.Prediction, error) {
		return asymptotics.Predict(t.p, t.w, t.test, asymptotics.PredictOptions{Options: t.o})
	})
	if err != nil {
		return plain(err)
	}
	r.data = c.measured(t, sim, pr, c.Level, r)
	if c.drawn() {
		o := asymptotics.PredictOptions{Options: t.o}
		for i := 1; i <= 8; i++ {
			o.Times = append(o.Times, t.p.T*float64(i)/8)
		}
		curve, err := await(a, func() (*asymptotics.Prediction, error) { return asymptotics.Predict(t.p, t.w, t.test, o) })
		if err != nil {
			return plain(err)
		}
		bands, err := bandFigures(a, p, t, curve, c.Level, min(runs, 40), c.Seed)
		if err != nil {
			return plain(err)
		}
		r.figures = append(r.figures, bands...)
		for k := range min(6, len(t.points)) {
			r.figures = append(r.figures, histogram(t, sim.Final(), pr, k))
		}
	}
	p.clear()
	return a.give(c.answerFlags, r)
}

func orDefault(v, otherwise float64) float64 {
	if v == 0 {
		return otherwise
	}
	return v
}

// measured compares simulated outputs with a prediction, or shows them alone if pr is nil.
func (c *limitsSimulateCmd) measured(t *task, sim *asymptotics.Simulation, pr *asymptotics.Prediction, level float64, r *answer) any {
	type point struct {
		At       string `json:"at"`
		Mean     num    `json:"mean"`
		MeanSE   num    `json:"mean_se"`
		SD       num    `json:"sd"`
		Skew     num    `json:"skewness"`
		Kurtosis num    `json:"excess_kurtosis"`
		// The rest is of the comparison.
		Predicted *num `json:"predicted_mean,omitempty"`
		PredSD    *num `json:"predicted_sd,omitempty"`
		Ratio     *num `json:"variance_ratio,omitempty"`
		RatioSE   *num `json:"variance_ratio_se,omitempty"`
		Coverage  *num `json:"coverage,omitempty"`
	}
	final := sim.Final()
	var points []point
	var rows [][]string
	var lo, hi []float64
	if pr != nil {
		lo, hi, _ = pr.Band(0, level, false)
	}
	inside, worst, far := 0.0, 0.0, 0.0
	diverged := 0
	for _, row := range final {
		for _, v := range row {
			if !isFinite(v) {
				diverged++
				break
			}
		}
	}
	for k, name := range t.points {
		col := columnOf(final, k)
		m := asymptotics.MomentsOf(col)
		x := point{At: name, Mean: num(m.Mean), MeanSE: num(m.MeanSE()), SD: num(math.Sqrt(m.Variance)), Skew: num(m.Skewness), Kurtosis: num(m.Kurtosis)}
		row := []string{name, plusMinus(m.Mean, m.MeanSE()), fixed(math.Sqrt(m.Variance), 4)}
		if pr != nil {
			sd := pr.SD(0)[k]
			ratio := m.Variance / (sd * sd)
			se := ratio * m.VarianceRelSE()
			in := 0.0
			for _, v := range col {
				if v >= lo[k] && v <= hi[k] {
					in++
				}
			}
			in /= float64(len(col))
			inside += in / float64(len(t.points))
			worst = math.Max(worst, math.Abs(ratio-1))
			far = math.Max(far, math.Abs(m.Mean-pr.Mean[0][k])/sd)
			ref := func(v float64) *num { n := num(v); return &n }
			x.Predicted, x.PredSD, x.Ratio, x.RatioSE, x.Coverage = ref(pr.Mean[0][k]), ref(sd), ref(ratio), ref(se), ref(in)
			row = append(row, fixed(pr.Mean[0][k], 4), fixed(sd, 4), plusMinus(ratio, se), percent(in))
		}
		row = append(row, fixed(m.Skewness, 2), fixed(m.Kurtosis, 2))
		points, rows = append(points, x), append(rows, row)
	}
	head := []string{"at", ">mean", ">sd"}
	if pr != nil {
		head = append(head, ">predicted mean", ">predicted sd", ">variance / predicted", fmt.Sprintf(">in the %s band", shortPercent(level)))
		r.summary = append(r.summary, fmt.Sprintf("%s of the outputs lie in their %s bands; variances are within %s of the prediction, means within %s standard deviations.",
			percent(inside), shortPercent(level), percent(worst), fixed(far, 2)))
	}
	if diverged > 0 {
		r.summary = append(r.summary, fmt.Sprintf("%s of %s networks diverged.", grouped(diverged), grouped(len(final))))
	}
	head = append(head, ">skewness", ">excess kurtosis")
	r.tables = append(r.tables, report.Table{Name: fmt.Sprintf("Outputs at time %s", number(t.p.T)), Head: head, Rows: rows, Note: "Rests on: simulated, empirical (± one standard error); predicted, " + predictedLabel(pr)})
	out := map[string]any{"n": t.w.N, "gamma": t.w.Gamma, "runs": len(final), "diverged": diverged, "points": points}
	if cov, _ := asymptotics.Covariance(final); pr != nil {
		out["covariance"] = cov
		e := asymptotics.RelativeFrobenius(cov, asymptotics.Rows(pr.Covariance(0)))
		out["covariance_error"] = num(e)
		out["coverage"] = num(inside)
		out["label"] = string(pr.Label)
		r.summary = append(r.summary, fmt.Sprintf("The covariance over the test points is %s from the prediction (relative Frobenius distance).", percent(e)))
	}
	return out
}

func predictedLabel(pr *asymptotics.Prediction) string {
	if pr == nil {
		return "none."
	}
	return string(pr.Label) + "."
}

// histogram draws the outputs at one point and the predicted normal density.
func histogram(t *task, final [][]float64, pr *asymptotics.Prediction, k int) report.Figure {
	mean, sd := pr.Mean[0][k], pr.SD(0)[k]
	const bins = 41
	lo, step := mean-4.1*sd, 8.2*sd/bins
	count := make([]float64, bins)
	for _, row := range final {
		if b := int((row[k] - lo) / step); b >= 0 && b < bins {
			count[b]++
		}
	}
	bars := report.Series{Name: "simulated", Mark: report.Stems, Colour: 8}
	normal := report.Series{Name: "predicted", Mark: report.Line}
	for i := range bins {
		x := lo + (float64(i)+0.5)*step
		bars.X, bars.Y = append(bars.X, x), append(bars.Y, count[i]/(float64(len(final))*step))
		z := (x - mean) / sd
		normal.X, normal.Y = append(normal.X, x), append(normal.Y, math.Exp(-z*z/2)/(sd*math.Sqrt(2*math.Pi)))
	}
	return report.Figure{Name: fmt.Sprintf("law-%d", k+1), Title: "Law of the output at " + t.points[k], X: report.Axis{Label: "output g"}, Y: report.Axis{Label: "density"}, Series: []report.Series{bars, normal}}
}
