//go:build race

package objective_test

// raceEnabled: the detector makes sync.Pool forget at random.
const raceEnabled = true
