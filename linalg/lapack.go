package linalg

import (
	"time"

	"github.com/descent-ml/descent/internal/lapack"
	"github.com/descent-ml/descent/tensor"
)

// lapackOrder is the smallest order that is worth the call of a library.
const lapackOrder = 64

// askedLAPACK returns the machine's LAPACK if one is asked for and can be used (package lapack), else nil.
func askedLAPACK() *lapack.Library {
	library, err := lapack.Use()
	if err != nil {
		return nil
	}
	return library
}

// eigenBy is [SymmetricEigen] by a library; full holds the matrix times scale, both triangles, and is overwritten.
func eigenBy[T tensor.Float](library *lapack.Library, values []T, vectors tensor.Tensor[T], full []T, n int, scale float64) error {
	if err := lapack.Eigen(library, values, full, n, !vectors.IsZero()); err != nil {
		return err
	}
	for i, v := range values {
		values[i] = T(float64(v) / scale)
	}
	if !vectors.IsZero() {
		transpose(vectors.Data(), n, full, n, n, n)
	}
	return nil
}

// LAPACKSpeed times [SymmetricEigen] with eigenvectors on a random matrix of order n in double precision: as this package computes it, and by
// the machine's LAPACK, both on one thread. Each is the shorter of two times, taken by turns. It is an error if there is no
// library, or the program is built without the tag lapack.
func LAPACKSpeed(n int) (own, library time.Duration, err error) {
	l, err := lapack.Use()
	if l == nil && err == nil {
		l, err = lapack.OpenFirst()
	}
	if err != nil {
		return 0, 0, err
	}
	ws := tensor.NewWorkspace[float64](nil)
	a, v := tensor.New[float64](n, n), tensor.New[float64](n, n)
	tensor.Normal(tensor.KeyOf(0), a.Data(), 0, 1)
	values := make([]float64, n)
	own, library = time.Hour, time.Hour
	for range 2 {
		start := time.Now()
		if err := symmetricEigen(ws, values, v, a, nil); err != nil {
			return 0, 0, err
		}
		middle := time.Now()
		if err := symmetricEigen(ws, values, v, a, l); err != nil {
			return 0, 0, err
		}
		own, library = min(own, middle.Sub(start)), min(library, time.Since(middle))
	}
	return own, library, nil
}
