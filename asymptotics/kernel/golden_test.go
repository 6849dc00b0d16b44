package kernel_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/descent-ml/descent/asymptotics/kernel"
)

// TestGolden compares the duals of all activations with integrals by an independent program, testdata/duals.py: check K5 asks for
// 1e-6 where the function is smooth and 1e-4 where it has a kink.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/duals.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Name         string
		Smooth       bool
		A, B, C      float64
		Value, Slope float64
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	seen, worst := map[string]bool{}, map[bool]float64{}
	for _, r := range rows {
		s, err := kernel.ByName(r.Name)
		if err != nil {
			t.Fatal(err)
		}
		v, d := s.Pair(r.A, r.B, r.C)
		bound := map[bool]float64{true: 1e-6, false: 1e-4}[r.Smooth]
		e := math.Max(math.Abs(v-r.Value), math.Abs(d-r.Slope))
		if !(e <= bound) {
			t.Errorf("%s at (%g, %g, %g): (%.10g, %.10g), expected (%.10g, %.10g)", r.Name, r.A, r.B, r.C, v, d, r.Value, r.Slope)
		}
		seen[r.Name] = true
		worst[r.Smooth] = math.Max(worst[r.Smooth], e)
	}
	for _, s := range kernel.Activations() {
		if !seen[s.Name] {
			t.Errorf("%s has no golden value", s.Name)
		}
	}
	t.Logf("largest difference: smooth %.2g, with a kink %.2g", worst[true], worst[false])
}
