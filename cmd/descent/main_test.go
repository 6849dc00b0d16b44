package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
)

// outcome is what one command line did.
type outcome struct {
	status         int
	stdout, stderr string
}

// descent runs one command line in process.
func descent(t *testing.T, args ...string) outcome {
	t.Helper()
	return descentUnder(t.Context(), args...)
}

func descentUnder(ctx context.Context, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	status := newApp(ctx, &stdout, &stderr).run(args)
	return outcome{status, stdout.String(), stderr.String()}
}

// object parses the standard output as one JSON object, with nothing else there.
func (o outcome) object(t *testing.T) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(o.stdout))
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("standard output is no JSON object: %v\n%s\n%s", err, o.stdout, o.stderr)
	}
	if d.More() {
		t.Fatalf("more than one object on standard output:\n%s", o.stdout)
	}
	return v
}

func (o outcome) want(t *testing.T, status int) outcome {
	t.Helper()
	if o.status != status {
		t.Fatalf("exit status %d, want %d\n%s\n%s", o.status, status, o.stdout, o.stderr)
	}
	if strings.Contains(o.stderr, "goroutine ") || strings.Contains(o.stdout, "goroutine ") {
		t.Fatalf("a stack trace reached the user:\n%s", o.stderr)
	}
	return o
}

func fields(t *testing.T, what string, object map[string]any, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, ok := object[n]; !ok {
			t.Errorf("%s lacks %q", what, n)
		}
	}
}

// quick are options that make a run of a moment.
var quick = []string{"--data", "iris", "--model", "mlp:8", "--epochs", "3", "--batch", "16"}

// runFields are those of every run.
var runFields = []string{"method", "settings", "data", "model", "parameters", "seed", "dtype", "epochs", "steps", "examples", "train_loss", "test_loss",
	"test_accuracy", "wall_seconds", "cpu_seconds", "train_seconds", "steps_per_second", "peak_memory_bytes", "status", "params_sha256", "run", "version"}

