package curvature

import (
	"math"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// lowRankSpecs are the methods with [Truncated] factors.
func lowRankSpecs[T tensor.Float]() []optim.Spec[T] {
	const applied = "(M̃ + δI)⁻¹x = x/(δ+t) + U[(1/(d+δ) − 1/(δ+t)) ∘ Uᵀx],   t = d_r: the eigenvalues that are not kept\n" +
		"U = (Ã + δ_A I)⁻¹ ∇W̄ (G̃ + δ_G I)⁻¹,   δ_A δ_G = λ, δ_A/δ_G = (tr A/n)/(tr G/m)\n" + clipped
	const brand = "every T₁, for wide dense layers, X the rows of the batch:  (U, d) ← r leading eigenpairs of ρ'·U diag(d) Uᵀ + c·XᵀX  (Brand's update)\n"
	const randomized = "Puiu, Randomized K-FACs: speeding up K-FAC with randomized numerical linear algebra, arXiv:2206.15397; Halko, Martinsson and Tropp, Finding structure with randomness, SIAM Review 2011, arXiv:0909.4061"
	const online = "Puiu, Brand New K-FACs: speeding up K-FAC with online decomposition updates, arXiv:2210.08494; Brand, Fast low-rank modifications of the thin singular value decomposition, 2006"
	const narrow = "Narrow layers, below some hundred units: nothing is saved there. "
	const dense = 4.15 // floats a parameter of a square layer: two factors, momentum, temporaries; the eigenvectors by the rank
	spec := func(name, title string, o LowRank, memory float64, formula, paper, when, whenNot string) optim.Spec[T] {
		return optim.Spec[T]{
			Name: name, Title: title, Formula: formula + applied, Paper: paper, When: when, WhenNot: whenNot,
			Settings:     append(settings(Truncated, 0.1, 0.1, 1e-3), lowRankSettings(o)...),
			MemoryFloats: memory, GradientsPerStep: 1, Invariances: optim.Rest, Needs: optim.Taps, Cost: costLowRank(o),
			New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
				b := optim.NewBuilder[T](env, s)
				opt := options(b, s, Truncated)
				opt.LowRank = lowRankOf(o, s)
				k, err := NewPreconditioner[T](env, opt)
				if err != nil {
					return nil, err
				}
				return assemble(env, b, s, k)
			},
		}
	}
	with := func(s Sketch, on Online) LowRank {
		o := DefaultLowRank()
		o.Sketch, o.Online = s, on
		return o
	}
	return []optim.Spec[T]{
		spec("rs-kfac", "RS-KFAC", with(SketchSVD, Offline), dense,
			averages+"every T₂, for M = A and G:  Y ← MΩ, q times Y ← M qr(Y), Q ← qr(Y);  QᵀM = WΣVᵀ;  (U, d) ← r leading columns of V, and Σ\n",
			randomized,
			"As kfac, for layers of some hundred units and more: inversion costs n²r in place of n³, and the step 4nm(r+r) flops in place of 2nm(n+m).",
			narrow+"A curvature whose spectrum does not decay within r."),
		spec("sre-kfac", "SRE-KFAC", with(SketchEigen, Offline), dense,
			averages+"every T₂, for M = A and G:  Y ← MΩ, q times Y ← M qr(Y), Q ← qr(Y);  QᵀMQ = VDVᵀ;  (U, d) ← r leading columns of QV, and D\n",
			randomized,
			"As rs-kfac, where the inversion is to be cheaper still, at the price of slightly less accurate eigenvectors.",
			narrow+"A curvature whose spectrum does not decay within r."),
		spec("b-kfac", "B-KFAC", with(SketchSVD, Brand), 2.15,
			brand+"other layers as rs-kfac\n", online,
			"Very wide dense layers (thousands of units) with batches much smaller than the width: time and memory grow linearly with the width.",
			narrow+"Batches as large as r or half the width: the update costs more than it saves. What is cut off is lost; b-r-kfac and b-kfac-c repair that."),
		spec("b-r-kfac", "B-R-KFAC", with(SketchSVD, BrandRefresh), dense,
			brand+"every refresh-every·T₂ (U, d) from the dense mean, as rs-kfac;  other layers as rs-kfac\n", online,
			"As b-kfac, where its truncation shows and memory for the dense factors is there.",
			narrow+"Batches as large as r or half the width."),
		spec("b-kfac-c", "B-KFAC-C", with(SketchSVD, BrandCorrect), dense,
			brand+"every refresh-every·T₁, J a random part of the columns:  U_Jᵀ M U_J = WΛWᵀ;  U_J ← U_J W, d_J ← Λ, M the dense mean;  other layers as rs-kfac\n", online,
			"As b-r-kfac, with a correction that costs a fraction of the refresh.",
			narrow+"Batches as large as r or half the width. It corrects eigenvalues in the span that is kept and finds no new directions."),
	}
}

