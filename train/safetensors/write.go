package safetensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sort"
)

// Tensor is a named array to write. Data is a []float32, []float64 or []int64 with as many elements
// as Shape says; no axis is a scalar.
type Tensor struct {
	Name  string
	Shape []int
	Data  any
}

const (
	metadataKey = "__metadata__"
	digestKey   = "descent.sha256"
	crcPrefix   = "crc32c:"
	digestStart = 8 + len(`{"`+metadataKey+`":{"`+digestKey+`":"`) // offset of the digest's first digit
	digestSize  = 2 * sha256.Size
	maxHeader   = 100 << 20
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeroDigest = bytes.Repeat([]byte{'0'}, digestSize)
)

// Digest is what [Write] returns: the size and SHA-256 of the file's bytes as written.
type Digest struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Write writes the tensors and the metadata to w and returns the digest of what was written. Tensors of
// 8-byte elements come first, so that all are aligned. The data is read twice and not copied.
// Duplicate names, and data that does not fit its shape, are programming mistakes and panic.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) (Digest, error) {
	order := append([]Tensor(nil), tensors...)
	sort.SliceStable(order, func(i, j int) bool { return width(order[i]) > width(order[j]) })
	seen := map[string]bool{metadataKey: true}
	sums := map[string]string{}
	scratch := make([]byte, 1<<16)
	for _, t := range order {
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		if seen[t.Name] || n != length(t.Data) {
			panic(fmt.Sprintf("safetensors: tensor %q is there twice, or has %d elements for shape %v", t.Name, length(t.Data), t.Shape))
		}
		seen[t.Name] = true
		sum := crc32.New(castagnoli)
		if err := encode(sum, t.Data, scratch); err != nil {
			return Digest{}, err
		}
		sums[crcPrefix+t.Name] = hex.EncodeToString(sum.Sum(nil))
	}
	header := appendHeader(nil, order, metadata, sums)

	// The digest is over the file with zeros in its own place.
	inner := sha256.New()
	inner.Write(header)
	for _, t := range order {
		if err := encode(inner, t.Data, scratch); err != nil {
			return Digest{}, err
		}
	}
	hex.Encode(header[digestStart:digestStart+digestSize], inner.Sum(nil))

	outer := sha256.New()
	count := &counter{}
	out := io.MultiWriter(w, outer, count)
	if _, err := out.Write(header); err != nil {
		return Digest{}, err
	}
	for _, t := range order {
		if err := encode(out, t.Data, scratch); err != nil {
			return Digest{}, err
		}
	}
	return Digest{count.n, hex.EncodeToString(outer.Sum(nil))}, nil
}

// appendHeader appends the length and the JSON header, padded with blanks to a multiple of 8 bytes.
func appendHeader(b []byte, tensors []Tensor, metadata, sums map[string]string) []byte {
	b = append(b, make([]byte, 8)...)
	b = append(b, `{"`+metadataKey+`":{"`+digestKey+`":"`...)
	b = append(b, zeroDigest...)
	b = append(b, '"')
	for _, m := range []map[string]string{metadata, sums} {
		for _, k := range sortedKeys(m) {
			b = append(b, ',')
			b = appendJSON(b, k)
			b = append(b, ':')
			b = appendJSON(b, m[k])
		}
	}
	b = append(b, '}')
	offset := 0
	for _, t := range tensors {
		end := offset + width(t)*length(t.Data)
		b = append(b, ',')
		b = appendJSON(b, t.Name)
		b = append(b, ':')
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		b = appendJSON(b, entry{DType: TypeOf(t.Data), Shape: shape, Offsets: [2]int{offset, end}})
		offset = end
	}
	b = append(b, '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b
}

type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

func appendJSON(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and integers always have a JSON form
	}
	return append(b, j...)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// TypeOf returns the format's name of the element type of data: F32, F64 or I64.
func TypeOf(data any) string {
	switch data.(type) {
	case []float32:
		return "F32"
	case []float64:
		return "F64"
	case []int64:
		return "I64"
	}
	panic(fmt.Sprintf("safetensors: data of type %T", data))
}

func width(t Tensor) int { return elementSize[TypeOf(t.Data)] }

func length(data any) int {
	switch d := data.(type) {
	case []float32:
		return len(d)
	case []float64:
		return len(d)
	case []int64:
		return len(d)
	}
	panic(fmt.Sprintf("safetensors: data of type %T", data))
}

// encode writes the little-endian bytes of data, through scratch.
func encode(w io.Writer, data any, scratch []byte) error {
	switch d := data.(type) {
	case []float32:
		return chunks(w, len(d), 4, scratch, func(b []byte, i int) {
			binary.LittleEndian.PutUint32(b, math.Float32bits(d[i]))
		})
	case []float64:
		return chunks(w, len(d), 8, scratch, func(b []byte, i int) {
			binary.LittleEndian.PutUint64(b, math.Float64bits(d[i]))
		})
	case []int64:
		return chunks(w, len(d), 8, scratch, func(b []byte, i int) {
			binary.LittleEndian.PutUint64(b, uint64(d[i]))
		})
	}
	panic(fmt.Sprintf("safetensors: data of type %T", data))
}

func chunks(w io.Writer, n, size int, scratch []byte, put func(b []byte, i int)) error {
	for lo := 0; lo < n; {
		k := min(n-lo, len(scratch)/size)
		for i := range k {
			put(scratch[i*size:], lo+i)
		}
		if _, err := w.Write(scratch[:k*size]); err != nil {
			return err
		}
		lo += k
	}
	return nil
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}
