package kernel

import (
	"math"
	"slices"
)

// Quadrature returns the activation f with derivative df whose dual is computed numerically. kinks are the points where f or df jumps
// or bends; f must be smooth between them and grow no faster than a polynomial.
//
// Smooth functions go by Mehler's series (see [series]); functions with kinks by Gauss–Legendre panels in two dimensions that end at the
// kinks (see [Activation.integrate]).
func Quadrature(name string, f, df func(float64) float64, kinks ...float64) Activation {
	k := slices.Clone(kinks)
	slices.Sort(k)
	return Activation{Name: name, f: f, df: df, kinks: k}
}

// Tanh is the hyperbolic tangent.
func Tanh() Activation {
	return Quadrature("tanh", math.Tanh, func(x float64) float64 { t := math.Tanh(x); return (1 - t) * (1 + t) })
}

// Sigmoid is 1/(1+e⁻ˣ).
func Sigmoid() Activation {
	return Quadrature("sigmoid", sigmoid, func(x float64) float64 { s := sigmoid(x); return s * (1 - s) })
}

func sigmoid(x float64) float64 { return 0.5 + 0.5*math.Tanh(x/2) }

// GELU is x Φ(x).
func GELU() Activation {
	phi := func(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }
	return Quadrature("gelu", func(x float64) float64 { return x * phi(x) },
		func(x float64) float64 { return phi(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi) })
}

// SiLU is x/(1+e⁻ˣ).
func SiLU() Activation {
	return Quadrature("silu", func(x float64) float64 { return x * sigmoid(x) },
		func(x float64) float64 { s := sigmoid(x); return s + x*s*(1-s) })
}

