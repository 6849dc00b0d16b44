package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/asymptotics/kernel"
	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train"
)

type limitsKernelCmd struct {
	netFlags
	answerFlags
	Examples  int      `group:"Kernel" placeholder:"N" help:"Training examples that the kernel is between (default 100)."`
	Depth     int      `group:"Kernel" placeholder:"L" help:"Hidden layers of the wide network (default 1)."`
	WeightVar float64  `group:"Kernel" placeholder:"V" help:"Variance of its weights times the fan-in (default 1; 2 for relu)."`
	BiasVar   float64  `group:"Kernel" placeholder:"V" help:"Variance of its biases (default 0)."`
	Width     int      `group:"Kernel" placeholder:"N" help:"Width of the network that the limit shall stand for: says whether it may."`
	Alpha     float64  `group:"Kernel" placeholder:"A" help:"Rate that times to fit are for (default 1)."`
	From      string   `name:"run" group:"Model" placeholder:"FOLDER" help:"Kernel of a trained model, and how far it is from that at its start."`
	Steps     *int     `group:"Model" placeholder:"N" help:"With --model: training steps over which the drift is followed (default 100)."`
	Method    string   `group:"Model" placeholder:"NAME" help:"With --model: training method (default sgd)."`
	Set       []string `group:"Model" placeholder:"SETTING=VALUE" sep:"none" help:"With --model: a setting of the method; may be repeated."`
	Batch     int      `group:"Model" placeholder:"N" help:"With --model: examples of a step (default 32)."`
}

// Help shows the examples.
func (limitsKernelCmd) Help() string {
	return `Three kernels on the first examples of a data set. Without --model: those of an infinitely wide network, NNGP (its law at the start) and
NTK (how it moves), in closed form where there is one, by quadrature otherwise. With --model: the tangent kernel of that network at
its start, and how far training moves it. With --run: the same for a run of descent train. A kernel that hardly moves
means lazy training, which the NTK predicts; one that moves by its own size means that features were learnt.

The spectrum says which directions of the data are fitted when: a mode takes log(100) n/(α λ) until a hundredth of it is left.

Examples:

    descent limits kernel
    descent limits kernel --activation relu --depth 3 --width 512
    descent limits kernel --model mlp:256 --steps 200 --set lr=0.1
    descent limits kernel --run runs/digits-adam-1 --report kernel.html`
}

// Run computes kernels.
func (c *limitsKernelCmd) Run(a *app) error {
	if err := c.answerFlags.check(); err != nil {
		return err
	}
	if c.Model != "" && c.From != "" {
		return usage(fmt.Errorf("--model and --run are two networks\nhint: name one of them"))
	}
	if c.Examples < 0 || c.Examples > 4000 {
		return usage(fmt.Errorf("--examples: found %d, expected 1 to 4000\nhint: leave it out for 100", c.Examples))
	}
	if c.Examples == 0 {
		c.Examples = 100
	}
	if c.Alpha = orDefault(c.Alpha, 1); !(c.Alpha > 0) || !isFinite(c.Alpha) {
		return usage(fmt.Errorf("--alpha: found %g, expected a positive number\nhint: leave it out for 1", c.Alpha))
	}
	find := c.wide
	if c.From != "" {
		find = c.trained
	} else if c.Model != "" {
		find = c.followed
	}
	r, err := find(a)
	if err != nil {
		return err
	}
	return a.give(c.answerFlags, r)
}

