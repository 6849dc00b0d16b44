package altmin

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// LAMOptions are the settings of a [MDLAM].
type LAMOptions struct {
	Engine    Engine
	Rho       float64 // penalty on the layers' linear equations
	Mu        float64 // weight decay, μ/2 ‖W‖²; of the exact engine relative: μ ρ N
	FISTA     bool
	Epsilon   float64 // ε of the first iteration, how far a may be from f(z)
	Floor     float64 // ε is halved in each iteration down to that
	Momentum  bool    // Nesterov's extrapolation
	Safeguard bool    // blocks that raise the objective are redone without it (mDLAM; off: DLAM)
}

// MDLAM is the deep learning alternating minimisation of Wang, Li and Zhao: the activations are not penalised but confined,
//
//	min F = R(z_L) + ρ/2 Σ_l ‖z_l − a_{l−1}W_l − b_l‖² + μ/2 Σ‖W_l‖²    s.t. f(z_l) − ε ≤ a_l ≤ f(z_l) + ε, l < L,
//
// for non-decreasing f, so that each block's problem is convex. One iteration goes through the layers, with V̄ = V + ω(V − V_old),
// ω = (s − 1)/s', s' = (1 + √(1 + 4s²))/2:
//
//	W_l   step from W̄ on ρ/2 ‖z_l − a_{l−1}W − b_l‖² + μ/2 ‖W‖²
//	b_l   mean of the rows of z_l − a_{l−1}W_l
//	z_l   m = a_{l−1}W_l + b_l, moved into the interval {z: |f(z) − a_l| ≤ ε};   z_L = argmin R(z) + ρ/2 ‖z − m‖²
//	a_l   step from ā on ρ/2 ‖z_{l+1} − a W_{l+1} − b_{l+1}‖², clipped to f(z_l) ± ε
//
// A block whose new value does not lower its terms of F is updated again from V itself. The momentum of z would have no effect:
// its step goes to m from anywhere.
//
// Paper: Wang, Li and Zhao, "Accelerated gradient-free neural network training by multi-convex alternating optimization",
// Neurocomputing 487, 2022. Deviations: b is updated in every layer; z_L by Newton; backtracking starts from half the last accepted
// step and is not cut off; the exact engine solves W and takes projected accelerated steps on a until they stand still.
//
// F does not rise while ε stays, for every ρ > 0 (with the safeguard). Shrinking ε may raise it. Cost of an iteration, a layer: seven to nine
// products of 2Nnm flops. Memory: a, z, products and the last a, some 6 N n numbers a layer. Full batch alone.
type MDLAM[T tensor.Float] struct {
	network[T]
	o      LAMOptions
	layers []*lamLayer[T]

	iterations int64
	s, epsilon float64
	value      float64 // F
	rises      int64
	steps      int64 // block steps with momentum
	fallbacks  int64 // of them, those redone
	extra      []optim.Value
}

// lamLayer is a layer's block of variables.
type lamLayer[T tensor.Float] struct {
	affine[T]
	act        Activation
	z, a, aOld tensor.Tensor[T] // a: of hidden layers
	wOld       tensor.Tensor[T]
	in         tensor.Tensor[T] // a of the layer before, or X
	tau        float64          // of the last step on in
}

// NewMDLAM returns the trainer for a network of the given layers on so many examples.
func NewMDLAM[T tensor.Float](env optim.Env, o LAMOptions) (*MDLAM[T], error) {
	name := "mdlam"
	if !o.Safeguard {
		name = "dlam"
	}
	net, err := newNetwork[T](name, env, o.FISTA)
	if err != nil {
		return nil, err
	}
	m := &MDLAM[T]{network: net, o: o, epsilon: o.Epsilon}
	for i, c := range m.chain {
		l := &lamLayer[T]{z: tensor.New[T](m.examples, c.Out), wOld: tensor.New[T](c.In, c.Out)}
		l.m = tensor.New[T](m.examples, c.Out)
		if i > 0 {
			l.in = m.layers[i-1].a
		}
		if i < m.top() {
			if l.act, err = m.activation(i); err != nil {
				return nil, err
			}
			if l.act.Preimage == nil {
				return nil, fmt.Errorf("altmin: layer %s: %s needs the inverse of activation %s\nhint: relu, leaky-relu, hard-tanh, tanh, sigmoid, softplus and identity have one", c.Name, name, c.Activation)
			}
			l.a, l.aOld = tensor.New[T](m.examples, c.Out), tensor.New[T](m.examples, c.Out)
		}
		m.layers = append(m.layers, l)
	}
	return m, nil
}

