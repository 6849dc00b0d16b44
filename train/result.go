package train

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/descent-ml/descent/internal/vfs"
)

// Status says why a run ended.
type Status string

// The five ends of a run.
const (
	Completed     Status = "completed"      // all epochs or steps done, or early stopping's patience ended
	TargetReached Status = "target-reached" // the target's metric reached its value
	BudgetSpent   Status = "budget-spent"   // the budget of seconds is used up
	Diverged      Status = "diverged"       // the guard gave up; see divergence.json in the run folder
	Stopped       Status = "stopped"        // cancelled from outside; Resume goes on
)

// ErrComplete is wrapped by the error of [Resume] for a run that has ended and has nothing left to do;
// the run's [Result] comes with it.
var ErrComplete = errors.New("the run is complete")

// Options say where a run writes and who watches it. The zero Options run in memory, in silence.
type Options struct {
	// Out is the run folder. "": nothing is written. A folder that holds a run is an error.
	Out string
	// Progress is called, from the training goroutine, at the start, after steps (at most every
	// Interval), evaluations, saves and warnings, and at the end. It must not keep the pointers.
	Progress func(Event)
	// Interval is the least time between two Step events; 0: 100 ms, negative: every step.
	Interval time.Duration
	// Version is the program's version, for run.json; "": the module's own.
	Version string

	files    vfs.FS        // of the run folder; nil: the machine's
	patience time.Duration // between attempts at the last save
}

// Kind is the kind of an [Event].
type Kind string

// The kinds of events.
const (
	EventStart   Kind = "start"   // the data is loaded, the model built; Steps and Epochs are set
	EventStep    Kind = "step"    // a training step was made
	EventEval    Kind = "eval"    // Eval holds an evaluation
	EventProbe   Kind = "probe"   // Probe holds a measurement of the curvature
	EventSave    Kind = "save"    // a checkpoint was written
	EventWarning Kind = "warning" // Message says what is wrong: a failed save, a skipped step
	EventDone    Kind = "done"    // Message holds the status
)

// Event tells how far a run is.
type Event struct {
	Kind     Kind
	Step     int64         // steps done
	Steps    int64         // steps planned; 0: unknown
	Epoch    int           // epochs done
	Epochs   int           // epochs planned; 0: unknown
	Examples int64         // examples seen
	Loss     float64       // of the latest batch; NaN before the first
	Rate     float64       // learning rate of the latest step
	GradNorm float64       // of the latest batch
	Elapsed  time.Duration // training steps alone
	ETA      time.Duration // estimate until the end; 0: unknown
	Eval     *Evaluation   // of EventEval
	Probe    *ProbePoint   // of EventProbe
	Message  string        // of EventWarning, EventSave, EventDone
}

// Quality is how well a model does on one part of the data. NaN stands for what does not apply: the
// accuracy of a regression, everything where there is no such part.
type Quality struct {
	Examples    int     // evaluated
	Loss        float64 // mean
	Accuracy    float64 // fraction of the classes that are right
	RMSE        float64 // root of the mean squared error of a regression, in the units of the data
	Calibration float64 // expected calibration error of the class probabilities, 15 bins of equal width
}

// Evaluation is the quality of the model at one moment.
type Evaluation struct {
	Step             int64
	Epoch            int     // epochs done
	Seen             int64   // examples seen in training so far
	Seconds          float64 // of training steps so far
	EvalSeconds      float64 // what this evaluation took
	Train, Val, Test Quality
}

// Metric returns the value of the metric called name (see [Metrics]); NaN if there is none.
func (e *Evaluation) Metric(name string) float64 {
	part, rest, _ := strings.Cut(name, "_")
	q, ok := map[string]*Quality{"train": &e.Train, "val": &e.Val, "test": &e.Test}[part]
	if !ok {
		return math.NaN()
	}
	switch rest {
	case "loss":
		return q.Loss
	case "accuracy":
		return q.Accuracy
	case "rmse":
		return q.RMSE
	}
	return math.NaN()
}

// Hit is the moment at which a run first reached its target.
type Hit struct {
	Metric  string  `json:"metric"`
	Value   float64 `json:"value"`
	Step    int64   `json:"step"`
	Epoch   int     `json:"epoch"`
	Seconds float64 `json:"seconds"` // of training steps
}

