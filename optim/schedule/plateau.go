package schedule

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/objective"
)

// Plateau multiplies by Ratio whenever the evaluated loss has not fallen by the relative amount
// Threshold below the best so far in more than Patience evaluations one after the other. It is the
// only schedule with state, and must be used through a pointer.
type Plateau struct {
	Ratio     float64
	Patience  int
	Threshold float64 // relative; 1e-4 is usual

	factor float64 // product of the reductions so far
	best   float64
	bad    int64 // evaluations without improvement since the last improvement or reduction
}

// NewPlateau returns a plateau schedule with threshold 1e-4.
func NewPlateau(ratio float64, patience int) *Plateau {
	return &Plateau{Ratio: ratio, Patience: patience, Threshold: 1e-4, factor: 1, best: math.Inf(1)}
}

// Factor returns Ratio to the number of reductions so far.
func (s *Plateau) Factor(objective.Progress) float64 { return s.factor }

// NeedsHorizon returns false.
func (*Plateau) NeedsHorizon() bool { return false }

// String returns "plateau:RATIO@PATIENCE".
func (s *Plateau) String() string { return fmt.Sprintf("plateau:%g@%d", s.Ratio, s.Patience) }

// Observe tells the loss of an evaluation. A loss that is not a number is no improvement.
func (s *Plateau) Observe(loss float64) {
	// Written with an absolute value so that a negative loss must fall, too.
	if loss < s.best-s.Threshold*math.Abs(s.best) || math.IsInf(s.best, 1) && loss < s.best {
		s.best, s.bad = loss, 0
		return
	}
	s.bad++
	if s.bad > int64(s.Patience) {
		s.factor *= s.Ratio
		s.bad = 0
	}
}

// Var is a named piece of a schedule's state. Exactly one of the references is set.
type Var struct {
	Name  string
	Float *float64
	Int   *int64
}

// Vars returns references to the live state, for a checkpoint to read and a resume to write.
func (s *Plateau) Vars() []Var {
	return []Var{{Name: "factor", Float: &s.factor}, {Name: "best", Float: &s.best}, {Name: "bad", Int: &s.bad}}
}

// Find returns the plateau schedule within s, or nil.
func Find(s Schedule) *Plateau {
	switch s := s.(type) {
	case *Plateau:
		return s
	case Warmup:
		return Find(s.Then)
	}
	return nil
}
