package asymptotics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// FirstCorrection returns Q¹_T at the rows of test, the first term of the expansion about the kernel limit for ½ < γ < 1,
//
//	g = h + N^-(1-γ) Q¹ + …  + N^-(γ-½) (Gaussian)      (label: theorem for the shape, derived for the equations)
//
// With the first-order move of the law, <f, l_t> = Σ_m A_m(t) <∇f·∇φ_m>, A_m = ∫ α π_m (y - h)_m dt,
//
//	dQ¹(x)/dt = -α Σ π Q¹(x') K(x, x') + α Σ π (y - h(x')) <∇φ_x·∇φ_x', l_t>,     Q¹_0 = 0.
//
// It vanishes where E c³ = 0, and where w is symmetric and σ odd up to a constant. Near γ = 1 the expansion predicts badly
// (s = 2 at γ = 0.9, N = 1000): it explains, the s-flow predicts. Cost P·M²·(M+K): for at most 128 examples.
func FirstCorrection(p Problem, test tensor.Tensor[float64], o Options) ([]float64, error) {
	if p.Examples() > 128 {
		return nil, bad("expansion", fmt.Sprintf("%d examples", p.Examples()), "at most 128", "the s-flow has all terms together")
	}
	o.fill()
	l, err := NewKernelLimit(p, test, o)
	if err != nil {
		return nil, err
	}
	third := l.thirdOrder()
	m, n := l.m, l.m+l.k
	pi := p.weights()
	steps := o.Steps
	if steps == 0 {
		steps = 400
	}
	h := p.T / float64(steps)
	// y = (h on the data, A, Q¹ on data and test points)
	state := make([]float64, 2*m+n)
	slope := func(dst, y []float64, t float64) {
		alpha := p.Alpha(t)
		e := make([]float64, m)
		for i := range m {
			e[i] = pi[i] * (p.Y[i] - y[i])
			dst[m+i] = alpha * e[i]
		}
		drive := make([]float64, m)
		for i := range m {
			drive[i] = -pi[i] * y[2*m+i]
		}
		simd.Gemv(false, m, m, alpha, l.kernel.Data(), n, e, 0, dst[:m])
		simd.Gemv(false, n, m, alpha, l.kernel.Data(), n, drive, 0, dst[2*m:])
		for j := range m { // Σ_j e_j Σ_m T[j][m][x] A_m
			for i := range m {
				simd.Axpy(dst[2*m:], alpha*e[j]*y[m+i], third[(j*m+i)*n:(j*m+i+1)*n])
			}
		}
	}
	rungeKutta(state, h, steps, slope)
	return state[3*m:], nil
}

// rungeKutta takes y through steps of the classical rule.
func rungeKutta(y []float64, h float64, steps int, slope func(dst, y []float64, t float64)) {
	k, mid, sum := make([]float64, len(y)), make([]float64, len(y)), make([]float64, len(y))
	reach, weight := RK4.stages()
	for n := range steps {
		t := h * float64(n)
		copy(sum, y)
		slope(k, y, t)
		for i, w := range weight {
			simd.Axpy(sum, h*w, k)
			if i < len(reach) {
				copy(mid, y)
				simd.Axpy(mid, h*reach[i], k)
				slope(k, mid, t+h*reach[i])
			}
		}
		copy(y, sum)
	}
}

