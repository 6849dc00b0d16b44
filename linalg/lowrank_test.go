package linalg_test

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// finder is RSVD or SRE.
type finder[T tensor.Float] func(ws *tensor.Workspace[T], values []T, vectors, a tensor.Tensor[T], s linalg.Sketch) error

func finders[T tensor.Float]() map[string]finder[T] {
	return map[string]finder[T]{"RSVD": linalg.RSVD[T], "SRE": linalg.SRE[T]}
}

// distance returns ‖AᵀA − I‖, in the Frobenius norm.
func distance[T tensor.Float](a tensor.Tensor[T]) float64 {
	d := dense(a)
	return mat.Norm(sub(mul(d.T(), d), eye(a.Shape().Dim(1))), 2)
}

// rebuilt returns U diag(d) Uᵀ.
func rebuilt(u tensor.Tensor[float64], d []float64) *mat.Dense {
	v := dense(u)
	return mul(mul(v, mat.NewDiagDense(len(d), d)), v.T())
}

// extreme returns the smallest and largest eigenvalue of a symmetric matrix.
func extreme(t fataler, a *mat.Dense) (least, most float64) {
	n, _ := a.Dims()
	s := mat.NewSymDense(n, nil)
	for i := range n {
		for j := range i + 1 {
			s.SetSym(i, j, (a.At(i, j)+a.At(j, i))/2)
		}
	}
	var e mat.EigenSym
	if !e.Factorize(s, false) {
		t.Fatalf("gonum finds no eigenvalues")
	}
	v := e.Values(nil)
	return v[0], v[n-1]
}

type fataler interface{ Fatalf(string, ...any) }

func TestRandomizedEigenIsExactWithinItsRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		r := rapid.IntRange(1, n).Draw(t, "r")
		rank := rapid.IntRange(0, r).Draw(t, "rank")
		l := rapid.IntRange(0, 12).Draw(t, "l")
		seed := rapid.Uint64().Draw(t, "seed")
		values := make([]float64, n)
		for i := range rank {
			values[i] = math.Exp(-6 * float64(i) / float64(n))
		}
		a := rotated(seed, values)
		for name, find := range finders[float64]() {
			for _, q := range []int{0, 1, 3} {
				u, d := tensor.New[float64](n, r), make([]float64, r)
				if err := find(workspace[float64](), d, u, a, linalg.Sketch{Oversampling: l, Power: q, Key: tensor.KeyOf(seed + 1)}); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if e := distance(u); e > 1e-13*math.Sqrt(float64(r)) {
					t.Fatalf("%s, power %d: ‖UᵀU − I‖ = %.3g", name, q, e)
				}
				if !sort.SliceIsSorted(d, func(i, j int) bool { return d[i] > d[j] }) {
					t.Fatalf("%s: eigenvalues %v, expected descending", name, d)
				}
				if e := mat.Norm(sub(rebuilt(u, d), dense(a)), 2); e > 1e-12 {
					t.Fatalf("%s, power %d, rank %d of %d: ‖U D Uᵀ − A‖ = %.3g", name, q, rank, r, e)
				}
			}
		}
	})
}

// With eigenvalues 0.8^i, n = 200, r = 40, l = 10: errors of the eigenvalues, as far as the power promises.
func TestRandomizedEigenAccuracy(t *testing.T) {
	const n, r = 200, 40
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Pow(0.8, float64(i))
	}
	a := rotated(3, values)
	most := map[string]map[int]float64{"RSVD": {0: 5e-6, 1: 5e-8, 3: 1e-12}, "SRE": {0: 5e-5, 1: 1e-6, 3: 1e-11}}
	for name, find := range finders[float64]() {
		for q, bound := range most[name] {
			u, d := tensor.New[float64](n, r), make([]float64, r)
			if err := find(workspace[float64](), d, u, a, linalg.Sketch{Oversampling: 10, Power: q, Key: tensor.KeyOf(5)}); err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for i, v := range d {
				worst = math.Max(worst, math.Abs(v-values[i]))
			}
			if worst > bound {
				t.Errorf("%s, power %d: an eigenvalue is wrong by %.2g, expected at most %.2g", name, q, worst, bound)
			}
			if e := distance(u); e > 1e-13 {
				t.Errorf("%s, power %d: ‖UᵀU − I‖ = %.3g", name, q, e)
			}
		}
	}
}

