package matrix

import (
	"context"
	"math"
	"sort"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// SOAP runs Adam in the eigenbasis of Shampoo's factors. For a matrix with gradient G [in, out]:
//
//	L ← β₃ L + (1−β₃) G Gᵀ,   R ← β₃ R + (1−β₃) Gᵀ G
//	G' = Q_Lᵀ G Q_R
//	M' ← β₁ M' + (1−β₁) G',   V ← β₂ V + (1−β₂) G'²
//	N' = M'/(1−β₁ᵗ) / (√V/√(1−β₂ᵗ) + ε + δ)
//	u ← Q_L N' Q_Rᵀ
//
// and every f-th step one step of orthogonal iteration on each basis: columns of Q, and V with them, sorted by
// falling diag(Qᵀ L Q), then Q ← orthonormal factor of L Q. Q starts as the eigenvectors of the first L; the first step
// sets it and moves nothing. A side longer than the largest dimension keeps the identity; what is not a matrix has Adam.
//
// Paper: Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", ICLR 2025, arXiv:2409.11321. Deviations: M' is
// kept in the basis and turned with it at a refresh, which is the paper's M in exact arithmetic and saves two products
// in each step; the iteration is made on L + √(unit roundoff)·tr L/in·I, so that columns in the null space of L stay instead of
// being drawn anew from rounding, and they start in the directions that the coordinates' order singles out; δ = 16 × the unit roundoff × the root of the mean ‖G‖², below which an element of G' is rounding (where L
// has a null space, Adam would make steps of full length from it); decay acts in the first step too.
//
// Cost: in·out (in + out) flops for the factors and 4 in·out (in + out) for the rotations in each step, and about
// 4.7 (in³ + out³)/f for the bases: with batches smaller than the layer is wide it costs more than the gradient. Memory
// 2 (in² + out²) + 2 in·out.
// Invariances: equivariant under orthogonal changes of a layer's inputs and outputs, W → O₁ W O₂ᵀ, while the factors have
// full rank; in a null space the basis is arbitrary.
// Failure: V is not turned at a refresh, and is stale after it: f above 25. Bases from noise at very small batches. The
// same batch over and over: the second gradient is the first, diagonal in its own bases, and the steps off the diagonal follow
// small differences, to which Adam gives full length.
type SOAP[T tensor.Float] struct {
	o        SOAPOptions
	inner    adam[T]
	ws       *tensor.Workspace[T]
	m, v     []T          // in the bases
	sides    [][2]side[T] // by parameter, of rows and of columns
	failed   []float64    // by parameter, refreshes one after the other
	failures int64
}

// SOAPOptions are the constants of [SOAP].
type SOAPOptions struct {
	Beta1, Beta2, FactorBeta, Eps float64
	Every                         int // f
	MaxDim                        int // sides longer than this keep the identity
}

// NewSOAP returns the link. It replaces the update of all parameters.
func NewSOAP[T tensor.Float](env optim.Env, o SOAPOptions) *SOAP[T] {
	l := env.Layout
	s := &SOAP[T]{o: o, inner: adam[T]{o.Beta1, o.Beta2, o.Eps}, ws: tensor.NewWorkspace[T](env.Pool),
		m: make([]T, l.Size()), v: make([]T, l.Size()), sides: make([][2]side[T], l.Len()), failed: make([]float64, l.Len())}
	for i, is := range matrices(l, true) {
		if is {
			s.sides[i] = newSides[T](l.At(i).Shape, o.MaxDim)
		}
	}
	return s
}

// Name returns "soap".
func (*SOAP[T]) Name() string { return "soap" }

// State returns moments, factors and bases.
func (s *SOAP[T]) State() optim.State[T] {
	state := optim.State[T]{{Name: "m", Vector: s.m}, {Name: "v", Vector: s.v}, {Name: "failed", Double: s.failed}, {Name: "failures", Int: &s.failures}}
	for i, sides := range s.sides {
		state = appendSides(state, i, sides)
	}
	return state
}

// Transform replaces the update.
func (s *SOAP[T]) Transform(_ context.Context, st *optim.Stage[T]) (optim.Verdict, error) {
	s.ws.Reset()
	t := st.T - 1 // of Adam
	for i := range s.sides {
		p := st.Layout.At(i)
		g := part(st.Update, p)
		m, v := part(s.m, p), part(s.v, p)
		sides := s.sides[i]
		matrix := !sides[0].factor.IsZero() || !sides[1].factor.IsZero()
		if matrix {
			s.failures += accumulate(s.ws, sides, g, s.o.FactorBeta)
		}
		switch {
		case t == 0:
			clear(g.Data())
			if matrix {
				if err := s.refresh(i, p, start[T]); err != nil {
					return optim.Skip, err
				}
			}
		case !matrix:
			s.inner.apply(s.ws, g.Data(), m.Data(), v.Data(), t)
		default:
			s.step(sides, g, m, v, t)
			if t%int64(s.o.Every) == 0 {
				turn(s.ws, sides, m, false)
				err := s.refresh(i, p, iterate[T])
				turn(s.ws, sides, m, true)
				if err != nil {
					return optim.Skip, err
				}
			}
		}
	}
	if s.failures > 0 {
		st.Log("failures", float64(s.failures))
	}
	st.Changed()
	return optim.Continue, nil
}

// step stores the direction in g.
func (s *SOAP[T]) step(sides [2]side[T], g, m, v tensor.Tensor[T], t int64) {
	defer s.ws.Release(s.ws.Mark())
	turn(s.ws, sides, g, true)
	d := s.ws.New(g.Shape())
	tensor.Axpby(s.ws, m, T(1-s.o.Beta1), g, T(s.o.Beta1))
	tensor.Mul(s.ws, d, g, g)
	tensor.Axpby(s.ws, v, T(1-s.o.Beta2), d, T(s.o.Beta2))
	// The factors' trace is the running mean of ‖G‖²; they have seen t+1 gradients.
	f := sides[0].factor
	if f.IsZero() {
		f = sides[1].factor
	}
	floor := 16 * unitRoundoff[T]() * math.Sqrt(trace(f)/(1-math.Pow(s.o.FactorBeta, float64(t+1))))
	if !(floor <= math.MaxFloat32) { // a factor that is not finite spoils its own refresh, not the step
		floor = 0
	}
	s.inner.direction(g.Data(), d.Data(), m.Data(), v.Data(), t, floor)
	turn(s.ws, sides, g, false)
}

// refresh applies how to each side of parameter i. A failure keeps the basis.
func (s *SOAP[T]) refresh(i int, p nn.Param, how func(*tensor.Workspace[T], side[T], tensor.Tensor[T], bool) error) error {
	v := part(s.v, p)
	for k, f := range s.sides[i] {
		if f.factor.IsZero() {
			continue
		}
		if err := how(s.ws, f, v, k == 0); err != nil {
			s.failures++
			if s.failed[i]++; s.failed[i] >= maxFailures {
				return &FailureError{Method: "soap", Param: p.Name, Times: int(s.failed[i]), Err: err}
			}
			return nil
		}
	}
	s.failed[i] = 0
	return nil
}

// iterate makes one step of orthogonal iteration on the basis, after sorting its columns, and the rows or columns
// of v with them, by their Rayleigh quotients.
func iterate[T tensor.Float](ws *tensor.Workspace[T], f side[T], v tensor.Tensor[T], rows bool) error {
	defer ws.Release(ws.Mark())
	n := f.factor.Shape().Rows()
	product, sorted, r := ws.New(f.factor.Shape()), ws.New(f.factor.Shape()), ws.New(f.factor.Shape())
	quotient := ws.New(tensor.ShapeOf(n))
	tensor.MatMul(ws, product, f.factor, f.basis, false, false)
	tensor.DotAxis(ws, quotient, f.basis, product, tensor.AxisOf(product.Shape(), 0, 1))
	order := make([]int, n)
	for j := range order {
		order[j] = j
	}
	sort.SliceStable(order, func(a, b int) bool { return quotient.Data()[order[a]] > quotient.Data()[order[b]] })
	tensor.Axpy(ws, product, T(math.Sqrt(unitRoundoff[T]())*trace(f.factor)/float64(n)), f.basis)
	columns(sorted, product, order)
	if err := linalg.QR(ws, product, r, sorted); err != nil {
		return err
	}
	tensor.Copy(ws, f.basis, product)
	old := ws.New(v.Shape())
	tensor.Copy(ws, old, v)
	if rows {
		c := v.Shape().Cols()
		for i, from := range order {
			copy(v.Data()[i*c:(i+1)*c], old.Data()[from*c:(from+1)*c])
		}
	} else {
		columns(v, old, order)
	}
	return nil
}

// columns stores column order[j] of a in column j of dst.
func columns[T tensor.Float](dst, a tensor.Tensor[T], order []int) {
	c := len(order)
	d, x := dst.Data(), a.Data()
	for at := 0; at < len(d); at += c {
		to, from := d[at:at+c], x[at:at+c]
		for j, k := range order {
			to[j] = from[k]
		}
	}
}

func specSOAP[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "soap", Title: "SOAP",
		Formula: "matrices:  L ← β₃ L + (1−β₃) G Gᵀ,   R ← β₃ R + (1−β₃) Gᵀ G\n" +
			"           Q_L, Q_R: eigenvectors of L and R, one step of orthogonal iteration every f steps\n" +
			"           G' = Q_Lᵀ G Q_R,   N' = Adam(G'),   W ← (1 − lr·λ) W − lr·Q_L N' Q_Rᵀ\n" +
			"others:    AdamW\nthe first step sets L, R, Q_L, Q_R and moves nothing",
		Paper:   "Vyas et al., SOAP: improving and stabilizing Shampoo using Adam, ICLR 2025, arXiv:2409.11321",
		When:    "Where steps count more than their cost: large batches, layers of moderate width. Settings as AdamW's, and fewer steps.",
		WhenNot: "Small batches on wide layers, where a step costs several gradients. Memory: six numbers for each weight of a square matrix.",
		Settings: []optim.Setting{optim.RateSetting(0.003),
			{Name: "beta1", Default: 0.95, Min: 0, Max: 1, OpenMax: true, Doc: "β₁, decay of the mean of the gradients"},
			{Name: "beta2", Default: 0.95, Min: 0, Max: 1, OpenMax: true, Doc: "β₂, decay of the mean of the squares in the basis"},
			{Name: "factor-beta", Default: 0.95, Min: 0, Max: 1, OpenMax: true, Doc: "β₃, decay of the factors L and R"},
			optim.EpsilonSetting(1e-8),
			{Name: "every", Default: 10, Min: 1, Max: 1e6, Integer: true, Doc: "f, steps from one refresh of the bases to the next"},
			{Name: "max-dim", Default: 1024, Min: 1, Max: 1e6, Integer: true, Doc: "a side longer than this keeps the identity for its basis"},
			optim.DecaySetting(0.01, "decoupled: a step multiplies the weights by 1 − lr·λ")},
		MemoryFloats: 6, GradientsPerStep: 1, Invariances: optim.Rest, Cost: costSOAP,
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			k := optim.NewBuilder[T](env, s)
			return k.Method(NewSOAP[T](env, SOAPOptions{Beta1: s["beta1"], Beta2: s["beta2"], FactorBeta: s["factor-beta"], Eps: s["eps"],
				Every: int(s["every"]), MaxDim: int(s["max-dim"])}), k.Decay(), k.Descend())
		},
	}
}
