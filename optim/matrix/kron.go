package matrix

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Kron whitens the momentum of each matrix with a Kronecker product of two triangular factors that are fitted by
// stochastic gradient descent on the group of triangular matrices (PSGD-Kron). With gradient G [in, out] and upper triangular
// Q₁ [in, in] and Q₂ [out, out]:
//
//	M ← β M + (1−β) G,   M̂ = M/(1−βᵗ)
//	with probability π_t:
//	    V ~ N(0, 1),   A = Q₁ M̂ Q₂ᵀ,   B = Q₁⁻ᵀ V Q₂⁻¹                 (triangular solves)
//	    Q₁ ← Q₁ − η triu(A Aᵀ − B Bᵀ) Q₁/‖A Aᵀ + B Bᵀ‖
//	    Q₂ ← Q₂ − η triu(Aᵀ A − Bᵀ B) Q₂/‖Aᵀ A + Bᵀ B‖
//	P = Q₁ᵀ Q₁ M̂ Q₂ᵀ Q₂,   u ← P·min(1, c/rms P)
//
// E[A Aᵀ] = E[B Bᵀ] where P is white. π_t is 1 for the first k = 500 steps and then falls as exp(−(t−k)/2k) to its last value.
// Both Q start as multiples of I that make P's root mean square 1. V and the choice of steps are functions of the seed, the step
// and the parameter. A side longer than the largest dimension keeps its multiple of I; what is not a matrix has Adam.
//
// Papers: Li, "Preconditioned stochastic gradient descent", 2015, arXiv:1512.04202; Li, "Stochastic Hessian fittings with Lie
// groups", 2024, arXiv:2402.11858; the schedule of π and the clipping are those of the program kron. Deviations: the norm is a
// lower bound of the spectral norm, two steps of power iteration from the longest row; Q starts at the scale of the first gradient, so that no
// scale of the loss matters; factors are not balanced against each other (the start makes them equal, and both move by
// relative amounts).
//
// Cost: 4 in·out (in + out) flops a step, and π (5 in·out (in + out) + 2 (in³ + out³)) for the factors. No eigenvalues. Memory in² + out² +
// in·out.
// Invariances: no scale of a gradient matters.
// Failure: early, before Q has adapted, it is momentum of unit length; the noise of V stays in Q by the rate η.
type Kron[T tensor.Float] struct {
	o        KronOptions
	key      tensor.Key
	inner    adam[T]
	ws       *tensor.Workspace[T]
	m        []T
	v        [][]T                 // by parameter: second moments of what is not a matrix
	q        [][2]tensor.Tensor[T] // by parameter, of rows and of columns; zero for a long side
	scale    []float64             // by parameter: the multiple of I for long sides; 0 before the first gradient that is not 0
	failed   []float64             // by parameter, refreshes one after the other
	failures int64
}

// KronOptions are the constants of [Kron].
type KronOptions struct {
	Momentum       float64 // β
	Rate           float64 // η
	Refresh        float64 // the last value of π
	Flat           int     // k
	Clip           float64 // c
	MaxDim         int     // sides longer than this keep a multiple of I
	Seed           uint64
	AdamBeta2, Eps float64 // of what is not a matrix
}

// NewKron returns the link. It replaces the update of all parameters.
func NewKron[T tensor.Float](env optim.Env, o KronOptions) *Kron[T] {
	l := env.Layout
	s := &Kron[T]{o: o, key: tensor.KeyOf(o.Seed).Named("psgd-kron"), inner: adam[T]{o.Momentum, o.AdamBeta2, o.Eps}, ws: tensor.NewWorkspace[T](env.Pool),
		m: make([]T, l.Size()), v: make([][]T, l.Len()), q: make([][2]tensor.Tensor[T], l.Len()), scale: make([]float64, l.Len()), failed: make([]float64, l.Len())}
	for i, is := range matrices(l, true) {
		shape := l.At(i).Shape
		if !is {
			s.v[i] = make([]T, shape.Size())
			continue
		}
		for k, n := range []int{shape.Rows(), shape.Cols()} {
			if n <= o.MaxDim {
				s.q[i][k] = identity[T](n)
			}
		}
	}
	return s
}

