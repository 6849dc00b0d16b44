package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/tensor"
	"github.com/goccy/go-yaml"
)

// problemFlags say what a shallow network learns and how. They win over the file.
type problemFlags struct {
	Problem    string  `group:"Problem" placeholder:"FILE" help:"YAML file with the fields of a problem (default: eight points of a sine)."`
	Data       string  `group:"Problem" placeholder:"NAME" help:"Data set, or a .csv, .npz or .npy file, in place of the problem's points."`
	DataDir    string  `group:"Problem" placeholder:"DIR" help:"Where data sets lie (default: DESCENT_DATA, else the user's cache folder)."`
	Label      string  `group:"Problem" placeholder:"COLUMN" help:"Column of a .csv file to predict (default: the last)."`
	Class      string  `group:"Problem" placeholder:"NAME" help:"Class that is told from the others, as 1 from -1 (default: the last)."`
	Examples   int     `group:"Problem" placeholder:"N" help:"Training examples that stand for the data (default 64)."`
	At         string  `group:"Problem" placeholder:"X,..." help:"Test points: numbers, or points with ; between them (default: the problem's, or four test examples)."`
	Activation string  `group:"Problem" placeholder:"NAME" help:"tanh (default), sigmoid, erf, sin, cos, softplus, gelu or relu."`
	OutputLaw  string  `group:"Problem" placeholder:"LAW" help:"Of output weights at the start (default uniform(-1,1)): uniform(a,b), normal(mean,sd), two-point(a,b,p), constant(a) or skewed."`
	WeightLaw  string  `group:"Problem" placeholder:"LAW" help:"Of input weights (default normal(0,1))."`
	BiasLaw    string  `group:"Problem" placeholder:"LAW" help:"Of biases (default normal(0,1)); none: no biases."`
	Alpha      float64 `group:"Training" placeholder:"A" help:"Rate α, free of the width: a step has rate α·N^(2γ-2) (default 4)."`
	Schedule   string  `group:"Training" placeholder:"SPEC" help:"Of α: constant (default), cosine, cosine:END or step:TIME,FACTOR."`
	Time       float64 `group:"Training" placeholder:"T" help:"Training time: T·N steps (default 3)."`
	Batch      int     `group:"Training" placeholder:"N" help:"Examples of a step (default 1)."`
	Sampling   string  `group:"Training" placeholder:"NAME" help:"iid (default), reshuffled, single-pass or full-batch."`
	Width      int     `group:"Network" placeholder:"N" help:"Hidden neurons."`
	Gamma      float64 `group:"Network" placeholder:"G" help:"Exponent γ of the output N^-γ Σ c σ(w·x), from 0.5 (kernel scaling) to 1 (mean field, default)."`
	Nodes      int     `group:"Accuracy" placeholder:"P" help:"Quadrature nodes of the initial law (default 2048)."`
	Steps      int     `group:"Accuracy" placeholder:"N" help:"Steps in time of the limit equations (default 300, more where they are stiff)."`
}

// problemSpec is a problem as a file has it.
type problemSpec struct {
	Name       string  `yaml:"name"`
	X          []any   `yaml:"x"` // numbers, or rows of numbers
	Y          []any   `yaml:"y"`
	Data       string  `yaml:"data"`
	Label      string  `yaml:"label"`
	Class      string  `yaml:"class"`
	Examples   int     `yaml:"examples"`
	Test       []any   `yaml:"test"`
	TestY      []any   `yaml:"test-y"`
	Activation string  `yaml:"activation"`
	Output     string  `yaml:"output"`
	Weight     string  `yaml:"weight"`
	Bias       string  `yaml:"bias"`
	Alpha      float64 `yaml:"alpha"`
	Schedule   string  `yaml:"schedule"`
	Time       float64 `yaml:"time"`
	Batch      int     `yaml:"batch"`
	Sampling   string  `yaml:"sampling"`
	Width      int     `yaml:"width"`
	Gamma      float64 `yaml:"gamma"`
}

// task is a problem that is ready to be solved.
type task struct {
	name   string
	p      asymptotics.Problem
	w      asymptotics.Width
	test   tensor.Tensor[float64]
	testY  []float64 // targets there; nil where they are not known
	points []string  // names of the test points
	o      asymptotics.Options
	facts  []report.Fact
	notes  []asymptotics.Finding
	alpha  float64 // at the start
}

