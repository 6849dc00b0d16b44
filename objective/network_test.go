package objective_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// problem is a model with a batch, in float64.
type problem struct {
	spec    string
	input   []int
	outputs int
	loss    string
	act     string
	batch   int
}

// problems has every model of the table at a tiny size, with activations that are smooth where the
// derivatives are to be compared with differences.
func problems() []problem {
	return []problem{
		{"linear", []int{4}, 3, "squared", "", 6},
		{"logistic", []int{4}, 3, "cross-entropy", "", 6},
		{"mlp:5,4", []int{4}, 3, "cross-entropy:0.1", "tanh", 6},
		{"mlp:5", []int{4}, 3, "poisson", "softplus", 6},
		{"mlp:5", []int{4}, 2, "huber:0.7", "gelu", 6},
		{"mlp:5", []int{4}, 3, "squared", "relu", 6},
		{"lenet5", []int{12, 12, 1}, 3, "cross-entropy", "tanh", 3},
		{"2c2d", []int{4, 4, 2}, 3, "cross-entropy", "sigmoid", 3},
		{"3c3d", []int{12, 12, 1}, 3, "cross-entropy", "silu", 2},
		{"resnet20", []int{8, 8, 3}, 3, "cross-entropy", "elu", 4},
		{"autoencoder:5,3", []int{6}, 0, "bernoulli", "", 5},
	}
}

func (p problem) String() string { return fmt.Sprintf("%s/%s/%s", p.spec, p.loss, p.act) }

// build returns the network with its batch, and parameters moved a little off their initial values, so
// that nothing is zero.
func build[T tensor.Float](t testing.TB, p problem, pool *tensor.Pool) (*objective.Network[T], []T) {
	t.Helper()
	m, err := nn.Build[T](p.spec, nn.Options{Input: tensor.ShapeOf(p.input...), Outputs: p.outputs, Activation: p.act})
	if err != nil {
		t.Fatal(err)
	}
	l, err := nn.LossByName[T](p.loss)
	if err != nil {
		t.Fatal(err)
	}
	n := objective.NewNetwork(m, l, pool)
	key := tensor.KeyOf(7)
	theta := make([]T, m.Layout().Size())
	nn.Initialize(m, key, theta, n.State())
	noise := make([]T, len(theta))
	tensor.Normal(key.Named("noise"), noise, 0, 0.05)
	for i := range theta {
		theta[i] += noise[i]
	}
	x, y := batchFor[T](p, l)
	n.SetBatch(x, y)
	return n, theta
}

func batchFor[T tensor.Float](p problem, l nn.Loss[T]) (tensor.Tensor[T], nn.Target[T]) {
	key := tensor.KeyOf(8)
	x := tensor.New[T](append([]int{p.batch}, p.input...)...)
	if l.Name() == "bernoulli" {
		tensor.Uniform(key, x.Data(), 0, 1)
		return x, nn.Target[T]{Values: x.Reshape(p.batch, x.Size()/p.batch)}
	}
	tensor.Normal(key, x.Data(), 0, 1)
	if l.UsesLabels() {
		labels := make([]int32, p.batch)
		for i := range labels {
			labels[i] = int32(key.Named("labels").IntN(uint64(i), p.outputs))
		}
		return x, nn.Target[T]{Labels: labels}
	}
	y := tensor.New[T](p.batch, p.outputs)
	tensor.Uniform(key.Named("values"), y.Data(), 0, 3)
	return x, nn.Target[T]{Values: y}
}

func direction[T tensor.Float](seed uint64, n int) []T {
	v := make([]T, n)
	tensor.Normal(tensor.KeyOf(seed), v, 0, 1)
	return v
}

func dot[T tensor.Float](a, b []T) float64 {
	var s float64
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}

func norm[T tensor.Float](a []T) float64 { return math.Sqrt(dot(a, a)) }

func moved(theta, v []float64, h float64) []float64 {
	r := slices.Clone(theta)
	for i := range r {
		r[i] += h * v[i]
	}
	return r
}

