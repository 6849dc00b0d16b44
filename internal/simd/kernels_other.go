//go:build !amd64 || noasm

package simd

// supported returns the best level of this build.
func supported() Level { return Go }

// kernelsOf returns the kernels of a level.
func kernelsOf[T Float](Level) kernels[T] { return plain[T]() }
