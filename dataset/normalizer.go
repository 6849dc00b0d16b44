package dataset

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Normalizer is how features and targets are scaled before a model sees them, estimated from the
// training part alone: with j the channel of a pixel or the column of a table,
//
//	x = (raw/Unit − Mean[j]) / SD[j],   y = (raw − TargetMean[k]) / TargetSD[k].
//
// It also keeps what is needed to read new rows in the same way: names and categories of the columns,
// names of the classes. It is plain data and goes through JSON without loss.
type Normalizer struct {
	Input []int   `json:"input"`          // shape of one example
	Unit  float64 `json:"unit,omitempty"` // of bytes, the value that stands for one: 255, or 16 for digits; 0: no bytes

	// Mean and SD have one element a channel or column, or one for all. A column that is constant
	// in training has SD 1. Empty: features are taken as they are.
	Mean []float64 `json:"mean,omitempty"`
	SD   []float64 `json:"sd,omitempty"`
	Clip bool      `json:"clip,omitempty"` // to [0, 1], for reconstruction of tables

	// TargetMean and TargetSD are those of regression targets: an error of model outputs times
	// TargetSD is in original units.
	TargetMean []float64 `json:"target_mean,omitempty"`
	TargetSD   []float64 `json:"target_sd,omitempty"`

	Columns []Column `json:"columns,omitempty"` // of a table read from text, without the label
	Label   string   `json:"label,omitempty"`   // name of its label column
	Classes []string `json:"classes,omitempty"` // names by label
}

// Column is one column of a table that was read from text. A column of text becomes one feature a
// category, 1 where it is the value and 0 elsewhere.
type Column struct {
	Name       string   `json:"name"`
	Categories []string `json:"categories,omitempty"` // empty: a column of numbers
}

// width returns the number of features that the column becomes.
func (c Column) width() int { return max(1, len(c.Categories)) }

func (n *Normalizer) unit() float64 {
	if n.Unit == 0 {
		return 1
	}
	return n.Unit
}

