package train

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
)

// Config says everything about a training run that its result depends on. It is plain data: the zero
// value of every field means the default stated there, and the run folder keeps the Config with the
// defaults filled in, so that the run can be repeated.
type Config struct {
	Data     string  `json:"data" yaml:"data"`                             // name of a data set, or a file; "" is digits
	DataDir  string  `json:"data_dir,omitempty" yaml:"data_dir,omitempty"` // where data sets lie; "": DESCENT_DATA, else the user's cache
	Label    string  `json:"label,omitempty" yaml:"label,omitempty"`       // column of a CSV file to predict
	Val      float64 `json:"val,omitempty" yaml:"val,omitempty"`           // fraction of the training part held out for validation; 0: the data set's own
	DataSeed uint64  `json:"data_seed,omitempty" yaml:"data_seed,omitempty"`
	Hops     int     `json:"hops,omitempty" yaml:"hops,omitempty"`         // of a graph: how far features spread; 0: 4, negative: not at all
	Operator string  `json:"operator,omitempty" yaml:"operator,omitempty"` // of a graph: how they spread; "": renormalized

	Model      string `json:"model" yaml:"model"`                               // such as mlp:64,64, which "" is
	Activation string `json:"activation,omitempty" yaml:"activation,omitempty"` // "": the model's own
	Init       string `json:"init,omitempty" yaml:"init,omitempty"`             // "": the model's own
	Loss       string `json:"loss,omitempty" yaml:"loss,omitempty"`             // "": cross-entropy for classes, squared for numbers
	// Parametrization says how initial values and the learning rate of each parameter depend on the widths, as
	// [rates.Parse] reads it: standard (which "" is), mup, ntk, gamma:0.9.
	Parametrization string `json:"parametrization,omitempty" yaml:"parametrization,omitempty"`

	Method   string             `json:"method" yaml:"method"`                         // "": adam
	Settings map[string]float64 `json:"settings,omitempty" yaml:"settings,omitempty"` // of the method; what is not named has its default
	Schedule string             `json:"schedule,omitempty" yaml:"schedule,omitempty"` // of the learning rate, such as cosine or step:0.5,10; "": constant

	Epochs  int     `json:"epochs,omitempty" yaml:"epochs,omitempty"`   // passes over the training data; 0: 10, or no limit where Steps or Budget is set
	Steps   int64   `json:"steps,omitempty" yaml:"steps,omitempty"`     // stop after so many steps; 0: no limit
	Budget  float64 `json:"budget,omitempty" yaml:"budget,omitempty"`   // stop after so many seconds of training steps; 0: no limit
	Target  Target  `json:"target,omitzero" yaml:"target,omitempty"`    // stop when a metric reaches a value
	Batch   int     `json:"batch,omitempty" yaml:"batch,omitempty"`     // examples of a step; 0: 64; all, whatever it says, for methods that need all at once
	Seed    uint64  `json:"seed" yaml:"seed"`                           // of initial weights, batches, dropout
	DType   string  `json:"dtype" yaml:"dtype"`                         // float32, which "" is, or float64
	Workers int     `json:"workers,omitempty" yaml:"workers,omitempty"` // threads of a step; 0: one for each processor. The result does not depend on it.

	Guard     Guard     `json:"guard,omitzero" yaml:"guard,omitempty"`
	EarlyStop EarlyStop `json:"early_stop,omitzero" yaml:"early_stop,omitempty"`
	Eval      Eval      `json:"eval,omitzero" yaml:"eval,omitempty"`
	Save      Save      `json:"save,omitzero" yaml:"save,omitempty"`
	Probe     Probe     `json:"probe,omitzero" yaml:"probe,omitempty"`
}

// Target is a value that a metric has to reach. The zero Target is none.
type Target struct {
	Metric string  `json:"metric,omitempty" yaml:"metric,omitempty"` // one of [Metrics]
	Value  float64 `json:"value,omitempty" yaml:"value,omitempty"`
}

// Guard says what happens at a step whose loss or gradient is not finite, or whose loss is far above
// the first one. The zero Guard skips such steps and gives up after five in a row.
type Guard struct {
	// Policy is skip (the step is left out, which "" is), shrink (left out, and the learning rate is
	// multiplied by Factor for the rest of the run), rewind (parameters and method state go back to
	// the last good point, and the rate shrinks) or stop (the run ends as diverged at once).
	Policy string `json:"policy,omitempty" yaml:"policy,omitempty"`
	// Limit is the number of such steps in a row after which the run ends as diverged; 0: 5.
	Limit int `json:"limit,omitempty" yaml:"limit,omitempty"`
	// Factor multiplies the learning rate under shrink and rewind; 0: 0.5.
	Factor float64 `json:"factor,omitempty" yaml:"factor,omitempty"`
	// Explode is how many times the first loss (at least 1) a loss must exceed to count as bad; 0: 1000.
	Explode float64 `json:"explode,omitempty" yaml:"explode,omitempty"`
	// Every is the number of steps between two good points under rewind; 0: 100.
	Every int64 `json:"every,omitempty" yaml:"every,omitempty"`
}

