package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/asymptotics/dynamics"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/tensor"
)

type limitsRNNCmd struct {
	answerFlags
	Nonlinearity string  `group:"Network" placeholder:"NAME" help:"tanh (default), sigmoid or erf."`
	Memory       string  `group:"Network" placeholder:"LAW" help:"Of the memory weights B: coupled:SCALE, which is SCALE·tanh(W) (default coupled:0.9), or independent:MEAN,SD."`
	Beta         float64 `group:"Network" placeholder:"B" help:"Exponent of the output's normalisation, from 0.5 (default) to below 1."`
	Alpha        float64 `group:"Training" placeholder:"A" help:"Rate (default 1)."`
	Time         float64 `group:"Training" placeholder:"T" help:"Training time: T·N steps (default 8)."`
	Series       string  `group:"Data" placeholder:"FILE" help:"Time series as text, a step a line: inputs, and the target last (default: an autoregression)."`
	Phi          float64 `group:"Data" placeholder:"P" help:"Of the autoregression x: correlation of neighbours (default 0.5)."`
	Past         float64 `group:"Data" placeholder:"C" help:"Of its target 0.8 x_k + C x_{k-1} (default -0.5)."`
	Samples      int     `group:"Accuracy" placeholder:"N" help:"Steps that stand for the stationary law (default 10000)."`
	Width        int     `group:"Simulation" placeholder:"N" help:"Of the trained networks (default 200)."`
	Runs         int     `group:"Simulation" placeholder:"N" help:"Networks to train beside the limit (default 100); 0: none." default:"100"`
}

// Help shows the examples.
func (limitsRNNCmd) Help() string {
	return `A wide recurrent network with averaged memory, u_k = (1/N) Σ B σ(W·x_k + u_{k-1}), trained online by one-step gradients, becomes kernel
regression on (x, u) under the stationary law of the data and the memory. The verb says whether the memory forgets its
start, warns where the limit has no memory at all, predicts the outputs on a test series with and without memory, trains
networks beside them, and measures how far truncated gradients are from the whole one.

Examples:

    descent limits rnn
    descent limits rnn --memory independent:0,0.5
    descent limits rnn --nonlinearity sigmoid --memory independent:0.5,0.2 --time 20
    descent limits rnn --series prices.csv --report rnn.html`
}

// rnn reads the flags.
func (c *limitsRNNCmd) rnn() (dynamics.RNN, string, error) {
	r := dynamics.RNN{Beta: orDefault(c.Beta, 0.5), Alpha: orDefault(c.Alpha, 1)}
	var err error
	if r.Sigma, err = dynamics.NonlinearityByName(orElse(c.Nonlinearity, "tanh")); err != nil {
		return r, "", usage(err)
	}
	kind, rest, _ := strings.Cut(orElse(c.Memory, "coupled:0.9"), ":")
	v, err := listOf("memory", rest)
	if err != nil {
		return r, "", err
	}
	switch {
	case kind == "coupled" && len(v) == 1:
		r.Memory = dynamics.Memory{Coupled: true, Scale: v[0]}
	case kind == "independent" && len(v) == 2 && v[1] >= 0:
		r.Memory = dynamics.Memory{Mean: v[0], SD: v[1]}
	default:
		return r, "", usage(fmt.Errorf("--memory: found %q, expected coupled:SCALE or independent:MEAN,SD\nhint: coupled:0.9", c.Memory))
	}
	if c.Series == "" {
		ar := dynamics.AR{Phi: orDefault(c.Phi, 0.5), SD: 1, Now: 0.8, Past: orDefault(c.Past, -0.5)}
		if math.Abs(ar.Phi) >= 1 {
			return r, "", usage(fmt.Errorf("--phi: found %g, expected a number between -1 and 1\nhint: an autoregression is stationary below 1", ar.Phi))
		}
		r.Data = ar
		return r, fmt.Sprintf("autoregression of correlation %s, y = %s x_k %+g x_{k-1}", number(ar.Phi), number(ar.Now), ar.Past), nil
	}
	data, err := readSeries(c.Series)
	r.Data = data
	return r, fmt.Sprintf("%s: %s", c.Series, plural(len(data.Y), "step")), err
}

