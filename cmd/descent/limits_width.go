package main

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/report"
)

type limitsWidthCmd struct {
	problemFlags
	answerFlags
	Tolerance float64 `group:"Question" placeholder:"EPS" help:"Half the width of the band (default 0.05)."`
	Level     float64 `group:"Question" placeholder:"P" help:"Of the band (default 0.95)."`
	Joint     bool    `group:"Question" help:"The band holds at all test points together."`
	Budget    float64 `group:"Question" placeholder:"C" help:"Neuron evaluations N · steps · batch to split between width and batch."`
}

// Help shows the examples.
func (limitsWidthCmd) Help() string {
	return `The smallest width whose outputs lie within the tolerance of their mean at all test points, with the level's probability; the
cheapest pair of width and batch for the same tolerance; and, with --budget, the pair of least variance for a cost.

Examples:

    descent limits width
    descent limits width --tolerance 0.01 --batch 16
    descent limits width --gamma 0.75 --joint
    descent limits width --budget 1e8`
}

// planRow is a candidate in JSON.
type planRow struct {
	N        int `json:"n"`
	Batch    int `json:"batch"`
	Steps    int `json:"steps"`
	Cost     num `json:"cost"`
	Variance num `json:"variance"`
	SD       num `json:"sd"`
}

func planRows(rows []asymptotics.BudgetPlan) []planRow {
	var out []planRow
	for _, r := range rows {
		out = append(out, planRow{r.Width.N, r.Batch, r.Steps, num(r.Cost), num(r.Variance), num(math.Sqrt(r.Variance))})
	}
	return out
}

func planTable(name string, plan *asymptotics.BudgetPlan) report.Table {
	t := report.Table{Name: name, Head: []string{">batch", ">width", ">steps", ">cost", ">largest sd", ""}, Note: "Cost: neuron evaluations, width · steps · batch. Rests on: " + string(plan.Label) + "."}
	for _, r := range plan.Rows {
		mark := ""
		if r.Batch == plan.Batch {
			mark = "← chosen"
		}
		t.Rows = append(t.Rows, []string{grouped(r.Batch), grouped(r.Width.N), grouped(r.Steps), sig(r.Cost), sig(math.Sqrt(r.Variance)), mark})
	}
	return t
}

// Run plans.
func (c *limitsWidthCmd) Run(a *app) error {
	t, err := c.task(c.answerFlags, 1000)
	if err != nil {
		return err
	}
	c.Tolerance, c.Level = orDefault(c.Tolerance, 0.05), orDefault(c.Level, 0.95)
	p := a.progress()
	p.update(-1, "smallest width")
	plan, err := await(a, func() (*asymptotics.WidthPlan, error) {
		return asymptotics.SmallestWidth(t.p, t.w.Gamma, t.test, c.Tolerance, c.Level, c.Joint, t.o)
	})
	if err != nil {
		return plain(err)
	}
	findings := append(t.notes, plan.Findings...)
	if err := refuse(findings); err != nil {
		return err
	}
	joint := "at each test point"
	if c.Joint {
		joint = "at all test points together"
	}
	t.facts[1].Value = fmt.Sprintf("γ = %s; %s", number(t.w.Gamma), t.p.Activation.Name)
	t.facts[3].Value = fmt.Sprintf("α = %s, T = %s, batch %d, %s", number(t.alpha), number(t.p.T), t.p.Batch, t.p.Sampling)
	r := &answer{verb: "width", title: "Width " + grouped(plan.Width.N) + " is enough", findings: findings, settings: t.facts}
	data := map[string]any{"n": plan.Width.N, "gamma": plan.Width.Gamma, "tolerance": c.Tolerance, "level": c.Level, "joint": c.Joint, "quantile": num(plan.Z), "sd": nums(plan.SD), "label": string(plan.Label)}
	r.data = data
	var rows [][]string
	for k, name := range t.points {
		rows = append(rows, []string{name, sig(plan.SD[k]), "± " + sig(plan.Z*plan.SD[k])})
	}
	r.tables = append(r.tables, report.Table{Name: fmt.Sprintf("Spread at width %s", grouped(plan.Width.N)), Head: []string{"at", ">sd", ">" + shortPercent(c.Level) + " band"}, Rows: rows, Note: "Rests on: " + string(plan.Label) + "."})
	r.summary = append(r.summary, fmt.Sprintf("At width %s, with batch %d and γ = %s, %s of networks lie within ±%s of the mean %s. That is %s steps.",
		grouped(plan.Width.N), t.p.Batch, number(t.w.Gamma), shortPercent(c.Level), number(c.Tolerance), joint, grouped(t.p.Steps(plan.Width.N))))

	if t.p.Sampling == asymptotics.IID || t.p.Sampling == asymptotics.SinglePass {
		p.update(-1, "cheapest pair of width and batch")
		target := c.Tolerance / plan.Z
		cheap, err := await(a, func() (*asymptotics.BudgetPlan, error) {
			return asymptotics.CheapestFor(t.p, t.test, target*target, t.o)
		})
		if err != nil {
			return plain(err)
		}
		if narrow := cheapestWithin(cheap); narrow > 0 {
			r.findings = append(r.findings, asymptotics.Finding{Subject: plural(narrow, "batch size") + " left out", Severity: asymptotics.Note,
				Text: "the widths for them are below 30, where predicted variances are off by more than 5 %", Holds: "the table"})
		}
		r.tables = append(r.tables, planTable("Cheapest for the same tolerance, at γ = 1", cheap))
		r.summary = append(r.summary, fmt.Sprintf("At γ = 1, batches of %d make width %s enough, at the least cost: %s neuron evaluations.", cheap.Batch, grouped(cheap.Width.N), sig(cheap.Cost)))
		data["cheapest"] = map[string]any{"n": cheap.Width.N, "batch": cheap.Batch, "cost": num(cheap.Cost), "rows": planRows(cheap.Rows)}
		r.findings = append(r.findings, t.warningsAt(cheap.Width.N)...)
		var x, y []float64
		for _, row := range cheap.Rows {
			x, y = append(x, float64(row.Batch)), append(y, row.Cost)
		}
		r.figures = append(r.figures, report.Figure{Name: "cost", Title: "Cost of the tolerance by batch", X: report.Axis{Label: "batch", Log: true}, Y: report.Axis{Label: "neuron evaluations", Log: true},
			Series: []report.Series{{Mark: report.Line, X: x, Y: y}, {Name: "chosen", Mark: report.Points, X: []float64{float64(cheap.Batch)}, Y: []float64{cheap.Cost}, Colour: 1}}})
	}
	if c.Budget != 0 {
		p.update(-1, "best split of the budget")
		split, err := await(a, func() (*asymptotics.BudgetPlan, error) {
			return asymptotics.SplitBudget(t.p, t.w.Gamma, t.test, c.Budget, t.o)
		})
		if err != nil {
			return plain(err)
		}
		r.tables = append(r.tables, planTable("Split of the budget", split))
		r.summary = append(r.summary, fmt.Sprintf("For %s neuron evaluations, width %s with batches of %d has the least spread: sd %s.", sig(c.Budget), grouped(split.Width.N), split.Batch, sig(math.Sqrt(split.Variance))))
		data["split"] = map[string]any{"n": split.Width.N, "batch": split.Batch, "cost": num(split.Cost), "variance": num(split.Variance), "rows": planRows(split.Rows)}
	}
	if c.drawn() {
		f, err := c.ladder(a, t, plan)
		if err != nil {
			return plain(err)
		}
		r.figures = append([]report.Figure{f}, r.figures...)
	}
	p.clear()
	return a.give(c.answerFlags, r)
}

