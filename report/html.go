package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
)

var (
	//go:embed assets/page.html
	pageHTML string
	//go:embed assets/page.css
	pageCSS string
	//go:embed assets/page.js
	pageJS string
	//go:embed assets/uPlot.iife.min.js
	chartJS string
	//go:embed assets/uPlot.min.css
	chartCSS string
	//go:embed assets/uPlot-LICENSE.txt
	chartLicence string
)

// Write renders the page.
func (p *Page) Write(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"seconds":  seconds,
		"count":    count,
		"metric":   func(v float64) string { return metricText(p.Task.Metric, v) },
		"number":   number,
		"plural":   plural,
		"dict":     func(k string, v any) map[string]any { return map[string]any{k: v} },
		"initials": func(s string) string { return s[:min(12, len(s))] },
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return t.Execute(w, view{
		Page:    p,
		Rows:    p.rows(),
		Summary: p.summary(),
		Charts:  p.charts(),
		CSS:     template.CSS(chartCSS + "\n" + pageCSS),
		// The files are ours, embedded above; nothing of a user goes through here.
		ChartJS: template.JS(chartJS),
		PageJS:  template.JS(pageJS),
		Licence: chartLicence,
	})
}

// view is what the template sees.
type view struct {
	*Page
	Rows            []row
	Summary         []string
	Charts          charts
	CSS             template.CSS
	ChartJS, PageJS template.JS
	Licence         string
}

// row is a line of the leaderboard with its range on the common scale, in per cent of the width.
type row struct {
	Method
	Index           int // in Page.Methods
	HasRange        bool
	From, Width, At float64
}

// rows returns the methods in the order of their ranks, those without one last.
func (p *Page) rows() []row {
	rows := make([]row, len(p.Methods))
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, m := range p.Methods {
		rows[i] = row{Method: m, Index: i}
		if m.Rank > 0 && finite(m.Low) && finite(m.High) {
			lo, hi = min(lo, m.Low), max(hi, m.High)
		}
	}
	// One method far off would press all others into a point: the scale starts no farther from the
	// best than six times the median distance from it.
	lo, hi = p.clip(lo, hi)
	scale := func(v float64) float64 {
		if hi <= lo {
			return 50
		}
		return 2 + 96*math.Max(0, math.Min(1, (v-lo)/(hi-lo)))
	}
	for i := range rows {
		m := &rows[i]
		if m.Rank == 0 || !finite(m.Low) || !finite(m.High) {
			continue
		}
		m.HasRange = true
		m.From, m.At = scale(m.Low), scale(m.Median)
		m.Width = math.Max(0.6, scale(m.High)-m.From)
	}
	sort.SliceStable(rows, func(a, b int) bool {
		ra, rb := rows[a].Rank, rows[b].Rank
		if (ra == 0) != (rb == 0) {
			return rb == 0
		}
		return ra < rb
	})
	return rows
}

func (p *Page) clip(lo, hi float64) (float64, float64) {
	var away []float64
	best := hi
	if !p.Task.Higher() {
		best = lo
	}
	for _, m := range p.Methods {
		if m.Rank > 0 && finite(m.Median) {
			away = append(away, math.Abs(m.Median-best))
		}
	}
	if len(away) < 4 {
		return lo, hi
	}
	sort.Float64s(away)
	reach := 6 * away[len(away)/2]
	if reach == 0 {
		return lo, hi
	}
	if p.Task.Higher() {
		return math.Max(lo, best-reach), hi
	}
	return lo, math.Min(hi, best+reach)
}

// summary says in words what the leaderboard shows, and no more than it shows.
func (p *Page) summary() []string {
	rows := p.rows()
	if len(rows) == 0 || rows[0].Rank == 0 {
		return []string{"No run ended with a value that could be ranked."}
	}
	best := rows[0]
	what := partName(p.Task.Split) + " " + p.Task.Metric
	var s []string
	if len(rows) == 1 {
		s = append(s, fmt.Sprintf("%s ended with a %s of %s after %s steps.", best.Name, what,
			metricText(p.Task.Metric, best.Median), count(best.Steps)))
		return s
	}
	many := len(best.Runs) > 1
	kind := what
	if many {
		kind = "median " + what
	}
	var first, overlap []string
	for _, r := range rows {
		switch {
		case r.Rank == 1:
			first = append(first, r.Name)
		case r.Rank > 0 && r.Low <= best.High && r.High >= best.Low:
			overlap = append(overlap, r.Name)
		}
	}
	verb := "has"
	if len(first) > 1 {
		verb = "share"
	}
	s = append(s, fmt.Sprintf("%s %s the best %s, %s.", list(first), verb, kind, metricText(p.Task.Metric, best.Median)))
	if many && len(overlap) > 0 {
		s = append(s, fmt.Sprintf("The range of %s over the seeds overlaps that of %s: %s do not tell them apart.",
			best.Name, list(overlap), plural(len(best.Runs), "seed")))
	}
	var quick *row
	for i := range rows {
		if r := &rows[i]; r.ToTarget != nil && (quick == nil || r.ToTarget.Seconds < quick.ToTarget.Seconds) {
			quick = r
		}
	}
	if quick != nil {
		s = append(s, fmt.Sprintf("%s was the first to reach the target: %s s, %s steps (median).", quick.Name,
			seconds(quick.ToTarget.Seconds), count(quick.ToTarget.Steps)))
	}
	var failed []string
	for _, r := range rows {
		if r.Failed {
			failed = append(failed, r.Name)
		}
	}
	if len(failed) > 0 {
		s = append(s, "Not every run of "+list(failed)+" ended well.")
	}
	return s
}

func list(names []string) string {
	if len(names) > 4 {
		names = append(append([]string(nil), names[:3]...), fmt.Sprintf("%d others", len(names)-3))
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func partName(split string) string {
	switch split {
	case "val":
		return "validation"
	case "train":
		return "training"
	}
	return split
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// seconds writes a duration with three significant digits.
func seconds(s float64) string {
	switch {
	case !finite(s):
		return "–"
	case s >= 99.5:
		return strconv.FormatFloat(s, 'f', 0, 64)
	case s >= 9.995:
		return strconv.FormatFloat(s, 'f', 1, 64)
	case s > 0 && s < 0.0995:
		return strconv.FormatFloat(s, 'f', 3, 64)
	}
	return strconv.FormatFloat(s, 'f', 2, 64)
}

// count writes a number of things with thin spaces between groups of three digits.
func count(v any) string {
	var f float64
	switch n := v.(type) {
	case int:
		f = float64(n)
	case int64:
		f = float64(n)
	case float64:
		f = n
	}
	if !finite(f) {
		return "–"
	}
	s := strconv.FormatFloat(math.Round(f), 'f', 0, 64)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 && len(s) > 4 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	if neg {
		return "−" + b.String()
	}
	return b.String()
}

// metricText writes accuracy as per cent and everything else with four significant digits.
func metricText(metric string, v float64) string {
	if !finite(v) {
		return "–"
	}
	if metric == "accuracy" {
		return strconv.FormatFloat(100*v, 'f', 2, 64) + "\u202f%"
	}
	return number(v)
}

func number(v float64) string {
	if !finite(v) {
		return "–"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
