package linalg

import (
	"math"

	"github.com/descent-ml/descent/tensor"
)

// Sketch says how a randomized factorisation looks for the leading part of a matrix.
type Sketch struct {
	Oversampling int        // l ≥ 0, columns of the sketch beyond those asked for; 10 is usual
	Power        int        // q ≥ 0, power iterations: each squares the ratios of the singular values, for two more products
	Key          tensor.Key // of the Gaussian test matrix; the same key gives the same bits
}

// RangeFinder stores an orthonormal basis in the columns of q [m, k] that holds most of the range of a [m, n], k ≤ min(m, n):
//
//	Y = A Ω,  Ω ~ N(0, 1) [n, k];    power times:  Y ← A qr(Aᵀ qr(Y));    Q = qr(Y)
//
// by Householder reflectors, so that almost dependent columns do no harm. With k = r + l, the expected distance ‖A − QQᵀA‖ is a small
// multiple of the (r+1)-th singular value, and of it alone for a larger power (Halko, Martinsson and Tropp, Finding structure with randomness,
// 2011, Theorem 10.6). For a symmetric A use [RSVD] or [SRE], which need half the products.
//
// Cost: 2mnk(2·power + 1) flops and 4mk² for each QR.
func RangeFinder[T tensor.Float](ws *tensor.Workspace[T], q, a tensor.Tensor[T], power int, key tensor.Key) error {
	m, n, k := sketchShape("RangeFinder", q, a)
	defer ws.Release(ws.Mark())
	z, r := ws.New(tensor.ShapeOf(n, k)), ws.New(tensor.ShapeOf(k, k))
	tensor.Normal(key, z.Data(), 0, 1)
	y := ws.New(tensor.ShapeOf(m, k))
	tensor.MatMul(ws, y, a, z, false, false)
	for range power {
		if err := QR(ws, y, r, y); err != nil {
			return err
		}
		tensor.MatMul(ws, z, a, y, true, false)
		if err := QR(ws, z, r, z); err != nil {
			return err
		}
		tensor.MatMul(ws, y, a, z, false, false)
	}
	return QR(ws, q, r, y)
}

// sketchShape returns the sizes of q [m, k] and a [m, n] after checking them.
func sketchShape[T tensor.Float](op string, q, a tensor.Tensor[T]) (m, n, k int) {
	s, t := a.Shape(), q.Shape()
	if s.Rank() != 2 || t.Rank() != 2 || t.Dim(0) != s.Dim(0) || t.Dim(1) > min(s.Dim(0), s.Dim(1)) {
		panic(tensor.ShapeError{Op: op, A: s, B: t, Detail: "expected a basis with the rows of the matrix and no more columns than it has rank"})
	}
	return s.Dim(0), s.Dim(1), t.Dim(1)
}

// RandomizedSVD stores r leading singular values, descending, and vectors of a [m, n]: u [m, r], v [n, r], r ≤ min(m, n),
//
//	A ≈ U diag(values) Vᵀ,   Q = RangeFinder(A),   B = QᵀA = W Σ Vᵀ,   U = Q W
//
// Cost: that of a range finder of r + l columns and 2mn(r+l) more.
func RandomizedSVD[T tensor.Float](ws *tensor.Workspace[T], u tensor.Tensor[T], values []T, v, a tensor.Tensor[T], s Sketch) error {
	m, n := a.Shape().Dim(0), a.Shape().Dim(1)
	r := len(values)
	expect("RandomizedSVD", u, m, r)
	expect("RandomizedSVD", v, n, r)
	defer ws.Release(ws.Mark())
	k := min(r+s.Oversampling, m, n)
	q, bt, w := ws.New(tensor.ShapeOf(m, k)), ws.New(tensor.ShapeOf(n, k)), ws.New(tensor.ShapeOf(k, r))
	if err := RangeFinder(ws, q, a, s.Power, s.Key); err != nil {
		return err
	}
	tensor.MatMul(ws, bt, a, q, true, false)
	if err := tallSVD(ws, v, values, w, bt); err != nil {
		return err
	}
	tensor.MatMul(ws, u, q, w, false, false)
	return nil
}

// tallSVD stores the r = len(values) leading singular values of y [n, k], n ≥ k, its left vectors u [n, r] and its right
// vectors w [k, r].
//
//	Y = Q R,    R = W' Σ Wᵀ,    U = Q W'
//
// The singular vectors of the small R are eigenvectors of [0 Rᵀ; R 0], with eigenvalues ±σ: unlike those of RᵀR they have an
// error of ε σ_1, not of ε σ_1²/σ. Vectors of singular values that are all but zero are completed by a QR.
func tallSVD[T tensor.Float](ws *tensor.Workspace[T], u tensor.Tensor[T], values []T, w, y tensor.Tensor[T]) error {
	defer ws.Release(ws.Mark())
	n, k, r := y.Shape().Dim(0), y.Shape().Dim(1), len(values)
	q, tri := ws.New(tensor.ShapeOf(n, k)), ws.New(tensor.ShapeOf(k, k))
	if err := QR(ws, q, tri, y); err != nil {
		return err
	}
	j, d := ws.Zeros(tensor.ShapeOf(2*k, 2*k)), ws.Slice(2*k)
	for i := range k { // the lower triangle: R in the lower left block
		copy(j.Data()[(k+i)*2*k:], tri.Data()[i*k:(i+1)*k])
	}
	if err := SymmetricEigen(ws, d, j, j); err != nil {
		return err
	}
	left, right, small := ws.New(tensor.ShapeOf(k, r)), ws.New(tensor.ShapeOf(k, r)), ws.New(tensor.ShapeOf(r, r))
	root := T(math.Sqrt2)
	for c := range r {
		at := 2*k - 1 - c
		values[c] = max(d[at], 0)
		for i := range k {
			right.Data()[i*r+c] = root * j.Data()[i*2*k+at]
			left.Data()[i*r+c] = root * j.Data()[(k+i)*2*k+at]
		}
	}
	if err := QR(ws, left, small, left); err != nil {
		return err
	}
	if err := QR(ws, w, small, right); err != nil {
		return err
	}
	tensor.MatMul(ws, u, q, left, false, false)
	return nil
}