func TestTrainResumeEvaluatePredictReport(t *testing.T) {
	t.Chdir(t.TempDir())
	args := append([]string{"train", "--json", "--set", "lr=0.01", "--seed", "7"}, quick...)
	run := descent(t, args...).want(t, 0).object(t)
	fields(t, "train --json", run, runFields...)
	if run["status"] != "completed" || run["epochs"] != 3.0 || run["seed"] != 7.0 || run["method"] != "adam" {
		t.Errorf("%v", run)
	}
	dir := filepath.Join("runs", "iris-adam-1")
	for _, f := range []string{"run.json", "metrics.jsonl", "report.html", "checkpoint"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Errorf("run folder: %v", err)
		}
	}

	again := descent(t, args...).want(t, 0).object(t)
	if again["params_sha256"] != run["params_sha256"] {
		t.Error("the same command gave other parameters")
	}
	if _, err := os.Stat(filepath.Join("runs", "iris-adam-2")); err != nil {
		t.Errorf("the second run is not in a folder of its own: %v", err)
	}
	named := descent(t, append(args, "--out", dir)...).want(t, 1)
	if !strings.Contains(named.stderr, "hint:") || !strings.Contains(named.stderr, "holds a run") {
		t.Errorf("a folder that holds a run: %s", named.stderr)
	}

	resumed := descent(t, "resume", dir, "--json").want(t, 0)
	fields(t, "resume --json", resumed.object(t), runFields...)
	if !strings.Contains(resumed.stderr, "complete") {
		t.Errorf("resume of a complete run says %q", resumed.stderr)
	}

	evaluated := descent(t, "evaluate", dir, "--json").want(t, 0).object(t)
	fields(t, "evaluate --json", evaluated, "run", "data", "model", "method", "step", "train_loss", "test_loss", "test_accuracy", "test_calibration_error", "version")
	if evaluated["test_accuracy"] != run["test_accuracy"] {
		t.Errorf("evaluate: accuracy %v, at the end of training %v", evaluated["test_accuracy"], run["test_accuracy"])
	}
	descent(t, "evaluate", dir).want(t, 0)

	rows := "a,b,c,d\n5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n"
	if err := os.WriteFile("rows.csv", []byte(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	predicted := descent(t, "predict", dir, "rows.csv", "--json")
	if predicted.status == 0 {
		p := predicted.object(t)
		fields(t, "predict --json", p, "run", "file", "step", "predictions", "version")
		if n := len(p["predictions"].([]any)); n != 2 {
			t.Errorf("%d predictions for 2 rows", n)
		}
	} else if !strings.Contains(predicted.stderr, "hint:") {
		t.Errorf("predict: %s", predicted.stderr)
	}

	made := descent(t, "report", dir, filepath.Join("runs", "iris-adam-2"), "--out", "both.html", "--json").want(t, 0).object(t)
	fields(t, "report --json", made, "report", "bytes", "methods", "runs")
	if made["runs"] != 2.0 {
		t.Errorf("report of 2 runs: %v", made)
	}
	page, err := os.ReadFile("both.html")
	if err != nil || !bytes.Contains(page, []byte("adam on iris")) {
		t.Errorf("both.html: %v", err)
	}
}

func TestCompare(t *testing.T) {
	t.Chdir(t.TempDir())
	args := append([]string{"compare", "--methods", "sgd,adam", "--seeds", "2", "--target", "test_accuracy=0.5", "--tune", "2", "--json"}, quick...)
	o := descent(t, args...).want(t, 0)
	c := o.object(t)
	fields(t, "compare --json", c, "data", "model", "results", "ranking", "metric", "tuning")
	results := c["results"].([]any)
	if len(results) != 4 {
		t.Fatalf("%d results, want 4", len(results))
	}
	fields(t, "a result of compare", results[0].(map[string]any), runFields...)
	ranking := c["ranking"].([]any)
	fields(t, "a line of the ranking", ranking[0].(map[string]any), "rank", "method", "median", "low", "high", "wall_seconds", "cpu_seconds", "steps", "statuses",
		"seconds_to_target", "steps_to_target", "epochs_to_target", "trials", "tuning_seconds")
	page := filepath.Join("runs", "compare-iris-1", "report.html")
	if b, err := os.ReadFile(page); err != nil || !bytes.Contains(b, []byte("2 methods on iris")) {
		t.Errorf("report: %v", err)
	}
	if lines := strings.Count(o.stderr, "\n"); lines < 8 || strings.ContainsAny(o.stderr, "\r\x1b") {
		t.Errorf("into a pipe progress is plain lines:\n%q", o.stderr)
	}

	table := descent(t, append([]string{"compare", "--methods", "sgd,adam", "--seeds", "2", "--out", filepath.Join("runs", "compare-iris-1")}, quick...)...).want(t, 0)
	for _, want := range []string{"method", "test accuracy", "adam", "sgd", "completed"} {
		if !strings.Contains(table.stdout, want) {
			t.Errorf("the leaderboard lacks %q:\n%s", want, table.stdout)
		}
	}
	if strings.ContainsRune(table.stdout, '\x1b') {
		t.Error("colours in a pipe")
	}
	descent(t, "report", filepath.Join("runs", "compare-iris-1"), "--json").want(t, 0)
}

func TestADivergingMethodIsReportedAndTheComparisonGoesOn(t *testing.T) {
	t.Chdir(t.TempDir())
	args := append([]string{"compare", "--methods", "sgd,adam", "--seeds", "2", "--set", "sgd.lr=1000", "--json"}, quick...)
	c := descent(t, args...).want(t, 0).object(t)
	ranking := c["ranking"].([]any)
	first, last := ranking[0].(map[string]any), ranking[1].(map[string]any)
	if first["method"] != "adam" || last["method"] != "sgd" {
		t.Errorf("first %v, last %v", first["method"], last["method"])
	}
}

func TestJSONOfTheOtherVerbs(t *testing.T) {
	for _, c := range []struct {
		args   []string
		fields []string
	}{
		{[]string{"list", "--json"}, []string{"methods", "models", "data"}},
		{[]string{"list", "models", "--json"}, []string{"models"}},
		{[]string{"describe", "adam", "--json"}, []string{"kind", "name", "formula", "settings", "paper", "when", "when_not", "memory_floats", "gradients_per_step", "parameters", "state_bytes"}},
		{[]string{"describe", "mlp:32", "--json"}, []string{"kind", "name", "parameters", "layers"}},
		{[]string{"describe", "digits", "--json"}, []string{"name", "title", "licence", "source", "task", "train", "test"}},
		{[]string{"data", "--json"}, []string{"data_dir", "data"}},
		{[]string{"data", "digits", "--json"}, []string{"name", "present", "licence"}},
		{[]string{"doctor", "--json"}, []string{"version", "machine", "data_dir", "findings"}},
		{[]string{"version", "--json"}, []string{"version", "go", "system"}},
	} {
		o := descent(t, c.args...).want(t, 0)
		fields(t, strings.Join(c.args, " "), o.object(t), c.fields...)
	}
}

func TestDescribeShowsTheCost(t *testing.T) {
	// 8·8 inputs, 10 outputs: 64·32+32 + 32·10+10 = 2410 parameters, two numbers of 4 bytes for each.
	o := descent(t, "describe", "adam", "--model", "mlp:32").want(t, 0)
	for _, want := range []string{"2,410 numbers", "2.00  kept from step to step", "nothing but gradients", byteSize(2410 * 8), "beta1", "[0, 1)"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("describe adam lacks %q:\n%s", want, o.stdout)
		}
	}
	if o := descent(t, "describe", "mlp:32").want(t, 0); !strings.Contains(o.stdout, "2,410") {
		t.Errorf("describe mlp:32:\n%s", o.stdout)
	}
}

