package safetensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sort"
)

// ErrFormat is wrapped by the errors about a file that is not a safetensors file, or breaks the format.
var ErrFormat = errors.New("not a valid safetensors file")

// TruncatedError says that a file ends before its contents do.
type TruncatedError struct{ At, Want int64 }

func (e TruncatedError) Error() string {
	return fmt.Sprintf("truncated at byte %d, expected %d bytes", e.At, e.Want)
}

// ChecksumError says whose checksum is wrong: a tensor's, or, with an empty name, the header's.
type ChecksumError struct{ Tensor string }

func (e ChecksumError) Error() string {
	if e.Tensor == "" {
		return "checksum mismatch in the header"
	}
	return fmt.Sprintf("checksum mismatch in tensor %q", e.Tensor)
}

// Info describes a tensor of a file.
type Info struct {
	Name   string
	DType  string // F32, F64, I64, and others that can be listed but not loaded
	Shape  []int
	Offset int64 // of the first byte in the file
	Size   int64 // bytes
}

// File is an open safetensors file whose header is valid.
type File struct {
	Metadata map[string]string
	Tensors  []Info // in the order of their bytes

	r      io.ReaderAt
	size   int64
	header []byte // with the length before it
	index  map[string]int
}

var elementSize = map[string]int{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}

// Open reads and checks the header of a file of size bytes. Tensors are read when they are asked for.
func Open(r io.ReaderAt, size int64) (*File, error) {
	var length [8]byte
	if size < 8 {
		return nil, TruncatedError{size, 8}
	}
	if err := readFull(r, length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || n < 2 {
		return nil, fmt.Errorf("%w: the header would have %d bytes", ErrFormat, n)
	}
	if size < 9 {
		return nil, TruncatedError{size, 8 + int64(n)}
	}
	var first [1]byte
	if err := readFull(r, first[:], 8); err != nil {
		return nil, err
	}
	if first[0] != '{' {
		return nil, fmt.Errorf("%w: the header begins with %q, expected '{'", ErrFormat, first[:])
	}
	if 8+int64(n) > size {
		return nil, TruncatedError{size, 8 + int64(n)}
	}
	f := &File{r: r, size: size, header: make([]byte, 8+n)}
	if err := readFull(r, f.header, 0); err != nil {
		return nil, err
	}
	if err := f.parse(f.header[8:]); err != nil {
		return nil, err
	}
	return f, f.place()
}

// parse reads the JSON header. encoding/json keeps the last of equal keys without a word, so the
// object is walked token by token.
func (f *File) parse(header []byte) error {
	d := json.NewDecoder(bytes.NewReader(header))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%w: the header is not a JSON object", ErrFormat)
	}
	f.index = map[string]int{}
	for d.More() {
		name, err := key(d)
		if err != nil {
			return err
		}
		if name == metadataKey {
			if f.Metadata != nil {
				return fmt.Errorf("%w: %s is there twice", ErrFormat, metadataKey)
			}
			if f.Metadata, err = stringMap(d); err != nil {
				return err
			}
			continue
		}
		if _, ok := f.index[name]; ok {
			return fmt.Errorf("%w: tensor %q is there twice", ErrFormat, name)
		}
		info, err := tensorInfo(d, name)
		if err != nil {
			return err
		}
		info.Offset += int64(len(f.header))
		f.index[name] = len(f.Tensors)
		f.Tensors = append(f.Tensors, info)
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%w: the header's JSON does not end: %v", ErrFormat, err)
	}
	if rest := bytes.Trim(header[d.InputOffset():], " "); len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes after the header's JSON", ErrFormat, len(rest))
	}
	return nil
}

func key(d *json.Decoder) (string, error) {
	t, err := d.Token()
	s, ok := t.(string)
	if err != nil || !ok {
		return "", fmt.Errorf("%w: the header is not a JSON object: %v", ErrFormat, err)
	}
	return s, nil
}

func stringMap(d *json.Decoder) (map[string]string, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%w: %s is not an object", ErrFormat, metadataKey)
	}
	m := map[string]string{}
	for d.More() {
		k, err := key(d)
		if err != nil {
			return nil, err
		}
		v, err := d.Token()
		s, ok := v.(string)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: metadata %q is not a string", ErrFormat, k)
		}
		if _, ok := m[k]; ok {
			return nil, fmt.Errorf("%w: metadata %q is there twice", ErrFormat, k)
		}
		m[k] = s
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%w: %s does not end", ErrFormat, metadataKey)
	}
	return m, nil
}

func tensorInfo(d *json.Decoder, name string) (Info, error) {
	var e struct {
		DType   *string
		Shape   *[]int64
		Offsets *[]int64 `json:"data_offsets"`
	}
	if err := d.Decode(&e); err != nil {
		return Info{}, fmt.Errorf("%w: tensor %q: %v", ErrFormat, name, err)
	}
	if e.DType == nil || e.Shape == nil || e.Offsets == nil || len(*e.Offsets) != 2 {
		return Info{}, fmt.Errorf("%w: tensor %q lacks dtype, shape or two data_offsets", ErrFormat, name)
	}
	width, ok := elementSize[*e.DType]
	if !ok {
		return Info{}, fmt.Errorf("%w: tensor %q has unknown element type %q", ErrFormat, name, *e.DType)
	}
	lo, hi := (*e.Offsets)[0], (*e.Offsets)[1]
	if lo < 0 || hi < lo || hi > math.MaxInt64/2 {
		return Info{}, fmt.Errorf("%w: tensor %q has offsets %d to %d", ErrFormat, name, lo, hi)
	}
	info := Info{Name: name, DType: *e.DType, Shape: make([]int, len(*e.Shape)), Offset: lo, Size: hi - lo}
	want := int64(width)
	for i, n := range *e.Shape {
		if n < 0 || n > math.MaxInt32 || n > 0 && want > math.MaxInt64/4/n {
			return Info{}, fmt.Errorf("%w: tensor %q has shape %v", ErrFormat, name, *e.Shape)
		}
		want *= n
		info.Shape[i] = int(n)
	}
	if want != info.Size {
		return Info{}, fmt.Errorf("%w: tensor %q of shape %v needs %d bytes, its offsets hold %d", ErrFormat, name, info.Shape, want, info.Size)
	}
	return info, nil
}

