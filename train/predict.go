package train

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train/checkpoint"
)

// Model is a trained model, for evaluation and prediction. It is not safe for concurrent use; it is
// parallel inside.
type Model struct {
	Config   Config
	Data     DataInfo
	Step     int64                // training steps done
	Problems []checkpoint.Problem // damaged checkpoints that were passed over
	Result   *Result              // of the run, if it is known

	engine interface {
		predict(ctx context.Context, e dataset.Examples) ([]Prediction, error)
		predictRows(ctx context.Context, rows []float64) ([]Prediction, error)
		evaluate(ctx context.Context, c Config) (*Evaluation, error)
		close()
	}
}

// Close ends the model's threads; it is not needed for a model that lives as long as the program. A
// closed model still works, on the caller's thread.
func (m *Model) Close() { m.engine.close() }

// Load reads the newest valid checkpoint of the run in folder dir. A run that is being written may be
// loaded; nothing is changed.
func Load(dir string) (*Model, error) {
	info, err := ReadRun(dir)
	if err != nil {
		return nil, err
	}
	store := &checkpoint.Store{FS: vfs.OS{}, Dir: dir}
	c, problems, err := store.Open()
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: the run has not saved anything yet, or its files are damaged", err)
	}
	defer c.Close()
	m := &Model{Config: info.Config, Data: info.Data, Step: c.Step, Problems: problems}
	if m.Result, err = ReadResult(dir); err != nil {
		m.Result = nil // of a run that goes on, or was killed
	}
	if info.Config.DType == "float64" {
		m.engine, err = loadEngine[float64](info, c)
	} else {
		m.engine, err = loadEngine[float32](info, c)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, c.Name), err)
	}
	return m, nil
}

// engine is a model with its parameters, of one element type.
type engine[T tensor.Float] struct {
	info   DataInfo
	task   dataset.Task
	model  nn.Model[T]
	loss   nn.Loss[T]
	net    *objective.Network[T]
	pool   *tensor.Pool
	params []T
}

func (e *engine[T]) close() { e.pool.Close() }

func loadEngine[T tensor.Float](info *RunInfo, c *checkpoint.Checkpoint) (*engine[T], error) {
	cfg := info.Config
	e := &engine[T]{info: info.Data, pool: tensor.NewPool(cfg.Workers)}
	var err error
	if e.task, err = dataset.TaskByName(info.Data.Task); err != nil {
		return nil, err
	}
	o := nn.Options{Input: tensor.ShapeOf(info.Data.Normalizer.Input...), Outputs: info.Data.Outputs, Activation: cfg.Activation, Init: cfg.Init}
	if e.model, err = nn.Build[T](cfg.Model, o); err != nil {
		return nil, err
	}
	if e.loss, err = lossFor[T](cfg, e.task); err != nil {
		return nil, err
	}
	e.net = objective.NewNetwork(e.model, e.loss, e.pool)
	e.params = make([]T, e.model.Layout().Size())
	return e, checkpoint.Fill(c.Model, append(views(e.model.Layout(), e.params), views(e.model.StateLayout(), e.net.State())...))
}

// Prediction is a model's answer for one row.
type Prediction struct {
	Class   int       // most probable class; -1 if the model does not classify
	Label   string    // its name
	Outputs []float64 // class probabilities, or the predicted numbers in the units of the data
}

const predictBatch = 256

// PredictFile returns predictions for the rows of a .csv, .tsv, .npy, .npz or IDX file, in order. See
// [dataset.ReadExamples].
func (m *Model) PredictFile(ctx context.Context, path string) ([]Prediction, error) {
	e, err := dataset.ReadExamples(path, *m.Data.Normalizer)
	if err != nil {
		return nil, err
	}
	return m.engine.predict(ctx, e)
}

// Predict returns predictions for rows of raw features, in the units of the training data, one row
// after the other. The length of x must be a multiple of the number of features.
func (m *Model) Predict(ctx context.Context, x []float64) ([]Prediction, error) {
	return m.engine.predictRows(ctx, x)
}

