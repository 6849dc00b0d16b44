package train

import "syscall"

// cpuSeconds returns the user and kernel time that the process has used.
func cpuSeconds() float64 {
	p, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0
	}
	var created, exited, kernel, user syscall.Filetime
	if syscall.GetProcessTimes(p, &created, &exited, &kernel, &user) != nil {
		return 0
	}
	// A duration as a Filetime counts steps of 100 ns.
	seconds := func(t syscall.Filetime) float64 {
		return float64(uint64(t.HighDateTime)<<32|uint64(t.LowDateTime)) * 1e-7
	}
	return seconds(kernel) + seconds(user)
}

// peakMemory returns the memory that the Go runtime has had from the system.
func peakMemory() int64 { return runtimeMemory() }
