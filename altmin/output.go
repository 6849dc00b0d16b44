package altmin

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// output is the loss at the network's output, R(z) = Σ over examples of ℓ(zᵢ, yᵢ): a sum, not a mean, because
// penalties are sums too.
type output[T tensor.Float] struct {
	kind   string
	loss   nn.Loss[T]
	fista  bool // the papers' solver instead of Newton's
	values []float64
}

// newOutput returns an error for a loss that has no step of its own.
func newOutput[T tensor.Float](loss nn.Loss[T], fista bool) (*output[T], error) {
	switch name := loss.Name(); name {
	case "cross-entropy", "squared", "bernoulli":
		if fista && name != "cross-entropy" {
			return nil, fmt.Errorf("altmin: loss %s has no FISTA step\nhint: leave fista out: its step is exact", name)
		}
		return &output[T]{kind: name, loss: loss, fista: fista}, nil
	default:
		return nil, fmt.Errorf("altmin: loss %s cannot be split off\nhint: cross-entropy, squared and bernoulli can", name)
	}
}

// Value returns R(z).
func (o *output[T]) value(z tensor.Tensor[T], y nn.Target[T]) float64 {
	n := z.Shape().Dim(0)
	if cap(o.values) < n {
		o.values = make([]float64, n)
	}
	v := o.values[:n]
	o.loss.PerExample(z, y, v)
	return tensor.Sum(nil, tensor.FromSlice(v, n))
}

// minimize moves z to the minimiser of R(z) + κ/2 ‖z − c‖², κ > 0.
//
//	squared       z = (y + κ c)/(1 + κ)
//	bernoulli     entrywise, σ(z) − y + κ(z − c) = 0 by safeguarded Newton
//	cross-entropy row by row, [newtonRow]; or all rows by [output.accelerated]
func (o *output[T]) minimize(ws *tensor.Workspace[T], z, c tensor.Tensor[T], kappa float64, y nn.Target[T]) {
	n, k := z.Shape().Dim(0), z.Shape().Cols()
	zs, cs := z.Data(), c.Data()
	switch {
	case o.kind == "squared":
		v := y.Values.Data()
		ws.Pool().Range(len(zs), grain, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				zs[i] = T((float64(v[i]) + kappa*float64(cs[i])) / (1 + kappa))
			}
		})
	case o.kind == "bernoulli":
		v := y.Values.Data()
		ws.Pool().Range(len(zs), grain/16, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				zs[i] = T(newtonBit(float64(v[i]), float64(cs[i]), kappa))
			}
		})
	case o.fista:
		o.accelerated(ws, z, c, kappa, y)
	default:
		ws.Pool().Range(n, max(1, 256/k), func(lo, hi int) {
			row, from, work := make([]float64, k), make([]float64, k), make([]float64, 3*k)
			for i := lo; i < hi; i++ {
				for j := range k {
					row[j], from[j] = float64(zs[i*k+j]), float64(cs[i*k+j])
				}
				newtonRow(row, from, int(y.Labels[i]), kappa, work)
				for j := range k {
					zs[i*k+j] = T(row[j])
				}
			}
		})
	}
}

// newtonBit returns the z with σ(z) − y + κ(z − c) = 0, y in [0, 1]. It lies between c + (y−1)/κ and c + y/κ; the
// function increases, so that a step which leaves the bracket becomes a bisection.
func newtonBit(y, c, kappa float64) float64 {
	lo, hi := c+(y-1)/kappa, c+y/kappa
	z := min(max(c, lo), hi)
	for range 200 {
		s := 1 / (1 + math.Exp(-z))
		g := s - y + kappa*(z-c)
		if g > 0 {
			hi = z
		} else {
			lo = z
		}
		next := z - g/(s*(1-s)+kappa)
		if !(next > lo && next < hi) {
			next = lo + (hi-lo)/2
		}
		if math.Abs(next-z) <= 1e-15*(1+math.Abs(z)) {
			return next
		}
		z = next
	}
	return z
}

// Bounds of Newton's method: gradient to stop at, steps, halvings.
const newtonTolerance, newtonSteps, newtonHalvings = 1e-11, 100, 40

