package curvature

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// fill gives a block the averages A = a·I and G = g·I.
func fill(b *block[float64], a, g float64) {
	linalg.AddDiagonal(b.sumA(), a)
	linalg.AddDiagonal(b.sumG(), g)
	b.weight = 1
}

func TestZeroFactorsGiveTheDampingAlone(t *testing.T) {
	const lambda = 0.25
	for _, dims := range [][2]int{{3, 2}, {1, 1}} {
		for _, form := range []Form{Factored, ExactDamping, Eigenbasis} {
			for _, zero := range [][2]float64{{0, 0}, {2, 0}, {0, 3}} {
				b := newBlock[float64](Block{In: dims[0], Out: dims[1], Bias: -1}, place{weightLen: dims[0] * dims[1]}, Options{Form: form})
				fill(b, zero[0], zero[1])
				ws := tensor.NewWorkspace[float64](nil)
				if !b.invert(ws, lambda) {
					t.Fatal("no inverse")
				}
				u := make([]float64, dims[0]*dims[1])
				want := make([]float64, len(u))
				for i := range u {
					u[i] = float64(i) + 1
					want[i] = u[i] / lambda
				}
				b.apply(ws, u, lambda)
				wantNear(t, "U", u, want, 1e-12)
			}
		}
	}
}

func TestStatisticsThatAreNotFiniteAreLeftOut(t *testing.T) {
	n := mixed(t)
	for _, form := range []Form{Factored, Eigenbasis} {
		k := observed(t, n, form, objective.Propagated, 0.1, nil)
		before := k.blocks[0].sumA().Clone()
		var s, moments []float64
		if form == Eigenbasis {
			s = k.blocks[0].basis.s.Data()
			moments = append(moments, s...)
		}
		bad := objective.Tap[float64]{Weight: k.blocks[0].Weight, Bias: k.blocks[0].Bias, RowsPer: 1,
			X: tensor.New[float64](2, 4), DY: tensor.New[float64](2, 5)}
		for _, v := range []float64{math.NaN(), math.Inf(1)} {
			bad.X.Data()[3] = v
			for _, b := range k.blocks {
				b.begin(k.ws)
			}
			k.tap(0, bad)
			if k.blocks[0].commit(k.ws, 0.9) {
				t.Errorf("statistics with %v were taken up", v)
			}
		}
		wantNear(t, "A", k.blocks[0].sumA().Data(), before.Data(), 0)
		wantNear(t, "S", s, moments, 0)
		if k.blocks[0].weight != 1 {
			t.Errorf("the weight is %g", k.blocks[0].weight)
		}
	}
	// A factorisation that fails leaves the last inverse.
	k := observed(t, n, Factored, objective.Propagated, 0.1, nil)
	b := k.blocks[1]
	right := b.g.(*dense[float64]).inverse
	last := right.Clone()
	b.sumG().Data()[0] = math.NaN()
	if b.invert(k.ws, 0.1) {
		t.Error("NaN has an inverse")
	}
	wantNear(t, "the last inverse", right.Data(), last.Data(), 0)
}

