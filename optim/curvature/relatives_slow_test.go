//go:build slow

package curvature_test

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/tensor"
)

// task is a model with data, a part of which is held out of the training.
type task struct {
	name, model, activation string
	loss                    nn.Loss[float32]
	input                   tensor.Shape
	outputs                 int
	batch, steps            int
	penalty                 float64
	train, held             examples
}

// examples are rows of numbers with a label each, or without labels for a reconstruction.
type examples struct {
	x      tensor.Tensor[float32]
	labels []int32
}

func (e examples) pick(at []int32) (tensor.Tensor[float32], nn.Target[float32]) {
	width := e.x.Size() / e.x.Shape().Dim(0)
	x := tensor.Of(make([]float32, len(at)*width), e.x.Shape().With(0, len(at)))
	y := nn.Target[float32]{}
	for i, j := range at {
		copy(x.Data()[i*width:(i+1)*width], e.x.Data()[int(j)*width:])
		if e.labels != nil {
			y.Labels = append(y.Labels, e.labels[j])
		}
	}
	if e.labels == nil {
		y.Values = x
	}
	return x, y
}

func gathered(e dataset.Examples, input tensor.Shape, limit int) examples {
	n := min(limit, e.Len())
	at := make([]int32, n)
	for i := range at {
		at[i] = int32(i)
	}
	dims := append([]int{n}, input.Dims()...)
	out := examples{tensor.New[float32](dims...), make([]int32, n)}
	dataset.Gather(e, at, out.x.Data())
	dataset.GatherLabels(e, at, out.labels)
	return out
}

// tasks are the digits with a small network, MNIST with LeNet-5, and the small autoencoder; of each a tenth of the training part
// is held out, and nothing of the test part is used.
func tasks(t *testing.T) []task {
	t.Helper()
	var out []task
	for _, c := range []struct {
		data, model  string
		batch, steps int
	}{{"digits", "mlp:100,100", 64, 300}, {"mnist", "lenet5", 100, 300}} {
		set, err := dataset.Open(c.data, dataset.Options{})
		if err != nil {
			t.Skipf("%v", err)
		}
		out = append(out, task{name: c.data, model: c.model, activation: "relu", loss: nn.CrossEntropy[float32](0), input: set.Input, outputs: set.Outputs,
			batch: c.batch, steps: c.steps, train: gathered(set.Train, set.Input, 30000), held: gathered(set.Val, set.Input, 1000)})
	}
	images, _ := pooled(t)
	n := len(images) / 196
	first := n * 9 / 10
	return append(out, task{name: "autoencoder", model: "autoencoder:200,100,50,12", activation: "tanh", loss: nn.Bernoulli[float32](), input: tensor.ShapeOf(196),
		outputs: 196, batch: 200, steps: 400, penalty: 1e-5,
		train: examples{x: tensor.FromSlice(images[:first*196], first, 196)}, held: examples{x: tensor.FromSlice(images[first*196:], n-first, 196)}})
}

// outcome is what a run came to: the loss of the held-out part before and after, and the largest loss of a batch in the second half.
type outcome struct {
	before, after, largest float64
	extra                  []optim.Value
}

func (k task) run(t *testing.T, spec optim.Spec[float32], s optim.Settings, seed uint64) outcome {
	t.Helper()
	m, err := nn.Build[float32](k.model, nn.Options{Input: k.input, Outputs: k.outputs, Activation: k.activation})
	if err != nil {
		t.Fatal(err)
	}
	n := objective.NewNetwork(m, k.loss, nil)
	n.SetPenalty(k.penalty)
	theta := make([]float32, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(seed), theta, n.State())
	method, err := spec.Make(optim.Env{Layout: m.Layout()}, s)
	if err != nil {
		t.Fatal(err)
	}
	f := objective.New[float32](n, m.Layout(), theta)
	count := k.train.x.Shape().Dim(0)
	sampler := dataset.NewSampler(count, seed, true)
	p := objective.Progress{Batch: k.batch, Horizon: int64(k.batch * k.steps), PerPass: int64(count)}
	all := make([]int32, k.held.x.Shape().Dim(0))
	for i := range all {
		all[i] = int32(i)
	}
	heldX, heldY := k.held.pick(all)
	heldLoss := func() float64 {
		loss, _, err := n.LossAndMetric(theta, heldX, heldY)
		if err != nil {
			t.Fatal(err)
		}
		return loss / float64(len(all))
	}
	out := outcome{before: heldLoss()}
	for step := range k.steps {
		x, y := k.train.pick(sampler.Next(k.batch))
		n.SetBatch(x, y)
		f.SetProgress(p)
		r, err := method.Step(context.Background(), f)
		if err != nil {
			t.Fatalf("%s on %s: %v", spec.Name, k.name, err)
		}
		if step >= k.steps/2 {
			if !(r.Loss <= out.largest) {
				out.largest = r.Loss
			}
		}
		out.extra = append(out.extra[:0], r.Extra...)
		p.Step++
		p.Seen += int64(k.batch)
	}
	out.after = heldLoss()
	return out
}

// TestDefaultsTrain: every one of these methods at its defaults trains all three tasks, with three seeds each: no loss of a batch in the second
// half is above that at the start, and the held-out loss falls.
func TestDefaultsTrain(t *testing.T) {
	table := curvature.Table[float32]()
	for _, k := range tasks(t) {
		for _, name := range []string{"ikfac", "singd", "kld-wrm", "q-kld-wrm", "seng", "adahessian", "sophia-g", "sophia-h"} {
			spec, err := optim.Find(table, name)
			if err != nil {
				t.Fatal(err)
			}
			for seed := range uint64(3) {
				o := k.run(t, spec, nil, seed)
				t.Logf("%-11s %-11s seed %d: held-out loss %.4f → %.4f, largest of a batch %.4f", k.name, name, seed, o.before, o.after, o.largest)
				part := map[string]float64{"digits": 0.3, "mnist": 0.3, "autoencoder": 0.6}[k.name]
				if !(o.largest <= o.before) || !(o.after <= part*o.before) || math.IsNaN(o.after) {
					t.Errorf("%s on %s, seed %d: held-out loss %.4f → %.4f, largest of a batch %.4f", name, k.name, seed, o.before, o.after, o.largest)
				}
			}
		}
	}
}
