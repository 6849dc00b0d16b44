package study

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStoreComputesACellOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cells.json")
	type outcome struct{ A float64 }
	calls := 0
	for range 2 { // the second time from the file
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			v, err := Do(s, "one", func() (outcome, error) { calls++; return outcome{0.1}, nil })
			if err != nil || v.A != 0.1 {
				t.Fatal(v, err)
			}
		}
		if !s.Has("one") || s.Has("two") {
			t.Error("cells of the store")
		}
	}
	if calls != 1 {
		t.Errorf("computed %d times", calls)
	}
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Store{"two": a, "three": b} { // two processes
		if _, err := Do(s, name, func() (outcome, error) { return outcome{}, nil }); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(path)
	if err != nil || !s.Has("one") || !s.Has("two") || !s.Has("three") {
		t.Errorf("a cell of two processes is lost, error %v", err)
	}
	s, err = Open("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Do(s, "one", func() (outcome, error) { return outcome{}, errors.New("no") }); err == nil || s.Has("one") {
		t.Errorf("a failure was kept: %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("damaged file: %v", err)
	}
}

func TestReplace(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("a\n<!-- x -->\nold\n<!-- /x -->\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	table := NewTable("p", "q")
	table.Row("1")
	if err := Replace(page, "x", table.String()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if want := "a\n<!-- x -->\n| p | q |\n|---|---|\n| 1 |  |\n<!-- /x -->\nb\n"; err != nil || string(text) != want {
		t.Errorf("%q, expected %q, error %v", text, want, err)
	}
	if err := Replace(page, "y", ""); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("no mark: %v", err)
	}
}
