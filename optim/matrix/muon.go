package matrix

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Muon replaces the momentum of each matrix by the orthogonal matrix nearest to it, about:
//
//	B ← μ B + (1−μ) G
//	U = G μ̄ + B μ      (Nesterov, μ̄ = 1−μ)      or      U = B
//	O = quintic(…(U/‖U‖))      five steps, O ≈ U (UᵀU)^(−1/2)
//	u ← s O
//
// and gives Adam to all other parameters. The scale s depends on the [Scaling]. For NorMuon each output unit, a column
// here, is divided by a running mean of its size before the whole is brought to the norm 0.2 √(in·out):
//
//	n_j ← β₂ n_j + (1−β₂) mean_i O_ij²
//	Ô_ij = O_ij / (√n_j + ε),   u ← 0.2 √(in·out) Ô/‖Ô‖
//
// Papers: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Liu et al., "Muon is
// scalable for LLM training", 2025, arXiv:2502.16982 (Moonlight's scale); Li et al., "NorMuon: making Muon more
// efficient and scalable", 2025, arXiv:2510.05491; coefficients of their own for each step: Amsel et al., "The Polar Express",
// 2025, arXiv:2505.16932. Deviations: U is divided by its norm, with nothing added, and a U of zero
// gives zero; weights are [in, out], so that the papers' √max(1, rows/columns) is √max(1, out/in); Nesterov
// also for NorMuon, as in programs, not the paper.
//
// Cost: with s the smaller side and l the larger, 5 (3 s²l + s³) flops a step, whatever the batch; one float a weight
// (two a parameter that Adam has, and one an output unit for NorMuon), and temporaries for the largest matrix.
// Invariances: O(c G) = O(G), O(Q G) = Q O(G), O(G Q) = O(G) Q for orthogonal Q: no scale of a gradient, and no rotation of a
// layer's inputs or outputs matters. NorMuon: not under rotations of the outputs.
// Failure: a step is as long in directions that are all noise as in those that are not: small batches and long
// trainings at a constant rate. Several matrices stored as one must be split. Singular values of U below 10⁻³ of its norm
// do not reach 1 in five steps.
type Muon[T tensor.Float] struct {
	o      MuonOptions
	matrix []bool
	steps  []linalg.Quintic
	inner  adam[T]
	ws     *tensor.Workspace[T]
	b      []T   // momentum of the matrices, first moment of the rest
	v      [][]T // by parameter: second moments of what is not a matrix
	n      [][]T // by parameter: NorMuon's mean squares of the output units
}

// Scaling says how long an orthogonalised update is.
type Scaling uint8

const (
	Spectral  Scaling = iota // s = √max(1, out/in): Jordan's; rates near 0.02
	Moonlight                // s = 0.2 √max(in, out): an element's mean square is that of Adam's step, and rates are Adam's
	Neurons                  // NorMuon: as Moonlight for square matrices, and evenly over the output units
)

// MuonOptions are the constants of [Muon].
type MuonOptions struct {
	Momentum  float64 // μ
	Nesterov  bool
	Scaling   Scaling
	Steps     int     // of the steep quintic, or of the minimax ones
	Minimax   bool    // each step has its own coefficients, the best for singular values from 10⁻³ on
	Polish    int     // further steps of the convergent one
	Output    bool    // the last matrix is orthogonalised too
	Beta2     float64 // of NorMuon
	AdamBeta1 float64 // of what is not a matrix, as the next two
	AdamBeta2 float64
	Eps       float64
}

// NewMuon returns the link. It replaces the update of all parameters.
func NewMuon[T tensor.Float](env optim.Env, o MuonOptions) *Muon[T] {
	l := env.Layout
	m := &Muon[T]{o: o, matrix: matrices(l, o.Output), inner: adam[T]{o.AdamBeta1, o.AdamBeta2, o.Eps},
		ws: tensor.NewWorkspace[T](env.Pool), b: make([]T, l.Size()), v: make([][]T, l.Len()), n: make([][]T, l.Len())}
	for i := range l.Len() {
		switch s := l.At(i).Shape; {
		case !m.matrix[i]:
			m.v[i] = make([]T, s.Size())
		case o.Scaling == Neurons:
			m.n[i] = make([]T, s.Cols())
		}
	}
	if o.Minimax {
		m.steps = minimaxSteps(minimaxLower, o.Steps)
	} else {
		for range o.Steps {
			m.steps = append(m.steps, linalg.SteepQuintic())
		}
	}
	for range o.Polish {
		m.steps = append(m.steps, linalg.ConvergentQuintic())
	}
	return m
}

