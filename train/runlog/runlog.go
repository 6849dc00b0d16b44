// Package runlog writes and reads metrics.jsonl, the log of a run: one JSON object a line, appended
// and never changed, each ending in the CRC-32C of what comes before it on the line:
//
//	{"kind":"step","step":120,"epoch":1,"examples":7680,"seconds":0.41,"values":{"loss":0.31,"rate":0.001},"crc":"5b1c29d0"}
//
// A process that dies may leave a torn last line; a reader passes over it and over any other line
// whose checksum is wrong, and counts them. Readers hold one line at a time, so a log of any length
// opens in bounded memory, and any number of them may read while one process writes.
//
// A write that fails (a full disk) loses nothing: the records wait in memory, up to a megabyte, and
// are written by a later call; what a failed write left in the file is cut off first.
package runlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"

	"github.com/descent-ml/descent/internal/vfs"
)

// Record is one line of the log. Values that are not finite are left out when it is written.
type Record struct {
	Kind     string             `json:"kind"` // step, eval, event
	Step     int64              `json:"step"`
	Epoch    int                `json:"epoch"`
	Examples int64              `json:"examples"`
	Seconds  float64            `json:"seconds"` // of training steps
	Values   map[string]float64 `json:"values,omitempty"`
	Message  string             `json:"message,omitempty"`
}

const (
	crcStart  = `,"crc":"`
	crcEnd    = `"}`
	tail      = len(crcStart) + 8 + len(crcEnd)
	maxLine   = 1 << 20
	maxWaiter = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends the record's line to b.
func appendLine(b []byte, r Record) ([]byte, error) {
	for _, v := range r.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			finite := make(map[string]float64, len(r.Values))
			for k, v := range r.Values {
				if !math.IsNaN(v) && !math.IsInf(v, 0) {
					finite[k] = v
				}
			}
			r.Values = finite
			break
		}
	}
	j, err := json.Marshal(r)
	if err != nil {
		return b, err
	}
	j = j[:len(j)-1]
	b = append(b, j...)
	return fmt.Appendf(b, "%s%08x%s\n", crcStart, crc32.Checksum(j, castagnoli), crcEnd), nil
}

// ErrDamaged is the error of [Parse] for a line that is torn or was changed.
var ErrDamaged = errors.New("runlog: damaged record")

// Parse reads one line, without its newline.
func Parse(line []byte) (Record, error) {
	n := len(line) - tail
	if n < 1 || !bytes.HasPrefix(line[n:], []byte(crcStart)) || !bytes.HasSuffix(line, []byte(crcEnd)) {
		return Record{}, ErrDamaged
	}
	if string(line[n+len(crcStart):len(line)-len(crcEnd)]) != fmt.Sprintf("%08x", crc32.Checksum(line[:n], castagnoli)) {
		return Record{}, ErrDamaged
	}
	var r Record
	if err := json.Unmarshal(append(line[:n:n], '}'), &r); err != nil {
		return Record{}, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return r, nil
}

// Stats counts what a reader met.
type Stats struct {
	Records int
	Damaged int // lines with a wrong checksum, a torn last line not included
}

// Read calls f for every whole record of r in order, until f returns an error. A torn last line is
// passed over in silence; other damaged lines are counted.
func Read(r io.Reader, f func(Record) error) (Stats, error) {
	var s Stats
	in := bufio.NewReaderSize(r, 1<<16)
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF {
			return s, nil // what is in line is torn
		}
		if err != nil {
			return s, err
		}
		if record, err := Parse(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			s.Damaged++
		} else {
			s.Records++
			if err := f(record); err != nil {
				return s, err
			}
		}
		line = line[:0]
	}
}

// ReadFile is [Read] of a file.
func ReadFile(path string, f func(Record) error) (Stats, error) {
	file, err := vfs.OS{}.Open(path)
	if err != nil {
		return Stats{}, err
	}
	defer file.Close()
	return Read(io.NewSectionReader(file, 0, math.MaxInt64), f)
}