func TestRandomizedSVD(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, n := rapid.IntRange(1, 50).Draw(t, "m"), rapid.IntRange(1, 50).Draw(t, "n")
		r := rapid.IntRange(1, min(m, n)).Draw(t, "r")
		seed := rapid.Uint64().Draw(t, "seed")
		ws := workspace[float64]()
		// A of rank r.
		x, y, a := random[float64](seed, m, r), random[float64](seed+1, r, n), tensor.New[float64](m, n)
		tensor.MatMul(ws, a, x, y, false, false)
		q := tensor.New[float64](m, r)
		if err := linalg.RangeFinder(ws, q, a, 1, tensor.KeyOf(seed)); err != nil {
			t.Fatal(err)
		}
		if e := distance(q); e > 1e-13*math.Sqrt(float64(r)) {
			t.Fatalf("range: ‖QᵀQ − I‖ = %.3g", e)
		}
		da, dq := dense(a), dense(q)
		norm := mat.Norm(da, 2)
		if e := mat.Norm(sub(da, mul(dq, mul(dq.T(), da))), 2); e > 1e-12*norm {
			t.Fatalf("range: ‖A − QQᵀA‖ = %.3g of %.3g", e, norm)
		}
		u, v, s := tensor.New[float64](m, r), tensor.New[float64](n, r), make([]float64, r)
		if err := linalg.RandomizedSVD(ws, u, s, v, a, linalg.Sketch{Oversampling: 5, Power: 1, Key: tensor.KeyOf(seed)}); err != nil {
			t.Fatal(err)
		}
		if e := math.Max(distance(u), distance(v)); e > 1e-13*math.Sqrt(float64(r)) {
			t.Fatalf("‖UᵀU − I‖ or ‖VᵀV − I‖ = %.3g", e)
		}
		if e := mat.Norm(sub(mul(mul(dense(u), mat.NewDiagDense(r, s)), dense(v).T()), da), 2); e > 1e-12*norm {
			t.Fatalf("‖U S Vᵀ − A‖ = %.3g of %.3g", e, norm)
		}
	})
}

// brandUpdate makes one update and returns the result.
func brandUpdate(t fataler, u tensor.Tensor[float64], d []float64, x tensor.Tensor[float64], decay float64, keep int) (tensor.Tensor[float64], []float64) {
	v, e := tensor.New[float64](x.Shape().Dim(0), keep), make([]float64, keep)
	if err := linalg.BrandUpdate(workspace[float64](), e, v, d, u, x, decay); err != nil {
		t.Fatalf("%v", err)
	}
	return v, e
}

// Without truncation the update is the eigendecomposition, also where the new columns lie in the old ones' span, or are zero.
func TestBrandUpdateIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		r := rapid.IntRange(0, n-1).Draw(t, "r")
		b := rapid.IntRange(1, n-r).Draw(t, "b")
		decay := rapid.Float64Range(0, 1).Draw(t, "decay")
		kind := rapid.IntRange(0, 3).Draw(t, "kind")
		seed := rapid.Uint64().Draw(t, "seed")
		ws := workspace[float64]()
		u, tri, d := tensor.New[float64](n, r), tensor.New[float64](r, r), make([]float64, r)
		if r > 0 {
			if err := linalg.QR(ws, u, tri, random[float64](seed, n, r)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range d {
			d[i] = math.Exp(-5 * float64(i) / float64(r))
		}
		x := random[float64](seed+1, n, b)
		switch kind {
		case 1: // in the span of U
			if r > 0 {
				tensor.MatMul(ws, x, u, random[float64](seed+2, r, b), false, false)
			}
		case 2: // dependent columns
			tensor.MatMul(ws, x, random[float64](seed+2, n, 1), random[float64](seed+3, 1, b), false, false)
		case 3:
			clear(x.Data())
		}
		v, e := brandUpdate(t, u, d, x, decay, r+b)
		want := mul(dense(x), dense(x).T())
		if r > 0 {
			old := rebuilt(u, d)
			old.Scale(decay, old)
			want.Add(want, old)
		}
		scale := math.Max(1, mat.Norm(want, 2))
		if err := mat.Norm(sub(rebuilt(v, e), want), 2); err > 1e-12*scale {
			t.Fatalf("kind %d: ‖V E Vᵀ − (ρ U D Uᵀ + X Xᵀ)‖ = %.3g of %.3g", kind, err, scale)
		}
		if err := distance(v); err > 1e-13*math.Sqrt(float64(r+b)) {
			t.Fatalf("kind %d: ‖VᵀV − I‖ = %.3g", kind, err)
		}
	})
}

