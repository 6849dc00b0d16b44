//go:build slow

package matrix_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/matrix"
	"github.com/descent-ml/descent/tensor"
)

// examples are inputs [n, features] and labels, or without labels inputs that are to be reproduced.
type examples struct {
	x      []float32
	labels []int32
	width  int
}

func (e examples) len() int { return len(e.x) / e.width }

// problem is a model on data that is split into training, validation and test parts.
type problem struct {
	name, model           string
	options               nn.Options
	penalty               float64
	batch, steps          int
	schedule              string
	train, validate, test examples
}

// classification opens a data set; of its validation part the first 1500 examples are kept. The test part is not read.
func classification(t *testing.T, name, model string, steps int) problem {
	t.Helper()
	dir := os.Getenv("DESCENT_DATA")
	if dir == "" && name != "digits" {
		t.Skip("set DESCENT_DATA to a folder with mnist and fashion-mnist")
	}
	set, err := dataset.Open(name, dataset.Options{Dir: dir})
	if err != nil {
		t.Skip(err)
	}
	read := func(e dataset.Examples, most int) examples {
		index := make([]int32, min(most, e.Len()))
		for i := range index {
			index[i] = int32(i)
		}
		out := examples{make([]float32, len(index)*set.Input.Size()), make([]int32, len(index)), set.Input.Size()}
		dataset.Gather(e, index, out.x)
		dataset.GatherLabels(e, index, out.labels)
		return out
	}
	return problem{name: name + " " + model, model: model, options: nn.Options{Input: set.Input, Outputs: set.Classes}, batch: 64, steps: steps,
		schedule: "cosine", train: read(set.Train, 1<<30), validate: read(set.Val, 1500)}
}

