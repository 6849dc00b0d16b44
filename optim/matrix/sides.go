package matrix

import (
	"fmt"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// What SOAP and SPlus share: the second moments of a matrix's gradient over its rows and over its columns, and bases in which
// they are diagonal, about.

// side is a factor and its basis; both are the zero Tensor for a side that keeps the identity.
type side[T tensor.Float] struct{ factor, basis tensor.Tensor[T] }

// newSides returns the sides of a matrix, zero factors and identities, up to the longest that is not left alone.
func newSides[T tensor.Float](shape tensor.Shape, maxDim int) (sides [2]side[T]) {
	for k, n := range []int{shape.Rows(), shape.Cols()} {
		if n <= maxDim {
			sides[k] = side[T]{tensor.New[T](n, n), identity[T](n)}
		}
	}
	return sides
}

func identity[T tensor.Float](n int) tensor.Tensor[T] {
	q := tensor.New[T](n, n)
	linalg.Identity(q, 1)
	return q
}

func trace[T tensor.Float](a tensor.Tensor[T]) float64 {
	n := a.Shape().Rows()
	sum := 0.0
	for i := range n {
		sum += float64(a.Data()[i*n+i])
	}
	return sum
}

// appendSides appends the sides of parameter i to a method's state.
func appendSides[T tensor.Float](state optim.State[T], i int, sides [2]side[T]) optim.State[T] {
	for k, name := range []string{"rows", "cols"} {
		if !sides[k].factor.IsZero() {
			state = append(state,
				optim.StateEntry[T]{Name: fmt.Sprintf("p%d.%s.factor", i, name), Vector: sides[k].factor.Data()},
				optim.StateEntry[T]{Name: fmt.Sprintf("p%d.%s.basis", i, name), Vector: sides[k].basis.Data()})
		}
	}
	return state
}

// accumulate moves the factors by G Gᵀ and Gᵀ G. A product that overflows is left out; it returns how many were.
func accumulate[T tensor.Float](ws *tensor.Workspace[T], sides [2]side[T], g tensor.Tensor[T], beta float64) (failures int64) {
	for k, f := range sides {
		if f.factor.IsZero() {
			continue
		}
		mark := ws.Mark()
		product := ws.New(f.factor.Shape())
		linalg.SymmetricProduct(ws, product, g, g, k == 1, k == 0)
		if tensor.AllFinite(product) {
			tensor.Axpby(ws, f.factor, T(1-beta), product, T(beta))
		} else {
			failures++
		}
		ws.Release(mark)
	}
	return failures
}

// turn replaces x by Q_Lᵀ x Q_R (in), or by Q_L x Q_Rᵀ.
func turn[T tensor.Float](ws *tensor.Workspace[T], sides [2]side[T], x tensor.Tensor[T], in bool) {
	defer ws.Release(ws.Mark())
	y := ws.New(x.Shape())
	from, to := x, y
	if q := sides[0].basis; !q.IsZero() {
		tensor.MatMul(ws, to, q, from, in, false)
		from, to = to, from
	}
	if q := sides[1].basis; !q.IsZero() {
		tensor.MatMul(ws, to, from, q, false, !in)
		from, to = to, from
	}
	if &from.Data()[0] != &x.Data()[0] {
		tensor.Copy(ws, x, from)
	}
}

// start sets the basis to the eigenvectors of the factor, by falling eigenvalues.
func start[T tensor.Float](ws *tensor.Workspace[T], f side[T], _ tensor.Tensor[T], _ bool) error {
	defer ws.Release(ws.Mark())
	n := f.factor.Shape().Rows()
	values, q := ws.Slice(n), ws.New(f.factor.Shape())
	if err := linalg.SymmetricEigen(ws, values, q, f.factor); err != nil {
		return err
	}
	rank := 0
	for _, v := range values {
		if float64(v) > float64(n)*unitRoundoff[T]()*float64(values[n-1]) {
			rank++
		}
	}
	if err := canonical(ws, q, n-rank); err != nil {
		return err
	}
	for i := range n {
		for j := range n {
			f.basis.Data()[i*n+j] = q.Data()[i*n+n-1-j]
		}
	}
	return nil
}

// canonical makes a choice where there is one: the first k columns N of q, orthonormal and determined up to a rotation
// among themselves, become N times the eigenvectors of Nᵀ diag(1, …, n) N.
func canonical[T tensor.Float](ws *tensor.Workspace[T], q tensor.Tensor[T], k int) error {
	if k == 0 {
		return nil
	}
	n := q.Shape().Rows()
	null, weighted := ws.New(tensor.ShapeOf(n, k)), ws.New(tensor.ShapeOf(n, k))
	for i := range n {
		row := null.Data()[i*k : (i+1)*k]
		copy(row, q.Data()[i*n:i*n+k])
		simd.Scale(weighted.Data()[i*k:(i+1)*k], row, T(i+1))
	}
	small, vectors := ws.New(tensor.ShapeOf(k, k)), ws.New(tensor.ShapeOf(k, k))
	tensor.MatMul(ws, small, null, weighted, true, false)
	if err := linalg.SymmetricEigen(ws, ws.Slice(k), vectors, small); err != nil {
		return err
	}
	tensor.MatMul(ws, weighted, null, vectors, false, false)
	for i := range n {
		copy(q.Data()[i*n:i*n+k], weighted.Data()[i*k:(i+1)*k])
	}
	return nil
}