// Step makes one iteration. The batch must be the whole of the training data, in the same order each time.
func (m *MDLAM[T]) Step(ctx context.Context, f *objective.Objective[T]) (optim.Report, error) {
	x, y, err := m.bind(ctx, f, func(i int) *affine[T] { return &m.layers[i].affine })
	if err != nil {
		return optim.Report{}, err
	}
	m.begin(x, y)
	next := (1 + math.Sqrt(1+4*m.s*m.s)) / 2
	omega := 0.0
	if m.o.Momentum {
		omega = max(0, (m.s-1)/next)
	}
	m.s = next
	if m.iterations > 0 {
		m.epsilon = max(m.o.Floor, m.epsilon/2)
	}
	for i, l := range m.layers {
		m.stepWeights(l, omega, i == 0)
		l.stepBias(m.ws, l.z)
		mark := m.ws.Mark()
		c := m.ws.New(l.z.Shape())
		l.addBias(m.ws, c, l.m)
		if i == m.top() {
			m.out.minimize(m.ws, l.z, c, m.o.Rho, y)
		} else {
			confine(m.ws, l.act, l.z, c, l.a, m.epsilon)
			m.stepActivation(l, m.layers[i+1], omega)
		}
		m.ws.Release(mark)
	}
	m.iterations++
	f.Moved()
	loss, err := f.GradientAt(ctx, f.Params(), nil)
	return m.report(loss, y), err
}

// mu returns the weight decay.
func (m *MDLAM[T]) mu() float64 {
	if m.o.Engine == Exact {
		return m.o.Mu * m.o.Rho * float64(m.examples)
	}
	return m.o.Mu
}

// penalty returns the terms of F that W_l stands in.
func (m *MDLAM[T]) penalty(l *lamLayer[T]) float64 {
	mark := m.ws.Mark()
	defer m.ws.Release(mark)
	e := m.ws.New(l.z.Shape())
	l.residual(m.ws, e, l.z)
	return m.o.Rho/2*square(m.ws, e) + m.mu()/2*square(m.ws, l.w)
}

// stepWeights is the step on W_l.
func (m *MDLAM[T]) stepWeights(l *lamLayer[T], omega float64, fixed bool) {
	ws := m.ws
	mark := ws.Mark()
	defer ws.Release(mark)
	w, product := ws.New(l.w.Shape()), ws.New(l.m.Shape())
	l.multiply(ws, l.in) // the inputs moved
	tensor.Copy(ws, w, l.w)
	tensor.Copy(ws, product, l.m)
	if m.o.Engine == Exact {
		l.stepWeights(ws, Exact, l.in, l.z, m.o.Rho, m.mu(), 1, fixed)
		tensor.Copy(ws, l.wOld, w)
		return
	}
	before := m.penalty(l)
	if omega > 0 {
		tensor.Axpby(ws, l.w, T(-omega), l.wOld, T(1+omega))
		l.multiply(ws, l.in)
		m.steps++
	}
	l.stepWeights(ws, Paper, l.in, l.z, m.o.Rho, m.mu(), 1, fixed)
	if omega > 0 && m.o.Safeguard && !(m.penalty(l) < before) {
		m.fallbacks++
		tensor.Copy(ws, l.w, w)
		tensor.Copy(ws, l.m, product)
		l.stepWeights(ws, Paper, l.in, l.z, m.o.Rho, m.mu(), 1, fixed)
	}
	tensor.Copy(ws, l.wOld, w)
}

// innerSteps bounds the projected steps of the exact engine on a; they stop when the step is a millionth of a.
const innerSteps = 50