// EarlyStop ends a run whose validation loss (where there is no validation part, training loss) has
// not improved for a while. The zero EarlyStop never does.
type EarlyStop struct {
	Patience int     `json:"patience,omitempty" yaml:"patience,omitempty"`   // evaluations without improvement; 0: off
	MinDelta float64 `json:"min_delta,omitempty" yaml:"min_delta,omitempty"` // smallest improvement that counts
	Restore  bool    `json:"restore,omitempty" yaml:"restore,omitempty"`     // end with the parameters of the best evaluation
}

// Eval says when the model is evaluated, which is not counted as training time.
type Eval struct {
	Every int64 `json:"every,omitempty" yaml:"every,omitempty"` // steps between evaluations; 0: at the end of every epoch
	Batch int   `json:"batch,omitempty" yaml:"batch,omitempty"` // examples evaluated at once; 0: 256
	Train int   `json:"train,omitempty" yaml:"train,omitempty"` // training examples evaluated with them (the first so many); 0: 10,000, -1: all
}

// Save says when checkpoints are written.
type Save struct {
	Seconds float64 `json:"seconds,omitempty" yaml:"seconds,omitempty"` // after so many seconds since the last one; 0: 30, negative: never
	Steps   int64   `json:"steps,omitempty" yaml:"steps,omitempty"`     // after every so many steps; 0: never
	// Epoch is the fewest seconds between two checkpoints at the ends of epochs; 0: 1 second,
	// negative: no checkpoint because of an epoch's end.
	Epoch float64 `json:"epoch,omitempty" yaml:"epoch,omitempty"`
	Keep  int     `json:"keep,omitempty" yaml:"keep,omitempty"` // checkpoints kept, the newest included; 0: 2
}

// Probe measures the curvature of the loss at moments of the training, on a fixed batch; see package objective/spectrum for what is
// measured and what it means. It costs time, which is not training time, and changes nothing: parameters have the same bits with it
// and without. The zero Probe measures nothing.
type Probe struct {
	Kind     string  `json:"kind,omitempty" yaml:"kind,omitempty"`         // curvature; "": none
	Every    int     `json:"every,omitempty" yaml:"every,omitempty"`       // epochs between two; 0: after 1, 2, 4, 8, … epochs. Always before the first step and at the end.
	Examples int     `json:"examples,omitempty" yaml:"examples,omitempty"` // evenly spaced examples of the training part, the same for every seed and method; 0: 256
	Steps    int     `json:"steps,omitempty" yaml:"steps,omitempty"`       // Lanczos vectors, at most 100; 0: 30
	Samples  int     `json:"samples,omitempty" yaml:"samples,omitempty"`   // of the traces; 0: 10
	Damping  float64 `json:"damping,omitempty" yaml:"damping,omitempty"`   // δ: the matrices have δI added
}

// ParseProbe reads a probe such as curvature, or curvature:5 for every fifth epoch.
func ParseProbe(s string) (Probe, error) {
	kind, every, given := strings.Cut(s, ":")
	p := Probe{Kind: kind}
	if given {
		var err error
		if p.Every, err = strconv.Atoi(every); err != nil || p.Every < 1 {
			return Probe{}, fmt.Errorf("probe %q: found %q epochs, expected a whole number from 1 on\nhint: for example curvature:5", s, every)
		}
	}
	return p, p.validate()
}