func TestListTakesPatterns(t *testing.T) {
	o := descent(t, "list", "ada*").want(t, 0)
	if !strings.Contains(o.stdout, "adam") || strings.Contains(o.stdout, "momentum") {
		t.Errorf("list 'ada*':\n%s", o.stdout)
	}
	descent(t, "list", "methods", "ada*").want(t, 0)
}

func TestMistakesGetHintsAndStatus2(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bad.yaml", []byte("method: adam\nepoks: 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"trian"}, []string{"trian", "train"}},
		{[]string{"train", "--epoch", "3"}, []string{"--epoch", "--epochs"}},
		{[]string{"train", "--method", "admw"}, []string{"admw", "adamw"}},
		{[]string{"train", "--method", "ada*"}, []string{"names", "compare"}},
		{[]string{"train", "--model", "mpl:32"}, []string{"mpl", "mlp"}},
		{[]string{"train", "--data", "digit"}, []string{"digit", "digits"}},
		{[]string{"train", "--set", "lr"}, []string{"SETTING=VALUE"}},
		{[]string{"train", "--set", "lr=fast"}, []string{"fast", "number"}},
		{[]string{"train", "--set", "beta1=1.5"}, []string{"beta1", "1.5", "[0, 1)"}},
		{[]string{"train", "--set", "beat1=0.5"}, []string{"beat1", "beta1"}},
		{[]string{"train", "--batch", "-3"}, []string{"batch", "-3"}},
		{[]string{"train", "--batch", "many"}, []string{"batch", "many"}},
		{[]string{"train", "--dtype", "float16"}, []string{"float16", "float32"}},
		{[]string{"train", "--target", "accuracy=0.9"}, []string{"accuracy", "test_accuracy"}},
		{[]string{"train", "--config", "bad.yaml"}, []string{"bad.yaml", "epoks"}},
		{[]string{"train", "--config", "none.yaml"}, []string{"none.yaml"}},
		{[]string{"compare", "--methods", "sgd,adm"}, []string{"adm", "adam"}},
		{[]string{"compare", "--seeds", "0"}, []string{"--seeds", "0"}},
		{[]string{"compare", "--tune", "1"}, []string{"trials"}},
		{[]string{"compare", "--set", "lion.lr=1", "--methods", "adam"}, []string{"lion"}},
		{[]string{"describe", "adm"}, []string{"adm", "adam"}},
		{[]string{"data", "minst"}, []string{"minst", "mnist"}},
		{[]string{"list", "xyz*"}, []string{"xyz*"}},
		{[]string{"completion", "tcsh"}, []string{"tcsh", "bash"}},
		{[]string{"resume"}, []string{"dir"}},
	} {
		o := descent(t, c.args...).want(t, 2)
		if o.stdout != "" {
			t.Errorf("%v: standard output has %q", c.args, o.stdout)
		}
		for _, w := range append(c.want, "error:", "hint:") {
			if !strings.Contains(o.stderr, w) {
				t.Errorf("%v: the message lacks %q:\n%s", c.args, w, o.stderr)
			}
		}
	}
	if found, _ := filepath.Glob("runs/*"); len(found) > 0 {
		t.Errorf("mistakes left folders: %v", found)
	}
}

