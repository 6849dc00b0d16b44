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

// DLOptions are the settings of a [DLADMM].
type DLOptions struct {
	Engine   Engine
	Nu, Rho  float64 // penalty ν on the hidden layers, ρ on the constraint of the last
	Mu       float64 // weight decay, μ/2 ‖W‖²; of the exact engine relative: μ κ N
	FISTA    bool    // the papers' solver for the output
	Growth   float64 // factor on ν and ρ when the true loss rose three times in a row; 1: none
	Greatest float64 // to which ρ grows
	Theory   bool    // insist on the condition of the convergence theorem
}

// DLADMM is deep learning by the alternating direction method of multipliers (dlADMM). The layers' equations are penalties, but that
// of the last, linear layer, which is a constraint with the multiplier u:
//
//	L = R(z_L) + ν/2 Σ_{l<L} (‖z_l − a_{l−1}W_l − b_l‖² + ‖a_l − f(z_l)‖²) + ⟨u, r⟩ + ρ/2 ‖r‖² + μ/2 Σ‖W_l‖²,   r = z_L − a_{L−1}W_L − b_L
//
// One iteration goes through the layers backward and then forward, each block with the newest of the others:
//
//	a_l   step on κ_{l+1}/2 ‖a W_{l+1} + b_{l+1} − z_{l+1} − ũ_{l+1}‖² + ν/2 ‖a − f(z_l)‖²
//	z_l   argmin (z − m)² + (a_l − f(z))²,  m = a_{l−1}W_l + b_l;     z_L = argmin R(z) + ρ/2 ‖z − m + u/ρ‖²
//	b_l   mean of the rows of z_l + ũ_l − a_{l−1}W_l
//	W_l   step on κ_l/2 ‖a_{l−1} W + b_l − z_l − ũ_l‖² + μ/2 ‖W‖²
//	u     u + ρ r                                                      at the end
//
// with κ_l = ν, ũ_l = 0 for hidden layers, κ_L = ρ, ũ_L = u/ρ.
//
// Paper: Wang, Yu, Chen and Zhao, "ADMM for efficient deep learning with global convergence", KDD 2019. Deviations: b is the exact
// minimiser over the batch; backtracking starts from half the last accepted step and its trials are arithmetic of two numbers; z_L by Newton;
// the exact engine solves the steps on W and a.
//
// Identity: after an iteration ∇R(z_L) + u = 0. For ρ > 2H, with H = 1/2 the Lipschitz constant of softmax cross-entropy's
// gradient, the Lagrangian falls in every iteration; the accuracies of the paper are from far outside of that.
//
// Cost of an iteration, a layer: nine products of 2Nnm flops (paper engine), three times those of a gradient. Memory: a, z and products, some 5 N n
// numbers a layer. Full batch alone.
type DLADMM[T tensor.Float] struct {
	network[T]
	o      DLOptions
	layers []*dlLayer[T]
	u      tensor.Tensor[T]

	iterations int64
	lagrangian float64
	rises      int64
	nu, rho    float64
	lastLoss   float64
	worse      int64 // times in a row that the true loss rose
	extra      []optim.Value
}

// dlLayer is a layer's block of variables.
type dlLayer[T tensor.Float] struct {
	affine[T]
	act  Activation
	z, a tensor.Tensor[T] // a: of hidden layers
	in   tensor.Tensor[T] // a of the layer before, or X
	tau  float64          // of the last step on in
}

// NewDLADMM returns the trainer for a network of the given layers on so many examples.
func NewDLADMM[T tensor.Float](env optim.Env, o DLOptions) (*DLADMM[T], error) {
	net, err := newNetwork[T]("dladmm", env, o.FISTA)
	if err != nil {
		return nil, err
	}
	if o.Theory && !(o.Rho > 1) {
		return nil, fmt.Errorf("altmin: dladmm: ρ = %g is not above 2H = 1, the condition under which the Lagrangian falls\nhint: raise rho, or leave theory out", o.Rho)
	}
	m := &DLADMM[T]{network: net, o: o, nu: o.Nu, rho: o.Rho, lastLoss: math.Inf(1)}
	for i, c := range m.chain {
		l := &dlLayer[T]{z: tensor.New[T](m.examples, c.Out)}
		l.m = tensor.New[T](m.examples, c.Out)
		if i > 0 {
			l.in = m.layers[i-1].a
		}
		if i < m.top() {
			if l.act, err = m.activation(i); err != nil {
				return nil, err
			}
			l.a = tensor.New[T](m.examples, c.Out)
		}
		m.layers = append(m.layers, l)
	}
	m.u = tensor.New[T](m.examples, m.chain[m.top()].Out)
	return m, nil
}

