package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// parseSet makes a set of text, without a test of its own splits.
func parseText(t *testing.T, text string, o csvOptions) *table {
	t.Helper()
	tab, err := parseCSV([]byte(text), "t.csv", o)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestCSV(t *testing.T) {
	want := []float64{1, 2.5, 3, -4e3, 5, 6}
	for name, text := range map[string]string{
		"header":     "a,b,y\n1,2.5,p\n3,-4e3,q\n5,6,p\n",
		"none":       "1,2.5,p\n3,-4e3,q\n5,6,p\n",
		"quoted":     "\"a\",\"b, c\",\"y \"\"z\"\"\"\r\n\"1\",2.5,\"p\"\r\n3,\"-4e3\",q\r\n5,6,p",
		"semicolons": "a;b;y\n1;2.5;p\n3;-4e3;q\n5;6;p\n",
		"tabs":       "a\tb\ty\n1\t2.5\tp\n3\t-4e3\tq\n5\t6\tp\n",
		"blanks":     "a, b, y\n1, 2.5 , p\n\n3, -4e3, q\n5, 6, p\n",
		"unnamed":    ",b,y\n1,2.5,p\n3,-4e3,q\n5,6,p\n",
		"mark":       "\ufeffa,b,y\n1,2.5,p\n3,-4e3,q\n5,6,p\n",
	} {
		tab := parseText(t, text, csvOptions{})
		if !slices.Equal(tab.f64, want) || !slices.Equal(tab.labels, []int32{0, 1, 0}) || !slices.Equal(tab.classes, []string{"p", "q"}) {
			t.Errorf("%s: features %v, labels %v of %v", name, tab.f64, tab.labels, tab.classes)
		}
	}
}

func TestCSVColumns(t *testing.T) {
	text := "y,colour,size\n1.5,red,1\n2.5,blue,2\n0.5,red,3\n"
	tab := parseText(t, text, csvOptions{label: "y"})
	if tab.task != Regression || !slices.Equal(tab.values, []float64{1.5, 2.5, 0.5}) || tab.label != "y" {
		t.Errorf("%v %v %q", tab.task, tab.values, tab.label)
	}
	if want := []float64{0, 1, 1, 1, 0, 2, 0, 1, 3}; !slices.Equal(tab.f64, want) { // blue, red, size
		t.Errorf("features %v, want %v", tab.f64, want)
	}
	if want := []Column{{"colour", []string{"blue", "red"}}, {"size", nil}}; !reflect.DeepEqual(tab.columns, want) {
		t.Errorf("columns %v", tab.columns)
	}
	if byNumber := parseText(t, text, csvOptions{label: "1"}); !slices.Equal(byNumber.f64, tab.f64) {
		t.Error("a column by its number differs")
	}
	many := "x,y\n"
	for i := range 60 {
		many += strconv.Itoa(i) + "," + strconv.Itoa(11-i%12) + "\n"
	}
	if tab := parseText(t, many, csvOptions{}); tab.task != Classification || tab.classes[2] != "2" || tab.classes[11] != "11" {
		t.Errorf("twelve whole numbers: %v, classes %v", tab.task, tab.classes)
	}
	if tab := parseText(t, many, csvOptions{task: "regression"}); tab.task != Regression {
		t.Errorf("regression asked, got %v", tab.task)
	}
	if tab := parseText(t, many, csvOptions{task: "reconstruction"}); tab.shape.Size() != 2 {
		t.Errorf("reconstruction of all columns has %d", tab.shape.Size())
	}
}

// TestCSVErrors: the message names line and column and what was found there.
func TestCSVErrors(t *testing.T) {
	for _, c := range []struct{ text, label, want string }{
		{"a,b,y\n1,2,p\n3,,q\n", "", "line 3, column 2 (b): value is missing"},
		{"a,b,y\n1,2,p\n3,NaN,q\n", "", "line 3, column 2 (b): value is missing"},
		{"a,b,y\n1,2,p\n3,inf,q\n", "", "line 3, column 2 (b): not a finite number\nfound: \"inf\""},
		{"a,b,y\n1,2,p\n3,4,\n", "", "line 3, column 3 (y): label is missing"},
		{"a,b,y\n1,2,p\n\"x\ny\",2,p\n3,4\n", "", "line 5: another number of columns than in the first line\nfound: 2\nexpected: 3"},
		{"a,b,y\n1,2,p\n3,\"4,q\n", "", "line 3: not a table"},
		{"age,size,y\n1,2,p\n3,4,q\n", "sise", "hint: did you mean size?"},
		{"a,b,y\n1,2,p\n3,4,q\n", "4", "no column \"4\""},
		{"a,a,y\n1,2,p\n3,4,q\n", "", "two columns are called \"a\""},
		{"a,b,y\n", "", "a header and no rows"},
		{"a,b,y\n1,2,p\n3,4,p\n5,6,p\n", "", "one class alone"},
		{"", "", "no lines"},
		{"y\n1\n2\n", "", "at least one column besides the label"},
		{"x,y\n" + strings.Repeat("1,0.5\n", 20) + "oops,1\n", "", "line 22, column 1 (x): text in a column of numbers\nfound: \"oops\""},
	} {
		path := filepath.Join(t.TempDir(), "t.csv")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, Options{Label: c.label})
		if e := new(Error); !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v\nwant %q", c.text, err, c.want)
		}
	}
}

