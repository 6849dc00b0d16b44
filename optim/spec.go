package optim

import (
	"fmt"
	"sort"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Spec describes one method of the catalogue: what it computes, from where, at what cost, with
// which settings, and how to make it. Everything that lists, documents, tunes or tests methods is
// made from it.
type Spec[T tensor.Float] struct {
	Name    string // as on the command line: lower case with hyphens
	Title   string // as the literature writes it
	Formula string // update rule as plain text, several lines; g gradient, p parameters, t = 1, 2, …
	Paper   string // where it comes from
	When    string // when to use it
	WhenNot string // when not to, and how it fails

	Settings         []Setting // own settings first, then those common to all methods
	MemoryFloats     float64   // kept for every parameter, state and temporaries, in numbers of its type; ema adds 1, accumulate 1
	GradientsPerStep int       // gradients of the batch evaluated in one step
	Invariances      Invariance
	Needs            Need // of the function, besides its gradient

	// Cost says what the method adds to the gradients of a batch on given parameters; nil: an elementwise method, whose
	// cost is MemoryFloats numbers and about ten flops a parameter.
	Cost func(l *nn.Layout, s Settings, batch int) Cost

	// New makes the method. The settings must be complete and valid: use [New] or
	// [Spec.Complete] first where they come from a user.
	New func(env Env, s Settings) (Method[T], error)
}

// Cost is what a method adds to the evaluation of gradients.
type Cost struct {
	Flops   float64 // of one step, averaged over the periods of work that is not done in every step
	Numbers float64 // kept from step to step, in numbers of the parameters' type
}

// CostOn returns the cost of a step with the complete settings given on parameters of layout l and a batch of so many examples.
func (s Spec[T]) CostOn(l *nn.Layout, given Settings, batch int) Cost {
	if s.Cost != nil {
		return s.Cost(l, given, batch)
	}
	n := float64(l.Size())
	return Cost{Flops: 10 * n, Numbers: s.MemoryFloats * n}
}

// Need is a set of questions that a method asks and that not every function answers (see package
// objective). Where the function does not, Step is an error that wraps [objective.ErrUnsupported].
type Need uint8

const (
	// Taps: the inputs of the affine layers ([objective.Tapped]), which every network gives.
	Taps Need = 1 << iota
	// Products: products with the Hessian or the Gauss–Newton matrix ([objective.Curvature]), which every network gives.
	Products
	// AllExamples: the layers of a multilayer perceptron ([objective.Layered]) on all training examples at once, in the same order at every
	// step. A training loop gives them whatever batch was asked for.
	AllExamples
)

// String lists the needs in words.
func (n Need) String() string {
	var words []string
	for k, word := range []string{"the inputs of a network's affine layers", "products with the Hessian", "all training examples at once, and a multilayer perceptron"} {
		if n&(1<<k) != 0 {
			words = append(words, word)
		}
	}
	if words == nil {
		return "nothing but gradients"
	}
	return strings.Join(words, ", ")
}

// Invariance is a set of exact properties that a method claims; the conformance tests hold it to
// them, with weight decay and clipping off.
type Invariance uint8

const (
	// GradientScale: multiplying the loss by a positive constant leaves the trajectory unchanged
	// (where an ε is added somewhere: in the limit of ε → 0).
	GradientScale Invariance = 1 << iota
	// Permutation: relabelling the coordinates relabels the trajectory and changes nothing else.
	Permutation
	// LayerScale: the relative change of a layer's weights in a step does not depend on the scale
	// of that layer's gradient.
	LayerScale
	// Rest: at a zero gradient from the first step on, the parameters stay where they are.
	Rest
)

// String lists the properties in words.
func (i Invariance) String() string {
	var words []string
	for k, word := range []string{"scale of the gradient", "permutation of the coordinates", "scale of one layer's gradient", "rest at zero gradient"} {
		if i&(1<<k) != 0 {
			words = append(words, word)
		}
	}
	if words == nil {
		return "none"
	}
	return strings.Join(words, ", ")
}

// Env is what a method is made for, besides its settings.
type Env struct {
	Layout *nn.Layout   // of the parameters; required
	Pool   *tensor.Pool // runs the loops; nil: the caller's goroutine alone
	// Schedules gives settings marked Schedulable a schedule, by the setting's name, in the
	// notation of [schedule.Parse]: {"lr": "warmup:0.1,cosine"}. The value used is the setting
	// times the schedule's factor.
	Schedules map[string]string
	// Network describes the network and its training data to methods that train the layers apart; nil where the
	// function is no network.
	Network *Network
	// RateFactors multiplies the learning rate of each parameter of the layout; nil: all one. [Descend] applies them, so they
	// reach the chains that end with it, and no other method. They are fixed: no part of a method's state.
	RateFactors []float64
}

// Network is what a method that trains the layers of a network apart must know before the first step.
type Network struct {
	Chain      []nn.ChainLayer // the layers of a multilayer perceptron
	ChainError error           // why the model is none
	Loss       string          // name of the loss at the output
	Examples   int             // of the training data
}

// Setting describes one hyper-parameter.
type Setting struct {
	Name        string
	Default     float64
	Min, Max    float64 // the values allowed
	OpenMin     bool    // Min itself is not allowed
	OpenMax     bool    // Max itself is not allowed
	Log         bool    // to be tuned on a logarithmic scale
	Integer     bool    // whole numbers only
	Switch      bool    // 0 is off, 1 is on
	Schedulable bool    // may be given a schedule
	Common      bool    // shared by all methods that are chains
	Doc         string  // one sentence: meaning and units
}

// Range returns the allowed values as text, such as "[0, 1)".
func (s Setting) Range() string {
	if s.Switch {
		return "0 or 1"
	}
	left, right := "[", "]"
	if s.OpenMin {
		left = "("
	}
	if s.OpenMax {
		right = ")"
	}
	text := fmt.Sprintf("%s%g, %g%s", left, s.Min, s.Max, right)
	if s.Integer {
		return "a whole number in " + text
	}
	return text
}

// Check returns an error that states the range if v is not allowed.
func (s Setting) Check(v float64) error {
	ok := v >= s.Min && v <= s.Max && !(s.OpenMin && v == s.Min) && !(s.OpenMax && v == s.Max)
	if s.Integer || s.Switch {
		ok = ok && v == float64(int64(v))
	}
	if ok {
		return nil
	}
	return fmt.Errorf("setting %s is %g, expected %s\nhint: %s; the default is %g", s.Name, v, s.Range(), s.Doc, s.Default)
}

// TuneRange returns the interval in which to search: three decades around the default of a
// logarithmic setting, cut to what is allowed; the allowed interval of any other.
func (s Setting) TuneRange() (lo, hi float64) {
	if !s.Log || s.Default <= 0 {
		return s.Min, s.Max
	}
	return max(s.Min, s.Default/100), min(s.Max, s.Default*10)
}

// Settings gives values to settings, by name.
type Settings map[string]float64

// On reports whether the named switch is on.
func (s Settings) On(name string) bool { return s[name] != 0 }

// Setting returns the description of the named setting.
func (s Spec[T]) Setting(name string) (Setting, bool) {
	for _, x := range s.Settings {
		if x.Name == name {
			return x, true
		}
	}
	return Setting{}, false
}

// Defaults returns the settings that are in force when none is given.
func (s Spec[T]) Defaults() Settings {
	d := make(Settings, len(s.Settings))
	for _, x := range s.Settings {
		d[x.Name] = x.Default
	}
	return d
}

// Complete returns given with the defaults filled in, or an error for a name that the method does
// not have (with the nearest ones) or a value out of range (with the range). given is not modified.
func (s Spec[T]) Complete(given Settings) (Settings, error) {
	full := s.Defaults()
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	sort.Strings(names) // the same error for the same settings
	for _, name := range names {
		x, ok := s.Setting(name)
		if !ok {
			return nil, fmt.Errorf("optim: method %s has no setting %q\nhint: %s", s.Name, name,
				nearest.Hint(name, s.settingNames(), "its settings are "+strings.Join(s.settingNames(), ", ")))
		}
		if err := x.Check(given[name]); err != nil {
			return nil, fmt.Errorf("optim: method %s: %w", s.Name, err)
		}
		full[name] = given[name]
	}
	return full, nil
}

func (s Spec[T]) settingNames() []string {
	names := make([]string, len(s.Settings))
	for i, x := range s.Settings {
		names[i] = x.Name
	}
	return names
}

// Lookup returns the named method of [Table], or an error with the nearest names.
func Lookup[T tensor.Float](name string) (Spec[T], error) { return Find(Table[T](), name) }

// Find returns the named method of a table, or an error with the nearest names.
func Find[T tensor.Float](table []Spec[T], name string) (Spec[T], error) {
	names := make([]string, len(table))
	for i, s := range table {
		if s.Name == name {
			return s, nil
		}
		names[i] = s.Name
	}
	return Spec[T]{}, fmt.Errorf("there is no method %q\nhint: %s", name,
		nearest.Hint(name, names, "the methods are "+strings.Join(names, ", ")))
}

// New makes the named method of [Table] with the given settings; those not given have their defaults.
func New[T tensor.Float](name string, env Env, given Settings) (Method[T], error) {
	spec, err := Lookup[T](name)
	if err != nil {
		return nil, err
	}
	return spec.Make(env, given)
}

// Make makes the method with the given settings; those not given have their defaults. Unknown names and
// values out of range are errors.
func (s Spec[T]) Make(env Env, given Settings) (Method[T], error) {
	full, err := s.Complete(given)
	if err != nil {
		return nil, err
	}
	if env.Layout == nil {
		panic("optim: Make: Env.Layout is nil")
	}
	if err := s.checkSchedules(env); err != nil {
		return nil, err
	}
	return s.New(env, full)
}

// checkSchedules refuses a schedule for a setting that does not exist or cannot have one.
func (s Spec[T]) checkSchedules(env Env) error {
	var can []string
	for _, x := range s.Settings {
		if x.Schedulable {
			can = append(can, x.Name)
		}
	}
	names := make([]string, 0, len(env.Schedules))
	for name := range env.Schedules {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if x, ok := s.Setting(name); !ok || !x.Schedulable {
			return fmt.Errorf("optim: method %s: setting %q cannot have a schedule\nhint: those that can are %s", s.Name, name, strings.Join(can, ", "))
		}
	}
	return nil
}
