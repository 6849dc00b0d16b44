//go:build slow

package curvature_test

import (
	"compress/gzip"
	"context"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/tensor"
)

// pooled returns the 10,000 test images of MNIST, 14×14 by means of 2×2 pixels, in [0, 1]: every fifth for testing.
func pooled(t *testing.T) (train, test []float32) {
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
	for i := range 10000 {
		image := raw[16+i*784:]
		for k := range 196 {
			at := k/14*56 + k%14*2
			sum := int(image[at]) + int(image[at+1]) + int(image[at+28]) + int(image[at+29])
			if v := float32(sum) / 1020; i%5 == 4 {
				test = append(test, v)
			} else {
				train = append(train, v)
			}
		}
	}
	return train, test
}

// miniature is a training of 196-200-100-50-12-50-100-200-196, tanh with a linear code and Bernoulli outputs, on the pooled images.
type miniature struct {
	train, test []float32
	net         *objective.Network[float32]
	theta       []float32
	method      optim.Method[float32]
	f           *objective.Objective[float32]
	batch       int
	sampler     *dataset.Sampler
	x           tensor.Tensor[float32]
	p           objective.Progress
}

func newMiniature(t *testing.T, method string, settings optim.Settings, batch int, seed uint64) *miniature {
	t.Helper()
	r := &miniature{batch: batch}
	r.train, r.test = pooled(t)
	spec, err := optim.Find(append(optim.Table[float32](), curvature.Table[float32]()...), method)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.Build[float32]("autoencoder:200,100,50,12", nn.Options{Input: tensor.ShapeOf(196), Outputs: 196, Activation: "tanh"})
	if err != nil {
		t.Fatal(err)
	}
	r.net = objective.NewNetwork(m, nn.Bernoulli[float32](), nil)
	r.net.SetPenalty(1e-5)
	r.theta = make([]float32, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(seed), r.theta, r.net.State())
	if r.method, err = spec.Make(optim.Env{Layout: m.Layout()}, settings); err != nil {
		t.Fatal(err)
	}
	r.f = objective.New[float32](r.net, m.Layout(), r.theta)
	r.sampler = dataset.NewSampler(len(r.train)/196, seed, true)
	r.x = tensor.New[float32](batch, 196)
	r.p = objective.Progress{Batch: batch, Horizon: 160000, PerPass: 8000}
	return r
}

// steps makes n steps and returns the last report.
func (r *miniature) steps(t *testing.T, n int) (last optim.Report) {
	t.Helper()
	for range n {
		for i, j := range r.sampler.Next(r.batch) {
			copy(r.x.Data()[i*196:(i+1)*196], r.train[int(j)*196:])
		}
		r.net.SetBatch(r.x, nn.Target[float32]{Values: r.x})
		r.f.SetProgress(r.p)
		var err error
		if last, err = r.method.Step(context.Background(), r.f); err != nil {
			t.Fatal(err)
		}
		r.p.Step++
		r.p.Seen += int64(r.batch)
	}
	return last
}

// error returns the mean over images of the sum of squares of an image's error.
func (r *miniature) error(images []float32) float64 {
	n := len(images) / 196
	z := r.net.Predict(r.theta, tensor.FromSlice(images, n, 196))
	q := tensor.New[float32](n, 196)
	tensor.Apply(tensor.NewWorkspace[float32](nil), q, tensor.Sigmoid, z, 0)
	sum := 0.0
	for i, v := range q.Data() {
		d := float64(v - images[i])
		sum += d * d
	}
	return sum / float64(n)
}

// TestMiniAutoencoder makes 800 steps on batches of 200, from three seeds, and holds the medians of the test error after 400 and 800 of
// them to bounds. Adam comes first: a baseline outside of its interval says that the comparison is void.
func TestMiniAutoencoder(t *testing.T) {
	for _, c := range []struct {
		method       string
		settings     optim.Settings
		half         float64
		least, worst float64
	}{
		{"adam", optim.Settings{"lr": 3e-3, "beta2": 0.99}, 5, 2.2, 2.9},
		{"kfac", optim.Settings{"lr": 0.3, "damping": 1, "kl-clip": 0.03, "statistics-every": 1, "inverse-every": 10}, 2.35, 0, 1.75},
		{"kfac", optim.Settings{"lr": 0.3, "damping": 1, "kl-clip": 0.03}, 2.35, 0, 1.75},
	} {
		var half, end []float64
		for seed := range 3 {
			r := newMiniature(t, c.method, c.settings, 200, uint64(seed))
			r.steps(t, 400)
			half = append(half, r.error(r.test))
			r.steps(t, 400)
			end = append(end, r.error(r.test))
		}
		t.Logf("%s %v: %.3f after 400 steps, %.3f after 800", c.method, c.settings, half, end)
		slices.Sort(half)
		slices.Sort(end)
		if half[1] > c.half {
			t.Errorf("%s %v: median test error %.3f after 400 steps, expected at most %g", c.method, c.settings, half[1], c.half)
		}
		if !(end[1] <= c.worst && end[1] >= c.least) {
			t.Errorf("%s %v: median test error %.3f, expected %g to %g", c.method, c.settings, end[1], c.least, c.worst)
		}
	}
}

// adaptive are the settings of the deterministic regime: rate, momentum and damping from the exact quadratic model.
func adaptive(more optim.Settings) optim.Settings {
	s := optim.Settings{"regime": 1, "adaptive-damping": 1, "damping-every": 5, "statistics-every": 1, "inverse-every": 5}
	maps.Copy(s, more)
	return s
}

// TestAdaptiveFullBatch makes steps on all 8,000 images with nothing to tune but the first damping.
func TestAdaptiveFullBatch(t *testing.T) {
	r := newMiniature(t, "kfac", adaptive(optim.Settings{"damping": 1}), 8000, 0)
	for _, bound := range []struct{ steps, worst float64 }{{100, 1.75}, {150, 1.10}} {
		last := r.steps(t, int(bound.steps)-int(r.p.Step))
		e := r.error(r.train)
		t.Logf("after %g steps: training error %.3f, test error %.3f; %v", bound.steps, e, r.error(r.test), last.Extra)
		if !(e <= bound.worst) {
			t.Errorf("training error %.3f after %g steps, expected at most %g", e, bound.steps, bound.worst)
		}
	}
	for _, damping := range []float64{1e-4, 1e3} {
		r := newMiniature(t, "kfac", adaptive(optim.Settings{"damping": damping}), 8000, 0)
		last := r.steps(t, 60)
		e := r.error(r.train)
		t.Logf("first damping %g: training error %.3f, test error %.3f; %v", damping, e, r.error(r.test), last.Extra)
		if math.IsNaN(e) || math.IsInf(e, 0) || last.Skipped {
			t.Errorf("first damping %g: training error %g", damping, e)
		}
	}
}

// TestNoDivergence is a sweep over rates and dampings with the clip on: every run ends with a test error of at most 6.
func TestNoDivergence(t *testing.T) {
	for _, lr := range []float64{0.1, 0.3, 1} {
		for _, damping := range []float64{0.1, 0.3, 1, 3} {
			r := newMiniature(t, "kfac", optim.Settings{"lr": lr, "damping": damping, "kl-clip": 0.1, "statistics-every": 1, "inverse-every": 10}, 200, 0)
			r.steps(t, 800)
			e := r.error(r.test)
			t.Logf("lr %g, damping %g: %.3f", lr, damping, e)
			if !(e <= 6) {
				t.Errorf("lr %g, damping %g: test error %.3f, expected at most 6", lr, damping, e)
			}
		}
	}
}
