package linalg

import (
	"sort"

	"github.com/descent-ml/descent/tensor"
)

// BrandUpdate stores len(values) leading eigenvalues, descending, and eigenvectors [n, len(values)] of a decomposition to which a term of
// rank b is added:
//
//	decay·U diag(d) Uᵀ + X Xᵀ,    U [n, r] with orthonormal columns, X [n, b],   len(values) ≤ r + b ≤ n
//
// r may be 0, and vectors may not overlap u. With all r+b values the result is exact; fewer drop the smallest, and then what is kept is
// never more than the true matrix, in the order of definiteness.
//
//	P = UᵀX,  E = X − UP,  once more E ← E − U(UᵀE);    E = Q R
//	S = [decay·diag(d) + PPᵀ, PRᵀ; RPᵀ, RRᵀ] = V Λ Vᵀ;    vectors = [U Q] V
//
// The second projection keeps the columns orthonormal to a few ε over hundreds of updates. Where X lies in the range of U, so that columns of Q are
// arbitrary, Q is projected and factored again.
//
// Papers: Brand, Fast low-rank modifications of the thin singular value decomposition, 2006; Puiu, Brand New K-FACs, arXiv:2210.08494.
// Cost: 8nrb + 4nb² + 2n(r+b)·len(values) + 14/3 (r+b)³ flops: linear in n.
func BrandUpdate[T tensor.Float](ws *tensor.Workspace[T], values []T, vectors tensor.Tensor[T], d []T, u, x tensor.Tensor[T], decay T) error {
	n, b, r := x.Shape().Dim(0), x.Shape().Dim(1), len(d)
	expect("BrandUpdate", u, n, r)
	expect("BrandUpdate", vectors, n, len(values))
	if r+b > n || len(values) > r+b {
		panic(tensor.ShapeError{Op: "BrandUpdate", A: u.Shape(), B: x.Shape(), Detail: "expected at most as many columns together as rows"})
	}
	if err := checkFinite("BrandUpdate", x.Data(), b); err != nil {
		return err
	}
	defer ws.Release(ws.Mark())
	k := r + b
	p, tri, basis := ws.New(tensor.ShapeOf(r, b)), ws.New(tensor.ShapeOf(b, b)), ws.New(tensor.ShapeOf(n, k))
	q, err := orthogonalPart(ws, p, tri, u, x)
	if err != nil {
		return err
	}
	// Z = [P; R], so that S = diag(decay·d, 0) + Z Zᵀ.
	z, s := ws.New(tensor.ShapeOf(k, b)), ws.New(tensor.ShapeOf(k, k))
	copy(z.Data(), p.Data())
	copy(z.Data()[r*b:], tri.Data())
	SymmetricProduct(ws, s, z, z, false, true)
	for i, v := range d {
		s.Data()[i*k+i] += decay * v
	}
	columns := tensor.AxisOf(basis.Shape(), 1, 2)
	if r > 0 {
		tensor.CopySlice(ws, basis, u, columns, 0, true)
	}
	tensor.CopySlice(ws, basis, q, columns, r, true)
	return leading(ws, values, vectors, basis, s)
}

// orthogonalPart stores P [r, b] and R [b, b] and returns Q [n, b] with X = U P + Q R and [U Q] orthonormal.
func orthogonalPart[T tensor.Float](ws *tensor.Workspace[T], p, tri, u, x tensor.Tensor[T]) (tensor.Tensor[T], error) {
	r := u.Shape().Dim(1)
	q, down := ws.New(x.Shape()), ws.New(x.Shape())
	tensor.Copy(ws, q, x)
	if r == 0 {
		return q, QR(ws, q, tri, q)
	}
	part := ws.New(p.Shape())
	project := func(into tensor.Tensor[T]) { // q ← q − U(Uᵀq)
		tensor.MatMul(ws, into, u, q, true, false)
		tensor.MatMul(ws, down, u, into, false, false)
		tensor.Sub(ws, q, q, down)
	}
	project(p)
	project(part)
	tensor.Add(ws, p, p, part)
	if err := QR(ws, q, tri, q); err != nil {
		return q, err
	}
	// Columns that X has in common with U leave rounding errors, whose directions may be U's.
	again, product := ws.New(tri.Shape()), ws.New(tri.Shape())
	for range 3 {
		tensor.MatMul(ws, part, u, q, true, false)
		if tensor.Norm(ws, part) <= 64*epsilon[T]() {
			break
		}
		tensor.MatMul(ws, down, u, part, false, false)
		tensor.Sub(ws, q, q, down)
		if err := QR(ws, q, again, q); err != nil {
			return q, err
		}
		tensor.MatMul(ws, product, again, tri, false, false)
		tensor.Copy(ws, tri, product)
	}
	return q, nil
}

// epsilon is the distance of 1 to the next number.
func epsilon[T tensor.Float]() float64 {
	if T(1)+T(0x1p-40) != 1 {
		return 0x1p-52
	}
	return 0x1p-23
}

// BrandCorrection replaces the chosen columns of the orthonormal vectors [n, r] by the Ritz vectors of the symmetric a [n, n] in their
// span, and their values by the Ritz values, and sorts all descending:
//
//	C = QᵀAQ = W Λ Wᵀ,  Q = vectors[:, columns];    columns ← Q W, values ← Λ
//
// The columns must differ. It undoes, in that span, what truncated updates have lost; with all columns it is the Rayleigh–Ritz method.
// Paper: Puiu, Brand New K-FACs, arXiv:2210.08494 (B-KFAC-C). Cost: 2n²c flops for c columns.
func BrandCorrection[T tensor.Float](ws *tensor.Workspace[T], values []T, vectors, a tensor.Tensor[T], columns []int32) error {
	n, r, c := square("BrandCorrection", a), len(values), len(columns)
	expect("BrandCorrection", vectors, n, r)
	tensor.CheckIndex("BrandCorrection", columns, r)
	defer ws.Release(ws.Mark())
	q, aq, t := ws.New(tensor.ShapeOf(n, c)), ws.New(tensor.ShapeOf(n, c)), ws.New(tensor.ShapeOf(c, c))
	v := vectors.Data()
	for i := range n {
		for j, k := range columns {
			q.Data()[i*c+j] = v[i*r+int(k)]
		}
	}
	tensor.MatMul(ws, aq, a, q, false, false)
	tensor.MatMul(ws, t, q, aq, true, false)
	d := ws.Slice(c)
	if err := leading(ws, d, aq, q, t); err != nil {
		return err
	}
	for j, k := range columns {
		values[k] = d[j]
		for i := range n {
			v[i*r+int(k)] = aq.Data()[i*c+j]
		}
	}
	// Sort, with the columns gathered in their new order.
	order := make([]int, r)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return values[order[i]] > values[order[j]] })
	row, old := ws.Slice(r), ws.Slice(r)
	copy(old, values)
	for j, k := range order {
		values[j] = old[k]
	}
	for i := range n {
		copy(row, v[i*r:(i+1)*r])
		for j, k := range order {
			v[i*r+j] = row[k]
		}
	}
	return nil
}