// The averages are the sums that their definition says: plain means in the burn-in, then with decay.
func TestWeightTrackedAverages(t *testing.T) {
	n := mixed(t)
	const burn, steps, rho = 3, 7, 0.8
	o := Defaults(Factored, optim.Fixed("lr", 0.01), optim.Fixed("damping", 1))
	o.BurnIn, o.Decay, o.StatisticsEvery = burn, rho, 2
	k, err := NewPreconditioner[float64](optim.Env{Layout: n.Layout()}, o)
	if err != nil {
		t.Fatal(err)
	}
	chain := optim.NewChain[float64](optim.Env{Layout: n.Layout()}, k, optim.NewDescend[float64](optim.Fixed("lr", 0.01)))
	f := objective.New[float64](n.Network, n.Layout(), n.theta)
	sum, weight := make([]float64, k.blocks[1].sumA().Size()), 0.0
	for step := 1; step <= steps; step++ {
		if step <= burn || (step-1)%2 == 0 {
			fresh := observed(t, n, Factored, objective.Propagated, 1, nil)
			decay := rho
			if step <= burn {
				decay = 1
			}
			for i, v := range fresh.blocks[1].sumA().Data() {
				sum[i] = decay*sum[i] + v
			}
			weight = decay*weight + 1
		}
		f.SetProgress(objective.Progress{Step: int64(step - 1), Batch: 12})
		if _, err := chain.Step(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		wantNear(t, "Σ", k.blocks[1].sumA().Data(), sum, 1e-14)
		if k.blocks[1].weight != weight {
			t.Fatalf("step %d: weight %v, expected %v", step, k.blocks[1].weight, weight)
		}
	}
}

func TestClipBoundsTheStep(t *testing.T) {
	for _, inner := range []float64{0, 1e-30, 0.1, 0.6, 0.7, 5, 1e20} {
		nu := klScale(0.3, 0.7, inner)
		size := 0.49 * nu * nu * inner
		if size > 0.3*(1+1e-12) || 0.49*inner <= 0.3 && nu != 1 {
			t.Errorf("⟨U, g⟩ = %g: ν = %g, lr²ν²⟨U, g⟩ = %g", inner, nu, size)
		}
	}
}

// The diagonal's average is that of N g².
func TestDiagonal(t *testing.T) {
	p := &diagonal[float64]{at: 1, d: make([]float64, 2)}
	ws := tensor.NewWorkspace[float64](nil)
	u := []float64{9, 2, -3, 9}
	p.add(ws, u, 4, 0.5)
	inner := p.apply(ws, u, 1)
	wantNear(t, "u", u, []float64{9, 2 / (4*4.0 + 1), -3 / (4*9.0 + 1), 9}, 1e-15)
	if want := 4/17.0 + 9/37.0; math.Abs(inner-want) > 1e-15 {
		t.Errorf("⟨u, g⟩ = %v, expected %v", inner, want)
	}
	u = []float64{9, 1, 0, 9}
	p.add(ws, u, 4, 0.5)
	p.apply(ws, u, 1)
	wantNear(t, "u", u[1:2], []float64{1 / ((0.5*16+4)/1.5 + 1)}, 1e-15)
}

// On a quadratic the model predicts exactly: the ratio is 1 and λ falls by ω^T each time.
func TestLevenbergMarquardt(t *testing.T) {
	n := network(t, "squared", 12, tensor.ShapeOf(4), affine(5, ""))
	spec, err := optim.Find(Table[float64](), "kfac")
	if err != nil {
		t.Fatal(err)
	}
	m, err := spec.Make(optim.Env{Layout: n.Layout()}, optim.Settings{"adaptive-damping": 1, "damping": 2, "damping-every": 3, "damping-decay": 0.9})
	if err != nil {
		t.Fatal(err)
	}
	f := objective.New[float64](n.Network, n.Layout(), n.theta)
	for step := range 9 {
		f.SetProgress(objective.Progress{Step: int64(step), Batch: 12})
		if _, err := m.Step(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	lm := m.(*LevenbergMarquardt[float64])
	if math.Abs(lm.ratio-1) > 1e-8 {
		t.Errorf("the ratio is %v", lm.ratio)
	}
	if want := math.Pow(0.9, 9); math.Abs(lm.k.factor-want) > 1e-12 {
		t.Errorf("the factor is %v, expected %v", lm.k.factor, want)
	}
	for _, c := range []struct{ ratio, want float64 }{{1, 0.5}, {0.76, 0.5}, {0.75, 1}, {0.25, 1}, {0.2, 2}, {-3, 2}, {math.NaN(), 2}} {
		if got := nextFactor(1, c.ratio, 0.5, 1, leastDamping, mostDamping); got != c.want {
			t.Errorf("ratio %v: factor %v, expected %v", c.ratio, got, c.want)
		}
	}
	low, high := 1.0, 1.0
	for range 200 {
		low, high = nextFactor(low, 1, 0.5, 3, leastDamping, mostDamping), nextFactor(high, 0, 0.5, 3, leastDamping, mostDamping)
	}
	if low != leastDamping/3 || high != mostDamping/3 {
		t.Errorf("the factor goes to %v and %v", low, high)
	}
}
