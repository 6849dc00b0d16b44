//go:build !unix && !windows

package train

// cpuSeconds is not known on this system.
func cpuSeconds() float64 { return 0 }

// peakMemory returns the memory that the Go runtime has had from the system.
func peakMemory() int64 { return runtimeMemory() }
