package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/asymptotics/coord"
	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/tensor"
)

// netFlags say which real model and data.
type netFlags struct {
	Model      string `group:"Model" placeholder:"SPEC" help:"Model of dense layers or convolutions, such as mlp:64,64."`
	Activation string `group:"Model" placeholder:"NAME" help:"Of the hidden layers (default: the model's own)."`
	Data       string `group:"Model" placeholder:"NAME" help:"Data set, or a .csv, .npz or .npy file (default digits)."`
	DataDir    string `group:"Model" placeholder:"DIR" help:"Where data sets lie (default: DESCENT_DATA, else the user's cache folder)."`
	Label      string `group:"Model" placeholder:"COLUMN" help:"Column of a .csv file to predict (default: the last)."`
	Init       string `group:"Model" placeholder:"NAME" help:"Of the weights (default: the model's own)."`
}

// open opens the data.
func (f *netFlags) open() (*dataset.Set, error) {
	f.Data = orElse(f.Data, "digits")
	return dataset.Open(f.Data, dataset.Options{Dir: f.DataDir, Label: f.Label, Val: -1})
}

// build makes a model for the data.
func (f *netFlags) build(spec string, set *dataset.Set) (nn.Model[float64], error) {
	m, err := nn.Build[float64](spec, nn.Options{Input: set.Input, Outputs: set.Outputs, Activation: f.Activation, Init: f.Init})
	if err != nil {
		return nil, usage(err)
	}
	return m, nil
}

// head returns the first n training examples as a batch, with their targets.
func head(set *dataset.Set, n int) (tensor.Tensor[float64], nn.Target[float64]) {
	n = min(n, set.Train.Len())
	b := dataset.NewLoader[float64](set.Train).Range(0, n)
	y := nn.Target[float64]{Labels: append([]int32(nil), b.Labels...)}
	if !b.Values.IsZero() {
		y.Values = b.Values.Clone()
	}
	return b.X.Clone(), y
}

// fittingLoss is the loss that training has for the task.
func fittingLoss(set *dataset.Set) (nn.Loss[float64], string) {
	if set.Task == dataset.Classification {
		return nn.CrossEntropy[float64](0), "cross-entropy"
	}
	return nn.Squared[float64](), "squared"
}

// atWidth returns the specification of an mlp with the hidden widths in the same proportions and the first of them n.
func atWidth(spec string, n int) (string, error) {
	name, rest, ok := strings.Cut(spec, ":")
	var widths []float64
	for _, s := range strings.Split(rest, ",") {
		v, err := strconv.Atoi(s)
		if err != nil || v < 1 {
			ok = false
			break
		}
		widths = append(widths, float64(v))
	}
	if !ok || name != "mlp" {
		return "", usage(fmt.Errorf("--model: found %q, expected an mlp with its hidden widths\nhint: mlp:64 or mlp:128,64; convolutions have their widths fixed in the name", spec))
	}
	for i, w := range widths {
		name += map[bool]string{true: ":", false: ","}[i == 0] + strconv.Itoa(max(1, int(math.Round(w/widths[0]*float64(n)))))
	}
	return name, nil
}

type limitsRatesCmd struct {
	netFlags
	answerFlags
	Parametrization string  `group:"Rates" placeholder:"RULE" help:"standard, ntk, mup[@BASE] or gamma:G,...[+auto][@BASE] (default: all of them side by side)."`
	Optimizer       string  `group:"Rates" placeholder:"METHOD" help:"sgd (default), adam or another method of their kinds."`
	LR              float64 `name:"lr" group:"Rates" placeholder:"RATE" help:"Learning rate that the factors are for (default 1)."`
	From            int     `group:"Rates" placeholder:"N" help:"Width at which a standard model was tuned with --lr."`
	To              int     `group:"Rates" placeholder:"N" help:"Width to carry it to."`
}

