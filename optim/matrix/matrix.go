package matrix

import (
	"fmt"
	"math"
	"slices"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Table returns the catalogue of this package's methods.
func Table[T tensor.Float]() []optim.Spec[T] {
	table := []optim.Spec[T]{specMuon[T](), specNorMuon[T](), specSOAP[T](), specShampoo[T](), specCASPR[T](), specKron[T](), specSPlus[T]()}
	for i := range table {
		table[i].Settings = withCommon(table[i].Settings)
		table[i].Cost = kept(table[i].Cost)
	}
	return table
}

// withCommon appends the settings that all methods have, save those that a method has a default of its own for.
func withCommon(own []optim.Setting) []optim.Setting {
	for _, c := range optim.CommonSettings() {
		if !slices.ContainsFunc(own, func(s optim.Setting) bool { return s.Name == c.Name }) {
			own = append(own, c)
		}
	}
	return own
}

// isMatrix reports whether a parameter is treated as a matrix: see the package text.
func isMatrix(p nn.Param) bool {
	return (p.Kind == nn.Weight || p.Kind == nn.Other) && p.Shape.Rank() > 1 && p.Shape.Rows() > 1 && p.Shape.Cols() > 1
}

// matrices says for each parameter of the layout whether it is treated as a matrix. Unless output is set, the last matrix
// is not, if there are others.
func matrices(layout *nn.Layout, output bool) []bool {
	is := make([]bool, layout.Len())
	last, n := -1, 0
	for i := range is {
		if is[i] = isMatrix(layout.At(i)); is[i] {
			last = i
			n++
		}
	}
	if !output && n > 1 {
		is[last] = false
	}
	return is
}

// part returns parameter p's range of v, a vector with the layout of the parameters, as a matrix.
func part[T tensor.Float](v []T, p nn.Param) tensor.Tensor[T] {
	n := p.Shape.Size()
	return tensor.FromSlice(v[p.Offset:p.Offset+n:p.Offset+n], p.Shape.Rows(), p.Shape.Cols())
}

// adam are the moments of what is not a matrix: optim's [optim.ScaleByAdam], for some of the parameters.
type adam[T tensor.Float] struct {
	beta1, beta2, eps float64
}

// apply replaces u, m and v are the moments, t is the number of updates with this one.
func (a adam[T]) apply(ws *tensor.Workspace[T], u, m, v []T, t int64) {
	defer ws.Release(ws.Mark())
	d := ws.Slice(len(u))
	simd.Axpby(m, T(1-a.beta1), u, T(a.beta1))
	simd.Mul(d, u, u)
	simd.Axpby(v, T(1-a.beta2), d, T(a.beta2))
	a.direction(u, d, m, v, t, 0)
}

// direction stores m/(1−β₁ᵗ) / (√v/√(1−β₂ᵗ) + ε + floor) in u; d is scratch.
func (a adam[T]) direction(u, d, m, v []T, t int64, floor float64) {
	simd.Sqrt(d, v)
	simd.Scale(d, d, T(1/math.Sqrt(1-math.Pow(a.beta2, float64(t)))))
	simd.AddScalar(d, d, T(a.eps+floor))
	simd.Div(u, m, d)
	simd.Scale(u, u, T(1/(1-math.Pow(a.beta1, float64(t)))))
}

// unitRoundoff is the distance of 1 to the next number of type T.
func unitRoundoff[T tensor.Float]() float64 {
	if _, single := any(T(0)).(float32); single {
		return 0x1p-23
	}
	return 0x1p-52
}

// maxFailures is how many refreshes of one parameter may fail one after the other.
const maxFailures = 10

// FailureError says that the preconditioner of a parameter could not be computed for too many refreshes.
type FailureError struct {
	Method, Param string
	Times         int
	Err           error // of the last
}

func (e *FailureError) Error() string {
	return fmt.Sprintf("optim: %s: the preconditioner of %s could not be refreshed %d times one after the other: %v", e.Method, e.Param, e.Times, e.Err)
}

// Unwrap returns the last failure's cause.
func (e *FailureError) Unwrap() error { return e.Err }

// rates multiplies the update of each parameter by a factor of its own.
type rates[T tensor.Float] struct{ factor []T }

func (*rates[T]) Name() string          { return "rates" }
func (*rates[T]) State() optim.State[T] { return nil }
func (*rates[T]) Begin(*optim.Stage[T]) {}
func (l *rates[T]) Apply(b *optim.Block[T]) {
	if f := l.factor[b.Param]; f != 1 {
		simd.Scale(b.U, b.U, f)
	}
}
