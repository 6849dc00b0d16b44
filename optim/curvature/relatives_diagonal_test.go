package curvature

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// TestSophiaEstimatesTheGaussNewtonDiagonal: on a softmax regression the mean of B·ĝ∘ĝ over draws of the targets is the diagonal of the
// Gauss–Newton matrix, to 3 % at 40,000 draws.
func TestSophiaEstimatesTheGaussNewtonDiagonal(t *testing.T) {
	n := network(t, "cross-entropy", 8, tensor.ShapeOf(4), &nn.Dense[float64]{Out: 3})
	f := objective.New[float64](n.Network, n.Layout(), n.theta)
	const draws = 40000
	mean, g := make([]float64, len(n.theta)), make([]float64, len(n.theta))
	for i := range draws {
		if err := f.SampledGradient(context.Background(), tensor.KeyOf(7).Fold(uint64(i)), g); err != nil {
			t.Fatal(err)
		}
		for j, v := range g {
			mean[j] += 8 * v * v / draws
		}
	}
	worst := 0.0
	for j, column := range n.ggn(t) {
		worst = max(worst, math.Abs(mean[j]/column[j]-1))
	}
	t.Logf("largest relative deviation %.2f %%", 100*worst)
	if worst > 0.03 {
		t.Errorf("an element deviates by %.2f %%, expected 3 %% at most", 100*worst)
	}
}

// TestSophiaIsBounded: no element of a step is longer than the learning rate, and the win rate counts those that are shorter.
func TestSophiaIsBounded(t *testing.T) {
	for _, hutchinson := range []bool{false, true} {
		n := network(t, "cross-entropy", 30, tensor.ShapeOf(4), &nn.Dense[float64]{Out: 5}, &nn.Activation[float64]{Name: "tanh"}, &nn.Dense[float64]{Out: 3})
		spec := specSophia[float64](hutchinson)
		m, err := spec.Make(optim.Env{Layout: n.Layout()}, optim.Settings{"lr": 0.01, "weight-decay": 0, "rho": 2})
		if err != nil {
			t.Fatal(err)
		}
		f := objective.New[float64](n.Network, n.Layout(), n.theta)
		won := 0
		for range 60 {
			before := append([]float64(nil), f.Params()...)
			f.SetProgress(objective.Progress{Batch: 30})
			r, err := m.Step(context.Background(), f)
			if err != nil {
				t.Fatal(err)
			}
			short := 0
			for i, v := range f.Params() {
				step := math.Abs(v - before[i])
				if step > 0.01*(1+1e-12) {
					t.Fatalf("%s: a step of %v", spec.Name, step)
				}
				if step < 0.01*(1-1e-9) {
					short++
				}
			}
			for _, e := range r.Extra {
				if e.Name == "win-rate" && math.Abs(e.Value-float64(short)/float64(len(before))) > 1e-12 {
					t.Fatalf("%s: win rate %v, but %d of %d elements are short", spec.Name, e.Value, short, len(before))
				}
			}
			won += short
		}
		if won == 0 || won == 60*len(f.Params()) {
			t.Errorf("%s: %d elements of %d were short: both kinds should occur", spec.Name, won, 60*len(f.Params()))
		}
	}
}

// TestHutchinson: the mean of z∘(Hz) is the diagonal of the Hessian, element by element within 4.5 standard errors.
func TestHutchinson(t *testing.T) {
	n := network(t, "cross-entropy", 8, tensor.ShapeOf(4), &nn.Dense[float64]{Out: 3}, &nn.Activation[float64]{Name: "tanh"}, &nn.Dense[float64]{Out: 3})
	f := objective.New[float64](n.Network, n.Layout(), n.theta)
	p := len(n.theta)
	want, column, v := make([]float64, p), make([]float64, p), make([]float64, p)
	for i := range p {
		clear(v)
		v[i] = 1
		if err := f.HVP(v, column); err != nil {
			t.Fatal(err)
		}
		want[i] = column[i]
	}
	s := &optim.Stage[float64]{Objective: f}
	const draws = 5000
	mean, square, z := make([]float64, p), make([]float64, p), make([]float64, p)
	for i := range draws {
		if err := hutchinson(s, tensor.KeyOf(3).Fold(uint64(i)), z, v, "test"); err != nil {
			t.Fatal(err)
		}
		for j, d := range v {
			mean[j] += d / draws
			square[j] += d * d / draws
		}
	}
	for j := range want {
		if se := math.Sqrt((square[j] - mean[j]*mean[j]) / draws); math.Abs(mean[j]-want[j]) > 4.5*se+1e-12 {
			t.Errorf("element %d: mean %v, expected %v within 4.5 × %v", j, mean[j], want[j], se)
		}
	}
}

// TestAdaHessianOnAQuadratic: where the Hessian is diagonal Hutchinson's estimate is exact, and the first step with β₁ = 0 and power 1 is that
// of Newton, to the minimum.
func TestAdaHessianOnAQuadratic(t *testing.T) {
	f := diagonalQuadratic{curvature: []float64{0.01, 1, 3, 100}, minimum: []float64{1, -2, 3, 0.5}}
	layout := nn.FlatLayout(4)
	spec := specAdaHessian[float64]()
	m, err := spec.Make(optim.Env{Layout: layout}, optim.Settings{"lr": 1, "beta1": 0, "eps": 1e-30, "weight-decay": 0})
	if err != nil {
		t.Fatal(err)
	}
	o := objective.New[float64](f, layout, make([]float64, 4))
	if _, err := m.Step(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	vectorNear(t, "after one step", o.Params(), f.minimum)
}

// diagonalQuadratic is ½ Σ c_i (x_i − m_i)².
type diagonalQuadratic struct{ curvature, minimum []float64 }

func (f diagonalQuadratic) Evaluate(x, grad []float64) (float64, error) {
	sum := 0.0
	for i, c := range f.curvature {
		d := x[i] - f.minimum[i]
		sum += c * d * d / 2
		if grad != nil {
			grad[i] = c * d
		}
	}
	return sum, nil
}

func (f diagonalQuadratic) HVP(_, v, out []float64) error {
	for i, c := range f.curvature {
		out[i] = c * v[i]
	}
	return nil
}

func (f diagonalQuadratic) GGNVP(x, v, out []float64) error { return f.HVP(x, v, out) }

// TestSpatialAverage: D of a convolution's kernel is its mean over the positions, for each pair of channels; dense layers keep theirs.
func TestSpatialAverage(t *testing.T) {
	n := network(t, "cross-entropy", 4, tensor.ShapeOf(5, 5, 2), &nn.Conv[float64]{Kernel: 3, Out: 4}, &nn.Flatten[float64]{}, &nn.Dense[float64]{Out: 3})
	l := NewAdaHessian[float64](optim.Env{Layout: n.Layout()}, AdaHessianOptions{Spatial: true, Every: 1})
	if len(l.kernels) != 1 || l.kernels[0].positions != 9 || l.kernels[0].channels != 8 {
		t.Fatalf("kernels %+v", l.kernels)
	}
	for i := range l.d {
		l.d[i] = float64(i * i % 17)
	}
	before := append([]float64(nil), l.d...)
	l.average(l.kernels[0])
	for c := range 8 {
		mean := 0.0
		for p := range 9 {
			mean += before[p*8+c] / 9
		}
		for p := range 9 {
			if math.Abs(l.d[p*8+c]-mean) > 1e-12 {
				t.Errorf("position %d, channels %d: %v, expected %v", p, c, l.d[p*8+c], mean)
			}
		}
	}
	vectorNear(t, "the other parameters", l.d[72:], before[72:])
}