// Step makes one iteration. The batch must be the whole of the training data, in the same order each time.
func (m *DLADMM[T]) Step(ctx context.Context, f *objective.Objective[T]) (optim.Report, error) {
	x, y, err := m.bind(ctx, f, func(i int) *affine[T] { return &m.layers[i].affine })
	if err != nil {
		return optim.Report{}, err
	}
	m.begin(x, y)
	top := m.top()
	for _, l := range m.layers {
		l.multiply(m.ws, l.in) // anew, so that rounding does not add up over the iterations
	}
	m.stepOutput(y)
	m.stepBiasOf(top)
	m.stepWeightsOf(top)
	for l := top - 1; l >= 0; l-- {
		m.stepActivation(l)
		m.stepHidden(l)
		m.stepBiasOf(l)
		m.stepWeightsOf(l)
	}
	for l := range top {
		m.stepWeightsOf(l)
		m.stepBiasOf(l)
		m.stepHidden(l)
		m.stepActivation(l)
	}
	m.stepWeightsOf(top)
	m.stepBiasOf(top)
	m.stepOutput(y)
	last := m.layers[top]
	mark := m.ws.Mark()
	r := m.ws.New(last.z.Shape())
	last.residual(m.ws, r, last.z)
	tensor.Axpy(m.ws, m.u, T(-m.rho), r)
	m.ws.Release(mark)
	m.iterations++
	f.Moved()
	loss, err := f.GradientAt(ctx, f.Params(), nil)
	report := m.report(loss, y)
	m.grow(loss)
	return report, err
}

// kappa returns κ_l.
func (m *DLADMM[T]) kappa(l int) float64 {
	if l == m.top() {
		return m.rho
	}
	return m.nu
}

// mu returns the weight decay of layer l.
func (m *DLADMM[T]) mu(l int) float64 {
	if m.o.Engine == Exact {
		return m.o.Mu * m.kappa(l) * float64(m.u.Shape().Dim(0))
	}
	return m.o.Mu
}

// target returns z_l + ũ_l, in storage of the workspace for the last layer.
func (m *DLADMM[T]) target(l int) tensor.Tensor[T] {
	z := m.layers[l].z
	if l < m.top() {
		return z
	}
	t := m.ws.New(z.Shape())
	tensor.Copy(m.ws, t, z)
	tensor.Axpy(m.ws, t, T(1/m.rho), m.u)
	return t
}

func (m *DLADMM[T]) stepWeightsOf(l int) {
	mark := m.ws.Mark()
	defer m.ws.Release(mark)
	k := m.layers[l]
	k.stepWeights(m.ws, m.o.Engine, k.in, m.target(l), m.kappa(l), m.mu(l), 1, l == 0)
}

func (m *DLADMM[T]) stepBiasOf(l int) {
	mark := m.ws.Mark()
	defer m.ws.Release(mark)
	m.layers[l].stepBias(m.ws, m.target(l))
}

func (m *DLADMM[T]) stepActivation(l int) {
	mark := m.ws.Mark()
	defer m.ws.Release(mark)
	k, next := m.layers[l], m.layers[l+1]
	f := m.ws.New(k.z.Shape())
	apply(m.ws, k.act, f, k.z)
	next.stepInputs(m.ws, m.o.Engine, k.a, m.target(l+1), f, m.kappa(l+1), m.nu, 1, &next.tau)
}

func (m *DLADMM[T]) stepHidden(l int) {
	mark := m.ws.Mark()
	defer m.ws.Release(mark)
	k := m.layers[l]
	e := m.ws.New(k.z.Shape())
	k.addBias(m.ws, e, k.m)
	minimize(m.ws, k.act, k.z, e, k.a, 1, 0)
}

func (m *DLADMM[T]) stepOutput(y nn.Target[T]) {
	mark := m.ws.Mark()
	defer m.ws.Release(mark)
	k := m.layers[m.top()]
	c := m.ws.New(k.z.Shape())
	k.addBias(m.ws, c, k.m)
	tensor.Axpy(m.ws, c, T(-1/m.rho), m.u)
	m.out.minimize(m.ws, k.z, c, m.rho, y)
}