func difference(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The gradient of every model is that of central differences along random directions, and the
// Hessian-vector product the central difference of gradients; with the penalty in.
func TestDerivativesAgainstDifferences(t *testing.T) {
	for _, p := range problems() {
		t.Run(p.String(), func(t *testing.T) {
			n, theta := build[float64](t, p, nil)
			n.SetPenalty(0.03)
			d := len(theta)
			grad := make([]float64, d)
			_, err := n.Evaluate(theta, grad)
			must(t, err)
			for seed := range uint64(3) {
				v := direction[float64](100+seed, d)
				const h = 1e-6
				up, err := n.Evaluate(moved(theta, v, h/norm(v)), nil)
				must(t, err)
				down, err := n.Evaluate(moved(theta, v, -h/norm(v)), nil)
				must(t, err)
				want, got := (up-down)/(2*h), dot(grad, v)/norm(v)
				if math.Abs(got-want) > 1e-6*(math.Abs(want)+norm(grad)/math.Sqrt(float64(d))) {
					t.Errorf("derivative along direction %d: gradient gives %.12g, differences %.12g", seed, got, want)
				}
			}

			v := direction[float64](200, d)
			hv, gUp, gDown := make([]float64, d), make([]float64, d), make([]float64, d)
			must(t, n.HVP(theta, v, hv))
			const h = 1e-5
			_, err = n.Evaluate(moved(theta, v, h/norm(v)), gUp)
			must(t, err)
			_, err = n.Evaluate(moved(theta, v, -h/norm(v)), gDown)
			must(t, err)
			fd := difference(gUp, gDown)
			perUnit := norm(v) / (2 * h)
			for i := range fd {
				fd[i] *= perUnit
			}
			if e := norm(difference(fd, hv)) / norm(hv); !(e < 1e-6) {
				t.Errorf("Hessian-vector product differs from the difference of gradients by %.2g of its length", e)
			}
		})
	}
}

// u·Hv = v·Hu, and the same for the Gauss–Newton matrix, which is positive semi-definite besides.
func TestProductsAreSymmetric(t *testing.T) {
	for _, p := range problems() {
		t.Run(p.String(), func(t *testing.T) {
			n, theta := build[float64](t, p, nil)
			d := len(theta)
			u, v := direction[float64](1, d), direction[float64](2, d)
			mu, mv := make([]float64, d), make([]float64, d)
			for name, product := range map[string]func(theta, v, out []float64) error{"Hessian": n.HVP, "Gauss-Newton": n.GGNVP} {
				must(t, product(theta, u, mu))
				must(t, product(theta, v, mv))
				a, b := dot(u, mv), dot(v, mu)
				if math.Abs(a-b) > 1e-10*norm(u)*norm(mv) {
					t.Errorf("%s: u·Mv = %.15g, v·Mu = %.15g", name, a, b)
				}
				if name == "Gauss-Newton" && dot(u, mu) < 0 {
					t.Errorf("Gauss-Newton: u·Mu = %g < 0", dot(u, mu))
				}
			}
		})
	}
}

// GGNVP is JᵀHₒJ with J from differences of the outputs, a column a parameter, and Hₒ dense.
func TestGaussNewtonAgainstDense(t *testing.T) {
	for _, p := range problems() {
		if len(p.input) > 1 {
			continue
		}
		t.Run(p.String(), func(t *testing.T) {
			n, theta := build[float64](t, p, nil)
			x, y := batchFor(p, n.Loss())
			d := len(theta)
			z := n.Predict(theta, x).Clone()
			v := direction[float64](3, d)
			jv := tensor.New[float64](z.Shape().Dims()...)
			columns := make([][]float64, d)
			const h = 1e-6
			for j := range d {
				e := make([]float64, d)
				e[j] = h
				up := n.Predict(moved(theta, e, 1), x).Clone()
				down := n.Predict(moved(theta, e, -1), x)
				columns[j] = difference(up.Data(), down.Data())
				for i := range columns[j] {
					columns[j][i] /= 2 * h
					jv.Data()[i] += columns[j][i] * v[j]
				}
			}
			hjv := tensor.New[float64](z.Shape().Dims()...)
			n.Loss().HessianProduct(z, jv, hjv, y)
			want, got := make([]float64, d), make([]float64, d)
			for j := range want {
				want[j] = dot(columns[j], hjv.Data())
			}
			must(t, n.GGNVP(theta, v, got))
			if e := norm(difference(got, want)) / norm(want); !(e < 1e-7) {
				t.Errorf("relative difference %.2g", e)
			}
		})
	}
}

// For a model that is linear in its parameters the Gauss–Newton matrix is the Hessian.
func TestGaussNewtonIsHessianOfLinearModel(t *testing.T) {
	for _, loss := range []string{"squared", "cross-entropy", "poisson", "huber"} {
		n, theta := build[float64](t, problem{"linear", []int{4}, 3, loss, "", 6}, nil)
		n.SetPenalty(0.2)
		v := direction[float64](4, len(theta))
		a, b := make([]float64, len(theta)), make([]float64, len(theta))
		must(t, n.HVP(theta, v, a))
		must(t, n.GGNVP(theta, v, b))
		if e := norm(difference(a, b)) / norm(a); !(e < 1e-13) {
			t.Errorf("%s: relative difference %.2g", loss, e)
		}
	}
}

// The taps reproduce the gradient: W̄ = XᵀΔ and b̄ = Σ_rows Δ for every affine layer, and cover all of them, from the
// output to the input.
func TestTapsReproduceTheGradient(t *testing.T) {
	for _, p := range problems() {
		t.Run(p.String(), func(t *testing.T) {
			n, theta := build[float64](t, p, nil)
			n.SetTraining(true)
			grad, plain := make([]float64, len(theta)), make([]float64, len(theta))
			ws := tensor.NewWorkspace[float64](nil)
			last, affine := n.Layout().Len(), 0
			type piece struct {
				index int
				value tensor.Tensor[float64]
			}
			var pieces []piece
			tapped, err := n.EvaluateTapped(theta, grad, func(tap objective.Tap[float64]) {
				if tap.Weight >= last {
					t.Errorf("layer %s comes out of order", tap.Name)
				}
				last = tap.Weight
				if tap.X.Shape().Rows() != tap.RowsPer*p.batch {
					t.Errorf("layer %s: %d rows, %d an example, %d examples", tap.Name, tap.X.Shape().Rows(), tap.RowsPer, p.batch)
				}
				w := tensor.New[float64](n.Layout().At(tap.Weight).Shape.Dims()...)
				tensor.MatMul(ws, w, tap.X, tap.DY, true, false)
				pieces = append(pieces, piece{tap.Weight, w})
				if tap.Bias >= 0 {
					b := tensor.New[float64](tap.DY.Shape().Cols())
					tensor.SumAxis(ws, b, tap.DY, tensor.AxisOf(tap.DY.Shape(), 0, 1))
					pieces = append(pieces, piece{tap.Bias, b})
				}
			})
			must(t, err)
			value, err := n.Evaluate(theta, plain)
			must(t, err)
			if value != tapped || !slices.Equal(grad, plain) {
				t.Errorf("tapping changes the evaluation: %v and %v", value, tapped)
			}
			for _, q := range pieces {
				want := nn.View(n.Layout(), grad, q.index).Data()
				if e := norm(difference(q.value.Data(), want)); e > 1e-12*(1+norm(want)) {
					t.Errorf("%s: taps give another gradient, off by %.2g", n.Layout().At(q.index).Name, e)
				}
			}
			for i := range n.Layout().Len() {
				if n.Layout().At(i).Kind == nn.Weight {
					affine++
				}
			}
			weights := 0
			for _, q := range pieces {
				if n.Layout().At(q.index).Kind == nn.Weight {
					weights++
				}
			}
			if weights != affine {
				t.Errorf("%d affine layers tapped of %d", weights, affine)
			}
		})
	}
}

// Sums of squared per-example gradients are those of evaluating every example alone.
func TestSquaredGradientsAgainstBruteForce(t *testing.T) {
	for _, p := range problems() {
		t.Run(p.String(), func(t *testing.T) {
			n, theta := build[float64](t, p, nil)
			n.SetTraining(p.spec != "resnet20")
			x, y := batchFor(p, n.Loss())
			got, want, g := make([]float64, len(theta)), make([]float64, len(theta)), make([]float64, len(theta))
			loss, err := n.SquaredGradients(theta, got)
			must(t, err)
			var mean float64
			for i := range p.batch {
				one := x.Shape().With(0, 1)
				xi := tensor.Of(x.Data()[i*one.Size():(i+1)*one.Size()], one)
				yi := nn.Target[float64]{}
				if y.Labels != nil {
					yi.Labels = y.Labels[i : i+1]
				} else {
					c := y.Values.Shape().Cols()
					yi.Values = tensor.FromSlice(y.Values.Data()[i*c:(i+1)*c], 1, c)
				}
				n.SetBatch(xi, yi)
				v, err := n.Evaluate(theta, g)
				must(t, err)
				mean += v / float64(p.batch)
				for j := range g {
					want[j] += g[j] * g[j]
				}
			}
			if e := norm(difference(got, want)) / norm(want); !(e < 1e-12) {
				t.Errorf("relative difference %.2g", e)
			}
			if math.Abs(loss-mean) > 1e-12*(1+math.Abs(mean)) {
				t.Errorf("loss %v, mean of the examples' %v", loss, mean)
			}
		})
	}
}

// In evaluation mode an example's output does not depend on its batch.
func TestBatchInvariance(t *testing.T) {
	for _, p := range problems() {
		t.Run(p.String(), func(t *testing.T) {
			n, theta := build[float64](t, p, nil)
			x, _ := batchFor(p, n.Loss())
			all := n.Predict(theta, x).Clone()
			for i := range p.batch {
				one := x.Shape().With(0, 1)
				z := n.Predict(theta, tensor.Of(x.Data()[i*one.Size():(i+1)*one.Size()], one))
				c := all.Shape().Cols()
				if e := norm(difference(z.Data(), all.Data()[i*c:(i+1)*c])); e > 1e-12*(1+norm(z.Data())) {
					t.Errorf("example %d alone and in the batch differ by %.2g", i, e)
				}
			}
		})
	}
}

// Values, gradients and products have the same bits for every number of workers.
func TestBitsDoNotDependOnWorkers(t *testing.T) {
	for _, p := range problems() {
		p.batch = 37
		t.Run(p.String(), func(t *testing.T) {
			var want [][]float32
			for _, workers := range []int{1, 2, 3} {
				n, theta := build[float32](t, p, tensor.NewPool(workers))
				n.SetPenalty(1e-3)
				d := len(theta)
				grad, hv, gv, sq := make([]float32, d), make([]float32, d), make([]float32, d), make([]float32, d)
				v := direction[float32](5, d)
				f, err := n.Evaluate(theta, grad)
				must(t, err)
				got := [][]float32{{float32(f)}, grad, slices.Clone(n.State())}
				if p.spec != "3c3d" { // slow in product with its size
					must(t, n.HVP(theta, v, hv))
					must(t, n.GGNVP(theta, v, gv))
					got = append(got, hv, gv)
				}
				if p.spec != "resnet20" && p.spec != "3c3d" {
					_, err = n.SquaredGradients(theta, sq)
					must(t, err)
					got = append(got, sq)
				}
				if want == nil {
					want = got
				}
				for i := range got {
					if !slices.Equal(got[i], want[i]) {
						t.Errorf("result %d differs between 1 and %d workers", i, workers)
					}
				}
			}
		})
	}
}
