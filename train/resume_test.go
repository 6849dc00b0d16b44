package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

const runDir = "run"

// until runs the run in f, new or not, and stops it when step stop is done; 0: to its end.
func until(t testing.TB, f vfs.FS, c Config, stop int64) *Result {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := Options{Out: runDir, Interval: -1, files: f, Progress: func(e Event) {
		if e.Kind == EventStep && e.Step == stop {
			cancel()
		}
	}}
	var r *Result
	var err error
	if _, e := f.Size(filepath.Join(runDir, runFile)); e != nil {
		r, err = Run(ctx, c, o)
	} else {
		r, err = Resume(ctx, runDir, o)
	}
	if err != nil && !errors.Is(err, ErrComplete) {
		t.Fatal(err)
	}
	return r
}

// outcome is everything that must not depend on stops.
type outcome struct {
	Params              string
	Step, Examples      int64
	Status              Status
	Reason              string
	Evaluations         []Evaluation
	Losses              []LossPoint
	Model, Optimizer    []byte
	Gradients, Products int64
}

func outcomeOf(t testing.TB, f vfs.FS, r *Result) outcome {
	t.Helper()
	o := outcome{Params: r.ParamsSHA256, Step: r.Steps, Examples: r.Examples, Status: r.Status, Reason: r.Reason, Gradients: r.Gradients, Products: r.Products}
	for _, e := range r.History {
		// Times differ, and quantities that do not apply are NaN.
		o.Evaluations = append(o.Evaluations, Evaluation{Step: e.Step, Epoch: e.Epoch, Seen: e.Seen,
			Train: Quality{Loss: e.Train.Loss, Accuracy: e.Train.Accuracy}, Test: Quality{Loss: e.Test.Loss, Accuracy: e.Test.Accuracy}})
	}
	for _, p := range r.Losses {
		p.Seconds = 0
		o.Losses = append(o.Losses, p)
	}
	var err error
	if o.Model, err = vfs.ReadFile(f, filepath.Join(runDir, "checkpoint/model.safetensors"), 1<<30); err != nil {
		t.Fatal(err)
	}
	if o.Optimizer, err = vfs.ReadFile(f, filepath.Join(runDir, "checkpoint/optimizer.safetensors"), 1<<30); err != nil {
		t.Fatal(err)
	}
	return o
}

func mustEqual(t testing.TB, what string, got, want outcome) {
	t.Helper()
	a, b := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			if a.Field(i).Kind() == reflect.Slice && a.Field(i).Type().Elem().Kind() == reflect.Uint8 {
				t.Errorf("%s: %s differs", what, a.Type().Field(i).Name)
				continue
			}
			t.Errorf("%s: %s is %v, want %v", what, a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	}
}

// A run that is stopped and resumed, twice in one epoch and across the ends of epochs, ends on the
// same bits of parameters and method state, with the same evaluations and training curve, as one that is
// not; for every method, with one and two threads.
func TestResumeIsBitwise(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for i, spec := range catalogue.Table[float32]() {
		t.Run(spec.Name, func(t *testing.T) {
			c := small()
			c.Model, c.Method, c.Eval.Every, c.Workers = "mlp:12", spec.Name, 7, 1
			if i%3 == 2 {
				c.DType = "float64"
			}
			if x, ok := spec.Setting("lr"); ok && x.Schedulable {
				c.Schedule = []string{"warmup:0.1,cosine", "plateau:0.5@1", "step:0.5@0.3,0.6"}[i%3]
			}
			if spec.Needs&optim.AllExamples != 0 {
				c.Epochs *= 10 // a step each
			}
			f := vfs.NewMemory()
			want := outcomeOf(t, f, until(t, f, c, 0))
			for workers := 1; workers <= 2; workers++ {
				c.Workers = workers
				perEpoch := want.Step / 3
				first := 1 + rng.Int64N(perEpoch-3)
				second := first + 1 + rng.Int64N(perEpoch-1-first)
				stops := []int64{first, second, perEpoch + rng.Int64N(2), 2*perEpoch + rng.Int64N(perEpoch-1)}
				f := vfs.NewMemory()
				for _, k := range stops {
					if r := until(t, f, c, k); r.Status != Stopped || r.Steps != k {
						t.Fatalf("stopped at %d: %s at %d", k, r.Status, r.Steps)
					}
				}
				mustEqual(t, fmt.Sprintf("%d threads, stopped at %v", workers, stops), outcomeOf(t, f, until(t, f, c, 0)), want)
			}
		})
	}
}

