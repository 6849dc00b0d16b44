package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Store keeps outcomes by name in a JSON file: an object with a member a cell.
type Store struct {
	path  string
	cells map[string]json.RawMessage
}

// Open reads the file, which need not exist. With an empty path nothing is kept.
func Open(path string) (*Store, error) {
	s := &Store{path: path, cells: map[string]json.RawMessage{}}
	if path == "" {
		return s, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s.cells)
	}
	if err != nil {
		return nil, fmt.Errorf("study: cells: %w\nhint: remove the file, or name another", err)
	}
	return s, nil
}

// Do returns the outcome called name from the store; one that is not there is computed by f and kept, unless f fails. The
// outcome must go through JSON without loss (no number that is not finite).
func Do[V any](s *Store, name string, f func() (V, error)) (V, error) {
	var v V
	if text, ok := s.cells[name]; ok {
		if err := json.Unmarshal(text, &v); err != nil {
			return v, fmt.Errorf("study: cell %q of %s: %w\nhint: remove it", name, s.path, err)
		}
		return v, nil
	}
	v, err := f()
	if err != nil {
		return v, fmt.Errorf("study: %s: %w", name, err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return v, fmt.Errorf("study: cell %q: %w", name, err)
	}
	s.cells[name] = text
	return v, s.save()
}

// Has says whether the store has an outcome of that name.
func (s *Store) Has(name string) bool { return s.cells[name] != nil }

// save replaces the file as a whole. What another process has put there meanwhile is taken over, so that several can share the
// work; should two save in the same moment, a cell is lost and computed again.
func (s *Store) save() error {
	if s.path == "" {
		return nil
	}
	now, err := Open(s.path)
	if err != nil {
		return err
	}
	for name, text := range now.cells {
		if s.cells[name] == nil {
			s.cells[name] = text
		}
	}
	text, err := json.MarshalIndent(s.cells, "", "\t")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if e := file.Close(); err == nil {
		err = e
	}
	if err == nil {
		return os.Rename(file.Name(), s.path)
	}
	os.Remove(file.Name())
	return err
}
