package matrix

import (
	"math"

	"github.com/descent-ml/descent/linalg"
)

// minimaxSteps returns n odd quintics whose composition, among all compositions of n of them, brings [lower, 1] nearest to
// 1: each is the best uniform approximation of 1 on the interval that the ones before have left,
//
//	p = argmin max_{x∈[l,u]} |a x + b x³ + c x⁵ − 1|,   [l, u] ← [1 − e, 1 + e],   e the maximum
//
// (Amsel et al., "The Polar Express: optimal matrix sign methods and their application to the Muon algorithm", 2025,
// arXiv:2505.16932). p takes the values 1−e, 1+e, 1−e, 1+e at l < q < r < u with q and r its extrema; Remez' exchange finds
// them. Once the interval is within 10⁻⁴ of 1, where the system is singular to rounding, the limit of p takes over, (15 x − 10 x³ + 3 x⁵)/8.
func minimaxSteps(lower float64, n int) []linalg.Quintic {
	steps := make([]linalg.Quintic, n)
	l, u := lower, 1.0
	for i := range steps {
		if u-l < 1e-4 {
			steps[i] = linalg.ConvergentQuintic()
			continue
		}
		var e float64
		steps[i], e = minimaxQuintic(l, u)
		l, u = 1-e, 1+e
	}
	return steps
}

// minimaxQuintic returns the best approximation of 1 on [l, u], 0 < l < u, and its error.
func minimaxQuintic(l, u float64) (linalg.Quintic, float64) {
	q, r := (3*l+u)/4, (l+3*u)/4
	var p linalg.Quintic
	var e float64
	for range 100 {
		p, e = levelled([4]float64{l, q, r, u})
		// p'(x) = a + 3b x² + 5c x⁴ = 0
		root := math.Sqrt(9*p.B*p.B - 20*p.A*p.C)
		qNext, rNext := math.Sqrt((-3*p.B-root)/(10*p.C)), math.Sqrt((-3*p.B+root)/(10*p.C))
		moved := math.Abs(qNext-q) + math.Abs(rNext-r)
		q, r = qNext, rNext
		if moved <= 1e-15*u {
			break
		}
	}
	return p, e
}

// levelled solves a x + b x³ + c x⁵ + (−1)ⁱ e = 1 for i = 0 … 3 by Gaussian elimination with row exchanges.
func levelled(x [4]float64) (linalg.Quintic, float64) {
	var m [4][5]float64
	sign := 1.0
	for i, v := range x {
		m[i] = [5]float64{v, v * v * v, v * v * v * v * v, sign, 1}
		sign = -sign
	}
	for k := range m {
		best := k
		for i := k + 1; i < 4; i++ {
			if math.Abs(m[i][k]) > math.Abs(m[best][k]) {
				best = i
			}
		}
		m[k], m[best] = m[best], m[k]
		for i := k + 1; i < 4; i++ {
			f := m[i][k] / m[k][k]
			for j := k; j < 5; j++ {
				m[i][j] -= f * m[k][j]
			}
		}
	}
	var y [4]float64
	for k := 3; k >= 0; k-- {
		y[k] = m[k][4]
		for j := k + 1; j < 4; j++ {
			y[k] -= m[k][j] * y[j]
		}
		y[k] /= m[k][k]
	}
	return linalg.Quintic{A: y[0], B: y[1], C: y[2]}, y[3]
}
