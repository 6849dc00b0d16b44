package dataset

import (
	"math"

	"github.com/descent-ml/descent/tensor"
)

// maxGenerated is the largest number of examples that a generator draws.
const maxGenerated = 1_000_000

func sizeOr(o Options, n int) int {
	if o.Size > 0 {
		return max(10, o.Size)
	}
	return n
}

// generateSpiral draws three interleaved arms in the plane, in turn: with u uniform in [0, 1),
//
//	r = √u,   φ = 2π k/3 + 3π/2·r + 0.15 ε,   x = r (cos φ, sin φ),   ε ~ N(0, 1), class k.
//
// No line separates them; a network with one hidden layer of 32 does.
func generateSpiral(o Options) *table {
	const arms = 3
	n, key := sizeOr(o, 3000), tensor.KeyOf(o.Seed).Named("spiral")
	t := &table{classes: []string{"arm 1", "arm 2", "arm 3"}}
	t.shape, t.task = tensor.ShapeOf(2), Classification
	t.f64, t.labels = make([]float64, 2*n), make([]int32, n)
	for i := range n {
		k := key.Fold(uint64(i))
		r := math.Sqrt(k.Float64(0))
		phi := 2*math.Pi*float64(i%arms)/arms + 1.5*math.Pi*r + 0.15*k.Normal(2)
		s, c := math.Sincos(phi)
		t.f64[2*i], t.f64[2*i+1] = r*c, r*s
		t.labels[i] = int32(i % arms)
	}
	return t
}

// generateBlobs draws five normal clouds of unit variance in ten dimensions, in turn, about centres
// drawn from N(0, 2² I). The best possible error is not zero.
func generateBlobs(o Options) *table {
	const clouds, dim = 5, 10
	n, key := sizeOr(o, 2000), tensor.KeyOf(o.Seed).Named("blobs")
	t := &table{classes: []string{"blob 1", "blob 2", "blob 3", "blob 4", "blob 5"}}
	t.shape, t.task = tensor.ShapeOf(dim), Classification
	t.f64, t.labels = make([]float64, dim*n), make([]int32, n)
	centres := make([]float64, clouds*dim)
	tensor.Normal(key.Named("centres"), centres, 0, 2)
	tensor.Normal(key.Named("noise"), t.f64, 0, 1)
	for i := range n {
		t.labels[i] = int32(i % clouds)
		for j := range dim {
			t.f64[i*dim+j] += centres[i%clouds*dim+j]
		}
	}
	return t
}

// generateQuadratic draws a linear regression whose loss, for the model "linear" and the squared loss,
// is a quadratic with the spectrum of DeepOBS's quadratic_deep (Schneider, Balles and Hennig, 2019), in 100
// dimensions: with z ~ N(0, I), a rotation R and 90 eigenvalues λ uniform in (0, 1), 10 in (30, 60),
//
//	x = R Λ^½ z,   y = w·x + 0.6 ε,   w ~ N(0, I/100),   ε ~ N(0, 1),
//
// so that E[x xᵀ] = R Λ Rᵀ is the Hessian ½ E(θ·x − y)² has. Features are not standardised, which would
// change the spectrum. R is a product of 100 random reflections.
func generateQuadratic(o Options) *table {
	const dim = 100
	n, key := sizeOr(o, 2000), tensor.KeyOf(o.Seed).Named("quadratic")
	t := &table{asRead: true, generated: true}
	t.shape, t.task, t.outputs = tensor.ShapeOf(dim), Regression, 1
	t.train = n / 2
	root, w, v := make([]float64, dim), make([]float64, dim), make([]float64, dim*dim)
	for i := range dim {
		u := key.Named("eigenvalues").Float64(uint64(i))
		if i >= 90 {
			u = 30 + 30*u
		}
		root[i] = math.Sqrt(u)
	}
	tensor.Normal(key.Named("weights"), w, 0, 0.1)
	tensor.Normal(key.Named("reflections"), v, 0, 1)
	for i := range dim {
		normalize(v[i*dim : (i+1)*dim])
	}
	t.f64, t.values = make([]float64, n*dim), make([]float64, n)
	tensor.Normal(key.Named("features"), t.f64, 0, 1)
	for i := range n {
		x := t.f64[i*dim : (i+1)*dim]
		for j := range x {
			x[j] *= root[j]
		}
		for k := range dim { // x ← (I − 2 v vᵀ) x
			h := v[k*dim : (k+1)*dim]
			p := 2 * dot(h, x)
			for j := range x {
				x[j] -= p * h[j]
			}
		}
		t.values[i] = dot(w, x) + 0.6*key.Named("noise").Normal(uint64(i))
	}
	return t
}

func dot(a, b []float64) float64 {
	var s float64
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func normalize(v []float64) {
	r := 1 / math.Sqrt(dot(v, v))
	for i := range v {
		v[i] *= r
	}
}
