package main

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/report"
)

type limitsCheckCmd struct {
	problemFlags
	answerFlags
	Widths    string `group:"Check" placeholder:"N,..." help:"Ladder of widths (default 30,100,300)."`
	Runs      int    `group:"Check" placeholder:"N" help:"Networks at the largest width; narrower ones get more, at equal cost of a step (default 400)."`
	Reference bool   `group:"Check" help:"Run the program's own checks on the built-in problem instead."`
	Only      string `group:"Check" placeholder:"ID,..." help:"With --reference: these checks alone, such as M4,L2."`
	Full      bool   `group:"Check" help:"With --reference: all replicates, some ten minutes of computing (default: half a minute)."`
	Controls  bool   `group:"Check" help:"With --reference: wrong theories instead, each of which has to fail."`
}

// Help shows the examples.
func (limitsCheckCmd) Help() string {
	return `Trains networks on a ladder of widths and compares them with the theory: the rate at which they come to the limit, bias, variance,
covariance over the test points, normality, coverage of the bands. Every row has what was expected, what was measured with its
standard error, and a verdict. The exit status is 1 if a row fails.

A threshold is three standard errors plus what theory leaves open at that width, which falls as 1/N.

Examples:

    descent limits check
    descent limits check --gamma 0.75 --widths 50,150,450 --runs 1000
    descent limits check --sampling reshuffled --batch 4
    descent limits check --reference --only M1,M7,L2
    descent limits check --reference --controls`
}

// checkRow is a row in JSON.
type checkRow struct {
	ID        string `json:"id,omitempty"`
	What      string `json:"what"`
	N         int    `json:"n,omitempty"`
	Expected  num    `json:"expected"`
	Measured  num    `json:"measured"`
	SE        num    `json:"se"`
	Threshold string `json:"threshold"`
	Pass      bool   `json:"pass"`
	Label     string `json:"label"`
}

// Run checks.
func (c *limitsCheckCmd) Run(a *app) error {
	if c.Reference {
		return c.reference(a)
	}
	if c.Only != "" || c.Full || c.Controls {
		return usage(fmt.Errorf("--only, --full and --controls are of the program's own checks\nhint: add --reference"))
	}
	widths, err := widthList("widths", orElse(c.Widths, "30,100,300"), 2)
	if err != nil {
		return err
	}
	runs := c.Runs
	if runs == 0 {
		runs = 400
	}
	if runs < 50 {
		return usage(fmt.Errorf("--runs: found %d, expected at least 50\nhint: variances from 50 networks are known to 20 %%", runs))
	}
	t, err := c.task(c.answerFlags, widths[len(widths)-1])
	if err != nil {
		return err
	}
	largest := widths[len(widths)-1]
	r := &answer{verb: "check", title: fmt.Sprintf("Networks of widths %s against the theory", joinInts(widths)), settings: t.facts,
		findings: append(t.notes, t.p.FindingsAt(asymptotics.Width{N: widths[0], Gamma: t.w.Gamma})...)}
	t.facts[1].Value = fmt.Sprintf("N = %s, γ = %s; %s", joinInts(widths), number(t.w.Gamma), t.p.Activation.Name)
	t.facts[3].Value = fmt.Sprintf("α = %s, T = %s, batch %d, %s", number(t.alpha), number(t.p.T), t.p.Batch, t.p.Sampling)
	if err := refuse(r.findings); err != nil {
		return err
	}
	p := a.progress()
	var all []*measurement
	for i, n := range widths {
		w := asymptotics.Width{N: n, Gamma: t.w.Gamma}
		m := &measurement{n: n, runs: max(runs, min(20000, runs*largest/n))}
		sim, err := asymptotics.Simulate(a.ctx, t.p, w, t.test, asymptotics.SimOptions{Replicates: m.runs, Seed: c.Seed, Pool: t.o.Pool,
			Progress: counting(p, fmt.Sprintf("networks of width %d (%d of %d widths)", n, i+1, len(widths)))})
		if err != nil {
			return plain(err)
		}
		p.update(-1, fmt.Sprintf("prediction for width %d", n))
		m.pr, err = await(a, func() (*asymptotics.Prediction, error) {
			return asymptotics.Predict(t.p, w, t.test, asymptotics.PredictOptions{Options: t.o})
		})
		if err != nil {
			return plain(err)
		}
		m.measure(sim.Final())
		all = append(all, m)
	}
	p.clear()
	rows := checkRows(all)
	r.fill(rows, "Verdicts")
	r.figures = checkFigures(t, all, rows)
	r.data = map[string]any{"gamma": t.w.Gamma, "widths": widths, "rows": rows}
	return c.end(a, r, rows)
}

