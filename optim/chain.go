package optim

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim/schedule"
	"github.com/descent-ml/descent/tensor"
)

// Link is one transformation of the update vector in a [Chain]. It implements [Elementwise], [Global]
// or both.
type Link[T tensor.Float] interface {
	// Name is the prefix of the link's state in a checkpoint.
	Name() string
	// State returns references to everything that the link keeps from step to step.
	State() State[T]
}

// Elementwise is a link whose result for one element depends on nothing but that element of the
// update, the parameters and its own state. A chain runs neighbouring elementwise links together,
// block by block, so that a chain of five costs about one walk through memory.
type Elementwise[T tensor.Float] interface {
	Link[T]
	// Begin computes the step's constants. The update vector must not be touched.
	Begin(s *Stage[T])
	// Apply transforms b.U. It is called for all blocks, at the same time from several goroutines.
	Apply(b *Block[T])
}

// Global is a link that looks at the whole update vector. Where the link is also Elementwise,
// Transform comes first.
type Global[T tensor.Float] interface {
	Link[T]
	// Transform may read s.Update and change it, and may ask s.Objective for more.
	Transform(ctx context.Context, s *Stage[T]) (Verdict, error)
}

// Verdict says how a chain goes on after a global link.
type Verdict uint8

const (
	Continue Verdict = iota
	Hold             // no update in this step: the gradient was put aside
	Skip             // no update: a number is not finite
)

// tuned is a link with hyper-parameters that may have schedules.
type tuned interface{ Hypers() []*Hyper }

// finisher is an elementwise link that sums something over the blocks (see [Block.Index]) and takes
// the result up once all are done.
type finisher[T tensor.Float] interface{ finish(s *Stage[T]) }

// Tapper is a link that reads what the affine layers of a network saw while the batch's gradient was
// computed (see [objective.Tap]). A chain with such a link needs a function with taps: its Step returns
// an error for any other.
type Tapper[T tensor.Float] interface {
	Link[T]
	// BeginTaps comes before the gradient of each batch: what an earlier one left is forgotten.
	BeginTaps()
	// Tap is called for each affine layer. The state must not change: the batch may turn out to
	// have no finite gradient, and then it does not count.
	Tap(t objective.Tap[T])
	// KeepTaps says that the batch counts, before it goes through the links.
	KeepTaps()
}

// Chain is a first-order method: the gradient goes through the links one after the other and what
// comes out is applied by the last of them, [Descend] for most. The package text tells how to write
// one.
type Chain[T tensor.Float] struct {
	links   []Link[T] // as given: they own the state
	groups  []group[T]
	hypers  []*Hyper
	stage   *Stage[T]
	updates int64 // done so far
	bad     int64 // steps skipped one after the other
	limit   int64 // of bad; 0: none

	tappers []Tapper[T]
	tap     func(objective.Tap[T])

	current []Elementwise[T] // group in progress
	run     func(worker, part int)
}

// group is a global link, or none, followed by elementwise links that run together.
type group[T tensor.Float] struct {
	global Global[T]
	each   []Elementwise[T]
}

// NewChain returns the chain of links for env. It panics if a link is neither elementwise nor global.
//
// At the end of a chain, [ScaleByAdam] (without the maximum) and [Momentum], followed by an optional
// [Decay] and [Descend], are replaced by one fused loop over parameters, gradient and moments. In
// exact arithmetic it is the same; its rounding differs in the last bits.
func NewChain[T tensor.Float](env Env, links ...Link[T]) *Chain[T] {
	return newChain(env, true, links...)
}

func newChain[T tensor.Float](env Env, fused bool, links ...Link[T]) *Chain[T] {
	c := &Chain[T]{links: links, stage: newStage[T](env.Layout, env.Pool)}
	seen := map[*Hyper]bool{}
	for _, l := range links {
		if t, ok := l.(Tapper[T]); ok {
			c.tappers = append(c.tappers, t)
		}
		if t, ok := l.(tuned); ok {
			for _, h := range t.Hypers() {
				if !seen[h] {
					seen[h] = true
					c.hypers = append(c.hypers, h)
				}
			}
		}
	}
	setFactors(env, links)
	run := links
	if fused {
		run = fuse(links)
	}
	for _, l := range run {
		g, global := l.(Global[T])
		e, each := l.(Elementwise[T])
		if !global && !each {
			panic(fmt.Sprintf("optim: link %T is neither Elementwise nor Global", l))
		}
		if global || len(c.groups) == 0 {
			c.groups = append(c.groups, group[T]{global: g})
		}
		if each {
			last := &c.groups[len(c.groups)-1]
			last.each = append(last.each, e)
		}
	}
	c.run = c.runBlock
	c.tap = func(t objective.Tap[T]) {
		for _, l := range c.tappers {
			l.Tap(t)
		}
	}
	return c
}

// setFactors gives the rate factors of env to the Descend that ends links, and their reciprocals to a decay
// between it and a link with moments: decay after the scaling is decoupled from the rate of the scaled update.
func setFactors[T tensor.Float](env Env, links []Link[T]) {
	n := len(links)
	if env.RateFactors == nil || n == 0 {
		return
	}
	if len(env.RateFactors) != env.Layout.Len() {
		panic(tensor.ShapeError{Op: "optim: rate factors", A: tensor.ShapeOf(env.Layout.Len()), B: tensor.ShapeOf(len(env.RateFactors))})
	}
	descend, ok := links[n-1].(*Descend[T])
	if !ok {
		return
	}
	factors := make([]T, len(env.RateFactors))
	for i, f := range env.RateFactors {
		factors[i] = T(f)
	}
	descend.factors = factors
	if n < 3 {
		return
	}
	_, gathers := links[n-3].(*Accumulate[T])
	if d, ok := links[n-2].(*Decay[T]); ok && !gathers && len(links[n-3].State()) > 0 {
		d.undo = factors
	}
}