// wide computes the kernels of an infinitely wide network.
func (c *limitsKernelCmd) wide(a *app) (*answer, error) {
	set, err := c.open()
	if err != nil {
		return nil, err
	}
	activation, err := kernel.ByName(orElse(c.Activation, "erf"))
	if err != nil {
		return nil, usage(err)
	}
	depth := max(1, c.Depth)
	net := kernel.MLP{Activation: activation, Depth: depth, WeightVar: c.WeightVar, BiasVar: c.BiasVar}
	if net.WeightVar == 0 && (activation.Name == "relu" || activation.Name == "leaky-relu") {
		net.WeightVar = 2
	}
	if err := net.Validate(); err != nil {
		return nil, usage(err)
	}
	r := &answer{verb: "kernel", title: fmt.Sprintf("Kernels of wide networks: %s, depth %d", activation.Name, depth)}
	if r.findings, err = depthFindings(depth, c.Width); err != nil {
		return nil, err
	}
	switch activation.Name {
	case "relu", "leaky-relu", "abs", "step", "sign", "elu", "hard-tanh":
		r.findings = append(r.findings, asymptotics.Finding{Subject: "activation " + activation.Name, Severity: asymptotics.Warning, Text: "it has a kink, and the theorems ask for smoothness", Holds: "the kernels themselves, and the agreement measured on finite networks"})
	}
	x, y := head(set, c.Examples)
	n := x.Shape().Dim(0)
	flat := x.Reshape(n, x.Size()/n)
	r.findings = append(r.findings, coinciding(flat)...)
	pool := c.pool()
	p := a.progress()
	p.update(-1, "kernels of the infinite width")
	k, err := await(a, func() (kernel.Kernels, error) { return net.Kernel(pool, flat, tensor.Tensor[float64]{}) })
	if err != nil {
		return nil, err
	}
	ntk, err := await(a, func() (*kernel.Spectrum, error) { return kernel.SpectrumOf(pool, k.NTK) })
	if err != nil {
		return nil, err
	}
	nngp, err := await(a, func() (*kernel.Spectrum, error) { return kernel.SpectrumOf(pool, k.NNGP) })
	if err != nil {
		return nil, err
	}
	p.clear()
	how := "closed form"
	if !activation.Closed {
		how = "quadrature"
	}
	r.settings = []report.Fact{{Name: "data", Value: fmt.Sprintf("%s, %s of %d numbers", c.Data, plural(n, "example"), flat.Shape().Cols())},
		{Name: "network", Value: fmt.Sprintf("%s of %s, weight variance %s, bias variance %s; dual by %s", plural(depth, "hidden layer"), activation.Name, number(orDefault(net.WeightVar, 1)), number(net.BiasVar), how)}}
	target := targetOf(set, y)
	r.tables = append(r.tables, modeTable(ntk, c.Alpha, target), spectrumTable([]string{"NTK", "NNGP"}, []*kernel.Spectrum{ntk, nngp}, c.Alpha))
	r.tables[1].Note = "Rests on: theorem for smooth activations, with the widths taken to infinity one after another."
	r.summary = append(r.summary, c.spectrumSentences(ntk, target)...)
	layers := net.Correlations(1, 0.5, 10*depth)
	r.summary = append(r.summary, fmt.Sprintf("Two inputs of correlation 0.5 have correlation %s after %s.", sig(layers[min(len(layers)-1, depth)]), plural(depth, "layer")))
	r.figures = append(r.figures, spectrumFigure([]string{"NTK", "NNGP"}, []*kernel.Spectrum{ntk, nngp}), fitFigure(ntk, c.Alpha, target))
	r.data = map[string]any{"activation": activation.Name, "closed_form": activation.Closed, "depth": depth, "examples": n, "label": "theorem for smooth activations, widths taken to infinity one after another",
		"ntk": spectrumObject(ntk, c.Alpha, target), "nngp": spectrumObject(nngp, c.Alpha, target)}
	return r, nil
}

// depthFindings say whether a width is large enough for a depth; too deep is an error.
func depthFindings(depth, width int) ([]asymptotics.Finding, error) {
	if width < 0 || depth < 0 {
		return nil, usage(fmt.Errorf("--depth, --width: found %d and %d, expected positive numbers\nhint: leave them out for one hidden layer of infinite width", depth, width))
	}
	if width == 0 {
		return nil, nil
	}
	ratio := float64(depth) / float64(width)
	f := asymptotics.Finding{Subject: fmt.Sprintf("depth %d over width %d", depth, width), Severity: asymptotics.Note,
		Text: fmt.Sprintf("kernels of finite networks fluctuate by about 1/√width = %s, and by exp(c·depth/width) with depth/width = %s", sig(1/math.Sqrt(float64(width))), sig(ratio)), Holds: "the limit as a mean"}
	switch {
	case ratio >= 0.25:
		return nil, usage(fmt.Errorf("no prediction: depth/width = %d/%d is not small: kernels of such networks are random at leading order\nhint: still holds: what is measured on the network itself, with --model mlp:…; or a width of at least %d", depth, width, 10*depth))
	case ratio > 0.05:
		f.Severity, f.Holds = asymptotics.Warning, "orders of magnitude; measure the network itself with --model mlp:…"
	}
	return []asymptotics.Finding{f}, nil
}

