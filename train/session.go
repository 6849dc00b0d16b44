package train

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train/checkpoint"
	"github.com/descent-ml/descent/train/runlog"
)

// session is a run in progress: everything that the loop works on. What a checkpoint keeps of it is
// named in state.go.
type session[T tensor.Float] struct {
	config   Config
	settings optim.Settings // complete, as asked for: the guard's rate factor is in progress
	options  Options
	files    vfs.FS

	data   source[T]
	model  nn.Model[T]
	loss   nn.Loss[T]
	net    *objective.Network[T]
	obj    *objective.Objective[T]
	pool   *tensor.Pool
	method optim.Method[T]
	plan   rates.Plan
	all    []int32 // the indices of all training examples, for a method that wants no other batch; else nil
	key    tensor.Key

	sampler *dataset.Sampler
	params  []T
	eval    []T      // evaluation parameters of a method that has others, else nil
	good    *kept[T] // last good point, under the rewind policy
	trial   *kept[T] // the one that may become it
	best    *kept[T] // parameters of the best evaluation, if they are to be restored
	stats   []T      // running statistics before the step in progress

	progress progress
	base     counts // of the parts of the run before this one
	history  []Evaluation
	probes   []ProbePoint
	losses   curve
	extra    []Extra

	started   time.Time
	cpuStart  float64
	firstStep int64    // of this part of the run
	run       *RunInfo // of a resumed run
	store     *checkpoint.Store
	log       *runlog.Writer
	saves     saves
	last      optim.Report
	shown     time.Time // of the last Step event
}

// source is the data of a run.
type source[T tensor.Float] struct {
	name             string
	task             dataset.Task
	input            tensor.Shape
	outputs          int
	normalizer       dataset.Normalizer
	train, val, test part[T]      // val and test may be nil
	set              *dataset.Set // nil for data in memory
	digest, split    string
}

// inMemory is the name of data that the program had in memory.
const inMemory = "(memory)"

// part is a part of the data, from which batches are loaded. A batch is valid until the next call.
type part[T tensor.Float] interface {
	Len() int
	Load(idx []int32) dataset.Batch[T]
	Range(lo, hi int) dataset.Batch[T]
}

// setPart is a part of a data set.
type setPart[T tensor.Float] struct {
	dataset.Examples
	*dataset.Loader[T]
}

func partOf[T tensor.Float](e dataset.Examples) part[T] {
	if e.Len() == 0 {
		return nil
	}
	return setPart[T]{e, dataset.NewLoader[T](e)}
}

// openSource opens the data set of the configuration. The validation part is cut off only where
// something looks at it, so that otherwise all training data trains.
func openSource[T tensor.Float](c Config) (source[T], error) {
	val := c.Val
	if val == 0 {
		val = -1
		if c.EarlyStop.Patience > 0 || strings.HasPrefix(c.Target.Metric, "val_") || strings.Contains(c.Schedule, "plateau") {
			val = 0 // the data set's default
		}
	}
	set, err := dataset.Open(c.Data, c.DataOptions(val))
	if err != nil {
		return source[T]{}, err
	}
	info, err := nn.Describe(c.Model)
	if err != nil {
		return source[T]{}, err
	}
	if info.Reconstructs {
		set = set.AsReconstruction()
	}
	s := setSource[T](set)
	s.name = c.Data
	return s, nil
}

// DataOptions says how the data set of the configuration is opened, with the part val of it for validation.
func (c Config) DataOptions(val float64) dataset.Options {
	return dataset.Options{Dir: c.DataDir, Seed: c.DataSeed, Val: val, Label: c.Label, Hops: c.Hops, Operator: c.Operator}
}

func setSource[T tensor.Float](set *dataset.Set) source[T] {
	return source[T]{
		name: set.Name, task: set.Task, input: set.Input, outputs: set.Outputs, normalizer: set.Normalizer,
		train: partOf[T](set.Train), val: partOf[T](set.Val), test: partOf[T](set.Test), set: set, split: set.Split,
	}
}

// newSession builds model, objective and method for the data, with initial parameters.
func newSession[T tensor.Float](c Config, o Options, data source[T]) (*session[T], error) {
	s := &session[T]{config: c, options: o, files: o.files, data: data, started: time.Now(), cpuStart: cpuSeconds()}
	if s.files == nil {
		s.files, s.options.patience = vfs.OS{}, 100*time.Millisecond
	}
	s.key = tensor.KeyOf(c.Seed)
	s.pool = tensor.NewPool(c.Workers)
	var err error
	s.model, err = nn.Build[T](c.Model, nn.Options{Input: data.input, Outputs: data.outputs, Activation: c.Activation, Init: c.Init})
	if err != nil {
		return nil, err
	}
	if s.loss, err = lossFor[T](c, data.task); err != nil {
		return nil, err
	}
	spec, err := catalogue.Lookup[T](c.Method)
	if err != nil {
		return nil, err
	}
	if s.settings, err = spec.Complete(optim.Settings(c.Settings)); err != nil {
		return nil, err
	}
	s.progress = newProgress()
	s.progress.Seed = c.Seed
	if spec.Needs&optim.AllExamples != 0 {
		s.all = make([]int32, data.train.Len())
		for i := range s.all {
			s.all[i] = int32(i)
		}
		s.config.Batch = len(s.all)
	}
	if s.plan, err = planFor(c, s.model.Layout()); err != nil {
		return nil, err
	}
	if s.method, err = s.newMethod(); err != nil {
		return nil, err
	}
	s.net = objective.NewNetwork(s.model, s.loss, s.pool)
	s.params = make([]T, s.model.Layout().Size())
	nn.Initialize(s.model, s.key.Named("init"), s.params, s.net.State())
	rates.Rescale(s.plan, s.model.Layout(), s.params)
	s.obj = objective.New[T](s.net, s.model.Layout(), s.params)
	s.stats = make([]T, len(s.net.State()))
	if _, ok := s.method.(optim.Evaluated[T]); ok {
		s.eval = make([]T, len(s.params))
	}
	s.sampler = dataset.NewSampler(data.train.Len(), c.Seed, false)
	return s, nil
}

