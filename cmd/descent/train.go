package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/train"
	"github.com/goccy/go-yaml"
)

type trainCmd struct {
	dataFlags
	modelFlags
	Method   string   `group:"Training" placeholder:"NAME" help:"Training method (default adam); descent list methods shows all."`
	Set      []string `group:"Training" placeholder:"SETTING=VALUE" sep:"none" help:"A setting of the method; may be repeated."`
	Rule     string   `name:"parametrization" group:"Training" placeholder:"RULE" help:"How rates and initial scales depend on the width: standard (default), mup[@BASE], ntk or gamma:G,...; descent limits rates shows them."`
	Seed     *uint64  `group:"Training" placeholder:"N" help:"Of the initial parameters, the batches and dropout (default 0)."`
	Target   string   `group:"Length" placeholder:"METRIC=VALUE" help:"Stop when it is met, such as test_accuracy=0.97."`
	Patience int      `group:"Length" placeholder:"N" help:"Stop after N evaluations without a better validation loss."`
	Guard    string   `group:"Training" placeholder:"POLICY" help:"At a step that is not finite: skip (default), shrink, rewind or stop."`
	Config   string   `group:"Training" placeholder:"FILE" help:"YAML file with the fields of the configuration; options win over it."`
	Out      string   `group:"Output" placeholder:"DIR" help:"Run folder, which must not hold a run (default runs/DATA-METHOD-N)."`
	JSON     bool     `group:"Output" help:"Print one JSON object."`
}

// Help shows the examples.
func (trainCmd) Help() string {
	return `The run folder keeps everything: settings, log, checkpoints, report. A stopped run (Ctrl-C saves first) goes on with
descent resume.

Examples:

    descent train
    descent train --data mnist --model lenet5 --method adam --set lr=0.002 --epochs 5
    descent train --data table.csv --label price --model mlp:64 --method adamw
    descent train --method momentum --schedule warmup:0.05,cosine --budget 60s
    descent train --method kfac --probe curvature
    descent train --method sgd --model mlp:1024 --parametrization mup@64
    descent train --config run.yaml --json`
}

// Run trains a model.
func (c *trainCmd) Run(a *app) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	if err := checkNames(config); err != nil {
		return err
	}
	if err := config.Validate(); err != nil {
		return usage(err)
	}
	out := c.Out
	if out == "" {
		out = numbered(filepath.Join("runs", folderName(config.Data)+"-"+config.Method))
	}
	settings, err := settingsTable(config)
	if err != nil {
		return usage(err)
	}
	a.say("%s\n%s\n", a.bold(fmt.Sprintf("%s on %s", config.Method, config.Data)), settings)
	p := a.progress()
	result, err := train.Run(a.ctx, config, train.Options{Out: out, Version: version(), Progress: runProgress(a, p)})
	p.clear()
	if err != nil {
		return err
	}
	return a.finish(result, c.JSON)
}

// config reads the file, if one is given, and puts the options over it.
func (c *trainCmd) config() (train.Config, error) {
	var config train.Config
	if c.Config != "" {
		b, err := os.ReadFile(c.Config)
		if err != nil {
			return config, usage(fmt.Errorf("--config: %w\nhint: name a YAML file that is there", err))
		}
		if err := yaml.UnmarshalWithOptions(b, &config, yaml.Strict()); err != nil {
			return config, usage(fmt.Errorf("--config %s: %s\nhint: descent train --help names the fields as options; nested ones are guard, early_stop, eval and save", c.Config, yaml.FormatError(err, false, true)))
		}
	}
	c.dataFlags.overlay(&config)
	c.modelFlags.overlay(&config)
	if c.Method != "" {
		names, err := expandMethods([]string{c.Method})
		if err != nil {
			return config, err
		}
		if len(names) != 1 {
			return config, usage(fmt.Errorf("--method %s names %d methods\nhint: descent compare --methods '%s' compares them", c.Method, len(names), c.Method))
		}
		config.Method = names[0]
	}
	set(&config.Parametrization, c.Rule)
	set(&config.Guard.Policy, c.Guard)
	set(&config.EarlyStop.Patience, c.Patience)
	if c.Seed != nil {
		config.Seed = *c.Seed
	}
	if c.Target != "" {
		t, err := train.ParseTarget(c.Target)
		if err != nil {
			return config, usage(err)
		}
		config.Target = t
	}
	settings, err := parseSettings(c.Set)
	if err != nil {
		return config, err
	}
	if config.Settings == nil {
		config.Settings = settings
	} else {
		for k, v := range settings {
			config.Settings[k] = v
		}
	}
	config.Method = orElse(config.Method, "adam")
	complete(&config, false)
	return config, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// numbered returns the first of base-1, base-2, … that does not exist.
func numbered(base string) string {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%d", base, n)
		if _, err := os.Lstat(name); os.IsNotExist(err) {
			return name
		}
	}
}