// Help shows the examples.
func (limitsRatesCmd) Help() string {
	return `The initial scale and the learning rate of every tensor. Rates are those of the tensors that training holds: models have no
hidden multipliers. The γ-rule is that of networks normalised by 1/N^γ; +auto takes the larger of coherent and incoherent sums,
which keeps early layers from freezing. A base, as in mup@64, makes the rule the standard one at that width.

descent train --parametrization RULE trains by it.

Examples:

    descent limits rates --model mlp:1024
    descent limits rates --model mlp:512,512 --parametrization gamma:0.5,1+auto
    descent limits rates --model mlp:64 --parametrization mup --from 64 --to 1024 --lr 0.1
    descent limits rates --model lenet5 --data mnist --parametrization mup@6 --optimizer adam`
}

// Run prints the rates.
func (c *limitsRatesCmd) Run(a *app) error {
	if err := c.answerFlags.check(); err != nil {
		return err
	}
	set, err := c.open()
	if err != nil {
		return err
	}
	c.Model = orElse(c.Model, "mlp:256,256")
	m, err := c.build(c.Model, set)
	if err != nil {
		return err
	}
	net, err := rates.NetOf(m.Layout())
	if err != nil {
		return usage(err)
	}
	o, err := rates.OptimizerOf(orElse(c.Optimizer, "sgd"))
	if err != nil {
		return usage(err)
	}
	lr := orDefault(c.LR, 1)
	if lr < 0 || !isFinite(lr) {
		return usage(fmt.Errorf("--lr: found %g, expected a positive number\nhint: leave it out for 1", lr))
	}
	if (c.From == 0) != (c.To == 0) || c.From < 0 || c.To < 0 {
		return usage(fmt.Errorf("--from and --to belong together: found %d and %d\nhint: for example --from 64 --to 1024", c.From, c.To))
	}
	if c.Parametrization == "" && c.From > 0 {
		c.Parametrization = "mup"
	}
	r := &answer{verb: "rates", settings: []report.Fact{{Name: "model", Value: fmt.Sprintf("%s for %s", c.Model, c.Data)}, {Name: "optimizer", Value: string(o)}, {Name: "learning rate", Value: number(lr)}}}
	if c.Parametrization == "" {
		if err := c.sideBySide(r, net, o, lr); err != nil {
			return err
		}
		return a.give(c.answerFlags, r)
	}
	p, err := rates.Parse(c.Parametrization)
	if err != nil {
		return usage(err)
	}
	var t *rates.Table
	if c.From > 0 {
		t, err = rates.Convert(p, net.AtWidth(c.From), net.AtWidth(c.To), o, lr)
		r.title = fmt.Sprintf("From width %s to %s: %s", grouped(c.From), grouped(c.To), p)
	} else {
		t, err = p.Table(net, o, lr)
		r.title = fmt.Sprintf("Rates of %s: %s", c.Model, p)
	}
	if err != nil {
		return usage(err)
	}
	r.data = t
	tab := report.Table{Name: "Tensors", Head: []string{"tensor", ">in", ">out", ">initial sd", ">grows as", ">rate", ">grows as"}, Note: "Rests on: " + string(t.Label) + "."}
	for _, row := range t.Rows {
		sd, grows := sig(row.SD), power(row.SDExponent)
		if row.SD == 0 {
			sd, grows = "own", ""
		}
		tab.Rows = append(tab.Rows, []string{row.Name, grouped(row.In), grouped(row.Out), sd, grows, sig(row.Effective), power(row.RateExponent)})
	}
	r.tables = append(r.tables, tab)
	if t.Clock > 1 {
		r.settings = append(r.settings, report.Fact{Name: "clock", Value: fmt.Sprintf("%s steps to a unit of training time", number(t.Clock))})
	}
	for _, n := range t.Notes {
		r.summary = append(r.summary, capital(n)+".")
	}
	if f, ok := rateFigure(p, net, o, lr, c.From); ok {
		r.figures = append(r.figures, f)
	}
	return a.give(c.answerFlags, r)
}

// power writes an exponent of the width.
func power(e float64) string {
	if e == 0 {
		return "1"
	}
	return "N^" + strconv.FormatFloat(e, 'g', 3, 64)
}