// Result is the outcome of a run. Its JSON form is the object that the command line prints; a
// quantity that is NaN or infinite is absent there.
type Result struct {
	Method     string             `json:"method"`
	Settings   map[string]float64 `json:"settings"` // all of the method's, with the defaults
	Schedule   string             `json:"schedule,omitempty"`
	Data       string             `json:"data"`
	Model      string             `json:"model"`
	Loss       string             `json:"loss"`
	Parameters int                `json:"parameters"`
	Batch      int                `json:"batch"`
	Seed       uint64             `json:"seed"`
	DType      string             `json:"dtype"`

	Epochs   int   `json:"epochs"`
	Steps    int64 `json:"steps"`
	Examples int64 `json:"examples"`

	Train, Val, Test Quality `json:"-"` // in JSON: train_loss, test_accuracy, …

	WallSeconds     float64 `json:"wall_seconds"`  // all of it: loading, steps, evaluation, saving
	CPUSeconds      float64 `json:"cpu_seconds"`   // user and system time of the process meanwhile
	TrainSeconds    float64 `json:"train_seconds"` // training steps alone
	EvalSeconds     float64 `json:"eval_seconds"`
	ProbeSeconds    float64 `json:"probe_seconds,omitempty"`
	StepsPerSecond  float64 `json:"steps_per_second"` // Steps / TrainSeconds
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
	Gradients       int64   `json:"gradients"` // gradient evaluations that the method asked for
	Values          int64   `json:"values,omitempty"`
	Products        int64   `json:"products,omitempty"` // Hessian or Gauss-Newton products
	SkippedSteps    int64   `json:"skipped_steps,omitempty"`

	Status       Status       `json:"status"`
	Reason       string       `json:"reason,omitempty"` // a sentence on Status
	Target       *Hit         `json:"target,omitempty"` // when the target was reached
	ParamsSHA256 string       `json:"params_sha256"`
	Run          string       `json:"run,omitempty"` // the run folder
	Version      string       `json:"version"`
	Probes       []ProbePoint `json:"probes,omitempty"` // every measurement of the curvature, in order
	Extra        []Extra      `json:"-"`                // further quantities of the method (objective, residual)

	History []Evaluation `json:"-"` // every evaluation, in order
	Losses  []LossPoint  `json:"-"` // training curve as logged
}

// Extra is a named quantity that a method reports beyond the common ones.
type Extra struct {
	Name  string
	Value float64
}

// LossPoint is one logged training step.
type LossPoint struct {
	Step, Examples int64
	Seconds, Loss  float64
}

// MarshalJSON writes the result with its finite quantities.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result
	b, err := json.Marshal(plain(r))
	if err != nil {
		return nil, err
	}
	m := numbers{}
	for _, f := range r.quantities() {
		m.add(f.name, *f.value)
	}
	for _, e := range r.Extra {
		m.add(e.Name, e.Value)
	}
	return m.splice(b), nil
}

// UnmarshalJSON reads what MarshalJSON wrote; absent quantities are NaN.
func (r *Result) UnmarshalJSON(b []byte) error {
	type plain Result
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	for _, f := range r.quantities() {
		*f.value = math.NaN()
		if v, ok := raw[f.name]; ok {
			if err := json.Unmarshal(v, f.value); err != nil {
				return err
			}
		}
	}
	return nil
}

type quantity struct {
	name  string
	value *float64
}

func (r *Result) quantities() []quantity {
	return []quantity{
		{"train_loss", &r.Train.Loss}, {"train_accuracy", &r.Train.Accuracy}, {"train_rmse", &r.Train.RMSE},
		{"val_loss", &r.Val.Loss}, {"val_accuracy", &r.Val.Accuracy}, {"val_rmse", &r.Val.RMSE},
		{"test_loss", &r.Test.Loss}, {"test_accuracy", &r.Test.Accuracy}, {"test_rmse", &r.Test.RMSE},
		{"test_calibration_error", &r.Test.Calibration},
	}
}

// numbers is a list of JSON members with finite values.
type numbers struct{ text []byte }

func (n *numbers) add(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	k, _ := json.Marshal(name)
	x, _ := json.Marshal(v)
	n.text = append(append(append(append(n.text, ','), k...), ':'), x...)
}

// splice returns the JSON object with the members added at its end.
func (n *numbers) splice(object []byte) []byte {
	if len(n.text) == 0 {
		return object
	}
	return append(append(object[:len(object)-1:len(object)-1], n.text...), '}')
}
