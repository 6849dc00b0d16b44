package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
)

// checkEvery is the number of steps between two looks at all parameters for numbers that are not
// finite. A non-finite gradient is seen at once, by the method; this catches an update that overflowed
// and that the loss does not show.
const checkEvery = 16

// loop trains until the run ends or ctx is cancelled. When it returns nil, progress.Status says
// how; on cancellation it is Stopped, and the state is that of a step's end.
func (s *session[T]) loop(ctx context.Context) error {
	s.emit(EventStart, "")
	p := &s.progress
	if p.Step == 0 && s.config.Guard.Policy == "rewind" {
		if err := s.tryPoint(); err != nil {
			return err
		}
	}
	for p.Status == "" {
		if ctx.Err() != nil {
			s.end(Stopped, "stopped by the caller; resume continues it")
			break
		}
		if s.probeDue() {
			if err := s.probe(ctx); err != nil && ctx.Err() == nil {
				return err
			}
			continue
		}
		if p.EvalDue {
			if err := s.evaluation(ctx, true); err != nil {
				if ctx.Err() != nil {
					continue
				}
				return err
			}
			if p.Status == "" && p.Step > 0 {
				s.limits() // of a run that was stopped after its last step
			}
			continue
		}
		epoch := p.Position.Epoch
		rep, batch, err := s.step(ctx)
		if err != nil {
			if ctx.Err() != nil {
				continue // nothing was changed: the step will be made again
			}
			var bad *optim.NonFiniteError
			if errors.As(err, &bad) {
				s.diverge(rep, batch, bad.Error())
				break
			}
			return fmt.Errorf("step %d: %w", p.Step+1, err)
		}
		if err := s.guard(rep, batch); err != nil {
			return err
		}
		s.note(rep)
		p.EvalDue = s.config.Eval.Every > 0 && p.Step%s.config.Eval.Every == 0 ||
			s.config.Eval.Every == 0 && p.Position.Epoch != epoch
		if p.Status == "" {
			s.limits()
		}
		if p.Status == "" && !p.EvalDue {
			s.saveIfDue(p.Position.Epoch != epoch)
		}
	}
	if p.Status == Stopped {
		return nil
	}
	if s.config.Probe.Kind != "" && p.Status != Diverged && p.Probed != p.Step+1 {
		if err := s.probe(ctx); err != nil {
			if ctx.Err() == nil {
				return err
			}
			p.Status, p.Reason, p.EvalDue = Stopped, "stopped by the caller before the last measurement of the curvature", true
			return nil
		}
	}
	if p.Status != Diverged && (p.EvalDue || len(s.history) == 0 || s.history[len(s.history)-1].Step != p.Step) {
		if err := s.evaluation(ctx, false); err != nil {
			if ctx.Err() == nil {
				return err
			}
			// The last evaluation is still due; with it the run will have ended.
			p.Status, p.Reason = Stopped, "stopped by the caller before the last evaluation"
			return nil
		}
	}
	if s.config.EarlyStop.Restore && p.HasBest && p.Status != Diverged && !p.Restored {
		copy(s.params, s.best.params)
		copy(s.net.State(), s.best.stats)
		p.Restored = true
	}
	return nil
}

// step makes one training step on the next batch, whose indices it returns.
func (s *session[T]) step(ctx context.Context) (optim.Report, []int32, error) {
	p := &s.progress
	start := time.Now()
	position := s.sampler.Position()
	idx := s.sampler.Next(s.config.Batch)
	if s.all != nil {
		idx = s.all // in their own order
	}
	b := s.data.train.Load(idx)
	copy(s.stats, s.net.State())
	s.net.SetBatch(b.X, nn.Target[T]{Labels: b.Labels, Values: b.Values})
	s.net.SetKey(s.key.Named("step").Fold(uint64(p.Step)))
	_, horizon := s.horizon()
	s.obj.SetProgress(objective.Progress{Step: p.Step, Seen: p.Seen, Batch: len(idx), Horizon: horizon, PerPass: int64(s.data.train.Len())})
	rep, err := s.method.Step(ctx, s.obj)
	p.Seconds += exact(time.Since(start).Seconds())
	if err != nil {
		if e := s.sampler.Seek(position); e != nil {
			return rep, idx, errors.Join(err, e)
		}
		copy(s.net.State(), s.stats)
		return rep, idx, err
	}
	p.Step++
	p.Seen += int64(len(idx))
	p.Position = s.sampler.Position()
	return rep, idx, nil
}

