package altmin

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/tensor"
)

// Activation is a non-decreasing function of one variable at which hidden layers can be split: the trainers minimise, entry by
// entry,
//
//	φ(z) = (z − m)² + β (q − f(z))² + w (z − z₀)²
//
// where m is what the layer's affine map gives, q what the next layer wants to see, and z₀ the last z.
type Activation struct {
	Name      string
	F         func(z float64) float64
	Lipschitz float64 // of F; +Inf for steps
	// Preimage returns the ends of the interval {z: lo ≤ F(z) ≤ hi}, ±Inf where it is open; nil where there is none.
	Preimage func(lo, hi float64) (from, to float64)
	solve    func(m, q, z0, beta, w float64) float64
}

// Minimize returns the global minimiser of φ for weights β ≥ 0 and w ≥ 0: in closed form for piecewise linear
// functions, else to some 1e-8 by search (φ itself to the last digits).
func (a Activation) Minimize(m, q, z0, beta, w float64) float64 { return a.solve(m, q, z0, beta, w) }

// Value returns φ(z).
func (a Activation) Value(z, m, q, z0, beta, w float64) float64 {
	d, e, p := z-m, q-a.F(z), z-z0
	return d*d + beta*e*e + w*p*p
}

// leakySlope is that of package nn.
const leakySlope = 0.01

// ActivationByName returns the activation that package nn calls name, or "step" (0 below and at 0, 1 above), or an error for one
// that is not monotone.
func ActivationByName(name string) (Activation, error) {
	a, err := activationByName(name)
	if r, ok := inverses[name]; ok {
		a.Preimage = func(lo, hi float64) (from, to float64) {
			from, to = math.Inf(-1), math.Inf(1)
			if lo > r.least {
				from = r.inverse(min(lo, r.most))
			}
			if hi < r.most {
				to = r.inverse(max(hi, r.least))
			}
			return from, to
		}
	}
	return a, err
}

// inverses are those of the activations, between values that stand for the ends of the range: just within where the end is
// never reached.
var inverses = map[string]struct {
	least, most float64
	inverse     func(v float64) float64
}{
	"identity": {math.Inf(-1), math.Inf(1), func(v float64) float64 { return v }},
	"relu":     {0, math.Inf(1), func(v float64) float64 { return v }},
	"leaky-relu": {math.Inf(-1), math.Inf(1), func(v float64) float64 {
		if v < 0 {
			return v / leakySlope
		}
		return v
	}},
	"hard-tanh": {-1, 1, func(v float64) float64 { return v }},
	"tanh":      {-1 + 1e-15, 1 - 1e-15, math.Atanh},
	"sigmoid":   {1e-15, 1 - 1e-15, func(v float64) float64 { return math.Log(v) - math.Log1p(-v) }},
	"softplus":  {1e-15, math.Inf(1), func(v float64) float64 { return v + math.Log(-math.Expm1(-v)) }},
	"elu": {-1 + 1e-15, math.Inf(1), func(v float64) float64 {
		if v >= 0 {
			return v
		}
		return math.Log1p(v)
	}},
}

func activationByName(name string) (Activation, error) {
	switch name {
	case "relu":
		return piecewise(name, []piece{{math.Inf(-1), 0, 0}, {0, 1, 0}}), nil
	case "leaky-relu":
		return piecewise(name, []piece{{math.Inf(-1), leakySlope, 0}, {0, 1, 0}}), nil
	case "identity":
		return piecewise(name, []piece{{math.Inf(-1), 1, 0}}), nil
	case "hard-tanh":
		return piecewise(name, []piece{{math.Inf(-1), 0, -1}, {-1, 1, 0}, {1, 0, 1}}), nil
	case "step":
		a := piecewise(name, []piece{{math.Inf(-1), 0, 0}, {0, 0, 1}})
		a.Lipschitz = math.Inf(1)
		return a, nil
	case "tanh":
		return Monotone(name, math.Tanh, 1), nil
	case "sigmoid":
		return Monotone(name, func(z float64) float64 { return 1 / (1 + math.Exp(-z)) }, 0.25), nil
	case "softplus":
		return Monotone(name, func(z float64) float64 { return max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) }, 1), nil
	case "elu":
		return Monotone(name, func(z float64) float64 {
			if z > 0 {
				return z
			}
			return math.Expm1(z)
		}, 1), nil
	}
	return Activation{}, fmt.Errorf("activation %s cannot be split off: its layers have no exact step\nhint: the non-decreasing ones can: relu, leaky-relu, hard-tanh, tanh, sigmoid, softplus, elu, identity", name)
}

// piece is f(z) = slope·z + offset from from on, to the next piece.
type piece struct{ from, slope, offset float64 }

func (p piece) at(z float64) float64 { return p.slope*z + p.offset }

