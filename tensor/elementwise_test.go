package tensor

import (
	"math"
	"math/big"
	"slices"
	"testing"
)

func ramp[T Float](n int, lo, hi float64) Tensor[T] {
	x := New[T](n)
	for i := range x.data {
		x.data[i] = T(lo + (hi-lo)*float64(i)/float64(max(1, n-1)))
	}
	return x
}

// oracle is the definition of f in double precision, by the standard library.
func oracle(f Func, x, p float64) float64 {
	switch f {
	case Reciprocal:
		return 1 / x
	case Square:
		return x * x
	case Abs:
		return math.Abs(x)
	case Sqrt:
		return math.Sqrt(x)
	case Exp:
		return math.Exp(x)
	case Log:
		return math.Log(x)
	case Pow:
		return math.Pow(x, p)
	case Sin:
		return math.Sin(x)
	case Cos:
		return math.Cos(x)
	case Erf:
		return math.Erf(x)
	case Tanh:
		return math.Tanh(x)
	case Sigmoid:
		return 1 / (1 + math.Exp(-x))
	case Softplus:
		return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
	case ReLU:
		return max(x, 0)
	case LeakyReLU:
		if x > 0 {
			return x
		}
		return p * x
	case ELU:
		if x > 0 {
			return x
		}
		return math.Expm1(x)
	case GELU:
		return x * 0.5 * math.Erfc(-x/math.Sqrt2)
	case SiLU:
		return x / (1 + math.Exp(-x))
	case HardTanh:
		return max(-1, min(1, x))
	}
	panic("no oracle")
}

// domain returns where f is tested.
func (f Func) domain() (lo, hi float64) {
	switch f {
	case Sqrt, Log, Pow, Reciprocal:
		return 0.01, 50
	case Exp:
		return -20, 20
	}
	return -9.7, 9.3
}

func TestApply(t *testing.T) {
	for f := range numFuncs {
		lo, hi := f.domain()
		t.Run(f.String(), func(t *testing.T) {
			x := ramp[float64](40_001, lo, hi)
			ws := space(1)
			y := New[float64](x.Size())
			Apply(ws, y, f, x, 0.3)
			x32 := New[float32](x.Size())
			y32 := New[float32](x.Size())
			for i, v := range x.data {
				x32.data[i] = float32(v)
			}
			Apply(NewWorkspace[float32](NewPool(2)), y32, f, x32, 0.3)
			for i, v := range x.data {
				// The kernels promise a few units in the last place of the value; of its tail,
				// where GELU is a difference, of x.
				want := oracle(f, v, 0.3)
				if e := math.Abs(y.data[i] - want); e > 8e-16*math.Max(math.Abs(want), tail(f, v)) {
					t.Fatalf("float64 %s(%v) = %.17g, want %.17g", f, v, y.data[i], want)
				}
				v32 := float64(x32.data[i])
				want = oracle(f, v32, 0.3)
				if e := math.Abs(float64(y32.data[i]) - want); e > 5e-7*math.Max(math.Abs(want), tail(f, v32)) {
					t.Fatalf("float32 %s(%v) = %.9g, want %.9g", f, v32, y32.data[i], want)
				}
			}
			for _, workers := range []int{2, 3, 5} {
				got := New[float64](x.Size())
				Apply(space(workers), got, f, x, 0.3)
				if !slices.Equal(got.data, y.data) {
					t.Errorf("%d workers give other bits", workers)
				}
			}
			Apply(space(2), x, f, x, 0.3) // in place
			if !slices.Equal(x.data, y.data) {
				t.Error("in place gives other bits")
			}
		})
	}
}

// tail is the size of the terms that cancel in f at x.
func tail(f Func, x float64) float64 {
	switch f {
	case GELU:
		return math.Abs(x)
	case Sin, Cos:
		return 1
	}
	return 0
}

// The one-pass derivative is the derivative of the definition, by central differences of sixth order.
func TestApplyGrad(t *testing.T) {
	for f := range numFuncs {
		lo, hi := f.domain()
		t.Run(f.String(), func(t *testing.T) {
			n := 40_003
			x := ramp[float64](n, lo+0.1, hi/2)
			y, g, d := New[float64](n), New[float64](n), New[float64](n)
			Normal(KeyOf(1), g.data, 0, 1)
			ws := space(2)
			Apply(ws, y, f, x, 0.3)
			ApplyGrad(ws, d, f, x, y, g, 0.3)
			for i, v := range x.data {
				if f.PiecewiseLinear() && (math.Abs(v) < 0.01 || math.Abs(math.Abs(v)-1) < 0.01) || f == ELU && math.Abs(v) < 0.01 {
					continue
				}
				h := math.Min(0.01, v/60)
				if lo < 0 {
					h = 0.01
				}
				if f.PiecewiseLinear() || f == ELU {
					h = 0.003
				}
				c := func(k float64) float64 { return oracle(f, v+k*h, 0.3) - oracle(f, v-k*h, 0.3) }
				want := g.data[i] * (45*c(1) - 9*c(2) + c(3)) / (60 * h)
				if e := math.Abs(d.data[i] - want); e > 1e-7*(math.Abs(want)+math.Abs(g.data[i]*1e-3)) {
					t.Fatalf("%s′(%v)·%v = %.12g, want %.12g", f, v, g.data[i], d.data[i], want)
				}
			}
			want := slices.Clone(d.data)
			ApplyGrad(ws, g, f, x, y, g, 0.3) // in place of g
			if !slices.Equal(g.data, want) {
				t.Error("in place gives other bits")
			}
		})
	}
}

