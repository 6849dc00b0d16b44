package linalg_test

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

var sizes = []int{1, 2, 31, 32, 33, 63, 64, 65, 129}

func random[T tensor.Float](seed uint64, dims ...int) tensor.Tensor[T] {
	t := tensor.New[T](dims...)
	tensor.Normal(tensor.KeyOf(seed), t.Data(), 0, 1)
	return t
}

func workspace[T tensor.Float]() *tensor.Workspace[T] {
	return tensor.NewWorkspace[T](tensor.NewPool(2))
}

// dense returns a copy of t in double precision.
func dense[T tensor.Float](t tensor.Tensor[T]) *mat.Dense {
	s := t.Shape()
	m := mat.NewDense(s.Rows(), s.Cols(), nil)
	for i, v := range t.Data() {
		m.Set(i/s.Cols(), i%s.Cols(), float64(v))
	}
	return m
}

func epsilon[T tensor.Float]() float64 {
	if _, ok := any(T(0)).(float32); ok {
		return 0x1p-23
	}
	return 0x1p-52
}

// small fails the test unless the Frobenius norm of a is at most factor·√n·ε·scale.
func small[T tensor.Float](t *testing.T, what string, a mat.Matrix, n int, scale, factor float64) {
	t.Helper()
	if got, most := mat.Norm(a, 2), factor*math.Sqrt(float64(n))*epsilon[T]()*scale; !(got <= most) {
		t.Errorf("%s: norm %.3g, at most %.3g", what, got, most)
	}
}

func sub(a, b mat.Matrix) *mat.Dense {
	var d mat.Dense
	d.Sub(a, b)
	return &d
}

func mul(a, b mat.Matrix) *mat.Dense {
	var d mat.Dense
	d.Mul(a, b)
	return &d
}

func eye(n int) *mat.Dense {
	d := mat.NewDense(n, n, nil)
	for i := range n {
		d.Set(i, i, 1)
	}
	return d
}

// spd returns a well-conditioned positive definite matrix.
func spd[T tensor.Float](seed uint64, n int) tensor.Tensor[T] {
	b := random[T](seed, n, n)
	a := tensor.New[T](n, n)
	tensor.MatMul(workspace[T](), a, b, b, false, true)
	for i := range n {
		a.Data()[i*n+i] += T(n)
	}
	return a
}

func TestCholesky(t *testing.T) {
	t.Run("float32", testCholesky[float32])
	t.Run("float64", testCholesky[float64])
}

func testCholesky[T tensor.Float](t *testing.T) {
	ws := workspace[T]()
	for _, n := range sizes {
		a := spd[T](1, n)
		l := tensor.New[T](n, n)
		if err := linalg.Cholesky(ws, l, a); err != nil {
			t.Fatal(err)
		}
		da, dl := dense(a), dense(l)
		small[T](t, fmt.Sprintf("n=%d: A − L Lᵀ", n), sub(da, mul(dl, dl.T())), n, mat.Norm(da, 2), 4)
		var oracle mat.Cholesky
		sym := mat.NewSymDense(n, nil)
		for i := range n {
			for j := range i + 1 {
				sym.SetSym(i, j, da.At(i, j))
			}
		}
		if !oracle.Factorize(sym) {
			t.Fatal("gonum finds the matrix not positive definite")
		}
		if want := oracle.LogDet(); math.Abs(linalg.CholeskyLogDet(l)-want) > 100*epsilon[T]()*math.Abs(want)+1e-12 {
			t.Errorf("n=%d: ln det %v, gonum %v", n, linalg.CholeskyLogDet(l), want)
		}
		for _, m := range []int{1, 3, 40} {
			x, b := random[T](2, n, m), tensor.New[T](n, m)
			tensor.MatMul(ws, b, a, x, false, false)
			got := tensor.New[T](n, m)
			if err := linalg.CholeskySolve(ws, got, l, b); err != nil {
				t.Fatal(err)
			}
			var want mat.Dense
			if err := oracle.SolveTo(&want, dense(b)); err != nil {
				t.Fatal(err)
			}
			small[T](t, fmt.Sprintf("n=%d m=%d: solution − gonum's", n, m), sub(dense(got), &want), n, mat.Norm(&want, 2), 40)
			if err := linalg.CholeskySolve(ws, b, l, b); err != nil { // in place
				t.Fatal(err)
			}
			small[T](t, "in place", sub(dense(got), dense(b)), n, 1, 0)
		}
		inv := tensor.New[T](n, n)
		if err := linalg.CholeskyInverse(ws, inv, l); err != nil {
			t.Fatal(err)
		}
		small[T](t, fmt.Sprintf("n=%d: A A⁻¹ − I", n), sub(mul(da, dense(inv)), eye(n)), n, float64(n), 10)
		if err := linalg.Cholesky(ws, a, a); err != nil { // in place
			t.Fatal(err)
		}
		small[T](t, "in place", sub(dense(l), dense(a)), n, 1, 0)
	}
}

