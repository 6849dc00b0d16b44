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

// PDOptions are the settings of a [PDADMM].
type PDOptions struct {
	Engine  Engine
	Nu, Rho float64 // penalty ν on the layers' equations, ρ on p = q
	Mu      float64 // weight decay, μ/2 ‖W‖²; of the exact engine relative: μ κ N
	FISTA   bool    // the papers' solver for the output
	P, Q    Grid    // to which p or q are confined; the zero Grid: not
	Theory  bool    // insist on the condition of the convergence theorem
}

// PDADMM is parallel deep learning by the alternating direction method of multipliers. A network Y = f(… f(X W₁ + b₁) …) W_L + b_L
// is split at every boundary: layer l puts out q_l, layer l+1 takes in p_{l+1},
//
//	min R(z_L) + ν/2 Σ_l ‖z_l − p_l W_l − b_l‖² + ν/2 Σ_{l<L} ‖q_l − f(z_l)‖² + μ/2 Σ ‖W_l‖²    s.t. p_{l+1} = q_l,  p₁ = X
//
// and with multipliers u_l of the constraints and a penalty ρ/2 ‖p_{l+1} − q_l‖² one iteration is, all layers at the same time,
//
//	p_l   step on ν/2 ‖z_l − p W_l − b_l‖² + ρ/2 ‖p − q_{l−1} + u_{l−1}/ρ‖²          l > 1
//	W_l   step on ν/2 ‖z_l − p_l W − b_l‖² + μ/2 ‖W‖²
//	b_l   mean of the rows of z_l − p_l W_l
//	z_l   argmin (z − m)² + (q_l − f(z))² + (z − z_l)², m = p_l W_l + b_l             l < L
//	z_L   argmin R(z) + ν/2 ‖z − m‖²
//	q_l   (ρ p_{l+1} + u_l + ν f(z_l))/(ρ + ν)
//	u_l   u_l + ρ(p_{l+1} − q_l)
//
// Papers: Wang, Chai, Cheng and Zhao, "Toward model parallelism for deep neural network based on gradient-free ADMM framework",
// ICDM 2020 (pdADMM); Wang, Li, Cheng and Zhao, "Towards quantized model parallelism for graph-augmented MLPs based on
// gradient-free ADMM framework", TNNLS 2022 (pdADMM-G and, with p on a grid, pdADMM-G-Q). Deviations: b is the exact minimiser over the batch;
// backtracking starts from half the last accepted step and its trials are arithmetic of two numbers; z_L is solved by Newton; the
// branch of z is chosen by all three terms; the exact engine solves the steps on p and W.
//
// Identity: after an iteration u_l = ν(q_l − f(z_l)). Inside the theory, ρ > max(4νS², (√17+1)ν/2) with S the Lipschitz constant of
// f, the augmented Lagrangian falls in every iteration. The accuracies of the papers are from outside of it.
//
// Cost of an iteration, a layer with N examples, n inputs, m outputs: five products of 2Nnm flops (paper engine), or four, two of
// order Nn², and two factorisations of order n³ (exact). Memory: p, q, z, u and products, some 8 N n numbers. Full batch alone.
//
// A layer owns its variables; what it tells its neighbours goes as packed messages, p down and q up; both sides
// compute the multiplier. Layers run at the same time, and give the same bits as one after another.
type PDADMM[T tensor.Float] struct {
	network[T]
	o      PDOptions
	layers []*pdLayer[T]

	iterations int64
	bytes      int64   // sent in all iterations
	lagrangian float64 // after the last iteration
	rises      int64   // iterations in which it rose
	least      float64 // c_k, the least decrease that the theory promises, so far
	extra      []optim.Value
}

// NewPDADMM returns the trainer for a network of the given layers on so many examples.
func NewPDADMM[T tensor.Float](env optim.Env, o PDOptions) (*PDADMM[T], error) {
	net, err := newNetwork[T]("pdadmm", env, o.FISTA)
	if err != nil {
		return nil, err
	}
	m := &PDADMM[T]{network: net, o: o, least: math.Inf(1)}
	slope := 0.0
	n := m.examples
	for i, c := range m.chain {
		l := &pdLayer[T]{index: i, last: i == m.top(), ws: tensor.NewWorkspace[T](env.Pool)}
		if !l.last {
			if l.act, err = m.activation(i); err != nil {
				return nil, err
			}
			slope = max(slope, l.act.Lipschitz)
		}
		l.m = tensor.New[T](n, c.Out)
		l.z = tensor.New[T](n, c.Out)
		if i > 0 {
			l.p, l.qIn, l.uIn = tensor.New[T](n, c.In), tensor.New[T](n, c.In), tensor.New[T](n, c.In)
			l.join(m.layers[i-1])
		}
		if !l.last {
			l.q, l.u = tensor.New[T](n, c.Out), tensor.New[T](n, c.Out)
		}
		m.layers = append(m.layers, l)
	}
	if limit := Condition(o.Nu, slope); o.Theory && !(o.Rho > limit) {
		return nil, fmt.Errorf("altmin: pdadmm: ρ = %g is not above %g = max(4νS², (√17+1)ν/2) with ν = %g and S = %g, the condition under which the Lagrangian falls\nhint: raise rho, or leave theory out", o.Rho, limit, o.Nu, slope)
	}
	return m, nil
}

