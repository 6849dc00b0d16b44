package optim

import (
	"fmt"
	"math"
	"strings"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// BatchNorm is the batch-normalisation preconditioner (BNP): what batch normalisation does to the conditioning
// of the loss, done to the gradient. The network, its function and its predictions stay as they are.
//
// For an affine layer Y = X W + b with n inputs, μ and σ² the running mean and variance of its inputs, each
// output unit with bias b and weights w has the change of variables
//
//	(b, w) = P z,    P = (1/q) [ 1  −μᵀ ] diag(1, 1/σ̃₁, …, 1/σ̃ₙ),    σ̃ⱼ² = σⱼ² + ε₁ maxₖ σₖ² + ε₂
//	                           [ 0   I  ]
//
// under which the layer sees the standardised inputs (xⱼ − μⱼ)/σ̃ⱼ. The Hessian with respect to the unit is
// Ĥᵀ S Ĥ with Ĥ = [e, X] and S diagonal, so P removes the part of its condition number that comes from X. With
// q² = max(n/N, r), N examples in the batch and r rows for each (1 but in convolutions), its norm is O(1)
// whatever the fan-in, the batch and the number of positions: ‖Ĥ‖² ≲ (√(rN) + √n)² ≤ 4N q². So one
// learning rate serves all layers and batch sizes. The products are
//
//	Pᵀ:    g_b ← g_b/q,    g_j ← (g_j − μⱼ g_b)/(q σ̃ⱼ)       with the old g_b; g_j the weights of input j
//	P:     u_j ← u_j/(q σ̃ⱼ),    u_b ← u_b/q − Σⱼ μⱼ u_j       with the new u_j
//
// In a convolution the rows are patches, n counts a patch, and μ and σ² are those of the input channel over
// batch, height and width, the same for all positions of the window, as in batch normalisation;
// BatchNormOptions.Patch takes them column by column over the patches instead, padding included. A layer without
// bias cannot be centred: it is scaled by the root of the raw second moment. Layers that share weights pool
// their rows. Parameters that belong to no tapped layer (normalisation, embeddings, grouped convolutions) are
// left alone: P is the identity there.
//
// The statistics of update t, with mean and variance of the batch m, v (divided by N) and decay ρ:
//
//	raw moments:   m₁ ← ρ m₁ + (1−ρ) m,  m₂ ← ρ m₂ + (1−ρ)(v + m²);   μ = m₁/c,  σ² = max(m₂/c − μ², 0),  c = 1 − ρᵗ
//	paper's form:  μ ← ρ μ + (1−ρ) m,    σ² ← ρ σ² + (1−ρ) v          from μ = 0, σ² = 1
//
// Raw moments are unbiased from the first step on and for every batch down to one example, where v is 0 and
// the paper's σ² falls to the floor.
//
// Paper: Lange, Helfrich and Ye, "Batch normalization preconditioning for neural network training", JMLR 23, 2022,
// arXiv:2108.01110. The equivalences above are proved and tested; ρ, ε₁, ε₂, the initial values and q are
// reconstructed from its theory, not read in it; r in q for convolutions is this program's, and measured on LeNet-5 (docs/bnp.md).
// Deviations: the raw moments, which are the default, are not the paper's.
//
// Cost: two numbers an input of each layer; a pass over the inputs and one or two over the weights: O(Nn + nm) for m
// outputs, beside the layer's O(Nnm).
// Failure: a bad initial scale stays bad (batch normalisation hides it). Statistics that move fast at a high
// learning rate make P itself noisy.
//
// A BatchNorm is not safe for concurrent use; it is parallel inside.
type BatchNorm[T tensor.Float] struct {
	o       BatchNormOptions
	layers  []*bnpLayer[T] // in the layout's order
	of      map[int]*bnpLayer[T]
	refused int64 // layers' statistics that were not finite, and left out
	frozen  bool

	pool    *tensor.Pool
	parts   []bnpPart[T]
	product bnpProduct
	v       []T
	scratch [][]T // by worker
	run     func(worker, part int)
	moments momentSums[T]
}

// BatchNormOptions are the settings of [BatchNorm]. The zero value is not useful; [DefaultBatchNorm] is.
type BatchNormOptions struct {
	Decay      float64 // ρ of the running statistics
	Eps1, Eps2 float64 // ε₁, relative to the largest variance of the layer; ε₂, absolute
	Paper      bool    // the paper's form of the statistics
	Centring   bool    // off: μ = 0 in P
	Scaling    bool    // off: σ̃ = 1 in P
	Q          bool    // off: q = 1
	Patch      bool    // convolutions: one mean and variance a patch entry, not a channel
}

// DefaultBatchNorm returns ρ = 0.99, ε₁ = 10⁻², ε₂ = 10⁻⁴, raw moments, with centring, scaling and q.
func DefaultBatchNorm() BatchNormOptions {
	return BatchNormOptions{Decay: 0.99, Eps1: 1e-2, Eps2: 1e-4, Centring: true, Scaling: true, Q: true}
}

// bnpLayer is the preconditioner of one affine layer.
type bnpLayer[T tensor.Float] struct {
	name         string
	weight, bias int // indices in the layout; bias -1: none
	wAt, bAt     int // offsets in the buffer
	in, out      int

	m1, m2  []float64 // running statistics: raw moments, or mean and variance in the paper's form
	updates int64     // of the statistics; 0: P is the identity
	rows    int64     // rN of the last update
	each    int64     // r, rows of an example
	window  sums      // batches kept since the last update
	batch   sums      // batch in progress

	mu, inv, inv2 []T     // μⱼ (nil: no centring), 1/(q σ̃ⱼ), 1/(q² σ̃ⱼ²)
	q             float64 // of P
}

// sums are Σ x and Σ x² over cells of each input, and the numbers of cells and of rows.
type sums struct {
	s1, s2      []float64
	cells, rows int64
	each        int64 // rows of an example
}

func (s *sums) clear() {
	clear(s.s1)
	clear(s.s2)
	s.cells, s.rows, s.each = 0, 0, 0
}

// bnpPart is a range of the output units of one layer: what one worker preconditions at a time.
type bnpPart[T tensor.Float] struct {
	l      *bnpLayer[T]
	lo, hi int
}

// bnpUnits is the number of output units of a part.
const bnpUnits = 256

// NewBatchNorm returns the preconditioner for the weight matrices of env.Layout, each with the bias that is named
// like it (dense1.weight, dense1.bias) or that its tap states. It is the identity until statistics were kept. The
// error says that there is nothing to precondition.
func NewBatchNorm[T tensor.Float](env Env, o BatchNormOptions) (*BatchNorm[T], error) {
	pool := env.Pool
	if pool == nil {
		pool = tensor.NewPool(1)
	}
	p := &BatchNorm[T]{o: o, pool: pool, of: map[int]*bnpLayer[T]{}}
	widest := 0
	for i := range env.Layout.Len() {
		w := env.Layout.At(i)
		if w.Kind != nn.Weight || w.Shape.Rank() != 2 {
			continue
		}
		name := strings.TrimSuffix(w.Name, ".weight")
		l := &bnpLayer[T]{name: name, weight: i, bias: -1, wAt: w.Offset, in: w.Shape.Dim(0), out: w.Shape.Dim(1)}
		if b := env.Layout.Index(name + ".bias"); b >= 0 && env.Layout.At(b).Shape.Size() == l.out {
			l.bias, l.bAt = b, env.Layout.At(b).Offset
		}
		l.m1, l.m2 = make([]float64, l.in), make([]float64, l.in)
		l.window = sums{s1: make([]float64, l.in), s2: make([]float64, l.in)}
		l.batch = sums{s1: make([]float64, l.in), s2: make([]float64, l.in)}
		l.mu, l.inv, l.inv2 = make([]T, l.in), make([]T, l.in), make([]T, l.in)
		if o.Paper {
			for j := range l.m2 {
				l.m2[j] = 1
			}
		}
		p.layers = append(p.layers, l)
		p.of[i] = l
		for lo := 0; lo < l.out; lo += bnpUnits {
			p.parts = append(p.parts, bnpPart[T]{l, lo, min(l.out, lo+bnpUnits)})
		}
		widest = max(widest, l.in)
	}
	if p.layers == nil {
		return nil, fmt.Errorf("optim: there is no affine layer to precondition among %s\nhint: batch-normalisation preconditioning is for the weight matrices of networks", nameParams(env.Layout))
	}
	for range pool.Workers() {
		p.scratch = append(p.scratch, make([]T, bnpUnits))
	}
	p.run = p.runPart
	p.moments = newMomentSums[T](pool, widest)
	return p, nil
}

// nameParams lists the parameters of a layout with their kinds, the first five.
func nameParams(l *nn.Layout) string {
	var names []string
	for i := range min(5, l.Len()) {
		names = append(names, fmt.Sprintf("%s (%v)", l.At(i).Name, l.At(i).Kind))
	}
	if l.Len() > 5 {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// State returns the running statistics of each layer, and those of the batches since the last update.
func (p *BatchNorm[T]) State() State[T] {
	s := State[T]{{Name: "refused", Int: &p.refused}}
	first, second := "moment1", "moment2"
	if p.o.Paper {
		first, second = "mean", "variance"
	}
	for _, l := range p.layers {
		s = append(s, State[T]{
			{Name: first, Double: l.m1}, {Name: second, Double: l.m2},
			{Name: "updates", Int: &l.updates}, {Name: "rows", Int: &l.rows}, {Name: "positions", Int: &l.each},
			{Name: "window.sum", Double: l.window.s1}, {Name: "window.squares", Double: l.window.s2},
			{Name: "window.cells", Int: &l.window.cells}, {Name: "window.rows", Int: &l.window.rows},
			{Name: "window.positions", Int: &l.window.each},
		}.prefixed(l.name+".")...)
	}
	return s
}

// Freeze stops the statistics, or lets them go on: a sampler whose P must not depend on where it is freezes them
// after its burn-in.
func (p *BatchNorm[T]) Freeze(on bool) { p.frozen = on }

// BeginTaps forgets the taps of a batch that was not kept.
func (p *BatchNorm[T]) BeginTaps() {
	for _, l := range p.layers {
		l.batch.clear()
	}
}

// Tap takes up the inputs of one layer of the batch in progress.
func (p *BatchNorm[T]) Tap(t objective.Tap[T]) {
	l := p.of[t.Weight]
	if l == nil || p.frozen {
		return
	}
	x := t.X
	l.batch.rows += int64(x.Shape().Rows())
	l.batch.each = int64(t.RowsPer)
	if !t.Input.IsZero() && !p.o.Patch {
		x = t.Input
	}
	// With channel statistics the window's positions repeat the channels: column j has channel j mod c.
	c := x.Shape().Cols()
	p.moments.add(&l.batch, x)
	for at := c; at < l.in; at += c {
		copy(l.batch.s1[at:], l.batch.s1[:c])
		copy(l.batch.s2[at:], l.batch.s2[:c])
	}
}

// KeepTaps adds the batch in progress to those of the next update. A layer whose inputs were not finite numbers, or
// whose squares overflow, keeps what it has.
func (p *BatchNorm[T]) KeepTaps() {
	for _, l := range p.layers {
		if l.batch.cells == 0 {
			continue
		}
		if !simd.AllFinite(l.batch.s1) || !simd.AllFinite(l.batch.s2) {
			p.refused++
			continue
		}
		simd.Add(l.window.s1, l.window.s1, l.batch.s1)
		simd.Add(l.window.s2, l.window.s2, l.batch.s2)
		l.window.cells += l.batch.cells
		l.window.rows += l.batch.rows
		l.window.each = l.batch.each
	}
}

// Update moves the running statistics to the batches that were kept since the last update, and P with them.
func (p *BatchNorm[T]) Update() {
	for _, l := range p.layers {
		p.advance(l)
		if l.updates > 0 {
			p.refresh(l)
		}
	}
}

// advance moves the running statistics of one layer.
func (p *BatchNorm[T]) advance(l *bnpLayer[T]) {
	w := &l.window
	if w.cells == 0 {
		return
	}
	rho, n := p.o.Decay, float64(w.cells)
	for j := range l.m1 {
		mean, square := w.s1[j]/n, w.s2[j]/n
		if p.o.Paper {
			square = max(square-mean*mean, 0)
		}
		l.m1[j] = rho*l.m1[j] + (1-rho)*mean
		l.m2[j] = rho*l.m2[j] + (1-rho)*square
	}
	l.updates++
	l.rows, l.each = w.rows, w.each
	w.clear()
}

// refresh computes P of one layer from its statistics.
func (p *BatchNorm[T]) refresh(l *bnpLayer[T]) {
	c := 1.0
	if !p.o.Paper {
		c = 1 - math.Pow(p.o.Decay, float64(l.updates))
	}
	variance := func(j int) float64 {
		mu, square := l.m1[j]/c, l.m2[j]/c
		switch {
		case p.o.Paper && l.bias < 0:
			return square + mu*mu
		case p.o.Paper, l.bias < 0:
			return square
		}
		return max(square-mu*mu, 0)
	}
	largest := 0.0
	for j := range l.m1 {
		largest = max(largest, variance(j))
	}
	q2 := 1.0
	if p.o.Q {
		q2 = float64(l.each) * max(float64(l.in)/float64(l.rows), 1)
	}
	l.q = math.Sqrt(q2)
	centred := p.o.Centring && l.bias >= 0
	for j := range l.m1 {
		s2 := 1.0
		if p.o.Scaling {
			s2 = variance(j) + p.o.Eps1*largest + p.o.Eps2
		}
		l.inv[j], l.inv2[j] = T(1/math.Sqrt(q2*s2)), T(1/(q2*s2))
		l.mu[j] = 0
		if centred {
			l.mu[j] = T(l.m1[j] / c)
		}
	}
}

// bnpProduct is a product with P.
type bnpProduct uint8

const (
	bothSides bnpProduct = iota // P Pᵀ
	transposed
	plain
)

// MulP implements [Preconditioner].
func (p *BatchNorm[T]) MulP(v []T) { p.apply(v, plain) }

// MulPT implements [Preconditioner].
func (p *BatchNorm[T]) MulPT(v []T) { p.apply(v, transposed) }

func (p *BatchNorm[T]) apply(v []T, product bnpProduct) {
	p.v, p.product = v, product
	p.pool.Do(len(p.parts), p.run)
	p.v = nil
}

// runPart applies the product to some output units of one layer, input by input: the weights of input j to these
// units are one run of memory, and all of it is touched once.
func (p *BatchNorm[T]) runPart(worker, i int) {
	l, lo, hi := p.parts[i].l, p.parts[i].lo, p.parts[i].hi
	if l.updates == 0 {
		return
	}
	var b []T
	if l.bias >= 0 {
		b = p.v[l.bAt+lo : l.bAt+hi]
	}
	inv, g := l.inv, p.scratch[worker][:hi-lo]
	if p.product == bothSides {
		inv = l.inv2
	}
	if b != nil {
		copy(g, b)
		q := l.q
		if p.product == bothSides {
			q *= q
		}
		simd.Scale(b, b, T(1/q))
	}
	for j := range l.in {
		row := p.v[l.wAt+j*l.out+lo : l.wAt+j*l.out+hi]
		mu := l.mu[j]
		if b == nil || mu == 0 {
			simd.Scale(row, row, inv[j])
			continue
		}
		if p.product != plain {
			simd.Axpy(row, -mu, g)
		}
		simd.Scale(row, row, inv[j])
		if p.product != transposed {
			simd.Axpy(b, -mu, row)
		}
	}
}
