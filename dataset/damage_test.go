package dataset

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"slices"
	"testing"

	"github.com/descent-ml/descent/tensor"
)

// reader is one of the readers of foreign bytes, with a good file.
type reader struct {
	name string
	good []byte
	read func([]byte) error

	anyTruncation bool // every shorter file must be refused
}

// useTable makes a set of what a reader returned, as Open does.
func useTable(t *table, err error) error {
	if err == nil {
		_, err = t.set(Info{Name: "test"}, Options{})
	}
	return err
}

func readers(t testing.TB) []reader {
	t.Helper()
	file := func(name string) []byte {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	npz := func(b []byte) error {
		arrays, err := ReadNPZ(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		return useTable(tableOfArrays(arrays, ""))
	}
	return []reader{
		{"IDX", idxBytes(5, 6, 7), func(b []byte) error { _, err := ParseIDX(b); return err }, true},
		{"NPY", file("f4.npy"), func(b []byte) error { _, err := ReadNPY(bytes.NewReader(b)); return err }, true},
		{"NPY version 3", file("version3.npy"), func(b []byte) error { _, err := ReadNPY(bytes.NewReader(b)); return err }, true},
		{"NPZ stored", file("stored.npz"), npz, true},
		{"NPZ deflated", file("deflated.npz"), npz, true},
		{"CSV", []byte("size,\"a, b\",colour,y\n1,2.5,red,p\n3,-4e3,blue,q\n5,6,red,p\n7,8,\"gr\"\"een\",q\n1,1,red,q\n"),
			func(b []byte) error { return useTable(parseCSV(b, "t.csv", csvOptions{})) }, false},
		{"CIFAR batch", append([]byte{3}, bytes.Repeat([]byte{1, 2, 3}, cifarPixels)...),
			func(b []byte) error { return newCIFAR(2, 1).addCIFARBatch(b, "t.bin", 0) }, true},
		{"CIFAR archive", cifarArchiveBytes(t), func(b []byte) error { return useTable(parseCIFARZip(b, "t.zip")) }, true},
	}
}

// cifarArchiveBytes is an archive of four small JPEG images.
func cifarArchiveBytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, name := range []string{"train/cat/0000.jpg", "train/dog/0000.jpg", "test/ship/0000.jpg", "train/dog/0001.jpg"} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		img := image.NewRGBA(image.Rect(0, 0, 32, 32))
		for p := range 1024 {
			img.Set(p%32, p/32, color.RGBA{byte(64 * i), byte(p / 8), 128, 255})
		}
		if err := jpeg.Encode(w, img, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDamage gives every reader 2,000 files that are cut short or have bits flipped: no panic, an
// *Error if it is refused, and a cut file of a format that says its length is refused each time.
func TestDamage(t *testing.T) {
	for _, r := range readers(t) {
		t.Run(r.name, func(t *testing.T) {
			if err := r.read(r.good); err != nil {
				t.Fatalf("the good file: %v", err)
			}
			key := tensor.KeyOf(42).Named(r.name)
			refused := 0
			for i := range uint64(2000) {
				b, how := damaged(r.good, key.Fold(i))
				err := r.read(b)
				if err != nil {
					refused++
					if e := new(Error); !errors.As(err, &e) {
						t.Fatalf("%s: %T %v", how, err, err)
					}
				} else if r.anyTruncation && len(b) < len(r.good) {
					t.Fatalf("%s: accepted", how)
				}
			}
			if refused == 0 {
				t.Error("nothing was refused")
			}
		})
	}
}

// damaged returns a shorter file or one with one to four bits flipped, and says which.
func damaged(good []byte, k tensor.Key) ([]byte, string) {
	if k.IntN(0, 2) == 0 {
		n := k.IntN(1, len(good))
		return good[:n:n], fmt.Sprintf("cut to %d of %d bytes", n, len(good))
	}
	b := slices.Clone(good)
	how := "bits flipped in bytes"
	for i := range 1 + k.IntN(2, 4) {
		at := k.IntN(uint64(4+2*i), len(b))
		b[at] ^= 1 << k.IntN(uint64(5+2*i), 8)
		how += fmt.Sprintf(" %d", at)
	}
	return b, how
}

// TestForgedSizes: headers that promise more than there is are refused before anything of that size is
// made (the test would run out of memory).
func TestForgedSizes(t *testing.T) {
	idx := idxBytes(1, 1, 1)
	copy(idx[4:], []byte{0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff})
	if _, err := ParseIDX(idx); err == nil {
		t.Error("IDX with 2⁹³ elements accepted")
	}
	for _, shape := range []string{"(1000000000, 100), }", "(2147483647, 2147483647, 2147483647), }", "(99999999999,), }", "(-1, 4), }"} {
		head := "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape
		file := npyMagic + "\x01\x00" + string([]byte{byte(len(head)), 0}) + head + "1234567812345678"
		if _, err := ReadNPY(bytes.NewReader([]byte(file))); err == nil {
			t.Errorf("shape %s accepted", shape)
		}
	}
}

func fuzz(f *testing.F, names ...string) {
	var read func([]byte) error
	for _, r := range readers(f) {
		if slices.Contains(names, r.name) {
			f.Add(r.good)
			for i := range uint64(8) {
				b, _ := damaged(r.good, tensor.KeyOf(i))
				f.Add(b)
			}
			read = r.read
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := read(b); err != nil {
			if e := new(Error); !errors.As(err, &e) {
				t.Fatalf("%T %v", err, err)
			}
		}
	})
}

func FuzzIDX(f *testing.F)      { fuzz(f, "IDX") }
func FuzzNPY(f *testing.F)      { fuzz(f, "NPY", "NPY version 3") }
func FuzzNPZ(f *testing.F)      { fuzz(f, "NPZ stored", "NPZ deflated") }
func FuzzCSV(f *testing.F)      { fuzz(f, "CSV") }
func FuzzCIFAR(f *testing.F)    { fuzz(f, "CIFAR batch") }
func FuzzCIFARZip(f *testing.F) { fuzz(f, "CIFAR archive") }
