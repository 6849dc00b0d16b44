package optim

import (
	"fmt"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim/schedule"
)

// Hyper is a hyper-parameter whose value may follow a schedule.
type Hyper struct {
	Name     string
	Base     float64
	Schedule schedule.Schedule // nil: constant
}

// Fixed returns a hyper-parameter that keeps its value.
func Fixed(name string, value float64) *Hyper { return &Hyper{Name: name, Base: value} }

// At returns the value for the step that p describes: the base times the schedule's factor.
func (h *Hyper) At(p objective.Progress) float64 {
	if h.Schedule == nil {
		return h.Base
	}
	return h.Base * h.Schedule.Factor(p)
}

// zero reports whether the value is 0 whatever the schedule says.
func (h *Hyper) zero() bool { return h == nil || h.Base == 0 }

// hyper makes the hyper-parameter of a setting, with its schedule if env gives one.
func (env Env) hyper(s Settings, name string) (*Hyper, error) {
	h := Fixed(name, s[name])
	text, ok := env.Schedules[name]
	if !ok || text == "" {
		return h, nil
	}
	var err error
	if h.Schedule, err = schedule.Parse(text); err != nil {
		return nil, fmt.Errorf("optim: setting %s: %w", name, err)
	}
	return h, nil
}
