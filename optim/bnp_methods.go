package optim

import "github.com/descent-ml/descent/tensor"

// bnpSettings are those of the preconditioner.
func bnpSettings() []Setting {
	d := DefaultBatchNorm()
	return []Setting{
		{Name: "statistics-decay", Default: d.Decay, Min: 0, Max: 1, OpenMax: true, Doc: "ρ, decay of the running means and variances of the layers' inputs"},
		{Name: "eps1", Default: d.Eps1, Min: 0, Max: 1, Log: true, Doc: "ε₁, added to each variance in multiples of the layer's largest: bounds how much more a quiet input is amplified than an active one"},
		{Name: "eps2", Default: d.Eps2, Min: 0, Max: 1, OpenMin: true, Log: true, Doc: "ε₂, added to each variance"},
		{Name: "paper-statistics", Min: 0, Max: 1, Switch: true, Doc: "the paper's running variance of the batches, from mean 0 and variance 1, instead of raw moments; bad for batches below about 8"},
		{Name: "centring", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "the part of P that removes the mean; off is an ablation"},
		{Name: "scaling", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "the part of P that removes the variance; off is an ablation"},
		{Name: "q", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "divides by q² = max(inputs/examples of the batch, positions of a convolution), so that one learning rate serves all batch sizes and widths"},
		{Name: "patch-statistics", Min: 0, Max: 1, Switch: true, Doc: "convolutions: a mean and variance for each entry of the patch instead of each channel"},
	}
}

const bnpFormula = "μ, σ²: running mean and variance of the inputs of each affine layer;  σ̃² = σ² + ε₁ max σ² + ε₂;  q² = max(inputs/examples, positions)\n" +
	"g_W ← (g_W − μ g_bᵀ)/(q² σ̃²)\ng_b ← g_b/q² − g_Wᵀμ      (together P Pᵀ g)\n"

const bnpPaper = "Lange, Helfrich and Ye, Batch normalization preconditioning for neural network training, JMLR 23, 2022, arXiv:2108.01110 (raw moments, ε and ρ are not from the paper)"

// preconditioner makes the preconditioner of the settings; nil with the builder's error set if it cannot.
func (k *builder[T]) preconditioner() *BatchNorm[T] {
	s := k.s
	p, err := NewBatchNorm[T](k.env, BatchNormOptions{
		Decay: s["statistics-decay"], Eps1: s["eps1"], Eps2: s["eps2"], Paper: s.On("paper-statistics"),
		Centring: s.On("centring"), Scaling: s.On("scaling"), Q: s.On("q"), Patch: s.On("patch-statistics"),
	})
	if k.err == nil {
		k.err = err
	}
	return p
}

// preconditioned puts inner links behind P Pᵀ, or between Pᵀ and P; decoupled decay follows.
func (k *builder[T]) preconditioned(twoSided bool, inner ...Link[T]) (Method[T], error) {
	p := k.preconditioner()
	if k.err != nil {
		return nil, k.err
	}
	side := Both
	if twoSided {
		side = IntoZ
	}
	links := append([]Link[T]{NewPrecondition(p, side)}, inner...)
	if twoSided {
		links = append(links, NewPrecondition(p, OutOfZ))
	}
	return k.method(append(links, k.decay(), k.descend())...)
}

func bnpDecay() Setting {
	return weightDecay(0, "decoupled: the step is lengthened by lr·λp, which leaves the preconditioned direction alone")
}

func specBNP[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "bnp", Title: "Batch-normalisation preconditioning",
		Formula:      bnpFormula + "p ← p − lr·(g + λ p)",
		Paper:        bnpPaper,
		When:         "Instead of batch normalisation, with the network as it is: small batches down to one example, online training, layers whose inputs are far from mean 0 and variance 1.",
		WhenNot:      "Models without affine layers. Networks with batch normalisation behind every layer gain little.",
		Settings:     append([]Setting{rate(0.1), bnpDecay()}, bnpSettings()...),
		MemoryFloats: 0, GradientsPerStep: 1, Invariances: Rest, Needs: Taps, Cost: costBNP[T](2, 0),
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.preconditioned(false)
		},
	}
}

