//go:build slow

package dynamics_test

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/asymptotics/dynamics"
	"github.com/descent-ml/descent/tensor"
)

// TestFullRNN is checks R1 and R2.
func TestFullRNN(t *testing.T) {
	for _, width := range []int{100, 400} {
		c := compare(t, reference(), width, 1000, 100000)
		if width == 400 && c.meanError > 0.008 {
			t.Errorf("R1: mean error %.4f, want at most 0.008", c.meanError)
		}
		if c.forgetful < 3*c.meanError {
			t.Errorf("R1: without memory the error is %.4f beside %.4f", c.forgetful, c.meanError)
		}
		if c.varianceRatio < 0.9 || c.varianceRatio > 1.15 {
			t.Errorf("R2: ratio of variances %.3f, want 0.9 to 1.15", c.varianceRatio)
		}
	}
}

// TestFullOU is check S1.
func TestFullOU(t *testing.T) {
	for _, o := range []dynamics.OU{{C: 4, C0: 20, Time: 400}, {C: 2, C0: 20, Time: 400}} {
		row, mean, err := o.Simulate(nil, tensor.KeyOf(2), 4000)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v; mean error %.4f", row, mean)
		if o.C == 4 && !row.Pass || math.IsNaN(row.Measured) {
			t.Errorf("%v", row)
		}
	}
}
