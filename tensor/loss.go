package tensor

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
)

// Loss is a loss ℓ(z, y) of one prediction element z and one target element y; the loss of a row is the
// sum over its elements.
type Loss uint8

// The losses of independent elements. Constants that do not depend on z are left out.
const (
	SquaredLoss   Loss = iota // ½ (z − y)²
	BernoulliLoss             // ln(1 + eᶻ) − y z: negative log-likelihood of y ∈ [0, 1] under the logit z
	PoissonLoss               // eᶻ − y z: negative log-likelihood of the count y under the log rate z, without ln y!
	HuberLoss                 // ½ r² for |r| ≤ δ, else δ(|r| − ½ δ), with r = z − y
)

// String returns the loss's name.
func (l Loss) String() string {
	return [...]string{"SquaredError", "BernoulliNLL", "PoissonNLL", "HuberLoss"}[l]
}

// ElementLoss returns the mean over rows of the loss of predictions z against targets y; delta is the
// parameter of HuberLoss. Rows are summed in order of blocks of fixed size.
func ElementLoss[T Float](ws *Workspace[T], l Loss, z, y Tensor[T], delta float64) T {
	sameSize(l.String(), z, y)
	m := ws.Mark()
	defer ws.Release(m)
	t := ws.New(z.shape)
	if ws.serial(len(z.data), funSerial) {
		lossKernel(l, t.data, z.data, y.data, T(delta))
	} else {
		ws.pool.Range(len(z.data), mapGrain, func(lo, hi int) {
			lossKernel(l, t.data[lo:hi], z.data[lo:hi], y.data[lo:hi], T(delta))
		})
	}
	return Sum(ws, t) / T(z.shape.Rows())
}

func lossKernel[T Float](l Loss, d, z, y []T, delta T) {
	z, y = z[:len(d)], y[:len(d)]
	switch l {
	case SquaredLoss:
		simd.Sub(d, z, y)
		simd.Mul(d, d, d)
		simd.Scale(d, d, 0.5)
	case BernoulliLoss: // ln(1 + e^−|z|) + z⁺(1 − y) + z⁻ y: nothing cancels
		simd.Abs(d, z)
		simd.Scale(d, d, -1)
		simd.Softplus(d, d)
		for i, v := range z {
			if v > 0 {
				d[i] += v * (1 - y[i])
			} else {
				d[i] -= v * y[i]
			}
		}
	case PoissonLoss:
		simd.Exp(d, z)
		for i := range d {
			d[i] -= y[i] * z[i]
		}
	case HuberLoss:
		for i := range d {
			r := z[i] - y[i]
			if r < 0 {
				r = -r
			}
			if r <= delta {
				d[i] = r * r / 2
			} else {
				d[i] = delta * (r - delta/2)
			}
		}
	}
}

// ElementLossGrad stores s·∂ℓ/∂z in dst, element by element.
func ElementLossGrad[T Float](ws *Workspace[T], dst Tensor[T], l Loss, z, y Tensor[T], s T, delta float64) {
	sameSize(l.String(), dst, z)
	sameSize(l.String(), z, y)
	if ws.serial(len(z.data), funSerial) {
		lossGradKernel(l, dst.data, z.data, y.data, s, T(delta))
		return
	}
	ws.pool.Range(len(z.data), mapGrain, func(lo, hi int) {
		lossGradKernel(l, dst.data[lo:hi], z.data[lo:hi], y.data[lo:hi], s, T(delta))
	})
}

func lossGradKernel[T Float](l Loss, d, z, y []T, s, delta T) {
	switch l {
	case SquaredLoss:
		simd.Sub(d, z, y)
	case BernoulliLoss:
		simd.Sigmoid(d, z)
		simd.Sub(d, d, y)
	case PoissonLoss:
		simd.Exp(d, z)
		simd.Sub(d, d, y)
	case HuberLoss:
		simd.Sub(d, z, y)
		for i, r := range d {
			d[i] = max(-delta, min(delta, r))
		}
	}
	simd.Scale(d, d, s)
}

