package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/tensor"
)

type limitsTailCmd struct {
	problemFlags
	answerFlags
	Above    *float64 `group:"Event" placeholder:"A" help:"The output at the test point is at least this."`
	Below    *float64 `group:"Event" placeholder:"A" help:"The output is at most this."`
	Sigmas   float64  `group:"Event" placeholder:"Z" help:"The output is so many standard deviations above the mean at --width, below for a negative number (default 4)."`
	Widths   string   `group:"Estimate" placeholder:"N,..." help:"Widths whose probabilities are estimated (default 25,50,100,200; for γ < 1 --width alone)."`
	Runs     int      `group:"Estimate" placeholder:"N" help:"Tilted networks a width (default 400); 0 leaves the estimate out." default:"400"`
	Quenched bool     `group:"Event" help:"The initial weights are typical: only the data conspire."`
}

// Help shows the examples.
func (limitsTailCmd) Help() string {
	return `How probable it is that a trained network's output is far from the mean: P(g ≥ a) ≈ exp(-N I(a)) / √N. The rate I(a) comes with the
most probable way to the event: which examples come too often and when, and which initial neurons are too many. Networks
trained under this tilt make the event about every other time; weighted back, they estimate probabilities far below what plain
simulation reaches.

Examples:

    descent limits tail
    descent limits tail --at 0.5 --above 0.6 --time 1
    descent limits tail --sigmas -5 --width 200
    descent limits tail --quenched --report tail.html`
}

// Run solves.
func (c *limitsTailCmd) Run(a *app) error {
	if c.Above != nil && c.Below != nil {
		return usage(fmt.Errorf("--above and --below are two events\nhint: ask for one of them"))
	}
	builtIn := c.Problem == "" && c.Data == "" && c.At == ""
	if builtIn {
		c.At = "0.5"
	}
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
	r := &answer{verb: "tail", settings: t.facts, findings: append(t.notes, t.p.FindingsAt(t.w)...)}
	if err := refuse(r.findings); err != nil {
		return err
	}
	if t.test.Shape().Rows() > 1 {
		r.findings = append(r.findings, asymptotics.Finding{Subject: "test point", Severity: asymptotics.Note, Text: "an event is at one point: this is " + t.points[0], Holds: "--at takes another"})
		t.test, t.points = tensor.FromSlice(t.test.Data()[:t.test.Shape().Cols()], 1, t.test.Shape().Cols()), t.points[:1]
	}
	widths := []int{t.w.N}
	if t.w.Gamma == 1 || c.Widths != "" {
		if widths, err = widthList("widths", orElse(c.Widths, "25,50,100,200"), 1); err != nil {
			return err
		}
		if t.w.Gamma < 1 && !slices.Equal(widths, []int{t.w.N}) {
			return usage(fmt.Errorf("--widths: at γ = %s the rate changes with the width, and is that of --width %d alone\nhint: ask for one width at a time", number(t.w.Gamma), t.w.N))
		}
	}
	if c.Runs < 0 || c.Runs == 1 {
		return usage(fmt.Errorf("--runs: found %d, expected 0 or at least 2\nhint: 400 give standard errors of some 10 %%", c.Runs))
	}
	p := a.progress()
	p.update(-1, "mean and variance")
	pr, err := await(a, func() (*asymptotics.Prediction, error) {
		return asymptotics.Predict(t.p, t.w, t.test, asymptotics.PredictOptions{Options: t.o})
	})
	if err != nil {
		return plain(err)
	}
	mean, sd := pr.Mean[0][0], pr.SD(0)[0]
	event := mean + orDefault(c.Sigmas, 4)*sd
	if c.Above != nil {
		event = *c.Above
	} else if c.Below != nil {
		event = *c.Below
	}
	if c.Above != nil && event <= mean || c.Below != nil && event >= mean {
		return usage(fmt.Errorf("the event is no rare one: the mean of the output is %s\nhint: --above takes numbers above it, --below numbers below", number(mean)))
	}
	p.update(-1, "most probable way to the event")
	tail, err := await(a, func() (*asymptotics.Tail, error) {
		return asymptotics.SolveTailAt(t.p, t.w.Scale(), t.test, event, asymptotics.TailOptions{Options: t.o, Quenched: c.Quenched})
	})
	if err != nil {
		return plain(err)
	}
	var estimates []*asymptotics.TailEstimate
	if c.Runs > 0 {
		for i, n := range widths {
			e, err := tail.Estimate(a.ctx, n, t.w.Gamma, asymptotics.SimOptions{Replicates: c.Runs, Seed: c.Seed, Pool: t.o.Pool,
				Progress: counting(p, fmt.Sprintf("tilted networks of width %d (%d of %d widths)", n, i+1, len(widths)))})
			if err != nil {
				return plain(err)
			}
			estimates = append(estimates, e)
		}
	}
	sign := "≥"
	if tail.Lambda < 0 {
		sign = "≤"
	}
	r.title = fmt.Sprintf("The event g %s %s at %s", sign, number(tail.A), t.points[0])
	c.tables(t, r, tail, estimates, mean, sd, sign)
	r.figures = c.figures(t, tail, estimates)
	if c.drawn() {
		f, err := c.rateFigure(a, p, t, tail)
		if err != nil {
			return plain(err)
		}
		r.figures = append(r.figures, f)
	}
	p.clear()
	return a.give(c.answerFlags, r)
}

