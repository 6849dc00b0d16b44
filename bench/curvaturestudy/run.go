package curvaturestudy

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/descent-ml/descent/bench/internal/study"
	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Setup is a method of the catalogue with settings.
type Setup struct {
	Method   string
	Settings optim.Settings
}

// String returns the setup as "kfac damping=1 lr=0.3".
func (s Setup) String() string {
	names := make([]string, 0, len(s.Settings))
	for name := range s.Settings {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString(s.Method)
	for _, name := range names {
		fmt.Fprintf(&b, " %s=%.4g", name, s.Settings[name])
	}
	return b.String()
}

// With returns the setup with further settings.
func (s Setup) With(more optim.Settings) Setup {
	settings := optim.Settings{}
	for _, m := range []optim.Settings{s.Settings, more} {
		for name, v := range m {
			settings[name] = v
		}
	}
	return Setup{s.Method, settings}
}

// Plan says how long to train and when to look.
type Plan struct {
	Seed  uint64
	Steps int
	Every int     // steps between evaluations
	Until float64 // stop at an evaluation with a training loss of at most that
	Reach float64 // stop at an evaluation with a test error of at most that,
	Least int     // but not before that many steps
}

// Point is one evaluation. The times are those of the steps alone.
type Point struct {
	Step int
	CPU  float64 // seconds of the process
	Wall float64 // seconds
	Loss float64 // on the sample of the training images, without the penalty
	Fit  float64 // their mean sum of squared errors
	Test float64 // mean sum of squared errors of the test images
}

// Curve is a run. A run that diverged ends where it did: at a loss that is not finite or above the initial one of the
// batch's at an evaluation, or at a step that had to be skipped.
type Curve struct {
	Points   []Point
	Diverged bool
}

// Last returns the last evaluation, with infinite errors if the run diverged.
func (c Curve) Last() Point {
	if c.Diverged || len(c.Points) == 0 {
		return Point{Loss: math.Inf(1), Fit: math.Inf(1), Test: math.Inf(1)}
	}
	return c.Points[len(c.Points)-1]
}

// At returns the evaluation after the given number of steps, with infinite errors if the run did not come so far.
func (c Curve) At(step int) Point {
	for _, p := range c.Points {
		if p.Step == step {
			return p
		}
	}
	return Point{Loss: math.Inf(1), Fit: math.Inf(1), Test: math.Inf(1)}
}

// First returns the first evaluation with at most the given test error.
func (c Curve) First(test float64) (Point, bool) {
	for _, p := range c.Points {
		if p.Test <= test {
			return p, true
		}
	}
	return Point{}, false
}

// FirstLoss returns the first evaluation with at most the given training loss.
func (c Curve) FirstLoss(loss float64) (Point, bool) {
	for _, p := range c.Points {
		if p.Loss <= loss {
			return p, true
		}
	}
	return Point{}, false
}

// Run trains p's network.
func (p *Problem) Run(s Setup, plan Plan) (Curve, error) {
	var c Curve
	m, err := nn.Build[float32](p.Model, nn.Options{Input: tensor.ShapeOf(p.Pixels), Outputs: p.Pixels, Activation: "tanh"})
	if err != nil {
		return c, err
	}
	pool := tensor.NewPool(runtime.GOMAXPROCS(0))
	defer pool.Close()
	net := objective.NewNetwork(m, nn.Bernoulli[float32](), pool)
	net.SetPenalty(p.Penalty)
	theta := make([]float32, m.Layout().Size())
	root := tensor.KeyOf(plan.Seed)
	nn.Initialize(m, root, theta, net.State())
	method, err := catalogue.New[float32](s.Method, optim.Env{Layout: m.Layout(), Pool: pool}, s.Settings)
	if err != nil {
		return c, err
	}
	f := objective.New[float32](net, m.Layout(), theta)
	n := p.Images()
	sampler := dataset.NewSampler(n, plan.Seed, true)
	x := tensor.New[float32](p.Batch, p.Pixels)
	progress := objective.Progress{Batch: p.Batch, Horizon: int64(plan.Steps * p.Batch), PerPass: int64(n)}
	var cpu, wall, first float64
	for step := 1; step <= plan.Steps; step++ {
		cpu0, wall0 := study.CPU(), time.Now()
		for i, j := range sampler.Next(p.Batch) {
			copy(x.Data()[i*p.Pixels:(i+1)*p.Pixels], p.Train[int(j)*p.Pixels:])
		}
		net.SetBatch(x, nn.Target[float32]{Values: x})
		net.SetKey(root.Fold(uint64(step)))
		f.SetProgress(progress)
		r, err := method.Step(context.Background(), f)
		if err != nil {
			return c, err
		}
		cpu += study.CPU() - cpu0
		wall += time.Since(wall0).Seconds()
		progress.Step++
		progress.Seen += int64(p.Batch)
		if step == 1 {
			first = r.Loss
		}
		if r.Skipped || math.IsNaN(r.Loss) || math.IsInf(r.Loss, 0) {
			c.Diverged = true
			return c, nil
		}
		if step%plan.Every != 0 {
			continue
		}
		point := p.judge(net, evaluated(method, theta))
		point.Step, point.CPU, point.Wall = step, cpu, wall
		if !(point.Loss <= first) { // also where it is not a number
			c.Diverged = true
			return c, nil
		}
		c.Points = append(c.Points, point)
		if point.Loss <= plan.Until || point.Test <= plan.Reach && step >= plan.Least {
			break
		}
	}
	return c, nil
}

// evaluated returns the parameters that a method wants to be judged by.
func evaluated(m optim.Method[float32], theta []float32) []float32 {
	if e, ok := m.(optim.Evaluated[float32]); ok {
		dst := make([]float32, len(theta))
		e.EvalParams(dst, theta)
		return dst
	}
	return theta
}

// judge evaluates a sample of the training images and the test images.
func (p *Problem) judge(net *objective.Network[float32], theta []float32) Point {
	var q Point
	q.Loss, q.Fit = p.errors(net, theta, p.Train[:min(p.Sample, p.Images())*p.Pixels])
	_, q.Test = p.errors(net, theta, p.Test)
	return q
}

// errors returns the mean loss and the mean sum of squared errors of images.
func (p *Problem) errors(net *objective.Network[float32], theta, images []float32) (loss, squares float64) {
	const most = 1000 // bounds the memory
	n := len(images) / p.Pixels
	ws := tensor.NewWorkspace[float32](nil)
	losses := make([]float64, most)
	for at := 0; at < n; at += most {
		x := p.rows(images, at, min(at+most, n))
		z := net.Predict(theta, x)
		each := losses[:x.Shape().Rows()]
		net.Loss().PerExample(z, nn.Target[float32]{Values: x}, each)
		for _, l := range each {
			loss += l
		}
		mark := ws.Mark()
		d := ws.New(z.Shape())
		tensor.Apply(ws, d, tensor.Sigmoid, z, 0)
		tensor.Sub(ws, d, d, x)
		squares += float64(tensor.Dot(ws, d, d))
		ws.Release(mark)
	}
	return loss / float64(n), squares / float64(n)
}
