package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/train/checkpoint"
	"github.com/descent-ml/descent/train/runlog"
)

// saves is when the next checkpoint is due.
type saves struct {
	last   time.Time // of the last good save, or of the start
	step   int64     // progress at that save
	failed int       // saves in a row
	next   time.Time // not before, after failures
	err    error     // of the last failure
}

// saveIfDue saves when the configuration says so. A failed save is tried again at the next occasion
// after a pause that doubles from one second to a minute; training goes on meanwhile.
func (s *session[T]) saveIfDue(epochEnd bool) {
	if s.store == nil {
		return
	}
	c, now := s.config.Save, time.Now()
	since := now.Sub(s.saves.last).Seconds()
	due := c.Steps > 0 && s.progress.Step%c.Steps == 0 && s.progress.Step != s.saves.step ||
		c.Seconds > 0 && since >= c.Seconds ||
		epochEnd && c.Epoch >= 0 && since >= c.Epoch ||
		s.saves.failed > 0 && now.After(s.saves.next)
	if !due {
		return
	}
	if s.saves.failed > 0 && c.Steps == 0 && now.Before(s.saves.next) {
		return
	}
	s.save()
}

// save writes a checkpoint. The newest one is replaced only by finite parameters.
func (s *session[T]) save() error {
	if s.store == nil {
		return nil
	}
	if !s.finiteParams() {
		err := errors.New("the parameters are not finite; the last good checkpoint stays")
		s.warn(err.Error())
		return err
	}
	err := s.write()
	if errors.Is(err, fs.ErrNotExist) { // the run folder vanished
		if e := s.remake(); e == nil {
			err = s.write()
		}
	}
	v := &s.saves
	if v.err = err; err != nil {
		v.failed++
		v.next = time.Now().Add(min(time.Minute, time.Second<<min(v.failed-1, 6)))
		s.warn(fmt.Sprintf("the checkpoint of step %d could not be saved and will be tried again: %v", s.progress.Step, err))
		return err
	}
	v.last, v.step, v.failed = time.Now(), s.progress.Step, 0
	s.emit(EventSave, "")
	return nil
}

func (s *session[T]) write() error {
	var err error
	p := s.progress
	if p.Log, err = s.log.Sync(); err != nil {
		return err
	}
	p.Counts = s.counts()
	p.Wall += exact(time.Since(s.started).Seconds())
	p.CPU += exact(cpuSeconds() - s.cpuStart)
	p.Peak = max(p.Peak, peakMemory())
	s.evalParams()
	model, optimizer, _ := s.tensors()
	return s.store.Save(checkpoint.Snapshot{Step: p.Step, Config: s.config.digest(), Model: model, Optimizer: optimizer, State: &p})
}

// remake makes the run folder again after it vanished.
func (s *session[T]) remake() error {
	if err := mkdirAll(s.files, s.options.Out); err != nil {
		return err
	}
	return s.writeRunFile()
}

// finish saves the end of the run: checkpoint and result. Whatever fails, the result is returned.
func (s *session[T]) finish() (*Result, error) {
	var err error
	if s.store != nil && (s.progress.Status != Diverged || s.finiteParams()) {
		for attempt := range 3 {
			time.Sleep(time.Duration(attempt) * s.options.patience)
			if err = s.save(); err == nil {
				break
			}
		}
		if err != nil {
			err = fmt.Errorf("the last checkpoint could not be saved: %w\nhint: the one before it, if there is one, is in %s; make room and resume", err, s.options.Out)
		}
	}
	r := s.result()
	if s.store != nil {
		s.append(runlog.Record{Kind: "event", Message: string(r.Status) + ": " + r.Reason})
		e := s.writeResult(r)
		if e2 := s.log.Close(); e == nil {
			e = e2
		}
		if err == nil && e != nil {
			err = fmt.Errorf("the result could not be written to %s: %w", s.options.Out, e)
		}
	}
	s.emit(EventDone, string(r.Status))
	return r, err
}

func (s *session[T]) writeResult(r *Result) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return vfs.WriteFile(s.files, filepath.Join(s.options.Out, resultFile), append(b, '\n'))
}

