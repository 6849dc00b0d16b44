package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train/checkpoint"
	"github.com/descent-ml/descent/train/runlog"
)

// Run trains a model from its beginning. A cancelled context ends the step that is in progress, saves a checkpoint
// and returns a Result with status stopped and a nil error. A run that diverges is not an error either.
//
// An error is a wrong Config, data that cannot be loaded, a run folder that cannot be made or holds a run
// already, or a method that failed. If the last checkpoint could not be saved, the error says so and the
// Result comes with it.
func Run(ctx context.Context, c Config, o Options) (*Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	if c.DType == "float64" {
		return runFrom[float64](ctx, c, o)
	}
	return runFrom[float32](ctx, c, o)
}

func runFrom[T tensor.Float](ctx context.Context, c Config, o Options) (*Result, error) {
	data, err := openSource[T](c)
	if err != nil {
		return nil, err
	}
	s, err := newSession(c, o, data)
	if err != nil {
		return nil, err
	}
	defer s.pool.Close()
	unlock, err := s.create(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.train(ctx)
}

// train runs the loop and saves the end.
func (s *session[T]) train(ctx context.Context) (*Result, error) {
	if err := s.loop(ctx); err != nil {
		s.warn(err.Error())
		if s.log != nil {
			err = errors.Join(err, s.log.Close())
		}
		return nil, err
	}
	return s.finish()
}

// create makes the run folder, if there is to be one.
func (s *session[T]) create(ctx context.Context) (unlock func(), err error) {
	dir := s.options.Out
	if dir == "" {
		return func() {}, nil
	}
	if err := mkdirAll(s.files, dir); err != nil {
		return nil, fmt.Errorf("the run folder cannot be made: %w", err)
	}
	if _, err := s.files.Size(filepath.Join(dir, runFile)); err == nil {
		return nil, fmt.Errorf("%s holds a run already\nhint: resume it, or choose another folder", dir)
	}
	if unlock, err = s.lock(); err != nil {
		return nil, err
	}
	s.data.measure()
	if err := ctx.Err(); err != nil {
		unlock()
		return nil, err
	}
	if err := s.writeRunFile(); err != nil {
		unlock()
		return nil, fmt.Errorf("the run folder cannot be written: %w", err)
	}
	if err := s.openLog(0); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

func (s *session[T]) lock() (unlock func(), err error) {
	if _, real := s.files.(vfs.OS); !real {
		return func() {}, nil
	}
	return lockRun(s.options.Out)
}

// openLog opens the log behind its first position bytes, and the store of checkpoints.
func (s *session[T]) openLog(position int64) error {
	var err error
	if s.log, err = runlog.Open(s.files, filepath.Join(s.options.Out, logFile), position); err != nil {
		return fmt.Errorf("the log cannot be opened: %w", err)
	}
	s.store = &checkpoint.Store{FS: s.files, Dir: s.options.Out, Keep: s.config.Save.Keep}
	s.saves.last, s.saves.step = s.started, s.progress.Step
	return nil
}

// Resume continues the run in folder dir from its newest valid checkpoint, to the same bits as if it had
// not been stopped; without a checkpoint, from the beginning. Damaged checkpoints are reported as
// warnings and set aside. o.Out is ignored. Of a run that has ended it returns the Result and an error
// that wraps [ErrComplete].
func Resume(ctx context.Context, dir string, o Options) (*Result, error) {
	o.Out = dir
	files := o.files
	if files == nil {
		files = vfs.OS{}
	}
	info, err := readRun(files, dir)
	if err != nil {
		return nil, err
	}
	if info.Config.DType == "float64" {
		return resumeFrom[float64](ctx, info, o)
	}
	return resumeFrom[float32](ctx, info, o)
}

func resumeFrom[T tensor.Float](ctx context.Context, info *RunInfo, o Options) (*Result, error) {
	if info.Data.Name == inMemory {
		return nil, fmt.Errorf("%s: the run was made from data in memory\nhint: continue it with the program that has the data", o.Out)
	}
	data, err := openSource[T](info.Config)
	if err != nil {
		return nil, err
	}
	s, err := newSession(info.Config, o, data)
	if err != nil {
		return nil, err
	}
	defer s.pool.Close()
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	s.run = info
	s.data.measure()
	if s.data.digest != info.Data.SHA256 {
		return nil, fmt.Errorf("the data %s has changed since the run began: found SHA-256 %s, expected %s\nhint: restore the data, or train anew", info.Data.Name, s.data.digest, info.Data.SHA256)
	}
	if err := s.restore(); err != nil {
		return nil, err
	}
	if st := s.progress.Status; st != "" {
		s.log.Close()
		r := s.result()
		r.WallSeconds, r.CPUSeconds, r.PeakMemoryBytes = float64(s.progress.Wall), float64(s.progress.CPU), s.progress.Peak
		if _, err := s.files.Size(filepath.Join(o.Out, resultFile)); err != nil { // killed just before it was written
			if err := s.writeResult(r); err != nil {
				return r, err
			}
		}
		return r, fmt.Errorf("%s: %w (%s: %s)\nhint: to train for longer, begin a new run with more epochs", o.Out, ErrComplete, st, s.progress.Reason)
	}
	return s.train(ctx)
}

// restore reads the newest valid checkpoint into the session. Damaged ones are set aside.
func (s *session[T]) restore() error {
	store := &checkpoint.Store{FS: s.files, Dir: s.options.Out, Keep: s.config.Save.Keep}
	c, problems, err := store.Open()
	if errors.Is(err, fs.ErrNotExist) && len(problems) == 0 {
		if err := s.openLog(0); err != nil {
			return err
		}
		s.warn("there is no checkpoint yet: the run begins anew")
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if err := s.fill(c); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(s.options.Out, c.Name), err)
	}
	if err := s.openLog(s.progress.Log); err != nil {
		return err
	}
	s.store = store
	if err := s.recall(); err != nil {
		return err
	}
	for _, p := range problems {
		where, err := store.SetAside(p)
		if err != nil {
			where = "where it is: " + err.Error()
		}
		s.warn(fmt.Sprintf("damaged checkpoint %v; left as %s, the one of step %d is used", p, where, c.Step))
	}
	return nil
}

// fill makes the checkpoint the state of the session.
func (s *session[T]) fill(c *checkpoint.Checkpoint) error {
	if want := s.config.digest(); c.Config != want {
		return fmt.Errorf("found the configuration %s, run.json has %s\nhint: run.json was changed, or the checkpoint belongs to another run", c.Config, want)
	}
	p, err := parseProgress(c.State, s.config)
	if err != nil {
		return err
	}
	s.progress = p
	if p.Guard.Rate != 1 {
		if s.method, err = s.newMethod(); err != nil {
			return err
		}
	}
	if p.HasGood {
		s.good = newKept(s, true)
	}
	if p.HasTrial {
		s.trial = newKept(s, true)
	}
	if p.HasBest {
		s.best = newKept(s, false)
	}
	model, optimizer, commit := s.tensors()
	if err := checkpoint.Fill(c.Model, model); err != nil {
		return err
	}
	if err := checkpoint.Fill(c.Optimizer, optimizer); err != nil {
		return err
	}
	commit()
	if err := s.sampler.Seek(p.Position); err != nil {
		return err
	}
	s.base, s.firstStep = p.Counts, p.Step
	if p.Status == Stopped {
		s.progress.Status, s.progress.Reason = "", ""
	}
	return nil
}