// 200 updates. Exact: orthonormal to 1e-13, eigenvalues of the recursion to 1e-12. Truncated to r after each: 0 ≼ M − M̃, and ‖M − M̃‖ ≤ e with
// e ← ρe + σ, σ the largest value dropped.
func TestBrandRecursion(t *testing.T) {
	const n, b, r, rho = 40, 4, 12, 0.9
	for _, truncated := range []bool{false, true} {
		u, d := tensor.New[float64](n, 0), []float64{}
		m := mat.NewDense(n, n, nil)
		bound := 0.0
		for step := range 200 {
			x := random[float64](uint64(step), n, b)
			for i := range n { // a spectrum that decays
				for j := range b {
					x.Data()[i*b+j] *= math.Pow(0.85, float64(i)) * math.Sqrt((1-rho)/b)
				}
			}
			m.Scale(rho, m)
			m.Add(m, mul(dense(x), dense(x).T()))
			if !truncated && len(d)+b > n { // full: from there on the columns are cut by what is exactly zero or below it
				break
			}
			all, values := brandUpdate(t, u, d, x, rho, len(d)+b)
			keep := len(values)
			if truncated {
				keep = min(keep, r)
				bound *= rho
				if keep < len(values) {
					bound += values[keep]
				}
			}
			u, d = tensor.New[float64](n, keep), values[:keep]
			tensor.CopySlice(workspace[float64](), all, u, tensor.AxisOf(all.Shape(), 1, 2), 0, false)
			least, most := extreme(t, sub(m, rebuilt(u, d)))
			if err := distance(u); err > 1e-13 {
				t.Fatalf("step %d: ‖UᵀU − I‖ = %.3g", step, err)
			}
			if least < -1e-13 || most > bound+1e-12 {
				t.Fatalf("step %d, truncated %v: M − M̃ has eigenvalues from %.3g to %.3g, expected from 0 to %.3g", step, truncated, least, most, bound)
			}
		}
		if truncated && bound == 0 {
			t.Error("nothing was dropped")
		}
	}
}

// Two hundred exact updates of a matrix of full rank: only the columns that are there move.
func TestBrandStaysOrthonormal(t *testing.T) {
	const n, r, b, rho = 50, 20, 8, 0.95
	// X stays in a space of r dimensions, in which U is complete after some steps: nothing is ever dropped but rounding.
	ws := workspace[float64]()
	basis, tri := tensor.New[float64](n, r), tensor.New[float64](r, r)
	if err := linalg.QR(ws, basis, tri, random[float64](1, n, r)); err != nil {
		t.Fatal(err)
	}
	u, d, m := tensor.New[float64](n, 0), []float64{}, mat.NewDense(n, n, nil)
	for step := range 200 {
		x := tensor.New[float64](n, b)
		tensor.MatMul(ws, x, basis, random[float64](uint64(step+2), r, b), false, false)
		m.Scale(rho, m)
		m.Add(m, mul(dense(x), dense(x).T()))
		u, d = brandUpdate(t, u, d, x, rho, min(len(d)+b, r))
	}
	if e := distance(u); e > 1e-13 {
		t.Errorf("‖UᵀU − I‖ = %.3g after 200 updates", e)
	}
	norm := mat.Norm(m, 2)
	if e := mat.Norm(sub(rebuilt(u, d), m), 2); e > 1e-12*norm {
		t.Errorf("‖U D Uᵀ − M‖ = %.3g of %.3g after 200 updates", e, norm)
	}
}