// Validate returns an error if n, read from a file, is not consistent.
func (n *Normalizer) Validate() error {
	size := 1
	bad := len(n.Input) > tensor.MaxRank
	for _, d := range n.Input {
		bad = bad || d < 1 || size > math.MaxInt32/d
		if !bad {
			size *= d
		}
	}
	stats := len(n.Mean)
	switch {
	case bad:
		return &Error{What: "normalizer: impossible shape of an example", Found: jsonOf(n.Input)}
	case len(n.SD) != stats || stats > 0 && size%stats != 0:
		return &Error{What: "normalizer: numbers of means and standard deviations do not fit the example", Found: jsonOf([3]int{len(n.Mean), len(n.SD), size})}
	case len(n.TargetSD) != len(n.TargetMean):
		return &Error{What: "normalizer: numbers of target means and standard deviations differ", Found: jsonOf([2]int{len(n.TargetMean), len(n.TargetSD)})}
	case !(n.unit() >= 1 && n.unit() <= 255) || !allPositive(n.SD) || !allPositive(n.TargetSD):
		return &Error{What: "normalizer: a standard deviation or unit is not positive"}
	}
	if len(n.Columns) > 0 {
		width := 0
		for _, c := range n.Columns {
			width += c.width()
		}
		if width != size {
			return &Error{What: "normalizer: columns do not make one example", Found: jsonOf(width), Expected: jsonOf(size)}
		}
	}
	return nil
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func allPositive(v []float64) bool {
	for _, x := range v {
		if !(x > 0) {
			return false
		}
	}
	return true
}

// setNormalizer makes n the normalisation of d.
func (d *data) setNormalizer(n Normalizer) {
	d.norm, d.clip = n, n.Clip
	d.lut32, d.lut64 = nil, nil
	if d.bytes == nil {
		return
	}
	channels := max(1, len(n.Mean))
	d.lut32, d.lut64 = make([][256]float32, channels), make([][256]float64, channels)
	d.scale, d.shift = make([]float64, channels), make([]float64, channels)
	var all [256]byte
	for b := range all {
		all[b] = byte(b)
	}
	for c := range channels {
		d.scale[c] = 1 / n.unit()
		if len(n.Mean) > 0 {
			d.scale[c], d.shift[c] = 1/(n.unit()*n.SD[c]), -n.Mean[c]/n.SD[c]
		}
		simd.BytesToFloat(d.lut32[c][:], all[:], float32(d.scale[c]), float32(d.shift[c]))
		simd.BytesToFloat(d.lut64[c][:], all[:], d.scale[c], d.shift[c])
	}
}

// statistics returns how many means there are: one a channel for images, one a column for tables, one
// for all where a row is bytes that are not an image.
func (d *data) statistics() int {
	if d.bytes != nil && !d.image {
		return 1
	}
	return d.shape.Cols()
}

// standardNormalizer returns mean and standard deviation (of the population) over the given rows of
// d, added up in the order of the rows.
func standardNormalizer(d *data, rows []int32, unit float64) Normalizer {
	n := Normalizer{Input: d.shape.Dims(), Unit: unit}
	unit = n.unit()
	channels, size := d.statistics(), d.shape.Size()
	n.Mean, n.SD = make([]float64, channels), make([]float64, channels)
	if d.bytes != nil {
		byteStatistics(d, rows, n.Mean, n.SD, unit)
		return n
	}
	count := float64(len(rows) * (size / channels))
	for _, r := range rows {
		for j := range size {
			n.Mean[j%channels] += d.raw(int(r), j) / unit
		}
	}
	for c := range n.Mean {
		n.Mean[c] /= count
	}
	constant := slices.Repeat([]bool{true}, channels)
	for _, r := range rows {
		for j := range size {
			v := d.raw(int(r), j)
			z := v/unit - n.Mean[j%channels]
			n.SD[j%channels] += z * z
			constant[j%channels] = constant[j%channels] && v == d.raw(int(rows[0]), j%channels)
		}
	}
	for c := range n.SD {
		if n.SD[c] = deviation(n.SD[c]/count, n.Mean[c]); constant[c] { // without rounding: exactly zero
			n.Mean[c], n.SD[c] = d.raw(int(rows[0]), c)/unit, 1
		}
	}
	return n
}

// byteStatistics is the mean and standard deviation of bytes, exact from a count of each value.
func byteStatistics(d *data, rows []int32, mean, sd []float64, unit float64) {
	channels, size := len(mean), d.shape.Size()
	counts := make([][256]int64, channels)
	for _, r := range rows {
		row := d.bytes[int(r)*size:][:size]
		if channels == 1 {
			for _, b := range row {
				counts[0][b]++
			}
			continue
		}
		for len(row) > 0 {
			for c := range counts {
				counts[c][row[c]]++
			}
			row = row[channels:]
		}
	}
	for c := range counts {
		var n, s, q int64 // n·255² < 2⁶³ for every set that fits in memory
		for b, k := range counts[c] {
			n, s, q = n+k, s+k*int64(b), q+k*int64(b*b)
		}
		m := float64(s) / float64(n)
		mean[c] = m / unit
		sd[c] = deviation((float64(q)/float64(n)-m*m)/(unit*unit), mean[c])
	}
}

// deviation returns √variance, or 1 for what is constant up to rounding.
func deviation(variance, mean float64) float64 {
	if s := math.Sqrt(max(0, variance)); s > 1e-12*(1+math.Abs(mean)) {
		return s
	}
	return 1
}

// unitNormalizer scales features to [0, 1]: bytes by their unit, other columns by the range over rows.
func unitNormalizer(d *data, rows []int32) Normalizer {
	n := d.norm
	n.TargetMean, n.TargetSD, n.Classes = nil, nil, nil
	n.Mean, n.SD = nil, nil
	if d.bytes != nil {
		return n
	}
	channels, size := d.statistics(), d.shape.Size()
	lo, hi := make([]float64, channels), make([]float64, channels)
	for c := range channels {
		lo[c], hi[c] = math.Inf(1), math.Inf(-1)
	}
	for _, r := range rows {
		for j := range size {
			v := d.raw(int(r), j) / n.unit()
			lo[j%channels], hi[j%channels] = min(lo[j%channels], v), max(hi[j%channels], v)
		}
	}
	for c := range channels {
		if hi[c] -= lo[c]; !(hi[c] > 0) {
			hi[c] = 1
		}
	}
	n.Mean, n.SD, n.Clip = lo, hi, true
	return n
}

// targetStatistics sets mean and standard deviation of the regression targets over rows.
func targetStatistics(d *data, rows []int32, n *Normalizer) {
	k := d.outputs
	n.TargetMean, n.TargetSD = make([]float64, k), make([]float64, k)
	for _, r := range rows {
		for j := range k {
			n.TargetMean[j] += d.values[int(r)*k+j]
		}
	}
	for j := range k {
		n.TargetMean[j] /= float64(len(rows))
	}
	for _, r := range rows {
		for j := range k {
			z := d.values[int(r)*k+j] - n.TargetMean[j]
			n.TargetSD[j] += z * z
		}
	}
	for j := range k {
		n.TargetSD[j] = deviation(n.TargetSD[j]/float64(len(rows)), n.TargetMean[j])
	}
}
