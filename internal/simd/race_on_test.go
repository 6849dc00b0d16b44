//go:build race

package simd

// raceEnabled: the detector makes sync.Pool forget at random.
const raceEnabled = true
