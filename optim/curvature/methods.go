package curvature

import (
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Table returns the methods of this package.
func Table[T tensor.Float]() []optim.Spec[T] {
	table := []optim.Spec[T]{specKFAC[T](), specEKFAC[T]()}
	for i := range table {
		table[i].Settings = append(table[i].Settings, optim.CommonSettings()...)
	}
	return table
}

// settings are those of the preconditioner, with the learning rate and the damping that are a method's defaults.
func settings(lr, damping, clip float64) []optim.Setting {
	d := Defaults(Factored, nil, nil)
	return []optim.Setting{
		optim.RateSetting(lr),
		{Name: "momentum", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Schedulable: true, Doc: "μ, the part of the accumulated update that is kept"},
		{Name: "damping", Default: damping, Min: 0, OpenMin: true, Max: 1e9, Log: true, Schedulable: true, Doc: "λ, added to the curvature; scales with the loss; large λ gives the gradient divided by λ"},
		{Name: "kl-clip", Default: clip, Min: 0, Max: 1e9, Log: true, Doc: "κ, shrinks the update so that lr²⟨U, g⟩, twice the change that the quadratic model ascribes to the curvature, is at most that; while it is active lr drops out and √κ is the step; 0: off"},
		optim.DecaySetting(0, "decoupled: the step is lengthened by lr·wd·p"),
		{Name: "statistics-every", Default: float64(d.StatisticsEvery), Min: 1, Max: 1e6, Integer: true, Doc: "T₁, updates from one batch of statistics to the next"},
		{Name: "inverse-every", Default: float64(d.InverseEvery), Min: 1, Max: 1e6, Integer: true, Doc: "T₂, updates from one inversion to the next; the first three and the end of the burn-in have their own"},
		{Name: "statistics-decay", Default: d.Decay, Min: 0, Max: 1, Doc: "ρ of the weight-tracked averages of the factors; 1: plain means"},
		{Name: "burn-in", Default: float64(d.BurnIn), Min: 0, Max: 1e6, Integer: true, Doc: "first updates, with statistics in each and equal weights"},
		{Name: "signal", Default: float64(d.Signal), Min: 0, Max: 3, Integer: true, Doc: "of the curvature: 0 propagated signs, 1 sampled targets, 2 exact (a backward pass an output), 3 empirical (the training targets)"},
		{Name: "reduce", Min: 0, Max: 1, Switch: true, Doc: "convolutions: statistics of the mean input and summed gradient over the positions, not of every position"},
		{Name: "adaptive-damping", Min: 0, Max: 1, Switch: true, Doc: "moves λ by how well the quadratic model predicts the change of the loss (Levenberg–Marquardt); takes effect at the next inversion"},
		{Name: "damping-every", Default: 5, Min: 1, Max: 1e6, Integer: true, Doc: "updates from one adaptation of λ to the next"},
		{Name: "damping-decay", Default: 0.95, Min: 0, OpenMin: true, Max: 1, OpenMax: true, Doc: "ω, λ moves by at most this factor an update"},
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
		Settings: append(settings(0.1, 0.1, 1e-3),
			optim.Setting{Name: "exact-damping", Min: 0, Max: 1, Switch: true, Doc: "inverts A⊗G + λI itself, in the basis of eigenvectors: damps less at the same λ, and costs more"}),
		MemoryFloats: 5, GradientsPerStep: 1, Invariances: optim.Rest, Needs: optim.Taps,
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
		Settings: append(settings(0.1, 0.3, 3e-4),
			optim.Setting{Name: "per-example", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "second moments of each example's gradient; off: the number of examples times those of the batch's, cheaper and noisier"}),
		MemoryFloats: 6, GradientsPerStep: 1, Invariances: optim.Rest, Needs: optim.Taps,
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) { return build[T](env, s, Eigenbasis) },
	}
}

// build makes the chain: the links common to all methods, the preconditioner with its clip, momentum, decoupled decay,
// learning rate, average.
func build[T tensor.Float](env optim.Env, s optim.Settings, form Form) (optim.Method[T], error) {
	b := optim.NewBuilder[T](env, s)
	rate := b.Hyper("lr") // one for the clip and the step
	o := Defaults(form, rate, b.Hyper("damping"))
	o.Clip, o.Decay, o.BurnIn = s["kl-clip"], s["statistics-decay"], int(s["burn-in"])
	o.StatisticsEvery, o.InverseEvery = int(s["statistics-every"]), int(s["inverse-every"])
	o.Signal, o.Reduce, o.Largest = objective.Signal(s["signal"]), s.On("reduce"), int(s["largest-factor"])
	o.PerExample = s.On("per-example")
	k, err := NewPreconditioner[T](env, o)
	if err != nil {
		return nil, err
	}
	m, err := b.Method(k, optim.NewMomentum[T](env, b.Hyper("momentum"), 0, false), b.Decay(), optim.NewDescend[T](rate))
	if err != nil || !s.On("adaptive-damping") {
		return m, err
	}
	return NewLevenbergMarquardt(env, m, k, int(s["damping-every"]), s["damping-decay"]), nil
}
