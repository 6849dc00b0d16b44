package checkpoint

import (
	"fmt"
	"strings"

	"github.com/descent-ml/descent/train/safetensors"
)

// MismatchError says that a file holds another model than the one that is to be filled from it: a line
// a difference, by name.
type MismatchError struct{ Differences []string }

func (e MismatchError) Error() string {
	const show = 12
	lines := e.Differences
	more := ""
	if len(lines) > show {
		more = fmt.Sprintf("\n  and %d more", len(lines)-show)
		lines = lines[:show]
	}
	return "the checkpoint is of another model:\n  " + strings.Join(lines, "\n  ") + more +
		"\nhint: model, method and dtype must be those of the run that wrote it"
}

// Match compares the names, element types and shapes of the tensors in f with those of want.
// The error is a [MismatchError].
func Match(f *safetensors.File, want []safetensors.Tensor) error {
	var diff []string
	known := map[string]bool{}
	for _, w := range want {
		known[w.Name] = true
		expected := describe(safetensors.TypeOf(w.Data), w.Shape)
		got, ok := f.Find(w.Name)
		if !ok {
			diff = append(diff, fmt.Sprintf("%s: missing, expected %s", w.Name, expected))
		} else if found := describe(got.DType, got.Shape); found != expected {
			diff = append(diff, fmt.Sprintf("%s: found %s, expected %s", w.Name, found, expected))
		}
	}
	for _, t := range f.Tensors {
		if !known[t.Name] {
			diff = append(diff, fmt.Sprintf("%s: found %s, expected no such tensor", t.Name, describe(t.DType, t.Shape)))
		}
	}
	if len(diff) > 0 {
		return MismatchError{diff}
	}
	return nil
}

func describe(dtype string, shape []int) string {
	s := make([]string, len(shape))
	for i, n := range shape {
		s[i] = fmt.Sprint(n)
	}
	return dtype + "[" + strings.Join(s, " ") + "]"
}

// Fill matches the tensors of f with those of into and reads them there. Nothing is written before
// everything is known to fit.
func Fill(f *safetensors.File, into []safetensors.Tensor) error {
	if err := Match(f, into); err != nil {
		return err
	}
	for _, t := range into {
		if err := f.Load(t.Name, t.Data); err != nil {
			return err
		}
	}
	return nil
}