func TestArithmetic(t *testing.T) {
	for _, n := range []int{0, 1, 7, 16, 33, 50_001} {
		a, b := New[float64](n), New[float64](n)
		Normal(KeyOf(1), a.data, 0, 1)
		Normal(KeyOf(2), b.data, 0, 1)
		for _, workers := range []int{1, 2, 3} {
			ws := space(workers)
			check := func(what string, f func(dst Tensor[float64]), want func(a, b, d float64) float64) {
				t.Helper()
				dst := ramp[float64](n, -1, 1)
				before := dst.Clone()
				f(dst)
				for i := range dst.data {
					if w := want(a.data[i], b.data[i], before.data[i]); dst.data[i] != w {
						t.Fatalf("%s, n = %d: element %d is %v, want %v", what, n, i, dst.data[i], w)
					}
				}
			}
			check("Add", func(d Tensor[float64]) { Add(ws, d, a, b) }, func(a, b, _ float64) float64 { return a + b })
			check("Sub", func(d Tensor[float64]) { Sub(ws, d, a, b) }, func(a, b, _ float64) float64 { return a - b })
			check("Mul", func(d Tensor[float64]) { Mul(ws, d, a, b) }, func(a, b, _ float64) float64 { return a * b })
			check("Div", func(d Tensor[float64]) { Div(ws, d, a, b) }, func(a, b, _ float64) float64 { return a / b })
			check("Maximum", func(d Tensor[float64]) { Maximum(ws, d, a, b) }, func(a, b, _ float64) float64 { return max(a, b) })
			check("Minimum", func(d Tensor[float64]) { Minimum(ws, d, a, b) }, func(a, b, _ float64) float64 { return min(a, b) })
			check("MulAdd", func(d Tensor[float64]) { MulAdd(ws, d, a, b) }, func(a, b, d float64) float64 { return math.FMA(a, b, d) })
			check("Scale", func(d Tensor[float64]) { Scale(ws, d, a, 3) }, func(a, _, _ float64) float64 { return a * 3 })
			check("AddScalar", func(d Tensor[float64]) { AddScalar(ws, d, a, 3) }, func(a, _, _ float64) float64 { return a + 3 })
			check("Axpy", func(d Tensor[float64]) { Axpy(ws, d, 3, a) }, func(a, _, d float64) float64 { return math.FMA(3, a, d) })
			check("Copy", func(d Tensor[float64]) { Copy(ws, d, a) }, func(a, _, _ float64) float64 { return a })
			check("Fill", func(d Tensor[float64]) { Fill(d, 2) }, func(_, _, _ float64) float64 { return 2 })
		}
	}
}

func TestSelect(t *testing.T) {
	nan := math.NaN()
	dst := New[float64](4)
	Select(dst, FromSlice([]float64{1, 0, -2, 0}, 4), FromSlice([]float64{1, nan, 3, nan}, 4), FromSlice([]float64{nan, 2, nan, 4}, 4))
	if !slices.Equal(dst.data, []float64{1, 2, 3, 4}) {
		t.Errorf("Select = %v", dst.data)
	}
}

// exactSum is the sum of a (of a∘b if b is not nil), rounded once.
func exactSum(a, b []float64) float64 {
	s := new(big.Float).SetPrec(500)
	for i := range a {
		p := new(big.Float).SetPrec(500).SetFloat64(a[i])
		if b != nil {
			p.Mul(p, new(big.Float).SetFloat64(b[i]))
		}
		s.Add(s, p)
	}
	r, _ := s.Float64()
	return r
}

func TestSums(t *testing.T) {
	for _, n := range []int{0, 1, 5, sumBlock, sumBlock + 1, 100_003} {
		a, b := New[float64](n), New[float64](n)
		Normal(KeyOf(1), a.data, 0, 1)
		Normal(KeyOf(2), b.data, 0, 1)
		ws := space(1)
		s, d := Sum(ws, a), Dot(ws, a, b)
		bound := 1e-13 * math.Sqrt(float64(n)+1)
		if want := exactSum(a.data, nil); math.Abs(s-want) > bound {
			t.Errorf("n = %d: sum %.17g, want %.17g", n, s, want)
		}
		if want := exactSum(a.data, b.data); math.Abs(d-want) > bound {
			t.Errorf("n = %d: inner product %.17g, want %.17g", n, d, want)
		}
		if want := math.Sqrt(exactSum(a.data, a.data)); math.Abs(Norm(ws, a)-want) > bound {
			t.Errorf("n = %d: norm %.17g, want %.17g", n, Norm(ws, a), want)
		}
		for _, workers := range []int{2, 3, 5} {
			w := space(workers)
			if s2, d2 := Sum(w, a), Dot(w, a, b); s2 != s || d2 != d {
				t.Errorf("n = %d: %d workers give other bits", n, workers)
			}
		}
	}
}

func TestAllFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, at := range []int{0, 5, 100} {
			x := New[float64](101)
			if !AllFinite(x) {
				t.Fatal("zeros are finite")
			}
			x.data[at] = bad
			if AllFinite(x) {
				t.Errorf("%v at %d not found", bad, at)
			}
		}
	}
}