// sideBySide shows the effective rates of all rules.
func (c *limitsRatesCmd) sideBySide(r *answer, net rates.Net, o rates.Optimizer, lr float64) error {
	r.title = fmt.Sprintf("Rates of %s, by rule", c.Model)
	inner := "0.5,1"
	if net.Hidden() < 2 {
		inner = "1"
	} else if net.Hidden() > 2 {
		inner = strings.Repeat("0.5,", net.Hidden()-1) + "1"
	}
	specs := []string{"standard", "ntk", "mup@64", "gamma:" + inner + "+auto", "gamma:1"}
	if net.Hidden() < 2 {
		specs = []string{"standard", "ntk", "mup@64", "gamma:0.75", "gamma:1"}
	}
	head, scale := []string{"tensor"}, []string{"tensor"}
	var tables []*rates.Table
	for _, s := range specs {
		p, err := rates.Parse(s)
		if err != nil {
			return err
		}
		t, err := p.Table(net, o, lr)
		if err != nil {
			return usage(err)
		}
		tables, head, scale = append(tables, t), append(head, ">"+s), append(scale, ">"+s)
	}
	rate, sd := report.Table{Name: "Effective learning rate", Head: head, Note: "γ-rules count time in steps of one example, N_L to the unit; the others in steps. Rests on: theorems for smooth activations; biases, +auto and other depths derived."},
		report.Table{Name: "Initial standard deviation", Head: scale}
	for i := range tables[0].Rows {
		a, b := []string{tables[0].Rows[i].Name}, []string{tables[0].Rows[i].Name}
		weight := false
		for _, t := range tables {
			a, b = append(a, sig(t.Rows[i].Effective)), append(b, sig(t.Rows[i].SD))
			weight = weight || t.Rows[i].SD != 0
		}
		rate.Rows = append(rate.Rows, a)
		if weight {
			sd.Rows = append(sd.Rows, b)
		}
	}
	r.tables = append(r.tables, rate, sd)
	r.summary = append(r.summary, "Standard rates have to be tuned at every width; the others carry over. ntk is lazy, mup and the γ-rules with γ = 1 at the output learn features.",
		"descent train --parametrization RULE trains by a rule; --parametrization here shows one in full.")
	r.data = map[string]any{"tables": tables}
	return nil
}

// rateFigure draws the rate of every weight over the width.
func rateFigure(p rates.Parametrization, net rates.Net, o rates.Optimizer, lr float64, from int) (report.Figure, bool) {
	f := report.Figure{Name: "rates", Title: "Learning rate of the weights by width", X: report.Axis{Label: "first hidden width", Log: true, Ticks: []float64{32, 64, 128, 256, 512, 1024, 2048, 4096, 8192}}, Y: report.Axis{Label: "rate", Log: true}}
	for w := 32; w <= 8192; w *= 2 {
		var t *rates.Table
		var err error
		if from > 0 {
			t, err = rates.Convert(p, net.AtWidth(from), net.AtWidth(w), o, lr)
		} else {
			t, err = p.Table(net.AtWidth(w), o, lr)
		}
		if err != nil {
			return f, false
		}
		k := 0
		for _, row := range t.Rows {
			if row.SD == 0 && strings.HasSuffix(row.Name, "bias") {
				continue
			}
			if k == len(f.Series) {
				f.Series = append(f.Series, report.Series{Name: row.Name, Mark: report.Line, Colour: k, Dashed: k%2 == 1})
			}
			f.Series[k].X, f.Series[k].Y = append(f.Series[k].X, float64(w)), append(f.Series[k].Y, row.Effective)
			k++
		}
	}
	return f, true
}

type limitsCoordCmd struct {
	netFlags
	answerFlags
	Parametrization string   `group:"Check" placeholder:"RULE" help:"standard (default), ntk, mup[@BASE] or gamma:G,...[+auto][@BASE]."`
	Optimizer       string   `group:"Check" placeholder:"METHOD" help:"sgd (default), adam or another method of their kinds."`
	Set             []string `group:"Check" placeholder:"SETTING=VALUE" sep:"none" help:"A setting of the method, such as lr=0.1; may be repeated."`
	Widths          string   `group:"Check" placeholder:"N,..." help:"Of the first hidden layer; the others keep their proportion (default 64,128,256,512)."`
	Steps           int      `group:"Check" placeholder:"N" help:"Steps (default 5; with a γ-rule without base, time 1)."`
	Time            float64  `group:"Check" placeholder:"T" help:"Time in place of steps: T·N_L examples."`
	Batch           int      `group:"Check" placeholder:"N" help:"Examples of a step, drawn with replacement; 0: all (default: all; 8 with a time)."`
	Examples        int      `group:"Check" placeholder:"N" help:"Training examples, on which all is measured too (default 128)."`
	Seeds           int      `group:"Check" placeholder:"N" help:"Networks a width (default 3)."`
	Tolerance       float64  `group:"Check" placeholder:"S" help:"Largest slope that counts as none (default 0.1)."`
}

