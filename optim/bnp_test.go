package optim_test

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

// network is a model of package nn with a batch of classes, in float64.
type network struct {
	net    *objective.Network[float64]
	f      *objective.Objective[float64]
	layout *nn.Layout
	x      tensor.Tensor[float64]
	labels []int32
}

// fataler is a test or a rapid one.
type fataler interface{ Fatal(...any) }

// newNetwork returns the model with random parameters and a batch of rows random examples, feature j around 3j−2 with
// deviation 1 + j.
func newNetwork(t fataler, key tensor.Key, rows int, input tensor.Shape, classes int, layers ...nn.Layer[float64]) *network {
	m, err := nn.New[float64]("test", input, layers...)
	if err != nil {
		t.Fatal(err)
	}
	loss, err := nn.LossByName[float64]("cross-entropy")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{net: objective.NewNetwork(m, loss, nil), layout: m.Layout(), labels: make([]int32, rows)}
	params := make([]float64, n.layout.Size())
	nn.Initialize(m, key, params, n.net.State())
	for i := range params {
		params[i] += 0.1 * key.Named("shift").Normal(uint64(i))
	}
	cols := input.Cols()
	x := make([]float64, rows*input.Size())
	for i := range x {
		j := float64(i % cols)
		x[i] = 3*j - 2 + (1+j)*key.Named("x").Normal(uint64(i))
	}
	for i := range n.labels {
		n.labels[i] = int32(i*i+i/2) % int32(classes)
	}
	n.x = tensor.Of(x, tensor.ShapeOf(append([]int{rows}, input.Dims()...)...))
	n.batch(0, rows)
	n.f = objective.New[float64](n.net, n.layout, params)
	n.f.SetProgress(objective.Progress{Batch: rows})
	return n
}

// batch makes the rows from lo to hi the batch.
func (n *network) batch(lo, hi int) {
	size := n.x.Size() / n.x.Shape().Dim(0)
	s := n.x.Shape()
	n.net.SetBatch(tensor.Of(n.x.Data()[lo*size:hi*size], s.With(0, hi-lo)), nn.Target[float64]{Labels: n.labels[lo:hi]})
}

// taps returns gradient and taps of the batch, copied.
func (n *network) taps(t fataler) ([]float64, []objective.Tap[float64]) {
	var taps []objective.Tap[float64]
	_, g, err := n.f.GradientTapped(context.Background(), func(p objective.Tap[float64]) {
		p.X = clone(p.X)
		if !p.Input.IsZero() {
			p.Input = clone(p.Input)
		}
		taps = append(taps, p)
	})
	if err != nil {
		t.Fatal(err)
	}
	return append([]float64(nil), g...), taps
}

func clone(x tensor.Tensor[float64]) tensor.Tensor[float64] {
	return tensor.Of(append([]float64(nil), x.Data()...), x.Shape())
}

// observed is the preconditioner after the batch of n.
func observed(t fataler, n *network, o optim.BatchNormOptions) *optim.BatchNorm[float64] {
	p, err := optim.NewBatchNorm[float64](optim.Env{Layout: n.layout}, o)
	if err != nil {
		t.Fatal(err)
	}
	p.BeginTaps()
	if _, _, err := n.f.GradientTapped(context.Background(), p.Tap); err != nil {
		t.Fatal(err)
	}
	p.KeepTaps()
	p.Update()
	return p
}

// moments are mean and variance of each column of x.
func moments(x *mat.Dense) (mean, variance []float64) {
	rows, cols := x.Dims()
	mean, variance = make([]float64, cols), make([]float64, cols)
	for j := range cols {
		for i := range rows {
			mean[j] += x.At(i, j) / float64(rows)
		}
		for i := range rows {
			d := x.At(i, j) - mean[j]
			variance[j] += d * d / float64(rows)
		}
	}
	return mean, variance
}

// factor is P of one layer as a matrix, for the vector of bias and weights of a unit.
func factor(mean, variance []float64, examples, positions int, o optim.BatchNormOptions) *mat.Dense {
	n := len(mean)
	q := 1.0
	if o.Q {
		q = math.Sqrt(math.Max(float64(n)/float64(examples), float64(positions)))
	}
	largest := 0.0
	for _, v := range variance {
		largest = math.Max(largest, v)
	}
	p := mat.NewDense(n+1, n+1, nil)
	p.Set(0, 0, 1/q)
	for j := range n {
		sd := 1.0
		if o.Scaling {
			sd = math.Sqrt(variance[j] + o.Eps1*largest + o.Eps2)
		}
		if o.Centring {
			p.Set(0, j+1, -mean[j]/(q*sd))
		}
		p.Set(j+1, j+1, 1/(q*sd))
	}
	return p
}

