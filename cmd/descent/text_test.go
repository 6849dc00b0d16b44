package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestNoColor(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	a := newApp(t.Context(), &bytes.Buffer{}, &bytes.Buffer{})
	if a.paintErr || a.paintOut || a.live {
		t.Error("colours or a live line without a terminal")
	}
	a.paintErr = true
	if s := a.red("x"); s != "\x1b[1;31mx\x1b[0m" {
		t.Errorf("%q", s)
	}
}

func TestLiveLine(t *testing.T) {
	var out bytes.Buffer
	a := &app{stderr: &out, live: true, width: 40}
	p := a.progress()
	p.update(0.5, strings.Repeat("long ", 30))
	p.update(0.6, "too soon after the first")
	p.line("stays")
	s := out.String()
	if strings.Contains(s, "too soon") {
		t.Error("the line was redrawn at once")
	}
	for _, l := range strings.FieldsFunc(s, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if n := utf8.RuneCountInString(strings.ReplaceAll(l, "\x1b[K", "")); n >= 40 {
			t.Errorf("a line of %d runes on a terminal of 40: it would wrap and leave traces", n)
		}
	}
	if !strings.HasSuffix(s, "\r\x1b[Kstays\n") {
		t.Errorf("%q", s)
	}
}

func TestPlainProgressIsSeldom(t *testing.T) {
	var out bytes.Buffer
	a := &app{stderr: &out}
	p := a.progress()
	p.every = 20 * time.Millisecond
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
		p.update(0.5, "working")
	}
	if n := strings.Count(out.String(), "\n"); n < 1 || n > 3 {
		t.Errorf("%d lines in 50 ms at one each 20 ms", n)
	}
	if strings.ContainsAny(out.String(), "\r\x1b") {
		t.Errorf("%q", out.String())
	}
}

func TestBarHasItsWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64Range(-1, 2).Draw(t, "fraction")
		w := rapid.IntRange(1, 40).Draw(t, "width")
		if n := utf8.RuneCountInString(bar(f, w)); n != w+2 {
			t.Errorf("bar(%v, %d) is %d runes wide", f, w, n)
		}
	})
}

func TestWrapKeepsTheWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[a-z]{1,12}`)).Draw(t, "words")
		width := rapid.IntRange(5, 60).Draw(t, "width")
		text := wrap(strings.Join(words, " "), width)
		if got := strings.Join(strings.Fields(text), " "); got != strings.Join(words, " ") {
			t.Errorf("words changed: %q", got)
		}
		for _, l := range strings.Split(text, "\n") {
			if len(l) > width && strings.Contains(l, " ") {
				t.Errorf("a line of %d letters could be broken at %d: %q", len(l), width, l)
			}
		}
	})
}

func TestNumbersAsText(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{grouped(0), "0"}, {grouped(999), "999"}, {grouped(1000), "1,000"}, {grouped(-1234567), "-1,234,567"},
		{byteSize(512), "512 B"}, {byteSize(1536), "1.5 KiB"}, {byteSize(3 << 30), "3.0 GiB"},
		{duration(400 * time.Millisecond), "1 s"}, {duration(130 * time.Second), "2 min"}, {duration(2*time.Hour + 5*time.Minute), "2 h 5 min"},
		{metricText("test_accuracy", 0.98765), "98.77 %"}, {metricText("test_rmse", 54.321), "54.32"},
		{metricName("val_accuracy"), "validation accuracy"}, {metricName("test_rmse"), "test rmse"}, {metricName("train_loss"), "training loss"},
		{quoted("plain-1.csv"), "plain-1.csv"}, {quoted("it's here"), `'it'\''s here'`}, {quoted(""), "''"},
		{folderName("/data/My Table.csv"), "my-table"},
		{settingsText(map[string]float64{"lr": 0.01, "beta1": 0.9}), "beta1=0.9 lr=0.01"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestTableAlignsRunes(t *testing.T) {
	got := table([]string{"name", ">value"}, [][]string{{"µ", "1"}, {"long", "12345"}})
	if want := "name  value\nµ         1\nlong  12345\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSettingsOfOneMethodWin(t *testing.T) {
	all := map[string]float64{"lr": 0.1, "adam.lr": 0.01, "adam.beta1": 0.8}
	if s := settingsOf("adam", all); len(s) != 2 || s["lr"] != 0.01 || s["beta1"] != 0.8 {
		t.Errorf("adam: %v", s)
	}
	if s := settingsOf("sgd", all); len(s) != 1 || s["lr"] != 0.1 {
		t.Errorf("sgd: %v", s)
	}
}