// After a correction the chosen columns hold the Ritz pairs of their span, which is the same as before, and the sum of the values has the
// error of the others alone. With all columns it is Rayleigh–Ritz.
func TestBrandCorrection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		r := rapid.IntRange(1, n).Draw(t, "r")
		c := rapid.IntRange(1, r).Draw(t, "c")
		seed := rapid.Uint64().Draw(t, "seed")
		ws := workspace[float64]()
		a := rotated(seed, geometric(1e-4, 1, n))
		u, tri, d := tensor.New[float64](n, r), tensor.New[float64](r, r), make([]float64, r)
		if err := linalg.QR(ws, u, tri, random[float64](seed+1, n, r)); err != nil {
			t.Fatal(err)
		}
		for i := range d {
			d[i] = 2 * float64(r-i)
		}
		columns := make([]int32, r)
		tensor.Permutation(tensor.KeyOf(seed), columns)
		columns = columns[:c]
		before, old := u.Clone(), append([]float64(nil), d...)
		if err := linalg.BrandCorrection(ws, d, u, a, columns); err != nil {
			t.Fatal(err)
		}
		if e := distance(u); e > 1e-13*math.Sqrt(float64(r)) {
			t.Fatalf("‖UᵀU − I‖ = %.3g", e)
		}
		if !sort.SliceIsSorted(d, func(i, j int) bool { return d[i] > d[j] }) {
			t.Fatalf("values %v, expected descending", d)
		}
		// The values: those not chosen, and the eigenvalues of QᵀAQ.
		q := mat.NewDense(n, c, nil)
		chosen := map[int]bool{}
		for j, k := range columns {
			chosen[int(k)] = true
			for i := range n {
				q.Set(i, j, before.At(i, int(k)))
			}
		}
		small := mul(q.T(), mul(dense(a), q))
		sym := mat.NewSymDense(c, nil)
		for i := range c {
			for j := range i + 1 {
				sym.SetSym(i, j, small.At(i, j))
			}
		}
		var e mat.EigenSym
		e.Factorize(sym, false)
		want := e.Values(nil)
		trace, ritz := 0.0, mat.Trace(small)
		for i, v := range old {
			if !chosen[i] {
				want = append(want, v)
				trace += v
			}
		}
		sort.Sort(sort.Reverse(sort.Float64Slice(want)))
		for i, v := range d {
			if math.Abs(v-want[i]) > 1e-12*math.Max(1, want[0]) {
				t.Fatalf("values %v, expected %v", d, want)
			}
			trace -= v
		}
		if math.Abs(trace+ritz) > 1e-11*math.Max(1, want[0]) {
			t.Fatalf("the values add up to %.17g more than those of the subspaces", -(trace + ritz))
		}
		// The span is the same.
		du, db := dense(u), dense(before)
		if e := mat.Norm(sub(mul(du, du.T()), mul(db, db.T())), 2); e > 1e-12 {
			t.Fatalf("the span moved by %.3g", e)
		}
		if c == r { // full Rayleigh–Ritz: the residual A U − U D is orthogonal to U
			if e := mat.Norm(sub(mul(du.T(), mul(dense(a), du)), mat.NewDiagDense(r, d)), 2); e > 1e-12 {
				t.Fatalf("‖UᵀAU − D‖ = %.3g", e)
			}
		}
	})
}

func TestLowRankFloat32(t *testing.T) {
	const n, r = 120, 20
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Pow(0.7, float64(i))
	}
	exact := rotated(2, values)
	a := tensor.New[float32](n, n)
	for i, v := range exact.Data() {
		a.Data()[i] = float32(v)
	}
	for name, find := range finders[float32]() {
		u, d := tensor.New[float32](n, r), make([]float32, r)
		if err := find(workspace[float32](), d, u, a, linalg.Sketch{Oversampling: 10, Power: 1, Key: tensor.KeyOf(1)}); err != nil {
			t.Fatal(err)
		}
		for i, v := range d {
			if math.Abs(float64(v)-values[i]) > 1e-6 {
				t.Errorf("%s: eigenvalue %d is %v, expected %v", name, i, v, values[i])
			}
		}
		if e := distance(u); e > 20*epsilon[float32]() {
			t.Errorf("%s: ‖UᵀU − I‖ = %.3g", name, e)
		}
		x := random[float32](9, n, 8)
		v, w := tensor.New[float32](n, r+8), make([]float32, r+8)
		if err := linalg.BrandUpdate(workspace[float32](), w, v, d, u, x, 0.5); err != nil {
			t.Fatal(err)
		}
		if e := distance(v); e > 30*epsilon[float32]() {
			t.Errorf("Brand: ‖VᵀV − I‖ = %.3g", e)
		}
	}
}

func TestLowRankBitsDoNotDependOnWorkers(t *testing.T) {
	const n, r, b = 300, 40, 24
	a, x := spd[float32](1, n), random[float32](2, n, b)
	var first []float32
	for _, workers := range []int{1, 3} {
		ws := tensor.NewWorkspace[float32](tensor.NewPool(workers))
		var got []float32
		for _, find := range []finder[float32]{linalg.RSVD[float32], linalg.SRE[float32]} {
			u, d := tensor.New[float32](n, r), make([]float32, r)
			if err := find(ws, d, u, a, linalg.Sketch{Oversampling: 10, Power: 1, Key: tensor.KeyOf(1)}); err != nil {
				t.Fatal(err)
			}
			v, w := tensor.New[float32](n, r), make([]float32, r)
			if err := linalg.BrandUpdate(ws, w, v, d, u, x, 0.9); err != nil {
				t.Fatal(err)
			}
			if err := linalg.BrandCorrection(ws, w, v, a, []int32{3, 1, 17}); err != nil {
				t.Fatal(err)
			}
			got = append(append(append(append(got, u.Data()...), d...), v.Data()...), w...)
		}
		if first == nil {
			first = got
		}
		for i := range got {
			if got[i] != first[i] {
				t.Fatalf("%d workers: number %d is %v, with one %v", workers, i, got[i], first[i])
			}
		}
	}
}

