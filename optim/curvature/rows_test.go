package curvature

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// The properties that Kronecker-factored methods are held to, in double precision, and the tests that hold them:
//
//	 1  gradients against differences                      autodiff: TestOps…; objective: TestGradient…
//	 2  ⟨Jv, u⟩ = ⟨v, Jᵀu⟩; GGN symmetric, ≽ 0, the Hessian  TestGaussNewtonMatrix; objective: TestGaussNewtonForms
//	    of a linear model with a convex loss
//	 3  S Sᵀ = H; the mean over all labels of seeds is H   TestEnumeratedTargetsGiveTheHessian; nn: TestOutputHessian
//	 4  deep linear networks: A⊗G is exact                 TestBlocksAreExactForDeepLinearNetworks
//	 5  one example: exact; expand and reduce exact        TestBlocksAreExactForOneExample, TestConvolutionsExpandAndReduce
//	 6  one step solves least squares; affine invariance   TestNaturalGradientSolvesLeastSquares, TestInvarianceUnderAffineInputs
//	 7  random signals have the exact mean, empirical not  TestSignalsConvergeToTheGaussNewtonFactors
//	 8  factored damping ≽ λ; best π; eigen damping        TestFactoredDampingExceedsTheExact, TestPreconditioningIsTheDenseSolve
//	 9  zero factors, order 1, NaN batches                 TestZeroFactorsGiveTheDampingAlone, TestStatisticsThatAreNotFiniteAreLeftOut,
//	                                                       TestBatchWithNaNIsCounted
//	10  clips                                              TestClipBoundsTheStep, TestClips
//	11  the model's step: a minimum; conjugate gradients   TestModelStepMinimises, TestRegimesOnANetwork, TestModelStepsAreConjugateGradients
//	12  ratio 1 on quadratics; NaN raises λ; bounds        TestReductionRatioOfAQuadraticIsOne, TestRejection, TestLevenbergMarquardt
//	13  averages are their explicit sums                   TestWeightTrackedAverages, TestAccumulatedStatistics
//	14  EKFAC's diagonal is exact, and the best            TestEigenbasisMomentsAreTheBestDiagonal
//	43  a resumed run has the same bits                    TestResumesAndAnyNumberOfWorkers
func TestGaussNewtonMatrix(t *testing.T) {
	for _, loss := range []string{"squared", "cross-entropy", "bernoulli", "poisson"} {
		for _, linear := range []bool{true, false} {
			layers := []nn.Layer[float64]{affine(5, "tanh"), affine(3, "")}
			if linear {
				layers = []nn.Layer[float64]{affine(3, "")}
			}
			n := network(t, loss, 6, tensor.ShapeOf(4), layers...)
			c, p := n.ggn(t), len(n.theta)
			m := tensor.New[float64](p, p)
			size := 0.0
			for i := range p {
				for j := range p {
					m.Set(c[j][i], i, j)
					size = math.Max(size, math.Abs(c[j][i]))
				}
			}
			for i := range p {
				for j := range i {
					if math.Abs(m.At(i, j)-m.At(j, i)) > 1e-10*size {
						t.Fatalf("%s: C is not symmetric at (%d, %d)", loss, i, j)
					}
				}
			}
			values := make([]float64, p)
			if err := linalg.SymmetricEigen(tensor.NewWorkspace[float64](nil), values, tensor.Tensor[float64]{}, m); err != nil {
				t.Fatal(err)
			}
			if values[0] < -1e-10*size {
				t.Errorf("%s: C has the eigenvalue %g", loss, values[0])
			}
			if !linear {
				continue
			}
			for j := range p {
				v, h := make([]float64, p), make([]float64, p)
				v[j] = 1
				if err := n.HVP(n.theta, v, h); err != nil {
					t.Fatal(err)
				}
				wantNear(t, loss+": column of the Hessian of a linear model", c[j], h, 1e-10)
			}
		}
	}
}

