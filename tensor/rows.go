package tensor

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
)

// Operations on the rows of a matrix (Shape.Rows × Shape.Cols). Rows are independent of each other,
// so they are shared out freely among workers.

// eachRow calls f on ranges of [0, rows) that together cover it; cols is the length of a row.
func eachRow[T Float](ws *Workspace[T], rows, cols int, f func(lo, hi int)) {
	if ws.serial(rows*cols, funSerial) {
		f(0, rows)
		return
	}
	ws.pool.Range(rows, 4, f)
}

// Softmax stores the softmax of each row of x in dst: e^(x_j)/Σ_k e^(x_k). With causal > 0 the rows come
// in groups of causal rows (a matrix of attention scores), and row i of a group sees only its first
// cols − causal + i + 1 columns; the others get 0.
func Softmax[T Float](ws *Workspace[T], dst, x Tensor[T], causal int) {
	sameSize("Softmax", dst, x)
	rows, cols := x.shape.Rows(), x.shape.Cols()
	eachRow(ws, rows, cols, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d, a := dst.data[i*cols:(i+1)*cols], x.data[i*cols:(i+1)*cols]
			if causal > 0 {
				n := max(0, cols-causal+i%causal+1)
				clear(d[n:])
				d, a = d[:n], a[:n]
			}
			if len(d) > 0 {
				simd.SoftmaxRow(d, a)
			}
		}
	})
}

// SoftmaxGrad stores y∘(g − ⟨y, g⟩) in dst, row by row: the product of the softmax's (symmetric)
// Jacobian at its value y with g. dst may be g.
func SoftmaxGrad[T Float](ws *Workspace[T], dst, y, g Tensor[T]) {
	sameSize("SoftmaxGrad", dst, y)
	sameSize("SoftmaxGrad", dst, g)
	rows, cols := y.shape.Rows(), y.shape.Cols()
	eachRow(ws, rows, cols, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d, p, c := dst.data[i*cols:(i+1)*cols], y.data[i*cols:(i+1)*cols], g.data[i*cols:(i+1)*cols]
			simd.AddScalar(d, c, -simd.Dot(p, c))
			simd.Mul(d, d, p)
		}
	})
}

// LogSoftmax stores x − LSE(x) in dst, row by row.
func LogSoftmax[T Float](ws *Workspace[T], dst, x Tensor[T]) {
	sameSize("LogSoftmax", dst, x)
	rows, cols := x.shape.Rows(), x.shape.Cols()
	eachRow(ws, rows, cols, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d, a := dst.data[i*cols:(i+1)*cols], x.data[i*cols:(i+1)*cols]
			if cols == 0 {
				continue
			}
			simd.AddScalar(d, a, -simd.MaxOf(a)) // so that the logarithm is not added to large numbers
			simd.AddScalar(d, d, -simd.LogSumExp(d))
		}
	})
}

// LogSumExp stores ln Σ_j e^(x_ij) of each row i in dst.
func LogSumExp[T Float](ws *Workspace[T], dst, x Tensor[T]) {
	rows, cols := x.shape.Rows(), x.shape.Cols()
	if len(dst.data) != rows {
		panic(ShapeError{Op: "LogSumExp", A: x.shape, B: dst.shape})
	}
	eachRow(ws, rows, cols, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dst.data[i] = simd.LogSumExp(x.data[i*cols : (i+1)*cols])
		}
	})
}

// ArgMax stores the column of the largest element of each row in dst; of equal ones the first.
func ArgMax[T Float](dst []int32, x Tensor[T]) {
	rows, cols := x.shape.Rows(), x.shape.Cols()
	if len(dst) != rows || cols == 0 {
		panic(ShapeError{Op: "ArgMax", A: x.shape, B: ShapeOf(len(dst))})
	}
	for i := range dst {
		row := x.data[i*cols : (i+1)*cols]
		best := 0
		for j, v := range row {
			if v > row[best] || (v != v && row[best] == row[best]) {
				best = j
			}
		}
		dst[i] = int32(best)
	}
}

// CheckIndex panics with a [ShapeError] unless all idx lie in [0, n).
func CheckIndex(op string, idx []int32, n int) {
	for i, k := range idx {
		if k < 0 || int(k) >= n {
			panic(ShapeError{Op: op, A: ShapeOf(n), B: ShapeOf(len(idx)),
				Detail: fmt.Sprintf("index %d at position %d, want one in [0, %d)", k, i, n)})
		}
	}
}

// Pick stores x[i, col[i]] in dst[i].
func Pick[T Float](dst, x Tensor[T], col []int32) {
	rows, cols := x.shape.Rows(), x.shape.Cols()
	if len(col) != rows || len(dst.data) != rows {
		panic(ShapeError{Op: "Pick", A: x.shape, B: ShapeOf(len(col))})
	}
	CheckIndex("Pick", col, cols)
	for i, j := range col {
		dst.data[i] = x.data[i*cols+int(j)]
	}
}

