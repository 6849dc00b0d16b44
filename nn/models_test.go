package nn_test

import (
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

func model(t testing.TB, spec string, o nn.Options) nn.Model[float64] {
	t.Helper()
	m, err := nn.Build[float64](spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func initial(m nn.Model[float64], seed uint64) []float64 {
	p := make([]float64, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(seed), p, make([]float64, m.StateLayout().Size()))
	return p
}

// forward evaluates m once.
func forward(m nn.Model[float64], params, state []float64, mode nn.Mode, x tensor.Tensor[float64]) tensor.Tensor[float64] {
	tape := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
	p := nn.NewPass(m)
	p.Start(tape, params, state, mode, tensor.KeyOf(0))
	return m.Forward(p, tape.Input(x)).Value()
}

// The numbers of parameters are those that the literature gives: DeepOBS' documentation for its two networks, 0.27 M for
// ResNet-20 without parameters in the shortcuts; the others by hand.
func TestParameterCounts(t *testing.T) {
	for _, c := range []struct {
		spec    string
		input   []int
		outputs int
		want    int
	}{
		{"linear", []int{784}, 10, 7850},
		{"logistic", []int{28, 28, 1}, 10, 7850},
		{"mlp:512,512", []int{784}, 10, 669706},
		{"lenet5", []int{28, 28, 1}, 10, 61706},
		{"2c2d", []int{28, 28, 1}, 10, 3274634},
		{"3c3d", []int{32, 32, 3}, 10, 895210},
		{"resnet20", []int{32, 32, 3}, 10, 269722},
		{"autoencoder", []int{784}, 0, 2*(784*1000+1000*500+500*250+250*30) + 1000 + 500 + 250 + 30 + 250 + 500 + 1000 + 784},
	} {
		m := model(t, c.spec, nn.Options{Input: tensor.ShapeOf(c.input...), Outputs: c.outputs})
		if got := m.Layout().Size(); got != c.want {
			t.Errorf("%s: %d parameters, want %d", c.spec, got, c.want)
		}
		end := 0
		for i := range m.Layout().Len() {
			p := m.Layout().At(i)
			if p.Offset != end {
				t.Errorf("%s: %s begins at %d, the one before ends at %d", c.spec, p.Name, p.Offset, end)
			}
			end += p.Shape.Size()
		}
	}
}

// Outputs of the convolutional networks, and the running statistics of batch normalisation, are torch's
// (testdata/models.py).
func TestModelsAgainstTorch(t *testing.T) {
	var golden struct {
		LeNet5        []float64 `json:"lenet5"`
		Net3c3d       []float64 `json:"3c3d"`
		ResNet20      []float64 `json:"resnet20"`
		ResNet20State []float64 `json:"resnet20_state"`
	}
	readJSON(t, "models.json", &golden)
	for _, c := range []struct {
		spec        string
		batch, side int
		channels    int
		want        []float64
	}{
		{"lenet5", 2, 12, 1, golden.LeNet5}, {"3c3d", 2, 12, 3, golden.Net3c3d}, {"resnet20", 3, 8, 3, golden.ResNet20},
	} {
		m := model(t, c.spec, nn.Options{Input: tensor.ShapeOf(c.side, c.side, c.channels), Outputs: 10})
		params := make([]float64, m.Layout().Size())
		for i := range m.Layout().Len() {
			p := m.Layout().At(i)
			for j := range p.Shape.Size() {
				params[p.Offset+j] = 0.1 * math.Sin(float64(p.Offset+j+1))
				if p.Kind == nn.Scale {
					params[p.Offset+j]++
				}
			}
		}
		x := tensor.New[float64](c.batch, c.side, c.side, c.channels)
		for i := range x.Data() {
			x.Data()[i] = math.Cos(float64(i + 1))
		}
		state := make([]float64, m.StateLayout().Size())
		nn.Initialize(m, tensor.KeyOf(0), make([]float64, len(params)), state)
		z := forward(m, params, state, nn.Tracking, x)
		near(t, c.spec, z.Data(), c.want, 1e-11)
		if len(state) > 0 {
			near(t, c.spec+" state", state, golden.ResNet20State, 1e-12)
		}
	}
}

// The classes of a logistic regression start equally likely; its parameters are zero.
func TestLogisticStartsAtZero(t *testing.T) {
	m := model(t, "logistic", nn.Options{Input: tensor.ShapeOf(5), Outputs: 3})
	for _, v := range initial(m, 1) {
		if v != 0 {
			t.Fatalf("parameter %v", v)
		}
	}
}

func TestModelNames(t *testing.T) {
	for _, info := range nn.ModelNames() {
		o := nn.Options{Input: tensor.ShapeOf(32, 32, 3), Outputs: 10}
		m, err := nn.Build[float32](info.Name, o)
		if err != nil {
			t.Errorf("%s: %v", info.Name, err)
			continue
		}
		if m.Name() != info.Standard {
			t.Errorf("%s alone is %s, documented is %s", info.Name, m.Name(), info.Standard)
		}
		if d, err := nn.Describe(info.Standard); err != nil || d.Title != info.Title || d.Doc == "" {
			t.Errorf("Describe(%s): %+v, %v", info.Standard, d, err)
		}
	}
}

func TestBadSpecifications(t *testing.T) {
	flat := nn.Options{Input: tensor.ShapeOf(784), Outputs: 10}
	small := nn.Options{Input: tensor.ShapeOf(8, 8, 1), Outputs: 10}
	for _, c := range []struct {
		spec string
		o    nn.Options
		want []string
	}{
		{"lenet", flat, []string{`unknown model "lenet"`, "did you mean lenet5"}},
		{"transformer", flat, []string{"one of linear, logistic"}},
		{"mlp:512,x", flat, []string{`found width "x"`, "mlp:64,64"}},
		{"mlp:0", flat, []string{`found width "0"`}},
		{"mlp:", flat, []string{`found width ""`}},
		{"mlp:9999999", flat, []string{"1048576"}},
		{"lenet5:3", flat, []string{"takes no numbers"}},
		{"lenet5", flat, []string{"expected images", "mlp"}},
		{"lenet5", small, []string{"a 5×5 window does not fit into 4×4", "layer 3 of 7"}},
		{"mlp", nn.Options{Input: tensor.ShapeOf(784)}, []string{"0 outputs"}},
		{"mlp", nn.Options{Input: tensor.ShapeOf(4), Outputs: 2, Activation: "rleu"}, []string{"did you mean relu"}},
		{"mlp", nn.Options{Input: tensor.ShapeOf(4), Outputs: 2, Init: "he-nromal"}, []string{"did you mean he-normal"}},
	} {
		_, err := nn.Build[float32](c.spec, c.o)
		if err == nil {
			t.Errorf("%s: no error", c.spec)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %q lacks %q", c.spec, err, w)
			}
		}
	}
}

func FuzzBuild(f *testing.F) {
	for _, s := range []string{"mlp:3,4", "lenet5", "autoencoder:3,,", "mlp:-1", "::", "mlp:1e3"} {
		f.Add(s, "relu", "normal:0.1")
	}
	f.Fuzz(func(t *testing.T, spec, act, init string) {
		m, err := nn.Build[float32](spec, nn.Options{Input: tensor.ShapeOf(6), Outputs: 2, Activation: act, Init: init})
		if (m == nil) == (err == nil) {
			t.Fatalf("%q: model %v, error %v", spec, m, err)
		}
	})
}

// Every activation is the function that its name says, fused into a dense layer or not.
func TestActivations(t *testing.T) {
	want := map[string]func(float64) float64{
		"relu":       func(x float64) float64 { return max(x, 0) },
		"leaky-relu": func(x float64) float64 { return max(x, 0.01*x) },
		"elu":        func(x float64) float64 { return max(x, math.Expm1(min(x, 0))) },
		"tanh":       math.Tanh,
		"sigmoid":    func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		"gelu":       func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) },
		"silu":       func(x float64) float64 { return x / (1 + math.Exp(-x)) },
		"softplus":   func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) },
		"hard-tanh":  func(x float64) float64 { return min(max(x, -1), 1) },
		"identity":   func(x float64) float64 { return x },
		"step": func(x float64) float64 {
			if x > 0 {
				return 1
			}
			return 0
		},
	}
	x := tensor.FromSlice([]float64{-3, -1.2, -0.5, 0, 0.3, 0.9, 2.5}, 7, 1)
	for _, name := range nn.Activations() {
		m, err := nn.New("test", tensor.ShapeOf(1), nn.Layer[float64](&nn.Dense[float64]{Out: 1, Activation: name}))
		if err != nil {
			t.Fatal(err)
		}
		z := forward(m, []float64{2, 0.1}, nil, nn.Training, x)
		for i, v := range x.Data() {
			near(t, name, z.Data()[i:i+1], []float64{want[name](2*v + 0.1)}, 1e-14)
		}
	}
}
