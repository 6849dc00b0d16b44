package tensor

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawCSR draws a sparse matrix and returns it with the same matrix stored densely.
func drawCSR(r *rapid.T) (*CSR[float64], Tensor[float64]) {
	rows, cols := rapid.IntRange(1, 6).Draw(r, "rows"), rapid.IntRange(1, 6).Draw(r, "cols")
	ptr, col, val := []int32{0}, []int32(nil), []float64(nil)
	dense := New[float64](rows, cols)
	for i := range rows {
		for _, j := range rapid.SliceOfN(rapid.Int32Range(0, int32(cols-1)), 0, 5).Draw(r, "columns") {
			v := float64(len(val)%7) - 2.5
			col, val = append(col, j), append(val, v)
			dense.Set(dense.At(i, int(j))+v, i, int(j))
		}
		ptr = append(ptr, int32(len(col)))
	}
	m, err := NewCSR(rows, cols, ptr, col, val)
	if err != nil {
		r.Fatal(err)
	}
	return m, dense
}

func TestSparseMatMulIsDense(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m, dense := drawCSR(r)
		rows, cols := m.Dims()
		n := rapid.IntRange(1, 4).Draw(r, "n")
		ws := space(1)
		x, y := drawTensor(r, ShapeOf(cols, n)), drawTensor(r, ShapeOf(rows, n))
		got, want := New[float64](rows, n), New[float64](rows, n)
		SparseMatMul(ws, got, m, x)
		MatMul(ws, want, dense, x, false, false)
		closeTo(r, "product", got.data, want.data, 1e-13)
		got, want = New[float64](cols, n), New[float64](cols, n)
		SparseMatMul(ws, got, m.T(), y)
		MatMul(ws, want, dense, y, true, false)
		closeTo(r, "transposed product", got.data, want.data, 1e-13)
		if m.T().T() != m || m.Len() != m.T().Len() {
			r.Fatal("transpose of transpose")
		}
		for i := range rows {
			c, v := m.Row(i)
			if len(c) != len(v) {
				r.Fatal("row")
			}
		}
	})
}

func TestSparseInParallel(t *testing.T) {
	const n = 2000
	ptr, col, val := []int32{0}, []int32(nil), []float64(nil)
	for i := range n {
		for k := range i % 9 {
			col, val = append(col, int32((i*31+k*k*17)%n)), append(val, float64(k)+0.1)
		}
		ptr = append(ptr, int32(len(col)))
	}
	m, err := NewCSR(n, n, ptr, col, val)
	if err != nil {
		t.Fatal(err)
	}
	x := New[float64](n, 16)
	Normal(KeyOf(1), x.data, 0, 1)
	for _, m := range []*CSR[float64]{m, m.T()} {
		want := New[float64](n, 16)
		SparseMatMul(space(1), want, m, x)
		for _, workers := range []int{2, 3, 5} {
			got := New[float64](n, 16)
			SparseMatMul(space(workers), got, m, x)
			if !slices.Equal(got.data, want.data) {
				t.Errorf("%d workers give other bits", workers)
			}
		}
	}
}

func TestNewCSRErrors(t *testing.T) {
	for name, c := range map[string]struct {
		rows, cols int
		ptr, col   []int32
		val        []float64
	}{
		"too few pointers": {2, 2, []int32{0, 1}, []int32{0}, []float64{1}},
		"first pointer":    {1, 2, []int32{1, 1}, []int32{0}, []float64{1}},
		"last pointer":     {1, 2, []int32{0, 2}, []int32{0}, []float64{1}},
		"values":           {1, 2, []int32{0, 1}, []int32{0}, nil},
		"falling pointers": {2, 2, []int32{0, 2, 1}, []int32{0}, []float64{1}},
		"column":           {1, 2, []int32{0, 1}, []int32{2}, []float64{1}},
		"negative column":  {1, 2, []int32{0, 1}, []int32{-1}, []float64{1}},
		"negative rows":    {-1, 2, nil, nil, nil},
	} {
		if _, err := NewCSR(c.rows, c.cols, c.ptr, c.col, c.val); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Σ_e (X_eᵀ DY_e)² against its definition.
func TestSquaredOuterSum(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		examples, per := rapid.IntRange(1, 5).Draw(r, "examples"), rapid.IntRange(1, 4).Draw(r, "rows of one")
		in, out := rapid.IntRange(1, 6).Draw(r, "in"), rapid.IntRange(1, 6).Draw(r, "out")
		x, dy := drawTensor(r, ShapeOf(examples*per, in)), drawTensor(r, ShapeOf(examples*per, out))
		want, wantBias := make([]float64, in*out), make([]float64, out)
		for e := range examples {
			for j := range out {
				b := 0.0
				for k := range per {
					b += dy.At(e*per+k, j)
				}
				wantBias[j] += b * b
				for i := range in {
					g := 0.0
					for k := range per {
						g += x.At(e*per+k, i) * dy.At(e*per+k, j)
					}
					want[i*out+j] += g * g
				}
			}
		}
		ws := space(1)
		got, gotBias := New[float64](in, out), New[float64](out)
		Fill(got, math.NaN())
		SquaredOuterSum(ws, got, x, dy, per)
		SquaredRowSum(ws, gotBias, dy, per)
		closeTo(r, "weight", got.data, want, 1e-12)
		closeTo(r, "bias", gotBias.data, wantBias, 1e-12)
	})
}

func TestBatchMatMul(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b, m, k, n := rapid.IntRange(1, 4).Draw(r, "batch"), rapid.IntRange(1, 5).Draw(r, "m"), rapid.IntRange(0, 5).Draw(r, "k"), rapid.IntRange(1, 5).Draw(r, "n")
		ta, tb := rapid.Bool().Draw(r, "ta"), rapid.Bool().Draw(r, "tb")
		as, bs := ShapeOf(b, m, k), ShapeOf(b, k, n)
		if ta {
			as = ShapeOf(b, k, m)
		}
		if tb {
			bs = ShapeOf(b, n, k)
		}
		x, y := drawTensor(r, as), drawTensor(r, bs)
		got := New[float64](b, m, n)
		Fill(got, math.NaN())
		BatchMatMul(space(2), got, x, y, ta, tb)
		for i := range b {
			for p := range m {
				for q := range n {
					want := 0.0
					for l := range k {
						u, v := 0.0, 0.0
						if ta {
							u = x.At(i, l, p)
						} else {
							u = x.At(i, p, l)
						}
						if tb {
							v = y.At(i, q, l)
						} else {
							v = y.At(i, l, q)
						}
						want += u * v
					}
					closeTo(r, "element", []float64{got.At(i, p, q)}, []float64{want}, 1e-13)
				}
			}
		}
	})
}