// stepActivation is the step on a_l, the input of next.
func (m *MDLAM[T]) stepActivation(l, next *lamLayer[T], omega float64) {
	ws := m.ws
	mark := ws.Mark()
	defer ws.Release(mark)
	f, a, product := ws.New(l.a.Shape()), ws.New(l.a.Shape()), ws.New(next.m.Shape())
	apply(ws, l.act, f, l.z)
	clip(ws, l.a, f, m.epsilon) // a moved into the box by the new z: the feasible old point
	tensor.Copy(ws, a, l.a)
	next.multiply(ws, l.a)
	if m.o.Engine == Exact {
		m.solveActivation(l, next, f)
		tensor.Copy(ws, l.aOld, a)
		return
	}
	tensor.Copy(ws, product, next.m)
	before := m.penalty(next)
	if omega > 0 {
		tensor.Axpby(ws, l.a, T(-omega), l.aOld, T(1+omega))
		next.multiply(ws, l.a)
		m.steps++
	}
	m.projected(l, next, f)
	if omega > 0 && m.o.Safeguard && !(m.penalty(next) < before) {
		m.fallbacks++
		tensor.Copy(ws, l.a, a)
		tensor.Copy(ws, next.m, product)
		m.projected(l, next, f)
	}
	tensor.Copy(ws, l.aOld, a)
}

// projected is a ← clip(a − ∇/t), ∇ = ρ(a W + 1bᵀ − z) Wᵀ, with t ≥ ρ‖D W‖²/‖D‖² for the step D that is made. It returns
// ‖D‖².
func (m *MDLAM[T]) projected(l, next *lamLayer[T], f tensor.Tensor[T]) float64 {
	ws := m.ws
	mark := ws.Mark()
	defer ws.Release(mark)
	e, g, d, dw := ws.New(next.z.Shape()), ws.New(l.a.Shape()), ws.New(l.a.Shape()), ws.New(next.z.Shape())
	next.residual(ws, e, next.z)
	tensor.MatMul(ws, g, e, next.w, false, true)
	tensor.Scale(ws, g, g, T(m.o.Rho))
	next.products++
	t := 1.0
	if next.tau > 0 {
		t = next.tau / 2
	}
	for ; ; t *= 2 {
		tensor.Copy(ws, d, l.a)
		tensor.Axpy(ws, d, T(-1/t), g)
		clip(ws, d, f, m.epsilon)
		tensor.Sub(ws, d, d, l.a)
		dd := square(ws, d)
		if dd == 0 || math.IsInf(t, 1) {
			return 0
		}
		tensor.MatMul(ws, dw, d, next.w, false, false)
		next.products++
		if m.o.Rho*square(ws, dw) <= t*dd*(1+1e-6) {
			next.tau = t
			tensor.Add(ws, l.a, l.a, d)
			tensor.Add(ws, next.m, next.m, dw)
			return dd
		}
	}
}

// solveActivation minimises over a in its box by projected steps with Nesterov's extrapolation, started anew when they go uphill
// (O'Donoghue and Candès, 2015).
func (m *MDLAM[T]) solveActivation(l, next *lamLayer[T], f tensor.Tensor[T]) {
	ws := m.ws
	mark := ws.Mark()
	defer ws.Release(mark)
	a, product := ws.New(l.a.Shape()), ws.New(next.m.Shape())
	t, value := 1.0, m.penalty(next)
	for range innerSteps {
		tensor.Copy(ws, a, l.a)
		tensor.Copy(ws, product, next.m)
		moved := m.projected(l, next, f)
		now := m.penalty(next)
		if now > value {
			tensor.Copy(ws, l.a, a)
			tensor.Copy(ws, next.m, product)
			if t == 1 {
				return
			}
			t = 1
			continue
		}
		if moved <= 1e-12*square(ws, l.a) || value-now <= 1e-9*value {
			return
		}
		value, t = now, t+1
	}
}

// clip moves x into f ± ε.
func clip[T tensor.Float](ws *tensor.Workspace[T], x, f tensor.Tensor[T], epsilon float64) {
	xs, fs, e := x.Data(), f.Data(), T(epsilon)
	ws.Pool().Range(len(xs), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			xs[i] = min(max(xs[i], fs[i]-e), fs[i]+e)
		}
	})
}