// piecewise is the activation with the given pieces. On each φ is a parabola, whose minimiser is
//
//	z = (m + β·slope·(q − offset) + w z₀)/(1 + β·slope² + w),   moved into the piece;
//
// the least of them is the global one. Where f jumps, the right end of a piece belongs to it.
func piecewise(name string, pieces []piece) Activation {
	lipschitz := 0.0
	for _, p := range pieces {
		lipschitz = max(lipschitz, p.slope)
	}
	f := func(z float64) float64 {
		k := len(pieces) - 1
		for k > 0 && z <= pieces[k].from {
			k--
		}
		return pieces[k].at(z)
	}
	return Activation{Name: name, F: f, Lipschitz: lipschitz, solve: func(m, q, z0, beta, w float64) float64 {
		best, least := 0.0, math.Inf(1)
		for k, p := range pieces {
			z := (m + beta*p.slope*(q-p.offset) + w*z0) / (1 + beta*p.slope*p.slope + w)
			z = max(z, p.from)
			jumps := k > 0 && pieces[k-1].at(p.from) != p.at(p.from)
			if jumps && z == p.from {
				z = math.Nextafter(z, math.Inf(1))
			}
			if k+1 < len(pieces) {
				z = min(z, pieces[k+1].from)
			}
			d, e, s := z-m, q-p.at(z), z-z0
			if v := d*d + beta*e*e + w*s*s; v < least {
				best, least = z, v
			}
		}
		return best
	}}
}

// samples is how many points of the bracket are looked at before the best of them is refined.
const samples = 48

// Monotone is the activation with the non-decreasing function f and its Lipschitz constant (+Inf if it has none). f need not be
// differentiable or continuous. With c = (m + w z₀)/(1 + w), the minimiser for β = 0, the minimiser lies between c and
//
//	c ± |q − f(c)| √(β/(1+w)),   + if q > f(c):
//
// on the other side f is farther from q, and beyond it the parabola alone exceeds φ(c). The bracket is searched at
// equal distances, then around the best point by golden section.
func Monotone(name string, f func(float64) float64, lipschitz float64) Activation {
	return Activation{Name: name, F: f, Lipschitz: lipschitz, solve: func(m, q, z0, beta, w float64) float64 {
		c := (m + w*z0) / (1 + w)
		gap := q - f(c)
		reach := math.Copysign(math.Abs(gap)*math.Sqrt(beta/(1+w)), gap)
		value := func(z float64) float64 {
			d, e := z-c, q-f(z)
			return (1+w)*d*d + beta*e*e // φ less a constant
		}
		best, least := 0, value(c)
		for k := 1; k <= samples; k++ {
			if v := value(c + reach*float64(k)/samples); v < least {
				best, least = k, v
			}
		}
		at := func(k int) float64 { return c + reach*float64(min(max(k, 0), samples))/samples }
		return golden(value, at(best-1), at(best+1), at(best))
	}}
}

// golden returns the minimiser of value in [a, b], of which start is as good as the ends, or start if nothing is
// better.
func golden(value func(float64) float64, a, b, start float64) float64 {
	const ratio = 0.6180339887498949
	x, y := b-ratio*(b-a), a+ratio*(b-a)
	fx, fy := value(x), value(y)
	for math.Abs(b-a) > 1e-12*(1+math.Abs(a)) {
		if fx <= fy {
			b, y, fy = y, x, fx
			x = b - ratio*(b-a)
			fx = value(x)
		} else {
			a, x, fx = x, y, fy
			y = a + ratio*(b-a)
			fy = value(y)
		}
		if x == a || y == b || x == y {
			break
		}
	}
	if z := (a + b) / 2; value(z) < value(start) {
		return z
	}
	return start
}

// grain is the number of entries that a worker takes at least.
const grain = 4096

// apply stores f(z) in dst.
func apply[T tensor.Float](ws *tensor.Workspace[T], a Activation, dst, z tensor.Tensor[T]) {
	d, s := dst.Data(), z.Data()
	ws.Pool().Range(len(d), grain, func(lo, hi int) {
		if a.Name == "relu" {
			for i := lo; i < hi; i++ {
				d[i] = max(s[i], 0)
			}
			return
		}
		for i := lo; i < hi; i++ {
			d[i] = T(a.F(float64(s[i])))
		}
	})
}

// minimize moves every entry of z to the minimiser of φ; z holds z₀.
func minimize[T tensor.Float](ws *tensor.Workspace[T], a Activation, z, m, q tensor.Tensor[T], beta, w float64) {
	zs, ms, qs := z.Data(), m.Data(), q.Data()
	ws.Pool().Range(len(zs), grain, func(lo, hi int) {
		if a.Name == "relu" {
			minimizeReLU(zs[lo:hi], ms[lo:hi], qs[lo:hi], T(beta), T(w))
			return
		}
		for i := lo; i < hi; i++ {
			zs[i] = T(a.solve(float64(ms[i]), float64(qs[i]), float64(zs[i]), beta, w))
		}
	})
}

// minimizeReLU is minimize for max(z, 0), in the entries' own precision:
//
//	z⁻ = min((m + w z₀)/(1 + w), 0),   z⁺ = max((m + β q + w z₀)/(1 + β + w), 0),   whichever has the lower φ.
func minimizeReLU[T tensor.Float](z, m, q []T, beta, w T) {
	below, above := 1/(1+w), 1/(1+beta+w)
	for i, z0 := range z {
		lin := m[i] + w*z0
		neg, pos := min(lin*below, 0), max((lin+beta*q[i])*above, 0)
		dn, pn := neg-m[i], neg-z0
		dp, ep, pp := pos-m[i], q[i]-pos, pos-z0
		if dn*dn+beta*q[i]*q[i]+w*pn*pn <= dp*dp+beta*ep*ep+w*pp*pp {
			z[i] = neg
		} else {
			z[i] = pos
		}
	}
}