func TestCholeskyNamesThePivot(t *testing.T) {
	ws := workspace[float64]()
	for _, n := range []int{1, 5, 64, 65, 129} {
		for _, bad := range []int{0, n / 2, n - 1} {
			for _, v := range []float64{-1, 0, math.NaN(), math.Inf(1)} {
				a := tensor.New[float64](n, n)
				for i := range n {
					a.Data()[i*n+i] = 1
				}
				a.Data()[bad*n+bad] = v
				var e linalg.NotPositiveDefiniteError
				if err := linalg.Cholesky(ws, a, a); !errors.As(err, &e) || e.Pivot != bad || e.Order != n {
					t.Errorf("n=%d, %v at %d: %v", n, v, bad, err)
				}
			}
		}
	}
}

func TestSolveTriangular(t *testing.T) {
	t.Run("float32", testTriangular[float32])
	t.Run("float64", testTriangular[float64])
}

func testTriangular[T tensor.Float](t *testing.T) {
	ws := workspace[T]()
	for _, n := range sizes {
		a := random[T](3, n, n)
		for i := range n {
			for j := range n {
				a.Data()[i*n+j] /= T(2 * n)
			}
			a.Data()[i*n+i] = T(1 + float64(i%3)) // well-conditioned
		}
		for _, tri := range []linalg.Triangle{linalg.Lower, linalg.Upper} {
			for _, trans := range []bool{false, true} {
				op := mat.NewDense(n, n, nil)
				for i := range n {
					for j := range n {
						if i == j || (i > j) == (tri == linalg.Lower) {
							op.Set(i, j, float64(a.At(i, j)))
						}
					}
				}
				if trans {
					op = mat.DenseCopyOf(op.T())
				}
				for _, shape := range [][]int{{n}, {n, 1}, {n, 2}, {n, 5}, {n, 70}} {
					b := random[T](4, shape...)
					x := tensor.New[T](shape...)
					if err := linalg.SolveTriangular(ws, x, a, b, tri, trans); err != nil {
						t.Fatal(err)
					}
					cols := b.Size() / n
					dx, db := dense(x.Reshape(n, cols)), dense(b.Reshape(n, cols))
					small[T](t, fmt.Sprintf("n=%d %v transposed %v, %v: op(A) X − B", n, tri, trans, shape), sub(mul(op, dx), db), n, mat.Norm(db, 2), 4)
				}
			}
		}
		a.Data()[n*n-1] = 0
		var e linalg.SingularError
		if err := linalg.SolveTriangular(ws, random[T](1, n), a, random[T](2, n), linalg.Lower, false); !errors.As(err, &e) || e.Pivot != n-1 {
			t.Errorf("n=%d: zero on the diagonal: %v", n, err)
		}
	}
}

func TestQR(t *testing.T) {
	t.Run("float32", testQR[float32])
	t.Run("float64", testQR[float64])
}

