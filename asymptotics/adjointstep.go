package asymptotics

import (
	"github.com/descent-ml/descent/internal/simd"
)

// adjointWork steps the columns of an adjoint solution backwards.
type adjointWork struct {
	f     *Flow
	chunk int              // columns that share the storage of q
	q     [][]float64      // [chunk][M·P] p_w·x_m
	acts  map[int]*actStep // by step, the few that a step needs
	free  []*actStep
}

// actStep are the activations at a stored state.
type actStep struct {
	activations
	state nodeSet
}

func (f *Flow) newAdjointWork(columns, stride int) *adjointWork {
	each := f.m * f.initial.count
	chunk := max(1, min(columns, (16<<20)/each)) // 128 MiB of q
	a := &adjointWork{f: f, chunk: chunk, acts: map[int]*actStep{}}
	for range chunk {
		a.q = append(a.q, make([]float64, each))
	}
	for range stride + 1 {
		a.free = append(a.free, &actStep{
			activations: activations{u: make([]float64, each), s: make([]float64, each), d: make([]float64, each), cd: make([]float64, each), cdd: make([]float64, each)},
			state:       newNodeSet(f.d, f.initial.count)})
	}
	return a
}

// load makes the activations at step n and returns them. What is later than n by more than a stride is given back.
func (a *adjointWork) load(n int) *actStep {
	if s := a.acts[n]; s != nil {
		return s
	}
	f := a.f
	if len(a.free) == 0 {
		last := n
		for k := range a.acts {
			last = max(last, k)
		}
		a.free = append(a.free, a.acts[last])
		delete(a.acts, last)
	}
	s := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	a.acts[n] = s
	copy(s.state.data, f.state(n).data)
	act := &f.p.Activation
	f.pool.Do(s.state.blocks(), func(_, blk int) {
		at, cnt := s.state.span(blk)
		lo, hi := f.m*at, f.m*(at+cnt)
		b := s.state.block(blk)
		c := b[:cnt]
		simd.Gemm(false, false, f.m, cnt, f.d, 1, f.x, f.d, b[cnt:], cnt, 0, s.u[lo:hi], cnt)
		act.value(s.s[lo:hi], s.u[lo:hi])
		act.first(s.d[lo:hi], s.s[lo:hi], s.u[lo:hi])
		act.second(s.cdd[lo:hi], s.s[lo:hi], s.u[lo:hi])
		for m := range f.m {
			r := lo + m*cnt
			simd.Mul(s.cd[r:r+cnt], s.d[r:r+cnt], c)
			simd.Mul(s.cdd[r:r+cnt], s.cdd[r:r+cnt], c)
		}
	})
	return s
}

// retreat takes the columns from step n to step n - stride by the rule of the flow's method; the slopes at step n are there.
func (a *adjointWork) retreat(cols []*column, n, stride int) {
	f := a.f
	reach, weight := f.method.stages()
	h := -f.h * float64(stride)
	f.pool.Do(len(cols), func(_, k int) {
		c := cols[k]
		simd.Scale(c.psiTotal, c.psiSlope, weight[0])
		simd.Scale(c.pTotal, c.pSlope, weight[0])
	})
	for i, r := range reach {
		f.pool.Do(len(cols), func(_, k int) {
			c := cols[k]
			copy(c.pStage, c.p)
			simd.Axpy(c.pStage, h*r, c.pSlope)
		})
		at := n - int(r*float64(stride))
		a.load(at)
		a.slopes(cols, at, 1+i)
		f.pool.Do(len(cols), func(_, k int) {
			c := cols[k]
			simd.Axpy(c.psiTotal, weight[1+i], c.psiSlope)
			simd.Axpy(c.pTotal, weight[1+i], c.pSlope)
		})
	}
	f.pool.Do(len(cols), func(_, k int) {
		c := cols[k]
		simd.Axpy(c.psi, h, c.psiTotal)
		simd.Axpy(c.p, h, c.pTotal)
	})
}

// slopes computes b, dψ/dt and dp/dt of the columns at step n; stage 0 reads p, later stages pStage.
func (a *adjointWork) slopes(cols []*column, n, stage int) {
	for len(cols) > 0 {
		k := min(a.chunk, len(cols))
		a.gains(cols[:k], n, stage)
		a.drifts(cols[:k], n, stage)
		cols = cols[k:]
	}
}

