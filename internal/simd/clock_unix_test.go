//go:build unix

package simd

import (
	"syscall"
	"time"
)

// cpuTime returns the processor time that the program has used: on a machine with neighbours a
// better clock than that on the wall.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
