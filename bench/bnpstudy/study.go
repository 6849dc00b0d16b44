package bnpstudy

import (
	"context"
	"math"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Entry is one column of the study.
type Entry struct {
	Name      string
	Method    string
	Settings  optim.Settings
	BatchNorm bool    // in the network
	Rate      float64 // middle of the learning rates that are tried
}

// Outcome is what one training came to. A training that failed has an infinite Loss and chance accuracy.
type Outcome struct {
	First float64 // test accuracy after one epoch, percent
	Loss  float64 // on the training part at the end
	Last  float64 // test accuracy at the end, percent

	TestLoss float64 // on the test part at the end
}

func failure() Outcome {
	return Outcome{First: 10, Loss: math.Inf(1), Last: 10, TestLoss: math.Inf(1)}
}

// Data is a training and a test part, and the network that learns from them.
type Data struct {
	train, test dataset.Batch[float32]
	input       tensor.Shape
	layers      func(batchNorm bool) []nn.Layer[float32]
}

// Open returns the digits with pixels between 0 and 1, four fifths to train on.
func Open() (*Data, error) {
	set, err := dataset.Open("digits", dataset.Options{Val: -1})
	if err != nil {
		return nil, err
	}
	return &Data{pixels(set, set.Train), pixels(set, set.Test), tensor.ShapeOf(set.Input.Size()), mlp}, nil
}

// pixels returns the examples e of set with pixels between 0 and 1, that is, without the standardisation.
func pixels(set *dataset.Set, e dataset.Examples) dataset.Batch[float32] {
	b := dataset.NewLoader[float32](e).Range(0, e.Len())
	x := b.X.Data()
	for i := range x {
		x[i] = x[i]*float32(set.Normalizer.SD[0]) + float32(set.Normalizer.Mean[0])
	}
	return b
}

// dense is a dense layer with ReLU, and batch normalisation in front of it if that is asked for.
func dense(out int, batchNorm bool) []nn.Layer[float32] {
	if batchNorm {
		return []nn.Layer[float32]{&nn.Dense[float32]{Out: out}, &nn.BatchNorm[float32]{}, &nn.Activation[float32]{Name: "relu"}}
	}
	return []nn.Layer[float32]{&nn.Dense[float32]{Out: out, Activation: "relu"}}
}

// mlp is the network 100-100-100-10.
func mlp(batchNorm bool) []nn.Layer[float32] {
	var layers []nn.Layer[float32]
	for range 3 {
		layers = append(layers, dense(100, batchNorm)...)
	}
	return append(layers, &nn.Dense[float32]{Out: 10})
}

// Train trains e with the given learning rate. The last, smaller batch of an epoch is left out.
func (d *Data) Train(e Entry, rate float64, batch, epochs int, seed uint64) (Outcome, error) {
	m, err := nn.New("network", d.input, d.layers(e.BatchNorm)...)
	if err != nil {
		return Outcome{}, err
	}
	loss, err := nn.LossByName[float32]("cross-entropy")
	if err != nil {
		return Outcome{}, err
	}
	settings := optim.Settings{"lr": rate}
	for k, v := range e.Settings {
		settings[k] = v
	}
	method, err := optim.New[float32](e.Method, optim.Env{Layout: m.Layout()}, settings)
	if err != nil {
		return Outcome{}, err
	}
	net := objective.NewNetwork(m, loss, nil)
	params := make([]float32, m.Layout().Size())
	key := tensor.KeyOf(seed)
	nn.Initialize(m, key.Named("init"), params, net.State())
	f := objective.New[float32](net, m.Layout(), params)

	in, n := d.input.Size(), d.train.Len()
	sampler := dataset.NewSampler(n, seed, true)
	x, labels := make([]float32, batch*in), make([]int32, batch)
	perEpoch := n / batch
	var out Outcome
	for step := range epochs * perEpoch {
		for i, k := range sampler.Next(batch) {
			copy(x[i*in:(i+1)*in], d.train.X.Data()[int(k)*in:])
			labels[i] = d.train.Labels[k]
		}
		net.SetBatch(tensor.Of(x, tensor.ShapeOf(batch, in)), nn.Target[float32]{Labels: labels})
		f.SetProgress(objective.Progress{Step: int64(step), Seen: int64(step * batch), Batch: batch})
		r, err := method.Step(context.Background(), f)
		if err != nil {
			return out, err
		}
		if r.Skipped {
			return failure(), nil
		}
		if step+1 == perEpoch && epochs > 1 {
			if out.First, _, err = d.judge(net, params, d.test); err != nil {
				return out, err
			}
		}
	}
	if out.Last, out.TestLoss, err = d.judge(net, params, d.test); err != nil {
		return out, err
	}
	if epochs == 1 {
		out.First = out.Last
	}
	if _, out.Loss, err = d.judge(net, params, d.train); err != nil {
		return out, err
	}
	if math.IsNaN(out.Loss + out.TestLoss) {
		return failure(), nil
	}
	return out, nil
}

// judge returns accuracy in percent and mean loss.
func (d *Data) judge(net *objective.Network[float32], params []float32, b dataset.Batch[float32]) (accuracy, loss float64, err error) {
	const most = 1000 // bounds the memory
	in, n := d.input.Size(), b.Len()
	for at := 0; at < n && err == nil; at += most {
		count := min(most, n-at)
		var l, right float64
		l, right, err = net.LossAndMetric(params, tensor.FromSlice(b.X.Data()[at*in:(at+count)*in], count, in),
			nn.Target[float32]{Labels: b.Labels[at : at+count]})
		accuracy += 100 * right / float64(n)
		loss += l / float64(n)
	}
	return accuracy, loss, err
}

// Rates are the learning rates that are tried for an entry: eleven, each about three times the one before, the middle
// one e.Rate.
func (e Entry) Rates() []float64 {
	var r []float64
	for _, factor := range []float64{0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300} {
		r = append(r, e.Rate*factor)
	}
	return r
}

// Learning rates are chosen on the seeds 1000 and 1001; the seeds of the study are 1 to Seeds.
const tuningSeed, tuningSeeds = 1000, 2

// Seeds is the number of seeds of the study.
const Seeds = 5

// Result is one cell of the study's tables: means over the seeds.
type Result struct {
	Entry  Entry
	Batch  int
	Rate   float64 // the learning rate that was chosen; 0: the training failed at all
	Edge   bool    // it is the first or last of those tried
	Failed int     // seeds on which the training failed at that rate
	Outcome
}

// Measure tunes and trains one cell.
func (d *Data) Measure(e Entry, batch, epochs int) (Result, error) {
	r := Result{Entry: e, Batch: batch}
	best := math.Inf(1)
	rates := e.Rates()
	for i, rate := range rates {
		loss := 0.0
		for seed := range uint64(tuningSeeds) {
			o, err := d.Train(e, rate, batch, epochs, tuningSeed+seed)
			if err != nil {
				return r, err
			}
			if loss += o.Loss; math.IsInf(loss, 1) {
				break
			}
		}
		if loss < best {
			best, r.Rate, r.Edge = loss, rate, i == 0 || i == len(rates)-1
		}
	}
	if r.Rate == 0 {
		r.Failed, r.Outcome = Seeds, failure()
		return r, nil
	}
	for seed := range uint64(Seeds) {
		o, err := d.Train(e, r.Rate, batch, epochs, seed+1)
		if err != nil {
			return r, err
		}
		if math.IsInf(o.Loss, 1) {
			r.Failed++
		}
		r.First += o.First / Seeds
		r.Loss += o.Loss / Seeds
		r.Last += o.Last / Seeds
	}
	return r, nil
}

// Entries are the columns of the main table.
func Entries() []Entry {
	bnp := func(name string, pairs ...any) Entry {
		e := Entry{Name: name, Method: "bnp", Rate: 0.1, Settings: optim.Settings{}}
		for i := 0; i < len(pairs); i += 2 {
			e.Settings[pairs[i].(string)] = float64(pairs[i+1].(int))
		}
		return e
	}
	return []Entry{
		{Name: "SGD", Method: "sgd", Rate: 0.1},
		{Name: "momentum 0.9", Method: "momentum", Rate: 0.03},
		{Name: "Adam", Method: "adam", Rate: 0.001},
		{Name: "batch norm", Method: "sgd", BatchNorm: true, Rate: 0.1},
		bnp("BNP, paper's form", "paper-statistics", 1),
		bnp("BNP"),
		bnp("BNP, no centring", "centring", 0),
		bnp("BNP, no scaling", "scaling", 0),
		bnp("BNP, no q", "q", 0),
	}
}

// MomentumEntries are the columns of the second table: adaptive momentum, alone and behind the preconditioner.
func MomentumEntries() []Entry {
	return []Entry{
		{Name: "Nesterov 0.9", Method: "nesterov", Rate: 0.03},
		{Name: "SRSGD, F = 40", Method: "srsgd", Rate: 0.03},
		{Name: "FR, cap 0.99", Method: "fr-momentum", Rate: 0.03},
		{Name: "FR, cap 0.99, smoothing 0.9", Method: "fr-momentum", Rate: 0.03, Settings: optim.Settings{"smoothing": 0.9}},
		{Name: "PR+, cap 0.99", Method: "pr-momentum", Rate: 0.03},
		{Name: "BNP + momentum 0.9", Method: "bnp-momentum", Rate: 0.03},
		{Name: "BNP + FR, two-sided", Method: "bnp-fr", Rate: 0.03},
		{Name: "BNP + FR, post", Method: "bnp-fr", Rate: 0.03, Settings: optim.Settings{"two-sided": 0}},
		{Name: "BNP + Adam, two-sided", Method: "bnp-adam", Rate: 0.001},
		{Name: "BNP + Adam, post", Method: "bnp-adam", Rate: 0.001, Settings: optim.Settings{"two-sided": 0}},
	}
}
