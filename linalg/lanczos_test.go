package linalg_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// rotated returns Q diag(values) Qᵀ with a random orthogonal Q.
func rotated(seed uint64, values []float64) tensor.Tensor[float64] {
	n := len(values)
	ws := workspace[float64]()
	q, r := tensor.New[float64](n, n), tensor.New[float64](n, n)
	if err := linalg.QR(ws, q, r, random[float64](seed, n, n)); err != nil {
		panic(err)
	}
	scaled, a := tensor.New[float64](n, n), tensor.New[float64](n, n)
	for i := range n {
		for j, v := range values {
			scaled.Data()[i*n+j] = q.At(i, j) * v
		}
	}
	tensor.MatMul(ws, a, scaled, q, false, true)
	return a
}

func times(a tensor.Tensor[float64]) func(dst, v []float64) error {
	ws, n := workspace[float64](), a.Shape().Dim(0)
	return func(dst, v []float64) error {
		tensor.MatMul(ws, tensor.FromSlice(dst, n, 1), a, tensor.FromSlice(v, n, 1), false, false)
		return nil
	}
}

func startOf(seed uint64, n int) []float64 { return random[float64](seed, n).Data() }

func near(t interface {
	Helper()
	Errorf(string, ...any)
}, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s: %v, want %v within %.2g", what, got, want, tol)
	}
}

// With as many steps as dimensions the Ritz values are the eigenvalues, whatever the spectrum; and at fewer steps each has an
// eigenvalue within its bound and none lies outside the spectrum.
func TestLanczosKnownSpectrum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		k := rapid.IntRange(1, n).Draw(t, "k")
		// Distinct values: Lanczos sees one copy of an eigenvalue.
		values := make([]float64, n)
		at, scale := rapid.Float64Range(-20, 5).Draw(t, "lowest"), 0.0
		for i := range values {
			at += rapid.Float64Range(0.05, 2).Draw(t, "gap")
			values[i] = at
			scale = max(scale, math.Abs(at))
		}
		a := rotated(rapid.Uint64().Draw(t, "seed"), values)
		ws := workspace[float64]()
		start := startOf(rapid.Uint64().Draw(t, "start"), n)
		full, err := linalg.Lanczos(ws, times(a), nil, start, n)
		if err != nil {
			t.Fatal(err)
		}
		tol := 1e-10 * scale
		if len(full.Values) == n {
			for i := range values {
				near(t, "eigenvalue", full.Values[i], values[i], tol)
			}
		} else if !full.Exhausted {
			t.Errorf("%d of %d values and not exhausted", len(full.Values), n)
		}
		part, err := linalg.Lanczos(ws, times(a), nil, start, k)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, v := range part.Values {
			sum += part.Weights[i]
			if v < values[0]-tol || v > values[n-1]+tol {
				t.Errorf("Ritz value %v outside [%v, %v]", v, values[0], values[n-1])
			}
			distance := math.Inf(1)
			for _, w := range values {
				distance = min(distance, math.Abs(v-w))
			}
			if distance > part.Errors[i]+tol {
				t.Errorf("no eigenvalue within %v of %v: the nearest is at %v", part.Errors[i], v, distance)
			}
		}
		near(t, "sum of the weights", sum, 1, 1e-12)
	})
}

// The Gauss quadrature is exact for polynomials of degree 2k−1: Σ w θ = sᵀA s/sᵀs, and the same for A³ with two steps.
func TestLanczosQuadrature(t *testing.T) {
	n, k := 30, 4
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(i) * float64(i) / 100
	}
	op, s := times(rotated(3, values)), startOf(4, n)
	r, err := linalg.Lanczos(workspace[float64](), op, nil, s, k)
	if err != nil {
		t.Fatal(err)
	}
	v, next, square := append([]float64{}, s...), make([]float64, n), 0.0
	for _, x := range s {
		square += x * x
	}
	for degree := 1; degree < 2*k; degree++ {
		_ = op(next, v)
		v, next = next, v
		want, got := 0.0, 0.0
		for i := range s {
			want += s[i] * v[i] / square
		}
		for i := range r.Values {
			got += r.Weights[i] * math.Pow(r.Values[i], float64(degree))
		}
		near(t, "moment", got, want, 1e-10*math.Abs(want))
	}
}