func TestLowRankErrors(t *testing.T) {
	ws := workspace[float64]()
	bad := rotated(1, []float64{3, 2, 1})
	bad.Data()[0] = math.NaN()
	u, d := tensor.New[float64](3, 1), make([]float64, 1)
	var want linalg.NotFiniteError
	for name, find := range finders[float64]() {
		if err := find(ws, d, u, bad, linalg.Sketch{}); !errors.As(err, &want) {
			t.Errorf("%s of NaN: error %v", name, err)
		}
	}
	if err := linalg.BrandUpdate(ws, d, u, nil, tensor.New[float64](3, 0), bad.Reshape(3, 3), 1); !errors.As(err, &want) {
		t.Errorf("BrandUpdate with NaN: error %v", err)
	}
	for name, f := range map[string]func(){
		"more columns than rows": func() {
			_ = linalg.RangeFinder(ws, tensor.New[float64](3, 4), rotated(1, []float64{1, 1, 1}), 0, tensor.KeyOf(0))
		},
		"more values than rank":   func() { _ = linalg.BrandUpdate(ws, d, u, nil, tensor.New[float64](3, 0), tensor.New[float64](3, 0), 1) },
		"r + b more than n":       func() { _ = linalg.BrandUpdate(ws, d, u, d, u, tensor.New[float64](3, 3), 1) },
		"a column that is not":    func() { _ = linalg.BrandCorrection(ws, d, u, bad, []int32{1}) },
		"a matrix not square":     func() { _ = linalg.RSVD(ws, d, u, tensor.New[float64](3, 2), linalg.Sketch{}) },
		"vectors of another size": func() { _ = linalg.SRE(ws, d, tensor.New[float64](3, 2), bad, linalg.Sketch{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

// BenchmarkInversion compares what stands for a factor of order n, r = 220, l = 10, b = 256.
func BenchmarkInversion(b *testing.B) {
	for _, n := range []int{1024, 2048, 3072} {
		a := decaying(n)
		ws := tensor.NewWorkspace[float32](nil)
		const r, cols = 220, 256
		u, d := tensor.New[float32](n, r), make([]float32, r)
		x := random[float32](3, n, cols)
		all, values := tensor.New[float32](n, n), make([]float32, n)
		sketch := func(q int) linalg.Sketch { return linalg.Sketch{Oversampling: 10, Power: q, Key: tensor.KeyOf(1)} }
		out, w := tensor.New[float32](n, r), make([]float32, r)
		for _, c := range []struct {
			name string
			f    func() error
		}{
			{"RSVD-q3", func() error { return linalg.RSVD(ws, d, u, a, sketch(3)) }},
			{"RSVD-q1", func() error { return linalg.RSVD(ws, d, u, a, sketch(1)) }},
			{"SRE-q1", func() error { return linalg.SRE(ws, d, u, a, sketch(1)) }},
			{"Brand", func() error { return linalg.BrandUpdate(ws, w, out, d, u, x, 0.95) }},
			{"eigen", func() error { return linalg.SymmetricEigen(ws, values, all, a) }},
		} {
			b.Run(fmt.Sprintf("%s/n=%d", c.name, n), func(b *testing.B) {
				for b.Loop() {
					if err := c.f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// decaying returns a matrix like a factor of a layer: a mean of outer products with a spectrum that decays.
func decaying(n int) tensor.Tensor[float32] {
	ws := tensor.NewWorkspace[float32](nil)
	x, y := random[float32](1, n, n/2), tensor.New[float32](n, n)
	for i := range n {
		for j := range n / 2 {
			x.Data()[i*(n/2)+j] *= float32(math.Exp(-8 * float64(j) / float64(n)))
		}
	}
	linalg.SymmetricProduct(ws, y, x, x, false, true)
	linalg.AddDiagonal(y, 1e-3)
	return y
}
