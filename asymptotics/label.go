package asymptotics

import "fmt"

// Label says on what a number or a statement rests. Every result carries one.
type Label string

const (
	// Theorem marks what is proved in the literature under its standing assumptions: smooth bounded activation,
	// squared loss, i.i.d. sampling, bounded zero-mean output weights.
	Theorem Label = "theorem"
	// Derived marks what follows from a calculation and was then confirmed by simulation, without a published proof.
	Derived Label = "derived, confirmed by simulation"
	// Empirical marks what was measured and has no formula.
	Empirical Label = "empirical"
)

// Error is what goes wrong with data or settings: what was asked, where, what was found and expected, and what to do.
type Error struct {
	What     string // the quantity, as "width" or "data point 3"
	Found    string
	Expected string
	Hint     string
}

// Error returns the sentence and, on a line of its own, the hint.
func (e *Error) Error() string {
	s := fmt.Sprintf("asymptotics: %s: found %s, expected %s", e.What, e.Found, e.Expected)
	if e.Hint != "" {
		s += "\nhint: " + e.Hint
	}
	return s
}

func bad(what, found, expected, hint string) error {
	return &Error{What: what, Found: found, Expected: expected, Hint: hint}
}
