package rates_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

func weights(t *rates.Table) []rates.Row {
	var out []rates.Row
	for _, r := range t.Rows {
		if strings.HasSuffix(r.Name, "weight") {
			out = append(out, r)
		}
	}
	return out
}

func near(t interface{ Errorf(string, ...any) }, what string, got, want, tol float64) {
	if !(math.Abs(got-want) <= tol*math.Abs(want)) {
		t.Errorf("%s: found %.17g, want %.17g", what, got, want)
	}
}

// TestGammaTable is check D1: the rates of one, two and three hidden layers are the lines of the authors' training
// scripts, and those of any depth the closed form of the package text.
func TestGammaTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		depth := rapid.IntRange(1, 6).Draw(t, "depth")
		n := make([]int, depth)
		g := make([]float64, depth)
		for i := range n {
			n[i] = rapid.IntRange(1, 5000).Draw(t, "N")
			g[i] = rapid.Float64Range(0.5, 1).Draw(t, "gamma")
		}
		p := rates.Parametrization{Rule: rates.Gamma, Gammas: g}
		table, err := p.Table(rates.MLP(7, n, 3), rates.SGD, 1)
		if err != nil {
			t.Fatal(err)
		}
		pow := func(l int, e float64) float64 { return math.Pow(float64(n[l-1]), e) } // N_l^e, l from 1
		e1 := func(l int) float64 { return pow(l, -(1 - 2*g[l-1])) }
		e2 := func(l int) float64 { return pow(l, -(2 - 2*g[l-1])) }
		e3 := func(l int) float64 { return pow(l, -(3 - 2*g[l-1])) }
		var want []float64 // W_1 … W_L, output
		switch depth {
		case 1:
			want = []float64{e2(1), e2(1)}
		case 2:
			want = []float64{e1(1) * e3(2), e1(1) * e2(2), e2(2)}
		case 3:
			want = []float64{e1(1) * e2(2) * e3(3), e1(1) * e1(2) * e3(3), e1(2) * e2(3), e2(3)}
		default:
			L := depth
			for l := 1; l <= L+1; l++ {
				switch {
				case l == L+1:
					want = append(want, e2(L))
				case l == L:
					want = append(want, e1(L-1)*e2(L))
				default:
					r := e1(l) * e3(L)
					if l > 1 {
						r *= e1(l - 1)
					}
					for k := l + 1; k < L; k++ {
						r *= e2(k)
					}
					want = append(want, r)
				}
			}
		}
		for i, r := range weights(table) {
			near(t, r.Name, r.RawRate, want[i], 1e-12)
			near(t, r.Name+" folded", r.Rate, r.Multiplier*r.Multiplier*r.RawRate, 1e-12)
		}
	})
}

// TestCorrections: for two hidden layers and γ = (½, 1) the incoherent rate of the first layer is the published one times
// N_2, as is that of auto; for γ = (1, 1) auto is the published rule.
func TestCorrections(t *testing.T) {
	first := func(spec string, n int) float64 {
		p, err := rates.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		table, err := p.Table(rates.MLP(3, []int{n, n}, 1), rates.SGD, 1)
		if err != nil {
			t.Fatal(err)
		}
		return table.Rows[0].RawRate
	}
	for _, n := range []int{64, 1024} {
		near(t, "incoherent", first("gamma:0.5,1+incoherent", n)/first("gamma:0.5,1", n), float64(n), 1e-12)
		near(t, "auto, inner 1/2", first("gamma:0.5,1+auto", n)/first("gamma:0.5,1", n), float64(n), 1e-12)
		near(t, "auto, all 1", first("gamma:1+auto", n), first("gamma:1", n), 1e-12)
		near(t, "auto, kernel", first("gamma:0.5+auto", n)/first("gamma:0.5", n), float64(n), 1e-12)
	}
}

