// Package lapack calls the symmetric eigensolver of a LAPACK that lies on the machine as a shared library, without cgo: the library is
// opened while the program runs.
//
// It is off unless it is asked for twice, because bits that are the same on all machines are promised and a library of the
// machine has its own, and because a program that can open libraries is linked to the C library of its system, where it is otherwise
// one static file:
//
//   - the program is built with the tag lapack (linux and darwin, amd64 and arm64; elsewhere the tag changes nothing);
//   - the environment variable DESCENT_LAPACK is 1, or the path of a library. 1 takes the first that [Find] names.
//
// Then package linalg hands eigenproblems of order 64 and more to dsyevd and ssyevd, on one thread (where the library is OpenBLAS
// it is told so), so that its bits do not depend on the number of cores either. The command doctor says what is in use.
//
// Libraries with 64-bit integers are not supported; their symbols have other names, so that they are not taken by mistake.
package lapack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// Variable is the environment variable that asks for a library.
const Variable = "DESCENT_LAPACK"

// ErrNotBuilt says that the program cannot open libraries.
var ErrNotBuilt = errors.New("lapack: this program was built without it\nhint: go build -tags lapack, on linux or darwin")

// Library is an open LAPACK. It may be used by several goroutines.
type Library struct {
	Path string
	call func(single bool, job *byte, n *int32, a, w, work pointer, lwork *int32, iwork *int32, liwork, info *int32)
}

// Find returns the paths of libraries that may be a LAPACK, where systems keep them, the likely ones first.
func Find() []string {
	var dirs, names []string
	switch runtime.GOOS {
	case "linux":
		names = []string{"openblas-pthread/liblapack.so.3", "libopenblas.so.0", "libopenblas.so", "liblapack.so.3", "liblapack.so"}
		dirs = append(dirs, "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
	case "darwin":
		names = []string{"lib/libopenblas.dylib", "lib/liblapack.dylib"}
		dirs = []string{"/opt/homebrew/opt/openblas", "/usr/local/opt/openblas", "/opt/homebrew/opt/lapack", "/usr/local/opt/lapack"}
	}
	var found []string
	for _, d := range dirs {
		for _, n := range names {
			if p := filepath.Join(d, n); exists(p) {
				found = append(found, p)
			}
		}
	}
	return found
}

func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// Use returns the library that [Variable] asks for, opened once; nil if it asks for none, and why where that cannot be opened.
var Use = sync.OnceValues(func() (*Library, error) {
	switch v := os.Getenv(Variable); v {
	case "", "0":
		return nil, nil
	case "1":
		return OpenFirst()
	default:
		return Open(v)
	}
})

// OpenFirst opens the first library of [Find] that has the eigensolver.
func OpenFirst() (*Library, error) {
	if !Built {
		return nil, ErrNotBuilt
	}
	err := errors.New("lapack: no library found\nhint: install OpenBLAS (libopenblas0, openblas), or set " + Variable + " to the path of one")
	for _, path := range Find() {
		var l *Library
		if l, err = Open(path); err == nil {
			return l, nil
		}
	}
	return nil, err
}

// Eigen replaces the symmetric matrix a [n, n] by its eigenvectors, one a row, and stores the eigenvalues in ascending order in
// values; without vectors a is destroyed. The lower triangle of a, by rows, is read.
func Eigen[T float32 | float64](l *Library, values, a []T, n int, vectors bool) error {
	if n == 0 {
		return nil
	}
	_, single := any(T(0)).(float32)
	job := byte('N')
	if vectors {
		job = 'V'
	}
	order, query, info := int32(n), int32(-1), int32(0)
	var size [1]T
	var isize [1]int32
	l.call(single, &job, &order, address(a), address(values), address(size[:]), &query, &isize[0], &query, &info)
	if info == 0 {
		// A large size may be rounded down in float32.
		work := make([]T, int(float64(size[0])*(1+1e-6))+1)
		iwork := make([]int32, isize[0])
		lwork, liwork := int32(len(work)), int32(len(iwork))
		l.call(single, &job, &order, address(a), address(values), address(work), &lwork, &iwork[0], &liwork, &info)
	}
	if info != 0 {
		return fmt.Errorf("lapack: syevd of %s on order %d: info = %d\nhint: unset %s", l.Path, n, info, Variable)
	}
	return nil
}
