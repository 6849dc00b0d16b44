package tensor

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestElementLosses(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := ShapeOf(rapid.IntRange(1, 5).Draw(r, "rows"), rapid.IntRange(1, 5).Draw(r, "cols"))
		z, y := drawTensor(r, s), drawTensor(r, s)
		ws := space(1)
		Scale(ws, z, z, 3)
		Apply(ws, y, Sigmoid, y, 0) // targets in (0, 1) suit every loss
		const delta = 0.7
		want := map[Loss]func(z, y float64) float64{
			SquaredLoss:   func(z, y float64) float64 { return (z - y) * (z - y) / 2 },
			BernoulliLoss: func(z, y float64) float64 { p := 1 / (1 + math.Exp(-z)); return -y*math.Log(p) - (1-y)*math.Log(1-p) },
			PoissonLoss:   func(z, y float64) float64 { return math.Exp(z) - y*z },
			HuberLoss: func(z, y float64) float64 {
				if r := math.Abs(z - y); r > delta {
					return delta * (r - delta/2)
				}
				return (z - y) * (z - y) / 2
			},
		}
		for l, f := range want {
			total := 0.0
			for i := range z.data {
				total += f(z.data[i], y.data[i])
			}
			closeTo(r, l.String(), []float64{ElementLoss(ws, l, z, y, delta)}, []float64{total / float64(s.Rows())}, 1e-12)
		}
	})
}

// In single precision the losses of confident predictions keep their digits.
func TestLossesOfConfidentPredictions(t *testing.T) {
	ws := NewWorkspace[float32](nil)
	one := func(l Loss, z, y float32) float64 {
		return float64(ElementLoss(ws, l, FromSlice([]float32{z}, 1, 1), FromSlice([]float32{y}, 1, 1), 1))
	}
	for _, c := range []struct{ z, y, want float64 }{
		{20, 1, math.Log1p(math.Exp(-20))}, {-20, 0, math.Log1p(math.Exp(-20))}, {80, 1, math.Exp(-80)}, {1000, 1, 0}, {1000, 0, 1000}, {-1000, 1, 1000},
	} {
		if got := one(BernoulliLoss, float32(c.z), float32(c.y)); math.Abs(got-c.want) > 1e-6*c.want {
			t.Errorf("Bernoulli loss of logit %v for %v is %v, want %v", c.z, c.y, got, c.want)
		}
	}
	for _, gap := range []float64{5, 10, 14} {
		z := FromSlice([]float32{1000, float32(1000 - gap)}, 1, 2)
		got := float64(CrossEntropy(ws, z, []int32{0}, 0))
		if want := math.Log1p(math.Exp(-gap)); math.Abs(got-want) > 1.2e-7 {
			t.Errorf("cross-entropy with a lead of %v is %v, want %v", gap, got, want)
		}
		l := FromSlice(make([]float32, 2), 1, 2)
		LogSoftmax(ws, l, z)
		if want := -math.Log1p(math.Exp(-gap)); math.Abs(float64(l.data[0])-want) > 1.2e-7 {
			t.Errorf("log-softmax with a lead of %v is %v, want %v", gap, l.data[0], want)
		}
	}
}

func TestCrossEntropy(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rows, cols := rapid.IntRange(1, 6).Draw(r, "rows"), rapid.IntRange(1, 6).Draw(r, "cols")
		labels := rapid.SliceOfN(rapid.Int32Range(0, int32(cols-1)), rows, rows).Draw(r, "labels")
		eps := rapid.SampledFrom([]float64{0, 0.1, 1}).Draw(r, "smoothing")
		z := drawTensor(r, ShapeOf(rows, cols))
		ws := space(rapid.IntRange(1, 3).Draw(r, "workers"))
		q, lp, g := z.Clone(), z.Clone(), z.Clone()
		SmoothedLabels(q, labels, eps)
		LogSoftmax(ws, lp, z)
		want := -Dot(ws, q, lp) / float64(rows)
		closeTo(r, "loss", []float64{CrossEntropy(ws, z, labels, eps)}, []float64{want}, 1e-13)
		CrossEntropyGrad(ws, g, z, labels, eps, 2)
		for i := range q.data {
			closeTo(r, "gradient", g.data[i:i+1], []float64{2 * (math.Exp(lp.data[i]) - q.data[i])}, 1e-13)
		}
		for i := range rows {
			total := 0.0
			for j := range cols {
				total += q.At(i, j)
			}
			closeTo(r, "sum of the targets", []float64{total}, []float64{1}, 1e-15)
		}
	})
}