// autoencoder is that of optim/curvature's TestMiniAutoencoder on the 10,000 test images of MNIST, 14×14 by means of 2×2 pixels: every fifth for
// testing, and with a validation part every fifth of another residue for that.
func autoencoder(t *testing.T, steps int, validation bool) problem {
	t.Helper()
	dir := os.Getenv("DESCENT_DATA")
	if dir == "" {
		t.Skip("set DESCENT_DATA to a folder with mnist/t10k-images-idx3-ubyte.gz")
	}
	f, err := os.Open(filepath.Join(dir, "mnist", "t10k-images-idx3-ubyte.gz"))
	if err != nil {
		t.Skipf("MNIST is not there: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil || len(raw) != 16+10000*784 {
		t.Fatalf("%d bytes, error %v", len(raw), err)
	}
	p := problem{name: "autoencoder", model: "autoencoder:200,100,50,12", options: nn.Options{Input: tensor.ShapeOf(196), Outputs: 196, Activation: "tanh"},
		penalty: 1e-5, batch: 200, steps: steps}
	p.train.width, p.validate.width, p.test.width = 196, 196, 196
	for i := range 10000 {
		to := &p.train
		switch {
		case i%5 == 4:
			to = &p.test
		case i%5 == 3 && validation:
			to = &p.validate
		}
		image := raw[16+i*784:]
		for k := range 196 {
			at := k/14*56 + k%14*2
			to.x = append(to.x, float32(int(image[at])+int(image[at+1])+int(image[at+28])+int(image[at+29]))/1020)
		}
	}
	return p
}

// fit trains and returns the loss on given examples: the mean cross entropy, or the sum of squares of an image. A loss that is
// not finite, an error and a skipped step are NaN.
func (p problem) fit(t *testing.T, name string, settings optim.Settings, seed uint64, on examples) float64 {
	t.Helper()
	spec, err := optim.Find(append(optim.Table[float32](), matrix.Table[float32]()...), name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.Build[float32](p.model, p.options)
	if err != nil {
		t.Fatal(err)
	}
	loss := nn.CrossEntropy[float32](0)
	if p.train.labels == nil {
		loss = nn.Bernoulli[float32]()
	}
	n := objective.NewNetwork(m, loss, nil)
	n.SetPenalty(p.penalty)
	theta := make([]float32, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(seed), theta, n.State())
	env := optim.Env{Layout: m.Layout()}
	if p.schedule != "" {
		env.Schedules = map[string]string{"lr": p.schedule}
	}
	method, err := spec.Make(env, settings)
	if err != nil {
		t.Fatal(err)
	}
	f := objective.New[float32](n, m.Layout(), theta)
	sampler := dataset.NewSampler(p.train.len(), seed, true)
	shape := append([]int{p.batch}, p.options.Input.Dims()...)
	x, labels := tensor.New[float32](shape...), make([]int32, p.batch)
	at := objective.Progress{Batch: p.batch, Horizon: int64(p.batch * p.steps), PerPass: int64(p.train.len())}
	for range p.steps {
		for i, j := range sampler.Next(p.batch) {
			copy(x.Data()[i*p.train.width:(i+1)*p.train.width], p.train.x[int(j)*p.train.width:])
			if p.train.labels != nil {
				labels[i] = p.train.labels[j]
			}
		}
		y := nn.Target[float32]{Values: x}
		if p.train.labels != nil {
			y = nn.Target[float32]{Labels: labels}
		}
		n.SetBatch(x, y)
		f.SetProgress(at)
		if r, err := method.Step(context.Background(), f); err != nil || r.Skipped {
			return math.NaN()
		}
		at.Step++
		at.Seen += int64(p.batch)
	}
	if e, ok := method.(optim.Evaluated[float32]); ok {
		evaluated := make([]float32, len(theta))
		e.EvalParams(evaluated, theta)
		theta = evaluated
	}
	n.SetTraining(false)
	input := tensor.FromSlice(on.x, append([]int{on.len()}, p.options.Input.Dims()...)...)
	if on.labels != nil {
		l, _, err := n.LossAndMetric(theta, input, nn.Target[float32]{Labels: on.labels})
		if err != nil {
			t.Fatal(err)
		}
		return l / float64(on.len())
	}
	q := tensor.New[float32](on.len(), on.width)
	tensor.Apply(tensor.NewWorkspace[float32](nil), q, tensor.Sigmoid, n.Predict(theta, input), 0)
	sum := 0.0
	for i, v := range q.Data() {
		d := float64(v - on.x[i])
		sum += d * d
	}
	return sum / float64(on.len())
}

// TestRates is how the default learning rates were chosen: the loss on the validation part for three rates of each method, mean
// of three seeds, logged as the rows of a table. It fails where a default diverges.
func TestRates(t *testing.T) {
	candidates := map[string][]float64{"muon": {0.007, 0.02, 0.06}, "normuon": {0.001, 0.003, 0.01}, "soap": {0.001, 0.003, 0.01}, "shampoo": {0.001, 0.003, 0.01},
		"caspr": {0.001, 0.003, 0.01}, "psgd-kron": {0.001, 0.003, 0.01}, "splus": {0.1, 0.3, 1}}
	for _, open := range []struct {
		name string
		open func(t *testing.T) problem
	}{
		{"digits", func(t *testing.T) problem { return classification(t, "digits", "mlp:64,64", 400) }},
		{"autoencoder", func(t *testing.T) problem { return autoencoder(t, 300, true) }},
		{"mnist-mlp", func(t *testing.T) problem { return classification(t, "mnist", "mlp:64,64", 100) }},
		{"mnist-lenet5", func(t *testing.T) problem { return classification(t, "mnist", "lenet5", 60) }},
	} {
		t.Run(open.name, func(t *testing.T) {
			p := open.open(t)
			for _, s := range matrix.Table[float32]() {
				t.Run(s.Name, func(t *testing.T) {
					rates := candidates[s.Name]
					if lr, _ := s.Setting("lr"); !slices.Contains(rates, lr.Default) {
						t.Errorf("the default rate %g is none of %v", lr.Default, rates)
					}
					text := ""
					for _, lr := range rates {
						mean := 0.0
						for seed := range 3 {
							mean += p.fit(t, s.Name, optim.Settings{"lr": lr}, uint64(seed), p.validate) / 3
						}
						text += fmt.Sprintf(" %g: %.4f", lr, mean)
						if d, _ := s.Setting("lr"); d.Default == lr && math.IsNaN(mean) {
							t.Errorf("the default rate diverges")
						}
					}
					t.Logf("%s, %s:%s", p.name, s.Name, text)
				})
			}
		})
	}
}

// TestDefaultsDoNotDiverge trains at the defaults for a short time on what TestRates leaves out; nothing may diverge.
func TestDefaultsDoNotDiverge(t *testing.T) {
	for _, model := range []string{"mlp:64,64", "lenet5"} {
		for _, set := range []string{"fashion-mnist", "digits"} {
			t.Run(set+"-"+model, func(t *testing.T) {
				if set == "digits" && model != "lenet5" {
					t.Skip("in TestRates")
				}
				p := classification(t, set, model, 100)
				p.schedule = ""
				for _, s := range matrix.Table[float32]() {
					for seed := range 3 {
						l := p.fit(t, s.Name, nil, uint64(seed), p.validate)
						t.Logf("%s, %s, seed %d: %.3f", p.name, s.Name, seed, l)
						if !(l < math.Log(10)) {
							t.Errorf("%s, %s, seed %d: loss %g after %d steps, a constant has %.3f", p.name, s.Name, seed, l, p.steps, math.Log(10))
						}
					}
				}
			})
		}
	}
}

// TestMiniAutoencoder: 800 batches of 200, the median over three seeds of the test error.
func TestMiniAutoencoder(t *testing.T) {
	p := autoencoder(t, 800, false)
	for _, c := range []struct {
		method   string
		settings optim.Settings
		most     float64
	}{
		{"shampoo", optim.Settings{"lr": 3e-3, "beta2": 0.95, "weight-decay": 0}, 1.70},
		{"soap", optim.Settings{"lr": 1e-2, "weight-decay": 0}, 1.85},
		{"muon", optim.Settings{"lr": 0.02}, 1.80},
	} {
		t.Run(c.method, func(t *testing.T) {
			var errs []float64
			for seed := range 3 {
				errs = append(errs, p.fit(t, c.method, c.settings, uint64(seed), p.test))
			}
			t.Logf("%s %v: %.3f", c.method, c.settings, errs)
			slices.Sort(errs)
			if !(errs[1] <= c.most) {
				t.Errorf("%s %v: median test error %.3f, expected at most %g", c.method, c.settings, errs[1], c.most)
			}
		})
	}
}