// RSVD stores r = len(values) leading eigenvalues, descending, and eigenvectors [n, r] of the symmetric positive semi-definite a
// [n, n], r ≤ n, by a randomized singular value decomposition:
//
//	Y = A Ω;  power times: Y = A qr(Y);  Q = qr(Y);  QᵀA = W Σ Vᵀ
//
// and keeps the right vectors V, which have had one more product with A than Q W and are more accurate (Halko, Martinsson and Tropp,
// 2011; used so by Puiu, Randomized K-FACs, arXiv:2206.15397).
//
// Accuracy: for eigenvalues that decay like 0.8^i, n = 200, r = 40, l = 10, errors of about 1e-6, 1e-8, 1e-13 of the largest for
// powers 0, 1 and 3. Vectors are orthonormal to a multiple of √n·ε.
// Cost: 2n²(r+l)(power+2) flops and 4n(r+l)² for each of power+2 QRs.
func RSVD[T tensor.Float](ws *tensor.Workspace[T], values []T, vectors, a tensor.Tensor[T], s Sketch) error {
	defer ws.Release(ws.Mark())
	q, err := symmetricRange(ws, "RSVD", values, vectors, a, s)
	if err != nil {
		return err
	}
	y, w := ws.New(q.Shape()), ws.New(tensor.ShapeOf(q.Shape().Dim(1), len(values)))
	tensor.MatMul(ws, y, a, q, false, false) // Bᵀ
	return tallSVD(ws, vectors, values, w, y)
}

// SRE is the symmetric randomized eigendecomposition: arguments and range finder of [RSVD], but then
//
//	T = QᵀAQ = V D Vᵀ,    vectors = Q V
//
// which replaces a decomposition of an n×(r+l) matrix by one of order r+l. a need not be definite; the largest eigenvalues are kept. For the
// same power a little less accurate than RSVD: errors of 1e-5, 2e-7 and 2e-12 in its example.
// Cost: 2n²(r+l)(power+2) flops and 4n(r+l)² for each of power+1 QRs.
func SRE[T tensor.Float](ws *tensor.Workspace[T], values []T, vectors, a tensor.Tensor[T], s Sketch) error {
	defer ws.Release(ws.Mark())
	q, err := symmetricRange(ws, "SRE", values, vectors, a, s)
	if err != nil {
		return err
	}
	k := q.Shape().Dim(1)
	y, t := ws.New(q.Shape()), ws.New(tensor.ShapeOf(k, k))
	tensor.MatMul(ws, y, a, q, false, false)
	tensor.MatMul(ws, t, q, y, true, false)
	return leading(ws, values, vectors, q, t)
}

// symmetricRange is the range finder of a symmetric matrix, where qr(Y) takes the place of qr(Aᵀqr(Y)).
func symmetricRange[T tensor.Float](ws *tensor.Workspace[T], op string, values []T, vectors, a tensor.Tensor[T], s Sketch) (tensor.Tensor[T], error) {
	n := square(op, a)
	expect(op, vectors, n, len(values))
	k := min(len(values)+s.Oversampling, n)
	q, y, r := ws.New(tensor.ShapeOf(n, k)), ws.New(tensor.ShapeOf(n, k)), ws.New(tensor.ShapeOf(k, k))
	tensor.Normal(s.Key, q.Data(), 0, 1)
	for range s.Power + 1 {
		tensor.MatMul(ws, y, a, q, false, false)
		if err := QR(ws, q, r, y); err != nil {
			return q, err
		}
	}
	return q, nil
}

// leading stores the leading eigenvalues of t [k, k], descending, and the columns of basis·V in vectors.
func leading[T tensor.Float](ws *tensor.Workspace[T], values []T, vectors, basis, t tensor.Tensor[T]) error {
	defer ws.Release(ws.Mark())
	k, r := t.Shape().Dim(0), len(values)
	d := ws.Slice(k)
	if err := SymmetricEigen(ws, d, t, t); err != nil {
		return err
	}
	v := ws.New(tensor.ShapeOf(k, r))
	for c := range r {
		values[c] = d[k-1-c]
		for i := range k {
			v.Data()[i*r+c] = t.Data()[i*k+k-1-c]
		}
	}
	// One step of Newton's iteration for the polar factor, V ← V (3I − VᵀV)/2, so that the rounding errors of repeated updates do not add up.
	gram, w := ws.New(tensor.ShapeOf(r, r)), ws.New(v.Shape())
	SymmetricProduct(ws, gram, v, v, true, false)
	tensor.Scale(ws, gram, gram, -0.5)
	AddDiagonal(gram, 1.5)
	tensor.MatMul(ws, w, v, gram, false, false)
	tensor.MatMul(ws, vectors, basis, w, false, false)
	return nil
}
