package optim_test

import (
	"context"
	"math"
	"math/cmplx"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/optimtest"
	"github.com/descent-ml/descent/tensor"
)

// training runs a method on a function from a point, in a layout of one weight vector.
type training struct {
	t *testing.T
	m optim.Method[float64]
	f *objective.Objective[float64]
	p objective.Progress
}

func weights(n int) *nn.Layout {
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "x", Shape: tensor.ShapeOf(n), Kind: nn.Weight})
	return l
}

func train(t *testing.T, method string, s optim.Settings, fn objective.Function[float64], from ...float64) *training {
	t.Helper()
	layout := weights(len(from))
	m, err := optim.New[float64](method, optim.Env{Layout: layout}, s)
	if err != nil {
		t.Fatal(err)
	}
	return &training{t, m, objective.New(fn, layout, append([]float64(nil), from...)), objective.Progress{Batch: 1}}
}

func (r *training) step() optim.Report {
	r.t.Helper()
	r.f.SetProgress(r.p)
	report, err := r.m.Step(context.Background(), r.f)
	if err != nil {
		r.t.Fatal(err)
	}
	r.p.Step++
	r.p.Seen += int64(r.p.Batch)
	return report
}

// given is a function whose gradient is a fixed sequence, whatever the parameters: one vector a call.
type given struct {
	grads [][]float64
	calls int
}

func (g *given) Evaluate(_, grad []float64) (float64, error) {
	copy(grad, g.grads[g.calls])
	g.calls++
	return 0, nil
}

func closeTo(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*math.Max(1, math.Abs(want))) {
		t.Errorf("%s is %v, expected %v", what, got, want)
	}
}

// On f = ½λx² gradient descent multiplies x by 1 − lr·λ.
func TestGradientDescentOnAQuadratic(t *testing.T) {
	r := train(t, "sgd", set("lr", 0.3), optimtest.Quadratic[float64]{Lambda: []float64{2}}, 5)
	for range 20 {
		r.step()
	}
	closeTo(t, "x after 20 steps", r.f.Params()[0], 5*math.Pow(1-0.3*2, 20), 1e-14)
}

// The heavy ball on f = ½λx² is x ← (1+μ−lrλ) x − μ x₋₁ and so c₁z₁ᵗ + c₂z₂ᵗ with the roots of
// z² − (1+μ−lrλ) z + μ; with Nesterov's form, of z² − (1+μ)(1−lrλ) z + μ(1−lrλ).
func TestMomentumOnAQuadratic(t *testing.T) {
	const lr, mu, lambda, x0, steps = 0.2, 0.8, 1.3, 2.0, 40
	h := lr * lambda
	for _, c := range []struct {
		method string
		b, c   float64 // z² − b z + c
		x1     float64
	}{
		{"momentum", 1 + mu - h, mu, x0 * (1 - h)},
		{"nesterov", (1 + mu) * (1 - h), mu * (1 - h), x0 * (1 - h*(1+mu))},
	} {
		d := cmplx.Sqrt(complex(c.b*c.b-4*c.c, 0))
		z1, z2 := (complex(c.b, 0)+d)/2, (complex(c.b, 0)-d)/2
		// c₁ + c₂ = x₀, c₁z₁ + c₂z₂ = x₁
		c1 := (complex(c.x1, 0) - complex(x0, 0)*z2) / (z1 - z2)
		c2 := complex(x0, 0) - c1
		r := train(t, c.method, set("lr", lr, "momentum", mu), optimtest.Quadratic[float64]{Lambda: []float64{lambda}}, x0)
		for step := 1; step <= steps; step++ {
			r.step()
			want := real(c1*cmplx.Pow(z1, complex(float64(step), 0)) + c2*cmplx.Pow(z2, complex(float64(step), 0)))
			if math.Abs(r.f.Params()[0]-want) > 1e-12 {
				t.Fatalf("%s: x after %d steps is %v, expected %v", c.method, step, r.f.Params()[0], want)
			}
		}
	}
}

// The first step of these methods is lr·sign(g) for any gradient.
func TestFirstStepIsTheSign(t *testing.T) {
	for method, first := range map[string]float64{"adam": 1, "amsgrad": 1, "adamw": 1, "adamax": 1, "adagrad": 1, "lion": 1, "schedule-free-adamw": 1, "rmsprop": 10, "adopt": 0} {
		s := set("lr", 0.01, "weight-decay", 0)
		if method != "lion" {
			s["eps"] = 1e-30
		}
		r := train(t, method, s, &given{grads: [][]float64{{1e-4, -700, 0.3}}}, 1, 1, 1)
		r.step()
		for i, sign := range []float64{1, -1, 1} {
			closeTo(t, method+": step", 1-r.f.Params()[i], 0.01*first*sign, 1e-12)
		}
	}
}

