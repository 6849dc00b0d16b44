package curvaturestudy

import "github.com/descent-ml/descent/optim"

// The study of the full autoencoder: the time to the training loss that tuned Adam has after 20 epochs.

// Lengths of the study of the full autoencoder.
const (
	FullEpoch  = 60 // steps
	FullEpochs = 20
	FullTrial  = 2 * FullEpoch // steps of a trial, judged by the training loss
	FullOthers = 12            // epochs of the methods that are held against Adam
)

// FullAdam is the baseline. The two best of the trials are run to the end, and the better one counts.
func FullAdam() Row {
	var grid []optim.Settings
	for _, beta2 := range []float64{0.99, 0.999} {
		for _, lr := range []float64{1e-3, 2e-3, 4e-3} {
			grid = append(grid, optim.Settings{"lr": lr, "beta2": beta2})
		}
	}
	return Row{Label: "Adam", Setup: Setup{"adam", nil}, Grid: grid}
}

// FullRows are the methods that are held against it, RS-KFAC with as many trials.
func FullRows() []Row {
	kfac := optim.Settings{"lr": 0.3, "statistics-every": 10, "inverse-every": 30, "burn-in": 5}
	low := optim.Settings{"rank": 100, "oversampling": 10, "power": 1}
	var grid []optim.Settings
	for _, damping := range []float64{0.3, 1} {
		for _, clip := range []float64{0.03, 0.1, 0.3} {
			grid = append(grid, optim.Settings{"damping": damping, "kl-clip": clip})
		}
	}
	return []Row{
		{Label: "RS-KFAC, r 100", Setup: Setup{"rs-kfac", kfac}.With(low), Grid: grid},
		{Label: "K-FAC, settings of RS-KFAC", Setup: Setup{"kfac", kfac}.With(optim.Settings{"damping": 0.3, "kl-clip": 0.3})},
	}
}
