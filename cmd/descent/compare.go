package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/descent-ml/descent/bench"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/train"
)

// lineup is compared when no methods are named.
const lineup = "sgd,momentum,nesterov,adagrad,rmsprop,adam,adamw,lion,schedule-free-adamw,bnp-momentum,kfac,rs-kfac,soap,muon,dladmm"

type compareCmd struct {
	dataFlags
	modelFlags
	Methods  []string      `group:"Comparison" placeholder:"NAMES" help:"Methods, with commas; patterns such as ada*, family:curvature (first-order, matrix) and 'all' are expanded, and leave out what refuses the model (default ${lineup})."`
	Set      []string      `group:"Comparison" placeholder:"[METHOD.]SETTING=VALUE" sep:"none" help:"A setting of one method, or of all."`
	Seeds    int           `group:"Comparison" default:"3" help:"Number of seeds."`
	Seed     uint64        `group:"Comparison" default:"0" help:"First seed."`
	Target   string        `group:"Comparison" placeholder:"METRIC=VALUE" help:"Report when each run first met it, such as test_accuracy=0.97."`
	Tune     int           `group:"Comparison" placeholder:"N" help:"Search each method's learning rate first, with N trials each, on the validation part."`
	TuneSeed uint64        `group:"Comparison" default:"1000" help:"Seed of the trials."`
	TuneGrid bool          `group:"Comparison" help:"Trials on a logarithmic grid instead of quasi-random points."`
	Timeout  time.Duration `group:"Comparison" placeholder:"TIME" help:"Limit of one run, such as 5m."`
	Out      string        `group:"Output" placeholder:"DIR" help:"Folder; runs that are finished there are not run again (default runs/compare-DATA-N)."`
	JSON     bool          `group:"Output" help:"Print one JSON object."`
}

// Help shows the examples.
func (compareCmd) Help() string {
	return `All methods train the same model from the same initial parameters on the same batches, once for each seed.
They are ranked by the median of the final test accuracy (or error). The report is one HTML file.

Examples:

    descent compare
    descent compare --methods sgd,adam,lion --seeds 5 --epochs 30
    descent compare --methods 'ada*' --data wine --set adam.lr=0.003
    descent compare --methods family:curvature,adam --probe curvature
    descent compare --target test_accuracy=0.97 --tune 8
    descent compare --data mnist --budget 60s --out runs/mnist`
}

// Run carries out the comparison.
func (c *compareCmd) Run(a *app) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	base := config.Base
	if err := checkNames(base); err != nil {
		return err
	}
	if err := config.Validate(); err != nil {
		return usage(err)
	}
	info, model, parameters, err := describeTask(base)
	if err != nil {
		return err
	}
	if err := c.leaveOut(a, &config); err != nil {
		return err
	}
	if config.Out == "" {
		config.Out = numbered(filepath.Join("runs", "compare-"+folderName(base.Data)))
	}
	a.say("%s on %s: %s, %s parameters, batch %d, %s, %s\n", a.bold(plural(len(config.Methods), "method")), base.Data, base.Model, grouped(parameters),
		base.Batch, length(base), plural(len(config.Seeds), "seed"))
	if n := config.Tuning.Trials; n > 0 {
		a.say("tuning first: %d trials of the learning rate for each method, judged on the validation part\n", n)
	}
	p := a.progress()
	result, err := bench.Compare(a.ctx, config, comparisonProgress(a, p, config))
	p.clear()
	if err != nil {
		return err
	}
	result.Command = c.command(config)
	result.Machine, result.DataInfo, result.ModelInfo = machineFacts(), info, model
	if err := result.Write(config.Out); err != nil {
		return err
	}
	page := filepath.Join(config.Out, "report.html")
	if err := writePage(page, pageOf(result)); err != nil {
		return err
	}
	if c.JSON {
		if err := a.json(summaryOf(result)); err != nil {
			return err
		}
	} else {
		a.printf("\n%s", leaderboard(result))
	}
	a.say("\nreport: %s\n", shown(page))
	if a.ctx.Err() != nil {
		a.say("%s the finished runs are kept; the same command with --out %s goes on\n", a.bold("hint:"), shown(config.Out))
		return errStopped
	}
	return nil
}