// settingsTable shows every setting in force.
func settingsTable(c train.Config) (string, error) {
	spec, err := catalogue.Lookup[float32](c.Method)
	if err != nil {
		return "", err
	}
	full, err := spec.Complete(c.Settings)
	if err != nil {
		return "", err
	}
	c = c.WithDefaults()
	rows := [][]string{{"model", c.Model, orElse(c.Activation, "default activation") + ", " + orElse(c.Init, "default") + " initialisation, " + orElse(c.Loss, "fitting") + " loss"}}
	rows = append(rows, []string{"length", length(c), ""},
		[]string{"batch", strconv.Itoa(c.Batch), "examples"},
		[]string{"seed", strconv.FormatUint(c.Seed, 10), ""},
		[]string{"numbers", c.DType, ""})
	if c.Parametrization != "" {
		rows = append(rows, []string{"rule", c.Parametrization, "of rates and initial scales by width; descent limits rates shows it"})
	}
	if c.Schedule != "" {
		rows = append(rows, []string{"schedule", c.Schedule, "of the learning rate"})
	}
	if c.Target.Metric != "" {
		rows = append(rows, []string{"target", c.Target.Metric + "=" + number(c.Target.Value), "stops the run"})
	}
	if c.EarlyStop.Patience > 0 {
		rows = append(rows, []string{"patience", strconv.Itoa(c.EarlyStop.Patience), "evaluations without a better validation loss"})
	}
	if c.Probe.Kind != "" {
		rows = append(rows, []string{"probe", c.Probe.Kind, probeText(c.Probe)})
	}
	rows = append(rows, []string{"guard", c.Guard.Policy, fmt.Sprintf("steps that are not finite; diverged after %d in a row", c.Guard.Limit)})
	for _, s := range spec.Settings {
		note := s.Doc
		if full[s.Name] != s.Default {
			note = fmt.Sprintf("%s (default %s)", s.Doc, number(s.Default))
		}
		rows = append(rows, []string{s.Name, strconv.FormatFloat(full[s.Name], 'g', -1, 64), note})
	}
	return indent(table([]string{"", "", ""}, rows), "  "), nil
}

// runProgress shows one run as it goes on: a line for an evaluation now and then, and one for what is happening.
func runProgress(a *app, p *progress) func(train.Event) {
	var lastEval time.Time
	head := false
	return func(e train.Event) {
		switch e.Kind {
		case train.EventStep:
			if !p.due() {
				return
			}
			fraction := -1.0
			text := fmt.Sprintf("step %d", e.Step)
			if e.Steps > 0 {
				fraction = float64(e.Step) / float64(e.Steps)
				text = fmt.Sprintf("step %d/%d", e.Step, e.Steps)
			}
			if e.Epochs > 0 {
				text += fmt.Sprintf("  epoch %d/%d", min(e.Epoch+1, e.Epochs), e.Epochs)
			}
			if isFinite(e.Loss) {
				text += fmt.Sprintf("  loss %.4g", e.Loss)
			}
			if e.ETA > 0 {
				text += "  " + duration(e.ETA) + " left"
			}
			p.update(fraction, text)
		case train.EventEval:
			v := e.Eval
			// A line an evaluation, at most two in a second.
			if v == nil || time.Since(lastEval) < 500*time.Millisecond && e.Steps != e.Step {
				return
			}
			lastEval = time.Now()
			kind := "accuracy"
			if !isFinite(v.Train.Accuracy) && !isFinite(v.Test.Accuracy) {
				kind = "rmse"
			}
			if !head {
				head = true
				p.line(a.faint(fmt.Sprintf("%8s %6s %9s  %10s %10s %10s  %12s %12s", "step", "epoch", "seconds", "train loss", "val loss", "test loss", "val "+kind, "test "+kind)))
			}
			p.line(fmt.Sprintf("%8d %6d %9s  %10s %10s %10s  %12s %12s", v.Step, v.Epoch, secondsText(v.Seconds),
				number(v.Train.Loss), number(v.Val.Loss), number(v.Test.Loss),
				metricText(kind, v.Metric("val_"+kind)), metricText(kind, v.Metric("test_"+kind))))
		case train.EventProbe:
			p.line(a.faint(probeLine(e.Probe)))
		case train.EventWarning:
			p.line(a.red("warning:") + " " + e.Message)
		}
	}
}

