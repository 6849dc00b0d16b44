package optim

import (
	"context"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// ClipValue cuts every element of the update to [−c, c]. It changes the direction.
//
// Cost: no memory, one pass.
type ClipValue[T tensor.Float] struct{ above, below []T }

// NewClipValue returns the link for the bound c.
func NewClipValue[T tensor.Float](c float64) *ClipValue[T] {
	return &ClipValue[T]{above: constant(T(c)), below: constant(T(-c))}
}

// constant is a block of equal elements, for kernels that take vectors.
func constant[T tensor.Float](c T) []T {
	v := make([]T, blockLen)
	for i := range v {
		v[i] = c
	}
	return v
}

// Name returns "clip-value".
func (*ClipValue[T]) Name() string { return "clip-value" }

// State returns nothing: the link keeps none.
func (*ClipValue[T]) State() State[T] { return nil }

// Begin does nothing.
func (*ClipValue[T]) Begin(*Stage[T]) {}

// Apply cuts the elements.
func (c *ClipValue[T]) Apply(b *Block[T]) {
	n := len(b.U)
	simd.Min(b.U, b.U, c.above[:n])
	simd.Max(b.U, b.U, c.below[:n])
}

// ClipNorm shrinks the update to Euclidean norm c if it is longer:
//
//	u ← u · min(1, c/‖u‖)
//
// Paper: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
// Deviations: PyTorch divides by ‖u‖ + 10⁻⁶, here nothing is added. A shorter update keeps its bits.
//
// Cost: no memory, one or two passes.
type ClipNorm[T tensor.Float] struct {
	c      float64
	factor T
}

// NewClipNorm returns the link for the bound c.
func NewClipNorm[T tensor.Float](c float64) *ClipNorm[T] { return &ClipNorm[T]{c: c} }

// Name returns "clip-norm".
func (*ClipNorm[T]) Name() string { return "clip-norm" }

// State returns nothing: the link keeps none.
func (*ClipNorm[T]) State() State[T] { return nil }

// Transform computes the factor.
func (c *ClipNorm[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	c.factor = T(shrink(c.c, s.Norm()))
	return Continue, nil
}

func shrink(most, norm float64) float64 {
	if norm <= most {
		return 1
	}
	return most / norm
}

// Begin does nothing.
func (*ClipNorm[T]) Begin(*Stage[T]) {}

// Apply multiplies by the factor.
func (c *ClipNorm[T]) Apply(b *Block[T]) {
	if c.factor != 1 {
		simd.Scale(b.U, b.U, c.factor)
	}
}

// ClipTensorNorm is [ClipNorm] for each parameter of the layout on its own.
//
// Cost: no memory, two passes.
type ClipTensorNorm[T tensor.Float] struct {
	c      float64
	factor []float64 // by parameter
}

// NewClipTensorNorm returns the link for the bound c.
func NewClipTensorNorm[T tensor.Float](env Env, c float64) *ClipTensorNorm[T] {
	return &ClipTensorNorm[T]{c: c, factor: make([]float64, env.Layout.Len())}
}

// Name returns "clip-tensor-norm".
func (*ClipTensorNorm[T]) Name() string { return "clip-tensor-norm" }

// State returns nothing: the link keeps none.
func (*ClipTensorNorm[T]) State() State[T] { return nil }

// Transform computes the factors.
func (c *ClipTensorNorm[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	s.TensorSquares(c.factor, s.Update)
	for i, square := range c.factor {
		c.factor[i] = shrink(c.c, math.Sqrt(square))
	}
	return Continue, nil
}

// Begin does nothing.
func (*ClipTensorNorm[T]) Begin(*Stage[T]) {}

// Apply multiplies by the parameter's factor.
func (c *ClipTensorNorm[T]) Apply(b *Block[T]) {
	if f := c.factor[b.Param]; f != 1 {
		simd.Scale(b.U, b.U, T(f))
	}
}

// ClipAdaptive shrinks the update of each output unit j of a weight matrix [in, out] to the multiple
// c of the norm of the unit's weights:
//
//	uⱼ ← uⱼ · min(1, c·max(‖wⱼ‖, ε)/‖uⱼ‖)      j a column
//
// A parameter that is not a matrix counts as one unit.
//
// Paper: Brock et al., "High-performance large-scale image recognition without normalization", 2021.
// Deviations: the paper leaves out the last layer, here it is clipped like the others.
//
// Cost: two doubles an output unit, three passes.
type ClipAdaptive[T tensor.Float] struct {
	c, eps float64
	units  []clipUnits[T] // by parameter
	part   func(worker, part int)
	stage  *Stage[T]
}

// clipUnits are the sums of squares of the columns of a parameter's weights and update.
type clipUnits[T tensor.Float] struct{ w, u []T }

// NewClipAdaptive returns the link for the multiple c and the least norm eps.
func NewClipAdaptive[T tensor.Float](env Env, c, eps float64) *ClipAdaptive[T] {
	l := &ClipAdaptive[T]{c: c, eps: eps}
	for i := range env.Layout.Len() {
		cols := 1
		if s := env.Layout.At(i).Shape; s.Rank() > 1 {
			cols = s.Cols()
		}
		l.units = append(l.units, clipUnits[T]{make([]T, cols), make([]T, cols)})
	}
	l.part = l.clip
	return l
}

// Name returns "clip-adaptive".
func (*ClipAdaptive[T]) Name() string { return "clip-adaptive" }

// State returns nothing: the link keeps none.
func (*ClipAdaptive[T]) State() State[T] { return nil }

// Transform shrinks the update, each parameter by one worker.
func (c *ClipAdaptive[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	c.stage = s
	s.pool.Do(len(c.units), c.part)
	c.stage, s.known = nil, false
	return Continue, nil
}

func (c *ClipAdaptive[T]) clip(_, i int) {
	p := c.stage.Layout.At(i)
	w, u := c.units[i].w, c.units[i].u
	weights := c.stage.Params[p.Offset : p.Offset+p.Shape.Size()]
	update := c.stage.Update[p.Offset : p.Offset+p.Shape.Size()]
	cols := len(w)
	if cols == 1 {
		w[0], u[0] = simd.SumSquares(weights), simd.SumSquares(update)
	} else {
		clear(w)
		clear(u)
		for at := 0; at < len(weights); at += cols {
			simd.MulAdd(w, weights[at:at+cols], weights[at:at+cols])
			simd.MulAdd(u, update[at:at+cols], update[at:at+cols])
		}
	}
	for j := range w {
		bound := c.c * max(math.Sqrt(float64(w[j])), c.eps)
		u[j] = T(shrink(bound, math.Sqrt(float64(u[j]))))
	}
	if cols == 1 {
		simd.Scale(update, update, u[0])
		return
	}
	for at := 0; at < len(update); at += cols {
		simd.Mul(update[at:at+cols], update[at:at+cols], u)
	}
}