// coinciding finds examples with the same inputs.
func coinciding(x tensor.Tensor[float64]) []asymptotics.Finding {
	seen := map[string]int{}
	d := x.Shape().Cols()
	for i := range x.Shape().Rows() {
		k := fmt.Sprint(x.Data()[i*d : (i+1)*d])
		if j, ok := seen[k]; ok {
			return []asymptotics.Finding{{Subject: "data", Severity: asymptotics.Warning, Text: fmt.Sprintf("examples %d and %d have the same inputs", j+1, i+1), Holds: "all but the fit to zero loss: the kernel is singular"}}
		}
		seen[k] = i
	}
	return nil
}

// targetOf is one number an example: the regression target, or ±1 for the first class of the examples.
func targetOf(set *dataset.Set, y nn.Target[float64]) []float64 {
	if y.Labels == nil {
		n := y.Values.Shape().Dim(0)
		out := make([]float64, n)
		for i := range out {
			out[i] = y.Values.Data()[i*(y.Values.Size()/n)]
		}
		return out
	}
	out := make([]float64, len(y.Labels))
	for i, l := range y.Labels {
		out[i] = -1
		if l == 0 {
			out[i] = 1
		}
	}
	return out
}

// modeTable shows the largest modes and some of the rest.
func modeTable(s *kernel.Spectrum, alpha float64, target []float64) report.Table {
	modes := s.Modes(alpha, 0.01, target)
	t := report.Table{Name: "Modes of the tangent kernel", Head: []string{">mode", ">eigenvalue", ">time to fit", ">share of the target"},
		Note: fmt.Sprintf("Time until a hundredth of the mode is left, for rate α = %s on the mean of squares.", number(alpha))}
	for i, step := 0, 1; i < len(modes); i += step {
		m := modes[i]
		t.Rows = append(t.Rows, []string{grouped(i + 1), sig(m.Value), sig(m.Time), percent(m.Residual)})
		if i+1 >= 5 {
			step = max(1, i+1)
		}
	}
	return t
}

func spectrumTable(names []string, all []*kernel.Spectrum, alpha float64) report.Table {
	t := report.Table{Name: "Spectra", Head: append([]string{""}, prefixed(">", names)...)}
	row := func(name string, f func(*kernel.Spectrum) string) {
		cells := []string{name}
		for _, s := range all {
			cells = append(cells, f(s))
		}
		t.Rows = append(t.Rows, cells)
	}
	row("largest eigenvalue", func(s *kernel.Spectrum) string { return sig(s.Values[0]) })
	row("smallest", func(s *kernel.Spectrum) string { return sig(s.Values[len(s.Values)-1]) })
	row("modes that share it, (Σλ)²/Σλ²", func(s *kernel.Spectrum) string { return sig(s.Participation()) })
	row(fmt.Sprintf("modes fitted by time 10, α = %s", number(alpha)), func(s *kernel.Spectrum) string {
		return sig(s.EffectiveDimension(float64(len(s.Values)) / (10 * alpha)))
	})
	row("largest stable rate, full batch", func(s *kernel.Spectrum) string { return sig(s.LargestRate()) })
	row("positive semi-definite", func(s *kernel.Spectrum) string {
		if s.Repair.Negative == 0 {
			return "yes"
		}
		return fmt.Sprintf("%d set to 0 (%s)", s.Repair.Negative, sig(s.Repair.Relative))
	})
	return t
}

func prefixed(prefix string, names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, prefix+n)
	}
	return out
}