// finish prints the end of a run and writes its report.
func (a *app) finish(r *train.Result, asJSON bool) error {
	if r.Run != "" {
		page, err := runsPage([]string{r.Run})
		if err == nil {
			err = writePage(filepath.Join(r.Run, "report.html"), page)
		}
		if err != nil {
			// The run itself is safe: its report can be made again.
			a.say("%s report: %v\n", a.red("warning:"), err)
		}
	}
	if asJSON {
		if err := a.json(r); err != nil {
			return err
		}
	} else {
		a.printf("\n%s", fullReport(r))
	}
	if r.Run != "" {
		dir := quoted(shown(r.Run))
		if r.Status == train.Stopped {
			a.say("%s descent resume %s\n", a.bold("go on with:"), dir)
		} else {
			a.say("%s %s\n", a.bold("report:"), shown(filepath.Join(r.Run, "report.html")))
		}
	}
	if r.Status == train.Stopped && a.ctx.Err() != nil {
		return errStopped
	}
	if r.Status == train.Diverged {
		hint := "a smaller learning rate, --guard rewind or --set clip-norm=1 may help"
		if r.Run != "" {
			hint += "; see divergence.json in " + shown(r.Run)
		}
		return fmt.Errorf("the run diverged: %s\nhint: %s", orElse(r.Reason, "loss or gradient not finite"), hint)
	}
	return nil
}

// fullReport says everything about a run that ended.
func fullReport(r *train.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s: %s", r.Method, r.Data, r.Status)
	if r.Reason != "" {
		fmt.Fprintf(&b, " (%s)", r.Reason)
	}
	b.WriteString("\n\n")
	b.WriteString(indent(qualityTable(&train.Evaluation{Train: r.Train, Val: r.Val, Test: r.Test}), "  "))
	other := r.WallSeconds - r.TrainSeconds - r.EvalSeconds - r.ProbeSeconds
	probes := ""
	if n := len(r.Probes); n > 0 {
		b.WriteString("\n" + indent(probeTable(&r.Probes[0], &r.Probes[n-1]), "  "))
		probes = fmt.Sprintf(" + %s %s", plural(n, "probe"), secondsText(r.ProbeSeconds))
	}
	rows := [][]string{
		{"model", fmt.Sprintf("%s, %s parameters, %s loss, %s", r.Model, grouped(r.Parameters), r.Loss, r.DType)},
		{"settings", settingsText(inUse(r.Method, r.Settings))},
		{"steps", fmt.Sprintf("%s in %s, %s examples, batch %d, seed %d", grouped(r.Steps), plural(r.Epochs, "epoch"), grouped(r.Examples), r.Batch, r.Seed)},
		{"evaluations", fmt.Sprintf("%s gradients, %s values, %s products; %s skipped", grouped(r.Gradients), grouped(r.Values), grouped(r.Products), plural(int(r.SkippedSteps), "step"))},
		{"time", fmt.Sprintf("%s s = training %s + evaluation %s%s + other %s; CPU %s s", secondsText(r.WallSeconds), secondsText(r.TrainSeconds), secondsText(r.EvalSeconds), probes, secondsText(other), secondsText(r.CPUSeconds))},
		{"speed", fmt.Sprintf("%s steps a second", number(r.StepsPerSecond))},
		{"memory", byteSize(float64(r.PeakMemoryBytes)) + " at the peak"},
		{"sha-256", r.ParamsSHA256},
	}
	if h := r.Target; h != nil {
		rows = append(rows, []string{"target", fmt.Sprintf("%s %s at step %s, epoch %d, %s s", metricName(h.Metric), metricText(h.Metric, h.Value), grouped(h.Step), h.Epoch, secondsText(h.Seconds))})
	}
	for _, x := range r.Extra {
		rows = append(rows, []string{x.Name, number(x.Value)})
	}
	if r.Run != "" {
		rows = append(rows, []string{"folder", shown(r.Run)})
	}
	b.WriteString("\n" + indent(table([]string{"", ""}, rows), "  "))
	return b.String()
}

// inUse leaves out the settings common to all methods that have their defaults.
func inUse(method string, settings map[string]float64) map[string]float64 {
	spec, err := catalogue.Lookup[float32](method)
	if err != nil {
		return settings
	}
	kept := map[string]float64{}
	for k, v := range settings {
		if s, ok := spec.Setting(k); !ok || !s.Common || v != s.Default {
			kept[k] = v
		}
	}
	return kept
}

// qualityTable shows an evaluation: a line a measure, a column a part of the data.
func qualityTable(e *train.Evaluation) string {
	var rows [][]string
	add := func(name, kind string, train, val, test float64) {
		if isFinite(train) || isFinite(val) || isFinite(test) {
			rows = append(rows, []string{name, metricText(kind, train), metricText(kind, val), metricText(kind, test)})
		}
	}
	add("loss", "", e.Train.Loss, e.Val.Loss, e.Test.Loss)
	add("accuracy", "accuracy", e.Train.Accuracy, e.Val.Accuracy, e.Test.Accuracy)
	add("rmse", "", e.Train.RMSE, e.Val.RMSE, e.Test.RMSE)
	add("calibration error", "", e.Train.Calibration, e.Val.Calibration, e.Test.Calibration)
	return table([]string{"", ">training", ">validation", ">test"}, rows)
}
