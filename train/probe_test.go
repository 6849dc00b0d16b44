package train

import (
	"bytes"
	"context"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/train/runlog"
)

func probed(method string) Config {
	c := small()
	c.Model, c.Method, c.Epochs = "mlp:12", method, 3
	c.Probe = Probe{Kind: "curvature", Steps: 6, Samples: 2, Examples: 40}
	return c
}

// untimed leaves out what differs from run to run.
func untimed(points []ProbePoint) []ProbePoint {
	out := slices.Clone(points)
	for i := range out {
		out[i].Seconds, out[i].Cost = 0, 0
	}
	return out
}

// A probe changes no bit of the training: parameters, state of the method, evaluations and losses are those of the run without.
// What it measures has the same bits for every number of workers.
func TestProbeChangesNothing(t *testing.T) {
	for _, method := range []string{"sgd", "adam", "lookahead", "bnp", "bnp-adam", "kfac", "ekfac", "schedule-free-adamw"} {
		t.Run(method, func(t *testing.T) {
			c := probed(method)
			c.Probe = Probe{}
			f := vfs.NewMemory()
			want := outcomeOf(t, f, until(t, f, c, 0))
			var first []ProbePoint
			for workers := 1; workers <= 2; workers++ {
				c := probed(method)
				c.Workers = workers
				f := vfs.NewMemory()
				r := until(t, f, c, 0)
				mustEqual(t, "with a probe", outcomeOf(t, f, r), want)
				if workers == 1 {
					first = untimed(r.Probes)
				} else if !reflect.DeepEqual(untimed(r.Probes), first) {
					t.Errorf("two workers: %v\none: %v", untimed(r.Probes), first)
				}
			}
		})
	}
}