func (c *limitsKernelCmd) spectrumSentences(s *kernel.Spectrum, target []float64) []string {
	modes := s.Modes(c.Alpha, 0.01, target)
	share, count := 0.0, 0
	for _, m := range modes {
		if share > 0.9 {
			break
		}
		share += m.Residual
		count++
	}
	return []string{fmt.Sprintf("%s of the target lies in the first %s, fitted after a time of %s.", percent(share), plural(count, "mode"), sig(modes[count-1].Time))}
}

func spectrumObject(s *kernel.Spectrum, alpha float64, target []float64) map[string]any {
	return map[string]any{"values": nums(s.Values), "participation": num(s.Participation()), "largest_rate": num(s.LargestRate()), "repair": s.Repair, "modes": s.Modes(alpha, 0.01, target)}
}

func spectrumFigure(names []string, all []*kernel.Spectrum) report.Figure {
	f := report.Figure{Name: "spectrum", Title: "Spectrum of the kernel", X: report.Axis{Label: "mode", Log: true}, Y: report.Axis{Label: "eigenvalue", Log: true}}
	for k, s := range all {
		line := report.Series{Name: names[k], Mark: report.Line, Colour: k}
		for i, v := range s.Values {
			if v < 1e-13*s.Values[0] {
				break // rounding
			}
			line.X, line.Y = append(line.X, float64(i+1)), append(line.Y, v)
		}
		f.Series = append(f.Series, line)
	}
	return f
}

// fitFigure draws the share of the target that is left over time.
func fitFigure(s *kernel.Spectrum, alpha float64, target []float64) report.Figure {
	modes := s.Modes(alpha, 0.01, target)
	line := report.Series{Mark: report.Line}
	top := modes[0].Time
	for i := range 81 {
		t := top * math.Pow(10, -2+float64(i)/80*6)
		left := 0.0
		for _, m := range modes {
			left += m.Residual * math.Exp(-2*m.Rate*t)
		}
		line.X, line.Y = append(line.X, t), append(line.Y, left)
	}
	return report.Figure{Name: "fit", Title: "Share of the target that lazy training has left", X: report.Axis{Label: "time (rate α)", Log: true}, Y: report.Axis{Label: "squared residual / target"}, Series: []report.Series{line}}
}

// drifting is the kernel of one network at points of its training.
type drifting struct {
	steps    []int
	drift    []float64
	loss     []float64
	spectra  []*kernel.Spectrum // of the first and the last
	kernel0  tensor.Tensor[float64]
	examples int
}

// measure adds the kernel at the present parameters.
func (d *drifting) measure(pool *tensor.Pool, e *kernel.Empirical[float64], x tensor.Tensor[float64], step int, keep bool) error {
	k, err := e.Kernel(x, tensor.Tensor[float64]{})
	if err != nil {
		return err
	}
	if d.kernel0.IsZero() {
		d.kernel0 = k
	}
	d.steps, d.drift, d.examples = append(d.steps, step), append(d.drift, kernel.Drift(d.kernel0, k)), x.Shape().Dim(0)
	if keep {
		s, err := kernel.SpectrumOf(pool, k)
		if err != nil {
			return err
		}
		d.spectra = append(d.spectra, s)
	}
	return nil
}

