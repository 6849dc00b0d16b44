package coord

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/asymptotics/verdict"
	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Config says what to train at which widths.
type Config[T tensor.Float] struct {
	// Model makes the network of a width.
	Model           func(width int) (nn.Model[T], error)
	Parametrization rates.Parametrization
	Method          string         // one that [rates.OptimizerOf] knows; "" is sgd
	Settings        optim.Settings // of the method, lr among them
	Loss            nn.Loss[T]
	X               tensor.Tensor[T] // [examples, input...]: the data, and the batch on which all is measured
	Y               nn.Target[T]

	Widths []int
	// Steps is the number of steps; where Time is set, it is Time·clock/Batch instead, with the clock of the γ-rule, N_L.
	Steps int
	Time  float64
	// Batch is the number of examples of a step, drawn independently with replacement; 0: all, in order.
	Batch int
	Seeds int   // networks a width; 0: 3
	At    []int // steps after which to measure; nil: 1 and the last. The last is always measured.
	Key   tensor.Key
	// Tolerance is the largest |slope| that counts as stable; 0: 0.1.
	Tolerance float64
	// Progress, if not nil, is told how many of the networks are done.
	Progress func(done, all int)
}

// Quantity is what a row is about.
type Quantity string

// The quantities; see the package text.
const (
	Output           Quantity = "output"
	OutputChange     Quantity = "output change"
	Activation       Quantity = "activation"
	ActivationChange Quantity = "activation change"
	WeightChange     Quantity = "weight change"
	OnlyThis         Quantity = "only this tensor"
)

// Row is one quantity of one layer or tensor at one step, over the widths.
type Row struct {
	Quantity Quantity  `json:"quantity"`
	Name     string    `json:"name"`
	Step     int       `json:"step"`     // of the smallest width, where they depend on the width; 0 is the start
	Values   []float64 `json:"values"`   // root mean squares, by width
	SEs      []float64 `json:"ses"`      // their standard errors over the seeds
	Slope    float64   `json:"slope"`    // of log value against log width
	SlopeSE  float64   `json:"slope_se"` // the larger of the scatter's and the seeds'
	Verdict  string    `json:"verdict"`  // stable, vanishing, exploding, undecided, diverged; "" where none applies
	// Known is why a verdict other than stable is as it should be; "" otherwise.
	Known string `json:"known,omitempty"`
}

// Report is the outcome of a check.
type Report struct {
	Parametrization string         `json:"parametrization"`
	Method          string         `json:"method"`
	Widths          []int          `json:"widths"`
	Steps           []int          `json:"steps"` // by width
	Seeds           int            `json:"seeds"`
	Rows            []Row          `json:"rows"`
	Frozen          []string       `json:"frozen,omitempty"` // tensors whose own contribution vanishes
	Lazy            bool           `json:"lazy"`             // all hidden activations' changes vanish
	Stable          bool           `json:"stable"`           // nothing but known exceptions moves with the width
	Label           verdict.Label  `json:"label"`
	Tables          []*rates.Table `json:"-"` // of the rates, by width; nil for models without a rule
	tolerance       float64
	clock           []float64
}

// measurement is what one network gave, by key.
type key struct {
	quantity Quantity
	name     string
	step     int // index into the steps measured, -1 for the start
}

// Check trains Seeds networks at every width and fits the slopes. Cost: the trainings, and at each measured step one evaluation for every
// tensor. The error says what of the settings is wrong, or that a model cannot be built; ctx ends it between steps.
func Check[T tensor.Float](ctx context.Context, pool *tensor.Pool, c Config[T]) (*Report, error) {
	if c.Method == "" {
		c.Method = "sgd"
	}
	if c.Seeds == 0 {
		c.Seeds = 3
	}
	if c.Tolerance == 0 {
		c.Tolerance = 0.1
	}
	if len(c.Widths) < 2 || c.Seeds < 1 || c.Steps < 1 && !(c.Time > 0) || c.Model == nil || c.Loss == nil || c.X.IsZero() {
		return nil, fmt.Errorf("coord: found %d widths, %d seeds, %d steps, time %g; expected a model, a loss, data, two widths or more and at least one step\nhint: widths 64, 256, 1024 and 5 steps", len(c.Widths), c.Seeds, c.Steps, c.Time)
	}
	r := &Report{Parametrization: c.Parametrization.String(), Method: c.Method, Widths: c.Widths, Seeds: c.Seeds, Label: verdict.Empirical, tolerance: c.Tolerance}
	samples := map[key][][]float64{} // by width, by seed
	var order []key
	done := 0
	for i, width := range c.Widths {
		for seed := range c.Seeds {
			err := c.network(ctx, pool, r, i, width, seed, func(k key, v float64) {
				if samples[k] == nil {
					samples[k] = make([][]float64, len(c.Widths))
					order = append(order, k)
				}
				samples[k][i] = append(samples[k][i], v)
			})
			if err != nil {
				return nil, fmt.Errorf("width %d: %w", width, err)
			}
			if done++; c.Progress != nil {
				c.Progress(done, len(c.Widths)*c.Seeds)
			}
		}
	}
	for _, k := range order {
		r.Rows = append(r.Rows, r.fit(k, samples[k], c.at(r.Steps[0])))
	}
	r.conclude()
	return r, nil
}