// The mean over every label, each with the probability that the model gives it, of (∂ℓ/∂z)(∂ℓ/∂z)ᵀ is the Hessian of the loss in z: for a
// network of one example, so is the mean of the factor G of its last layer over the labels.
func TestEnumeratedTargetsGiveTheHessian(t *testing.T) {
	n := network(t, "cross-entropy", 1, tensor.ShapeOf(4), affine(5, "tanh"), affine(3, ""))
	x := tensor.New[float64](1, 4)
	tensor.Normal(tensor.KeyOf(5), x.Data(), 0.3, 1)
	z := append([]float64(nil), n.Predict(n.theta, x).Data()...)
	exact := observed(t, n, Factored, objective.Exact, 0.1, nil)
	for i, b := range exact.blocks {
		want := b.sumG().Data()
		mean := make([]float64, len(want))
		total, top := 0.0, math.Max(z[0], math.Max(z[1], z[2]))
		for _, v := range z {
			total += math.Exp(v - top)
		}
		for label := range int32(3) {
			n.SetBatch(x, nn.Target[float64]{Labels: []int32{label}})
			k := observed(t, n, Factored, objective.Empirical, 0.1, nil)
			for j, v := range k.blocks[i].sumG().Data() {
				mean[j] += math.Exp(z[label]-top) / total * v
			}
		}
		wantNear(t, b.Name+": the mean over labels", mean, want, 1e-12)
	}

	// Independent bits: all eight targets of three outputs.
	n = network(t, "bernoulli", 1, tensor.ShapeOf(4), affine(5, "tanh"), affine(3, ""))
	z = append([]float64(nil), n.Predict(n.theta, x).Data()...)
	n.SetBatch(x, nn.Target[float64]{Values: tensor.New[float64](1, 3)})
	exact = observed(t, n, Factored, objective.Exact, 0.1, nil)
	for i, b := range exact.blocks {
		want := b.sumG().Data()
		mean := make([]float64, len(want))
		for bits := range 8 {
			y, p := tensor.New[float64](1, 3), 1.0
			for j, v := range z {
				q := 1 / (1 + math.Exp(-v))
				if bits>>j&1 == 1 {
					y.Data()[j] = 1
					p *= q
				} else {
					p *= 1 - q
				}
			}
			n.SetBatch(x, nn.Target[float64]{Values: y})
			for j, v := range observed(t, n, Factored, objective.Empirical, 0.1, nil).blocks[i].sumG().Data() {
				mean[j] += p * v
			}
		}
		wantNear(t, b.Name+": the mean over bits", mean, want, 1e-12)
	}
}

// recursive returns the factors G by the recursion of Botev, Ritter and Barber, "Practical Gauss–Newton optimisation for deep
// learning", 2017 (KFRA), for a network of dense layers with tanh between them, without sampling and without a backward pass:
//
//	Ḡ_L = E[H],   Ḡ_l = (W_{l+1} Ḡ_{l+1} W_{l+1}ᵀ) ∘ E[f'(s_l) f'(s_l)ᵀ]
//
// with f' = 1 − a² for tanh, from the inputs a of the next layer, or 1. The first factor is that of the first layer.
func recursive(t *testing.T, n net, output []float64, tanh bool) [][]float64 {
	t.Helper()
	var names []objective.Tap[float64]
	if _, err := n.EvaluateTapped(n.theta, nil, func(tap objective.Tap[float64]) {
		tap.X = tap.X.Clone()
		names = append(names, tap) // from the output to the input
	}); err != nil {
		t.Fatal(err)
	}
	factors := make([][]float64, len(names))
	g := output
	for l := len(names) - 1; l >= 0; l-- {
		factors[l] = g
		if l == 0 {
			break
		}
		tap := names[len(names)-1-l] // layer l, whose inputs are the activations of layer l−1
		w := nn.View(n.Layout(), n.theta, tap.Weight)
		in, out := w.Shape().Dim(0), w.Shape().Dim(1)
		next := make([]float64, in*in)
		for i := range in {
			for j := range in {
				sum, slopes := 0.0, 0.0
				for p := range out {
					for q := range out {
						sum += w.At(i, p) * g[p*out+q] * w.At(j, q)
					}
				}
				rows := tap.X.Shape().Rows()
				for r := range rows {
					a, b := tap.X.At(r, i), tap.X.At(r, j)
					if tanh {
						slopes += (1 - a*a) * (1 - b*b) / float64(rows)
					} else {
						slopes += 1 / float64(rows)
					}
				}
				next[i*in+j] = sum * slopes
			}
		}
		g = next
	}
	return factors
}

// The recursion gives the exact factors for one example, and for linear networks with the squared loss; not in general.
func TestRecursiveFactors(t *testing.T) {
	compare := func(n net, tanh bool) (worst float64) {
		k := observed(t, n, Factored, objective.Exact, 0.1, nil)
		last := k.blocks[len(k.blocks)-1]
		for i, g := range recursive(t, n, last.sumG().Data(), tanh) {
			size := 0.0
			for _, v := range g {
				size = math.Max(size, math.Abs(v))
			}
			for j, v := range k.blocks[i].sumG().Data() {
				worst = math.Max(worst, math.Abs(v-g[j])/size)
			}
		}
		return worst
	}
	for _, loss := range []string{"squared", "cross-entropy", "bernoulli"} {
		if d := compare(network(t, loss, 1, tensor.ShapeOf(4), affine(5, "tanh"), affine(4, "tanh"), affine(3, "")), true); d > 1e-12 {
			t.Errorf("%s, one example: the factors differ by %g", loss, d)
		}
	}
	if d := compare(network(t, "squared", 9, tensor.ShapeOf(4), affine(5, ""), affine(4, ""), affine(3, "")), false); d > 1e-12 {
		t.Errorf("linear network: the factors differ by %g", d)
	}
	if d := compare(network(t, "cross-entropy", 9, tensor.ShapeOf(4), affine(5, "tanh"), affine(4, "tanh"), affine(3, "")), true); d < 1e-3 {
		t.Errorf("nine examples: the recursion is exact to %g", d)
	}
}