// Name returns "psgd-kron".
func (*Kron[T]) Name() string { return "psgd-kron" }

// State returns moments and factors.
func (s *Kron[T]) State() optim.State[T] {
	state := optim.State[T]{{Name: "m", Vector: s.m}, {Name: "scale", Double: s.scale}, {Name: "failed", Double: s.failed}, {Name: "failures", Int: &s.failures}}
	for i := range s.v {
		if s.v[i] != nil {
			state = append(state, optim.StateEntry[T]{Name: fmt.Sprintf("p%d.v", i), Vector: s.v[i]})
		}
		for k, side := range []string{"rows", "cols"} {
			if q := s.q[i][k]; !q.IsZero() {
				state = append(state, optim.StateEntry[T]{Name: fmt.Sprintf("p%d.%s.q", i, side), Vector: q.Data()})
			}
		}
	}
	return state
}

// refreshes reports whether step t refreshes the factors.
func (s *Kron[T]) refreshes(t int64) bool {
	p, flat := s.o.Refresh, int64(s.o.Flat)
	if t <= flat {
		p = 1
	} else if flat > 0 {
		p = math.Max(p, math.Exp(-float64(t-flat)/float64(2*flat)))
	}
	return s.key.Named("refresh").Float64(uint64(t)) < p
}

// Transform replaces the update.
func (s *Kron[T]) Transform(_ context.Context, st *optim.Stage[T]) (optim.Verdict, error) {
	s.ws.Reset()
	due := s.refreshes(st.T)
	for i := range s.v {
		p := st.Layout.At(i)
		g, m := part(st.Update, p), part(s.m, p)
		if s.v[i] != nil {
			s.inner.apply(s.ws, g.Data(), m.Data(), s.v[i], st.T)
			continue
		}
		tensor.Axpby(s.ws, m, T(1-s.o.Momentum), g, T(s.o.Momentum))
		tensor.Scale(s.ws, g, m, T(1/(1-math.Pow(s.o.Momentum, float64(st.T)))))
		rms := tensor.Norm(s.ws, g) / math.Sqrt(float64(g.Size()))
		if rms == 0 { // nothing to learn from, and nowhere to go
			continue
		}
		if s.scale[i] == 0 {
			s.begin(i, rms)
		}
		if due {
			if err := s.refresh(i, st.T, g); err != nil {
				s.failures++
				if s.failed[i]++; s.failed[i] >= maxFailures {
					return optim.Skip, &FailureError{Method: "psgd-kron", Param: p.Name, Times: int(s.failed[i]), Err: err}
				}
			} else {
				s.failed[i] = 0
			}
		}
		s.whiten(i, g)
	}
	if s.failures > 0 {
		st.Log("failures", float64(s.failures))
	}
	st.Changed()
	return optim.Continue, nil
}

// begin sets the factors of parameter i to q I with q⁴ rms = 1.
func (s *Kron[T]) begin(i int, rms float64) {
	q := math.Pow(rms, -1./4)
	s.scale[i] = q
	for _, x := range s.q[i] {
		if !x.IsZero() {
			tensor.Scale(s.ws, x, x, T(q))
		}
	}
}

// apply replaces x by Q₁ x Q₂ᵀ, or with trans by Q₁ᵀ x Q₂.
func (s *Kron[T]) apply(i int, x tensor.Tensor[T], trans bool) {
	defer s.ws.Release(s.ws.Mark())
	y := s.ws.New(x.Shape())
	if q := s.q[i][0]; q.IsZero() {
		tensor.Scale(s.ws, y, x, T(s.scale[i]))
	} else {
		tensor.MatMul(s.ws, y, q, x, trans, false)
	}
	if q := s.q[i][1]; q.IsZero() {
		tensor.Scale(s.ws, x, y, T(s.scale[i]))
	} else {
		tensor.MatMul(s.ws, x, y, q, false, !trans)
	}
}

