package report

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// Figure is a drawing of curves and points in one pair of axes.
type Figure struct {
	Name    string // letters, digits and hyphens: its place on the page and the name of its file
	Title   string
	Caption string
	X, Y    Axis
	Series  []Series
	Wide    bool // over the whole width of the page
}

// Axis is the scale of a direction.
type Axis struct {
	Label string
	Log   bool
	// From and To bound the axis where they differ; otherwise the data do.
	From, To float64
	Ticks    []float64 // where to put ticks; nil: at round numbers
}

// Mark is how a series is drawn.
type Mark uint8

// The marks.
const (
	Line   Mark = iota // a line through the points
	Points             // a disk a point, with error bars where Low and High are set
	Band               // the area between Low and High
	Thin               // a faint line, for many curves of one kind
	Stems              // a stroke from zero, or from the lower edge, to each point
)

// Series is a set of points that belong together. Numbers that are not finite, and those not positive on a logarithmic axis, are left
// out.
type Series struct {
	Name      string // in the key; empty: not there
	Mark      Mark
	X, Y      []float64
	Low, High []float64
	Colour    int // of the page's palette of ten
	Dashed    bool
}

// drawingCSS styles a drawing in the page; a file of its own carries it with the palette.
const drawingCSS = `.drawing text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--soft); }
.drawing text.key { fill: var(--ink); }
.drawing .grid { stroke: var(--line); stroke-width: 1; }
.drawing .axis { stroke: var(--soft); stroke-width: 1; }
.drawing .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.drawing .thin { fill: none; stroke-width: 1; opacity: .28; }
.drawing .dashed { stroke-dasharray: 6 4; stroke-linecap: butt; }
.drawing .band { opacity: .2; stroke: none; }
.drawing .whisker { fill: none; stroke-width: 1.3; }
`

// Write writes the drawing as an SVG file with its own colours, light or dark by the reader's scheme, and its title.
func (f *Figure) Write(w io.Writer) error {
	vars := func(selector string) string {
		_, rest, _ := strings.Cut(pageCSS, selector+" {")
		body, _, _ := strings.Cut(rest, "}")
		return body
	}
	style := ":root {" + vars(":root") + "}\n@media (prefers-color-scheme: dark) { :root {" + vars(`:root[data-theme="dark"]`) + "} }\n" +
		drawingCSS + ".drawing .title { font-size: 14px; font-weight: 600; fill: var(--ink); }"
	_, err := io.WriteString(w, f.svg("<style>"+style+"</style>", true)+"\n")
	return err
}

// drawing is the drawing inside a page.
func (f *Figure) drawing() string { return f.svg("", false) }

// frame places data in the drawing.
type frame struct {
	left, top, right, bottom float64
	x, y                     scale
}

// scale maps an axis to the unit interval.
type scale struct {
	log    bool
	lo, hi float64 // logarithms to base ten if log
}

func (s scale) ok(v float64) bool { return finite(v) && (!s.log || v > 0) }

func (s scale) at(v float64) float64 {
	if s.log {
		v = math.Log10(v)
	}
	return (v - s.lo) / (s.hi - s.lo)
}

func (f frame) px(v float64) float64 { return f.left + (f.right-f.left)*f.x.at(v) }
func (f frame) py(v float64) float64 {
	return f.bottom - (f.bottom-f.top)*math.Max(-0.5, math.Min(1.5, f.y.at(v)))
}

// bounds finds the scale of an axis from its data, with a margin.
func bounds(a Axis, values []float64, margin float64) scale {
	s := scale{log: a.Log, lo: math.Inf(1), hi: math.Inf(-1)}
	if a.From != a.To {
		values, margin = []float64{a.From, a.To}, 0
	}
	for _, v := range values {
		if s.ok(v) {
			if s.log {
				v = math.Log10(v)
			}
			s.lo, s.hi = min(s.lo, v), max(s.hi, v)
		}
	}
	switch {
	case s.lo > s.hi:
		s.lo, s.hi = 0, 1
	case s.hi-s.lo < 1e-9*math.Max(1, math.Abs(s.hi)):
		d := math.Max(0.5, math.Abs(s.hi)*0.1)
		if s.log {
			d = 0.3
		}
		s.lo, s.hi = s.lo-d, s.hi+d
	default:
		d := margin * (s.hi - s.lo)
		if !s.log && s.lo >= 0 && s.lo < d {
			s.lo, s.hi = 0, s.hi+d // an axis of positive numbers near zero starts there
		} else {
			s.lo, s.hi = s.lo-d, s.hi+d
		}
	}
	return s
}

