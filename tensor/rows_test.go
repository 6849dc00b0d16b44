package tensor

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func closeTo(r interface{ Fatalf(string, ...any) }, what string, got, want []float64, tol float64) {
	if len(got) != len(want) {
		r.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tol*(1+math.Abs(want[i]))) {
			r.Fatalf("%s: element %d is %.17g, want %.17g", what, i, got[i], want[i])
		}
	}
}

// The operations along an axis against their definitions, element by element.
func TestAxisOperations(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ax := Axis{rapid.IntRange(1, 4).Draw(r, "outer"), rapid.IntRange(1, 40).Draw(r, "n"), rapid.IntRange(1, 4).Draw(r, "inner")}
		ws := space(rapid.IntRange(1, 3).Draw(r, "workers"))
		full, part := ShapeOf(ax.Outer, ax.N, ax.Inner), ShapeOf(ax.Outer, ax.Inner)
		x, y, v := drawTensor(r, full), drawTensor(r, full), drawTensor(r, part)
		sum, dot := New[float64](part.Dims()...), New[float64](part.Dims()...)
		spread, add, sub, mul := x.Clone(), x.Clone(), x.Clone(), x.Clone()
		for o := range ax.Outer {
			for n := range ax.N {
				for i := range ax.Inner {
					a, w := x.At(o, n, i), v.At(o, i)
					sum.Set(sum.At(o, i)+a, o, i)
					dot.Set(dot.At(o, i)+a*y.At(o, n, i), o, i)
					spread.Set(w, o, n, i)
					add.Set(a+w, o, n, i)
					sub.Set(a-w, o, n, i)
					mul.Set(a*w, o, n, i)
				}
			}
		}
		got, small := New[float64](full.Dims()...), New[float64](part.Dims()...)
		SumAxis(ws, small, x, ax)
		closeTo(r, "SumAxis", small.data, sum.data, 1e-13)
		DotAxis(ws, small, x, y, ax)
		closeTo(r, "DotAxis", small.data, dot.data, 1e-13)
		SpreadAxis(ws, got, v, ax)
		closeTo(r, "SpreadAxis", got.data, spread.data, 0)
		AddAxis(ws, got, x, v, ax)
		closeTo(r, "AddAxis", got.data, add.data, 0)
		SubAxis(ws, got, x, v, ax)
		closeTo(r, "SubAxis", got.data, sub.data, 0)
		MulAxis(ws, got, x, v, ax)
		closeTo(r, "MulAxis", got.data, mul.data, 0)
		a, b := drawTensor(r, part), drawTensor(r, part)
		for o := range ax.Outer {
			for n := range ax.N {
				for i := range ax.Inner {
					mul.Set(math.FMA(y.At(o, n, i), b.At(o, i), x.At(o, n, i)*a.At(o, i))+v.At(o, i), o, n, i)
				}
			}
		}
		CombineAxis(ws, got, x, a, y, b, v, ax)
		closeTo(r, "CombineAxis", got.data, mul.data, 0)
	})
}

// Large ones are shared out among workers: the same bits.
func TestAxisOperationsInParallel(t *testing.T) {
	for _, ax := range []Axis{{1, 100_000, 1}, {1, 999, 100}, {999, 100, 1}, {30, 40, 50}} {
		x, v := New[float64](ax.Outer, ax.N, ax.Inner), New[float64](ax.Outer, ax.Inner)
		Normal(KeyOf(1), x.data, 0, 1)
		Normal(KeyOf(2), v.data, 0, 1)
		run := func(workers int) []float64 {
			ws := space(workers)
			s, d, m := v.Clone(), v.Clone(), x.Clone()
			SumAxis(ws, s, x, ax)
			DotAxis(ws, d, x, x, ax)
			MulAxis(ws, m, x, v, ax)
			AddAxis(ws, m, m, v, ax)
			return slices.Concat(s.data, d.data, m.data)
		}
		want := run(1)
		for _, workers := range []int{2, 3, 5} {
			if !slices.Equal(run(workers), want) {
				t.Errorf("%+v: %d workers give other bits", ax, workers)
			}
		}
	}
}

func TestSoftmaxRows(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := ShapeOf(rapid.IntRange(1, 5).Draw(r, "rows"), rapid.IntRange(1, 20).Draw(r, "cols"))
		ws := space(1)
		x := drawTensor(r, s)
		Scale(ws, x, x, rapid.SampledFrom([]float64{1e-3, 1, 30}).Draw(r, "scale"))
		p, l, lse := x.Clone(), x.Clone(), New[float64](s.Rows())
		Softmax(ws, p, x, 0)
		LogSoftmax(ws, l, x)
		LogSumExp(ws, lse, x)
		shifted := x.Clone()
		AddScalar(ws, shifted, shifted, 700) // would overflow if not shifted back
		q := x.Clone()
		Softmax(ws, q, shifted, 0)
		for i := range s.Rows() {
			total, m := 0.0, slices.Max(x.data[i*s.Cols():(i+1)*s.Cols()])
			for j := range s.Cols() {
				total += math.Exp(x.At(i, j) - m)
			}
			closeTo(r, "LogSumExp", lse.data[i:i+1], []float64{m + math.Log(total)}, 1e-14)
			for j := range s.Cols() {
				want := math.Exp(x.At(i, j)-m) / total
				closeTo(r, "Softmax", []float64{p.At(i, j), q.At(i, j)}, []float64{want, want}, 1e-12)
				closeTo(r, "LogSoftmax", []float64{l.At(i, j)}, []float64{x.At(i, j) - m - math.Log(total)}, 1e-13)
			}
		}
	})
}

