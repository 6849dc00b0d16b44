package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/descent-ml/descent/train"
)

// Config says what to compare.
type Config struct {
	// Base is what all runs have in common. Its Method, Settings, Seed and Target are not used.
	Base    train.Config
	Methods []Method // the line-up; none twice
	Seeds   []uint64 // none twice
	Target  train.Target
	Tuning  Tuning
	Timeout time.Duration // limit of one run; 0: none
	Out     string        // folder of the comparison; "": nothing is kept
	Version string        // of the program, for the record

	// Run trains one model; nil: [train.Run]. A test sets its own.
	Run func(context.Context, train.Config, train.Options) (*train.Result, error)
	// Resume continues the run of a folder; nil: [train.Resume].
	Resume func(context.Context, string, train.Options) (*train.Result, error)
}

// Method is a method of the line-up with the settings that differ from its defaults.
type Method struct {
	Name     string             `json:"name"`
	Settings map[string]float64 `json:"settings,omitempty"`
}

// The statuses of a run beyond those of package train.
const (
	Failed  train.Status = "failed"   // ended with an error
	TimeOut train.Status = "time-out" // exceeded Config.Timeout
)

// Comparison is the outcome of [Compare].
type Comparison struct {
	Created   time.Time          `json:"created"`
	Version   string             `json:"version"`
	Command   string             `json:"command,omitempty"` // that repeats it; set by the caller
	Machine   []Fact             `json:"machine,omitempty"` // set by the caller
	DataInfo  []Fact             `json:"data_info,omitempty"`
	ModelInfo []Fact             `json:"model_info,omitempty"`
	Data      string             `json:"data"`
	Model     string             `json:"model"`
	Base      train.Config       `json:"base"`
	Methods   []Method           `json:"methods"`
	Seeds     []uint64           `json:"seeds"`
	Metric    string             `json:"metric"` // on which methods are ranked, such as test_accuracy
	Target    *train.Target      `json:"target,omitempty"`
	Partial   string             `json:"partial,omitempty"` // why it is not complete
	Results   []Cell             `json:"results"`
	Ranking   []Row              `json:"ranking"`
	Tuning    map[string]*Search `json:"tuning,omitempty"` // by method
	Seconds   float64            `json:"seconds"`          // wall time of this call
}

// Fact is a named remark.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Event tells how far a comparison is.
type Event struct {
	Kind   EventKind
	Cell   int // number of the cell, from 1
	Cells  int // in all, trials included
	Trial  bool
	Method string
	Seed   uint64
	Train  *train.Event // of Progress
	Result *Cell        // of Done
}

// EventKind is the kind of an [Event].
type EventKind uint8

// The kinds of events.
const (
	Start    EventKind = iota // a cell begins
	Progress                  // a cell goes on: Train is set
	Done                      // a cell ended: Result is set
)

// Compare runs the comparison and reports to progress, which may be nil, from the same goroutine.
func Compare(ctx context.Context, c Config, progress func(Event)) (*Comparison, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(Event) {}
	}
	if c.Run == nil {
		c.Run = train.Run
	}
	if c.Resume == nil {
		c.Resume = train.Resume
	}
	start := time.Now()
	base := c.Base.WithDefaults()
	base.Method, base.Settings, base.Seed, base.Target = "", nil, 0, train.Target{}
	result := &Comparison{
		Version: c.Version, Data: base.Data, Model: base.Model, Base: base, Methods: c.Methods, Seeds: c.Seeds,
		Results: []Cell{},
	}
	if c.Target.Metric != "" {
		result.Target = &c.Target
	}
	r := &runner{config: c, base: base, progress: progress, cells: len(c.Methods) * (len(c.Seeds) + c.Tuning.Trials)}
	var err error
	if r.store, err = openStore(c.Out); err != nil {
		return nil, err
	}
	tuned := map[string]float64{}
	if c.Tuning.Trials > 0 {
		result.Tuning = map[string]*Search{}
		for _, m := range c.Methods {
			s, err := r.search(ctx, m)
			if err != nil {
				return nil, err
			}
			result.Tuning[m.Name] = s
			tuned[m.Name] = float64(s.Chosen)
			if ctx.Err() != nil {
				break
			}
		}
	}
	for _, seed := range c.Seeds {
		for _, m := range c.Methods {
			if ctx.Err() != nil {
				continue
			}
			s := result.Tuning[m.Name]
			run := r.config.configOf(base, m, seed, s)
			if s != nil && math.IsNaN(tuned[m.Name]) {
				// Every trial diverged: the defaults speak for the method.
				run = r.config.configOf(base, m, seed, nil)
			}
			cell, err := r.run(ctx, run, false)
			if err != nil {
				return nil, err
			}
			result.Results = append(result.Results, *cell)
		}
	}
	done := 0
	for i := range result.Results {
		if result.Results[i].Result.Status != train.Stopped {
			done++
		}
	}
	if want := len(c.Methods) * len(c.Seeds); done < want {
		result.Partial = fmt.Sprintf("Stopped after %d of %d runs.", done, want)
	}
	result.Rank()
	result.Created = time.Now()
	result.Seconds = time.Since(start).Seconds()
	if err := r.store.write("compare.json", result); err != nil {
		return result, err
	}
	return result, nil
}