// Softplus is log(1+eˣ).
func Softplus() Activation {
	return Quadrature("softplus", func(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, sigmoid)
}

// ELU is x for x > 0 and eˣ-1 below.
func ELU() Activation {
	return Quadrature("elu", func(x float64) float64 {
		if x > 0 {
			return x
		}
		return math.Expm1(x)
	}, func(x float64) float64 { return math.Exp(math.Min(x, 0)) }, 0)
}

// HardTanh is x cut to [-1, 1].
func HardTanh() Activation {
	return Quadrature("hard-tanh", func(x float64) float64 { return math.Max(-1, math.Min(1, x)) },
		func(x float64) float64 {
			if math.Abs(x) < 1 {
				return 1
			}
			return 0
		}, -1, 1)
}

// The eight-point Gauss–Legendre rule on [-1, 1].
var legendreX = [8]float64{-0.9602898564975363, -0.7966664774136267, -0.5255324099163290, -0.1834346424956498,
	0.1834346424956498, 0.5255324099163290, 0.7966664774136267, 0.9602898564975363}
var legendreW = [8]float64{0.1012285362903763, 0.2223810344533745, 0.3137066458778873, 0.3626837833783620,
	0.3626837833783620, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763}

// reach is where the normal density is cut off: 10⁻¹⁶ of the mass, and of polynomials' moments, lies beyond.
const reach = 9.0

// panels calls visit with the nodes and weights, density included, of E g(z) for standard normal z: panels of length at most
// longest that end at the breaks.
func panels(longest float64, breaks []float64, visit func(z, w float64)) {
	var buf [16]float64
	edges := append(buf[:0], -reach, reach)
	for _, b := range breaks {
		if b > -reach && b < reach {
			edges = append(edges, b)
		}
	}
	slices.Sort(edges)
	for i := 1; i < len(edges); i++ {
		lo, hi := edges[i-1], edges[i]
		n := int(math.Ceil((hi - lo) / longest))
		for j := range n {
			half := (hi - lo) / float64(2*n)
			mid := lo + half*float64(2*j+1)
			for k, x := range legendreX {
				z := mid + half*x
				visit(z, half*legendreW[k]*math.Exp(-z*z/2)/math.Sqrt(2*math.Pi))
			}
		}
	}
}

// integrate is the dual by quadrature. With u = √a z and v = √b (ρ z + √(1-ρ²) z₂) the inner integral over z₂ ends its panels where
// v meets a kink, and the outer one where u does, and on both sides of where the kink of v sweeps through: there the inner
// integral turns within √(1-ρ²).
func (s Activation) integrate(a, b, c float64) (value, slope float64) {
	r := correlation(a, b, c)
	ra, rb := math.Sqrt(a), math.Sqrt(b)
	rest := math.Sqrt((1 - r) * (1 + r))
	var outer, inner []float64
	for _, k := range s.kinks {
		if ra > 0 {
			outer = append(outer, k/ra)
		}
		if rb > 0 && r != 0 {
			at, width := k/(rb*r), rest/math.Abs(r)
			outer = append(outer, at)
			for _, d := range []float64{1, 3, 8} {
				outer = append(outer, at-d*width, at+d*width)
			}
		}
	}
	longest := 1.5
	if len(s.kinks) == 0 {
		longest = 0.6 / math.Max(1, math.Max(ra, rb)) // for the functions that Mehler's series fails
	}
	panels(longest, outer, func(z, w float64) {
		u := ra * z
		fu, du := s.f(u), s.df(u)
		if rest < 1e-9 {
			v := rb * r * z
			value += w * fu * s.f(v)
			slope += w * du * s.df(v)
			return
		}
		inner = inner[:0]
		for _, k := range s.kinks {
			if rb > 0 {
				inner = append(inner, (k/rb-r*z)/rest)
			}
		}
		var fv, dv float64
		panels(longest, inner, func(z2, w2 float64) {
			v := rb * (r*z + rest*z2)
			fv += w2 * s.f(v)
			dv += w2 * s.df(v)
		})
		value += w * fu * fv
		slope += w * du * dv
	})
	return value, slope
}

// terms is the length of Mehler's series.
const terms = 128

// series holds h_k(a), k < terms, the coefficients of σ(√a z) in the orthonormal Hermite polynomials, and the part of
// E σ² and E σ'² that they leave out. Then
//
//	E σ(u) σ(v) = Σ_k h_k(a) h_k(b) ρᵏ,     E σ'(u) σ'(v) = Σ_k k h_k(a) h_k(b) ρ^{k-1} / √(ab)
//
// with errors at most |ρ|^terms times the geometric mean of the remainders.
type series struct {
	a                float64
	h                [terms]float64
	tail, slopeTail  float64 // roots of the parts left out, relative to the whole
	second, squaredD float64 // E σ², E σ'²
}

// newSeries integrates by the trapezoidal rule, whose error for analytic functions falls like e^{-2πd/step}, d the distance of the nearest pole
// from the real axis. Orthonormal Hermite functions keep the recursion from overflowing:
// ψ_{k+1} = (z ψ_k - √k ψ_{k-1})/√(k+1), with ψ_0 the density itself.
func (s Activation) newSeries(a float64) *series {
	q := &series{a: a}
	const step, end = 1.0 / 24, 14.0
	root := math.Sqrt(a)
	var up, down [terms]float64 // 1/√(k+1), √(k/(k+1))
	for k := range terms {
		up[k], down[k] = 1/math.Sqrt(float64(k+1)), math.Sqrt(float64(k)/float64(k+1))
	}
	for i := range 2*int(end/step) + 1 {
		z := -end + step*float64(i)
		x := root * z
		f, d := s.f(x), s.df(x)
		w := step * math.Exp(-z*z/2) / math.Sqrt(2*math.Pi)
		q.second += w * f * f
		q.squaredD += w * d * d
		prev, psi := 0.0, w
		for k := range terms {
			q.h[k] += psi * f
			prev, psi = psi, z*psi*up[k]-prev*down[k]
		}
	}
	var sum, slope float64
	for k, h := range q.h {
		sum += h * h
		slope += float64(k) * h * h
	}
	if q.second > 0 {
		q.tail = math.Sqrt(math.Max(0, q.second-sum) / q.second)
	}
	if a > 0 && q.squaredD > 0 {
		q.slopeTail = math.Sqrt(math.Max(0, q.squaredD-slope/a) / q.squaredD)
	}
	return q
}

// pair sums the series, and falls back to panels where the remainder exceeds 10⁻¹⁰ of the scale.
func (s Activation) pair(p, q *series, c float64) (value, slope float64) {
	if p.a == 0 || q.a == 0 {
		// One of the variables is the constant zero.
		return p.h[0] * q.h[0], slopeMean(s, p) * slopeMean(s, q)
	}
	r := correlation(p.a, q.a, c)
	const allowed = 1e-10
	rest := math.Max(p.tail*q.tail, p.slopeTail*q.slopeTail)
	if rest > allowed && rest*math.Pow(math.Abs(r), terms) > allowed {
		return s.integrate(p.a, q.a, c)
	}
	// Terms with k|ρ|ᵏ below rounding are left out.
	last := terms - 1
	if l := -math.Log(math.Abs(r)); l > 44.0/terms {
		last = max(2, int(44/l))
	}
	for k := last; k >= 1; k-- {
		x := p.h[k] * q.h[k]
		value = value*r + x
		slope = slope*r + float64(k)*x
	}
	return value*r + p.h[0]*q.h[0], slope / math.Sqrt(p.a*q.a)
}

// slopeMean is E σ'(√a z) = h_1/√a.
func slopeMean(s Activation, p *series) float64 {
	if p.a == 0 {
		return s.df(0)
	}
	return p.h[1] / math.Sqrt(p.a)
}