// end prints the answer and fails if a row did.
func (c *limitsCheckCmd) end(a *app, r *answer, rows []checkRow) error {
	failed := 0
	for _, row := range rows {
		if !row.Pass {
			failed++
		}
	}
	if err := a.give(c.answerFlags, r); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%s of %d failed\nhint: see the findings; more --runs tell chance from error, and narrow networks lie outside the theory", plural(failed, "row"), len(rows))
	}
	return nil
}

// fill makes the table of verdicts.
func (r *answer) fill(rows []checkRow, name string) {
	t := report.Table{Name: name, Head: []string{"", "what", ">expected", ">measured", "threshold", "rests on"}}
	ids := false
	passed := 0
	for _, x := range rows {
		ids = ids || x.ID != ""
		if x.Pass {
			passed++
		}
		t.Rows = append(t.Rows, []string{yesNo(x.Pass), strings.TrimSpace(x.ID + " " + x.What), number(float64(x.Expected)), plusMinus(float64(x.Measured), float64(x.SE)), x.Threshold, x.Label})
	}
	r.tables = append(r.tables, t)
	r.summary = append(r.summary, fmt.Sprintf("%d of %s pass.", passed, plural(len(rows), "row")))
}

// measurement is what networks of one width did, beside the prediction.
type measurement struct {
	n, runs          int
	pr               *asymptotics.Prediction
	rmse, rmseSE     float64 // distance to the predicted mean
	sd               float64 // predicted, over all points
	bias, biasSE     float64 // rms over the points, freed from the noise's share
	ratio, ratioSE   float64 // Σ Var / Σ predicted
	frobenius, noise float64 // relative, and what sampling alone gives
	skew, kurtosis   float64 // the largest
	p                float64 // the smallest of the Kolmogorov–Smirnov tests
	inside           float64
	z                []float64 // standardised outputs at the first point, sorted
}

func (m *measurement) measure(out [][]float64) {
	k := len(out[0])
	cov, mean := asymptotics.Covariance(out)
	want := asymptotics.Rows(m.pr.Covariance(0))
	sd := m.pr.SD(0)
	lo, hi, _ := m.pr.Band(0, 0.95, false)
	r := float64(len(out))
	var trace, square, variance, noise float64
	m.p = 1
	for i := range k {
		trace += want[i][i]
		variance += cov[i][i]
		m.rmse += cov[i][i] + (mean[i]-m.pr.Mean[0][i])*(mean[i]-m.pr.Mean[0][i])
		m.bias += (mean[i] - m.pr.Mean[0][i]) * (mean[i] - m.pr.Mean[0][i])
		noise += cov[i][i] / r
		for j := range k {
			square += want[i][j] * want[i][j]
		}
		col := columnOf(out, i)
		x := asymptotics.MomentsOf(col)
		if math.Abs(x.Skewness) > math.Abs(m.skew) {
			m.skew = x.Skewness
		}
		if math.Abs(x.Kurtosis) > math.Abs(m.kurtosis) {
			m.kurtosis = x.Kurtosis
		}
		for _, v := range col {
			if v >= lo[i] && v <= hi[i] {
				m.inside += 1 / (r * float64(k))
			}
		}
		sort.Float64s(col)
		_, p := asymptotics.KSNormal(col, mean[i], math.Sqrt(x.Variance))
		m.p = math.Min(m.p, p)
		if i == 0 {
			for _, v := range col {
				m.z = append(m.z, (v-m.pr.Mean[0][0])/sd[0])
			}
		}
	}
	m.ratio = variance / trace
	m.ratioSE = m.ratio * math.Sqrt(2*square/r) / trace
	m.rmse = math.Sqrt(m.rmse / float64(k))
	m.rmseSE = 0.5 * m.rmse * m.ratioSE / m.ratio
	m.sd = math.Sqrt(trace / float64(k))
	m.biasSE = math.Sqrt(noise / float64(k))
	m.bias = math.Sqrt(m.bias / float64(k))
	m.frobenius = asymptotics.RelativeFrobenius(cov, want)
	m.noise = math.Sqrt((square+trace*trace)/(r-1)) / math.Sqrt(square)
}

// open is what theory leaves open at a width, of relative order 1/N: 5 % at 30.
func (m *measurement) open() float64 { return 1.5 / float64(m.n) }

