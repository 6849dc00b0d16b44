//go:build slow

package limitsstudy

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/descent-ml/descent/bench/internal/study"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// ordering trains g = N^(−γ) Σ c σ(w·x) on MNIST, N = 100 sigmoid neurons, w normal, c uniform on (0, 1), batches of 20 in reshuffled
// epochs, cross-entropy, at the rate N^(−(2−2γ)), and returns the test accuracy in percent after 1, 5, 10, 20 and 40 epochs. It is the
// experiment of Spiliopoulos and Yu, 2021.
//
// The factor N^(−γ) is part of the output weights V = N^(−γ) C, whose rate is then N^(−(2−2γ)) N^(−2γ) = N^(−2) for every γ.
func ordering(set *dataset.Set, gamma float64) ([]float64, error) {
	const neurons, batch = 100, 20
	m, err := nn.New("shallow", tensor.ShapeOf(784),
		nn.Layer[float32](&nn.Dense[float32]{Out: neurons, Activation: "sigmoid", NoBias: true, Init: nn.Normal(1)}),
		&nn.Dense[float32]{Out: 10, NoBias: true})
	if err != nil {
		return nil, err
	}
	net := objective.NewNetwork(m, nn.CrossEntropy[float32](0), nil)
	theta := make([]float32, m.Layout().Size())
	key := tensor.KeyOf(0)
	nn.Initialize(m, key.Named("init"), theta, net.State())
	out := nn.View(m.Layout(), theta, 1).Data()
	tensor.Uniform(key.Named("output"), out, 0, math.Pow(neurons, -gamma))
	f := objective.New[float32](net, m.Layout(), theta)
	factors := []float64{math.Pow(neurons, -(2 - 2*gamma)), math.Pow(neurons, -2)}
	method, err := optim.New[float32]("sgd", optim.Env{Layout: m.Layout(), RateFactors: factors}, optim.Settings{"lr": 1})
	if err != nil {
		return nil, err
	}
	loader, sampler := dataset.NewLoader[float32](set.Train), dataset.NewSampler(set.Train.Len(), 0, false)
	test := dataset.NewLoader[float32](set.Test)
	unit := func(b dataset.Batch[float32]) tensor.Tensor[float32] { // pixels from 0 to 1
		x := b.X.Reshape(b.Len(), 784)
		for i, v := range x.Data() {
			x.Data()[i] = v*float32(set.Normalizer.SD[0]) + float32(set.Normalizer.Mean[0])
		}
		return x
	}
	var accuracies []float64
	perEpoch := set.Train.Len() / batch
	for epoch := 1; epoch <= 40; epoch++ {
		for step := range perEpoch {
			b := loader.Load(sampler.Next(batch))
			net.SetBatch(unit(b), nn.Target[float32]{Labels: b.Labels})
			f.SetProgress(objective.Progress{Step: int64(epoch*perEpoch + step), Batch: batch})
			if _, err := method.Step(context.Background(), f); err != nil {
				return nil, err
			}
		}
		switch epoch {
		case 1, 5, 10, 20, 40:
			b := test.Range(0, set.Test.Len())
			_, right, err := net.LossAndMetric(theta, unit(b), nn.Target[float32]{Labels: b.Labels})
			if err != nil {
				return nil, err
			}
			accuracies = append(accuracies, 100*right/float64(set.Test.Len()))
		}
	}
	return accuracies, nil
}

// TestOrdering: after 40 epochs accuracy rises with γ, and at γ = 1 it is at least 91 %.
func TestOrdering(t *testing.T) {
	store, err := study.Open(*cells)
	if err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Open("mnist", dataset.Options{Val: -1})
	if err != nil {
		t.Skip(err)
	}
	table := study.NewTable("γ", "rate", "epoch 1", "5", "10", "20", "40")
	last := 0.0
	for _, gamma := range []float64{0.5, 0.75, 1} {
		a := cell(t, store, "ordering, gamma "+number(gamma), func() ([]float64, error) { return ordering(set, gamma) })
		t.Logf("γ %g: %.1f", gamma, a)
		row := []string{number(gamma), number(math.Pow(100, -(2 - 2*gamma)))}
		for _, v := range a {
			row = append(row, number(v))
		}
		table.Row(row...)
		if a[4] <= last {
			t.Errorf("γ %g: %.1f %% after 40 epochs, not more than the γ before", gamma, a[4])
		}
		last = a[4]
	}
	if last < 91 {
		t.Errorf("γ 1: %.1f %% after 40 epochs, expected at least 91", last)
	}
	replace(t, "ordering", table.String())
}

func number(v float64) string { return fmt.Sprintf("%.3g", v) }
