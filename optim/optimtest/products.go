package optimtest

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// What follows makes the functions of this package [objective.Curvature], for methods that ask for products with the Hessian. Those of a
// plain function, which is no network, have the Hessian in the place of the Gauss–Newton matrix.

// HVP stores Λ v.
func (q Quadratic[T]) HVP(_, v, out []T) error {
	for i, l := range q.Lambda {
		out[i] = T(l) * v[i]
	}
	return nil
}

// GGNVP is HVP.
func (q Quadratic[T]) GGNVP(x, v, out []T) error { return q.HVP(x, v, out) }

// HVP stores the product with the Hessian.
func (Rosenbrock[T]) HVP(p, v, out []T) error {
	x, y, a, b := float64(p[0]), float64(p[1]), float64(v[0]), float64(v[1])
	out[0], out[1] = T((2+1200*x*x-400*y)*a-400*x*b), T(-400*x*a+200*b)
	return nil
}

// GGNVP is HVP.
func (f Rosenbrock[T]) GGNVP(p, v, out []T) error { return f.HVP(p, v, out) }

// HVP stores the product with the Hessian, the derivative of the gradient along v: for H = tanh(X W₁ + b₁) and D the loss's
// gradient in the outputs, with a dot for the derivative along v,
//
//	Ḣ = (1−H²)∘(X V₁ + c₁),   Ḋ ∝ Ḣ W₂ + H V₂ + c₂
//	W₂: Ḣᵀ D + Hᵀ Ḋ           W₁: Xᵀ [ (Ḋ W₂ᵀ + D V₂ᵀ)∘(1−H²) − 2 (D W₂ᵀ)∘H∘Ḣ ]
func (f *TanhNet[T]) HVP(p, v, out []T) error { return f.product(p, v, out, 1) }

// GGNVP stores the product with the Gauss–Newton matrix: that of HVP without the terms in D.
func (f *TanhNet[T]) GGNVP(p, v, out []T) error { return f.product(p, v, out, 0) }

// product is HVP for second = 1, GGNVP for 0.
func (f *TanhNet[T]) product(p, v, out []T, second float64) error {
	in, hid, outs := f.In, f.Hidden, f.Out
	rows := len(f.X) / in
	at := func(q []T, offset, i, j, width int) float64 { return float64(q[offset+i*width+j]) }
	b1, w2 := in*hid, in*hid+hid
	b2 := w2 + hid*outs
	acc := make([]float64, len(p))
	h, hDot := make([]float64, hid), make([]float64, hid)
	d, dDot := make([]float64, outs), make([]float64, outs)
	for r := range rows {
		x := f.X[r*in : (r+1)*in]
		for j := range h {
			z, zDot := float64(p[b1+j]), float64(v[b1+j])
			for i, a := range x {
				z += a * at(p, 0, i, j, hid)
				zDot += a * at(v, 0, i, j, hid)
			}
			h[j] = math.Tanh(z)
			hDot[j] = (1 - h[j]*h[j]) * zDot
		}
		for k := range d {
			e, eDot := float64(p[b2+k])-f.Y[r*outs+k], float64(v[b2+k])
			for j := range h {
				e += h[j] * at(p, w2, j, k, outs)
				eDot += hDot[j]*at(p, w2, j, k, outs) + h[j]*at(v, w2, j, k, outs)
			}
			d[k], dDot[k] = second*2*e/float64(rows*outs), 2*eDot/float64(rows*outs)
			acc[b2+k] += dDot[k]
		}
		for j := range h {
			back, backDot := 0.0, 0.0
			for k := range d {
				acc[w2+j*outs+k] += hDot[j]*d[k] + h[j]*dDot[k]
				back += d[k] * at(p, w2, j, k, outs)
				backDot += dDot[k]*at(p, w2, j, k, outs) + d[k]*at(v, w2, j, k, outs)
			}
			zDot := backDot*(1-h[j]*h[j]) - 2*back*h[j]*hDot[j]
			acc[b1+j] += zDot
			for i, a := range x {
				acc[i*hid+j] += a * zDot
			}
		}
	}
	for i := range out {
		out[i] = T(acc[i])
	}
	return nil
}

// HVP forwards the product.
func (f *Faulty[T]) HVP(p, v, out []T) error { return productsOf(f.Of).HVP(p, v, out) }

// GGNVP forwards the product.
func (f *Faulty[T]) GGNVP(p, v, out []T) error { return productsOf(f.Of).GGNVP(p, v, out) }

// HVP forwards the product.
func (f Scaled[T]) HVP(p, v, out []T) error {
	err := productsOf(f.Of).HVP(p, v, out)
	for i := range out {
		out[i] *= T(f.Factor)
	}
	return err
}

// GGNVP forwards the product.
func (f Scaled[T]) GGNVP(p, v, out []T) error {
	err := productsOf(f.Of).GGNVP(p, v, out)
	for i := range out {
		out[i] *= T(f.Factor)
	}
	return err
}

// HVP forwards the product.
func (f *switching[T]) HVP(p, v, out []T) error { return productsOf(f.Function).HVP(p, v, out) }

// GGNVP forwards the product.
func (f *switching[T]) GGNVP(p, v, out []T) error { return productsOf(f.Function).GGNVP(p, v, out) }

// productsOf returns f's products, or what says that it has none.
func productsOf[T tensor.Float](f objective.Function[T]) objective.Curvature[T] {
	if c, ok := f.(objective.Curvature[T]); ok {
		return c
	}
	return without[T]{fmt.Errorf("products of a %T: %w", f, objective.ErrUnsupported)}
}

type without[T tensor.Float] struct{ err error }

func (w without[T]) HVP(_, _, _ []T) error   { return w.err }
func (w without[T]) GGNVP(_, _, _ []T) error { return w.err }