// minimaxLower is the smallest singular value, in parts of the norm, that the minimax steps are made for.
const minimaxLower = 1e-3

// Name returns "muon".
func (*Muon[T]) Name() string { return "muon" }

// State returns the moments.
func (m *Muon[T]) State() optim.State[T] {
	s := optim.State[T]{{Name: "b", Vector: m.b}}
	for i := range m.v {
		if m.v[i] != nil {
			s = append(s, optim.StateEntry[T]{Name: fmt.Sprintf("p%d.v", i), Vector: m.v[i]})
		}
		if m.n[i] != nil {
			s = append(s, optim.StateEntry[T]{Name: fmt.Sprintf("p%d.n", i), Vector: m.n[i]})
		}
	}
	return s
}

// Transform replaces the update.
func (m *Muon[T]) Transform(_ context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	m.ws.Reset()
	for i := range m.matrix {
		p := s.Layout.At(i)
		g, b := part(s.Update, p), part(m.b, p)
		if !m.matrix[i] {
			m.inner.apply(m.ws, g.Data(), b.Data(), m.v[i], s.T)
			continue
		}
		tensor.Axpby(m.ws, b, T(1-m.o.Momentum), g, T(m.o.Momentum))
		u := b
		if m.o.Nesterov {
			tensor.Axpby(m.ws, g, T(m.o.Momentum), b, T(1-m.o.Momentum))
			u = g
		}
		if err := linalg.Orthogonalize(m.ws, g, u, m.steps...); err != nil {
			return optim.Skip, fmt.Errorf("optim: muon: momentum of %s: %w", p.Name, err)
		}
		m.scale(g, m.n[i])
	}
	s.Changed()
	return optim.Continue, nil
}

// scale gives the orthogonalised update of a matrix its length.
func (m *Muon[T]) scale(o tensor.Tensor[T], n []T) {
	in, out := float64(o.Shape().Dim(0)), float64(o.Shape().Dim(1))
	switch m.o.Scaling {
	case Spectral:
		tensor.Scale(m.ws, o, o, T(math.Sqrt(max(1, out/in))))
	case Moonlight:
		tensor.Scale(m.ws, o, o, T(0.2*math.Sqrt(max(in, out))))
	case Neurons:
		defer m.ws.Release(m.ws.Mark())
		d, square, x := m.ws.Slice(len(n)), m.ws.Slice(len(n)), o.Data()
		clear(d)
		for i := 0; i < len(x); i += len(n) {
			simd.Mul(square, x[i:i+len(n)], x[i:i+len(n)])
			simd.Add(d, d, square)
		}
		simd.Axpby(n, T((1-m.o.Beta2)/in), d, T(m.o.Beta2))
		simd.Sqrt(d, n)
		simd.AddScalar(d, d, T(m.o.Eps))
		for i := 0; i < len(x); i += len(n) {
			simd.Div(x[i:i+len(n)], x[i:i+len(n)], d)
		}
		if norm := tensor.Norm(m.ws, o); norm > 0 {
			tensor.Scale(m.ws, o, o, T(0.2*math.Sqrt(in*out)/norm))
		}
	}
}

// otherRates gives what is not a matrix its own learning rate: adam-lr, or where that is 0 the given part of lr.
func otherRates[T tensor.Float](env optim.Env, s optim.Settings, output bool, part float64) *rates[T] {
	if lr := s["lr"]; s["adam-lr"] > 0 && lr > 0 {
		part = s["adam-lr"] / lr
	}
	r := &rates[T]{}
	for _, is := range matrices(env.Layout, output) {
		if is {
			r.factor = append(r.factor, 1)
		} else {
			r.factor = append(r.factor, T(part))
		}
	}
	return r
}

// adamPart is the learning rate of what is not a matrix in parts of Muon's: 0.02 beside 0.001.
const adamPart = 0.05

func muonSettings(own ...optim.Setting) []optim.Setting {
	return append(own,
		optim.Setting{Name: "momentum", Default: 0.95, Min: 0, Max: 1, OpenMax: true, Doc: "μ, the part of the accumulated gradient that is kept"},
		optim.Setting{Name: "nesterov", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "orthogonalises the gradient and the momentum mixed, not the momentum alone"},
		optim.Setting{Name: "steps", Default: 5, Min: 1, Max: 50, Integer: true, Doc: "Newton–Schulz steps with Muon's coefficients"},
		optim.Setting{Name: "minimax", Min: 0, Max: 1, Switch: true, Doc: "gives each step the coefficients that are best for it (Polar Express), not the same to all"},
		optim.Setting{Name: "polish", Min: 0, Max: 50, Integer: true, Doc: "further steps with coefficients that converge to 1, where 0.7 to 1.2 is not near enough"},
		optim.Setting{Name: "output-layer", Min: 0, Max: 1, Switch: true, Doc: "orthogonalises the last matrix too, instead of leaving it to Adam"},
		optim.Setting{Name: "adam-beta1", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Doc: "β₁ of what is not a matrix"},
		optim.Setting{Name: "adam-beta2", Default: 0.99, Min: 0, Max: 1, OpenMax: true, Doc: "β₂ of what is not a matrix"},
		optim.EpsilonSetting(1e-8),
	)
}

