package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train/safetensors"
)

// progress is the part of a session's state that is not an array: the contents of state.json. Together
// with the tensors that [session.tensors] lists it is all that a run needs to go on to the same bits.
// There is no generator state: random numbers are functions of the seed and of these counters.
type progress struct {
	Position dataset.Position `json:"sampler"`
	Step     int64            `json:"step"`
	Seen     int64            `json:"examples"`
	Seed     uint64           `json:"seed"`
	Counts   counts           `json:"counts"`
	Skipped  int64            `json:"skipped"`

	Guard    guardState `json:"guard"`
	Early    earlyState `json:"early_stop"`
	EvalDue  bool       `json:"evaluation_due"`   // the evaluation of this step is still to be made
	Probed   int64      `json:"probed,omitempty"` // 1 + the step of the latest probe; 0: none yet
	HasGood  bool       `json:"has_good"`         // optimizer.safetensors holds the last good point
	HasTrial bool       `json:"has_trial"`        // and the one on trial
	HasBest  bool       `json:"has_best"`         // and the best parameters

	Status   Status `json:"status,omitempty"` // "" while the run goes on
	Reason   string `json:"reason,omitempty"`
	Target   *Hit   `json:"target,omitempty"`
	Restored bool   `json:"restored,omitempty"` // the parameters are those of the best evaluation

	Seconds      exact `json:"train_seconds"`
	EvalSeconds  exact `json:"eval_seconds"`
	ProbeSeconds exact `json:"probe_seconds,omitempty"`
	Wall         exact `json:"wall_seconds"` // of the parts of the run that have ended
	CPU          exact `json:"cpu_seconds"`
	Peak         int64 `json:"peak_memory_bytes"`
	Log          int64 `json:"log_position"` // bytes of metrics.jsonl
}

type counts struct{ Values, Gradients, Products int64 }

type guardState struct {
	InARow int64 `json:"in_a_row"` // bad steps, up to now
	Rate   exact `json:"rate"`     // factor on the learning rate
	First  exact `json:"first"`    // loss of the first good step; NaN before it
}

type earlyState struct {
	Best     exact `json:"best"`
	BestStep int64 `json:"best_step"`
	Waited   int   `json:"waited"` // evaluations since the best
}

func newProgress() progress {
	return progress{Guard: guardState{Rate: 1, First: exact(math.NaN())}, Early: earlyState{Best: exact(math.Inf(1))}}
}

// exact is a float64 that goes through JSON without loss, NaN and infinities included, as a string.
type exact float64

// MarshalText writes the shortest decimal that reads back as the same number.
func (e exact) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(e), 'g', -1, 64), nil
}

// UnmarshalText reads what MarshalText wrote.
func (e *exact) UnmarshalText(b []byte) error {
	v, err := strconv.ParseFloat(string(b), 64)
	*e = exact(v)
	return err
}

// kept is a copy of a session's arrays: those of the model, and of the method where they are needed.
type kept[T tensor.Float] struct {
	params, stats []T
	method        optim.State[T]
}

// newKept returns storage for a copy of s's arrays.
func newKept[T tensor.Float](s *session[T], withMethod bool) *kept[T] {
	k := &kept[T]{params: make([]T, len(s.params)), stats: make([]T, len(s.stats))}
	if withMethod {
		for _, e := range s.method.State() {
			c := optim.StateEntry[T]{Name: e.Name}
			switch {
			case e.Int != nil:
				c.Int = new(int64)
			case e.Float != nil:
				c.Float = new(float64)
			case e.Double != nil:
				c.Double = make([]float64, len(e.Double))
			default:
				c.Vector = make([]T, len(e.Vector))
			}
			k.method = append(k.method, c)
		}
	}
	return k
}

// take copies params and, where k has them, the running statistics and the method's state of s.
func (k *kept[T]) take(s *session[T], params []T) error {
	copy(k.params, params)
	copy(k.stats, s.net.State())
	if k.method == nil {
		return nil
	}
	return k.method.CopyFrom(s.method.State())
}