// at returns the steps to measure after, of n.
func (c Config[T]) at(n int) []int {
	list := c.At
	if list == nil || c.Time > 0 {
		list = []int{1}
	}
	var out []int
	for _, s := range list {
		if s > 0 && s < n {
			out = append(out, s)
		}
	}
	return append(out, n)
}

// network trains one network and gives its measurements to put.
func (c Config[T]) network(ctx context.Context, pool *tensor.Pool, r *Report, i, width, seed int, put func(key, float64)) error {
	m, err := c.Model(width)
	if err != nil {
		return err
	}
	plan, err := rates.PlanFor(c.Parametrization, m.Layout(), c.Method)
	if err != nil {
		return err
	}
	clock := 1.0
	if net, err := rates.NetOf(m.Layout()); err == nil {
		if h := net.Hidden(); h > 0 {
			clock = float64(net[h-1].Out)
		}
		if o, err := rates.OptimizerOf(c.Method); err == nil && seed == 0 {
			if t, err := c.Parametrization.Table(net, o, c.Settings["lr"]); err == nil {
				r.Tables = append(r.Tables, t)
			}
		}
	}
	batch := c.Batch
	if batch == 0 {
		batch = c.X.Shape().Dim(0)
	}
	steps := c.Steps
	if c.Time > 0 {
		steps = max(1, int(math.Round(c.Time*clock/float64(batch))))
	}
	if seed == 0 {
		r.Steps, r.clock = append(r.Steps, steps), append(r.clock, clock)
	}
	method, err := catalogue.New[T](c.Method, optim.Env{Layout: m.Layout(), Pool: pool, RateFactors: plan.Rate}, c.Settings)
	if err != nil {
		return err
	}
	k := c.Key.Fold(uint64(width)).Fold(uint64(seed))
	n := objective.NewNetwork(m, c.Loss, pool)
	params := make([]T, m.Layout().Size())
	nn.Initialize(m, k.Named("init"), params, n.State())
	rates.Rescale(plan, m.Layout(), params)
	start := append([]T{}, params...)
	p := newProbe(m, n, pool, c.X)
	p.start(start, put)
	obj := objective.New[T](n, m.Layout(), params)
	d := newDraw(c.X, c.Y, batch)
	at := c.at(steps)
	next := 0
	for s := range steps {
		x, y := c.X, c.Y
		if c.Batch > 0 {
			x, y = d.batch(k.Named("batch").Fold(uint64(s)))
		}
		n.SetBatch(x, y)
		n.SetKey(k.Fold(uint64(s)))
		obj.SetProgress(objective.Progress{Step: int64(s), Seen: int64(s * batch), Batch: batch})
		if _, err := method.Step(ctx, obj); err != nil {
			return err
		}
		if s+1 == at[next] {
			p.measure(next, start, params, put)
			next++
		}
	}
	return nil
}

// probe measures one network on the fixed batch.
type probe[T tensor.Float] struct {
	model  nn.Model[T]
	net    *objective.Network[T]
	x      tensor.Tensor[T]
	tape   *autodiff.Tape[T]
	pass   *nn.Pass[T]
	ws     *tensor.Workspace[T]
	output tensor.Tensor[T]   // at the start
	acts   []tensor.Tensor[T] // at the start
}

