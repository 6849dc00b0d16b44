package dataset

import (
	"fmt"
	"strings"

	"github.com/descent-ml/descent/tensor"
)

// Task is what is to be learned from a set.
type Task uint8

const (
	Classification Task = iota // one of Classes labels
	Regression                 // Outputs real numbers
	Reconstruction             // the input itself, scaled to [0, 1]
)

// String returns the task in lower case.
func (t Task) String() string {
	if int(t) < len(taskNames) {
		return taskNames[t]
	}
	return fmt.Sprintf("task(%d)", t)
}

var taskNames = [...]string{"classification", "regression", "reconstruction"}

// MarshalText returns the name of the task, so that it is words in JSON.
func (t Task) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText sets t to the task of that name.
func (t *Task) UnmarshalText(b []byte) (err error) {
	*t, err = TaskByName(string(b))
	return err
}

// TaskByName returns the task called name, in lower case.
func TaskByName(name string) (Task, error) {
	for i, n := range taskNames {
		if n == name {
			return Task(i), nil
		}
	}
	return 0, &Error{What: "unknown task", Found: name, Expected: strings.Join(taskNames[:], ", ")}
}

// Set is a data set, split and normalised, ready for training. It is not changed after [Open]
// returned it and may be used by several goroutines.
type Set struct {
	Name    string
	Title   string
	Source  string // who made it and where it is published
	Licence string
	Task    Task

	Input   tensor.Shape // of one example: [features], or [height width channels] for images
	Classes int          // number of classes; 0 unless the task is classification
	Outputs int          // numbers that a model has to put out for one example
	Image   bool         // Input is [height width channels]; augmentation is possible

	ClassNames []string // of classification, by label

	// Train, Val and Test are disjoint. Val may be empty, and the others are not.
	Train, Val, Test Examples

	// Normalizer is how features and targets were scaled, from the statistics of Train alone.
	Normalizer Normalizer

	// Split says in words how the three parts were made.
	Split string
}

// Options says where and how [Open] finds and cuts a set. The zero value is the default of everything.
type Options struct {
	// Dir is the data directory; empty: see [DataDir].
	Dir string

	// Seed of the split, and of the numbers that a generator draws. It is not the seed of a
	// training run: runs that are compared share one split.
	Seed uint64

	// Val is the fraction of the training examples that is set apart for validation: 0 means
	// 0.1, negative means none. At least one example is taken.
	Val float64

	// Test is the fraction set apart for testing where no test part is published: 0 means 0.2.
	// Published test parts stay as they are.
	Test float64

	// Label is the column to predict in a .csv file: its name, or its number from 1. Empty: the
	// last column.
	Label string

	// Task, if not empty, is "classification", "regression" or "reconstruction": it decides
	// where a file leaves open what its labels are.
	Task string

	// Hops is how far the features of a graph's nodes spread: 0 means 4, negative not at all.
	Hops int

	// Operator is how they spread: the name of an [Operator], empty for Renormalized.
	Operator string

	// Size is the number of examples that a generator draws for training and testing together;
	// 0: its default.
	Size int
}

// maxHops is more than any network looks over.
const maxHops = 64

// hops returns the number of hops in force.
func (o Options) hops() int {
	if o.Hops == 0 {
		return 4
	}
	return max(0, o.Hops)
}

func (o Options) validate() error {
	if !(o.Val < 1) {
		return &Error{What: "fraction for validation is out of range", Found: fmt.Sprint(o.Val), Expected: "less than 1 (0: the default 0.1; negative: none)"}
	}
	if !(o.Test >= 0 && o.Test < 1) {
		return &Error{What: "fraction for testing is out of range", Found: fmt.Sprint(o.Test), Expected: "0 ≤ test < 1 (0: the default 0.2)"}
	}
	if o.Size < 0 || o.Size > maxGenerated {
		return &Error{What: "number of examples to generate is out of range", Found: fmt.Sprint(o.Size), Expected: fmt.Sprintf("0 (the default) to %d", maxGenerated)}
	}
	if o.Hops > maxHops {
		return &Error{What: "number of hops is out of range", Found: fmt.Sprint(o.Hops), Expected: fmt.Sprintf("0 (the default, 4) to %d; negative: the features alone", maxHops)}
	}
	if _, err := OperatorByName(o.Operator); err != nil {
		return err
	}
	if o.Task != "" {
		if _, err := TaskByName(o.Task); err != nil {
			return err
		}
	}
	return nil
}

// AsReconstruction returns the set of the same examples whose target is the input itself. Features
// are scaled to [0, 1] without centring, as the Bernoulli loss of an autoencoder needs them: bytes by
// the value of white, others by the smallest and largest value of the training part (values of the
// other parts beyond are clipped). Storage is shared.
func (s *Set) AsReconstruction() *Set {
	if s.Task == Reconstruction {
		return s
	}
	r := *s
	r.Task, r.Classes, r.ClassNames, r.Outputs = Reconstruction, 0, nil, s.Input.Size()
	d := *s.Train.data
	d.task, d.outputs = Reconstruction, r.Outputs
	d.setNormalizer(unitNormalizer(&d, s.Train.rows))
	r.Normalizer = d.norm
	r.Train.data, r.Val.data, r.Test.data = &d, &d, &d
	return &r
}

// Error is what is wrong with a data file, a name or an option: what, where, found, expected, and
// what to do about it.
type Error struct {
	What     string
	Where    string // file, with line and column where it has them; empty if it is no file
	Found    string
	Expected string
	Hint     string
	Err      error // cause, if any
}

// Error returns the first line "dataset: where: what: cause", then found and expected, then a line that
// begins "hint:", as far as they are known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("dataset: ")
	if e.Where != "" {
		b.WriteString(e.Where + ": ")
	}
	b.WriteString(e.What)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	for _, l := range [][2]string{{"found: ", e.Found}, {"expected: ", e.Expected}, {"hint: ", e.Hint}} {
		if l[1] != "" {
			b.WriteString("\n" + l[0] + l[1])
		}
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