// The same for early stopping, the guard's rewind and the parameters of the best evaluation.
func TestResumeKeepsCounters(t *testing.T) {
	c := small()
	c.Epochs, c.Eval.Every = 60, 4
	c.Settings = map[string]float64{"lr": 0.03}
	c.EarlyStop = EarlyStop{Patience: 5, Restore: true}
	c.Guard = Guard{Policy: "rewind", Every: 3}
	f := vfs.NewMemory()
	want := outcomeOf(t, f, until(t, f, c, 0))
	if want.Step > 600 {
		t.Fatalf("patience did not end the run before step %d", want.Step)
	}
	for _, stops := range [][]int64{{want.Step - 1}, {2, 3, 4, 5, want.Step / 2}, {want.Step - 15, want.Step - 10, want.Step - 5}} {
		f := vfs.NewMemory()
		for _, k := range stops {
			until(t, f, c, k)
		}
		mustEqual(t, fmt.Sprint("stopped at ", stops), outcomeOf(t, f, until(t, f, c, 0)), want)
	}
}

// A cancel in the middle of an evaluation leaves it due.
func TestStopInEvaluation(t *testing.T) {
	c := small()
	f := vfs.NewMemory()
	want := outcomeOf(t, f, until(t, f, c, 0))
	f = vfs.NewMemory()
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{Out: runDir, Interval: -1, files: f, Progress: func(e Event) {
		if e.Kind == EventStep && e.Step == 23 { // the last step of an epoch: the evaluation follows
			cancel()
		}
	}}
	r, err := Run(ctx, c, o)
	if err != nil || r.Status != Stopped || len(r.History) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	got := outcomeOf(t, f, until(t, f, c, 0))
	mustEqual(t, "stopped before the evaluation", got, want)
}

// Every call of the file system fails in turn while a run trains and saves, once and from then on. The
// run goes on to the same parameters; what was saved is whole; and a resumed run gets there too.
func TestEveryCallFails(t *testing.T) {
	c := small()
	c.Data, c.Model, c.Epochs, c.Steps, c.Save = "iris", "mlp:4", 0, 12, Save{Steps: 4}
	clean := &vfs.Faulty{FS: vfs.NewMemory()}
	want := until(t, clean, c, 0).ParamsSHA256
	total := clean.Calls()
	if total < 60 {
		t.Fatalf("%d calls: the test would not see much", total)
	}
	for at := 1; at <= total; at++ {
		for _, mode := range []string{"once", "for good", "half a write"} {
			m := vfs.NewMemory()
			f := &vfs.Faulty{FS: m, Short: mode == "half a write", Fail: func(n int, op, path string) error {
				if n == at || mode == "for good" && n > at {
					return &fs.PathError{Op: op, Path: path, Err: syscall.ENOSPC}
				}
				return nil
			}}
			what := fmt.Sprintf("call %d of %d fails %s", at, total, mode)
			r, err := Run(context.Background(), c, Options{Out: runDir, files: f})
			if err != nil && !strings.Contains(err.Error(), "no space left") {
				t.Fatalf("%s: %v", what, err)
			}
			if r == nil {
				if err == nil {
					t.Fatalf("%s: neither result nor error", what)
				}
				if at > 20 {
					t.Fatalf("%s: the run ended: %v", what, err)
				}
				continue // the run folder could not be made
			}
			if r.ParamsSHA256 != want || r.Status != Completed {
				t.Fatalf("%s: %s with parameters %s", what, r.Status, r.ParamsSHA256)
			}
			again, err := Resume(context.Background(), runDir, Options{files: m})
			if err != nil && !errors.Is(err, ErrComplete) || again.ParamsSHA256 != want {
				t.Fatalf("%s, then resume: %v", what, err)
			}
		}
	}
}

// The power fails at random calls; what was not synced is lost or survives in part. The resumed run
// ends on the same parameters.
func TestPowerFails(t *testing.T) {
	c := small()
	c.Data, c.Model, c.Epochs, c.Steps, c.Save = "iris", "mlp:4", 0, 12, Save{Steps: 3}
	want := until(t, vfs.NewMemory(), c, 0).ParamsSHA256
	rng := rand.New(rand.NewPCG(13, 14))
	lost := errors.New("power is out")
	began := 0
	for range 150 {
		m := vfs.NewMemory()
		for life := 0; ; life++ {
			at := 1 + rng.IntN(150)
			if life == 5 {
				at = 1 << 30
			}
			f := &vfs.Faulty{FS: m, Short: true, Fail: func(n int, _, _ string) error {
				if n >= at {
					return lost
				}
				return nil
			}}
			var r *Result
			var err error
			if _, e := readRun(m, runDir); e != nil {
				m.RemoveAll(runDir) // the power failed before the run had begun
				r, err = Run(context.Background(), c, Options{Out: runDir, files: f})
			} else {
				r, err = Resume(context.Background(), runDir, Options{files: f})
				began++
			}
			if err == nil || errors.Is(err, ErrComplete) {
				if r.ParamsSHA256 != want {
					t.Fatalf("life %d: parameters %s, want %s", life, r.ParamsSHA256, want)
				}
				break
			}
			if at == 1<<30 {
				t.Fatalf("life %d: %v", life, err)
			}
			m = m.Crash(func(n int) int { return []int{0, n, rng.IntN(n + 1)}[rng.IntN(3)] })
		}
	}
	if began < 100 {
		t.Errorf("%d resumes: the test did not see much", began)
	}
}