func iota12() (f4 []float32, f8 []float64, u1 []uint8, i4 []int32, i8 []int64, b []bool) {
	for i := range 12 {
		f4, f8, u1, i4, i8, b = append(f4, float32(i)), append(f8, float64(i)), append(u1, uint8(i)), append(i4, int32(i)), append(i8, int64(i)), append(b, i%2 == 0)
	}
	return
}

// TestNPYGolden reads files that NumPy wrote (testdata/arrays.py), and writes the same bytes.
func TestNPYGolden(t *testing.T) {
	f4, f8, u1, i4, i8, b := iota12()
	for name, want := range map[string]any{"f4": f4, "f8": f8, "u1": u1, "i4": i4, "i8": i8, "bool": b, "big": f4, "version2": f4, "version3": f4} {
		file, err := os.ReadFile("testdata/" + name + ".npy")
		if err != nil {
			t.Fatal(err)
		}
		a, err := ReadNPY(bytes.NewReader(file))
		if err != nil || !reflect.DeepEqual(a.Data, want) || !slices.Equal(a.Shape, []int{3, 4}) {
			t.Errorf("%s: %v %v, %v", name, a.Shape, a.Data, err)
		}
		if name == "big" || strings.HasPrefix(name, "version") {
			continue
		}
		var w bytes.Buffer
		if err := WriteNPY(&w, a); err != nil || !bytes.Equal(w.Bytes(), file) {
			t.Errorf("%s: written otherwise than by NumPy: %q, %v", name, w.Bytes()[:min(140, w.Len())], err)
		}
	}
	for name, shape := range map[string][]int{"vector": {5}, "scalar": {}} {
		file, _ := os.ReadFile("testdata/" + name + ".npy")
		a, err := ReadNPY(bytes.NewReader(file))
		if err != nil || !slices.Equal(a.Shape, shape) {
			t.Errorf("%s: %v, %v", name, a.Shape, err)
		}
		var w bytes.Buffer
		if err := WriteNPY(&w, a); err != nil || !bytes.Equal(w.Bytes(), file) {
			t.Errorf("%s: written otherwise than by NumPy: %q", name, w.Bytes())
		}
	}
	for name, want := range map[string]string{"fortran": "ascontiguousarray", "complex": "<c8"} {
		file, _ := os.ReadFile("testdata/" + name + ".npy")
		if _, err := ReadNPY(bytes.NewReader(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNPZ(t *testing.T) {
	s := open(t, "testdata/stored.npz", Options{})
	if s.Task != Classification || s.Classes != 2 || s.Input.Size() != 4 || s.Test.Len() != 2 {
		t.Errorf("stored: %v, %d classes, %v, %d for test", s.Task, s.Classes, s.Input, s.Test.Len())
	}
	s = open(t, "testdata/deflated.npz", Options{Val: -1})
	if s.Train.Len() != 8 || s.Test.Len() != 2 || s.Split != "published test part; no validation part" {
		t.Errorf("deflated: %d and %d examples, %s", s.Train.Len(), s.Test.Len(), s.Split)
	}
	rapid.Check(t, func(t *rapid.T) {
		n, m := rapid.IntRange(0, 4).Draw(t, "n"), rapid.IntRange(0, 4).Draw(t, "m")
		arrays := []NamedArray{
			{"x", Array{[]int{n, m}, rapid.SliceOfN(rapid.Float64(), n*m, n*m).Draw(t, "x")}},
			{"odd name/1", Array{[]int{m, 1, n}, rapid.SliceOfN(rapid.Int32(), n*m, n*m).Draw(t, "i")}},
			{"u", Array{[]int{n}, rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "u")}},
		}
		var w bytes.Buffer
		if err := WriteNPZ(&w, arrays); err != nil {
			t.Fatal(err)
		}
		back, err := ReadNPZ(bytes.NewReader(w.Bytes()), int64(w.Len()))
		if err != nil || len(back) != 3 {
			t.Fatal(err)
		}
		for i := range arrays {
			if back[i].Name != arrays[i].Name || !slices.Equal(back[i].Shape, arrays[i].Shape) || back[i].Len() > 0 && !reflect.DeepEqual(back[i].Data, arrays[i].Data) {
				t.Fatalf("%v came back as %v", arrays[i], back[i])
			}
		}
	})
}

func TestArrayTables(t *testing.T) {
	images := Array{[]int{6, 3, 2}, make([]uint8, 36)}
	wholes := Array{[]int{6}, []int64{7, -1, 7, 3, -1, 7}}
	tab, err := tableOfArrays([]NamedArray{{"images", images}, {"labels", wholes}}, "")
	if err != nil || !tab.image || tab.shape.String() != "[3 2 1]" || !slices.Equal(tab.classes, []string{"-1", "3", "7"}) || !slices.Equal(tab.labels, []int32{2, 0, 2, 1, 0, 2}) {
		t.Errorf("images: %+v, %v", tab, err)
	}
	two := Array{[]int{6, 2}, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}
	if tab, err = tableOfArrays([]NamedArray{{"X", two}, {"Y", two}}, ""); err != nil || tab.task != Regression || tab.outputs != 2 {
		t.Errorf("two targets: %+v, %v", tab, err)
	}
	if tab, err = tableOfArrays([]NamedArray{{"x", two}}, ""); err != nil || tab.task != Reconstruction {
		t.Errorf("no targets: %+v, %v", tab, err)
	}
	short := Array{[]int{5}, []int64{1, 2, 3, 4, 5}}
	nan := Array{[]int{6, 1}, []float64{1, 2, 3, 4, binaryNaN(), 6}}
	for name, arrays := range map[string][]NamedArray{
		"no features":  {{"z", two}},
		"no test":      {{"x_train", two}, {"y_train", wholes}},
		"counts":       {{"x", two}, {"y", short}},
		"one target":   {{"x_train", two}, {"y_train", wholes}, {"x_test", two}},
		"not a number": {{"x", nan}, {"y", wholes}},
		"widths":       {{"x_train", two}, {"x_test", nan}},
		"empty":        {{"x", Array{[]int{0, 2}, []float64{}}}},
		"no columns":   {{"x", Array{[]int{3, 0}, []float64{}}}},
		"scalar":       {{"x", Array{[]int{}, []float64{1}}}},
	} {
		tab, err := tableOfArrays(arrays, "")
		if err == nil {
			_, err = tab.set(Info{}, Options{})
		}
		if e := new(Error); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func binaryNaN() float64 { z := 0.0; return z / z }

// idxBytes is an IDX file of bytes 0, 1, 2, ….
func idxBytes(shape ...int) []byte {
	b := []byte{0, 0, 8, byte(len(shape))}
	for _, d := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	for i := range product(shape) {
		b = append(b, byte(i))
	}
	return b
}

func TestIDX(t *testing.T) {
	a, err := ParseIDX(idxBytes(2, 3, 4))
	if err != nil || !slices.Equal(a.Shape, []int{2, 3, 4}) || a.Data.([]uint8)[23] != 23 {
		t.Errorf("%v, %v", a, err)
	}
	a, err = ParseIDX([]byte{0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0x80, 0, 0})
	if err != nil || !reflect.DeepEqual(a.Data, []float32{1}) {
		t.Errorf("float32: %v, %v", a, err)
	}
}

// TestKnownFiles: the digest finds every change of the contents, in a plain and in a compressed file, and
// the message says what was expected.
func TestKnownFiles(t *testing.T) {
	text := idxBytes(10, 4, 5)
	f := knownFile{name: "train-images-idx3-ubyte", size: int64(len(text)), sha256: "30293f76a4fc6ccea6a65ab17ed97ed3f7fd3d7e0a3ca80d1ae5a7ed9f02b5f7"}
	e := new(Error)
	if err := f.check("x", text); !errors.As(err, &e) {
		t.Fatal("an arbitrary digest fits")
	}
	f.sha256 = strings.TrimPrefix(e.Found, "SHA-256 ")
	dir := t.TempDir()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(text)
	w.Close()
	for _, form := range []struct {
		name string
		b    []byte
	}{{"", text}, {".gz", z.Bytes()}} {
		path := filepath.Join(dir, f.name+form.name)
		accepted := 0
		for i := -1; i < len(form.b); i++ {
			b := slices.Clone(form.b)
			if i >= 0 {
				b[i] ^= 1 << (i % 8)
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, got, err := f.read("test", dir, "get it")
			if err == nil && !bytes.Equal(got, text) {
				t.Fatalf("flip at byte %d of %s accepted", i, path)
			}
			if err == nil {
				accepted++
			}
		}
		// Of the gzip header time, system and two flags do not touch the contents.
		if limit := 1 + 8*len(form.name)/3; accepted < 1 || accepted > limit {
			t.Errorf("%s: %d variants accepted, want 1 to %d", path, accepted, limit)
		}
		os.Remove(path)
	}
	if err := f.check("x", text[1:]); !errors.As(err, &e) || e.Found != "215 bytes" || e.Expected != "216 bytes" || e.Hint == "" {
		t.Errorf("one byte short: %v", err)
	}
}

// TestReadExamples: rows read back by the normaliser are the rows of the set.
func TestReadExamples(t *testing.T) {
	dir := t.TempDir()
	text := "size,colour,y\n1,red,p\n2,blue,q\n3.5,red,p\n4,green,q\n5,blue,p\n6,red,q\n"
	path := filepath.Join(dir, "rows.csv")
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	write("rows.csv", text)
	s := open(t, path, Options{Val: -1})
	want := make([]float64, 6*4)
	for _, e := range []Examples{s.Train, s.Test} {
		for i, r := range e.rows {
			Gather(e, []int32{int32(i)}, want[int(r)*4:][:4])
		}
	}
	for name, p := range map[string]string{
		"same file":      path,
		"another order":  write("b.csv", "colour,z,size\nred,9,1\nblue,9,2\nred,9,3.5\ngreen,9,4\nblue,9,5\nred,9,6\n"),
		"without header": write("c.csv", "1,red\n2,blue\n3.5,red\n4,green\n5,blue\n6,red\n"),
	} {
		e, err := ReadExamples(p, s.Normalizer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.Equal(gatherAll(e), want) {
			t.Errorf("%s: other features", name)
		}
	}
	for text, want := range map[string]string{
		"1,red,3,4\n2,red,3,4\n":   "columns do not fit the model",
		"size,colour\n1,yellow\n":  "unknown category",
		"z,size,colour\n9,1,\n":    "line 2, column 3 (colour): value is missing",
		"size,colour\nlarge,red\n": "not a finite number",
	} {
		if _, err := ReadExamples(write("d.csv", text), s.Normalizer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}

	d := open(t, "digits", Options{})
	pixels := d.Train.data.bytes[int(d.Train.rows[3])*64:][:64]
	var w bytes.Buffer
	if err := WriteNPY(&w, Array{[]int{1, 8, 8}, pixels}); err != nil {
		t.Fatal(err)
	}
	line := make([]string, 64)
	for i, b := range pixels {
		line[i] = strconv.Itoa(int(b))
	}
	idx := append([]byte{0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8}, pixels...)
	one := make([]float64, 64)
	Gather(d.Train, []int32{3}, one)
	for _, p := range []string{write("one.npy", w.String()), write("one.csv", strings.Join(line, ",")+"\n"), write("one.idx", string(idx))} {
		e, err := ReadExamples(p, d.Normalizer)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if !slices.Equal(gatherAll(e), one) {
			t.Errorf("%s: other features than in the set", p)
		}
	}
	labelled := write("labelled.csv", strings.Repeat("p,", 64)+"digit\n"+strings.Join(line, ",")+",3\n")
	if _, err := ReadExamples(labelled, d.Normalizer); err == nil {
		t.Error("64 columns of one name accepted")
	}
	header := ""
	for i := range 64 {
		header += fmt.Sprintf("pixel %d,", i)
	}
	labelled = write("labelled.csv", header+"digit\n"+strings.Join(line, ",")+",3\n")
	if e, err := ReadExamples(labelled, d.Normalizer); err != nil || !slices.Equal(gatherAll(e), one) {
		t.Errorf("with the label: %v", err)
	}
	line[5] = "0.5"
	if _, err := ReadExamples(write("half.csv", strings.Join(line, ",")+"\n"), d.Normalizer); err == nil || !strings.Contains(err.Error(), "value 5 of example 0 is out of range\nfound: 0.5") {
		t.Errorf("half a grey value: %v", err)
	}
	if _, err := ReadExamples("testdata/f4.npy", d.Normalizer); err == nil || !strings.Contains(err.Error(), "[examples 8 8 1]") {
		t.Errorf("wrong shape: %v", err)
	}
}
