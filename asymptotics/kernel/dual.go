package kernel

import (
	"fmt"
	"math"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
)

// Activation is a function σ together with its dual: for (u, v) normal with mean zero, variances a and b, and covariance c,
//
//	value = E σ(u) σ(v),     slope = E σ'(u) σ'(v).
//
// σ' is the derivative almost everywhere: the jumps of [Step] and [Sign] do not count.
type Activation struct {
	Name   string
	Closed bool // the dual is a formula; otherwise a quadrature

	f, df func(x float64) float64
	kinks []float64 // where f or df is not smooth
	dual  func(a, b, c float64) (value, slope float64)
}

// At returns σ(x) and σ'(x).
func (s Activation) At(x float64) (value, slope float64) { return s.f(x), s.df(x) }

// Pair returns the dual of one pair of variables with variances a, b ≥ 0 and covariance c, |c| ≤ √(ab) up to rounding, which is cut
// off.
func (s Activation) Pair(a, b, c float64) (value, slope float64) {
	c = clampCovariance(a, b, c)
	if s.dual != nil {
		return s.dual(a, b, c)
	}
	if len(s.kinks) == 0 {
		return s.pair(s.newSeries(a), s.newSeries(b), c)
	}
	return s.integrate(a, b, c)
}

func clampCovariance(a, b, c float64) float64 {
	m := math.Sqrt(a * b)
	return math.Max(-m, math.Min(m, c))
}

// correlation returns c/√(ab) in [-1, 1], and 0 where a variance is zero.
func correlation(a, b, c float64) float64 {
	m := math.Sqrt(a * b)
	if m == 0 {
		return 0
	}
	return math.Max(-1, math.Min(1, c/m))
}

// ABReLU is α min(x, 0) + β max(x, 0) = β ρ(x) - α ρ(-x) with ρ the ReLU. With θ the angle between the variables, the arc-cosine
// kernels (Cho and Saul, 2009) of orders 1 and 0 are
//
//	E ρ(u) ρ(v) = √(ab)/2π · (sin θ + (π-θ) cos θ),     E ρ'(u) ρ'(v) = (π-θ)/2π
//
// and a change of sign of one variable is θ → π - θ.
func ABReLU(name string, alpha, beta float64) Activation {
	same, cross := alpha*alpha+beta*beta, alpha*beta
	return Activation{Name: name, Closed: true, kinks: []float64{0},
		f: func(x float64) float64 {
			if x > 0 {
				return beta * x
			}
			return alpha * x
		},
		df: func(x float64) float64 {
			if x > 0 {
				return beta
			}
			return alpha
		},
		dual: func(a, b, c float64) (float64, float64) {
			r := correlation(a, b, c)
			k1, k0 := arcCosine(r)
			m1, m0 := arcCosine(-r)
			return math.Sqrt(a*b) * (same*k1 - 2*cross*m1), same*k0 + 2*cross*m0
		}}
}

// arcCosine returns (sin θ + (π-θ) cos θ)/2π and (π-θ)/2π for cos θ = r. √((1-r)(1+r)) keeps its digits near r = 1.
func arcCosine(r float64) (k1, k0 float64) {
	sin := math.Sqrt((1 - r) * (1 + r))
	rest := math.Pi - math.Atan2(sin, r)
	return (sin + rest*r) / (2 * math.Pi), rest / (2 * math.Pi)
}

// ReLU is max(x, 0).
func ReLU() Activation { return ABReLU("relu", 0, 1) }

// LeakyReLU is x for x > 0 and slope·x below.
func LeakyReLU(slope float64) Activation { return ABReLU("leaky-relu", slope, 1) }

// Abs is |x|.
func Abs() Activation { return ABReLU("abs", -1, 1) }

// Identity is x.
func Identity() Activation { return ABReLU("identity", 1, 1) }

// Erf is the error function; E σσ = (2/π) arcsin(2c/√((1+2a)(1+2b))) (Williams, 1998).
func Erf() Activation {
	return Activation{Name: "erf", Closed: true, f: math.Erf,
		df: func(x float64) float64 { return 2 / math.Sqrt(math.Pi) * math.Exp(-x*x) },
		dual: func(a, b, c float64) (float64, float64) {
			p := (1 + 2*a) * (1 + 2*b)
			// p - 4c² is at least 1 + 2a + 2b.
			rest := math.Max(p-4*c*c, 1+2*a+2*b)
			return 2 / math.Pi * math.Atan2(2*c, math.Sqrt(rest)), 4 / math.Pi / math.Sqrt(rest)
		}}
}

// Sin is sin x: E σσ = e^{-(a+b)/2} sinh c.
func Sin() Activation {
	return Activation{Name: "sin", Closed: true, f: math.Sin, df: math.Cos,
		dual: func(a, b, c float64) (float64, float64) {
			p, m := math.Exp(c-(a+b)/2), math.Exp(-c-(a+b)/2)
			return (p - m) / 2, (p + m) / 2
		}}
}

// Cos is cos x: E σσ = e^{-(a+b)/2} cosh c.
func Cos() Activation {
	return Activation{Name: "cos", Closed: true, f: math.Cos, df: func(x float64) float64 { return -math.Sin(x) },
		dual: func(a, b, c float64) (float64, float64) {
			p, m := math.Exp(c-(a+b)/2), math.Exp(-c-(a+b)/2)
			return (p + m) / 2, (p - m) / 2
		}}
}