func TestWhatIsMissingGetsStatus1(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"resume", "nowhere"}, {"evaluate", "nowhere"}, {"report", "nowhere"}, {"predict", "nowhere", "x.csv"},
		{"train", "--data", "nowhere.csv"}, {"train", "--data", "mnist", "--data-dir", t.TempDir()}} {
		o := descent(t, args...).want(t, 1)
		if !strings.Contains(o.stderr, "error:") || !strings.Contains(o.stderr, "hint:") {
			t.Errorf("%v: %s", args, o.stderr)
		}
	}
}

func TestEveryVerbHasHelpWithExamples(t *testing.T) {
	var v verbs
	p, err := kong.New(&v, kong.Vars{"lineup": lineup})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range verbNames(p.Model) {
		o := descent(t, verb, "--help").want(t, 0)
		if !strings.Contains(o.stdout, "Examples:") || !strings.Contains(o.stdout, "descent "+verb) {
			t.Errorf("descent %s --help has no example:\n%s", verb, o.stdout)
		}
	}
	o := descent(t).want(t, 0)
	for _, verb := range verbNames(p.Model) {
		if !strings.Contains(o.stdout, verb) {
			t.Errorf("the help of the program lacks %s", verb)
		}
	}
}

// tripwire cancels a context when a text is written to it.
type tripwire struct {
	bytes.Buffer
	text   string
	cancel func()
}

func (w *tripwire) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if strings.Contains(w.String(), w.text) {
		w.cancel()
	}
	return n, err
}

// stopAt runs a command line and sends it the signal when text is on its standard error.
func stopAt(t *testing.T, s os.Signal, text string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	var stdout bytes.Buffer
	stderr := &tripwire{text: text, cancel: func() { cancel(stopped{s}) }}
	status := newApp(ctx, &stdout, stderr).run(args)
	return outcome{status, stdout.String(), stderr.String()}
}

func TestStoppedBySignal(t *testing.T) {
	t.Chdir(t.TempDir())
	args := append(append([]string{"train", "--json"}, quick...), "--epochs", "40")
	for _, c := range []struct {
		signal os.Signal
		status int
	}{{os.Interrupt, 130}, {syscall.SIGTERM, 143}} {
		o := stopAt(t, c.signal, "train loss", args...).want(t, c.status) // at the first evaluation
		v := o.object(t)
		if v["status"] != "stopped" || v["epochs"].(float64) >= 40 {
			t.Errorf("status %v after %v epochs", v["status"], v["epochs"])
		}
		if !strings.Contains(o.stderr, "descent resume runs/") {
			t.Errorf("no word on how to go on: %s", o.stderr)
		}
	}
	// What was stopped goes on and ends with the same parameters as a run in one piece.
	resumed := descent(t, "resume", filepath.Join("runs", "iris-adam-1"), "--json").want(t, 0).object(t)
	whole := descent(t, args...).want(t, 0).object(t)
	if resumed["params_sha256"] != whole["params_sha256"] || resumed["steps"] != whole["steps"] {
		t.Errorf("the resumed run ends with %v after %v steps, the whole one with %v after %v", resumed["params_sha256"], resumed["steps"], whole["params_sha256"], whole["steps"])
	}
}

