package runlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/descent-ml/descent/internal/vfs"
)

func record(step int64) Record {
	return Record{Kind: "step", Step: step, Epoch: int(step / 10), Examples: 64 * step, Seconds: 0.25 * float64(step), Values: map[string]float64{"loss": 1 / float64(step+1)}}
}

func all(t testing.TB, f vfs.FS) ([]Record, Stats) {
	t.Helper()
	b, err := vfs.ReadFile(f, "log", 1<<30)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var records []Record
	s, err := Read(bytes.NewReader(b), func(r Record) error { records = append(records, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return records, s
}

func mustOpen(t testing.TB, f vfs.FS, position int64) *Writer {
	t.Helper()
	w, err := Open(f, "log", position)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRoundTrip(t *testing.T) {
	f := vfs.NewMemory()
	w := mustOpen(t, f, 0)
	var want []Record
	for i := range int64(100) {
		want = append(want, record(i))
		if err := w.Append(record(i)); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want, Record{Kind: "event", Message: "line\nbreak \"quoted\" <&>"})
	if err := errors.Join(w.Append(want[100]), w.Close()); err != nil {
		t.Fatal(err)
	}
	got, s := all(t, f)
	if !reflect.DeepEqual(got, want) || s.Damaged != 0 {
		t.Errorf("%d records, %+v", len(got), s)
	}
}

func TestNumbersThatAreNotFiniteAreLeftOut(t *testing.T) {
	f := vfs.NewMemory()
	w := mustOpen(t, f, 0)
	r := Record{Kind: "step", Values: map[string]float64{"a": math.NaN(), "b": math.Inf(1), "c": 3}}
	if err := w.Append(r); err != nil {
		t.Fatal(err)
	}
	if got, _ := all(t, f); len(got) != 1 || !reflect.DeepEqual(got[0].Values, map[string]float64{"c": 3}) {
		t.Errorf("%+v", got)
	}
	if len(r.Values) != 3 {
		t.Error("the caller's map was changed")
	}
}

// A log cut at any byte reads as the whole lines before the cut, and an opened log goes on from there.
func TestTornTail(t *testing.T) {
	f := vfs.NewMemory()
	w := mustOpen(t, f, 0)
	var ends []int64
	for i := range int64(4) {
		if err := w.Append(record(i)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, w.pos)
	}
	b, err := vfs.ReadFile(f, "log", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(b) + 1 {
		f := vfs.NewMemory()
		c, _ := f.Create("log")
		c.Write(b[:cut])
		whole := 0
		for _, e := range ends {
			if int64(cut) >= e {
				whole++
			}
		}
		if got, s := all(t, f); len(got) != whole || s.Damaged != 0 {
			t.Fatalf("cut at %d: %d records, %d damaged, want %d and 0", cut, len(got), s.Damaged, whole)
		}
		w := mustOpen(t, f, int64(len(b))) // the checkpoint knows of more than is there
		if err := w.Append(record(9)); err != nil {
			t.Fatal(err)
		}
		if got, s := all(t, f); len(got) != whole+1 || got[whole].Step != 9 || s.Damaged != 0 {
			t.Fatalf("cut at %d, then appended: %d records, %d damaged", cut, len(got), s.Damaged)
		}
	}
}

func TestOpenCutsBack(t *testing.T) {
	f := vfs.NewMemory()
	w := mustOpen(t, f, 0)
	w.Append(record(1))
	pos, err := w.Sync()
	if err != nil {
		t.Fatal(err)
	}
	w.Append(record(2))
	w.Close()
	w = mustOpen(t, f, pos)
	w.Append(record(3))
	if got, _ := all(t, f); len(got) != 2 || got[0].Step != 1 || got[1].Step != 3 {
		t.Errorf("%+v", got)
	}
}

// Writes fail for a while, also in the middle of a line: nothing is lost or torn in the end.
func TestWritesFailForAWhile(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		m := vfs.NewMemory()
		f := &vfs.Faulty{FS: m, Short: true}
		w := mustOpen(t, f, 0)
		f.Fail = func(int, string, string) error {
			if rng.IntN(3) == 0 {
				return syscall.ENOSPC
			}
			return nil
		}
		for i := range int64(50) {
			w.Append(record(i)) // failures are made up for later
			if i%7 == 0 {
				w.Sync()
			}
		}
		f.Fail = nil
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, s := all(t, m)
		if len(got) != 50 || s.Damaged != 0 {
			t.Fatalf("%d records, %d damaged", len(got), s.Damaged)
		}
		for i, r := range got {
			if r.Step != int64(i) {
				t.Fatalf("record %d is of step %d", i, r.Step)
			}
		}
	}
}

func TestWaitingRecordsAreBounded(t *testing.T) {
	f := &vfs.Faulty{FS: vfs.NewMemory()}
	w := mustOpen(t, f, 0)
	f.Fail = func(int, string, string) error { return syscall.ENOSPC }
	r := Record{Kind: "event", Message: strings.Repeat("x", 1000)}
	for range 3000 {
		w.Append(r)
	}
	if len(w.waiting) > maxWaiter {
		t.Errorf("%d bytes wait", len(w.waiting))
	}
	if err := w.Close(); err == nil {
		t.Error("the loss was not reported")
	}
}

// The file disappears while it is written: the log begins again.
func TestVanishes(t *testing.T) {
	f := vfs.NewMemory()
	w := mustOpen(t, f, 0)
	w.Append(record(1))
	f.RemoveAll("log")
	if pos, err := w.Sync(); err != nil || pos != 0 {
		t.Fatalf("position %d, error %v", pos, err)
	}
	w.Append(record(2))
	if got, s := all(t, f); len(got) != 1 || got[0].Step != 2 || s.Damaged != 0 {
		t.Errorf("%+v, %+v", got, s)
	}
}

// Any change of a byte damages the lines that it touches and no other.
func TestChangesAreSeen(t *testing.T) {
	var b []byte
	var err error
	for i := range int64(3) {
		if b, err = appendLine(b, record(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range b {
		for _, flip := range []byte{1, 0x20, 0x80} {
			c := bytes.Clone(b)
			c[i] ^= flip
			n := 0
			s, err := Read(bytes.NewReader(c), func(r Record) error {
				n++
				if !reflect.DeepEqual(r, record(r.Step)) {
					return fmt.Errorf("changed record %+v", r)
				}
				return nil
			})
			if err != nil || n > 2 || n < 1 {
				t.Fatalf("byte %d ^ %#x: %d records, %+v, error %v", i, flip, n, s, err)
			}
		}
	}
}

// endless is a log of n lines that exists nowhere.
type endless struct {
	line []byte
	n    int
	rest []byte
}

func (e *endless) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.n == 0 {
			return 0, io.EOF
		}
		e.n--
		e.rest = e.line
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// A line without an end does not fill the memory.
func TestEndlessLine(t *testing.T) {
	s, err := Read(&endless{line: bytes.Repeat([]byte("x"), 1<<16), n: 1 << 10}, func(Record) error { return nil })
	if err != nil || s.Records != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzRead(f *testing.F) {
	b, _ := appendLine(nil, record(3))
	f.Add(b)
	f.Add(append(b[:20:20], b...))
	f.Add([]byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := Read(bytes.NewReader(in), func(Record) error { return nil })
		if err != nil || s.Records+s.Damaged != bytes.Count(in, []byte("\n")) {
			t.Fatalf("%+v of %d lines, error %v", s, bytes.Count(in, []byte("\n")), err)
		}
	})
}
