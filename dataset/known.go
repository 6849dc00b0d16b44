package dataset

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// maxContents bounds what one compressed file may hold: more is taken for a bomb.
const maxContents = 8 << 30

// hintAgain is the hint about a file that is damaged.
const hintAgain = "the file was cut short or changed; get it again"

// knownFile is a published file: its name, without ".gz", and its contents.
type knownFile struct {
	name   string
	size   int64  // of the contents; 0: not known
	sha256 string // of the contents; empty: not known
	spare  int64  // bytes of storage to leave behind the contents, for others to be appended
}

// find returns the path of f in folder, plain or compressed. If neither is there it returns the
// compressed name (unless f is an archive) and an error.
func (f knownFile) find(folder string) (string, error) {
	path := filepath.Join(folder, filepath.FromSlash(f.name))
	st, err := os.Stat(path)
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err == nil || strings.HasSuffix(f.name, ".zip") {
		return path, err
	}
	if _, errz := os.Stat(path + ".gz"); errz == nil || errors.Is(err, os.ErrNotExist) {
		return path + ".gz", errz
	}
	return path, err
}

// read returns the path of f and its contents, decompressed, after a check of their size and SHA-256. The
// digests are those of the contents because compressed files differ with the program that made them.
// The check costs about a millisecond for each megabyte, at each start.
func (f knownFile) read(set, folder, get string) (string, []byte, error) {
	path, err := f.find(folder)
	if err != nil {
		return path, nil, &Error{What: set + ": file is missing", Where: path, Hint: get, Err: plainCause(err)}
	}
	b, err := readContents(path, f.size+f.spare)
	if err != nil {
		return path, nil, err
	}
	return path, b, f.check(path, b)
}

// check returns an error unless b are the contents of f.
func (f knownFile) check(path string, b []byte) error {
	if f.size != 0 && int64(len(b)) != f.size {
		return &Error{What: "file has another size than the published one", Where: path,
			Found: fmt.Sprintf("%d bytes", len(b)), Expected: fmt.Sprintf("%d bytes", f.size), Hint: hintAgain}
	}
	if f.sha256 == "" {
		return nil
	}
	sum := sha256.Sum256(b)
	if found := hex.EncodeToString(sum[:]); found != f.sha256 {
		return &Error{What: "file is not the published one", Where: path,
			Found: "SHA-256 " + found, Expected: "SHA-256 " + f.sha256, Hint: hintAgain}
	}
	return nil
}

// plainCause returns the system's reason without the path, which the message names already.
func plainCause(err error) error {
	if p := new(os.PathError); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// readFile returns the contents of the file at path, decompressed if its name ends in .gz.
func readFile(path string) ([]byte, error) { return readContents(path, 0) }

// readContents is [readFile] with storage for size bytes of contents from the start, if they are compressed.
func readContents(path string, size int64) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{What: "cannot read the file", Where: path, Err: plainCause(err)}
	}
	if !strings.HasSuffix(strings.ToLower(path), ".gz") {
		return b, nil
	}
	b, err = gunzip(b, size)
	if err != nil {
		return nil, &Error{What: "damaged gzip file", Where: path, Err: err, Hint: hintAgain}
	}
	return b, nil
}

// gunzip returns the contents of gzip-compressed z, in storage for size bytes from the start. More is taken as
// contents are found; no header's promise is trusted.
func gunzip(z []byte, size int64) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(z))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(int(size) + bytes.MinRead)
	n, err := io.Copy(&b, io.LimitReader(r, maxContents+1))
	if err == nil && n > maxContents {
		err = errors.New("more than 8 GiB of contents")
	}
	return b.Bytes(), err
}

// together calls f(0), …, f(n-1) at the same time and returns the error of the lowest i.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