func testQR[T tensor.Float](t *testing.T) {
	ws := workspace[T]()
	for _, n := range sizes {
		for _, m := range []int{n, n + 1, 2*n + 7} {
			a := random[T](5, m, n)
			switch {
			case n > 3 && m == n+1: // dependent columns
				for i := range m {
					a.Set(2*a.At(i, 0), i, n/2)
				}
			case n > 3 && m == n: // badly scaled columns
				for i := range m {
					a.Set(a.At(i, 1)*1e-12, i, 1)
					a.Set(a.At(i, 2)*1e12, i, 2)
				}
			}
			q, r := tensor.New[T](m, n), tensor.New[T](n, n)
			if err := linalg.QR(ws, q, r, a); err != nil {
				t.Fatal(err)
			}
			dq, dr, da := dense(q), dense(r), dense(a)
			name := fmt.Sprintf("%d×%d: ", m, n)
			small[T](t, name+"QᵀQ − I", sub(mul(dq.T(), dq), eye(n)), n, math.Sqrt(float64(n)), 8)
			small[T](t, name+"A − QR", sub(da, mul(dq, dr)), n, mat.Norm(da, 2), 8)
			for i := range n {
				if r.At(i, i) < 0 {
					t.Errorf("%sR[%d,%d] = %v is negative", name, i, i, r.At(i, i))
				}
				for j := range i {
					if r.At(i, j) != 0 {
						t.Fatalf("%sR[%d,%d] = %v below the diagonal", name, i, j, r.At(i, j))
					}
				}
			}
			if m == 2*n+7 { // R is unique: the Cholesky factor of AᵀA, and gonum's up to signs
				var oracle mat.QR
				oracle.Factorize(da)
				var want mat.Dense
				oracle.RTo(&want)
				for i := range n {
					for j := i; j < n; j++ {
						if w := math.Copysign(1, want.At(i, i)) * want.At(i, j); math.Abs(dr.At(i, j)-w) > 1000*epsilon[T]()*mat.Norm(da, 2) {
							t.Fatalf("%sR[%d,%d] = %v, gonum %v", name, i, j, dr.At(i, j), w)
						}
					}
				}
			}
		}
	}
}

func TestSymmetricEigen(t *testing.T) {
	t.Run("float32", testEigen[float32])
	t.Run("float64", testEigen[float64])
}

// checkEigen checks residual, orthogonality and order of the decomposition of a, and that the values alone
// are the same, and returns the values.
func checkEigen[T tensor.Float](t *testing.T, name string, a tensor.Tensor[T]) []float64 {
	t.Helper()
	n := a.Shape().Rows()
	ws := workspace[T]()
	values, alone := make([]T, n), make([]T, n)
	v := tensor.New[T](n, n)
	if err := linalg.SymmetricEigen(ws, values, v, a); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := linalg.SymmetricEigen(ws, alone, tensor.Tensor[T]{}, a); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	da, dv, lambda := dense(a), dense(v), mat.NewDense(n, n, nil)
	for i := range n {
		for j := range i {
			da.Set(j, i, da.At(i, j))
		}
		lambda.Set(i, i, float64(values[i]))
	}
	norm := mat.Norm(da, 2)
	small[T](t, name+": A V − V Λ", sub(mul(da, dv), mul(dv, lambda)), n, norm, 8)
	small[T](t, name+": VᵀV − I", sub(mul(dv.T(), dv), eye(n)), n, math.Sqrt(float64(n)), 8)
	out := make([]float64, n)
	for i, x := range values {
		out[i] = float64(x)
		if i > 0 && x < values[i-1] {
			t.Errorf("%s: values are not in order at %d", name, i)
		}
		if math.Abs(float64(x-alone[i])) > 20*math.Sqrt(float64(n))*epsilon[T]()*norm {
			t.Errorf("%s: value %d is %v, alone %v", name, i, x, alone[i])
		}
	}
	return out
}