// augmented is [e, X].
func augmented(x *mat.Dense) *mat.Dense {
	rows, cols := x.Dims()
	h := mat.NewDense(rows, cols+1, nil)
	for i := range rows {
		h.Set(i, 0, 1)
		for j := range cols {
			h.Set(i, j+1, x.At(i, j))
		}
	}
	return h
}

func denseOf(x tensor.Tensor[float64]) *mat.Dense {
	return mat.NewDense(x.Shape().Rows(), x.Shape().Cols(), append([]float64(nil), x.Data()...))
}

// unit returns bias and weights of output unit k of a layer, out of a vector with the layout of the parameters.
func unit(l *nn.Layout, v []float64, weight, bias, k int) *mat.VecDense {
	w, b := nn.View(l, v, weight), nn.View(l, v, bias)
	in, out := w.Shape().Dim(0), w.Shape().Dim(1)
	u := mat.NewVecDense(in+1, nil)
	u.SetVec(0, b.Data()[k])
	for j := range in {
		u.SetVec(j+1, w.Data()[j*out+k])
	}
	return u
}

// far is the largest difference relative to the largest element of want.
func far(got, want mat.Matrix) float64 {
	var d mat.Dense
	d.Sub(got, want)
	return mat.Norm(&d, math.Inf(1)) / math.Max(mat.Norm(want, math.Inf(1)), 1e-300)
}

var bnpVariants = map[string]func(*optim.BatchNormOptions){
	"all":         func(*optim.BatchNormOptions) {},
	"no-centring": func(o *optim.BatchNormOptions) { o.Centring = false },
	"no-scaling":  func(o *optim.BatchNormOptions) { o.Scaling = false },
	"no-q":        func(o *optim.BatchNormOptions) { o.Q = false },
	"patch":       func(o *optim.BatchNormOptions) { o.Patch = true },
}

// The step of every unit of every layer is P Pᵀ g with the explicit matrix P, for dense layers and for convolutions as
// dense layers on the patches; the two halves are P and Pᵀ.
func TestPreconditionerIsTheMatrix(t *testing.T) {
	for name, change := range bnpVariants {
		o := optim.DefaultBatchNorm()
		change(&o)
		t.Run(name, func(t *testing.T) {
			key := tensor.KeyOf(11)
			for _, n := range []*network{
				newNetwork(t, key, 4, tensor.ShapeOf(9), 3, &nn.Dense[float64]{Out: 300, Activation: "tanh"}, &nn.Dense[float64]{Out: 5, Activation: "relu"}, &nn.Dense[float64]{Out: 3}),
				newNetwork(t, key, 2, tensor.ShapeOf(6, 5, 3), 3, &nn.Conv[float64]{Out: 4, Kernel: 3, Padding: nn.Same, Activation: "tanh"},
					&nn.Conv[float64]{Out: 5, Kernel: 2, Activation: "relu"}, &nn.Dense[float64]{Out: 3}),
			} {
				g, taps := n.taps(t)
				p := observed(t, n, o)
				both, half, whole := append([]float64(nil), g...), append([]float64(nil), g...), append([]float64(nil), g...)
				f := optim.NewChain(optim.Env{Layout: n.layout}, optim.NewPrecondition(mustBNP(t, n.layout, o), optim.Both), capture(&both))
				if _, err := f.Step(context.Background(), n.f); err != nil {
					t.Fatal(err)
				}
				p.MulPT(half)
				p.MulP(whole)
				if len(taps) != 3 {
					t.Fatalf("%d taps, expected 3", len(taps))
				}
				for _, tap := range taps {
					x := denseOf(tap.X)
					mean, variance := moments(x)
					if !tap.Input.IsZero() && !o.Patch {
						mean, variance = moments(denseOf(tap.Input))
						for c := len(mean); len(mean) < tap.X.Shape().Cols(); {
							mean, variance = append(mean, mean[:c]...), append(variance, variance[:c]...)
						}
					}
					rows, _ := x.Dims()
					m := factor(mean, variance, rows/tap.RowsPer, tap.RowsPer, o)
					for k := range n.layout.At(tap.Bias).Shape.Size() {
						u := unit(n.layout, g, tap.Weight, tap.Bias, k)
						var a, b, c mat.VecDense
						a.MulVec(m.T(), u)
						b.MulVec(m, &a)
						c.MulVec(m, u)
						for what, e := range map[string]float64{
							"Pᵀ g":   far(unit(n.layout, half, tap.Weight, tap.Bias, k), &a),
							"P Pᵀ g": far(unit(n.layout, both, tap.Weight, tap.Bias, k), &b),
							"P g":    far(unit(n.layout, whole, tap.Weight, tap.Bias, k), &c),
						} {
							if !(e < 1e-10) {
								t.Fatalf("%s, unit %d: %s differs by %.1e", tap.Name, k, what, e)
							}
						}
					}
					// The features of the layer in the variables z.
					if name == "patch" {
						var z mat.Dense
						z.Mul(augmented(x), m)
						gMean, _ := moments(&z)
						for j, v := range gMean[1:] {
							if math.Abs(v) > 1e-10 {
								t.Fatalf("%s: feature %d in z has mean %v", tap.Name, j, v)
							}
						}
					}
				}
			}
		})
	}
}

