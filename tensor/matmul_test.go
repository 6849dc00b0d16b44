package tensor

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestMatMul compares products with sums in float64, and the bits of one worker with those of others.
func TestMatMul(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testMatMul[float32](t, 0x1p-23) })
	t.Run("float64", func(t *testing.T) { testMatMul[float64](t, 0x1p-52) })
}

func testMatMul[T Float](t *testing.T, eps float64) {
	pools := []*Pool{NewPool(1), NewPool(2), NewPool(3)}
	defer func() {
		for _, p := range pools {
			p.Close()
		}
	}()
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(0, 150), rapid.SampledFrom([]int{1, 10, 64, 256}))
		m, n, k := dim.Draw(t, "m"), dim.Draw(t, "n"), dim.Draw(t, "k")
		ta, tb := rapid.Bool().Draw(t, "transA"), rapid.Bool().Draw(t, "transB")
		form := rapid.SampledFrom([]string{"MatMul", "MatMulAcc", "Affine", "AffineReLU", "no bias"}).Draw(t, "form")
		if form[0] != 'M' {
			ta, tb = false, false
		}
		a, b := New[T](m, k), New[T](k, n)
		if ta {
			a = New[T](k, m)
		}
		if tb {
			b = New[T](n, k)
		}
		key := KeyOf(rapid.Uint64().Draw(t, "seed"))
		bias, start := New[T](n), New[T](m, n)
		for i, x := range []Tensor[T]{a, b, bias, start} {
			Normal(key.Fold(uint64(i)), x.Data(), 0, 1)
		}
		var first []T
		for _, p := range pools {
			ws := NewWorkspace[T](p)
			c := start.Clone()
			switch form {
			case "MatMul":
				MatMul(ws, c, a, b, ta, tb)
			case "MatMulAcc":
				MatMulAcc(ws, c, a, b, ta, tb)
			case "no bias":
				Affine(ws, c, a, b, Tensor[T]{}, false)
			default:
				Affine(ws, c, a, b, bias, form == "AffineReLU")
			}
			if first == nil {
				first = c.Data()
				continue
			}
			for i, v := range c.Data() {
				if v != first[i] {
					t.Fatalf("%d workers: element %d is %v, with one worker %v", p.Workers(), i, v, first[i])
				}
			}
		}
		for i := range m {
			for j := range n {
				var s, size float64
				for p := range k {
					x, y := at(a, i, p, ta), at(b, p, j, tb)
					s += x * y
					size += math.Abs(x * y)
				}
				switch form {
				case "MatMulAcc":
					s += float64(start.At(i, j))
				case "Affine", "AffineReLU":
					s += float64(bias.At(j))
				}
				if form == "AffineReLU" {
					s = max(0, s)
				}
				if got := float64(first[i*n+j]); !(math.Abs(got-s) <= float64(k+2)*eps*(size+math.Abs(s)+4)) {
					t.Fatalf("%s: element %d,%d is %v, want %v", form, i, j, got, s)
				}
			}
		}
	})
}

func at[T Float](a Tensor[T], i, j int, trans bool) float64 {
	if trans {
		i, j = j, i
	}
	return float64(a.At(i, j))
}

func TestMatMulShapes(t *testing.T) {
	defer func() {
		e, ok := recover().(ShapeError)
		if !ok || e.A != ShapeOf(2, 3) || e.B != ShapeOf(4, 5) {
			t.Errorf("recovered %v", e)
		}
	}()
	MatMul(NewWorkspace[float32](nil), New[float32](2, 5), New[float32](2, 3), New[float32](4, 5), false, false)
}

func TestMatMulAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations differ under the race detector")
	}
	ws := NewWorkspace[float32](nil)
	a, b, c := New[float32](40, 50), New[float32](50, 60), New[float32](40, 60)
	if n := testing.AllocsPerRun(100, func() { MatMul(ws, c, a, b, false, false) }); n > 0 {
		t.Errorf("MatMul allocates %v times", n)
	}
}

// BenchmarkMatMul measures the products of training steps and squares, on one and two workers.
func BenchmarkMatMul(b *testing.B) {
	for _, s := range []struct {
		m, n, k int
		ta, tb  bool
	}{
		{512, 512, 512, false, false}, {1024, 1024, 1024, false, false}, {2048, 2048, 2048, false, false},
		{256, 512, 784, false, false}, {256, 512, 512, false, true}, {784, 512, 256, true, false}, {32, 512, 784, false, false}, {256, 10, 512, false, false},
	} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%dx%dx%d/%d", s.m, s.n, s.k, workers), func(b *testing.B) {
				p := NewPool(workers)
				defer p.Close()
				ws := NewWorkspace[float32](p)
				x, y, z := New[float32](s.m, s.k), New[float32](s.k, s.n), New[float32](s.m, s.n)
				if s.ta {
					x = New[float32](s.k, s.m)
				}
				if s.tb {
					y = New[float32](s.n, s.k)
				}
				for b.Loop() {
					MatMul(ws, z, x, y, s.ta, s.tb)
				}
				b.ReportMetric(2*float64(s.m*s.n)*float64(s.k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
