package curvature

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Adaptation says how [LevenbergMarquardt] moves the damping.
type Adaptation struct {
	Every       int     // T, updates from one adaptation to the next; 0: only the calibration
	Omega       float64 // ω, λ moves by at most this factor an update
	Least, Most float64 // bounds of λ
	Include     bool    // the model contains the damping term ½ λ ‖δ‖²
	Calibrate   bool    // the first λ is found on the first batch
}

// LevenbergMarquardt moves the damping of a method with a [Preconditioner] by how well the quadratic model predicts the
// change of the loss. Every T updates, with δ the update that was made, h the loss of the batch, g and C its
// gradient and Gauss–Newton matrix before it:
//
//	r = (h(θ+δ) − h(θ)) / (gᵀδ + ½ δᵀCδ)
//	λ ← ω^T λ  if r > 3/4,      λ ← λ/ω^T  if r < 1/4 or r is not a number,      kept within [λ_min, λ_max]
//
// δ is what changed the parameters: with clip, momentum, weight decay, or from the quadratic model. The denominator leaves the damping out
// unless [Adaptation].Include is set. Where it is not negative (momentum went uphill on this batch) nothing is learnt and λ
// stays, unless the loss is not finite: then λ grows.
//
// With [Adaptation].Calibrate the first step is tried again and again on its batch, with the statistics of the first try, and taken back, until λ stops:
// r lies in [1/4, 3/4], or λ turns, or reaches a bound. λ moves by ω^T or by a half in each try, whichever is more.
//
// Paper: Martens and Grosse, 2015, §6.5; Moré, "The Levenberg–Marquardt algorithm", 1978. Cost: every T updates a value, a forward-mode
// product, and three copies of the parameters; four vectors of memory. The new λ takes effect at the next inversion, in the quadratic model
// at once. Failure: on small batches, with a clip, steps are so small that the model is always right, and λ falls without end.
type LevenbergMarquardt[T tensor.Float] struct {
	inner optim.Method[T]
	k     *Preconditioner[T]
	a     Adaptation
	ratio float64 // the last

	before, after, grad, delta []T
	saved                      shadow[T]
	extra                      []optim.Value
}

// NewLevenbergMarquardt returns inner, a chain with k in it, with its damping adapted as a says.
func NewLevenbergMarquardt[T tensor.Float](env optim.Env, inner optim.Method[T], k *Preconditioner[T], a Adaptation) *LevenbergMarquardt[T] {
	vector := func() []T { return make([]T, env.Layout.Size()) }
	m := &LevenbergMarquardt[T]{inner: inner, k: k, a: a, before: vector(), after: vector(), grad: vector(), delta: vector()}
	if a.Calibrate {
		m.saved = newShadow(env, inner, k)
	}
	return m
}

// Step is inner's step, after which the damping is adapted if that is due.
func (m *LevenbergMarquardt[T]) Step(ctx context.Context, f *objective.Objective[T]) (optim.Report, error) {
	if m.a.Calibrate && m.k.updates == 0 {
		if err := m.calibrate(ctx, f); err != nil {
			return optim.Report{}, err
		}
	}
	due := m.a.Every > 0 && (m.k.updates+1)%int64(m.a.Every) == 0
	if due {
		if err := m.remember(ctx, f); err != nil {
			return optim.Report{}, err
		}
	}
	r, err := m.inner.Step(ctx, f)
	if err != nil || r.Skipped || r.Held {
		return r, err
	}
	if due {
		learnt, err := m.compare(ctx, f, r.Loss)
		if err != nil {
			return r, err
		}
		if learnt {
			m.k.factor = nextFactor(m.k.factor, m.ratio, math.Pow(m.a.Omega, float64(m.a.Every)), m.k.o.Damping.At(f.Progress()), m.a.Least, m.a.Most)
		}
	}
	m.extra = append(append(m.extra[:0], r.Extra...), optim.Value{Name: "reduction-ratio", Value: m.ratio})
	r.Extra = m.extra
	return r, nil
}