// whiten replaces the momentum g of parameter i by its direction.
func (s *Kron[T]) whiten(i int, g tensor.Tensor[T]) {
	s.apply(i, g, false)
	s.apply(i, g, true)
	if rms := tensor.Norm(s.ws, g) / math.Sqrt(float64(g.Size())); rms > s.o.Clip {
		tensor.Scale(s.ws, g, g, T(s.o.Clip/rms))
	}
}

// errOverflow says that a factor has left the range of its type.
var errOverflow = errors.New("a factor is no longer finite\nhint: the gradient is tiny or spans too many orders of magnitude; lower precond-lr, or use float64")

// refresh moves the factors of parameter i by the momentum g. On an error they are as they were.
func (s *Kron[T]) refresh(i int, t int64, g tensor.Tensor[T]) error {
	defer s.ws.Release(s.ws.Mark())
	shape := g.Shape()
	a, b := s.ws.New(shape), s.ws.New(shape)
	tensor.Copy(s.ws, a, g)
	s.apply(i, a, false)
	tensor.Normal(s.key.Fold(uint64(t)).Fold(uint64(i)), b.Data(), 0, 1)
	if err := s.solve(i, b); err != nil {
		return err
	}
	var next [2]tensor.Tensor[T]
	for k, q := range s.q[i] {
		if q.IsZero() {
			continue
		}
		n := q.Shape()
		sum, diff := s.ws.New(n), s.ws.New(n)
		linalg.SymmetricProduct(s.ws, diff, a, a, k == 1, k == 0)
		linalg.SymmetricProduct(s.ws, sum, b, b, k == 1, k == 0)
		tensor.Sub(s.ws, diff, diff, sum)
		tensor.Scale(s.ws, sum, sum, 2)
		tensor.Add(s.ws, sum, sum, diff) // A Aᵀ + B Bᵀ
		norm := s.spectral(sum)
		next[k] = s.ws.New(n)
		clearLower(diff)
		tensor.MatMul(s.ws, next[k], diff, q, false, false)
		tensor.Axpby(s.ws, next[k], 1, q, T(-s.o.Rate/norm))
		clearLower(next[k])
		if !(norm > 0) || !tensor.AllFinite(next[k]) {
			return errOverflow
		}
	}
	for k, q := range next {
		if !q.IsZero() {
			tensor.Copy(s.ws, s.q[i][k], q)
		}
	}
	return nil
}

// solve replaces b by Q₁⁻ᵀ b Q₂⁻¹.
func (s *Kron[T]) solve(i int, b tensor.Tensor[T]) error {
	defer s.ws.Release(s.ws.Mark())
	inverse := T(1 / s.scale[i])
	if q := s.q[i][0]; q.IsZero() {
		tensor.Scale(s.ws, b, b, inverse)
	} else if err := linalg.SolveTriangular(s.ws, b, q, b, linalg.Upper, true); err != nil {
		return err
	}
	q := s.q[i][1]
	if q.IsZero() {
		tensor.Scale(s.ws, b, b, inverse)
		return nil
	}
	// X Q₂ = B as Q₂ᵀ Xᵀ = Bᵀ
	x := s.ws.New(tensor.ShapeOf(b.Shape().Cols(), b.Shape().Rows()))
	tensor.Permute(s.ws, x, b, transposed)
	if err := linalg.SolveTriangular(s.ws, x, q, x, linalg.Upper, true); err != nil {
		return err
	}
	tensor.Permute(s.ws, b, x, transposed)
	return nil
}

var transposed = []int{1, 0}

// spectral returns a lower bound of the spectral norm of the symmetric matrix c, at least the norm of its longest row r: ‖C r‖/‖r‖.
func (s *Kron[T]) spectral(c tensor.Tensor[T]) float64 {
	defer s.ws.Release(s.ws.Mark())
	n := c.Shape().Rows()
	longest, norm := 0, 0.0
	for i := range n {
		if x := tensor.Norm(s.ws, row(c, i)); x > norm {
			longest, norm = i, x
		}
	}
	if !(norm > 0) {
		return norm
	}
	r, y := s.ws.New(tensor.ShapeOf(n, 1)), s.ws.New(tensor.ShapeOf(n, 1))
	simd.Scale(r.Data(), row(c, longest).Data(), T(1/norm))
	tensor.MatMul(s.ws, y, c, r, false, false)
	return tensor.Norm(s.ws, y)
}

