package limitsstudy

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Settings of the study of transfer.
const (
	TransferTrain = 5000
	TransferVal   = 1000
	TransferTest  = 2000
	TransferBatch = 50
	Base          = 64 // the width at which rates are tuned
)

// Rule is a way to carry a rate to other widths.
type Rule struct {
	Name  string
	Spec  string // of the parametrization
	Clock bool   // times width/Base, so that a step is the same piece of the γ-rule's time at every width
	Deep  bool   // differs from the rule before it with two hidden layers or more
}

// Tuning is an optimizer, the rates that are tried at every width, and the rules.
type Tuning struct {
	Method string
	Rates  []float64
	Rules  []Rule
}

// Tunings are the optimizers of the study; the rates lie at half powers of ten.
func Tunings() []Tuning {
	half := func(lo float64, n int) (r []float64) {
		for i := range n {
			r = append(r, lo*math.Pow(10, float64(i)/2))
		}
		return r
	}
	standard, mup := Rule{Name: "standard", Spec: "standard"}, Rule{Name: "muP", Spec: "mup@64"}
	published := Rule{Name: "γ = 0.75, same training time", Spec: "gamma:0.75@64", Clock: true}
	corrected := Rule{Name: "γ = 0.75, same training time, early layers corrected", Spec: "gamma:0.75+auto@64", Clock: true, Deep: true}
	return []Tuning{
		{"sgd", half(0.01, 7), []Rule{standard, mup, published, corrected}},
		{"adam", half(1e-4, 7), []Rule{standard, mup}},
	}
}

// Images is the training, validation and test part of the study of transfer.
type Images struct{ train, val, test dataset.Batch[float32] }

// OpenImages reads the first images of the training part, the last ones as validation part, and the first of the test part.
func OpenImages() (*Images, error) {
	set, err := dataset.Open("mnist", dataset.Options{Val: -1})
	if err != nil {
		return nil, err
	}
	n := set.Train.Len()
	train := dataset.NewLoader[float32](set.Train)
	return &Images{train.Range(0, TransferTrain), dataset.NewLoader[float32](set.Train).Range(n-TransferVal, n), dataset.NewLoader[float32](set.Test).Range(0, TransferTest)}, nil
}

// Run is the end of one training; a training that diverges has no losses.
type Run struct {
	Diverged  bool
	Val, Test float64 // cross-entropy
}

// Train trains a multilayer perceptron (ReLU) with layers hidden layers of the given width for one pass.
func (d *Images) Train(method string, rule Rule, layers, width int, rate float64, seed uint64) (Run, error) {
	m, err := nn.Build[float32]("mlp:"+strings.TrimSuffix(strings.Repeat(fmt.Sprint(width, ","), layers), ","), nn.Options{Input: tensor.ShapeOf(28, 28, 1), Outputs: 10})
	if err != nil {
		return Run{}, err
	}
	p, err := rates.Parse(rule.Spec)
	if err != nil {
		return Run{}, err
	}
	plan, err := rates.PlanFor(p, m.Layout(), method)
	if err != nil {
		return Run{}, err
	}
	if rule.Clock {
		rate *= float64(width) / Base
	}
	o, err := optim.New[float32](method, optim.Env{Layout: m.Layout(), RateFactors: plan.Rate}, optim.Settings{"lr": rate})
	if err != nil {
		return Run{}, err
	}
	loss, err := nn.LossByName[float32]("cross-entropy")
	if err != nil {
		return Run{}, err
	}
	net := objective.NewNetwork(m, loss, nil)
	params := make([]float32, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(seed).Named("init"), params, net.State())
	rates.Rescale(plan, m.Layout(), params)
	f := objective.New[float32](net, m.Layout(), params)

	const in = 28 * 28
	sampler := dataset.NewSampler(TransferTrain, seed, true)
	x, labels := make([]float32, TransferBatch*in), make([]int32, TransferBatch)
	for step := range TransferTrain / TransferBatch {
		for i, k := range sampler.Next(TransferBatch) {
			copy(x[i*in:(i+1)*in], d.train.X.Data()[int(k)*in:])
			labels[i] = d.train.Labels[k]
		}
		net.SetBatch(tensor.FromSlice(x, TransferBatch, in), nn.Target[float32]{Labels: labels})
		f.SetProgress(objective.Progress{Step: int64(step), Seen: int64(step * TransferBatch), Batch: TransferBatch})
		r, err := o.Step(context.Background(), f)
		if err != nil {
			return Run{}, err
		}
		if r.Skipped {
			return Run{Diverged: true}, nil
		}
	}
	val, err := mean(net, params, d.val)
	if err != nil {
		return Run{}, err
	}
	test, err := mean(net, params, d.test)
	if err != nil || math.IsNaN(val+test) || math.IsInf(val+test, 0) {
		return Run{Diverged: true}, err
	}
	return Run{Val: val, Test: test}, nil
}

// mean returns the mean loss, in parts that bound the memory.
func mean(net *objective.Network[float32], params []float32, b dataset.Batch[float32]) (float64, error) {
	const most = 500
	in, n, sum := b.X.Size()/b.Len(), b.Len(), 0.0
	for at := 0; at < n; at += most {
		c := min(most, n-at)
		l, _, err := net.LossAndMetric(params, tensor.FromSlice(b.X.Data()[at*in:(at+c)*in], c, in), nn.Target[float32]{Labels: b.Labels[at : at+c]})
		if err != nil {
			return 0, err
		}
		sum += l / float64(n) // l is that of the part, added up
	}
	return sum, nil
}

// Grid is the runs of a rule at a width: by rate, by seed.
type Grid [][]Run

// Best returns the rate's number with the smallest validation loss over the seeds. A rate at which a seed diverges is out.
func (g Grid) Best() int {
	best, at := math.Inf(1), -1
	for i, runs := range g {
		if v, ok := g.mean(i); ok && len(runs) > 0 && v.Val < best {
			best, at = v.Val, i
		}
	}
	return at
}

// mean returns the means over the seeds at rate i, and whether none diverged.
func (g Grid) mean(i int) (m Run, ok bool) {
	for _, r := range g[i] {
		if r.Diverged {
			return Run{Diverged: true}, false
		}
		m.Val += r.Val / float64(len(g[i]))
		m.Test += r.Test / float64(len(g[i]))
	}
	return m, true
}
