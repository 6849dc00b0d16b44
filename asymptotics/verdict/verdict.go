package verdict

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Label says on what a number rests.
type Label string

// The labels. Their texts are those of package asymptotics.
const (
	Theorem   Label = "theorem"
	Derived   Label = "derived, confirmed by simulation"
	Empirical Label = "empirical"
)

// Row is the outcome of one check.
type Row struct {
	ID        string  `json:"id"`        // short name, such as K1
	What      string  `json:"what"`      // what is compared, in words
	Expected  float64 `json:"expected"`  // the prediction
	Measured  float64 `json:"measured"`  // what was found
	SE        float64 `json:"se"`        // standard error of Measured; 0 where there is none
	Threshold float64 `json:"threshold"` // largest |Measured − Expected| that passes
	Pass      bool    `json:"pass"`
	Label     Label   `json:"label"`
}

// Within returns the row of a check that passes if |measured − expected| ≤ threshold. NaN fails.
func Within(id, what string, expected, measured, se, threshold float64, l Label) Row {
	return Row{id, what, expected, measured, se, threshold, math.Abs(measured-expected) <= threshold, l}
}

// Write prints the rows as a table, one line a check.
func Write(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "check\twhat\texpected\tmeasured\ts.e.\tthreshold\tverdict\tlabel")
	for _, r := range rows {
		pass := "ok"
		if !r.Pass {
			pass = "FAILS"
		}
		fmt.Fprintf(t, "%s\t%s\t%.5g\t%.5g\t%.2g\t%.3g\t%s\t%s\n", r.ID, r.What, r.Expected, r.Measured, r.SE, r.Threshold, pass, r.Label)
	}
	return t.Flush()
}

// String returns the row as one line.
func (r Row) String() string {
	var b strings.Builder
	pass := "ok"
	if !r.Pass {
		pass = "FAILS"
	}
	fmt.Fprintf(&b, "%s %s: expected %.5g, measured %.5g (s.e. %.2g), threshold %.3g: %s [%s]",
		r.ID, r.What, r.Expected, r.Measured, r.SE, r.Threshold, pass, r.Label)
	return b.String()
}

// Fit is the least-squares line y = Intercept + Slope·x with the standard error of the slope.
type Fit struct {
	Slope, Intercept, SE float64
}

// LogLog fits log y against log x; weight nil means equal weights. The standard error comes from the scatter about the line,
// so it needs three points; with two it is 0. Points with y ≤ 0 are left out; with fewer than two left the
// slope is NaN.
func LogLog(x, y, weight []float64) Fit {
	var sw, sx, sy, sxx, sxy float64
	n := 0
	use := func(f func(u, v, w float64)) {
		for i := range x {
			if !(x[i] > 0) || !(y[i] > 0) {
				continue
			}
			w := 1.0
			if weight != nil {
				w = weight[i]
			}
			f(math.Log(x[i]), math.Log(y[i]), w)
		}
	}
	use(func(u, v, w float64) { n++; sw += w; sx += w * u; sy += w * v })
	if n < 2 {
		return Fit{Slope: math.NaN(), Intercept: math.NaN(), SE: math.NaN()}
	}
	mx, my := sx/sw, sy/sw
	use(func(u, v, w float64) { sxx += w * (u - mx) * (u - mx); sxy += w * (u - mx) * (v - my) })
	f := Fit{Slope: sxy / sxx}
	f.Intercept = my - f.Slope*mx
	if n > 2 {
		var rss float64
		use(func(u, v, w float64) { r := v - f.Intercept - f.Slope*u; rss += w * r * r })
		f.SE = math.Sqrt(rss / float64(n-2) / sxx)
	}
	return f
}