func (c *column) vector(stage int) []float64 {
	if stage == 0 {
		return c.p
	}
	return c.pStage
}

// gains computes q = X p_w and b_m = Σ_i weight_i (p_c σ_m + cσ'_m q_m).
func (a *adjointWork) gains(cols []*column, n, stage int) {
	f, s := a.f, a.acts[n]
	f.pool.Do(s.state.blocks(), func(_, blk int) {
		at, cnt := s.state.span(blk)
		lo := f.m * at
		wt := f.weight[at : at+cnt]
		var pc, wcd [nodeBlock]float64
		for k, c := range cols {
			p := c.vector(stage)[at*(1+f.d) : (at+cnt)*(1+f.d)]
			q := a.q[k][lo : lo+f.m*cnt]
			simd.Gemm(false, false, f.m, cnt, f.d, 1, f.x, f.d, p[cnt:], cnt, 0, q, cnt)
			simd.Mul(pc[:cnt], p[:cnt], wt)
			part := c.part[blk*f.m : (blk+1)*f.m]
			simd.Gemv(false, f.m, cnt, 1, s.s[lo:lo+f.m*cnt], cnt, pc[:cnt], 0, part)
			for m := range f.m {
				r := m * cnt
				simd.Mul(wcd[:cnt], s.cd[lo+r:lo+r+cnt], wt)
				part[m] += simd.Dot(wcd[:cnt], q[r:r+cnt])
			}
		}
	})
	for _, c := range cols {
		clear(c.b)
		simd.SumRows(c.b, c.part)
	}
}

// drifts computes dψ/dt and dp/dt of the columns from b and q.
func (a *adjointWork) drifts(cols []*column, n, stage int) {
	f := a.f
	alpha := f.p.Alpha(f.time(n))
	rho, e := f.dataWeights(n), f.error[n]
	lazy := make([]float64, f.m) // -(α/s) r_m
	for m := range lazy {
		lazy[m] = -alpha / f.s * rho[m] * e[m]
	}
	pull := make([][]float64, len(cols)) // α π_m b_m, times feedback = 1
	for k, c := range cols {
		pull[k] = make([]float64, f.m)
		for m := range f.m {
			pull[k][m] = f.feedback * alpha * rho[m] * c.b[m]
		}
	}
	a.combine(cols, n, stage, lazy, pull)
}

// combine stores in the columns' slopes, from q of the last gains,
//
//	ψ: Σ_m pull_m φ_m,     p: Σ_m lazy_m ∇²φ_m p + pull_m ∇φ_m.
func (a *adjointWork) combine(cols []*column, n, stage int, lazy []float64, pull [][]float64) {
	f, s := a.f, a.acts[n]
	scratch := make([][]float64, f.pool.Workers())
	f.pool.Do(s.state.blocks(), func(worker, blk int) {
		at, cnt := s.state.span(blk)
		lo := f.m * at
		if scratch[worker] == nil {
			scratch[worker] = make([]float64, f.m*nodeBlock)
		}
		v := scratch[worker][:f.m*cnt]
		b := s.state.block(blk)
		var tmp [nodeBlock]float64
		for k, c := range cols {
			p := c.vector(stage)[at*(1+f.d) : (at+cnt)*(1+f.d)]
			dp := c.pSlope[at*(1+f.d) : (at+cnt)*(1+f.d)]
			dpsi := c.psiSlope[at : at+cnt]
			q := a.q[k][lo : lo+f.m*cnt]
			simd.Gemv(true, f.m, cnt, 1, s.s[lo:lo+f.m*cnt], cnt, pull[k], 0, dp[:cnt])
			simd.Mul(dpsi, dp[:cnt], b[:cnt])
			for m := range f.m {
				r := m * cnt
				sd, qm, vm := s.d[lo+r:lo+r+cnt], q[r:r+cnt], v[r:r+cnt]
				simd.Mul(tmp[:cnt], sd, qm)
				simd.Axpy(dp[:cnt], lazy[m], tmp[:cnt])
				simd.Mul(vm, s.cdd[lo+r:lo+r+cnt], qm)
				simd.MulAdd(vm, sd, p[:cnt])
				simd.Scale(vm, vm, lazy[m])
				simd.Axpy(vm, pull[k][m], s.cd[lo+r:lo+r+cnt])
			}
			simd.Gemm(true, false, f.d, cnt, f.m, 1, f.x, f.d, v, cnt, 0, dp[cnt:], cnt)
		}
	})
}
