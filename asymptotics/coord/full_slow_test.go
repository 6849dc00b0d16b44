//go:build slow

package coord_test

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/asymptotics/coord"
)

// TestFullLadder is checks D2 and D3 at the widths of their thresholds.
func TestFullLadder(t *testing.T) {
	widths := []int{64, 256, 1024}
	r := online(t, "gamma:0.5,1", widths, 6)
	if c := row(t, r, coord.OutputChange, "output"); math.Abs(c.Slope) > 0.05 {
		t.Errorf("D2: slope %.3f ± %.3f, want 0 ± 0.05", c.Slope, c.SlopeSE)
	}
	if w := row(t, r, coord.OnlyThis, "dense1.weight"); w.Slope > -0.8 {
		t.Errorf("D3: slope %.3f, want at most -0.8", w.Slope)
	}
}

// TestFullCorrected is the half of D3 that must not be flagged.
func TestFullCorrected(t *testing.T) {
	r := online(t, "gamma:0.5,1+auto", []int{64, 256, 1024}, 6)
	if w := row(t, r, coord.OnlyThis, "dense1.weight"); math.Abs(w.Slope) > 0.05 {
		t.Errorf("D3: slope %.3f ± %.3f, want 0 ± 0.05", w.Slope, w.SlopeSE)
	}
}