// config turns the options into a comparison.
func (c *compareCmd) config() (bench.Config, error) {
	b := bench.Config{Timeout: c.Timeout, Out: c.Out, Version: version(),
		Tuning: bench.Tuning{Trials: c.Tune, Seed: c.TuneSeed, Grid: c.TuneGrid}}
	c.dataFlags.overlay(&b.Base)
	c.modelFlags.overlay(&b.Base)
	complete(&b.Base, true)
	if c.Tune > 0 && b.Base.Val == 0 {
		b.Base.Val = 0.1 // trials are judged on it
	}
	wanted := c.Methods
	if len(wanted) == 0 {
		wanted = strings.Split(lineup, ",")
	}
	names, err := expandMethods(wanted)
	if err != nil {
		return b, err
	}
	settings, err := parseSettings(c.Set)
	if err != nil {
		return b, err
	}
	for k := range settings {
		m, _, particular := strings.Cut(k, ".")
		if particular && !contains(names, m) {
			return b, usage(fmt.Errorf("--set %s: method %s is not compared\nhint: the line-up is %s", k, m, strings.Join(names, ", ")))
		}
	}
	for _, n := range names {
		b.Methods = append(b.Methods, bench.Method{Name: n, Settings: settingsOf(n, settings)})
	}
	if c.Seeds < 1 || c.Seeds > 10000 {
		return b, usage(fmt.Errorf("--seeds: found %d, expected 1 to 10000\nhint: three seeds show a spread, five an interval", c.Seeds))
	}
	for s := range c.Seeds {
		b.Seeds = append(b.Seeds, c.Seed+uint64(s))
	}
	if c.Target != "" {
		if b.Target, err = train.ParseTarget(c.Target); err != nil {
			return b, usage(err)
		}
	}
	return b, nil
}

// leaveOut takes methods out of the line-up that came from a pattern and refuse the model or the loss, and says so. One that was named
// is left in: its refusal is the user's to see.
func (c *compareCmd) leaveOut(a *app, b *bench.Config) error {
	var runs []train.Config
	var at []int
	for i, m := range b.Methods {
		if len(c.Methods) == 0 || contains(c.Methods, m.Name) {
			continue
		}
		run := b.Base
		run.Method, run.Settings = m.Name, m.Settings
		runs, at = append(runs, run), append(at, i)
	}
	refusals, err := train.Refusals(runs)
	if err != nil {
		return err
	}
	out := map[int]bool{}
	for k, err := range refusals {
		if err == nil {
			continue
		}
		out[at[k]] = true
		text, _, _ := strings.Cut(err.Error(), "\n")
		a.say("left out: %s: %s\n", b.Methods[at[k]].Name, text)
	}
	var kept []bench.Method
	for i, m := range b.Methods {
		if !out[i] {
			kept = append(kept, m)
		}
	}
	if len(kept) == 0 {
		return usage(fmt.Errorf("no method of %s takes %s on %s\nhint: descent list methods shows all of them", strings.Join(c.Methods, ","), b.Base.Model, b.Base.Data))
	}
	b.Methods = kept
	return nil
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// length says how long a run is.
func length(c train.Config) string {
	var parts []string
	if c.Epochs > 0 {
		parts = append(parts, plural(c.Epochs, "epoch"))
	}
	if c.Steps > 0 {
		parts = append(parts, plural(int(c.Steps), "step"))
	}
	if c.Budget > 0 {
		parts = append(parts, number(c.Budget)+" s of training")
	}
	return strings.Join(parts, ", at most ")
}

// folderName makes a name for a folder of a data set or a file.
func folderName(data string) string {
	base := strings.ToLower(filepath.Base(data))
	base, _, _ = strings.Cut(base, ".")
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, base)
}

// command writes the command line that repeats the comparison with its defaults spelled out.
func (c *compareCmd) command(b bench.Config) string {
	s := []string{"descent compare", "--data " + quoted(b.Base.Data), "--model " + b.Base.Model}
	var names []string
	for _, m := range b.Methods {
		names = append(names, m.Name)
	}
	s = append(s, "--methods "+strings.Join(names, ","), fmt.Sprintf("--seeds %d", len(b.Seeds)))
	add := func(flag string, given bool, value any) {
		if given {
			s = append(s, fmt.Sprintf("--%s %v", flag, value))
		}
	}
	add("seed", c.Seed != 0, c.Seed)
	add("epochs", b.Base.Epochs != 0, b.Base.Epochs)
	add("steps", b.Base.Steps != 0, b.Base.Steps)
	add("budget", c.Budget != 0, c.Budget)
	add("batch", true, b.Base.Batch)
	add("label", c.Label != "", quoted(c.Label))
	add("val", c.Val != 0, c.Val)
	add("hops", c.Hops != 0, c.Hops)
	add("operator", c.Operator != "", c.Operator)
	add("activation", c.Activation != "", c.Activation)
	add("init", c.Init != "", c.Init)
	add("loss", c.Loss != "", c.Loss)
	add("schedule", c.Schedule != "", quoted(c.Schedule))
	add("dtype", c.Dtype != "", c.Dtype)
	add("workers", c.Workers != 0, c.Workers)
	if b.Base.Probe.Kind != "" {
		probe := b.Base.Probe.Kind
		if n := b.Base.Probe.Every; n > 0 {
			probe = fmt.Sprintf("%s:%d", probe, n)
		}
		add("probe", true, probe)
	}
	for _, v := range c.Set {
		s = append(s, "--set "+quoted(v))
	}
	add("target", c.Target != "", c.Target)
	add("timeout", c.Timeout != 0, c.Timeout)
	if c.Tune > 0 {
		add("tune", true, c.Tune)
		add("tune-seed", c.TuneSeed != 1000, c.TuneSeed)
		if c.TuneGrid {
			s = append(s, "--tune-grid")
		}
	}
	return strings.Join(s, " ")
}

