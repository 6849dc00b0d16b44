//go:build race

package optimtest

// raceDetector: under it sync.Pool drops what it is given at random, and the buffers of matrix products are made anew.
const raceDetector = true
