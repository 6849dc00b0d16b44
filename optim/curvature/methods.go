package curvature

import (
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Table returns the methods of this package.
func Table[T tensor.Float]() []optim.Spec[T] {
	table := append([]optim.Spec[T]{specKFAC[T](), specEKFAC[T]()}, lowRankSpecs[T]()...)
	table = append(table, relatives[T]()...)
	for i := range table {
		table[i] = checked(table[i])
		table[i].Settings = append(table[i].Settings, optim.CommonSettings()...)
	}
	return table
}

// settings are those of the preconditioner of a form and its step, with the learning rate, the damping and the KL clip that are a method's defaults.
func settings(form Form, lr, damping, clip float64) []optim.Setting {
	d := Defaults(form, nil, nil)
	return []optim.Setting{
		optim.RateSetting(lr),
		{Name: "momentum", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Schedulable: true, Doc: "μ, the part of the accumulated update that is kept"},
		{Name: "regime", Min: 0, Max: 3, Integer: true, Doc: "how far to go: 0 lr and momentum with a clip; 1 both from the exact quadratic model of the batch (lr, momentum and kl-clip then have no say); 2 lr from the model, momentum as given; 3 momentum from the model, lr as given; 1 to 3 are for batches of thousands"},
		{Name: "damping", Default: damping, Min: 0, OpenMin: true, Max: 1e9, Log: true, Schedulable: true, Doc: "λ, added to the curvature; scales with the loss; large λ gives the gradient divided by λ"},
		{Name: "kl-clip", Default: clip, Min: 0, Max: 1e9, Log: true, Doc: "κ, shrinks the update so that lr²⟨U, g⟩, twice the change that the quadratic model ascribes to the curvature, is at most that; while it is active lr drops out and √κ is the step; 0: off; the default gives way to another clip and to regimes 1 to 3"},
		{Name: "norm-clip", Min: 0, Max: 1e9, Log: true, Doc: "shrinks the update so that the step lr‖U‖ is at most that long; 0: off"},
		{Name: "layer-clip", Min: 0, Max: 1e9, Log: true, Doc: "shrinks each layer's update to at most this root mean square, before lr; 0: off"},
		optim.DecaySetting(0, "decoupled: the step is lengthened by lr·wd·p"),
		{Name: "statistics-every", Default: float64(d.StatisticsEvery), Min: 1, Max: 1e6, Integer: true, Doc: "T₁, updates from one batch of statistics to the next"},
		{Name: "inverse-every", Default: float64(d.InverseEvery), Min: 1, Max: 1e6, Integer: true, Doc: "T₂, updates from one inversion to the next; the first three and the end of the burn-in have their own"},
		{Name: "statistics-part", Default: d.Part.Fraction, Min: 0, OpenMin: true, Max: 1, Doc: "the statistics are those of this part of the batch, its first examples, and at least of 32; less costs less and is noisier"},
		{Name: "statistics-decay", Default: d.Decay, Min: 0, Max: 1, Doc: "ρ of the weight-tracked averages of the factors; 1: plain means"},
		{Name: "burn-in", Default: float64(d.BurnIn), Min: 0, Max: 1e6, Integer: true, Doc: "first updates, with statistics in each and equal weights"},
		{Name: "signal", Default: float64(d.Signal), Min: 0, Max: 3, Integer: true, Doc: "of the curvature: 0 propagated signs, 1 sampled targets, 2 exact (a backward pass an output), 3 empirical (the training targets)"},
		{Name: "reduce", Min: 0, Max: 1, Switch: true, Doc: "convolutions: statistics of the mean input and summed gradient over the positions, not of every position"},
		{Name: "exact-diagonal", Min: 0, Max: 1, Switch: true, Doc: "parameters without a block: mean squares of the examples' gradients, at statistics only, a gradient for each example; off: the number of examples times the squares of the batch's"},
		{Name: "precon-damping", Default: 1, Min: 0, OpenMin: true, Max: 1e12, Log: true, Doc: "multiplies λ in the preconditioner, not in the quadratic model"},
		{Name: "adaptive-damping", Min: 0, Max: 1, Switch: true, Doc: "moves λ by how well the quadratic model predicts the change of the loss (Levenberg–Marquardt); takes effect at the next inversion"},
		{Name: "damping-every", Default: 5, Min: 1, Max: 1e6, Integer: true, Doc: "updates from one adaptation of λ to the next"},
		{Name: "damping-decay", Default: 0.95, Min: 0, OpenMin: true, Max: 1, OpenMax: true, Doc: "ω, λ moves by at most this factor an update"},
		{Name: "min-damping", Default: leastDamping, Min: 0, OpenMin: true, Max: 1e9, Log: true, Doc: "least λ that an adaptation or calibration goes to"},
		{Name: "max-damping", Default: mostDamping, Min: 0, OpenMin: true, Max: 1e12, Log: true, Doc: "largest λ that an adaptation, calibration or rejection goes to"},
		{Name: "damping-in-model", Min: 0, Max: 1, Switch: true, Doc: "the change that the model predicts contains the damping term ½λ‖δ‖²"},
		{Name: "calibrate-damping", Min: 0, Max: 1, Switch: true, Doc: "finds the first λ by trying the first step again and again, and taking it back, until λ stops"},
		{Name: "rejection-factor", Min: 0, Max: 1e6, Doc: "takes back a step that raises the loss of its batch, and multiplies λ by that, more than 1; 0: off"},
		{Name: "largest-factor", Default: float64(d.Largest), Min: 1, Max: 1e6, Integer: true, Doc: "a layer with more inputs or outputs than that is held by a diagonal"},
	}
}

const averages = "A ← mean of x̄x̄ᵀ, G ← mean of ggᵀ over the inputs and output gradients of each affine layer (running means)\n"
const clipped = "ν = min(1, √(κ/(lr²·Σ⟨U, ∇W̄⟩)))\nb ← μ b + ν U\nW̄ ← W̄ − lr·(b + wd·W)"

func specKFAC[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "kfac", Title: "K-FAC",
		Formula: averages + "U = (A + π√λ I)⁻¹ ∇W̄ (G + √λ/π I)⁻¹,   π² = (tr A/n)/(tr G/m)\n" + clipped,
		Paper:   "Martens and Grosse, Optimizing neural networks with Kronecker-factored approximate curvature, ICML 2015, arXiv:1503.05671; convolutions: Grosse and Martens, ICML 2016, arXiv:1602.01407",
		When:    "Ill-conditioned networks of dense and convolutional layers (deep autoencoders above all), batches of some hundred examples, where steps are to be few.",
		WhenNot: "Very wide layers: memory and time grow with the squares and cubes of the widths. Batches of a few examples. The damping must be tuned; too small, with old statistics, it diverges unless kl-clip holds it.",
		Settings: append(settings(Factored, 0.1, 0.1, 1e-3),
			optim.Setting{Name: "exact-damping", Min: 0, Max: 1, Switch: true, Doc: "inverts A⊗G + λI itself, in the basis of eigenvectors: damps less at the same λ, and costs more"}),
		MemoryFloats: 5, GradientsPerStep: 1, Invariances: optim.Rest, Needs: optim.Taps, Cost: costKFAC,
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			form := Factored
			if s.On("exact-damping") {
				form = ExactDamping
			}
			return build[T](env, s, form)
		},
	}
}