// Validate checks the configuration, the settings of every method included.
func (c Config) Validate() error {
	if len(c.Methods) == 0 {
		return errors.New("bench: no method to compare\nhint: name some, such as sgd,adam")
	}
	if len(c.Seeds) == 0 {
		return errors.New("bench: no seed\nhint: three seeds or more show the spread")
	}
	seen := map[string]bool{}
	base := c.Base.WithDefaults()
	base.Target = c.Target
	for _, m := range c.Methods {
		if seen[m.Name] {
			return fmt.Errorf("bench: method %s is in the line-up twice\nhint: name each method once", m.Name)
		}
		seen[m.Name] = true
		if err := c.configOf(base, m, 0, nil).Validate(); err != nil {
			return err
		}
	}
	seeds := map[uint64]bool{}
	for _, s := range c.Seeds {
		if seeds[s] {
			return fmt.Errorf("bench: seed %d is given twice\nhint: give each seed once", s)
		}
		seeds[s] = true
	}
	if c.Timeout < 0 {
		return fmt.Errorf("bench: time limit of a run is %v, expected more than 0\nhint: leave it out for none", c.Timeout)
	}
	return c.Tuning.validate(c)
}

// configOf returns the configuration of one run; s, if not nil, gives the tuned setting.
func (c Config) configOf(base train.Config, m Method, seed uint64, s *Search) train.Config {
	base.Method, base.Seed = m.Name, seed
	settings := make(map[string]float64, len(m.Settings)+1)
	for k, v := range m.Settings {
		settings[k] = v
	}
	if s != nil {
		settings[s.Setting] = float64(s.Chosen)
	}
	base.Settings = nil
	if len(settings) > 0 {
		base.Settings = settings
	}
	return base
}

// runner runs cells.
type runner struct {
	config   Config
	base     train.Config
	store    *store
	progress func(Event)
	cells    int
	cell     int
}

// run returns the cell of a configuration: from the store if it is there, else by training.
func (r *runner) run(ctx context.Context, c train.Config, trial bool) (*Cell, error) {
	r.cell++
	e := Event{Kind: Start, Cell: r.cell, Cells: r.cells, Trial: trial, Method: c.Method, Seed: c.Seed}
	r.progress(e)
	key := cellKey(c, r.config.Version, trial)
	cell := r.store.load(key)
	if cell != nil {
		cell.Reused = true
	} else {
		cell = r.train(ctx, c, trial, key, e)
		if trial {
			cell.forgetTest()
		}
		// A run that was cut off or failed for a reason outside is worth another attempt.
		if s := cell.Result.Status; s != train.Stopped && s != Failed && s != TimeOut {
			if err := r.store.save(key, cell); err != nil {
				return nil, err
			}
		}
	}
	if t := r.config.Target; t.Metric != "" && !trial {
		cell.Result.Target = cell.hit(t)
	}
	e.Kind, e.Result = Done, cell
	r.progress(e)
	return cell, nil
}

// train runs one cell. Whatever goes wrong becomes the cell's status.
func (r *runner) train(ctx context.Context, c train.Config, trial bool, key string, e Event) (cell *Cell) {
	cell = &Cell{Config: c}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if r.config.Timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, r.config.Timeout)
	}
	defer cancel()
	fail := func(reason string) {
		cell.Result = blank(c)
		cell.Result.Status, cell.Result.Reason = Failed, reason
	}
	defer func() {
		if p := recover(); p != nil {
			// A defect of one method must not end the comparison of the others.
			fail(fmt.Sprintf("internal error: %v", p))
			r.store.crash(key, fmt.Sprintf("%v\n\n%s", p, debug.Stack()))
		}
	}()
	o := train.Options{Version: r.config.Version, Progress: func(t train.Event) {
		if t.Kind == train.EventEval && t.Eval != nil {
			cell.Points = append(cell.Points, pointOf(t))
		}
		e.Kind, e.Train = Progress, &t
		r.progress(e)
	}}
	var result *train.Result
	var err error
	if !trial {
		var begun bool
		if o.Out, begun = r.store.runFolder(c, key); begun {
			// An earlier call was stopped in the middle of this run.
			if result, err = r.config.Resume(limited, o.Out, o); result == nil {
				o.Out = FreeFolder(o.Out) // what cannot be resumed is kept, and the run begun anew
				cell.Points = nil
			} else if points, e := readPoints(filepath.Join(o.Out, "metrics.jsonl")); e == nil {
				cell.Points = points
			}
		}
	}
	if result == nil {
		result, err = r.config.Run(limited, c, o)
	}
	if result == nil {
		fail(firstLine(err))
		return cell
	}
	cell.Result = *result
	cell.Result.History, cell.Result.Losses = nil, nil
	if len(cell.Points) == 0 {
		for i := range result.History {
			cell.Points = append(cell.Points, pointOf(train.Event{Eval: &result.History[i], GradNorm: math.NaN(), Rate: math.NaN()}))
		}
	}
	if result.Status == train.Stopped && ctx.Err() == nil {
		cell.Result.Status = TimeOut
		cell.Result.Reason = fmt.Sprintf("exceeded the limit of %v for one run", r.config.Timeout)
	}
	return cell
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// blank is the result of a run that gave none.
func blank(c train.Config) train.Result {
	nan := train.Quality{Loss: math.NaN(), Accuracy: math.NaN(), RMSE: math.NaN(), Calibration: math.NaN()}
	return train.Result{Method: c.Method, Settings: c.Settings, Data: c.Data, Model: c.Model, Seed: c.Seed, DType: c.DType, Batch: c.Batch,
		Train: nan, Val: nan, Test: nan}
}
