package dataset

import (
	"encoding/binary"
	"fmt"
)

// ParseIDX reads an array in the IDX format of the MNIST files: two zero bytes, the element type, the
// number of axes, their lengths as big-endian 32-bit numbers, the elements. Types are unsigned byte (8),
// int32 (12), float32 (13) and float64 (14). An input that is shorter or longer than its header says is
// an error. Bytes of elements are not copied.
func ParseIDX(b []byte) (Array, error) {
	fail := func(what, found, expected string) (Array, error) {
		return Array{}, &Error{What: "not an IDX file: " + what, Found: found, Expected: expected}
	}
	if len(b) < 4 {
		return fail("too short for a header", fmt.Sprintf("%d bytes", len(b)), "at least 4")
	}
	if b[0] != 0 || b[1] != 0 {
		return fail("it does not begin with two zero bytes", fmt.Sprintf("% x", b[:2]), "00 00")
	}
	var zero any
	width := 1
	switch b[2] {
	case 0x08:
		zero = []uint8(nil)
	case 0x0c:
		zero, width = []int32(nil), 4
	case 0x0d:
		zero, width = []float32(nil), 4
	case 0x0e:
		zero, width = []float64(nil), 8
	default:
		return fail("unknown element type", fmt.Sprintf("%#02x", b[2]), "0x08 byte, 0x0c int32, 0x0d float32 or 0x0e float64")
	}
	axes := int(b[3])
	if axes == 0 || axes > 6 {
		return fail("impossible number of axes", fmt.Sprint(axes), "1 to 6")
	}
	head := 4 + 4*axes
	if len(b) < head {
		return fail("it ends within the header", fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("a header of %d", head))
	}
	shape := make([]int, axes)
	for i := range shape {
		n := binary.BigEndian.Uint32(b[4+4*i:])
		if n > 1<<31-1 {
			return fail("impossible length of an axis", fmt.Sprint(n), "less than 2³¹")
		}
		shape[i] = int(n)
	}
	size, err := checkedSize(shape, width)
	if err != nil {
		return fail(err.Error(), "", "")
	}
	if have := int64(len(b) - head); have != size {
		return Array{}, &Error{What: "IDX file of another length than its header says",
			Found: fmt.Sprintf("%d bytes after the header", have), Expected: fmt.Sprintf("%d for shape %v", size, shape),
			Hint: "the file was cut short or changed; get it again"}
	}
	return Array{shape, decode(b[head:], binary.BigEndian, zero)}, nil
}

// readIDX reads the array in the known file f of folder.
func readIDX(set, folder, get string, f knownFile, axes int) (Array, error) {
	path, b, err := f.read(set, folder, get)
	if err != nil {
		return Array{}, err
	}
	a, err := ParseIDX(b)
	if err != nil {
		e := *err.(*Error)
		e.Where = path
		return Array{}, &e
	}
	if _, ok := a.Data.([]uint8); !ok || len(a.Shape) != axes {
		return Array{}, &Error{What: "IDX file holds something else", Where: path, Found: fmt.Sprintf("%s %v", a.Type(), a.Shape),
			Expected: fmt.Sprintf("bytes with %d axes", axes), Hint: get}
	}
	return a, nil
}

// mnistFiles are the four parts of a set in the form of MNIST: training images and labels, test images and
// labels. All files of the four are the same size in every such set.
func mnistFiles(sums [4]string) []knownFile {
	return []knownFile{
		{name: "train-images-idx3-ubyte", size: 47040016, sha256: sums[0], spare: 7840016},
		{name: "train-labels-idx1-ubyte", size: 60008, sha256: sums[1]},
		{name: "t10k-images-idx3-ubyte", size: 7840016, sha256: sums[2]},
		{name: "t10k-labels-idx1-ubyte", size: 10008, sha256: sums[3]},
	}
}

// readMNIST reads a set in the form of MNIST; its files are read side by side.
func readMNIST(s *source, o Options, classes []string) (*table, error) {
	folder := s.info(o.Dir).Folder
	var parts [4]Array
	err := together(4, func(i int) (err error) {
		axes := 3
		if i%2 == 1 {
			axes = 1
		}
		parts[i], err = readIDX(s.name, folder, s.get, s.files[i], axes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return imagesOf(folder, parts, classes)
}

// imagesOf joins training images and labels, test images and labels.
func imagesOf(where string, parts [4]Array, classes []string) (*table, error) {
	x, y, xt, yt := parts[0], parts[1], parts[2], parts[3]
	for _, p := range [][2]Array{{x, y}, {xt, yt}} {
		if p[0].Shape[0] != p[1].Shape[0] || p[0].Shape[0] == 0 {
			return nil, &Error{What: "numbers of images and labels do not fit", Where: where,
				Found: fmt.Sprintf("%d images, %d labels", p[0].Shape[0], p[1].Shape[0])}
		}
	}
	if x.Shape[1] != xt.Shape[1] || x.Shape[2] != xt.Shape[2] {
		return nil, &Error{What: "training and test images differ in size", Where: where,
			Found: fmt.Sprintf("%v and %v", x.Shape[1:], xt.Shape[1:])}
	}
	t := &table{classes: classes, unit: 255, train: x.Shape[0]}
	t.setImages(append(x.Data.([]uint8), xt.Data.([]uint8)...), x.Shape[1], x.Shape[2], 1)
	for _, labels := range [][]uint8{y.Data.([]uint8), yt.Data.([]uint8)} {
		for i, l := range labels {
			if int(l) >= len(classes) {
				return nil, &Error{What: fmt.Sprintf("label of example %d is out of range", i), Where: where,
					Found: fmt.Sprint(l), Expected: fmt.Sprintf("0 to %d", len(classes)-1)}
			}
			t.labels = append(t.labels, int32(l))
		}
	}
	return t, nil
}