// Help shows the examples.
func (limitsCoordCmd) Help() string {
	return `Trains the same model at several widths and fits how outputs, activations and weights change with the width. "Only this tensor" is the
change of the output when one tensor alone keeps its trained values: it finds layers that freeze while the others hide it.

Examples:

    descent limits coord
    descent limits coord --parametrization mup@64 --optimizer adam --set lr=0.003
    descent limits coord --model mlp:64,64 --widths 64,128,256,512 --parametrization gamma:0.5,1
    descent limits coord --report coord.html`
}

// Run checks.
func (c *limitsCoordCmd) Run(a *app) error {
	if err := c.answerFlags.check(); err != nil {
		return err
	}
	c.Model = orElse(c.Model, "mlp:64,64")
	if _, err := atWidth(c.Model, 64); err != nil {
		return err
	}
	widths, err := widthList("widths", orElse(c.Widths, "64,128,256,512"), 2)
	if err != nil {
		return err
	}
	p, err := rates.Parse(orElse(c.Parametrization, "standard"))
	if err != nil {
		return usage(err)
	}
	settings, err := parseSettings(c.Set)
	if err != nil {
		return err
	}
	set, err := c.open()
	if err != nil {
		return err
	}
	for name, n := range map[string]int{"steps": c.Steps, "batch": c.Batch, "examples": c.Examples, "seeds": c.Seeds} {
		if n < 0 {
			return usage(fmt.Errorf("--%s: found %d, expected a positive number\nhint: leave it out for the default", name, n))
		}
	}
	examples := c.Examples
	if examples == 0 {
		examples = 128
	}
	x, y := head(set, examples)
	loss, lossName := fittingLoss(set)
	method := orElse(c.Optimizer, "sgd")
	config := coord.Config[float64]{Parametrization: p, Method: method, Settings: optim.Settings(settings), Loss: loss, X: x, Y: y, Widths: widths, Steps: c.Steps, Time: c.Time, Batch: c.Batch,
		Seeds: c.Seeds, Key: tensor.KeyOf(c.Seed), Tolerance: c.Tolerance}
	config.Model = func(width int) (nn.Model[float64], error) {
		spec, err := atWidth(c.Model, width)
		if err != nil {
			return nil, err
		}
		return c.build(spec, set)
	}
	clocked := p.Rule == rates.Gamma && p.Base == 0
	if config.Steps == 0 && config.Time == 0 {
		if clocked {
			config.Time = 1
		} else {
			config.Steps = 5
		}
	}
	if config.Time > 0 && config.Batch == 0 {
		config.Batch = 8
	}
	if config.Settings == nil {
		config.Settings = optim.Settings{}
	}
	if _, ok := config.Settings["lr"]; !ok {
		kind, err := rates.OptimizerOf(method)
		if err != nil {
			return usage(err)
		}
		switch {
		case kind == rates.Adam:
			config.Settings["lr"] = 0.003
		case clocked:
			config.Settings["lr"] = float64(config.Batch)
		case p.Rule == rates.NTK && p.Base == 0:
			config.Settings["lr"] = 1
		default:
			config.Settings["lr"] = 0.1
		}
	}
	bar := a.progress()
	config.Progress = func(done, all int) {
		bar.update(float64(done)/float64(all), fmt.Sprintf("%d of %d networks trained", done, all))
	}
	rep, err := coord.Check(a.ctx, c.pool(), config)
	bar.clear()
	if err != nil {
		if a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		return usage(err)
	}
	r := &answer{verb: "coord", title: fmt.Sprintf("Coordinate check of %s: %s, %s", c.Model, rep.Parametrization, method), data: map[string]any{"report": rep, "frozen": append([]string{}, rep.Frozen...), "lazy": rep.Lazy, "stable": rep.Stable}}
	length := fmt.Sprintf("%d steps", config.Steps)
	if config.Time > 0 {
		length = fmt.Sprintf("time %s: %s steps", number(config.Time), joinInts(rep.Steps))
	}
	batch := "all examples"
	if config.Batch > 0 {
		batch = fmt.Sprintf("batches of %d", config.Batch)
	}
	r.settings = []report.Fact{{Name: "data", Value: fmt.Sprintf("%s, %s, %s loss", c.Data, plural(x.Shape().Dim(0), "example"), lossName)},
		{Name: "training", Value: fmt.Sprintf("%s, %s, %s; %s a width", length, batch, settingsText(config.Settings), plural(rep.Seeds, "network"))}}
	for _, s := range rep.Sentences() {
		r.summary = append(r.summary, capital(s)+".")
	}
	coordTables(r, rep)
	r.figures = coordFigures(rep)
	return a.give(c.answerFlags, r)
}