func (e *engine[T]) predict(ctx context.Context, x dataset.Examples) ([]Prediction, error) {
	p := partOf[T](x)
	if p == nil {
		return nil, nil
	}
	var out []Prediction
	for lo := 0; lo < p.Len(); lo += predictBatch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out = append(out, e.answers(p.Range(lo, min(p.Len(), lo+predictBatch)).X)...)
	}
	return out, nil
}

func (e *engine[T]) predictRows(ctx context.Context, rows []float64) ([]Prediction, error) {
	n := e.info.Normalizer
	size := tensor.ShapeOf(n.Input...).Size()
	if len(rows)%size != 0 {
		return nil, fmt.Errorf("predict: found %d numbers, expected a multiple of %d features\nhint: give the rows one after the other", len(rows), size)
	}
	for i, v := range rows {
		if !finiteNumber(v) {
			return nil, fmt.Errorf("predict: feature %d of row %d is %g, expected a finite number\nhint: fill it in or leave the row out", i%size, i/size, v)
		}
	}
	var out []Prediction
	for len(rows) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k := min(len(rows), predictBatch*size)
		x := make([]T, k)
		for i, v := range rows[:k] {
			x[i] = T(standardise(n, i, v))
		}
		rows = rows[k:]
		out = append(out, e.answers(tensor.FromSlice(x, append([]int{k / size}, n.Input...)...))...)
	}
	return out, nil
}

// standardise returns element i of row-major examples, whose raw value is v, as the model sees it.
func standardise(n *dataset.Normalizer, i int, v float64) float64 {
	if n.Unit != 0 {
		v /= n.Unit
	}
	if k := len(n.Mean); k > 0 {
		v = (v - n.Mean[i%k]) / n.SD[i%k]
	}
	if n.Clip {
		v = min(max(v, 0), 1)
	}
	return v
}

// answers returns the predictions for the examples x.
func (e *engine[T]) answers(x tensor.Tensor[T]) []Prediction {
	z := e.net.Predict(e.params, x)
	out := make([]Prediction, z.Shape().Dim(0))
	k := z.Size() / max(1, len(out))
	for i := range out {
		row := z.Data()[i*k : (i+1)*k]
		p := Prediction{Class: -1, Outputs: make([]float64, k)}
		for j, v := range row {
			p.Outputs[j] = float64(v)
		}
		switch {
		case e.task == dataset.Classification:
			p.Class = softmax(p.Outputs)
			if names := e.info.Normalizer.Classes; p.Class < len(names) {
				p.Label = names[p.Class]
			}
		case e.loss.Name() == "bernoulli":
			for j, v := range p.Outputs {
				p.Outputs[j] = 1 / (1 + math.Exp(-v))
			}
		case e.loss.Name() == "poisson":
			for j, v := range p.Outputs {
				p.Outputs[j] = math.Exp(v)
			}
		}
		if n := e.info.Normalizer; e.task == dataset.Regression && len(n.TargetSD) == k {
			for j := range p.Outputs {
				p.Outputs[j] = p.Outputs[j]*n.TargetSD[j] + n.TargetMean[j]
			}
		}
		out[i] = p
	}
	return out
}

// softmax makes z probabilities, in place, and returns the index of the largest.
func softmax(z []float64) int {
	best, _ := softmaxMax(z)
	top := z[best]
	var sum float64
	for i, v := range z {
		z[i] = math.Exp(v - top)
		sum += z[i]
	}
	for i := range z {
		z[i] /= sum
	}
	return best
}

// EvaluateOptions say on what a model is evaluated. The zero value is the run's own data.
type EvaluateOptions struct {
	Data, DataDir, Label string
}

// Evaluate returns the quality of the model on the training, validation and test parts of a data set:
// all examples of each. Data other than the run's own is scaled as the run's data was.
func (m *Model) Evaluate(ctx context.Context, o EvaluateOptions) (*Evaluation, error) {
	c := m.Config
	if o.Data != "" {
		c.Data = o.Data
	}
	if o.DataDir != "" {
		c.DataDir = o.DataDir
	}
	if o.Label != "" {
		c.Label = o.Label
	}
	if c.Data == inMemory {
		return nil, fmt.Errorf("the model was trained on data in memory\nhint: name the data to evaluate it on")
	}
	e, err := m.engine.evaluate(ctx, c)
	if err == nil {
		e.Step = m.Step
	}
	return e, err
}