func mustBNP(t fataler, l *nn.Layout, o optim.BatchNormOptions) *optim.BatchNorm[float64] {
	p, err := optim.NewBatchNorm[float64](optim.Env{Layout: l}, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// capture copies the update.
func capture(into *[]float64) optim.Link[float64] {
	return optim.Do[float64](func(_ context.Context, s *optim.Stage[float64]) (optim.Verdict, error) {
		*into = append((*into)[:0], s.Update...)
		return optim.Continue, nil
	})
}

// Ĥ U D = [e, G] with G of mean 0 and variance 1, whatever the features.
func TestNormalisedFeatures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := randomFeatures(t)
		mean, variance := moments(x)
		o := optim.DefaultBatchNorm()
		o.Eps1, o.Eps2, o.Q = 0, 0, false
		rows, cols := x.Dims()
		var z mat.Dense
		z.Mul(augmented(x), factor(mean, variance, rows, 1, o))
		want := mat.NewDense(rows, cols+1, nil)
		for i := range rows {
			want.Set(i, 0, 1)
			for j := range cols {
				want.Set(i, j+1, (x.At(i, j)-mean[j])/math.Sqrt(variance[j]))
			}
		}
		if e := far(&z, want); e > 1e-10 {
			t.Fatalf("[e, G] differs by %.1e", e)
		}
	})
}

func randomFeatures(t *rapid.T) *mat.Dense {
	key := tensor.KeyOf(rapid.Uint64().Draw(t, "seed"))
	cols := rapid.IntRange(1, 6).Draw(t, "columns")
	rows := rapid.IntRange(cols+3, 30).Draw(t, "rows")
	x := mat.NewDense(rows, cols, nil)
	for j := range cols {
		shift, scale := 5*key.Named("shift").Normal(uint64(j)), math.Exp(2*key.Named("scale").Normal(uint64(j)))
		for i := range rows {
			x.Set(i, j, shift+scale*key.Normal(uint64(i*cols+j)))
		}
	}
	return x
}

// Centring never makes the condition number worse: cond([e, X − e μᵀ]) ≤ cond([e, X]) up to rounding, and the spread of
// the columns' lengths is gone with scaling.
func TestCentringNeverHurts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := randomFeatures(t)
		before := mat.Cond(augmented(x), 2)
		mean, _ := moments(x)
		rows, cols := x.Dims()
		for i := range rows {
			for j := range cols {
				x.Set(i, j, x.At(i, j)-mean[j])
			}
		}
		if after := mat.Cond(augmented(x), 2); after > before*(1+1e-9) {
			t.Fatalf("condition %v became %v", before, after)
		}
	})
}

