package matrix

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// SPlus takes the sign of the momentum in the eigenbasis of Shampoo's factors. For a matrix with gradient G [in, out]:
//
//	L ← β₂ L + (1−β₂) G Gᵀ,   R ← β₂ R + (1−β₂) Gᵀ G
//	M ← β₁ M + (1−β₁) G
//	u ← 2/(in+out) · Q_L sign(Q_Lᵀ M Q_R) Q_Rᵀ
//
// Q_L and Q_R are the eigenvectors of L and R, renewed every f-th step and in steps 1, 2, 4, … below f. The parameters to
// evaluate are an exponential average of those that are stepped from: the steps do not get shorter near a minimum. A side
// longer than the largest dimension keeps the identity; what is not a matrix has Adam.
//
// Paper: Frans, Levine and Abbeel, "A stable whitening optimizer for efficient neural network training", 2025,
// arXiv:2506.07254. Deviations: the sign is linear in [−δ, δ] with δ = (unit roundoff)^¼ × the root mean square of Q_Lᵀ M Q_R,
// below which eigenvectors of squares do not resolve it, so that what is rounding, as all off the diagonal in the first step, gets
// no step of full length; the bases are renewed at powers of two
// before f; what is not a matrix has Adam instead of the sign.
//
// Cost: 5 in·out (in + out) flops a step for factors and rotations, and 14/3 (in³ + out³)/f for the bases. Memory 2 (in² + out²) +
// in·out, and in·out for the average.
// Invariances, in exact arithmetic: no scale of a gradient matters; equivariant under orthogonal changes of a layer's inputs and outputs where the
// factors have full rank.
// Failure: on one batch over and over, factors of low rank have eigenvectors that are rounding, and the sign gives full
// length to what the gradient has there: trajectories in other precision or at another scale of the loss are others. Every direction of the bases gets the same step, noise as well as signal: large learning rates at small
// batches. Whoever evaluates or saves must ask EvalParams; without the average the loss stays above its minimum by the length
// of a step, unless the learning rate falls.
type SPlus[T tensor.Float] struct {
	o        SPlusOptions
	inner    adam[T]
	ws       *tensor.Workspace[T]
	m        []T
	v        [][]T        // by parameter: second moments of what is not a matrix
	sides    [][2]side[T] // by parameter, of rows and of columns
	failed   []float64    // by parameter, refreshes one after the other
	failures int64
}

// SPlusOptions are the constants of [SPlus].
type SPlusOptions struct {
	Beta1, FactorBeta float64 // β₁, β₂
	Every             int     // f
	MaxDim            int     // sides longer than this keep the identity
	AdamBeta2, Eps    float64 // of what is not a matrix
}

// NewSPlus returns the link. It replaces the update of all parameters; the average is a wrapper, [optim.EMA].
func NewSPlus[T tensor.Float](env optim.Env, o SPlusOptions) *SPlus[T] {
	l := env.Layout
	s := &SPlus[T]{o: o, inner: adam[T]{o.Beta1, o.AdamBeta2, o.Eps}, ws: tensor.NewWorkspace[T](env.Pool),
		m: make([]T, l.Size()), v: make([][]T, l.Len()), sides: make([][2]side[T], l.Len()), failed: make([]float64, l.Len())}
	for i, is := range matrices(l, true) {
		if !is {
			s.v[i] = make([]T, l.At(i).Shape.Size())
			continue
		}
		s.sides[i] = newSides[T](l.At(i).Shape, o.MaxDim)
	}
	return s
}

// Name returns "splus".
func (*SPlus[T]) Name() string { return "splus" }

// State returns moments, factors and bases.
func (s *SPlus[T]) State() optim.State[T] {
	state := optim.State[T]{{Name: "m", Vector: s.m}, {Name: "failed", Double: s.failed}, {Name: "failures", Int: &s.failures}}
	for i, sides := range s.sides {
		if s.v[i] != nil {
			state = append(state, optim.StateEntry[T]{Name: fmt.Sprintf("p%d.v", i), Vector: s.v[i]})
		}
		state = appendSides(state, i, sides)
	}
	return state
}

// Transform replaces the update.
func (s *SPlus[T]) Transform(_ context.Context, st *optim.Stage[T]) (optim.Verdict, error) {
	s.ws.Reset()
	due := dueAt(st.T, int64(s.o.Every))
	for i, sides := range s.sides {
		p := st.Layout.At(i)
		g, m := part(st.Update, p), part(s.m, p)
		if s.v[i] != nil {
			s.inner.apply(s.ws, g.Data(), m.Data(), s.v[i], st.T)
			continue
		}
		s.failures += accumulate(s.ws, sides, g, s.o.FactorBeta)
		if due {
			if err := s.refresh(i, p); err != nil {
				return optim.Skip, err
			}
		}
		tensor.Axpby(s.ws, m, T(1-s.o.Beta1), g, T(s.o.Beta1))
		tensor.Copy(s.ws, g, m)
		turn(s.ws, sides, g, true)
		s.sign(g)
		turn(s.ws, sides, g, false)
		tensor.Scale(s.ws, g, g, T(2/float64(p.Shape.Rows()+p.Shape.Cols())))
	}
	if s.failures > 0 {
		st.Log("failures", float64(s.failures))
	}
	st.Changed()
	return optim.Continue, nil
}