// tables fills the answer.
func (c *limitsTailCmd) tables(t *task, r *answer, tail *asymptotics.Tail, estimates []*asymptotics.TailEstimate, mean, sd float64, sign string) {
	gauss := tail.Gaussian()
	r.tables = append(r.tables, report.Table{Name: "Rate", Head: []string{"", ">value", "meaning"}, Note: "Rests on: " + string(tail.Label) + ".", Rows: [][]string{
		{"I(a)", sig(tail.Rate), "the probability falls by exp(-I) for every neuron"},
		{"of initial weights", sig(tail.RateInit), percent(tail.RateInit/tail.Rate) + " of it"},
		{"of the data", sig(tail.RateData), percent(tail.RateData/tail.Rate) + " of it"},
		{"Gaussian rate", sig(gauss), "what the central limit theorem alone would say"},
		{"λ = dI/da", sig(tail.Lambda), ""},
		{"mean, sd", number(mean) + ", " + sig(sd), fmt.Sprintf("at width %s: the event is %s sd away", grouped(t.w.N), fixed(math.Abs(tail.A-mean)/sd, 2))}}})
	type estimate struct {
		N    int `json:"n"`
		LogP num `json:"log_p"`
		P    num `json:"p"`
		SE   num `json:"relative_se"`
		Hits num `json:"hit_fraction"`
		ESS  num `json:"effective_sample_size"`
		Runs int `json:"runs"`
	}
	var list []estimate
	data := map[string]any{"a": num(tail.A), "lambda": num(tail.Lambda), "mean": num(mean), "rate": num(tail.Rate), "rate_init": num(tail.RateInit), "rate_data": num(tail.RateData),
		"rate_gaussian": num(gauss), "variance": num(tail.Variance), "quenched": c.Quenched, "gamma": t.w.Gamma, "label": string(tail.Label)}
	r.data = data
	if len(estimates) > 0 {
		tab := report.Table{Name: fmt.Sprintf("P(g %s %s), by tilted simulation", sign, number(tail.A)), Head: []string{">width", ">probability", ">± of it", ">hits", ">effective runs", ">exp(-N I)/√N"},
			Note: "Last column: up to a constant factor. Rests on: simulation, unbiased at every width."}
		for _, e := range estimates {
			list = append(list, estimate{e.N, num(e.LogP), num(e.P()), num(e.RelSE), num(e.HitFraction), num(e.ESS), e.Runs})
			tab.Rows = append(tab.Rows, []string{grouped(e.N), logText(e.LogP), percent(e.RelSE), percent(e.HitFraction), fixed(e.ESS, 0), logText(tail.LogProbability(e.N))})
		}
		r.tables = append(r.tables, tab)
		data["estimates"] = list
		last := estimates[len(estimates)-1]
		r.summary = append(r.summary, fmt.Sprintf("At width %s the event has probability %s, ± %s of it.", grouped(last.N), logText(last.LogP), percent(last.RelSE)))
		if len(estimates) > 2 {
			fit := asymptotics.TailSlope(estimates)
			data["slope"], data["slope_se"] = num(fit.Slope), num(fit.SE)
			r.summary = append(r.summary, fmt.Sprintf("log P + ½ log N falls by %s a neuron; the rate is %s.", plusMinus(-fit.Slope, fit.SE), sig(tail.Rate)))
		}
	}
	word := "thinner than"
	if tail.Rate < gauss {
		word = "fatter than"
	}
	if math.Abs(tail.Rate-gauss) < 0.02*gauss {
		word = "like"
	}
	r.summary = append(r.summary, fmt.Sprintf("The tail is %s that of the Gaussian approximation (rate %s against %s).", word, sig(tail.Rate), sig(gauss)))
	c.scenario(t, r, tail, data)
}