func specEKFAC[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "ekfac", Title: "EKFAC",
		Formula: averages + "U_A, U_G: eigenvectors of A and G;   S ← mean of (U_Aᵀ ∇W̄ᵢ U_G)∘² over examples i (running mean)\n" +
			"U = U_A [(U_Aᵀ ∇W̄ U_G) ⊘ (S + λ)] U_Gᵀ\n" + clipped,
		Paper:   "George, Laurent, Bouthillier, Ballas and Vincent, Fast approximate natural gradient descent in a Kronecker-factored eigenbasis, NeurIPS 2018, arXiv:1806.03884",
		When:    "As kfac, where the Kronecker product is a poor model of the curvature's spectrum; its diagonal in the eigenbasis is the best possible.",
		WhenNot: "Convolutions with many positions: the moments cost a product for every example. Not better than kfac everywhere, at equal λ: it damps less.",
		Settings: append(settings(Eigenbasis, 0.1, 0.3, 3e-4),
			optim.Setting{Name: "per-example", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "second moments of each example's gradient; off: the number of examples times those of the batch's, cheaper and noisier"}),
		MemoryFloats: 6, GradientsPerStep: 1, Invariances: optim.Rest, Needs: optim.Taps, Cost: costEKFAC,
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) { return build[T](env, s, Eigenbasis) },
	}
}