// thirdOrder returns <∇(∇φ_x·∇φ_j)·∇φ_m> for examples j, m and all points x, [M, M, M+K]: with values at x, j, m,
//
//	2c σ̇σ̇_j σ_m x·x_j + cσ̇_m [σ̇σ_j x·x_m + σσ̇_j x_j·x_m + c² x·x_j (σ̈σ̇_j x·x_m + σ̇σ̈_j x_j·x_m)]
func (l *KernelLimit) thirdOrder() []float64 {
	m, n, d := l.m, l.m+l.k, l.d
	xx := make([]float64, n*n)
	simd.Gemm(false, true, n, n, d, 1, l.x, d, l.x, d, 0, xx, n)
	out := make([]float64, m*m*n)
	act := &l.p.Activation
	w := 1 / float64(l.nodes.count)
	u, s, s1, s2 := make([]float64, n*nodeBlock), make([]float64, n*nodeBlock), make([]float64, n*nodeBlock), make([]float64, n*nodeBlock)
	var c3, v [nodeBlock]float64
	dot := make([]float64, n)
	for blk := range l.nodes.blocks() {
		_, cnt := l.nodes.span(blk)
		b := l.nodes.block(blk)
		c := b[:cnt]
		u, s, s1, s2 := u[:n*cnt], s[:n*cnt], s1[:n*cnt], s2[:n*cnt]
		simd.Gemm(false, false, n, cnt, d, 1, l.x, d, b[cnt:], cnt, 0, u, cnt)
		act.value(s, u)
		act.first(s1, s, u)
		act.second(s2, s, u)
		simd.Mul(c3[:cnt], c, c)
		simd.Mul(c3[:cnt], c3[:cnt], c)
		row := func(a []float64, i int) []float64 { return a[i*cnt : (i+1)*cnt] }
		for j := range m {
			for i := range m {
				dst := out[(j*m+i)*n : (j*m+i+1)*n]
				// add adds w·factor(x)·Σ c̃ f g a_x to dst for all x.
				add := func(c, f, g, a []float64, factor func(x int) float64) {
					simd.Mul(v[:cnt], c, f)
					simd.Mul(v[:cnt], v[:cnt], g)
					simd.Gemv(false, n, cnt, w, a, cnt, v[:cnt], 0, dot)
					for x := range n {
						dst[x] += factor(x) * dot[x]
					}
				}
				ji := xx[j*n+i]
				add(c, row(s1, j), row(s, i), s1, func(x int) float64 { return 2 * xx[x*n+j] })
				add(c, row(s1, i), row(s, j), s1, func(x int) float64 { return xx[x*n+i] })
				add(c, row(s1, i), row(s1, j), s, func(x int) float64 { return ji })
				add(c3[:cnt], row(s1, i), row(s1, j), s2, func(x int) float64 { return xx[x*n+j] * xx[x*n+i] })
				add(c3[:cnt], row(s1, i), row(s2, j), s1, func(x int) float64 { return xx[x*n+j] * ji })
			}
		}
	}
	return out
}

// Adequacy says which limit is good enough at a width.
type Adequacy struct {
	Width                Width
	SFlow, Kernel, Field []float64 // means at the test points
	SD                   []float64 // of the s-flow
	KernelOff            float64   // largest |kernel - s-flow| in standard deviations
	FieldOff             float64   // largest |mean field - s-flow| in standard deviations
	KernelSD             []float64 // what the kernel limit says of the spread, initialisation alone
	Best                 Limit     // the simplest limit whose mean is within a quarter of a standard deviation
	Advice               string
	Label                Label
}

// CompareLimits predicts by the s-flow, the kernel limit and the mean-field limit and says which is adequate.
func CompareLimits(p Problem, w Width, test tensor.Tensor[float64], o Options) (*Adequacy, error) {
	a := &Adequacy{Width: w, Label: Derived}
	flow, err := Predict(p, w, test, PredictOptions{Options: o})
	if err != nil {
		return nil, err
	}
	a.SFlow, a.SD = flow.Mean[0], flow.SD(0)
	kernel, err := Predict(p, w, test, PredictOptions{Options: o, Limit: KernelLimitOnly})
	if err != nil {
		return nil, err
	}
	a.Kernel, a.KernelSD = kernel.Mean[0], kernel.SD(0)
	f, err := NewFlow(p, 1, o)
	if err != nil {
		return nil, err
	}
	a.Field = f.Output(test, f.steps)
	for k, g := range a.SFlow {
		a.KernelOff = max(a.KernelOff, math.Abs(a.Kernel[k]-g)/a.SD[k])
		a.FieldOff = max(a.FieldOff, math.Abs(a.Field[k]-g)/a.SD[k])
	}
	const enough = 0.25
	switch {
	case a.FieldOff <= enough:
		a.Best = MeanFieldLimit
		a.Advice = fmt.Sprintf("the mean-field limit is adequate: it is off by %.2g standard deviations of a network", a.FieldOff)
	case a.KernelOff <= enough:
		a.Best = KernelLimitOnly
		a.Advice = fmt.Sprintf("the kernel limit is adequate for the mean: it is off by %.2g standard deviations of a network; take the spread from the s-flow", a.KernelOff)
	default:
		a.Best = SFlowLimit
		a.Advice = fmt.Sprintf("only the s-flow is adequate: the kernel limit is off by %.2g and the mean-field limit by %.2g standard deviations of a network", a.KernelOff, a.FieldOff)
	}
	return a, nil
}