// warningsAt says what of the theory fails at a width, at γ = 1.
func (t *task) warningsAt(n int) []asymptotics.Finding {
	var out []asymptotics.Finding
	for _, f := range t.p.FindingsAt(asymptotics.Width{N: n, Gamma: 1}) {
		if f.Subject == "rate" && f.Severity > asymptotics.Note {
			f.Subject = fmt.Sprintf("rate at width %d", n)
			out = append(out, f)
		}
	}
	return out
}

// cheapestWithin chooses among the candidates whose width the theory holds for.
func cheapestWithin(plan *asymptotics.BudgetPlan) (narrow int) {
	const least = 30
	var rows []asymptotics.BudgetPlan
	for _, r := range plan.Rows {
		if r.Width.N < least {
			narrow++
			continue
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return narrow
	}
	best := rows[0]
	for _, r := range rows {
		if r.Cost < best.Cost {
			best = r
		}
	}
	plan.Width, plan.Batch, plan.Steps, plan.Cost, plan.Variance, plan.Rows = best.Width, best.Batch, best.Steps, best.Cost, best.Variance, rows
	return narrow
}

// ladder draws half widths of the band over the width.
func (c *limitsWidthCmd) ladder(a *app, t *task, plan *asymptotics.WidthPlan) (report.Figure, error) {
	var x, y []float64
	for i := -3; i <= 3; i++ {
		n := int(math.Round(float64(plan.Width.N) * math.Pow(2, float64(i))))
		if n < 10 {
			continue
		}
		pr, err := await(a, func() (*asymptotics.Prediction, error) {
			return asymptotics.Predict(t.p, asymptotics.Width{N: n, Gamma: t.w.Gamma}, t.test, asymptotics.PredictOptions{Options: t.o})
		})
		if err != nil {
			return report.Figure{}, err
		}
		var sd float64
		for _, v := range pr.SD(0) {
			sd = max(sd, v)
		}
		x, y = append(x, float64(n)), append(y, plan.Z*sd)
	}
	slope := asymptotics.FitPower(x, y, nil).Slope
	return report.Figure{Name: "width", Title: "Half the width of the band by width", X: report.Axis{Label: "width N", Log: true}, Y: report.Axis{Label: "half width of the band", Log: true},
		Series: []report.Series{{Name: fmt.Sprintf("predicted, slope %s", fixed(slope, 2)), Mark: report.Line, X: x, Y: y},
			{Name: "tolerance", Mark: report.Line, Dashed: true, Colour: 1, X: []float64{x[0], x[len(x)-1]}, Y: []float64{c.Tolerance, c.Tolerance}},
			{Name: "enough", Mark: report.Points, Colour: 1, X: []float64{float64(plan.Width.N)}, Y: []float64{c.Tolerance}}}}, nil
}

type limitsBatchCmd struct {
	problemFlags
	answerFlags
}

// Help shows the examples.
func (limitsBatchCmd) Help() string {
	return `The variance of the outputs by batch size at a fixed rate, the batch beyond which only width helps, the largest batch of the
linear rule (rate times B, steps divided by B), and the largest stable rates.

Examples:

    descent limits batch
    descent limits batch --width 300 --alpha 2
    descent limits batch --data diabetes --report batch.html`
}

// Run plans.
func (c *limitsBatchCmd) Run(a *app) error {
	t, err := c.task(c.answerFlags, 1000)
	if err != nil {
		return err
	}
	findings := append(t.notes, t.p.FindingsAt(t.w)...)
	p := a.progress()
	p.update(-1, "variance by batch")
	plan, err := await(a, func() (*asymptotics.BatchPlan, error) { return asymptotics.BatchLaw(t.p, t.w, t.test, t.o) })
	if err != nil {
		return plain(err)
	}
	p.clear()
	s := plan.Stability
	r := &answer{verb: "batch", title: fmt.Sprintf("Batches and rates at width %s", grouped(t.w.N)), findings: findings, settings: t.facts}
	type row struct {
		Batch    int   `json:"batch"`
		Variance []num `json:"variance"`
		SD       []num `json:"sd"`
		Useful   bool  `json:"useful"`
	}
	var data []row
	head := []string{">batch"}
	for _, name := range t.points {
		head = append(head, ">sd at "+name)
	}
	head = append(head, "")
	var rows [][]string
	f := report.Figure{Name: "batch", Title: "Spread of the outputs by batch", X: report.Axis{Label: "batch", Log: true}, Y: report.Axis{Label: "sd of the output", Log: true}}
	for k := range min(10, len(t.points)) {
		f.Series = append(f.Series, report.Series{Name: t.points[k], Mark: report.Line, Colour: k})
	}
	for _, b := range plan.Rows {
		x := row{Batch: b.Batch, Variance: nums(b.Variance), Useful: b.Useful}
		cells := []string{grouped(b.Batch)}
		for k, v := range b.Variance {
			sd := math.Sqrt(v)
			x.SD = append(x.SD, num(sd))
			cells = append(cells, sig(sd))
			if k < len(f.Series) {
				f.Series[k].X, f.Series[k].Y = append(f.Series[k].X, float64(b.Batch)), append(f.Series[k].Y, sd)
			}
		}
		word := "more width is the better use"
		if b.Useful {
			word = "a larger batch still helps"
		}
		data, rows = append(data, x), append(rows, append(cells, word))
	}
	r.figures = append(r.figures, f)
	r.tables = append(r.tables,
		report.Table{Name: "Independent draws, at the same rate", Head: head, Rows: rows, Note: "Variance = (initial part + data part / B) / N. Rests on: " + string(plan.Label) + "; a theorem for B = 1 and γ = 1."},
		report.Table{Name: "Rates", Head: []string{"bound", ">largest α", ">now", "meaning"}, Note: "From the kernel at the start. Rests on: " + string(s.Label) + ".", Rows: [][]string{
			{"one example a step, smooth", sig(s.RateOne), "αK/N = " + sig(s.OneSample), "below 1 a step does not overshoot; beyond, the limit equations do not hold"},
			{"one example a step, stable", sig(s.RateTwo), "αK/N = " + sig(s.OneSample), "from 2 on a step makes its own example worse"},
			{"full batch, stable", sig(s.RateFull), "αλ/N = " + sig(s.FullBatch), "from 2 on gradient descent diverges"}}})
	lo, hi := math.Inf(1), 0.0
	for _, v := range plan.Balance {
		lo, hi = math.Min(lo, v), math.Max(hi, v)
	}
	r.summary = append(r.summary,
		fmt.Sprintf("At a fixed rate, batches help up to about %s to %s, by test point, where both parts of the variance are equal; from there on only more width does.", sig(lo), sig(hi)),
		fmt.Sprintf("The linear rule (rate times B, steps divided by B) leaves mean and variance as they are up to batches of about %s at this width; the bound grows with the width.", grouped(int(s.MaxBatch))))
	if t.p.Sampling == asymptotics.Reshuffled {
		r.summary = append(r.summary, "The table is for independent draws. Under reshuffled epochs, many to a unit of time, the data part is gone and the batch does not matter.")
	}
	r.data = map[string]any{"n": t.w.N, "gamma": t.w.Gamma, "rows": data, "balance": nums(plan.Balance), "label": string(plan.Label),
		"stability": map[string]any{"one_sample": num(s.OneSample), "full_batch": num(s.FullBatch), "rate_smooth": num(s.RateOne), "rate_one_sample": num(s.RateTwo), "rate_full_batch": num(s.RateFull), "largest_batch_of_the_linear_rule": num(s.MaxBatch)}}
	return a.give(c.answerFlags, r)
}
