package report

import (
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// drawn is a figure with every mark and hostile names and numbers.
func drawn() Figure {
	nan, inf := math.NaN(), math.Inf(1)
	x := []float64{1, 10, 100, 1000}
	return Figure{Name: "all", Title: `<script>alert("t")</script>`, X: Axis{Label: "x & y", Log: true}, Y: Axis{Label: "value"}, Series: []Series{
		{Name: "a <b>", Mark: Line, X: x, Y: []float64{1, nan, 3, inf}},
		{Name: "points", Mark: Points, X: x, Y: []float64{1, 2, 3, 4}, Low: []float64{0, nan, 2, 3}, High: []float64{2, 3, 4, inf}, Colour: 1},
		{Mark: Band, X: x, Low: []float64{0, 1, nan, 2}, High: []float64{1, 2, 3, 4}},
		{Mark: Thin, X: []float64{-1, 0, 10, 20}, Y: []float64{1, 1, 1, 1}},
		{Name: "stems", Mark: Stems, X: x, Y: []float64{-1, 1, -1, 1}, Dashed: true}}}
}

// wellFormed fails the test if text is not XML.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

func TestFigure(t *testing.T) {
	f := drawn()
	var b strings.Builder
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	wellFormed(t, text)
	for _, bad := range []string{"NaN", "Inf", "<script", "<b>"} {
		if strings.Contains(text, bad) {
			t.Errorf("the drawing contains %q", bad)
		}
	}
	for _, want := range []string{"--c0:", "prefers-color-scheme: dark", "x &amp; y", "points", `class="whisker"`, `class="band"`, `class="thin"`, "dashed"} {
		if !strings.Contains(text, want) {
			t.Errorf("the drawing lacks %q", want)
		}
	}
	empty := Figure{Name: "empty", X: Axis{Log: true}, Y: Axis{Log: true}}
	b.Reset()
	if err := empty.Write(&b); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b.String())
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		axis   Axis
		values []float64
		want   string
	}{
		{Axis{}, []float64{0, 10}, "0 2 4 6 8 10"},
		{Axis{}, []float64{-0.3, 0.3}, "−0.3 −0.2 −0.1 0 0.1 0.2 0.3"},
		{Axis{Log: true}, []float64{1, 1000}, "1 3 10 30 100 300 1000"},
		{Axis{Log: true}, []float64{1e-8, 1}, "10⁻⁸ 10⁻⁷ 10⁻⁶ 10⁻⁵ 10⁻⁴ 0.001 0.01 0.1 1"},
		{Axis{Log: true}, []float64{0.5, 0.6}, "0.5 0.52 0.54 0.56 0.58 0.6"},
		{Axis{Log: true, Ticks: []float64{64, 128, 512}}, []float64{64, 128}, "64 128"},
	} {
		s := bounds(c.axis, c.values, 0)
		_, label := s.ticks(c.axis, 8)
		if got := strings.Join(label, " "); got != c.want {
			t.Errorf("ticks of %v: %q, want %q", c.values, got, c.want)
		}
	}
}

func TestStudy(t *testing.T) {
	s := &Study{Title: "A <b>title</b>", Command: "descent limits predict --at '1,2'", Version: "v0", Created: time.Unix(0, 0), Summary: []string{"One & two."},
		Remarks: []Remark{{"warning", "rate", "too large", "nothing"}}, Figures: []Figure{drawn()}, Settings: []Fact{{"a", "b"}},
		Tables: []Table{{Name: "T", Head: []string{"name", ">value"}, Rows: [][]string{{"x<y", "1"}}, Note: "Rests on: theorem."}}}
	var b strings.Builder
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"<svg", "A &lt;b&gt;title", "x&lt;y", `class="num">1`, `class="warning"`, "Still holds: nothing", "descent limits predict --at"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "src=", "<b>title"} {
		if strings.Contains(strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, ""), bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
}
