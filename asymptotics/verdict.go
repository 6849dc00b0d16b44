package asymptotics

import (
	"fmt"
	"math"
)

// Verdict is one row of a check: what was expected, what was measured, and whether that passes.
type Verdict struct {
	ID        string // of the check, M1 … L6, Q1, Q2
	What      string
	Expected  float64
	Measured  float64
	SE        float64 // standard error of Measured; 0 where there is none
	Threshold string  // the rule, in words
	Pass      bool
	Label     Label
}

func (v Verdict) String() string {
	state := "pass"
	if !v.Pass {
		state = "FAIL"
	}
	se := ""
	if v.SE > 0 {
		se = fmt.Sprintf(" ± %.2g", v.SE)
	}
	return fmt.Sprintf("%s  %-4s %s: expected %.5g, measured %.5g%s (%s; %s)", state, v.ID, v.What, v.Expected, v.Measured, se, v.Threshold, v.Label)
}

// within is a verdict on |measured - expected| ≤ tol.
func within(id, what string, expected, measured, se, tol float64, l Label) Verdict {
	return Verdict{ID: id, What: what, Expected: expected, Measured: measured, SE: se, Label: l,
		Threshold: fmt.Sprintf("within %.3g", tol), Pass: math.Abs(measured-expected) <= tol}
}

// between is a verdict on lo ≤ measured ≤ hi.
func between(id, what string, expected, measured, se, lo, hi float64, l Label) Verdict {
	return Verdict{ID: id, What: what, Expected: expected, Measured: measured, SE: se, Label: l,
		Threshold: fmt.Sprintf("%.4g to %.4g", lo, hi), Pass: measured >= lo && measured <= hi}
}

// atMost is a verdict on measured ≤ bound.
func atMost(id, what string, expected, measured, se, bound float64, l Label) Verdict {
	return Verdict{ID: id, What: what, Expected: expected, Measured: measured, SE: se, Label: l,
		Threshold: fmt.Sprintf("at most %.4g", bound), Pass: measured <= bound}
}