// newtonRow moves z to the minimiser of F(z) = log Σ exp z − z_label + κ/2 ‖z − c‖² and returns the number of steps. With
// p = softmax(z),
//
//	∇F = p − e + κ(z − c),   H = D − p pᵀ,   D = diag(p + κ),
//	H⁻¹∇F = D⁻¹∇F + D⁻¹p (pᵀD⁻¹∇F)/s,       s = 1 − pᵀD⁻¹p = κ Σ p/(p + κ)
//
// by Sherman and Morrison, O(classes) a step; s in its second form has no cancellation. Steps are halved until F falls, as long as
// its fall can be seen.
// work has room for three rows.
func newtonRow(z, c []float64, label int, kappa float64, work []float64) int {
	k := len(z)
	p, d, next := work[:k], work[k:2*k], work[2*k:3*k]
	value := softmaxValue(z, c, p, label, kappa)
	for step := range newtonSteps {
		largest, s, t := 0.0, 0.0, 0.0
		for j := range z {
			g := p[j] + kappa*(z[j]-c[j])
			if j == label {
				g--
			}
			largest = max(largest, math.Abs(g))
			d[j] = g / (p[j] + kappa)
			s += kappa * p[j] / (p[j] + kappa)
			t += p[j] * d[j]
		}
		if !(largest > newtonTolerance*(1+kappa)) {
			return step
		}
		slope := 0.0
		for j := range d {
			d[j] += p[j] / (p[j] + kappa) * t / s
			g := p[j] + kappa*(z[j]-c[j])
			if j == label {
				g--
			}
			slope += g * d[j]
		}
		if slope < 1e-9*(1+math.Abs(value)) { // F falls by less than its rounding shows: Newton's own region
			for j := range z {
				z[j] -= d[j]
			}
			value = softmaxValue(z, c, p, label, kappa)
			continue
		}
		better := false
		for length := 1.0; length > math.Pow(2, -newtonHalvings); length /= 2 {
			for j := range z {
				next[j] = z[j] - length*d[j]
			}
			if v := softmaxValue(next, c, p, label, kappa); v <= value {
				better = v < value || length == 1
				value = v
				copy(z, next)
				break
			}
		}
		if !better {
			return step
		}
	}
	return newtonSteps
}

// softmaxValue returns F(z) and stores softmax(z) in p.
func softmaxValue(z, c, p []float64, label int, kappa float64) float64 {
	top := z[0]
	for _, v := range z {
		top = max(top, v)
	}
	sum, square := 0.0, 0.0
	for j, v := range z {
		p[j] = math.Exp(v - top)
		sum += p[j]
		square += (v - c[j]) * (v - c[j])
	}
	for j := range p {
		p[j] /= sum
	}
	return math.Log(sum) + top - z[label] + kappa/2*square
}

// The papers' bounds of FISTA.
const fistaStep, fistaSteps, fistaTolerance = 2.0, 500, 1e-9

// accelerated is FISTA (Beck and Teboulle, 2009), the papers' solver: with v₁ = z₀, t₁ = 1 and step s = 2, the inverse of a bound
// of softmax's Jacobian,
//
//	z_k = (κ c + (v − s(softmax(v) − e))/s)/(κ + 1/s),   t' = (1 + √(1 + 4t²))/2,   v = z_k + (t − 1)/t' (z_k − z_{k−1})
//
// until no entry moves by more than 1e-9, at most 500 times. Small κ needs many: it is inexact then.
func (o *output[T]) accelerated(ws *tensor.Workspace[T], z, c tensor.Tensor[T], kappa float64, y nn.Target[T]) {
	k := z.Shape().Cols()
	zs, cs := z.Data(), c.Data()
	ws.Pool().Range(z.Shape().Dim(0), max(1, 256/k), func(lo, hi int) {
		old, v, p := make([]float64, k), make([]float64, k), make([]float64, k)
		for i := lo; i < hi; i++ {
			row, from := zs[i*k:(i+1)*k], cs[i*k:(i+1)*k]
			for j := range v {
				v[j], old[j] = float64(row[j]), float64(row[j])
			}
			t := 1.0
			for range fistaSteps {
				softmaxValue(v, v, p, int(y.Labels[i]), 0)
				p[y.Labels[i]]--
				next := (1 + math.Sqrt(1+4*t*t)) / 2
				moved := 0.0
				for j := range v {
					zj := (kappa*float64(from[j]) + (v[j]-fistaStep*p[j])/fistaStep) / (kappa + 1/fistaStep)
					v[j] = zj + (t-1)/next*(zj-old[j])
					moved = max(moved, math.Abs(zj-old[j]))
					old[j] = zj
				}
				t = next
				if moved <= fistaTolerance {
					break
				}
			}
			for j := range row {
				row[j] = T(old[j])
			}
		}
	})
}
