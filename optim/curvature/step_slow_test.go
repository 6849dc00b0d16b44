//go:build slow && unix

package curvature_test

import (
	"sort"
	"syscall"
	"testing"

	"github.com/descent-ml/descent/optim"
)

// seconds returns the processor time of the process.
func seconds(t *testing.T) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + 1e-6*float64(u.Utime.Usec+u.Stime.Usec)
}

// TestStepCost measures the processor time of whole periods of 100 steps on mlp:512,512 with 784 inputs, batch 256, in turn with plain
// gradient descent: the median ratio of three rounds.
func TestStepCost(t *testing.T) {
	rare := func(more optim.Settings) optim.Settings {
		s := optim.Settings{"statistics-every": 10, "inverse-every": 100}
		for k, v := range more {
			s[k] = v
		}
		return s
	}
	sgd := wide(t, "sgd", nil)
	period := func(r *wideRun) float64 {
		from := seconds(t)
		for range 100 {
			r.step(t)
		}
		return seconds(t) - from
	}
	period(sgd)
	for _, c := range []struct {
		name     string
		settings optim.Settings
		most     float64
	}{
		{"rs-kfac", rare(nil), 1.4},
		{"sre-kfac", rare(nil), 1.4},
		{"rs-kfac", rare(optim.Settings{"rank": 30}), 1.5},
		{"rs-kfac", rare(optim.Settings{"statistics-part": 1}), 1.6},
		{"b-kfac", rare(nil), 1.6},
		{"kfac", rare(nil), 4},
	} {
		r := wide(t, c.name, c.settings)
		period(r) // burn-in
		var ratios []float64
		for range 3 {
			ratios = append(ratios, period(r)/period(sgd))
		}
		sort.Float64s(ratios)
		t.Logf("%s %v: %.2f of a step of sgd", c.name, c.settings, ratios[1])
		if ratios[1] > c.most {
			t.Errorf("%s %v: a step costs %.2f of one of sgd, expected at most %g", c.name, c.settings, ratios[1], c.most)
		}
	}
}
