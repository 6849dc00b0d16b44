package altmin

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/descent-ml/descent/tensor"
)

// Grid is a finite set of numbers, in ascending order, to which variables are confined: the Δ of pdADMM-G-Q.
type Grid struct {
	levels []float64
	step   float64 // of equally spaced levels; 0: they are not
}

// NewGrid returns the grid of the given levels. The error says which are equal, not finite, or too few.
func NewGrid(levels []float64) (Grid, error) {
	g := Grid{levels: slices.Clone(levels)}
	sort.Float64s(g.levels)
	if len(levels) < 2 {
		return Grid{}, fmt.Errorf("altmin: a grid of %d values, expected at least 2\nhint: a variable that can take one value cannot learn", len(levels))
	}
	for i, v := range g.levels {
		if math.IsNaN(v) || math.IsInf(v, 0) || i > 0 && v == g.levels[i-1] {
			return Grid{}, fmt.Errorf("altmin: the grid has the value %v, which is not finite or stands there twice", v)
		}
	}
	return g, nil
}

// UniformGrid returns m equally spaced levels from lo to hi.
func UniformGrid(lo, hi float64, m int) (Grid, error) {
	if m < 2 || !(lo < hi) || math.IsInf(hi-lo, 0) {
		return Grid{}, fmt.Errorf("altmin: a grid of %d values from %g to %g, expected at least 2, from a smaller number to a larger", m, lo, hi)
	}
	g := Grid{levels: make([]float64, m), step: (hi - lo) / float64(m-1)}
	for i := range g.levels {
		g.levels[i] = lo + float64(i)*g.step
	}
	return g, nil
}

// Len returns the number of levels; 0 for no grid.
func (g Grid) Len() int { return len(g.levels) }

// Bits returns how many bits the index of a level takes.
func (g Grid) Bits() int { return bits.Len(uint(max(1, len(g.levels)-1))) }

// Index returns the index of the level nearest to v, the lower one of two equally near.
func (g Grid) Index(v float64) int {
	m := len(g.levels)
	i := 0
	if g.step > 0 {
		// One of the two about v, whichever rounding says; the comparison below decides.
		i = int(min(max((v-g.levels[0])/g.step, 0), float64(m-1)))
	} else {
		i = max(0, sort.SearchFloat64s(g.levels, v)-1)
	}
	for i+1 < m && math.Abs(g.levels[i+1]-v) < math.Abs(g.levels[i]-v) {
		i++
	}
	for i > 0 && math.Abs(g.levels[i-1]-v) <= math.Abs(g.levels[i]-v) {
		i--
	}
	return i
}

// project stores the nearest levels of the entries of src in dst.
func project[T tensor.Float](ws *tensor.Workspace[T], g Grid, dst, src tensor.Tensor[T]) {
	d, s := dst.Data(), src.Data()
	ws.Pool().Range(len(d), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d[i] = T(g.levels[g.Index(float64(s[i]))])
		}
	})
}

// message is a matrix on its way between two layers, as the bytes that a wire would carry: indices of levels, packed without
// gaps, or the numbers themselves in little-endian order.
type message struct{ bytes []byte }

// pack writes x, whose entries are levels if g is a grid, over the bytes of m.
func pack[T tensor.Float](m *message, g Grid, x []T) {
	if g.Len() == 0 {
		m.bytes = m.bytes[:0]
		for _, v := range x {
			switch w := any(v).(type) {
			case float32:
				m.bytes = binary.LittleEndian.AppendUint32(m.bytes, math.Float32bits(w))
			case float64:
				m.bytes = binary.LittleEndian.AppendUint64(m.bytes, math.Float64bits(w))
			}
		}
		return
	}
	width := g.Bits()
	m.bytes = m.bytes[:0]
	var buffer uint64
	held := 0
	for _, v := range x {
		buffer |= uint64(g.Index(float64(v))) << held
		for held += width; held >= 8; held -= 8 {
			m.bytes = append(m.bytes, byte(buffer))
			buffer >>= 8
		}
	}
	if held > 0 {
		m.bytes = append(m.bytes, byte(buffer))
	}
}

// unpack is the inverse of pack.
func unpack[T tensor.Float](m message, g Grid, x []T) {
	if g.Len() == 0 {
		for i := range x {
			switch any(x[i]).(type) {
			case float32:
				x[i] = T(math.Float32frombits(binary.LittleEndian.Uint32(m.bytes[4*i:])))
			case float64:
				x[i] = T(math.Float64frombits(binary.LittleEndian.Uint64(m.bytes[8*i:])))
			}
		}
		return
	}
	width := g.Bits()
	mask := uint64(1)<<width - 1
	var buffer uint64
	held, at := 0, 0
	for i := range x {
		for held < width {
			buffer |= uint64(m.bytes[at]) << held
			at++
			held += 8
		}
		x[i] = T(g.levels[buffer&mask])
		buffer >>= width
		held -= width
	}
}
