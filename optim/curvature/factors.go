package curvature

import (
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// A factor is the running mean of one of the two matrices of a layer, Σ/w with Σ ← ρΣ + c·new and w ← ρw + 1.
type factor[T tensor.Float] interface {
	begin(ws *tensor.Workspace[T])                        // clears the statistics in progress; ws lends their storage
	add(ws *tensor.Workspace[T], rows tensor.Tensor[T])   // new ← new + rowsᵀ rows
	finite() bool                                         // of the statistics in progress
	commit(ws *tensor.Workspace[T], scale, decay float64) // moves the mean to c·new, c = scale
	mean(weight float64) float64                          // the mean eigenvalue tr M/n, where w = weight
	state(name string) optim.State[T]
}

// A solver is a factor with its damped inverse (M + δI)⁻¹.
type solver[T tensor.Float] interface {
	factor[T]
	// refresh makes the inverse that solve applies, of the mean where w = weight. It reports false, and keeps the last, if a
	// factorisation fails.
	refresh(ws *tensor.Workspace[T], weight float64, d damping) bool
	// solve stores (M+δI)⁻¹ x, or x (M+δI)⁻¹ from the right, in dst, which must not be x.
	solve(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], right bool)
}

// damping is δ = absolute + relative·(largest eigenvalue).
type damping struct{ absolute, relative float64 }

// average is a factor that is kept as it is.
type average[T tensor.Float] struct {
	sum   tensor.Tensor[T] // Σ [n, n]
	new   tensor.Tensor[T] // the statistics in progress
	begun bool             // new holds something
}

func newAverage[T tensor.Float](n int) average[T] { return average[T]{sum: tensor.New[T](n, n)} }

func (a *average[T]) begin(ws *tensor.Workspace[T]) { a.new, a.begun = ws.New(a.sum.Shape()), false }

func (a *average[T]) add(ws *tensor.Workspace[T], rows tensor.Tensor[T]) {
	if !a.begun {
		linalg.SymmetricProduct(ws, a.new, rows, rows, true, false)
		a.begun = true
		return
	}
	mark := ws.Mark()
	defer ws.Release(mark)
	product := ws.New(a.sum.Shape())
	linalg.SymmetricProduct(ws, product, rows, rows, true, false)
	tensor.Add(ws, a.new, a.new, product)
}

// finite looks at the diagonal alone: a number in the rows that is not finite is on it, and |Σxy| ≤ √(Σx²Σy²).
func (a *average[T]) finite() bool {
	m := meanDiagonal(a.new)
	return !math.IsNaN(m) && !math.IsInf(m, 0)
}

func (a *average[T]) commit(ws *tensor.Workspace[T], scale, decay float64) {
	tensor.Axpby(ws, a.sum, T(scale), a.new, T(decay))
}

func (a *average[T]) mean(weight float64) float64 { return meanDiagonal(a.sum) / weight }

func (a *average[T]) state(name string) optim.State[T] {
	return optim.State[T]{{Name: name, Vector: a.sum.Data()}}
}

// value returns the mean Σ/w in storage of ws.
func (a *average[T]) value(ws *tensor.Workspace[T], weight float64) tensor.Tensor[T] {
	m := ws.New(a.sum.Shape())
	tensor.Scale(ws, m, a.sum, T(1/weight))
	return m
}

// meanDiagonal returns the mean eigenvalue tr M/n.
func meanDiagonal[T tensor.Float](m tensor.Tensor[T]) float64 {
	n, sum := m.Shape().Dim(0), 0.0
	for i := range n {
		sum += float64(m.At(i, i))
	}
	return sum / float64(n)
}

// dense is a factor with its inverse as a matrix, by Cholesky factorisation.
//
// Cost: 7/3 n³ flops for the inverse, 2n²m to apply it to an n×m matrix; 2n² numbers.
type dense[T tensor.Float] struct {
	average[T]
	inverse tensor.Tensor[T]
}

func newDense[T tensor.Float](n int) *dense[T] {
	return &dense[T]{average: newAverage[T](n), inverse: tensor.New[T](n, n)}
}

// tries is how often a factorisation that fails is tried again with ten times the damping.
const tries = 4

func (f *dense[T]) refresh(ws *tensor.Workspace[T], weight float64, d damping) bool {
	mark := ws.Mark()
	defer ws.Release(mark)
	m := f.value(ws, weight)
	delta := d.absolute
	if d.relative > 0 {
		values := ws.Slice(m.Shape().Dim(0))
		if linalg.SymmetricEigen(ws, values, tensor.Tensor[T]{}, m) != nil {
			return false
		}
		delta += d.relative * float64(values[len(values)-1])
	}
	l, inverse := ws.New(m.Shape()), ws.New(m.Shape())
	for range tries {
		tensor.Copy(ws, l, m)
		linalg.AddDiagonal(l, T(delta))
		if linalg.Cholesky(ws, l, l) == nil && linalg.CholeskyInverse(ws, inverse, l) == nil && tensor.AllFinite(inverse) {
			tensor.Copy(ws, f.inverse, inverse)
			return true
		}
		delta *= 10
	}
	return false
}

