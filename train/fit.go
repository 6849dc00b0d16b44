package train

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/tensor"
)

// Fit trains a classifier on rows that are in memory: x[i] are the features of example i, labels[i] is its
// class, from 0. Features are standardised. The model, its training and what it writes are as c and o
// say, where c.Data is not used; c.Val holds out a part of the rows for validation.
//
// The returned Model predicts for new rows in the units of x; its Result says how the training went.
func Fit[F tensor.Float](ctx context.Context, x [][]F, labels []int, c Config, o Options) (*Model, error) {
	if len(labels) != len(x) {
		return nil, fmt.Errorf("fit: found %d rows and %d labels\nhint: there must be one label a row", len(x), len(labels))
	}
	classes := 2
	for i, l := range labels {
		if l < 0 || l > 1<<20 {
			return nil, fmt.Errorf("fit: label %d is %d, expected a class number from 0\nhint: number the classes 0, 1, 2, …", i, l)
		}
		classes = max(classes, l+1)
	}
	return fit(ctx, x, rows{labels: labels, classes: classes}, c, o)
}

// FitValues is [Fit] for regression: y[i] are the numbers to predict for x[i]. They are standardised for
// training; losses are in units of their standard deviation, predictions and RMSE in their own.
func FitValues[F tensor.Float](ctx context.Context, x, y [][]F, c Config, o Options) (*Model, error) {
	if len(y) != len(x) {
		return nil, fmt.Errorf("fit: found %d rows and %d targets\nhint: there must be one target a row", len(x), len(y))
	}
	values, width, err := flat("target", y)
	if err != nil {
		return nil, err
	}
	return fit(ctx, x, rows{values: values, outputs: width}, c, o)
}

// rows are the targets of examples in memory.
type rows struct {
	labels           []int
	classes, outputs int
	values           []float64
}

func fit[F tensor.Float](ctx context.Context, x [][]F, y rows, c Config, o Options) (*Model, error) {
	c.Data = inMemory
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	features, width, err := flat("feature", x)
	if err != nil {
		return nil, err
	}
	if c.DType == "float64" {
		return fitRows[float64](ctx, features, width, y, c, o)
	}
	return fitRows[float32](ctx, features, width, y, c, o)
}

// flat joins the rows, which must be equally long and finite.
func flat[F tensor.Float](what string, x [][]F) (out []float64, width int, err error) {
	if len(x) < 2 || len(x[0]) == 0 {
		return nil, 0, fmt.Errorf("fit: found no %ss, expected at least 2 rows of at least 1", what)
	}
	width = len(x[0])
	for i, row := range x {
		if len(row) != width {
			return nil, 0, fmt.Errorf("fit: row %d has %d %ss, row 0 has %d\nhint: all rows must be equally long", i, len(row), what, width)
		}
		for j, v := range row {
			if !finiteNumber(float64(v)) {
				return nil, 0, fmt.Errorf("fit: %s %d of row %d is %g, expected a finite number\nhint: fill it in or leave the row out", what, j, i, float64(v))
			}
			out = append(out, float64(v))
		}
	}
	return out, width, nil
}

