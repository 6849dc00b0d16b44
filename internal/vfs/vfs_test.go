package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func put(t *testing.T, f FS, path, text string, sync bool) {
	t.Helper()
	w, err := f.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := w.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func get(f FS, path string) string {
	b, err := ReadFile(f, path, 100)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Memory does what the machine's file system does.
func TestMemoryIsLikeOS(t *testing.T) {
	for name, c := range map[string]struct {
		f    FS
		root string
	}{"OS": {OS{}, t.TempDir()}, "Memory": {NewMemory(), ""}, "Faulty": {&Faulty{FS: NewMemory()}, ""}} {
		t.Run(name, func(t *testing.T) {
			f := c.f
			at := func(p string) string { return filepath.Join(c.root, p) }
			if err := f.Mkdir(at("d")); err != nil {
				t.Fatal(err)
			}
			if err := f.Mkdir(at("d")); !errors.Is(err, fs.ErrExist) {
				t.Errorf("Mkdir again: %v", err)
			}
			if err := f.Mkdir(at("x/y")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Mkdir below nothing: %v", err)
			}
			put(t, f, at("d/a"), "one", true)
			put(t, f, at("d/b"), "two", true)
			w, err := f.Append(at("d/a"))
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte("+more"))
			w.Close()
			if got := get(f, at("d/a")); got != "one+more" {
				t.Errorf("appended: %q", got)
			}
			if n, err := f.Size(at("d/a")); n != 8 || err != nil {
				t.Errorf("size %d, %v", n, err)
			}
			if err := f.Truncate(at("d/a"), 3); err != nil || get(f, at("d/a")) != "one" {
				t.Errorf("truncated: %q, %v", get(f, at("d/a")), err)
			}
			if err := f.Rename(at("d/a"), at("d/b")); err != nil || get(f, at("d/b")) != "one" {
				t.Errorf("renamed over a file: %q, %v", get(f, at("d/b")), err)
			}
			if names, err := f.ReadDir(at("d")); err != nil || !slices.Equal(names, []string{"b"}) {
				t.Errorf("names %v, %v", names, err)
			}
			if err := errors.Join(f.Mkdir(at("e")), f.SyncDir(at("e"))); err != nil {
				t.Error(err)
			}
			put(t, f, at("e/z"), "z", false)
			if err := f.Rename(at("d"), at("e")); err == nil {
				t.Error("a folder replaced another that is not empty")
			}
			if err := f.Rename(at("d"), at("g")); err != nil || get(f, at("g/b")) != "one" {
				t.Errorf("renamed folder: %v", err)
			}
			for what, err := range map[string]error{
				"Open": second(f.Open(at("none"))), "Size": second(f.Size(at("none"))), "ReadDir": second(f.ReadDir(at("none"))),
				"Truncate": f.Truncate(at("none"), 0), "Rename": f.Rename(at("none"), at("n2")), "Create": second(f.Create(at("no/file"))),
				"SyncDir": f.SyncDir(at("none")),
			} {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s of nothing: %v", what, err)
				}
			}
			if err := errors.Join(f.RemoveAll(at("g")), f.RemoveAll(at("none"))); err != nil {
				t.Error(err)
			}
			if _, err := ReadFile(f, at("e/z"), 0); err == nil {
				t.Error("a file over the limit was read")
			}
		})
	}
}

func second[A any](_ A, err error) error { return err }

func TestCrash(t *testing.T) {
	m := NewMemory()
	m.Mkdir("d")
	m.SyncDir(".")
	put(t, m, "d/synced", "old", true)
	m.SyncDir("d")
	put(t, m, "d/synced", "new!", false)
	put(t, m, "d/nameless", "x", true)
	least := m.Crash(func(int) int { return 0 })
	if got := get(least, "d/synced"); got != "old" {
		t.Errorf("unsynced contents: %q", got)
	}
	if _, err := least.Size("d/nameless"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unsynced name survived: %v", err)
	}
	most := m.Crash(func(n int) int { return n })
	if get(most, "d/synced") != "new!" || get(most, "d/nameless") != "x" {
		t.Errorf("%q %q", get(most, "d/synced"), get(most, "d/nameless"))
	}
	if got := get(m.Crash(func(n int) int { return min(n, 3) }), "d/synced"); got != "ne" {
		t.Errorf("a part of the contents: %q", got)
	}
}

// At every call that fails, WriteFile leaves the old contents or the new.
func TestWriteFile(t *testing.T) {
	for at := 1; ; at++ {
		m := NewMemory()
		put(t, m, "f", "old", true)
		m.SyncDir(".")
		f := &Faulty{FS: m, Short: true, Fail: func(n int, _, _ string) error {
			if n == at {
				return syscall.EIO
			}
			return nil
		}}
		err := WriteFile(f, "f", []byte("new"))
		got := get(m.Crash(func(int) int { return 0 }), "f")
		if err == nil && got != "new" || err != nil && got != "new" && got != "old" {
			t.Fatalf("call %d: %v, then %q", at, err, got)
		}
		if f.Calls() < at {
			if err != nil || at < 6 {
				t.Fatalf("%d calls, %v", f.Calls(), err)
			}
			return
		}
	}
}

func TestOSFileErrorsAreNil(t *testing.T) {
	f, err := OS{}.Open(filepath.Join(t.TempDir(), "none"))
	if f != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", f, err)
	}
}