// begin takes up the batch; before the first iteration it sets the variables by a forward pass, and z_L to 1 at the label and −1
// elsewhere.
func (m *DLADMM[T]) begin(x tensor.Tensor[T], y nn.Target[T]) {
	m.layers[0].in = x
	if m.iterations > 0 {
		return
	}
	for i, l := range m.layers {
		l.multiply(m.ws, l.in)
		l.addBias(m.ws, l.z, l.m)
		if i == m.top() {
			startOutput(l.z, y)
		} else {
			apply(m.ws, l.act, l.a, l.z)
		}
	}
	m.lagrangian = m.value(y)
}

// value returns the augmented Lagrangian.
func (m *DLADMM[T]) value(y nn.Target[T]) float64 {
	sum := 0.0
	for i, l := range m.layers {
		mark := m.ws.Mark()
		e := m.ws.New(l.z.Shape())
		l.residual(m.ws, e, l.z)
		sum += m.kappa(i)/2*square(m.ws, e) + m.mu(i)/2*square(m.ws, l.w)
		if i == m.top() {
			sum += m.out.value(l.z, y) - float64(tensor.Dot(m.ws, m.u, e))
		} else {
			apply(m.ws, l.act, e, l.z)
			sum += m.nu / 2 * distance(m.ws, e, l.a)
		}
		m.ws.Release(mark)
	}
	return sum
}

// report says how the iteration went.
func (m *DLADMM[T]) report(loss float64, y nn.Target[T]) optim.Report {
	before := m.lagrangian
	m.lagrangian = m.value(y)
	if m.lagrangian > before {
		m.rises++
	}
	linear, nonlinear, constraint := 0.0, 0.0, 0.0
	for i, l := range m.layers {
		mark := m.ws.Mark()
		e := m.ws.New(l.z.Shape())
		l.residual(m.ws, e, l.z)
		if i == m.top() {
			constraint = square(m.ws, e)
		} else {
			linear = max(linear, math.Sqrt(square(m.ws, e)))
			apply(m.ws, l.act, e, l.z)
			nonlinear = max(nonlinear, math.Sqrt(distance(m.ws, e, l.a)))
		}
		m.ws.Release(mark)
	}
	m.extra = append(m.extra[:0],
		optim.Value{Name: "lagrangian", Value: m.lagrangian}, optim.Value{Name: "lagrangian-rises", Value: float64(m.rises)},
		optim.Value{Name: "constraint", Value: constraint}, optim.Value{Name: "linear-infeasibility", Value: linear},
		optim.Value{Name: "activation-infeasibility", Value: nonlinear}, optim.Value{Name: "rho", Value: m.rho})
	return optim.Report{Loss: loss, Extra: m.extra}
}

// grow raises the penalties after the true loss rose three times in a row.
func (m *DLADMM[T]) grow(loss float64) {
	if loss > m.lastLoss {
		m.worse++
	} else {
		m.worse = 0
	}
	m.lastLoss = loss
	if m.o.Growth > 1 && m.worse >= 3 && m.rho < m.o.Greatest {
		factor := min(m.o.Growth, m.o.Greatest/m.rho)
		m.rho, m.nu, m.worse = m.rho*factor, m.nu*factor, 0
	}
}

// State returns the layers' variables, the multiplier and the counters.
func (m *DLADMM[T]) State() optim.State[T] {
	s := optim.State[T]{{Name: "iterations", Int: &m.iterations}, {Name: "rises", Int: &m.rises}, {Name: "worse", Int: &m.worse},
		{Name: "lagrangian", Float: &m.lagrangian}, {Name: "nu", Float: &m.nu}, {Name: "rho", Float: &m.rho},
		{Name: "last-loss", Float: &m.lastLoss}, {Name: "u", Vector: m.u.Data()}}
	for i, l := range m.layers {
		name := m.chain[i].Name
		s = append(s, optim.StateEntry[T]{Name: name + ".z", Vector: l.z.Data()},
			optim.StateEntry[T]{Name: name + ".t", Float: &l.step}, optim.StateEntry[T]{Name: name + ".tau", Float: &l.tau})
		if i < m.top() {
			s = append(s, optim.StateEntry[T]{Name: name + ".a", Vector: l.a.Data()})
		}
	}
	return s
}
