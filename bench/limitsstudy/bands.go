package limitsstudy

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/bench/internal/study"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Settings of the study of bands.
const (
	Examples = 300  // to train on
	HeldOut  = 1000 // of the test part, for the error of the mean output
	Bands    = 5    // test images with a band
	Time     = 50   // αT
	Rate     = 20   // α
	Epsilon  = 0.1
	Level    = 0.95
	Networks = 40
	More     = 400 // other networks, for a sharper count
)

// Gammas are the exponents that are compared.
var Gammas = []float64{0.5, 0.75, 0.9, 1}

// flowOptions is for covariances. The nodes are not paired: of P nodes in ±c and ±w a quarter is independent, and what the mean
// output varies by is even in these signs.
var flowOptions = asymptotics.Options{Nodes: 1024, Steps: 150}

// meanNodes is the number of nodes for means. A flow of P nodes has a spread of about the initial part of a network of width P,
// which is to be small against that of the networks.
const meanNodes = 4096

// GammaRow is what the limits say of one exponent at a common width and batch.
type GammaRow struct {
	Gamma      float64
	Init, Data float64 // standard deviations of the output by cause, the largest over the test images
	Band       float64 // half the width of the widest 95 % band
	Loss       float64 // of the mean output on the training examples
	Error      float64 // held-out mean squared error of the mean output: bias² and noise of the targets
	Total      float64 // Error and the mean variance over the test images
	CPU        float64 // seconds
}

// ByGamma predicts all exponents at one width and batch.
func (d *Digits) ByGamma(n, batch int) ([]GammaRow, error) {
	var rows []GammaRow
	for _, g := range Gammas {
		began := study.CPU()
		p := d.Problem(Rate, Time, batch, asymptotics.IID)
		f, err := asymptotics.NewFlow(p, asymptotics.Width{N: n, Gamma: g}.Scale(), flowOptions)
		if err != nil {
			return nil, err
		}
		a := f.Adjoint(d.Test)
		r := GammaRow{Gamma: g, Loss: f.Loss(f.Steps()), Error: meanSquare(f.Output(d.Held, f.Steps()), d.HeldY)}
		var variance float64
		for k := range Bands {
			i, s := a.Init.At(k, k)/float64(n), a.Data.At(k, k)/float64(n*batch)
			r.Init, r.Data = max(r.Init, math.Sqrt(i)), max(r.Data, math.Sqrt(s))
			r.Band = max(r.Band, 1.96*math.Sqrt(i+s))
			variance += (i + s) / Bands
		}
		r.Total, r.CPU = r.Error+variance, study.CPU()-began
		rows = append(rows, r)
	}
	return rows, nil
}

func meanSquare(g, y []float64) float64 {
	var sum float64
	for i := range g {
		sum += (g[i] - y[i]) * (g[i] - y[i])
	}
	return sum / float64(len(g))
}

// Choice is what is trained: everything in it comes from the limits.
type Choice struct {
	Width, Batch, Steps int
	Cost                float64 // neuron evaluations a network
	Candidates          []asymptotics.BudgetPlan
	OneSample           float64 // α max K(x,x)/N at the start
	MaxBatch            float64 // of the linear rule
	CPU                 float64 // seconds
}

// Choose returns the cheapest width and batch at γ = 1 whose band at every test image lies within ±Epsilon.
func (d *Digits) Choose() (Choice, error) {
	began := study.CPU()
	p := d.Problem(Rate, Time, 1, asymptotics.IID)
	sd := Epsilon / 1.959964
	plan, err := asymptotics.CheapestFor(p, d.Test, sd*sd, flowOptions)
	if err != nil {
		return Choice{}, err
	}
	s := p.StabilityAt(plan.Width.N)
	return Choice{Width: plan.Width.N, Batch: plan.Batch, Steps: plan.Steps, Cost: plan.Cost, Candidates: plan.Rows,
		OneSample: s.OneSample, MaxBatch: s.MaxBatch, CPU: study.CPU() - began}, nil
}

// Mean is the predicted mean of the outputs at the test images.
type Mean struct {
	Mean  []float64
	Error []float64 // of the quadrature
	CPU   float64
}

// Mean is the mean-field output from two sets of nodes; half their difference is the error. It depends on neither width nor batch
// nor sampling.
func (d *Digits) Mean() (Mean, error) {
	began := study.CPU()
	m := Mean{Mean: make([]float64, Bands), Error: make([]float64, Bands)}
	for seed := range uint64(2) {
		f, err := asymptotics.NewFlow(d.Problem(Rate, Time, 1, asymptotics.IID), 1, asymptotics.Options{Nodes: meanNodes, Steps: flowOptions.Steps, Seed: 1 + seed})
		if err != nil {
			return m, err
		}
		f.Forward()
		for k, g := range f.Output(d.Test, f.Steps()) {
			m.Mean[k] += g / 2
			m.Error[k] += (1 - 2*float64(seed)) * g / 2
		}
	}
	m.CPU = study.CPU() - began
	return m, nil
}

