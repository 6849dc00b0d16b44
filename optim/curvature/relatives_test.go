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

// wishart returns a random matrix X [rows, n] whose XᵀX/rows is well conditioned, and that matrix.
func wishart(key uint64, rows, n int) (x, a tensor.Tensor[float64]) {
	ws := tensor.NewWorkspace[float64](nil)
	x, a = tensor.New[float64](rows, n), tensor.New[float64](n, n)
	tensor.Normal(tensor.KeyOf(key), x.Data(), 0, 1)
	tensor.MatMul(ws, a, x, x, true, false)
	tensor.Scale(ws, a, a, 1/float64(rows))
	return x, a
}

// TestRootsTendToTheInverse: with A frozen KKᵀ tends to (A + λI)⁻¹, restricted to the structure.
func TestRootsTendToTheInverse(t *testing.T) {
	const n, rows, lambda, beta = 6, 40, 0.1, 0.1
	ws := tensor.NewWorkspace[float64](nil)
	x, a := wishart(1, rows, n)
	for _, c := range []struct {
		structure Structure
		within    func(i, j int) bool // of A, what the structure sees
	}{
		{DenseRoots, func(i, j int) bool { return true }},
		{DiagonalRoots, func(i, j int) bool { return i == j }},
		{BlockDiagonalRoots, func(i, j int) bool { return i/4 == j/4 }},
	} {
		r := newRoot[float64](SINGDOptions{Structure: c.structure, Block: 4, Largest: n}, n)
		after := map[int]float64{}
		for step := 1; step <= 300; step++ {
			h := r.zeros(ws)
			r.accumulate(ws, h, x)
			tensor.Scale(ws, h, h, 1.0/rows)
			if !r.move(ws, h, 1, lambda, 0, beta) {
				t.Fatal("not finite")
			}
			k := tensor.New[float64](n, n)
			kk := tensor.New[float64](n, n)
			eye := tensor.New[float64](n, n)
			linalg.AddDiagonal(eye, 1)
			r.times(ws, k, eye, false)
			r.times(ws, kk, k, true)
			// KKᵀ (A + λI) is the identity.
			worst := 0.0
			for i := range n {
				for j := range n {
					sum := 0.0
					for l := range n {
						v := 0.0
						if c.within(l, j) {
							v = a.At(l, j)
						}
						if l == j {
							v += lambda
						}
						sum += kk.At(i, l) * v
					}
					if i == j {
						sum--
					}
					worst = max(worst, math.Abs(sum))
				}
			}
			after[step] = worst
		}
		t.Logf("%v: %.1e after 100 steps, %.1e after 300", c.structure, after[100], after[300])
		if !(after[100] <= 1e-3) || !(after[300] <= 1e-12) {
			t.Errorf("%v: KKᵀ(A+λI) − I is %.1e after 100 steps and %.1e after 300, expected 1e-3 and 1e-12", c.structure, after[100], after[300])
		}
	}
}

// TestToeplitzRootIsStationary: its limit is a stationary point of ½ tr(Kᵀ(A+λI)K) − log |det K| among triangular Toeplitz matrices,
// whose unrestricted minimum is KKᵀ = (A+λI)⁻¹.
func TestToeplitzRootIsStationary(t *testing.T) {
	const n, rows, lambda = 5, 30, 0.1
	ws := tensor.NewWorkspace[float64](nil)
	x, a := wishart(2, rows, n)
	r := newToeplitzRoot[float64](n, false)
	for range 600 {
		h := r.zeros(ws)
		r.accumulate(ws, h, x)
		tensor.Scale(ws, h, h, 1.0/rows)
		r.move(ws, h, 1, lambda, 0, 0.1)
	}
	value := func(k []float64) float64 {
		s := newToeplitzRoot[float64](n, false)
		copy(s.k, k)
		m, am := s.dense(ws).Clone(), tensor.New[float64](n, n)
		tensor.MatMul(ws, am, a, m, false, false)
		tensor.Axpy(ws, am, lambda, m)
		return float64(tensor.Dot(ws, m, am))/2 - n*math.Log(math.Abs(k[0]))
	}
	for d := range n {
		const e = 1e-5
		up, down := append([]float64(nil), r.k...), append([]float64(nil), r.k...)
		up[d] += e
		down[d] -= e
		if g := (value(up) - value(down)) / (2 * e); math.Abs(g) > 1e-7 {
			t.Errorf("the derivative in coefficient %d is %.1e, expected 0", d, g)
		}
	}
}

