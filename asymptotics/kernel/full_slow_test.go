//go:build slow

package kernel_test

import (
	"testing"

	"github.com/descent-ml/descent/asymptotics/kernel"
)

// TestFullTwoHiddenLayers is check K4.
func TestFullTwoHiddenLayers(t *testing.T) {
	erfs, _ := ladder(t, kernel.Erf(), erf, 2, 10, 2048)
	relus, _ := ladder(t, kernel.ReLU(), relu, 2, 10, 2048)
	t.Logf("relative error at N = 2048: erf %.4f, relu %.4f", erfs[0], relus[0])
	if erfs[0] > 0.08 || relus[0] > 0.08 {
		t.Errorf("K4: mean relative errors %.4f and %.4f, want at most 0.08", erfs[0], relus[0])
	}
}

// TestFullGraph is check K6.
func TestFullGraph(t *testing.T) {
	a, x, want := graphProblem(t)
	mean := 0.0
	for seed := range 8 {
		mean += relative(graphNet(t, a.Dense, x, 4096, uint64(seed)), want) / 8
	}
	t.Logf("relative error %.4f at N = 4096", mean)
	if mean > 0.05 {
		t.Errorf("K6: mean relative error %.4f at N = 4096, want at most 0.05", mean)
	}
}