func (p Probe) validate() error {
	if p == (Probe{}) {
		return nil
	}
	for _, err := range []error{
		oneOf("probe", p.Kind, []string{"curvature"}),
		inRange("probe every", float64(p.Every), 0, 1e9),
		inRange("probe examples", float64(p.Examples), 0, 1e9),
		inRange("probe steps", float64(p.Steps), 0, 100),
		inRange("probe samples", float64(p.Samples), 0, 1e6),
		inRange("probe damping", p.Damping, 0, math.MaxFloat64),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Metrics are the names that a [Target] may give. A loss or error reaches its value from above, an
// accuracy from below.
func Metrics() []string {
	return []string{"train_loss", "train_accuracy", "train_rmse", "val_loss", "val_accuracy", "val_rmse", "test_loss", "test_accuracy", "test_rmse"}
}

// ParseTarget reads a target such as test_accuracy=0.97.
func ParseTarget(s string) (Target, error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return Target{}, fmt.Errorf("target %q: found no '=', expected metric=value\nhint: for example test_accuracy=0.97", s)
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil {
		return Target{}, fmt.Errorf("target %q: found %q, expected a number\nhint: for example test_accuracy=0.97", s, value)
	}
	t := Target{Metric: strings.TrimSpace(name), Value: v}
	return t, t.validate()
}

// Reached reports whether value fulfils the target.
func (t Target) Reached(value float64) bool {
	if strings.HasSuffix(t.Metric, "accuracy") {
		return value >= t.Value
	}
	return value <= t.Value
}

func (t Target) validate() error {
	if t.Metric == "" {
		return nil
	}
	if err := oneOf("target metric", t.Metric, Metrics()); err != nil {
		return err
	}
	if strings.HasSuffix(t.Metric, "accuracy") {
		return inRange("target "+t.Metric, t.Value, 0, 1)
	}
	return inRange("target "+t.Metric, t.Value, 0, math.MaxFloat64)
}

// WithDefaults returns the Config with every zero field replaced by what it stands for, as far as
// that does not depend on the data.
func (c Config) WithDefaults() Config {
	def(&c.Data, "digits")
	def(&c.Model, "mlp:64,64")
	def(&c.Method, "adam")
	def(&c.DType, "float32")
	def(&c.Batch, 64)
	if c.Epochs == 0 && c.Steps == 0 && c.Budget == 0 {
		c.Epochs = 10
	}
	def(&c.Guard.Policy, "skip")
	def(&c.Guard.Limit, 5)
	def(&c.Guard.Factor, 0.5)
	def(&c.Guard.Explode, 1000)
	def(&c.Guard.Every, 100)
	def(&c.Eval.Batch, 256)
	def(&c.Eval.Train, 10000)
	def(&c.Save.Seconds, 30)
	def(&c.Save.Epoch, 1)
	def(&c.Save.Keep, 2)
	if c.Probe.Kind != "" {
		def(&c.Probe.Examples, 256)
		def(&c.Probe.Steps, 30)
		def(&c.Probe.Samples, 10)
	}
	return c
}

// Validate checks everything that can be checked without the data: names of methods, models and
// settings with their ranges. The error names what was found and what is expected, and its line
// "hint:" gives the nearest names. Zero fields are valid.
func (c Config) Validate() error {
	c = c.WithDefaults()
	checks := []error{
		oneOf("dtype", c.DType, []string{"float32", "float64"}),
		oneOf("guard policy", c.Guard.Policy, []string{"skip", "shrink", "rewind", "stop"}),
		inRange("val", c.Val, 0, 0.9),
		inRange("epochs", float64(c.Epochs), 0, 1e9),
		inRange("steps", float64(c.Steps), 0, 1e15),
		inRange("budget", c.Budget, 0, 1e9),
		inRange("batch", float64(c.Batch), 1, 1e9),
		inRange("workers", float64(c.Workers), 0, 4096),
		inRange("guard limit", float64(c.Guard.Limit), 1, 1e9),
		inRange("guard factor", c.Guard.Factor, 1e-6, 1),
		inRange("guard explode", c.Guard.Explode, 1, math.MaxFloat64),
		inRange("guard every", float64(c.Guard.Every), 1, 1e15),
		inRange("early_stop patience", float64(c.EarlyStop.Patience), 0, 1e9),
		inRange("early_stop min_delta", c.EarlyStop.MinDelta, 0, math.MaxFloat64),
		inRange("eval every", float64(c.Eval.Every), 0, 1e15),
		inRange("eval batch", float64(c.Eval.Batch), 1, 1e9),
		inRange("eval train", float64(c.Eval.Train), -1, 1e12),
		inRange("save steps", float64(c.Save.Steps), 0, 1e15),
		inRange("save keep", float64(c.Save.Keep), 1, 1000),
		finite("save seconds", c.Save.Seconds),
		finite("save epoch", c.Save.Epoch),
		c.Target.validate(),
		c.Probe.validate(),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return c.validateNames()
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func oneOf(what, name string, known []string) error {
	for _, k := range known {
		if k == name {
			return nil
		}
	}
	return fmt.Errorf("%s %q is unknown, expected one of %s\nhint: %s", what, name, strings.Join(known, ", "),
		nearest.Hint(name, known, "take one of "+strings.Join(known, ", ")))
}

func inRange(what string, v, lo, hi float64) error {
	if v >= lo && v <= hi {
		return nil
	}
	bound := fmt.Sprintf("a number from %g to %g", lo, hi)
	if hi == math.MaxFloat64 {
		bound = fmt.Sprintf("a number from %g on", lo)
	}
	return fmt.Errorf("%s: found %g, expected %s\nhint: leave it out for the default", what, v, bound)
}

func finite(what string, v float64) error { return inRange(what, v, -math.MaxFloat64, math.MaxFloat64) }
