package optim

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// wavy is a smooth function of many parameters: Σ ½ λᵢ xᵢ² + sin(3 xᵢ).
type wavy[T tensor.Float] struct{}

func (wavy[T]) Evaluate(x, grad []T) (float64, error) {
	sum := 0.0
	for i, v := range x {
		l := 1 + float64(i%7)
		sum += l*float64(v*v)/2 + math.Sin(3*float64(v))
		if grad != nil {
			grad[i] = T(l)*v + T(3*math.Cos(3*float64(v)))
		}
	}
	return sum, nil
}

func twoKinds() *nn.Layout {
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "w", Shape: tensor.ShapeOf(50, 41), Kind: nn.Weight})
	l.Add(nn.Param{Name: "b", Shape: tensor.ShapeOf(41), Kind: nn.Bias})
	return l
}

// The fused ends of chains agree with the links that they replace. The two round differently, so the bound is
// a few hundred units in the last place after fifty steps.
func TestFusedEqualsComposed(t *testing.T) {
	env := Env{Layout: twoKinds()}
	chains := map[string]func() []Link[float64]{
		"momentum": func() []Link[float64] {
			return []Link[float64]{NewMomentum[float64](env, Fixed("momentum", 0.9), 0.1, false), NewDescend[float64](Fixed("lr", 0.01))}
		},
		"nesterov": func() []Link[float64] {
			return []Link[float64]{NewMomentum[float64](env, Fixed("momentum", 0.9), 0, true), NewDescend[float64](Fixed("lr", 0.01))}
		},
		"adam": func() []Link[float64] {
			return []Link[float64]{NewScaleByAdam[float64](env, 0.9, 0.999, 1e-8, false), NewDescend[float64](Fixed("lr", 0.01))}
		},
		"adamw": func() []Link[float64] {
			return []Link[float64]{NewScaleByAdam[float64](env, 0.8, 0.99, 1e-3, false), NewDecay[float64](env.Layout, Fixed("weight-decay", 0.3), nil), NewDescend[float64](Fixed("lr", 0.01))}
		},
	}
	for name, links := range chains {
		t.Run(name, func(t *testing.T) {
			run := func(fused bool) []float64 {
				c := newChain(env, fused, links()...)
				if got := len(c.groups[0].each) == 1; got != fused {
					t.Fatalf("fused is %v, expected %v", got, fused)
				}
				p := make([]float64, env.Layout.Size())
				tensor.Normal(tensor.KeyOf(1), p, 0, 1)
				f := objective.New[float64](wavy[float64]{}, env.Layout, p)
				for range 50 {
					f.SetProgress(objective.Progress{Batch: 1})
					if _, err := c.Step(context.Background(), f); err != nil {
						t.Fatal(err)
					}
				}
				return p
			}
			a, b := run(true), run(false)
			for i := range a {
				if math.Abs(a[i]-b[i]) > 1e-12*math.Max(1, math.Abs(b[i])) {
					t.Fatalf("parameter %d is %v fused, %v composed", i, a[i], b[i])
				}
			}
		})
	}
}

// A maximum, or anything between the scaling and the end but a decay, keeps a chain from being fused.
func TestNotFused(t *testing.T) {
	env := Env{Layout: twoKinds()}
	lr := Fixed("lr", 1)
	for _, links := range [][]Link[float64]{
		{NewScaleByAdam[float64](env, 0.9, 0.999, 1e-8, true), NewDescend[float64](lr)},
		{NewScaleByAdam[float64](env, 0.9, 0.999, 1e-8, false), NewClipNorm[float64](1), NewDescend[float64](lr)},
		{NewMomentum[float64](env, lr, 0, false), NewDecay[float64](env.Layout, lr, nil), NewDescend[float64](lr)},
		{NewDecay[float64](env.Layout, lr, nil), NewDescend[float64](lr)},
		{NewDescend[float64](lr)},
	} {
		if got := fuse(links); len(got) != len(links) {
			t.Errorf("%d links became %d", len(links), len(got))
		}
	}
}