// Exp is eˣ: E σσ = e^{(a+b)/2+c}. It overflows beyond variances of some hundred.
func Exp() Activation {
	return Activation{Name: "exp", Closed: true, f: math.Exp, df: math.Exp,
		dual: func(a, b, c float64) (float64, float64) {
			e := math.Exp((a+b)/2 + c)
			return e, e
		}}
}

// Step is 1 for x > 0, else 0. Its derivative is zero almost everywhere: only the readout is trained in its tangent kernel.
func Step() Activation {
	return Activation{Name: "step", Closed: true, kinks: []float64{0}, df: func(float64) float64 { return 0 },
		f: func(x float64) float64 {
			if x > 0 {
				return 1
			}
			return 0
		},
		dual: func(a, b, c float64) (float64, float64) {
			if a == 0 || b == 0 {
				return 0, 0
			}
			_, k0 := arcCosine(correlation(a, b, c))
			return k0, 0
		}}
}

// Sign is -1, 0 or 1. Its derivative is zero almost everywhere, as for [Step].
func Sign() Activation {
	return Activation{Name: "sign", Closed: true, kinks: []float64{0}, df: func(float64) float64 { return 0 },
		f: func(x float64) float64 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return 0
		},
		dual: func(a, b, c float64) (float64, float64) {
			if a == 0 || b == 0 {
				return 0, 0
			}
			return 2 / math.Pi * math.Asin(correlation(a, b, c)), 0
		}}
}

// Polynomial is Σ coef[k] xᵏ, of degree up to 40. With h_k(a) the coefficients of σ(√a z) in the orthonormal Hermite polynomials,
// E σσ = Σ h_k(a) h_k(b) ρᵏ (Mehler), a finite sum.
func Polynomial(coef ...float64) Activation {
	c := append([]float64{}, coef...)
	horner := func(p []float64, x float64) float64 {
		s := 0.0
		for k := len(p) - 1; k >= 0; k-- {
			s = s*x + p[k]
		}
		return s
	}
	slope := make([]float64, max(0, len(c)-1))
	for k := range slope {
		slope[k] = float64(k+1) * c[k+1]
	}
	return Activation{Name: "polynomial", Closed: true,
		f:  func(x float64) float64 { return horner(c, x) },
		df: func(x float64) float64 { return horner(slope, x) },
		dual: func(a, b, cov float64) (float64, float64) {
			return mehler(c, a, b, cov), mehler(slope, a, b, cov)
		}}
}

// mehler is E p(u) p(v).
func mehler(p []float64, a, b, c float64) float64 {
	r := correlation(a, b, c)
	ha, hb := hermiteCoefficients(p, a), hermiteCoefficients(p, b)
	s := 0.0
	for k := len(p) - 1; k >= 0; k-- {
		s = s*r + ha[k]*hb[k]
	}
	return s
}

// hermiteCoefficients returns h_k = E p(√a z) He_k(z)/√k!. Since xⁿ = Σ_j n!/(2ʲ j! (n-2j)!) He_{n-2j}(x),
// h_k = √k! Σ_j p_{k+2j} a^{(k+2j)/2} (k+2j)!/(2ʲ j! k!).
func hermiteCoefficients(p []float64, a float64) []float64 {
	h := make([]float64, len(p))
	for k := range p {
		root := math.Sqrt(math.Gamma(float64(k + 1)))
		term := root // √k! (k+2j)!/(2ʲ j! k!)
		for j := 0; k+2*j < len(p); j++ {
			n := k + 2*j
			if j > 0 {
				term *= float64(n) * float64(n-1) / (2 * float64(j))
			}
			h[k] += term * p[n] * math.Pow(a, float64(n)/2)
		}
	}
	return h
}

// Hermite is the orthonormal Hermite polynomial He_k(x)/√k!, k up to 40: at unit variance E σσ = ρᵏ.
func Hermite(k int) Activation {
	prev, p := []float64{0}, []float64{1}
	for n := range k { // He_{n+1} = x He_n - n He_{n-1}
		next := make([]float64, n+2)
		for i, v := range p {
			next[i+1] += v
		}
		for i, v := range prev {
			if i < len(next) {
				next[i] -= float64(n) * v
			}
		}
		prev, p = p, next
	}
	root := math.Sqrt(math.Gamma(float64(k + 1)))
	for i := range p {
		p[i] /= root
	}
	s := Polynomial(p...)
	s.Name = fmt.Sprintf("hermite%d", k)
	return s
}

// Activations returns all that [ByName] knows.
func Activations() []Activation {
	return []Activation{ReLU(), LeakyReLU(0.01), Abs(), Identity(), Erf(), Sin(), Cos(), Exp(), Step(), Sign(),
		Tanh(), Sigmoid(), GELU(), SiLU(), Softplus(), ELU(), HardTanh()}
}

// ByName returns the activation called name; "hermiteK" is the K-th Hermite polynomial. The error names the nearest.
func ByName(name string) (Activation, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	var k int
	if n, _ := fmt.Sscanf(name, "hermite%d", &k); n == 1 && k >= 0 && k <= 40 {
		return Hermite(k), nil
	}
	var names []string
	for _, s := range Activations() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Activation{}, fmt.Errorf("kernel: unknown activation %q\nhint: %s", name, nearest.Hint(name, names, "one of "+strings.Join(names, ", ")+", hermiteK"))
}