// readSeries reads rows of numbers with blanks, commas or tabs between them, the target last. A first line without numbers is passed over.
func readSeries(path string) (dynamics.Recorded, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return dynamics.Recorded{}, usage(fmt.Errorf("--series: %w\nhint: name a file of numbers that is there", err))
	}
	var rows []any
	for i, line := range strings.Split(string(b), "\n") {
		fields := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(",;\t \r", r) })
		if len(fields) == 0 || i == 0 && strings.ContainsAny(strings.ToLower(strings.NewReplacer("e+", "", "e-", "").Replace(line)), "abcdfghijklmnopqrstuvwxyz") {
			continue
		}
		var cells []any
		for _, f := range fields {
			cells = append(cells, f)
		}
		rows = append(rows, cells)
	}
	m, err := rowsOf("--series "+path, rows)
	if err != nil {
		return dynamics.Recorded{}, err
	}
	if m.IsZero() || m.Shape().Cols() < 2 || m.Shape().Rows() < 50 {
		return dynamics.Recorded{}, usage(fmt.Errorf("--series %s: found %d rows, expected at least 50 of one input or more and a target\nhint: one step a line, x1,x2,…,y", path, len(rows)))
	}
	n, d := m.Shape().Rows(), m.Shape().Cols()-1
	out := dynamics.Recorded{X: tensor.New[float64](n, d), Y: make([]float64, n)}
	for i := range n {
		copy(out.X.Data()[i*d:(i+1)*d], m.Data()[i*(d+1):i*(d+1)+d])
		out.Y[i] = m.At(i, d)
	}
	return out, nil
}

// rnnPoint is a step of the test series in JSON.
type rnnPoint struct {
	X         []num `json:"x"`
	Y         num   `json:"y"`
	Memory    num   `json:"memory"`
	Predicted num   `json:"predicted"`
	SD        *num  `json:"sd,omitempty"`
	Forgetful num   `json:"predicted_without_memory"`
	Simulated *num  `json:"simulated,omitempty"`
	SimSD     *num  `json:"simulated_sd,omitempty"`
}

