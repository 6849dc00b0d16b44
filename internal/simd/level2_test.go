package simd

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestGemv(t *testing.T) {
	t.Run("float32", testGemv[float32])
	t.Run("float64", testGemv[float64])
}

// testGemv compares with the stated orders: inner products, or a chain down the rows.
func testGemv[T Float](t *testing.T) {
	defer setLevel(active)
	rapid.Check(t, func(t *rapid.T) {
		m, n := rapid.IntRange(0, 40).Draw(t, "m"), rapid.IntRange(0, 150).Draw(t, "n")
		lda := max(1, n+rapid.IntRange(0, 3).Draw(t, "ld"))
		alpha := rapid.SampledFrom([]T{1, -0.3}).Draw(t, "alpha")
		beta := rapid.SampledFrom([]T{0, 1, 0.7}).Draw(t, "beta")
		a, x, y := special[T](t, m*lda), special[T](t, max(m, n)), special[T](t, max(m, n))
		straight, trans, outer := append([]T(nil), y[:m]...), append([]T(nil), y[:n]...), append([]T(nil), a...)
		for i := range straight {
			s := dotGo(a[i*lda:i*lda+n], x[:n])
			if beta == 0 {
				straight[i] = alpha * s
			} else {
				straight[i] = fma(alpha, s, beta*straight[i])
			}
		}
		for j := range trans {
			s := trans[j]
			if beta != 1 {
				s *= beta
			}
			if beta == 0 {
				s = 0
			}
			for i := range m {
				s = fma(alpha*x[i], a[i*lda+j], s)
			}
			trans[j] = s
		}
		for i := range m {
			for j := range n {
				outer[i*lda+j] = fma(alpha*x[i], y[j], outer[i*lda+j])
			}
		}
		for _, l := range levels() {
			setLevel(l)
			got := append([]T(nil), y[:m]...)
			Gemv(false, m, n, alpha, a, lda, x[:n], beta, got)
			if err := diff(got, straight); err != nil {
				t.Errorf("%v Gemv: %v", l, err)
			}
			got = append([]T(nil), y[:n]...)
			Gemv(true, m, n, alpha, a, lda, x[:m], beta, got)
			if err := diff(got, trans); err != nil {
				t.Errorf("%v Gemv, transposed: %v", l, err)
			}
			got = append([]T(nil), a...)
			Ger(alpha, x[:m], y[:n], got, lda)
			if err := diff(got, outer); err != nil {
				t.Errorf("%v Ger: %v", l, err)
			}
		}
	})
}

func TestSyrk(t *testing.T) {
	t.Run("float32", testSyrk[float32])
	t.Run("float64", testSyrk[float64])
}

// testSyrk compares with Gemm, whose lower triangle Syrk must have, bit by bit, and mirrored.
func testSyrk[T Float](t *testing.T) {
	defer setLevel(active)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(120, 270)).Draw(t, "n")
		k := rapid.IntRange(0, 30).Draw(t, "k")
		trans := rapid.Bool().Draw(t, "trans")
		beta := rapid.SampledFrom([]T{0, 1, 0.7}).Draw(t, "beta")
		lda, ldc := k, n+rapid.IntRange(0, 2).Draw(t, "ld")
		if trans {
			lda = n
		}
		lda, ldc = max(1, lda), max(1, ldc)
		a, c := special[T](t, n*k), special[T](t, n*ldc)
		want := append([]T(nil), c...)
		Gemm(trans, !trans, n, n, k, 0.5, a, lda, a, lda, beta, want, ldc)
		for i := range n {
			for j := range i {
				want[j*ldc+i] = want[i*ldc+j]
			}
		}
		for _, l := range levels()[min(1, len(levels())-1):] {
			setLevel(l)
			got := append([]T(nil), c...)
			Syrk(trans, n, k, 0.5, a, lda, beta, got, ldc)
			if err := diff(got, want); err != nil {
				t.Errorf("%v: %v", l, err)
			}
		}
	})
}

func TestSoftmax(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "n")
		a := make([]float64, n)
		for i := range a {
			a[i] = rapid.Float64Range(-800, 800).Draw(t, "a")
		}
		p := make([]float64, n)
		m, s := SoftmaxRow(p, a)
		lse := LogSumExp(a)
		if math.Abs(m+math.Log(s)-lse) > 1e-12*(1+math.Abs(lse)) {
			t.Fatalf("max %v, sum %v, but log-sum-exp %v", m, s, lse)
		}
		total := 0.0
		for i, v := range p {
			if want := math.Exp(a[i] - lse); math.Abs(v-want) > 1e-11*want+1e-300 {
				t.Fatalf("element %d is %v, want %v", i, v, want)
			}
			total += v
		}
		if math.Abs(total-1) > 1e-13*float64(n) {
			t.Fatalf("probabilities add up to %v", total)
		}
	})
	inf := math.Inf(1)
	for _, c := range []struct {
		a    []float64
		want float64
	}{{nil, -inf}, {[]float64{-inf, -inf}, -inf}, {[]float64{1, inf}, inf}, {[]float64{-inf, 3}, 3}, {[]float64{1, math.NaN()}, math.NaN()}, {[]float64{inf, math.NaN()}, math.NaN()}} {
		if got := LogSumExp(c.a); !sameBits(got, c.want) {
			t.Errorf("LogSumExp(%v) = %v, want %v", c.a, got, c.want)
		}
	}
}

func TestLengths(t *testing.T) {
	a, b := make([]float32, 3), make([]float32, 4)
	for name, f := range map[string]func(){
		"Add": func() { Add(a, a, b) }, "Exp": func() { Exp(a, b) }, "Dot": func() { Dot(a, b) }, "Adam": func() { Adam(a, a, b, a, AdamCoef[float32]{}) },
		"AddRows": func() { AddRows(b, a) }, "SumRows": func() { SumRows(a, b) }, "BytesToFloat": func() { BytesToFloat(a, make([]byte, 4), 1, 0) },
		"Gemm": func() { Gemm(false, false, 2, 2, 2, 1, a, 2, b, 2, 0, b, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s accepts slices of the wrong length", name)
				}
			}()
			f()
		}()
	}
}

func TestChoose(t *testing.T) {
	best := supported()
	for name, want := range map[string]Level{"": best, "go": Go, "avx2": min(AVX2, best), "avx512": best, "other": best} {
		if got := choose(name); got != want {
			t.Errorf("DESCENT_SIMD=%q chooses %v, want %v", name, got, want)
		}
	}
	if Active() > best || Info() == "" {
		t.Errorf("active %v, best %v, info %q", Active(), best, Info())
	}
}

func TestGemmAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations differ under the race detector")
	}
	a, b, c := filled[float32](50*60), filled[float32](60*70), filled[float32](50*70)
	if n := testing.AllocsPerRun(100, func() { Gemm(false, true, 50, 70, 60, 1, a, 60, b, 60, 0, c, 70) }); n > 0 {
		t.Errorf("Gemm allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		Add(a, a, a)
		Exp(a, a)
		SoftmaxRow(a[:10], a[:10])
		Adam(a, a, a, a, AdamCoef[float32]{})
	}); n > 0 {
		t.Errorf("element-wise operations allocate %v times", n)
	}
}