// scenario says how the event comes about.
func (c *limitsTailCmd) scenario(t *task, r *answer, tail *asymptotics.Tail, data map[string]any) {
	s := tail.Scenario(5)
	order := make([]int, len(s.Average))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		switch d := math.Abs(math.Log(s.Average[y])) - math.Abs(math.Log(s.Average[x])); {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return x - y
	})
	tab := report.Table{Name: "The scenario: examples that come too often or too seldom", Head: []string{"example", ">target", ">on average", ">at the start", ">halfway", ">at the end"},
		Note: "How often an example comes, relative to its probability."}
	for i, m := range order {
		if i == 8 {
			break
		}
		name := fmt.Sprintf("%d", m+1)
		if t.p.X.Shape().Cols() == 1 {
			name += ", x = " + number(t.p.X.At(m, 0))
		}
		tab.Rows = append(tab.Rows, []string{name, number(t.p.Y[m]), fixed(s.Average[m], 3), fixed(s.Data[0][m], 3), fixed(s.Data[2][m], 3), fixed(s.Data[4][m], 3)})
	}
	r.tables = append(r.tables, tab)
	data["examples"] = map[string]any{"average": nums(s.Average), "times": nums(s.Times)}
	if !c.Quenched {
		tab := report.Table{Name: "The scenario: initial neurons", Head: []string{"coordinate", ">mean", ">tilted mean", ">sd", ">tilted sd", ">correlation with the tilt"}}
		type coordinate struct {
			Name     string `json:"name"`
			Mean     num    `json:"mean"`
			Tilted   num    `json:"tilted_mean"`
			SD       num    `json:"sd"`
			TiltedSD num    `json:"tilted_sd"`
		}
		var list []coordinate
		for i, m := range s.Mean {
			if i < 8 {
				tab.Rows = append(tab.Rows, []string{m.Name, fixed(m.Mean, 4), fixed(m.Tilt, 4), fixed(m.SD, 4), fixed(m.TiltSD, 4), fixed(m.Correlation, 2)})
			}
			list = append(list, coordinate{m.Name, num(m.Mean), num(m.Tilt), num(m.SD), num(m.TiltSD)})
		}
		if len(s.Neurons) > 0 {
			first, last := s.Neurons[0].Weight, s.Neurons[len(s.Neurons)-1].Weight
			tab.Note = fmt.Sprintf("The most favoured neurons are %s times, the least favoured %s times as frequent as usual.", fixed(first, 2), fixed(last, 2))
		}
		r.tables = append(r.tables, tab)
		data["coordinates"] = list
	}
	often, seldom := order[0], order[0]
	for _, m := range order {
		if s.Average[m] > s.Average[often] {
			often = m
		}
		if s.Average[m] < s.Average[seldom] {
			seldom = m
		}
	}
	r.summary = append(r.summary, fmt.Sprintf("It happens most easily when example %d comes %s times as often as usual and example %d %s times, on average over the training.", often+1, fixed(s.Average[often], 2), seldom+1, fixed(s.Average[seldom], 2)))
}

// logText writes exp(v) in decimal, for any v.
func logText(v float64) string {
	if v > -9 {
		return sig(math.Exp(v))
	}
	ten := v / math.Ln10
	e := math.Floor(ten)
	return fmt.Sprintf("%.2fe%.0f", math.Pow(10, ten-e), e)
}

