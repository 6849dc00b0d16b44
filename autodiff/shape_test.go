package autodiff_test

import (
	"testing"

	ad "github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/autodiff/check"
	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

// Operations whose rules compute with shapes are right for all shapes, not for those of the table alone.
func TestShapesOfOperations(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		draw := func(lo, hi int, label string) int { return rapid.IntRange(lo, hi).Draw(r, label) }
		dims := rapid.SliceOfN(rapid.IntRange(1, 3), 1, 4).Draw(r, "shape")
		s := tensor.ShapeOf(dims...)
		axis := draw(0, s.Rank()-1, "axis")
		d := s.Dim(axis)
		in := tensors(normal("x", dims...))
		row := func(name string) { in = append(in, normal(name, s.Cols())) }
		var f func(x []vr) vr
		op := rapid.SampledFrom([]string{"SumAxis", "MeanAxis", "Slice", "Pad", "Concat", "Permute", "SumRows", "SumCols", "AddRow",
			"MulRow", "MulCol", "Affine", "MatMul", "LayerNorm", "BatchNorm", "GroupNorm", "Softmax", "Gather", "CrossEntropy"}).Draw(r, "operation")
		switch op {
		case "SumAxis":
			f = func(x []vr) vr { return ad.SumAxis(x[0], axis) }
		case "MeanAxis":
			f = func(x []vr) vr { return ad.MeanAxis(x[0], axis-s.Rank()) }
		case "Slice":
			lo := draw(0, d, "lo")
			hi := draw(lo, d, "hi")
			f = func(x []vr) vr { return ad.Slice(x[0], axis, lo, hi) }
		case "Pad":
			lo, after := draw(0, 2, "before"), draw(0, 2, "after")
			f = func(x []vr) vr { return ad.Pad(x[0], axis, lo, lo+d+after) }
		case "Concat":
			in = append(in, normal("y", s.With(axis, draw(1, 3, "other")).Dims()...))
			f = func(x []vr) vr { return ad.Concat(axis, x[0], x[1], x[0]) }
		case "Permute":
			axes := make([]int, s.Rank())
			for i := range axes {
				axes[i] = i
			}
			perm := rapid.Permutation(axes).Draw(r, "perm")
			f = func(x []vr) vr { return ad.Permute(x[0], perm...) }
		case "SumRows":
			f = func(x []vr) vr { return ad.SumRows(x[0]) }
		case "SumCols":
			f = func(x []vr) vr { return ad.SumCols(x[0]) }
		case "AddRow":
			row("b")
			f = func(x []vr) vr { return ad.AddRow(x[0], x[1]) }
		case "MulRow":
			row("b")
			f = func(x []vr) vr { return ad.MulRow(x[0], x[1]) }
		case "MulCol":
			in = append(in, normal("c", s.Rows()))
			f = func(x []vr) vr { return ad.MulCol(x[0], x[1]) }
		case "Affine":
			out := draw(1, 3, "out")
			in = append(in, normal("w", s.Cols(), out), normal("b", out))
			f = func(x []vr) vr { return ad.Affine(x[0], x[1], x[2]) }
		case "MatMul":
			ta, tb := rapid.Bool().Draw(r, "ta"), rapid.Bool().Draw(r, "tb")
			k, n := s.Cols(), draw(1, 3, "n")
			if ta {
				k = s.Rows()
			}
			if tb {
				in = append(in, normal("b", n, k))
			} else {
				in = append(in, normal("b", k, n))
			}
			f = func(x []vr) vr { return ad.MatMul(x[0], x[1], ta, tb) }
		case "LayerNorm":
			row("g")
			row("b")
			f = func(x []vr) vr { return ad.LayerNorm(x[0], x[1], x[2], 0.1) }
		case "BatchNorm":
			row("g")
			f = func(x []vr) vr { y, _, _ := ad.BatchNorm(x[0], x[1], vr{}, 0.1); return y }
		case "GroupNorm":
			if s.Rank() < 2 {
				return
			}
			groups := 1
			if rapid.Bool().Draw(r, "instance") {
				groups = s.Cols()
			}
			f = func(x []vr) vr { return ad.GroupNorm(x[0], vr{}, vr{}, groups, 0.1) }
		case "Softmax":
			f = func(x []vr) vr { return ad.Softmax(x[0]) }
		case "Gather":
			idx := rapid.SliceOfN(rapid.Int32Range(0, int32(s.Rows()-1)), 0, 5).Draw(r, "idx")
			f = func(x []vr) vr { return ad.Gather(x[0], idx) }
		case "CrossEntropy":
			labels := rapid.SliceOfN(rapid.Int32Range(0, int32(s.Cols()-1)), s.Rows(), s.Rows()).Draw(r, "labels")
			f = func(x []vr) vr { return ad.CrossEntropy(x[0], labels, 0.2) }
		}
		if rep, err := check.Check(func(_ tape, x []vr) vr { return ad.Sin(f(x)) }, in...); err != nil {
			r.Fatalf("%v\n%+v", err, rep)
		}
	})
}
