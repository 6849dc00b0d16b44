package schedule

import (
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/objective"
	"pgregory.net/rapid"
)

func at(x float64) objective.Progress {
	return objective.Progress{Seen: int64(x * 1e6), Horizon: 1e6}
}

func parse(t interface{ Fatal(...any) }, text string) Schedule {
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		text    string
		x, want float64
	}{
		{"", 0.3, 1}, {"constant", 0.3, 1},
		{"cosine", 0, 1}, {"cosine", 0.5, 0.5}, {"cosine", 1, 0}, {"cosine", 1.5, 0}, {"cosine:0.2", 1, 0.2}, {"cosine", 1. / 3, 0.75},
		{"linear", 0.25, 0.75}, {"linear:0.5", 0.5, 0.75},
		{"polynomial:3", 0.5, 0.125}, {"polynomial:1,0.5", 0.5, 0.75}, {"polynomial", 0.5, 0.25},
		{"exponential:0.01", 0.5, 0.1}, {"exponential", 1, 0.01},
		{"step:0.3@0.5,0.75", 0.49, 1}, {"step:0.3@0.5,0.75", 0.5, 0.3}, {"step:0.3@0.5,0.75", 0.75, 0.09}, {"step", 0.6, 0.1},
		{"one-cycle", 0, 0.04}, {"one-cycle", 0.3, 1}, {"one-cycle", 1, 0.0001}, {"one-cycle:0.5,0,0", 0.25, 0.5},
		{"warmup:0.1", 0.05, 0.5}, {"warmup:0.1", 0.5, 1}, {"warmup:1000", 0.0005, 0.5},
		{"warmup:0.1,cosine", 0.1, 1}, {"warmup:0.1,cosine", 0.55, 0.5}, {"warmup:0.1,cosine", 1, 0},
		{"warmup:0.1, step:0.3@0.5,0.75", 0.5, 0.3}, {"warmup:0.1,step:0.3@0.5,0.75", 0.05, 0.5},
		{"plateau", 0.7, 1},
	} {
		if got := parse(t, c.text).Factor(at(c.x)); math.Abs(got-c.want) > 1e-5 {
			t.Errorf("%q at %g is %v, expected %v", c.text, c.x, got, c.want)
		}
	}
}

// any draws a schedule that is continuous, in text.
func anySmooth(t *rapid.T) string {
	return rapid.SampledFrom([]string{"cosine", "cosine:0.1", "linear", "polynomial:2", "polynomial:0.9,0.1", "exponential:0.05",
		"one-cycle", "one-cycle:0.2,0.1,0.01", "warmup:0.1", "warmup:0.05,cosine", "warmup:0.2,linear:0.1", "warmup:50000,exponential"}).Draw(t, "schedule")
}

// Every shape stays in [0, 1], and has no jumps: neighbouring examples have neighbouring factors.
func TestContinuous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := parse(t, anySmooth(t))
		x := rapid.Float64Range(0, 0.99).Draw(t, "x")
		a, b := s.Factor(at(x)), s.Factor(at(x+1e-3))
		if a < 0 || a > 1 {
			t.Fatalf("factor %v", a)
		}
		if math.Abs(a-b) > 0.05 {
			t.Fatalf("from %v to %v within a thousandth of the training", a, b)
		}
	})
}

// A warm-up rises, and what follows falls.
func TestMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.Float64Range(0.01, 0.9).Draw(t, "w")
		then := rapid.SampledFrom([]Schedule{nil, Cosine{}, Linear{0.1}, Polynomial{2, 0}, Exponential{0.01}}).Draw(t, "then")
		s := Warmup{w, then}
		x, y := rapid.Float64Range(0, 1).Draw(t, "x"), rapid.Float64Range(0, 1).Draw(t, "y")
		if x > y {
			x, y = y, x
		}
		a, b := s.Factor(at(x)), s.Factor(at(y))
		if y < w && a > b || x > w && a < b {
			t.Fatalf("%s: %v at %v, %v at %v", s, a, x, b, y)
		}
	})
}

