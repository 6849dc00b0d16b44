package matrix

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Shampoo multiplies the momentum of each matrix by inverse roots of the gradient's second moments over rows and over
// columns. With gradient G [in, out]:
//
//	L ← β₂ L + (1−β₂) G Gᵀ,   R ← β₂ R + (1−β₂) Gᵀ G      (β₂ = 1: sums)
//	M ← β₁ M + (1−β₁) G,   M̂ = M/(1−β₁ᵗ)
//	P = (L̂ + ε tr L̂/in)^(−1/p) M̂ (R̂ + ε tr R̂/out)^(−1/p),   L̂ = L/(1−β₂ᵗ), R̂ likewise
//	u ← P ‖N‖/‖P‖
//
// N, the step that P is grafted to, is M̂ itself or Adam's; without grafting u = P. Matrices with a side longer than the block
// size are cut into blocks of even size, each a matrix of its own. What is not a matrix has Adam, or M̂ where N is M̂.
//
// The roots are renewed every f-th step, in the first 100 steps, when they would be stale soonest, every f₀-th if that is
// fewer, and in steps 1, 2, 4, … below the period. With a tolerance τ the eigenvectors Q of a factor are kept, and
// while ‖T − diag T‖ ≤ τ ‖T‖, T = Qᵀ L Q, the renewal takes diag T for the eigenvalues and no new eigenvectors.
//
// Papers: Gupta, Koren and Singer, "Shampoo: preconditioned stochastic tensor optimization", 2018, arXiv:1802.09568; Anil et
// al., "Scalable second order optimization for deep learning", 2020, arXiv:2002.09018 (grafting, blocks, stale roots);
// Shi et al., "A distributed data-parallel PyTorch implementation of the distributed Shampoo optimizer",
// 2023, arXiv:2309.06497. Deviations: ε is relative to the mean eigenvalue, so that the scale of the loss does not matter; the
// programs' is absolute.
//
// Cost: 3 in·out (in + out) flops a step for factors and application, and about 6 (in³ + out³)/f for the roots by
// eigenvalues, several times that by coupled Newton iteration, all of it matrix products. Memory 2 (in² + out²) + 2 in·out,
// less with blocks.
// Invariances: equivariant under orthogonal changes of a layer's inputs and outputs with one block (grafted to Adam: up to
// the length); with one step and without grafting, P tends to U Vᵀ for p = 4.
// Failure: without grafting no learning rate serves for long. Newton's iteration stalls in float32 beyond a condition
// number of about 10⁵: raise ε, or leave the roots to the eigenvalues, which also take over where it fails.
type Shampoo[T tensor.Float] struct {
	o        ShampooOptions
	inner    adam[T]
	ws       *tensor.Workspace[T]
	m        []T
	v        [][]T // by parameter, where Adam is
	blocks   [][]block[T]
	failed   []float64 // by parameter, refreshes one after the other
	failures int64
	kept     int64 // renewals without new eigenvectors
}

// block is a part of a matrix with its factors, their roots and, with a tolerance, their eigenvectors, of rows and of columns.
type block[T tensor.Float] struct {
	row, rows, col, cols int
	factor, root, basis  [2]tensor.Tensor[T]
}

// Graft says whose length a preconditioned step has.
type Graft uint8

const (
	NoGraft   Graft = iota
	GraftSGD        // that of the momentum
	GraftAdam       // that of Adam's step
)

// ShampooOptions are the constants of [Shampoo].
type ShampooOptions struct {
	Beta1, Beta2 float64
	Eps          float64 // ε, relative to the mean eigenvalue
	Root         int     // p
	Newton       bool    // roots by the coupled Newton iteration
	Graft        Graft
	GraftBeta2   float64 // of Adam
	GraftEps     float64
	Every        int     // f
	Early        int     // f₀, in the first 100 steps
	Tolerance    float64 // τ; 0: new eigenvectors at every renewal
	Block        int     // longest side of a block
	Sum          bool    // CASPR's P
}

