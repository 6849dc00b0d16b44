package train

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
)

// guard looks at what a step did and acts on a bad one by the policy of the configuration.
//
// A step is bad if its loss or gradient was not finite (the method then left the parameters as they
// were), if its loss exceeds Explode times max(1, loss of the first step), or if it left parameters that
// are not finite. Running statistics are put back to what they were before a bad step.
func (s *session[T]) guard(rep optim.Report, batch []int32) error {
	p, c := &s.progress, s.config.Guard
	if math.IsNaN(float64(p.Guard.First)) && finiteNumber(rep.Loss) {
		p.Guard.First = exact(rep.Loss)
	}
	why := ""
	switch {
	case rep.Skipped || !finiteNumber(rep.Loss):
		why = fmt.Sprintf("the loss (%g) or the gradient (norm %g) is not finite", rep.Loss, rep.GradNorm)
	case rep.Loss > c.Explode*max(1, float64(p.Guard.First)):
		why = fmt.Sprintf("the loss %g is over %g times that of the first step, %g", rep.Loss, c.Explode, float64(p.Guard.First))
	case (p.Step%checkEvery == 0 || c.Policy == "rewind" && p.Step%c.Every == 0) && !s.finiteParams():
		why = "the update left parameters that are not finite"
	}
	if why == "" {
		p.Guard.InARow = 0
		return s.keepGood()
	}
	p.HasTrial = false // the loss there, or the step from there, was bad
	copy(s.net.State(), s.stats)
	p.Guard.InARow++
	p.Skipped++
	s.warn(fmt.Sprintf("step %d: %s", p.Step, why))
	if c.Policy == "stop" || p.Guard.InARow >= int64(c.Limit) || c.Policy != "rewind" && !s.finiteParams() {
		s.diverge(rep, batch, why)
		return nil
	}
	switch c.Policy {
	case "shrink":
		return s.shrink()
	case "rewind":
		if !p.HasGood {
			s.diverge(rep, batch, why+", before there was a good point to go back to")
			return nil
		}
		copy(s.params, s.good.params)
		copy(s.net.State(), s.good.stats)
		if err := s.method.State().CopyFrom(s.good.method); err != nil {
			return err
		}
		s.obj.Moved()
		return s.shrink()
	}
	return nil
}

// keepGood keeps points to go back to, under the rewind policy: the initial one, and the one after every
// so many steps. A point is on trial until a step from there has shown that its loss is good; only
// then does it replace the last good one. It is called after a good step; see also [session.loop].
func (s *session[T]) keepGood() error {
	p, c := &s.progress, s.config.Guard
	if c.Policy != "rewind" {
		return nil
	}
	if p.HasTrial {
		s.good, s.trial = s.trial, s.good
		p.HasGood, p.HasTrial = true, false
	}
	if p.Step%c.Every != 0 {
		return nil
	}
	return s.tryPoint()
}

// tryPoint puts the present state on trial.
func (s *session[T]) tryPoint() error {
	if s.trial == nil {
		s.trial = newKept(s, true)
	}
	s.progress.HasTrial = true
	return s.trial.take(s, s.params)
}

// shrink makes the method anew with a smaller learning rate and the same state.
func (s *session[T]) shrink() error {
	old, rate := s.method, s.progress.Guard.Rate
	s.progress.Guard.Rate *= exact(s.config.Guard.Factor)
	m, err := s.newMethod()
	if err != nil {
		s.progress.Guard.Rate = rate
		s.warn("the learning rate cannot shrink further: " + err.Error())
		return nil
	}
	if err := m.State().CopyFrom(old.State()); err != nil {
		return err
	}
	s.method = m
	return nil
}

// divergence is the contents of divergence.json.
type divergence struct {
	Reason   string       `json:"reason"`
	Step     int64        `json:"step"`
	Epoch    int64        `json:"epoch"`
	Loss     string       `json:"loss"`
	GradNorm string       `json:"gradient_norm"`
	Rate     string       `json:"rate"`
	Batch    []int32      `json:"batch"`  // indices of the examples in the training part
	Layers   []layerStats `json:"layers"` // parameters after the step, in the layout's order
}

type layerStats struct {
	Name      string `json:"name"`
	Elements  int    `json:"elements"`
	NonFinite int    `json:"non_finite"`
	MaxAbs    string `json:"max_abs"` // of the finite ones
	RMS       string `json:"rms"`
}

// diverge ends the run and writes the crash report.
func (s *session[T]) diverge(rep optim.Report, batch []int32, why string) {
	s.end(Diverged, why)
	if s.options.Out == "" {
		return
	}
	p := &s.progress
	d := divergence{
		Reason: why, Step: p.Step, Epoch: p.Position.Epoch, Loss: fmt.Sprint(rep.Loss), GradNorm: fmt.Sprint(rep.GradNorm), Rate: fmt.Sprint(rep.StepSize),
		Batch: slices.Clone(batch),
	}
	layout := s.model.Layout()
	for i := range layout.Len() {
		st := layerStats{Name: layout.At(i).Name}
		most, squares, finite := 0.0, 0.0, 0
		for _, v := range nn.View(layout, s.params, i).Data() {
			x := float64(v)
			st.Elements++
			if !finiteNumber(x) {
				st.NonFinite++
				continue
			}
			most, squares, finite = max(most, math.Abs(x)), squares+x*x, finite+1
		}
		st.MaxAbs, st.RMS = fmt.Sprint(most), fmt.Sprint(math.Sqrt(squares/float64(max(1, finite))))
		d.Layers = append(d.Layers, st)
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err == nil {
		err = vfs.WriteFile(s.files, filepath.Join(s.options.Out, "divergence.json"), append(b, '\n'))
	}
	if err != nil {
		s.warn("divergence.json could not be written: " + err.Error())
	}
}

func finiteNumber(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
