package objective_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

var (
	_ objective.Function[float32]   = (*objective.Network[float32])(nil)
	_ objective.Curvature[float32]  = (*objective.Network[float32])(nil)
	_ objective.Tapped[float32]     = (*objective.Network[float32])(nil)
	_ objective.PerExample[float32] = (*objective.Network[float32])(nil)
)

// layered returns a network of the given layers with a batch of five random examples of two classes, and its initial
// parameters.
func layered(t testing.TB, input []int, layers ...nn.Layer[float64]) (*objective.Network[float64], []float64) {
	t.Helper()
	m, err := nn.New("test", tensor.ShapeOf(input...), layers...)
	must(t, err)
	n := objective.NewNetwork(m, nn.CrossEntropy[float64](0), nil)
	theta := make([]float64, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(1), theta, n.State())
	x := tensor.New[float64](append([]int{5}, input...)...)
	tensor.Normal(tensor.KeyOf(2), x.Data(), 0, 1)
	n.SetBatch(x, nn.Target[float64]{Labels: []int32{0, 1, 1, 0, 1}})
	return n, theta
}

// The running statistics move once a batch: at the first evaluation with gradient in training mode.
func TestRunningStatisticsMoveOnceABatch(t *testing.T) {
	n, theta := layered(t, []int{3}, &nn.BatchNorm[float64]{}, &nn.Dense[float64]{Out: 2})
	grad := make([]float64, len(theta))
	still := func(what string, f func()) {
		before := slices.Clone(n.State())
		f()
		if !slices.Equal(before, n.State()) {
			t.Errorf("%s moved the running statistics", what)
		}
	}
	evaluate := func(g []float64) func() {
		return func() { _, err := n.Evaluate(theta, g); must(t, err) }
	}
	still("an evaluation without gradient", evaluate(nil))
	before := slices.Clone(n.State())
	evaluate(grad)()
	if slices.Equal(before, n.State()) {
		t.Error("the first evaluation with gradient did not move the running statistics")
	}
	still("a second evaluation with gradient", evaluate(grad))
	still("a Hessian product", func() { must(t, n.HVP(theta, theta, grad)) })
	still("a Gauss-Newton product", func() { must(t, n.GGNVP(theta, theta, grad)) })
	still("a prediction", func() { n.Predict(theta, tensor.New[float64](2, 3)) })
	n.SetTraining(false)
	n.SetBatch(tensor.New[float64](2, 3), nn.Target[float64]{Labels: []int32{0, 1}})
	still("an evaluation in evaluation mode", evaluate(grad))
}

// One key, one function: the same masks at every evaluation of a step, so that the gradient is that of the value and
// a product that of the gradient; another key gives other masks.
func TestDropoutMasksStayWithinAStep(t *testing.T) {
	n, theta := layered(t, []int{3}, &nn.Dense[float64]{Out: 8, Activation: "tanh"}, &nn.Dropout[float64]{Rate: 0.5}, &nn.Dense[float64]{Out: 2})
	value := func() float64 {
		f, err := n.Evaluate(theta, nil)
		must(t, err)
		return f
	}
	n.SetKey(tensor.KeyOf(1))
	first := value()
	if again := value(); again != first {
		t.Errorf("values %v and %v in one step", first, again)
	}
	hv1, hv2 := make([]float64, len(theta)), make([]float64, len(theta))
	must(t, n.HVP(theta, theta, hv1))
	n.SetKey(tensor.KeyOf(2))
	if other := value(); other == first {
		t.Error("another key gives the same value")
	}
	must(t, n.HVP(theta, theta, hv2))
	if slices.Equal(hv1, hv2) {
		t.Error("another key gives the same product: the recording was not renewed")
	}
	n.SetKey(tensor.KeyOf(1))
	if back := value(); back != first {
		t.Errorf("value %v, with the same key before %v", back, first)
	}
}

// Products follow theta and the batch, and are not disturbed by evaluations in between.
func TestProductsFollowThetaAndBatch(t *testing.T) {
	p := problem{"mlp:5", []int{4}, 3, "cross-entropy", "tanh", 6}
	n, theta := build[float64](t, p, nil)
	d := len(theta)
	v := direction[float64](1, d)
	hv := func(at []float64) []float64 {
		out := make([]float64, d)
		must(t, n.HVP(at, v, out))
		return out
	}
	first := hv(theta)
	_, err := n.Evaluate(direction[float64](9, d), make([]float64, d))
	must(t, err)
	if !slices.Equal(hv(theta), first) {
		t.Error("an evaluation elsewhere changes the product")
	}
	inPlace := slices.Clone(theta)
	if !slices.Equal(hv(inPlace), first) {
		t.Error("a copy of theta gives another product")
	}
	inPlace[0]++
	if slices.Equal(hv(inPlace), first) {
		t.Error("the product does not follow theta when it is changed in place")
	}
	x, y := batchFor(p, n.Loss())
	half := tensor.FromSlice(x.Data()[:3*4], 3, 4)
	n.SetBatch(half, nn.Target[float64]{Labels: y.Labels[:3]})
	if slices.Equal(hv(theta), first) {
		t.Error("the product does not follow the batch")
	}
}

