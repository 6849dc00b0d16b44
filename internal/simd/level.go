package simd

import (
	"os"
	"unsafe"
)

// Float is the set of element types that have kernels.
type Float interface{ float32 | float64 }

// Level is an instruction set that the kernels can use. All levels give the same bits.
type Level int

// The levels, in ascending order of speed.
const (
	Go     Level = iota // plain Go: the specification of every kernel
	AVX2                // AVX2 with FMA, 256-bit registers
	AVX512              // AVX-512 F, DQ, BW and VL, 512-bit registers
)

// String returns the name of l as the environment variable DESCENT_SIMD knows it.
func (l Level) String() string {
	switch l {
	case AVX512:
		return "avx512"
	case AVX2:
		return "avx2"
	}
	return "go"
}

// Active returns the level in use: the best one that the processor has, or a lower one if the
// environment variable DESCENT_SIMD was avx2 or go when the program started.
func Active() Level { return active }

// Info describes the level in use and where it comes from, for people.
func Info() string {
	s := active.String()
	if best := supported(); best != active {
		s += " (the processor has " + best.String() + "; DESCENT_SIMD=" + os.Getenv("DESCENT_SIMD") + ")"
	}
	return s
}

var (
	active   = choose(os.Getenv("DESCENT_SIMD"))
	kernel32 = kernelsOf[float32](active)
	kernel64 = kernelsOf[float64](active)
)

// choose returns the level with the wanted name, or the best supported one if that is lower or the
// name is none.
func choose(want string) Level {
	best := supported()
	for _, l := range []Level{Go, AVX2} {
		if want == l.String() {
			return min(l, best)
		}
	}
	return best
}

// use returns the kernels of element type T at the active level.
func use[T Float]() *kernels[T] {
	if is32[T]() {
		return (*kernels[T])(unsafe.Pointer(&kernel32))
	}
	return (*kernels[T])(unsafe.Pointer(&kernel64))
}

// is32 reports whether T is float32; the compiler knows the answer.
func is32[T Float]() bool {
	var z T
	return unsafe.Sizeof(z) == 4
}
