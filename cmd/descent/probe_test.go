package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The probe in the terminal, in JSON, in the log and in the report; and the parameters are those of a run without.
func TestTrainWithAProbe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"train", "--model", "mlp:8", "--method", "bnp", "--epochs", "3", "--seed", "4"}
	plain := descent(t, append(args, "--out", filepath.Join(t.TempDir(), "plain"), "--json")...).want(t, 0).object(t)
	o := descent(t, append(args, "--probe", "curvature", "--out", dir, "--json")...).want(t, 0)
	r := o.object(t)
	if r["params_sha256"] != plain["params_sha256"] {
		t.Error("the probe changed the parameters")
	}
	probes := r["probes"].([]any)
	if len(probes) != 4 { // before the first step, after 1, 2, 3 epochs
		t.Fatalf("%d probes, want 4", len(probes))
	}
	fields(t, "values of a probe", probes[3].(map[string]any)["values"].(map[string]any), "hessian_max", "hessian_min", "ggn_max", "ggn_trace",
		"ggn_trace_error", "ggn_condition", "ggn_spread", "preconditioned_ggn_max", "preconditioned_hessian_trace")
	if n := strings.Count(o.stderr, "curvature: λmax"); n != 4 {
		t.Errorf("%d lines of probes on the terminal, want 4:\n%s", n, o.stderr)
	}
	for _, name := range []string{"metrics.jsonl", "report.html"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), "preconditioned_ggn_spread") {
			t.Errorf("%s has no probe", name)
		}
	}
	text := descent(t, append(args, "--probe", "curvature:2", "--out", filepath.Join(t.TempDir(), "text"))...).want(t, 0).stdout
	for _, want := range []string{"Gauss–Newton", "M Hessian", "3 probes"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if o := descent(t, "train", "--probe", "curvture").want(t, 2); !strings.Contains(o.stderr, "curvature") {
		t.Errorf("no hint: %s", o.stderr)
	}
}

// A comparison carries the probe in its command, its results and its report.
func TestCompareWithAProbe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	c := descent(t, "compare", "--methods", "sgd,kfac", "--seeds", "1", "--epochs", "1", "--model", "mlp:8", "--probe", "curvature:1", "--out", dir, "--json").want(t, 0).object(t)
	if command := c["command"].(string); !strings.Contains(command, "--probe curvature:1") {
		t.Errorf("command %q", command)
	}
	for _, r := range c["results"].([]any) {
		if probes, _ := r.(map[string]any)["probes"].([]any); len(probes) != 2 {
			t.Errorf("%d probes, want 2", len(probes))
		}
	}
}

// Costs are those of the model, the batch and the settings; blocks are listed.
func TestDescribeCost(t *testing.T) {
	o := descent(t, "describe", "sam", "--model", "mlp:32", "--batch", "10", "--json").want(t, 0).object(t)
	cost := o["cost"].(map[string]any)
	// Forward 2·10·(64·32 + 32·10); a gradient twice that for the first layer and thrice for the second.
	if cost["forward_flops"] != 47360.0 || cost["gradient_flops"] != 101120.0 || cost["gradients"] != 2.0 || cost["relative_memory"] != 2.0 {
		t.Errorf("cost %v", cost)
	}
	text := descent(t, "describe", "kfac", "--model", "lenet5", "--data", "digits").want(t, 2).stderr
	if !strings.Contains(text, "hint:") {
		t.Errorf("lenet5 on 8×8 images: %s", text)
	}
	o = descent(t, "describe", "kfac", "--model", "mlp:32", "--json").want(t, 0).object(t)
	if blocks := o["blocks"].([]any); len(blocks) != 2 || blocks[0].(map[string]any)["in"] != 65.0 {
		t.Errorf("blocks %v", o["blocks"])
	}
	if o := descent(t, "describe", "kfac", "--set", "dampng=1").want(t, 2); !strings.Contains(o.stderr, "damping") {
		t.Errorf("no hint: %s", o.stderr)
	}
}

// A family in a line-up, and one that does not exist.
func TestFamilies(t *testing.T) {
	names, err := expandMethods([]string{"family:matrix", "muon"})
	if err != nil || !contains(names, "soap") || contains(names, "adam") {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := expandMethods([]string{"family:matrx"}); err == nil || !strings.Contains(err.Error(), "matrix") {
		t.Errorf("%v", err)
	}
	all, _ := expandMethods([]string{"all"})
	count := 0
	for _, specs := range families() {
		count += len(specs)
	}
	if count != len(all) {
		t.Errorf("the families have %d methods, the catalogue %d", count, len(all))
	}
}
