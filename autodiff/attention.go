package autodiff

import (
	"math"

	"github.com/descent-ml/descent/tensor"
)

// Attention returns multi-head scaled dot-product attention (Vaswani et al., 2017). The queries q are
// [batch, time, heads·dim], keys k and values v [batch, past, heads·dim]; the result has the shape of q with the
// values' dim. For each example and head,
//
//	Y = softmax(Q Kᵀ/√dim) V,
//
// the softmax over past. With causal, query i sees only the keys up to past − time + i: time i itself
// and what came before it. Every part is recorded, so derivatives of any order are exact; memory is
// batch·heads·time·past.
func Attention[T tensor.Float](q, k, v Var[T], heads int, causal bool) Var[T] {
	s := q.Shape()
	y := AttentionHeads(splitHeads(q, heads), splitHeads(k, heads), splitHeads(v, heads), causal)
	y = Permute(y, 0, 2, 1, 3)
	return Reshape(y, s.With(-1, heads*y.Shape().Cols()))
}

// splitHeads returns [batch, time, heads·dim] as [batch, heads, time, dim].
func splitHeads[T tensor.Float](x Var[T], heads int) Var[T] {
	s := x.Shape()
	if s.Rank() != 3 || heads < 1 || s.Cols()%heads != 0 {
		panic(tensor.ShapeError{Op: "Attention", A: s, B: tensor.ShapeOf(heads), Detail: "want [batch, time, heads·dim]"})
	}
	return Permute(Reshape(x, tensor.ShapeOf(s.Dim(0), s.Dim(1), heads, s.Dim(2)/heads)), 0, 2, 1, 3)
}

// AttentionHeads is [Attention] with the heads apart: q is [batch, heads, time, dim], k [batch, heads, past, dim]
// and v [batch, heads, past, dim of values]; so is the result, [batch, heads, time, dim of values].
func AttentionHeads[T tensor.Float](q, k, v Var[T], causal bool) Var[T] {
	if q.Shape().Rank() != 4 {
		panic(tensor.ShapeError{Op: "Attention", A: q.Shape(), B: k.Shape(), Detail: "want [batch, heads, time, dim]"})
	}
	scores := BatchMatMul(Scale(q, 1/math.Sqrt(float64(q.Shape().Cols()))), k, false, true)
	mask := 0
	if causal {
		if mask = q.Shape().Dim(2); mask > k.Shape().Dim(2) {
			panic(tensor.ShapeError{Op: "Attention", A: q.Shape(), B: k.Shape(), Detail: "causal attention with more queries than keys"})
		}
	}
	return BatchMatMul(recordSoftmax(scores, mask), v, false, false)
}
