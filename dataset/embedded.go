package dataset

import (
	"embed"
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// The tables of embedded/extract.sh; embedded/LICENSES.md says where they come from.
//
//go:embed embedded/*.csv.gz
var embedded embed.FS

// readEmbedded reads one of the embedded tables.
func readEmbedded(name, task string) (*table, error) {
	file := "embedded/" + name + ".csv.gz"
	z, err := embedded.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text, err := gunzip(z, 0)
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", file, err)
	}
	return parseCSV(text, file, csvOptions{task: task})
}

// readDigits makes images of the embedded table of 64 grey values from 0 to 16.
func readDigits() (*table, error) {
	t, err := readEmbedded("digits", "classification")
	if err != nil {
		return nil, err
	}
	t.bytes = make([]byte, len(t.f64))
	for i, v := range t.f64 {
		t.bytes[i] = byte(v)
	}
	t.f64, t.columns = nil, nil
	t.shape, t.image, t.unit = tensor.ShapeOf(8, 8, 1), true, 16
	return t, nil
}
