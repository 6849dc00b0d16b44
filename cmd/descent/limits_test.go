package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// coarse makes the limit equations of a moment.
var coarse = []string{"--nodes", "256", "--steps", "40"}

// small are calls of all verbs that take a moment.
func small() map[string][]string {
	return map[string][]string{
		"rates":           {"--model", "mlp:64"},
		"rates one":       {"--model", "mlp:64,64", "--parametrization", "gamma:0.5,1+auto"},
		"rates convert":   {"--model", "mlp:64", "--from", "64", "--to", "1024", "--lr", "0.1"},
		"predict":         coarse,
		"predict compare": append([]string{"--gamma", "0.75", "--width", "300", "--times", "1,2", "--joint"}, coarse...),
		"predict kernel":  append([]string{"--gamma", "0.5", "--limit", "kernel"}, coarse...),
		"width":           append([]string{"--budget", "1e6"}, coarse...),
		"batch":           append([]string{"--at", "0.5"}, coarse...),
		"simulate":        append([]string{"--width", "40", "--runs", "100"}, coarse...),
		"check":           append([]string{"--widths", "30,60", "--runs", "200"}, coarse...),
		"check reference": {"--reference", "--only", "M11"},
		"tail":            append([]string{"--time", "1", "--widths", "25,50,75", "--runs", "50", "--sigmas", "3"}, coarse...),
		"kernel":          {"--examples", "20"},
		"kernel model":    {"--model", "mlp:8", "--examples", "12", "--steps", "6"},
		"coord":           {"--model", "mlp:8", "--widths", "8,16", "--seeds", "2", "--steps", "2", "--examples", "16"},
		"rnn":             {"--samples", "400", "--runs", "4", "--width", "20", "--time", "2"},
		"graph":           {"--nodes", "16", "--depth", "3"},
		"sgdct":           {"--paths", "20", "--time", "5"},
		"select":          append([]string{"--budget", "2e4", "--gammas", "0.75,1", "--batches", "1,4", "--verify", "1", "--runs", "10", "--time", "1"}, coarse...),
	}
}

func limits(name string, more ...string) []string {
	verb, _, _ := strings.Cut(name, " ")
	return append(append([]string{"limits", verb}, small()[name]...), more...)
}

// Every verb prints a table, a JSON object, a page and drawings, and all say what they rest on.
func TestLimitsVerbs(t *testing.T) {
	for name := range small() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			page := filepath.Join(dir, "page.html")
			o := descent(t, limits(name, "--report", page, "--figures", dir)...).want(t, 0)
			if !strings.Contains(o.stdout, "Rests on") && !strings.Contains(o.stdout, "rests on") {
				t.Errorf("nothing says what the result rests on:\n%s", o.stdout)
			}
			b, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(b, []byte("How this was made")) || bytes.Contains(b, []byte("NaN")) {
				t.Error("the page is not whole")
			}
			drawings, _ := filepath.Glob(filepath.Join(dir, "*.svg"))
			if name != "check reference" && name != "rates" && len(drawings) == 0 {
				t.Error("no drawings")
			}
			object := descent(t, limits(name, "--json")...).want(t, 0).object(t)
			fields(t, name, object, "verb", "title", "seed", "summary", "findings", "result", "version")
			if verb, _, _ := strings.Cut(name, " "); object["verb"] != "limits "+verb {
				t.Errorf("verb %q", object["verb"])
			}
			help := descent(t, "limits", strings.Fields(name)[0], "--help").want(t, 0).stdout
			if !strings.Contains(help, "Examples:") {
				t.Error("the help has no examples")
			}
		})
	}
}

// result returns the result of a verb as an object.
func limitsResult(t *testing.T, args ...string) map[string]any {
	t.Helper()
	return descent(t, append(args, "--json")...).want(t, 0).object(t)["result"].(map[string]any)
}