// Run computes the limit.
func (c *limitsRNNCmd) Run(a *app) error {
	if err := c.answerFlags.check(); err != nil {
		return err
	}
	net, source, err := c.rnn()
	if err != nil {
		return err
	}
	T, samples, width := orDefault(c.Time, 8), c.Samples, c.Width
	if samples == 0 {
		samples = 10000
	}
	if width == 0 {
		width = 200
	}
	if samples < 100 || width < 2 || c.Runs < 0 || c.Runs == 1 || !(T > 0) {
		return usage(fmt.Errorf("--samples, --width, --runs, --time: found %d, %d, %d and %g, expected at least 100 samples, width 2, no run or two, and a positive time\nhint: leave them out for the defaults", samples, width, c.Runs, T))
	}
	pool, key := c.pool(), tensor.KeyOf(c.Seed)
	p := a.progress()
	p.update(-1, "stationary law of data and memory")
	s, err := await(a, func() (*dynamics.Stationary, error) { return net.Stationary(key.Named("stationary"), samples, 1, 0) })
	if err != nil {
		return usage(err)
	}
	r := &answer{verb: "rnn", title: "Limit of a recurrent network: " + net.Sigma.Name}
	for _, w := range s.Check() {
		r.findings = append(r.findings, asymptotics.Finding{Subject: "memory", Severity: asymptotics.Warning, Text: w, Holds: "the prediction without memory"})
	}
	const burn, points = 60, 40
	test := dynamics.PathOf(net.Data, key.Named("test"), burn+points)
	p.update(-1, "kernel equation under the stationary law")
	type limits struct{ with, without *dynamics.Limit }
	l, err := await(a, func() (limits, error) {
		with, err := s.Limit(pool, false)
		if err != nil {
			return limits{}, err
		}
		without, err := s.Limit(pool, true)
		return limits{with, without}, err
	})
	if err != nil {
		return err
	}
	with, without := l.with.Predict(pool, test, burn, T), l.without.Predict(pool, test, burn, T)
	var sim *dynamics.Replicates
	if c.Runs > 0 {
		p.update(-1, fmt.Sprintf("%d networks of width %d", c.Runs, width))
		sim, err = await(a, func() (*dynamics.Replicates, error) {
			return net.Simulate(pool, key.Named("simulate"), width, c.Runs, T, test, burn)
		})
		if err != nil {
			return usage(err)
		}
	}
	p.update(-1, "truncated gradients")
	trunc, err := await(a, func() (*dynamics.Truncation, error) {
		return net.Truncation(key.Named("truncation"), 100, 20000, []int{0, 1, 2, 3, 4, 6, 8})
	})
	if err != nil {
		return err
	}
	p.clear()
	memory := s.Points(test)
	var list []rnnPoint
	var errWith, errWithout, noise float64
	tab := report.Table{Name: "Outputs on a test series", Head: []string{">step", ">target", ">memory u", ">predicted", ">without memory", ">simulated"}, Note: "Rests on: theorem for this class of networks; the reduction to a kernel on (x, u) derived, confirmed by simulation."}
	d := net.Data.Inputs()
	var x, predicted, forgetful, simulated, lo, hi []float64
	for j := range points {
		k := burn + j
		pt := rnnPoint{X: nums(test.X[k*d : (k+1)*d]), Y: num(test.Y[k]), Memory: num(memory[k]), Predicted: num(with.Mean.Data()[j]), Forgetful: num(without.Mean.Data()[j])}
		if !with.Cov.IsZero() {
			v := num(math.Sqrt(max(0, with.Cov.At(j, j))))
			pt.SD = &v
		}
		cell := ""
		x, predicted, forgetful = append(x, float64(j+1)), append(predicted, float64(pt.Predicted)), append(forgetful, float64(pt.Forgetful))
		if sim != nil {
			var col []float64
			for i := range c.Runs {
				col = append(col, sim.Outputs.At(i, j))
			}
			m := asymptotics.MomentsOf(col)
			mean, sd := num(m.Mean), num(math.Sqrt(m.Variance))
			pt.Simulated, pt.SimSD = &mean, &sd
			cell = plusMinus(m.Mean, m.MeanSE())
			errWith += (m.Mean - float64(pt.Predicted)) * (m.Mean - float64(pt.Predicted)) / points
			errWithout += (m.Mean - float64(pt.Forgetful)) * (m.Mean - float64(pt.Forgetful)) / points
			noise += m.MeanSE() * m.MeanSE() / points
			simulated, lo, hi = append(simulated, m.Mean), append(lo, m.Mean-2*m.MeanSE()), append(hi, m.Mean+2*m.MeanSE())
		}
		list = append(list, pt)
		if j < 12 {
			tab.Rows = append(tab.Rows, []string{grouped(j + 1), fixed(test.Y[k], 3), fixed(memory[k], 4), fixed(float64(pt.Predicted), 4), fixed(float64(pt.Forgetful), 4), cell})
		}
	}
	memoryText := fmt.Sprintf("B = %s·tanh(W)", number(net.Memory.Scale))
	if !net.Memory.Coupled {
		memoryText = fmt.Sprintf("B of mean %s and sd %s, independent of W", number(net.Memory.Mean), number(net.Memory.SD))
	}
	r.settings = []report.Fact{{Name: "network", Value: fmt.Sprintf("%s, W standard normal, %s, β = %s", net.Sigma.Name, memoryText, number(net.Beta))}, {Name: "data", Value: source}, {Name: "training", Value: fmt.Sprintf("α = %s, time T = %s; networks of width %d: %s steps", number(net.Alpha), number(T), width, grouped(int(T*float64(width))))}}
	cut := report.Table{Name: "Truncated gradients against the whole past", Head: []string{">steps back", ">bias of the gradient", ">± s.e.", ">sampling alone"}, Note: "Bias: distance of the mean gradients, relative to that of the whole past. Rests on: empirical."}
	var tau, bias, blo, bhi []float64
	for _, row := range trunc.Rows {
		cut.Rows = append(cut.Rows, []string{grouped(row.Tau), sig(row.Bias), sig(row.SE), sig(row.Floor)})
		tau, bias, blo, bhi = append(tau, float64(row.Tau)), append(bias, row.Bias), append(blo, row.Bias-2*row.SE), append(bhi, row.Bias+2*row.SE)
	}
	r.tables = append(r.tables, report.Table{Name: "Memory", Head: []string{"", ">value", "meaning"}, Rows: [][]string{
		{"E|B|·sup|σ'|", sig(s.Contraction), "below 1 the memory forgets its start"}, {"sd of the memory u", sig(s.MemorySD), "0: the limit remembers nothing"}}}, tab, cut)
	switch {
	case s.MemorySD < 1e-8:
		r.summary = append(r.summary, "In the limit this network has no memory: its output is a function of the present input alone.")
	default:
		r.summary = append(r.summary, fmt.Sprintf("The memory forgets its start by a factor of at most %s a step and spreads by %s.", sig(s.Contraction), sig(s.MemorySD)))
	}
	if sim != nil {
		r.summary = append(r.summary, fmt.Sprintf("The mean of %s networks of width %s is %s from the limit (sampling alone: %s), and %s from a limit without memory.",
			grouped(c.Runs), grouped(width), sig(math.Sqrt(errWith)), sig(math.Sqrt(noise)), sig(math.Sqrt(errWithout))))
		if sim.Diverged > 0 {
			r.summary = append(r.summary, plural(sim.Diverged, "network")+" diverged.")
		}
	}
	if len(trunc.Rows) > 0 {
		r.summary = append(r.summary, fmt.Sprintf("Gradients truncated at the present step are off by %s; the bias falls by a factor of %s for each step more.", percent(trunc.Rows[0].Bias), sig(math.Exp(trunc.Decay.Slope))))
	}
	r.figures = []report.Figure{{Name: "series", Title: "Mean output on a test series", X: report.Axis{Label: "step"}, Y: report.Axis{Label: "output"}, Wide: true, Caption: "Bars are two standard errors of the simulated mean.", Series: []report.Series{
		{Name: "limit", Mark: report.Line, X: x, Y: predicted}, {Name: "limit without memory", Mark: report.Line, Dashed: true, Colour: 8, X: x, Y: forgetful},
		{Name: fmt.Sprintf("%d networks of width %d", c.Runs, width), Mark: report.Points, Colour: 1, X: x[:len(simulated)], Y: simulated, Low: lo, High: hi}}},
		{Name: "truncation", Title: "Bias of truncated gradients", X: report.Axis{Label: "steps back"}, Y: report.Axis{Label: "relative bias", Log: true}, Series: []report.Series{{Mark: report.Points, X: tau, Y: bias, Low: blo, High: bhi}, {Mark: report.Line, X: tau, Y: bias}}},
		{Name: "memory", Title: "Memory on the test series", X: report.Axis{Label: "step"}, Y: report.Axis{Label: "u"}, Series: []report.Series{{Mark: report.Line, X: x, Y: memory[burn:]}}}}
	if sim == nil {
		r.figures[0].Series = r.figures[0].Series[:2]
	}
	data := map[string]any{"contraction": num(s.Contraction), "memory_sd": num(s.MemorySD), "points": list, "label": string(s.Label),
		"truncation": map[string]any{"rows": trunc.Rows, "decay": num(math.Exp(trunc.Decay.Slope)), "contraction": num(trunc.Contraction), "label": string(trunc.Label)}}
	if sim != nil {
		data["error"], data["error_without_memory"], data["error_of_sampling"] = num(math.Sqrt(errWith)), num(math.Sqrt(errWithout)), num(math.Sqrt(noise))
		data["width"], data["runs"], data["diverged"] = width, c.Runs, sim.Diverged
	}
	r.data = data
	return a.give(c.answerFlags, r)
}

