package curvature

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Quadratic is the link after a [Preconditioner] that takes the step from the quadratic model of the batch's loss h. With U the
// preconditioned gradient, δ₀ the step before, C the exact Gauss–Newton matrix of the batch and λ the damping,
//
//	δ = −αU + μδ₀      (α, μ) minimise  M(δ) = ∇hᵀδ + ½ δᵀ(C + λI)δ
//	[UᵀBU    −UᵀBδ₀ ] [α]     [ ∇hᵀU ]
//	[−UᵀBδ₀   δ₀ᵀBδ₀] [μ]  =  [−∇hᵀδ₀]      B = C + λI
//
// The link replaces the update by −δ, to be followed by [optim.Descend] at rate 1. In the first step, and where a direction has no
// curvature, μ is 0; where U and δ₀ are parallel up to rounding, the solution of least norm is taken. With [ModelRate] μ is given
// and α minimises; with [ModelMomentum] α is given and μ minimises.
//
// An L2 penalty of the function is a part of ∇h and C. On a quadratic loss, and λ → 0, the steps of [ModelStep] are those of
// the preconditioned conjugate-gradient method.
//
// Paper: Martens and Grosse, 2015, §6.4 and §7. Deviations: the products are taken on the whole batch, not on a quarter; a solution by the
// pseudo-inverse instead of a failure.
//
// Cost: a forward recording and one forward-mode product for each of U and δ₀, together about two evaluations with gradient;
// two vectors of memory. Inner products are taken in double precision. Failure: a small batch's model is not that of the loss, and
// the step overfits it; use it with batches of thousands.
type Quadratic[T tensor.Float] struct {
	k     *Preconditioner[T]
	last  []T   // δ₀
	steps int64 // 0: there is no δ₀
	vs    [][]T
	form  [4]float64
}

// NewQuadratic returns the link for the update of k, whose Step is a model's.
func NewQuadratic[T tensor.Float](env optim.Env, k *Preconditioner[T]) *Quadratic[T] {
	k.gradient = make([]T, env.Layout.Size())
	return &Quadratic[T]{k: k, last: make([]T, env.Layout.Size()), vs: make([][]T, 0, 2)}
}

// Name returns "quadratic".
func (*Quadratic[T]) Name() string { return "quadratic" }

// State returns the step before.
func (q *Quadratic[T]) State() optim.State[T] {
	return optim.State[T]{{Name: "last", Vector: q.last}, {Name: "steps", Int: &q.steps}}
}

// Hypers returns the momentum or the rate that is given.
func (q *Quadratic[T]) Hypers() []*optim.Hyper {
	switch s := q.k.o.Step.(type) {
	case ModelRate:
		return []*optim.Hyper{s.Momentum}
	case ModelMomentum:
		return []*optim.Hyper{s.Rate}
	}
	return nil
}

// Transform replaces the update U by −δ.
func (q *Quadratic[T]) Transform(_ context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	n := len(s.Update)
	u, last, grad := tensor.FromSlice(s.Update, n), tensor.FromSlice(q.last, n), tensor.FromSlice(q.k.gradient, n)
	q.vs = append(q.vs[:0], s.Update)
	if q.steps > 0 {
		q.vs = append(q.vs, q.last)
	}
	form := q.form[:len(q.vs)*len(q.vs)]
	if err := s.Objective.GGNForms(q.vs, form); err != nil {
		return optim.Skip, fmt.Errorf("curvature: a step from the quadratic model needs products with the Gauss–Newton matrix: %w\n"+
			"hint: use it on a network (objective.Network), or set regime to 0", err)
	}
	lambda := q.k.damping(s.Progress)
	m := model{uu: form[0] + lambda*tensor.DotDouble(u, u), gu: tensor.DotDouble(grad, u)}
	if q.steps > 0 {
		m.uv = form[1] + lambda*tensor.DotDouble(u, last)
		m.vv = form[3] + lambda*tensor.DotDouble(last, last)
		m.gv = tensor.DotDouble(grad, last)
	}
	var alpha, mu float64
	switch step := q.k.o.Step.(type) {
	case ModelRate:
		mu = step.Momentum.At(s.Progress)
		alpha = m.rate(mu)
	case ModelMomentum:
		alpha = step.Rate.At(s.Progress)
		mu = m.momentum(alpha)
	default:
		alpha, mu = m.both(roundoff[T]())
	}
	if math.IsNaN(alpha+mu) || math.IsInf(alpha+mu, 0) {
		return optim.Skip, nil
	}
	// The update is αU − μδ₀, and the step its negative.
	if q.steps == 0 {
		mu = 0
	}
	tensor.Axpby(q.k.ws, u, T(-mu), last, T(alpha))
	tensor.Scale(q.k.ws, last, u, -1)
	q.steps++
	s.Changed()
	s.SetRate(alpha)
	s.Log("model-momentum", mu)
	return optim.Continue, nil
}

// model is the quadratic model of h(θ − αU + μV) along U and V = δ₀: B in the two directions and the slopes ∇hᵀU, ∇hᵀV.
type model struct{ uu, uv, vv, gu, gv float64 }

// rate returns the best α for μ: 0 where there is no curvature along U.
func (m model) rate(mu float64) float64 {
	if !(m.uu > 0) {
		return m.uu * 0 // 0, or NaN as it is
	}
	return (m.gu + mu*m.uv) / m.uu
}

// momentum returns the best μ for α.
func (m model) momentum(alpha float64) float64 {
	if !(m.vv > 0) {
		return m.vv * 0
	}
	return (alpha*m.uv - m.gv) / m.vv
}

// both returns the best (α, μ). The system is brought to a unit diagonal, [1 −c; −c 1], whose eigenvalues are 1 ± c; one below tol
// counts as zero.
func (m model) both(tol float64) (alpha, mu float64) {
	if !(m.uu > 0) || !(m.vv > 0) {
		return m.rate(0), 0
	}
	a, b := math.Sqrt(m.uu), math.Sqrt(m.vv)
	c := m.uv / a / b
	x, y := m.gu/a, -m.gv/b
	// In the directions (1, ±1)/√2 the eigenvalues are 1 ∓ c.
	p, q := (x+y)/2, (x-y)/2
	if 1-c > tol {
		p /= 1 - c
	} else {
		p = 0
	}
	if 1+c > tol {
		q /= 1 + c
	} else {
		q = 0
	}
	return (p + q) / a, (p - q) / b
}

// roundoff is a bound below which a cosine's distance from one is rounding.
func roundoff[T tensor.Float]() float64 {
	if T(1)+T(1e-10) == 1 {
		return 1e-5
	}
	return 1e-13
}
