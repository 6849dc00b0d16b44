package curvaturestudy

import "github.com/descent-ml/descent/optim"

// The study of the small autoencoder: test error after 400 and 800 steps (10 and 20 epochs), and the epochs and seconds to
// thresholds of the test error.

// MiniThresholds are the test errors whose first epoch is looked for.
var MiniThresholds = []float64{4, 3, 2.5, 2, 1.8, 1.7, 1.6}

const (
	miniSteps = 1600 // of all but Adam
	miniEpoch = 40   // steps
	miniTrial = 400  // steps of a trial
	miniHeld  = 1000 // images that a tuning is judged by
)

// miniKFAC are the settings that the reference prototypes had for K-FAC and its relatives on this problem.
func miniKFAC(more optim.Settings) optim.Settings {
	return Setup{Settings: optim.Settings{"lr": 0.3, "damping": 1, "kl-clip": 0.03, "statistics-every": 1, "inverse-every": 10}}.With(more).Settings
}

// MiniRows are the methods of the study. References are test errors at epoch 20 (seeds 0, 1, 2 where three are known), then epoch and
// processor seconds of the test error 1.7. They are of prototypes in another language and on another machine: compare
// their ratios.
func MiniRows() []Row {
	adam := func(lr float64, ref ...string) Row {
		return Row{Label: "Adam " + number(lr, 3) + ", β₂ 0.99", Setup: Setup{"adam", optim.Settings{"lr": lr, "beta2": 0.99}}, Steps: 120 * miniEpoch, Reference: ref}
	}
	lowRank := optim.Settings{"rank": 40, "oversampling": 10, "power": 3}
	plain := optim.Settings{"weight-decay": 0}
	soap := optim.Settings{"lr": 0.01, "every": 10, "weight-decay": 0}
	shampoo := optim.Settings{"lr": 0.003, "beta2": 0.95, "every": 10, "weight-decay": 0}
	clips := over("kl-clip", 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
	return []Row{
		adam(0.001, "3.37", "67 / 6.4"),
		adam(0.003, "2.63 / 2.65 / 2.50", "53 / 5.1"),
		adam(0.005, "2.74", "56 / 5.3"),
		{Label: "K-FAC", Setup: Setup{"kfac", miniKFAC(nil)}, Reference: []string{"1.62 / 1.65 / 1.60", "17 / 4.2"}},
		{Label: "K-FAC, empirical signal", Setup: Setup{"kfac", miniKFAC(optim.Settings{"signal": 3})}, Reference: []string{"1.81", "26 / 5.8"}},
		{Label: "RS-KFAC, r 40", Setup: Setup{"rs-kfac", miniKFAC(lowRank)}, Reference: []string{"1.63 / 1.58 / 1.60", "17 / 4.8"}},
		{Label: "SRE-KFAC, r 40", Setup: Setup{"sre-kfac", miniKFAC(lowRank)}, Reference: []string{"1.67"}},
		{Label: "Shampoo, f 10", Setup: Setup{"shampoo", shampoo}, Reference: []string{"1.54 / 1.58 / 1.52", "14 / 3.9"}},
		{Label: "Shampoo, f 3", Setup: Setup{"shampoo", shampoo}.With(optim.Settings{"every": 3}), Reference: []string{"", "11 / 5.0"}},
		{Label: "SOAP, β₁ 0.9", Setup: Setup{"soap", soap}.With(optim.Settings{"beta1": 0.9}), Reference: []string{"1.60"}},
		{Label: "SOAP, β₁ 0.95", Setup: Setup{"soap", soap}, Reference: []string{"1.70", "16 / 4.9"}},
		{Label: "Muon", Setup: Setup{"muon", optim.Settings{"lr": 0.02, "weight-decay": 0}}, Reference: []string{"1.67", "18 / 6.2"}},

		{Label: "EKFAC", Setup: Setup{"ekfac", optim.Settings{"lr": 0.3, "damping": 1}}, Grid: clips},
		{Label: "KLD-WRM, SO", Setup: Setup{"kld-wrm", nil}, Grid: clips},
		{Label: "KLD-WRM, Q", Setup: Setup{"q-kld-wrm", nil}, Grid: clips},
		{Label: "IKFAC", Setup: Setup{"ikfac", nil}, Grid: clips},
		{Label: "SINGD", Setup: Setup{"singd", nil}, Grid: clips},
		{Label: "SENG", Setup: Setup{"seng", nil}, Grid: over("damping", 0.1, 0.3, 1, 3, 10)},
		{Label: "NorMuon", Setup: Setup{"normuon", plain}, Grid: over("lr", 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)},
		{Label: "CASPR", Setup: Setup{"caspr", plain}, Grid: over("lr", 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)},
		{Label: "PSGD-Kron", Setup: Setup{"psgd-kron", plain}, Grid: over("lr", 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)},
		{Label: "SPlus", Setup: Setup{"splus", plain}, Grid: over("lr", 1e-3, 1e-2, 3e-2, 0.1, 0.3)},
		{Label: "AdaHessian", Setup: Setup{"adahessian", plain}, Grid: over("lr", 3e-3, 1e-2, 3e-2, 0.1, 0.3)},
		{Label: "Sophia-G", Setup: Setup{"sophia-g", plain}, Grid: over("lr", 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)},
	}
}
