package deepobs

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/optim"
)

// The published curves all start at this test loss (θ = 1), which fixes Hessian and test data.
const publishedStart = 353.446764

func TestQuadraticStart(t *testing.T) {
	q := NewQuadratic()
	theta := make([]float64, dim)
	for i := range theta {
		theta[i] = 1
	}
	if got := q.TestLoss(theta); math.Abs(got-publishedStart) > 1e-4 {
		t.Errorf("test loss at the start %.6f, published %.6f", got, publishedStart)
	}
}

// TestQuadraticBaselines holds SGD, momentum and Adam at the published settings against the published
// final test losses (mean and standard deviation of ten seeds after 100 epochs).
func TestQuadraticBaselines(t *testing.T) {
	if testing.Short() {
		t.Skip("three methods, ten seeds, 700 steps each")
	}
	q := NewQuadratic()
	for _, c := range []struct {
		method   string
		settings optim.Settings
		mean, sd float64
	}{
		{"sgd", optim.Settings{"lr": 1.5848931925e-2}, 87.397, .160},
		{"momentum", optim.Settings{"lr": 2.5118864315e-3, "momentum": 0.99}, 87.045, .024},
		{"adam", optim.Settings{"lr": 3.9810717055e-2}, 87.112, .023},
	} {
		t.Run(c.method, func(t *testing.T) {
			var sum, sq float64
			const seeds = 10
			for seed := range uint64(seeds) {
				losses, err := q.Run(context.Background(), c.method, c.settings, seed, 100)
				if err != nil {
					t.Fatal(err)
				}
				v := losses[len(losses)-1]
				sum, sq = sum+v, sq+v*v
			}
			mean := sum / seeds
			sd := math.Sqrt((sq - sum*mean) / (seeds - 1))
			t.Logf("%s: %.3f ± %.3f, published %.3f ± %.3f: %+.2f σ", c.method, mean, sd, c.mean, c.sd, (mean-c.mean)/c.sd)
			if math.Abs(mean-c.mean) > 2*c.sd {
				t.Errorf("mean final test loss %.3f, published %.3f ± %.3f", mean, c.mean, c.sd)
			}
		})
	}
}
