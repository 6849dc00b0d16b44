//go:build race

package autodiff_test

// raceEnabled: the detector makes sync.Pool forget at random.
const raceEnabled = true