// task reads file and flags. width is the default.
func (f problemFlags) task(out answerFlags, width int) (*task, error) {
	if err := out.check(); err != nil {
		return nil, err
	}
	s, err := f.spec()
	if err != nil {
		return nil, err
	}
	t := &task{name: s.Name, w: asymptotics.Width{N: s.Width, Gamma: s.Gamma}, alpha: s.Alpha,
		o: asymptotics.Options{Nodes: f.Nodes, Steps: f.Steps, Seed: out.Seed, Pool: out.pool()}}
	if t.w.N == 0 {
		t.w.N = width
	}
	if f.Nodes < 0 || f.Steps < 0 || f.Nodes > 1<<20 || f.Steps > 1<<20 {
		return nil, usage(fmt.Errorf("--nodes, --steps: found %d and %d, expected numbers from 1 to 1048576\nhint: leave them out for 2048 and 300", f.Nodes, f.Steps))
	}
	if err := t.fill(s, f); err != nil {
		return nil, err
	}
	if err := t.w.Check(); err != nil {
		return nil, plain(err)
	}
	if err := t.p.Check(); err != nil {
		return nil, plain(err)
	}
	t.describe(s)
	return t, nil
}

// spec puts the flags over the file and defaults under both.
func (f problemFlags) spec() (problemSpec, error) {
	var s problemSpec
	if f.Problem != "" {
		b, err := os.ReadFile(f.Problem)
		if err != nil {
			return s, usage(fmt.Errorf("--problem: %w\nhint: name a YAML file that is there", err))
		}
		if err := yaml.UnmarshalWithOptions(b, &s, yaml.Strict()); err != nil {
			return s, usage(fmt.Errorf("--problem %s: %s\nhint: the fields are name, x, y, data, label, class, examples, test, test-y, activation, output, weight, bias, alpha, schedule, time, batch, sampling, width and gamma", f.Problem, yaml.FormatError(err, false, true)))
		}
		if s.Name == "" {
			s.Name = f.Problem
		}
	}
	if f.Data != "" {
		s.X, s.Y, s.Test, s.TestY, s.Name = nil, nil, nil, nil, f.Data
	}
	set(&s.Data, f.Data)
	set(&s.Label, f.Label)
	set(&s.Class, f.Class)
	set(&s.Examples, f.Examples)
	set(&s.Activation, f.Activation)
	set(&s.Output, f.OutputLaw)
	set(&s.Weight, f.WeightLaw)
	set(&s.Bias, f.BiasLaw)
	set(&s.Alpha, f.Alpha)
	set(&s.Schedule, f.Schedule)
	set(&s.Time, f.Time)
	set(&s.Batch, f.Batch)
	set(&s.Sampling, f.Sampling)
	set(&s.Width, f.Width)
	set(&s.Gamma, f.Gamma)
	if f.At != "" {
		s.Test, s.TestY = nil, nil
		for _, row := range strings.Split(f.At, ";") {
			v, err := listOf("at", row)
			if err != nil {
				return s, err
			}
			if !strings.Contains(f.At, ";") {
				for _, x := range v {
					s.Test = append(s.Test, x)
				}
				break
			}
			var cells []any
			for _, x := range v {
				cells = append(cells, x)
			}
			s.Test = append(s.Test, cells)
		}
	}
	for to, v := range map[*string]string{&s.Activation: "tanh", &s.Output: "uniform(-1,1)", &s.Weight: "normal(0,1)", &s.Bias: "normal(0,1)", &s.Schedule: "constant", &s.Sampling: "iid"} {
		*to = orElse(*to, v)
	}
	for to, v := range map[*float64]float64{&s.Alpha: 4, &s.Time: 3, &s.Gamma: 1} {
		if *to == 0 {
			*to = v
		}
	}
	if s.Batch == 0 {
		s.Batch = 1
	}
	return s, nil
}