// Place stores v[i] in dst[i, col[i]] and 0 elsewhere: the transpose of [Pick].
func Place[T Float](dst, v Tensor[T], col []int32) {
	rows, cols := dst.shape.Rows(), dst.shape.Cols()
	if len(col) != rows || len(v.data) != rows {
		panic(ShapeError{Op: "Place", A: dst.shape, B: ShapeOf(len(col))})
	}
	CheckIndex("Place", col, cols)
	clear(dst.data)
	for i, j := range col {
		dst.data[i*cols+int(j)] = v.data[i]
	}
}

// Gather stores row idx[i] of x in row i of dst.
func Gather[T Float](ws *Workspace[T], dst, x Tensor[T], idx []int32) {
	cols := x.shape.Cols()
	if dst.shape.Cols() != cols || dst.shape.Rows() != len(idx) {
		panic(ShapeError{Op: "Gather", A: x.shape, B: dst.shape})
	}
	CheckIndex("Gather", idx, x.shape.Rows())
	eachRow(ws, len(idx), cols, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			k := int(idx[i])
			copy(dst.data[i*cols:(i+1)*cols], x.data[k*cols:(k+1)*cols])
		}
	})
}

// ScatterAdd stores in dst the sums of the rows of g with equal index: row idx[i] of dst gets row i of
// g added, in the order of i; rows without an index are 0. The transpose of [Gather].
func ScatterAdd[T Float](ws *Workspace[T], dst, g Tensor[T], idx []int32) {
	cols := dst.shape.Cols()
	if g.shape.Cols() != cols || g.shape.Rows() != len(idx) {
		panic(ShapeError{Op: "ScatterAdd", A: dst.shape, B: g.shape})
	}
	CheckIndex("ScatterAdd", idx, dst.shape.Rows())
	add := func(lo, hi int) { // columns, so that no two workers write one element
		for r := range dst.shape.Rows() {
			clear(dst.data[r*cols+lo : r*cols+hi])
		}
		for i, k := range idx {
			d := dst.data[int(k)*cols+lo : int(k)*cols+hi]
			simd.Add(d, d, g.data[i*cols+lo:i*cols+hi])
		}
	}
	if ws.serial(len(g.data), mapSerial) {
		add(0, cols)
		return
	}
	ws.pool.Range(cols, 16, add)
}

// Standardize stores x̂ = (x − μ)·r in dst and r in inv, with mean μ and r = 1/√(variance + eps) along the
// axis ax (the variance is that of the sample, divided by N). mean and variance, if not the zero Tensor,
// get those. With centred false μ is taken as 0 and the variance is the mean square. Two passes: no
// cancellation.
func Standardize[T Float](ws *Workspace[T], dst, mean, variance, inv, x Tensor[T], ax Axis, eps float64, centred bool) {
	ax.check("Standardize", x.shape, inv.shape)
	sameSize("Standardize", dst, x)
	m := ws.Mark()
	defer ws.Release(m)
	src := x
	if centred {
		if mean.IsZero() {
			mean = ws.New(inv.shape)
		}
		SumAxis(ws, mean, x, ax)
		Scale(ws, mean, mean, 1/T(ax.N))
		SubAxis(ws, dst, x, mean, ax)
		src = dst
	}
	DotAxis(ws, inv, src, src, ax)
	for i, s := range inv.data {
		v := float64(s) / float64(ax.N)
		if !variance.IsZero() {
			variance.data[i] = T(v)
		}
		inv.data[i] = T(1 / math.Sqrt(v+eps))
	}
	MulAxis(ws, dst, src, inv, ax)
}

// StandardizeGrad stores the product of the Jacobian of [Standardize], which is symmetric, with g in dst:
//
//	r·(g − mean(g) − x̂·mean(g∘x̂))
//
// given y = x̂ and inv = r; without mean(g) if not centred. dst may be g.
func StandardizeGrad[T Float](ws *Workspace[T], dst, y, inv, g Tensor[T], ax Axis, centred bool) {
	ax.check("StandardizeGrad", y.shape, inv.shape)
	sameSize("StandardizeGrad", dst, y)
	sameSize("StandardizeGrad", g, y)
	m := ws.Mark()
	defer ws.Release(m)
	var shift Tensor[T]
	slope := ws.New(inv.shape) // of x̂: −r·mean(g∘x̂)
	DotAxis(ws, slope, g, y, ax)
	Mul(ws, slope, slope, inv)
	Scale(ws, slope, slope, -1/T(ax.N))
	if centred { // −r·mean(g)
		shift = ws.New(inv.shape)
		SumAxis(ws, shift, g, ax)
		Mul(ws, shift, shift, inv)
		Scale(ws, shift, shift, -1/T(ax.N))
	}
	CombineAxis(ws, dst, g, inv, y, slope, shift, ax)
}