func fitRows[T tensor.Float](ctx context.Context, x []float64, width int, y rows, c Config, o Options) (*Model, error) {
	data := memorySource[T](x, width, y, c)
	s, err := newSession(c, o, data)
	if err != nil {
		return nil, err
	}
	defer s.pool.Close() // the model predicts on one thread
	unlock, err := s.create(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := s.train(ctx)
	if r == nil {
		return nil, err
	}
	info := DataInfo{Name: inMemory, Task: data.task.String(), Train: data.train.Len(), Outputs: data.outputs, Normalizer: &data.normalizer}
	e := &engine[T]{info: info, pool: s.pool, task: data.task, model: s.model, loss: s.loss, net: s.net, params: s.evalParams()}
	return &Model{Config: c, Data: info, Step: r.Steps, Result: r, engine: e}, err
}

// memorySource makes rows in memory the data of a run. The validation part is drawn by DataSeed.
func memorySource[T tensor.Float](x []float64, width int, y rows, c Config) source[T] {
	n := len(x) / width
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	held := 0
	if c.Val > 0 || c.EarlyStop.Patience > 0 {
		fraction := c.Val
		if fraction == 0 {
			fraction = 0.1
		}
		held = min(n-1, max(1, int(math.Round(fraction*float64(n)))))
		tensor.Permutation(tensor.KeyOf(c.DataSeed).Named("validation"), order)
	}
	s := source[T]{name: inMemory, task: dataset.Classification, input: tensor.ShapeOf(width), outputs: y.classes}
	s.split = fmt.Sprintf("%d of %d rows held out for validation", held, n)
	training := order[held:]
	norm := &s.normalizer
	norm.Input = []int{width}
	norm.Mean, norm.SD = columnStatistics(x, width, training)
	if y.labels == nil {
		s.task, s.outputs = dataset.Regression, y.outputs
		norm.TargetMean, norm.TargetSD = columnStatistics(y.values, y.outputs, training)
	} else {
		for k := range y.classes {
			norm.Classes = append(norm.Classes, strconv.Itoa(k))
		}
	}
	s.train = newMemoryPart[T](x, width, y, norm, training)
	if held > 0 {
		s.val = newMemoryPart[T](x, width, y, norm, order[:held])
	}
	return s
}

// columnStatistics returns mean and standard deviation of every column over the given rows; 1 for the
// deviation of a constant column.
func columnStatistics(x []float64, width int, rows []int32) (mean, sd []float64) {
	mean, sd = make([]float64, width), make([]float64, width)
	count := float64(len(rows))
	for _, r := range rows {
		for j := range width {
			mean[j] += x[int(r)*width+j] / count
		}
	}
	for _, r := range rows {
		for j := range width {
			d := x[int(r)*width+j] - mean[j]
			sd[j] += d * d / count
		}
	}
	for j := range sd {
		if sd[j] = math.Sqrt(sd[j]); !(sd[j] > 1e-12*(1+math.Abs(mean[j]))) {
			sd[j] = 1
		}
	}
	return mean, sd
}

// memoryPart is examples in memory, scaled.
type memoryPart[T tensor.Float] struct {
	width, outputs int
	x, y           []T     // [n, width], [n, outputs]
	labels         []int32 // [n], or nil
	batch          struct {
		x, y   []T
		labels []int32
	}
	all []int32
}

func newMemoryPart[T tensor.Float](x []float64, width int, y rows, n *dataset.Normalizer, order []int32) *memoryPart[T] {
	p := &memoryPart[T]{width: width, outputs: y.outputs}
	for i, r := range order {
		for j := range width {
			p.x = append(p.x, T(standardise(n, j, x[int(r)*width+j])))
		}
		if y.labels != nil {
			p.labels = append(p.labels, int32(y.labels[r]))
		}
		for j := range y.outputs {
			p.y = append(p.y, T((y.values[int(r)*y.outputs+j]-n.TargetMean[j])/n.TargetSD[j]))
		}
		p.all = append(p.all, int32(i))
	}
	return p
}

func (p *memoryPart[T]) Len() int { return len(p.all) }

func (p *memoryPart[T]) Range(lo, hi int) dataset.Batch[T] { return p.Load(p.all[lo:hi]) }

func (p *memoryPart[T]) Load(idx []int32) dataset.Batch[T] {
	s := &p.batch
	s.x, s.y, s.labels = s.x[:0], s.y[:0], s.labels[:0]
	for _, i := range idx {
		s.x = append(s.x, p.x[int(i)*p.width:(int(i)+1)*p.width]...)
		if p.labels != nil {
			s.labels = append(s.labels, p.labels[i])
		} else {
			s.y = append(s.y, p.y[int(i)*p.outputs:(int(i)+1)*p.outputs]...)
		}
	}
	b := dataset.Batch[T]{X: tensor.FromSlice(s.x, len(idx), p.width)}
	if p.labels != nil {
		b.Labels = s.labels
	} else {
		b.Values = tensor.FromSlice(s.y, len(idx), p.outputs)
	}
	return b
}