// A batch that is not finite leaves the factors as they are, and is counted for each layer.
func TestBatchWithNaNIsCounted(t *testing.T) {
	n := mixed(t)
	k := observed(t, n, Factored, objective.Propagated, 0.1, nil)
	var before [][]float64
	for _, b := range k.blocks {
		before = append(before, b.sumA().Clone().Data(), b.sumG().Clone().Data())
	}
	x := tensor.New[float64](12, 4)
	tensor.Normal(tensor.KeyOf(1), x.Data(), 0, 1)
	x.Data()[5] = math.NaN()
	n.SetBatch(x, nn.Target[float64]{Labels: make([]int32, 12)})
	f := objective.New[float64](n.Network, n.Layout(), n.theta)
	if err := k.observe(context.Background(), f, 0.9); err != nil {
		t.Fatal(err)
	}
	for i, b := range k.blocks {
		wantNear(t, "A", b.sumA().Data(), before[2*i], 0)
		wantNear(t, "G", b.sumG().Data(), before[2*i+1], 0)
	}
	if k.refused != int64(len(k.blocks)) {
		t.Errorf("%d statistics refused, expected %d", k.refused, len(k.blocks))
	}
}

// Exact diagonals of a normalisation layer are the mean squares of the examples' gradients, and those of the Gauss–Newton matrix for
// one example and the empirical signal.
func TestExactDiagonals(t *testing.T) {
	n := network(t, "squared", 5, tensor.ShapeOf(4), affine(3, "tanh"), &nn.LayerNorm[float64]{}, affine(2, ""))
	m, f := made(t, n, "kfac", optim.Settings{"exact-diagonal": 1, "lr": 0, "burn-in": 2})
	want := make([]float64, len(n.theta))
	if _, err := n.SquaredGradients(n.theta, want); err != nil {
		t.Fatal(err)
	}
	stepOn(t, m, f, 0, 5)
	stepOn(t, m, f, 1, 5)
	k := find[*Preconditioner[float64]](t, m)
	if len(k.rest) != 2 {
		t.Fatalf("%d diagonals", len(k.rest))
	}
	for _, p := range k.rest {
		part := append([]float64(nil), want[p.at:p.at+len(p.d)]...)
		for i := range part {
			part[i] *= p.weight / 5
		}
		wantNear(t, p.name, p.d, part, 1e-12)
		if p.weight != 2 {
			t.Errorf("%s: weight %g", p.name, p.weight)
		}
	}
}

// A grouped convolution is held by a diagonal, and the table says why; a model of nothing else is refused before the first step.
func TestGroupedConvolutions(t *testing.T) {
	grouped := func() *nn.Conv[float64] { return &nn.Conv[float64]{Out: 4, Kernel: 2, Groups: 2, Activation: "tanh"} }
	n := network(t, "squared", 5, tensor.ShapeOf(3, 3, 2), grouped(), affine(2, ""))
	r := Register(n.Layout(), 100)
	if text := r.String(); !strings.Contains(text, "in 2 groups") || len(r) != 3 {
		t.Errorf("the table:\n%s", text)
	}
	before := append([]float64(nil), n.theta...)
	m, f := made(t, n, "kfac", nil)
	first := stepOn(t, m, f, 0, 5).Loss
	last := 0.0
	for step := range 20 {
		last = stepOn(t, m, f, step+1, 5).Loss
	}
	if !(last < first) || before[0] == n.theta[0] {
		t.Errorf("the loss went from %g to %g", first, last)
	}
	n = network(t, "squared", 5, tensor.ShapeOf(3, 3, 2), grouped())
	spec, err := optim.Find(Table[float64](), "kfac")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spec.Make(optim.Env{Layout: n.Layout()}, nil); err == nil || !strings.Contains(err.Error(), "conv1.weight") && !strings.Contains(err.Error(), "in 2 groups") || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("a model of grouped convolutions: error %v", err)
	}
}
