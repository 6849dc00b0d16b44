package linalg

import (
	"math"
	"sort"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// divideConquer solves the eigenproblem of a symmetric tridiagonal matrix T by Cuppen's method:
//
//	T = [T₁ 0; 0 T₂] + |e| u uᵀ,   u = (0 … 0, 1, ±1, 0 … 0),
//
// where T₁ and T₂ have |e|, the off-diagonal element between them, subtracted from their last and first
// diagonal elements. With T₁ = Q₁ D₁ Q₁ᵀ and T₂ = Q₂ D₂ Q₂ᵀ known, the rest is the eigenproblem of
// D + ρ z zᵀ, D diagonal: its eigenvalues are the roots of
//
//	f(λ) = 1 + ρ Σ_j z_j² / (d_j − λ),
//
// one between every two d_j, and its eigenvectors are (z_j/(d_j − λ))_j. Where z_j is negligible, or two d_j
// are equal but for rounding, nothing is to be done ("deflation"). What remains is a matrix product with the
// eigenvectors of the halves: most of the work.
//
// Eigenvectors are the rows of z, so that all passes are along rows.
type divideConquer struct {
	pool *tensor.Pool
	n    int
	d, e []float64
	z    []float64 // n×n; the part of block lo … hi are its rows and columns lo … hi
	// Work space of a merge.
	rows []float64 // n×n: rows of z
	u    []float64 // n×n: eigenvectors of D + ρ z zᵀ
}

const leafOrder = 32 // blocks up to this order are solved by QL

func newDivideConquer(pool *tensor.Pool, d, e []float64) *divideConquer {
	n := len(d)
	c := &divideConquer{pool: pool, n: n, d: d, e: e, z: make([]float64, n*n)}
	if n > leafOrder {
		c.rows, c.u = make([]float64, n*n), make([]float64, n*n)
	}
	return c
}

// order returns the indices lo … hi in ascending order of their eigenvalues.
func (c *divideConquer) order(lo, hi int) []int {
	order := make([]int, hi-lo)
	for i := range order {
		order[i] = lo + i
	}
	sort.SliceStable(order, func(i, j int) bool { return c.d[order[i]] < c.d[order[j]] })
	return order
}

// solve computes the eigenvalues of the block lo … hi in d and its eigenvectors in z, in any order.
func (c *divideConquer) solve(lo, hi int) error {
	if hi-lo <= leafOrder {
		for i := lo; i < hi; i++ {
			c.z[i*c.n+i] = 1
		}
		e := append([]float64(nil), c.e[lo:hi]...)
		return implicitQL(c.d[lo:hi], e, c.z[lo*c.n+lo:], c.n)
	}
	mid := (lo + hi) / 2
	e := c.e[mid-1]
	c.d[mid-1] -= math.Abs(e)
	c.d[mid] -= math.Abs(e)
	if err := c.solve(lo, mid); err != nil {
		return err
	}
	if err := c.solve(mid, hi); err != nil {
		return err
	}
	if e == 0 {
		return nil
	}
	return c.merge(lo, mid, hi, e)
}

// Which columns of a row of z are not zero.
const (
	topOnly = iota
	mixed
	bottomOnly
)

func (c *divideConquer) merge(lo, mid, hi int, e float64) error {
	n, d := c.n, c.d
	row := func(i int) []float64 { return c.z[i*n+lo : i*n+hi] }

	// ‖u‖² = 2 goes into ρ, so that ‖z‖ = 1.
	rho := 2 * math.Abs(e)
	z, kind := make([]float64, n), make([]int, n)
	largest, largestZ := 0.0, 0.0
	for i := lo; i < hi; i++ {
		if i < mid {
			z[i], kind[i] = c.z[i*n+mid-1]*math.Sqrt2/2, topOnly
		} else {
			z[i], kind[i] = math.Copysign(math.Sqrt2/2, e)*c.z[i*n+mid], bottomOnly
		}
		largest, largestZ = max(largest, math.Abs(d[i])), max(largestZ, math.Abs(z[i]))
	}

	// Deflation. kept are the indices that are left, in ascending order of d.
	tol := 8 * 0x1p-53 * max(largest, largestZ)
	var kept, done []int
	pending := -1
	for _, j := range c.order(lo, hi) {
		if rho*math.Abs(z[j]) <= tol {
			done = append(done, j)
			continue
		}
		if pending < 0 {
			pending = j
			continue
		}
		// The rotation of rows pending and j that makes z[pending] zero has the off-diagonal element
		// (d[j] − d[pending])·cos·sin; if that is negligible it is done.
		i := pending
		r := math.Hypot(z[i], z[j])
		cos, sin := z[j]/r, -z[i]/r
		pending = j
		if math.Abs((d[j]-d[i])*cos*sin) > tol {
			kept = append(kept, i)
			continue
		}
		z[i], z[j] = 0, r
		if kind[i] != kind[j] {
			kind[j] = mixed
		}
		x, y := row(i), row(j)
		for k, u := range x {
			v := y[k]
			x[k], y[k] = cos*u+sin*v, cos*v-sin*u
		}
		d[i], d[j] = d[i]*cos*cos+d[j]*sin*sin, d[i]*sin*sin+d[j]*cos*cos
		done = append(done, i)
	}
	if pending >= 0 {
		kept = append(kept, pending)
	}
	k := len(kept)
	if k == 0 {
		return nil
	}

	// The rows that take part, ordered by kind, then the ones that are finished.
	poles, weights := make([]float64, k), make([]float64, k)
	var count [3]int
	for i, j := range kept {
		poles[i], weights[i] = d[j], z[j]
		count[kind[j]]++
	}
	place := make([]int, k) // of kept[i] among the rows
	next := [3]int{0, count[topOnly], count[topOnly] + count[mixed]}
	for i, j := range kept {
		place[i] = next[kind[j]]
		next[kind[j]]++
		copy(c.rows[place[i]*n:], row(j))
	}
	values := make([]float64, hi-lo)
	for i, j := range done {
		values[k+i] = d[j]
		copy(c.rows[(k+i)*n:(k+i)*n+hi-lo], row(j))
	}
	if err := c.secular(poles, weights, rho, values[:k], place); err != nil {
		return err
	}

	// New rows = u·rows; top and bottom columns each meet only the rows that are not zero there.
	n1, t, b := mid-lo, count[topOnly]+count[mixed], count[topOnly]
	c.pool.Range(k, 8, func(r0, r1 int) {
		out := c.z[(lo+r0)*n+lo:]
		simd.Gemm(false, false, r1-r0, n1, t, 1, c.u[r0*n:], n, c.rows, n, 0, out, n)
		simd.Gemm(false, false, r1-r0, hi-mid, k-b, 1, c.u[r0*n+b:], n, c.rows[b*n+n1:], n, 0, out[n1:], n)
	})
	for i := k; i < hi-lo; i++ {
		copy(c.z[(lo+i)*n+lo:(lo+i)*n+hi], c.rows[i*n:])
	}
	copy(d[lo:hi], values)
	return nil
}

// secular computes the eigenvalues of diag(poles) + ρ w wᵀ in values and its eigenvectors in the rows of c.u;
// element j of a vector is stored at place[j].
//
// An eigenvector is (w_j/(d_j − λ))_j. If λ is rounded, vectors computed so are not orthogonal where poles
// are close. But the rounded λ are the exact eigenvalues for another w near the given one, by Löwner's
// formula
//
//	ŵ_j² = Π_i (λ_i − d_j) / Π_{i≠j} (d_i − d_j)   (up to 1/ρ),
//
// and its eigenvectors are orthogonal to working precision (Gu and Eisenstat). All differences d_j − λ_i
// are computed from the nearest pole, to full relative accuracy.
func (c *divideConquer) secular(poles, w []float64, rho float64, values []float64, place []int) error {
	n, k := c.n, len(poles)
	w2 := make([]float64, k)
	total := 0.0
	for j, v := range w {
		w2[j] = v * v
		total += v * v
	}
	failed := make([]bool, k)
	c.pool.Range(k, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			// Row i of u holds the differences first, in the order of the poles.
			origin, tau, ok := secularRoot(i, poles, w2, rho, total)
			failed[i] = !ok
			values[i] = poles[origin] + tau
			for j, p := range poles {
				c.u[i*n+j] = (p - poles[origin]) - tau
			}
		}
	})
	for i, f := range failed {
		if f {
			return NoConvergenceError{Op: "SymmetricEigen", Index: i, Iterations: maxSecular}
		}
	}
	hat := make([]float64, k)
	c.pool.Range(k, 1, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			hat[j] = -c.u[j*n+j]
		}
		for i := range k {
			row := c.u[i*n : i*n+k]
			for j := lo; j < hi; j++ {
				if j != i {
					hat[j] *= row[j] / (poles[j] - poles[i])
				}
			}
		}
		for j := lo; j < hi; j++ {
			hat[j] = math.Copysign(math.Sqrt(max(0, hat[j])), w[j])
		}
	})
	c.pool.Range(k, 1, func(lo, hi int) {
		v := make([]float64, k)
		for i := lo; i < hi; i++ {
			row := c.u[i*n : i*n+k]
			sum := 0.0
			for j, h := range hat {
				v[j] = h / row[j]
				sum += v[j] * v[j]
			}
			inv := 1 / math.Sqrt(sum)
			for j, x := range v {
				row[place[j]] = x * inv
			}
		}
	})
	return nil
}

