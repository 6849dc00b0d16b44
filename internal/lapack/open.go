//go:build lapack && (linux || darwin) && (amd64 || arm64)

package lapack

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Built reports whether the program can open libraries.
const Built = true

type pointer = unsafe.Pointer

func address[T float32 | float64](x []T) pointer { return unsafe.Pointer(unsafe.SliceData(x)) }

// syevd is the interface of Fortran: all by reference, and the lengths of the two strings behind.
type syevd = func(job, triangle *byte, n *int32, a pointer, lda *int32, w, work pointer, lwork, iwork, liwork, info *int32, jobLen, triangleLen uintptr)

// Open opens the library at path.
func Open(path string) (*Library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("lapack: %w\nhint: set %s to the path of a shared library with LAPACK's symbols, or unset it", err, Variable)
	}
	var double, single syevd
	for name, f := range map[string]*syevd{"dsyevd_": &double, "ssyevd_": &single} {
		at, err := purego.Dlsym(handle, name)
		if err != nil {
			purego.Dlclose(handle)
			return nil, fmt.Errorf("lapack: %s has no symbol %s: %w\nhint: libopenblas and liblapack have it; libraries with 64-bit integers do not", path, name, err)
		}
		purego.RegisterFunc(f, at)
	}
	if at, err := purego.Dlsym(handle, "openblas_set_num_threads"); err == nil {
		var threads func(int32)
		purego.RegisterFunc(&threads, at)
		threads(1)
	}
	return &Library{Path: path, call: func(isSingle bool, job *byte, n *int32, a, w, work pointer, lwork, iwork, liwork, info *int32) {
		f := double
		if isSingle {
			f = single
		}
		upper := byte('U') // by columns, as Fortran reads it
		f(job, &upper, n, a, n, w, work, lwork, iwork, liwork, info, 1, 1)
	}}, nil
}
