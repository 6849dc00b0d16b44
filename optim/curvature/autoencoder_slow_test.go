//go:build slow

package curvature_test

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
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

// TestMiniAutoencoder trains 196-200-100-50-12-50-100-200-196, tanh with a linear code and Bernoulli outputs, for 800 batches of
// 200, and holds the test error (sum of squares of an image) after 400 and 800 of them to bounds. Adam comes first: a baseline
// outside of its interval says that the comparison is void.
func TestMiniAutoencoder(t *testing.T) {
	train, test := pooled(t)
	table := append(optim.Table[float32](), curvature.Table[float32]()...)
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
		spec, err := optim.Find(table, c.method)
		if err != nil {
			t.Fatal(err)
		}
		m, err := nn.Build[float32]("autoencoder:200,100,50,12", nn.Options{Input: tensor.ShapeOf(196), Outputs: 196, Activation: "tanh"})
		if err != nil {
			t.Fatal(err)
		}
		n := objective.NewNetwork(m, nn.Bernoulli[float32](), nil)
		n.SetPenalty(1e-5)
		theta := make([]float32, m.Layout().Size())
		nn.Initialize(m, tensor.KeyOf(0), theta, n.State())
		method, err := spec.Make(optim.Env{Layout: m.Layout()}, c.settings)
		if err != nil {
			t.Fatal(err)
		}
		f := objective.New[float32](n, m.Layout(), theta)
		sampler := dataset.NewSampler(len(train)/196, 0, true)
		x := tensor.New[float32](200, 196)
		p := objective.Progress{Batch: 200, Horizon: 160000, PerPass: 8000}
		testError := func() float64 {
			z := n.Predict(theta, tensor.FromSlice(test, len(test)/196, 196))
			q := tensor.New[float32](len(test)/196, 196)
			tensor.Apply(tensor.NewWorkspace[float32](nil), q, tensor.Sigmoid, z, 0)
			sum := 0.0
			for i, v := range q.Data() {
				d := float64(v - test[i])
				sum += d * d
			}
			return sum / float64(len(test)/196)
		}
		for range 800 {
			for i, j := range sampler.Next(200) {
				copy(x.Data()[i*196:(i+1)*196], train[int(j)*196:])
			}
			n.SetBatch(x, nn.Target[float32]{Values: x})
			f.SetProgress(p)
			if _, err := method.Step(context.Background(), f); err != nil {
				t.Fatal(err)
			}
			p.Step++
			p.Seen += 200
			if p.Step == 400 {
				if e := testError(); !(e <= c.half) {
					t.Errorf("%s %v: test error %.3f after 400 steps, expected at most %g", c.method, c.settings, e, c.half)
				}
			}
		}
		e := testError()
		t.Logf("%s %v: %.3f", c.method, c.settings, e)
		if !(e <= c.worst && e >= c.least) {
			t.Errorf("%s %v: test error %.3f, expected %g to %g", c.method, c.settings, e, c.least, c.worst)
		}
	}
}
