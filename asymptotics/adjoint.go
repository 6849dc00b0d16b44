package asymptotics

import (
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Adjoint is the backward solution for a list of observables g_T(x*), each a test point at a step of the flow.
//
// Backwards from ψ = φ_x*, p = ∇φ_x* at the observable's time, along the nodes' characteristics (label: theorem for the
// structure at s = 1, Sirignano and Spiliopoulos, Stoch. Proc. Appl. 130, 2020; derived for the equations and other s):
//
//	b_m   = <p·∇φ_m>                                                     (mean over nodes, one number an example)
//	dψ/dt = α Σ_m π_m φ_m b_m
//	dp/dt = -(α/s) Σ_m π_m e_m ∇²φ_m p + α Σ_m π_m b_m ∇φ_m
//
// With q_m = p_w·x_m, the two parts of dp/dt are
//
//	dp_c/dt = Σ_m -(α/s) r_m σ'_m q_m + α π_m b_m σ_m
//	dp_w/dt = Σ_m x_m [ -(α/s) r_m (σ'_m p_c + c σ''_m q_m) + α π_m b_m c σ'_m ].
//
// Then  lim N Cov(g(x*), g(x')) = s² Cov_{μ₀}(ψ₀, ψ'₀) + (1/B) ∫ α² Cov_m(e b, e b') dt.
type Adjoint struct {
	Init tensor.Tensor[float64] // [K, K] s² Cov_{μ₀}(ψ₀, ψ'₀)
	Data tensor.Tensor[float64] // [K, K] ∫ α² Cov_m(e b, e b') dt for batches of one example
	Psi  tensor.Tensor[float64] // [K, P] ψ₀ at the nodes

	drift []float64     // [K] ∫ Var_m(d/dt (α e b)) dt, what reshuffling leaves within an epoch
	last  []float64     // [K] α² Var_m(e b) at the observable's time
	gain  [][][]float64 // [steps+1][K][M] b, kept on request
}

// observable is a test point at a step.
type observable struct {
	x  []float64
	at int
}

// Adjoint solves backwards for the rows of test at the end of the flow.
func (f *Flow) Adjoint(test tensor.Tensor[float64]) *Adjoint {
	return f.adjoint(f.observables(test, []int{f.steps}), false)
}

// observables lists the rows of test at each of the steps, all test points of a step together.
func (f *Flow) observables(test tensor.Tensor[float64], steps []int) []observable {
	x, k := f.p.inputs(test)
	var obs []observable
	for _, n := range steps {
		for i := range k {
			obs = append(obs, observable{x[i*f.d : (i+1)*f.d], n})
		}
	}
	return obs
}

// column is the backward solution of one observable.
type column struct {
	psi, p           []float64 // [P], like a state
	psiSlope, pSlope []float64
	psiTotal, pTotal []float64
	pStage           []float64
	b, prev          []float64 // [M] at the present step, and α e b one step later
	part             []float64 // [blocks, M]
	at               int
	drift, lastV     float64
}

func (f *Flow) adjoint(obs []observable, keep bool) *Adjoint {
	f.Forward()
	p, size, m := f.initial.count, len(f.initial.data), f.m
	cols := make([]*column, len(obs))
	for k, o := range obs {
		cols[k] = &column{psi: make([]float64, p), p: make([]float64, size), psiSlope: make([]float64, p), pSlope: make([]float64, size),
			psiTotal: make([]float64, p), pTotal: make([]float64, size), pStage: make([]float64, size),
			b: make([]float64, m), part: make([]float64, m*f.initial.blocks()), at: o.at}
	}
	res := &Adjoint{Init: tensor.New[float64](len(obs), len(obs)), Data: tensor.New[float64](len(obs), len(obs)), Psi: tensor.New[float64](len(obs), p)}
	if keep {
		res.gain = make([][][]float64, f.steps+1)
	}
	stride := 1
	if f.method == RK4 {
		stride = 2
	}
	a := f.newAdjointWork(len(obs), stride)
	var active []*column
	for n := f.steps; n >= 0; n -= stride {
		active = active[:0]
		for k, o := range obs {
			if o.at >= n {
				if o.at == n {
					f.terminal(cols[k], o, n)
				}
				active = append(active, cols[k])
			}
		}
		if len(active) == 0 {
			continue
		}
		a.load(n)
		a.slopes(active, n, 0) // b at step n
		f.accumulate(res, cols, n, float64(stride)*f.h)
		if keep {
			for q := n; q < min(n+stride, f.steps+1); q++ {
				res.gain[q] = make([][]float64, len(cols))
				for k, c := range cols {
					res.gain[q][k] = append([]float64(nil), c.b...)
				}
			}
		}
		if n > 0 {
			a.retreat(active, n, stride)
		}
	}
	for k, c := range cols {
		copy(res.Psi.Data()[k*p:(k+1)*p], c.psi)
		res.drift = append(res.drift, c.drift)
		res.last = append(res.last, c.lastV)
	}
	f.initialCovariance(res)
	return res
}

// terminal sets ψ = φ_x and p = ∇φ_x at the state of step n.
func (f *Flow) terminal(c *column, o observable, n int) {
	set := f.state(n)
	act := &f.p.Activation
	f.pool.Do(set.blocks(), func(_, blk int) {
		at, cnt := set.span(blk)
		b := set.block(blk)
		p := c.p[at*(1+f.d) : (at+cnt)*(1+f.d)]
		var u, cd [nodeBlock]float64
		simd.Gemm(false, false, 1, cnt, f.d, 1, o.x, f.d, b[cnt:], cnt, 0, u[:cnt], cnt)
		act.value(p[:cnt], u[:cnt])
		simd.Mul(c.psi[at:at+cnt], p[:cnt], b[:cnt])
		act.weightedFirst(cd[:cnt], p[:cnt], u[:cnt], b[:cnt])
		for j := range f.d {
			simd.Scale(p[(1+j)*cnt:(2+j)*cnt], cd[:cnt], o.x[j])
		}
	})
}

// accumulate adds step n's share of the trapezoidal rule to the data covariances, h being the distance of steps.
func (f *Flow) accumulate(res *Adjoint, cols []*column, n int, h float64) {
	e, rho, alpha := f.error[n], f.dataWeights(n), f.p.Alpha(f.time(n))
	k := len(cols)
	val := make([][]float64, k)
	mean := make([]float64, k)
	for i, c := range cols {
		if c.at < n {
			continue
		}
		v := make([]float64, f.m)
		simd.Mul(v, e, c.b)
		simd.Scale(v, v, alpha)
		mean[i] = simd.Dot(v, rho)
		val[i] = v
		if c.prev != nil {
			var m1, m2 float64
			for m, w := range rho {
				d := (c.prev[m] - v[m]) / h
				m1 += w * d
				m2 += w * d * d
			}
			c.drift += h * (m2 - m1*m1)
		}
		c.prev = v
	}
	data := res.Data.Data()
	for i := range k {
		for j := range i + 1 {
			if val[i] == nil || val[j] == nil {
				continue
			}
			var cov float64
			for m, w := range rho {
				cov += w * (val[i][m] - mean[i]) * (val[j][m] - mean[j])
			}
			if i == j && cols[i].at == n {
				cols[i].lastV = cov
			}
			weight := 0.0 // half for each adjoining interval on which both observables are active
			if n < min(cols[i].at, cols[j].at) {
				weight += 0.5 * h
			}
			if n > 0 {
				weight += 0.5 * h
			}
			data[i*k+j] += weight * cov
			data[j*k+i] = data[i*k+j]
		}
	}
}

// initialCovariance stores s² Cov(ψ₀, ψ'₀) under the nodes' weights.
func (f *Flow) initialCovariance(res *Adjoint) {
	k, p := res.Psi.Shape().Dim(0), f.initial.count
	centred := make([][]float64, k)
	for i := range k {
		row := append([]float64(nil), res.Psi.Data()[i*p:(i+1)*p]...)
		simd.AddScalar(row, row, -simd.Dot(row, f.weight))
		centred[i] = row
	}
	tmp := make([]float64, p)
	for i := range k {
		simd.Mul(tmp, centred[i], f.weight)
		for j := range k {
			res.Init.Data()[i*k+j] = f.s * f.s * simd.Dot(tmp, centred[j])
		}
	}
}