// build makes a method of this package with the preconditioner of one form.
func build[T tensor.Float](env optim.Env, s optim.Settings, form Form) (optim.Method[T], error) {
	b := optim.NewBuilder[T](env, s)
	k, err := NewPreconditioner[T](env, options(b, s, form))
	if err != nil {
		return nil, err
	}
	return assemble(env, b, s, k)
}

// options reads the settings of [settings].
func options[T tensor.Float](b *optim.Builder[T], s optim.Settings, form Form) Options {
	o := Defaults(form, nil, b.Hyper("damping"))
	o.Step = stepOf(b, s)
	o.Decay, o.BurnIn = s["statistics-decay"], int(s["burn-in"])
	o.StatisticsEvery, o.InverseEvery = int(s["statistics-every"]), int(s["inverse-every"])
	o.Part = partOf(s["statistics-part"])
	o.Signal, o.Reduce, o.Largest = objective.Signal(s["signal"]), s.On("reduce"), int(s["largest-factor"])
	o.PerExample, o.ExactDiagonal, o.Multiplier = s.On("per-example"), s.On("exact-diagonal"), s["precon-damping"]
	return o
}

// stepOf reads how far to go. Settings that contradict each other were refused by [contradictions].
func stepOf[T tensor.Float](b *optim.Builder[T], s optim.Settings) Step {
	switch s["regime"] {
	case 1:
		return ModelStep{}
	case 2:
		return ModelRate{b.Hyper("momentum")}
	case 3:
		return ModelMomentum{b.Hyper("lr")}
	}
	f := FixedStep{Rate: b.Hyper("lr"), Momentum: b.Hyper("momentum")}
	switch {
	case s["norm-clip"] > 0:
		f.Clip = NormClip(s["norm-clip"])
	case s["layer-clip"] > 0:
		f.Clip = LayerClip(s["layer-clip"])
	case s["kl-clip"] > 0:
		f.Clip = KLClip(s["kl-clip"])
	}
	return f
}

// assemble makes the chain around a preconditioner: the links common to all methods, the preconditioner with its clip, then momentum, decoupled decay
// and learning rate, or the step from the quadratic model; the average; rejection; the adaptive damping.
func assemble[T tensor.Float](env optim.Env, b *optim.Builder[T], s optim.Settings, k *Preconditioner[T]) (optim.Method[T], error) {
	if s["accumulate"] > 1 {
		b.First(newWatch(k))
	}
	var m optim.Method[T]
	var err error
	if f, ok := k.o.Step.(FixedStep); ok {
		m, err = b.Method(k, optim.NewMomentum[T](env, f.Momentum, 0, false), b.Decay(), optim.NewDescend[T](f.Rate))
	} else {
		m, err = b.Method(k, NewQuadratic(env, k), optim.NewDescend[T](optim.Fixed("rate", 1)))
	}
	if err != nil {
		return nil, err
	}
	if x := s["rejection-factor"]; x > 0 {
		m = NewRejecting(env, m, k, x, s["max-damping"])
	}
	if s.On("adaptive-damping") || s.On("calibrate-damping") {
		a := Adaptation{Omega: s["damping-decay"], Least: s["min-damping"], Most: s["max-damping"], Include: s.On("damping-in-model"), Calibrate: s.On("calibrate-damping")}
		if s.On("adaptive-damping") {
			a.Every = int(s["damping-every"])
		}
		m = NewLevenbergMarquardt(env, m, k, a)
	}
	return m, nil
}