type limitsSGDCTCmd struct {
	answerFlags
	Hessian  string  `group:"Problem" placeholder:"H" help:"Of the averaged objective at its minimum: numbers of a row with commas, rows with ; between them (default 0.5, that of the check)."`
	Noise    string  `group:"Problem" placeholder:"h" help:"Covariance of the noise, alike (default: the Hessian, for a well-specified model)."`
	Constant float64 `group:"Problem" placeholder:"C" help:"Of the step C/(C0+t) (default: the best)."`
	Paths    int     `group:"Simulation" placeholder:"N" help:"Paths of the check on an Ornstein–Uhlenbeck process (default 500); 0: none." default:"500"`
	Time     float64 `group:"Simulation" placeholder:"T" help:"How long they are (default 200)."`
}

// Help shows the examples.
func (limitsSGDCTCmd) Help() string {
	return `Stochastic gradient descent in continuous time with steps C/(C0+t) comes to the minimum like 1/√t: √t (θ - θ*) has in the limit the covariance
V of a Lyapunov equation. The verb computes V, the best C, and the least C for which the theorem holds, and checks a scalar
Hessian by simulation.

Examples:

    descent limits sgdct
    descent limits sgdct --hessian 0.5 --constant 4 --paths 4000 --time 400
    descent limits sgdct --hessian "1,0.2;0.2,0.3" --noise "1,0;0,1" --paths 0`
}