func (f *dense[T]) solve(ws *tensor.Workspace[T], dst, x tensor.Tensor[T], right bool) {
	if right {
		tensor.MatMul(ws, dst, x, f.inverse, false, false)
	} else {
		tensor.MatMul(ws, dst, f.inverse, x, false, false)
	}
}

func (f *dense[T]) state(name string) optim.State[T] {
	return append(f.average.state(name), optim.StateEntry[T]{Name: name + "-inverse", Vector: f.inverse.Data()})
}

// An inverse is what the gradient of a layer is multiplied by.
type inverse[T tensor.Float] interface {
	refresh(ws *tensor.Workspace[T], weight, lambda float64) bool
	apply(ws *tensor.Workspace[T], dst, grad tensor.Tensor[T], lambda float64)
	state(name string) optim.State[T]
}

// product is the inverse of the factors one by one, (A + δ_A I)⁻¹ ∇W̄ (G + δ_G I)⁻¹, where each is inverted in its own way. Either
// δ_A δ_G = λ with the split of [Split], or δ is λ times the factor's largest eigenvalue.
type product[T tensor.Float] struct {
	a, g     solver[T]
	relative bool
	follows  bool    // the layer belongs to those that Brand's update is for: see follow
	flat     float64 // λ at the last refresh if a factor was zero then: the limit of the formula is the damping alone; else 0
}

func (p *product[T]) refresh(ws *tensor.Workspace[T], weight, lambda float64) bool {
	return p.renew(ws, weight, lambda, solver[T].refresh)
}

// follow renews the inverse after statistics in the dense layers of methods with [online] factors. All that moves with the statistics, and
// all dampings, must be as recent: with some inverses of today and some of ten updates ago the steps are worse than with all old, or
// all new. What is not online in these layers is narrow, and cheap.
func (p *product[T]) follow(ws *tensor.Workspace[T], weight, lambda float64) bool {
	if !p.follows {
		return true
	}
	return p.renew(ws, weight, lambda, func(f solver[T], ws *tensor.Workspace[T], weight float64, d damping) bool {
		if o, is := f.(*online[T]); is {
			o.modes.damp(d)
			return o.modes.rank > 0
		}
		return f.refresh(ws, weight, d)
	})
}

// renew renews both inverses by one at the dampings that belong to λ.
func (p *product[T]) renew(ws *tensor.Workspace[T], weight, lambda float64, one func(f solver[T], ws *tensor.Workspace[T], weight float64, d damping) bool) bool {
	ta, tg := p.a.mean(weight), p.g.mean(weight)
	if ta == 0 || tg == 0 {
		p.flat = lambda
		return true
	}
	da, dg := damping{relative: lambda}, damping{relative: lambda}
	if !p.relative {
		forA, forG := Split(ta, tg, lambda)
		da, dg = damping{absolute: forA}, damping{absolute: forG}
	}
	if !one(p.a, ws, weight, da) || !one(p.g, ws, weight, dg) {
		return false
	}
	p.flat = 0
	return true
}

func (p *product[T]) apply(ws *tensor.Workspace[T], dst, grad tensor.Tensor[T], _ float64) {
	if p.flat > 0 {
		tensor.Scale(ws, dst, grad, T(1/p.flat))
		return
	}
	a, truncatedA := p.a.(truncated[T])
	g, truncatedG := p.g.(truncated[T])
	if truncatedA && truncatedG {
		solveBoth(ws, dst, grad, a.leading(), g.leading())
		return
	}
	mark := ws.Mark()
	defer ws.Release(mark)
	half := ws.New(grad.Shape())
	p.a.solve(ws, half, grad, false)
	p.g.solve(ws, dst, half, true)
}

func (p *product[T]) state(name string) optim.State[T] {
	return optim.State[T]{{Name: name + ".flat", Float: &p.flat}}
}

// Split returns the dampings π√λ of A and √λ/π of G, whose product is λ, with π² = meanA/meanG the ratio of the mean
// eigenvalues. For that π the trace norm of the excess (A + π√λ I)⊗(G + √λ/π I) − (A⊗G + λI) is least. Where a mean is zero
// π is 1.
func Split(meanA, meanG, lambda float64) (forA, forG float64) {
	pi := math.Sqrt(meanA / meanG)
	if !(meanA > 0) || !(meanG > 0) || math.IsInf(pi, 0) || pi == 0 {
		pi = 1
	}
	root := math.Sqrt(lambda)
	return pi * root, root / pi
}
