package coord

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/descent-ml/descent/asymptotics/verdict"
)

// fit makes a row of the measurements of a quantity, by width and seed.
func (r *Report) fit(k key, samples [][]float64, at []int) Row {
	row := Row{Quantity: k.quantity, Name: k.name}
	if k.step >= 0 {
		row.Step = at[k.step]
	}
	var x, y, rel []float64
	diverged := false
	for i, s := range samples {
		var mean, sq float64
		for _, v := range s {
			mean += v / float64(len(s))
		}
		for _, v := range s {
			sq += (v - mean) * (v - mean)
		}
		se := 0.0
		if len(s) > 1 {
			se = math.Sqrt(sq / float64(len(s)*(len(s)-1)))
		}
		row.Values, row.SEs = append(row.Values, mean), append(row.SEs, se)
		diverged = diverged || math.IsNaN(mean) || math.IsInf(mean, 0)
		x, y, rel = append(x, float64(r.Widths[i])), append(y, mean), append(rel, se/math.Max(mean, math.SmallestNonzeroFloat64))
	}
	f := verdict.LogLog(x, y, nil)
	row.Slope, row.SlopeSE = f.Slope, math.Max(f.SE, propagated(x, rel))
	if diverged {
		row.Slope, row.SlopeSE, row.Verdict = math.Inf(1), 0, "diverged"
		return row
	}
	row.Verdict = r.verdict(row)
	if k.quantity == WeightChange {
		row.Verdict = ""
	}
	if k.quantity == Output && row.Verdict == "vanishing" {
		row.Known = "the output layer starts small: the random part of the output falls with the width"
	}
	return row
}

// propagated is the standard error of the slope of log y against log x, given relative errors of y.
func propagated(x, rel []float64) float64 {
	var mean, sxx, v float64
	for _, a := range x {
		mean += math.Log(a) / float64(len(x))
	}
	for i, a := range x {
		d := math.Log(a) - mean
		sxx += d * d
		v += d * d * rel[i] * rel[i]
	}
	return math.Sqrt(v) / sxx
}

// verdict compares a slope with the tolerance.
func (r *Report) verdict(row Row) string {
	s, tol := row.Slope, r.tolerance
	switch {
	case math.IsNaN(s):
		return "" // zero throughout
	case math.Abs(math.Abs(s)-tol) < 2*row.SlopeSE && math.Abs(s)+2*row.SlopeSE > tol:
		return "undecided"
	case s < -tol:
		return "vanishing"
	case s > tol:
		return "exploding"
	}
	return "stable"
}

// frozenSlope is the slope below which a tensor's own contribution counts as frozen. A contribution that settles has 1/N corrections, which
// look like a moderate slope at small widths; one that freezes falls by 1/√N or faster, also between the two largest widths.
const frozenSlope = -0.4

// lazySlope separates 1/√N, by which the activations of a lazy network move less and less, from 0.
const lazySlope = -0.3

// lastSlope is the slope between the two largest widths.
func (r *Report) lastSlope(row Row) float64 {
	n := len(r.Widths)
	return math.Log(row.Values[n-1]/row.Values[n-2]) / math.Log(float64(r.Widths[n-1])/float64(r.Widths[n-2]))
}

// conclude finds frozen tensors, whether the training is lazy, and whether all is stable.
func (r *Report) conclude() {
	last := 0
	for _, row := range r.Rows {
		last = max(last, row.Step)
	}
	hidden, vanishing := 0, 0
	r.Stable = true
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Quantity == OnlyThis && row.Step == last && row.Verdict == "vanishing" && row.Slope <= frozenSlope && r.lastSlope(*row) <= frozenSlope {
			r.Frozen = append(r.Frozen, row.Name)
		}
		if row.Quantity == ActivationChange && row.Step == last {
			hidden++
			if row.Slope <= lazySlope {
				vanishing++
			}
		}
		bad := row.Verdict == "vanishing" || row.Verdict == "exploding" || row.Verdict == "diverged"
		if row.Step == last && row.Quantity != OnlyThis && row.Known == "" && bad {
			r.Stable = false
		}
	}
	r.Stable = r.Stable && len(r.Frozen) == 0
	r.Lazy = hidden > 0 && vanishing == hidden
}

// Row returns the row of a quantity at the last step, or false.
func (r *Report) Row(q Quantity, name string) (Row, bool) {
	for i := len(r.Rows) - 1; i >= 0; i-- {
		if r.Rows[i].Quantity == q && r.Rows[i].Name == name {
			return r.Rows[i], true
		}
	}
	return Row{}, false
}

// Write prints the report as a table and sentences.
func (r *Report) Write(w io.Writer) error {
	fmt.Fprintf(w, "coordinate check: %s, %s, %d seeds [%s]\n", r.Parametrization, r.Method, r.Seeds, r.Label)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprint(t, "quantity\tof\tstep\t")
	for _, n := range r.Widths {
		fmt.Fprintf(t, "N=%d\t", n)
	}
	fmt.Fprintln(t, "slope\t± s.e.\tverdict")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%d\t", row.Quantity, row.Name, row.Step)
		for _, v := range row.Values {
			fmt.Fprintf(t, "%.4g\t", v)
		}
		verdict := row.Verdict
		if row.Known != "" {
			verdict += " (known: " + row.Known + ")"
		}
		fmt.Fprintf(t, "%.3f\t%.3f\t%s\n", row.Slope, row.SlopeSE, verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range r.Sentences() {
		if _, err := fmt.Fprintln(w, s); err != nil {
			return err
		}
	}
	return nil
}

// Sentences are the conclusions in words.
func (r *Report) Sentences() []string {
	var out []string
	if len(r.Frozen) > 0 {
		out = append(out, "frozen as the net widens: "+strings.Join(r.Frozen, ", ")+"; their own contribution to the output vanishes")
	}
	if r.Lazy {
		out = append(out, "lazy: the hidden activations' changes vanish with the width; no features are learnt in the limit")
	} else {
		out = append(out, "rich: hidden activations keep moving as the net widens; features are learnt")
	}
	if r.Stable {
		out = append(out, "stable: nothing but the known exceptions moves with the width")
	} else {
		out = append(out, "not stable: a rate tuned at one of these widths need not serve another")
	}
	return out
}

// MarshalJSON writes numbers that are not finite as null.
func (r Row) MarshalJSON() ([]byte, error) {
	type plain Row
	out := struct {
		plain
		Values  []any `json:"values"`
		SEs     []any `json:"ses"`
		Slope   any   `json:"slope"`
		SlopeSE any   `json:"slope_se"`
	}{plain: plain(r), Slope: number(r.Slope), SlopeSE: number(r.SlopeSE)}
	for i := range r.Values {
		out.Values, out.SEs = append(out.Values, number(r.Values[i])), append(out.SEs, number(r.SEs[i]))
	}
	return json.Marshal(out)
}

func number(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return x
}
