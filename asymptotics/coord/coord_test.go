package coord_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/descent-ml/descent/asymptotics/coord"
	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// twoHidden is z = c tanh(tanh((x, 1) W1) W2) without biases.
func twoHidden(width int) (nn.Model[float64], error) {
	dense := func(out int, activation string) nn.Layer[float64] {
		return &nn.Dense[float64]{Out: out, Activation: activation, NoBias: true, Init: nn.Initializer{Name: "lecun-normal", Param: 1}}
	}
	return nn.New("two hidden layers", tensor.ShapeOf(2), dense(width, "tanh"), dense(width, "tanh"), dense(1, ""))
}

// benchmark is eight points of a sine, with a constant input.
func benchmark() (tensor.Tensor[float64], nn.Target[float64]) {
	x, y := tensor.New[float64](8, 2), tensor.New[float64](8, 1)
	for m := range 8 {
		v := -1 + 2*float64(m)/7
		x.Set(v, m, 0)
		x.Set(1, m, 1)
		y.Set(math.Sin(math.Pi*v), m, 0)
	}
	return x, nn.Target[float64]{Values: y}
}

func online(t *testing.T, spec string, widths []int, seeds int) *coord.Report {
	t.Helper()
	p, err := rates.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	p.Input = 1
	x, y := benchmark()
	r, err := coord.Check(context.Background(), nil, coord.Config[float64]{Model: twoHidden, Parametrization: p,
		Settings: optim.Settings{"lr": 1}, Loss: nn.Squared[float64](), X: x, Y: y, Widths: widths, Time: 2, Batch: 1, Seeds: seeds, Key: tensor.KeyOf(5)})
	if err != nil {
		t.Fatal(err)
	}
	if testing.Verbose() {
		r.Write(os.Stderr)
	}
	return r
}

func row(t *testing.T, r *coord.Report, q coord.Quantity, name string) coord.Row {
	t.Helper()
	row, ok := r.Row(q, name)
	if !ok {
		t.Fatalf("no row of %s of %s", q, name)
	}
	t.Logf("%s: %s of %s: %.4g, slope %.3f ± %.3f, %s", r.Parametrization, q, name, row.Values, row.Slope, row.SlopeSE, row.Verdict)
	return row
}

// TestOutputChange is check D2 at smaller widths: with γ = (½, 1) the change of the output does not depend on the width.
func TestOutputChange(t *testing.T) {
	r := online(t, "gamma:0.5,1", []int{32, 64, 128, 256}, 8)
	if c := row(t, r, coord.OutputChange, "output"); math.Abs(c.Slope) > 0.05+2*c.SlopeSE {
		t.Errorf("slope %.3f ± %.3f, want 0 ± 0.05", c.Slope, c.SlopeSE)
	}
	// Check D3: the ordinary rows pass, and the first layer is frozen all the same.
	if w := row(t, r, coord.OnlyThis, "dense1.weight"); w.Slope > -0.8 || w.Verdict != "vanishing" {
		t.Errorf("the first layer's own contribution has slope %.3f, want at most -0.8", w.Slope)
	}
	if strings.Join(r.Frozen, " ") != "dense1.weight" {
		t.Errorf("frozen are %q, want dense1.weight", r.Frozen)
	}
	if row(t, r, coord.ActivationChange, "dense2").Verdict == "vanishing" || r.Lazy {
		t.Error("γ = (½, 1) counts as lazy")
	}
}

// TestCorrected is the other half of D3: the first layer's rate times N_2 clears the flag.
func TestCorrected(t *testing.T) {
	r := online(t, "gamma:0.5,1+auto", []int{32, 64, 128, 256}, 8)
	if w := row(t, r, coord.OnlyThis, "dense1.weight"); math.Abs(w.Slope) > 0.05+2*w.SlopeSE {
		t.Errorf("slope %.3f ± %.3f, want 0 ± 0.05", w.Slope, w.SlopeSE)
	}
	if len(r.Frozen) > 0 {
		t.Errorf("frozen are %q, want none", r.Frozen)
	}
}

// TestLazy: with all γ = ½ the hidden activations' changes fall like 1/√N.
func TestLazy(t *testing.T) {
	r := online(t, "gamma:0.5", []int{32, 64, 128}, 24)
	if a := row(t, r, coord.ActivationChange, "dense2"); math.Abs(a.Slope+0.5) > 0.1+2*a.SlopeSE {
		t.Errorf("slope %.3f, want -0.5 ± 0.1", a.Slope)
	}
	if !r.Lazy {
		t.Error("γ = (½, ½) does not count as lazy")
	}
}