// TestSINGDStep: with its roots in place the update is KKᵀ ∇W̄ CCᵀ, and for IKFAC after many statistics of one batch that of factored
// damping, (A+λI)⁻¹ ∇W̄ (G+λI)⁻¹.
func TestSINGDStep(t *testing.T) {
	n := network(t, "squared", 30, tensor.ShapeOf(4), &nn.Dense[float64]{Out: 3})
	const lambda = 0.1
	l, err := NewSINGD[float64](optim.Env{Layout: n.Layout()}, SINGDOptions{Signal: objective.Exact, Damping: optim.Fixed("damping", lambda),
		Rate: optim.Fixed("lr", 1), Beta: 0.1, Every: 1, Largest: 100})
	if err != nil {
		t.Fatal(err)
	}
	f := objective.New[float64](n.Network, n.Layout(), n.theta)
	for range 400 {
		if err := l.observe(context.Background(), f, lambda); err != nil {
			t.Fatal(err)
		}
	}
	_, grad, err := f.Gradient(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := append([]float64(nil), grad...)
	b := l.blocks[0]
	b.apply(l.ws, got)
	// A and G of the batch, densely.
	a, g := tensor.New[float64](5, 5), tensor.New[float64](3, 3)
	err = f.TapFisher(context.Background(), objective.Exact, objective.Part{}, tensor.KeyOf(1), func(pass int, tap objective.Tap[float64]) {
		x := extended(l.ws, tap.X)
		if pass == 0 {
			tensor.MatMulAcc(l.ws, a, x, x, true, false)
		}
		tensor.MatMulAcc(l.ws, g, tap.DY, tap.DY, true, false)
	})
	if err != nil {
		t.Fatal(err)
	}
	tensor.Scale(l.ws, a, a, 1.0/30)
	tensor.Scale(l.ws, g, g, 30)
	linalg.AddDiagonal(a, lambda)
	linalg.AddDiagonal(g, lambda)
	u, p, q := tensor.New[float64](5, 3), tensor.New[float64](5, 3), tensor.New[float64](5, 3)
	gather(b.place, u, got)
	tensor.MatMul(l.ws, p, a, u, false, false)
	tensor.MatMul(l.ws, q, p, g, false, false)
	gather(b.place, p, grad)
	for i, v := range q.Data() {
		if math.Abs(v-p.Data()[i]) > 1e-9 {
			t.Errorf("element %d of (A+λI) U (G+λI) is %v, of the gradient %v", i, v, p.Data()[i])
		}
	}
}

// capture is a chain's end that keeps the update and does not step.
func capture(into *[]float64) optim.Link[float64] {
	return optim.Do[float64](func(_ context.Context, s *optim.Stage[float64]) (optim.Verdict, error) {
		*into = append([]float64(nil), s.Update...)
		return optim.Continue, nil
	})
}

// TestSENGSolves: the direction is the dense solution of (λI + UUᵀ) d = ∇W̄, layer by layer, for dense layers and convolutions, and the
// Gram matrix is the product of those of X̄ and G.
func TestSENGSolves(t *testing.T) {
	for _, reduce := range []bool{false, true} {
		n := network(t, "cross-entropy", 9, tensor.ShapeOf(5, 5, 2),
			&nn.Conv[float64]{Kernel: 3, Out: 3}, &nn.Activation[float64]{Name: "tanh"}, &nn.Flatten[float64]{},
			&nn.Dense[float64]{Out: 6}, &nn.Activation[float64]{Name: "tanh"}, &nn.Dense[float64]{Out: 4})
		const lambda = 0.03
		l, err := NewSENG[float64](optim.Env{Layout: n.Layout()}, SENGOptions{Damping: optim.Fixed("damping", lambda), Rate: optim.Fixed("lr", 1), Samples: 12, Every: 1,
			Reduce: reduce, Largest: 1000, Key: tensor.KeyOf(1)})
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		c := optim.NewChain[float64](optim.Env{Layout: n.Layout()}, l, capture(&got))
		f := objective.New[float64](n.Network, n.Layout(), n.theta)
		taps := map[int][][]float64{} // by weight: u_i
		_, g, err := f.GradientTapped(context.Background(), func(tap objective.Tap[float64]) {
			b := l.of[tap.Weight]
			per := tap.RowsPer
			for i := range 9 {
				u := make([]float64, b.In*b.Out)
				for p := range per {
					for q := range per {
						if p != q && !reduce {
							continue
						}
						for j := range b.In {
							x := 1.0
							if j < tap.X.Shape().Cols() {
								x = tap.X.At(i*per+p, j)
							}
							for k := range b.Out {
								v := 9 * x * tap.DY.At(i*per+q, k)
								if reduce {
									v /= float64(per)
								}
								u[j*b.Out+k] += v
							}
						}
					}
				}
				taps[tap.Weight] = append(taps[tap.Weight], u)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		grad := append([]float64(nil), g...)
		f.Moved()
		if _, err := c.Step(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		for _, b := range l.blocks {
			us := taps[b.Weight]
			size := b.In * b.Out
			m := tensor.New[float64](size, size)
			for _, u := range us {
				for i := range size {
					for j := range size {
						m.Data()[i*size+j] += u[i] * u[j] / 9
					}
				}
			}
			linalg.AddDiagonal(m, lambda)
			want := tensor.New[float64](b.In, b.Out)
			gather(b.place, want, grad)
			if err := linalg.Cholesky(l.ws, m, m); err != nil {
				t.Fatal(err)
			}
			flat := want.Reshape(size)
			if err := linalg.CholeskySolve(l.ws, flat, m, flat); err != nil {
				t.Fatal(err)
			}
			have := tensor.New[float64](b.In, b.Out)
			gather(b.place, have, got)
			for i, w := range want.Data() {
				if math.Abs(have.Data()[i]-w) > 1e-10 {
					t.Fatalf("reduce %v, %s: element %d is %v, the dense solution %v", reduce, b.Name, i, have.Data()[i], w)
				}
			}
			gram := b.gram(l.ws, 9, 0)
			for i := range us {
				for j := range us {
					sum := 0.0
					for k := range us[i] {
						sum += us[i][k] * us[j][k]
					}
					if math.Abs(sum-gram.At(i, j)) > 1e-10 {
						t.Fatalf("reduce %v, %s: the Gram matrix at %d, %d is %v, expected %v", reduce, b.Name, i, j, gram.At(i, j), sum)
					}
				}
			}
		}
	}
}

// TestSENGSketch: the sketched Gram matrix has the full one as its mean over the sketches.
func TestSENGSketch(t *testing.T) {
	const n, draws = 4, 4000
	b := &sengBlock[float64]{x: tensor.New[float64](n, 30), g: tensor.New[float64](n, 20)}
	tensor.Normal(tensor.KeyOf(1), b.x.Data(), 0.3, 1)
	tensor.Normal(tensor.KeyOf(2), b.g.Data(), 0.3, 1)
	ws := tensor.NewWorkspace[float64](nil)
	full := b.gram(ws, n, 0)
	mean, square := make([]float64, n*n), make([]float64, n*n)
	for i := range draws {
		b.key = tensor.KeyOf(3).Fold(uint64(i))
		mark := ws.Mark()
		for j, v := range b.gram(ws, n, 8).Data() {
			mean[j] += v / draws
			square[j] += v * v / draws
		}
		ws.Release(mark)
	}
	for j, want := range full.Data() {
		if se := math.Sqrt((square[j] - mean[j]*mean[j]) / draws); math.Abs(mean[j]-want) > 4*se {
			t.Errorf("element %d: mean %.3f, expected %.3f within 4 × %.3f", j, mean[j], want, se)
		}
	}
}
