package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/bench"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/tensor"
)

// limitsCmd is the family of verbs on networks of great width.
type limitsCmd struct {
	Rates    limitsRatesCmd    `cmd:"" help:"Learning rate and initial scale of every tensor at a width."`
	Predict  limitsPredictCmd  `cmd:"" help:"Loss and outputs with error bars, without training."`
	Width    limitsWidthCmd    `cmd:"" help:"The smallest width for a tolerance, and the cheapest width and batch."`
	Batch    limitsBatchCmd    `cmd:"" help:"What batches are good for, and the largest stable rate."`
	Simulate limitsSimulateCmd `cmd:"" help:"Train many networks and compare their law with the prediction."`
	Check    limitsCheckCmd    `cmd:"" help:"Measure the theory: slopes, Gaussianity, covariance, coverage; a verdict a row."`
	Tail     limitsTailCmd     `cmd:"" help:"The probability of a rare output, and how it comes about."`
	Kernel   limitsKernelCmd   `cmd:"" help:"Kernels of wide and of trained networks: spectrum, time to fit, drift."`
	Coord    limitsCoordCmd    `cmd:"" help:"Coordinate check: what grows or vanishes with the width of a real model."`
	RNN      limitsRNNCmd      `cmd:"" name:"rnn" help:"The limit of recurrent networks, with the memory warning."`
	Graph    limitsGraphCmd    `cmd:"" help:"The kernel of graph convolutions, and where depth makes nodes alike."`
	Sgdct    limitsSGDCTCmd    `cmd:"" help:"Stochastic gradient descent in continuous time: covariance and best step constant."`
	Select   limitsSelectCmd   `cmd:"" help:"Choose exponent, width, batch and rate for a budget, and verify by training."`
}

// Help shows where to start.
func (limitsCmd) Help() string {
	return `Limits say before training what a wide network will do, and how far single networks lie apart. Every verb runs as it stands
on a built-in problem (eight points of a sine); --problem FILE, --data and further options put another in its place.

Every result says what it rests on: a theorem, a derivation confirmed by simulation, or a measurement. Assumptions that do not
hold are named, with what still holds.

Examples:

    descent limits predict
    descent limits simulate --width 100 --runs 2000 --report simulate.html
    descent limits width --tolerance 0.05
    descent limits rates --model mlp:256,256 --parametrization mup@64
    descent limits coord --model mlp:64 --parametrization gamma:0.5,1`
}

// answerFlags say where the answer goes.
type answerFlags struct {
	Seed    uint64 `group:"Output" placeholder:"N" help:"Of everything random (default 0)."`
	Workers int    `group:"Output" placeholder:"N" help:"Threads; the result does not depend on it (default: all processors)."`
	Report  string `group:"Output" placeholder:"FILE" help:"Write a page with drawings to this .html file."`
	Figures string `group:"Output" placeholder:"DIR" help:"Write the drawings as .svg files to this folder."`
	JSON    bool   `group:"Output" help:"Print one JSON object."`
}

// pool returns the workers.
func (f answerFlags) pool() *tensor.Pool { return tensor.NewPool(f.Workers) }

// drawn reports whether somebody will see drawings.
func (f answerFlags) drawn() bool { return f.Report != "" || f.Figures != "" }

// check looks at the flags before work begins.
func (f answerFlags) check() error {
	if f.Workers < 0 || f.Workers > 4096 {
		return usage(fmt.Errorf("--workers: found %d, expected a number from 1 to 4096\nhint: leave it out for all processors", f.Workers))
	}
	if f.Report != "" && !strings.HasSuffix(strings.ToLower(f.Report), ".html") {
		return usage(fmt.Errorf("--report: found %q, expected the name of an .html file\nhint: --report %s.html", f.Report, f.Report))
	}
	return nil
}

// answer is what a verb found: its sentences, tables and drawings for people, and data for programs.
type answer struct {
	verb     string // such as "predict"
	title    string
	summary  []string
	findings []asymptotics.Finding
	tables   []report.Table
	more     []report.Table // on the page alone
	figures  []report.Figure
	settings []report.Fact
	data     any // fields of the JSON object
}

// give prints an answer and writes its page.
func (a *app) give(f answerFlags, r *answer) error {
	if f.Report != "" {
		p := &report.Study{Title: r.title, Command: a.command(), Version: version(), Created: time.Now(), Summary: r.summary, Figures: r.figures, Tables: append(append([]report.Table(nil), r.tables...), r.more...), Settings: r.settings}
		for _, x := range r.findings {
			p.Remarks = append(p.Remarks, report.Remark{Grade: x.Severity.String(), Subject: x.Subject, Text: x.Text, Holds: x.Holds})
		}
		if err := writeStudy(f.Report, p); err != nil {
			return err
		}
	}
	if f.Figures != "" {
		if err := writeFigures(f.Figures, r.figures); err != nil {
			return err
		}
	}
	if f.JSON {
		return a.json(r.object(f.Seed))
	}
	a.printf("%s\n", paint(a.paintOut, "1", r.title))
	if len(r.settings) > 0 {
		var rows [][]string
		for _, s := range r.settings {
			rows = append(rows, []string{s.Name, s.Value})
		}
		a.printf("\n%s", indent(table([]string{"", ""}, rows), "  "))
	}
	for _, t := range r.tables {
		a.printf("\n%s\n\n%s", t.Name, indent(table(t.Head, t.Rows), "  "))
		if t.Note != "" {
			a.printf("\n%s", indent(wrap(t.Note, 96), "  "))
		}
	}
	if len(r.summary) > 0 {
		a.printf("\n")
		for _, s := range r.summary {
			a.printf("%s\n", wrap(s, 98))
		}
	}
	if len(r.findings) > 0 {
		a.printf("\n%s", findingsText(a, r.findings))
	}
	if f.Report != "" {
		a.say("%s %s\n", a.bold("report:"), shown(f.Report))
	}
	if f.Figures != "" {
		a.say("%s %s in %s\n", a.bold("drawings:"), plural(len(r.figures), "file"), shown(f.Figures))
	}
	return nil
}