// fill makes the problem of a specification.
func (t *task) fill(s problemSpec, f problemFlags) error {
	t.p = asymptotics.BenchmarkA()
	t.test = asymptotics.BenchmarkTest()
	switch {
	case s.Data != "":
		if err := t.open(s, f.DataDir); err != nil {
			return err
		}
	case s.X != nil || s.Y != nil:
		x, err := rowsOf("x", s.X)
		if err != nil {
			return err
		}
		y, err := rowsOf("y", s.Y)
		if err != nil {
			return err
		}
		if x.IsZero() || y.IsZero() || y.Shape().Cols() != 1 || x.Shape().Rows() != y.Shape().Rows() {
			return usage(fmt.Errorf("--problem: x and y do not fit: found %d and %d rows, expected as many of both and one number a target\nhint: x: [-1, 0, 1] and y: [0.5, 0, 0.5]", len(s.X), len(s.Y)))
		}
		t.p.X, t.p.Y, t.test = x, append([]float64(nil), y.Data()...), tensor.Tensor[float64]{}
	default:
		t.name = orElse(t.name, "eight points of sin πx")
	}
	if len(s.Test) > 0 {
		x, err := rowsOf("test points", s.Test)
		if err != nil {
			return err
		}
		t.test, t.points, t.testY = x, nil, nil
	}
	if len(s.TestY) > 0 {
		y, err := rowsOf("test-y", s.TestY)
		if err != nil {
			return err
		}
		if t.test.IsZero() || y.Size() != t.test.Shape().Rows() {
			return usage(fmt.Errorf("--problem: found %d numbers in test-y, expected one for each row of test\nhint: test: [-0.5, 0.5] and test-y: [1, 2]", y.Size()))
		}
		t.testY = y.Data()
	}
	if builtIn := s.Data == "" && s.X == nil && s.Y == nil; builtIn && t.test.Shape().Cols() == 1 {
		t.testY = nil
		for _, x := range t.test.Data() {
			t.testY = append(t.testY, math.Sin(math.Pi*x))
		}
	}
	if t.test.IsZero() {
		t.test = t.p.X
		if k := t.p.X.Shape().Rows(); k > 4 {
			t.test = tensor.FromSlice(t.p.X.Data()[:4*t.p.X.Shape().Cols()], 4, t.p.X.Shape().Cols())
		}
	}
	if d := t.p.X.Shape().Cols(); t.test.Shape().Cols() != d {
		return usage(fmt.Errorf("--at: found test points of %d numbers, expected %d\nhint: numbers of a point with commas, points with ; between them", t.test.Shape().Cols(), d))
	}
	if t.points == nil {
		for i := range t.test.Shape().Rows() {
			if t.test.Shape().Cols() == 1 {
				t.points = append(t.points, "x = "+number(t.test.At(i, 0)))
			} else {
				t.points = append(t.points, fmt.Sprintf("point %d", i+1))
			}
		}
	}
	var err error
	if t.p.Activation, err = asymptotics.ActivationByName(s.Activation); err != nil {
		return plain(err)
	}
	if t.p.Sampling, err = asymptotics.SamplingByName(s.Sampling); err != nil {
		return plain(err)
	}
	if t.p.Init.Output, err = parseLaw("output-law", s.Output); err != nil {
		return err
	}
	if t.p.Init.Weight, err = parseLaw("weight-law", s.Weight); err != nil {
		return err
	}
	if t.p.Bias = s.Bias != "none"; t.p.Bias {
		if t.p.Init.Bias, err = parseLaw("bias-law", s.Bias); err != nil {
			return err
		}
	}
	t.p.T, t.p.Batch = s.Time, s.Batch
	t.p.Alpha, err = parseSchedule(s)
	return err
}