func testEigen[T tensor.Float](t *testing.T) {
	for _, n := range sizes {
		// Against gonum.
		a := random[T](6, n, n)
		got := checkEigen(t, fmt.Sprintf("random %d", n), a)
		sym := mat.NewSymDense(n, nil)
		for i := range n {
			for j := range i + 1 {
				sym.SetSym(i, j, float64(a.At(i, j)))
			}
		}
		var oracle mat.EigenSym
		if !oracle.Factorize(sym, false) {
			t.Fatal("gonum does not converge")
		}
		for i, want := range oracle.Values(nil) {
			if math.Abs(got[i]-want) > 10*math.Sqrt(float64(n))*epsilon[T]()*mat.Norm(sym, 2) {
				t.Fatalf("n=%d: value %d is %v, gonum %v", n, i, got[i], want)
			}
		}

		// Known spectra: Q diag(λ) Qᵀ with clusters, multiplicities, zeros and a wide range; and matrices
		// that deflate entirely, or not at all.
		if n == 63 || n == 32 {
			continue // for the time: their neighbours differ in nothing but the order of the leaves
		}
		for name, spectrum := range map[string]func(i int) float64{
			"linear":   func(i int) float64 { return float64(i) },
			"wide":     func(i int) float64 { return math.Pow(10, -12*float64(i)/float64(n)) },
			"multiple": func(i int) float64 { return float64(i % 3) },
			"cluster":  func(i int) float64 { return 1 + 1e-14*float64(i) },
			"signs":    func(i int) float64 { return 1 - 2*float64(i%2) },
			"low rank": func(i int) float64 { return float64(max(0, 5-i)) },
			"zero":     func(int) float64 { return 0 },
		} {
			m, want := withSpectrum[T](n, spectrum)
			got := checkEigen(t, fmt.Sprintf("%s %d", name, n), m)
			scale := max(math.Abs(want[0]), math.Abs(want[n-1]))
			for i := range want {
				if math.Abs(got[i]-want[i]) > 40*math.Sqrt(float64(n))*epsilon[T]()*scale {
					t.Errorf("%s %d: value %d is %v, want %v", name, n, i, got[i], want[i])
				}
			}
		}
		second := tensor.New[T](n, n) // second differences: 2 − 2 cos(kπ/(n+1))
		wilkinson := tensor.New[T](n, n)
		for i := range n {
			second.Set(2, i, i)
			wilkinson.Set(T(math.Abs(float64(i)-float64(n-1)/2)), i, i)
			if i > 0 {
				second.Set(-1, i, i-1)
				wilkinson.Set(1, i, i-1)
			}
		}
		got = checkEigen(t, fmt.Sprintf("second differences %d", n), second)
		for k, v := range got {
			if want := 2 - 2*math.Cos(float64(k+1)*math.Pi/float64(n+1)); math.Abs(v-want) > 40*epsilon[T]()*4 {
				t.Errorf("second differences %d: value %d is %v, want %v", n, k, v, want)
			}
		}
		checkEigen(t, fmt.Sprintf("Wilkinson %d", n), wilkinson)

		// Magnitudes near the ends of the range.
		for _, s := range []float64{1e-30, 1e30} {
			scaled := a.Clone()
			for i := range scaled.Data() {
				scaled.Data()[i] *= T(s)
			}
			checkEigen(t, fmt.Sprintf("scaled by %g, %d", s, n), scaled)
		}
	}
}

// withSpectrum returns Q diag(spectrum) Qᵀ for a random orthogonal Q, and the spectrum in order.
func withSpectrum[T tensor.Float](n int, spectrum func(i int) float64) (tensor.Tensor[T], []float64) {
	ws := workspace[float64]()
	q, r := random[float64](7, n, n), tensor.New[float64](n, n)
	if err := linalg.QR(ws, q, r, q); err != nil {
		panic(err)
	}
	want, scaled := make([]float64, n), q.Clone()
	for j := range n {
		want[j] = spectrum(j)
		for i := range n {
			scaled.Data()[i*n+j] *= want[j]
		}
	}
	m := tensor.New[float64](n, n)
	tensor.MatMul(ws, m, scaled, q, false, true)
	out := tensor.New[T](n, n)
	for i, v := range m.Data() {
		out.Data()[i] = T(v)
	}
	sort.Float64s(want)
	return out, want
}