func newProbe[T tensor.Float](m nn.Model[T], n *objective.Network[T], pool *tensor.Pool, x tensor.Tensor[T]) *probe[T] {
	return &probe[T]{model: m, net: n, x: x, tape: autodiff.NewTape(tensor.NewWorkspace[T](pool)), pass: nn.NewPass(m), ws: tensor.NewWorkspace[T](pool)}
}

// forward evaluates the model without dropout; the affine layers are then in the pass.
func (p *probe[T]) forward(theta []T) tensor.Tensor[T] {
	p.tape.Reset()
	p.pass.Start(p.tape, theta, p.net.State(), nn.Evaluating, tensor.KeyOf(0))
	p.pass.RecordAffine()
	return p.model.Forward(p.pass, p.tape.Input(p.x)).Value()
}

func (p *probe[T]) start(theta []T, put func(key, float64)) {
	p.output = p.forward(theta).Clone()
	put(key{Output, "output", -1}, p.rms(p.output))
	for i, a := range p.pass.Affine() {
		y := a.Y.Value()
		if i < len(p.pass.Affine())-1 {
			put(key{Activation, a.Name, -1}, p.rms(y))
		}
		p.acts = append(p.acts, y.Clone())
	}
}

func (p *probe[T]) measure(step int, start, theta []T, put func(key, float64)) {
	z := p.forward(theta)
	put(key{Output, "output", step}, p.rms(z))
	put(key{OutputChange, "output", step}, p.distance(z, p.output))
	for i, a := range p.pass.Affine() {
		if y := a.Y.Value(); i < len(p.acts)-1 {
			put(key{Activation, a.Name, step}, p.rms(y))
			put(key{ActivationChange, a.Name, step}, p.distance(y, p.acts[i]))
		}
	}
	l := p.model.Layout()
	mixed := append([]T{}, start...)
	for i := range l.Len() {
		name := l.At(i).Name
		now, then := nn.View(l, theta, i), nn.View(l, start, i)
		put(key{WeightChange, name, step}, p.distance(now, then))
		tensor.Copy(p.ws, nn.View(l, mixed, i), now)
		put(key{OnlyThis, name, step}, p.distance(p.forward(mixed), p.output))
		tensor.Copy(p.ws, nn.View(l, mixed, i), then)
	}
}

// rms is the root mean square of the elements.
func (p *probe[T]) rms(a tensor.Tensor[T]) float64 {
	return tensor.Norm(p.ws, a) / math.Sqrt(float64(max(1, a.Size())))
}

func (p *probe[T]) distance(a, b tensor.Tensor[T]) float64 {
	mark := p.ws.Mark()
	defer p.ws.Release(mark)
	d := p.ws.New(a.Shape())
	tensor.Sub(p.ws, d, a, b)
	return p.rms(d)
}

// draw makes batches of examples drawn with replacement.
type draw[T tensor.Float] struct {
	x, bx tensor.Tensor[T]
	y, by nn.Target[T]
}

func newDraw[T tensor.Float](x tensor.Tensor[T], y nn.Target[T], batch int) *draw[T] {
	d := &draw[T]{x: x, y: y, bx: tensor.Of(make([]T, batch*x.Size()/x.Shape().Dim(0)), x.Shape().With(0, batch))}
	if y.Labels != nil {
		d.by.Labels = make([]int32, batch)
	}
	if !y.Values.IsZero() {
		s := y.Values.Shape()
		d.by.Values = tensor.Of(make([]T, batch*s.Size()/s.Dim(0)), s.With(0, batch))
	}
	return d
}

func (d *draw[T]) batch(k tensor.Key) (tensor.Tensor[T], nn.Target[T]) {
	n, b := d.x.Shape().Dim(0), d.bx.Shape().Dim(0)
	take := func(dst, src tensor.Tensor[T], to, from int) {
		per := src.Size() / n
		copy(dst.Data()[to*per:(to+1)*per], src.Data()[from*per:(from+1)*per])
	}
	for i := range b {
		at := k.IntN(uint64(i), n)
		take(d.bx, d.x, i, at)
		if d.y.Labels != nil {
			d.by.Labels[i] = d.y.Labels[at]
		}
		if !d.y.Values.IsZero() {
			take(d.by.Values, d.y.Values, i, at)
		}
	}
	return d.bx, d.by
}