// show turns the measurements into tables and drawings.
func (c *limitsKernelCmd) show(r *answer, d *drifting, target []float64) {
	last := len(d.steps) - 1
	names := []string{"at the start", fmt.Sprintf("after %s steps", grouped(d.steps[last]))}
	if last == 0 {
		names = names[:1]
	}
	r.tables = append(r.tables, modeTable(d.spectra[len(d.spectra)-1], c.Alpha, target), spectrumTable(names, d.spectra, c.Alpha))
	r.figures = append(r.figures, spectrumFigure(names, d.spectra), fitFigure(d.spectra[len(d.spectra)-1], c.Alpha, target))
	r.summary = append(r.summary, c.spectrumSentences(d.spectra[len(d.spectra)-1], target)...)
	data := map[string]any{"examples": d.examples, "steps": d.steps, "drift": nums(d.drift), "label": "empirical", "start": spectrumObject(d.spectra[0], c.Alpha, target)}
	r.data = data
	if last == 0 {
		return
	}
	data["end"] = spectrumObject(d.spectra[1], c.Alpha, target)
	drift := d.drift[last]
	word := "lazy: the kernel at the start predicts this training"
	switch {
	case drift > 0.5:
		word = "rich: features were learnt, and the kernel at the start predicts nothing of the rest"
	case drift > 0.1:
		word = "between: the kernel at the start predicts the beginning"
	}
	r.summary = append(r.summary, fmt.Sprintf("The kernel moved by %s of its size in %s steps. The training is %s.", percent(drift), grouped(d.steps[last]), word))
	if last > 1 {
		tab := report.Table{Name: "Drift of the kernel", Head: []string{">step", ">‖K - K₀‖/‖K₀‖", ">loss"}, Note: "Rests on: empirical."}
		f := report.Figure{Name: "drift", Title: "Drift of the kernel", X: report.Axis{Label: "step"}, Y: report.Axis{Label: "‖K - K₀‖ / ‖K₀‖"}}
		line := report.Series{Mark: report.Line, Y: d.drift}
		for i, s := range d.steps {
			tab.Rows = append(tab.Rows, []string{grouped(s), sig(d.drift[i]), sig(d.loss[i])})
			line.X = append(line.X, float64(s))
		}
		points := line
		points.Mark = report.Points
		f.Series = []report.Series{line, points}
		r.tables, r.figures = append(r.tables, tab), append(r.figures, f)
		data["loss"] = nums(d.loss)
	}
}

// followed trains a model and follows its kernel.
func (c *limitsKernelCmd) followed(a *app) (*answer, error) {
	set, err := c.open()
	if err != nil {
		return nil, err
	}
	m, err := c.build(c.Model, set)
	if err != nil {
		return nil, err
	}
	settings, err := parseSettings(c.Set)
	if err != nil {
		return nil, err
	}
	method := orElse(c.Method, "sgd")
	steps := 100
	if c.Steps != nil {
		steps = *c.Steps
	}
	batch := c.Batch
	if batch == 0 {
		batch = 32
	}
	if steps < 0 || batch < 1 || batch > set.Train.Len() {
		return nil, usage(fmt.Errorf("--steps, --batch: found %d and %d, expected at least 0 steps and batches of 1 to %d examples\nhint: leave them out for 100 and 32", steps, batch, set.Train.Len()))
	}
	if settings == nil {
		settings = map[string]float64{}
	}
	if _, ok := settings["lr"]; !ok && method == "sgd" {
		settings["lr"] = 0.1
	}
	spec, err := catalogue.Lookup[float64](method)
	if err != nil {
		return nil, usage(unknownMethod(method, methodNames()))
	}
	if _, err := spec.Complete(settings); err != nil {
		return nil, usage(err)
	}
	pool := c.pool()
	loss, lossName := fittingLoss(set)
	opt, err := catalogue.New[float64](method, optim.Env{Layout: m.Layout(), Pool: pool}, optim.Settings(settings))
	if err != nil {
		return nil, usage(fmt.Errorf("--method %s: %w\nhint: the drift is followed with methods that need gradients alone, such as sgd and adam", method, err))
	}
	x, y := head(set, c.Examples)
	net := objective.NewNetwork(m, loss, pool)
	params := make([]float64, m.Layout().Size())
	key := tensor.KeyOf(c.Seed)
	nn.Initialize(m, key.Named("init"), params, net.State())
	obj := objective.New[float64](net, m.Layout(), params)
	e := kernel.NewEmpirical(m, params, pool)
	e.Output = -1
	d := &drifting{}
	sampler, loader := dataset.NewSampler(set.Train.Len(), c.Seed, false), dataset.NewLoader[float64](set.Train)
	p := a.progress()
	next := 1
	for s := 0; ; s++ {
		if s == 0 || s == next || s == steps {
			if err := d.measure(pool, e, x, s, s == 0 || s == steps); err != nil {
				return nil, usage(err)
			}
			if s == next {
				next = max(next+1, next*3/2)
			}
			net.SetBatch(x, y)
			v, err := net.Evaluate(params, nil)
			if err != nil {
				return nil, err
			}
			d.loss = append(d.loss, v)
		}
		if s == steps {
			break
		}
		if err := a.ctx.Err(); err != nil {
			return nil, err
		}
		idx := sampler.Next(batch)
		b := loader.Load(idx)
		net.SetBatch(b.X, nn.Target[float64]{Labels: b.Labels, Values: b.Values})
		net.SetKey(key.Fold(uint64(s)))
		obj.SetProgress(objective.Progress{Step: int64(s), Seen: int64(s * batch), Batch: batch})
		if _, err := opt.Step(a.ctx, obj); err != nil {
			return nil, err
		}
		p.update(float64(s)/float64(steps), fmt.Sprintf("step %d of %d, drift %s", s+1, steps, sig(d.drift[len(d.drift)-1])))
	}
	p.clear()
	r := &answer{verb: "kernel", title: fmt.Sprintf("Tangent kernel of %s in training", c.Model), findings: coinciding(x.Reshape(x.Shape().Dim(0), x.Size()/x.Shape().Dim(0)))}
	r.settings = []report.Fact{{Name: "data", Value: fmt.Sprintf("%s, %s; mean over %s", c.Data, plural(d.examples, "example"), plural(set.Outputs, "output"))},
		{Name: "model", Value: fmt.Sprintf("%s, %s", c.Model, plural(m.Layout().Size(), "parameter"))},
		{Name: "training", Value: fmt.Sprintf("%s, %s, %s of %d, %s loss", method, settingsText(settings), plural(steps, "step"), batch, lossName)}}
	c.show(r, d, targetOf(set, y))
	return r, nil
}

