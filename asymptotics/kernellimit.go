package asymptotics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

// KernelLimit is the limit for γ < 1: the tangent kernel stays at its initial value and the output obeys a linear equation
// (label: theorem; Sirignano and Spiliopoulos 2019 for γ = ½, Spiliopoulos and Yu 2021 for ½ < γ < 1). With τ = ∫α dt, D =
// diag(π) and K = K_{μ₀}(X, X),
//
//	h_τ(x) = h_0(x) + K(x, X) D Φ_τ (Y - h_0(X)),      Φ_τ = ∫₀^τ e^(-KDu) du as a function of KD
//
// At γ = ½ h_0 is Gaussian with covariance Σ(x, x') = <c² σ(w·x) σ(w·x')>, so that
//
//	mean = F Y,    Cov = (F Σ_XX Fᵀ - F Σ_X· - Σ_·X Fᵀ + Σ_··),    F = K(·, X) D Φ_τ;
//
// for γ in (½, 1) the mean is the same and Cov comes with the factor N^(1-2γ). The data noise is of order 1/N and no part
// of this limit: at moderate N it dominates.
type KernelLimit struct {
	p        Problem
	x        []float64 // [M+K, d] the data, then the test points
	m, k, d  int
	kernel   tensor.Tensor[float64] // [M+K, M+K]
	sigma    tensor.Tensor[float64] // [M+K, M+K]
	values   []float64              // eigenvalues of D^½ K D^½, ascending
	vectors  tensor.Tensor[float64]
	Repaired float64 // the largest negative eigenvalue that was set to 0, relative to the largest
	nodes    nodeSet
}

// NewKernelLimit computes K and Σ by quadrature over μ₀ for the data and the rows of test.
func NewKernelLimit(p Problem, test tensor.Tensor[float64], o Options) (*KernelLimit, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	o.fill()
	l := &KernelLimit{p: p, m: p.Examples(), d: p.Inputs()}
	data, _ := p.inputs(p.X)
	more, k := p.inputs(test)
	l.k, l.x = k, append(data, more...)
	l.nodes = makeNodes(&p, o.Nodes, o.Rule, o.Seed)
	n := l.m + k
	l.kernel, l.sigma = tensor.New[float64](n, n), tensor.New[float64](n, n)
	l.quadrature()
	if err := l.spectrum(); err != nil {
		return nil, err
	}
	return l, nil
}

// quadrature sums σσ', c²σσ' and c²σ'σ' x·x' over the nodes, block after block.
func (l *KernelLimit) quadrature() {
	n, act := l.m+l.k, &l.p.Activation
	u, s, cs, cd := make([]float64, n*nodeBlock), make([]float64, n*nodeBlock), make([]float64, n*nodeBlock), make([]float64, n*nodeBlock)
	k, sg := l.kernel.Data(), l.sigma.Data()
	dd := make([]float64, n*n)
	w := 1 / float64(l.nodes.count)
	for blk := range l.nodes.blocks() {
		_, cnt := l.nodes.span(blk)
		b := l.nodes.block(blk)
		u, s, cs, cd := u[:n*cnt], s[:n*cnt], cs[:n*cnt], cd[:n*cnt]
		simd.Gemm(false, false, n, cnt, l.d, 1, l.x, l.d, b[cnt:], cnt, 0, u, cnt)
		act.value(s, u)
		for i := range n {
			r := i * cnt
			simd.Mul(cs[r:r+cnt], s[r:r+cnt], b[:cnt])
			act.weightedFirst(cd[r:r+cnt], s[r:r+cnt], u[r:r+cnt], b[:cnt])
		}
		simd.Gemm(false, true, n, n, cnt, w, s, cnt, s, cnt, 1, k, n)
		simd.Gemm(false, true, n, n, cnt, w, cs, cnt, cs, cnt, 1, sg, n)
		simd.Gemm(false, true, n, n, cnt, w, cd, cnt, cd, cnt, 1, dd, n)
	}
	xx := make([]float64, n*n)
	simd.Gemm(false, true, n, n, l.d, 1, l.x, l.d, l.x, l.d, 0, xx, n)
	simd.MulAdd(k, dd, xx)
}

// spectrum factors D^½ K D^½ = V Λ Vᵀ.
func (l *KernelLimit) spectrum() error {
	n, m := l.m+l.k, l.m
	a := tensor.New[float64](m, m)
	pi := l.p.weights()
	for i := range m {
		for j := range m {
			a.Data()[i*m+j] = math.Sqrt(pi[i]*pi[j]) * l.kernel.Data()[i*n+j]
		}
	}
	l.values, l.vectors = make([]float64, m), tensor.New[float64](m, m)
	if err := linalg.SymmetricEigen(tensor.NewWorkspace[float64](nil), l.values, l.vectors, a); err != nil {
		return fmt.Errorf("asymptotics: kernel of the data: %w", err)
	}
	top := max(l.values[m-1], 1e-300)
	for i, v := range l.values {
		if v < 0 {
			l.Repaired = max(l.Repaired, -v/top)
			l.values[i] = 0
		}
	}
	return nil
}

