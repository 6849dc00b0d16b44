//go:build !unix

package study

import "time"

var began = time.Now()

// CPU returns the seconds that the process has run: the processor time is not known on this system.
func CPU() float64 { return time.Since(began).Seconds() }