// The numbers of the built-in problem are those of independent programs.
func TestLimitsNumbers(t *testing.T) {
	at := limitsResult(t, "limits", "predict", "--time", "3", "--width", "1000", "--nodes", "2048", "--steps", "60")["at"].([]any)[0].(map[string]any)
	for k, want := range []float64{-.50007, .12510, .45918, .56941} {
		if got := at["mean"].([]any)[k].(float64); math.Abs(got-want) > 2e-3 {
			t.Errorf("mean at point %d: %g, want %g", k, got, want)
		}
	}
	for k, want := range []float64{.31880, .28647, .31067, .33863} { // N·variance
		if sd := at["sd"].([]any)[k].(float64); math.Abs(1000*sd*sd/want-1) > 0.03 {
			t.Errorf("N·variance at point %d: %g, want %g", k, 1000*sd*sd, want)
		}
	}
	r := limitsResult(t, "limits", "sgdct", "--constant", "4", "--paths", "0")
	if v := r["trace"].(float64); math.Abs(v-8./3) > 1e-12 || r["best_constant"].(float64)-2 > 1e-6 {
		t.Errorf("V = %g, want 8/3; best C = %v", v, r["best_constant"])
	}
	r = limitsResult(t, "limits", "batch", "--nodes", "1024", "--steps", "60")
	if b := r["balance"].([]any)[2].(float64); b < 33 || b > 39 {
		t.Errorf("balance at 0.5: %g, want .30230/.00837 = 36", b)
	}
}

