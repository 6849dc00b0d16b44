package dataset

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxArrays bounds the arrays of an .npz file.
const maxArrays = 10000

// NamedArray is one array of an .npz file.
type NamedArray struct {
	Name string
	Array
}

// ReadNPZ reads all arrays of a NumPy .npz file (a zip archive of .npy files, stored or deflated) of size
// bytes, in the order of the archive. Every array's checksum is verified.
func ReadNPZ(r io.ReaderAt, size int64) ([]NamedArray, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, &Error{What: "not an .npz file", Err: err, Hint: hintAgain}
	}
	if len(z.File) > maxArrays {
		return nil, &Error{What: "too many arrays in an .npz file", Found: fmt.Sprint(len(z.File)), Expected: fmt.Sprintf("at most %d", maxArrays)}
	}
	var arrays []NamedArray
	seen := map[string]bool{}
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			return nil, &Error{What: "an .npz file holds something else than arrays", Found: fmt.Sprintf("%.80q", f.Name), Expected: "names that end in .npy"}
		}
		if seen[name] {
			return nil, &Error{What: fmt.Sprintf("an .npz file holds array %.80q twice", name)}
		}
		seen[name] = true
		a, err := readZipped(f, ReadNPY)
		if err != nil {
			return nil, inArray(name, err)
		}
		arrays = append(arrays, NamedArray{name, a})
	}
	return arrays, nil
}

// readZipped reads one file of a zip archive with read, which must read to its end.
func readZipped[A any](f *zip.File, read func(io.Reader) (A, error)) (A, error) {
	r, err := f.Open()
	if err != nil {
		var none A
		return none, err
	}
	defer r.Close()
	return read(r)
}

// inArray says in which array of a file err was found.
func inArray(name string, err error) error {
	if e := new(Error); errors.As(err, &e) {
		c := *e
		c.What = fmt.Sprintf("array %.80q: %s", name, c.What)
		return &c
	}
	return &Error{What: fmt.Sprintf("array %.80q", name), Err: err, Hint: hintAgain}
}

// WriteNPZ writes the arrays as a NumPy .npz file, without compression.
func WriteNPZ(w io.Writer, arrays []NamedArray) error {
	z := zip.NewWriter(w)
	for _, a := range arrays {
		f, err := z.CreateHeader(&zip.FileHeader{Name: a.Name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		if err := WriteNPY(f, a.Array); err != nil {
			return err
		}
	}
	return z.Close()
}

// npzNames are the names that features and targets may have in an .npz file, by part.
var npzNames = [...]struct{ x, y []string }{
	{[]string{"x_train", "train_x", "train_images"}, []string{"y_train", "train_y", "train_labels"}},
	{[]string{"x_val", "val_x", "x_valid", "val_images"}, []string{"y_val", "val_y", "y_valid", "val_labels"}},
	{[]string{"x_test", "test_x", "test_images"}, []string{"y_test", "test_y", "test_labels"}},
}

// tableOfArrays makes a table of the arrays x and y, or x_train, y_train, x_test, y_test and so on (in
// either case of letters). Without targets it is for reconstruction.
func tableOfArrays(arrays []NamedArray, task string) (*table, error) {
	find := func(names []string) (Array, bool) {
		for _, a := range arrays {
			if slices.Contains(names, strings.ToLower(a.Name)) {
				return a.Array, true
			}
		}
		return Array{}, false
	}
	var names []string
	for _, a := range arrays {
		names = append(names, a.Name)
	}
	wrong := func(what string) error {
		return &Error{What: what, Found: strings.Join(names, ", "), Expected: "arrays x and y, or x_train, y_train, x_test, y_test (and x_val, y_val)"}
	}
	var x, y []Array
	var sizes [3]int
	if a, ok := find([]string{"x", "data", "images", "features"}); ok {
		x = append(x, a)
		if b, ok := find([]string{"y", "labels", "target", "targets"}); ok {
			y = append(y, b)
		}
	} else {
		for i, n := range npzNames {
			a, ok := find(n.x)
			if !ok {
				if i == 1 {
					continue
				}
				return nil, wrong("no array of features in the file")
			}
			if len(a.Shape) == 0 || a.Shape[0] == 0 {
				return nil, wrong("an empty array of features in the file")
			}
			x, sizes[i] = append(x, a), a.Shape[0]
			if b, ok := find(n.y); ok {
				y = append(y, b)
			}
		}
	}
	if len(y) != 0 && len(y) != len(x) {
		return nil, wrong("not every array of features has its array of targets")
	}
	t := &table{train: sizes[0], val: sizes[1]}
	if err := t.setFeatures(x); err != nil {
		return nil, err
	}
	if len(y) == 0 || task == Reconstruction.String() {
		t.task = Reconstruction
		return t, nil
	}
	for i := range y {
		if len(y[i].Shape) == 0 || y[i].Shape[0] != x[i].Shape[0] {
			return nil, &Error{What: "numbers of examples and targets differ", Found: fmt.Sprintf("features %v, targets %v", x[i].Shape, y[i].Shape)}
		}
	}
	return t, t.setTargets(y, task)
}
