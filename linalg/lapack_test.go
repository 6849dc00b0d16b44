package linalg

import (
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/descent-ml/descent/internal/lapack"
	"github.com/descent-ml/descent/tensor"
)

func openLAPACK(t testing.TB) *lapack.Library {
	t.Helper()
	l, err := lapack.OpenFirst()
	if err != nil {
		t.Skip(err)
	}
	return l
}

// both solves an eigenproblem by this package and by the library.
func both[T tensor.Float](t *testing.T, l *lapack.Library, n int, vectors bool) (v, vLib tensor.Tensor[T], w, wLib []T) {
	t.Helper()
	ws := tensor.NewWorkspace[T](nil)
	a := tensor.New[T](n, n)
	tensor.Normal(tensor.KeyOf(uint64(n)), a.Data(), 0, 1)
	if vectors {
		v, vLib = tensor.New[T](n, n), tensor.New[T](n, n)
	}
	w, wLib = make([]T, n), make([]T, n)
	if err := symmetricEigen(ws, w, v, a, nil); err != nil {
		t.Fatal(err)
	}
	if err := symmetricEigen(ws, wLib, vLib, a, l); err != nil {
		t.Fatal(err)
	}
	return v, vLib, w, wLib
}

// TestLAPACK: the library's eigenvalues are this package's, its eigenvectors too up to sign.
func TestLAPACK(t *testing.T) {
	l := openLAPACK(t)
	t.Logf("library %s", l.Path)
	t.Run("float64", func(t *testing.T) { agree[float64](t, l, 0x1p-52) })
	t.Run("float32", func(t *testing.T) { agree[float32](t, l, 0x1p-23) })
}

func agree[T tensor.Float](t *testing.T, l *lapack.Library, eps float64) {
	for _, n := range []int{64, 65, 150} {
		v, vLib, w, wLib := both[T](t, l, n, true)
		norm := math.Max(math.Abs(float64(w[0])), math.Abs(float64(w[n-1])))
		for j := range n {
			if e := math.Abs(float64(w[j] - wLib[j])); !(e <= 8*math.Sqrt(float64(n))*eps*norm) {
				t.Fatalf("n = %d: eigenvalue %d is %v, the library's %v", n, j, w[j], wLib[j])
			}
			gap := math.Inf(1)
			for _, k := range []int{j - 1, j + 1} {
				if k >= 0 && k < n {
					gap = math.Min(gap, math.Abs(float64(w[k]-w[j])))
				}
			}
			dot := 0.0
			for i := range n {
				dot += float64(v.At(i, j)) * float64(vLib.At(i, j))
			}
			// Both are within the rounding of A over the distance to the next eigenvalue.
			if angle := math.Sqrt(math.Max(0, 1-dot*dot)); !(angle <= 64*math.Sqrt(float64(n))*eps*norm/gap+4*math.Sqrt(eps)) {
				t.Errorf("n = %d: eigenvector %d is at an angle of %.3g to the library's", n, j, angle)
			}
		}
		_, _, values, valuesLib := both[T](t, l, n, false)
		for j := range n {
			if e := math.Abs(float64(values[j] - valuesLib[j])); !(e <= 8*math.Sqrt(float64(n))*eps*norm) {
				t.Fatalf("n = %d, values alone: eigenvalue %d is %v, the library's %v", n, j, values[j], valuesLib[j])
			}
		}
	}
}

// TestLAPACKIsOff: the environment variable not set, no library is used.
func TestLAPACKIsOff(t *testing.T) {
	if os.Getenv(lapack.Variable) != "" {
		t.Skip(lapack.Variable + " is set")
	}
	if l, err := lapack.Use(); l != nil || err != nil {
		t.Errorf("library %v, error %v", l, err)
	}
}

// TestLAPACKRefusesNaN: what is not finite does not reach the library.
func TestLAPACKRefusesNaN(t *testing.T) {
	l := openLAPACK(t)
	a := tensor.New[float64](70, 70)
	a.Set(math.NaN(), 69, 3)
	var bad NotFiniteError
	if err := symmetricEigen(tensor.NewWorkspace[float64](nil), make([]float64, 70), a, a, l); !errors.As(err, &bad) || bad.Row != 69 || bad.Col != 3 {
		t.Errorf("error %v", err)
	}
}

// BenchmarkLAPACK times both on one thread, order 1024 in double precision, by turns and the same clock.
func BenchmarkLAPACK(b *testing.B) {
	openLAPACK(b)
	var own, library time.Duration
	for b.Loop() {
		o, l, err := LAPACKSpeed(1024)
		if err != nil {
			b.Fatal(err)
		}
		own += o
		library += l
	}
	b.ReportMetric(own.Seconds()*1e3/float64(b.N), "own-ms")
	b.ReportMetric(library.Seconds()*1e3/float64(b.N), "lapack-ms")
	b.ReportMetric(float64(own)/float64(library), "ratio")
}