// Condition returns the ρ above which the convergence theorem of pdADMM holds, max(4νS², (√17+1)ν/2), for activations
// with Lipschitz constant S.
func Condition(nu, slope float64) float64 {
	return max(4*nu*slope*slope, (math.Sqrt(17)+1)*nu/2)
}

// pdLayer is what one layer owns.
type pdLayer[T tensor.Float] struct {
	affine[T]
	index int
	last  bool
	act   Activation
	ws    *tensor.Workspace[T]

	p, z, q, u tensor.Tensor[T] // p of the first layer is X; the last has no q and u
	qIn, uIn   tensor.Tensor[T] // of the layer before: as it was told, and computed here
	tau        float64          // of the last step on p

	// Boundaries: toPrev carries p to the layer before, toNext q to the layer after.
	fromNext, toPrev chan message
	fromPrev, toNext chan message
	sentP, sentQ     message

	fell float64 // what the theory says that this iteration took from the Lagrangian at least
}

// join opens the boundary with the layer before.
func (l *pdLayer[T]) join(before *pdLayer[T]) {
	p, q := make(chan message, 1), make(chan message, 1)
	l.toPrev, before.fromNext, before.toNext, l.fromPrev = p, p, q, q
}

// run makes one iteration of the layer.
func (l *pdLayer[T]) run(o *PDOptions, out *output[T], y nn.Target[T]) {
	ws := l.ws
	mark := ws.Mark()
	defer ws.Release(mark)
	l.fell = 0
	l.multiply(ws, l.p) // anew, so that rounding does not add up over the iterations
	if l.index > 0 {
		l.stepP(o)
		pack(&l.sentP, o.P, l.p.Data())
		l.toPrev <- l.sentP
	}
	n := float64(l.z.Shape().Dim(0))
	mu := o.Mu
	if o.Engine == Exact {
		mu *= o.Nu * n
	}
	l.fell += l.stepWeights(ws, o.Engine, l.p, l.z, o.Nu, mu, 10, l.index == 0)
	oldB := append([]T(nil), l.b...)
	l.stepBias(ws, l.z)
	for i, v := range l.b {
		d := float64(v - oldB[i])
		l.fell += n * o.Nu / 2 * d * d
	}
	m, oldZ := ws.New(l.z.Shape()), ws.New(l.z.Shape())
	l.addBias(ws, m, l.m)
	tensor.Copy(ws, oldZ, l.z)
	if l.last {
		out.minimize(ws, l.z, m, o.Nu, y)
		l.fell += o.Nu / 2 * distance(ws, l.z, oldZ)
	} else {
		minimize(ws, l.act, l.z, m, l.q, 1, 1)
		s := l.act.Lipschitz
		l.fell += (o.Nu/2 - 2*o.Nu*o.Nu*s*s/o.Rho) * distance(ws, l.z, oldZ)
		l.stepQ(o)
	}
	if l.index > 0 {
		unpack(<-l.fromPrev, o.Q, l.qIn.Data())
		l.dual(o.Rho, l.uIn, l.p, l.qIn)
	}
}