// A NaN or an infinity is an error that names the element, not an endless loop.
func TestNotFinite(t *testing.T) {
	ws := workspace[float64]()
	for _, n := range []int{1, 2, 33, 70} {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			a := random[float64](8, n, n)
			i, j := n-1, n/2
			a.Set(v, i, j)
			var e linalg.NotFiniteError
			if err := linalg.SymmetricEigen(ws, make([]float64, n), tensor.New[float64](n, n), a); !errors.As(err, &e) || e.Row != i || e.Col != j {
				t.Errorf("eigen n=%d %v: %v", n, v, err)
			}
			if err := linalg.QR(ws, a.Clone(), tensor.New[float64](n, n), a); !errors.As(err, &e) || e.Row != i || e.Col != j {
				t.Errorf("QR n=%d %v: %v", n, v, err)
			}
		}
	}
}

// The same bits for every number of workers.
func TestBitsDoNotDependOnWorkers(t *testing.T) {
	const n = 150
	run := func(workers int) []float64 {
		ws := tensor.NewWorkspace[float64](tensor.NewPool(workers))
		a := spd[float64](9, n)
		l, x, q, r, v := tensor.New[float64](n, n), random[float64](10, n, 90), tensor.New[float64](n, n), tensor.New[float64](n, n), tensor.New[float64](n, n)
		values := make([]float64, n)
		for _, err := range []error{linalg.Cholesky(ws, l, a), linalg.CholeskySolve(ws, x, l, x), linalg.QR(ws, q, r, a), linalg.SymmetricEigen(ws, values, v, a)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		out := values
		for _, m := range []tensor.Tensor[float64]{l, x, q, r, v} {
			out = append(out, m.Data()...)
		}
		return out
	}
	want := run(1)
	for _, workers := range []int{2, 3, 8} {
		for i, v := range run(workers) {
			if v != want[i] {
				t.Fatalf("%d workers: number %d is %v, with one %v", workers, i, v, want[i])
			}
		}
	}
}

func TestShapesPanic(t *testing.T) {
	ws := workspace[float64]()
	a, b := tensor.New[float64](3, 4), tensor.New[float64](3, 3)
	for name, f := range map[string]func(){
		"Cholesky":        func() { _ = linalg.Cholesky(ws, b, a) },
		"SolveTriangular": func() { _ = linalg.SolveTriangular(ws, b, b, a, linalg.Lower, false) },
		"QR":              func() { _ = linalg.QR(ws, a, b, a) },
		"SymmetricEigen":  func() { _ = linalg.SymmetricEigen(ws, make([]float64, 2), b, b) },
	} {
		func() {
			defer func() {
				if _, ok := recover().(tensor.ShapeError); !ok {
					t.Errorf("%s: no ShapeError", name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkSymmetricEigen(b *testing.B) {
	for _, n := range []int{512, 1024, 2048} {
		a := random[float64](1, n, n)
		a32 := random[float32](1, n, n)
		b.Run(fmt.Sprintf("float64/%d", n), func(b *testing.B) { benchmarkEigen(b, a) })
		b.Run(fmt.Sprintf("float32/%d", n), func(b *testing.B) { benchmarkEigen(b, a32) })
	}
}

func benchmarkEigen[T tensor.Float](b *testing.B, a tensor.Tensor[T]) {
	n := a.Shape().Rows()
	ws := tensor.NewWorkspace[T](tensor.NewPool(0))
	v, values := tensor.New[T](n, n), make([]T, n)
	for b.Loop() {
		if err := linalg.SymmetricEigen(ws, values, v, a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCholesky(b *testing.B) {
	for _, n := range []int{512, 1024} {
		ws := tensor.NewWorkspace[float32](tensor.NewPool(0))
		a, l := spd[float32](1, n), tensor.New[float32](n, n)
		b.Run(fmt.Sprintf("float32/%d", n), func(b *testing.B) {
			for b.Loop() {
				if err := linalg.Cholesky(ws, l, a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
