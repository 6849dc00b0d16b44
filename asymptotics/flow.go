package asymptotics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Method is the Runge–Kutta scheme of the forward flow; the adjoint has the same order.
type Method uint8

const (
	// Heun is the explicit trapezoidal rule, order 2.
	Heun Method = iota
	// RK4 is the classical rule, order 4. Its adjoint takes double steps, whose midpoints are stored states, so the number of
	// steps is even.
	RK4
)

// stages returns the coefficients of the stages after the first, each of which uses the slope before it alone, and the
// weights of all slopes.
func (m Method) stages() (reach, weight []float64) {
	if m == RK4 {
		return []float64{0.5, 0.5, 1}, []float64{1. / 6, 1. / 3, 1. / 3, 1. / 6}
	}
	return []float64{1}, []float64{0.5, 0.5}
}

// Options are the discretisation of the flow. Zero values mean the defaults.
type Options struct {
	Nodes  int      // P, quadrature nodes of μ₀ (2048)
	Steps  int      // steps in time; 0: 300, or more where the kernel is stiff
	Rule   NodeRule // Sobol
	Method Method   // Heun
	Seed   uint64   // of the nodes' scrambling
	Memory int      // bytes for stored states, 1 GiB; beyond it states are computed again
	Pool   *tensor.Pool
}

func (o *Options) fill() {
	if o.Nodes == 0 {
		o.Nodes = 2048
	}
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Pool == nil {
		o.Pool = tensor.NewPool(1)
	}
}

// Flow is the s-flow, the law of large numbers of every shallow scaling in one equation (label: derived; s = 1 is the
// mean-field theorem, s → ∞ the kernel theorem):
//
//	θ' = (α(t)/s) Σ_m π_m e_m ∇φ_m(θ),     e_m = y_m - g_t(x_m),     g_t(x) = s <φ_x, μ_t>,
//
// with s = N^(1-γ), φ_x(θ) = c σ(w·x). The law μ_t is carried by P nodes along their characteristics:
//
//	c' = (α/s) Σ_m r_m σ(u_m),     w' = (α/s) Σ_m r_m c σ'(u_m) x_m,     r_m = π_m e_m,  u = X w.
//
// Cost: 2·P·M·(d+1) multiplications and P·M activations a stage. The bits do not depend on the number of workers.
type Flow struct {
	p       Problem
	s       float64
	steps   int
	h       float64
	method  Method
	pool    *tensor.Pool
	x       []float64 // [M, d] with the constant
	pi      []float64 // [M]
	m, d    int
	weight  []float64   // [P] of the nodes, sum 1
	rho     [][]float64 // [steps+1][M] tilted data weights; nil: pi
	initial nodeSet
	error   [][]float64 // [steps+1][M] e_m at every step

	feedback float64 // 1; the negative control of the checks turns the sign of the adjoint's second term

	every  int         // states 0, every, 2·every … are stored
	stored [][]float64 // [steps/every+1]
	recent [][]float64 // the states after stored[recentAt], every-1 of them
	at     int         // which stored state recent follows; -1: none

	work *stageWork
}

// stageWork is the storage of one evaluation of the flow.
type stageWork struct {
	act                 activations
	part                []float64 // [blocks, M] partial outputs
	out, r, xr          []float64 // [M], [M], [M, d]
	slope, stage, total []float64 // like a state
}

// activations are σ(u), σ'(u), cσ'(u), cσ”(u) at every example and node, [M, n] per block, block k from M·(first node).
type activations struct {
	u, s, d, cd, cdd []float64
}

// NewFlow prepares the s-flow of p. s ≥ 1 is N^(1-γ), 1 the mean-field limit.
func NewFlow(p Problem, s float64, o Options) (*Flow, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if !(s > 0) || math.IsInf(s, 0) {
		return nil, bad("output scale s = N^(1-γ)", fmt.Sprint(s), "a positive number", "1 is the mean-field limit")
	}
	o.fill()
	if o.Nodes < 1 || o.Steps < 0 {
		return nil, bad("discretisation", fmt.Sprintf("%d nodes, %d steps", o.Nodes, o.Steps), "positive numbers", "0 means the default")
	}
	f := &Flow{p: p, s: s, method: o.Method, pool: o.Pool, pi: p.weights(), m: p.Examples(), d: p.Inputs(), at: -1, feedback: 1}
	f.x, _ = p.inputs(p.X)
	f.initial = makeNodes(&p, o.Nodes, o.Rule, o.Seed)
	f.weight = make([]float64, f.initial.count)
	for i := range f.weight {
		f.weight[i] = 1 / float64(f.initial.count)
	}
	f.work = f.newWork()
	f.steps = o.Steps
	if f.steps == 0 {
		f.steps = max(300, int(math.Ceil(3*f.stiffness()*p.T)))
	}
	if o.Method == RK4 {
		f.steps += f.steps % 2
	}
	f.h = p.T / float64(f.steps)
	f.plan(o.Memory)
	return f, nil
}