// checkRows are the verdicts of a ladder.
func checkRows(all []*measurement) []checkRow {
	var rows []checkRow
	label := string(all[0].pr.Label)
	add := func(what string, n int, expected, measured, se, tol float64, label string) {
		rows = append(rows, checkRow{What: what, N: n, Expected: num(expected), Measured: num(measured), SE: num(se), Threshold: "within " + sig(tol), Pass: math.Abs(measured-expected) <= tol, Label: label})
	}
	atMost := func(what string, n int, expected, measured, se, bound float64, label string) {
		rows = append(rows, checkRow{What: what, N: n, Expected: num(expected), Measured: num(measured), SE: num(se), Threshold: "at most " + sig(bound), Pass: math.Abs(measured) <= bound, Label: label})
	}
	var n, rmse, rel, sd []float64
	for _, m := range all {
		n, rmse, rel, sd = append(n, float64(m.n)), append(rmse, m.rmse), append(rel, m.rmseSE/m.rmse), append(sd, m.sd)
	}
	fit, own := asymptotics.FitPower(n, rmse, rel), asymptotics.FitPower(n, sd, nil)
	add("slope of the distance to the limit in N", 0, own.Slope, fit.Slope, fit.SE, 3*fit.SE+0.03, label)
	for _, m := range all {
		at := fmt.Sprintf(" at N = %d", m.n)
		atMost("distance of the mean to the limit"+at, m.n, 0, m.bias, m.biasSE, 3*m.biasSE+8*m.open()*m.sd, "derived, confirmed by simulation")
		add("variance / predicted"+at, m.n, 1, m.ratio, m.ratioSE, 3*m.ratioSE+m.open(), label)
		atMost("covariance, relative distance"+at, m.n, m.noise, m.frobenius, 0, 2*m.noise+m.open(), label)
		se := math.Sqrt(0.95 * 0.05 / float64(m.runs))
		add("coverage of 95 % bands"+at, m.n, 0.95, m.inside, se, 3*se+0.3*m.open(), label)
	}
	m := all[len(all)-1]
	r := float64(m.runs)
	at := fmt.Sprintf(" at N = %d", m.n)
	atMost("largest |skewness|"+at, m.n, 0, m.skew, math.Sqrt(6/r), 3*math.Sqrt(6/r)+6*m.open(), label)
	atMost("largest |excess kurtosis|"+at, m.n, 0, m.kurtosis, math.Sqrt(24/r), 3*math.Sqrt(24/r)+6*m.open(), label)
	rows = append(rows, checkRow{What: "smallest p of normality" + at, N: m.n, Expected: 0.5, Measured: num(m.p), Threshold: "at least 0.001", Pass: m.p >= 0.001, Label: label})
	return rows
}

func checkFigures(t *task, all []*measurement, rows []checkRow) []report.Figure {
	var n, rmse, lo, hi, sd, ratio, rlo, rhi, cover, clo, chi []float64
	for _, m := range all {
		n = append(n, float64(m.n))
		rmse, lo, hi = append(rmse, m.rmse), append(lo, m.rmse-2*m.rmseSE), append(hi, m.rmse+2*m.rmseSE)
		sd = append(sd, m.sd)
		ratio, rlo, rhi = append(ratio, m.ratio), append(rlo, m.ratio-2*m.ratioSE), append(rhi, m.ratio+2*m.ratioSE)
		se := 2 * math.Sqrt(0.95*0.05/float64(m.runs))
		cover, clo, chi = append(cover, m.inside), append(clo, m.inside-se), append(chi, m.inside+se)
	}
	ends := []float64{n[0], n[len(n)-1]}
	x := report.Axis{Label: "width N", Log: true, Ticks: n}
	m := all[len(all)-1]
	qq := report.Series{Name: fmt.Sprintf("N = %d", m.n), Mark: report.Points}
	for i, z := range m.z {
		if every := max(1, len(m.z)/200); i%every == 0 {
			q := (float64(i) + 0.5) / float64(len(m.z))
			qq.X, qq.Y = append(qq.X, math.Sqrt2*math.Erfinv(2*q-1)), append(qq.Y, z)
		}
	}
	return []report.Figure{
		{Name: "ladder", Title: "Distance to the limit by width", X: x, Y: report.Axis{Label: "rms distance", Log: true}, Caption: "Bars are two standard errors.", Series: []report.Series{
			{Name: "predicted, slope " + fixed(float64(rows[0].Expected), 3), Mark: report.Line, X: n, Y: sd},
			{Name: "simulated, slope " + plusMinus(float64(rows[0].Measured), float64(rows[0].SE)), Mark: report.Points, X: n, Y: rmse, Low: lo, High: hi, Colour: 1}}},
		{Name: "variance", Title: "Variance of the outputs over the prediction", X: x, Y: report.Axis{Label: "ratio"}, Caption: "Bars are two standard errors.", Series: []report.Series{
			{Mark: report.Line, Dashed: true, Colour: 8, X: ends, Y: []float64{1, 1}},
			{Mark: report.Points, X: n, Y: ratio, Low: rlo, High: rhi, Colour: 1}}},
		{Name: "coverage", Title: "Share of outputs inside their 95 % bands", X: x, Y: report.Axis{Label: "coverage"}, Series: []report.Series{
			{Mark: report.Line, Dashed: true, Colour: 8, X: ends, Y: []float64{0.95, 0.95}},
			{Mark: report.Points, X: n, Y: cover, Low: clo, High: chi, Colour: 1}}},
		{Name: "quantiles", Title: "Outputs at " + t.points[0] + ": quantiles against the prediction", X: report.Axis{Label: "normal quantile"}, Y: report.Axis{Label: "(g - predicted mean) / predicted sd"}, Series: []report.Series{
			{Mark: report.Line, Dashed: true, Colour: 8, X: []float64{-3, 3}, Y: []float64{-3, 3}}, qq}},
	}
}

