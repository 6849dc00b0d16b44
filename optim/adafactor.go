package optim

import (
	"context"
	"math"
	"strconv"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Adafactor is Adam without the mean and with the second moment of a weight matrix kept as the product
// of a column of row sums R and a row of column sums C:
//
//	β = 1 − t^(−q),                      q = 0.8
//	R ← β R + (1−β) Σ_cols (u² + ε₁)     [in]
//	C ← β C + (1−β) Σ_rows (u² + ε₁)     [out]
//	V = R Cᵀ / Σ R                       [in, out]
//	u ← u/√V,   u ← u / max(1, RMS(u)/d)
//	u ← max(ε₂, RMS(p)) · u
//
// RMS over one parameter. Of a parameter that is not a matrix V itself is kept. The rate that follows is
// min(lr, 1/√t), so that lr is the bound that the paper sets to 0.01.
//
// Paper: Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018, algorithms
// 4 and 5 without momentum. Deviations: decay is decoupled; lr may have a schedule.
//
// Cost: in + out floats for a matrix [in, out], one float an element for the rest; three passes.
// Invariances: for ε₁ → 0 the gradient's scale does not matter; a layer's relative change does not depend
// on its scale.
// Failure: the factored V is exact for a squared gradient of rank one only; gradients below √ε₁ = 10⁻¹⁵ are lost.
type Adafactor[T tensor.Float] struct {
	power, eps1, eps2, clip float64
	parts                   []factored[T] // by parameter
	work                    func(worker, part int)
	stage                   *Stage[T]
	beta                    float64
}

// factored is the state of one parameter: row and column sums of a matrix, or full alone.
type factored[T tensor.Float] struct {
	rows, cols, full []T
	sums, row        []T // temporaries: column sums, and one row (a block of a vector)
}

// NewAdafactor returns the link.
func NewAdafactor[T tensor.Float](env Env, power, eps1, eps2, clip float64) *Adafactor[T] {
	a := &Adafactor[T]{power: power, eps1: eps1, eps2: eps2, clip: clip}
	for i := range env.Layout.Len() {
		s := env.Layout.At(i).Shape
		if s.Rank() > 1 && s.Rows() > 1 && s.Cols() > 1 {
			r, c := s.Rows(), s.Cols()
			a.parts = append(a.parts, factored[T]{rows: make([]T, r), cols: make([]T, c), sums: make([]T, c), row: make([]T, c)})
		} else {
			n := s.Size()
			a.parts = append(a.parts, factored[T]{full: make([]T, n), row: make([]T, n)})
		}
	}
	a.work = a.parameter
	return a
}

// Name returns "adafactor".
func (*Adafactor[T]) Name() string { return "adafactor" }

// State returns the sums, by the index of the parameter.
func (a *Adafactor[T]) State() State[T] {
	var s State[T]
	for i, p := range a.parts {
		prefix := "p" + strconv.Itoa(i) + "."
		if p.full != nil {
			s = append(s, StateEntry[T]{Name: prefix + "v", Vector: p.full})
			continue
		}
		s = append(s, StateEntry[T]{Name: prefix + "rows", Vector: p.rows}, StateEntry[T]{Name: prefix + "cols", Vector: p.cols})
	}
	return s
}

// Transform replaces the update, each parameter by one worker.
func (a *Adafactor[T]) Transform(_ context.Context, s *Stage[T]) (Verdict, error) {
	a.stage, a.beta = s, 1-math.Pow(float64(s.T), -a.power)
	s.pool.Do(len(a.parts), a.work)
	a.stage, s.known = nil, false
	return Continue, nil
}

func (a *Adafactor[T]) parameter(_, i int) {
	p := a.stage.Layout.At(i)
	n := p.Shape.Size()
	u := a.stage.Update[p.Offset : p.Offset+n]
	params := a.stage.Params[p.Offset : p.Offset+n]
	part := a.parts[i]
	if part.full != nil {
		a.plain(part, u)
	} else {
		a.matrix(part, u)
	}
	rms := math.Sqrt(float64(simd.SumSquares(u)) / float64(n))
	size := max(a.eps2, math.Sqrt(float64(simd.SumSquares(params))/float64(n)))
	simd.Scale(u, u, T(size/max(1, rms/a.clip)))
}

// plain divides u by the root of its own running mean square.
func (a *Adafactor[T]) plain(p factored[T], u []T) {
	simd.Mul(p.row, u, u)
	simd.AddScalar(p.row, p.row, T(a.eps1))
	simd.Axpby(p.full, T(1-a.beta), p.row, T(a.beta))
	simd.Sqrt(p.row, p.full)
	simd.Div(u, u, p.row)
}

// matrix divides u by the root of V = R Cᵀ / Σ R, that is row i by √(Rᵢ/ΣR) and column j by √Cⱼ.
func (a *Adafactor[T]) matrix(p factored[T], u []T) {
	cols := len(p.cols)
	clear(p.sums)
	total := 0.0
	for i := range p.rows {
		simd.Mul(p.row, u[i*cols:(i+1)*cols], u[i*cols:(i+1)*cols])
		simd.AddScalar(p.row, p.row, T(a.eps1))
		simd.Add(p.sums, p.sums, p.row)
		p.rows[i] = T(a.beta)*p.rows[i] + T(1-a.beta)*simd.Sum(p.row)
		total += float64(p.rows[i])
	}
	simd.Axpby(p.cols, T(1-a.beta), p.sums, T(a.beta))
	simd.Sqrt(p.row, p.cols)
	for i := range p.rows {
		r := u[i*cols : (i+1)*cols]
		simd.Div(r, r, p.row)
		simd.Scale(r, r, T(1/math.Sqrt(float64(p.rows[i])/total)))
	}
}

// inverseRoot is Adafactor's bound on the rate: u ← u · min(1, 1/(lr·√t)), before Descend multiplies by lr.
type inverseRoot[T tensor.Float] struct {
	rate *Hyper
	f    T
}

func (*inverseRoot[T]) Name() string        { return "inverse-root" }
func (*inverseRoot[T]) State() State[T]     { return nil }
func (l *inverseRoot[T]) Apply(b *Block[T]) { simd.Scale(b.U, b.U, l.f) }
func (l *inverseRoot[T]) Begin(s *Stage[T]) {
	rate := l.rate.At(s.Progress)
	f := 1.0
	if bound := 1 / math.Sqrt(float64(s.T)); rate > bound {
		f = bound / rate
	}
	l.f = T(f)
	s.SetRate(rate * f)
}

func specAdafactor[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "adafactor", Title: "Adafactor",
		Formula: "β = 1 − t^(−q)\nmatrix: R ← β R + (1−β) Σ_cols (g²+ε₁),  C ← β C + (1−β) Σ_rows (g²+ε₁),  V = R Cᵀ/ΣR\n" +
			"other:  V ← β V + (1−β) (g²+ε₁)\nu = g/√V,  u ← u / max(1, RMS(u)/d)\np ← p − min(lr, 1/√t) · (max(ε₂, RMS(p)) · u + λ p)",
		Paper:   "Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory cost, ICML 2018, arXiv:1804.04235",
		When:    "Models whose optimizer state does not fit: next to no memory.",
		WhenNot: "When memory is no concern. Parameters that start at 0 move by ε₂ only.",
		Settings: []Setting{
			rate(0.05),
			{Name: "decay-power", Default: 0.8, Min: 0, Max: 1, OpenMin: true, Doc: "q, the second moment decays with 1 − t^(−q)"},
			{Name: "eps1", Default: 1e-30, Min: 1e-36, Max: 1, Log: true, Doc: "ε₁, added to the squared gradient"},
			{Name: "eps2", Default: 1e-3, Min: 0, Max: 1, Log: true, Doc: "ε₂, least root mean square of a parameter"},
			{Name: "clip", Default: 1, Min: 0, Max: 1e6, OpenMin: true, Doc: "d, bound on the root mean square of the scaled gradient"},
			weightDecay(0, "decoupled: a step multiplies the weights by 1 − lr·λ"),
		},
		MemoryFloats: 0, GradientsPerStep: 1, Invariances: GradientScale | LayerScale | Rest,
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			lr := k.hyper("lr")
			return k.method(NewAdafactor[T](env, s["decay-power"], s["eps1"], s["eps2"], s["clip"]), k.decay(),
				&inverseRoot[T]{rate: lr}, NewDescend[T](lr))
		},
	}
}
