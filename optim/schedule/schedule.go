package schedule

import (
	"fmt"
	"math"
	"strings"

	"github.com/descent-ml/descent/objective"
)

// Schedule is a factor on a hyper-parameter as a function of the progress of the training.
type Schedule interface {
	// Factor returns the factor for the step that p describes.
	Factor(p objective.Progress) float64
	// NeedsHorizon reports whether Factor needs to know the number of examples planned.
	NeedsHorizon() bool
	// String returns the schedule in the notation of [Parse].
	String() string
}

// fraction is x = Seen/Horizon in [0, 1]; 0 if the horizon is not known.
func fraction(p objective.Progress) float64 {
	if p.Horizon <= 0 {
		return 0
	}
	return min(1, max(0, float64(p.Seen)/float64(p.Horizon)))
}

// Constant is the factor 1.
type Constant struct{}

// Factor returns 1.
func (Constant) Factor(objective.Progress) float64 { return 1 }

// NeedsHorizon returns false.
func (Constant) NeedsHorizon() bool { return false }

// String returns "constant".
func (Constant) String() string { return "constant" }

// Cosine falls from 1 to End along half a period of the cosine (Loshchilov and Hutter, "SGDR", 2017,
// without restarts).
type Cosine struct{ End float64 }

// Factor returns End + (1−End)(1+cos πx)/2.
func (c Cosine) Factor(p objective.Progress) float64 {
	return c.End + (1-c.End)*(1+math.Cos(math.Pi*fraction(p)))/2
}

// NeedsHorizon returns true.
func (Cosine) NeedsHorizon() bool { return true }

// String returns "cosine" with the end, if it is not 0.
func (c Cosine) String() string { return withEnd("cosine", c.End, 0) }

// Linear goes from 1 to End in a straight line.
type Linear struct{ End float64 }

// Factor returns 1 + (End−1)x.
func (l Linear) Factor(p objective.Progress) float64 { return 1 + (l.End-1)*fraction(p) }

// NeedsHorizon returns true.
func (Linear) NeedsHorizon() bool { return true }

// String returns "linear" with the end, if it is not 0.
func (l Linear) String() string { return withEnd("linear", l.End, 0) }

// Polynomial falls from 1 to End as a power of what remains.
type Polynomial struct{ Power, End float64 }

// Factor returns End + (1−End)(1−x)^Power.
func (q Polynomial) Factor(p objective.Progress) float64 {
	return q.End + (1-q.End)*math.Pow(1-fraction(p), q.Power)
}

// NeedsHorizon returns true.
func (Polynomial) NeedsHorizon() bool { return true }

// String returns "polynomial:POWER,END".
func (q Polynomial) String() string { return fmt.Sprintf("polynomial:%g,%g", q.Power, q.End) }

// Exponential falls from 1 to End > 0 by the same ratio for the same number of examples.
type Exponential struct{ End float64 }

// Factor returns End^x.
func (e Exponential) Factor(p objective.Progress) float64 { return math.Pow(e.End, fraction(p)) }

// NeedsHorizon returns true.
func (Exponential) NeedsHorizon() bool { return true }

// String returns "exponential:END".
func (e Exponential) String() string { return withEnd("exponential", e.End, -1) }

// Step multiplies by Ratio at each of the parts At of the horizon.
type Step struct {
	Ratio float64
	At    []float64 // increasing, in (0, 1)
}

// Factor returns Ratio to the number of milestones that x has reached.
func (s Step) Factor(p objective.Progress) float64 {
	x, f := fraction(p), 1.0
	for _, a := range s.At {
		if x >= a {
			f *= s.Ratio
		}
	}
	return f
}

// NeedsHorizon returns true.
func (Step) NeedsHorizon() bool { return true }

// String returns "step:RATIO@A,B".
func (s Step) String() string {
	at := make([]string, len(s.At))
	for i, a := range s.At {
		at[i] = fmt.Sprintf("%g", a)
	}
	return fmt.Sprintf("step:%g@%s", s.Ratio, strings.Join(at, ","))
}

// OneCycle rises from Start to 1 at the part Peak of the horizon and falls to End, each along half a
// period of the cosine (Smith, "A disciplined approach to neural network hyper-parameters", 2018; here
// as widely used, without the counter-cycle of the momentum).
type OneCycle struct{ Peak, Start, End float64 }

// Factor returns the cosine arc from Start to 1 for x < Peak, from 1 to End after.
func (c OneCycle) Factor(p objective.Progress) float64 {
	x := fraction(p)
	if x < c.Peak {
		return arc(c.Start, 1, x/c.Peak)
	}
	return arc(1, c.End, (x-c.Peak)/(1-c.Peak))
}

func arc(from, to, x float64) float64 { return to + (from-to)*(1+math.Cos(math.Pi*x))/2 }

// NeedsHorizon returns true.
func (OneCycle) NeedsHorizon() bool { return true }

// String returns "one-cycle:PEAK,START,END".
func (c OneCycle) String() string { return fmt.Sprintf("one-cycle:%g,%g,%g", c.Peak, c.Start, c.End) }

// Warmup rises linearly to 1 over Length, a part of the horizon if at most 1 and a number of examples
// above, and is multiplied by Then, which runs over the remaining examples.
type Warmup struct {
	Length float64
	Then   Schedule // nil is Constant
}

// Factor returns min(1, (Seen+Batch)/length) times the factor of Then.
func (w Warmup) Factor(p objective.Progress) float64 {
	length := w.Length
	if length <= 1 {
		length *= float64(p.Horizon)
	}
	ramp := 1.0
	if length > 0 {
		ramp = min(1, float64(p.Seen+int64(p.Batch))/length)
	}
	if w.Then == nil {
		return ramp
	}
	if _, absolute := w.Then.(Step); !absolute && p.Horizon > 0 {
		skip := min(int64(length), p.Horizon-1)
		p.Seen, p.Horizon = max(0, p.Seen-skip), p.Horizon-skip
	}
	return ramp * w.Then.Factor(p)
}

// NeedsHorizon reports whether the length is a part of the horizon, or Then needs it.
func (w Warmup) NeedsHorizon() bool { return w.Length <= 1 || w.Then != nil && w.Then.NeedsHorizon() }

// String returns "warmup:LENGTH" and what follows.
func (w Warmup) String() string {
	s := fmt.Sprintf("warmup:%g", w.Length)
	if w.Then != nil {
		s += "," + w.Then.String()
	}
	return s
}

func withEnd(name string, end, usual float64) string {
	if end == usual {
		return name
	}
	return fmt.Sprintf("%s:%g", name, end)
}