// plan decides which states are stored within limit bytes.
func (f *Flow) plan(limit int) {
	size := 8 * len(f.initial.data)
	f.every = 1
	for f.every < f.steps && size*(f.steps/f.every+1+f.every) > limit {
		next := f.every + 1
		if size*(f.steps/next+1+next) >= size*(f.steps/f.every+1+f.every) {
			break
		}
		f.every = next
	}
}

func (f *Flow) newWork() *stageWork {
	n := f.initial.count
	size := len(f.initial.data)
	return &stageWork{
		act:  activations{u: make([]float64, f.m*n), s: make([]float64, f.m*n), cd: make([]float64, f.m*n)},
		part: make([]float64, f.m*f.initial.blocks()), out: make([]float64, f.m), r: make([]float64, f.m), xr: make([]float64, f.m*f.d),
		slope: make([]float64, size), stage: make([]float64, size), total: make([]float64, size),
	}
}

// stiffness bounds the largest eigenvalue of αK at the start: the trace of α K diag(π), K the tangent kernel.
func (f *Flow) stiffness() float64 {
	p, d := &f.p, f.d
	var sum, alpha float64
	for i := range 9 {
		alpha = max(alpha, p.Alpha(p.T*float64(i)/8))
	}
	n := min(f.initial.count, nodeBlock)
	b := f.initial.block(0)
	w := make([]float64, d)
	for i := range n {
		c := b[i]
		for j := range d {
			w[j] = b[(1+j)*n+i]
		}
		for m := range f.m {
			x := f.x[m*d : (m+1)*d]
			s, ds, _ := p.Activation.At(simd.Dot(x, w))
			sum += f.pi[m] * (s*s + c*c*ds*ds*simd.Dot(x, x))
		}
	}
	return alpha * sum / float64(n)
}

// time returns the time of step n.
func (f *Flow) time(n int) float64 { return f.h * float64(n) }

// Steps returns the number of steps in time.
func (f *Flow) Steps() int { return f.steps }

// Scale returns s.
func (f *Flow) Scale() float64 { return f.s }

// dataWeights returns ρ at step n.
func (f *Flow) dataWeights(n int) []float64 {
	if f.rho == nil {
		return f.pi
	}
	return f.rho[n]
}

// Forward solves the flow. It is called by what needs it and does its work once.
func (f *Flow) Forward() {
	if f.stored != nil {
		return
	}
	f.at = -1
	f.error = make([][]float64, f.steps+1)
	for n := range f.error {
		f.error[n] = make([]float64, f.m)
	}
	cur := append([]float64(nil), f.initial.data...)
	f.stored = append(f.stored, append([]float64(nil), cur...))
	for n := range f.steps {
		f.advance(cur, n, f.error[n])
		if (n+1)%f.every == 0 {
			f.stored = append(f.stored, append([]float64(nil), cur...))
		}
	}
	w := f.work
	f.evaluate(w, cur)
	f.residual(w, f.error[f.steps])
}

// state returns the state at step n. It stays valid until the next call.
func (f *Flow) state(n int) nodeSet {
	f.Forward()
	set := nodeSet{d: f.d, count: f.initial.count}
	k, r := n/f.every, n%f.every
	if r == 0 {
		set.data = f.stored[k]
		return set
	}
	if f.at != k {
		if f.recent == nil {
			f.recent = make([][]float64, f.every-1)
			for i := range f.recent {
				f.recent[i] = make([]float64, len(f.initial.data))
			}
		}
		cur := append([]float64(nil), f.stored[k]...)
		e := make([]float64, f.m)
		for i := range f.recent {
			if k*f.every+i >= f.steps {
				break
			}
			f.advance(cur, k*f.every+i, e)
			copy(f.recent[i], cur)
		}
		f.at = k
	}
	set.data = f.recent[r-1]
	return set
}

