package asymptotics

import (
	"math"
	"sort"
	"strings"

	"github.com/descent-ml/descent/internal/simd"
)

// Activation is a function σ of one variable with its first two derivatives, all on slices.
type Activation struct {
	Name    string
	Odd     bool // σ - σ(0) is odd: with symmetric weights the first bias term of the expansion vanishes
	Bounded bool // the limit theorems ask for it
	Smooth  bool // twice continuously differentiable

	value  func(s, u []float64)     // s = σ(u)
	first  func(d, s, u []float64)  // d = σ'(u), given s = σ(u)
	second func(d2, s, u []float64) // σ''(u), given s = σ(u)
	grad   func(d, s, u, c []float64)
}

// Value stores σ(u) in s. The slices are equally long and may be the same.
func (a *Activation) Value(s, u []float64) { a.value(s, u) }

// First stores σ'(u) in d, given s = σ(u).
func (a *Activation) First(d, s, u []float64) { a.first(d, s, u) }

// Second stores σ”(u) in d, given s = σ(u).
func (a *Activation) Second(d, s, u []float64) { a.second(d, s, u) }

// weightedFirst stores c∘σ'(u) in d, given s = σ(u).
func (a *Activation) weightedFirst(d, s, u, c []float64) {
	if a.grad != nil {
		a.grad(d, s, u, c)
		return
	}
	a.first(d, s, u)
	simd.Mul(d, d, c)
}

// At returns σ, σ' and σ” at u.
func (a *Activation) At(u float64) (s, d, d2 float64) {
	var b [4]float64
	b[0] = u
	a.value(b[1:2], b[:1])
	a.first(b[2:3], b[1:2], b[:1])
	a.second(b[3:4], b[1:2], b[:1])
	return b[1], b[2], b[3]
}

func each(f func(u float64) float64) func(dst, s, u []float64) {
	return func(dst, _, u []float64) {
		for i, v := range u {
			dst[i] = f(v)
		}
	}
}

// Tanh is the hyperbolic tangent: σ' = 1 - σ², σ” = -2σσ'.
func Tanh() Activation {
	return Activation{Name: "tanh", Odd: true, Bounded: true, Smooth: true,
		value: func(s, u []float64) { simd.Tanh(s, u) },
		first: func(d, s, _ []float64) {
			simd.Mul(d, s, s)
			simd.Scale(d, d, -1)
			simd.AddScalar(d, d, 1)
		},
		second: func(d, s, _ []float64) { // -2s(1-s²) = 2s³ - 2s
			simd.Mul(d, s, s)
			simd.AddScalar(d, d, -1)
			simd.Mul(d, d, s)
			simd.Scale(d, d, 2)
		},
		grad: func(d, s, _, c []float64) { simd.TanhGrad(d, s, c) },
	}
}

// Sigmoid is 1/(1+e⁻ᵘ): σ' = σ(1-σ), σ” = σ'(1-2σ).
func Sigmoid() Activation {
	return Activation{Name: "sigmoid", Odd: true, Bounded: true, Smooth: true,
		value: func(s, u []float64) { simd.Sigmoid(s, u) },
		first: func(d, s, _ []float64) {
			for i, v := range s {
				d[i] = v * (1 - v)
			}
		},
		second: func(d, s, _ []float64) {
			for i, v := range s {
				d[i] = v * (1 - v) * (1 - 2*v)
			}
		},
		grad: func(d, s, _, c []float64) { simd.SigmoidGrad(d, s, c) },
	}
}

// Erf is the error function: σ' = 2/√π e^(-u²), σ” = -2u σ'.
func Erf() Activation {
	first := func(d, _, u []float64) {
		simd.Mul(d, u, u)
		simd.Scale(d, d, -1)
		simd.Exp(d, d)
		simd.Scale(d, d, 2/math.Sqrt(math.Pi))
	}
	return Activation{Name: "erf", Odd: true, Bounded: true, Smooth: true,
		value: func(s, u []float64) { simd.Erf(s, u) },
		first: first,
		second: each(func(u float64) float64 {
			return -4 / math.Sqrt(math.Pi) * u * math.Exp(-u*u)
		}),
	}
}

// Sin is the sine.
func Sin() Activation {
	return Activation{Name: "sin", Odd: true, Bounded: true, Smooth: true,
		value: func(s, u []float64) {
			for i, v := range u {
				s[i] = math.Sin(v)
			}
		},
		first: each(math.Cos),
		second: func(d, s, _ []float64) {
			simd.Scale(d, s, -1)
		},
	}
}

// Cos is the cosine.
func Cos() Activation {
	return Activation{Name: "cos", Bounded: true, Smooth: true,
		value: func(s, u []float64) {
			for i, v := range u {
				s[i] = math.Cos(v)
			}
		},
		first: each(func(u float64) float64 { return -math.Sin(u) }),
		second: func(d, s, _ []float64) {
			simd.Scale(d, s, -1)
		},
	}
}

// ReLU is max(u, 0), with σ'(0) = 0 and σ” = 0. It is outside the theorems: unbounded and not smooth.
func ReLU() Activation {
	return Activation{Name: "relu",
		value: func(s, u []float64) { simd.ReLU(s, u) },
		first: each(func(u float64) float64 {
			if u > 0 {
				return 1
			}
			return 0
		}),
		second: each(func(float64) float64 { return 0 }),
	}
}

// Softplus is log(1+eᵘ), whose derivative is the sigmoid. It is unbounded.
func Softplus() Activation {
	return Activation{Name: "softplus", Smooth: true,
		value: func(s, u []float64) { simd.Softplus(s, u) },
		first: func(d, _, u []float64) { simd.Sigmoid(d, u) },
		second: func(d, _, u []float64) {
			simd.Sigmoid(d, u)
			for i, v := range d {
				d[i] = v * (1 - v)
			}
		},
	}
}

// GELU is u Φ(u): σ' = Φ + uφ, σ” = φ (2 - u²). It is unbounded.
func GELU() Activation {
	phi := func(u float64) float64 { return math.Exp(-0.5*u*u) / math.Sqrt(2*math.Pi) }
	return Activation{Name: "gelu", Smooth: true,
		value: func(s, u []float64) { simd.GELU(s, u) },
		first: each(func(u float64) float64 {
			return 0.5*math.Erfc(-u/math.Sqrt2) + u*phi(u)
		}),
		second: each(func(u float64) float64 { return phi(u) * (2 - u*u) }),
	}
}

// Activations are all activations of the package, in alphabetical order.
func Activations() []Activation {
	all := []Activation{Tanh(), Sigmoid(), Erf(), Sin(), Cos(), ReLU(), Softplus(), GELU()}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// ActivationByName returns the activation of that name, or an error that lists the names there are.
func ActivationByName(name string) (Activation, error) {
	var names []string
	for _, a := range Activations() {
		if a.Name == name {
			return a, nil
		}
		names = append(names, a.Name)
	}
	return Activation{}, bad("activation", name, "one of "+strings.Join(names, ", "), "tanh is inside the theorems")
}