func specBNPMomentum[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "bnp-momentum", Title: "Batch-normalisation preconditioning with momentum",
		Formula: bnpFormula + "b ← μ b + g\np ← p − lr·(b + λ p)",
		Paper:   bnpPaper,
		When:    "As bnp, with batches large enough for momentum to pay.",
		WhenNot: "Batches of a few examples: plain bnp is as good there. lr must be lower than bnp's by 1 − μ.",
		Settings: append([]Setting{rate(0.02), bnpDecay(),
			{Name: "momentum", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Schedulable: true, Doc: "μ, the part of the accumulated update that is kept"}},
			bnpSettings()...),
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: Rest, Needs: Taps, Cost: costBNP[T](4, 1),
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.preconditioned(false, NewMomentum[T](env, k.hyper("momentum"), 0, false))
		},
	}
}

// twoSided is the setting for inner methods that are not linear in the gradient.
func twoSided(standard float64) Setting {
	return Setting{Name: "two-sided", Default: standard, Min: 0, Max: 1, Switch: true,
		Doc: "runs the inner method in the variables z, on Pᵀg, and multiplies what it gives by P; off: runs it on P Pᵀg"}
}

func specBNPFR[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "bnp-fr", Title: "Batch-normalisation preconditioning with Fletcher–Reeves momentum",
		Formula: bnpFormula + "h = Pᵀg,  β = min(cap, ‖h‖²/‖h₋₁‖²),  b ← h + β b,  p ← p − lr·(P b + λ p)      (two-sided)\n" +
			"g = P Pᵀg,  β = min(cap, ‖g‖²/‖g₋₁‖²),  b ← g + β b,  p ← p − lr·(b + λ p)      (else)",
		Paper:   bnpPaper + "; the momentum: Wang and Ye, arXiv:2012.02188",
		When:    "As bnp-momentum, without a momentum coefficient to tune. Two-sided it is the preconditioned conjugate-gradient method.",
		WhenNot: "As fr-momentum: very noisy gradients.",
		Settings: append(append([]Setting{rate(0.02), bnpDecay(), twoSided(1)}, conjugateSettings()...),
			bnpSettings()...),
		MemoryFloats: 1, GradientsPerStep: 1, Invariances: Rest, Needs: Taps, Cost: costBNP[T](6, 1),
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.preconditioned(s.On("two-sided"), k.conjugate(false))
		},
	}
}

func specBNPAdam[T tensor.Float]() Spec[T] {
	return Spec[T]{
		Name: "bnp-adam", Title: "Batch-normalisation preconditioning with Adam",
		Formula: bnpFormula + "p ← p − lr·(P Adam(Pᵀg) + λ p)      (two-sided: Adam in the variables z)\np ← p − lr·(Adam(P Pᵀg) + λ p)      (else)",
		Paper:   bnpPaper + "; the order with Adam is not known from the paper",
		When:    "Where Adam is used now: two-sided, Adam's diagonal meets inputs that are centred already, which a diagonal cannot do.",
		WhenNot: "Where bnp or bnp-momentum do: they need no second moments.",
		Settings: append(append([]Setting{rate(0.001), bnpDecay(), twoSided(1)}, betas(0.9, 0.999, 1e-8)...),
			bnpSettings()...),
		MemoryFloats: 2, GradientsPerStep: 1, Invariances: Rest, Needs: Taps, Cost: costBNP[T](12, 2),
		New: func(env Env, s Settings) (Method[T], error) {
			k := newBuilder[T](env, s)
			return k.preconditioned(s.On("two-sided"), NewScaleByAdam[T](env, s["beta1"], s["beta2"], s["eps"], false))
		},
	}
}
