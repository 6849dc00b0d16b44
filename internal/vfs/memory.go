package vfs

import (
	"io"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

// Memory is a file system in memory that keeps, beside what programs see, what a disk would have
// after a power cut: the contents of files as they were last synced, and the names of each
// directory as they were last synced.
type Memory struct {
	mu   sync.Mutex
	root *node
}

// node is a file or a directory, as seen and as durable.
type node struct {
	dir      bool
	data     []byte
	names    map[string]*node
	safeData []byte
	safe     map[string]*node
}

func newNode(dir bool) *node {
	n := &node{dir: dir}
	if dir {
		n.names, n.safe = map[string]*node{}, map[string]*node{}
	}
	return n
}

// NewMemory returns an empty file system, with a root directory alone.
func NewMemory() *Memory { return &Memory{root: newNode(true)} }

// Crash returns the file system as it is after a power cut. What was not synced is lost, or survives
// in part: keep(n), asked for every directory with unsynced names and every file with unsynced
// contents, returns a number in [0, n]. For a directory n is 1, and 1 says that the names survive as
// seen. For a file n is one more than its length, 0 leaves the synced contents, and k > 0 the first
// k-1 bytes of the contents as seen. The questions come in a fixed order.
func (m *Memory) Crash(keep func(n int) int) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{root: crash(m.root, keep, map[*node]*node{})}
}

func crash(n *node, keep func(int) int, done map[*node]*node) *node {
	if c, ok := done[n]; ok {
		return c
	}
	c := newNode(n.dir)
	done[n] = c
	if !n.dir {
		c.data = append([]byte(nil), n.safeData...)
		if string(n.data) != string(n.safeData) {
			if k := keep(len(n.data) + 1); k > 0 {
				c.data = append([]byte(nil), n.data[:k-1]...)
			}
		}
		c.safeData = append([]byte(nil), c.data...)
		return c
	}
	from := n.safe
	if !sameNames(n.safe, n.names) && keep(1) == 1 {
		from = n.names
	}
	for _, name := range sortedNames(from) {
		k := crash(from[name], keep, done)
		c.names[name], c.safe[name] = k, k
	}
	return c
}

func sameNames(a, b map[string]*node) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func sortedNames(m map[string]*node) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	sort.Strings(names)
	return names
}

// find returns the node at path; m.mu is held.
func (m *Memory) find(op, path string) (*node, error) {
	n := m.root
	for _, name := range parts(path) {
		next := n.names[name] // nil for a file, which has no names
		if next == nil {
			return nil, &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
		}
		n = next
	}
	return n, nil
}

// parent returns the directory that holds path and the last name of path.
func (m *Memory) parent(op, path string) (*node, string, error) {
	p := parts(path)
	if len(p) == 0 {
		return nil, "", &fs.PathError{Op: op, Path: path, Err: fs.ErrInvalid}
	}
	n, err := m.find(op, strings.Join(p[:len(p)-1], "/"))
	if err != nil {
		return nil, "", err
	}
	if !n.dir {
		return nil, "", &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
	}
	return n, p[len(p)-1], nil
}

func parts(path string) []string {
	var p []string
	for _, s := range strings.Split(filepath.ToSlash(path), "/") {
		if s != "" && s != "." {
			p = append(p, s)
		}
	}
	return p
}

// Mkdir implements [FS].
func (m *Memory) Mkdir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("mkdir", path)
	if err != nil {
		return err
	}
	if d.names[name] != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrExist}
	}
	d.names[name] = newNode(true)
	return nil
}

// Create implements [FS].
func (m *Memory) Create(path string) (File, error) { return m.open(path, true) }

// Append implements [FS].
func (m *Memory) Append(path string) (File, error) { return m.open(path, false) }

func (m *Memory) open(path string, empty bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("open", path)
	if err != nil {
		return nil, err
	}
	n := d.names[name]
	if n == nil {
		n = newNode(false)
		d.names[name] = n
	}
	if n.dir {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	if empty {
		n.data = nil
	}
	return &memoryFile{m, n}, nil
}

// Open implements [FS].
func (m *Memory) Open(path string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("open", path)
	if err != nil {
		return nil, err
	}
	if n.dir {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	return &memoryFile{m, n}, nil
}

// ReadDir implements [FS].
func (m *Memory) ReadDir(path string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("readdir", path)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: path, Err: fs.ErrInvalid}
	}
	return sortedNames(n.names), nil
}

// Size implements [FS].
func (m *Memory) Size(path string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("size", path)
	if err != nil {
		return 0, err
	}
	if n.dir {
		return 0, &fs.PathError{Op: "size", Path: path, Err: fs.ErrInvalid}
	}
	return int64(len(n.data)), nil
}

// Truncate implements [FS].
func (m *Memory) Truncate(path string, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("truncate", path)
	if err != nil {
		return err
	}
	if n.dir || size > int64(len(n.data)) {
		return &fs.PathError{Op: "truncate", Path: path, Err: fs.ErrInvalid}
	}
	n.data = n.data[:size:size]
	return nil
}

// Rename implements [FS].
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("rename", from)
	if err != nil {
		return err
	}
	n := d.names[name]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	e, target, err := m.parent("rename", to)
	if err != nil {
		return err
	}
	if old := e.names[target]; old != nil && (old.dir || n.dir) {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	delete(d.names, name)
	e.names[target] = n
	return nil
}

// RemoveAll implements [FS].
func (m *Memory) RemoveAll(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("remove", path)
	if err == nil {
		delete(d.names, name)
	}
	return nil
}

// SyncDir implements [FS].
func (m *Memory) SyncDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("syncdir", path)
	if err != nil {
		return err
	}
	n.safe = map[string]*node{}
	for k, v := range n.names {
		n.safe[k] = v
	}
	return nil
}

type memoryFile struct {
	m *Memory
	n *node
}

func (f *memoryFile) Write(b []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.data = append(f.n.data, b...)
	return len(b), nil
}

func (f *memoryFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.safeData = append([]byte(nil), f.n.data...)
	return nil
}

func (f *memoryFile) Close() error { return nil }
