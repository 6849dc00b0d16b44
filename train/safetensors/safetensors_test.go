package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func write(t testing.TB, tensors []Tensor, metadata map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	d, err := Write(&buf, tensors, metadata)
	if err != nil {
		t.Fatal(err)
	}
	if d.Size != int64(buf.Len()) {
		t.Fatalf("digest says %d bytes, %d were written", d.Size, buf.Len())
	}
	return buf.Bytes()
}

// small is a file with every element type that is written.
func small() []Tensor {
	return []Tensor{
		{Name: "a.weight", Shape: []int{2, 3}, Data: []float32{1, 2, 3, float32(math.NaN()), float32(math.Copysign(0, -1)), 6}},
		{Name: "m", Shape: []int{2}, Data: []float64{math.Pi, math.Inf(-1)}},
		{Name: "empty", Shape: []int{0, 4}, Data: []float32{}},
		{Name: "t", Data: []int64{-1 << 62}},
	}
}

// The reference file was made by numpy from the format's description; see testdata/make.py.
func TestReadsReference(t *testing.T) {
	b, err := os.ReadFile("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	f, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	if f.Checked() || f.Metadata["made by"] != "make.py" {
		t.Errorf("Checked %v, metadata %v", f.Checked(), f.Metadata)
	}
	w := make([]float32, 12)
	if err := f.Load("layer.weight", w); err != nil {
		t.Fatal(err)
	}
	for i, v := range w {
		if want := (float32(i) - 5) / 8; v != want {
			t.Errorf("weight %d: %g, want %g", i, v, want)
		}
	}
	d, n := make([]float64, 3), make([]int64, 1)
	if err := errors.Join(f.Load("layer.bias", d), f.Load("steps", n)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d, []float64{1.5, -2.25e-300, math.Inf(1)}) || n[0] != -(1<<40)-1 {
		t.Errorf("bias %v, steps %v", d, n)
	}
	if i, ok := f.Find("half"); !ok || i.DType != "F16" || i.Size != 6 || !slices.Equal(i.Shape, []int{3}) {
		t.Errorf("half: %+v", i)
	}
	if err := f.Load("half", w); err == nil {
		t.Error("half precision was loaded as float32")
	}
}

