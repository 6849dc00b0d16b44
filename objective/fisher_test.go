package objective_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// The exact signal's second moment at the output is the mean of the Hessians there, and no signal touches gradient or running
// statistics.
func TestTapFisher(t *testing.T) {
	for _, p := range []problem{{"logistic", []int{4}, 3, "cross-entropy", "", 6}, {"linear", []int{4}, 3, "squared", "", 6}, {"linear", []int{4}, 2, "poisson", "", 5}} {
		n, theta := build[float64](t, p, nil)
		o := objective.New[float64](n, n.Layout(), theta)
		c := p.outputs
		got := make([]float64, c*c)
		passes := map[int]bool{}
		err := o.TapFisher(context.Background(), objective.Exact, objective.Part{}, tensor.KeyOf(1), func(pass int, tap objective.Tap[float64]) {
			passes[pass] = true
			for r := range p.batch {
				for i := range c {
					for j := range c {
						got[i*c+j] += float64(p.batch) * tap.DY.At(r, i) * tap.DY.At(r, j)
					}
				}
			}
		})
		if err != nil || len(passes) != c {
			t.Fatalf("%v: %d passes, error %v", p, len(passes), err)
		}
		// Through the bias alone the Gauss–Newton matrix is the mean of the output Hessians.
		bias := n.Layout().At(1)
		v, out := make([]float64, len(theta)), make([]float64, len(theta))
		for j := range c {
			clear(v)
			v[bias.Offset+j] = 1
			if err := n.GGNVP(theta, v, out); err != nil {
				t.Fatal(err)
			}
			for i := range c {
				if want := out[bias.Offset+i]; math.Abs(got[i*c+j]-want) > 1e-12 {
					t.Errorf("%v: element %d, %d is %v, expected %v", p, i, j, got[i*c+j], want)
				}
			}
		}
	}
}

func TestTapFisherLeavesTheRestAlone(t *testing.T) {
	n, theta := build[float64](t, problem{"resnet20", []int{8, 8, 3}, 3, "cross-entropy", "elu", 4}, nil)
	o := objective.New[float64](n, n.Layout(), theta)
	_, g, err := o.Gradient(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	grad, state := slices.Clone(g), slices.Clone(n.State())
	for _, signal := range []objective.Signal{objective.Propagated, objective.Sampled, objective.Exact, objective.Empirical} {
		taps := func() (all []float64) {
			err := o.TapFisher(context.Background(), signal, objective.Part{}, tensor.KeyOf(5), func(_ int, tap objective.Tap[float64]) {
				all = append(all, tap.DY.Data()...)
			})
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		if a, b := taps(), taps(); len(a) == 0 || !slices.Equal(a, b) {
			t.Errorf("%v: two calls with one key differ", signal)
		}
	}
	if !slices.Equal(g, grad) || !slices.Equal(n.State(), state) {
		t.Error("the gradient or the running statistics moved")
	}
}

// bowl has neither taps nor a distribution.
type bowl struct{}

func (bowl) Evaluate([]float64, []float64) (float64, error) { return 0, nil }

func TestTapFisherUnsupported(t *testing.T) {
	o := objective.New[float64](bowl{}, nn.FlatLayout(2), make([]float64, 2))
	if err := o.TapFisher(context.Background(), objective.Sampled, objective.Part{}, tensor.KeyOf(1), nil); !errors.Is(err, objective.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	if err := o.TapValue(context.Background(), objective.Part{}, nil); !errors.Is(err, objective.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}

// A part of a batch is a batch of its first examples: taps have the bits of that, and the batch is whole again afterwards.
func TestTapsOfAPart(t *testing.T) {
	for _, c := range []struct {
		part objective.Part
		want int
	}{{objective.Part{}, 7}, {objective.Part{Fraction: 1}, 7}, {objective.Part{Fraction: 0.5}, 4}, {objective.Part{Fraction: 0.125}, 1}, {objective.Part{Fraction: 3. / 7}, 3},
		{objective.Part{Fraction: 1e-9}, 1}, {objective.Part{Fraction: 0.5, Least: 5}, 5}, {objective.Part{Fraction: 0.5, Least: 9}, 7}, {objective.Part{Fraction: 0.5, Least: 2}, 4}} {
		if got := c.part.Of(7); got != c.want {
			t.Errorf("part %v of 7 is %d, expected %d", c.part, got, c.want)
		}
	}
	for _, p := range []problem{{"mlp:5", []int{4}, 3, "cross-entropy", "tanh", 7}, {"mlp:5", []int{4}, 3, "squared", "tanh", 7}, {"2c2d", []int{8, 8, 1}, 3, "cross-entropy", "elu", 7}} {
		n, theta := build[float64](t, p, nil)
		o := objective.New[float64](n, n.Layout(), theta)
		_, g, err := o.Gradient(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		whole := slices.Clone(g)
		taps := func(part objective.Part, signal objective.Signal) (all []float64) {
			err := o.TapFisher(context.Background(), signal, part, tensor.KeyOf(5), func(_ int, tap objective.Tap[float64]) {
				all = append(append(all, tap.X.Data()...), tap.DY.Data()...)
			})
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		values := func(part objective.Part) (all []float64) {
			err := o.TapValue(context.Background(), part, func(tap objective.Tap[float64]) {
				all = append(append(all, tap.X.Data()...), tap.DY.Data()...)
			})
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		signals := []objective.Signal{objective.Propagated, objective.Sampled, objective.Exact, objective.Empirical}
		var parts [][]float64
		for _, s := range signals {
			parts = append(parts, taps(objective.Part{Fraction: 3. / 7}, s))
		}
		cut := values(objective.Part{Fraction: 3. / 7})
		o.Moved()
		if _, g, err = o.Gradient(context.Background()); err != nil || !slices.Equal(g, whole) {
			t.Fatalf("%v: the gradient after a part is not that of the batch; error %v", p, err)
		}
		x, y := n.Batch()
		head := nn.Target[float64]{}
		if y.Labels != nil {
			head.Labels = y.Labels[:3]
		} else {
			head.Values = tensor.FromSlice(y.Values.Data()[:3*p.outputs], 3, p.outputs)
		}
		s := x.Shape().With(0, 3)
		n.SetBatch(tensor.Of(x.Data()[:s.Size()], s), head)
		for i, s := range signals {
			if want := taps(objective.Part{}, s); len(want) == 0 || !slices.Equal(parts[i], want) {
				t.Errorf("%v: %v: a part differs from a batch of its examples", p, s)
			}
		}
		want := values(objective.Part{})
		if len(cut) != len(want) {
			t.Fatalf("%v: %d numbers, expected %d", p, len(cut), len(want))
		}
		for i, v := range want {
			if math.Abs(cut[i]-v) > 1e-14 {
				t.Fatalf("%v: the cut taps have %v, expected %v", p, cut[i], v)
			}
		}
	}
}