// A model with running statistics.
func TestProbeLeavesStatisticsAlone(t *testing.T) {
	for _, model := range []string{"resnet20"} {
		if testing.Short() {
			t.Skip("seconds of convolutions")
		}
		c := probed("sgd")
		c.Data, c.Model, c.Epochs, c.Steps, c.Batch = "digits", model, 0, 2, 8
		c.Eval.Train = 8
		c.Probe.Examples, c.Probe.Steps, c.Probe.Samples = 4, 1, 1
		with, err := Run(context.Background(), c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Probe = Probe{}
		without, err := Run(context.Background(), c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if with.ParamsSHA256 != without.ParamsSHA256 || with.Test.Loss != without.Test.Loss {
			t.Errorf("%s: the probe changed the run", model)
		}
	}
}

// A run that is stopped and resumed makes the same probes, wherever it was stopped; each once, in the result and in the log.
func TestProbesAreResumed(t *testing.T) {
	for _, method := range []string{"bnp", "kfac"} {
		c := probed(method)
		f := vfs.NewMemory()
		want := until(t, f, c, 0)
		perEpoch := want.Steps / 3
		for _, stops := range [][]int64{{1}, {perEpoch}, {perEpoch - 1, perEpoch, perEpoch + 1}, {want.Steps - 1}} {
			f := vfs.NewMemory()
			for _, k := range stops {
				until(t, f, c, k)
			}
			r := until(t, f, c, 0)
			if !reflect.DeepEqual(untimed(r.Probes), untimed(want.Probes)) {
				t.Errorf("%s, stopped at %v: %v\nnot stopped: %v", method, stops, untimed(r.Probes), untimed(want.Probes))
			}
			var logged []ProbePoint
			b, err := vfs.ReadFile(f, runDir+"/"+logFile, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			_, err = runlog.Read(bytes.NewReader(b), func(rec runlog.Record) error {
				if rec.Kind == "probe" {
					logged = append(logged, probeOf(rec))
				}
				return nil
			})
			if err != nil || !reflect.DeepEqual(logged, r.Probes) {
				t.Errorf("%s, stopped at %v: the log has %v, the result %v (%v)", method, stops, logged, r.Probes, err)
			}
		}
	}
}

// A probe that is stopped in the middle is made again; one at the end of the run too.
func TestStopInProbe(t *testing.T) {
	c := probed("kfac")
	f := vfs.NewMemory()
	want := until(t, f, c, 0)
	for _, when := range []int{0, 1, len(want.Probes) - 1} {
		f := vfs.NewMemory()
		s := &stopAfter{Context: context.Background(), left: math.MaxInt}
		seen := 0
		o := Options{Out: runDir, Interval: -1, files: f, Progress: func(e Event) {
			if e.Kind == EventProbe {
				seen++
			}
			if e.Kind == EventStart && when == 0 || e.Kind == EventStep && e.Step == want.Probes[when].Step {
				s.left = 5 // looks at the context
			}
		}}
		r, err := Run(s, c, o)
		if err != nil || r.Status != Stopped || seen != when {
			t.Fatalf("probe %d: %v, %v after %d probes", when, r, err, seen)
		}
		r = until(t, f, c, 0)
		if r.ParamsSHA256 != want.ParamsSHA256 || r.Steps != want.Steps || r.Status != want.Status || !reflect.DeepEqual(untimed(r.Probes), untimed(want.Probes)) {
			t.Errorf("probe %d: %s after %d steps with %d probes; not stopped %s after %d with %d", when, r.Status, r.Steps, len(r.Probes), want.Status, want.Steps, len(want.Probes))
		}
	}
}

// stopAfter is a context that ends after it was asked for its error so many times.
type stopAfter struct {
	context.Context
	left int
}

// Err counts.
func (s *stopAfter) Err() error {
	if s.left--; s.left < 0 {
		return context.Canceled
	}
	return nil
}

// When: before the first step, by the plan, at the end.
func TestProbeTimes(t *testing.T) {
	for every, want := range map[int][]int{0: {0, 1, 2, 4, 7}, 3: {0, 3, 6, 7}, 1: {0, 1, 2, 3, 4, 5, 6, 7}, 100: {0, 7}} {
		c := probed("sgd")
		c.Epochs, c.Probe.Every, c.Probe.Steps, c.Probe.Samples = 7, every, 2, 1
		r, err := Run(context.Background(), c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var epochs []int
		for _, p := range r.Probes {
			epochs = append(epochs, p.Epoch)
		}
		if !slices.Equal(epochs, want) {
			t.Errorf("every %d: after epochs %v, want %v", every, epochs, want)
		}
	}
}

// The names, and what must hold between the values.
func TestProbeValues(t *testing.T) {
	for method, preconditions := range map[string]bool{"sgd": false, "bnp": true, "kfac": true} {
		c := probed(method)
		c.DType, c.Probe.Steps, c.Probe.Samples = "float64", 30, 10
		r, err := Run(context.Background(), c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range r.Probes {
			for _, m := range ProbeMatrices() {
				have := m[0] != 'p' || preconditions && i > 0
				if v := p.Value(m + "_max"); math.IsNaN(v) == have {
					t.Errorf("%s, step %d: %s_max is %v", method, p.Step, m, v)
				}
				if !have {
					continue
				}
				for _, q := range []string{"max_error", "min", "min_error", "trace", "trace_error", "spread"} {
					if math.IsNaN(p.Value(m + "_" + q)) {
						t.Errorf("%s, step %d: no %s_%s", method, p.Step, m, q)
					}
				}
			}
			if v := p.Value("ggn_min"); v < -1e-10 {
				t.Errorf("%s, step %d: ggn_min %g of a semidefinite matrix", method, p.Step, v)
			}
			if v := p.Value("ggn_condition"); !(v > 1) {
				t.Errorf("%s, step %d: ggn_condition %g", method, p.Step, v)
			}
			if top, trace := p.Value("ggn_max"), p.Value("ggn_trace"); top > trace+4*p.Value("ggn_trace_error") {
				t.Errorf("%s, step %d: the largest eigenvalue %g exceeds the trace %g", method, p.Step, top, trace)
			}
			if p.Cost <= 0 {
				t.Errorf("cost %v", p.Cost)
			}
		}
	}
}

func TestParseProbe(t *testing.T) {
	for text, want := range map[string]Probe{"curvature": {Kind: "curvature"}, "curvature:5": {Kind: "curvature", Every: 5}} {
		if got, err := ParseProbe(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "curve", "curvature:", "curvature:0", "curvature:-1", "curvature:x", "curvature:2:3"} {
		if got, err := ParseProbe(text); err == nil && text != "" {
			t.Errorf("%q: %+v and no error", text, got)
		}
	}
}
