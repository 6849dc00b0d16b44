package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/train/safetensors"
)

const dir = "run"

type numbers struct{ Step, Twice int64 }

// snapshot is a state in which everything is a function of the step, so that a mixture shows.
func snapshot(step int64) Snapshot {
	w := make([]float32, 40)
	for i := range w {
		w[i] = float32(step) + float32(i)/64
	}
	return Snapshot{
		Step: step, Config: "c0ffee",
		Model:     []safetensors.Tensor{{Name: "layer.weight", Shape: []int{8, 5}, Data: w}},
		Optimizer: []safetensors.Tensor{{Name: "m", Shape: []int{40}, Data: w}, {Name: "t", Data: []int64{step}}},
		State:     numbers{step, 2 * step},
	}
}

// read loads what a checkpoint holds and fails unless all parts belong to one step.
func read(c *Checkpoint) (int64, error) {
	var n numbers
	if err := json.Unmarshal(c.State, &n); err != nil {
		return 0, err
	}
	want := snapshot(n.Step)
	into := snapshot(0)
	if err := errors.Join(Fill(c.Model, into.Model), Fill(c.Optimizer, into.Optimizer)); err != nil {
		return 0, err
	}
	if n.Twice != 2*n.Step || c.Step != n.Step ||
		!slices.Equal(into.Model[0].Data.([]float32), want.Model[0].Data.([]float32)) ||
		!slices.Equal(into.Optimizer[0].Data.([]float32), want.Optimizer[0].Data.([]float32)) ||
		into.Optimizer[1].Data.([]int64)[0] != n.Step {
		return 0, fmt.Errorf("the parts of the checkpoint of step %d do not belong together", n.Step)
	}
	return n.Step, nil
}

func newStore(t testing.TB, f vfs.FS, keep int) *Store {
	t.Helper()
	if err := f.Mkdir(dir); err != nil {
		t.Fatal(err)
	}
	return &Store{FS: f, Dir: dir, Keep: keep}
}

func mustSave(t testing.TB, s *Store, steps ...int64) {
	t.Helper()
	for _, k := range steps {
		if err := s.Save(snapshot(k)); err != nil {
			t.Fatal(err)
		}
	}
}

// newestOf opens a run folder as a new process does and returns the step found.
func newestOf(f vfs.FS) (int64, []Problem, error) {
	c, problems, err := (&Store{FS: f, Dir: dir, Keep: 2}).Open()
	if err != nil {
		return 0, problems, err
	}
	defer c.Close()
	step, err := read(c)
	return step, problems, err
}

func TestSaveAndOpen(t *testing.T) {
	f := vfs.NewMemory()
	s := newStore(t, f, 3)
	if _, _, err := s.Open(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing: %v", err)
	}
	mustSave(t, s, 10, 20, 30, 40, 50)
	names, _ := f.ReadDir(dir)
	if want := []string{"checkpoint", "checkpoint-3", "checkpoint-4"}; !slices.Equal(names, want) {
		t.Errorf("folders %v, want %v", names, want)
	}
	files, _ := f.ReadDir(filepath.Join(dir, "checkpoint"))
	if want := []string{"model.safetensors", "optimizer.safetensors", "state.json"}; !slices.Equal(files, want) {
		t.Errorf("files %v, want %v", files, want)
	}
	if step, problems, err := newestOf(f); step != 50 || err != nil || problems != nil {
		t.Errorf("step %d, problems %v, error %v", step, problems, err)
	}
	c, _, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	if c.Generation != 5 || c.Parent != 40 || c.Config != "c0ffee" {
		t.Errorf("header %+v", c.Header)
	}
}