// quoted quotes a word for the shell if it needs it.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=+@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// describeTask opens the data and builds the model once, so that what does not fit is said before anything runs, and returns
// what the report says about them.
func describeTask(c train.Config) (data, model []bench.Fact, parameters int, err error) {
	val := c.Val
	if val == 0 {
		val = -1 // as package train does where nothing looks at it
	}
	set, err := dataset.Open(c.Data, c.DataOptions(val))
	if err != nil {
		return nil, nil, 0, err
	}
	info, err := nn.Describe(c.Model)
	if err != nil {
		return nil, nil, 0, usage(err)
	}
	if info.Reconstructs {
		set = set.AsReconstruction()
	}
	m, err := nn.Build[float32](c.Model, nn.Options{Input: set.Input, Outputs: set.Outputs, Activation: c.Activation, Init: c.Init})
	if err != nil {
		return nil, nil, 0, usage(err)
	}
	task := set.Task.String()
	if set.Classes > 0 {
		task = fmt.Sprintf("%s, %d classes", task, set.Classes)
	}
	data = []bench.Fact{{Name: "Name", Value: set.Name + ": " + set.Title}, {Name: "Task", Value: task}, {Name: "Example", Value: set.Input.String()},
		{Name: "Parts", Value: fmt.Sprintf("training %s, validation %s, test %s", grouped(set.Train.Len()), grouped(set.Val.Len()), grouped(set.Test.Len()))},
		{Name: "Split", Value: set.Split}, {Name: "Source", Value: set.Source}, {Name: "Licence", Value: set.Licence}}
	if i, err := dataset.Describe(c.Data, c.DataDir); err == nil {
		for _, f := range i.Files {
			if f.Present && f.SHA256 != "" {
				data = append(data, bench.Fact{Name: "SHA-256 of " + filepath.Base(f.Path), Value: f.SHA256})
			}
		}
	}
	parameters = m.Layout().Size()
	model = []bench.Fact{{Name: "Model", Value: c.Model + ": " + info.Title}, {Name: "Parameters", Value: grouped(parameters)}}
	for i := range m.Layout().Len() {
		p := m.Layout().At(i)
		model = append(model, bench.Fact{Name: p.Name, Value: fmt.Sprintf("%v, %s", p.Shape, grouped(p.Shape.Size()))})
	}
	return data, model, parameters, nil
}

func machineFacts() []bench.Fact {
	m := thisMachine()
	facts := []bench.Fact{{Name: "System", Value: m.System}}
	if m.Processor != "" {
		facts = append(facts, bench.Fact{Name: "Processor", Value: m.Processor})
	}
	facts = append(facts, bench.Fact{Name: "Cores", Value: fmt.Sprintf("%d, of which %d used", m.Cores, m.GOMAXPROCS)},
		bench.Fact{Name: "Kernels", Value: m.SIMD})
	if m.Memory > 0 {
		facts = append(facts, bench.Fact{Name: "Memory", Value: byteSize(float64(m.Memory))})
	}
	return append(facts, bench.Fact{Name: "Go", Value: m.Go}, bench.Fact{Name: "descent", Value: version()})
}