// The Hessian of the loss with respect to one unit is Ĥᵀ S Ĥ, S the diagonal of the second derivatives of the examples'
// losses by the unit's input, which are the Hessian's diagonal for the bias on batches of one.
func TestHessianOfAUnit(t *testing.T) {
	const rows = 7
	n := newNetwork(t, tensor.KeyOf(5), rows, tensor.ShapeOf(4), 3,
		&nn.Dense[float64]{Out: 5, Activation: "tanh"}, &nn.Dense[float64]{Out: 6, Activation: "tanh"}, &nn.Dense[float64]{Out: 3})
	for i, v := range n.x.Data() {
		n.x.Data()[i] = v / 10
	}
	product := func(direction int) []float64 {
		v, out := make([]float64, n.layout.Size()), make([]float64, n.layout.Size())
		v[direction] = 1
		n.f.Moved()
		if err := n.f.HVP(v, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	n.batch(0, rows)
	_, taps := n.taps(t)
	for _, tap := range taps {
		w, b := n.layout.At(tap.Weight), n.layout.At(tap.Bias)
		in, out, k := w.Shape.Dim(0), w.Shape.Dim(1), 1
		index := func(j int) int {
			if j == 0 {
				return b.Offset + k
			}
			return w.Offset + (j-1)*out + k
		}
		s := mat.NewDiagDense(rows, nil)
		for i := range rows {
			n.batch(i, i+1)
			s.SetDiag(i, product(index(0))[index(0)]/rows)
		}
		n.batch(0, rows)
		hessian := mat.NewDense(in+1, in+1, nil)
		for j := range in + 1 {
			column := product(index(j))
			for i := range in + 1 {
				hessian.Set(i, j, column[index(i)])
			}
		}
		h := augmented(denseOf(tap.X))
		var want mat.Dense
		want.Product(h.T(), s, h)
		if e := far(hessian, &want); !(e < 1e-10) {
			t.Errorf("%s: the block differs from Ĥᵀ S Ĥ by %.1e", tap.Name, e)
		}
	}
}

// With the statistics of the full batch, without ε and q, preconditioned descent on raw features gives the logits of plain
// descent on standardised ones, started at z = P⁻¹ of its parameters, at every step.
func TestEqualsStandardisedFeatures(t *testing.T) {
	const rows, in, classes, steps, lr = 40, 6, 3, 500, 0.1
	key := tensor.KeyOf(3)
	raw := newNetwork(t, key, rows, tensor.ShapeOf(in), classes, &nn.Dense[float64]{Out: classes})
	std := newNetwork(t, key, rows, tensor.ShapeOf(in), classes, &nn.Dense[float64]{Out: classes})
	mean, variance := moments(denseOf(raw.x))
	for i := range std.x.Data() {
		j := i % in
		std.x.Data()[i] = (raw.x.Data()[i] - mean[j]) / math.Sqrt(variance[j])
	}
	// W_z = diag(σ) W, b_z = b + Wᵀμ.
	w, b := nn.View(std.layout, std.f.Params(), 0).Data(), nn.View(std.layout, std.f.Params(), 1).Data()
	for j := range in {
		for k := range classes {
			b[k] += mean[j] * w[j*classes+k]
			w[j*classes+k] *= math.Sqrt(variance[j])
		}
	}
	o := optim.BatchNormOptions{Decay: 0.9, Centring: true, Scaling: true}
	env := optim.Env{Layout: raw.layout}
	m := optim.NewChain(env, optim.NewPrecondition(mustBNP(t, raw.layout, o), optim.Both), optim.Link[float64](optim.NewDescend[float64](optim.Fixed("lr", lr))))
	plain := optim.NewChain(env, optim.Link[float64](optim.NewDescend[float64](optim.Fixed("lr", lr))))
	worst := 0.0
	for range steps {
		a, z := clone(raw.net.Predict(raw.f.Params(), raw.x)), std.net.Predict(std.f.Params(), std.x)
		worst = math.Max(worst, far(denseOf(a), denseOf(z)))
		for _, r := range []struct {
			m *optim.Chain[float64]
			n *network
		}{{m, raw}, {plain, std}} {
			if _, err := r.m.Step(context.Background(), r.n.f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !(worst < 1e-10) {
		t.Errorf("the logits differ by %.1e", worst)
	}
}

// Five features of deviations 0.1 to 10 around means of −8 to 5: the Hessian of least squares has a condition number above
// ten thousand, and below three in the variables z.
func TestConditioning(t *testing.T) {
	const rows, in = 200, 5
	n := newNetwork(t, tensor.KeyOf(8), rows, tensor.ShapeOf(in), 1, &nn.Dense[float64]{Out: 1})
	for i := range n.x.Data() {
		j := i % in
		n.x.Data()[i] = []float64{1, -2, 3, 5, -8}[j] + []float64{0.1, 0.3, 1, 3, 10}[j]*tensor.KeyOf(9).Normal(uint64(i))
	}
	cond := func(o optim.BatchNormOptions) float64 {
		p := observed(t, n, o)
		m := mat.NewDense(in+1, in+1, nil)
		for c := range in + 1 { // bias last in the layout, first in Ĥ
			v := make([]float64, in+1)
			v[(c+in)%(in+1)] = 1
			p.MulP(v)
			for r := range in + 1 {
				m.Set(r, c, v[(r+in)%(in+1)])
			}
		}
		var z mat.Dense
		z.Mul(augmented(denseOf(n.x)), m)
		c := mat.Cond(&z, 2)
		return c * c
	}
	o := optim.BatchNormOptions{Decay: 0.99, Centring: true, Scaling: true, Eps1: 1e-9, Eps2: 1e-9}
	none, uncentred := o, o
	none.Centring, none.Scaling = false, false
	uncentred.Centring = false
	before, after, without := cond(none), cond(o), cond(uncentred)
	t.Logf("condition number %.0f; scaled only %.0f; centred and scaled %.3f", before, without, after)
	if !(before > 1e4 && after < 3) {
		t.Errorf("condition number %v before, expected above 1e4; %v after, expected below 3", before, after)
	}
	if !(without > 10*after) {
		t.Errorf("condition number %v without centring, %v with it", without, after)
	}
}

// With a constant P momentum on P Pᵀg is the heavy ball in z; so is any linear inner method, and two-sided equals post.
func TestMomentumIsHeavyBallInZ(t *testing.T) {
	run := func(links func(env optim.Env, p *optim.BatchNorm[float64]) []optim.Link[float64]) []float64 {
		n := newNetwork(t, tensor.KeyOf(2), 20, tensor.ShapeOf(4), 3, &nn.Dense[float64]{Out: 3})
		env := optim.Env{Layout: n.layout}
		c := optim.NewChain(env, links(env, mustBNP(t, n.layout, optim.DefaultBatchNorm()))...)
		for range 30 {
			if _, err := c.Step(context.Background(), n.f); err != nil {
				t.Fatal(err)
			}
		}
		return n.f.Params()
	}
	ball := func(env optim.Env) optim.Link[float64] {
		return optim.NewMomentum[float64](env, optim.Fixed("momentum", 0.9), 0, false)
	}
	descend := optim.NewDescend[float64](optim.Fixed("lr", 0.01))
	post := run(func(env optim.Env, p *optim.BatchNorm[float64]) []optim.Link[float64] {
		return []optim.Link[float64]{optim.NewPrecondition(p, optim.Both), ball(env), descend}
	})
	inZ := run(func(env optim.Env, p *optim.BatchNorm[float64]) []optim.Link[float64] {
		return []optim.Link[float64]{optim.NewPrecondition(p, optim.IntoZ), ball(env), optim.NewPrecondition(p, optim.OutOfZ), descend}
	})
	for i := range post {
		if math.Abs(post[i]-inZ[i]) > 1e-12*math.Max(1, math.Abs(post[i])) {
			t.Fatalf("parameter %d is %v, in z %v", i, post[i], inZ[i])
		}
	}
}

// ⟨P v, w⟩ = ⟨v, Pᵀ w⟩.
func TestProductsAreAdjoint(t *testing.T) {
	n := newNetwork(t, tensor.KeyOf(4), 3, tensor.ShapeOf(7), 4, &nn.Dense[float64]{Out: 270, Activation: "relu"}, &nn.Dense[float64]{Out: 4})
	var p optim.Preconditioner[float64] = observed(t, n, optim.DefaultBatchNorm())
	size := n.layout.Size()
	v, w := make([]float64, size), make([]float64, size)
	tensor.Normal(tensor.KeyOf(1), v, 0, 1)
	tensor.Normal(tensor.KeyOf(2), w, 0, 1)
	pv, ptw := append([]float64(nil), v...), append([]float64(nil), w...)
	p.MulP(pv)
	p.MulPT(ptw)
	a, b := 0.0, 0.0
	for i := range v {
		a += pv[i] * w[i]
		b += v[i] * ptw[i]
	}
	closeTo(t, "⟨P v, w⟩", a, b, 1e-12)
}