// damage changes one file of a checkpoint.
func damage(t testing.TB, f vfs.FS, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := vfs.ReadFile(f, path, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(change(b)); err != nil {
		t.Fatal(err)
	}
	w.Close()
}

func TestFallsBackAndSetsAside(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		change func([]byte) []byte
		want   string
	}{
		"cut":     {"model.safetensors", func(b []byte) []byte { return b[:len(b)-7] }, "truncated at byte"},
		"flipped": {"model.safetensors", func(b []byte) []byte { b[len(b)-9] ^= 1; return b }, `checksum mismatch in tensor "layer.weight"`},
		"foreign": {"state.json", func(b []byte) []byte { return []byte(`{"hello": 1}`) }, "not a descent checkpoint"},
		"newer": {"state.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"version":1`, `"version":2`, 1))
		}, "checkpoint format 2, expected at most 1\nhint:"},
		"empty": {"state.json", func(b []byte) []byte { return nil }, "truncated at byte 0"},
		"short": {"state.json", func(b []byte) []byte { return b[:len(b)-2] }, "truncated at byte"},
		"header": {"optimizer.safetensors", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"m":`, `"q":`, 1))
		}, "checksum mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			f := vfs.NewMemory()
			s := newStore(t, f, 2)
			mustSave(t, s, 10, 20)
			damage(t, f, "checkpoint/"+c.file, c.change)
			step, problems, err := newestOf(f)
			if step != 10 || err != nil {
				t.Fatalf("step %d, error %v", step, err)
			}
			if len(problems) != 1 || !strings.Contains(problems[0].Error(), c.want) {
				t.Fatalf("problems %v, want %q", problems, c.want)
			}
			// A resumed run sets it aside, goes on, and never touches it again.
			next := &Store{FS: f, Dir: dir, Keep: 2}
			open, problems, err := next.Open()
			if err != nil {
				t.Fatal(err)
			}
			open.Close()
			aside, err := next.SetAside(problems[0])
			if err != nil || !strings.Contains(aside, ".corrupt") {
				t.Fatalf("set aside as %q: %v", aside, err)
			}
			mustSave(t, next, 20, 30, 40)
			names, _ := f.ReadDir(dir)
			if !slices.Contains(names, aside) {
				t.Errorf("%s is gone: %v", aside, names)
			}
			if step, problems, err := newestOf(f); step != 40 || err != nil || problems != nil {
				t.Errorf("step %d, problems %v, error %v", step, problems, err)
			}
		})
	}
}

func TestAllDamaged(t *testing.T) {
	f := vfs.NewMemory()
	s := newStore(t, f, 2)
	mustSave(t, s, 10, 20)
	for _, name := range []string{"checkpoint", "checkpoint-1"} {
		damage(t, f, name+"/state.json", func(b []byte) []byte { b[40] ^= 1; return b })
	}
	_, problems, err := newestOf(f)
	if err == nil || errors.Is(err, fs.ErrNotExist) || len(problems) != 2 || !strings.Contains(err.Error(), "no checkpoint is whole") {
		t.Errorf("problems %v, error %v", problems, err)
	}
}

func TestMatchNamesEveryDifference(t *testing.T) {
	f := vfs.NewMemory()
	s := newStore(t, f, 2)
	mustSave(t, s, 10)
	c, _, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	target := []float64{7}
	err = Fill(c.Optimizer, []safetensors.Tensor{{Name: "m", Shape: []int{41}, Data: make([]float32, 41)}, {Name: "v", Shape: []int{1}, Data: target}})
	var m MismatchError
	want := []string{"m: found F32[40], expected F32[41]", "v: missing, expected F64[1]", "t: found I64[], expected no such tensor"}
	if !errors.As(err, &m) || !slices.Equal(m.Differences, want) {
		t.Errorf("%v\nwant %v", err, want)
	}
	if target[0] != 7 {
		t.Error("a tensor was written although the model is another one")
	}
}

// Ten thousand random changes of a checkpoint: none is accepted, none panics, and the older checkpoint
// is found each time.
func TestTenThousandChanges(t *testing.T) {
	f := vfs.NewMemory()
	s := newStore(t, f, 2)
	mustSave(t, s, 10, 20)
	files := []string{"model.safetensors", "optimizer.safetensors", "state.json"}
	whole := map[string][]byte{}
	for _, name := range files {
		b, err := vfs.ReadFile(f, filepath.Join(dir, "checkpoint", name), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		whole[name] = b
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 10000 {
		name := files[rng.IntN(len(files))]
		b := slices.Clone(whole[name])
		what := ""
		switch rng.IntN(4) {
		case 0:
			b = b[:rng.IntN(len(b))]
			what = fmt.Sprintf("cut to %d bytes", len(b))
		case 1:
			b = append(b, byte(rng.IntN(256)))
			what = "a byte more"
		default:
			for range 1 + rng.IntN(3) {
				at := rng.IntN(len(b))
				b[at] ^= byte(1 + rng.IntN(255))
				what += fmt.Sprintf("byte %d changed ", at)
			}
			if slices.Equal(b, whole[name]) {
				continue // the same byte twice, back to what it was
			}
		}
		damage(t, f, "checkpoint/"+name, func([]byte) []byte { return b })
		step, problems, err := newestOf(f)
		if err != nil || step != 10 || len(problems) != 1 {
			t.Fatalf("change %d, %s: %s: step %d, problems %v, error %v", i, name, what, step, problems, err)
		}
		damage(t, f, "checkpoint/"+name, func([]byte) []byte { return whole[name] })
	}
}

// Every call of a save fails in turn, for each kind of error, also with a write that does half of its
// work. The newest complete checkpoint stays readable, and the next save succeeds.
func TestEveryCallFails(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE} {
		for _, permanent := range []bool{false, true} {
			for _, short := range []bool{false, true} {
				for at := 1; ; at++ {
					m := vfs.NewMemory()
					f := &vfs.Faulty{FS: m, Short: short}
					s := newStore(t, f, 2)
					mustSave(t, s, 10, 20)
					before := f.Calls()
					f.Fail = func(n int, op, path string) error {
						if n == before+at || permanent && n > before+at {
							return &fs.PathError{Op: op, Path: path, Err: cause}
						}
						return nil
					}
					err := s.Save(snapshot(30))
					reached := f.Calls() >= before+at
					if err != nil && !errors.Is(err, cause) {
						t.Fatalf("call %d: %v", at, err)
					}
					step, problems, e := newestOf(m)
					if e != nil || step != 20 && step != 30 || err == nil && step != 30 || len(problems) != 0 {
						t.Fatalf("call %d failed with %v: Save %v, then step %d, problems %v, error %v", at, cause, err, step, problems, e)
					}
					f.Fail = nil
					mustSave(t, s, 40)
					if step, problems, e := newestOf(m); step != 40 || e != nil || len(problems) != 0 {
						t.Fatalf("call %d: after the next save: step %d, problems %v, error %v", at, step, problems, e)
					}
					if !reached {
						break
					}
				}
			}
		}
	}
}

// The power fails after every call, and what was not synced is lost or kept at random: what Open
// finds is the last checkpoint whose save had returned, or the one being written.
func TestPowerFailsAfterEveryCall(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	lost := errors.New("power is out")
	for at := 1; ; at++ {
		over := false
		for range 20 {
			m := vfs.NewMemory()
			f := &vfs.Faulty{FS: m, Short: true}
			s := newStore(t, f, 2)
			if err := m.SyncDir("."); err != nil {
				t.Fatal(err)
			}
			done := int64(0)
			f.Fail = func(n int, _, _ string) error {
				if n > at {
					return lost
				}
				return nil
			}
			var err error
			for _, step := range []int64{10, 20, 30, 40} {
				if err = s.Save(snapshot(step)); err != nil {
					break
				}
				done = step
			}
			after := m.Crash(func(n int) int {
				switch rng.IntN(3) {
				case 0:
					return 0
				case 1:
					return n
				}
				return rng.IntN(n + 1)
			})
			step, _, e := newestOf(after)
			switch {
			case done == 0 && e != nil && errors.Is(e, fs.ErrNotExist):
			case e != nil || step != done && step != done+10:
				t.Fatalf("power lost after call %d: %d was saved, found %d, error %v", at, done, step, e)
			}
			// The machine starts again and goes on.
			next := &Store{FS: after, Dir: dir, Keep: 2}
			if c, _, err := next.Open(); err == nil {
				c.Close()
			}
			mustSave(t, next, 50)
			if step, _, err := newestOf(after); step != 50 || err != nil {
				t.Fatalf("power lost after call %d: after the next save: step %d, error %v", at, step, err)
			}
			over = err == nil
		}
		if over {
			return
		}
	}
}

// Readers that look while a writer saves always find a whole checkpoint.
func TestReadersWhileWriting(t *testing.T) {
	f := vfs.NewMemory()
	s := newStore(t, f, 2)
	mustSave(t, s, 1)
	done := make(chan error, 2)
	stop := make(chan struct{})
	for range 2 {
		go func() {
			last := int64(0)
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				step, _, err := newestOf(f)
				if err != nil || step < last {
					done <- fmt.Errorf("step %d after %d: %w", step, last, err)
					return
				}
				last = step
			}
		}()
	}
	for k := int64(2); k < 300; k++ {
		mustSave(t, s, k)
	}
	close(stop)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func FuzzState(f *testing.F) {
	b, err := marshalState(Header{Format: magic, Version: 1, Generation: 1, Files: map[string]safetensors.Digest{}}, numbers{1, 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte(`{"format":"descent-checkpoint","version":99,`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if s, err := unmarshalState(in); err == nil && (s.Generation < 1 || s.Version < 1 || s.Version > Version) {
			t.Fatalf("accepted %q as %+v", in, s)
		}
	})
}