// NewShampoo returns the link. It replaces the update of all parameters.
func NewShampoo[T tensor.Float](env optim.Env, o ShampooOptions) *Shampoo[T] {
	l := env.Layout
	s := &Shampoo[T]{o: o, inner: adam[T]{o.Beta1, o.GraftBeta2, o.GraftEps}, ws: tensor.NewWorkspace[T](env.Pool),
		m: make([]T, l.Size()), v: make([][]T, l.Len()), blocks: make([][]block[T], l.Len()), failed: make([]float64, l.Len())}
	for i, is := range matrices(l, true) {
		shape := l.At(i).Shape
		if is {
			s.blocks[i] = cut[T](shape.Rows(), shape.Cols(), o.Block, o.Tolerance > 0)
		}
		if o.Graft == GraftAdam || !is && o.Graft == NoGraft {
			s.v[i] = make([]T, shape.Size())
		}
	}
	return s
}

// cut returns the blocks of a matrix, with sides of at most the given length that differ by one at most.
func cut[T tensor.Float](rows, cols, most int, bases bool) []block[T] {
	var blocks []block[T]
	nr, nc := (rows+most-1)/most, (cols+most-1)/most
	for i := range nr {
		for j := range nc {
			b := block[T]{row: i * rows / nr, col: j * cols / nc}
			b.rows, b.cols = (i+1)*rows/nr-b.row, (j+1)*cols/nc-b.col
			for k, n := range []int{b.rows, b.cols} {
				b.factor[k], b.root[k] = tensor.New[T](n, n), identity[T](n)
				if bases {
					b.basis[k] = identity[T](n)
				}
			}
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// Name returns "shampoo", or "caspr".
func (s *Shampoo[T]) Name() string {
	if s.o.Sum {
		return "caspr"
	}
	return "shampoo"
}

// State returns moments, factors and roots.
func (s *Shampoo[T]) State() optim.State[T] {
	state := optim.State[T]{{Name: "m", Vector: s.m}, {Name: "failed", Double: s.failed}, {Name: "failures", Int: &s.failures}, {Name: "kept", Int: &s.kept}}
	for i := range s.v {
		if s.v[i] != nil {
			state = append(state, optim.StateEntry[T]{Name: fmt.Sprintf("p%d.v", i), Vector: s.v[i]})
		}
		for j, b := range s.blocks[i] {
			for k, side := range []string{"rows", "cols"} {
				prefix := fmt.Sprintf("p%d.b%d.%s.", i, j, side)
				state = append(state, optim.StateEntry[T]{Name: prefix + "factor", Vector: b.factor[k].Data()},
					optim.StateEntry[T]{Name: prefix + "root", Vector: b.root[k].Data()})
				if q := b.basis[k]; !q.IsZero() {
					state = append(state, optim.StateEntry[T]{Name: prefix + "basis", Vector: q.Data()})
				}
			}
		}
	}
	return state
}

// Transform replaces the update.
func (s *Shampoo[T]) Transform(_ context.Context, st *optim.Stage[T]) (optim.Verdict, error) {
	s.ws.Reset()
	t := st.T
	due := s.due(t)
	for i := range s.blocks {
		p := st.Layout.At(i)
		g, m := part(st.Update, p), part(s.m, p)
		if s.blocks[i] == nil && s.v[i] != nil {
			s.inner.apply(s.ws, g.Data(), m.Data(), s.v[i], t)
			continue
		}
		mark := s.ws.Mark()
		for j := range s.blocks[i] {
			s.accumulate(&s.blocks[i][j], g)
		}
		if due {
			if err := s.refresh(i, p, t); err != nil {
				return optim.Skip, err
			}
		}
		tensor.Axpby(s.ws, m, T(1-s.o.Beta1), g, T(s.o.Beta1))
		mean, graft := s.ws.New(g.Shape()), s.ws.New(g.Shape())
		tensor.Scale(s.ws, mean, m, T(1/(1-math.Pow(s.o.Beta1, float64(t)))))
		if v := s.v[i]; v != nil {
			vt := tensor.Of(v, g.Shape())
			tensor.Mul(s.ws, graft, g, g)
			tensor.Axpby(s.ws, vt, T(1-s.o.GraftBeta2), graft, T(s.o.GraftBeta2))
			d := s.ws.Slice(len(v))
			s.inner.direction(graft.Data(), d, m.Data(), v, t, 0)
		} else {
			tensor.Copy(s.ws, graft, mean)
		}
		if s.blocks[i] == nil {
			tensor.Copy(s.ws, g, mean)
		}
		for j := range s.blocks[i] {
			s.precondition(&s.blocks[i][j], g, mean, graft)
		}
		s.ws.Release(mark)
	}
	if s.failures > 0 {
		st.Log("failures", float64(s.failures))
	}
	if s.kept > 0 {
		st.Log("bases-kept", float64(s.kept))
	}
	st.Changed()
	return optim.Continue, nil
}

// earlySteps is how many steps Early rules.
const earlySteps = 100

// due reports whether the roots are renewed in step t.
func (s *Shampoo[T]) due(t int64) bool {
	every := int64(s.o.Every)
	if t <= earlySteps {
		every = min(every, int64(s.o.Early))
	}
	return dueAt(t, every)
}

// dueAt reports whether t is a multiple of the period, or a power of two below it.
func dueAt(t, every int64) bool { return t%every == 0 || t < every && t&(t-1) == 0 }

// copyBlock copies b's part of the matrix a to the contiguous c, or back.
func (b *block[T]) copyBlock(a, c tensor.Tensor[T], back bool) {
	n := a.Shape().Cols()
	for i := range b.rows {
		x := a.Data()[(b.row+i)*n+b.col:][:b.cols]
		y := c.Data()[i*b.cols:][:b.cols]
		if back {
			x, y = y, x
		}
		copy(y, x)
	}
}

// accumulate moves the factors of a block. A product that overflows is left out.
func (s *Shampoo[T]) accumulate(b *block[T], g tensor.Tensor[T]) {
	defer s.ws.Release(s.ws.Mark())
	x := s.ws.New(tensor.ShapeOf(b.rows, b.cols))
	b.copyBlock(g, x, false)
	fresh := 1 - s.o.Beta2
	if s.o.Beta2 == 1 {
		fresh = 1
	}
	for k, f := range b.factor {
		product := s.ws.New(f.Shape())
		linalg.SymmetricProduct(s.ws, product, x, x, k == 1, k == 0)
		if tensor.AllFinite(product) {
			tensor.Axpby(s.ws, f, T(fresh), product, T(s.o.Beta2))
		} else {
			s.failures++
		}
	}
}

// refresh renews the roots of parameter i. One that fails stays as it was.
func (s *Shampoo[T]) refresh(i int, p nn.Param, t int64) error {
	var failure error
	for j := range s.blocks[i] {
		b := &s.blocks[i][j]
		for k := range b.factor {
			if err := s.root(b.root[k], b.basis[k], b.factor[k], t); err != nil {
				s.failures++
				failure = err
			}
		}
	}
	if failure == nil {
		s.failed[i] = 0
		return nil
	}
	if s.failed[i]++; s.failed[i] >= maxFailures {
		return &FailureError{Method: s.Name(), Param: p.Name, Times: int(s.failed[i]), Err: failure}
	}
	return nil
}

// root stores (f̂ + ε tr f̂/n)^(−1/p) in dst. A factor of zero, which has seen no gradient, leaves dst as it is. Where there is
// a basis, it is used, or renewed.
func (s *Shampoo[T]) root(dst, basis, f tensor.Tensor[T], t int64) error {
	defer s.ws.Release(s.ws.Mark())
	total := trace(f)
	if total == 0 {
		return nil
	}
	corrected := 1.0
	if s.o.Beta2 < 1 {
		corrected = 1 - math.Pow(s.o.Beta2, float64(t))
	}
	// The root of the factor at mean eigenvalue 1, so that no power leaves the range of T.
	n := f.Shape().Rows()
	mean := total / float64(n)
	x := s.ws.New(f.Shape())
	tensor.Scale(s.ws, x, f, T(1/mean))
	back := T(math.Pow(mean/corrected, -1/float64(s.o.Root)))
	var err error
	if s.o.Newton {
		_, _, err = linalg.InverseRootNewton(s.ws, x, x, s.o.Root, s.o.Eps, 4*float64(n)*unitRoundoff[T]())
	}
	if wrong := (linalg.RootError{}); !s.o.Newton || errors.As(err, &wrong) {
		if basis.IsZero() {
			err = linalg.InverseRootEigen(s.ws, x, x, float64(s.o.Root), s.o.Eps)
		} else {
			err = s.rootInBasis(x, basis)
		}
	}
	if err != nil {
		return err
	}
	tensor.Scale(s.ws, dst, x, back)
	return nil
}

// rootInBasis replaces x by (x + ε)^(−1/p), and the basis by the eigenvectors of x unless they nearly are that.
func (s *Shampoo[T]) rootInBasis(x, basis tensor.Tensor[T]) error {
	if !tensor.AllFinite(x) {
		return linalg.InverseRootEigen(s.ws, x, x, float64(s.o.Root), s.o.Eps) // which says where
	}
	defer s.ws.Release(s.ws.Mark())
	n := x.Shape().Rows()
	values, y, turned := s.ws.Slice(n), s.ws.New(x.Shape()), s.ws.New(x.Shape())
	tensor.MatMul(s.ws, y, x, basis, false, false)
	tensor.MatMul(s.ws, turned, basis, y, true, false)
	for i := range n {
		values[i] = turned.At(i, i)
		turned.Set(0, i, i)
	}
	off, on := tensor.Norm(s.ws, turned), tensor.Norm(s.ws, tensor.FromSlice(values, n))
	if off <= s.o.Tolerance*math.Hypot(off, on) {
		s.kept++
	} else {
		if err := linalg.SymmetricEigen(s.ws, values, turned, x); err != nil {
			return err
		}
		tensor.Copy(s.ws, basis, turned)
	}
	for j, v := range values {
		values[j] = T(math.Pow(max(0, float64(v))+s.o.Eps, -1/float64(2*s.o.Root)))
	}
	tensor.MulAxis(s.ws, y, basis, tensor.Of(values, tensor.ShapeOf(n)), tensor.AxisOf(y.Shape(), 0, 1))
	linalg.SymmetricProduct(s.ws, x, y, y, false, true)
	return nil
}

// precondition stores the block's direction in its part of u; mean is the momentum M̂, graft N.
func (s *Shampoo[T]) precondition(b *block[T], u, mean, graft tensor.Tensor[T]) {
	defer s.ws.Release(s.ws.Mark())
	shape := tensor.ShapeOf(b.rows, b.cols)
	x, y := s.ws.New(shape), s.ws.New(shape)
	b.copyBlock(mean, x, false)
	if s.o.Sum {
		casprDirection(s.ws, x, y, b.root[0], b.root[1])
	} else {
		tensor.MatMul(s.ws, y, b.root[0], x, false, false)
		tensor.MatMul(s.ws, x, y, b.root[1], false, false)
	}
	if s.o.Graft != NoGraft {
		b.copyBlock(graft, y, false)
		if norm := tensor.Norm(s.ws, x); norm > 0 {
			tensor.Scale(s.ws, x, x, T(tensor.Norm(s.ws, y)/norm))
		}
	}
	b.copyBlock(u, x, true)
}

func specShampoo[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "shampoo", Title: "Shampoo",
		Formula: "matrices:  L ← β₂ L + (1−β₂) G Gᵀ,   R ← β₂ R + (1−β₂) Gᵀ G      (β₂ = 1: sums)\n" +
			"           M ← β₁ M + (1−β₁) G,   M̂ = M/(1−β₁ᵗ)\n" +
			"           P = (L̂ + ε tr L̂/in)^(−1/p) M̂ (R̂ + ε tr R̂/out)^(−1/p)\n" +
			"           W ← (1 − lr·λ) W − lr·‖N‖/‖P‖·P      (N: M̂ or Adam's step, by blocks; graft = 0: no factor)\nothers:    AdamW (graft = 1: momentum)",
		Paper:   "Gupta, Koren and Singer, Shampoo, ICML 2018, arXiv:1802.09568; Anil et al., arXiv:2002.09018; Shi et al., arXiv:2309.06497",
		When:    "Large batches, where fewer steps pay for costlier ones; grafted to Adam it takes AdamW's learning rate.",
		WhenNot: "Small batches on wide layers, where a step costs several gradients. Memory: six numbers for each weight of a square matrix.",
		Settings: append([]optim.Setting{optim.RateSetting(0.003),
			{Name: "root", Default: 4, Min: 1, Max: 16, Integer: true, Doc: "p of the inverse roots L^(−1/p) and R^(−1/p)"}}, shampooSettings(1e-5)...),
		MemoryFloats: 6, GradientsPerStep: 1, Invariances: optim.Rest, Cost: costShampoo(3),
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			k := optim.NewBuilder[T](env, s)
			o := shampooOptions(s)
			o.Root = int(s["root"])
			return k.Method(NewShampoo[T](env, o), k.Decay(), k.Descend())
		},
	}
}

// shampooSettings are those that CASPR has, too.
func shampooSettings(ridge float64) []optim.Setting {
	return []optim.Setting{
		{Name: "beta1", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Doc: "β₁, decay of the mean of the gradients"},
		{Name: "beta2", Default: 0.99, Min: 0, Max: 1, Doc: "β₂, decay of the factors L and R; 1: sums over all steps"},
		{Name: "ridge", Default: ridge, Min: 1e-30, Max: 1, Log: true, Doc: "ε, added to the factors, in parts of their mean eigenvalue"},
		{Name: "newton", Min: 0, Max: 1, Switch: true, Doc: "roots by the coupled Newton iteration, not by eigenvalues"},
		{Name: "graft", Default: 2, Min: 0, Max: 2, Integer: true, Doc: "whose length a step has: 0 its own, 1 the momentum's, 2 that of Adam's step"},
		{Name: "adam-beta2", Default: 0.99, Min: 0, Max: 1, OpenMax: true, Doc: "β₂ of Adam, for the length and for what is not a matrix"},
		optim.EpsilonSetting(1e-8),
		{Name: "every", Default: 10, Min: 1, Max: 1e6, Integer: true, Doc: "f, steps from one renewal of the roots to the next"},
		{Name: "early", Default: 5, Min: 1, Max: 1e6, Integer: true, Doc: "f₀, the same in the first 100 steps, if it is fewer"},
		{Name: "tolerance", Min: 0, Max: 1, Doc: "τ: a renewal keeps the eigenvectors while the factor is diagonal in them up to this part; 0: never"},
		{Name: "block", Default: 1024, Min: 2, Max: 1e6, Integer: true, Doc: "longest side of a block"},
		optim.DecaySetting(0.01, "decoupled: a step multiplies the weights by 1 − lr·λ"),
	}
}

func shampooOptions(s optim.Settings) ShampooOptions {
	return ShampooOptions{Beta1: s["beta1"], Beta2: s["beta2"], Eps: s["ridge"], Root: 4, Newton: s.On("newton"), Graft: Graft(s["graft"]),
		GraftBeta2: s["adam-beta2"], GraftEps: s["eps"], Every: int(s["every"]), Early: int(s["early"]), Tolerance: s["tolerance"], Block: int(s["block"])}
}
