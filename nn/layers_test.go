package nn_test

import (
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

func stack(t testing.TB, input []int, layers ...nn.Layer[float64]) nn.Model[float64] {
	t.Helper()
	m, err := nn.New("test", tensor.ShapeOf(input...), layers...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Normalised values have mean 0 and variance 1 over what the layer normalises.
func TestNormalisationLayers(t *testing.T) {
	x := normal(tensor.KeyOf(1), 5, 4, 4, 6)
	for i := range x.Data() {
		x.Data()[i] = 3*x.Data()[i] + float64(i%7)
	}
	at := func(z tensor.Tensor[float64], pick func(n, c int) bool) (mean, square float64) {
		k := 0.0
		for i, v := range z.Data() {
			if pick(i/(4*4*6), i%6) {
				mean, square, k = mean+v, square+v*v, k+1
			}
		}
		return mean / k, square / k
	}
	for _, c := range []struct {
		name    string
		layer   nn.Layer[float64]
		pick    func(n, c int) bool
		centred bool
	}{
		{"batch", &nn.BatchNorm[float64]{Eps: 1e-12}, func(_, c int) bool { return c == 2 }, true},
		{"group", &nn.GroupNorm[float64]{Groups: 3, Eps: 1e-12}, func(n, c int) bool { return n == 1 && c/2 == 1 }, true},
	} {
		m := stack(t, []int{4, 4, 6}, c.layer)
		state := make([]float64, m.StateLayout().Size())
		mean, square := at(forward(m, initial(m, 1), state, nn.Training, x), c.pick)
		if math.Abs(mean) > 1e-10 || math.Abs(square-1) > 1e-9 {
			t.Errorf("%s norm: mean %g, mean square %g", c.name, mean, square)
		}
	}
	for name, layer := range map[string]nn.Layer[float64]{"layer": &nn.LayerNorm[float64]{Eps: 1e-12}, "rms": &nn.RMSNorm[float64]{Eps: 1e-12}} {
		m := stack(t, []int{4, 4, 6}, layer)
		z := forward(m, initial(m, 1), nil, nn.Training, x).Data()[:6]
		var mean, square float64
		for _, v := range z {
			mean, square = mean+v/6, square+v*v/6
		}
		if math.Abs(square-1) > 1e-9 || name == "layer" && math.Abs(mean) > 1e-10 {
			t.Errorf("%s norm: mean %g, mean square %g", name, mean, square)
		}
	}
}

// The running statistics move in Tracking alone, and with one batch again and again they become its statistics.
func TestRunningStatistics(t *testing.T) {
	m := stack(t, []int{2}, &nn.BatchNorm[float64]{})
	params := initial(m, 1)
	state := []float64{0, 0, 1, 1}
	x := tensor.FromSlice([]float64{1, 10, 3, 30, 8, 20}, 3, 2)
	forward(m, params, state, nn.Training, x)
	forward(m, params, state, nn.Evaluating, x)
	near(t, "untouched", state, []float64{0, 0, 1, 1}, 0)
	for range 400 {
		forward(m, params, state, nn.Tracking, x)
	}
	near(t, "converged", state, []float64{4, 20, 13, 100}, 1e-12)
	z := forward(m, params, state, nn.Evaluating, tensor.FromSlice([]float64{4, 30}, 1, 2))
	near(t, "evaluation", z.Data(), []float64{0, 10 / math.Sqrt(100+1e-5)}, 1e-14)
}

func TestDropout(t *testing.T) {
	const n = 40000
	m := stack(t, []int{n}, &nn.Dropout[float64]{Rate: 0.25})
	x := tensor.New[float64](1, n)
	tensor.Fill(x, 3)
	z := forward(m, nil, nil, nn.Training, x)
	var kept float64
	for _, v := range z.Data() {
		switch v {
		case 0:
		case 4:
			kept++
		default:
			t.Fatalf("a unit of 3 became %v, want 0 or 4", v)
		}
	}
	if math.Abs(kept/n-0.75) > 5*math.Sqrt(0.25*0.75/n) {
		t.Errorf("%v of the units kept, want 0.75", kept/n)
	}
	near(t, "same key", forward(m, nil, nil, nn.Training, x).Data(), z.Data(), 0)
	near(t, "evaluation", forward(m, nil, nil, nn.Evaluating, x).Data(), x.Data(), 0)
}

func TestSymbolTable(t *testing.T) {
	m := stack(t, []int{3}, &nn.SymbolTable[float64]{Symbols: 4, Width: 2})
	table := []float64{0, 1, 10, 11, 20, 21, 30, 31}
	z := forward(m, table, nil, nn.Training, tensor.FromSlice([]float64{2, 0, 3, 1, 1, 2}, 2, 3))
	if z.Shape() != tensor.ShapeOf(2, 3, 2) {
		t.Errorf("shape %v", z.Shape())
	}
	near(t, "rows", z.Data(), []float64{20, 21, 0, 1, 30, 31, 10, 11, 10, 11, 20, 21}, 0)
	for _, bad := range []float64{4, -1, 0.5, math.NaN()} {
		func() {
			defer func() {
				if _, ok := recover().(tensor.ShapeError); !ok {
					t.Errorf("symbol %v: no ShapeError", bad)
				}
			}()
			forward(m, table, nil, nn.Training, tensor.FromSlice([]float64{0, 1, bad}, 1, 3))
		}()
	}
}

// The shortcut takes every second pixel and adds channels of zeros.
func TestSubsample(t *testing.T) {
	m := stack(t, []int{4, 4, 1}, &nn.Subsample[float64]{Stride: 2, Out: 3})
	x := tensor.New[float64](1, 4, 4, 1)
	for i := range x.Data() {
		x.Data()[i] = float64(i)
	}
	near(t, "pixels", forward(m, nil, nil, nn.Training, x).Data(), []float64{0, 0, 0, 2, 0, 0, 8, 0, 0, 10, 0, 0}, 0)
}

func TestBadLayers(t *testing.T) {
	for _, c := range []struct {
		input  []int
		layers []nn.Layer[float64]
		want   string
	}{
		{[]int{4}, []nn.Layer[float64]{&nn.Dense[float64]{}}, "0 outputs"},
		{[]int{4}, []nn.Layer[float64]{&nn.Flatten[float64]{}, &nn.MaxPool[float64]{Size: 2}}, "layer 2 of 2: max pooling"},
		{[]int{4, 4, 3}, []nn.Layer[float64]{&nn.Conv[float64]{Out: 4, Kernel: 3, Groups: 2}}, "2 groups"},
		{[]int{4, 4, 3}, []nn.Layer[float64]{&nn.GroupNorm[float64]{Groups: 2}}, "3 channels"},
		{[]int{4}, []nn.Layer[float64]{&nn.Dropout[float64]{Rate: 1}}, "rate 1"},
		{[]int{4}, []nn.Layer[float64]{&nn.Activation[float64]{Name: "tahn"}}, "did you mean tanh"},
		{[]int{4}, []nn.Layer[float64]{&nn.Residual[float64]{Body: &nn.Dense[float64]{Out: 3}}}, "the body gives [3], the shortcut [4]"},
		{[]int{4, 4, 3}, []nn.Layer[float64]{&nn.AvgPool[float64]{Size: 5}}, "5×5 window does not fit"},
	} {
		if _, err := nn.New("test", tensor.ShapeOf(c.input...), c.layers...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

// A pass that records its affine layers gives the same bits as one that does not.
func TestRecordingChangesNothing(t *testing.T) {
	m := model(t, "lenet5", nn.Options{Input: tensor.ShapeOf(12, 12, 1), Outputs: 3})
	params, x := initial(m, 2), normal(tensor.KeyOf(2), 3, 12, 12, 1)
	plain := forward(m, params, nil, nn.Training, x)
	tape := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
	p := nn.NewPass(m)
	p.Start(tape, params, nil, nn.Training, tensor.KeyOf(0))
	p.RecordAffine()
	near(t, "outputs", m.Forward(p, tape.Input(x)).Value().Data(), plain.Data(), 0)
	var names []string
	for _, a := range p.Affine() {
		names = append(names, a.Name)
	}
	if got := strings.Join(names, " "); got != "conv1 conv2 dense1 dense2 dense3" {
		t.Errorf("recorded %s", got)
	}
}

func TestWrongInputPanicsWithBothShapes(t *testing.T) {
	m := model(t, "mlp:3", nn.Options{Input: tensor.ShapeOf(4), Outputs: 2})
	defer func() {
		e, ok := recover().(tensor.ShapeError)
		if !ok || e.A != tensor.ShapeOf(4) || e.B != tensor.ShapeOf(2, 5) {
			t.Errorf("panic %v", e)
		}
	}()
	forward(m, initial(m, 1), nil, nn.Training, tensor.New[float64](2, 5))
}