// ticks returns round numbers on the scale with their labels, or those that the axis asks for.
func (s scale) ticks(a Axis, count int) (at []float64, label []string) {
	for _, v := range a.Ticks {
		if u := s.at(v); s.ok(v) && u > -1e-9 && u < 1+1e-9 {
			at, label = append(at, v), append(label, short(v, 0))
		}
	}
	if len(at) > 0 {
		return at, label
	}
	if s.log && s.hi-s.lo < 0.35 { // less than a factor of two: as on a plain axis
		plain := scale{lo: math.Pow(10, s.lo), hi: math.Pow(10, s.hi)}
		return plain.ticks(Axis{}, count)
	}
	if !s.log {
		step := math.Pow(10, math.Floor(math.Log10((s.hi-s.lo)/float64(count))))
		for _, m := range []float64{1, 2, 5, 10} {
			if (s.hi-s.lo)/(step*m) <= float64(count) {
				step *= m
				break
			}
		}
		for k := math.Ceil(s.lo/step - 1e-9); k*step <= s.hi*(1+1e-12)+1e-300; k++ {
			v := k * step
			at, label = append(at, v), append(label, short(v, step))
		}
		return at, label
	}
	marks := []float64{1}
	switch decades := s.hi - s.lo; {
	case decades < 1.2:
		marks = []float64{1, 1.5, 2, 3, 4, 5, 7}
	case decades < 2.5:
		marks = []float64{1, 2, 5}
	case decades < 4.2:
		marks = []float64{1, 3}
	}
	every := math.Max(1, math.Ceil((s.hi-s.lo)/8))
	for e := math.Floor(s.lo); e <= s.hi; e++ {
		if math.Mod(e, every) != 0 {
			continue
		}
		for _, m := range marks {
			v := m * math.Pow(10, e)
			if l := math.Log10(v); l >= s.lo-1e-9 && l <= s.hi+1e-9 {
				at, label = append(at, v), append(label, short(v, 0))
			}
		}
	}
	return at, label
}

// short writes the number of a tick; gap is the distance of ticks.
func short(v, gap float64) string {
	if gap > 0 && math.Abs(v) < gap*1e-6 {
		return "0"
	}
	a := math.Abs(v)
	if a >= 1e5 || a < 1e-3 {
		e := int(math.Floor(math.Log10(a) + 1e-9))
		m := strconv.FormatFloat(v/math.Pow(10, float64(e)), 'g', 2, 64)
		text := "10" + superscript(e)
		switch m {
		case "1":
			return text
		case "-1":
			return "−" + text
		}
		return strings.Replace(m, "-", "−", 1) + "·" + text
	}
	if a >= 1e4 {
		return strings.Replace(strconv.FormatFloat(v, 'f', 0, 64), "-", "−", 1)
	}
	return strings.Replace(strconv.FormatFloat(v, 'g', 4, 64), "-", "−", 1)
}

func superscript(e int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(strconv.Itoa(e))
}

// svg draws the figure. Text that comes from outside is escaped.
func (f *Figure) svg(style string, title bool) string {
	width, height := 580.0, 350.0
	if f.Wide {
		width, height = 1180, 420
	}
	var named []Series
	for _, s := range f.Series {
		if s.Name != "" {
			named = append(named, s)
		}
	}
	top := 14.0
	if title {
		top += 22
	}
	rows := keyRows(named, width-70)
	top += 18 * float64(len(rows))
	fr := frame{left: 62, top: top, right: width - 14, bottom: height - 44}
	var xs, ys []float64
	for _, s := range f.Series {
		xs = append(xs, s.X...)
		if s.Mark != Band {
			ys = append(ys, s.Y...)
		}
		ys = append(append(ys, s.Low...), s.High...)
		if s.Mark == Stems && !f.Y.Log {
			ys = append(ys, 0)
		}
	}
	fr.x, fr.y = bounds(f.X, xs, 0.03), bounds(f.Y, ys, 0.06)

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="drawing" viewBox="0 0 %g %g" role="img" aria-label="%s">%s`, width, height, html.EscapeString(f.Title), style)
	if title {
		fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="var(--paper)"/><text class="title" x="12" y="22">%s</text>`, width, height, html.EscapeString(f.Title))
	}
	f.axes(&b, fr)
	fmt.Fprintf(&b, `<clipPath id="in-%s"><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f"/></clipPath><g clip-path="url(#in-%[1]s)">`,
		f.Name, fr.left, fr.top-6, fr.right-fr.left+6, fr.bottom-fr.top+12)
	for _, order := range [][]Mark{{Band}, {Thin}, {Stems, Line}, {Points}} {
		for _, s := range f.Series {
			for _, m := range order {
				if s.Mark == m {
					s.draw(&b, fr)
				}
			}
		}
	}
	b.WriteString("</g>")
	y := top - 18*float64(len(rows)) + 2
	for _, row := range rows {
		x := fr.left
		for _, s := range row {
			s.key(&b, x, y-4)
			fmt.Fprintf(&b, `<text class="key" x="%.1f" y="%.1f">%s</text>`, x+26, y, html.EscapeString(s.Name))
			x += keyWidth(s.Name)
		}
		y += 18
	}
	b.WriteString("</svg>")
	return b.String()
}

func keyWidth(name string) float64 { return 44 + 6.6*float64(len([]rune(name))) }

// keyRows breaks the key into rows that fit.
func keyRows(named []Series, width float64) [][]Series {
	var rows [][]Series
	used := math.Inf(1)
	for _, s := range named {
		w := keyWidth(s.Name)
		if used+w > width {
			rows = append(rows, nil)
			used = 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], s)
		used += w
	}
	return rows
}