// batchwise checks an mlp or a convolutional network for a few full-batch steps on random images of ten classes.
func batchwise(t *testing.T, spec, method string, lr float64, conv bool) *coord.Report {
	t.Helper()
	p, err := rates.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New[float64](16, 8, 8, 1)
	tensor.Normal(tensor.KeyOf(3), x.Data(), 0, 1)
	y := nn.Target[float64]{Labels: make([]int32, 16)}
	for i := range y.Labels {
		y.Labels[i] = int32(i % 10)
	}
	r, err := coord.Check(context.Background(), nil, coord.Config[float64]{
		Model: func(width int) (nn.Model[float64], error) {
			lecun := nn.Initializer{Name: "lecun-normal", Param: 1}
			if !conv {
				return nn.New("mlp", tensor.ShapeOf(8, 8, 1), &nn.Dense[float64]{Out: width, Activation: "relu", Init: lecun},
					&nn.Dense[float64]{Out: width, Activation: "relu", Init: lecun}, &nn.Dense[float64]{Out: 10, Init: lecun})
			}
			return nn.New("lenet", tensor.ShapeOf(8, 8, 1), &nn.Conv[float64]{Out: width / 4, Kernel: 3, Padding: nn.Same, Activation: "relu", Init: lecun},
				&nn.MaxPool[float64]{Size: 2}, &nn.Conv[float64]{Out: width / 2, Kernel: 3, Activation: "relu", Init: lecun}, &nn.MaxPool[float64]{Size: 2},
				&nn.Dense[float64]{Out: width, Activation: "relu", Init: lecun}, &nn.Dense[float64]{Out: 10, Init: lecun})
		},
		Parametrization: p, Method: method, Settings: optim.Settings{"lr": lr}, Loss: nn.CrossEntropy[float64](0), X: x, Y: y,
		Widths: []int{64, 128, 256}, Steps: 4, Seeds: 8, Key: tensor.KeyOf(8)})
	if err != nil {
		t.Fatal(err)
	}
	if testing.Verbose() {
		r.Write(os.Stderr)
	}
	return r
}

// TestMuP: with muP nothing explodes and no tensor freezes, for SGD and Adam, for dense and convolutional networks. The base is narrow, so that the
// random part of the outputs, which falls with the width and takes the errors with it, is small at all widths.
func TestMuP(t *testing.T) {
	for _, c := range []struct {
		method string
		lr     float64
		conv   bool
	}{{"sgd", 0.1, false}, {"adam", 0.01, false}, {"sgd", 0.01, true}, {"adam", 0.003, true}} {
		r := batchwise(t, "mup@16", c.method, c.lr, c.conv)
		for _, name := range r.Frozen {
			if strings.HasSuffix(name, "weight") {
				t.Errorf("%s, convolutional %v: %s is frozen", c.method, c.conv, name)
			}
		}
		for _, w := range r.Rows {
			if (w.Quantity == coord.OutputChange || w.Quantity == coord.ActivationChange) && w.Step == 4 && w.Verdict == "exploding" {
				t.Errorf("%s, convolutional %v: %s of %s grows with the slope %.3f ± %.3f", c.method, c.conv, w.Quantity, w.Name, w.Slope, w.SlopeSE)
			}
		}
	}
}

// TestStandardIsFlagged is the negative control: with one rate for all, the output's change grows with the width.
func TestStandardIsFlagged(t *testing.T) {
	for _, c := range []struct {
		method string
		lr     float64
	}{{"sgd", 0.1}, {"adam", 0.003}} {
		r := batchwise(t, "standard", c.method, c.lr, false)
		if w := row(t, r, coord.OutputChange, "output"); w.Verdict != "exploding" || r.Stable {
			t.Errorf("%s: %q, stable %v; want exploding", c.method, w.Verdict, r.Stable)
		}
	}
}

// TestReport: JSON and table hold what the check found, also where a network diverged.
func TestReport(t *testing.T) {
	x, y := benchmark()
	for i := range x.Data() {
		x.Data()[i] *= 1e308
	}
	r, err := coord.Check(context.Background(), nil, coord.Config[float64]{Model: twoHidden, Loss: nn.Squared[float64](), X: x, Y: y,
		Widths: []int{4, 8}, Steps: 1, Seeds: 2, Settings: optim.Settings{"lr": 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "diverged") || r.Stable {
		t.Errorf("stable %v, error %v, report:\n%s", r.Stable, err, b.String())
	}
	if _, err := coord.Check(context.Background(), nil, coord.Config[float64]{}); err == nil || !strings.Contains(err.Error(), "hint") {
		t.Errorf("an empty configuration: error %v", err)
	}
}
