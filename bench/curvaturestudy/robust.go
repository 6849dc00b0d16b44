package curvaturestudy

import "github.com/descent-ml/descent/optim"

// Two studies of K-FAC's safeguards on the small autoencoder: a sweep of learning rate and damping with the clip on, and the fully
// adaptive form on the full batch.

// SweepRates and SweepDampings are the settings of the sweep; SweepReference are the test errors of a prototype.
var (
	SweepRates     = []float64{0.1, 0.3, 1}
	SweepDampings  = []float64{0.1, 0.3, 1, 3}
	SweepReference = [3][4]float64{{4.71, 2.48, 1.89, 2.28}, {4.88, 3.47, 1.77, 1.67}, {4.88, 3.47, 1.77, 1.67}}
)

// SweepSetup is a run of the sweep.
func SweepSetup(lr, damping float64) Setup {
	return Setup{"kfac", miniKFAC(optim.Settings{"lr": lr, "damping": damping, "kl-clip": 0.1})}
}

// AdaptiveSetup is K-FAC with learning rate, momentum and damping from the quadratic model, for the batch of all images.
func AdaptiveSetup(damping float64) Setup {
	return Setup{"kfac", optim.Settings{"regime": 1, "adaptive-damping": 1, "damping": damping, "statistics-every": 1, "inverse-every": 5}}
}
