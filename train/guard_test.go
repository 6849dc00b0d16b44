package train

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train/checkpoint"
)

// poisoned is a part that hands out a NaN in the batches of the given numbers.
type poisoned[T tensor.Float] struct {
	part[T]
	loads *int
	bad   []int
	value T
}

func (p poisoned[T]) Load(idx []int32) dataset.Batch[T] {
	b := p.part.Load(idx)
	*p.loads++
	if slices.Contains(p.bad, *p.loads) {
		b.X.Data()[3] = p.value
	}
	return b
}

// runPoisoned trains on digits with a feature replaced by value in the given batches, from 1.
func runPoisoned(t *testing.T, c Config, o Options, value float32, bad ...int) *Result {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c = c.WithDefaults()
	data, err := openSource[float32](c)
	if err != nil {
		t.Fatal(err)
	}
	data.train = poisoned[float32]{data.train, new(int), bad, value}
	s, err := newSession(c, o, data)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := s.create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	r, err := s.train(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var nan32 = float32(math.NaN())

func TestGuardSkips(t *testing.T) {
	c := small()
	c.Epochs = 10
	r := runPoisoned(t, c, Options{}, nan32, 5, 6, 30)
	if r.Status != Completed || r.SkippedSteps != 3 || r.Steps != 230 || r.Test.Accuracy < 0.85 {
		t.Errorf("%s, %d skipped of %d steps, test %+v", r.Status, r.SkippedSteps, r.Steps, r.Test)
	}
	// A skipped step leaves no trace: the same run with other bad values has the same parameters.
	if inf := runPoisoned(t, c, Options{}, float32(math.Inf(1)), 5, 6, 30); inf.ParamsSHA256 != r.ParamsSHA256 {
		t.Error("the kind of bad number shows in the parameters")
	}
}

func TestGuardGivesUp(t *testing.T) {
	dir := t.TempDir() + "/run"
	c := small()
	c.Guard.Limit = 3
	r := runPoisoned(t, c, Options{Out: dir}, nan32, 9, 10, 12, 13, 14)
	if r.Status != Diverged || r.Steps != 14 || !strings.Contains(r.Reason, "not finite") {
		t.Fatalf("%s at step %d: %s", r.Status, r.Steps, r.Reason)
	}
	b, err := os.ReadFile(filepath.Join(dir, "divergence.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d divergence
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	sampler := dataset.NewSampler(1437, c.Seed, false)
	var batch []int32
	for range 14 {
		batch = sampler.Next(64)
	}
	if d.Step != 14 || !slices.Equal(d.Batch, batch) || len(d.Layers) != 4 || d.Layers[0].Elements != 64*16 || d.Layers[0].NonFinite != 0 || d.Layers[0].RMS == "0" {
		t.Errorf("%+v", d)
	}
}

func TestGuardStops(t *testing.T) {
	c := small()
	c.Guard.Policy = "stop"
	if r := runPoisoned(t, c, Options{}, nan32, 9); r.Status != Diverged || r.Steps != 9 {
		t.Errorf("%s at step %d", r.Status, r.Steps)
	}
}

func TestGuardShrinks(t *testing.T) {
	c := small()
	c.Guard = Guard{Policy: "shrink", Factor: 0.1}
	var rates []float64
	r := runPoisoned(t, c, Options{Interval: -1, Progress: func(e Event) {
		if e.Kind == EventStep {
			rates = append(rates, e.Rate)
		}
	}}, nan32, 5, 30)
	for _, want := range []struct {
		step int
		rate float64
	}{{4, 1e-3}, {6, 1e-4}, {29, 1e-4}, {31, 1e-5}, {69, 1e-5}} {
		if got := rates[want.step-1]; math.Abs(got/want.rate-1) > 1e-12 {
			t.Errorf("step %d: rate %g, want %g", want.step, got, want.rate)
		}
	}
	if r.Status != Completed {
		t.Errorf("%s", r.Status)
	}
}

// A rate that explodes is mended by going back and shrinking; without that the run is lost.
func TestGuardRewinds(t *testing.T) {
	c := small()
	c.Method, c.Settings = "sgd", map[string]float64{"lr": 1e6}
	c.Epochs, c.Guard = 10, Guard{Policy: "rewind", Every: 5, Limit: 20, Factor: 0.005}
	r := mustRun(t, c, Options{})
	if r.Status != Completed || r.Test.Accuracy < 0.8 || r.SkippedSteps == 0 {
		t.Errorf("rewind: %s after %d bad steps, test %+v: %s", r.Status, r.SkippedSteps, r.Test, r.Reason)
	}
	for _, policy := range []string{"skip", "stop"} {
		c.Guard.Policy = policy
		if r := mustRun(t, c, Options{}); r.Status != Diverged {
			t.Errorf("%s: %s, test %+v", policy, r.Status, r.Test)
		}
	}
}

// The rewound, shrunk run resumes to the same bits.
func TestResumeAfterRewind(t *testing.T) {
	c := small()
	c.Method, c.Settings, c.Epochs = "momentum", map[string]float64{"lr": 1e5}, 3
	c.Guard = Guard{Policy: "rewind", Every: 5, Limit: 20, Factor: 0.1}
	f := vfs.NewMemory()
	r := until(t, f, c, 0)
	if r.SkippedSteps == 0 || r.Status != Completed {
		t.Fatalf("%s after %d bad steps", r.Status, r.SkippedSteps)
	}
	want := outcomeOf(t, f, r)
	for _, stops := range [][]int64{{1, 2, 3, 4, 5, 6}, {4, 10, 11, 40}} {
		f := vfs.NewMemory()
		for _, k := range stops {
			until(t, f, c, k)
		}
		mustEqual(t, "resumed", outcomeOf(t, f, until(t, f, c, 0)), want)
	}
}

// Parameters that are not finite never replace a good checkpoint.
func TestBadWeightsAreNotSaved(t *testing.T) {
	c := small()
	c.Method, c.Settings = "sgd", map[string]float64{"lr": 1e6}
	c.Guard = Guard{Policy: "stop"}
	c.Save.Steps = 1
	f := vfs.NewMemory()
	r := until(t, f, c, 0)
	if r.Status != Diverged {
		t.Fatalf("%s", r.Status)
	}
	store := &checkpoint.Store{FS: f, Dir: runDir}
	k, _, err := store.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for _, i := range k.Model.Tensors {
		v := make([]float32, i.Size/4)
		if err := k.Model.Load(i.Name, v); err != nil {
			t.Fatal(err)
		}
		for _, x := range v {
			if !finiteNumber(float64(x)) {
				t.Fatalf("%s of the checkpoint holds %g", i.Name, x)
			}
		}
	}
}