// Adagrad divides by the root of the sum of squares.
func TestAdagradSums(t *testing.T) {
	r := train(t, "adagrad", set("lr", 0.5, "eps", 1e-30), &given{grads: [][]float64{{3}, {4}, {12}, {84}}}, 0)
	want := 0.0
	for _, c := range [][2]float64{{3, 3}, {4, 5}, {12, 13}, {84, 85}} {
		r.step()
		want -= 0.5 * c[0] / c[1]
		closeTo(t, "x", r.f.Params()[0], want, 1e-15)
	}
}

// AMSGrad's step does not grow when the gradient falls; Adam's does.
func TestAMSGradKeepsTheMaximum(t *testing.T) {
	grads := [][]float64{{100}}
	for range 30 {
		grads = append(grads, []float64{0.01})
	}
	last := func(method string) float64 {
		r := train(t, method, set("lr", 1, "beta1", 0, "beta2", 0.5), &given{grads: grads}, 0)
		before := 0.0
		for range grads {
			before = r.f.Params()[0]
			r.step()
		}
		return before - r.f.Params()[0]
	}
	if a := last("amsgrad"); a > 1e-3 {
		t.Errorf("AMSGrad's last step is %v", a)
	}
	if a := last("adam"); a < 0.3 {
		t.Errorf("Adam's last step is %v", a)
	}
}

// SAM evaluates its second gradient at distance ρ from the parameters, in the direction of the gradient.
func TestSharpnessPerturbation(t *testing.T) {
	var points [][]float64
	q := optimtest.Quadratic[float64]{Lambda: []float64{1, 10, 3}}
	spy := spyFunction{q, &points}
	r := train(t, "sam", set("rho", 0.25), spy, 1, -2, 0.5)
	r.step()
	if len(points) != 2 {
		t.Fatalf("%d evaluations, expected 2", len(points))
	}
	var g [3]float64
	if _, err := q.Evaluate(points[0], g[:]); err != nil {
		t.Fatal(err)
	}
	norm, along, gnorm := 0.0, 0.0, 0.0
	for i := range g {
		e := points[1][i] - points[0][i]
		norm += e * e
		along += e * g[i]
		gnorm += g[i] * g[i]
	}
	closeTo(t, "‖e‖", math.Sqrt(norm), 0.25, 1e-14)
	closeTo(t, "⟨e, g⟩", along, 0.25*math.Sqrt(gnorm), 1e-14)
}

type spyFunction struct {
	objective.Function[float64]
	points *[][]float64
}

func (s spyFunction) Evaluate(p, grad []float64) (float64, error) {
	*s.points = append(*s.points, append([]float64(nil), p...))
	return s.Function.Evaluate(p, grad)
}

// A second gradient that is not finite is skipped like the first.
func TestSharpnessSkips(t *testing.T) {
	r := train(t, "sam", nil, &given{grads: [][]float64{{1, 2}, {1, math.NaN()}, {1, 2}, {1, 2}}}, 3, 4)
	if report := r.step(); !report.Skipped {
		t.Error("the step was not reported as skipped")
	}
	if p := r.f.Params(); p[0] != 3 || p[1] != 4 {
		t.Errorf("the parameters are %v", p)
	}
	if report := r.step(); report.Skipped || r.f.Params()[0] == 3 {
		t.Error("the step after it was not made")
	}
}

// An average of parameters that do not move is those parameters, from the first update on: the weights of
// the debiased average sum to one. Of moving ones it is Σ d^(n−i) pᵢ / Σ d^(n−i).
func TestAverageWeights(t *testing.T) {
	grads := [][]float64{{1}, {-3}, {2}, {5}, {-1}}
	r := train(t, "sgd", set("lr", 1, "ema", 0.7), &given{grads: grads}, 10)
	var seen []float64
	for range grads {
		r.step()
		seen = append(seen, r.f.Params()[0])
		sum, weight := 0.0, 0.0
		for i, p := range seen {
			w := math.Pow(0.7, float64(len(seen)-1-i))
			sum += w * p
			weight += w
		}
		var got [1]float64
		r.m.(optim.Evaluated[float64]).EvalParams(got[:], r.f.Params())
		closeTo(t, "average", got[0], sum/weight, 1e-14)
	}
}

// The schedule-free x is the mean of all z, where z is plain gradient descent driven by the given gradients;
// the parameters are (1−β) z + β x.
func TestScheduleFreeAverage(t *testing.T) {
	grads := [][]float64{{1}, {-3}, {2}, {5}, {-1}, {0.5}}
	r := train(t, "schedule-free-sgd", set("lr", 0.5, "momentum", 0.8), &given{grads: grads}, 2)
	z, sum := 2.0, 0.0
	for i, g := range grads {
		r.step()
		z -= 0.5 * g[0]
		sum += z
		x := sum / float64(i+1)
		var got [1]float64
		r.m.(optim.Evaluated[float64]).EvalParams(got[:], r.f.Params())
		closeTo(t, "x", got[0], x, 1e-14)
		closeTo(t, "y", r.f.Params()[0], 0.2*z+0.8*x, 1e-14)
	}
}