// lowRankSettings are those of the low-rank forms.
func lowRankSettings(o LowRank) []optim.Setting {
	s := []optim.Setting{
		{Name: "rank", Default: float64(o.Rank), Min: 1, Max: 1e5, Integer: true, Doc: "r, eigenvectors kept of a factor; a side too narrow for rank + oversampling of them is inverted exactly"},
		{Name: "oversampling", Default: float64(o.Oversampling), Max: 1e4, Integer: true, Doc: "l, columns of the sketch beyond r"},
		{Name: "power", Default: float64(o.Power), Max: 20, Integer: true, Doc: "q, power iterations of the sketch: more accurate for a product with the factor each"},
		{Name: "tail", Default: float64(o.Tail), Max: 2, Integer: true, Doc: "what the eigenvalues that are not kept count as: 0 zero; 1 the least that is kept (spectrum continuation), which never lengthens steps; 2 their mean, by the trace"},
		{Name: "relative-damping", Max: 1, Switch: true, Doc: "each factor is damped by λ times its own largest eigenvalue, as in the author's code; off: λ is split between the factors by their traces"},
		{Name: "adaptive-rank", Default: o.Target, Max: 1, OpenMax: true, Doc: "moves each factor's r so that d_r/d_1 comes near that, 0.033 in the paper's code; 0: r is fixed"},
		{Name: "most-rank", Default: float64(o.MostRank), Min: 1, Max: 1e5, Integer: true, Doc: "the largest r of an adaptive rank"},
	}
	if o.Online == Offline {
		return s
	}
	s = append(s,
		optim.Setting{Name: "columns", Default: float64(o.Columns), Min: 1, Max: 1e5, Integer: true, Doc: "b, rows of a batch that Brand's update takes up, a uniform sample of more; a side narrower than r + b is held as in rs-kfac"},
		optim.Setting{Name: "late-truncation", Max: 1, Switch: true, Doc: "keeps Brand's b new directions until the next update, which uses them, and costs as if r were r + b; off: cuts to r at once"})
	switch o.Online {
	case BrandRefresh:
		s = append(s, optim.Setting{Name: "refresh-every", Default: float64(o.RefreshEvery), Min: 1, Max: 1e6, Integer: true, Doc: "inversions from one computation of the eigenvectors from the dense mean to the next"})
	case BrandCorrect:
		s = append(s, optim.Setting{Name: "correct-every", Default: float64(o.RefreshEvery), Min: 1, Max: 1e6, Integer: true, Doc: "statistics from one correction to the next"},
			optim.Setting{Name: "correct-fraction", Default: o.Fraction, OpenMin: true, Max: 1, Doc: "of the columns that a correction chooses"})
	}
	return s
}

// lowRankOf reads the settings of [lowRankSettings].
func lowRankOf(o LowRank, s optim.Settings) LowRank {
	o.Rank, o.Oversampling, o.Power = int(s["rank"]), int(s["oversampling"]), int(s["power"])
	o.Tail, o.Relative = Tail(s["tail"]), s.On("relative-damping")
	o.Target, o.MostRank = s["adaptive-rank"], int(s["most-rank"])
	if o.Online == Offline {
		return o
	}
	o.Columns, o.Late = int(s["columns"]), s.On("late-truncation")
	switch o.Online {
	case BrandRefresh:
		o.RefreshEvery = int(s["refresh-every"])
	case BrandCorrect:
		o.RefreshEvery, o.Fraction = int(s["correct-every"]), s["correct-fraction"]
	}
	return o
}

// costLowRank counts, for each side of each layer, statistics, inversion and application in the form that the side has; for an
// adaptive rank, as if r stayed at its start. Curvature passes count as two thirds of a gradient: 4·N flops a weight.
func costLowRank(o LowRank) func(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
	return func(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
		o := lowRankOf(o, s)
		size, every, inverses := float64(l.Size()), s["statistics-every"], s["inverse-every"]
		rows := float64(partOf(s["statistics-part"]).Of(batch))
		c := optim.Cost{Flops: 8*size + 4*rows*size/every, Numbers: size}
		for _, b := range Register(l, int(s["largest-factor"])) {
			if b.Kind == Diagonal {
				c.Numbers += float64(l.At(b.Weight).Shape.Size())
				continue
			}
			for _, side := range [2][2]int{{b.In, b.Out}, {b.Out, b.In}} {
				n, m, r := float64(side[0]), float64(side[1]), float64(o.Rank)
				k, cols := r+float64(o.Oversampling), math.Min(rows, float64(o.Columns))
				narrow := o.Rank+o.Oversampling >= side[0]
				online := !narrow && o.Online != Offline && !b.Positions && o.Rank+o.Columns < side[0]
				if !online || o.Online != Brand {
					c.Numbers += n * n
					c.Flops += rows * n * n / every
				}
				switch {
				case narrow:
					c.Numbers += n * n
					c.Flops += 7./3*n*n*n/inverses + 2*n*n*m
					continue
				case online:
					c.Numbers += n*r + float64(o.Columns)*n
					c.Flops += (8*n*r*cols + 4*n*cols*cols + 2*n*(r+cols)*r + eigenFlops*math.Pow(r+cols, 3)) / every
				default:
					c.Numbers += n * r
					c.Flops += (2*n*n*k + 4*n*k*k) * float64(o.Power+2) / inverses
				}
				switch {
				case online && o.Online == BrandRefresh:
					c.Flops += (2*n*n*k + 4*n*k*k) * float64(o.Power+2) / (inverses * float64(o.RefreshEvery))
				case online && o.Online == BrandCorrect:
					c.Flops += 2 * n * n * o.Fraction * r / (every * float64(o.RefreshEvery))
				}
				c.Flops += 4 * n * m * r
			}
		}
		return c
	}
}

// eigenFlops are those of an eigendecomposition with vectors, in cubes of the order.
const eigenFlops = 14. / 3