// note remembers and logs a step.
func (s *session[T]) note(rep optim.Report) {
	p := &s.progress
	s.last = rep
	every := max(1, int64(s.data.train.Len()/s.config.Batch)/25)
	if p.Step%every == 0 || p.Step == 1 {
		s.losses.add(LossPoint{Step: p.Step, Examples: p.Seen, Seconds: float64(p.Seconds), Loss: rep.Loss})
		s.extra = s.extra[:0]
		for _, x := range rep.Extra {
			s.extra = append(s.extra, Extra{x.Name, x.Value})
		}
		if s.log != nil {
			values := map[string]float64{"loss": rep.Loss, "rate": rep.StepSize, "grad_norm": rep.GradNorm}
			for _, x := range rep.Extra {
				values[x.Name] = x.Value
			}
			s.append(runlog.Record{Kind: "step", Values: values})
		}
	}
	interval := s.options.Interval
	if interval == 0 {
		interval = 100 * time.Millisecond
	}
	if s.options.Progress != nil && time.Since(s.shown) >= interval {
		s.shown = time.Now()
		s.emit(EventStep, "")
	}
}

// append adds a record with the present position to the log. A log that cannot be written waits; it
// is tried again with each record, and checkpoints fail until it succeeds.
func (s *session[T]) append(r runlog.Record) {
	if s.log == nil {
		return
	}
	p := &s.progress
	r.Step, r.Epoch, r.Examples, r.Seconds = p.Step, int(p.Position.Epoch), p.Seen, float64(p.Seconds)
	_ = s.log.Append(r)
}

func (s *session[T]) logEvaluation(e Evaluation) {
	if s.log == nil {
		return
	}
	values := map[string]float64{"eval_seconds": e.EvalSeconds}
	for _, m := range Metrics() {
		values[m] = e.Metric(m)
	}
	values["test_calibration_error"] = e.Test.Calibration
	s.append(runlog.Record{Kind: "eval", Values: values})
}

// recall reads the evaluations and the training curve of a resumed run from its log.
func (s *session[T]) recall() error {
	path := filepath.Join(s.options.Out, logFile)
	size, err := s.files.Size(path)
	if err != nil || size == 0 {
		return err
	}
	f, err := s.files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = runlog.Read(io.NewSectionReader(f, 0, size), func(r runlog.Record) error {
		get := func(name string) float64 {
			if v, ok := r.Values[name]; ok {
				return v
			}
			return math.NaN()
		}
		switch r.Kind {
		case "step":
			s.losses.add(LossPoint{Step: r.Step, Examples: r.Examples, Seconds: r.Seconds, Loss: get("loss")})
		case "eval":
			e := Evaluation{Step: r.Step, Epoch: r.Epoch, Seen: r.Examples, Seconds: r.Seconds, EvalSeconds: get("eval_seconds")}
			for name, q := range map[string]*Quality{"train": &e.Train, "val": &e.Val, "test": &e.Test} {
				*q = Quality{Loss: get(name + "_loss"), Accuracy: get(name + "_accuracy"), RMSE: get(name + "_rmse"), Calibration: math.NaN()}
			}
			e.Test.Calibration = get("test_calibration_error")
			s.history = append(s.history, e)
		case "probe":
			s.probes = append(s.probes, probeOf(r))
		}
		return nil
	})
	return err
}

func (s *session[T]) warn(message string) {
	s.append(runlog.Record{Kind: "event", Message: message})
	s.emit(EventWarning, message)
}

func (s *session[T]) emit(kind Kind, message string) { s.tell(Event{Kind: kind, Message: message}) }

func (s *session[T]) emitProbe(p *ProbePoint) { s.tell(Event{Kind: EventProbe, Probe: p}) }

func (s *session[T]) emitEval(e *Evaluation) { s.tell(Event{Kind: EventEval, Eval: e}) }

// tell completes an event and hands it over.
func (s *session[T]) tell(e Event) {
	if s.options.Progress == nil {
		return
	}
	p := &s.progress
	e.Step, e.Epoch, e.Examples = p.Step, int(p.Position.Epoch), p.Seen
	e.Steps, _ = s.horizon()
	e.Epochs = s.config.Epochs
	e.Loss, e.Rate, e.GradNorm = s.last.Loss, s.last.StepSize, s.last.GradNorm
	if p.Step == s.firstStep {
		e.Loss, e.Rate, e.GradNorm = math.NaN(), math.NaN(), math.NaN()
	}
	e.Elapsed = time.Duration(float64(p.Seconds) * float64(time.Second))
	if done := p.Step - s.firstStep; done > 0 && e.Steps > p.Step {
		e.ETA = time.Duration(float64(time.Since(s.started)) / float64(done) * float64(e.Steps-p.Step))
	}
	if b := s.config.Budget; b > 0 {
		left := time.Duration((b - float64(p.Seconds)) * float64(time.Second))
		if e.ETA == 0 || left < e.ETA {
			e.ETA = max(left, 0)
		}
	}
	s.options.Progress(e)
}