// Spread is the predicted standard deviations of the outputs at the test images.
type Spread struct {
	SD  []float64
	CPU float64
}

// Spread predicts the standard deviations at a choice.
func (d *Digits) Spread(c Choice, s asymptotics.Sampling) (Spread, error) {
	began := study.CPU()
	pr, err := asymptotics.Predict(d.Problem(Rate, Time, c.Batch, s), asymptotics.Width{N: c.Width, Gamma: 1}, d.Test, asymptotics.PredictOptions{Options: flowOptions})
	if err != nil {
		return Spread{}, err
	}
	return Spread{SD: pr.SD(0), CPU: study.CPU() - began}, nil
}

// Trained is the outputs of networks at the test images.
type Trained struct {
	Outputs [][]float64 // [R][K]
	CPU     float64
}

// Train trains the networks of a choice with the finite recursion.
func (d *Digits) Train(c Choice, s asymptotics.Sampling, networks int, seed uint64) (Trained, error) {
	began := study.CPU()
	sim, err := asymptotics.Simulate(context.Background(), d.Problem(Rate, Time, c.Batch, s), asymptotics.Width{N: c.Width, Gamma: 1}, d.Test,
		asymptotics.SimOptions{Replicates: networks, Seed: seed})
	if err != nil {
		return Trained{}, err
	}
	return Trained{Outputs: sim.Final(), CPU: study.CPU() - began}, nil
}

// TrainModel trains replicate rep of [Digits.Train] once more as a model of package nn, with the gradients of package objective,
// the method sgd of package optim, and the rates of package rates; it returns the outputs.
//
// The model has no factor 1/N^γ: its output weights are N^(-γ)c, and the rates of its tensors those of gamma:1 with a multiplier 1
// in front of the first layer.
func (d *Digits) TrainModel(c Choice, s asymptotics.Sampling, seed uint64, rep int) (outputs []float64, err error) {
	p, w := d.Problem(Rate, Time, c.Batch, s), asymptotics.Width{N: c.Width, Gamma: 1}
	neurons, order, err := asymptotics.Replay(p, w, asymptotics.SimOptions{Seed: seed}, rep)
	if err != nil {
		return nil, err
	}
	in := p.X.Shape().Cols()
	m, err := nn.New("shallow", tensor.ShapeOf(in), &nn.Dense[float64]{Out: c.Width, Activation: "tanh"}, &nn.Dense[float64]{Out: 1, NoBias: true})
	if err != nil {
		return nil, err
	}
	loss, err := nn.LossByName[float64]("squared")
	if err != nil {
		return nil, err
	}
	rule := rates.Parametrization{Rule: rates.Gamma, Gammas: []float64{w.Gamma}, Input: 1}
	plan, err := rates.PlanFor(rule, m.Layout(), "sgd")
	if err != nil {
		return nil, err
	}
	sgd, err := optim.New[float64]("sgd", optim.Env{Layout: m.Layout(), RateFactors: plan.Rate}, optim.Settings{"lr": Rate})
	if err != nil {
		return nil, err
	}
	params := make([]float64, m.Layout().Size())
	for i := range c.Width { // [in, N] weights, [N] biases, [N, 1] output weights
		for j := range in + 1 {
			params[j*c.Width+i] = neurons.At(i, 1+j)
		}
		params[(in+1)*c.Width+i] = neurons.At(i, 0) * math.Pow(float64(c.Width), -w.Gamma)
	}
	net := objective.NewNetwork(m, loss, nil)
	f := objective.New[float64](net, m.Layout(), params)
	x, y := tensor.New[float64](c.Batch, in), tensor.New[float64](c.Batch, 1)
	for step := 0; step*c.Batch < len(order); step++ {
		for b, k := range order[step*c.Batch : (step+1)*c.Batch] {
			copy(x.Data()[b*in:(b+1)*in], p.X.Data()[int(k)*in:])
			y.Data()[b] = p.Y[k]
		}
		net.SetBatch(x, nn.Target[float64]{Values: y})
		f.SetProgress(objective.Progress{Step: int64(step), Seen: int64(step * c.Batch), Batch: c.Batch})
		r, err := sgd.Step(context.Background(), f)
		if err != nil {
			return nil, err
		}
		if r.Skipped {
			return nil, fmt.Errorf("limitsstudy: step %d was skipped", step)
		}
	}
	return net.Predict(params, d.Test).Clone().Data(), nil
}
