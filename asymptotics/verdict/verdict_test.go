package verdict_test

import (
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/asymptotics/verdict"
)

func TestWithin(t *testing.T) {
	if !verdict.Within("a", "", 1, 1.05, 0, 0.1, verdict.Derived).Pass || verdict.Within("a", "", 1, 1.2, 0, 0.1, verdict.Derived).Pass {
		t.Error("the threshold does not decide")
	}
	bad := verdict.Within("a", "x", 1, math.NaN(), 0, 0.1, verdict.Theorem)
	if bad.Pass {
		t.Error("NaN passed")
	}
	var b strings.Builder
	if err := verdict.Write(&b, []verdict.Row{bad}); err != nil || !strings.Contains(b.String(), "FAILS") {
		t.Errorf("table %q, error %v", b.String(), err)
	}
}

func TestLogLog(t *testing.T) {
	x := []float64{64, 256, 1024}
	y := make([]float64, 3)
	for i := range x {
		y[i] = 3 * math.Pow(x[i], -0.7)
	}
	f := verdict.LogLog(x, y, nil)
	if math.Abs(f.Slope+0.7) > 1e-12 || f.SE > 1e-10 || math.Abs(f.Intercept-math.Log(3)) > 1e-12 {
		t.Errorf("found %+v", f)
	}
	y[1] *= 1.2 // residuals of the line through three equally spaced points: (1, −2, 1)/3 · log 1.2 up to sign
	f = verdict.LogLog(x, y, nil)
	if want := math.Log(1.2) * math.Sqrt(2.0/3) / (math.Log(4) * math.Sqrt2); math.Abs(f.SE-want) > 1e-12 {
		t.Errorf("standard error %v, want %v", f.SE, want)
	}
	if f := verdict.LogLog(x, []float64{0, 1, 0}, nil); !math.IsNaN(f.Slope) {
		t.Errorf("one point gave the slope %v", f.Slope)
	}
}