// tensors lists the arrays of a checkpoint as references to the live state. commit stores the numbers
// that are not in arrays, after the tensors have been filled from a file.
func (s *session[T]) tensors() (model, optimizer []safetensors.Tensor, commit func()) {
	weights := s.params
	if s.eval != nil {
		weights = s.eval
		optimizer = append(optimizer, vector("params", s.params))
	}
	model = append(views(s.model.Layout(), weights), views(s.model.StateLayout(), s.net.State())...)

	var late []func()
	entries := func(prefix string, state optim.State[T]) {
		for _, e := range state {
			t := vector(prefix+e.Name, e.Vector)
			switch {
			case e.Int != nil:
				cell := []int64{*e.Int}
				t = safetensors.Tensor{Name: prefix + e.Name, Data: cell}
				late = append(late, func() { *e.Int = cell[0] })
			case e.Float != nil:
				cell := []float64{*e.Float}
				t = safetensors.Tensor{Name: prefix + e.Name, Data: cell}
				late = append(late, func() { *e.Float = cell[0] })
			case e.Double != nil:
				t = safetensors.Tensor{Name: prefix + e.Name, Shape: []int{len(e.Double)}, Data: e.Double}
			}
			optimizer = append(optimizer, t)
		}
	}
	entries("method/", s.method.State())
	for _, k := range []struct {
		name    string
		present bool
		kept    *kept[T]
	}{{"good", s.progress.HasGood, s.good}, {"trial", s.progress.HasTrial, s.trial}, {"best", s.progress.HasBest, s.best}} {
		if k.present {
			optimizer = append(optimizer, vector(k.name+"/params", k.kept.params), vector(k.name+"/stats", k.kept.stats))
			entries(k.name+"/method/", k.kept.method)
		}
	}
	return model, optimizer, func() {
		for _, f := range late {
			f()
		}
	}
}

func vector[T tensor.Float](name string, v []T) safetensors.Tensor {
	return safetensors.Tensor{Name: name, Shape: []int{len(v)}, Data: v}
}

// views lists the named parts of a buffer.
func views[T tensor.Float](l *nn.Layout, buf []T) []safetensors.Tensor {
	var ts []safetensors.Tensor
	for i := range l.Len() {
		p := l.At(i)
		ts = append(ts, safetensors.Tensor{Name: p.Name, Shape: p.Shape.Dims(), Data: nn.View(l, buf, i).Data()})
	}
	return ts
}

// paramsDigest returns the SHA-256 of the little-endian bytes of the parameter buffer.
func paramsDigest[T tensor.Float](params []T) string {
	h := sha256.New()
	const chunk = 1 << 12
	var buf []byte
	for lo := 0; lo < len(params); lo += chunk {
		buf = appendBytes(buf[:0], params[lo:min(len(params), lo+chunk)])
		h.Write(buf)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// parseProgress reads the state of a run of c.
func parseProgress(b []byte, c Config) (progress, error) {
	p := newProgress()
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("state.json: %w", err)
	}
	return p, p.validate(c)
}

// validate returns an error if p, read from a file, cannot be the state of a run of c.
func (p *progress) validate(c Config) error {
	if p.Step < 0 || p.Seen < 0 || p.Skipped < 0 || p.Log < 0 || p.Probed < 0 || p.Guard.InARow < 0 || p.Early.Waited < 0 {
		return fmt.Errorf("state.json: a counter is negative\nhint: the file was not written by descent")
	}
	if p.Seed != c.Seed {
		return fmt.Errorf("state.json: found seed %d, run.json has %d\nhint: the checkpoint belongs to another run", p.Seed, c.Seed)
	}
	if !(p.Guard.Rate > 0 && p.Guard.Rate <= 1) {
		return fmt.Errorf("state.json: found rate factor %g, expected a number in (0, 1]", float64(p.Guard.Rate))
	}
	return nil
}