// squareOf reads a square matrix.
func squareOf(flag, text string) (tensor.Tensor[float64], error) {
	var rows []any
	for _, line := range strings.Split(text, ";") {
		v, err := listOf(flag, line)
		if err != nil {
			return tensor.Tensor[float64]{}, err
		}
		var cells []any
		for _, x := range v {
			cells = append(cells, x)
		}
		rows = append(rows, cells)
	}
	m, err := rowsOf("--"+flag, rows)
	if err == nil && m.Shape().Rows() != m.Shape().Cols() {
		err = usage(fmt.Errorf("--%s: found a matrix of %d rows and %d columns, expected a square one\nhint: \"1,0.2;0.2,0.5\"", flag, m.Shape().Rows(), m.Shape().Cols()))
	}
	return m, err
}

// Run computes the covariance.
func (c *limitsSGDCTCmd) Run(a *app) error {
	if err := c.answerFlags.check(); err != nil {
		return err
	}
	h, err := squareOf("hessian", orElse(c.Hessian, "0.5"))
	if err != nil {
		return err
	}
	s := dynamics.SGDCT{H: h}
	if c.Noise != "" {
		if s.Noise, err = squareOf("noise", c.Noise); err != nil {
			return err
		}
		if s.Noise.Shape() != h.Shape() {
			return usage(fmt.Errorf("--noise: found a matrix of %s, expected %s as the Hessian\nhint: both are of the parameters", s.Noise.Shape(), h.Shape()))
		}
	}
	least, err := s.LeastConstant()
	if err != nil {
		return usage(err)
	}
	best, trace, err := s.BestConstant()
	if err != nil {
		return usage(err)
	}
	constant := orDefault(c.Constant, best)
	r := &answer{verb: "sgdct", title: "Stochastic gradient descent in continuous time"}
	r.settings = []report.Fact{{Name: "parameters", Value: grouped(h.Shape().Rows())}, {Name: "step", Value: fmt.Sprintf("C/(C₀+t) with C = %s", number(constant))}}
	v, err := s.Covariance(constant)
	data := map[string]any{"constant": constant, "best_constant": num(best), "best_trace": num(trace), "least_constant": num(least), "label": "theorem"}
	r.data = data
	if errors.Is(err, dynamics.ErrStep) {
		return usage(fmt.Errorf("--constant: C = %s, expected more than %s = 1/(2 λ_min): below, θ converges slower than 1/√t and there is no covariance\nhint: still holds: convergence itself; the best constant is %s", number(constant), sig(least), sig(best)))
	}
	if err != nil {
		return usage(err)
	}
	var now float64
	for i := range v.Shape().Rows() {
		now += v.At(i, i)
	}
	data["covariance"], data["trace"] = matrixOf(v), num(now)
	r.tables = append(r.tables, report.Table{Name: "Step constant", Head: []string{"", ">C", ">trace of V"}, Note: "Rests on: theorem (Sirignano and Spiliopoulos, arXiv 1710.04273); the formula for the best C derived.", Rows: [][]string{
		{"least", sig(least), "∞"}, {"best", sig(best), sig(trace)}, {"here", sig(constant), sig(now)}}})
	if n := v.Shape().Rows(); n <= 8 {
		t := report.Table{Name: "V, the covariance of √t (θ - θ*)"}
		for j := range n {
			t.Head = append(t.Head, fmt.Sprintf(">%d", j+1))
		}
		for i := range n {
			var cells []string
			for j := range n {
				cells = append(cells, sig(v.At(i, j)))
			}
			t.Rows = append(t.Rows, cells)
		}
		r.tables = append(r.tables, t)
	}
	r.summary = append(r.summary, fmt.Sprintf("With C = %s, √t (θ - θ*) has a covariance of trace %s; the best C, %s, has %s.", number(constant), sig(now), sig(best), sig(trace)))
	f := report.Figure{Name: "constant", Title: "Trace of V by step constant", X: report.Axis{Label: "C", Log: true}, Y: report.Axis{Label: "trace of V", Log: true}, Series: []report.Series{{Mark: report.Line}, {Name: "here", Mark: report.Points, Colour: 1, X: []float64{constant}, Y: []float64{now}}, {Name: "best", Mark: report.Points, Colour: 2, X: []float64{best}, Y: []float64{trace}}}}
	for i := range 60 {
		x := least * math.Pow(20, (float64(i)+1.5)/60)
		if w, err := s.Covariance(x); err == nil {
			sum := 0.0
			for j := range w.Shape().Rows() {
				sum += w.At(j, j)
			}
			f.Series[0].X, f.Series[0].Y = append(f.Series[0].X, x), append(f.Series[0].Y, sum)
		}
	}
	r.figures = append(r.figures, f)
	if c.Paths > 0 && h.Shape().Rows() == 1 && c.Noise == "" {
		ou := dynamics.OU{Theta: 1 / (2 * h.At(0, 0)), C: constant, C0: 20, Time: orDefault(c.Time, 200)}
		p := a.progress()
		p.update(-1, fmt.Sprintf("%d paths of an Ornstein–Uhlenbeck process", c.Paths))
		pool := c.pool()
		type measured struct{ value, want, se, mean float64 }
		m, err := await(a, func() (measured, error) {
			row, mean, err := ou.Simulate(pool, tensor.KeyOf(c.Seed), c.Paths)
			return measured{row.Measured, row.Expected, row.SE, mean}, err
		})
		if err != nil {
			return usage(err)
		}
		p.clear()
		data["simulated"] = map[string]any{"scaled_variance": num(m.value), "se": num(m.se), "expected": num(m.want), "mean_error": num(m.mean), "paths": c.Paths, "time": ou.Time}
		r.tables = append(r.tables, report.Table{Name: "Simulation", Head: []string{"", ">limit", ">simulated"}, Note: "An Ornstein–Uhlenbeck process whose drift is estimated online; the limit is that of long times.",
			Rows: [][]string{{fmt.Sprintf("(C₀+t) Var θ at t = %s", number(ou.Time)), sig(m.want), plusMinus(m.value, m.se)}}})
	}
	return a.give(c.answerFlags, r)
}

// openGraph reads a graph as node features and edges.
func openGraph(name, dir string) (tensor.Tensor[float64], [][2]int, []int32, error) {
	g, err := dataset.OpenGraph(strings.TrimPrefix(name, "graph:"), dataset.Options{Dir: dir})
	if err != nil {
		return tensor.Tensor[float64]{}, nil, nil, err
	}
	n := g.Nodes()
	x := tensor.New[float64](n, g.Features)
	var edges [][2]int
	for i := range n {
		for e := g.Start[i]; e < g.Start[i+1]; e++ {
			x.Set(g.Value[e], i, int(g.Column[e]))
		}
		for e := g.First[i]; e < g.First[i+1]; e++ {
			if j := int(g.Neighbours[e]); j > i {
				edges = append(edges, [2]int{i, j})
			}
		}
	}
	return x, edges, g.Labels, nil
}
