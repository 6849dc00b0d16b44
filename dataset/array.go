package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Array is an array read from an IDX, .npy or .npz file, in row-major order.
type Array struct {
	Shape []int
	Data  any // []uint8, []int32, []int64, []float32, []float64 or []bool
}

// Len returns the number of elements.
func (a Array) Len() int { return product(a.Shape) }

// Type returns the element type in Go's words.
func (a Array) Type() string {
	s := fmt.Sprintf("%T", a.Data)
	return s[len("[]"):]
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// checkedSize returns the number of bytes of an array, or an error if a dimension is negative or there are
// more than 2⁴⁰ bytes, which no header of ours can mean.
func checkedSize(shape []int, width int) (int64, error) {
	n := int64(width)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative length in shape %v", shape)
		}
		if d > 0 && n > 1<<40/int64(d) {
			return 0, fmt.Errorf("impossible shape %v", shape)
		}
		n *= int64(d)
	}
	return n, nil
}

// decode returns the little- or big-endian elements in b as the type of zero, a slice.
func decode(b []byte, order binary.ByteOrder, zero any) any {
	switch zero.(type) {
	case []uint8:
		return b
	case []bool:
		v := make([]bool, len(b))
		for i, x := range b {
			v[i] = x != 0
		}
		return v
	case []int32:
		v := make([]int32, len(b)/4)
		for i := range v {
			v[i] = int32(order.Uint32(b[4*i:]))
		}
		return v
	case []float32:
		v := make([]float32, len(b)/4)
		for i := range v {
			v[i] = math.Float32frombits(order.Uint32(b[4*i:]))
		}
		return v
	case []int64:
		v := make([]int64, len(b)/8)
		for i := range v {
			v[i] = int64(order.Uint64(b[8*i:]))
		}
		return v
	case []float64:
		v := make([]float64, len(b)/8)
		for i := range v {
			v[i] = math.Float64frombits(order.Uint64(b[8*i:]))
		}
		return v
	}
	panic(fmt.Sprintf("dataset: elements of type %T", zero))
}

// readFull reads exactly n bytes. Storage grows with what arrives, so a forged n costs nothing.
func readFull(r io.Reader, n int64) ([]byte, error) {
	if n <= 1<<20 {
		b := make([]byte, n)
		k, err := io.ReadFull(r, b)
		return b[:k], err
	}
	var buf bytes.Buffer
	k, err := io.CopyN(&buf, r, n)
	if err == io.EOF && k < n {
		err = io.ErrUnexpectedEOF
	}
	return buf.Bytes(), err
}

// atEnd returns an error unless r is at its end. Reading to the end is also what makes a decompressor
// check its sum.
func atEnd(r io.Reader) error {
	var b [1]byte
	n, err := io.ReadFull(r, b[:])
	if n != 0 {
		return fmt.Errorf("more bytes than the header says")
	}
	if err != io.EOF {
		return err
	}
	return nil
}