// TestMuP holds the exponents against table 3 of Tensor Programs V, and the γ-rule with (½, 1) and the correction against
// muP's: the same but for the clock of N_L steps.
func TestMuP(t *testing.T) {
	net := rates.MLP(10, []int{256, 256}, 5)
	for _, c := range []struct {
		opt   rates.Optimizer
		rates []float64 // exponents: w1 b1 w2 b2 w3 b3
	}{{rates.SGD, []float64{1, 1, 0, 1, -1, 0}}, {rates.Adam, []float64{0, 0, -1, 0, -1, 0}}} {
		table, err := rates.Parametrization{Rule: rates.MuP}.Table(net, c.opt, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range table.Rows {
			if math.Abs(r.RateExponent-c.rates[i]) > 1e-9 {
				t.Errorf("%s %s: exponent %g, want %g", c.opt, r.Name, r.RateExponent, c.rates[i])
			}
		}
		for i, want := range []float64{0, -0.5, -1} {
			if got := weights(table)[i].SDExponent; math.Abs(got-want) > 1e-9 {
				t.Errorf("initial scale of layer %d: exponent %g, want %g", i+1, got, want)
			}
		}
		p, _ := rates.Parse("gamma:0.5,1+auto")
		gamma, err := p.Table(net, c.opt, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range gamma.Rows {
			if i == len(gamma.Rows)-1 {
				continue // the output's bias is one number, which muP moves by O(1) a step and the γ-rule by 1/N
			}
			if want := table.Rows[i].RateExponent - 1; math.Abs(r.RateExponent-want) > 1e-9 {
				t.Errorf("%s, γ-rule: %s has the exponent %g, want muP's less one, %g", c.opt, r.Name, r.RateExponent, want)
			}
		}
	}
}

// TestBase: relative to a base width every factor is one there, and the powers are the same as without.
func TestBase(t *testing.T) {
	for _, spec := range []string{"mup@64", "gamma:0.9@64", "ntk@64", "gamma:0.5,1+auto@64", "standard@64"} {
		p, err := rates.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		if p.String() != spec {
			t.Errorf("%q is written %q", spec, p)
		}
		at := rates.MLP(10, []int{64, 64}, 5)
		table, err := p.Table(at, rates.Adam, 0.1)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range weights(table) {
			near(t, spec+" rate "+r.Name, r.Rate, 1, 1e-12)
			near(t, spec+" sd "+r.Name, r.SD, at[i].InitSD(), 1e-12)
			near(t, spec+" effective", r.Effective, 0.1, 1e-12)
		}
		wide := rates.MLP(10, []int{256, 256}, 5)
		absolute := p
		absolute.Base = 0
		a, _ := absolute.Table(wide, rates.SGD, 1)
		b, _ := p.Table(wide, rates.SGD, 1)
		c, err := rates.Convert(absolute, at, wide, rates.SGD, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Rows {
			if math.Abs(a.Rows[i].RateExponent-b.Rows[i].RateExponent) > 1e-9 {
				t.Errorf("%s: the base changed an exponent", spec)
			}
			near(t, "conversion", c.Rows[i].Rate, b.Rows[i].Rate, 1e-12)
		}
	}
}

// TestBadInput: every error says what to do.
func TestBadInput(t *testing.T) {
	for _, spec := range []string{"gama:0.9", "gamma", "gamma:2", "gamma:0.9+both", "mup:3", "mup@zero", "gamma:x", "ntk+auto", "mup@0"} {
		if _, err := rates.Parse(spec); err == nil || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%q: error %v", spec, err)
		}
	}
	_, err := rates.Parametrization{Rule: rates.Gamma, Gammas: []float64{0.5, 1}}.Table(rates.MLP(2, []int{3}, 1), rates.SGD, 1)
	if err == nil || !strings.Contains(err.Error(), "hint") {
		t.Errorf("too many exponents: error %v", err)
	}
	if _, err := rates.OptimizerOf("shampoo"); err == nil || !strings.Contains(err.Error(), "hint") {
		t.Errorf("shampoo: error %v", err)
	}
	m, err := nn.Build[float64]("resnet20", nn.Options{Input: tensor.ShapeOf(32, 32, 3), Outputs: 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rates.NetOf(m.Layout()); err == nil || !strings.Contains(err.Error(), "belongs to no chain") {
		t.Errorf("a residual network: error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "mup", "gamma:0.9", "gamma:0.5,1+auto@64", "standard@3", "gamma:,@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := rates.Parse(s)
		if err != nil {
			return
		}
		q, err := rates.Parse(p.String())
		if err != nil || q.String() != p.String() {
			t.Errorf("%q reads as %q, which reads as %q, error %v", s, p, q, err)
		}
	})
}

// TestNetOf reads widths from models: a convolution's are its channels.
func TestNetOf(t *testing.T) {
	m, err := nn.Build[float32]("lenet5", nn.Options{Input: tensor.ShapeOf(28, 28, 1), Outputs: 10})
	if err != nil {
		t.Fatal(err)
	}
	net, err := rates.NetOf(m.Layout())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][3]int{{25, 6, 1}, {6, 16, 25}, {16, 120, 25}, {120, 84, 1}, {84, 10, 1}} {
		if l := net[i]; l.In != want[0] || l.Out != want[1] || l.Positions != want[2] {
			t.Errorf("layer %d is %+v, want in, out, positions %v", i, l, want)
		}
	}
	var b strings.Builder
	p, _ := rates.Parse("mup")
	table, err := p.Table(net, rates.SGD, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Write(&b); err != nil || !strings.Contains(b.String(), "conv2.weight") || !strings.Contains(b.String(), "channels") {
		t.Errorf("table:\n%s", b.String())
	}
	if _, err := json.Marshal(table); err != nil {
		t.Error(err)
	}
	wide := net.AtWidth(12)
	if wide[0].Out != 12 || wide[1].In != 12 || wide[1].Out != 32 || wide[4].Out != 10 || wide[2].FanIn() != 32*25 {
		t.Errorf("twice as wide: %+v", wide)
	}
}

// scaled is a layer that multiplies by a number.
type scaled struct{ a float64 }

func (l *scaled) Declare(_ *nn.Declaration, in tensor.Shape) (tensor.Shape, error) { return in, nil }
func (l *scaled) Forward(_ *nn.Pass[float64], x autodiff.Var[float64]) autodiff.Var[float64] {
	return autodiff.Scale(x, l.a)
}

// trainTwoLayers trains z = a₂ tanh(a₁ x W₁) W₂ with rates c and returns the outputs on the batch after it. scale multiplies the initial values.
func trainTwoLayers(t *testing.T, method string, a, c, scale [2]float64, lr float64, steps int) []float64 {
	t.Helper()
	const n, d, h = 6, 3, 5
	x := tensor.New[float64](n, d)
	tensor.Normal(tensor.KeyOf(1), x.Data(), 0, 1)
	y := tensor.New[float64](n, 1)
	tensor.Normal(tensor.KeyOf(2), y.Data(), 0, 1)
	// A multiplier in front of a dense layer is one on its input.
	m, err := nn.New("two", tensor.ShapeOf(d), &scaled{a[0]}, &nn.Dense[float64]{Out: h, Activation: "tanh", Init: nn.Normal(1), NoBias: true},
		&scaled{a[1]}, &nn.Dense[float64]{Out: 1, Init: nn.Normal(1), NoBias: true})
	if err != nil {
		t.Fatal(err)
	}
	net := objective.NewNetwork[float64](m, nn.Squared[float64](), nil)
	params := make([]float64, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(3), params, net.State())
	rates.Rescale(rates.Plan{InitScale: scale[:]}, m.Layout(), params)
	s := optim.Settings{"lr": lr}
	if method != "sgd" && method != "momentum" {
		s["eps"] = 1e-30
	}
	if method == "adamw" {
		s["weight-decay"] = 0.05
	}
	meth, err := catalogue.New[float64](method, optim.Env{Layout: m.Layout(), RateFactors: c[:]}, s)
	if err != nil {
		t.Fatal(err)
	}
	obj := objective.New(net, m.Layout(), params)
	net.SetBatch(x, nn.Target[float64]{Values: y})
	for k := range steps {
		obj.SetProgress(objective.Progress{Step: int64(k), Batch: n})
		if _, err := meth.Step(context.Background(), obj); err != nil {
			t.Fatal(err)
		}
	}
	return append([]float64{}, net.Predict(params, x).Data()...)
}

// TestEquivalence: training with multipliers a and rates c is training without, on initial values times a and rates a²c for methods linear
// in the gradient, a·c for those of Adam's kin. Decoupled decay shrinks the weights of both alike.
func TestEquivalence(t *testing.T) {
	a, c := [2]float64{0.4, 0.2}, [2]float64{1.5, 3}
	for _, method := range []string{"sgd", "momentum", "adam", "adamw", "rmsprop"} {
		opt, err := rates.OptimizerOf(method)
		if err != nil {
			t.Fatal(err)
		}
		lr := 0.3
		if opt == rates.Adam {
			lr = 0.01
		}
		var folded [2]float64
		for i := range a {
			folded[i] = a[i] * c[i]
			if opt == rates.SGD {
				folded[i] *= a[i]
			}
		}
		with := trainTwoLayers(t, method, a, c, [2]float64{1, 1}, lr, 30)
		start := trainTwoLayers(t, method, a, c, [2]float64{1, 1}, lr, 0)
		without := trainTwoLayers(t, method, [2]float64{1, 1}, folded, a, lr, 30)
		moved := 0.0
		for i := range with {
			moved = math.Max(moved, math.Abs(with[i]-start[i]))
			if math.Abs(with[i]-without[i]) > 1e-9 {
				t.Errorf("%s: output %d is %.15g with multipliers and %.15g without", method, i, with[i], without[i])
			}
		}
		if moved < 0.05 {
			t.Errorf("%s: the outputs moved by %g only: the test shows nothing", method, moved)
		}
		wrong := folded
		wrong[1] *= a[1]
		if other := trainTwoLayers(t, method, [2]float64{1, 1}, wrong, a, lr, 30); math.Abs(other[0]-with[0]) < 1e-4 {
			t.Errorf("%s: another exponent of the multiplier gives the same outputs: the test shows nothing", method)
		}
	}
}
