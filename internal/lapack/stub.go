//go:build !(lapack && (linux || darwin) && (amd64 || arm64))

package lapack

// Built reports whether the program can open libraries.
const Built = false

type pointer = struct{}

func address[T float32 | float64]([]T) pointer { return pointer{} }

// Open returns [ErrNotBuilt].
func Open(string) (*Library, error) { return nil, ErrNotBuilt }