// LimitSkips makes Step return a [NonFiniteError] after n steps skipped one after the other; 0, the
// initial value, sets no limit and leaves the decision to the training loop.
func (c *Chain[T]) LimitSkips(n int) *Chain[T] {
	c.limit = int64(n)
	return c
}

// NonFiniteError says that too many steps one after the other met a loss or gradient that is not a
// finite number.
type NonFiniteError struct {
	Steps int     // skipped one after the other
	Loss  float64 // of the last
	Norm  float64 // of its gradient
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("optim: %d steps one after the other met a non-finite loss (%g) or gradient (norm %g)\n"+
		"hint: lower the learning rate, clip the gradient (clip-norm) or look at the data", e.Steps, e.Loss, e.Norm)
}

// Step makes one update of f's parameters. See [Method].
func (c *Chain[T]) Step(ctx context.Context, f *objective.Objective[T]) (Report, error) {
	p := f.Progress()
	for _, h := range c.hypers {
		if p.Horizon <= 0 && h.Schedule != nil && h.Schedule.NeedsHorizon() {
			return Report{}, fmt.Errorf("optim: schedule %s of %s needs the length of the training, which is not known\n"+
				"hint: set a number of epochs, or use a schedule without one (constant, plateau)", h.Schedule, h.Name)
		}
	}
	loss, g, err := c.gradient(ctx, f)
	if err != nil {
		return Report{}, err
	}
	s := c.stage
	s.Objective, s.Params, s.Update, s.Progress = f, f.Params(), g, p
	s.T, s.Loss, s.known = c.updates+1, loss, false
	s.rate, s.rated, s.extra = 0, false, s.extra[:0]

	report := Report{Loss: loss, GradNorm: s.Norm()}
	if !finite(loss) || !finite(report.GradNorm) {
		return c.skip(report)
	}
	for _, l := range c.tappers {
		l.KeepTaps()
	}
	verdict, err := c.apply(ctx)
	f.Moved() // the gradient's buffer at least has changed
	if err != nil {
		return report, err
	}
	switch verdict {
	case Skip:
		return c.skip(report)
	case Hold:
		report.Held = true
	default:
		c.updates++
		for _, h := range c.hypers {
			if h.Schedule != nil && h.Name != "lr" {
				s.Log(h.Name, h.At(s.Progress))
			}
		}
	}
	c.bad = 0
	report.StepSize, report.Extra = s.rate, s.extra
	return report, nil
}

// gradient evaluates the batch, with taps if a link wants them.
func (c *Chain[T]) gradient(ctx context.Context, f *objective.Objective[T]) (float64, []T, error) {
	if len(c.tappers) == 0 {
		return f.Gradient(ctx)
	}
	for _, l := range c.tappers {
		l.BeginTaps()
	}
	loss, g, err := f.GradientTapped(ctx, c.tap)
	if errors.Is(err, objective.ErrUnsupported) {
		err = fmt.Errorf("optim: %s needs the inputs of the layers of a network: %w\n"+
			"hint: use it on a network (objective.Network), or use the inner method alone", c.tappers[0].Name(), err)
	}
	return loss, g, err
}

// apply takes the update vector through the groups.
func (c *Chain[T]) apply(ctx context.Context) (Verdict, error) {
	s := c.stage
	for i := range c.groups {
		g := &c.groups[i]
		if g.global != nil {
			if v, err := g.global.Transform(ctx, s); v != Continue || err != nil {
				return v, err
			}
		}
		if len(g.each) == 0 {
			continue
		}
		for _, l := range g.each {
			l.Begin(s)
		}
		c.current = g.each
		s.pool.Do(len(s.spans), c.run)
		s.known = false
		for _, l := range g.each {
			if f, ok := l.(finisher[T]); ok {
				f.finish(s)
			}
		}
	}
	return Continue, nil
}

func (c *Chain[T]) runBlock(worker, part int) {
	b := c.stage.at(worker, part)
	for _, l := range c.current {
		l.Apply(b)
	}
}

func (c *Chain[T]) skip(r Report) (Report, error) {
	r.Skipped = true
	c.bad++
	if c.limit > 0 && c.bad >= c.limit {
		return r, &NonFiniteError{Steps: int(c.bad), Loss: r.Loss, Norm: r.GradNorm}
	}
	return r, nil
}

// Updates returns the number of updates done.
func (c *Chain[T]) Updates() int64 { return c.updates }

// State returns the counters, the state of stateful schedules and that of every link, with the
// link's name before it.
func (c *Chain[T]) State() State[T] {
	out := State[T]{{Name: "updates", Int: &c.updates}, {Name: "skipped", Int: &c.bad}}
	for _, h := range c.hypers {
		if p := schedule.Find(h.Schedule); p != nil {
			for _, v := range p.Vars() {
				out = append(out, StateEntry[T]{Name: "schedule." + h.Name + "." + v.Name, Float: v.Float, Int: v.Int})
			}
		}
	}
	count := map[string]int{}
	for _, l := range c.links {
		prefix := l.Name()
		if count[l.Name()]++; count[l.Name()] > 1 {
			prefix = fmt.Sprintf("%s#%d", prefix, count[l.Name()])
		}
		out = append(out, l.State().prefixed(prefix+".")...)
	}
	return out
}

// Observe tells the loss of an evaluation to the schedules that want it.
func (c *Chain[T]) Observe(loss float64) {
	for _, h := range c.hypers {
		if p := schedule.Find(h.Schedule); p != nil {
			p.Observe(loss)
		}
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