// Writer appends records to a log.
type Writer struct {
	fs      vfs.FS
	path    string
	pos     int64  // end of the last whole record that is in the file
	waiting []byte // lines not yet in the file
	lost    int64  // bytes of lines given up because too many waited
	dirty   bool   // the file may go on after pos
	file    vfs.File
}

// Open opens the log at path for appending after its first position bytes, and cuts off what follows
// them: the records after the checkpoint that a run resumes from, which will come again. A file that
// is shorter is kept as it is, but for a torn last line.
func Open(f vfs.FS, path string, position int64) (*Writer, error) {
	w := &Writer{fs: f, path: path}
	size, err := f.Size(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		size = 0
	case err != nil:
		return nil, err
	}
	w.pos = min(size, position)
	if size < position && size > 0 {
		if w.pos, err = lastLine(f, path, size); err != nil {
			return nil, err
		}
	}
	w.dirty = size > w.pos
	return w, w.Flush()
}

// lastLine returns the end of the last line of a file of size bytes.
func lastLine(f vfs.FS, path string, size int64) (int64, error) {
	r, err := f.Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	buf := make([]byte, 4096)
	for end := size; end > 0; {
		b := buf[:min(end, int64(len(buf)))]
		if n, err := r.ReadAt(b, end-int64(len(b))); n < len(b) {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return end - int64(len(b)) + int64(i) + 1, nil
		}
		end -= int64(len(b))
	}
	return 0, nil
}

// Append adds a record and tries to write it and those that wait. After an error the record waits.
func (w *Writer) Append(r Record) error {
	b, err := appendLine(w.waiting, r)
	if err != nil {
		return err
	}
	if len(b) > maxWaiter {
		cut := bytes.IndexByte(b[len(b)-maxWaiter:], '\n') + 1 + len(b) - maxWaiter
		w.lost += int64(cut)
		b = append(b[:0], b[cut:]...)
	}
	w.waiting = b
	return w.Flush()
}

// Flush tries to write what waits.
func (w *Writer) Flush() error {
	if w.dirty {
		w.close()
		err := w.fs.Truncate(w.path, w.pos)
		if errors.Is(err, fs.ErrNotExist) { // the folder or the file vanished: begin again
			w.pos, err = 0, nil
		}
		if err != nil {
			return err
		}
		w.dirty = false
	}
	if w.file == nil {
		f, err := w.fs.Append(w.path)
		if err != nil {
			return err
		}
		w.file = f
	}
	if len(w.waiting) == 0 {
		return nil
	}
	w.dirty = true
	if _, err := w.file.Write(w.waiting); err != nil {
		return err
	}
	w.pos += int64(len(w.waiting))
	w.waiting, w.dirty = w.waiting[:0], false
	return nil
}

// Sync writes what waits, makes the log durable and returns its length, for a checkpoint.
func (w *Writer) Sync() (int64, error) {
	if err := w.Flush(); err != nil {
		return w.pos, err
	}
	// A log that was deleted or cut under us begins again: its position must be one of the file.
	if size, err := w.fs.Size(w.path); errors.Is(err, fs.ErrNotExist) || err == nil && size < w.pos {
		w.pos, w.dirty = size, true
		if err := w.Flush(); err != nil {
			return w.pos, err
		}
	}
	if err := w.file.Sync(); err != nil {
		w.close() // after a failed fsync the descriptor is of no more use
		return w.pos, err
	}
	return w.pos, nil
}

// Close closes the log. What could not be written is lost and is an error.
func (w *Writer) Close() error {
	err := w.Flush()
	w.close()
	if w.lost > 0 || len(w.waiting) > 0 {
		return fmt.Errorf("%s: %d bytes of the log could not be written: %v", w.path, w.lost+int64(len(w.waiting)), err)
	}
	return err
}

func (w *Writer) close() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}
