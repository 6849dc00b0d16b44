package main

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// table lays out rows of cells in columns two blanks apart. A heading that begins with '>' is of a column set flush right.
func table(headings []string, rows [][]string) string {
	width := make([]int, len(headings))
	right := make([]bool, len(headings))
	head := make([]string, len(headings))
	blank := true
	for i, h := range headings {
		head[i], right[i] = strings.TrimPrefix(h, ">"), strings.HasPrefix(h, ">")
		width[i] = utf8.RuneCountInString(head[i])
		blank = blank && head[i] == ""
	}
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		var l strings.Builder
		for i, c := range cells {
			if i > 0 {
				l.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if right[i] {
				l.WriteString(pad + c)
			} else {
				l.WriteString(c + pad)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	if !blank {
		line(head)
	}
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// indent puts prefix before every line.
func indent(text, prefix string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = prefix + l
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// wrap breaks text at blanks into lines of at most width runes.
func wrap(text string, width int) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// labelled writes "label   text", the text wrapped and hung under itself.
func labelled(label, text string) string {
	const column = 14
	lines := strings.Split(wrap(text, 84), "\n")
	for i := range lines {
		if i == 0 {
			lines[i] = fmt.Sprintf("%-*s%s", column, label, lines[i])
		} else {
			lines[i] = strings.Repeat(" ", column) + lines[i]
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// number writes a number with up to four significant digits.
func number(v float64) string {
	if !isFinite(v) {
		return "–"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// metricText writes an accuracy as per cent, everything else as a number.
func metricText(metric string, v float64) string {
	if !isFinite(v) {
		return "–"
	}
	if strings.HasSuffix(metric, "accuracy") {
		return strconv.FormatFloat(100*v, 'f', 2, 64) + " %"
	}
	return number(v)
}

// metricName writes test_accuracy as "test accuracy".
func metricName(metric string) string {
	metric = strings.Replace(metric, "val_", "validation_", 1)
	return strings.ReplaceAll(strings.ReplaceAll(metric, "train_", "training_"), "_", " ")
}

func secondsText(s float64) string {
	switch {
	case !isFinite(s):
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

// duration writes how long something still takes: "12 s", "3 min", "1 h 20 min".
func duration(d time.Duration) string {
	s := int(d.Seconds() + 0.5)
	switch {
	case s < 100:
		return fmt.Sprintf("%d s", max(s, 1))
	case s < 3600:
		return fmt.Sprintf("%d min", (s+30)/60)
	}
	return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
}

// grouped writes a whole number with commas between groups of three digits.
func grouped[I int | int64](n I) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// byteSize writes a number of bytes in the unit that fits.
func byteSize(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 1024 {
			if unit == "B" {
				return fmt.Sprintf("%.0f %s", n, unit)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.1f GiB", n)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// settingsText writes settings as "lr=0.01 beta1=0.9", in order of their names.
func settingsText(settings map[string]float64) string {
	parts := make([]string, 0, len(settings))
	for k, v := range settings {
		parts = append(parts, k+"="+strconv.FormatFloat(v, 'g', -1, 64))
	}
	sort.Strings(parts)
	return strings.Join(parts, " ")
}
