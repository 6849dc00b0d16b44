package autodiff_test

import (
	"math"
	"testing"

	ad "github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/autodiff/check"
	"github.com/descent-ml/descent/tensor"
)

type (
	tape = *ad.Tape[float64]
	vr   = ad.Var[float64]
)

// opCase is one application of an operation to the inputs in.
type opCase struct {
	name string
	f    check.Func
	in   []tensor.Tensor[float64]
}

// normal returns a tensor of standard normal numbers, different for each name.
func normal(name string, dims ...int) tensor.Tensor[float64] {
	x := tensor.New[float64](dims...)
	tensor.Normal(tensor.KeyOf(7).Named(name), x.Data(), 0, 1)
	return x
}

// positive returns numbers in [0.5, 2).
func positive(name string, dims ...int) tensor.Tensor[float64] {
	x := tensor.New[float64](dims...)
	tensor.Uniform(tensor.KeyOf(7).Named(name), x.Data(), 0.5, 2)
	return x
}

// apart returns numbers at least 0.1 away from −1, 0 and 1, where piecewise functions have their kinks.
func apart(name string, dims ...int) tensor.Tensor[float64] {
	x := normal(name, dims...)
	for i, v := range x.Data() {
		for _, k := range []float64{-1, 0, 1} {
			if math.Abs(v-k) < 0.1 {
				x.Data()[i] = k + 0.15
			}
		}
	}
	return x
}

func tensors(x ...tensor.Tensor[float64]) []tensor.Tensor[float64] { return x }

// unaryCase checks a function of one variable at points away from its kinks.
func unaryCase(name string, f func(vr) vr, x tensor.Tensor[float64]) opCase {
	return opCase{name, func(_ tape, v []vr) vr { return f(v[0]) }, tensors(x)}
}

