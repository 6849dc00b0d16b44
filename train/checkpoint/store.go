package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/train/safetensors"
)

const (
	newest    = "checkpoint"
	older     = "checkpoint-"
	temporary = "checkpoint.tmp"
	aside     = ".corrupt"
)

// Store is the checkpoints of one run folder.
type Store struct {
	FS   vfs.FS
	Dir  string // the run folder
	Keep int    // checkpoints kept, the newest included; less than 1 is 1

	generation int64 // of the newest known
	step       int64
}

// Snapshot is what a checkpoint is made of. State is anything with a JSON form.
type Snapshot struct {
	Step             int64
	Config           string // SHA-256 of the configuration
	Model, Optimizer []safetensors.Tensor
	State            any
}

// Checkpoint is a valid checkpoint that was found. Close it after its tensors have been read.
type Checkpoint struct {
	Header
	Name             string // of its folder
	State            json.RawMessage
	Model, Optimizer *safetensors.File

	files []vfs.File
}

// Close closes the files.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	c.files = nil
	return errors.Join(errs...)
}

// Problem is a damaged checkpoint that was passed over.
type Problem struct {
	Name string // of its folder
	Err  error
}

func (p Problem) Error() string { return p.Name + ": " + p.Err.Error() }

// Save writes a checkpoint. On error everything that existed is as it was, or complete under another
// name that [Store.Open] finds, and Save may be called again.
func (s *Store) Save(snap Snapshot) error {
	path := func(name string) string { return filepath.Join(s.Dir, name) }
	if s.generation == 0 {
		s.generation = s.highest()
	}
	if err := s.reclaim(); err != nil {
		return err
	}
	if err := s.FS.Mkdir(path(temporary)); err != nil {
		return err
	}
	h := Header{
		Format: magic, Version: Version, Generation: s.generation + 1, Parent: s.step, Step: snap.Step, Config: snap.Config,
		Files: map[string]safetensors.Digest{},
	}
	step := map[string]string{"descent.step": strconv.FormatInt(snap.Step, 10)}
	for _, part := range []struct {
		name    string
		tensors []safetensors.Tensor
	}{{modelFile, snap.Model}, {optimFile, snap.Optimizer}} {
		err := s.write(filepath.Join(temporary, part.name), func(f vfs.File) (err error) {
			h.Files[part.name], err = safetensors.Write(f, part.tensors, step)
			return err
		})
		if err != nil {
			return err
		}
	}
	contents, err := marshalState(h, snap.State)
	if err != nil {
		return err
	}
	err = s.write(filepath.Join(temporary, stateFile), func(f vfs.File) error {
		_, err := f.Write(contents)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.FS.SyncDir(path(temporary)); err != nil {
		return err
	}
	// From here on checkpoint.tmp is complete: a generation that Open may take, whatever fails.
	s.generation = h.Generation
	if err := s.retire(); err != nil {
		return err
	}
	if err := s.FS.Rename(path(temporary), path(newest)); err != nil {
		return err
	}
	if err := s.FS.SyncDir(s.Dir); err != nil {
		return err
	}
	s.step = snap.Step
	s.prune()
	return nil
}

// reclaim makes the temporary name free. What lies there may be the newest complete checkpoint, left
// by a save that failed or a process that died between the two renames; then it gets a lasting name.
func (s *Store) reclaim() error {
	tmp := filepath.Join(s.Dir, temporary)
	if _, err := s.FS.ReadDir(tmp); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c, err := s.open(temporary)
	if err != nil {
		return s.FS.RemoveAll(tmp)
	}
	c.Close()
	return s.FS.Rename(tmp, filepath.Join(s.Dir, s.free(older+strconv.FormatInt(c.Generation, 10))))
}

// retire renames the newest checkpoint to its lasting name.
func (s *Store) retire() error {
	from := filepath.Join(s.Dir, newest)
	if _, err := s.FS.ReadDir(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	name := older + strconv.FormatInt(s.generation-1, 10) + aside
	if st, err := s.readState(newest); err == nil {
		name = older + strconv.FormatInt(st.Generation, 10)
	}
	if err := s.FS.Rename(from, filepath.Join(s.Dir, s.free(name))); err != nil {
		return err
	}
	return s.FS.SyncDir(s.Dir)
}

// prune removes the oldest checkpoints. It is called after a durable save, and what it cannot remove
// is left for the next time.
func (s *Store) prune() {
	names, err := s.candidates()
	if err != nil {
		return
	}
	kept := 0
	for _, name := range names {
		if !strings.HasPrefix(name, older) {
			continue
		}
		if kept++; kept > s.Keep-1 {
			s.FS.RemoveAll(filepath.Join(s.Dir, name))
		}
	}
}

func (s *Store) write(name string, body func(vfs.File) error) error {
	f, err := s.FS.Create(filepath.Join(s.Dir, name))
	if err != nil {
		return err
	}
	err = body(f)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// Open returns the newest valid checkpoint, and the damaged ones that it passed over. Without a
// valid one the error says why, for each that was tried; it wraps fs.ErrNotExist if there is none at all.
func (s *Store) Open() (*Checkpoint, []Problem, error) {
	const attempts = 1000 // against a writer that never stops
	for attempt := 1; ; attempt++ {
		before := s.view()
		c, problems, err := s.scan()
		if err != nil {
			return nil, nil, err
		}
		switch {
		case attempt < attempts && s.view() != before:
			// A writer renamed folders while we looked: what we took for damage may be the parts of
			// two checkpoints, or what we found not the newest any more. Look again.
			if c != nil {
				c.Close()
			}
			continue
		case c != nil:
			s.generation, s.step = max(s.highest(), c.Generation), c.Step
			return c, problems, nil
		case len(problems) == 0:
			return nil, nil, fmt.Errorf("%s: no checkpoint: %w", s.Dir, fs.ErrNotExist)
		}
		text := make([]string, len(problems))
		for i, p := range problems {
			text[i] = p.Error()
		}
		return nil, problems, fmt.Errorf("%s: no checkpoint is whole:\n  %s", s.Dir, strings.Join(text, "\n  "))
	}
}

// view returns which candidates there are and which generations they claim to be: it changes with every
// checkpoint that is saved.
func (s *Store) view() string {
	names, err := s.candidates()
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, name := range names {
		st, err := s.readState(name)
		fmt.Fprintf(&b, "%s %d %t\n", name, st.Generation, err == nil)
	}
	return b.String()
}

// scan verifies the candidates from the highest generation down, up to the first valid one.
func (s *Store) scan() (*Checkpoint, []Problem, error) {
	names, err := s.candidates()
	if err != nil {
		return nil, nil, err
	}
	var problems []Problem
	generation := map[string]int64{}
	readable := names[:0:0]
	for _, name := range names {
		st, err := s.readState(name)
		if err == nil {
			readable, generation[name] = append(readable, name), st.Generation
		} else if name != temporary { // which is unfinished, and no loss
			problems = append(problems, Problem{name, err})
		}
	}
	sort.SliceStable(readable, func(i, j int) bool { return generation[readable[i]] > generation[readable[j]] })
	for _, name := range readable {
		c, err := s.open(name)
		if err == nil {
			return c, problems, nil
		}
		if name != temporary {
			problems = append(problems, Problem{name, err})
		}
	}
	return nil, problems, nil
}

// SetAside renames a damaged checkpoint so that it is kept but not looked at again. It returns the
// new name.
func (s *Store) SetAside(p Problem) (string, error) {
	to := s.free(p.Name + aside)
	if p.Name == newest { // with a number, so that it is not used again
		number := s.generation + 1
		if st, err := s.readState(newest); err == nil {
			number = st.Generation
		}
		to = s.free(older + strconv.FormatInt(number, 10) + aside)
	}
	if err := s.FS.Rename(filepath.Join(s.Dir, p.Name), filepath.Join(s.Dir, to)); err != nil {
		return "", err
	}
	return to, s.FS.SyncDir(s.Dir)
}

// candidates returns the folders that may hold a checkpoint: the newest first, as the names have it.
func (s *Store) candidates() ([]string, error) {
	all, err := s.FS.ReadDir(s.Dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range all {
		if n == newest || n == temporary || strings.HasPrefix(n, older) && !strings.Contains(n, aside) {
			names = append(names, n)
		}
	}
	sort.SliceStable(names, func(i, j int) bool { return rank(names[i]) > rank(names[j]) })
	return names, nil
}

// rank orders folder names by age.
func rank(name string) int64 {
	switch name {
	case temporary:
		return 1<<63 - 1
	case newest:
		return 1<<63 - 2
	}
	digits, _, _ := strings.Cut(strings.TrimPrefix(name, older), ".")
	n, err := strconv.ParseInt(digits, 10, 62)
	if err != nil {
		return -1
	}
	return n
}

// highest returns the highest generation that any name or readable state claims, damaged ones included,
// so that no number is used twice.
func (s *Store) highest() int64 {
	var top int64
	all, _ := s.FS.ReadDir(s.Dir)
	for _, n := range all {
		if strings.HasPrefix(n, older) {
			top = max(top, rank(n))
		} else if n == newest || n == temporary {
			if st, err := s.readState(n); err == nil {
				top = max(top, st.Generation)
			}
		}
	}
	return top
}

// free returns name, or, if that is taken, name with a number.
func (s *Store) free(name string) string {
	taken := map[string]bool{}
	all, _ := s.FS.ReadDir(s.Dir)
	for _, n := range all {
		taken[n] = true
	}
	for i, try := 2, name; ; i++ {
		if !taken[try] {
			return try
		}
		try = fmt.Sprintf("%s.%d", name, i)
	}
}

func (s *Store) readState(name string) (state, error) {
	b, err := vfs.ReadFile(s.FS, filepath.Join(s.Dir, name, stateFile), stateLimit)
	if err != nil {
		return state{}, err
	}
	return unmarshalState(b)
}

// open verifies every byte of a checkpoint.
func (s *Store) open(name string) (_ *Checkpoint, err error) {
	st, err := s.readState(name)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Header: st.Header, Name: name, State: st.State}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	for _, part := range []struct {
		name string
		file **safetensors.File
	}{{modelFile, &c.Model}, {optimFile, &c.Optimizer}} {
		path := filepath.Join(s.Dir, name, part.name)
		size, err := s.FS.Size(path)
		if err != nil {
			return nil, err
		}
		f, err := s.FS.Open(path)
		if err != nil {
			return nil, err
		}
		c.files = append(c.files, f)
		if want := st.Files[part.name].Size; size < want {
			return nil, fmt.Errorf("%s: %w", part.name, safetensors.TruncatedError{At: size, Want: want})
		}
		if *part.file, err = safetensors.Open(f, size); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		digest, err := (*part.file).Verify()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		if digest != st.Files[part.name] {
			return nil, fmt.Errorf("%s: it belongs to another checkpoint than %s: SHA-256 %s, expected %s", part.name, stateFile, digest.SHA256, st.Files[part.name].SHA256)
		}
	}
	return c, nil
}
