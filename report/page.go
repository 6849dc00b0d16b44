package report

import (
	"math"
	"time"
)

// Page is everything that the report shows.
type Page struct {
	Title    string    // heading, such as "9 methods on digits"
	Command  string    // command line that repeats the work
	Version  string    // of the program
	Created  time.Time // when the work ended
	Partial  string    // why the work is not complete; empty if it is
	Task     Task
	Target   *Target // nil if none was set
	Interval string  // what Method.Low and Method.High are, such as "least to greatest over 3 seeds"
	Protocol []Fact  // how the work was done: seeds, epochs, batch size, tuning
	Data     []Fact
	Model    []Fact
	Machine  []Fact
	Notes    []string // further remarks, in words
	Methods  []Method // in the order of the line-up, which fixes the colours
}

// Task says how the final value of a run is measured.
type Task struct {
	Metric string // "accuracy", "rmse" or "loss"
	Split  string // part of the data on which methods are ranked: "test", "val" or "train"
}

// Higher reports whether larger is better.
func (t Task) Higher() bool { return t.Metric == "accuracy" }

// Target is a value to reach.
type Target struct {
	Split, Metric string
	Value         float64
}

// Fact is a named remark in the tables of the page.
type Fact struct{ Name, Value string }

// Method is one training algorithm and its runs.
type Method struct {
	Name, Title, Formula, Paper, When, WhenNot string

	Rank        int     // 1 is best, equals share it; 0 if most runs gave no value
	Median      float64 // over the seeds, of the final value; NaN if none
	Low, High   float64 // spread, see Page.Interval
	WallSeconds float64 // median over the runs
	CPUSeconds  float64
	Steps       float64
	Parameters  int
	Status      string  // in words: "completed", "2 completed, 1 diverged"
	Failed      bool    // some run did not end well
	ToTarget    *Effort // median effort to the target; nil without a target or where most runs missed it
	Reached     int     // runs that reached the target
	Settings    []Setting
	Runs        []Run
	Tuning      *Tuning // nil if not tuned
}

// Effort is what it took to get somewhere.
type Effort struct{ Seconds, Steps, Epochs float64 }

// Setting is a setting in force.
type Setting struct {
	Name, Value, Default, Doc string
	Tuned                     bool
}

// Tuning is the search for the settings.
type Tuning struct {
	Setting string // name of the setting that was searched, such as "lr"
	Trials  []Trial
	Chosen  float64
	Seconds float64 // wall time of all trials
}

// Trial is one tried setting.
type Trial struct {
	Value  float64 // of the setting
	Result float64 // on the validation part; NaN if the trial diverged
	Status string
}

// Run is one training run.
type Run struct {
	Seed        uint64
	Status      string // completed, target-reached, budget-spent, diverged, stopped, failed
	Message     string // of the error, if any
	Folder      string
	Final       float64 // value that ranks; NaN if there is none
	WallSeconds float64
	CPUSeconds  float64
	Steps       int64
	Digest      string // SHA-256 of the final parameters
	Points      []Point
	Probes      []Probe
}

// Probe is one measurement of the curvature. Values are named MATRIX_QUANTITY, with the matrices hessian, ggn,
// preconditioned_hessian and preconditioned_ggn and the quantities max, trace, condition and spread; others are not drawn.
type Probe struct {
	Step, Examples int64
	Epoch, Seconds float64
	Values         map[string]float64
}

// Point is one evaluation.
type Point struct {
	Step, Examples   int64
	Epoch, Seconds   float64
	Train, Val, Test Score
	GradNorm         float64 // of the last batch
	StepSize         float64
	BatchLoss        float64 // mean over the steps since the last evaluation
}

// Score is the loss and the metric on one part of the data.
type Score struct{ Loss, Metric float64 }

// NoScore is a Score that was not measured.
var NoScore = Score{math.NaN(), math.NaN()}

// Diverged returns the number of trials without a result.
func (t *Tuning) Diverged() int {
	n := 0
	for _, trial := range t.Trials {
		if !finite(trial.Result) {
			n++
		}
	}
	return n
}
