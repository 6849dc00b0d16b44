package train

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/objective/spectrum"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/train/runlog"
)

// ProbePoint is one measurement of the curvature. Values are named MATRIX_QUANTITY with MATRIX one of [ProbeMatrices] and the
// quantities
//
//	max, max_error            largest eigenvalue, and a distance within which one lies
//	min, min_error            smallest that the Krylov space resolves
//	trace, trace_error        estimate and its standard error
//	condition                 max over min, or over what rounding hides: a lower bound; absent where min is negative beyond rounding
//	spread                    max over the mean eigenvalue
//	dimension                 (tr A)²/tr A²; absent for preconditioned matrices
//
// of the Hessian and the generalised Gauss–Newton matrix of the training loss on the probe's batch, at the parameters that the
// method steps from. The preconditioned ones are those of M A with M what the method multiplies gradients by, and are absent for
// a method without such a matrix and before its first step. Values that are not finite are absent.
type ProbePoint struct {
	Step     int64              `json:"step"`
	Epoch    int                `json:"epoch"`
	Examples int64              `json:"examples"`
	Seconds  float64            `json:"seconds"`       // of training steps so far
	Cost     float64            `json:"probe_seconds"` // of this measurement
	Values   map[string]float64 `json:"values"`
}

// ProbeMatrices are the names of the matrices that a probe measures.
func ProbeMatrices() []string {
	return []string{"hessian", "ggn", "preconditioned_hessian", "preconditioned_ggn"}
}

// Value returns the named value; NaN if it is absent.
func (p *ProbePoint) Value(name string) float64 {
	if v, ok := p.Values[name]; ok {
		return v
	}
	return math.NaN()
}

// probeDue reports whether a probe is to be made before the next step. It is a function of what a checkpoint keeps, so that a
// resumed run makes the same probes.
func (s *session[T]) probeDue() bool {
	c, p := s.config.Probe, &s.progress
	if c.Kind == "" || p.Probed == p.Step+1 {
		return false
	}
	if p.Step == 0 {
		return true
	}
	epoch := p.Position.Epoch
	if p.Position.Offset != 0 || epoch == 0 {
		return false
	}
	if c.Every > 0 {
		return epoch%int64(c.Every) == 0
	}
	return epoch&(epoch-1) == 0
}

// probe measures the curvature at the present parameters. It has a network of its own with a copy of the running statistics, and
// changes nothing that training depends on. A measurement that fails is a warning; the error is that of the context.
func (s *session[T]) probe(ctx context.Context) error {
	start := time.Now()
	p := &s.progress
	values, err := s.curvature(ctx)
	s.obj.Moved() // the loader's buffers hold another batch
	p.ProbeSeconds += exact(time.Since(start).Seconds())
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.warn(fmt.Sprintf("the curvature at step %d could not be measured: %v", p.Step, err))
	}
	p.Probed = p.Step + 1
	if len(values) == 0 {
		return nil
	}
	point := ProbePoint{Step: p.Step, Epoch: int(p.Position.Epoch), Examples: p.Seen, Seconds: float64(p.Seconds),
		Cost: time.Since(start).Seconds(), Values: values}
	s.probes = append(s.probes, point)
	logged := map[string]float64{"probe_seconds": point.Cost}
	for k, v := range values {
		logged[k] = v
	}
	s.append(runlog.Record{Kind: "probe", Values: logged})
	s.emitProbe(&s.probes[len(s.probes)-1])
	return nil
}

// probeOf reads a probe from its record.
func probeOf(r runlog.Record) ProbePoint {
	p := ProbePoint{Step: r.Step, Epoch: r.Epoch, Examples: r.Examples, Seconds: r.Seconds, Values: map[string]float64{}}
	for k, v := range r.Values {
		if k == "probe_seconds" {
			p.Cost = v
		} else {
			p.Values[k] = v
		}
	}
	return p
}

// curvature measures all matrices that there are.
func (s *session[T]) curvature(ctx context.Context) (map[string]float64, error) {
	c := s.config.Probe
	n := s.data.train.Len()
	idx := make([]int32, min(c.Examples, n))
	for i := range idx {
		idx[i] = int32(i * n / len(idx))
	}
	b := s.data.train.Load(idx)
	net := objective.NewNetwork(s.model, s.loss, s.pool)
	copy(net.State(), s.net.State())
	net.SetBatch(b.X, nn.Target[T]{Labels: b.Labels, Values: b.Values})
	net.SetKey(s.key.Named("probe"))

	values := map[string]float64{}
	options := spectrum.Options{Steps: c.Steps, Samples: c.Samples, Key: s.key.Named("probe")}
	for _, m := range []struct {
		name string
		spectrum.Operator
	}{{"hessian", spectrum.Hessian(net, s.params)}, {"ggn", spectrum.GaussNewton(net, s.params)}} {
		a := m.Operator
		product := a.Apply
		a.Apply = func(dst, v []float64) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return product(dst, v)
		}
		if c.Damping > 0 {
			a = spectrum.Damped(a, c.Damping)
		}
		plain, err := spectrum.Measure(s.pool, a, options)
		if err != nil {
			return nil, err
		}
		note(values, m.name, plain)
		if a, ok := s.preconditioned(a); ok {
			after, err := spectrum.Measure(s.pool, a, options)
			if err != nil {
				return values, fmt.Errorf("preconditioned: %w", err)
			}
			note(values, "preconditioned_"+m.name, after)
		}
	}
	return values, nil
}

// preconditioned returns the operator that the method's gradient descent meets; false if it multiplies by no matrix, or not yet.
func (s *session[T]) preconditioned(a spectrum.Operator) (spectrum.Operator, bool) {
	m := optim.PreconditionsOf(s.method)
	if m == nil {
		return a, false
	}
	if x, ok := m.(interface {
		Change() optim.Preconditioner[T]
	}); ok {
		if p := x.Change(); p != nil {
			return spectrum.Between(a, spectrum.Change[T](p)), true
		}
		return a, false
	}
	_, horizon := s.horizon()
	progress := objective.Progress{Step: s.progress.Step, Seen: s.progress.Seen, Batch: min(s.config.Batch, s.data.train.Len()),
		Horizon: horizon, PerPass: int64(s.data.train.Len())}
	if !m.ApplyPreconditioner(make([]T, a.Size), progress) {
		return a, false
	}
	return spectrum.InMetric(a, func(v []T) { m.ApplyPreconditioner(v, progress) }), true
}

// note puts a spectrum under its names.
func note(values map[string]float64, name string, s spectrum.Spectrum) {
	for _, v := range []struct {
		quantity string
		value    float64
	}{{"max", s.Max.Value}, {"max_error", s.Max.Error}, {"min", s.Min.Value}, {"min_error", s.Min.Error}, {"trace", s.Trace.Value},
		{"trace_error", s.Trace.Error}, {"condition", s.Condition}, {"spread", s.Spread}, {"dimension", s.Dimension}} {
		if !math.IsNaN(v.value) && !math.IsInf(v.value, 0) {
			values[name+"_"+v.quantity] = v.value
		}
	}
}