// row returns row i of a matrix.
func row[T tensor.Float](a tensor.Tensor[T], i int) tensor.Tensor[T] {
	n := a.Shape().Cols()
	return tensor.FromSlice(a.Data()[i*n:(i+1)*n], n)
}

// clearLower sets what is below the diagonal to zero.
func clearLower[T tensor.Float](a tensor.Tensor[T]) {
	n := a.Shape().Rows()
	for i := range n {
		clear(a.Data()[i*n : i*n+i])
	}
}

func specKron[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "psgd-kron", Title: "PSGD-Kron",
		Formula: "matrices:  M ← β M + (1−β) G,   M̂ = M/(1−βᵗ)\n" +
			"           with probability π_t:  V ~ N(0,1),  A = Q₁ M̂ Q₂ᵀ,  B = Q₁⁻ᵀ V Q₂⁻¹\n" +
			"               Q₁ ← Q₁ − η triu(A Aᵀ − B Bᵀ) Q₁/‖A Aᵀ + B Bᵀ‖,   Q₂ ← Q₂ − η triu(Aᵀ A − Bᵀ B) Q₂/‖Aᵀ A + Bᵀ B‖\n" +
			"           P = Q₁ᵀ Q₁ M̂ Q₂ᵀ Q₂,   W ← (1 − lr·λ) W − lr·P·min(1, c/rms P)\nothers:    AdamW",
		Paper:   "Li, Preconditioned stochastic gradient descent, 2015, arXiv:1512.04202; Li, Stochastic Hessian fittings with Lie groups, 2024, arXiv:2402.11858",
		When:    "As soap, where eigenvalues are to be avoided: triangular solves and products only, and in the long run three refreshes in a hundred steps.",
		WhenNot: "Short trainings on wide layers: each of the first 500 steps refreshes.",
		Settings: []optim.Setting{optim.RateSetting(0.001),
			{Name: "momentum", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Doc: "β, decay of the mean of the gradients; Adam's β₁"},
			{Name: "precond-lr", Default: 0.1, Min: 0, Max: 1, OpenMin: true, Log: true, Doc: "η, how far a refresh moves the factors, relative to themselves"},
			{Name: "refresh", Default: 0.03, Min: 0, Max: 1, Doc: "π in the long run, the probability that a step refreshes the factors"},
			{Name: "flat", Default: 500, Min: 0, Max: 1e9, Integer: true, Doc: "k, steps at the start that refresh without exception"},
			{Name: "clip", Default: 1.1, Min: 0, Max: 1e6, OpenMin: true, Doc: "c, largest root mean square of a whitened matrix"},
			{Name: "max-dim", Default: 1024, Min: 1, Max: 1e6, Integer: true, Doc: "a side longer than this keeps a multiple of the identity"},
			{Name: "seed", Min: 0, Max: 1 << 52, Integer: true, Doc: "of V and of the steps that refresh"},
			{Name: "adam-beta2", Default: 0.99, Min: 0, Max: 1, OpenMax: true, Doc: "β₂ of Adam for what is not a matrix"},
			optim.EpsilonSetting(1e-8),
			optim.DecaySetting(0.01, "decoupled: a step multiplies the weights by 1 − lr·λ")},
		MemoryFloats: 3, GradientsPerStep: 1, Invariances: optim.GradientScale | optim.LayerScale | optim.Rest, Cost: costKron,
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			k := optim.NewBuilder[T](env, s)
			return k.Method(NewKron[T](env, KronOptions{Momentum: s["momentum"], Rate: s["precond-lr"], Refresh: s["refresh"], Flat: int(s["flat"]), Clip: s["clip"], MaxDim: int(s["max-dim"]),
				Seed: uint64(s["seed"]), AdamBeta2: s["adam-beta2"], Eps: s["eps"]}), k.Decay(), k.Descend())
		},
	}
}