// advance takes cur from step n to step n+1 and stores the errors e_m at step n.
func (f *Flow) advance(cur []float64, n int, e []float64) {
	w := f.work
	reach, weight := f.method.stages()
	from := nodeSet{d: f.d, count: f.initial.count}
	for k, b := range weight {
		state, t := cur, f.time(n)
		rho := f.dataWeights(n)
		if k > 0 {
			state, t = w.stage, t+f.h*reach[k-1]
			rho = f.between(n, reach[k-1])
		}
		f.evaluate(w, state)
		f.residual(w, w.r)
		if k == 0 {
			copy(e, w.r)
		}
		for m := range w.r {
			w.r[m] *= rho[m]
			simd.Scale(w.xr[m*f.d:(m+1)*f.d], f.x[m*f.d:(m+1)*f.d], w.r[m])
		}
		a := f.p.Alpha(t) / f.s
		f.pool.Do(from.blocks(), func(_, blk int) {
			at, cnt := from.span(blk)
			lo, hi := at*(1+f.d), (at+cnt)*(1+f.d)
			s, cd := w.act.s[f.m*at:f.m*(at+cnt)], w.act.cd[f.m*at:f.m*(at+cnt)]
			slope := w.slope[lo:hi]
			simd.Gemv(true, f.m, cnt, a, s, cnt, w.r, 0, slope[:cnt])
			simd.Gemm(true, false, f.d, cnt, f.m, a, w.xr, f.d, cd, cnt, 0, slope[cnt:], cnt)
			total := w.total[lo:hi]
			if k == 0 {
				simd.Scale(total, slope, b)
			} else {
				simd.Axpy(total, b, slope)
			}
			if k < len(reach) {
				copy(w.stage[lo:hi], cur[lo:hi])
				simd.Axpy(w.stage[lo:hi], f.h*reach[k], slope)
			} else {
				simd.Axpy(cur[lo:hi], f.h, total)
			}
		})
	}
}

// between returns the data weights at step n + c, a linear interpolation.
func (f *Flow) between(n int, c float64) []float64 {
	if f.rho == nil {
		return f.pi
	}
	if c == 1 {
		return f.rho[n+1]
	}
	mix := make([]float64, f.m)
	for m := range mix {
		mix[m] = (1-c)*f.rho[n][m] + c*f.rho[n+1][m]
	}
	return mix
}

// evaluate computes σ(u) and cσ'(u) at all nodes of the state and g at the examples.
func (f *Flow) evaluate(w *stageWork, state []float64) {
	set := nodeSet{d: f.d, count: f.initial.count, data: state}
	act := &f.p.Activation
	f.pool.Do(set.blocks(), func(_, blk int) {
		at, n := set.span(blk)
		b := set.block(blk)
		c := b[:n]
		u, s, cd := w.act.u[f.m*at:f.m*(at+n)], w.act.s[f.m*at:f.m*(at+n)], w.act.cd[f.m*at:f.m*(at+n)]
		simd.Gemm(false, false, f.m, n, f.d, 1, f.x, f.d, b[n:], n, 0, u, n)
		act.value(s, u)
		for m := range f.m {
			r := m * n
			act.weightedFirst(cd[r:r+n], s[r:r+n], u[r:r+n], c)
		}
		var q [nodeBlock]float64
		simd.Mul(q[:n], c, f.weight[at:at+n])
		simd.Gemv(false, f.m, n, f.s, s, n, q[:n], 0, w.part[blk*f.m:(blk+1)*f.m])
	})
	clear(w.out)
	simd.SumRows(w.out, w.part)
}

// residual stores e_m = y_m - g(x_m) for the last evaluation.
func (f *Flow) residual(w *stageWork, e []float64) {
	copy(e, f.p.Y)
	simd.Axpy(e, -1, w.out)
}

// Loss returns ½ Σ π_m e_m² at step n.
func (f *Flow) Loss(n int) float64 {
	f.Forward()
	var sum float64
	for m, e := range f.error[n] {
		sum += 0.5 * f.pi[m] * e * e
	}
	return sum
}

// Output returns g at step n at the rows of test [K, inputs without the constant].
func (f *Flow) Output(test tensor.Tensor[float64], n int) []float64 {
	x, k := f.p.inputs(test)
	phi := f.features(x, k, n)
	out := make([]float64, k)
	for i := range out {
		out[i] = f.s * simd.Dot(phi[i*f.initial.count:(i+1)*f.initial.count], f.weight)
	}
	return out
}

// features returns φ_x(θ_i) at step n for k rows x, [k, P].
func (f *Flow) features(x []float64, k, n int) []float64 {
	set := f.state(n)
	phi := make([]float64, k*set.count)
	f.pool.Do(set.blocks(), func(_, blk int) {
		at, cnt := set.span(blk)
		b := set.block(blk)
		u := make([]float64, k*cnt)
		simd.Gemm(false, false, k, cnt, f.d, 1, x, f.d, b[cnt:], cnt, 0, u, cnt)
		f.p.Activation.value(u, u)
		for i := range k {
			simd.Mul(phi[i*set.count+at:i*set.count+at+cnt], u[i*cnt:(i+1)*cnt], b[:cnt])
		}
	})
	return phi
}