// What Write makes follows the format's description: checked here with encoding/json and nothing of
// the reader.
func TestWritesFormat(t *testing.T) {
	b := write(t, small(), map[string]string{"k": `v"quoted`})
	n := binary.LittleEndian.Uint64(b)
	if n%8 != 0 || 8+n > uint64(len(b)) {
		t.Fatalf("header of %d bytes in a file of %d", n, len(b))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(b[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	var meta map[string]string
	if err := json.Unmarshal(header["__metadata__"], &meta); err != nil || meta["k"] != `v"quoted` {
		t.Fatalf("metadata %v: %v", meta, err)
	}
	delete(header, "__metadata__")
	type span struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	covered := make([]int, len(b)-8-int(n))
	for name, raw := range header {
		var s span
		if err := json.Unmarshal(raw, &s); err != nil || s.Shape == nil {
			t.Fatalf("%s: %s: %v", name, raw, err)
		}
		size := map[string]int{"F32": 4, "F64": 8, "I64": 8}[s.DType]
		for _, d := range s.Shape {
			size *= d
		}
		if s.Offsets[1]-s.Offsets[0] != size {
			t.Errorf("%s: %+v", name, s)
		}
		if s.Offsets[0]%min(8, max(1, size)) != 0 && size > 0 {
			t.Errorf("%s begins at %d, which is not aligned", name, s.Offsets[0])
		}
		for i := s.Offsets[0]; i < s.Offsets[1]; i++ {
			covered[i]++
		}
	}
	for i, c := range covered {
		if c != 1 {
			t.Fatalf("byte %d of the data belongs to %d tensors", i, c)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tensors []Tensor
		count := rapid.IntRange(0, 6).Draw(t, "tensors")
		for i := range count {
			shape := rapid.SliceOfN(rapid.IntRange(0, 5), 0, 3).Draw(t, "shape")
			n := 1
			for _, d := range shape {
				n *= d
			}
			var data any
			switch rapid.IntRange(0, 2).Draw(t, "type") {
			case 0:
				data = rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "f32")
			case 1:
				data = rapid.SliceOfN(rapid.Float64(), n, n).Draw(t, "f64")
			default:
				data = rapid.SliceOfN(rapid.Int64(), n, n).Draw(t, "i64")
			}
			name := rapid.String().Draw(t, "name")
			tensors = append(tensors, Tensor{fmt.Sprint(i, name), shape, data})
		}
		var buf bytes.Buffer
		want, err := Write(&buf, tensors, map[string]string{"note": rapid.String().Draw(t, "note")})
		if err != nil {
			t.Fatal(err)
		}
		f, err := open(buf.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Verify(); err != nil || got != want {
			t.Fatalf("digest %v, want %v, error %v", got, want, err)
		}
		for _, w := range tensors {
			// Names that are no UTF-8 come back with replacement characters, as JSON has it.
			info, ok := f.Find(strings.ToValidUTF8(w.Name, "\ufffd"))
			if !ok || !slices.Equal(info.Shape, w.Shape) && len(w.Shape) > 0 {
				t.Fatalf("%q: %+v", w.Name, info)
			}
			switch d := w.Data.(type) {
			case []float32:
				got := make([]float32, len(d))
				if err := f.Load(info.Name, got); err != nil || !slices.EqualFunc(got, d, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
					t.Fatal(got, d, err)
				}
			case []float64:
				got := make([]float64, len(d))
				if err := f.Load(info.Name, got); err != nil || !slices.EqualFunc(got, d, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
					t.Fatal(got, d, err)
				}
			case []int64:
				got := make([]int64, len(d))
				if err := f.Load(info.Name, got); err != nil || !slices.Equal(got, d) {
					t.Fatal(got, d, err)
				}
			}
		}
	})
}

// Every single flipped bit and every truncation of a checked file is seen.
func TestEveryChangeIsSeen(t *testing.T) {
	b := write(t, small(), map[string]string{"a": "b"})
	for i := range b {
		for bit := range 8 {
			c := slices.Clone(b)
			c[i] ^= 1 << bit
			f, err := open(c)
			if err == nil {
				_, err = f.Verify()
			}
			if err == nil {
				t.Fatalf("bit %d of byte %d was flipped without an error", bit, i)
			}
		}
		f, err := open(b[:i])
		if err == nil {
			_, err = f.Verify()
		}
		if err == nil {
			t.Fatalf("a file cut to %d bytes was accepted", i)
		}
		var cut TruncatedError
		if !errors.As(err, &cut) || cut.At != int64(i) {
			t.Fatalf("a file cut to %d of %d bytes: %v", i, len(b), err)
		}
	}
}

func TestNamesTheDamagedTensor(t *testing.T) {
	b := write(t, small(), nil)
	f, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := f.Find("a.weight")
	b[info.Offset+5] ^= 0x10
	var sum ChecksumError
	if _, err := f.Verify(); !errors.As(err, &sum) || sum.Tensor != "a.weight" {
		t.Errorf("Verify: %v", err)
	}
	if err := f.Load("a.weight", make([]float32, 6)); !errors.As(err, &sum) {
		t.Errorf("Load: %v", err)
	}
	if err := f.Load("m", make([]float64, 2)); err != nil {
		t.Errorf("the whole tensor: %v", err)
	}
}

func raw(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestRefuses(t *testing.T) {
	entry := func(dtype, shape, offsets string) string {
		return `{"x":{"dtype":"` + dtype + `","shape":` + shape + `,"data_offsets":` + offsets + `}}`
	}
	for name, b := range map[string][]byte{
		"an empty file":        {},
		"a short length":       {1, 2, 3},
		"text":                 []byte("hello, this is no such file at all"),
		"an enormous header":   binary.LittleEndian.AppendUint64(nil, 1<<40),
		"an array":             raw(`[]`, 0),
		"JSON cut short":       raw(`{"x":`, 0),
		"bytes after JSON":     raw(`{}x`, 0),
		"data without tensor":  raw(`{}`, 4),
		"an unknown type":      raw(entry("F7", "[1]", "[0,4]"), 4),
		"a wrong size":         raw(entry("F32", "[2]", "[0,4]"), 4),
		"a negative axis":      raw(entry("F32", "[-1]", "[0,4]"), 4),
		"overflowing axes":     raw(entry("F32", "[4294967296,4294967296,4294967296]", "[0,0]"), 0),
		"large axes":           raw(entry("F64", "[2147483647,2147483647,2147483647]", "[0,0]"), 0),
		"offsets reversed":     raw(entry("F32", "[1]", "[4,0]"), 4),
		"a hole at the start":  raw(entry("F32", "[1]", "[4,8]"), 8),
		"no shape":             raw(`{"x":{"dtype":"F32","data_offsets":[0,4]}}`, 4),
		"metadata of numbers":  raw(`{"__metadata__":{"a":1}}`, 0),
		"metadata twice":       raw(`{"__metadata__":{},"__metadata__":{}}`, 0),
		"a tensor twice":       raw(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"overlapping tensors":  raw(`{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3),
		"fractional offsets":   raw(entry("F32", "[1]", "[0,4.5]"), 4),
		"offsets past the end": raw(entry("F32", "[4]", "[0,16]"), 8),
	} {
		f, err := open(b)
		if err == nil {
			t.Errorf("%s was accepted: %+v", name, f.Tensors)
		}
		var cut TruncatedError
		if !errors.Is(err, ErrFormat) && !errors.As(err, &cut) {
			t.Errorf("%s: %v is of neither kind", name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(raw(`{}`, 0))
	f.Add(raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	var buf bytes.Buffer
	if _, err := Write(&buf, small(), map[string]string{"k": "v"}); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := open(b)
		if err != nil {
			return
		}
		size := int64(len(file.header))
		for _, i := range file.Tensors {
			size += i.Size
			switch i.DType {
			case "F32":
				_ = file.Load(i.Name, make([]float32, i.Size/4))
			case "F64":
				_ = file.Load(i.Name, make([]float64, i.Size/8))
			}
		}
		if size != int64(len(b)) {
			t.Fatalf("header and tensors cover %d of %d bytes", size, len(b))
		}
		_, _ = file.Verify()
	})
}