// stepP is the step on the layer's inputs.
func (l *pdLayer[T]) stepP(o *PDOptions) {
	ws := l.ws
	target := ws.New(l.p.Shape())
	tensor.Copy(ws, target, l.qIn)
	tensor.Axpy(ws, target, T(-1/o.Rho), l.uIn)
	if o.P.Len() == 0 {
		l.fell += l.stepInputs(ws, o.Engine, l.p, l.z, target, o.Nu, o.Rho, 10, &l.tau)
		return
	}
	// On a grid: p ← Π(p − ∇/t), with the test at the projected point, D = p⁺ − p: ν‖D W‖² + ρ‖D‖² ≤ t‖D‖². t is kept as small as
	// that allows: a large one projects every entry back to where it was.
	e, g, d, dw := ws.New(l.z.Shape()), ws.New(l.p.Shape()), ws.New(l.p.Shape()), ws.New(l.z.Shape())
	l.residual(ws, e, l.z)
	tensor.MatMul(ws, g, e, l.w, false, true)
	tensor.Scale(ws, g, g, T(o.Nu))
	tensor.Axpy(ws, g, T(o.Rho), l.p)
	tensor.Axpy(ws, g, T(-o.Rho), target)
	l.products++
	t := o.Rho
	if l.tau > 0 {
		t = max(o.Rho, l.tau/4)
	}
	for ; ; t *= 2 {
		tensor.Copy(ws, d, l.p)
		tensor.Axpy(ws, d, T(-1/t), g)
		project(ws, o.P, d, d)
		tensor.Sub(ws, d, d, l.p)
		dd := square(ws, d)
		if dd == 0 {
			break
		}
		tensor.MatMul(ws, dw, d, l.w, false, false)
		l.products++
		if o.Nu*square(ws, dw)+o.Rho*dd <= t*dd*(1+1e-6) {
			tensor.Add(ws, l.p, l.p, d)
			project(ws, o.P, l.p, l.p) // p + d is on the grid but for rounding
			tensor.Add(ws, l.m, l.m, dw)
			break
		}
	}
	l.tau = t
}

// stepQ takes in p of the next layer and moves q and u.
func (l *pdLayer[T]) stepQ(o *PDOptions) {
	ws := l.ws
	next, old := ws.New(l.q.Shape()), ws.New(l.q.Shape())
	unpack(<-l.fromNext, o.P, next.Data())
	tensor.Copy(ws, old, l.q)
	apply(ws, l.act, l.q, l.z)
	tensor.Scale(ws, l.q, l.q, T(o.Nu/(o.Nu+o.Rho)))
	tensor.Axpy(ws, l.q, T(o.Rho/(o.Nu+o.Rho)), next)
	tensor.Axpy(ws, l.q, T(1/(o.Nu+o.Rho)), l.u)
	if o.Q.Len() > 0 {
		project(ws, o.Q, l.q, l.q)
	}
	pack(&l.sentQ, o.Q, l.q.Data())
	l.toNext <- l.sentQ
	l.dual(o.Rho, l.u, next, l.q)
	l.fell += (o.Rho/2 - 2*o.Nu*o.Nu/o.Rho - o.Nu/2) * distance(ws, l.q, old)
}

// dual is u ← u + ρ(p − q), which both layers at a boundary compute from the same numbers.
func (l *pdLayer[T]) dual(rho float64, u, p, q tensor.Tensor[T]) {
	tensor.Axpy(l.ws, u, T(rho), p)
	tensor.Axpy(l.ws, u, T(-rho), q)
}

// Step makes one iteration. The batch must be the whole of the training data, in the same order each time.
func (m *PDADMM[T]) Step(ctx context.Context, f *objective.Objective[T]) (optim.Report, error) {
	x, y, err := m.bind(ctx, f, func(i int) *affine[T] { return &m.layers[i].affine })
	if err != nil {
		return optim.Report{}, err
	}
	m.begin(x, y)
	done := make(chan struct{}, len(m.layers))
	for _, l := range m.layers {
		go func() {
			l.run(&m.o, m.out, y)
			done <- struct{}{}
		}()
	}
	for range m.layers {
		<-done
	}
	m.iterations++
	f.Moved()
	loss, err := f.GradientAt(ctx, f.Params(), nil)
	return m.report(loss, y), err
}

// begin takes up the batch; before the first iteration it sets the variables by a forward pass, and z_L to 1 at the label and −1
// elsewhere.
func (m *PDADMM[T]) begin(x tensor.Tensor[T], y nn.Target[T]) {
	m.layers[0].p = x
	if m.iterations > 0 {
		return
	}
	for i, l := range m.layers {
		if i > 0 {
			tensor.Copy(m.ws, l.p, m.layers[i-1].q)
			if m.o.P.Len() > 0 {
				project(m.ws, m.o.P, l.p, l.p)
			}
			tensor.Copy(m.ws, l.qIn, m.layers[i-1].q)
		}
		l.multiply(m.ws, l.p)
		l.addBias(m.ws, l.z, l.m)
		if l.last {
			startOutput(l.z, y)
			continue
		}
		apply(m.ws, l.act, l.q, l.z)
		if m.o.Q.Len() > 0 {
			project(m.ws, m.o.Q, l.q, l.q)
		}
	}
	m.lagrangian = m.value(y)
}

