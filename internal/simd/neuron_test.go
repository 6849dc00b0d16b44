package simd

import (
	"math"
	"testing"
)

// TestAffineTanh compares with math.Tanh on the range where it is not ±1, and at the ends.
func TestAffineTanh(t *testing.T) {
	const n = 20001
	w, got := make([]float64, 2*n), make([]float64, n)
	for i := range n {
		w[i], w[n+i] = float64(i-n/2)*1e-3, float64(i%7)*1e-9
	}
	x := []float64{2.1, 1}
	AffineTanh(got, w, n, x)
	for i, v := range got {
		if want := math.Tanh(math.FMA(w[i], x[0], w[n+i])); math.Abs(v-want) > 1e-13*math.Abs(want) {
			t.Fatalf("tanh(%g): found %v, expected %v", math.FMA(w[i], x[0], w[n+i]), v, want)
		}
	}
	for _, c := range []struct{ u, want float64 }{{0, 0}, {1e-300, 1e-300}, {-1e-9, -1e-9}, {1e9, 1}, {-1e9, -1}, {math.Inf(1), 1}, {math.Inf(-1), -1}} {
		AffineTanh(got[:1], []float64{c.u}, 1, []float64{1})
		if math.Abs(got[0]-c.want) > 1e-15*math.Abs(c.want) {
			t.Errorf("tanh(%g): found %v, expected %v", c.u, got[0], c.want)
		}
	}
	AffineTanh(got[:1], []float64{math.NaN()}, 1, []float64{1})
	if !math.IsNaN(got[0]) {
		t.Errorf("tanh(NaN): found %v", got[0])
	}
}
