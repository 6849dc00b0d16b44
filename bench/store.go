package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/descent-ml/descent/train"
)

// store keeps finished cells in a folder:
//
//	compare.json           the comparison
//	cells/KEY.json         one finished run or trial
//	runs/METHOD-seedN-KEY  the run folder of a run
//
// A store without a folder keeps nothing.
type store struct{ dir string }

func openStore(dir string) (*store, error) {
	if dir == "" {
		return &store{}, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, "cells"), 0o755); err != nil {
		return nil, fmt.Errorf("bench: folder of the comparison: %w\nhint: choose another folder", err)
	}
	// Another comparison may have used the folder: its outcome is kept under a number.
	for _, name := range []string{"compare.json", "report.html"} {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		ending := filepath.Ext(name)
		for n := 1; ; n++ {
			kept := fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ending), n, ending)
			if _, err := os.Lstat(kept); errors.Is(err, fs.ErrNotExist) {
				if err := os.Rename(path, kept); err != nil {
					return nil, fmt.Errorf("bench: an earlier comparison is in the way: %w\nhint: choose another folder", err)
				}
				break
			}
		}
	}
	return &store{dir}, nil
}

// load returns the cell stored under key, nil if there is none or it cannot be read: it is run again then.
func (s *store) load(key string) *Cell {
	if s.dir == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(s.dir, "cells", key+".json"))
	if err != nil {
		return nil
	}
	var c struct {
		Config train.Config `json:"config"`
		Cell   Cell         `json:"cell"`
	}
	if json.Unmarshal(b, &c) != nil {
		return nil
	}
	c.Cell.Config = c.Config
	return &c.Cell
}

func (s *store) save(key string, c *Cell) error {
	return s.write(filepath.Join("cells", key+".json"), struct {
		Config train.Config `json:"config"`
		Cell   *Cell        `json:"cell"`
	}{c.Config, c})
}

// write stores v as JSON, whole or not at all.
func (s *store) write(name string, v any) error {
	if s.dir == "" {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("bench: %s: %w", name, err)
	}
	return WriteFile(filepath.Join(s.dir, name), append(b, '\n'))
}

// crash keeps the stack of a panic for a report of the defect.
func (s *store) crash(key, text string) {
	if s.dir != "" {
		// The run is marked as failed whether or not this note can be written.
		_ = os.WriteFile(filepath.Join(s.dir, "crash-"+key+".txt"), []byte(text), 0o644)
	}
}

// runFolder returns the folder of a run, and whether an earlier call began the run there.
func (s *store) runFolder(c train.Config, key string) (dir string, begun bool) {
	if s.dir == "" {
		return "", false
	}
	dir = filepath.Join(s.dir, "runs", fmt.Sprintf("%s-seed%d-%s", c.Method, c.Seed, key[:8]))
	_, err := os.Lstat(dir)
	return dir, err == nil
}

// FreeFolder returns name, or name-2, name-3, … : the first that does not exist.
func FreeFolder(name string) string {
	free := name
	for n := 2; ; n++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return free
		}
		free = fmt.Sprintf("%s-%d", name, n)
	}
}

// WriteFile replaces the file's contents, whole or not at all: a temporary file in the same folder is written, synced and
// renamed, and the folder synced.
func WriteFile(path string, contents []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	// Not every system can sync a folder; the file itself is safe by now.
	if d, e := os.Open(filepath.Dir(path)); e == nil {
		_ = d.Sync()
		d.Close()
	}
	return nil
}

// Read returns the comparison kept in folder dir.
func Read(dir string) (*Comparison, error) {
	path := filepath.Join(dir, "compare.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c Comparison
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("bench: %s is damaged: %w\nhint: run the comparison again with the same folder; finished runs are kept", path, err)
	}
	// Infinite medians have no JSON form; the results have everything.
	c.Rank()
	return &c, nil
}

// Write stores the comparison in folder dir again, after the caller has added to it.
func (c *Comparison) Write(dir string) error { return (&store{dir}).write("compare.json", c) }