// What does not hold is said in words, with what still holds, and nothing is predicted where there is no basis.
func TestLimitsFindings(t *testing.T) {
	dir := t.TempDir()
	twice := filepath.Join(dir, "twice.yaml")
	if err := os.WriteFile(twice, []byte("name: twice\nx: [-1, 0, 0, 1]\ny: [0.5, 1, -1, 0.5]\ntest: [0.5]\nalpha: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"predict", "--activation", "relu"}, "unbounded"},
		{[]string{"predict", "--activation", "softplus", "--output-law", "skewed", "--gamma", "0.75", "--limit", "s-flow"}, "skewed"},
		{[]string{"predict", "--problem", twice}, "same inputs and different targets"},
		{[]string{"predict", "--width", "10"}, "below 30"},
		{[]string{"predict", "--width", "2", "--alpha", "4"}, "αK/N"},
		{[]string{"predict", "--sampling", "reshuffled", "--width", "30"}, "epochs"},
		{[]string{"predict", "--output-law", "uniform(0,1)", "--gamma", "0.75", "--limit", "s-flow"}, "its mean is 0.5"},
	} {
		o := descent(t, append(append([]string{"limits"}, c.args...), coarse...)...).want(t, 0)
		if !strings.Contains(strings.Join(strings.Fields(o.stdout), " "), c.want) || !strings.Contains(o.stdout, "Still holds") {
			t.Errorf("%v says nothing of %q:\n%s", c.args, c.want, o.stdout)
		}
	}
	o := descent(t, "limits", "rnn", "--memory", "independent:0,0.5", "--samples", "200", "--runs", "0").want(t, 0)
	if !strings.Contains(o.stdout, "no memory") {
		t.Errorf("no warning of a network without memory:\n%s", o.stdout)
	}
	o = descent(t, "limits", "kernel", "--examples", "10", "--depth", "10", "--width", "100").want(t, 0)
	if !strings.Contains(o.stdout, "depth/width") {
		t.Errorf("no warning of depth over width:\n%s", o.stdout)
	}
}

// Wrong input ends with status 2 (1 where the data are wrong), a sentence and a hint.
func TestLimitsErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"predict", "--alpha", "40", "--width", "2"}, "no prediction"},
		{[]string{"kernel", "--depth", "30", "--width", "64"}, "depth/width"},
		{[]string{"graph", "--depth", "30", "--width", "64"}, "depth/width"},
		{[]string{"sgdct", "--constant", "0.5"}, "slower than 1/√t"},
		{[]string{"predict", "--activation", "tanhh"}, "tanh"},
		{[]string{"predict", "--gamma", "0.3"}, "0.5 to 1"},
		{[]string{"predict", "--sampling", "sorted"}, "reshuffled"},
		{[]string{"predict", "--output-law", "uniform(1,-1)"}, "uniform(low,high)"},
		{[]string{"predict", "--weight-law", "cauchy(1)"}, "normal(mean,sd)"},
		{[]string{"predict", "--schedule", "linear"}, "cosine"},
		{[]string{"predict", "--time", "-1"}, "positive"},
		{[]string{"predict", "--times", "5"}, "(0, 3]"},
		{[]string{"predict", "--level", "2"}, "between 0 and 1"},
		{[]string{"predict", "--limit", "ntk"}, "s-flow"},
		{[]string{"predict", "--at", "a,b"}, "numbers"},
		{[]string{"predict", "--at", "1,2;3,4"}, "expected 1"},
		{[]string{"predict", "--workers", "-1"}, "1 to 4096"},
		{[]string{"predict", "--report", "page.txt"}, ".html"},
		{[]string{"predict", "--data", "digit"}, "digits"},
		{[]string{"predict", "--data", "digits", "--class", "ten"}, "classes are"},
		{[]string{"predict", "--data", "digits", "--examples", "100000"}, "training examples"},
		{[]string{"predict", "--problem", filepath.Join(dir, "none.yaml")}, "--problem"},
		{[]string{"predict", "--problem", write("field.yaml", "colour: red\n")}, "fields are"},
		{[]string{"predict", "--problem", write("rows.yaml", "x: [1, 2]\ny: [1]\n")}, "do not fit"},
		{[]string{"predict", "--problem", write("ragged.yaml", "x: [[1, 2], [1]]\ny: [1, 2]\n")}, "row 2"},
		{[]string{"predict", "--problem", write("nan.yaml", "x: [1, .nan]\ny: [1, 2]\n")}, "row 2"},
		{[]string{"simulate", "--runs", "1"}, "at least 2"},
		{[]string{"check", "--widths", "30"}, "at least 2"},
		{[]string{"check", "--widths", "60,30"}, "ascending"},
		{[]string{"check", "--only", "M1"}, "--reference"},
		{[]string{"check", "--reference", "--only", "M99"}, "M99"},
		{[]string{"tail", "--above", "1", "--below", "0"}, "two events"},
		{[]string{"tail", "--above", "-1"}, "no rare one"},
		{[]string{"tail", "--gamma", "0.75", "--widths", "25,50"}, "one width at a time"},
		{[]string{"width", "--tolerance", "-1"}, "positive"},
		{[]string{"width", "--budget", "10"}, "width of 30"},
		{[]string{"rates", "--parametrization", "mupp"}, "mup"},
		{[]string{"rates", "--from", "64"}, "belong together"},
		{[]string{"rates", "--optimizer", "kfac", "--parametrization", "mup"}, "hint"},
		{[]string{"coord", "--model", "lenet5"}, "mlp"},
		{[]string{"coord", "--set", "lr"}, "SETTING=VALUE"},
		{[]string{"kernel", "--activation", "quux"}, "hint"},
		{[]string{"kernel", "--model", "mlp:8", "--run", "x"}, "two networks"},
		{[]string{"kernel", "--model", "mlp:8", "--method", "sdg"}, "sgd"},
		{[]string{"rnn", "--memory", "coupled"}, "coupled:SCALE"},
		{[]string{"rnn", "--series", write("short.csv", "x,y\n1,2\n")}, "at least 50"},
		{[]string{"rnn", "--beta", "1.5"}, "hint"},
		{[]string{"graph", "--nodes", "2"}, "4 to 2000"},
		{[]string{"sgdct", "--hessian", "1,2;3"}, "row 2"},
		{[]string{"sgdct", "--hessian", "1,2"}, "square"},
		{[]string{"select", "--budget", "100"}, "below 30"},
		{[]string{"select", "--gammas", "0.2"}, "0.5 to 1"},
		{[]string{"predikt"}, "predict"},
		{nil, "needs a verb"},
	} {
		o := descent(t, append([]string{"limits"}, c.args...)...)
		if o.status != 2 {
			t.Errorf("%v: exit status %d, want 2\n%s%s", c.args, o.status, o.stdout, o.stderr)
		}
		if !strings.Contains(o.stderr, c.want) || !strings.Contains(o.stderr, "hint:") || o.stdout != "" {
			t.Errorf("%v: want %q and a hint, got\n%s", c.args, c.want, o.stderr)
		}
	}
	o := descent(t, "limits", "kernel", "--run", filepath.Join(dir, "none"))
	if o.status != 1 || !strings.Contains(o.stderr, "hint:") {
		t.Errorf("a run that is not there: %d\n%s", o.status, o.stderr)
	}
}

