package train

import "testing"

// What Refusals says is what Run says.
func TestRefusals(t *testing.T) {
	good, bad := small(), small()
	bad.Settings = map[string]float64{"lr": -1}
	loss := small()
	loss.Loss = "squared" // digits are classes
	errs, err := Refusals([]Config{good, bad, loss})
	if err != nil || errs[0] != nil || errs[1] == nil || errs[2] == nil {
		t.Errorf("%v, %v", errs, err)
	}
	missing := small()
	missing.Data = "no-such-data"
	if _, err := Refusals([]Config{missing}); err == nil {
		t.Error("no error for data that is not there")
	}
}
