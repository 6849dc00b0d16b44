package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descent-ml/descent/train/runlog"
	"github.com/descent-ml/descent/train/safetensors"
)

// small is a run of a fraction of a second: 69 steps in three epochs.
func small() Config {
	return Config{Data: "digits", Model: "mlp:16", Epochs: 3, Batch: 64, Seed: 7, Eval: Eval{Train: 200}}
}

func mustRun(t testing.TB, c Config, o Options) *Result {
	t.Helper()
	r, err := Run(context.Background(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunLearnsDigits(t *testing.T) {
	c := small()
	c.Epochs = 20
	r := mustRun(t, c, Options{})
	if r.Status != Completed || r.Epochs != 20 || r.Test.Accuracy < 0.93 || r.Test.Loss > 0.3 {
		t.Errorf("status %s, epochs %d, test %+v", r.Status, r.Epochs, r.Test)
	}
	if len(r.History) != 20 || r.Test.Calibration > 0.1 || !math.IsNaN(r.Test.RMSE) || !math.IsNaN(r.Val.Loss) {
		t.Errorf("%d evaluations, test %+v, validation %+v", len(r.History), r.Test, r.Val)
	}
	if r.Steps != int64(20*((r.Examples/20+63)/64)) {
		t.Errorf("%d steps, %d examples", r.Steps, r.Examples)
	}
}

func TestRegression(t *testing.T) {
	r := mustRun(t, Config{Data: "diabetes", Model: "mlp:16", Epochs: 30, DType: "float64"}, Options{})
	// The targets' standard deviation is 77; linear regression reaches an RMSE of about 55.
	if r.Test.RMSE > 65 || r.Test.RMSE < 40 || !math.IsNaN(r.Test.Accuracy) || r.Loss != "squared" {
		t.Errorf("test %+v, loss %s", r.Test, r.Loss)
	}
}

// The folder holds what the command line promises, and its parts agree with each other.
func TestRunFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "run")
	var kinds []Kind
	r := mustRun(t, small(), Options{Out: dir, Interval: -1, Progress: func(e Event) { kinds = append(kinds, e.Kind) }})
	for _, name := range []string{"run.json", "metrics.jsonl", "result.json", "checkpoint/model.safetensors", "checkpoint/optimizer.safetensors", "checkpoint/state.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	// params_sha256 is the digest of the tensors' bytes, in the layout's order, without any code of ours.
	b, err := os.ReadFile(filepath.Join(dir, "checkpoint/model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, i := range f.Tensors {
		h.Write(b[i.Offset : i.Offset+i.Size])
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != r.ParamsSHA256 {
		t.Errorf("digest of the tensors %s, params_sha256 %s", got, r.ParamsSHA256)
	}
	info, err := ReadRun(dir)
	if err != nil || info.Config.Seed != 7 || info.Settings["beta1"] != 0.9 || info.Data.SHA256 == "" || info.Machine.CPUs < 1 {
		t.Errorf("%+v, %v", info, err)
	}
	kept, err := ReadResult(dir)
	if err != nil || kept.ParamsSHA256 != r.ParamsSHA256 || kept.Test.Accuracy != r.Test.Accuracy || !math.IsNaN(kept.Val.Loss) {
		t.Errorf("%+v, %v", kept, err)
	}
	counts := map[string]int{}
	s, err := runlog.ReadFile(filepath.Join(dir, "metrics.jsonl"), func(r runlog.Record) error { counts[r.Kind]++; return nil })
	if err != nil || s.Damaged != 0 || counts["eval"] != 3 || counts["step"] != 69 || counts["event"] != 1 {
		t.Errorf("log: %v, %+v, %v", counts, s, err)
	}
	for kind, want := range map[Kind]int{EventStart: 1, EventStep: 69, EventEval: 3, EventDone: 1} {
		if got := len(slices.DeleteFunc(slices.Clone(kinds), func(k Kind) bool { return k != kind })); got != want {
			t.Errorf("%d events %s, want %d", got, kind, want)
		}
	}
	if _, err := Run(context.Background(), small(), Options{Out: dir}); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("a second run in the folder: %v", err)
	}
	if again, err := Resume(context.Background(), dir, Options{}); !errors.Is(err, ErrComplete) || again.ParamsSHA256 != r.ParamsSHA256 || again.Test.Loss != r.Test.Loss {
		t.Errorf("resume of a run that has ended: %v", err)
	}
}

func TestResultJSON(t *testing.T) {
	r := mustRun(t, small(), Options{})
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"method", "settings", "data", "model", "parameters", "seed", "dtype", "epochs", "steps", "examples", "train_loss", "test_loss", "test_accuracy",
		"wall_seconds", "cpu_seconds", "train_seconds", "steps_per_second", "peak_memory_bytes", "status", "params_sha256", "version"} {
		if _, ok := m[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"test_rmse", "val_loss"} {
		if _, ok := m[name]; ok {
			t.Errorf("%s is there", name)
		}
	}
	if m["parameters"] != 64.*16+16+16*10+10 {
		t.Errorf("parameters %v", m["parameters"])
	}
}

// The digest of the parameters does not depend on threads, evaluations or checkpoints.
func TestSameBits(t *testing.T) {
	want := mustRun(t, small(), Options{}).ParamsSHA256
	for name, change := range map[string]func(c *Config, o *Options){
		"one thread":      func(c *Config, o *Options) { c.Workers = 1 },
		"three threads":   func(c *Config, o *Options) { c.Workers = 3 },
		"evaluations":     func(c *Config, o *Options) { c.Eval = Eval{Every: 5, Batch: 17, Train: -1} },
		"checkpoints":     func(c *Config, o *Options) { o.Out = t.TempDir() + "/run"; c.Save.Steps = 10 },
		"early stopping":  func(c *Config, o *Options) { c.Guard.Policy = "rewind"; c.Guard.Every = 3 },
		"a target missed": func(c *Config, o *Options) { c.Target = Target{"test_accuracy", 1} },
	} {
		c, o := small(), Options{}
		change(&c, &o)
		if got := mustRun(t, c, o).ParamsSHA256; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	c := small()
	c.Seed = 8
	if mustRun(t, c, Options{}).ParamsSHA256 == want {
		t.Error("another seed gives the same parameters")
	}
}

func TestLimits(t *testing.T) {
	c := small()
	c.Epochs, c.Steps = 0, 30
	if r := mustRun(t, c, Options{}); r.Steps != 30 || r.Status != Completed || len(r.History) != 2 {
		t.Errorf("steps: %d, %s, %d evaluations", r.Steps, r.Status, len(r.History))
	}
	c.Steps, c.Budget = 0, 0.05
	if r := mustRun(t, c, Options{}); r.Status != BudgetSpent || r.TrainSeconds < 0.05 || r.TrainSeconds > 2 || r.History[len(r.History)-1].Step != r.Steps {
		t.Errorf("budget: %s after %g s", r.Status, r.TrainSeconds)
	}
	c.Budget, c.Epochs, c.Target = 0, 50, Target{"test_accuracy", 0.8}
	r := mustRun(t, c, Options{})
	if r.Status != TargetReached || r.Target == nil || r.Target.Value < 0.8 || r.Target.Step != r.Steps || r.Test.Accuracy != r.Target.Value || r.Epochs >= 50 {
		t.Errorf("target: %s, %+v", r.Status, r.Target)
	}
	c.Target = Target{"test_rmse", 0.8}
	if _, err := Run(context.Background(), c, Options{}); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("a target that does not exist: %v", err)
	}
}

func TestEarlyStopping(t *testing.T) {
	c := small()
	c.Epochs, c.Data, c.Model, c.Settings = 300, "breast-cancer", "mlp:64", map[string]float64{"lr": 0.02}
	c.EarlyStop = EarlyStop{Patience: 4, Restore: true}
	r := mustRun(t, c, Options{})
	if r.Status != Completed || r.Epochs >= 300 || !strings.Contains(r.Reason, "not improved") {
		t.Fatalf("%s after %d epochs: %s", r.Status, r.Epochs, r.Reason)
	}
	best := slices.MinFunc(r.History, func(a, b Evaluation) int {
		switch {
		case a.Val.Loss < b.Val.Loss:
			return -1
		case a.Val.Loss > b.Val.Loss:
			return 1
		}
		return 0
	})
	if last := r.History[len(r.History)-1]; best.Epoch != last.Epoch-4 || r.Val.Loss != best.Val.Loss {
		t.Errorf("best epoch %d (loss %g), last %d, result %g", best.Epoch, best.Val.Loss, last.Epoch, r.Val.Loss)
	}
	// The restored parameters are those of the best evaluation.
	c.Epochs, c.EarlyStop = best.Epoch, EarlyStop{}
	c.Val = 0.1
	if got := mustRun(t, c, Options{}).ParamsSHA256; got != r.ParamsSHA256 {
		t.Error("the parameters of the best evaluation were not restored")
	}
}

func TestStoppedRunSaysSo(t *testing.T) {
	dir := t.TempDir() + "/run"
	ctx, cancel := context.WithCancel(context.Background())
	r, err := Run(ctx, small(), Options{Out: dir, Interval: -1, Progress: func(e Event) {
		if e.Kind == EventStep && e.Step == 30 {
			cancel()
		}
	}})
	if err != nil || r.Status != Stopped || r.Steps != 30 || len(r.History) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	m, err := Load(dir)
	if err != nil || m.Step != 30 {
		t.Fatalf("%+v, %v", m, err)
	}
	// A context that is cancelled from the start trains nothing and changes nothing.
	if again, err := Resume(ctx, dir, Options{}); err != nil || again.Status != Stopped || again.Steps != 30 || again.ParamsSHA256 != r.ParamsSHA256 {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := Resume(context.Background(), t.TempDir(), Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("resume of no run: %v", err)
	}
}

func TestOneWriter(t *testing.T) {
	dir := t.TempDir() + "/run"
	var second error
	mustRun(t, small(), Options{Out: dir, Interval: -1, Progress: func(e Event) {
		if e.Kind == EventStep && e.Step == 2 {
			_, second = Resume(context.Background(), dir, Options{})
		}
	}})
	if second == nil || !strings.Contains(second.Error(), "another process") {
		t.Errorf("a second writer: %v", second)
	}
}

func TestValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	for want, c := range map[string]Config{
		"did you mean adam":             {Method: "adma"},
		"did you mean mlp":              {Model: "mpl:3"},
		"lr":                            {Settings: map[string]float64{"lrr": 1}},
		"setting lr is -1":              {Settings: map[string]float64{"lr": -1}},
		"did you mean relu":             {Activation: "relo"},
		"did you mean cross-entropy":    {Loss: "cros-entropy"},
		"did you mean float32":          {DType: "flaot32"},
		"batch: found -1":               {Batch: -1},
		"val: found NaN":                {Val: math.NaN()},
		"did you mean skip":             {Guard: Guard{Policy: "skp"}},
		"did you mean test_accuracy":    {Target: Target{"test_acuracy", 1}},
		"found 2, expected a number":    {Target: Target{"test_accuracy", 2}},
		"did you mean cosine":           {Schedule: "cosin"},
		"needs the length":              {Schedule: "cosine", Budget: 3},
		"save keep: found -1":           {Save: Save{Keep: -1}},
		"did you mean glorot":           {Init: "glorot-unifrm"},
		"eval every: found -2":          {Eval: Eval{Every: -2}},
		"early_stop patience: found -1": {EarlyStop: EarlyStop{Patience: -1}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%q: %v", want, err)
		}
	}
	if got, err := ParseTarget("test_accuracy = 0.97"); err == nil || got.Metric != "test_accuracy" {
		if got != (Target{"test_accuracy", 0.97}) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if _, err := ParseTarget("0.97"); err == nil {
		t.Error("a target without a metric")
	}
}

func TestConfigJSON(t *testing.T) {
	c := small().WithDefaults()
	c.Target, c.Settings = Target{"val_loss", 0.1}, map[string]float64{"lr": 0.1}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var got Config
	if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%+v\n%+v\n%v", got, c, err)
	}
}

// Evaluation, saving and logging are not training time.
func TestClocks(t *testing.T) {
	c := small()
	c.Eval = Eval{Every: 1, Train: -1}
	r := mustRun(t, c, Options{Progress: func(e Event) {
		if e.Kind == EventEval {
			time.Sleep(2 * time.Millisecond)
		}
	}})
	if r.WallSeconds < 0.002*float64(r.Steps)+r.TrainSeconds+r.EvalSeconds || r.StepsPerSecond != float64(r.Steps)/r.TrainSeconds {
		t.Errorf("wall %g, train %g, evaluation %g, %g steps a second", r.WallSeconds, r.TrainSeconds, r.EvalSeconds, r.StepsPerSecond)
	}
	if r.CPUSeconds <= 0 || r.PeakMemoryBytes < 1<<20 {
		t.Errorf("CPU %g s, peak %d bytes", r.CPUSeconds, r.PeakMemoryBytes)
	}
}

func readLog(dir string) (runlog.Stats, error) {
	return runlog.ReadFile(filepath.Join(dir, "metrics.jsonl"), func(runlog.Record) error { return nil })
}