// opCases lists every operation but convolution and pooling at least once. Linear maps are followed by a
// nonlinear function, so that the derivative of their derivative is exercised too.
func opCases() []opCase {
	idx := []int32{2, 0, 2, 1, 2}
	labels := []int32{1, 0, 3}
	csr, err := tensor.NewCSR(3, 4, []int32{0, 2, 2, 5}, []int32{3, 1, 0, 2, 0}, []float64{0.5, -1, 2, 3, -0.25})
	if err != nil {
		panic(err)
	}
	maskOf := func(s tensor.Shape) tensor.Tensor[float64] {
		m := tensor.New[float64](s.Dims()...)
		for i := range m.Data() {
			m.Data()[i] = float64(i % 2)
		}
		return m
	}
	key := tensor.KeyOf(3)
	sh := tensor.ShapeOf
	cases := []opCase{
		unaryCase("Reciprocal", ad.Reciprocal[float64], positive("x", 2, 3)),
		unaryCase("Square", ad.Square[float64], normal("x", 2, 3)),
		unaryCase("Abs", ad.Abs[float64], apart("x", 2, 3)),
		unaryCase("Sqrt", ad.Sqrt[float64], positive("x", 2, 3)),
		unaryCase("Exp", ad.Exp[float64], normal("x", 2, 3)),
		unaryCase("Log", ad.Log[float64], positive("x", 2, 3)),
		unaryCase("Pow", func(x vr) vr { return ad.Pow(x, 2.5) }, positive("x", 2, 3)),
		unaryCase("Sin", ad.Sin[float64], normal("x", 2, 3)),
		unaryCase("Cos", ad.Cos[float64], normal("x", 2, 3)),
		unaryCase("Erf", ad.Erf[float64], normal("x", 2, 3)),
		unaryCase("Tanh", ad.Tanh[float64], normal("x", 2, 3)),
		unaryCase("Sigmoid", ad.Sigmoid[float64], normal("x", 2, 3)),
		unaryCase("Softplus", ad.Softplus[float64], normal("x", 2, 3)),
		unaryCase("ReLU", func(x vr) vr { return ad.Square(ad.ReLU(ad.Square(x))) }, apart("x", 2, 3)),
		unaryCase("ReLU outermost", ad.ReLU[float64], apart("x", 20)),
		unaryCase("LeakyReLU", func(x vr) vr { return ad.Square(ad.LeakyReLU(x, 0.1)) }, apart("x", 2, 3)),
		unaryCase("ELU", ad.ELU[float64], apart("x", 20)),
		unaryCase("GELU", ad.GELU[float64], normal("x", 2, 3)),
		unaryCase("SiLU", ad.SiLU[float64], normal("x", 2, 3)),
		unaryCase("HardTanh", func(x vr) vr { return ad.Square(ad.HardTanh(x)) }, apart("x", 20)),
		unaryCase("Neg", func(x vr) vr { return ad.Exp(ad.Neg(x)) }, normal("x", 2, 3)),
		unaryCase("Scale", func(x vr) vr { return ad.Exp(ad.Scale(x, 0.3)) }, normal("x", 2, 3)),
		unaryCase("AddScalar", func(x vr) vr { return ad.Sin(ad.AddScalar(ad.Square(x), 2)) }, normal("x", 2, 3)),

		{"Add", func(_ tape, x []vr) vr { return ad.Sin(ad.Add(x[0], x[1])) }, tensors(normal("a", 2, 3), normal("b", 2, 3))},
		{"Add same", func(_ tape, x []vr) vr { y := ad.Sin(x[0]); return ad.Square(ad.Add(y, y)) }, tensors(normal("a", 2, 3))},
		{"Sub", func(_ tape, x []vr) vr { return ad.Sin(ad.Sub(x[0], x[1])) }, tensors(normal("a", 2, 3), normal("b", 2, 3))},
		{"Mul", func(_ tape, x []vr) vr { return ad.Sin(ad.Mul(x[0], x[1])) }, tensors(normal("a", 2, 3), normal("b", 2, 3))},
		{"Mul same", func(_ tape, x []vr) vr { return ad.Mul(x[0], ad.Mul(x[0], x[0])) }, tensors(normal("a", 2, 3))},
		{"Div", func(_ tape, x []vr) vr { return ad.Div(x[0], x[1]) }, tensors(normal("a", 2, 3), positive("b", 2, 3))},
		{"Div of constant", func(t tape, x []vr) vr { return ad.Div(t.Input(normal("a", 2, 3)), x[0]) }, tensors(positive("b", 2, 3))},
		{"Maximum", func(_ tape, x []vr) vr { return ad.Square(ad.Maximum(x[0], x[1])) }, tensors(normal("a", 2, 3), normal("b", 2, 3))},
		{"Minimum", func(_ tape, x []vr) vr { return ad.Exp(ad.Minimum(x[0], x[1])) }, tensors(normal("a", 2, 3), normal("b", 2, 3))},
		{"Where", func(_ tape, x []vr) vr { return ad.Exp(ad.Where(maskOf(sh(2, 3)), x[0], ad.Square(x[1]))) }, tensors(normal("a", 2, 3), normal("b", 2, 3))},
		{"Mask", func(_ tape, x []vr) vr { return ad.Sin(ad.Mask(x[0], maskOf(sh(2, 3)))) }, tensors(normal("a", 2, 3))},
		{"Dropout", func(_ tape, x []vr) vr { return ad.Square(ad.Dropout(x[0], 0.4, key)) }, tensors(normal("a", 4, 5))},

		{"MatMul", func(_ tape, x []vr) vr { return ad.MatMul(x[0], x[1], false, false) }, tensors(normal("a", 2, 3), normal("b", 3, 4))},
		{"MatMul tn", func(_ tape, x []vr) vr { return ad.Sin(ad.MatMul(x[0], x[1], true, false)) }, tensors(normal("a", 3, 2), normal("b", 3, 4))},
		{"MatMul nt", func(_ tape, x []vr) vr { return ad.Sin(ad.MatMul(x[0], x[1], false, true)) }, tensors(normal("a", 2, 3), normal("b", 4, 3))},
		{"MatMul tt", func(_ tape, x []vr) vr { return ad.Sin(ad.MatMul(x[0], x[1], true, true)) }, tensors(normal("a", 3, 2), normal("b", 4, 3))},
		{"MatMul of stacks", func(_ tape, x []vr) vr { return ad.MatMul(x[0], x[1], true, false) }, tensors(normal("a", 2, 2, 3), normal("b", 2, 2, 2))},
		{"MatMul square", func(_ tape, x []vr) vr { return ad.MatMul(x[0], x[0], false, true) }, tensors(normal("a", 3, 3))},
		{"Affine", func(_ tape, x []vr) vr { return ad.Tanh(ad.Affine(x[0], x[1], x[2])) }, tensors(normal("x", 2, 2, 3), normal("w", 3, 4), normal("b", 4))},
		{"Affine no bias", func(_ tape, x []vr) vr { return ad.Tanh(ad.Affine(x[0], x[1], vr{})) }, tensors(normal("x", 2, 3), normal("w", 3, 4))},
		{"Affine bias alone", func(t tape, x []vr) vr {
			return ad.Tanh(ad.Affine(t.Input(normal("x", 2, 3)), t.Input(normal("w", 3, 4)), x[0]))
		}, tensors(normal("b", 4))},
		{"AffineReLU", func(_ tape, x []vr) vr { return ad.Square(ad.AffineReLU(x[0], x[1], x[2])) }, tensors(normal("x", 2, 3), normal("w", 3, 4), normal("b", 4))},
		{"BatchMatMul", func(_ tape, x []vr) vr { return ad.Sin(ad.BatchMatMul(x[0], x[1], false, false)) }, tensors(normal("a", 2, 2, 3), normal("b", 2, 3, 2))},
		{"BatchMatMul tn", func(_ tape, x []vr) vr { return ad.Sin(ad.BatchMatMul(x[0], x[1], true, false)) }, tensors(normal("a", 2, 3, 2), normal("b", 2, 3, 2))},
		{"BatchMatMul nt", func(_ tape, x []vr) vr { return ad.Sin(ad.BatchMatMul(x[0], x[1], false, true)) }, tensors(normal("a", 2, 2, 3), normal("b", 2, 4, 3))},
		{"BatchMatMul tt", func(_ tape, x []vr) vr { return ad.Sin(ad.BatchMatMul(x[0], x[1], true, true)) }, tensors(normal("a", 2, 3, 2), normal("b", 2, 4, 3))},
		{"SparseMatMul", func(_ tape, x []vr) vr { return ad.Sin(ad.SparseMatMul(csr, x[0], false)) }, tensors(normal("x", 4, 2))},
		{"SparseMatMul t", func(_ tape, x []vr) vr { return ad.Sin(ad.SparseMatMul(csr, x[0], true)) }, tensors(normal("x", 3, 2))},

		unaryCase("Sum", func(x vr) vr { return ad.Square(ad.Sum(ad.Sin(x))) }, normal("x", 2, 3)),
		unaryCase("Mean", func(x vr) vr { return ad.Exp(ad.Mean(ad.Square(x))) }, normal("x", 2, 3)),
		unaryCase("SumRows", func(x vr) vr { return ad.Sin(ad.SumRows(x)) }, normal("x", 2, 2, 3)),
		unaryCase("SumCols", func(x vr) vr { return ad.Sin(ad.SumCols(x)) }, normal("x", 2, 2, 3)),
		unaryCase("SumAxis 0", func(x vr) vr { return ad.Sin(ad.SumAxis(x, 0)) }, normal("x", 2, 3, 2)),
		unaryCase("SumAxis 1", func(x vr) vr { return ad.Sin(ad.SumAxis(x, 1)) }, normal("x", 2, 3, 2)),
		unaryCase("MeanAxis -1", func(x vr) vr { return ad.Sin(ad.MeanAxis(x, -1)) }, normal("x", 2, 3, 2)),
		unaryCase("MaxCols", func(x vr) vr { return ad.Square(ad.MaxCols(x)) }, normal("x", 3, 4)),
		unaryCase("Max", func(x vr) vr { return ad.Square(ad.Max(x)) }, normal("x", 3, 4)),
		{"Dot", func(_ tape, x []vr) vr { return ad.Sin(ad.Dot(x[0], x[1])) }, tensors(normal("a", 2, 3), normal("b", 2, 3))},
		{"Dot same", func(_ tape, x []vr) vr { return ad.Sqrt(ad.Dot(x[0], x[0])) }, tensors(normal("a", 2, 3))},
		unaryCase("BroadcastRow", func(v vr) vr { return ad.Square(ad.BroadcastRow(v, 2)) }, normal("v", 3)),
		unaryCase("BroadcastCol", func(v vr) vr { return ad.Square(ad.BroadcastCol(v, 2)) }, normal("v", 3)),
		unaryCase("BroadcastScalar", func(v vr) vr { return ad.Square(ad.BroadcastScalar(ad.Sin(v), sh(2, 3))) }, normal("v", 1)),
		{"AddRow", func(_ tape, x []vr) vr { return ad.Sin(ad.AddRow(x[0], x[1])) }, tensors(normal("x", 2, 2, 3), normal("b", 3))},
		{"MulRow", func(_ tape, x []vr) vr { return ad.Sin(ad.MulRow(ad.Square(x[0]), x[1])) }, tensors(normal("x", 2, 2, 3), normal("b", 3))},
		{"AddCol", func(_ tape, x []vr) vr { return ad.Sin(ad.AddCol(x[0], x[1])) }, tensors(normal("x", 4, 3), normal("b", 4))},
		{"MulCol", func(_ tape, x []vr) vr { return ad.Sin(ad.MulCol(x[0], x[1])) }, tensors(normal("x", 4, 3), normal("b", 4))},
		{"ScaleBy", func(_ tape, x []vr) vr { return ad.Sin(ad.ScaleBy(x[0], x[1])) }, tensors(normal("x", 4, 3), normal("b", 1))},

		unaryCase("Reshape", func(x vr) vr { return ad.Sin(ad.Reshape(ad.Square(x), sh(3, 2))) }, normal("x", 2, 3)),
		unaryCase("Flatten", func(x vr) vr { return ad.MatMul(ad.Flatten(x), ad.Flatten(x), false, true) }, normal("x", 2, 2, 3)),
		unaryCase("Transpose", func(x vr) vr { return ad.Sin(ad.Transpose(x)) }, normal("x", 2, 3)),
		unaryCase("Permute", func(x vr) vr { return ad.Sin(ad.Permute(x, 2, 0, 3, 1)) }, normal("x", 2, 3, 2, 2)),
		{"Concat 0", func(_ tape, x []vr) vr { return ad.Sin(ad.Concat(0, x...)) }, tensors(normal("a", 2, 3), normal("b", 1, 3))},
		{"Concat -1", func(_ tape, x []vr) vr { return ad.Sin(ad.Concat(-1, x[0], x[1], x[2], x[1], x[0])) },
			tensors(normal("a", 2, 2, 1), normal("b", 2, 2, 3), normal("c", 2, 2, 2))},
		{"Concat with constant", func(t tape, x []vr) vr { return ad.Sin(ad.Concat(1, t.Input(normal("c", 2, 2)), x[0])) }, tensors(normal("a", 2, 3))},
		unaryCase("Slice", func(x vr) vr { return ad.Sin(ad.Slice(x, 1, 1, 3)) }, normal("x", 2, 4, 2)),
		unaryCase("Pad", func(x vr) vr { return ad.Sin(ad.Pad(x, -1, 1, 5)) }, normal("x", 2, 2)),
		unaryCase("Gather", func(x vr) vr { return ad.Sin(ad.Gather(x, idx)) }, normal("x", 3, 2)),
		unaryCase("Embedding", func(x vr) vr { return ad.Square(ad.Embedding(x, idx)) }, normal("x", 4, 2)),
		unaryCase("ScatterAdd", func(x vr) vr { return ad.Sin(ad.ScatterAdd(x, idx, 4)) }, normal("x", 5, 2)),
		unaryCase("Pick", func(x vr) vr { return ad.Sin(ad.Pick(x, labels)) }, normal("x", 3, 4)),

		unaryCase("Softmax", ad.Softmax[float64], normal("x", 3, 4)),
		unaryCase("LogSoftmax", ad.LogSoftmax[float64], normal("x", 3, 4)),
		unaryCase("LogSumExpRows", ad.LogSumExpRows[float64], normal("x", 3, 4)),
		{"Attention", func(_ tape, x []vr) vr { return ad.Attention(x[0], x[1], x[2], 2, false) },
			tensors(normal("q", 2, 3, 4), normal("k", 2, 2, 4), normal("v", 2, 2, 6))},
		{"Attention causal", func(_ tape, x []vr) vr { return ad.Attention(x[0], x[1], x[2], 2, true) },
			tensors(normal("q", 2, 3, 4), normal("k", 2, 3, 4), normal("v", 2, 3, 4))},
		{"Attention causal with past", func(_ tape, x []vr) vr { return ad.AttentionHeads(x[0], x[1], x[2], true) },
			tensors(normal("q", 1, 2, 2, 3), normal("k", 1, 2, 4, 3), normal("v", 1, 2, 4, 2))},

		{"BatchNorm", func(_ tape, x []vr) vr { y, _, _ := ad.BatchNorm(x[0], x[1], x[2], 1e-3); return y },
			tensors(normal("x", 5, 3), normal("g", 3), normal("b", 3))},
		{"BatchNorm plain", func(_ tape, x []vr) vr { y, _, _ := ad.BatchNorm(x[0], vr{}, vr{}, 1e-3); return ad.Sin(y) },
			tensors(normal("x", 2, 2, 3, 2))},
		{"BatchNormInference", func(_ tape, x []vr) vr {
			return ad.Sin(ad.BatchNormInference(x[0], x[1], x[2], normal("m", 3), positive("v", 3), 1e-3))
		}, tensors(normal("x", 5, 3), normal("g", 3), normal("b", 3))},
		{"LayerNorm", func(_ tape, x []vr) vr { return ad.LayerNorm(x[0], x[1], x[2], 1e-3) },
			tensors(normal("x", 2, 2, 4), normal("g", 4), normal("b", 4))},
		{"RMSNorm", func(_ tape, x []vr) vr { return ad.RMSNorm(x[0], x[1], 1e-3) }, tensors(normal("x", 3, 4), normal("g", 4))},
		{"GroupNorm", func(_ tape, x []vr) vr { return ad.GroupNorm(x[0], x[1], x[2], 2, 1e-3) },
			tensors(normal("x", 2, 2, 2, 4), normal("g", 4), normal("b", 4))},
		{"GroupNorm one group", func(_ tape, x []vr) vr { return ad.GroupNorm(x[0], x[1], vr{}, 1, 1e-3) },
			tensors(normal("x", 2, 3, 2), normal("g", 2))},

		unaryCase("CrossEntropy", func(z vr) vr { return ad.CrossEntropy(z, labels, 0) }, normal("z", 3, 4)),
		unaryCase("CrossEntropy smoothed", func(z vr) vr { return ad.Square(ad.CrossEntropy(z, labels, 0.1)) }, normal("z", 3, 4)),
		{"SquaredError", func(_ tape, x []vr) vr { return ad.Square(ad.SquaredError(x[0], x[1])) }, tensors(normal("z", 3, 4), normal("y", 3, 4))},
		{"BernoulliNLL", func(_ tape, x []vr) vr { return ad.BernoulliNLL(x[0], x[1]) }, tensors(normal("z", 3, 4), positive("y", 3, 4))},
		{"PoissonNLL", func(_ tape, x []vr) vr { return ad.PoissonNLL(x[0], x[1]) }, tensors(normal("z", 3, 4), positive("y", 3, 4))},
		{"HuberLoss", func(t tape, x []vr) vr { return ad.HuberLoss(x[0], t.Input(tensor.New[float64](2, 10)), 1) }, tensors(apart("z", 2, 10))},
		{"HuberLoss of target", func(t tape, x []vr) vr { return ad.HuberLoss(x[0], x[0], 1) }, tensors(apart("z", 2, 10))},
	}
	return cases
}

func TestOperations(t *testing.T) {
	for _, c := range opCases() {
		t.Run(c.name, func(t *testing.T) {
			r, err := check.Check(c.f, c.in...)
			if err != nil {
				t.Fatalf("%v\n%+v", err, r)
			}
		})
	}
}
