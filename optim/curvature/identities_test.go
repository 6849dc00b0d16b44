package curvature

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// net is a network with a batch and parameters off their initial values.
type net struct {
	*objective.Network[float64]
	theta []float64
}

// network builds a model of layers on a batch of random inputs; the loss decides the targets.
func network(t testing.TB, loss string, batch int, input tensor.Shape, layers ...nn.Layer[float64]) net {
	t.Helper()
	m, err := nn.New("test", input, layers...)
	if err != nil {
		t.Fatal(err)
	}
	l, err := nn.LossByName[float64](loss)
	if err != nil {
		t.Fatal(err)
	}
	n := objective.NewNetwork(m, l, nil)
	theta := make([]float64, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(3), theta, n.State())
	for i := range theta {
		theta[i] += 0.2 * tensor.KeyOf(4).Normal(uint64(i))
	}
	x := tensor.New[float64](append([]int{batch}, input.Dims()...)...)
	tensor.Normal(tensor.KeyOf(5), x.Data(), 0.3, 1)
	n.SetBatch(x, nn.Target[float64]{})
	z := n.Predict(theta, x)
	n.SetBatch(x, l.Sample(z, tensor.KeyOf(6)))
	return net{n, theta}
}

// ggn returns the dense Gauss–Newton matrix, by columns.
func (n net) ggn(t testing.TB) [][]float64 {
	t.Helper()
	p := len(n.theta)
	out := make([][]float64, p)
	for i := range out {
		v := make([]float64, p)
		v[i] = 1
		out[i] = make([]float64, p)
		if err := n.GGNVP(n.theta, v, out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// observed returns a preconditioner that has seen the batch once, with its inverses at damping λ.
func observed(t testing.TB, n net, form Form, signal objective.Signal, lambda float64, change func(*Options)) *Preconditioner[float64] {
	t.Helper()
	o := Defaults(form, optim.Fixed("lr", 1), optim.Fixed("damping", lambda))
	o.Signal, o.Part, o.Step = signal, objective.Part{}, FixedStep{Rate: optim.Fixed("lr", 1)}
	if change != nil {
		change(&o)
	}
	k, err := NewPreconditioner[float64](optim.Env{Layout: n.Layout()}, o)
	if err != nil {
		t.Fatal(err)
	}
	f := objective.New[float64](n.Network, n.Layout(), n.theta)
	if err := k.observe(context.Background(), f, 1); err != nil {
		t.Fatal(err)
	}
	for _, b := range k.blocks {
		if !b.invert(k.ws, lambda) {
			t.Fatalf("%s: the factors have no inverse", b.Name)
		}
	}
	return k
}

// index returns the places in the buffer of the block's matrix W̄, row by row.
func (p place) index() []int {
	var at []int
	for i := range p.weightLen {
		at = append(at, p.weight+i)
	}
	for i := range p.biasLen {
		at = append(at, p.bias+i)
	}
	return at
}

// kron is the dense A⊗G with the index order of W̄.
func kron(a, g tensor.Tensor[float64], scale float64) tensor.Tensor[float64] {
	n, m := a.Shape().Dim(0), g.Shape().Dim(0)
	k := tensor.New[float64](n*m, n*m)
	for i := range n * m {
		for j := range n * m {
			k.Set(a.At(i/m, j/m)*g.At(i%m, j%m)*scale, i, j)
		}
	}
	return k
}

// sumOf returns Σ of a factor that is kept as it is.
func sumOf[T tensor.Float](f factor[T]) tensor.Tensor[T] {
	if d, ok := f.(*dense[T]); ok {
		return d.sum
	}
	return f.(*average[T]).sum
}

func (b *block[T]) sumA() tensor.Tensor[T] { return sumOf(b.a) }
func (b *block[T]) sumG() tensor.Tensor[T] { return sumOf(b.g) }

func (b *block[T]) scale() float64 { return 1 / (b.weight * b.weight) }

// wantBlocks wants every Kronecker block to equal the block of the dense matrix.
func wantBlocks(t *testing.T, n net, k *Preconditioner[float64], tol float64) {
	t.Helper()
	dense := n.ggn(t)
	for _, b := range k.blocks {
		at, got := b.index(), kron(b.sumA(), b.sumG(), b.scale())
		worst, size := 0.0, 0.0
		for i, p := range at {
			for j, q := range at {
				worst = math.Max(worst, math.Abs(got.At(i, j)-dense[q][p]))
				size = math.Max(size, math.Abs(dense[q][p]))
			}
		}
		if !(worst <= tol*size) || size == 0 {
			t.Errorf("%s: the block differs from the Gauss–Newton matrix by %g of %g", b.Name, worst, size)
		}
	}
}

func affine(out int, act string) *nn.Dense[float64] {
	return &nn.Dense[float64]{Out: out, Activation: act}
}

func TestBlocksAreExactForDeepLinearNetworks(t *testing.T) {
	n := network(t, "squared", 9, tensor.ShapeOf(4), affine(5, ""), affine(3, ""), affine(2, ""))
	wantBlocks(t, n, observed(t, n, Factored, objective.Exact, 0.1, nil), 1e-12)
}

func TestBlocksAreExactForOneExample(t *testing.T) {
	for _, loss := range []string{"squared", "cross-entropy", "bernoulli", "poisson"} {
		n := network(t, loss, 1, tensor.ShapeOf(4), affine(5, "tanh"), affine(3, "sigmoid"), affine(3, ""))
		wantBlocks(t, n, observed(t, n, Factored, objective.Exact, 0.1, nil), 1e-12)
	}
}

// A layer that is the whole model has constant output curvature under the squared loss: exact for every batch.
func TestBlockIsExactForOneLayer(t *testing.T) {
	n := network(t, "squared", 7, tensor.ShapeOf(4), affine(3, ""))
	wantBlocks(t, n, observed(t, n, Factored, objective.Exact, 0.1, nil), 1e-12)
}

func TestConvolutionsExpandAndReduce(t *testing.T) {
	input := tensor.ShapeOf(5, 4, 2)
	conv := func(k int) *nn.Conv[float64] { return &nn.Conv[float64]{Out: 3, Kernel: k} }
	// The loss is a sum over positions: expand.
	n := network(t, "squared", 6, input, conv(2), &nn.Flatten[float64]{})
	wantBlocks(t, n, observed(t, n, Factored, objective.Exact, 0.1, nil), 1e-12)
	// The positions are averaged: reduce.
	n = network(t, "squared", 6, input, conv(2), &nn.GlobalAvgPool[float64]{}, affine(2, ""))
	wantBlocks(t, n, observed(t, n, Factored, objective.Exact, 0.1, func(o *Options) { o.Reduce = true }), 1e-12)
}

// solve returns (A⊗G·scale + λI)⁻¹ v.
func solve(t *testing.T, m tensor.Tensor[float64], lambda float64, v []float64) []float64 {
	t.Helper()
	ws := tensor.NewWorkspace[float64](nil)
	m = m.Clone()
	linalg.AddDiagonal(m, lambda)
	if err := linalg.Cholesky(ws, m, m); err != nil {
		t.Fatal(err)
	}
	x := tensor.New[float64](len(v))
	if err := linalg.CholeskySolve(ws, x, m, tensor.FromSlice(v, len(v))); err != nil {
		t.Fatal(err)
	}
	return x.Data()
}

func wantNear(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	size := 0.0
	for _, v := range want {
		size = math.Max(size, math.Abs(v))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tol*size) {
			t.Fatalf("%s: element %d is %v, expected %v (size %g)", what, i, got[i], want[i], size)
		}
	}
}

func mixed(t testing.TB) net {
	return network(t, "cross-entropy", 12, tensor.ShapeOf(4), affine(5, "tanh"), affine(3, ""))
}

// gradient returns the batch's gradient.
func (n net) gradient(t testing.TB) []float64 {
	t.Helper()
	g := make([]float64, len(n.theta))
	if _, err := n.Evaluate(n.theta, g); err != nil {
		t.Fatal(err)
	}
	return g
}

func pick(v []float64, at []int) []float64 {
	out := make([]float64, len(at))
	for i, j := range at {
		out[i] = v[j]
	}
	return out
}

func TestPreconditioningIsTheDenseSolve(t *testing.T) {
	n := mixed(t)
	const lambda = 0.03
	for _, form := range []Form{Factored, ExactDamping, Eigenbasis} {
		k := observed(t, n, form, objective.Propagated, lambda, nil)
		for _, b := range k.blocks {
			g := n.gradient(t)
			want := pick(g, b.index())
			if form == Factored {
				a, gg := b.sumA().Clone(), b.sumG().Clone()
				da, dg := Split(meanDiagonal(a), meanDiagonal(gg), lambda)
				linalg.AddDiagonal(a, da)
				linalg.AddDiagonal(gg, dg)
				want = solve(t, kron(a, gg, 1), 0, want)
			} else {
				want = solve(t, kron(b.sumA(), b.sumG(), b.scale()), lambda, want)
			}
			b.apply(k.ws, g, lambda)
			wantNear(t, b.Name, pick(g, b.index()), want, 1e-10)
		}
	}
}

// Without damping one step of length 1 solves linear least squares, from anywhere.
func TestNaturalGradientSolvesLeastSquares(t *testing.T) {
	n := network(t, "squared", 20, tensor.ShapeOf(4), affine(3, ""))
	for _, form := range []Form{Factored, ExactDamping} {
		k := observed(t, n, form, objective.Exact, 0, nil)
		g := n.gradient(t)
		for _, b := range k.blocks {
			b.apply(k.ws, g, 0)
		}
		at := append([]float64(nil), n.theta...)
		for i := range at {
			at[i] -= g[i]
		}
		after := make([]float64, len(at))
		if _, err := n.Evaluate(at, after); err != nil {
			t.Fatal(err)
		}
		for i, v := range after {
			if math.Abs(v) > 1e-10 {
				t.Fatalf("form %d: gradient element %d is %g at the least-squares solution", form, i, v)
			}
		}
	}
}

// The undamped method does not see an affine change of the inputs: x' = M x + c with W' and b' that give the same
// outputs leads to the same outputs after each step.
func TestInvarianceUnderAffineInputs(t *testing.T) {
	const in, hidden, batch = 3, 4, 30
	make1 := func(change bool) []float64 {
		n := network(t, "squared", batch, tensor.ShapeOf(in), affine(hidden, "tanh"), affine(2, ""))
		x := tensor.New[float64](batch, in)
		tensor.Normal(tensor.KeyOf(5), x.Data(), 0.3, 1)
		y := nn.Target[float64]{Values: tensor.New[float64](batch, 2)}
		tensor.Normal(tensor.KeyOf(8), y.Values.Data(), 0, 1)
		if change {
			// x' = (x + c)·s column by column, after adding twice column 0 to column 1.
			s, c := []float64{3, 0.2, 1}, []float64{1, -2, 5}
			for r := range batch {
				row := x.Data()[r*in : (r+1)*in]
				row[1] += 2 * row[0]
				for j := range row {
					row[j] = (row[j] + c[j]) * s[j]
				}
			}
			w, b := n.theta[:in*hidden], n.theta[in*hidden:in*hidden+hidden]
			for j := range hidden {
				// x = (x'/s − c), col1 = x1 − 2 x0.
				w0, w1, w2 := w[j], w[hidden+j], w[2*hidden+j]
				v := []float64{w0 - 2*w1, w1, w2}
				for i := range v {
					b[j] -= v[i] * c[i]
					w[i*hidden+j] = v[i] / s[i]
				}
			}
		}
		n.SetBatch(x, y)
		var out []float64
		for range 4 {
			k := observed(t, n, Factored, objective.Exact, 0, nil)
			g := n.gradient(t)
			for _, b := range k.blocks {
				b.apply(k.ws, g, 0)
			}
			for i := range g {
				n.theta[i] -= 0.3 * g[i]
			}
			out = append(out, n.Predict(n.theta, x).Data()...)
		}
		return out
	}
	wantNear(t, "outputs", make1(true), make1(false), 1e-8)
}

// Random signals have the exact factors as their mean: within 4 standard errors in every element, over 10,000 draws. The empirical one
// does not.
func TestSignalsConvergeToTheGaussNewtonFactors(t *testing.T) {
	const draws = 10000
	for _, loss := range []string{"cross-entropy", "squared", "bernoulli"} {
		n := network(t, loss, 2, tensor.ShapeOf(2), affine(3, "tanh"), affine(3, ""))
		exact := observed(t, n, Factored, objective.Exact, 0.1, nil)
		f := objective.New[float64](n.Network, n.Layout(), n.theta)
		for _, signal := range []objective.Signal{objective.Propagated, objective.Sampled} {
			k := observed(t, n, Factored, signal, 0.1, nil)
			for i, b := range k.blocks {
				want := exact.blocks[i].sumG().Data()
				sum, squares := make([]float64, len(want)), make([]float64, len(want))
				for d := range draws {
					mark := k.ws.Mark()
					b.begin(k.ws)
					err := f.TapFisher(context.Background(), signal, objective.Part{}, tensor.KeyOf(uint64(d)), func(pass int, tap objective.Tap[float64]) {
						if tap.Weight == b.Weight {
							b.add(k.ws, pass, tap, false, true)
						}
					})
					if err != nil {
						t.Fatal(err)
					}
					for j, v := range b.g.(*dense[float64]).new.Data() {
						v *= float64(b.examples)
						sum[j] += v
						squares[j] += v * v
					}
					k.ws.Release(mark)
				}
				for j := range want {
					mean := sum[j] / draws
					se := math.Sqrt(math.Max(squares[j]/draws-mean*mean, 0) / draws)
					if math.Abs(mean-want[j]) > 4*se+1e-12 {
						t.Errorf("%s, %v, %s: element %d of G is %g on average, expected %g ± %g", loss, signal, b.Name, j, mean, want[j], se)
					}
				}
			}
		}
		empirical := observed(t, n, Factored, objective.Empirical, 0.1, nil)
		differs := 0.0
		for j, v := range empirical.blocks[1].sumG().Data() {
			differs = math.Max(differs, math.Abs(v-exact.blocks[1].sumG().Data()[j]))
		}
		if differs < 1e-3 {
			t.Errorf("%s: the empirical factor is the exact one to %g", loss, differs)
		}
	}
}

func TestFactoredDampingExceedsTheExact(t *testing.T) {
	n := mixed(t)
	const lambda = 0.2
	k := observed(t, n, Factored, objective.Exact, lambda, nil)
	for _, b := range k.blocks {
		excess := func(pi float64) (least, trace float64) {
			a, g := b.sumA().Clone(), b.sumG().Clone()
			linalg.AddDiagonal(a, pi*math.Sqrt(lambda))
			linalg.AddDiagonal(g, math.Sqrt(lambda)/pi)
			m, plain := kron(a, g, 1), kron(b.sumA(), b.sumG(), 1)
			for i, v := range plain.Data() {
				m.Data()[i] -= v
			}
			linalg.AddDiagonal(m, -lambda)
			values := make([]float64, m.Shape().Dim(0))
			if err := linalg.SymmetricEigen(tensor.NewWorkspace[float64](nil), values, tensor.Tensor[float64]{}, m); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				trace += math.Abs(v)
			}
			return values[0], trace
		}
		da, dg := Split(meanDiagonal(b.sumA()), meanDiagonal(b.sumG()), lambda)
		if math.Abs(da*dg-lambda) > 1e-14 {
			t.Errorf("the dampings %g and %g multiply to %g", da, dg, da*dg)
		}
		best := da / math.Sqrt(lambda)
		least, trace := excess(best)
		if least < -1e-10 {
			t.Errorf("%s: the excess has the eigenvalue %g", b.Name, least)
		}
		for _, factor := range []float64{0.3, 0.8, 0.95, 1.05, 1.25, 3} {
			if _, other := excess(best * factor); other < trace {
				t.Errorf("%s: at %g times π the excess has trace norm %g, at π %g", b.Name, factor, other, trace)
			}
		}
	}
}

func TestLargeDampingIsTheScaledGradient(t *testing.T) {
	n := mixed(t)
	const lambda = 1e8
	for _, form := range []Form{Factored, ExactDamping, Eigenbasis} {
		k := observed(t, n, form, objective.Propagated, lambda, nil)
		g := n.gradient(t)
		want := append([]float64(nil), g...)
		for i := range want {
			want[i] /= lambda
		}
		for _, b := range k.blocks {
			b.apply(k.ws, g, lambda)
		}
		wantNear(t, "U", g, want, 1e-3)
	}
}

// For the basis of A and G the tracked moments are the diagonal of the Gauss–Newton block, and so the best
// diagonal: nearer in the Frobenius norm than the Kronecker product's.
func TestEigenbasisMomentsAreTheBestDiagonal(t *testing.T) {
	for _, batch := range []int{1, 3, 8, 20} {
		for _, loss := range []string{"cross-entropy", "squared", "bernoulli", "poisson"} {
			bestDiagonal(t, network(t, loss, batch, tensor.ShapeOf(3), affine(4, "tanh"), affine(3, "")))
		}
	}
	bestDiagonal(t, network(t, "squared", 4, tensor.ShapeOf(4, 3, 1), &nn.Conv[float64]{Out: 2, Kernel: 2, Activation: "tanh"}, affine(2, "")))
}

func bestDiagonal(t *testing.T, n net) {
	t.Helper()
	k := observed(t, n, Eigenbasis, objective.Exact, 0.1, nil)
	kronecker := make([]tensor.Tensor[float64], len(k.blocks))
	for i, b := range k.blocks {
		kronecker[i] = b.basis.s.Clone()
		b.basis.weight = 0 // forget the Kronecker product's
	}
	f := objective.New[float64](n.Network, n.Layout(), n.theta)
	if err := k.observe(context.Background(), f, 0); err != nil {
		t.Fatal(err)
	}
	ggn := n.ggn(t)
	for i, b := range k.blocks {
		at := b.index()
		basis := kron(b.basis.left, b.basis.right, 1) // columns: eigenvectors of A⊗G
		size := len(at)
		rotated := tensor.New[float64](size, size)
		m := tensor.New[float64](size, size)
		for r, p := range at {
			for c, q := range at {
				m.Set(ggn[q][p], r, c)
			}
		}
		ws := tensor.NewWorkspace[float64](nil)
		half := tensor.New[float64](size, size)
		tensor.MatMul(ws, half, m, basis, false, false)
		tensor.MatMul(ws, rotated, basis, half, true, false)
		diagonal := make([]float64, size)
		var errE, errK, size2 float64
		for r := range size {
			diagonal[r] = rotated.At(r, r)
			for c := range size {
				e, kk := rotated.At(r, c), rotated.At(r, c)
				size2 += e * e
				if r == c {
					e -= b.basis.s.Data()[r]
					kk -= kronecker[i].Data()[r]
				}
				errE += e * e
				errK += kk * kk
			}
		}
		wantNear(t, b.Name+" moments", b.basis.s.Data(), diagonal, 1e-12)
		if errE > errK*(1+1e-12)+1e-28*size2 {
			t.Errorf("%s: error %g in the eigenbasis, %g of the Kronecker product", b.Name, math.Sqrt(errE), math.Sqrt(errK))
		}
	}
}