// SWA averages from its start on, once a pass.
func TestSWASamples(t *testing.T) {
	grads := make([][]float64, 12)
	for i := range grads {
		grads[i] = []float64{float64(i + 1)}
	}
	r := train(t, "swa", set("lr", 1, "momentum", 0, "start", 0.5, "passes", 1), &given{grads: grads}, 0)
	r.p.Horizon, r.p.PerPass = 12, 2
	sum, n := 0.0, 0
	for i := range grads {
		r.step()
		p := r.f.Params()[0]
		if i >= 6 && i%2 == 1 { // the passes that end after examples 8, 10 and 12
			sum += p
			n++
		}
		want := p
		if n > 0 {
			want = sum / float64(n)
		}
		var got [1]float64
		r.m.(optim.Evaluated[float64]).EvalParams(got[:], r.f.Params())
		closeTo(t, "average", got[0], want, 1e-14)
	}
}

// Lookahead with α = ½ and k = 2 goes half of the way of two steps.
func TestLookaheadFollows(t *testing.T) {
	layout := weights(1)
	env := optim.Env{Layout: layout}
	inner, err := optim.New[float64]("sgd", env, set("lr", 1))
	if err != nil {
		t.Fatal(err)
	}
	m := optim.NewLookahead(env, inner, 2, 0.5)
	f := objective.New[float64](&given{grads: [][]float64{{1}, {1}, {1}, {1}}}, layout, []float64{0})
	for i, want := range []float64{-1, -1, -2, -2} {
		f.SetProgress(objective.Progress{Batch: 1})
		if _, err := m.Step(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		closeTo(t, "p", f.Params()[0], want, 0)
		var got [1]float64
		m.EvalParams(got[:], f.Params())
		closeTo(t, "s", got[0], []float64{0, -1, -1, -2}[i], 0)
	}
}

// Decay shrinks weights and embeddings, and nothing else.
func TestDecayByKind(t *testing.T) {
	layout := new(nn.Layout)
	all := []nn.Kind{nn.Weight, nn.Bias, nn.Scale, nn.Shift, nn.Embedding, nn.Other}
	for _, k := range all {
		layout.Add(nn.Param{Name: k.String(), Shape: tensor.ShapeOf(1), Kind: k})
	}
	for _, method := range []string{"sgd", "adamw", "lion", "adopt"} {
		m, err := optim.New[float64](method, optim.Env{Layout: layout}, set("lr", 0.1, "weight-decay", 0.5))
		if err != nil {
			t.Fatal(err)
		}
		p := []float64{1, 1, 1, 1, 1, 1}
		f := objective.New[float64](optimtest.Quadratic[float64]{Lambda: make([]float64, 6)}, layout, p)
		f.SetProgress(objective.Progress{Batch: 1})
		if _, err := m.Step(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		for i, k := range all {
			want := 1.0
			if k == nn.Weight || k == nn.Embedding {
				want = 1 - 0.1*0.5
			}
			closeTo(t, method+": "+k.String(), p[i], want, 1e-15)
		}
	}
}

// Adafactor's factored second moment is exact for a squared gradient of rank one: the first update is then the
// sign of the gradient, times the root mean square of the parameter.
func TestAdafactorRankOne(t *testing.T) {
	layout := new(nn.Layout)
	layout.Add(nn.Param{Name: "w", Shape: tensor.ShapeOf(3, 4), Kind: nn.Weight})
	g, p := make([]float64, 12), make([]float64, 12)
	for i := range g {
		g[i] = float64(1+i/4) * math.Pow(-2, float64(i%4))
		p[i] = 2
	}
	m, err := optim.New[float64]("adafactor", optim.Env{Layout: layout}, set("lr", 0.1))
	if err != nil {
		t.Fatal(err)
	}
	f := objective.New[float64](&given{grads: [][]float64{g}}, layout, p)
	f.SetProgress(objective.Progress{Batch: 1})
	if _, err := m.Step(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	for i := range p {
		closeTo(t, "w", p[i], 2-0.1*2*math.Copysign(1, g[i]), 1e-14)
	}
}

// LAMB's step of a layer is lr times the norm of its weights.
func TestLAMBStepLength(t *testing.T) {
	r := train(t, "lamb", set("lr", 0.03), &given{grads: [][]float64{{1, -5, 0.2}, {0.3, 4, 1}}}, 3, 4, 12)
	for range 2 {
		before := append([]float64(nil), r.f.Params()...)
		r.step()
		moved, norm := 0.0, 0.0
		for i, b := range before {
			moved += (r.f.Params()[i] - b) * (r.f.Params()[i] - b)
			norm += b * b
		}
		closeTo(t, "length of the step", math.Sqrt(moved), 0.03*math.Sqrt(norm), 1e-13)
	}
}

// signedPower is sign(u)·|u|^power, for the example.
func signedPower(u, power float64) float64 { return math.Copysign(math.Pow(math.Abs(u), power), u) }
