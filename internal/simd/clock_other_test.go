//go:build !unix

package simd

import "time"

var start = time.Now()

func cpuTime() time.Duration { return time.Since(start) }