// In the metric M the values are the eigenvalues of M A, without a root of M: here M = B Bᵀ, and the oracle BᵀA B.
func TestLanczosMetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 25).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		values, roots := make([]float64, n), make([]float64, n)
		for i := range values {
			values[i], roots[i] = float64(i)-float64(n)/3, 0.3+float64(i)/float64(n)
		}
		a, b := rotated(seed, values), rotated(seed+1, roots)
		ws := workspace[float64]()
		square := func(x, y tensor.Tensor[float64]) tensor.Tensor[float64] {
			z := tensor.New[float64](n, n)
			tensor.MatMul(ws, z, x, y, false, false)
			return z
		}
		want := make([]float64, n)
		if err := linalg.SymmetricEigen(ws, want, tensor.Tensor[float64]{}, square(square(b, a), b)); err != nil {
			t.Fatal(err)
		}
		got, err := linalg.Lanczos(ws, times(a), times(square(b, b)), startOf(seed+2, n), n)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Values) != n {
			t.Fatalf("%d values of %d", len(got.Values), n)
		}
		for i := range want {
			near(t, "eigenvalue of M A", got.Values[i], want[i], 1e-9*float64(n))
		}
	})
}

// A start in an invariant subspace exhausts it; a multiple eigenvalue counts once.
func TestLanczosExhausted(t *testing.T) {
	values := []float64{1, 1, 1, 1, 5, 5, 5, 9}
	r, err := linalg.Lanczos(workspace[float64](), times(rotated(1, values)), nil, startOf(2, 8), 8)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Exhausted || len(r.Values) != 3 {
		t.Fatalf("values %v, exhausted %v: want 1, 5, 9, exhausted", r.Values, r.Exhausted)
	}
	for i, want := range []float64{1, 5, 9} {
		near(t, "value", r.Values[i], want, 1e-12)
	}
}

func TestLanczosBits(t *testing.T) {
	n := 20000
	diagonal := func(dst, v []float64) error {
		for i := range v {
			dst[i] = v[i] * float64(i%97)
		}
		return nil
	}
	var first linalg.Ritz
	for workers := 1; workers <= 5; workers += 2 {
		r, err := linalg.Lanczos(tensor.NewWorkspace[float64](tensor.NewPool(workers)), diagonal, nil, startOf(1, n), 12)
		if err != nil {
			t.Fatal(err)
		}
		if workers == 1 {
			first = r
		}
		for i := range r.Values {
			if r.Values[i] != first.Values[i] || r.Errors[i] != first.Errors[i] {
				t.Fatalf("%d workers: value %d is %v, with one %v", workers, i, r.Values[i], first.Values[i])
			}
		}
	}
}

func TestLanczosErrors(t *testing.T) {
	ws, s := workspace[float64](), startOf(1, 5)
	broken := errors.New("broken")
	if _, err := linalg.Lanczos(ws, func(_, _ []float64) error { return broken }, nil, s, 3); !errors.Is(err, broken) {
		t.Errorf("error %v, want the operator's", err)
	}
	if _, err := linalg.Lanczos(ws, func(dst, _ []float64) error { dst[0] = math.NaN(); return nil }, nil, s, 3); err == nil {
		t.Error("no error for a NaN")
	}
	minus := func(dst, v []float64) error {
		for i, x := range v {
			dst[i] = -x
		}
		return nil
	}
	if _, err := linalg.Lanczos(ws, minus, minus, s, 3); err == nil {
		t.Error("no error for a negative metric")
	}
	defer func() {
		if _, ok := recover().(tensor.ShapeError); !ok {
			t.Error("no ShapeError for more steps than dimensions")
		}
	}()
	_, _ = linalg.Lanczos(ws, minus, nil, s, 6)
}