func (e *engine[T]) evaluate(ctx context.Context, c Config) (*Evaluation, error) {
	data, err := openSource[T](c)
	if err != nil {
		return nil, err
	}
	fit, err := e.adapter(&data)
	if err != nil {
		return nil, err
	}
	out := &Evaluation{Train: noQuality(), Val: noQuality(), Test: noQuality()}
	j := newJudge(e.net, e.loss, e.task, e.info.Normalizer)
	for _, q := range []struct {
		part part[T]
		into *Quality
	}{{data.train, &out.Train}, {data.val, &out.Val}, {data.test, &out.Test}} {
		if q.part == nil {
			continue
		}
		if *q.into, err = j.quality(ctx, e.params, fit(q.part), q.part.Len(), c.Eval.Batch); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// adapter returns what makes parts of data, which was scaled by its own training part, look as if it
// had been scaled like the run's. The error says why the data does not fit the model.
func (e *engine[T]) adapter(data *source[T]) (func(part[T]) part[T], error) {
	own, run := &data.normalizer, e.info.Normalizer
	if data.task != e.task {
		return nil, fmt.Errorf("data %s is for %s, the model for %s\nhint: evaluate it on data of its kind", data.name, data.task, e.task)
	}
	if !slices.Equal(own.Input, run.Input) || data.outputs != e.info.Outputs && e.task != dataset.Classification {
		return nil, fmt.Errorf("data %s has examples of shape %v and %d outputs, the model takes %v and gives %d\nhint: evaluate it on data of its kind", data.name, own.Input, data.outputs, run.Input, e.info.Outputs)
	}
	if !slices.EqualFunc(own.Columns, run.Columns, func(a, b dataset.Column) bool { return a.Name == b.Name && slices.Equal(a.Categories, b.Categories) }) {
		return nil, fmt.Errorf("data %s has other columns than the model was trained on\nhint: name and order the columns as in the training data", data.name)
	}
	r := rescaled[T]{own: own, run: run, classes: make([]int32, len(own.Classes))}
	same := slices.Equal(own.Mean, run.Mean) && slices.Equal(own.SD, run.SD) && own.Unit == run.Unit &&
		slices.Equal(own.TargetMean, run.TargetMean) && slices.Equal(own.TargetSD, run.TargetSD) && slices.Equal(own.Classes, run.Classes)
	for i, name := range own.Classes {
		k := slices.Index(run.Classes, name)
		if k < 0 {
			return nil, fmt.Errorf("data %s has a class %q, which the model does not know\nhint: leave its examples out", data.name, name)
		}
		r.classes[i] = int32(k)
	}
	return func(p part[T]) part[T] {
		if same {
			return p
		}
		q := r
		q.part = p
		return q
	}, nil
}

// rescaled is a part whose examples were scaled by own and are handed out scaled by run.
type rescaled[T tensor.Float] struct {
	part[T]
	own, run *dataset.Normalizer
	classes  []int32 // of the run, by class of the part
}

func (r rescaled[T]) Range(lo, hi int) dataset.Batch[T] {
	b := r.part.Range(lo, hi)
	x := b.X.Data()
	for i, v := range x {
		raw := float64(v)
		if k := len(r.own.Mean); k > 0 {
			raw = raw*r.own.SD[i%k] + r.own.Mean[i%k]
		}
		if r.own.Unit != 0 {
			raw *= r.own.Unit
		}
		x[i] = T(standardise(r.run, i, raw))
	}
	for i, l := range b.Labels {
		b.Labels[i] = r.classes[l]
	}
	if k := len(r.own.TargetSD); k > 0 {
		y := b.Values.Data()
		for i, v := range y {
			y[i] = T((float64(v)*r.own.TargetSD[i%k] + r.own.TargetMean[i%k] - r.run.TargetMean[i%k]) / r.run.TargetSD[i%k])
		}
	}
	return b
}