func TestCausalSoftmax(t *testing.T) {
	// Two groups of 2 queries over 4 keys: query i of a group sees 3 + i keys.
	x := New[float64](2, 2, 4)
	Normal(KeyOf(1), x.data, 0, 1)
	y := x.Clone()
	ws := space(1)
	Softmax(ws, y, x, 2)
	for g := range 2 {
		for i := range 2 {
			n := 3 + i
			want := New[float64](n)
			Softmax(ws, want, FromSlice(x.data[(2*g+i)*4:(2*g+i)*4+n], n), 0)
			closeTo(t, "seen", y.data[(2*g+i)*4:(2*g+i)*4+n], want.data, 0)
			closeTo(t, "hidden", y.data[(2*g+i)*4+n:(2*g+i)*4+4], make([]float64, 4-n), 0)
		}
	}
}

func TestArgMax(t *testing.T) {
	x := FromSlice([]float64{1, 3, 3, -1, -2, -1, 0, math.NaN(), 5}, 3, 3)
	got := make([]int32, 3)
	ArgMax(got, x)
	if !slices.Equal(got, []int32{1, 0, 1}) {
		t.Errorf("ArgMax = %v, want [1 0 1]: the first largest, NaN above all", got)
	}
}

// ⟨Gather(x), g⟩ = ⟨x, ScatterAdd(g)⟩ and the same for Pick and Place: transposes of each other.
func TestTransposes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rows, cols := rapid.IntRange(1, 6).Draw(r, "rows"), rapid.IntRange(1, 6).Draw(r, "cols")
		idx := rapid.SliceOfN(rapid.Int32Range(0, int32(rows-1)), 1, 10).Draw(r, "idx")
		col := rapid.SliceOfN(rapid.Int32Range(0, int32(cols-1)), rows, rows).Draw(r, "col")
		ws := space(1)
		x, g := drawTensor(r, ShapeOf(rows, cols)), drawTensor(r, ShapeOf(len(idx), cols))
		gx, sg := g.Clone(), x.Clone()
		Gather(ws, gx, x, idx)
		ScatterAdd(ws, sg, g, idx)
		for i, k := range idx {
			closeTo(r, "Gather", gx.data[i*cols:(i+1)*cols], x.data[int(k)*cols:(int(k)+1)*cols], 0)
		}
		closeTo(r, "scatter is gather transposed", []float64{Dot(ws, gx, g)}, []float64{Dot(ws, x, sg)}, 1e-13)
		v := drawTensor(r, ShapeOf(rows))
		px, pv := v.Clone(), x.Clone()
		Pick(px, x, col)
		Place(pv, v, col)
		closeTo(r, "place is pick transposed", []float64{Dot(ws, px, v)}, []float64{Dot(ws, x, pv)}, 1e-13)
	})
}

func TestScatterAddInParallel(t *testing.T) {
	idx := make([]int32, 1000)
	for i := range idx {
		idx[i] = int32(i * i % 37)
	}
	g := New[float64](1000, 100)
	Normal(KeyOf(1), g.data, 0, 1)
	want := New[float64](37, 100)
	ScatterAdd(space(1), want, g, idx)
	for _, workers := range []int{2, 3, 5} {
		got := New[float64](37, 100)
		ScatterAdd(space(workers), got, g, idx)
		if !slices.Equal(got.data, want.data) {
			t.Errorf("%d workers give other bits", workers)
		}
	}
}

func TestStandardize(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ax := Axis{rapid.IntRange(1, 4).Draw(r, "outer"), rapid.IntRange(2, 30).Draw(r, "n"), rapid.IntRange(1, 4).Draw(r, "inner")}
		ws := space(1)
		x := drawTensor(r, ShapeOf(ax.Outer, ax.N, ax.Inner))
		AddScalar(ws, x, x, 1e4) // the one-pass formula would lose 8 digits
		y := x.Clone()
		mean, variance, inv := New[float64](ax.Outer, ax.Inner), New[float64](ax.Outer, ax.Inner), New[float64](ax.Outer, ax.Inner)
		const eps = 1e-3
		Standardize(ws, y, mean, variance, inv, x, ax, eps, true)
		for o := range ax.Outer {
			for i := range ax.Inner {
				m, v := 0.0, 0.0
				for n := range ax.N {
					m += x.At(o, n, i) / float64(ax.N)
				}
				for n := range ax.N {
					v += (x.At(o, n, i) - m) * (x.At(o, n, i) - m) / float64(ax.N)
				}
				closeTo(r, "statistics", []float64{mean.At(o, i), variance.At(o, i), inv.At(o, i)}, []float64{m, v, 1 / math.Sqrt(v+eps)}, 1e-10)
				for n := range ax.N {
					closeTo(r, "value", []float64{y.At(o, n, i)}, []float64{(x.At(o, n, i) - m) / math.Sqrt(v+eps)}, 1e-9)
				}
			}
		}
	})
}