// Squared gradients of normalisation layers and embeddings come from single examples, and are refused where a single
// example has no gradient of its own.
func TestSquaredGradientsBeyondAffineLayers(t *testing.T) {
	n, theta := layered(t, []int{4}, &nn.LayerNorm[float64]{}, &nn.Dense[float64]{Out: 2})
	got := make([]float64, len(theta))
	_, err := n.SquaredGradients(theta, got)
	must(t, err)
	// All examples equal: the sum of squares is n times the square of the mean's gradient.
	x := tensor.New[float64](5, 4)
	for i := range x.Data() {
		x.Data()[i] = float64(i%4) - 1.2
	}
	n.SetBatch(x, nn.Target[float64]{Labels: []int32{1, 1, 1, 1, 1}})
	grad := make([]float64, len(theta))
	_, err = n.Evaluate(theta, grad)
	must(t, err)
	_, err = n.SquaredGradients(theta, got)
	must(t, err)
	for i := range grad {
		if want := 5 * grad[i] * grad[i]; got[i] < want*(1-1e-12)-1e-15 || got[i] > want*(1+1e-12)+1e-15 {
			t.Errorf("%d: %v, want %v", i, got[i], want)
		}
	}

	for _, layers := range [][]nn.Layer[float64]{
		{&nn.BatchNorm[float64]{}, &nn.Dense[float64]{Out: 2}},
		{&nn.LayerNorm[float64]{}, &nn.Dropout[float64]{Rate: 0.5}, &nn.Dense[float64]{Out: 2}},
	} {
		n, theta := layered(t, []int{4}, layers...)
		_, err := n.SquaredGradients(theta, make([]float64, len(theta)))
		if !errors.Is(err, objective.ErrUnsupported) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("error %v", err)
		}
		n.SetTraining(false)
		_, err = n.SquaredGradients(theta, make([]float64, len(theta)))
		must(t, err)
	}
}

func TestBadBatchIsAnError(t *testing.T) {
	n, theta := layered(t, []int{3}, &nn.Dense[float64]{Out: 2})
	x := tensor.New[float64](2, 3)
	n.SetBatch(x, nn.Target[float64]{Labels: []int32{0, 2}})
	g := make([]float64, len(theta))
	_, evaluate := n.Evaluate(theta, g)
	_, tapped := n.EvaluateTapped(theta, g, func(objective.Tap[float64]) {})
	_, squared := n.SquaredGradients(theta, g)
	_, _, metric := n.LossAndMetric(theta, x, nn.Target[float64]{Labels: []int32{0, 2}})
	for _, err := range []error{evaluate, tapped, squared, metric, n.HVP(theta, theta, g), n.GGNVP(theta, theta, g)} {
		if err == nil || !strings.Contains(err.Error(), "label 2, expected 0 to 1") {
			t.Errorf("error %v", err)
		}
	}
}

// LossAndMetric adds up over batches and agrees with Evaluate without the penalty.
func TestLossAndMetric(t *testing.T) {
	for _, p := range problems() {
		n, theta := build[float64](t, p, nil)
		n.SetTraining(false)
		want, err := n.Evaluate(theta, nil)
		must(t, err)
		n.SetPenalty(1)
		x, y := batchFor(p, n.Loss())
		loss, score, err := n.LossAndMetric(theta, x, y)
		must(t, err)
		if got := loss / float64(p.batch); got < want-1e-12*(1+want) || got > want+1e-12*(1+want) {
			t.Errorf("%v: loss %v, want %v", p, got, want)
		}
		if m := n.Loss().Metric().Value(score, p.batch); !(m >= 0) || n.Loss().Metric() == nn.Accuracy && m > 1 {
			t.Errorf("%v: metric %v", p, m)
		}
	}
}

// A steady step allocates a few small objects, whatever the batch.
func TestSteadyStepAllocatesAConstant(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties the pools of buffers at random")
	}
	for _, p := range []problem{
		{"mlp:32,32", []int{16}, 4, "cross-entropy", "", 0},
		{"lenet5", []int{12, 12, 1}, 4, "cross-entropy", "", 0},
	} {
		var bytes []uint64
		for _, batch := range []int{8, 256} {
			p.batch = batch
			n, theta := build[float32](t, p, nil)
			grad := make([]float32, len(theta))
			step := func() {
				_, err := n.Evaluate(theta, grad)
				must(t, err)
			}
			least := uint64(1 << 62) // of several steps: the collector may empty a pool of buffers in one of them
			for range 10 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				step()
				runtime.ReadMemStats(&after)
				least = min(least, after.TotalAlloc-before.TotalAlloc)
			}
			bytes = append(bytes, least)
		}
		t.Logf("%s: %d bytes a step with 8 examples, %d with 256", p.spec, bytes[0], bytes[1])
		if bytes[1] > bytes[0]+512 || bytes[1] > 16<<10 {
			t.Errorf("%s: a step allocates %d bytes with 8 examples, %d with 256", p.spec, bytes[0], bytes[1])
		}
	}
}