// Check Q1: equal bytes for any number of workers, through the process.
func TestLimitsSameBytes(t *testing.T) {
	for _, name := range []string{"predict compare", "simulate", "tail", "check", "kernel model", "coord", "rnn", "select"} {
		var first []byte
		for _, workers := range []string{"1", "2", "8"} {
			out, err := program(t, nil, limits(name, "--json", "--seed", "7", "--workers", workers)...).Output()
			if err != nil {
				t.Fatalf("%s with %s workers: %v", name, workers, err)
			}
			if !json.Valid(out) {
				t.Fatalf("%s: no JSON:\n%s", name, out)
			}
			if first == nil {
				first = out
			} else if !bytes.Equal(out, first) {
				t.Errorf("%s: other bytes with %s workers than with 1", name, workers)
			}
		}
	}
}

// A cancelled verb ends at once and prints nothing.
func TestLimitsStop(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped{os.Interrupt})
	for _, name := range []string{"predict", "simulate", "tail", "kernel", "coord", "select"} {
		if o := descentUnder(ctx, limits(name, "--json")...); o.status != 130 || o.stdout != "" {
			t.Errorf("%s: status %d, output %q, errors %q", name, o.status, o.stdout, o.stderr)
		}
	}
}

// The kernel of a run, and a run by a parametrization.
func TestLimitsOfARun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	run := descent(t, "train", "--data", "iris", "--model", "mlp:8", "--method", "sgd", "--parametrization", "mup@4", "--epochs", "3", "--out", dir, "--json").want(t, 0).object(t)
	standard := descent(t, "train", "--data", "iris", "--model", "mlp:8", "--method", "sgd", "--epochs", "3", "--out", dir+"2", "--json").want(t, 0).object(t)
	if run["params_sha256"] == standard["params_sha256"] {
		t.Error("the parametrization changed nothing")
	}
	r := limitsResult(t, "limits", "kernel", "--run", dir, "--examples", "10")
	drift := r["drift"].([]any)
	if len(drift) != 2 || drift[0] != 0.0 || drift[1].(float64) <= 0 {
		t.Errorf("drift %v", drift)
	}
	if o := descent(t, "train", "--data", "iris", "--method", "kfac", "--parametrization", "mup"); o.status != 2 || !strings.Contains(o.stderr, "hint:") {
		t.Errorf("a method without a rule: status %d\n%s", o.status, o.stderr)
	}
}

// Names complete below limits too.
func TestLimitsComplete(t *testing.T) {
	o := descent(t, "__complete", "--", "limits", "pre").want(t, 0)
	if o.stdout != "predict\n" {
		t.Errorf("limits pre completes to %q", o.stdout)
	}
	if o = descent(t, "__complete", "--", "limits", "predict", "--gam").want(t, 0); o.stdout != "--gamma\n" {
		t.Errorf("--gam completes to %q", o.stdout)
	}
}