// The factor is a function of the examples seen: how they are cut into steps does not matter. (The warm-up looks
// at the end of the step: it depends on the sum Seen + Batch alone.)
func TestStepsDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := parse(t, anySmooth(t))
		p := objective.Progress{Seen: rapid.Int64Range(0, 1e6).Draw(t, "seen"), Horizon: 1e6}
		q := p
		q.Step, q.PerPass = rapid.Int64Range(0, 1e6).Draw(t, "step"), 1000
		if s.Factor(p) != s.Factor(q) {
			t.Fatal("the number of steps matters")
		}
		w := Warmup{Length: 0.5}
		p.Batch = rapid.IntRange(0, 1000).Draw(t, "batch")
		q = objective.Progress{Seen: p.Seen + int64(p.Batch), Horizon: p.Horizon}
		if w.Factor(p) != w.Factor(q) {
			t.Fatal("the batch matters beyond the examples seen after it")
		}
	})
}

// The text of a schedule reads back as the schedule.
func TestStringReadsBack(t *testing.T) {
	for _, text := range []string{"constant", "cosine", "cosine:0.1", "linear:0.5", "polynomial:2,0.1", "exponential:0.02",
		"step:0.3@0.5,0.75", "one-cycle:0.3,0.04,0.0001", "warmup:0.1", "warmup:0.1,cosine", "warmup:0.05,step:0.1@0.5,0.9", "plateau:0.5@3", "warmup:100,plateau:0.5@3"} {
		if got := parse(t, text).String(); got != text {
			t.Errorf("%q is written %q", text, got)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"cosin":                  "did you mean cosine",
		"nonsense":               "the schedules are constant, cosine",
		"cosine:x":               `expected a number, found "x"`,
		"cosine:2":               "END is 2, expected 0 to 1",
		"cosine:0.1,0.2":         "at most 1 numbers, found 2",
		"cosine@0.5":             "has no @",
		"step:0.1@0.9,0.5":       "must increase",
		"step:0.1@1.5":           "PART is 1.5",
		"cosine,linear":          "nothing may follow cosine",
		"warmup:0.1,warmup:0.2":  "two warm-ups",
		"warmup:-1":              "LENGTH is -1",
		"plateau:0.1@1.5":        "whole number",
		"plateau:2":              "RATIO is 2",
		"exponential:0":          "END is 0",
		"one-cycle:1":            "PEAK is 1",
		"polynomial:NaN":         "POWER is NaN",
		"linear:":                `found ""`,
		",":                      "found",
		"warmup:0.1,cosine,step": "nothing may follow cosine",
	} {
		_, err := Parse(text)
		if err == nil {
			t.Errorf("%q was accepted", text)
			continue
		}
		if text != "," && !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%q: error %q does not say %q with a hint", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "cosine", "warmup:0.1,cosine", "step:0.3@0.5,0.75", "plateau:0.1@10", "@", ":,@,", "warmup:1e400,linear"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if !strings.Contains(err.Error(), "hint: ") {
				t.Fatalf("error without a hint: %v", err)
			}
			return
		}
		for _, x := range []float64{0, 0.3, 1} {
			if v := s.Factor(at(x)); !(v >= 0) || math.IsInf(v, 0) {
				t.Fatalf("factor %v", v)
			}
		}
		if _, err := Parse(s.String()); err != nil {
			t.Fatalf("%q is written %q, which is refused: %v", text, s, err)
		}
	})
}

func TestPlateau(t *testing.T) {
	p := NewPlateau(0.5, 2)
	for i, c := range []struct{ loss, want float64 }{
		{1, 1}, {0.9, 1}, {0.95, 1}, {0.9, 1}, {0.91, 0.5}, // three without improvement
		{0.9, 0.5}, {math.NaN(), 0.5}, {0.89995, 0.25}, // 0.89995 is no improvement by a ten-thousandth
		{0.1, 0.25}, {0.05, 0.25}, {-3, 0.25}, {-2, 0.25}, {-3.0001, 0.25}, {-2.5, 0.125},
	} {
		p.Observe(c.loss)
		if got := p.Factor(objective.Progress{}); got != c.want {
			t.Fatalf("after observation %d (%v) the factor is %v, expected %v", i+1, c.loss, got, c.want)
		}
	}
	if Find(Warmup{0.1, p}) != p || Find(Cosine{}) != nil {
		t.Error("Find")
	}
	if len(p.Vars()) != 3 {
		t.Error("Vars")
	}
}
