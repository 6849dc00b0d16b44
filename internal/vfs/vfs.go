// Package vfs is the small part of a file system that durable files need, as an interface, so that
// tests can make every call fail in turn and cut the power at every moment.
//
// [OS] is the machine's file system. [Faulty] wraps another one and fails chosen calls. [Memory] is
// a file system in memory which knows what has been synced, and can lose the rest as a power cut does.
package vfs

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// FS is a file system. Paths are those of the operating system. Errors wrap those of package fs
// (fs.ErrNotExist and so on) where they have that cause.
type FS interface {
	// Mkdir makes one directory, which must not exist.
	Mkdir(path string) error
	// Create makes a file, or empties the one there, and opens it for writing.
	Create(path string) (File, error)
	// Append opens a file for writing at its end, and makes it if it does not exist.
	Append(path string) (File, error)
	// Open opens a file for reading.
	Open(path string) (File, error)
	// ReadDir returns the names in a directory, sorted.
	ReadDir(path string) ([]string, error)
	// Size returns the length of a file.
	Size(path string) (int64, error)
	// Truncate cuts a file to size bytes.
	Truncate(path string, size int64) error
	// Rename moves a file or directory; a file at the new path is replaced in one step.
	Rename(from, to string) error
	// RemoveAll removes a file or a directory with all that is in it; nothing there is no error.
	RemoveAll(path string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(path string) error
}

// File is an open file: for writing in order, or for reading anywhere.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	// Sync makes the contents durable.
	Sync() error
}

// OS is the file system of the machine.
type OS struct{}

// Mkdir implements [FS].
func (OS) Mkdir(path string) error { return os.Mkdir(path, 0o777) }

// Create implements [FS].
func (OS) Create(path string) (File, error) {
	return osFile(os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666))
}

// Append implements [FS].
func (OS) Append(path string) (File, error) {
	return osFile(os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666))
}

// Open implements [FS].
func (OS) Open(path string) (File, error) { return osFile(os.Open(path)) }

// osFile keeps a nil *os.File from becoming a File that is not nil.
func osFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ReadDir implements [FS].
func (OS) ReadDir(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// Size implements [FS].
func (OS) Size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if info.IsDir() {
		return 0, &fs.PathError{Op: "size", Path: path, Err: fs.ErrInvalid}
	}
	return info.Size(), nil
}

// Truncate implements [FS].
func (OS) Truncate(path string, size int64) error { return os.Truncate(path, size) }

// Rename implements [FS].
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// RemoveAll implements [FS].
func (OS) RemoveAll(path string) error { return os.RemoveAll(path) }

// SyncDir implements [FS]. Windows cannot sync a directory and makes renames durable by itself.
func (OS) SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ReadFile returns the contents of a file of at most limit bytes.
func ReadFile(f FS, path string, limit int64) ([]byte, error) {
	r, err := f.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	return b, err
}

// WriteFile replaces the file at path by one with the given contents, so that at every moment, power
// cuts included, either the old or the new one is there: a temporary file beside it is written and
// synced, renamed, and the directory synced.
func WriteFile(f FS, path string, contents []byte) error {
	tmp := path + ".tmp"
	w, err := f.Create(tmp)
	if err != nil {
		return err
	}
	_, err = w.Write(contents)
	if err == nil {
		err = w.Sync()
	}
	if e := w.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = f.Rename(tmp, path)
	}
	if err == nil {
		err = f.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		f.RemoveAll(tmp)
	}
	return err
}
