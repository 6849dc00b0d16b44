package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/tensor"
)

// fileFormat returns the format that the ending of path stands for, or "".
func fileFormat(path string) string {
	name := strings.ToLower(filepath.Base(path))
	plain := strings.TrimSuffix(name, ".gz")
	switch ext := strings.TrimPrefix(filepath.Ext(plain), "."); {
	case ext == "csv" || ext == "tsv":
		return ext
	case (ext == "npz" || ext == "npy") && plain == name:
		return ext
	case ext == "idx" || strings.HasSuffix(plain, "-ubyte"):
		return "idx"
	}
	return ""
}

// readTable reads a user's file.
func readTable(path, format string, o Options) (*table, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	switch format {
	case "csv", "tsv":
		return parseCSV(b, path, csvOptions{label: o.Label, task: o.Task, tabs: format == "tsv"})
	case "idx":
		return nil, &Error{What: "one IDX file is features or labels alone", Where: path, Hint: "put the four files of the set in a folder mnist of the data directory, or join them in an .npz file"}
	}
	arrays, err := parseArrays(b, format)
	if err == nil {
		var t *table
		if t, err = tableOfArrays(arrays, o.Task); err == nil {
			return t, nil
		}
	}
	return nil, inFile(path, err)
}

// parseArrays reads the arrays of an .npy, .npz or IDX file.
func parseArrays(b []byte, format string) ([]NamedArray, error) {
	switch format {
	case "npz":
		return ReadNPZ(bytes.NewReader(b), int64(len(b)))
	case "npy":
		a, err := ReadNPY(bytes.NewReader(b))
		return []NamedArray{{"x", a}}, err
	default:
		a, err := ParseIDX(b)
		return []NamedArray{{"x", a}}, err
	}
}

// inFile says in which file err was found.
func inFile(path string, err error) error {
	if e := new(Error); errors.As(err, &e) && e.Where == "" {
		c := *e
		c.Where = path
		return &c
	}
	return err
}

// ReadExamples reads new examples, without targets, from a .csv, .tsv, .npy, .npz or IDX file (text and
// IDX also compressed) and normalises them by n, as the training data of n were.
//
// Columns of a text file are matched by the names of its header, in any order; others, such as the label,
// are passed over. Without such names they must be the feature columns in order, the label left out or not. An .npz file holds an array
// x or one array alone. Where the training data were bytes, as images are, all values must be whole numbers
// from 0 to white (255; 16 for digits).
func ReadExamples(path string, n Normalizer) (Examples, error) {
	if err := n.Validate(); err != nil {
		return Examples{}, err
	}
	format := fileFormat(path)
	if format == "" {
		return Examples{}, &Error{What: "unknown kind of file", Where: path, Expected: ".csv, .tsv, .npy, .npz or .idx"}
	}
	b, err := readFile(path)
	if err != nil {
		return Examples{}, err
	}
	d := &data{task: Reconstruction, shape: tensor.ShapeOf(n.Input...), image: len(n.Input) == 3}
	d.outputs = d.shape.Size()
	if format == "csv" || format == "tsv" {
		d.f64, err = parseRows(b, path, format == "tsv", &n)
	} else {
		var arrays []NamedArray
		if arrays, err = parseArrays(b, format); err == nil {
			err = d.setArray(arrays)
		}
	}
	if err == nil && n.Unit != 0 {
		err = d.toBytes(n.Unit)
	}
	if err != nil {
		return Examples{}, inFile(path, err)
	}
	d.setNormalizer(n)
	return Examples{d, sequence(0, d.rowCount())}, nil
}

// toBytes makes the features bytes, as those of the training data were, or returns an error if they are not
// whole numbers from 0 to white.
func (d *data) toBytes(white float64) error {
	b := make([]byte, d.rowCount()*d.shape.Size())
	for i := range b {
		v := d.raw(0, i)
		if v < 0 || v > white || v != math.Trunc(v) {
			return &Error{What: fmt.Sprintf("value %d of example %d is out of range", i%d.shape.Size(), i/d.shape.Size()), Found: fmt.Sprint(v),
				Expected: fmt.Sprintf("whole numbers from 0 to %v, as in the training data", white), Hint: "undo any scaling of the values"}
		}
		b[i] = byte(v)
	}
	d.bytes, d.f32, d.f64 = b, nil, nil
	return nil
}

// setArray makes the array x, or the only one, the features of d, whose shape is known.
func (d *data) setArray(arrays []NamedArray) error {
	k := slices.IndexFunc(arrays, func(a NamedArray) bool { return strings.EqualFold(a.Name, "x") })
	if k < 0 {
		if len(arrays) != 1 {
			return &Error{What: "no array x in the file", Found: fmt.Sprintf("%d arrays", len(arrays))}
		}
		k = 0
	}
	a, size := arrays[k].Array, d.shape.Size()
	if n := a.Len(); n == 0 || len(a.Shape) == 0 || n%a.Shape[0] != 0 || (n/a.Shape[0] != size && n != size) {
		return &Error{What: "examples of another shape than the model was trained on", Found: fmt.Sprint(a.Shape),
			Expected: fmt.Sprintf("[examples %s", strings.TrimPrefix(d.shape.String(), "["))}
	}
	t := table{data: *d}
	if err := t.setFeatures([]Array{{[]int{a.Len() / size, size}, a.Data}}); err != nil {
		return err
	}
	d.bytes, d.f32, d.f64 = t.bytes, t.f32, t.f64
	return nil
}

// parseRows reads rows of text whose columns n describes.
func parseRows(text []byte, where string, tabs bool, n *Normalizer) ([]float64, error) {
	g, err := parseGrid(text, where, tabs)
	if err != nil {
		return nil, err
	}
	columns := n.Columns
	named := len(columns) > 0
	if !named { // images: a column a value
		columns = make([]Column, tensor.ShapeOf(n.Input...).Size())
	}
	at := make([]int, 0, len(columns)) // where the columns are
	for _, c := range columns {
		if i := slices.Index(g.names, c.Name); named && i >= 0 {
			at = append(at, i)
		}
	}
	others := sequence(0, len(g.names)) // all but the label
	if i := slices.Index(g.names, n.Label); i >= 0 && len(g.names) == len(columns)+1 {
		others = slices.Delete(others, i, i+1)
	}
	switch {
	case named && len(at) == len(columns):
	case len(others) == len(columns):
		at = at[:0]
		for _, i := range others {
			at = append(at, int(i))
		}
	default:
		e := &Error{What: "columns do not fit the model", Where: where, Found: strconv.Itoa(len(g.names)) + " columns", Expected: fmt.Sprintf("the %d feature columns", len(columns))}
		if named {
			var names []string
			for _, c := range columns {
				names = append(names, c.Name)
			}
			e.Expected += ": " + strings.Join(names, ", ")
			e.Hint = "a header with these names may have them in any order, with others between"
		}
		return nil, e
	}
	picked := &grid{where: g.where, lines: g.lines, at: at, names: make([]string, len(at))}
	for k, i := range at {
		picked.names[k] = g.names[i]
	}
	for _, row := range g.cells {
		cells := make([]string, len(at))
		for k, i := range at {
			cells[k] = row[i]
		}
		picked.cells = append(picked.cells, cells)
	}
	if len(picked.cells) == 0 {
		return nil, &Error{What: "a header and no rows", Where: where}
	}
	x, _, err := picked.features(columns, -1)
	return x, err
}
