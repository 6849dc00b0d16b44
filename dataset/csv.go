package dataset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/tensor"
)

const (
	maxCategories  = 1000 // of a text column: more, and it is an identifier or free text
	maxAutoClasses = 20   // distinct whole numbers in a label column that are taken for classes
)

const hintMissing = "fill it in or leave the row out"

// csvOptions say how a table of text is to be read.
type csvOptions struct {
	label string // name or number of the label column; empty: the last
	task  string // empty: decided by the label column
	tabs  bool
}

// grid is a table of text as it stands in a file.
type grid struct {
	where string
	names []string
	cells [][]string
	lines []int // of the file, by row
	at    []int // columns of the file; nil: these in order
}

// errorAt returns an error about one cell.
func (g *grid) errorAt(row, col int, what, expected, hint string) error {
	number := col + 1
	if g.at != nil {
		number = g.at[col] + 1
	}
	return &Error{What: what, Where: fmt.Sprintf("%s: line %d, column %d (%s)", g.where, g.lines[row], number, g.names[col]),
		Found: strconv.Quote(g.cells[row][col]), Expected: expected, Hint: hint}
}

// parseGrid cuts text into cells: fields separated by commas (or semicolons or tabs if the first line
// has those and no comma), quoted with "" where they need it (RFC 4180). The first line is a header
// if no field of it is a number and not all lines are without numbers; else, and where a name is empty,
// columns are called 1, 2, ….
func parseGrid(text []byte, where string, tabs bool) (*grid, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	r := csv.NewReader(bytes.NewReader(text))
	first, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case tabs || !bytes.ContainsAny(first, ",;") && bytes.ContainsRune(first, '\t'):
		r.Comma = '\t'
	case !bytes.ContainsRune(first, ',') && bytes.ContainsRune(first, ';'):
		r.Comma = ';'
	}
	r.TrimLeadingSpace = true
	g := &grid{where: where}
	for {
		rec, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, csvError(where, err, rec, g)
		}
		for i := range rec {
			rec[i] = strings.TrimSpace(rec[i])
		}
		line, _ := r.FieldPos(0)
		g.cells, g.lines = append(g.cells, rec), append(g.lines, line)
	}
	if len(g.cells) == 0 {
		return nil, &Error{What: "no lines in the file", Where: where, Expected: "a table of comma-separated values"}
	}
	if g.hasHeader() {
		g.names, g.cells, g.lines = g.cells[0], g.cells[1:], g.lines[1:]
		seen := map[string]bool{}
		for i, name := range g.names {
			if name == "" {
				name = strconv.Itoa(i + 1)
			}
			if g.names[i] = name; seen[name] {
				return nil, &Error{What: fmt.Sprintf("two columns are called %q", name), Where: where, Hint: "give each column a name of its own"}
			}
			seen[name] = true
		}
	} else {
		for i := range g.cells[0] {
			g.names = append(g.names, strconv.Itoa(i+1))
		}
	}
	return g, nil
}

func csvError(where string, err error, rec []string, g *grid) error {
	e := &Error{What: "not a table of comma-separated values", Where: where, Err: err}
	if p := new(csv.ParseError); errors.As(err, &p) {
		e.Where, e.Err = fmt.Sprintf("%s: line %d", where, p.Line), p.Err
		if errors.Is(p.Err, csv.ErrFieldCount) && len(g.cells) > 0 {
			e.What, e.Err = "another number of columns than in the first line", nil
			e.Found, e.Expected = strconv.Itoa(len(rec)), strconv.Itoa(len(g.cells[0]))
			e.Hint = "a field that contains the separator must be in double quotes"
		}
	}
	return e
}