// CrossEntropy returns the mean over the rows of z of
//
//	LSE(z) − Σ_j q_j z_j,   q = (1 − ε)·onehot(label) + ε/K,
//
// the cross-entropy of softmax(z) against the label smoothed by ε over the K columns; NaN if there are no rows.
func CrossEntropy[T Float](ws *Workspace[T], z Tensor[T], labels []int32, smoothing float64) T {
	rows := z.shape.Rows()
	checkLabels(z.shape, labels)
	if rows == 0 {
		return T(math.NaN())
	}
	m := ws.Mark()
	defer ws.Release(m)
	loss, rest, p := ws.New(ShapeOf(rows)), ws.New(ShapeOf(rows)), ws.New(z.shape)
	if ws.serial(len(z.data), funSerial) {
		crossEntropyRows(loss.data, rest.data, p.data, z.data, labels, smoothing, 0, rows)
	} else {
		ws.pool.Range(rows, 4, func(lo, hi int) {
			crossEntropyRows(loss.data, rest.data, p.data, z.data, labels, smoothing, lo, hi)
		})
	}
	return Sum(ws, loss) / T(rows)
}

// crossEntropyRows computes the rows' losses with the largest element m of each row taken out, so that the
// loss of a confident and right prediction does not drown in the rounding of z:
//
//	ln Σ_j e^(z_j − m) + (1 − ε)(m − z_label) + (ε/K) Σ_j (m − z_j)
func crossEntropyRows[T Float](loss, rest, p, z []T, labels []int32, smoothing float64, lo, hi int) {
	cols := len(z) / len(loss)
	hit, all := T(1-smoothing), T(smoothing/float64(cols))
	for i := lo; i < hi; i++ {
		row := z[i*cols : (i+1)*cols]
		m, sum := simd.SoftmaxRow(p[i*cols:(i+1)*cols], row)
		loss[i], rest[i] = sum, hit*(m-row[labels[i]])
		if smoothing != 0 {
			rest[i] += all * (T(cols)*m - simd.Sum(row))
		}
	}
	simd.Log(loss[lo:hi], loss[lo:hi])
	simd.Add(loss[lo:hi], loss[lo:hi], rest[lo:hi])
}

// CrossEntropyGrad stores s·(softmax(z) − q) in dst, row by row; see [CrossEntropy]. For the gradient of the
// mean s is 1/rows.
func CrossEntropyGrad[T Float](ws *Workspace[T], dst, z Tensor[T], labels []int32, smoothing float64, s T) {
	rows := z.shape.Rows()
	checkLabels(z.shape, labels)
	sameSize("CrossEntropy", dst, z)
	if rows == 0 {
		return
	}
	if ws.serial(len(z.data), funSerial) {
		crossEntropyGradRows(dst.data, z.data, labels, smoothing, s, 0, rows)
		return
	}
	ws.pool.Range(rows, 4, func(lo, hi int) {
		crossEntropyGradRows(dst.data, z.data, labels, smoothing, s, lo, hi)
	})
}

func crossEntropyGradRows[T Float](dst, z []T, labels []int32, smoothing float64, s T, lo, hi int) {
	cols := len(z) / len(labels)
	hit, all := T(1-smoothing), T(smoothing/float64(cols))
	for i := lo; i < hi; i++ {
		d := dst[i*cols : (i+1)*cols]
		simd.SoftmaxRow(d, z[i*cols:(i+1)*cols])
		if smoothing != 0 {
			simd.AddScalar(d, d, -all)
		}
		d[labels[i]] -= hit
		simd.Scale(d, d, s)
	}
}

func checkLabels(z Shape, labels []int32) {
	if len(labels) != z.Rows() {
		panic(ShapeError{Op: "CrossEntropy", A: z, B: ShapeOf(len(labels))})
	}
	CheckIndex("CrossEntropy", labels, z.Cols())
}

// SmoothedLabels stores q, the target distribution of [CrossEntropy], in dst.
func SmoothedLabels[T Float](dst Tensor[T], labels []int32, smoothing float64) {
	checkLabels(dst.shape, labels)
	cols := dst.shape.Cols()
	Fill(dst, T(smoothing/float64(cols)))
	for i, k := range labels {
		dst.data[i*cols+int(k)] += T(1 - smoothing)
	}
}

// DropoutMask stores in dst, independently for each element i, 0 with probability p and 1/(1 − p) else;
// element i depends on k and i alone.
func DropoutMask[T Float](ws *Workspace[T], dst Tensor[T], p float64, k Key) {
	keep := T(1 / (1 - p))
	cut := uint64(math.Ldexp(p, 32)) // of the 32-bit halves of the key's words
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) {
		for i := lo; i < hi; i += 4 { // lo is a multiple of mapGrain
			a, b := k.block(uint64(i / 4))
			w := [4]uint64{a & (1<<32 - 1), a >> 32, b & (1<<32 - 1), b >> 32}
			for j := i; j < min(i+4, hi); j++ {
				dst.data[j] = keep
				if w[j-i] < cut {
					dst.data[j] = 0
				}
			}
		}
	})
}