// planFor returns the factors of the configuration's parametrization; the standard one has none.
func planFor(c Config, layout *nn.Layout) (rates.Plan, error) {
	p, err := rates.Parse(c.Parametrization)
	if err != nil || p.IsStandard() {
		return rates.Plan{}, err
	}
	return rates.PlanFor(p, layout, c.Method)
}

// newMethod makes the method with the learning rate that the guard has left.
func (s *session[T]) newMethod() (optim.Method[T], error) {
	settings := optim.Settings{}
	for k, v := range s.settings {
		settings[k] = v
	}
	if _, ok := settings["lr"]; ok {
		settings["lr"] *= float64(s.progress.Guard.Rate)
	}
	chain, why := nn.Chain(s.model)
	env := optim.Env{Layout: s.model.Layout(), Pool: s.pool, RateFactors: s.plan.Rate,
		Network: &optim.Network{Chain: chain, ChainError: why, Loss: s.loss.Name(), Examples: s.data.train.Len()}}
	if s.config.Schedule != "" {
		env.Schedules = map[string]string{"lr": s.config.Schedule}
	}
	return catalogue.New[T](s.config.Method, env, settings)
}

// lossFor returns the loss of the configuration, or the one that fits the model and the task.
func lossFor[T tensor.Float](c Config, task dataset.Task) (nn.Loss[T], error) {
	name := c.Loss
	if name == "" {
		info, err := nn.Describe(c.Model)
		if err != nil {
			return nil, err
		}
		switch {
		case info.Loss != "":
			name = info.Loss
		case task == dataset.Classification:
			name = "cross-entropy"
		case task == dataset.Reconstruction:
			name = "bernoulli"
		default:
			name = "squared"
		}
	}
	loss, err := nn.LossByName[T](name)
	if err != nil {
		return nil, err
	}
	if loss.UsesLabels() != (task == dataset.Classification) {
		want := map[bool]string{true: "cross-entropy", false: "squared"}[task == dataset.Classification]
		return nil, fmt.Errorf("loss %s does not fit data for %s\nhint: leave it out, or take %s", name, task, want)
	}
	return loss, nil
}

// evalParams returns the parameters to evaluate and to keep.
func (s *session[T]) evalParams() []T {
	m, ok := s.method.(optim.Evaluated[T])
	if !ok {
		return s.params
	}
	m.EvalParams(s.eval, s.params)
	return s.eval
}

// horizon returns the steps and examples that are planned; 0, 0 if only time limits the run.
func (s *session[T]) horizon() (steps, examples int64) {
	n := int64(s.data.train.Len())
	batch := int64(min(s.config.Batch, int(n)))
	perEpoch := (n + batch - 1) / batch
	if e := int64(s.config.Epochs); e > 0 {
		steps, examples = e*perEpoch, e*n
	}
	if k := s.config.Steps; k > 0 && (steps == 0 || k < steps) {
		steps, examples = k, k/perEpoch*n+k%perEpoch*batch
	}
	return steps, examples
}

// result describes the run as it stands.
func (s *session[T]) result() *Result {
	p := &s.progress
	r := &Result{
		Method: s.config.Method, Settings: s.settings, Schedule: s.config.Schedule, Data: s.config.Data, Model: s.model.Name(), Loss: s.loss.Name(),
		Parameters: len(s.params), Batch: s.config.Batch, Seed: s.config.Seed, DType: s.config.DType,
		Epochs: int(p.Position.Epoch), Steps: p.Step, Examples: p.Seen,
		Train: noQuality(), Val: noQuality(), Test: noQuality(),
		WallSeconds:  float64(p.Wall) + time.Since(s.started).Seconds(),
		CPUSeconds:   float64(p.CPU) + cpuSeconds() - s.cpuStart,
		TrainSeconds: float64(p.Seconds), EvalSeconds: float64(p.EvalSeconds), ProbeSeconds: float64(p.ProbeSeconds),
		PeakMemoryBytes: max(p.Peak, peakMemory()), SkippedSteps: p.Skipped,
		Status: p.Status, Reason: p.Reason, Target: p.Target,
		ParamsSHA256: paramsDigest(s.params), Run: s.options.Out, Version: s.version(), Extra: s.extra,
		Probes: s.probes, History: s.history, Losses: s.losses.points,
	}
	if p.Seconds > 0 {
		r.StepsPerSecond = float64(p.Step) / float64(p.Seconds)
	}
	c := s.counts()
	r.Gradients, r.Values, r.Products = c.Gradients, c.Values, c.Products
	if n := len(s.history); n > 0 {
		last := s.history[n-1]
		if p.Restored {
			for _, e := range s.history {
				if e.Step == p.Early.BestStep {
					last = e
				}
			}
		}
		r.Train, r.Val, r.Test = last.Train, last.Val, last.Test
	}
	return r
}

func (s *session[T]) counts() counts {
	c := s.obj.Counts()
	return counts{s.base.Values + c.Values, s.base.Gradients + c.Gradients, s.base.Products + c.Products}
}

func noQuality() Quality {
	nan := math.NaN()
	return Quality{Loss: nan, Accuracy: nan, RMSE: nan, Calibration: nan}
}