// hasHeader reports whether the first line names the columns.
func (g *grid) hasHeader() bool {
	for _, c := range g.cells[0] {
		if isNumber(c) {
			return false
		}
	}
	if len(g.cells) == 1 {
		return true
	}
	for _, row := range g.cells[1:] {
		if slices.ContainsFunc(row, isNumber) {
			return true
		}
	}
	return false
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// column returns the index of the column that name means: a name of the header, or a number from 1.
func (g *grid) column(name string) (int, error) {
	if name == "" {
		return len(g.names) - 1, nil
	}
	if i := slices.Index(g.names, name); i >= 0 {
		return i, nil
	}
	if k, err := strconv.Atoi(name); err == nil && k >= 1 && k <= len(g.names) {
		return k - 1, nil
	}
	some := g.names
	if len(some) > 20 {
		some = append(slices.Clone(some[:20]), "…")
	}
	return 0, &Error{What: fmt.Sprintf("no column %q", name), Where: g.where, Expected: strings.Join(some, ", "),
		Hint: nearest.Hint(name, g.names, "name a column of the header, or its number from 1")}
}

// parseCSV makes a table of text.
func parseCSV(text []byte, where string, o csvOptions) (*table, error) {
	g, err := parseGrid(text, where, o.tabs)
	if err != nil {
		return nil, err
	}
	if len(g.cells) == 0 {
		return nil, &Error{What: "a header and no rows", Where: where}
	}
	t := new(table)
	label := -1
	if o.label != "" || o.task != Reconstruction.String() {
		if label, err = g.column(o.label); err != nil {
			return nil, err
		}
		t.label = g.names[label]
	}
	if o.task == Reconstruction.String() {
		t.task = Reconstruction
	} else if err := t.setTarget(g, label, o.task); err != nil {
		return nil, err
	}
	for c, name := range g.names {
		if c == label {
			continue
		}
		col, err := g.describe(c, name)
		if err != nil {
			return nil, err
		}
		t.columns = append(t.columns, col)
	}
	t.f64, t.shape, err = g.features(t.columns, label)
	return t, err
}

// describe decides what column c is: numbers, or text with its categories.
func (g *grid) describe(c int, name string) (Column, error) {
	col := Column{Name: name}
	text, numbers := -1, 0
	for i, row := range g.cells {
		if missingCell(row[c]) {
			return col, g.errorAt(i, c, "value is missing", "a number or a category", hintMissing)
		}
		if isNumber(row[c]) {
			numbers++
		} else if text < 0 {
			text = i
		}
	}
	if text < 0 {
		return col, nil
	}
	if numbers > 0 && numbers*10 >= len(g.cells)*9 {
		return col, g.errorAt(text, c, "text in a column of numbers", "a number", "correct the cell, or the header if this is a line of it")
	}
	seen := map[string]bool{}
	for i, row := range g.cells {
		if seen[row[c]] = true; len(seen) > maxCategories {
			return col, g.errorAt(i, c, fmt.Sprintf("more than %d different texts in a column", maxCategories), "categories", "leave out columns of identifiers and free text")
		}
	}
	for s := range seen {
		col.Categories = append(col.Categories, s)
	}
	slices.Sort(col.Categories)
	return col, nil
}

// missingCell reports whether a field stands for no value.
func missingCell(s string) bool {
	switch strings.ToLower(s) {
	case "", "?", "na", "n/a", "nan", "null", "none":
		return true
	}
	return false
}

// features returns the numbers of all columns but skip, as columns describes them in order.
func (g *grid) features(columns []Column, skip int) ([]float64, tensor.Shape, error) {
	width := 0
	for _, c := range columns {
		width += c.width()
	}
	if width == 0 || len(g.cells) > math.MaxInt32/width {
		return nil, tensor.Shape{}, &Error{What: "impossible size of a table", Where: g.where, Found: fmt.Sprintf("%d rows, %d features", len(g.cells), width),
			Expected: "at least one column besides the label, and less than 2³¹ values"}
	}
	x := make([]float64, len(g.cells)*width)
	for i, row := range g.cells {
		out, j := x[i*width:(i+1)*width], 0
		for c, k := 0, 0; c < len(row); c++ {
			if c == skip {
				continue
			}
			col := columns[k]
			k++
			if col.Categories == nil {
				v, err := g.number(i, c)
				if err != nil {
					return nil, tensor.Shape{}, err
				}
				out[j] = v
				j++
				continue
			}
			if missingCell(row[c]) {
				return nil, tensor.Shape{}, g.errorAt(i, c, "value is missing", "a category", hintMissing)
			}
			at, ok := slices.BinarySearch(col.Categories, row[c])
			if !ok {
				return nil, tensor.Shape{}, g.errorAt(i, c, "unknown category", strings.Join(col.Categories, ", "), "the model has not seen this value in training")
			}
			out[j+at] = 1
			j += len(col.Categories)
		}
	}
	return x, tensor.ShapeOf(width), nil
}

// number returns the finite number in a cell.
func (g *grid) number(row, c int) (float64, error) {
	s := g.cells[row][c]
	if missingCell(s) {
		return 0, g.errorAt(row, c, "value is missing", "a number", hintMissing)
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, g.errorAt(row, c, "not a finite number", "a number", "")
	}
	return v, nil
}

// setTarget reads the label column: classes if it is text, or whole numbers of which there are few
// (and less than half as many as rows); else numbers to regress on.
func (t *table) setTarget(g *grid, c int, task string) error {
	distinct := map[string]bool{}
	numbers, whole := true, true
	for i, row := range g.cells {
		s := row[c]
		if missingCell(s) {
			return g.errorAt(i, c, "label is missing", "a class or a number", hintMissing)
		}
		v, err := strconv.ParseFloat(s, 64)
		numbers = numbers && err == nil
		whole = whole && err == nil && v == math.Trunc(v)
		distinct[s] = true
	}
	t.task = Regression
	if task == Classification.String() || task == "" && (!numbers || whole && len(distinct) <= maxAutoClasses && 2*len(distinct) <= len(g.cells)) {
		t.task = Classification
	}
	if t.task == Regression {
		t.outputs = 1
		t.values = make([]float64, len(g.cells))
		for i := range g.cells {
			v, err := g.number(i, c)
			if err != nil {
				return err
			}
			t.values[i] = v
		}
		return nil
	}
	if len(distinct) > maxCategories {
		return &Error{What: "too many classes", Where: fmt.Sprintf("%s: column %d (%s)", g.where, c+1, g.names[c]), Found: strconv.Itoa(len(distinct)),
			Expected: fmt.Sprintf("at most %d", maxCategories), Hint: "name another label column, or regression as the task"}
	}
	for s := range distinct {
		t.classes = append(t.classes, s)
	}
	sortClasses(t.classes)
	index := map[string]int32{}
	for i, s := range t.classes {
		index[s] = int32(i)
	}
	t.labels = make([]int32, len(g.cells))
	for i, row := range g.cells {
		t.labels[i] = index[row[c]]
	}
	return nil
}

// sortClasses orders class names by value if all are numbers, else as text.
func sortClasses(names []string) {
	numbers := !slices.ContainsFunc(names, func(s string) bool { return !isNumber(s) })
	slices.SortFunc(names, func(a, b string) int {
		if numbers {
			x, _ := strconv.ParseFloat(a, 64)
			y, _ := strconv.ParseFloat(b, 64)
			if x != y {
				if x < y {
					return -1
				}
				return 1
			}
		}
		return strings.Compare(a, b)
	})
}