// remember keeps parameters and gradient before a step.
func (m *LevenbergMarquardt[T]) remember(ctx context.Context, f *objective.Objective[T]) error {
	if _, ok := f.Function().(objective.Curvature[T]); !ok {
		return fmt.Errorf("curvature: an adaptive damping needs products with the Gauss–Newton matrix: %w\nhint: use it on a network (objective.Network), or set adaptive-damping and calibrate-damping to 0", objective.ErrUnsupported)
	}
	_, g, err := f.Gradient(ctx) // the step will find it in the objective's cache
	if err != nil {
		return err
	}
	copy(m.grad, g)
	copy(m.before, f.Params())
	return nil
}

// compare takes the ratio of what happened to what the model says, and reports whether there is something to learn from it.
func (m *LevenbergMarquardt[T]) compare(ctx context.Context, f *objective.Objective[T], loss float64) (bool, error) {
	after, err := f.GradientAt(ctx, f.Params(), nil)
	if err != nil {
		return false, err
	}
	n := len(m.before)
	vector := func(v []T) tensor.Tensor[T] { return tensor.FromSlice(v, n) }
	copy(m.after, f.Params())
	tensor.Sub(m.k.ws, vector(m.delta), vector(m.after), vector(m.before))
	// The form is taken at the parameters before the update.
	var form [1]float64
	copy(f.Params(), m.before)
	err = f.GGNForms([][]T{m.delta}, form[:])
	copy(f.Params(), m.after)
	if err != nil {
		return false, err
	}
	model := tensor.DotDouble(vector(m.grad), vector(m.delta)) + form[0]/2
	if m.a.Include {
		model += m.k.damping(f.Progress()) / 2 * tensor.DotDouble(vector(m.delta), vector(m.delta))
	}
	if math.IsNaN(after) || math.IsInf(after, 0) {
		m.ratio = math.NaN()
		return true, nil
	}
	if model >= 0 {
		return false, nil
	}
	m.ratio = (after - loss) / model
	return true, nil
}

// calibrate finds the first damping. The parameters and the state of inner, but for the statistics, are what they were.
func (m *LevenbergMarquardt[T]) calibrate(ctx context.Context, f *objective.Objective[T]) error {
	shrink := min(0.5, math.Pow(m.a.Omega, float64(max(1, m.a.Every))))
	m.saved.save(f.Params())
	defer func() { m.k.frozen = false }()
	for try, direction := 0, 0.0; try < 200; try++ {
		if err := m.remember(ctx, f); err != nil {
			return err
		}
		r, err := m.inner.Step(ctx, f)
		if err != nil {
			return err
		}
		learnt := false
		if !r.Skipped && !r.Held {
			if learnt, err = m.compare(ctx, f, r.Loss); err != nil {
				return err
			}
		}
		m.saved.restore(f)
		m.k.updates = 0
		if r.Skipped || r.Held {
			return nil // nothing was seen: the next step tries
		}
		m.k.frozen, m.k.reuse = true, true
		if !learnt {
			m.ratio = math.NaN() // without momentum a model that goes up says that the step is too long
		}
		next := nextFactor(m.k.factor, m.ratio, shrink, m.k.o.Damping.At(f.Progress()), m.a.Least, m.a.Most)
		d := next - m.k.factor
		if d == 0 || d*direction < 0 {
			return nil
		}
		m.k.factor, direction = next, d
	}
	return nil
}

// The bounds of an adaptive damping that are in force when none is given.
const leastDamping, mostDamping = 1e-8, 1e8

// nextFactor returns the factor on the damping base after a reduction ratio r; shrink is ω^T.
func nextFactor(factor, r, shrink, base, least, most float64) float64 {
	switch {
	case r > 0.75:
		factor *= shrink
	case !(r >= 0.25): // also where r is not a number
		factor /= shrink
	}
	return min(max(factor, least/base), most/base)
}

// State is that of the method, with the last ratio.
func (m *LevenbergMarquardt[T]) State() optim.State[T] {
	return append(m.inner.State(), optim.StateEntry[T]{Name: "levenberg.ratio", Float: &m.ratio})
}

// EvalParams is inner's, where it evaluates other parameters than it steps from.
func (m *LevenbergMarquardt[T]) EvalParams(dst, params []T) { evalParams(m.inner, dst, params) }

// Observe passes the loss of an evaluation on.
func (m *LevenbergMarquardt[T]) Observe(loss float64) { observe(m.inner, loss) }