// The run folder is deleted while the run goes on: it is made again, with all that a resume needs.
func TestVanishedFolder(t *testing.T) {
	c := small()
	c.Save.Steps = 10
	want := mustRun(t, c, Options{}).ParamsSHA256
	m := vfs.NewMemory()
	r, err := Run(context.Background(), c, Options{Out: runDir, files: m, Interval: -1, Progress: func(e Event) {
		if e.Kind == EventStep && e.Step == 35 {
			m.RemoveAll(runDir)
		}
	}})
	if err != nil || r.ParamsSHA256 != want {
		t.Fatalf("%+v, %v", r, err)
	}
	if again, err := Resume(context.Background(), runDir, Options{files: m}); !errors.Is(err, ErrComplete) || again.ParamsSHA256 != want {
		t.Errorf("%v", err)
	}
}

// A damaged newest checkpoint is reported and set aside; the one before it leads to the same bits.
func TestDamagedCheckpointIsSetAside(t *testing.T) {
	c := small()
	c.Save.Steps = 10
	want := mustRun(t, c, Options{}).ParamsSHA256
	m := vfs.NewMemory()
	until(t, m, c, 45)
	path := filepath.Join(runDir, "checkpoint", "model.safetensors")
	b, err := vfs.ReadFile(m, path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 4
	w, _ := m.Create(path)
	w.Write(b)
	var warnings []string
	r, err := Resume(context.Background(), runDir, Options{files: m, Progress: func(e Event) {
		if e.Kind == EventWarning {
			warnings = append(warnings, e.Message)
		}
	}})
	if err != nil || r.ParamsSHA256 != want || r.Status != Completed {
		t.Fatalf("%+v, %v", r, err)
	}
	names, _ := m.ReadDir(runDir)
	if len(warnings) != 1 || !strings.Contains(warnings[0], `checksum mismatch in tensor "dense2.bias"`) || !strings.Contains(warnings[0], "step 40") ||
		!slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".corrupt") }) {
		t.Errorf("warnings %q, files %v", warnings, names)
	}
}

func TestChangedRunIsRefused(t *testing.T) {
	for name, change := range map[string][2]string{
		"another model":  {`"model": "mlp:16"`, `"model": "mlp:17"`},
		"another seed":   {`"seed": 7`, `"seed": 8`},
		"other data":     {`"sha256": "`, `"sha256": "0`},
		"no format":      {"descent-run", "other-run"},
		"a newer format": {`"version": 1`, `"version": 2`},
		"no JSON":        {`{`, `[`},
	} {
		m := vfs.NewMemory()
		until(t, m, small(), 30)
		path := filepath.Join(runDir, runFile)
		b, err := vfs.ReadFile(m, path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(b), change[0], change[1], 1)
		if changed == string(b) {
			t.Fatalf("%s: nothing to change in %s", name, b)
		}
		w, _ := m.Create(path)
		w.Write([]byte(changed))
		if r, err := Resume(context.Background(), runDir, Options{files: m}); err == nil {
			t.Errorf("%s was accepted: %s", name, r.Status)
		}
	}
}

func FuzzRunFile(f *testing.F) {
	m := vfs.NewMemory()
	until(f, m, small(), 3)
	b, err := vfs.ReadFile(m, filepath.Join(runDir, runFile), 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":"descent-run","version":1,"config":{},"data":{"task":"classification","outputs":3,"normalizer":{"input":[3]}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		info, err := parseRun(in)
		if err != nil {
			return
		}
		if n := tensor.ShapeOf(info.Data.Normalizer.Input...).Size(); n < 1 {
			t.Fatalf("accepted examples of %d features", n)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"step":3,"seed":7,"guard":{"rate":"0.5","first":"NaN"},"early_stop":{"best":"+Inf"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := parseProgress(in, small())
		if err == nil && (p.Step < 0 || !(p.Guard.Rate > 0) || p.Seed != 7) {
			t.Fatalf("accepted %s", in)
		}
	})
}