func (c *limitsTailCmd) figures(t *task, tail *asymptotics.Tail, estimates []*asymptotics.TailEstimate) []report.Figure {
	var out []report.Figure
	if len(estimates) > 1 {
		var x, y, lo, hi, line, gauss []float64
		last := estimates[len(estimates)-1]
		shift := last.LogP - tail.LogProbability(last.N) // the constant factor, from the widest
		for _, e := range estimates {
			x, y = append(x, float64(e.N)), append(y, e.LogP/math.Ln10)
			lo, hi = append(lo, (e.LogP+math.Log(max(1e-3, 1-2*e.RelSE)))/math.Ln10), append(hi, (e.LogP+math.Log1p(2*e.RelSE))/math.Ln10)
			line = append(line, (tail.LogProbability(e.N)+shift)/math.Ln10)
			z := math.Abs(tail.A-tail.Typical) / math.Sqrt(tail.Variance/float64(e.N))
			gauss = append(gauss, math.Log10(0.5*math.Erfc(z/math.Sqrt2)))
		}
		out = append(out, report.Figure{Name: "tail", Title: "Probability of the event by width", X: report.Axis{Label: "width N"}, Y: report.Axis{Label: "log₁₀ probability"},
			Caption: "The constant factor of the line is fitted to the widest estimate. Bars are two standard errors.",
			Series: []report.Series{{Name: "large deviations", Mark: report.Line, X: x, Y: line}, {Name: "central limit theorem", Mark: report.Line, Dashed: true, Colour: 8, X: x, Y: gauss},
				{Name: "tilted simulation", Mark: report.Points, Colour: 1, X: x, Y: y, Low: lo, High: hi}}})
	}
	s := tail.Scenario(41)
	axis := report.Axis{Label: "example"}
	stems := report.Series{Mark: report.Stems}
	for m, v := range s.Average {
		x := float64(m + 1)
		if t.p.X.Shape().Cols() == 1 {
			x, axis.Label = t.p.X.At(m, 0), "input x of the example"
		}
		stems.X, stems.Y = append(stems.X, x), append(stems.Y, v-1)
	}
	out = append(out, report.Figure{Name: "scenario", Title: "How much too often each example comes", X: axis, Y: report.Axis{Label: "frequency / usual - 1"}, Series: []report.Series{stems}})
	f := report.Figure{Name: "scenario-time", Title: "Frequency of the examples over time", X: report.Axis{Label: "time = steps / N"}, Y: report.Axis{Label: "frequency / usual"}}
	for m := range min(10, len(s.Average)) {
		line := report.Series{Name: fmt.Sprintf("%d", m+1), Mark: report.Line, Colour: m, X: s.Times}
		for j := range s.Times {
			line.Y = append(line.Y, s.Data[j][m])
		}
		f.Series = append(f.Series, line)
	}
	return append(out, f)
}

// rateFigure draws I(a) between the mean and the event.
func (c *limitsTailCmd) rateFigure(a *app, p *progress, t *task, tail *asymptotics.Tail) (report.Figure, error) {
	x, y, slope := []float64{tail.Typical}, []float64{0}, []float64{0}
	for i := 1; i <= 4; i++ {
		p.update(float64(i)/5, "rate function")
		one := tail
		if i < 4 {
			var err error
			one, err = await(a, func() (*asymptotics.Tail, error) {
				return asymptotics.SolveTail(t.p, t.w.Scale(), t.test, tail.Lambda*float64(i)/4, asymptotics.TailOptions{Options: t.o, Quenched: c.Quenched})
			})
			if err != nil {
				return report.Figure{}, err
			}
		}
		x, y, slope = append(x, one.A), append(y, one.Rate), append(slope, one.Lambda)
	}
	// Between the solutions the curve is the cubic that has their slopes, dI/da = λ.
	var cx, cy []float64
	for i := 1; i < len(x); i++ {
		h := x[i] - x[i-1]
		for j := range 9 {
			u := float64(j) / 8
			cx = append(cx, x[i-1]+u*h)
			cy = append(cy, (1+2*u)*(1-u)*(1-u)*y[i-1]+u*(1-u)*(1-u)*h*slope[i-1]+u*u*(3-2*u)*y[i]+u*u*(u-1)*h*slope[i])
		}
	}
	var gx, gy []float64
	for i := range 31 {
		v := tail.Typical + (tail.A-tail.Typical)*float64(i)/30
		gx, gy = append(gx, v), append(gy, (v-tail.Typical)*(v-tail.Typical)/(2*tail.Variance))
	}
	return report.Figure{Name: "rate", Title: "Rate function", X: report.Axis{Label: "output a"}, Y: report.Axis{Label: "I(a)"},
		Series: []report.Series{{Name: "large deviations", Mark: report.Line, X: cx, Y: cy}, {Name: "Gaussian", Mark: report.Line, Dashed: true, Colour: 8, X: gx, Y: gy}, {Mark: report.Points, X: x, Y: y}}}, nil
}