// startOutput sets z_L to 1 at the label and −1 elsewhere; to the targets where there are no labels.
func startOutput[T tensor.Float](z tensor.Tensor[T], y nn.Target[T]) {
	if y.Labels == nil {
		copy(z.Data(), y.Values.Data())
		return
	}
	tensor.Fill(z, -1)
	k := z.Shape().Cols()
	for i, c := range y.Labels {
		z.Data()[i*k+int(c)] = 1
	}
}

// value returns the augmented Lagrangian.
func (m *PDADMM[T]) value(y nn.Target[T]) float64 {
	sum := 0.0
	for i, l := range m.layers {
		mark := m.ws.Mark()
		e := m.ws.New(l.z.Shape())
		l.residual(m.ws, e, l.z)
		sum += m.o.Nu / 2 * square(m.ws, e)
		mu := m.o.Mu
		if m.o.Engine == Exact {
			mu *= m.o.Nu * float64(l.z.Shape().Dim(0))
		}
		sum += mu / 2 * square(m.ws, l.w)
		if l.last {
			sum += m.out.value(l.z, y)
		} else {
			apply(m.ws, l.act, e, l.z)
			sum += m.o.Nu / 2 * distance(m.ws, e, l.q)
			next := m.layers[i+1].p
			tensor.Sub(m.ws, e, next, l.q)
			sum += float64(tensor.Dot(m.ws, l.u, e)) + m.o.Rho/2*square(m.ws, e)
		}
		m.ws.Release(mark)
	}
	return sum
}

// report says how the iteration went.
func (m *PDADMM[T]) report(loss float64, y nn.Target[T]) optim.Report {
	before := m.lagrangian
	m.lagrangian = m.value(y)
	if m.lagrangian > before {
		m.rises++
	}
	fell, consensus, linear, nonlinear, sent := 0.0, 0.0, 0.0, 0.0, 0
	for i, l := range m.layers {
		fell += l.fell
		mark := m.ws.Mark()
		e := m.ws.New(l.z.Shape())
		l.residual(m.ws, e, l.z)
		linear = max(linear, math.Sqrt(square(m.ws, e)))
		if !l.last {
			apply(m.ws, l.act, e, l.z)
			nonlinear = max(nonlinear, math.Sqrt(distance(m.ws, e, l.q)))
			consensus += distance(m.ws, m.layers[i+1].p, l.q)
			sent += len(l.sentQ.bytes)
		}
		sent += len(l.sentP.bytes)
		m.ws.Release(mark)
	}
	m.bytes += int64(sent)
	if m.iterations > 1 { // the first has no multipliers of its own yet
		m.least = min(m.least, fell)
	}
	m.extra = append(m.extra[:0],
		optim.Value{Name: "lagrangian", Value: m.lagrangian}, optim.Value{Name: "lagrangian-rises", Value: float64(m.rises)},
		optim.Value{Name: "consensus", Value: consensus}, optim.Value{Name: "linear-infeasibility", Value: linear},
		optim.Value{Name: "activation-infeasibility", Value: nonlinear}, optim.Value{Name: "least-decrease", Value: m.least},
		optim.Value{Name: "bytes-sent", Value: float64(m.bytes)})
	return optim.Report{Loss: loss, Extra: m.extra}
}

// State returns the layers' variables and the counters.
func (m *PDADMM[T]) State() optim.State[T] {
	s := optim.State[T]{{Name: "iterations", Int: &m.iterations}, {Name: "bytes", Int: &m.bytes}, {Name: "rises", Int: &m.rises},
		{Name: "lagrangian", Float: &m.lagrangian}, {Name: "least-decrease", Float: &m.least}}
	for i, l := range m.layers {
		name := m.chain[i].Name
		add := func(what string, x tensor.Tensor[T]) {
			s = append(s, optim.StateEntry[T]{Name: name + "." + what, Vector: x.Data()})
		}
		add("z", l.z)
		s = append(s, optim.StateEntry[T]{Name: name + ".t", Float: &l.step}, optim.StateEntry[T]{Name: name + ".tau", Float: &l.tau})
		if i > 0 {
			add("p", l.p)
			add("q-before", l.qIn)
			add("u-before", l.uIn)
		}
		if !l.last {
			add("q", l.q)
			add("u", l.u)
		}
	}
	return s
}
