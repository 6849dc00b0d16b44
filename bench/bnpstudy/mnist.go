package bnpstudy

import (
	"math"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// conv is a convolution 5×5 with ReLU, batch normalisation in front of it if that is asked for, and max pooling.
func conv(out int, padding nn.Padding, batchNorm bool) []nn.Layer[float32] {
	pool := &nn.MaxPool[float32]{Size: 2}
	if batchNorm {
		return []nn.Layer[float32]{&nn.Conv[float32]{Out: out, Kernel: 5, Padding: padding}, &nn.BatchNorm[float32]{}, &nn.Activation[float32]{Name: "relu"}, pool}
	}
	return []nn.Layer[float32]{&nn.Conv[float32]{Out: out, Kernel: 5, Padding: padding, Activation: "relu"}, pool}
}

// lenet5 is LeNet-5 with ReLU and max pooling.
func lenet5(batchNorm bool) []nn.Layer[float32] {
	layers := append(conv(6, nn.Same, batchNorm), conv(16, nn.Valid, batchNorm)...)
	layers = append(append(layers, dense(120, batchNorm)...), dense(84, batchNorm)...)
	return append(layers, &nn.Dense[float32]{Out: 10})
}

// MNIST is a study of one network on MNIST, pixels between 0 and 1. Learning rates are chosen on a part of the training
// examples; the test part plays no role in that.
type MNIST struct {
	whole *Data
}

// MNISTNetworks are the networks of the study.
var MNISTNetworks = []struct {
	Name    string
	layers  func(bool) []nn.Layer[float32]
	Batches []MNISTBatch
}{
	{"mlp:100,100,100", mlp, []MNISTBatch{{60, 20000, 3}, {6, 20000, 3}, {2, 20000, 3}, {1, 20000, 3}}},
	{"lenet5", lenet5, []MNISTBatch{{60, 20000, 2}, {6, 12000, 2}, {2, 12000, 1}, {1, 12000, 1}}},
}

// MNISTBatch is a batch size, the number of examples that a trial of the tuning trains on, and the number of seeds.
type MNISTBatch struct{ Size, Trial, Seeds int }

// Held is the number of examples at the end of the training part on which the tuning is judged.
const Held = 5000

// OpenMNIST returns the study of MNISTNetworks[i] on the published files, which lie where package dataset looks for them.
func OpenMNIST(i int) (*MNIST, error) {
	set, err := dataset.Open("mnist", dataset.Options{Val: -1})
	if err != nil {
		return nil, err
	}
	network := MNISTNetworks[i]
	return &MNIST{&Data{pixels(set, set.Train), pixels(set, set.Test), set.Input, network.layers}}, nil
}

// part is the examples lo to hi of b.
func part(b dataset.Batch[float32], lo, hi int) dataset.Batch[float32] {
	in := b.X.Size() / b.Len()
	return dataset.Batch[float32]{X: tensor.FromSlice(b.X.Data()[lo*in:hi*in], hi-lo, in), Labels: b.Labels[lo:hi]}
}

// MNISTEntries are the methods of the study. Rate is the middle of the learning rates that are tried.
func MNISTEntries() []Entry {
	return []Entry{
		{Name: "SGD", Method: "sgd", Rate: 0.03},
		{Name: "momentum 0.9", Method: "momentum", Rate: 0.003},
		{Name: "Adam", Method: "adam", Rate: 0.0003},
		{Name: "batch norm", Method: "sgd", BatchNorm: true, Rate: 0.1},
		{Name: "BNP", Method: "bnp", Rate: 0.1},
		{Name: "BNP + momentum 0.9", Method: "bnp-momentum", Rate: 0.01},
		{Name: "BNP + Adam, two-sided", Method: "bnp-adam", Rate: 0.001},
	}
}

// MNISTFactors times Rate are the learning rates that are tried.
var MNISTFactors = []float64{0.03, 0.1, 0.3, 1, 3, 10, 30}

// Cell is one cell of the study on MNIST: means over the seeds on which the training did not fail.
type Cell struct {
	Rate             float64 // the learning rate that was chosen; 0: the training failed at all
	Edge             bool    // it is the first or last of those tried
	Seeds, Failed    int
	Accuracy, Spread float64 // on the test part after one epoch, percent, and the largest difference of two seeds
	Loss             float64 // on the training part after one epoch
}

// Tune returns the learning rate with the smallest loss on the held examples after a pass over the first ones.
func (m *MNIST) Tune(e Entry, batch MNISTBatch) (rate float64, edge bool, err error) {
	w := m.whole
	n := w.train.Len()
	tuning := &Data{part(w.train, 0, batch.Trial), part(w.train, n-Held, n), w.input, w.layers}
	best := math.Inf(1)
	for i, factor := range MNISTFactors {
		o, err := tuning.Train(e, e.Rate*factor, batch.Size, 1, tuningSeed)
		if err != nil {
			return 0, false, err
		}
		if o.TestLoss < best {
			best, rate, edge = o.TestLoss, e.Rate*factor, i == 0 || i == len(MNISTFactors)-1
		}
	}
	return rate, edge, nil
}

// Measure tunes and trains one cell, one epoch.
func (m *MNIST) Measure(e Entry, batch MNISTBatch) (Cell, error) {
	c := Cell{Seeds: batch.Seeds}
	var err error
	if c.Rate, c.Edge, err = m.Tune(e, batch); err != nil {
		return c, err
	}
	if c.Rate == 0 {
		c.Failed = c.Seeds
		return c, nil
	}
	least, most := 100.0, 0.0
	for seed := range uint64(c.Seeds) {
		o, err := m.whole.Train(e, c.Rate, batch.Size, 1, seed+1)
		if err != nil {
			return c, err
		}
		if math.IsInf(o.Loss, 1) {
			c.Failed++
			continue
		}
		c.Accuracy += o.Last
		c.Loss += o.Loss
		least, most = min(least, o.Last), max(most, o.Last)
	}
	if n := float64(c.Seeds - c.Failed); n > 0 {
		c.Accuracy, c.Loss, c.Spread = c.Accuracy/n, c.Loss/n, most-least
	}
	return c, nil
}