// trained compares the kernels of a run at its start and at its newest checkpoint.
func (c *limitsKernelCmd) trained(a *app) (*answer, error) {
	w, err := train.LoadWeights(c.From)
	if err != nil {
		return nil, err
	}
	cfg := w.Info.Config
	val := cfg.Val
	if val == 0 {
		val = -1
	}
	set, err := dataset.Open(cfg.Data, dataset.Options{Dir: orElse(c.DataDir, cfg.DataDir), Label: cfg.Label, Seed: cfg.DataSeed, Val: val, Hops: cfg.Hops, Operator: cfg.Operator})
	if err != nil {
		return nil, err
	}
	x, y := head(set, c.Examples)
	pool := c.pool()
	d := &drifting{}
	p := a.progress()
	for i, params := range [][]float64{w.Start, w.Trained} {
		p.update(-1, []string{"kernel at the start", "kernel of the trained model"}[i])
		e := kernel.NewEmpirical(w.Model, params, pool)
		e.State, e.Rate, e.Output = w.State, w.Rate, -1
		if i == 0 {
			e.State = kernel.NewEmpirical(w.Model, params, pool).State
		}
		step := 0
		if i == 1 {
			step = int(w.Step)
		}
		if _, err := await(a, func() (bool, error) { return true, d.measure(pool, e, x, step, true) }); err != nil {
			return nil, err
		}
	}
	p.clear()
	r := &answer{verb: "kernel", title: fmt.Sprintf("Tangent kernel of %s", shown(c.From))}
	r.settings = []report.Fact{{Name: "run", Value: fmt.Sprintf("%s on %s, %s, seed %s", cfg.Method, cfg.Data, w.Info.Model, strconv.FormatUint(cfg.Seed, 10))},
		{Name: "kernel", Value: fmt.Sprintf("between %s, mean over %s", plural(d.examples, "example"), plural(set.Outputs, "output"))}}
	if set.Task == dataset.Reconstruction {
		r.findings = append(r.findings, asymptotics.Finding{Subject: "targets", Severity: asymptotics.Note, Text: "the shares of the target are those of its first number"})
	}
	c.show(r, d, targetOf(set, y))
	return r, nil
}