// Spectrum returns the eigenvalues of K diag(π) on the data, ascending. Mode j is fitted like e^(-αλt).
func (l *KernelLimit) Spectrum() []float64 { return append([]float64(nil), l.values...) }

// Kernel returns K on data and test points, [M+K, M+K]; Sigma the covariance of the outputs at the start for γ = ½.
func (l *KernelLimit) Kernel() tensor.Tensor[float64] { return l.kernel }

// Sigma returns Σ = <c² σ σ'> on data and test points, [M+K, M+K].
func (l *KernelLimit) Sigma() tensor.Tensor[float64] { return l.sigma }

// clock returns τ = ∫₀^t α, by Simpson's rule on 512 intervals.
func clock(alpha Schedule, t float64) float64 {
	const n = 512
	h := t / n
	sum := alpha(0) + alpha(t)
	for i := 1; i < n; i++ {
		sum += float64(2+2*(i%2)) * alpha(h*float64(i))
	}
	return sum * h / 3
}

// filter returns F = K(·, X) D Φ_τ for the rows from first to first+count, [count, M]:
//
//	D Φ_τ = D^½ V diag((1 - e^(-λτ))/λ) Vᵀ D^½,     with -expm1(-λτ)/λ → τ as λ → 0.
func (l *KernelLimit) filter(first, count int, tau float64) []float64 {
	m, n := l.m, l.m+l.k
	pi := l.p.weights()
	g := make([]float64, m*m) // D^½ V diag(·)
	root := make([]float64, m*m)
	v := l.vectors.Data()
	for i := range m {
		for j, lam := range l.values {
			w := tau
			if lam*tau > 1e-12 {
				w = -math.Expm1(-lam*tau) / lam
			}
			root[i*m+j] = math.Sqrt(pi[i]) * v[i*m+j]
			g[i*m+j] = root[i*m+j] * w
		}
	}
	phi := make([]float64, m*m)
	simd.Gemm(false, true, m, m, m, 1, g, m, root, m, 0, phi, m)
	f := make([]float64, count*m)
	simd.Gemm(false, false, count, m, m, 1, l.kernel.Data()[first*n:], n, phi, m, 0, f, m)
	return f
}

// Mean returns the limit of the outputs at the test points at time t.
func (l *KernelLimit) Mean(t float64) []float64 { return l.mean(l.m, l.k, t) }

func (l *KernelLimit) mean(first, count int, t float64) []float64 {
	f := l.filter(first, count, clock(l.p.Alpha, t))
	out := make([]float64, count)
	simd.Gemv(false, count, l.m, 1, f, l.m, l.p.Y, 0, out)
	return out
}

// Loss returns ½ Σ π (y - h)² at time t.
func (l *KernelLimit) Loss(t float64) float64 {
	var sum float64
	pi := l.p.weights()
	for i, h := range l.mean(0, l.m, t) {
		e := l.p.Y[i] - h
		sum += 0.5 * pi[i] * e * e
	}
	return sum
}

// Covariance returns the covariance of the outputs at the test points at time t for γ = ½, [K, K]; for larger γ
// multiply by N^(1-2γ).
func (l *KernelLimit) Covariance(t float64) tensor.Tensor[float64] {
	m, k, n := l.m, l.k, l.m+l.k
	b := make([]float64, k*n) // [-F, I]
	f := l.filter(m, k, clock(l.p.Alpha, t))
	for i := range k {
		simd.Scale(b[i*n:i*n+m], f[i*m:(i+1)*m], -1)
		b[i*n+m+i] = 1
	}
	bs := make([]float64, k*n)
	simd.Gemm(false, false, k, n, n, 1, b, n, l.sigma.Data(), n, 0, bs, n)
	out := tensor.New[float64](k, k)
	simd.Gemm(false, true, k, k, n, 1, bs, n, b, n, 0, out.Data(), k)
	return out
}

func predictKernel(p Problem, w Width, test tensor.Tensor[float64], o PredictOptions) (*Prediction, error) {
	l, err := NewKernelLimit(p, test, o.Options)
	if err != nil {
		return nil, err
	}
	res := newPrediction(p, w, test, o, Theorem)
	ws := tensor.NewWorkspace[float64](nil)
	for _, t := range o.Times {
		c := l.Covariance(t)
		tensor.Scale(ws, c, c, math.Pow(float64(w.N), 1-2*w.Gamma))
		res.Mean, res.Init = append(res.Mean, l.Mean(t)), append(res.Init, c)
		res.Data = append(res.Data, tensor.New[float64](l.k, l.k))
	}
	for i := range 101 {
		t := p.T * float64(i) / 100
		res.LossAt, res.Curve = append(res.LossAt, t), append(res.Curve, l.Loss(t))
	}
	res.Findings = append(p.FindingsAt(w), Finding{Subject: "kernel limit", Severity: Warning,
		Text:  "the variance has the initialisation part alone; data noise is of order 1/N and dominates at moderate width",
		Holds: "the mean to leading order; use the s-flow for the variance"})
	return res, nil
}
