package curvaturestudy

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/descent-ml/descent/bench/internal/study"
	"github.com/descent-ml/descent/optim"
)

// Row is a line of a study: a method with what it is tried with.
type Row struct {
	Label string
	Setup
	Grid      []optim.Settings // trials of the tuning, on top of Settings; none: the settings are those of the reference
	Batch     int              // 0: the problem's
	Steps     int              // 0: the study's
	Reference []string         // what a reference prototype came to, in the columns of the study's table
}

// over returns the settings that give name each of the values.
func over(name string, values ...float64) []optim.Settings {
	var grid []optim.Settings
	for _, v := range values {
		grid = append(grid, optim.Settings{name: v})
	}
	return grid
}

// Bench runs rows on a problem and keeps the curves.
type Bench struct {
	Problem func() (*Problem, error) // called when a curve is not in the store
	Store   *study.Store
	problem *Problem
}

func (b *Bench) open() (*Problem, error) {
	if b.problem == nil {
		p, err := b.Problem()
		if err != nil {
			return nil, err
		}
		b.problem = p
	}
	return b.problem, nil
}

// Curve returns the run of a setup.
func (b *Bench) Curve(name string, s Setup, batch int, plan Plan) (Curve, error) {
	key := fmt.Sprintf("%s, %v, batch %d, %+v", name, s, batch, plan)
	return study.Do(b.Store, key, func() (Curve, error) {
		p, err := b.open()
		if err != nil {
			return Curve{}, err
		}
		if batch > 0 {
			p = p.With(batch)
		}
		return p.Run(s, plan)
	})
}

// Trial is a trial of a tuning.
type Trial struct {
	Settings optim.Settings
	Value    float64 // what it is judged by
	Diverged bool
	Edge     bool // the first or the last of the grid
}

// Tune returns the trials of a row, the best first: by the error on held images, the last ones of the training part, or with held 0
// by the training loss, after so many steps with a seed that no measurement uses.
func (b *Bench) Tune(name string, r Row, steps, held int) ([]Trial, error) {
	var trials []Trial
	for i, settings := range r.Grid {
		key := fmt.Sprintf("%s, trial of %v, batch %d, %d steps, %d held", name, r.With(settings), r.Batch, steps, held)
		trial, err := study.Do(b.Store, key, func() (Trial, error) {
			t := Trial{Settings: settings, Value: math.MaxFloat64}
			p, err := b.open()
			if err != nil {
				return t, err
			}
			if r.Batch > 0 {
				p = p.With(r.Batch)
			}
			if held > 0 {
				p = p.Validation(held)
			}
			c, err := p.Run(r.With(settings), Plan{Seed: tuningSeed, Steps: steps, Every: steps})
			if err != nil || c.Diverged {
				t.Diverged = true
				return t, err
			}
			if t.Value = c.Last().Test; held == 0 {
				t.Value = c.Last().Loss
			}
			return t, nil
		})
		if err != nil {
			return nil, err
		}
		trial.Edge = i == 0 || i == len(r.Grid)-1
		trials = append(trials, trial)
	}
	slices.SortStableFunc(trials, func(a, b Trial) int { return cmp.Compare(a.Value, b.Value) })
	return trials, nil
}

const tuningSeed = 1000

// Median returns the middle of the values, infinite where half of them are or there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.Inf(1)
	}
	v := slices.Clone(values)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// number prints v with the given decimals; what is infinite is a dash.
func number(v float64, decimals int) string {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.*f", decimals, v)
}
