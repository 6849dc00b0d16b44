package linalg_test

import (
	"errors"
	"math"
	"sort"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

func repeat(q linalg.Quintic, n int) []linalg.Quintic {
	s := make([]linalg.Quintic, n)
	for i := range s {
		s[i] = q
	}
	return s
}

func polar(a *mat.Dense) *mat.Dense {
	var svd mat.SVD
	if !svd.Factorize(a, mat.SVDThin) {
		panic("no singular values")
	}
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	return mul(&u, v.T())
}

func singularValues(a mat.Matrix) []float64 {
	var svd mat.SVD
	if !svd.Factorize(a, mat.SVDNone) {
		panic("no singular values")
	}
	return svd.Values(nil)
}

// withSingularValues returns U diag(s) Vᵀ [m, n] with random orthogonal factors.
func withSingularValues(t testing.TB, seed uint64, m, n int, s []float64) tensor.Tensor[float64] {
	t.Helper()
	ws := workspace[float64]()
	k := len(s)
	u, v, r := tensor.New[float64](m, k), tensor.New[float64](n, k), tensor.New[float64](k, k)
	for i, q := range []tensor.Tensor[float64]{u, v} {
		if err := linalg.QR(ws, q, r, random[float64](2*seed+uint64(i), q.Shape().Rows(), k)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range m {
		for j := range k {
			u.Set(u.At(i, j)*s[j], i, j)
		}
	}
	a := tensor.New[float64](m, n)
	tensor.MatMul(ws, a, u, v, false, true)
	return a
}

func geometric(lo, hi float64, n int) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = hi
		if n > 1 {
			s[i] = lo * math.Pow(hi/lo, float64(i)/float64(n-1))
		}
	}
	return s
}

func TestOrthogonalizeConverges(t *testing.T) {
	ws := workspace[float64]()
	for i, s := range [][2]int{{1, 1}, {1, 7}, {9, 1}, {5, 5}, {33, 64}, {64, 33}, {20, 90}} {
		m, n := s[0], s[1]
		a := withSingularValues(t, uint64(i), m, n, geometric(0.02, 3, min(m, n)))
		dst := tensor.New[float64](m, n)
		if err := linalg.Orthogonalize(ws, dst, a, repeat(linalg.ConvergentQuintic(), 20)...); err != nil {
			t.Fatal(err)
		}
		// The factor U Vᵀ is as ill-conditioned as a itself: 150.
		if e := mat.Norm(sub(dense(dst), polar(dense(a))), 2); !(e <= 1e-11) {
			t.Errorf("%d×%d: %.3g from U Vᵀ", m, n, e)
		}
	}
}

// TestOrthogonalizeBand: each step applies the scalar polynomial to the singular values, and five of the steep ones take
// [0.002, 1] to [0.68, 1.20].
func TestOrthogonalizeBand(t *testing.T) {
	ws := workspace[float64]()
	in := geometric(0.002, 1, 24)
	frobenius := 0.0
	for _, s := range in {
		frobenius += s * s
	}
	want := make([]float64, len(in))
	for i, s := range in {
		x := s / math.Sqrt(frobenius)
		for range 5 {
			q := linalg.SteepQuintic()
			x = q.A*x + q.B*x*x*x + q.C*x*x*x*x*x
		}
		want[i] = x
	}
	for _, shape := range [][2]int{{24, 40}, {40, 24}, {24, 24}} {
		a := withSingularValues(t, 3, shape[0], shape[1], in)
		if err := linalg.Orthogonalize(ws, a, a, repeat(linalg.SteepQuintic(), 5)...); err != nil {
			t.Fatal(err)
		}
		sort.Float64s(want)
		for i, got := range singularValues(dense(a)) {
			if w := want[len(want)-1-i]; math.Abs(got-w) > 1e-11 {
				t.Errorf("%v: singular value %d is %v, expected %v", shape, i, got, w)
			}
		}
	}
	for x := 0.002; x <= 1; x += 0.0005 {
		y := x
		for range 5 {
			q := linalg.SteepQuintic()
			y = q.A*y + q.B*y*y*y + q.C*y*y*y*y*y
		}
		if y < 0.68 || y > 1.205 {
			t.Errorf("singular value %v becomes %v", x, y)
		}
	}
}

func TestOrthogonalizeEquivariance(t *testing.T) {
	ws := workspace[float64]()
	rapid.Check(t, func(r *rapid.T) {
		m, n := rapid.IntRange(1, 12).Draw(r, "m"), rapid.IntRange(1, 12).Draw(r, "n")
		seed := rapid.Uint64Range(0, 1<<40).Draw(r, "seed")
		scale := rapid.Float64Range(-300, 300).Draw(r, "exponent")
		steps := repeat(linalg.SteepQuintic(), 5)
		a := random[float64](seed, m, n)
		o := tensor.New[float64](m, n)
		must := func(err error) {
			if err != nil {
				r.Fatal(err)
			}
		}
		must(linalg.Orthogonalize(ws, o, a, steps...))

		b := a.Clone()
		tensor.Scale(ws, b, b, math.Pow(10, scale))
		must(linalg.Orthogonalize(ws, b, b, steps...))
		if e := mat.Norm(sub(dense(b), dense(o)), 2); !(e <= 1e-11) {
			r.Fatalf("scale 1e%g: %.3g apart", scale, e)
		}

		at, ot := tensor.New[float64](n, m), tensor.New[float64](n, m)
		tensor.Permute(ws, at, a, []int{1, 0})
		must(linalg.Orthogonalize(ws, at, at, steps...))
		tensor.Permute(ws, ot, o, []int{1, 0})
		if e := mat.Norm(sub(dense(at), dense(ot)), 2); !(e <= 1e-11) {
			r.Fatalf("transposed: %.3g apart", e)
		}

		q, qr := tensor.New[float64](m, m), tensor.New[float64](m, m)
		must(linalg.QR(ws, q, qr, random[float64](seed+1, m, m)))
		qa, qo := tensor.New[float64](m, n), tensor.New[float64](m, n)
		tensor.MatMul(ws, qa, q, a, false, false)
		must(linalg.Orthogonalize(ws, qa, qa, steps...))
		tensor.MatMul(ws, qo, q, o, false, false)
		if e := mat.Norm(sub(dense(qa), dense(qo)), 2); !(e <= 1e-11) {
			r.Fatalf("rotated: %.3g apart", e)
		}
	})
}

func TestOrthogonalizeEdges(t *testing.T) {
	ws := workspace[float32]()
	zero := tensor.New[float32](3, 4)
	if err := linalg.Orthogonalize(ws, zero, zero, repeat(linalg.SteepQuintic(), 5)...); err != nil || !tensor.AllFinite(zero) || tensor.Norm(ws, zero) != 0 {
		t.Errorf("zero matrix: %v, error %v", zero.Data(), err)
	}
	for _, size := range []float32{1e-30, 1e30, 3e38, 1e-44} {
		a := tensor.New[float32](2, 2)
		a.Set(size, 0, 0)
		a.Set(size, 1, 1)
		if err := linalg.Orthogonalize(ws, a, a, repeat(linalg.ConvergentQuintic(), 6)...); err != nil || math.Abs(float64(a.At(0, 0))-1) > 1e-6 || a.At(0, 1) != 0 {
			t.Errorf("%g·I: %v, error %v", size, a.Data(), err)
		}
	}
	a := tensor.New[float32](2, 2)
	a.Set(float32(math.NaN()), 1, 0)
	var bad linalg.NotFiniteError
	if err := linalg.Orthogonalize(ws, a, a); !errors.As(err, &bad) || bad.Row != 1 || bad.Col != 0 {
		t.Errorf("NaN: error %v", err)
	}
}

// positive returns a symmetric matrix with the given eigenvalues.
func positive(t testing.TB, seed uint64, values []float64) tensor.Tensor[float64] {
	t.Helper()
	n := len(values)
	ws := workspace[float64]()
	q, r := tensor.New[float64](n, n), tensor.New[float64](n, n)
	if err := linalg.QR(ws, q, r, random[float64](seed, n, n)); err != nil {
		t.Fatal(err)
	}
	var s mat.Dense
	s.Mul(dense(q), mat.NewDiagDense(n, values))
	a := tensor.New[float64](n, n)
	p := mul(&s, dense(q).T())
	for i := range n {
		for j := range n {
			a.Set((p.At(i, j)+p.At(j, i))/2, i, j)
		}
	}
	return a
}

// rootResidual returns ‖A Xᵖ − I‖.
func rootResidual(a, x tensor.Tensor[float64], p int) float64 {
	m := dense(a)
	for range p {
		m = mul(m, dense(x))
	}
	n := a.Shape().Rows()
	for i := range n {
		m.Set(i, i, m.At(i, i)-1)
	}
	return mat.Norm(m, 2)
}

func TestInverseRoots(t *testing.T) {
	ws := workspace[float64]()
	// Iterations to a residual of 1e-10. The Frobenius norm, which scales the matrix, overestimates its largest eigenvalue:
	// one more for the largest matrices.
	most := map[float64]int{1e2: 10, 1e4: 16, 1e6: 21}
	for _, n := range []int{1, 2, 20, 65} {
		for cond, limit := range most {
			for _, scale := range []float64{1e-12, 1, 1e12} {
				a := positive(t, uint64(n), geometric(scale/cond, scale, n))
				for _, p := range []int{1, 2, 3, 4, 8} {
					eigen, newton := tensor.New[float64](n, n), tensor.New[float64](n, n)
					if err := linalg.InverseRootEigen(ws, eigen, a, float64(p), 0); err != nil {
						t.Fatal(err)
					}
					iterations, residual, err := linalg.InverseRootNewton(ws, newton, a, p, 0, 1e-10)
					if err != nil {
						t.Fatal(err)
					}
					if p == 2 && iterations > limit+n/65 {
						t.Errorf("n = %d, condition %g: %d iterations for the square root, expected at most %d", n, cond, iterations, limit)
					}
					if residual > 1e-9 {
						t.Errorf("n = %d, condition %g, p = %d: residual %.3g", n, cond, p, residual)
					}
					for name, x := range map[string]tensor.Tensor[float64]{"eigen": eigen, "Newton": newton} {
						// The backward error is a multiple of ε‖A‖, relative to the smallest eigenvalue ε·condition; a
						// relative error of X counts p times.
						tol := 1e-9
						if p > 4 {
							tol = 1e-8
						}
						if e := rootResidual(a, x, p); !(e <= tol) {
							t.Errorf("%s, n = %d, condition %g, scale %g, p = %d: ‖A Xᵖ − I‖ = %.3g", name, n, cond, scale, p, e)
						}
					}
				}
			}
		}
	}
}

func TestInverseRootsOfSingularMatrices(t *testing.T) {
	ws := workspace[float64]()
	low := positive(t, 5, append(geometric(0.1, 1, 3), make([]float64, 9)...))
	shifted := low.Clone()
	for i := range 12 {
		shifted.Set(shifted.At(i, i)+1e-4, i, i)
	}
	x := tensor.New[float64](12, 12)
	if _, _, err := linalg.InverseRootNewton(ws, x, low, 4, 1e-4, 1e-11); err != nil {
		t.Fatal(err)
	}
	if e := rootResidual(shifted, x, 4); !(e <= 1e-8) {
		t.Errorf("low rank with ridge, Newton: %.3g", e)
	}
	if err := linalg.InverseRootEigen(ws, x, low, 4, 1e-4); err != nil {
		t.Fatal(err)
	}
	if e := rootResidual(shifted, x, 4); !(e <= 1e-8) {
		t.Errorf("low rank with ridge, eigen: %.3g", e)
	}

	zero := tensor.New[float64](3, 3)
	r := tensor.New[float64](3, 3)
	if err := linalg.InverseRootEigen(ws, r, zero, 2, 0); err != nil || tensor.Norm(ws, r) != 0 {
		t.Errorf("zero matrix: %v, error %v", r.Data(), err)
	}
	if err := linalg.InverseRootEigen(ws, r, zero, 2, 0.25); err != nil || math.Abs(r.At(1, 1)-2) > 1e-15 {
		t.Errorf("zero matrix with ridge: %v, error %v", r.Data(), err)
	}
	before := r.Clone()
	var root linalg.RootError
	if _, _, err := linalg.InverseRootNewton(ws, r, zero, 2, 0, 1e-11); !errors.As(err, &root) {
		t.Errorf("zero matrix, Newton: error %v", err)
	}
	indefinite := positive(t, 6, []float64{-1, 0.5, 1})
	if _, residual, err := linalg.InverseRootNewton(ws, r, indefinite, 2, 0, 1e-11); !errors.As(err, &root) || !(residual > 0.1) {
		t.Errorf("indefinite matrix: residual %v, error %v", residual, err)
	}
	var bad linalg.NotFiniteError
	zero.Set(math.NaN(), 2, 1)
	if _, _, err := linalg.InverseRootNewton(ws, r, zero, 2, 0, 1e-11); !errors.As(err, &bad) {
		t.Errorf("NaN, Newton: error %v", err)
	}
	if err := linalg.InverseRootEigen(ws, r, zero, 2, 0.1); !errors.As(err, &bad) {
		t.Errorf("NaN, eigen: error %v", err)
	}
	if e := mat.Norm(sub(dense(r), dense(before)), 2); e != 0 {
		t.Errorf("a failed root changed its destination by %v", e)
	}
}

func TestSymmetricProduct(t *testing.T) {
	for _, n := range []int{1, 5, 95, 96, 97, 200, 289} {
		a := random[float64](uint64(n), n, 37)
		at := tensor.New[float64](37, n)
		ws := workspace[float64]()
		tensor.Permute(ws, at, a, []int{1, 0})
		want, alone := tensor.New[float64](n, n), tensor.New[float64](n, n)
		tensor.MatMul(ws, want, a, a, false, true)
		linalg.SymmetricProduct(tensor.NewWorkspace[float64](nil), alone, a, a, false, true)
		for workers := range 4 {
			ws := tensor.NewWorkspace[float64](tensor.NewPool(workers + 1))
			for name, x := range map[string]tensor.Tensor[float64]{"A Aᵀ": a, "BᵀB": at} {
				got := tensor.New[float64](n, n)
				trans := x.Shape().Rows() != n
				linalg.SymmetricProduct(ws, got, x, x, trans, !trans)
				for i := range n {
					for j := range n {
						if e := math.Abs(got.At(i, j) - want.At(i, j)); !(e <= 1e-12) || got.At(i, j) != got.At(j, i) {
							t.Fatalf("n = %d, %s, (%d, %d): %v, expected %v", n, name, i, j, got.At(i, j), want.At(i, j))
						}
						if !trans && got.At(i, j) != alone.At(i, j) {
							t.Fatalf("n = %d, %d workers, (%d, %d): other bits than one worker's", n, workers+1, i, j)
						}
					}
				}
			}
		}
	}
}