// limits ends the run where its plan does.
func (s *session[T]) limits() {
	p, c := &s.progress, &s.config
	switch {
	case c.Steps > 0 && p.Step >= c.Steps:
		s.end(Completed, fmt.Sprintf("%d steps done", p.Step))
	case c.Epochs > 0 && p.Position.Epoch >= int64(c.Epochs):
		s.end(Completed, fmt.Sprintf("%d epochs done", p.Position.Epoch))
	case c.Budget > 0 && float64(p.Seconds) >= c.Budget:
		s.end(BudgetSpent, fmt.Sprintf("%g seconds of training used", c.Budget))
	}
}

func (s *session[T]) end(status Status, reason string) {
	s.progress.Status, s.progress.Reason = status, reason
}

// evaluation evaluates and, unless the run has ended for another reason, draws the consequences: the
// method is told, the target checked, and patience counted.
func (s *session[T]) evaluation(ctx context.Context, consequences bool) error {
	p := &s.progress
	e, err := s.evaluate(ctx)
	if err != nil {
		return err
	}
	p.EvalDue = false
	p.EvalSeconds += exact(e.EvalSeconds)
	s.history = append(s.history, e)
	s.logEvaluation(e)
	if t := s.config.Target; t.Metric != "" {
		v := e.Metric(t.Metric)
		if math.IsNaN(v) && !math.IsNaN(e.Train.Loss) {
			return fmt.Errorf("target %s: the run has no such quantity\nhint: data for regression has rmse, data for classes accuracy; val_ needs a validation part (val: 0.1)", t.Metric)
		}
		if p.Target == nil && t.Reached(v) {
			p.Target = &Hit{Metric: t.Metric, Value: v, Step: p.Step, Epoch: int(p.Position.Epoch), Seconds: float64(p.Seconds)}
			if p.Status == "" || p.Status == Completed || p.Status == BudgetSpent {
				s.end(TargetReached, fmt.Sprintf("%s is %.6g, the target %g", t.Metric, v, t.Value))
			}
		}
	}
	s.emitEval(&s.history[len(s.history)-1])
	if !consequences {
		return nil
	}
	watched := e.Val.Loss
	if s.data.val == nil {
		watched = e.Train.Loss
	}
	if o, ok := s.method.(optim.Observer); ok {
		o.Observe(watched)
	}
	s.early(watched)
	s.saveIfDue(true)
	return nil
}

// early counts patience.
func (s *session[T]) early(loss float64) {
	c, st := s.config.EarlyStop, &s.progress.Early
	if loss < float64(st.Best)-c.MinDelta || math.IsInf(float64(st.Best), 1) && !math.IsNaN(loss) {
		st.Best, st.BestStep, st.Waited = exact(loss), s.progress.Step, 0
		if c.Restore {
			if s.best == nil {
				s.best = newKept(s, false)
			}
			_ = s.best.take(s, s.evalParams()) // fails only for a method's state, of which it has none
			s.progress.HasBest = true
		}
		return
	}
	st.Waited++
	if c.Patience > 0 && st.Waited >= c.Patience && s.progress.Status == "" {
		s.end(Completed, fmt.Sprintf("the watched loss has not improved for %d evaluations (best %.6g at step %d)", st.Waited, float64(st.Best), st.BestStep))
	}
}

// finiteParams reports whether all parameters and running statistics are finite numbers.
func (s *session[T]) finiteParams() bool {
	return simd.AllFinite(s.params) && simd.AllFinite(s.net.State())
}
