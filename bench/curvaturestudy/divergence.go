package curvaturestudy

import (
	"context"
	"math"
	"runtime"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// DivergenceMethods are the methods that precondition, all with their defaults.
var DivergenceMethods = []string{
	"bnp", "bnp-momentum", "bnp-fr", "bnp-adam",
	"kfac", "ekfac", "rs-kfac", "sre-kfac", "b-kfac", "b-r-kfac", "b-kfac-c",
	"ikfac", "singd", "kld-wrm", "q-kld-wrm", "seng", "adahessian", "sophia-g", "sophia-h",
	"shampoo", "caspr", "soap", "splus", "muon", "normuon", "psgd-kron",
}

// Case is a workload of the count of divergences.
type Case struct {
	Data, Model string // as package dataset and [nn.Build] read them; an autoencoder of Data "mini" is that of [Mini]
	Batch       int
	Steps       int
}

// DivergenceCases are the workloads.
var DivergenceCases = []Case{
	{"digits", "mlp:100,100", 64, 200},
	{"mnist", "mlp:100,100", 64, 200},
	{"mnist", "lenet5", 64, 150},
	{"fashion-mnist", "mlp:100,100", 64, 200},
	{"fashion-mnist", "lenet5", 64, 150},
	{"mini", "autoencoder:200,100,50,12", 200, 200},
}

// Outcome is a run with default settings. It diverged if a step was skipped, or the mean loss over the sample at the end is not
// finite or above that of the beginning.
type Outcome struct {
	First, Last float64 // mean loss over the sample
	Diverged    bool
	Skipped     int
}

// sample is the number of training examples that the loss is judged on.
const sample = 2000

// Open returns the case's runner: a function of method and seed.
func (c Case) Open() (func(method string, seed uint64) (Outcome, error), error) {
	if c.Data == "mini" {
		p, err := Mini()
		if err != nil {
			return nil, err
		}
		target := func(x tensor.Tensor[float32], _ []int32) nn.Target[float32] { return nn.Target[float32]{Values: x} }
		return c.runner(dataset.Batch[float32]{X: p.rows(p.Train, 0, p.Images())}, tensor.ShapeOf(p.Pixels), p.Pixels, nn.Bernoulli[float32](), target), nil
	}
	set, err := dataset.Open(c.Data, dataset.Options{})
	if err != nil {
		return nil, err
	}
	target := func(_ tensor.Tensor[float32], labels []int32) nn.Target[float32] {
		return nn.Target[float32]{Labels: labels}
	}
	e := set.Train.Head(min(20000, set.Train.Len()))
	return c.runner(dataset.NewLoader[float32](e).Range(0, e.Len()), set.Input, set.Classes, nn.CrossEntropy[float32](0), target), nil
}

func (c Case) runner(data dataset.Batch[float32], input tensor.Shape, outputs int, loss nn.Loss[float32], target func(tensor.Tensor[float32], []int32) nn.Target[float32]) func(string, uint64) (Outcome, error) {
	n, in := data.Len(), input.Size()
	return func(name string, seed uint64) (o Outcome, err error) {
		m, err := nn.Build[float32](c.Model, nn.Options{Input: input, Outputs: outputs})
		if err != nil {
			return o, err
		}
		pool := tensor.NewPool(runtime.GOMAXPROCS(0))
		defer pool.Close()
		net := objective.NewNetwork(m, loss, pool)
		theta := make([]float32, m.Layout().Size())
		root := tensor.KeyOf(seed)
		nn.Initialize(m, root, theta, net.State())
		method, err := catalogue.New[float32](name, optim.Env{Layout: m.Layout(), Pool: pool}, nil)
		if err != nil {
			return o, err
		}
		mean := func(theta []float32) float64 {
			count := min(sample, n)
			x, labels := tensor.FromSlice(data.X.Data()[:count*in], count, in), data.Labels
			if labels != nil {
				labels = labels[:count]
			}
			sum, _, e := net.LossAndMetric(theta, x, target(x, labels))
			if e != nil {
				err = e
			}
			return sum / float64(count)
		}
		if o.First = mean(theta); err != nil {
			return o, err
		}
		f := objective.New[float32](net, m.Layout(), theta)
		sampler := dataset.NewSampler(n, seed, true)
		x := tensor.New[float32](c.Batch, in)
		labels := make([]int32, c.Batch)
		for step := range c.Steps {
			for i, j := range sampler.Next(c.Batch) {
				copy(x.Data()[i*in:(i+1)*in], data.X.Data()[int(j)*in:])
				if data.Labels != nil {
					labels[i] = data.Labels[j]
				}
			}
			net.SetBatch(x, target(x, labels))
			net.SetKey(root.Fold(uint64(step)))
			f.SetProgress(objective.Progress{Step: int64(step), Seen: int64(step * c.Batch), Batch: c.Batch, Horizon: int64(c.Steps * c.Batch), PerPass: int64(n)})
			r, err := method.Step(context.Background(), f)
			if err != nil {
				return o, err
			}
			if r.Skipped {
				o.Skipped++
			}
		}
		if o.Last = mean(evaluated(method, theta)); err != nil {
			return o, err
		}
		o.Diverged = o.Skipped > 0 || !(o.Last <= o.First)
		if math.IsNaN(o.Last) || math.IsInf(o.Last, 0) {
			o.Last = math.MaxFloat64
		}
		return o, nil
	}
}