func TestStoppedComparisonIsPartialAndGoesOn(t *testing.T) {
	t.Chdir(t.TempDir())
	args := append([]string{"compare", "--methods", "sgd,adam", "--seeds", "3", "--out", "here"}, quick...)
	o := stopAt(t, syscall.SIGTERM, "2/6 ", args...).want(t, 143)
	if !strings.Contains(o.stdout, "Stopped after 2 of 6 runs.") {
		t.Errorf("a stopped comparison says\n%s", o.stdout)
	}
	page, err := os.ReadFile(filepath.Join("here", "report.html"))
	if err != nil || !bytes.Contains(page, []byte("Stopped after 2 of 6 runs.")) {
		t.Errorf("the partial report: %v", err)
	}
	o = descent(t, args...).want(t, 0)
	if n := strings.Count(o.stderr, "kept from before"); n != 2 {
		t.Errorf("%d runs were kept, want 2:\n%s", n, o.stderr)
	}
	if strings.Contains(o.stdout, "Stopped") {
		t.Errorf("the completed comparison says\n%s", o.stdout)
	}
}

func TestInternalErrorIsNoStackTrace(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var stdout, stderr bytes.Buffer
	a := newApp(t.Context(), &stdout, &stderr)
	if status := a.internalError(errors.New("index out of range"), []string{"train"}); status != 1 {
		t.Errorf("status %d", status)
	}
	if strings.Contains(stderr.String(), "goroutine") || !strings.Contains(stderr.String(), "report it at") {
		t.Errorf("%s", stderr.String())
	}
	file := regexp.MustCompile(`\S*descent-crash-\S*\.txt`).FindString(stderr.String())
	if b, err := os.ReadFile(file); err != nil || !bytes.Contains(b, []byte("goroutine")) {
		t.Errorf("the file of the stack: %v", err)
	}
}

func TestConfigFileAndOptions(t *testing.T) {
	t.Chdir(t.TempDir())
	text := "data: iris\nmodel: mlp:8\nmethod: momentum\nsettings: {lr: 0.02}\nepochs: 2\nbatch: 16\n"
	if err := os.WriteFile("run.yaml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run := descent(t, "train", "--config", "run.yaml", "--epochs", "1", "--set", "momentum=0.5", "--json").want(t, 0).object(t)
	s := run["settings"].(map[string]any)
	if run["method"] != "momentum" || run["epochs"] != 1.0 || s["lr"] != 0.02 {
		t.Errorf("%v", run)
	}
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"tr"}, "train"}, {[]string{"train", "--meth"}, "--method"}, {[]string{"train", "--method", "adamw"}, "adamw"},
		{[]string{"compare", "--methods", "sgd,li"}, "lion"}, {[]string{"train", "--data", "dig"}, "digits"}, {[]string{"describe", "len"}, "lenet5"},
	} {
		o := descent(t, append([]string{"__complete", "--"}, c.words...)...).want(t, 0)
		if !strings.Contains(o.stdout, c.want+"\n") {
			t.Errorf("%v: %q lacks %s", c.words, o.stdout, c.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if o := descent(t, "completion", shell).want(t, 0); !strings.Contains(o.stdout, "__complete") {
			t.Errorf("%s: %s", shell, o.stdout)
		}
	}
}