func (f *Figure) axes(b *strings.Builder, fr frame) {
	at, label := fr.x.ticks(f.X, 8)
	last := math.Inf(-1)
	for i, v := range at {
		x := fr.px(v)
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x, fr.top, x, fr.bottom)
		if half := 3.4 * float64(len([]rune(label[i]))); x-half > last+4 { // labels that would touch are left out
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, x, fr.bottom+17, label[i])
			last = x + half
		}
	}
	at, label = fr.y.ticks(f.Y, 7)
	for i, v := range at {
		y := fr.py(v)
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
			fr.left, y, fr.right, y, fr.left-7, y+4, label[i])
	}
	fmt.Fprintf(b, `<line class="axis" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, fr.left, fr.bottom, fr.right, fr.bottom)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, (fr.left+fr.right)/2, fr.bottom+36, html.EscapeString(f.X.Label))
	fmt.Fprintf(b, `<text transform="translate(14 %.1f) rotate(-90)" text-anchor="middle">%s</text>`, (fr.top+fr.bottom)/2, html.EscapeString(f.Y.Label))
}

// path returns the points that can be drawn as an SVG path, broken where one cannot.
func (fr frame) path(x, y []float64) string {
	var b strings.Builder
	pen := false
	for i := range x {
		if !fr.x.ok(x[i]) || !fr.y.ok(y[i]) {
			pen = false
			continue
		}
		c := "M"
		if pen {
			c = "L"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", c, fr.px(x[i]), fr.py(y[i]))
		pen = true
	}
	return b.String()
}

func (s Series) draw(b *strings.Builder, fr frame) {
	colour := fmt.Sprintf("var(--c%d)", s.Colour%10)
	class := ""
	if s.Dashed {
		class = " dashed"
	}
	switch s.Mark {
	case Line:
		fmt.Fprintf(b, `<path class="line%s" stroke="%s" d="%s"/>`, class, colour, fr.path(s.X, s.Y))
	case Thin:
		fmt.Fprintf(b, `<path class="thin" stroke="%s" d="%s"/>`, colour, fr.path(s.X, s.Y))
	case Band:
		var x, y []float64
		for i := range s.X {
			if fr.x.ok(s.X[i]) && fr.y.ok(s.Low[i]) && fr.y.ok(s.High[i]) {
				x, y = append(x, s.X[i]), append(y, s.High[i])
			}
		}
		for i := len(s.X) - 1; i >= 0; i-- {
			if fr.x.ok(s.X[i]) && fr.y.ok(s.Low[i]) && fr.y.ok(s.High[i]) {
				x, y = append(x, s.X[i]), append(y, s.Low[i])
			}
		}
		fmt.Fprintf(b, `<path class="band" fill="%s" d="%sZ"/>`, colour, fr.path(x, y))
	case Stems:
		for i := range s.X {
			if fr.x.ok(s.X[i]) && fr.y.ok(s.Y[i]) {
				from := fr.bottom
				if !fr.y.log {
					from = fr.py(0)
				}
				fmt.Fprintf(b, `<path class="line" stroke="%s" d="M%.1f %.1fV%.1f"/>`, colour, fr.px(s.X[i]), from, fr.py(s.Y[i]))
				s.disk(b, colour, fr.px(s.X[i]), fr.py(s.Y[i]))
			}
		}
	case Points:
		for i := range s.X {
			if !fr.x.ok(s.X[i]) || !fr.y.ok(s.Y[i]) {
				continue
			}
			x := fr.px(s.X[i])
			if i < len(s.Low) && i < len(s.High) && finite(s.Low[i]) && fr.y.ok(s.High[i]) {
				low := fr.bottom
				if fr.y.ok(s.Low[i]) {
					low = fr.py(s.Low[i])
				}
				fmt.Fprintf(b, `<path class="whisker" stroke="%s" d="M%.1f %.1fV%.1fM%.1f %.1fh6M%.1f %.1fh6"/>`, colour, x, low, fr.py(s.High[i]), x-3, low, x-3, fr.py(s.High[i]))
			}
			s.disk(b, colour, x, fr.py(s.Y[i]))
		}
	}
}

func (s Series) disk(b *strings.Builder, colour string, x, y float64) {
	fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.4" fill="%s"/>`, x, y, colour)
}

// key draws the sign of the series in front of its name.
func (s Series) key(b *strings.Builder, x, y float64) {
	colour := fmt.Sprintf("var(--c%d)", s.Colour%10)
	class := "line"
	if s.Dashed {
		class += " dashed"
	}
	switch s.Mark {
	case Band:
		fmt.Fprintf(b, `<rect class="band" x="%.1f" y="%.1f" width="20" height="10" fill="%s"/>`, x, y-5, colour)
	case Points, Stems:
		s.disk(b, colour, x+10, y)
	case Thin:
		fmt.Fprintf(b, `<path class="thin" stroke="%s" d="M%.1f %.1fh20"/>`, colour, x, y)
	default:
		fmt.Fprintf(b, `<path class="%s" stroke="%s" d="M%.1f %.1fh20"/>`, class, colour, x, y)
	}
}