// place checks that the tensors, in the order of their offsets, cover the rest of the file exactly.
func (f *File) place() error {
	sort.SliceStable(f.Tensors, func(i, j int) bool {
		a, b := f.Tensors[i], f.Tensors[j]
		return a.Offset < b.Offset || a.Offset == b.Offset && a.Size < b.Size
	})
	end := int64(len(f.header))
	for i, t := range f.Tensors {
		f.index[t.Name] = i
		if t.Offset != end {
			return fmt.Errorf("%w: tensor %q begins at byte %d, the one before it ends at %d", ErrFormat, t.Name, t.Offset, end)
		}
		end += t.Size
	}
	if end > f.size {
		return TruncatedError{f.size, end}
	}
	if end < f.size {
		return fmt.Errorf("%w: %d bytes after the last tensor", ErrFormat, f.size-end)
	}
	return nil
}

// Find returns the description of the named tensor.
func (f *File) Find(name string) (Info, bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.Tensors[i], true
}

// Checked reports whether the file has the checksums that [Write] adds.
func (f *File) Checked() bool {
	d, ok := f.Metadata[digestKey]
	return ok && len(d) == digestSize && len(f.header) >= digestStart+digestSize &&
		string(f.header[digestStart:digestStart+digestSize]) == d
}

// Verify reads the whole file and compares every checksum. It returns the digest of the file's bytes;
// an error is a [ChecksumError], or one of reading. A file that is not [File.Checked] is an error
// of [ErrFormat].
func (f *File) Verify() (Digest, error) {
	if !f.Checked() {
		return Digest{}, fmt.Errorf("%w: it has no checksums", ErrFormat)
	}
	inner, outer := sha256.New(), sha256.New()
	outer.Write(f.header)
	inner.Write(f.header[:digestStart])
	inner.Write(zeroDigest)
	inner.Write(f.header[digestStart+digestSize:])
	both := io.MultiWriter(inner, outer)
	buf := make([]byte, 1<<16)
	for _, t := range f.Tensors {
		sum := crc32.New(castagnoli)
		err := f.stream(t, buf, func(b []byte) {
			sum.Write(b)
			both.Write(b)
		})
		if err != nil {
			return Digest{}, err
		}
		if hex.EncodeToString(sum.Sum(nil)) != f.Metadata[crcPrefix+t.Name] {
			return Digest{}, ChecksumError{t.Name}
		}
	}
	if hex.EncodeToString(inner.Sum(nil)) != f.Metadata[digestKey] {
		return Digest{}, ChecksumError{}
	}
	return Digest{f.size, hex.EncodeToString(outer.Sum(nil))}, nil
}

// Load reads the named tensor into dst, a []float32, []float64 or []int64 of its type and size. It
// checks the tensor's checksum if there is one.
func (f *File) Load(name string, dst any) error {
	t, ok := f.Find(name)
	if !ok {
		return fmt.Errorf("tensor %q is not in the file", name)
	}
	if want := TypeOf(dst); t.DType != want {
		return fmt.Errorf("tensor %q: found elements of type %s, expected %s", name, t.DType, want)
	}
	if n := int64(length(dst) * elementSize[t.DType]); n != t.Size {
		return fmt.Errorf("tensor %q: found %d bytes, expected %d", name, t.Size, n)
	}
	sum := crc32.New(castagnoli)
	at := 0
	err := f.stream(t, make([]byte, 1<<16), func(b []byte) {
		sum.Write(b)
		at += decode(dst, at, b)
	})
	if err != nil {
		return err
	}
	if want, ok := f.Metadata[crcPrefix+name]; ok && hex.EncodeToString(sum.Sum(nil)) != want {
		return ChecksumError{name}
	}
	return nil
}

// decode stores the elements in b from element at of dst on, and returns their number.
func decode(dst any, at int, b []byte) int {
	switch d := dst.(type) {
	case []float32:
		for i := range len(b) / 4 {
			d[at+i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return len(b) / 4
	case []float64:
		for i := range len(b) / 8 {
			d[at+i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case []int64:
		for i := range len(b) / 8 {
			d[at+i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
	return len(b) / 8
}

// stream hands the bytes of a tensor to f, at most len(buf) at once.
func (f *File) stream(t Info, buf []byte, each func(b []byte)) error {
	for at := int64(0); at < t.Size; {
		b := buf[:min(int64(len(buf)), t.Size-at)]
		if err := readFull(f.r, b, t.Offset+at); err != nil {
			return err
		}
		each(b)
		at += int64(len(b))
	}
	return nil
}

// readFull reads len(b) bytes at off. A file that became shorter since its size was taken is truncated.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return TruncatedError{off + int64(n), off + int64(len(b))}
	}
	return err
}
