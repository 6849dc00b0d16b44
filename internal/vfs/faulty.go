package vfs

import "sync"

// Faulty wraps a file system and makes calls fail. Calls are numbered from 1, those on files included.
type Faulty struct {
	FS FS
	// Fail is asked before each call; if it returns an error, the call has no effect and returns
	// it, except that a failing write may first write half of its bytes (Short).
	Fail  func(call int, op, path string) error
	Short bool

	mu    sync.Mutex
	calls int
}

// Calls returns the number of calls so far.
func (f *Faulty) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *Faulty) check(op, path string) error {
	f.mu.Lock()
	f.calls++
	n := f.calls
	f.mu.Unlock()
	if f.Fail == nil {
		return nil
	}
	return f.Fail(n, op, path)
}

// Mkdir implements [FS].
func (f *Faulty) Mkdir(path string) error {
	if err := f.check("mkdir", path); err != nil {
		return err
	}
	return f.FS.Mkdir(path)
}

// Create implements [FS].
func (f *Faulty) Create(path string) (File, error) {
	if err := f.check("create", path); err != nil {
		return nil, err
	}
	return f.wrap(path)(f.FS.Create(path))
}

// Append implements [FS].
func (f *Faulty) Append(path string) (File, error) {
	if err := f.check("append", path); err != nil {
		return nil, err
	}
	return f.wrap(path)(f.FS.Append(path))
}

// Open implements [FS].
func (f *Faulty) Open(path string) (File, error) {
	if err := f.check("open", path); err != nil {
		return nil, err
	}
	return f.wrap(path)(f.FS.Open(path))
}

// ReadDir implements [FS].
func (f *Faulty) ReadDir(path string) ([]string, error) {
	if err := f.check("readdir", path); err != nil {
		return nil, err
	}
	return f.FS.ReadDir(path)
}

// Size implements [FS].
func (f *Faulty) Size(path string) (int64, error) {
	if err := f.check("size", path); err != nil {
		return 0, err
	}
	return f.FS.Size(path)
}

// Truncate implements [FS].
func (f *Faulty) Truncate(path string, size int64) error {
	if err := f.check("truncate", path); err != nil {
		return err
	}
	return f.FS.Truncate(path, size)
}

// Rename implements [FS].
func (f *Faulty) Rename(from, to string) error {
	if err := f.check("rename", from); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

// RemoveAll implements [FS].
func (f *Faulty) RemoveAll(path string) error {
	if err := f.check("remove", path); err != nil {
		return err
	}
	return f.FS.RemoveAll(path)
}

// SyncDir implements [FS].
func (f *Faulty) SyncDir(path string) error {
	if err := f.check("syncdir", path); err != nil {
		return err
	}
	return f.FS.SyncDir(path)
}

func (f *Faulty) wrap(path string) func(File, error) (File, error) {
	return func(file File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &faultyFile{f, file, path}, nil
	}
}

type faultyFile struct {
	fs   *Faulty
	file File
	path string
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if err := f.fs.check("write", f.path); err != nil {
		if f.fs.Short {
			n, _ := f.file.Write(b[:len(b)/2])
			return n, err
		}
		return 0, err
	}
	return f.file.Write(b)
}

func (f *faultyFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.fs.check("read", f.path); err != nil {
		return 0, err
	}
	return f.file.ReadAt(b, off)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.check("sync", f.path); err != nil {
		return err
	}
	return f.file.Sync()
}

// Close closes the wrapped file even where the call is made to fail, as close(2) does.
func (f *faultyFile) Close() error {
	err := f.fs.check("close", f.path)
	if e := f.file.Close(); err == nil {
		err = e
	}
	return err
}
