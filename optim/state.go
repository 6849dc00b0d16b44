package optim

import (
	"fmt"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
)

// Floats returns the number of elements of all vectors of the state: its memory, in numbers of the
// type of the parameters.
func (s State[T]) Floats() int {
	n := 0
	for _, e := range s {
		n += len(e.Vector)
	}
	return n
}

// CopyFrom writes the values of from, which may be of another instance of the same method, through
// the references of s. It is an error, which names every difference, if the entries do not agree in
// name, kind and length; then nothing is written.
func (s State[T]) CopyFrom(from State[T]) error {
	byName := make(map[string]StateEntry[T], len(from))
	var names, wrong []string
	for _, e := range from {
		byName[e.Name] = e
		names = append(names, e.Name)
	}
	for _, e := range s {
		f, ok := byName[e.Name]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s is missing (%s)", e.Name, nearest.Hint(e.Name, names, "nothing like it is there")))
		case e.kind() != f.kind():
			wrong = append(wrong, fmt.Sprintf("%s is %s, expected %s", e.Name, f.kind(), e.kind()))
		}
		delete(byName, e.Name)
	}
	for _, name := range names {
		if _, left := byName[name]; left {
			wrong = append(wrong, name+" is not known to this method")
		}
	}
	if wrong != nil {
		return fmt.Errorf("optim: the state belongs to another method or model: %s\nhint: continue with the same method, settings and model", strings.Join(wrong, "; "))
	}
	for _, e := range from {
		byName[e.Name] = e
	}
	for _, e := range s {
		f := byName[e.Name]
		copy(e.Vector, f.Vector)
		copy(e.Double, f.Double)
		if e.Int != nil {
			*e.Int = *f.Int
		}
		if e.Float != nil {
			*e.Float = *f.Float
		}
	}
	return nil
}

// kind says what an entry refers to, with its length.
func (e StateEntry[T]) kind() string {
	switch {
	case e.Int != nil:
		return "a whole number"
	case e.Float != nil:
		return "a number"
	case e.Double != nil:
		return fmt.Sprintf("%d doubles", len(e.Double))
	}
	return fmt.Sprintf("a vector of %d", len(e.Vector))
}

// prefixed returns the entries with prefix before their names.
func (s State[T]) prefixed(prefix string) State[T] {
	out := make(State[T], len(s))
	for i, e := range s {
		e.Name = prefix + e.Name
		out[i] = e
	}
	return out
}