// reference runs the checks of the library.
func (c *limitsCheckCmd) reference(a *app) error {
	if err := c.answerFlags.check(); err != nil {
		return err
	}
	checks := asymptotics.Checks()
	if c.Controls {
		checks = asymptotics.NegativeControls()
	}
	var ids []string
	for _, s := range strings.Split(c.Only, ",") {
		if s = strings.ToUpper(strings.TrimSpace(s)); s != "" {
			ids = append(ids, s)
		}
	}
	if len(ids) == 0 {
		for _, x := range checks {
			ids = append(ids, x.ID)
		}
	}
	p := a.progress()
	done := 0
	o := asymptotics.CheckOptions{Seed: c.Seed, Pool: c.pool(), Progress: func(id, what string) {
		p.update(float64(done)/float64(len(ids)), id+": "+what)
		done++
	}}
	if c.Full {
		o.Effort = asymptotics.Full
	}
	verdicts, err := await(a, func() ([]asymptotics.Verdict, error) { return asymptotics.NewLab(o).Run(a.ctx, ids...) })
	p.clear()
	if err != nil {
		return plain(err)
	}
	var rows []checkRow
	for _, v := range verdicts {
		rows = append(rows, checkRow{ID: v.ID, What: v.What, Expected: num(v.Expected), Measured: num(v.Measured), SE: num(v.SE), Threshold: v.Threshold, Pass: v.Pass, Label: string(v.Label)})
	}
	r := &answer{verb: "check", title: "The program's checks on the reference problem"}
	if c.Controls {
		r.title = "Wrong theories on the reference problem: each has to fail"
		caught := map[string]bool{}
		for _, x := range rows {
			caught[x.ID] = caught[x.ID] || !x.Pass
		}
		missed := 0
		for _, id := range ids {
			if !caught[id] {
				missed++
			}
		}
		r.fill(rows, "Controls")
		r.summary = []string{fmt.Sprintf("%d of %s were found out.", len(ids)-missed, plural(len(ids), "wrong theory"))}
		r.data = map[string]any{"rows": rows, "found_out": len(ids) - missed, "of": len(ids)}
		if err := a.give(c.answerFlags, r); err != nil {
			return err
		}
		if missed > 0 {
			return fmt.Errorf("%d wrong theories passed\nhint: the checks have lost their power; report this as a defect", missed)
		}
		return nil
	}
	r.fill(rows, "Verdicts")
	r.data = map[string]any{"rows": rows}
	return c.end(a, r, rows)
}

// widthList reads ascending widths.
func widthList(flag, text string, least int) ([]int, error) {
	v, err := listOf(flag, text)
	if err != nil {
		return nil, err
	}
	var out []int
	for i, x := range v {
		if x != math.Trunc(x) || x < 1 || x > 1<<24 || i > 0 && x <= v[i-1] {
			return nil, usage(fmt.Errorf("--%s: found %s, expected ascending whole numbers from 1 on\nhint: for example --%s 64,128,256", flag, text, flag))
		}
		out = append(out, int(x))
	}
	if len(out) < least {
		return nil, usage(fmt.Errorf("--%s: found %s, expected at least %d\nhint: for example --%s 64,128,256", flag, plural(len(out), "width"), least, flag))
	}
	return out, nil
}

func joinInts(v []int) string {
	var s []string
	for _, x := range v {
		s = append(s, grouped(x))
	}
	return strings.Join(s, ", ")
}
