package asymptotics

import (
	"context"
	"testing"

	"github.com/descent-ml/descent/tensor"
)

// TestChecks runs the acceptance table with few replicates. Seeds are fixed, so that it gives the same rows every time;
// thresholds are at least three standard errors wide (the rows show them), so that another seed passes too, and narrow
// enough for the errors of the negative controls by a factor of ten or more.
//
// Power: a variance that is wrong by 10 % is found at N = 30 and N = 100 (20,000 replicates: s.e. 1 %) and by the pooled
// rows of M9; M4, M8 and G1 see 15 %. The full table, with the tag slow, sees 3 to 6 %.
func TestChecks(t *testing.T) {
	l := NewLab(CheckOptions{Pool: tensor.NewPool(0)})
	for _, c := range Checks() {
		t.Run(c.ID, func(t *testing.T) {
			rows, err := l.Run(context.Background(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if r.Pass {
					t.Log(r)
				} else {
					t.Error(r)
				}
			}
		})
	}
	for _, c := range NegativeControls() {
		t.Run(c.ID, func(t *testing.T) {
			rows, err := l.Run(context.Background(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			failed := len(rows) > 0
			for _, r := range rows {
				t.Log(r)
				failed = failed && !r.Pass
			}
			if !failed {
				t.Errorf("%s: a wrong theory passes", c.What)
			}
		})
	}
}

func TestLabUnknownCheck(t *testing.T) {
	if _, err := NewLab(CheckOptions{}).Run(context.Background(), "M99"); err == nil {
		t.Error("M99 is no check")
	}
}