// confine sets z to m moved into the interval {z: |f(z) − a| ≤ ε}.
func confine[T tensor.Float](ws *tensor.Workspace[T], act Activation, z, m, a tensor.Tensor[T], epsilon float64) {
	zs, ms, as := z.Data(), m.Data(), a.Data()
	ws.Pool().Range(len(zs), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, to := act.Preimage(float64(as[i])-epsilon, float64(as[i])+epsilon)
			zs[i] = T(min(max(float64(ms[i]), from), to))
		}
	})
}

// begin takes up the batch; before the first iteration it sets the variables by a forward pass, and z_L to 1 at the label and −1
// elsewhere.
func (m *MDLAM[T]) begin(x tensor.Tensor[T], y nn.Target[T]) {
	m.layers[0].in = x
	if m.iterations > 0 {
		return
	}
	for i, l := range m.layers {
		l.multiply(m.ws, l.in)
		l.addBias(m.ws, l.z, l.m)
		tensor.Copy(m.ws, l.wOld, l.w)
		if i == m.top() {
			startOutput(l.z, y)
		} else {
			apply(m.ws, l.act, l.a, l.z)
			tensor.Copy(m.ws, l.aOld, l.a)
		}
	}
	m.value = m.objective(y)
}

// objective returns F.
func (m *MDLAM[T]) objective(y nn.Target[T]) float64 {
	sum := m.out.value(m.layers[m.top()].z, y)
	for _, l := range m.layers {
		sum += m.penalty(l)
	}
	return sum
}

// report says how the iteration went.
func (m *MDLAM[T]) report(loss float64, y nn.Target[T]) optim.Report {
	before := m.value
	m.value = m.objective(y)
	if m.value > before {
		m.rises++
	}
	linear, feasibility := 0.0, 0.0
	for _, l := range m.layers {
		mark := m.ws.Mark()
		e := m.ws.New(l.z.Shape())
		l.residual(m.ws, e, l.z)
		linear = max(linear, math.Sqrt(square(m.ws, e)))
		if l.a.Shape().Rank() > 0 {
			apply(m.ws, l.act, e, l.z)
			tensor.Sub(m.ws, e, e, l.a)
			for _, v := range e.Data() {
				feasibility = max(feasibility, math.Abs(float64(v)))
			}
		}
		m.ws.Release(mark)
	}
	m.extra = append(m.extra[:0],
		optim.Value{Name: "objective", Value: m.value}, optim.Value{Name: "objective-rises", Value: float64(m.rises)},
		optim.Value{Name: "linear-infeasibility", Value: linear}, optim.Value{Name: "activation-infeasibility", Value: feasibility},
		optim.Value{Name: "epsilon", Value: m.epsilon}, optim.Value{Name: "momentum-steps", Value: float64(m.steps)},
		optim.Value{Name: "momentum-fallbacks", Value: float64(m.fallbacks)})
	return optim.Report{Loss: loss, Extra: m.extra}
}

// State returns the layers' variables and the counters.
func (m *MDLAM[T]) State() optim.State[T] {
	s := optim.State[T]{{Name: "iterations", Int: &m.iterations}, {Name: "rises", Int: &m.rises}, {Name: "steps", Int: &m.steps},
		{Name: "fallbacks", Int: &m.fallbacks}, {Name: "s", Float: &m.s}, {Name: "epsilon", Float: &m.epsilon}, {Name: "objective", Float: &m.value}}
	for i, l := range m.layers {
		name := m.chain[i].Name
		s = append(s, optim.StateEntry[T]{Name: name + ".z", Vector: l.z.Data()}, optim.StateEntry[T]{Name: name + ".w-old", Vector: l.wOld.Data()},
			optim.StateEntry[T]{Name: name + ".t", Float: &l.step}, optim.StateEntry[T]{Name: name + ".tau", Float: &l.tau})
		if i < m.top() {
			s = append(s, optim.StateEntry[T]{Name: name + ".a", Vector: l.a.Data()}, optim.StateEntry[T]{Name: name + ".a-old", Vector: l.aOld.Data()})
		}
	}
	return s
}