// coordTables shows the rows of the last step, and those before in a second table.
func coordTables(r *answer, rep *coord.Report) {
	last := 0
	for _, row := range rep.Rows {
		last = max(last, row.Step)
	}
	head := []string{"quantity", "of", ">step"}
	for _, n := range rep.Widths {
		head = append(head, ">N = "+grouped(n))
	}
	head = append(head, ">slope", "verdict")
	final, before := report.Table{Name: "At the end", Head: head, Note: "Root mean squares, and the slope of their logarithm against that of the width. Rests on: " + string(rep.Label) + "."}, report.Table{Name: "Before", Head: head}
	for _, row := range rep.Rows {
		cells := []string{string(row.Quantity), row.Name, grouped(row.Step)}
		for _, v := range row.Values {
			cells = append(cells, sig(v))
		}
		word := row.Verdict
		if row.Known != "" {
			word += ", as it should (" + row.Known + ")"
		}
		cells = append(cells, plusMinus(row.Slope, row.SlopeSE), word)
		if row.Step == last {
			final.Rows = append(final.Rows, cells)
		} else {
			before.Rows = append(before.Rows, cells)
		}
	}
	r.tables = append(r.tables, final)
	if len(before.Rows) > 0 {
		r.more = append(r.more, before)
	}
}

// coordFigures draws a panel for each quantity at the last step.
func coordFigures(rep *coord.Report) []report.Figure {
	last := 0
	for _, row := range rep.Rows {
		last = max(last, row.Step)
	}
	var x []float64
	for _, n := range rep.Widths {
		x = append(x, float64(n))
	}
	var out []report.Figure
	for _, q := range []coord.Quantity{coord.OutputChange, coord.ActivationChange, coord.OnlyThis, coord.WeightChange, coord.Activation} {
		f := report.Figure{Name: strings.ReplaceAll(string(q), " ", "-"), Title: capital(string(q)), X: report.Axis{Label: "width", Log: true, Ticks: x}, Y: report.Axis{Label: "root mean square", Log: true}}
		if q == coord.OnlyThis {
			f.Title = "Change of the output by this tensor alone"
		}
		for _, row := range rep.Rows {
			if row.Quantity != q || row.Step != last {
				continue
			}
			s := report.Series{Name: fmt.Sprintf("%s, slope %s", row.Name, fixed(row.Slope, 2)), Mark: report.Line, Colour: len(f.Series) / 2, X: x, Y: row.Values}
			var lo, hi []float64
			for i, v := range row.Values {
				lo, hi = append(lo, v-2*row.SEs[i]), append(hi, v+2*row.SEs[i])
			}
			f.Series = append(f.Series, s, report.Series{Mark: report.Points, Colour: s.Colour, X: x, Y: row.Values, Low: lo, High: hi})
		}
		if len(f.Series) > 0 {
			out = append(out, f)
		}
	}
	return out
}