// findingsText writes findings as a hanging list.
func findingsText(a *app, all []asymptotics.Finding) string {
	var b strings.Builder
	for _, x := range all {
		grade := x.Severity.String()
		if x.Severity > asymptotics.Note {
			grade = paint(a.paintOut, "1;31", grade)
		}
		text := x.Subject + ": " + x.Text + "."
		if x.Holds != "" {
			text += " Still holds: " + x.Holds + "."
		}
		fmt.Fprintf(&b, "%s\n%s", grade, indent(wrap(text, 94), "    "))
	}
	return b.String()
}

// object is the JSON of an answer. It holds nothing of the moment or the machine, so that equal work gives equal bytes.
func (r *answer) object(seed uint64) any {
	type finding struct {
		Grade   string `json:"grade"`
		Subject string `json:"subject"`
		Text    string `json:"text"`
		Holds   string `json:"still_holds,omitempty"`
	}
	settings := map[string]string{}
	for _, s := range r.settings {
		settings[s.Name] = s.Value
	}
	o := struct {
		Verb     string            `json:"verb"`
		Title    string            `json:"title"`
		Seed     uint64            `json:"seed"`
		Settings map[string]string `json:"settings,omitempty"`
		Summary  []string          `json:"summary"`
		Findings []finding         `json:"findings"`
		Result   any               `json:"result"`
		Version  string            `json:"version"`
	}{"limits " + r.verb, r.title, seed, settings, r.summary, []finding{}, r.data, version()}
	for _, x := range r.findings {
		o.Findings = append(o.Findings, finding{x.Severity.String(), x.Subject, x.Text, x.Holds})
	}
	return o
}

// writeStudy writes a page, whole or not at all.
func writeStudy(path string, p *report.Study) error {
	var b strings.Builder
	if err := p.Write(&b); err != nil {
		return err
	}
	return writeWhole("report", path, b.String())
}

func writeWhole(flag, path, text string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = bench.WriteFile(path, []byte(text))
	}
	if err != nil {
		return fmt.Errorf("--%s: %w\nhint: name a place that can be written to", flag, err)
	}
	return nil
}

// writeFigures writes the drawings as files.
func writeFigures(dir string, figures []report.Figure) error {
	for i := range figures {
		var b strings.Builder
		if err := figures[i].Write(&b); err != nil {
			return err
		}
		if err := writeWhole("figures", filepath.Join(dir, figures[i].Name+".svg"), b.String()); err != nil {
			return err
		}
	}
	return nil
}

// await does work that knows no context and gives up waiting for it when the context ends: nothing of it is kept then.
func await[T any](a *app, work func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
		panic any
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			r.panic = recover()
			done <- r
		}()
		r.value, r.err = work()
	}()
	select {
	case r := <-done:
		if r.panic != nil {
			panic(r.panic)
		}
		return r.value, r.err
	case <-a.ctx.Done():
		var zero T
		return zero, a.ctx.Err()
	}
}

// num is a number that is null in JSON where it is not finite.
type num float64

// MarshalJSON implements json.Marshaler.
func (n num) MarshalJSON() ([]byte, error) {
	if !isFinite(float64(n)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func nums(v []float64) []num {
	out := make([]num, len(v))
	for i, x := range v {
		out[i] = num(x)
	}
	return out
}

func matrixOf(t tensor.Tensor[float64]) [][]num {
	var out [][]num
	for _, r := range asymptotics.Rows(t) {
		out = append(out, nums(r))
	}
	return out
}

// list reads numbers with commas between them.
func listOf(flag, text string) ([]float64, error) {
	var out []float64
	for _, s := range strings.Split(text, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !isFinite(v) {
			return nil, usage(fmt.Errorf("--%s: found %q, expected numbers with commas between them\nhint: for example --%s 1,2.5", flag, s, flag))
		}
		out = append(out, v)
	}
	return out, nil
}

// columnOf returns a column of a matrix.
func columnOf(v [][]float64, k int) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i][k]
	}
	return out
}

// percent writes a fraction.
func percent(v float64) string {
	if !isFinite(v) {
		return "–"
	}
	return strconv.FormatFloat(100*v, 'f', 1, 64) + " %"
}

// sig writes a number with three significant digits, and whole numbers below a million in full.
func sig(v float64) string {
	if !isFinite(v) {
		return "–"
	}
	if a := math.Abs(v); a >= 999.5 && a < 1e6 {
		return grouped(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// fixed writes a number with as many decimals.
func fixed(v float64, decimals int) string {
	if !isFinite(v) {
		return "–"
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// plusMinus writes a value and its standard error with the digits that the error leaves.
func plusMinus(v, se float64) string {
	if !isFinite(v) {
		return "–"
	}
	if !isFinite(se) || se <= 0 {
		return number(v)
	}
	decimals := 0
	for e := se; e < 9.5 && decimals < 9; e *= 10 {
		decimals++
	}
	return fixed(v, decimals) + " ± " + fixed(se, decimals)
}

func yesNo(pass bool) string {
	if pass {
		return "pass"
	}
	return "FAIL"
}