// open takes the points from a data set: inputs standardised and divided by √d, so that a typical input has length one.
func (t *task) open(s problemSpec, dir string) error {
	set, err := dataset.Open(s.Data, dataset.Options{Dir: dir, Label: s.Label, Val: -1})
	if err != nil {
		return err
	}
	count := s.Examples
	if count == 0 {
		count = 64
	}
	if count < 1 || count > set.Train.Len() {
		if s.Examples != 0 {
			return usage(fmt.Errorf("--examples: found %d, expected 1 to the %d training examples of %s\nhint: leave it out for 64", s.Examples, set.Train.Len(), s.Data))
		}
		count = set.Train.Len()
	}
	d := set.Input.Size()
	class := set.Classes - 1
	if set.Task == dataset.Classification && s.Class != "" {
		if class = slices.Index(set.ClassNames, s.Class); class < 0 {
			return usage(fmt.Errorf("--class: there is no class %q in %s\nhint: %s", s.Class, s.Data, nearest.Hint(s.Class, set.ClassNames, "the classes are "+strings.Join(set.ClassNames, ", "))))
		}
	}
	take := func(e dataset.Examples, n int) (tensor.Tensor[float64], []float64, error) {
		idx := make([]int32, n)
		for i := range idx {
			idx[i] = int32(i)
		}
		b := dataset.NewLoader[float64](e).Load(idx)
		x, y := append([]float64(nil), b.X.Data()...), make([]float64, n)
		for i := range x {
			x[i] /= math.Sqrt(float64(d))
		}
		switch set.Task {
		case dataset.Classification:
			for i, l := range b.Labels {
				y[i] = -1
				if int(l) == class {
					y[i] = 1
				}
			}
		default:
			if set.Outputs != 1 {
				return tensor.Tensor[float64]{}, nil, usage(fmt.Errorf("--data %s has %d target values an example, and the limits are for one\nhint: a table with one label column", s.Data, set.Outputs))
			}
			copy(y, b.Values.Data())
		}
		return tensor.FromSlice(x, n, d), y, nil
	}
	if t.p.X, t.p.Y, err = take(set.Train, count); err != nil {
		return err
	}
	k := min(4, set.Test.Len())
	if t.test, t.testY, err = take(set.Test, k); err != nil {
		return err
	}
	t.points = nil
	for i := range k {
		t.points = append(t.points, fmt.Sprintf("test %d", i+1))
	}
	if count < set.Train.Len() {
		t.notes = append(t.notes, asymptotics.Finding{Subject: "data " + s.Data, Severity: asymptotics.Note,
			Text:  fmt.Sprintf("the first %d of %d training examples stand for the law of the data", count, set.Train.Len()),
			Holds: "everything for networks that are trained on these examples; --examples takes more"})
	}
	if set.Task == dataset.Classification {
		name := strconv.Itoa(class)
		if class < len(set.ClassNames) {
			name = set.ClassNames[class]
		}
		t.name = fmt.Sprintf("%s, class %s against the others", s.Data, name)
		t.notes = append(t.notes, asymptotics.Finding{Subject: "targets", Severity: asymptotics.Note,
			Text: fmt.Sprintf("1 for class %s, -1 for the others, under the squared loss; the theory for cross-entropy is not built in", name)})
	}
	return nil
}

// rowsOf reads a list of numbers, or of lists of numbers, as a matrix.
func rowsOf(what string, v []any) (tensor.Tensor[float64], error) {
	var data []float64
	cols := 0
	for i, row := range v {
		cells, ok := row.([]any)
		if !ok {
			cells = []any{row}
		}
		if i == 0 {
			cols = len(cells)
		}
		for _, c := range cells {
			x, err := strconv.ParseFloat(fmt.Sprint(c), 64)
			if err != nil || !isFinite(x) {
				return tensor.Tensor[float64]{}, usage(fmt.Errorf("%s: row %d: found %v, expected a number\nhint: [-1, 0, 1], or [[0, 1], [1, 1]] for inputs of two numbers", what, i+1, c))
			}
			data = append(data, x)
		}
		if len(cells) != cols || cols == 0 {
			return tensor.Tensor[float64]{}, usage(fmt.Errorf("%s: row %d: found %d numbers, expected %d as in the first\nhint: all rows are equally long", what, i+1, len(cells), cols))
		}
	}
	if len(v) == 0 {
		return tensor.Tensor[float64]{}, nil
	}
	return tensor.FromSlice(data, len(v), cols), nil
}

