package dataset

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
)

const (
	cifarSide   = 32
	cifarPixels = cifarSide * cifarSide
	cifarRecord = 1 + 3*cifarPixels
	cifarZip    = "cifar10-jpeg.zip"
	maxJPEG     = 1 << 20 // bytes of one compressed image
)

var cifarClasses = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

// cifarBatches are the files of the original binary form; the digests of the single files are not
// published, so their size and labels alone are checked.
func cifarBatches() []knownFile {
	var files []knownFile
	for i := 1; i <= 5; i++ {
		files = append(files, knownFile{name: fmt.Sprintf("cifar-10-batches-bin/data_batch_%d.bin", i), size: 10000 * cifarRecord})
	}
	return append(files, knownFile{name: "cifar-10-batches-bin/test_batch.bin", size: 10000 * cifarRecord})
}

// cifarArchive is the collection as JPEG files, slightly lossy.
func cifarArchive() knownFile {
	return knownFile{name: cifarZip, size: 62190935, sha256: "3054c506d6b9c55863eb76490483f9f2d56b5a8850a262d6cfb7d6d71537273c"}
}

// readCIFAR reads the original batches if they are there, else the archive of JPEG files.
func readCIFAR(s *source, o Options) (*table, error) {
	folder := s.info(o.Dir).Folder
	if _, err := s.files[0].find(folder); err != nil {
		for _, f := range s.alternatives {
			if _, err := f.find(folder); err == nil {
				name, b, err := f.read(s.name, folder, s.get)
				if err != nil {
					return nil, err
				}
				return parseCIFARZip(b, name)
			}
		}
	}
	batches := make([][]byte, len(s.files))
	names := make([]string, len(s.files))
	err := together(len(s.files), func(i int) (err error) {
		names[i], batches[i], err = s.files[i].read(s.name, folder, s.get)
		return err
	})
	if err != nil {
		return nil, err
	}
	t := newCIFAR(6*10000, 5*10000)
	for i, b := range batches {
		if err := t.addCIFARBatch(b, names[i], i*10000); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func newCIFAR(n, train int) *table {
	t := &table{unit: 255, train: train, classes: cifarClasses}
	t.setImages(make([]byte, n*3*cifarPixels), cifarSide, cifarSide, 3)
	t.labels = make([]int32, n)
	return t
}

// addCIFARBatch stores the records of b as rows from row on: each a label, then the red, the green
// and the blue plane.
func (t *table) addCIFARBatch(b []byte, where string, row int) error {
	if len(b) == 0 || len(b)%cifarRecord != 0 {
		return &Error{What: "not a batch of CIFAR-10", Where: where, Found: fmt.Sprintf("%d bytes", len(b)),
			Expected: fmt.Sprintf("a multiple of %d", cifarRecord), Hint: hintAgain}
	}
	for i := 0; len(b) > 0; i++ {
		if int(b[0]) >= len(cifarClasses) {
			return &Error{What: fmt.Sprintf("label of record %d is out of range", i), Where: where, Found: fmt.Sprint(b[0]), Expected: "0 to 9", Hint: hintAgain}
		}
		t.labels[row+i] = int32(b[0])
		dst := t.bytes[(row+i)*3*cifarPixels:][:3*cifarPixels]
		for p := range cifarPixels {
			dst[3*p], dst[3*p+1], dst[3*p+2] = b[1+p], b[1+cifarPixels+p], b[1+2*cifarPixels+p]
		}
		b = b[cifarRecord:]
	}
	return nil
}

// parseCIFARZip reads an archive of files split/class/number.jpg with the splits train and test. Rows are in
// the order of split (training first), number and class, whatever the order of the archive. Images are
// decoded side by side, each into its place.
func parseCIFARZip(b []byte, where string) (*table, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, &Error{What: "not a zip archive", Where: where, Err: err, Hint: hintAgain}
	}
	type picture struct {
		file  *zip.File
		test  bool
		label int32
		name  string
	}
	var pictures []picture
	train := 0
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		parts := strings.Split(f.Name, "/")
		label := -1
		if len(parts) == 3 && (parts[0] == "train" || parts[0] == "test") && path.Ext(parts[2]) == ".jpg" {
			label = slices.Index(cifarClasses, parts[1])
		}
		if label < 0 {
			return nil, &Error{What: "unknown file in the archive", Where: where, Found: fmt.Sprintf("%.80q", f.Name), Expected: "train/CLASS/NUMBER.jpg or test/CLASS/NUMBER.jpg with the classes of CIFAR-10"}
		}
		pictures = append(pictures, picture{f, parts[0] == "test", int32(label), parts[2]})
		if parts[0] == "train" {
			train++
		}
	}
	if train == 0 || train == len(pictures) {
		return nil, &Error{What: "archive without training or test images", Where: where, Found: fmt.Sprintf("%d training, %d test", train, len(pictures)-train), Hint: hintAgain}
	}
	slices.SortFunc(pictures, func(a, b picture) int {
		switch {
		case a.test != b.test && b.test:
			return -1
		case a.test != b.test:
			return 1
		case a.name != b.name:
			return strings.Compare(a.name, b.name)
		}
		return int(a.label - b.label)
	})
	for i := 1; i < len(pictures); i++ {
		if pictures[i].file.Name == pictures[i-1].file.Name {
			return nil, &Error{What: "file twice in the archive", Where: where, Found: fmt.Sprintf("%.80q", pictures[i].file.Name)}
		}
	}
	t := newCIFAR(len(pictures), train)
	workers := runtime.GOMAXPROCS(0)
	err = together(workers, func(w int) error {
		for i := w * len(pictures) / workers; i < (w+1)*len(pictures)/workers; i++ {
			p := pictures[i]
			t.labels[i] = p.label
			if err := decodeJPEG(p.file, t.bytes[i*3*cifarPixels:][:3*cifarPixels]); err != nil {
				return &Error{What: "damaged image", Where: where + ": " + p.file.Name, Err: err, Hint: hintAgain}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// decodeJPEG stores the pixels of a 32×32 image in dst, red, green and blue together.
func decodeJPEG(f *zip.File, dst []byte) error {
	b, err := readZipped(f, func(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, maxJPEG)) })
	if err != nil {
		return err
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(b)) // the size, before anything of that size is made
	if err != nil {
		return err
	}
	if c.Width != cifarSide || c.Height != cifarSide {
		return fmt.Errorf("image of %d×%d pixels, expected 32×32", c.Width, c.Height)
	}
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return err
	}
	if y, ok := img.(*image.YCbCr); ok {
		for i := range cifarPixels {
			px, py := i%cifarSide, i/cifarSide
			ci := y.COffset(px, py)
			dst[3*i], dst[3*i+1], dst[3*i+2] = color.YCbCrToRGB(y.Y[y.YOffset(px, py)], y.Cb[ci], y.Cr[ci])
		}
		return nil
	}
	for i := range cifarPixels {
		r, g, b, _ := img.At(i%cifarSide, i/cifarSide).RGBA()
		dst[3*i], dst[3*i+1], dst[3*i+2] = byte(r>>8), byte(g>>8), byte(b>>8)
	}
	return nil
}