const maxSecular = 100 // iterations for one root; 4 to 8 are usual

// secularRoot returns root i of f(λ) = 1 + ρ Σ_j w2_j/(d_j − λ), which lies between d_i and d_{i+1} (behind d_i
// for the last), as d_origin + τ with the nearer of the two as origin; total = Σ w2.
//
// Each step replaces the sums over the poles left and right of the root by r + s/(d_i − λ) and
// R + S/(d_{i+1} − λ) with the same values and derivatives and solves for the root of that (Bunch, Nielsen and
// Sorensen, Rank-one modification of the symmetric eigenproblem, 1978), within a bracket that shrinks.
func secularRoot(i int, d, w2 []float64, rho, total float64) (origin int, tau float64, ok bool) {
	k := len(d)
	last := i == k-1
	var lo, hi float64 // bracket of τ
	gap := rho * total
	if !last {
		gap = d[i+1] - d[i]
	}
	origin, hi = i, gap
	tau = gap / 2
	for iter := range maxSecular {
		// ψ: poles up to i, φ: those behind.
		var psi, dpsi, phi, dphi float64
		for j, p := range d[:i+1] {
			inv := 1 / ((p - d[origin]) - tau)
			t := w2[j] * inv
			psi += t
			dpsi += t * inv
		}
		for j := i + 1; j < k; j++ {
			inv := 1 / ((d[j] - d[origin]) - tau)
			t := w2[j] * inv
			phi += t
			dphi += t * inv
		}
		psi, dpsi, phi, dphi = rho*psi, rho*dpsi, rho*phi, rho*dphi
		f := 1 + psi + phi
		if iter == 0 && !last {
			// The sign at the middle says which pole is nearer.
			if f <= 0 {
				origin, lo, hi, tau = i+1, -gap/2, 0, -gap/2
			} else {
				hi = gap / 2
			}
		} else if f < 0 {
			lo = tau
		} else {
			hi = tau
		}
		if math.Abs(f) <= 0x1p-52*(1+math.Abs(psi)+math.Abs(phi)) {
			return origin, tau, true
		}
		// Distances of the two poles from τ: a < 0 < b.
		var next float64
		if last {
			a := -tau
			c, s := 1+psi-dpsi*a, dpsi*a*a
			next = s / c
		} else {
			a, b := (d[i]-d[origin])-tau, (d[i+1]-d[origin])-tau
			s, S := dpsi*a*a, dphi*b*b
			c := 1 + psi - dpsi*a + phi - dphi*b
			if origin == i {
				next = interpolant(c, gap, s, S)
			} else {
				next = -interpolant(-c, gap, S, s)
			}
		}
		if !(next > lo && next < hi) {
			next = lo + (hi-lo)/2
		}
		if math.Abs(next-tau) <= 0x1p-52*math.Abs(next) || next == lo || next == hi {
			return origin, next, next != 0
		}
		tau = next
	}
	return origin, tau, false
}

// interpolant returns the root η in (0, b) of c − s/η + S/(b − η), s, S ≥ 0: of
// c η² − (c b + s + S) η + s b, in the form without cancellation.
func interpolant(c, b, s, S float64) float64 {
	p, q := c*b+s+S, s*b
	root := math.Sqrt(max(0, p*p-4*c*q))
	if p > 0 {
		return 2 * q / (p + root)
	}
	return (p - root) / (2 * c)
}