// parseLaw reads NAME(numbers).
func parseLaw(flag, text string) (asymptotics.Law, error) {
	s := strings.ToLower(strings.ReplaceAll(text, " ", ""))
	wrong := func(expected string) error {
		return usage(fmt.Errorf("--%s: found %q, expected %s\nhint: uniform(-1,1), normal(0,1), two-point(-0.25,1,0.8), constant(0) or skewed", flag, text, expected))
	}
	if s == "skewed" {
		return asymptotics.SkewedOutput(), nil
	}
	name, rest, ok := strings.Cut(s, "(")
	inner, closed := strings.CutSuffix(rest, ")")
	if !ok || !closed {
		return nil, wrong("a law such as normal(0,1)")
	}
	v, err := listOf(flag, inner)
	if err != nil {
		return nil, err
	}
	switch {
	case name == "uniform" && len(v) == 2 && v[0] < v[1]:
		return asymptotics.Uniform{Lo: v[0], Hi: v[1]}, nil
	case name == "normal" && len(v) == 2 && v[1] > 0:
		return asymptotics.Normal{Mean: v[0], SD: v[1]}, nil
	case name == "two-point" && len(v) == 3 && v[2] > 0 && v[2] < 1:
		return asymptotics.TwoPoint{A: v[0], B: v[1], P: v[2]}, nil
	case name == "constant" && len(v) == 1:
		return asymptotics.Constant{Value: v[0]}, nil
	}
	return nil, wrong("uniform(low,high), normal(mean,sd), two-point(a,b,probability of a) or constant(a)")
}

func parseSchedule(s problemSpec) (asymptotics.Schedule, error) {
	name, rest, _ := strings.Cut(s.Schedule, ":")
	v, err := listOf("schedule", rest)
	if err != nil {
		return nil, err
	}
	switch {
	case name == "constant" && len(v) == 0:
		return asymptotics.ConstantRate(s.Alpha), nil
	case name == "cosine" && len(v) == 0:
		return asymptotics.CosineRate(s.Alpha, 0, s.Time), nil
	case name == "cosine" && len(v) == 1 && v[0] >= 0:
		return asymptotics.CosineRate(s.Alpha, v[0], s.Time), nil
	case name == "step" && len(v) == 2 && v[1] >= 0:
		return asymptotics.StepRate(s.Alpha, v[0], v[1]), nil
	}
	return nil, usage(fmt.Errorf("--schedule: found %q, expected constant, cosine, cosine:END or step:TIME,FACTOR\nhint: cosine:0.1 ends at a tenth of the rate", s.Schedule))
}

// describe says in words what is solved.
func (t *task) describe(s problemSpec) {
	d := t.p.X.Shape().Cols()
	laws := "output weights " + t.p.Init.Output.String() + ", input weights " + t.p.Init.Weight.String()
	if t.p.Bias {
		laws += ", biases " + t.p.Init.Bias.String()
	}
	rate := "α = " + number(s.Alpha)
	if s.Schedule != "constant" {
		rate += ", " + s.Schedule
	}
	t.facts = []report.Fact{
		{Name: "problem", Value: fmt.Sprintf("%s: %s, %s", t.name, plural(t.p.Examples(), "example"), plural(d, "input"))},
		{Name: "network", Value: fmt.Sprintf("N = %s, γ = %s: s = N^(1-γ) = %s; %s", grouped(t.w.N), number(t.w.Gamma), number(t.w.Scale()), t.p.Activation.Name)},
		{Name: "start", Value: laws},
		{Name: "training", Value: fmt.Sprintf("%s, time T = %s: %s steps of batch %d, %s; rate of a step %s", rate, number(t.p.T), grouped(t.p.Steps(t.w.N)), t.p.Batch, t.p.Sampling, number(s.Alpha*math.Pow(float64(t.w.N), 2*t.w.Gamma-2)))},
	}
}

// plain makes an error of the library one of the command line: settings that do not fit are wrong usage.
func plain(err error) error {
	var e *asymptotics.Error
	if errors.As(err, &e) {
		return usage(errors.New(strings.TrimPrefix(err.Error(), "asymptotics: ")))
	}
	return err
}

// refuse returns an error if some finding leaves a prediction without a basis.
func refuse(all []asymptotics.Finding) error {
	for _, f := range all {
		if f.Severity == asymptotics.Refused {
			return usage(fmt.Errorf("no prediction: %s: %s\nhint: still holds: %s", f.Subject, f.Text, f.Holds))
		}
	}
	return nil
}
