package optim_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// From batches of one example the raw moments give the weighted mean and variance of the examples, with weights ρ^(t−i);
// so do any other batches, all of one size. The paper's variance is then that of its start, 1, decayed.
func TestStatisticsOfSmallBatches(t *testing.T) {
	const rows, in, rho = 12, 3, 0.8
	for _, size := range []int{1, 2, 4} {
		n := newNetwork(t, tensor.KeyOf(6), rows, tensor.ShapeOf(in), 2, &nn.Dense[float64]{Out: 2})
		o := optim.BatchNormOptions{Decay: rho, Centring: true, Scaling: true}
		paper := o
		paper.Paper = true
		raw, old := mustBNP(t, n.layout, o), mustBNP(t, n.layout, paper)
		for lo := 0; lo < rows; lo += size {
			n.batch(lo, lo+size)
			for _, p := range []*optim.BatchNorm[float64]{raw, old} {
				p.BeginTaps()
				n.f.Moved()
				if _, _, err := n.f.GradientTapped(context.Background(), p.Tap); err != nil {
					t.Fatal(err)
				}
				p.KeepTaps()
				p.Update()
			}
		}
		for j := range in {
			sum, mean, square := 0.0, 0.0, 0.0
			for i := range rows {
				w := math.Pow(rho, float64((rows-1-i)/size))
				x := n.x.Data()[i*in+j]
				sum += w
				mean += w * x
				square += w * x * x
			}
			mean /= sum
			sd := math.Sqrt(square/sum - mean*mean)
			// P of the weight of input j: 1/σ there, −μ/σ in the bias.
			v := make([]float64, n.layout.Size())
			v[j*2] = 1
			raw.MulP(v)
			closeTo(t, "1/σ", v[j*2], 1/sd, 1e-12)
			closeTo(t, "−μ/σ", v[in*2], -mean/sd, 1e-12)
			if size == 1 {
				v = make([]float64, n.layout.Size())
				v[j*2] = 1
				old.MulP(v)
				closeTo(t, "the paper's 1/σ", v[j*2], math.Pow(rho, -rows/2.0), 1e-12)
			}
		}
	}
}

// A layer without bias is scaled by the root of the raw second moment and not centred.
func TestNoBiasNoCentring(t *testing.T) {
	n := newNetwork(t, tensor.KeyOf(6), 10, tensor.ShapeOf(3), 2, &nn.Dense[float64]{Out: 2, NoBias: true})
	p := observed(t, n, optim.BatchNormOptions{Decay: 0.9, Centring: true, Scaling: true})
	v := []float64{1, 1, 1, 1, 1, 1}
	p.MulP(v)
	for j := range 3 {
		square := 0.0
		for i := range 10 {
			x := n.x.Data()[i*3+j]
			square += x * x / 10
		}
		closeTo(t, "1/√E[x²]", v[2*j], 1/math.Sqrt(square), 1e-12)
	}
}

// The number of workers changes no bit, with enough rows for several strips; and a mean a million times the deviation
// costs no more digits than the moments themselves.
func TestStatisticsOfManyRows(t *testing.T) {
	const rows, cols = 30000, 7
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "a.weight", Shape: tensor.ShapeOf(cols, 600), Kind: nn.Weight})
	l.Add(nn.Param{Name: "a.bias", Shape: tensor.ShapeOf(600), Kind: nn.Bias})
	x := make([]float32, rows*cols)
	for i := range x {
		x[i] = float32(1000 + 0.5*tensor.KeyOf(1).Normal(uint64(i)))
	}
	products := func(workers int) []float32 {
		p, err := optim.NewBatchNorm[float32](optim.Env{Layout: l, Pool: tensor.NewPool(workers)}, optim.BatchNormOptions{Decay: 0.9, Centring: true, Scaling: true})
		if err != nil {
			t.Fatal(err)
		}
		p.BeginTaps()
		p.Tap(objective.Tap[float32]{Weight: 0, Bias: 1, X: tensor.Of(x, tensor.ShapeOf(rows, cols)), RowsPer: 1})
		p.KeepTaps()
		p.Update()
		v := make([]float32, l.Size())
		tensor.Normal(tensor.KeyOf(2), v, 0, 1)
		v[0] = 1
		p.MulP(v)
		return v
	}
	one, three := products(1), products(3)
	for i := range one {
		if one[i] != three[i] {
			t.Fatalf("element %d is %v with one worker, %v with three", i, one[i], three[i])
		}
	}
	if sd := 1 / float64(one[0]); math.Abs(sd-0.5) > 0.01 {
		t.Errorf("deviation %v, expected 0.5", sd)
	}
}

// Inputs that are not finite leave the statistics as they are, and are counted; frozen statistics stay.
func TestRefusedAndFrozenStatistics(t *testing.T) {
	n := newNetwork(t, tensor.KeyOf(6), 10, tensor.ShapeOf(3), 2, &nn.Dense[float64]{Out: 2})
	p := observed(t, n, optim.DefaultBatchNorm())
	state := func() (s []float64) {
		for _, e := range p.State() {
			s = append(s, e.Double...)
		}
		return s
	}
	before := state()
	again := func(x float64) {
		p.BeginTaps()
		p.Tap(objective.Tap[float64]{Weight: 0, Bias: 1, X: tensor.Of([]float64{1, x, 3}, tensor.ShapeOf(1, 3)), RowsPer: 1})
		p.KeepTaps()
		p.Update()
	}
	again(math.NaN())
	again(1e200)
	if refused := *p.State()[0].Int; refused != 2 {
		t.Errorf("%d refused, expected 2", refused)
	}
	p.Freeze(true)
	again(5)
	for i, v := range state() {
		if v != before[i] {
			t.Fatalf("statistic %d went from %v to %v", i, before[i], v)
		}
	}
	p.Freeze(false)
	again(5)
	if state()[1] == before[1] {
		t.Error("the statistics stand still")
	}
}

// A model without weight matrices is refused before the first step.
func TestNothingToPrecondition(t *testing.T) {
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "table", Shape: tensor.ShapeOf(5, 4), Kind: nn.Embedding})
	_, err := optim.New[float64]("bnp-adam", optim.Env{Layout: l}, nil)
	if err == nil || !strings.Contains(err.Error(), "table (embedding)") || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("error %v", err)
	}
}