func adamRate(how string) optim.Setting {
	return optim.Setting{Name: "adam-lr", Min: 0, Max: 1e6, Log: true, Doc: "learning rate of what is not a matrix, at the schedule of lr; 0: " + how}
}

func muonOptions(s optim.Settings, scaling Scaling) MuonOptions {
	return MuonOptions{Momentum: s["momentum"], Nesterov: s.On("nesterov"), Scaling: scaling, Steps: int(s["steps"]), Minimax: s.On("minimax"), Polish: int(s["polish"]),
		Output: s.On("output-layer"), Beta2: s["beta2"], AdamBeta1: s["adam-beta1"], AdamBeta2: s["adam-beta2"], Eps: s["eps"]}
}

const muonFormula = "matrices:  B ← μ B + (1−μ) G\n           U = μ B + (1−μ) G      (nesterov = 0: U = B)\n           O = five steps X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X from X = U/‖U‖\n"

func specMuon[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "muon", Title: "Muon",
		Formula: muonFormula + "           W ← (1 − lr·λ) W − lr·√max(1, out/in)·O      (moonlight: lr·0.2 √max(in, out)·O)\nothers:    AdamW with adam-lr",
		Paper:   "Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024; moonlight: Liu et al., Muon is scalable for LLM training, 2025, arXiv:2502.16982",
		When:    "Hidden layers of deep networks at batches large enough that the gradient is more than noise: one buffer, and fewer steps than AdamW.",
		WhenNot: "Very small batches; networks whose weight is mostly in embeddings and the output layer. On wide layers at small batches its products cost more than the gradient.",
		Settings: append([]optim.Setting{optim.RateSetting(0.02), adamRate("lr/20, with moonlight lr"),
			optim.DecaySetting(0, "decoupled: a step multiplies the weights by 1 − lr·λ (of adam-lr where that rules)"),
			{Name: "moonlight", Min: 0, Max: 1, Switch: true, Doc: "scales by 0.2 √max(in, out): learning rates and decay of AdamW can be used, 0.001 for lr"}},
			muonSettings()...),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: optim.GradientScale | optim.LayerScale | optim.Rest, Cost: costMuon(false),
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			scaling, part := Spectral, adamPart
			if s.On("moonlight") {
				scaling, part = Moonlight, 1
			}
			k := optim.NewBuilder[T](env, s)
			return k.Method(NewMuon[T](env, muonOptions(s, scaling)), k.Decay(), otherRates[T](env, s, s.On("output-layer"), part), k.Descend())
		},
	}
}

func specNorMuon[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "normuon", Title: "NorMuon",
		Formula: muonFormula + "           n_j ← β₂ n_j + (1−β₂) mean_i O_ij²,   Ô_ij = O_ij/(√n_j + ε)      (j: output unit)\n" +
			"           W ← (1 − lr·λ) W − lr·0.2 √(in·out)·Ô/‖Ô‖\nothers:    AdamW with adam-lr",
		Paper:   "Li et al., NorMuon: making Muon more efficient and scalable, 2025, arXiv:2510.05491",
		When:    "As muon, where output units get updates of uneven size; AdamW's learning rates can be used.",
		WhenNot: "As muon.",
		Settings: append([]optim.Setting{optim.RateSetting(0.003), adamRate("lr"),
			optim.DecaySetting(0, "decoupled: a step multiplies the weights by 1 − lr·λ"),
			{Name: "beta2", Default: 0.95, Min: 0, Max: 1, OpenMax: true, Doc: "β₂, decay of the output units' mean squares"}},
			muonSettings()...),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: optim.GradientScale | optim.LayerScale | optim.Rest, Cost: costMuon(true),
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			k := optim.NewBuilder[T](env, s)
			return k.Method(NewMuon[T](env, muonOptions(s, Neurons)), k.Decay(), otherRates[T](env, s, s.On("output-layer"), 1), k.Descend())
		},
	}
}
