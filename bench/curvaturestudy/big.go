package curvaturestudy

import "github.com/descent-ml/descent/optim"

// The study of the wide autoencoder on 8,000 images, and that of Brand's update with real truncation.

const bigEpoch = 20 // steps

// BigEpochs are the epochs whose test error is shown.
var BigEpochs = []int{5, 10, 20, 30, 40, 60}

// BigRows are the methods of the study. Steps 0: 20 epochs. References are test errors after 5, 10, 20, 30, 40 and 60 epochs with processor
// seconds, of prototypes in another language and on another machine.
func BigRows() []Row {
	kfac := optim.Settings{"lr": 0.3, "damping": 1, "kl-clip": 0.03, "statistics-every": 5, "inverse-every": 20}
	low := optim.Settings{"rank": 100, "oversampling": 10, "power": 1}
	adam := func(lr, beta2 float64, epochs int, ref string) Row {
		return Row{Label: "Adam " + number(lr, 4) + ", β₂ " + number(beta2, 3), Setup: Setup{"adam", optim.Settings{"lr": lr, "beta2": beta2}}, Steps: epochs * bigEpoch, Reference: []string{ref}}
	}
	return []Row{
		adam(0.001, 0.99, 60, "43.5 (7), 29.6 (14), 16.1 (28), 10.2 (42), 8.15 (55), 6.57 (82)"),
		{Label: "K-FAC", Setup: Setup{"kfac", kfac}, Reference: []string{"25.3 (19), 12.1 (38), 6.61 (74)"}},
		{Label: "RS-KFAC, r 100", Setup: Setup{"rs-kfac", kfac}.With(low), Reference: []string{"26.9 (12), 13.1 (23), 6.91 (46)"}},
		{Label: "SRE-KFAC, r 100", Setup: Setup{"sre-kfac", kfac}.With(low).With(optim.Settings{"inverse-every": 10}), Reference: []string{"25.0 (12), 12.3 (24), 6.93 (47)"}},
	}
}

// BigOthers are further methods, one seed each.
func BigOthers() []Row {
	kfac := optim.Settings{"lr": 0.3, "damping": 1, "kl-clip": 0.03, "statistics-every": 5, "inverse-every": 20, "rank": 100, "oversampling": 10, "power": 1}
	adam := func(lr, beta2 float64, ref string) Row {
		return Row{Label: "Adam " + number(lr, 4) + ", β₂ " + number(beta2, 3), Setup: Setup{"adam", optim.Settings{"lr": lr, "beta2": beta2}}, Reference: []string{ref}}
	}
	return []Row{
		adam(0.0005, 0.99, "46.5, 31.8, 16.1, 10.8, 8.56, 6.79"),
		adam(0.001, 0.999, "43.9, 30.1, 17.7, 11.7, 9.18, 7.27"),
		adam(0.003, 0.99, "45.3, 41.2"),
		{Label: "B-KFAC, r 100", Setup: Setup{"b-kfac", kfac}, Reference: []string{"23.6 (19), 12.3 (38), 7.04 (75)"}},
		{Label: "Shampoo, f 10", Setup: Setup{"shampoo", optim.Settings{"lr": 0.001, "beta2": 0.95, "every": 10, "weight-decay": 0}}, Steps: 10 * bigEpoch, Reference: []string{"15.3 (31), 7.53 (62)"}},
		{Label: "SOAP, f 10", Setup: Setup{"soap", optim.Settings{"lr": 0.003, "every": 10, "weight-decay": 0}}, Steps: 10 * bigEpoch, Reference: []string{"41.2 (47), 18.7 (94)"}},
		{Label: "Muon", Setup: Setup{"muon", optim.Settings{"lr": 0.02, "weight-decay": 0}}, Steps: 10 * bigEpoch, Reference: []string{"21.5 (52), 8.77 (105)"}},
	}
}

// BrandRows are the methods of the study of Brand's update: the small autoencoder with batches of 50, 800 steps, so that rank and
// batch together are smaller than the layers. References are two seeds.
func BrandRows() []Row {
	row := func(label, method string, more optim.Settings, ref string) Row {
		return Row{Label: label, Setup: Setup{method, miniKFAC(more)}, Batch: 50, Reference: []string{ref}}
	}
	low := func(rank float64, more optim.Settings) optim.Settings {
		return Setup{Settings: optim.Settings{"rank": rank, "oversampling": 10, "power": 3, "statistics-part": 1}}.With(more).Settings
	}
	all := optim.Settings{"columns": 50, "late-truncation": 1}
	return []Row{
		row("K-FAC, inverses every 10", "kfac", nil, "2.25 / 2.09"),
		row("K-FAC, inverses every step", "kfac", optim.Settings{"inverse-every": 1}, "2.35 / 2.38"),
		row("RS-KFAC, r 60", "rs-kfac", low(60, nil), "2.31 / 2.09"),
		row("B-KFAC, r 60", "b-kfac", low(60, all), "2.35 / 2.22"),
		row("B-KFAC, r 60, cut at once", "b-kfac", low(60, optim.Settings{"columns": 50}), ""),
		row("B-R-KFAC, r 60", "b-r-kfac", low(60, all), ""),
		row("B-KFAC-C, r 60", "b-kfac-c", low(60, all), ""),
		row("B-KFAC, r 100", "b-kfac", low(100, all), "2.47 / 2.29"),
	}
}
