package tensor

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawShape draws a shape of rank 1 to maxRank with short axes.
func drawShape(r *rapid.T, maxRank int) Shape {
	return ShapeOf(rapid.SliceOfN(rapid.IntRange(1, 5), 1, maxRank).Draw(r, "shape")...)
}

// drawTensor draws a tensor of shape s with small elements.
func drawTensor(r *rapid.T, s Shape) Tensor[float64] {
	x := New[float64](s.Dims()...)
	Normal(KeyOf(rapid.Uint64().Draw(r, "seed")), x.data, 0, 1)
	return x
}

func space(workers int) *Workspace[float64] { return NewWorkspace[float64](NewPool(workers)) }

func TestShapeProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dims := rapid.SliceOfN(rapid.IntRange(0, 7), 0, MaxRank).Draw(r, "dims")
		s := ShapeOf(dims...)
		if s.Rank() != len(dims) || !slices.Equal(s.Dims(), dims) || s != ShapeOf(s.Dims()...) {
			r.Fatalf("%v became %v", dims, s)
		}
		if s.Rows()*s.Cols() != s.Size() {
			r.Fatalf("%v: %d rows of %d, %d elements", s, s.Rows(), s.Cols(), s.Size())
		}
		for i, d := range dims {
			if s.Dim(i) != d || s.Dim(i-len(dims)) != d || s.With(i, 9).Dim(i) != 9 || s.With(i, 9).With(i, d) != s {
				r.Fatalf("axis %d of %v", i, s)
			}
		}
		if len(dims) < MaxRank {
			if a := s.Append(3); a.Rank() != len(dims)+1 || a.Cols() != 3 || a.Rows() != s.Size() {
				r.Fatalf("%v.Append(3) = %v", s, a)
			}
		}
	})
}

func TestAxisOfProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := drawShape(r, MaxRank)
		lo := rapid.IntRange(0, s.Rank()).Draw(r, "lo")
		hi := rapid.IntRange(lo, s.Rank()).Draw(r, "hi")
		if ax := AxisOf(s, lo, hi); ax.Outer*ax.N*ax.Inner != s.Size() {
			r.Fatalf("%v axes %d to %d: %+v", s, lo, hi, ax)
		}
	})
}

// wantShapeError fails unless f panics with a ShapeError.
func wantShapeError(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		err, ok := recover().(error)
		var s ShapeError
		if !ok || !errors.As(err, &s) || s.Op == "" || s.Error() == "" {
			t.Errorf("%s: panic with %v, want a ShapeError", what, err)
		}
	}()
	f()
}

func TestMisuse(t *testing.T) {
	ws := space(1)
	a, b := New[float64](2, 3), New[float64](3, 3)
	for what, f := range map[string]func(){
		"rank":            func() { ShapeOf(1, 1, 1, 1, 1, 1, 1) },
		"negative axis":   func() { ShapeOf(-1) },
		"no such axis":    func() { a.shape.Dim(2) },
		"append to full":  func() { ShapeOf(1, 1, 1, 1, 1, 1).Append(1) },
		"wrong size":      func() { FromSlice(make([]float64, 3), 2) },
		"reshape":         func() { a.Reshape(4) },
		"index rank":      func() { a.At(0) },
		"index range":     func() { a.At(2, 0) },
		"add":             func() { Add(ws, a, a, b) },
		"scale":           func() { Scale(ws, a, b, 1) },
		"axpy":            func() { Axpy(ws, a, 1, b) },
		"apply":           func() { Apply(ws, a, Exp, b, 0) },
		"dot":             func() { Dot(ws, a, b) },
		"sum axis":        func() { SumAxis(ws, a, b, Axis{1, 3, 3}) },
		"sparse":          func() { m, _ := NewCSR[float64](1, 1, []int32{0, 0}, nil, nil); SparseMatMul(ws, a, m, b) },
		"outer rows":      func() { SquaredOuterSum(ws, b, a, b, 1) },
		"outer divisor":   func() { SquaredOuterSum(ws, b, b, b, 2) },
		"labels":          func() { CrossEntropy(ws, a, []int32{0, 3}, 0) },
		"negative index":  func() { Gather(ws, New[float64](1, 3), b, []int32{-1}) },
		"slice too long":  func() { CopySlice(ws, a, a, Axis{2, 3, 1}, 1, false) },
		"batch of shapes": func() { BatchMatMulShape(ShapeOf(2, 3, 4), ShapeOf(1, 4, 3), false, false) },
	} {
		wantShapeError(t, what, f)
	}
}

func TestAtSet(t *testing.T) {
	x := New[float64](2, 3, 4)
	n := 0.0
	for i := range 2 {
		for j := range 3 {
			for k := range 4 {
				x.Set(n, i, j, k)
				n++
			}
		}
	}
	for i, v := range x.Data() {
		if v != float64(i) {
			t.Fatalf("element %d is %v: not row-major", i, v)
		}
	}
	if y := x.Reshape(6, 4); y.At(5, 3) != 23 || &y.Data()[0] != &x.Data()[0] {
		t.Error("Reshape copies or reorders")
	}
	if c := x.Clone(); &c.Data()[0] == &x.Data()[0] || !slices.Equal(c.Data(), x.Data()) || c.Shape() != x.Shape() {
		t.Error("Clone")
	}
	if s := Scalar(2.5); s.Shape().Rank() != 0 || s.Size() != 1 || s.At() != 2.5 {
		t.Error("Scalar")
	}
}

// A workspace never hands out overlapping storage between a mark and its release, whatever is asked for.
func TestWorkspaceProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ws := NewWorkspace[float32](nil)
		type lease struct {
			mark Mark
			x    []float32
			tag  float32
		}
		var live []lease
		tag := float32(0)
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			if len(live) > 0 && rapid.Bool().Draw(r, "release") {
				k := rapid.IntRange(0, len(live)-1).Draw(r, "to")
				ws.Release(live[k].mark)
				live = live[:k]
				continue
			}
			m := ws.Mark()
			x := ws.Slice(rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(100_000, 600_000)).Draw(r, "n"))
			tag++
			for i := range x {
				x[i] = tag
			}
			live = append(live, lease{m, x, tag})
			for _, l := range live {
				if len(l.x) > 0 && (l.x[0] != l.tag || l.x[len(l.x)-1] != l.tag || l.x[len(l.x)/2] != l.tag) {
					r.Fatal("live storage was overwritten")
				}
			}
		}
		held := ws.Bytes()
		if ws.Reset(); ws.Bytes() != held {
			r.Fatal("Reset changes the storage held")
		}
	})
}

func TestWorkspaceIsReused(t *testing.T) {
	ws := NewWorkspace[float64](nil)
	step := func() {
		ws.Reset()
		for _, n := range []int{3, 400_000, 17, 250_000, 250_000, 1} {
			ws.Slice(n)
		}
	}
	step()
	held := ws.Bytes()
	if n := testing.AllocsPerRun(5, step); n != 0 || ws.Bytes() != held {
		t.Errorf("a repeated step makes %v allocations and holds %d bytes, first %d", n, ws.Bytes(), held)
	}
	z := ws.Zeros(ShapeOf(5))
	if !slices.Equal(z.Data(), make([]float64, 5)) {
		t.Error("Zeros is not zero")
	}
}
