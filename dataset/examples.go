package dataset

import (
	"fmt"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Examples is one part of a set (training, validation or test): a list of rows of storage that the
// parts share. It is a small handle, passed by value. The zero value has no examples.
type Examples struct {
	data *data
	rows []int32
}

// data holds all examples of a set as they were read, and how they are normalised. Images stay
// bytes: one byte a value is a quarter of the memory of float32, and reading them through a table of
// the 256 normalised values is as fast.
type data struct {
	shape tensor.Shape // of one example
	image bool
	task  Task

	// Features, row after row, in one of three forms.
	bytes []byte
	f32   []float32
	f64   []float64

	labels  []int32   // classification
	values  []float64 // regression, [rows, outputs], in original units
	outputs int

	norm Normalizer
	clip bool // reconstruction of tables: clip to [0, 1]

	// Bytes b of channel c become b·scale[c] + shift[c], rounded once; the tables hold these values.
	scale, shift []float64
	lut32        [][256]float32
	lut64        [][256]float64
}

// Len returns the number of examples.
func (e Examples) Len() int { return len(e.rows) }

// Shape returns the shape of one example's features.
func (e Examples) Shape() tensor.Shape {
	if e.data == nil {
		return tensor.Shape{}
	}
	return e.data.shape
}

// Outputs returns the number of target values of one example: 1 for classification.
func (e Examples) Outputs() int {
	if e.data == nil {
		return 0
	}
	if e.data.task == Classification {
		return 1
	}
	return e.data.outputs
}

// Bytes returns the memory that the features of all parts together take.
func (e Examples) Bytes() int {
	if e.data == nil {
		return 0
	}
	return len(e.data.bytes) + 4*len(e.data.f32) + 8*len(e.data.f64)
}

// Head returns the first n examples, or all if there are fewer; for a look at a part of a large set.
func (e Examples) Head(n int) Examples {
	e.rows = e.rows[:min(n, len(e.rows))]
	return e
}

// Gather stores the normalised features of the examples idx in x, which has room for
// len(idx) × Shape().Size() elements; it panics if the size differs or an index is out of range.
//
// Every element is (raw/unit − mean)/sd: for bytes as raw·scale + shift in T, rounded once, with scale =
// 1/(unit·sd) and shift = −mean/sd; for others computed in float64 and rounded to T.
func Gather[T tensor.Float](e Examples, idx []int32, x []T) {
	d := e.data
	size := d.size(len(idx), len(x))
	for i, k := range idx {
		gatherRow(d, int(e.rows[k]), x[i*size:(i+1)*size])
	}
}

// size returns the number of features of an example, having checked that n examples make have elements.
func (d *data) size(n, have int) int {
	size := d.shape.Size()
	if have != n*size {
		panic(tensor.ShapeError{Op: "dataset.Gather", A: tensor.ShapeOf(n, size), B: tensor.ShapeOf(have), Detail: "examples × features, and destination"})
	}
	return size
}

func gatherRow[T tensor.Float](d *data, row int, x []T) {
	n := len(x)
	switch {
	case d.bytes != nil:
		if len(d.scale) == 1 {
			simd.BytesToFloat(x, d.bytes[row*n:(row+1)*n], T(d.scale[0]), T(d.shift[0]))
			return
		}
		lookUp(x, d.bytes[row*n:(row+1)*n], tables[T](d))
	case d.f32 != nil:
		scaleRow(x, d.f32[row*n:(row+1)*n], d)
	default:
		scaleRow(x, d.f64[row*n:(row+1)*n], d)
	}
}

// lookUp stores lut[channel][b] for every byte b of src in dst; channels vary fastest.
func lookUp[T tensor.Float](dst []T, src []byte, lut [][256]T) {
	if len(lut) == 3 {
		r, g, b := &lut[0], &lut[1], &lut[2]
		for len(src) >= 3 && len(dst) >= 3 {
			dst[0], dst[1], dst[2] = r[src[0]], g[src[1]], b[src[2]]
			src, dst = src[3:], dst[3:]
		}
		return
	}
	for i, b := range src {
		dst[i] = lut[i%len(lut)][b]
	}
}

// scaleRow stores (src − mean)/sd in dst, column by column.
func scaleRow[T, S tensor.Float](dst []T, src []S, d *data) {
	mean, sd := d.norm.Mean, d.norm.SD
	if len(mean) == 0 {
		for i, v := range src {
			dst[i] = T(v)
		}
		return
	}
	j := 0
	for i, v := range src {
		z := (float64(v)/d.norm.unit() - mean[j]) / sd[j]
		if d.clip {
			z = min(max(z, 0), 1)
		}
		dst[i] = T(z)
		if j++; j == len(mean) {
			j = 0
		}
	}
}

// tables returns the look-up tables of type T.
func tables[T tensor.Float](d *data) [][256]T {
	if t, ok := any(d.lut32).([][256]T); ok {
		return t
	}
	return any(d.lut64).([][256]T)
}

// GatherLabels stores the labels of the examples idx in y. It panics if the set is not for
// classification.
func GatherLabels(e Examples, idx []int32, y []int32) {
	if len(y) != len(idx) {
		panic(tensor.ShapeError{Op: "dataset.GatherLabels", A: tensor.ShapeOf(len(idx)), B: tensor.ShapeOf(len(y))})
	}
	if e.data.labels == nil {
		panic(fmt.Sprintf("dataset: labels of a set for %v", e.data.task))
	}
	for i, k := range idx {
		y[i] = e.data.labels[e.rows[k]]
	}
}

// GatherValues stores the targets of the examples idx in y, [len(idx), Outputs()]: for regression the
// standardised targets (see [Normalizer.TargetSD]), for reconstruction the features. It panics if the
// set is for classification.
func GatherValues[T tensor.Float](e Examples, idx []int32, y []T) {
	d := e.data
	if d.task == Reconstruction {
		Gather(e, idx, y)
		return
	}
	if d.values == nil {
		panic(fmt.Sprintf("dataset: values of a set for %v", d.task))
	}
	k := d.outputs
	if len(y) != len(idx)*k {
		panic(tensor.ShapeError{Op: "dataset.GatherValues", A: tensor.ShapeOf(len(idx), k), B: tensor.ShapeOf(len(y))})
	}
	for i, r := range idx {
		row := d.values[int(e.rows[r])*k:][:k]
		for j, v := range row {
			y[i*k+j] = T((v - d.norm.TargetMean[j]) / d.norm.TargetSD[j])
		}
	}
}

// Label returns the label of example i of a set for classification.
func (e Examples) Label(i int) int { return int(e.data.labels[e.rows[i]]) }

// Value returns target j of example i of a set for regression, in original units.
func (e Examples) Value(i, j int) float64 {
	return e.data.values[int(e.rows[i])*e.data.outputs+j]
}

// raw returns feature j of storage row r as it was read.
func (d *data) raw(r, j int) float64 {
	k := r*d.shape.Size() + j
	switch {
	case d.bytes != nil:
		return float64(d.bytes[k])
	case d.f32 != nil:
		return float64(d.f32[k])
	}
	return d.f64[k]
}

// rowCount returns the number of rows of storage.
func (d *data) rowCount() int {
	return (len(d.bytes) + len(d.f32) + len(d.f64)) / max(1, d.shape.Size())
}

// setImages makes b the features: rows of h × w images with c channels.
func (d *data) setImages(b []byte, h, w, c int) {
	d.bytes, d.shape, d.image = b, tensor.ShapeOf(h, w, c), true
}