func TestPermute(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := drawShape(r, 4)
		axes := make([]int, s.Rank())
		for i := range axes {
			axes[i] = i
		}
		perm := rapid.Permutation(axes).Draw(r, "perm")
		x := drawTensor(r, s)
		y := New[float64](PermuteShape(s, perm).Dims()...)
		ws := space(1)
		Permute(ws, y, x, perm)
		for range 5 {
			at, to := make([]int, s.Rank()), make([]int, s.Rank())
			for i := range at {
				at[i] = rapid.IntRange(0, s.Dim(i)-1).Draw(r, "index")
			}
			for i, p := range perm {
				to[i] = at[p]
			}
			if x.At(at...) != y.At(to...) {
				r.Fatalf("x%v is not y%v", at, to)
			}
		}
		inv := make([]int, len(perm))
		for i, p := range perm {
			inv[p] = i
		}
		back := x.Clone()
		Fill(back, 0)
		Permute(ws, back, y, inv)
		closeTo(r, "the inverse", back.data, x.data, 0)
	})
}

func TestPermuteInParallel(t *testing.T) {
	x := New[float64](7, 50, 11, 13)
	Normal(KeyOf(1), x.data, 0, 1)
	for _, perm := range [][]int{{0, 2, 1, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}} {
		s := PermuteShape(x.shape, perm)
		want, got := New[float64](s.Dims()...), New[float64](s.Dims()...)
		Permute(space(1), want, x, perm)
		Permute(space(3), got, x, perm)
		if !slices.Equal(got.data, want.data) {
			t.Errorf("%v: 3 workers give another result", perm)
		}
	}
}

func TestCopySlice(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ax := Axis{rapid.IntRange(1, 4).Draw(r, "outer"), rapid.IntRange(1, 6).Draw(r, "n"), rapid.IntRange(1, 4).Draw(r, "inner")}
		lo := rapid.IntRange(0, ax.N-1).Draw(r, "lo")
		n := rapid.IntRange(1, ax.N-lo).Draw(r, "length")
		full := drawTensor(r, ShapeOf(ax.Outer, ax.N, ax.Inner))
		part := New[float64](ax.Outer, n, ax.Inner)
		ws := space(1)
		CopySlice(ws, full, part, ax, lo, false)
		back := full.Clone()
		Fill(back, -1)
		CopySlice(ws, back, part, ax, lo, true)
		for o := range ax.Outer {
			for k := range ax.N {
				for i := range ax.Inner {
					want := -1.0
					if lo <= k && k < lo+n {
						want = full.At(o, k, i)
						if part.At(o, k-lo, i) != want {
							r.Fatalf("part[%d %d %d]", o, k-lo, i)
						}
					}
					if back.At(o, k, i) != want {
						r.Fatalf("back[%d %d %d]", o, k, i)
					}
				}
			}
		}
	})
}

// Empty tensors go through every operation.
func TestEmpty(t *testing.T) {
	ws := space(2)
	for _, s := range []Shape{ShapeOf(0, 3), ShapeOf(3, 0), ShapeOf(0, 0), ShapeOf(2, 0, 4)} {
		x, row, col := New[float64](s.Dims()...), New[float64](s.Cols()), New[float64](s.Rows())
		y := x.Clone()
		rows, cols := Axis{1, s.Rows(), s.Cols()}, Axis{s.Rows(), s.Cols(), 1}
		Add(ws, y, x, x)
		Apply(ws, y, GELU, x, 0)
		ApplyGrad(ws, y, GELU, x, x, x, 0)
		AddAxis(ws, y, x, row, rows)
		MulAxis(ws, y, x, col, cols)
		CombineAxis(ws, y, x, row, x, row, row, rows)
		Softmax(ws, y, x, 0)
		SoftmaxGrad(ws, y, x, x)
		LogSoftmax(ws, y, x)
		Standardize(ws, y, Tensor[float64]{}, Tensor[float64]{}, row, x, rows, 1e-5, true)
		StandardizeGrad(ws, y, x, row, x, rows, true)
		Fill(row, 1)
		Fill(col, 1)
		SumAxis(ws, row, x, rows)
		DotAxis(ws, col, x, x, cols)
		for _, v := range append(row.data, col.data...) {
			if v != 0 {
				t.Errorf("%v: a sum of nothing is %v", s, v)
			}
		}
		if Sum(ws, x) != 0 || Dot(ws, x, x) != 0 || !AllFinite(x) {
			t.Errorf("%v: sum, product", s)
		}
	}
	if l := CrossEntropy(ws, New[float64](0, 3), nil, 0.1); !math.IsNaN(l) {
		t.Errorf("the mean loss of no rows is %v, want NaN", l)
	}
	CrossEntropyGrad(ws, New[float64](0, 3), New[float64](0, 3), nil, 0.1, 1)
}
