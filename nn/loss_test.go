package nn_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

var lossSpecs = []string{"cross-entropy", "cross-entropy:0.2", "squared", "bernoulli", "poisson", "huber", "huber:0.3"}

func loss(t testing.TB, spec string) nn.Loss[float64] {
	t.Helper()
	l, err := nn.LossByName[float64](spec)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// target draws a target that fits the loss.
func target(l nn.Loss[float64], rows, cols int, key tensor.Key) nn.Target[float64] {
	if l.UsesLabels() {
		y := make([]int32, rows)
		for i := range y {
			y[i] = int32(key.IntN(uint64(i), cols))
		}
		return nn.Target[float64]{Labels: y}
	}
	y := tensor.New[float64](rows, cols)
	tensor.Uniform(key, y.Data(), 0, 1)
	return nn.Target[float64]{Values: y}
}

func normal(key tensor.Key, dims ...int) tensor.Tensor[float64] {
	x := tensor.New[float64](dims...)
	tensor.Normal(key, x.Data(), 0, 1)
	return x
}

// Value and gradient are torch's (testdata/losses.py); the mean of PerExample is the value.
func TestLossesAgainstTorch(t *testing.T) {
	var golden struct {
		Examples, Outputs int
		Z                 []float64
		Cases             []struct {
			Loss             string
			Target, Gradient []float64
			Value            float64
		}
	}
	readJSON(t, "losses.json", &golden)
	if len(golden.Cases) != len(lossSpecs) {
		t.Fatalf("%d cases", len(golden.Cases))
	}
	n, k := golden.Examples, golden.Outputs
	for _, c := range golden.Cases {
		l := loss(t, c.Loss)
		y := nn.Target[float64]{}
		if l.UsesLabels() {
			for _, v := range c.Target {
				y.Labels = append(y.Labels, int32(v))
			}
		} else {
			y.Values = tensor.FromSlice(c.Target, n, k)
		}
		tape := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
		z := tape.Input(tensor.FromSlice(golden.Z, n, k))
		v := l.Apply(z, y)
		g := tape.Gradient(v, []autodiff.Var[float64]{z})[0]
		near(t, c.Loss+" value", []float64{v.Value().Data()[0]}, []float64{c.Value}, 1e-14)
		near(t, c.Loss+" gradient", g.Value().Data(), c.Gradient, 1e-14)
		each := make([]float64, n)
		l.PerExample(z.Value(), y, each)
		var mean float64
		for _, e := range each {
			mean += e / float64(n)
		}
		near(t, c.Loss+" mean of examples", []float64{mean}, []float64{c.Value}, 1e-14)
	}
}

// HessianProduct is the second derivative of Apply; S Sᵀ = H; ⟨S u, v⟩ = ⟨u, Sᵀ v⟩.
func TestOutputHessian(t *testing.T) {
	for _, spec := range lossSpecs {
		l := loss(t, spec)
		rapid.Check(t, func(r *rapid.T) {
			rows, cols := rapid.IntRange(1, 5).Draw(r, "rows"), rapid.IntRange(1, 6).Draw(r, "cols")
			key := tensor.KeyOf(rapid.Uint64().Draw(r, "seed"))
			z, v, u := normal(key.Named("z"), rows, cols), normal(key.Named("v"), rows, cols), normal(key.Named("u"), rows, cols)
			y := target(l, rows, cols, key.Named("y"))
			out := func() tensor.Tensor[float64] { return tensor.New[float64](rows, cols) }

			tape := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
			zv := []autodiff.Var[float64]{tape.Input(z)}
			g := tape.Gradient(l.Apply(zv[0], y), zv)
			want := tape.JVP(g, zv, []autodiff.Var[float64]{tape.Input(v)})[0].Value()

			hv, stv, sstv, su := out(), out(), out(), out()
			l.HessianProduct(z, v, hv, y)
			l.SqrtHessianTransposed(z, v, stv, y)
			l.SqrtHessianProduct(z, stv, sstv, y)
			l.SqrtHessianProduct(z, u, su, y)
			near(r, spec+": H v by autodiff", hv.Data(), want.Data(), 1e-12)
			near(r, spec+": S Sᵀ v", sstv.Data(), hv.Data(), 1e-12)
			var a, b float64
			for i := range su.Data() {
				a += su.Data()[i] * v.Data()[i]
				b += u.Data()[i] * stv.Data()[i]
			}
			near(r, spec+": adjoint", []float64{a}, []float64{b}, 1e-12)
		})
	}
}

// The mean of ∇ℓ ∇ℓᵀ over sampled targets is the Fisher matrix, which is the output Hessian (for Huber its mean over
// the targets). Every entry is within 5 standard errors, estimated from the sample itself.
func TestSampledFisher(t *testing.T) {
	const samples, k = 60000, 3
	for _, spec := range []string{"cross-entropy", "squared", "bernoulli", "poisson", "huber", "huber:0.3"} {
		l := loss(t, spec)
		row := []float64{0.4, -0.7, 0.9}
		z := tensor.New[float64](samples, k)
		for i := range samples {
			copy(z.Data()[i*k:], row)
		}
		y := l.Sample(z, tensor.KeyOf(11))
		if err := l.Check(z.Shape(), y); err != nil {
			t.Fatal(err)
		}
		tape := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
		zv := tape.Input(z)
		g := tape.Gradient(l.Apply(zv, y), []autodiff.Var[float64]{zv})[0].Value().Data()
		for b := range k {
			e := tensor.New[float64](samples, k)
			for i := range samples {
				e.Set(samples, i, b) // undoes the 1/n of the mean
			}
			h := tensor.New[float64](samples, k)
			l.HessianProduct(z, e, h, y)
			for a := range k {
				var mean, square, hess float64
				for i := range samples {
					p := g[i*k+a] * g[i*k+b] * samples * samples
					mean += p / samples
					square += p * p / samples
					hess += h.At(i, a) / samples
				}
				bound := 5 * math.Sqrt((square-mean*mean)/samples)
				if strings.HasPrefix(spec, "huber") {
					bound += 5 * 0.5 / math.Sqrt(samples) // the mean Hessian is a sample too
				}
				if math.Abs(mean-hess) > bound {
					t.Errorf("%s: entry (%d, %d): E[∇∇ᵀ] = %.4f, Hessian %.4f, bound %.4f", spec, a, b, mean, hess, bound)
				}
			}
		}
	}
}

// Sampled targets have the mean of the predictive distribution, also for large Poisson rates.
func TestSampleMean(t *testing.T) {
	const n = 20000
	for _, c := range []struct {
		loss            string
		z, mean, spread float64
	}{
		{"squared", 1.5, 1.5, 1}, {"bernoulli", 0.8, 1 / (1 + math.Exp(-0.8)), 0.5}, {"poisson", 1, math.E, math.Sqrt(math.E)},
		{"poisson", math.Log(1234), 1234, math.Sqrt(1234)}, {"poisson", math.Log(2e5), 2e5, math.Sqrt(2e5)}, {"huber", -2, -2, 1.5},
	} {
		z := tensor.New[float64](n, 1)
		tensor.Fill(z, c.z)
		y := loss(t, c.loss).Sample(z, tensor.KeyOf(3))
		var mean float64
		for _, v := range y.Values.Data() {
			mean += v / n
		}
		if math.Abs(mean-c.mean) > 5*c.spread/math.Sqrt(n) {
			t.Errorf("%s at z = %g: mean %g, want %g", c.loss, c.z, mean, c.mean)
		}
	}
}

func TestScores(t *testing.T) {
	z := tensor.FromSlice([]float64{1, 2, 0, 3, 1, 1, 0, 0, math.NaN()}, 3, 3)
	l := nn.CrossEntropy[float64](0)
	if got := l.Score(z, nn.Target[float64]{Labels: []int32{1, 0, 2}}); got != 2 {
		t.Errorf("%v right, want 2", got)
	}
	if got := nn.Accuracy.Value(2, 4); got != 0.5 {
		t.Errorf("accuracy %v", got)
	}
	s := nn.Squared[float64]()
	sum := s.Score(tensor.FromSlice([]float64{1, 2, 3, 4}, 2, 2), nn.Target[float64]{Values: tensor.FromSlice([]float64{1, 0, 0, 4}, 2, 2)})
	if got, want := nn.RMSE.Value(sum, 2), math.Sqrt((4.0+9)/4); math.Abs(got-want) > 1e-15 {
		t.Errorf("RMSE %v, want %v", got, want)
	}
	if !nn.Accuracy.Better(0.9, 0.8) || !nn.RMSE.Better(0.8, 0.9) {
		t.Error("better is worse")
	}
}

func TestBadTargetsAndLossNames(t *testing.T) {
	z := tensor.ShapeOf(2, 3)
	for _, c := range []struct {
		loss string
		y    nn.Target[float64]
		want string
	}{
		{"cross-entropy", nn.Target[float64]{Labels: []int32{0, 3}}, "example 1 of the batch has label 3, expected 0 to 2"},
		{"cross-entropy", nn.Target[float64]{Labels: []int32{0}}, "found 1 labels"},
		{"squared", nn.Target[float64]{Labels: []int32{0, 1}}, "found targets of shape"},
		{"bernoulli", nn.Target[float64]{Values: tensor.FromSlice([]float64{0, 1, 0, 0, 2, 0}, 2, 3)}, "example 1 of the batch has target 2"},
	} {
		err := loss(t, c.loss).Check(z, c.y)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%s: error %v, want %q and a hint", c.loss, err, c.want)
		}
	}
	for spec, want := range map[string]string{
		"cross-entrop": "did you mean cross-entropy?", "huber:-1": "huber takes δ", "squared:2": "squared takes no number",
		"cross-entropy:1": "label smoothing", "huber:x": "huber takes δ",
	} {
		_, err := nn.LossByName[float64](spec)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", spec, err, want)
		}
	}
	for _, spec := range lossSpecs {
		if got := loss(t, spec).Name(); got != spec {
			t.Errorf("%s calls itself %s", spec, got)
		}
	}
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// near fails unless got and want agree to tol relative to the larger of 1 and want.
func near(t interface{ Errorf(string, ...any) }, what string, got, want []float64, tol float64) {
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tol*max(1, math.Abs(want[i]))) {
			t.Errorf("%s: number %d is %.17g, want %.17g", what, i, got[i], want[i])
			return
		}
	}
}
