package asymptotics

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// samplePaths draws from the limiting Gaussian law of √N (g^N - g) at the rows of test by solving the linear stochastic
// equation forwards (label: derived), a second route to the covariance that shares no equation with the adjoint. The
// fluctuation √N(ν^N - μ) is carried by weights and displacements of the P nodes,
//
//	η = P^-½ Σ (g_i - ḡ) δ_Θi + (1/P) Σ ξ_i·∇δ_Θi,      g_i standard normal,
//	dξ_i = (α/s) Σ_m [π_m e_m ∇²φ_m ξ_i - π_m δg_m ∇φ_m] dt + (α/s) Σ_m e_m ∇φ_m dz_m,
//
// δg_m = s η(φ_m), with the data noise z common to all nodes, Cov(dz) = (diag π - ππᵀ) dt/B. Result [draws][K].
func (f *Flow) samplePaths(test tensor.Tensor[float64], draws int, key tensor.Key) [][]float64 {
	f.Forward()
	const together = 128
	x, k := f.p.inputs(test)
	phi := f.features(x, k, f.steps)
	out := make([][]float64, draws)
	a := f.newAdjointWork(together, 1)
	for first := 0; first < draws; first += together {
		paths := make([]*fluctuation, min(together, draws-first))
		for i := range paths {
			paths[i] = f.newFluctuation(key.Fold(uint64(first + i)))
		}
		f.linearised(a, paths)
		for i, path := range paths {
			row := make([]float64, k)
			for j := range k {
				row[j] = f.s * (simd.Dot(phi[j*f.initial.count:(j+1)*f.initial.count], path.mass) + f.displaced(x[j*f.d:(j+1)*f.d], path.p))
			}
			out[first+i] = row
		}
	}
	return out
}

// fluctuation is one draw: the column's p is ξ.
type fluctuation struct {
	*column
	mass  []float64 // [P] (g_i - ḡ)/√P
	noise tensor.Key
	z     []float64 // [M]
}

func (f *Flow) newFluctuation(key tensor.Key) *fluctuation {
	p, size := f.initial.count, len(f.initial.data)
	c := &fluctuation{column: &column{psi: make([]float64, p), psiSlope: make([]float64, p), p: make([]float64, size), pSlope: make([]float64, size),
		pTotal: make([]float64, size), pStage: make([]float64, size), b: make([]float64, f.m), part: make([]float64, f.m*f.initial.blocks())},
		mass: make([]float64, p), noise: key.Named("data"), z: make([]float64, f.m)}
	tensor.Normal(key.Named("neurons"), c.mass, 0, 1)
	simd.AddScalar(c.mass, c.mass, -simd.Sum(c.mass)/float64(p))
	simd.Scale(c.mass, c.mass, 1/math.Sqrt(float64(p)))
	return c
}

// linearised takes the paths from 0 to the horizon by Heun's rule, the noise of a step being the same in both stages.
func (f *Flow) linearised(a *adjointWork, paths []*fluctuation) {
	cols := make([]*column, len(paths))
	for i, p := range paths {
		cols[i] = p.column
	}
	clear(a.acts)
	a.free = a.free[:0]
	for range 2 {
		a.free = append(a.free, f.newAdjointWork(1, 0).free[0])
	}
	for n := range f.steps {
		for _, p := range paths {
			f.dataNoise(p.z, p.noise.Fold(uint64(n)))
		}
		f.pathSlopes(a, paths, cols, n, 0)
		for _, c := range cols {
			copy(c.pStage, c.p)
			simd.Axpy(c.pStage, f.h, c.pSlope)
			simd.Axpy(c.p, f.h/2, c.pSlope)
		}
		f.pathSlopes(a, paths, cols, n+1, 1)
		for _, c := range cols {
			simd.Axpy(c.p, f.h/2, c.pSlope)
		}
		if s := a.acts[n]; s != nil {
			a.free = append(a.free, s)
			delete(a.acts, n)
		}
	}
}

// dataNoise stores dz/dt for a step: covariance (diag π - ππᵀ)/(B h).
func (f *Flow) dataNoise(z []float64, key tensor.Key) {
	tensor.Normal(key, z, 0, 1)
	var sum float64
	for m := range z {
		z[m] *= math.Sqrt(f.pi[m] / (f.h * float64(f.p.Batch)))
		sum += z[m]
	}
	simd.Axpy(z, -sum, f.pi)
}

// pathSlopes stores dξ/dt of the paths at step n.
func (f *Flow) pathSlopes(a *adjointWork, paths []*fluctuation, cols []*column, n, stage int) {
	s := a.load(n)
	alpha := f.p.Alpha(f.time(n))
	e := f.error[n]
	lazy := make([]float64, f.m)
	for m := range lazy {
		lazy[m] = alpha / f.s * f.pi[m] * e[m]
	}
	a.gains(cols, n, stage)
	pull := make([][]float64, len(cols))
	var cm [nodeBlock]float64
	for i, p := range paths {
		eta := append([]float64(nil), p.b...)
		for blk := range s.state.blocks() {
			at, cnt := s.state.span(blk)
			simd.Mul(cm[:cnt], p.mass[at:at+cnt], s.state.block(blk)[:cnt])
			simd.Gemv(false, f.m, cnt, 1, s.s[f.m*at:f.m*(at+cnt)], cnt, cm[:cnt], 1, eta)
		}
		pull[i] = make([]float64, f.m)
		for m := range f.m {
			pull[i][m] = alpha / f.s * (e[m]*p.z[m] - f.pi[m]*f.s*eta[m])
		}
	}
	a.combine(cols, n, stage, lazy, pull)
}

// displaced returns <∇φ_x·ξ> at the end.
func (f *Flow) displaced(x, xi []float64) float64 {
	c := &column{psi: make([]float64, f.initial.count), p: make([]float64, len(f.initial.data))}
	f.terminal(c, observable{x, f.steps}, f.steps)
	return simd.Dot(c.p, xi) / float64(f.initial.count)
}

// M10: the covariance of sample paths of the limit against the adjoint's, on the same nodes and steps.
func checkSamplePaths(_ context.Context, l *Lab) ([]Verdict, error) {
	f, err := NewFlow(BenchmarkA(), 1, Options{Nodes: 256, Steps: 100, Pool: l.o.Pool})
	if err != nil {
		return nil, err
	}
	draws := pick(l, 1200, 10000)
	out := f.samplePaths(BenchmarkTest(), draws, tensor.KeyOf(l.o.Seed).Named("paths"))
	adj := f.Adjoint(BenchmarkTest())
	cov := adj.Init.Clone()
	tensor.Add(tensor.NewWorkspace[float64](nil), cov, cov, adj.Data)
	c := compare(out, make([]float64, 4), cov)
	return []Verdict{within("M10", fmt.Sprintf("variance of %d sample paths/adjoint, all points", draws), 1, c.pooled, c.pooledSE, pick(l, 0.09, 0.03), Derived)}, nil
}
