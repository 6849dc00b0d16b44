package kernel_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/asymptotics/kernel"
	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/asymptotics/verdict"
	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

type matrix = tensor.Tensor[float64]

func relative(a, b matrix) float64 {
	ws := tensor.NewWorkspace[float64](nil)
	d := ws.New(a.Shape())
	tensor.Sub(ws, d, a, b)
	return tensor.Norm(ws, d) / tensor.Norm(ws, b)
}

// points are n inputs with independent normal coordinates of variance 1/d.
func points(n, d int) matrix {
	x := tensor.New[float64](n, d)
	tensor.Normal(tensor.KeyOf(77), x.Data(), 0, 1/math.Sqrt(float64(d)))
	return x
}

// apply is a layer that applies an operation.
type apply struct {
	f func(autodiff.Var[float64]) autodiff.Var[float64]
}

func (l apply) Declare(_ *nn.Declaration, in tensor.Shape) (tensor.Shape, error) { return in, nil }
func (l apply) Forward(_ *nn.Pass[float64], x autodiff.Var[float64]) autodiff.Var[float64] {
	return l.f(x)
}

// finite returns the empirical tangent and start kernels of one network of the given widths in the NTK parametrization, with weights of unit
// variance on the inputs. Start kernel means the sum over the last hidden layer, which the readout's rate gives.
func finite(t testing.TB, f func(autodiff.Var[float64]) autodiff.Var[float64], widths []int, x matrix, seed uint64) (ntk, nngp matrix) {
	t.Helper()
	var layers []nn.Layer[float64]
	for _, w := range append(append([]int{}, widths...), 1) {
		layers = append(layers, &nn.Dense[float64]{Out: w, NoBias: true, Init: nn.Initializer{Name: "lecun-normal", Param: 1}}, apply{f})
	}
	m, err := nn.New("wide", tensor.ShapeOf(x.Shape().Cols()), layers[:len(layers)-1]...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := rates.PlanFor(rates.Parametrization{Rule: rates.NTK}, m.Layout(), "sgd")
	if err != nil {
		t.Fatal(err)
	}
	params := make([]float64, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(seed), params, nil)
	rates.Rescale(plan, m.Layout(), params)
	// The first layer sees x itself: weights of unit variance, rate one.
	d := math.Sqrt(float64(x.Shape().Cols()))
	ws := tensor.NewWorkspace[float64](nil)
	first := nn.View(m.Layout(), params, 0)
	tensor.Scale(ws, first, first, d)
	plan.Rate[0] = 1
	e := kernel.NewEmpirical(m, params, nil)
	e.Rate = plan.Rate
	if ntk, err = e.Kernel(x, matrix{}); err != nil {
		t.Fatal(err)
	}
	for i := range plan.Rate[:len(plan.Rate)-1] {
		plan.Rate[i] = 0
	}
	if nngp, err = e.Kernel(x, matrix{}); err != nil {
		t.Fatal(err)
	}
	return ntk, nngp
}

// ladder returns the mean relative errors of both kernels over draws, by width.
func ladder(t testing.TB, s kernel.Activation, f func(autodiff.Var[float64]) autodiff.Var[float64], depth, draws int, widths ...int) (ntk, nngp []float64) {
	x := points(30, 10)
	want, err := kernel.MLP{Activation: s, Depth: depth, Input: 1}.Kernel(nil, x, matrix{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range widths {
		var a, b float64
		for seed := range draws {
			var list []int
			for range depth {
				list = append(list, n)
			}
			k, q := finite(t, f, list, x, uint64(seed)+1000*uint64(n))
			a += relative(k, want.NTK) / float64(draws)
			b += relative(q, want.NNGP) / float64(draws)
		}
		ntk, nngp = append(ntk, a), append(nngp, b)
	}
	return ntk, nngp
}

func relu(x autodiff.Var[float64]) autodiff.Var[float64] { return autodiff.ReLU(x) }
func erf(x autodiff.Var[float64]) autodiff.Var[float64]  { return autodiff.Erf(x) }

// TestFiniteWidth is checks K1, K2 and K3: a shallow network's kernels approach the closed form like 1/√N.
func TestFiniteWidth(t *testing.T) {
	widths := []int{256, 1024, 4096, 16384}
	for _, c := range []struct {
		name  string
		s     kernel.Activation
		f     func(autodiff.Var[float64]) autodiff.Var[float64]
		bound float64
	}{{"erf", kernel.Erf(), erf, 0.035}, {"relu", kernel.ReLU(), relu, 0.045}} {
		ntk, nngp := ladder(t, c.s, c.f, 1, 20, widths...)
		fit := verdict.LogLog([]float64{256, 1024, 4096, 16384}, ntk, nil)
		t.Logf("%s: relative error of the NTK %.4f, slope %.3f ± %.3f; of the NNGP %.4f", c.name, ntk, fit.Slope, fit.SE, nngp)
		if ntk[2] > c.bound {
			t.Errorf("K1 %s: mean relative error %.4f at N = 4096, want at most %.3f", c.name, ntk[2], c.bound)
		}
		if math.Abs(fit.Slope+0.5) > 0.05 {
			t.Errorf("K2 %s: slope %.3f, want -0.5 ± 0.05", c.name, fit.Slope)
		}
		if nngp[2] > 0.06 {
			t.Errorf("K3 %s: mean relative error %.4f at N = 4096, want at most 0.06", c.name, nngp[2])
		}
	}
	// The wrong kernel is not within the bounds: the test could fail.
	if ntk, _ := ladder(t, kernel.Erf(), relu, 1, 1, 4096); ntk[0] < 0.1 {
		t.Errorf("the ReLU network agrees with the erf kernel to %.3f", ntk[0])
	}
}

// TestTwoHiddenLayers is check K4, with fewer draws at a smaller width; the slow tests have the full one.
func TestTwoHiddenLayers(t *testing.T) {
	for name, c := range map[string]struct {
		s kernel.Activation
		f func(autodiff.Var[float64]) autodiff.Var[float64]
	}{"erf": {kernel.Erf(), erf}, "relu": {kernel.ReLU(), relu}} {
		ntk, _ := ladder(t, c.s, c.f, 2, 4, 1024)
		t.Logf("%s: relative error %.4f at N = 1024", name, ntk[0])
		if bound := 0.08 * math.Sqrt2; ntk[0] > bound { // the bound at 2048, by 1/√N
			t.Errorf("K4 %s: mean relative error %.4f at N = 1024, want at most %.3f", name, ntk[0], bound)
		}
	}
}

// graphNet returns the empirical kernel between the nodes of a graph convolutional network, column by column from products.
func graphNet(t testing.TB, a, x matrix, width int, seed uint64) matrix {
	aggregate := apply{func(h autodiff.Var[float64]) autodiff.Var[float64] {
		// Â is a constant of the layer: an input of the tape it is recorded on.
		return autodiff.SparseMatMul(dense(a), h, false)
	}}
	wide := func(n int) nn.Layer[float64] {
		return &nn.Dense[float64]{Out: n, NoBias: true, Init: nn.Initializer{Name: "lecun-normal", Param: 1}}
	}
	act := apply{relu}
	m, err := nn.New("gcn", tensor.ShapeOf(x.Shape().Cols()), aggregate, wide(width), act, aggregate, wide(width), act, aggregate, wide(1))
	if err != nil {
		t.Fatal(err)
	}
	plan, _ := rates.PlanFor(rates.Parametrization{Rule: rates.NTK}, m.Layout(), "sgd")
	params := make([]float64, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(seed), params, nil)
	e := kernel.NewEmpirical(m, params, nil)
	e.Rate = plan.Rate
	n := x.Shape().Rows()
	out, v, kv := tensor.New[float64](n, n), tensor.New[float64](n, 1), tensor.New[float64](n, 1)
	for j := range n {
		clear(v.Data())
		v.Data()[j] = 1
		e.Product(x, v, kv)
		for i, k := range kv.Data() {
			out.Set(k, i, j)
		}
	}
	return out
}

// dense is a matrix as a sparse one.
func dense(a matrix) *tensor.CSR[float64] {
	n := a.Shape().Rows()
	ptr, col := []int32{0}, []int32(nil)
	var val []float64
	for i := range n {
		for j := range n {
			if v := a.At(i, j); v != 0 {
				col, val = append(col, int32(j)), append(val, v)
			}
		}
		ptr = append(ptr, int32(len(col)))
	}
	m, err := tensor.NewCSR(n, n, ptr, col, val)
	if err != nil {
		panic(err)
	}
	return m
}

func graphProblem(t testing.TB) (a kernel.Aggregation, x, want matrix) {
	a, err := kernel.Symmetric(8, [][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 7}, {7, 0}, {0, 4}, {1, 6}})
	if err != nil {
		t.Fatal(err)
	}
	x = tensor.New[float64](8, 5)
	tensor.Normal(tensor.KeyOf(4), x.Data(), 0, 1)
	g := kernel.GCN{Activation: kernel.ReLU(), Depth: 2}
	k, err := g.Kernel(nil, a, x)
	if err != nil {
		t.Fatal(err)
	}
	sparse, err := g.Kernel(tensor.NewPool(2), kernel.Aggregation{Sparse: dense(a.Dense)}, x)
	if err != nil {
		t.Fatal(err)
	}
	if d := relative(sparse.NTK, k.NTK); d > 1e-14 {
		t.Errorf("sparse and dense aggregation differ by %g", d)
	}
	return a, x, k.NTK
}

// TestGraph is check K6 at a quarter of its width, where the bound is twice as large; the slow tests have the full one.
func TestGraph(t *testing.T) {
	a, x, want := graphProblem(t)
	mean := 0.0
	for seed := range 4 {
		mean += relative(graphNet(t, a.Dense, x, 1024, uint64(seed)), want) / 4
	}
	t.Logf("relative error %.4f at N = 1024", mean)
	if mean > 0.10 {
		t.Errorf("K6: mean relative error %.4f at N = 1024, want at most 0.10", mean)
	}
	path, err := kernel.GCN{Activation: kernel.ReLU(), Depth: 30}.Oversmoothing(nil, a, x)
	if err != nil {
		t.Fatal(err)
	}
	if path[30] < 0.99 || path[0] > 0.9 {
		t.Errorf("the least correlation goes from %.3f to %.3f over 30 layers, want near 1 at the end", path[0], path[30])
	}
}

// TestEmpiricalPaths: inner products of layers, blocks of the Jacobian and products with vectors give the same kernel, for
// any size of blocks, one output or all, with biases and rates.
func TestEmpiricalPaths(t *testing.T) {
	for _, spec := range []string{"mlp:7,5", "conv"} {
		var m nn.Model[float64]
		var err error
		in := tensor.ShapeOf(4, 4, 1)
		if spec == "conv" {
			m, err = nn.New("conv", in, &nn.Conv[float64]{Out: 3, Kernel: 3, Padding: nn.Same, Activation: "tanh"}, &nn.AvgPool[float64]{Size: 2}, &nn.Dense[float64]{Out: 2})
		} else {
			m, err = nn.Build[float64](spec, nn.Options{Input: in, Outputs: 2, Activation: "tanh"})
		}
		if err != nil {
			t.Fatal(err)
		}
		const n = 5
		x := tensor.New[float64](n, 4, 4, 1)
		tensor.Normal(tensor.KeyOf(1), x.Data(), 0, 1)
		params := make([]float64, m.Layout().Size())
		tensor.Normal(tensor.KeyOf(2), params, 0, 0.5)
		e := kernel.NewEmpirical(m, params, nil)
		e.Rate = make([]float64, m.Layout().Len())
		for i := range e.Rate {
			e.Rate[i] = 0.5 + float64(i)
		}
		// The whole kernel [n·2, n·2] by products.
		full := tensor.New[float64](2*n, 2*n)
		v, kv := tensor.New[float64](n, 2), tensor.New[float64](n, 2)
		for j := range 2 * n {
			clear(v.Data())
			v.Data()[j] = 1
			e.Product(x, v, kv)
			for i, k := range kv.Data() {
				full.Set(k, i, j)
			}
		}
		for _, output := range []int{0, 1, -1} {
			e.Output = output
			for _, bytes := range []int{0, 1, 20000} {
				e.Bytes = bytes
				k, err := e.Kernel(x, matrix{})
				if err != nil {
					t.Fatal(err)
				}
				half, err := e.Kernel(x, tensor.Of(x.Data()[:32], tensor.ShapeOf(2, 4, 4, 1)))
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					for j := range n {
						want := full.At(2*i+max(output, 0), 2*j+max(output, 0))
						if output < 0 {
							want = (full.At(2*i, 2*j) + full.At(2*i+1, 2*j+1)) / 2
						}
						if math.Abs(k.At(i, j)-want) > 1e-12*math.Abs(full.At(0, 0)) || j < 2 && math.Abs(half.At(i, j)-want) > 1e-12*math.Abs(full.At(0, 0)) {
							t.Fatalf("%s, output %d, %d bytes: element (%d, %d) is %g, want %g", spec, output, bytes, i, j, k.At(i, j), want)
						}
					}
				}
			}
		}
		e.Output = 2
		if _, err := e.Kernel(x, matrix{}); err == nil {
			t.Error("output 2 of 2 was accepted")
		}
	}
}

// TestRepair: a kernel with a negative eigenvalue is reported and mended, and the tests of time and dimension hold by hand.
func TestRepair(t *testing.T) {
	// Eigenvalues 3 and -1, vectors (1, 1)/√2 and (1, -1)/√2.
	k := tensor.FromSlice([]float64{1, 2, 2, 1}, 2, 2)
	s, err := kernel.SpectrumOf(nil, k)
	if err != nil {
		t.Fatal(err)
	}
	if s.Repair.Negative != 1 || math.Abs(s.Repair.Least+1) > 1e-14 || math.Abs(s.Values[0]-3) > 1e-14 || s.Values[1] != 0 {
		t.Errorf("values %v, %v", s.Values, s.Repair)
	}
	modes := s.Modes(4, 0.1, []float64{1, 1})
	if want := math.Log(10) / (4 * 3.0 / 2); math.Abs(modes[0].Time-want) > 1e-12 || math.Abs(modes[0].Residual-1) > 1e-12 || !math.IsInf(modes[1].Time, 1) {
		t.Errorf("modes %+v, want the time %g", modes, want)
	}
	if text, err := json.Marshal(modes); err != nil || !strings.Contains(string(text), `"time":null`) {
		t.Errorf("JSON %s, error %v", text, err)
	}
	if d := s.EffectiveDimension(1); math.Abs(d-0.75) > 1e-14 || math.Abs(s.Participation()-1) > 1e-14 || math.Abs(s.LargestRate()-4.0/3) > 1e-14 {
		t.Errorf("effective dimension %g, participation %g, largest rate %g", d, s.Participation(), s.LargestRate())
	}
	if _, err := kernel.SpectrumOf(nil, tensor.FromSlice([]float64{math.NaN()}, 1, 1)); err == nil {
		t.Error("NaN was decomposed")
	}
}

// TestRegression: at t = 0 the prediction is the start, at the training points and t = ∞ it is the target without variance, and between it obeys
// the differential equation, which Euler steps of the joint system confirm.
func TestRegression(t *testing.T) {
	const n, m = 6, 3
	x := points(n+m, 4)
	train, test := tensor.FromSlice(x.Data()[:n*4], n, 4), tensor.FromSlice(x.Data()[n*4:], m, 4)
	net := kernel.MLP{Activation: kernel.Erf(), Depth: 1, BiasVar: 0.1, Input: 1}
	kernels := func(a, b matrix) kernel.Kernels {
		k, err := net.Kernel(nil, a, b)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	tt, ct, cc := kernels(train, matrix{}), kernels(test, train), kernels(test, matrix{})
	r := &kernel.Regression{Alpha: 2, Theta: tt.NTK, Cross: ct.NTK, Q: tt.NNGP, QCross: ct.NNGP, QTest: cc.NNGP}
	y := tensor.New[float64](n, 1)
	tensor.Normal(tensor.KeyOf(9), y.Data(), 0, 1)
	p0, err := r.Predict(nil, y, 0)
	if err != nil {
		t.Fatal(err)
	}
	if tensor.Norm(tensor.NewWorkspace[float64](nil), p0.Mean) != 0 || relative(p0.Cov, cc.NNGP) > 1e-15 {
		t.Error("at time 0 the prediction is not the start")
	}
	// Euler, h_{k+1} = h_k + dt (α/n) Θ (y - h_k), on training and test points together.
	const T, dt = 0.7, 1e-4
	h, g := make([]float64, n), make([]float64, m)
	for range int(math.Round(T / dt)) {
		e := make([]float64, n)
		for i := range e {
			e[i] = dt * 2 / n * (y.Data()[i] - h[i])
		}
		for i := range h {
			for j := range e {
				h[i] += tt.NTK.At(i, j) * e[j]
			}
		}
		for i := range g {
			for j := range e {
				g[i] += ct.NTK.At(i, j) * e[j]
			}
		}
	}
	p, err := r.Predict(nil, y, T)
	if err != nil {
		t.Fatal(err)
	}
	for i := range g {
		if math.Abs(p.Mean.Data()[i]-g[i]) > 1e-3 {
			t.Errorf("mean %d at time %g is %g, Euler gives %g", i, T, p.Mean.Data()[i], g[i])
		}
	}
	self := &kernel.Regression{Alpha: 2, Theta: tt.NTK, Cross: tt.NTK, Q: tt.NNGP, QCross: tt.NNGP, QTest: tt.NNGP}
	end, err := self.Predict(nil, y, math.Inf(1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if math.Abs(end.Mean.Data()[i]-y.Data()[i]) > 1e-9 || math.Abs(end.Cov.At(i, i)) > 1e-9 {
			t.Errorf("at the end of training point %d has mean %g and variance %g, want %g and 0", i, end.Mean.Data()[i], end.Cov.At(i, i), y.Data()[i])
		}
	}
}

// TestWorkers: the same bits for one worker and three.
func TestWorkers(t *testing.T) {
	x := points(23, 5)
	for _, s := range []kernel.Activation{kernel.ReLU(), kernel.Tanh()} {
		m := kernel.MLP{Activation: s, Depth: 3, BiasVar: 0.2}
		a, _ := m.Kernel(tensor.NewPool(1), x, matrix{})
		b, _ := m.Kernel(tensor.NewPool(3), x, matrix{})
		for i, v := range a.NTK.Data() {
			if v != b.NTK.Data()[i] || a.NNGP.Data()[i] != b.NNGP.Data()[i] {
				t.Fatalf("%s: element %d differs", s.Name, i)
			}
		}
	}
}

// TestKernelIsPositive: every kernel of distinct points is positive semi-definite to rounding, and a rectangular kernel is a part of the square
// one.
func TestKernelIsPositive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := kernel.Activations()
		s := all[rapid.IntRange(0, len(all)-1).Draw(t, "activation")]
		n := rapid.IntRange(2, 6).Draw(t, "points")
		m := kernel.MLP{Activation: s, Depth: rapid.IntRange(0, 2).Draw(t, "depth"), WeightVar: rapid.Float64Range(0.2, 1.5).Draw(t, "weights"), BiasVar: rapid.Float64Range(0, 0.5).Draw(t, "biases")}
		x := tensor.New[float64](n, 3)
		tensor.Normal(tensor.KeyOf(rapid.Uint64().Draw(t, "seed")), x.Data(), 0, 1)
		k, err := m.Kernel(nil, x, matrix{})
		if err != nil {
			t.Fatal(err)
		}
		part, err := m.Kernel(nil, tensor.FromSlice(x.Data()[:3], 1, 3), x)
		if err != nil {
			t.Fatal(err)
		}
		for j := range n {
			if d := math.Abs(part.NTK.At(0, j) - k.NTK.At(0, j)); d > 1e-9*math.Abs(k.NTK.At(0, 0)) {
				t.Errorf("%s: the rectangular kernel differs by %g", s.Name, d)
			}
		}
		ws := tensor.NewWorkspace[float64](nil)
		for _, q := range []matrix{k.NNGP, k.NTK} {
			values := make([]float64, n)
			if err := linalg.SymmetricEigen(ws, values, matrix{}, q); err != nil {
				t.Fatal(err)
			}
			if values[0] < -1e-6*values[n-1] {
				t.Errorf("%s: eigenvalue %g beside %g", s.Name, values[0], values[n-1])
			}
		}
	})
}