// sign replaces x by its signs: x/max(|x|, δ).
func (s *SPlus[T]) sign(x tensor.Tensor[T]) {
	defer s.ws.Release(s.ws.Mark())
	delta := math.Pow(unitRoundoff[T](), 0.25) * tensor.Norm(s.ws, x) / math.Sqrt(float64(x.Size()))
	if delta == 0 {
		return
	}
	size, floor := s.ws.New(x.Shape()), s.ws.New(x.Shape())
	simd.Abs(size.Data(), x.Data())
	tensor.Fill(floor, T(delta))
	tensor.Maximum(s.ws, size, size, floor)
	tensor.Div(s.ws, x, x, size)
}

// refresh renews the bases of parameter i. One that fails stays as it was.
func (s *SPlus[T]) refresh(i int, p nn.Param) error {
	for _, f := range s.sides[i] {
		if f.factor.IsZero() || tensor.AllFinite(f.factor) && tensor.Norm(s.ws, f.factor) == 0 {
			continue
		}
		if err := start(s.ws, f, tensor.Tensor[T]{}, false); err != nil {
			s.failures++
			if s.failed[i]++; s.failed[i] >= maxFailures {
				return &FailureError{Method: "splus", Param: p.Name, Times: int(s.failed[i]), Err: err}
			}
			return nil
		}
	}
	s.failed[i] = 0
	return nil
}

// averaged is the common setting "ema" with SPlus's default.
func averaged() optim.Setting {
	for _, s := range optim.CommonSettings() {
		if s.Name == "ema" {
			s.Default = 0.999
			return s
		}
	}
	panic("optim: no setting ema")
}

// signPart is the learning rate of what is not a matrix in parts of SPlus's: 0.1 beside 0.002.
const signPart = 0.02

func specSPlus[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "splus", Title: "SPlus",
		Formula: "matrices:  L ← β₂ L + (1−β₂) G Gᵀ,   R ← β₂ R + (1−β₂) Gᵀ G,   Q_L, Q_R: their eigenvectors, every f steps\n" +
			"           M ← β₁ M + (1−β₁) G\n" +
			"           W ← (1 − lr·λ) W − lr·2/(in+out)·Q_L sign(Q_Lᵀ M Q_R) Q_Rᵀ\n" +
			"others:    AdamW with adam-lr\nevaluation at the mean with decay ema",
		Paper:   "Frans, Levine and Abbeel, A stable whitening optimizer for efficient neural network training, 2025, arXiv:2506.07254",
		When:    "As soap, with eigenvectors ten times less often and without second moments in the basis; one learning rate for layers of all widths.",
		WhenNot: "Trainings of fewer than a thousand steps, over which the average lags (set ema to 0 and let lr fall); small batches.",
		Settings: []optim.Setting{optim.RateSetting(0.1), adamRate("lr/50"),
			{Name: "beta1", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Doc: "β₁, decay of the mean of the gradients"},
			{Name: "factor-beta", Default: 0.999, Min: 0, Max: 1, OpenMax: true, Doc: "β₂, decay of the factors L and R"},
			{Name: "every", Default: 100, Min: 1, Max: 1e6, Integer: true, Doc: "f, steps from one renewal of the bases to the next"},
			{Name: "max-dim", Default: 1024, Min: 1, Max: 1e6, Integer: true, Doc: "a side longer than this keeps the identity for its basis"},
			{Name: "adam-beta2", Default: 0.99, Min: 0, Max: 1, OpenMax: true, Doc: "β₂ of Adam for what is not a matrix"},
			optim.EpsilonSetting(1e-8),
			optim.DecaySetting(0.01, "decoupled: a step multiplies the weights by 1 − lr·λ (of adam-lr where that rules)"),
			averaged()},
		MemoryFloats: 6, GradientsPerStep: 1, Cost: costSPlus,
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			k := optim.NewBuilder[T](env, s)
			return k.Method(NewSPlus[T](env, SPlusOptions{Beta1: s["beta1"], FactorBeta: s["factor-beta"], Every: int(s["every"]), MaxDim: int(s["max-dim"]),
				AdamBeta2: s["adam-beta2"], Eps: s["eps"]}), k.Decay(), otherRates[T](env, s, true, signPart), k.Descend())
		},
	}
}
