package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const npyMagic = "\x93NUMPY"

// maxNPYHeader bounds the text header of an .npy file; NumPy writes some 120 bytes.
const maxNPYHeader = 1 << 16

// npyTypes are the element types that are read, with the slice that they become and their width. Byte
// order matters from two bytes on; both orders are read.
var npyTypes = map[string]struct {
	zero  any
	width int
}{
	"f4": {[]float32(nil), 4},
	"f8": {[]float64(nil), 8},
	"u1": {[]uint8(nil), 1},
	"i4": {[]int32(nil), 4},
	"i8": {[]int64(nil), 8},
	"b1": {[]bool(nil), 1},
}

// ReadNPY reads an array in NumPy's .npy format, versions 1 to 3, in row-major ("C") order, of float32,
// float64, uint8, int32, int64 or bool. r must end where the array ends: an input that is shorter or
// longer than its header says is an error.
func ReadNPY(r io.Reader) (Array, error) {
	fail := func(what, found, expected, hint string) (Array, error) {
		return Array{}, &Error{What: "not an .npy file: " + what, Found: found, Expected: expected, Hint: hint}
	}
	head := make([]byte, 10)
	if n, err := io.ReadFull(r, head); err != nil {
		return fail("it ends within the header", fmt.Sprintf("%d bytes", n), "", hintAgain)
	}
	if string(head[:6]) != npyMagic {
		return fail("it does not begin with \\x93NUMPY", fmt.Sprintf("%q", head[:6]), "", "")
	}
	length := int64(binary.LittleEndian.Uint16(head[8:]))
	switch head[6] {
	case 1:
	case 2, 3:
		var more [2]byte
		if _, err := io.ReadFull(r, more[:]); err != nil {
			return fail("it ends within the header", "", "", hintAgain)
		}
		length |= int64(binary.LittleEndian.Uint16(more[:])) << 16
	default:
		return fail("unknown version", fmt.Sprintf("%d.%d", head[6], head[7]), "1.0, 2.0 or 3.0", "")
	}
	if length > maxNPYHeader {
		return fail("impossible length of the header", fmt.Sprint(length), fmt.Sprintf("at most %d", maxNPYHeader), "")
	}
	text, err := readFull(r, length)
	if err != nil {
		return fail("it ends within the header", "", "", hintAgain)
	}
	h, err := parseNPYHeader(string(text))
	if err != nil {
		return fail(err.Error(), fmt.Sprintf("%.200q", text), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", "")
	}
	kind, ok := npyTypes[strings.TrimLeft(h.descr, "<>|=")]
	if !ok {
		return fail("unsupported element type", h.descr, "<f4, <f8, |u1, <i4, <i8 or |b1", "convert with x.astype('float32')")
	}
	if h.fortran && len(h.shape) > 1 {
		return fail("columns lie together (Fortran order)", "fortran_order: True", "row-major order", "save numpy.ascontiguousarray(x)")
	}
	size, err := checkedSize(h.shape, kind.width)
	if err != nil {
		return fail(err.Error(), "", "", "")
	}
	b, err := readFull(r, size)
	if err == nil {
		err = atEnd(r)
	}
	if err != nil {
		return Array{}, &Error{What: ".npy array of another length than its header says", Err: err,
			Found: fmt.Sprintf("%d bytes read", len(b)), Expected: fmt.Sprintf("%d for shape %v", size, h.shape), Hint: hintAgain}
	}
	var order binary.ByteOrder = binary.LittleEndian
	if strings.HasPrefix(h.descr, ">") {
		order = binary.BigEndian
	}
	return Array{h.shape, decode(b, order, kind.zero)}, nil
}

// npyHeader is the Python dictionary at the beginning of an .npy file.
type npyHeader struct {
	descr   string
	fortran bool
	shape   []int
}

// parseNPYHeader reads a header such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, its
// three keys in any order.
func parseNPYHeader(s string) (npyHeader, error) {
	var h npyHeader
	seen := map[string]bool{}
	p := &scanner{s: s}
	if !p.take("{") {
		return h, fmt.Errorf("the header is no dictionary")
	}
	for !p.take("}") {
		key, ok := p.quoted()
		if !ok || !p.take(":") || seen[key] {
			return h, fmt.Errorf("the header is damaged")
		}
		seen[key] = true
		switch key {
		case "descr":
			h.descr, ok = p.quoted()
		case "fortran_order":
			if h.fortran = p.take("True"); !h.fortran {
				ok = p.take("False")
			}
		case "shape":
			h.shape, ok = p.tuple()
		default:
			return h, fmt.Errorf("unknown key %q in the header", key)
		}
		if !ok {
			return h, fmt.Errorf("the header's %s is damaged", key)
		}
		if !p.take(",") && !strings.HasPrefix(p.rest(), "}") {
			return h, fmt.Errorf("the header is damaged")
		}
	}
	if p.rest() != "" || len(seen) != 3 {
		return h, fmt.Errorf("the header is damaged")
	}
	return h, nil
}

// scanner takes tokens from a string, skipping blanks before each.
type scanner struct{ s string }

func (p *scanner) rest() string {
	p.s = strings.TrimLeft(p.s, " \t\r\n\x00")
	return p.s
}

func (p *scanner) take(token string) bool {
	if !strings.HasPrefix(p.rest(), token) {
		return false
	}
	p.s = p.s[len(token):]
	return true
}

func (p *scanner) quoted() (string, bool) {
	quote := "'"
	if !p.take(quote) {
		if quote = `"`; !p.take(quote) {
			return "", false
		}
	}
	v, after, ok := strings.Cut(p.s, quote)
	p.s = after
	return v, ok
}

func (p *scanner) tuple() ([]int, bool) {
	if !p.take("(") {
		return nil, false
	}
	shape := []int{}
	for !p.take(")") {
		s := p.rest()
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseInt(s[:digits], 10, 32)
		if err != nil || len(shape) == 32 {
			return nil, false
		}
		p.s = strings.TrimPrefix(s[digits:], "L") // written by Python 2
		shape = append(shape, int(n))
		if !p.take(",") && !strings.HasPrefix(p.rest(), ")") {
			return nil, false
		}
	}
	return shape, true
}

// WriteNPY writes a in NumPy's .npy format, version 1, little-endian. It panics if the data do not fit the
// shape or are of a type that [ReadNPY] does not read.
func WriteNPY(w io.Writer, a Array) error {
	descr, b := encodeNPY(a)
	var shape strings.Builder
	for _, d := range a.Shape {
		fmt.Fprintf(&shape, "%d, ", d)
	}
	dims := strings.TrimSuffix(shape.String(), " ")
	if len(a.Shape) > 1 {
		dims = strings.TrimSuffix(dims, ",")
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, dims)
	const prefix = len(npyMagic) + 4
	pad := (64 - (prefix+len(text)+1)%64) % 64 // elements begin at a multiple of 64 bytes
	text += strings.Repeat(" ", pad) + "\n"
	var head bytes.Buffer
	head.WriteString(npyMagic + "\x01\x00")
	head.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(text))))
	head.WriteString(text)
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

// encodeNPY returns type and bytes of the elements of a.
func encodeNPY(a Array) (string, []byte) {
	var descr string
	var b []byte
	n := 0
	le := binary.LittleEndian
	switch v := a.Data.(type) {
	case []uint8:
		descr, b, n = "|u1", v, len(v)
	case []bool:
		descr, n = "|b1", len(v)
		for _, x := range v {
			if x {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	case []int32:
		descr, n = "<i4", len(v)
		for _, x := range v {
			b = le.AppendUint32(b, uint32(x))
		}
	case []int64:
		descr, n = "<i8", len(v)
		for _, x := range v {
			b = le.AppendUint64(b, uint64(x))
		}
	case []float32:
		descr, n = "<f4", len(v)
		for _, x := range v {
			b = le.AppendUint32(b, math.Float32bits(x))
		}
	case []float64:
		descr, n = "<f8", len(v)
		for _, x := range v {
			b = le.AppendUint64(b, math.Float64bits(x))
		}
	default:
		panic(fmt.Sprintf("dataset: WriteNPY: elements of type %T", a.Data))
	}
	if n != product(a.Shape) {
		panic(fmt.Sprintf("dataset: WriteNPY: %d elements for shape %v", n, a.Shape))
	}
	return descr, b
}