// comparisonProgress shows a comparison as it goes on: a line for every run that ended, and one for what is running.
func comparisonProgress(a *app, p *progress, c bench.Config) func(bench.Event) {
	start := time.Now()
	name := 0
	for _, m := range c.Methods {
		name = max(name, len(m.Name))
	}
	ran := 0
	return func(e bench.Event) {
		label := fmt.Sprintf("%-*s seed %d", name, e.Method, e.Seed)
		if e.Trial {
			label = fmt.Sprintf("%-*s trial ", name, e.Method)
		}
		switch e.Kind {
		case bench.Progress:
			if !p.due() || e.Train == nil {
				return
			}
			part := 0.0
			if e.Train.Steps > 0 {
				part = float64(e.Train.Step) / float64(e.Train.Steps)
			} else if c.Base.Budget > 0 {
				part = min(1, e.Train.Elapsed.Seconds()/c.Base.Budget)
			}
			fraction := (float64(e.Cell-1) + part) / float64(e.Cells)
			text := fmt.Sprintf("%d/%d %s", e.Cell, e.Cells, label)
			if e.Train.Epochs > 0 {
				text += fmt.Sprintf("  epoch %d/%d", min(e.Train.Epoch+1, e.Train.Epochs), e.Train.Epochs)
			}
			if isFinite(e.Train.Loss) {
				text += fmt.Sprintf("  loss %.4g", e.Train.Loss)
			}
			if done := float64(ran) + part; done > 0.2 {
				left := time.Since(start).Seconds() / done * (float64(e.Cells-e.Cell+1) - part)
				text += "  " + duration(time.Duration(left*float64(time.Second))) + " left"
			}
			p.update(fraction, text)
		case bench.Done:
			r := &e.Result.Result
			if !e.Result.Reused {
				ran++
			}
			metric, value := lastMetric(r, e.Trial)
			text := fmt.Sprintf("%*d/%d %s  %-8s  %s s", len(fmt.Sprint(e.Cells)), e.Cell, e.Cells, label, metricText(metric, value), secondsText(r.WallSeconds))
			if e.Trial {
				text += fmt.Sprintf("  lr=%.4g", r.Settings["lr"])
			}
			switch {
			case e.Result.Reused:
				text += "  " + a.faint("kept from before")
			case r.Status == train.Diverged || r.Status == bench.Failed || r.Status == bench.TimeOut:
				text += "  " + a.red(string(r.Status)) + " " + r.Reason
			case r.Status != train.Completed:
				text += "  " + string(r.Status)
			}
			if h := r.Target; h != nil {
				text += fmt.Sprintf("  target at step %d", h.Step)
			}
			p.line(text)
		}
	}
}

// lastMetric returns the metric of a run that matters: test, of a trial validation.
func lastMetric(r *train.Result, trial bool) (string, float64) {
	e := train.Evaluation{Train: r.Train, Val: r.Val, Test: r.Test}
	split := "test"
	if trial {
		split = "val"
	}
	for _, m := range []string{split + "_accuracy", split + "_rmse", split + "_loss", "train_loss"} {
		if v := e.Metric(m); isFinite(v) {
			return m, v
		}
	}
	return "", e.Metric("")
}

// leaderboard is the ranking as a table.
func leaderboard(c *bench.Comparison) string {
	metric := metricName(c.Metric)
	head := []string{">#", "method", ">" + metric, ">least", ">greatest"}
	interval := len(c.Ranking) > 0 && c.Ranking[0].Interval != nil
	if interval {
		head = append(head, "95 % interval")
	}
	head = append(head, ">wall s", ">CPU s", ">steps")
	if c.Target != nil {
		head = append(head, ">s to target", ">steps to target", ">epochs to target")
	}
	if len(c.Tuning) > 0 {
		head = append(head, ">lr", ">trials", ">tuning s")
	}
	head = append(head, "status")
	var rows [][]string
	for _, r := range c.Ranking {
		rank := "–"
		if r.Rank > 0 {
			rank = fmt.Sprint(r.Rank)
		}
		row := []string{rank, r.Method, metricText(c.Metric, float64(r.Median)), metricText(c.Metric, float64(r.Low)), metricText(c.Metric, float64(r.High))}
		if interval && r.Interval != nil {
			row = append(row, metricText(c.Metric, float64(r.Interval[0]))+" … "+metricText(c.Metric, float64(r.Interval[1])))
		} else if interval {
			row = append(row, "–")
		}
		row = append(row, secondsText(float64(r.WallSeconds)), secondsText(float64(r.CPUSeconds)), fmt.Sprintf("%.0f", float64(r.Steps)))
		if !isFinite(float64(r.Steps)) {
			row[len(row)-1] = "–"
		}
		if c.Target != nil {
			row = append(row, hitText(r.SecondsToTarget, secondsText), hitText(r.StepsToTarget, number), hitText(r.EpochsToTarget, number))
		}
		if s := c.Tuning[r.Method]; s != nil {
			row = append(row, number(float64(s.Chosen)), fmt.Sprint(r.Trials), secondsText(float64(s.Seconds)))
		} else if len(c.Tuning) > 0 {
			row = append(row, "–", "–", "–")
		}
		rows = append(rows, append(row, r.Status()))
	}
	text := table(head, rows)
	if c.Partial != "" {
		text += "\n" + c.Partial + "\n"
	}
	return text
}

func hitText(v *bench.Number, format func(float64) string) string {
	if v == nil {
		return "–"
	}
	return format(float64(*v))
}

// summaryOf is the comparison as printed: without the curves, which compare.json has.
func summaryOf(c *bench.Comparison) *bench.Comparison {
	s := *c
	s.Results = append([]bench.Cell{}, c.Results...)
	for i := range s.Results {
		s.Results[i].Points = nil
	}
	return &s
}

// writePage writes a report, whole or not at all.
func writePage(path string, p *report.Page) error {
	var b strings.Builder
	if err := p.Write(&b); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return bench.WriteFile(path, []byte(b.String()))
}
