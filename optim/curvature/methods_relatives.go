package curvature

import (
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Defaults of these methods come from few trials (one to four settings of each) with one seed, judged by the loss of a tenth of the
// training part of the digits, of MNIST and of the pooled autoencoder images that was held out; test parts were not looked at.

func specIKFAC[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "ikfac", Title: "Inverse-free K-FAC",
		Formula: "K, C: square roots, KKᵀ ≈ (A + λI)⁻¹, CCᵀ ≈ (G + λI)⁻¹\n" +
			"m = ½ (KᵀAK + λKᵀK − I),   K ← K (I − β m)         likewise C with G\n" +
			"U = KKᵀ ∇W̄ CCᵀ\n" + clipped,
		Paper:        "Lin, Dangel et al., Structured inverse-free natural gradient descent, ICML 2024, arXiv:2312.05705",
		When:         "As kfac, where inverses are too expensive or the numbers too short for them: products alone.",
		WhenNot:      "Where the curvature changes fast: the roots follow with a delay of 1/β statistics. Where kfac is affordable it needs no β.",
		Settings:     singdSettings(false),
		MemoryFloats: 3, GradientsPerStep: 1, Invariances: optim.Rest, Needs: optim.Taps, Cost: costSINGD(false),
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) { return buildSINGD[T](env, s, false) },
	}
}

func specSINGD[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "singd", Title: "SINGD",
		Formula: "K, C: square roots of the inverses of the factors, dense or structured\n" +
			"m_K ← α m_K + ½ ( tr(CᵀGC)/m·KᵀAK + λ tr(CᵀC)/m·KᵀK − I ),   K ← K (I − β m_K)\n" +
			"m_C ← α m_C + ½ ( tr(KᵀAK)/n·CᵀGC + λ tr(KᵀK)/n·CᵀC − I ),   C ← C (I − β m_C)\n" +
			"U = KKᵀ ∇W̄ CCᵀ\n" + clipped,
		Paper:        "Lin, Dangel et al., Structured inverse-free natural gradient descent, ICML 2024, arXiv:2312.05705; dense: Lin et al., ICML 2023 (INGD)",
		When:         "As ikfac; the traces share the scale out between the factors. With structure 1 (diagonal) or 2 (blocks) for layers too wide for kfac.",
		WhenNot:      "As ikfac. A structure that leaves out what couples the inputs is little better than Adam.",
		Settings:     singdSettings(true),
		MemoryFloats: 5, GradientsPerStep: 1, Invariances: optim.Rest, Needs: optim.Taps, Cost: costSINGD(true),
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) { return buildSINGD[T](env, s, true) },
	}
}

func momentumSetting() optim.Setting {
	return optim.Setting{Name: "momentum", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Schedulable: true, Doc: "μ, the part of the accumulated update that is kept"}
}

func dampingSetting(lambda float64, doc string) optim.Setting {
	return optim.Setting{Name: "damping", Default: lambda, Min: 0, OpenMin: true, Max: 1e9, Log: true, Schedulable: true, Doc: doc}
}

func clipSetting(kappa float64) optim.Setting {
	return optim.Setting{Name: "kl-clip", Default: kappa, Min: 0, Max: 1e9, Log: true, Doc: "κ, shrinks the update so that lr²⟨U, g⟩ is at most that; while it is active lr drops out and √κ is the step; 0: off"}
}

func signalSetting() optim.Setting {
	return optim.Setting{Name: "signal", Default: float64(objective.Propagated), Min: 0, Max: 3, Integer: true, Doc: "of the curvature: 0 propagated signs, 1 sampled targets, 2 exact (a backward pass an output), 3 empirical (the training targets)"}
}

func reduceSetting() optim.Setting {
	return optim.Setting{Name: "reduce", Min: 0, Max: 1, Switch: true, Doc: "convolutions: statistics of the mean input and summed gradient over the positions, not of every position"}
}

func singdSettings(adaptive bool) []optim.Setting {
	lr, lambda, clip := 0.1, 0.3, 1e-3
	if adaptive {
		lambda = 0.1
	}
	s := []optim.Setting{
		optim.RateSetting(lr),
		momentumSetting(),
		dampingSetting(lambda, "λ, added to each factor"),
		clipSetting(clip),
		optim.DecaySetting(0, "decoupled: the step is lengthened by lr·wd·p"),
		{Name: "structure", Default: float64(DenseRoots), Min: 0, Max: 3, Integer: true, Doc: "of the roots: 0 dense, 1 diagonal, 2 block-diagonal, 3 lower-triangular Toeplitz"},
		{Name: "block", Default: 32, Min: 1, Max: 1e6, Integer: true, Doc: "order of the blocks of structure 2"},
		{Name: "beta", Default: 0.1, Min: 0, OpenMin: true, Max: 0.5, Log: true, Doc: "β, step of the roots; they follow the curvature within 1/β statistics"},
		{Name: "statistics-every", Default: 10, Min: 1, Max: 1e6, Integer: true, Doc: "T, updates from one step of the roots to the next"},
		{Name: "burn-in", Default: 10, Min: 0, Max: 1e6, Integer: true, Doc: "first updates, with a step of the roots in each"},
		signalSetting(),
		reduceSetting(),
		{Name: "largest-factor", Default: 4096, Min: 1, Max: 1e6, Integer: true, Doc: "a root of a larger order is diagonal, whatever the structure"},
	}
	if adaptive {
		s = append(s, optim.Setting{Name: "alpha", Default: 0.5, Min: 0, Max: 1, OpenMax: true, Doc: "α, momentum of the roots"})
	}
	return s
}

func buildSINGD[T tensor.Float](env optim.Env, s optim.Settings, adaptive bool) (optim.Method[T], error) {
	b := optim.NewBuilder[T](env, s)
	rate := b.Hyper("lr") // one for the clip and the step
	l, err := NewSINGD[T](env, SINGDOptions{Structure: Structure(s["structure"]), Block: int(s["block"]), Adaptive: adaptive,
		Signal: objective.Signal(s["signal"]), Damping: b.Hyper("damping"), Rate: rate, Clip: s["kl-clip"], Alpha: s["alpha"], Beta: s["beta"],
		Every: int(s["statistics-every"]), WarmUp: int(s["burn-in"]), Reduce: s.On("reduce"), Largest: int(s["largest-factor"]),
		Key: tensor.KeyOf(0).Named("curvature")})
	if err != nil {
		return nil, err
	}
	return b.Method(l, optim.NewMomentum[T](env, b.Hyper("momentum"), 0, false), b.Decay(), optim.NewDescend[T](rate))
}

// costSINGD counts products with the roots, a backward pass for the statistics and the steps of the roots.
func costSINGD(adaptive bool) func(*nn.Layout, optim.Settings, int) optim.Cost {
	return func(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
		every, rows := s["statistics-every"], float64(batch)
		c := optim.Cost{Flops: 4 * float64(l.Size()), Numbers: float64(l.Size())}
		for _, b := range Register(l, int(^uint(0)>>1)) {
			if b.Kind == Diagonal {
				continue
			}
			n, m := float64(b.In), float64(b.Out)
			c.Flops += 4 * rows * n * m / every // forward, and backward to the inputs
			for i, size := range []float64{n, m} {
				other := m + n - size
				width := size // numbers of a row of the root
				switch {
				case size > s["largest-factor"] || Structure(s["structure"]) == DiagonalRoots:
					width = 1
				case Structure(s["structure"]) == BlockDiagonalRoots:
					width = min(size, s["block"])
				}
				kept := size * width
				if Structure(s["structure"]) == ToeplitzRoots && i >= 0 {
					kept = size
				}
				c.Flops += 4*size*width*other + (4*rows*size*width+4*size*width*width)/every
				if adaptive && s["alpha"] > 0 {
					kept *= 2
				}
				c.Numbers += kept
			}
		}
		return c
	}
}

func specKLDWRM[T tensor.Float](name string) optim.Spec[T] {
	s := optim.Spec[T]{
		Name: name, Title: "SO-KLD-WRM",
		Formula: "F̄: K-FAC's A⊗G with factored damping\n" +
			"r = g + w,    U = F̄⁻¹ r\nν = min(1, √(κ/(lr²·⟨U, r⟩)))\np ← p − lr·ν U\nw ← ρ ( w − ν r )            for ν = 1: r = g_t − ρ g_{t−1}",
		Paper:        "Puiu, Rethinking exponential averaging of the Fisher, ECML-PKDD 2022, arXiv:2204.04718",
		When:         "Large batches, as kfac: a step is held back by the models of all earlier steps, not by the last one alone.",
		WhenNot:      "Small batches: the difference of successive gradients has (1+ρ²) times their noise, and 1−ρ of what they share. It has no momentum.",
		MemoryFloats: 6, GradientsPerStep: 1, Needs: optim.Taps, Cost: costKLDWRM,
	}
	lr, rho := 0.3, 0.5
	omega := []optim.Setting(nil)
	if name == "q-kld-wrm" {
		s.Title = "Q-KLD-WRM"
		s.Formula = "F̄: K-FAC's A⊗G with factored damping;   B = ωF̄, the curvature of the present batch; λ: weight of the wake\n" +
			"r = g + w,    U = F̄⁻¹ r\nν = min(1, √(κ/(lr²·⟨U, r⟩)))\np ← p − lr·ν U                lr = 1/(ω+λ)\nw ← ρ ( w − ν r/(1+ω/λ) )"
		s.When = "As kld-wrm, with less of the difference: omega leads from kld-wrm (0) to kfac without momentum (infinity)."
		omega = []optim.Setting{{Name: "omega", Default: 1, Min: 0, Max: 1e6, Log: true, Doc: "ω/λ, curvature of the present batch in multiples of the wake's weight"}}
	}
	d := Defaults(Factored, nil, nil)
	s.Settings = append([]optim.Setting{
		optim.RateSetting(lr),
		{Name: "wake", Default: rho, Min: 0, Max: 1, OpenMax: true, Schedulable: true, Doc: "ρ, decay of the wake; 0: the natural gradient"},
		dampingSetting(0.1, "damping of F̄, wherever it acts; scales with the loss"),
		clipSetting(1e-2),
		optim.DecaySetting(0, "coupled: λp is added to the gradient"),
		{Name: "statistics-every", Default: float64(d.StatisticsEvery), Min: 1, Max: 1e6, Integer: true, Doc: "T₁, updates from one batch of statistics to the next"},
		{Name: "inverse-every", Default: float64(d.InverseEvery), Min: 1, Max: 1e6, Integer: true, Doc: "T₂, updates from one inversion to the next; the first three and the end of the burn-in have their own"},
		{Name: "statistics-decay", Default: d.Decay, Min: 0, Max: 1, Doc: "decay of the averages of the factors; 1: plain means"},
		{Name: "burn-in", Default: float64(d.BurnIn), Min: 0, Max: 1e6, Integer: true, Doc: "first updates, with statistics in each and equal weights"},
		signalSetting(),
		reduceSetting(),
		{Name: "largest-factor", Default: float64(d.Largest), Min: 1, Max: 1e6, Integer: true, Doc: "a layer with more inputs or outputs than that is held by a diagonal"},
	}, omega...)
	s.New = func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
		b := optim.NewBuilder[T](env, s)
		rate := b.Hyper("lr")                            // one for the wake and the step
		o := Defaults(Factored, nil, b.Hyper("damping")) // with statistics of the whole batch
		o.Step = FixedStep{Rate: rate}                   // the wake has the clip
		o.Decay, o.BurnIn = s["statistics-decay"], int(s["burn-in"])
		o.StatisticsEvery, o.InverseEvery = int(s["statistics-every"]), int(s["inverse-every"])
		o.Signal, o.Reduce, o.Largest = objective.Signal(s["signal"]), s.On("reduce"), int(s["largest-factor"])
		k, err := NewPreconditioner[T](env, o)
		if err != nil {
			return nil, err
		}
		if s["accumulate"] > 1 {
			b.First(newWatch(k))
		}
		w := NewWake[T](env, rate, b.Hyper("wake"), s["omega"], s["kl-clip"])
		return b.Method(b.Decay(), w, k, w.Back(), optim.NewDescend[T](rate))
	}
	return s
}

// costKLDWRM is that of K-FAC with inverses, and two passes for the wake.
func costKLDWRM(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
	size := float64(l.Size())
	c := optim.Cost{Flops: 8 * size, Numbers: size}
	for _, b := range Register(l, int(s["largest-factor"])) {
		p := float64(l.At(b.Weight).Shape.Size())
		if b.Kind == Diagonal {
			c.Flops += 6 * p
			c.Numbers += p
			continue
		}
		n, m, rows := float64(b.In), float64(b.Out), float64(batch)
		c.Flops += 2*n*m*(n+m) + (4*rows*n*m+2*rows*(n*n+m*m))/s["statistics-every"] + 7./3*(n*n*n+m*m*m)/s["inverse-every"]
		c.Numbers += 2 * (n*n + m*m)
	}
	return c
}

func specSENG[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "seng", Title: "SENG",
		Formula: "u_i = vec(x̄_i g_iᵀ), gradients of N examples;   U = [u_1 … u_N]/√N of each affine layer, renewed every T updates\n" +
			"UᵀU = (X̄X̄ᵀ) ∘ (GGᵀ)/N\n" +
			"d = (1/λ) ( ∇W̄ − U (λI + UᵀU)⁻¹ Uᵀ∇W̄ ) = (λI + UUᵀ)⁻¹ ∇W̄\n" +
			"ν = min(1, √(κ/(lr²·Σ⟨d, ∇W̄⟩)))\nb ← μ b + ν d\nW̄ ← W̄ − lr·(b + wd·W)",
		Paper:   "Yang, Xu, Wen, Chen and Xu, Sketchy empirical natural gradient methods for deep learning, J. Sci. Comput. 2022, arXiv:2006.05924",
		When:    "Wide layers and batches of some hundred: the cost is linear in the widths, and no Kronecker product is assumed.",
		WhenNot: "Once the model fits its training data the empirical Fisher matrix vanishes and this is momentum with rate lr/λ. Convolutions with many weights: memory for each example's gradient.",
		Settings: []optim.Setting{
			optim.RateSetting(0.1),
			momentumSetting(),
			dampingSetting(0.3, "λ; a direction without curvature has the rate lr/λ, whatever else"),
			clipSetting(1e-3),
			optim.DecaySetting(0, "decoupled: the step is lengthened by lr·wd·p"),
			{Name: "samples", Default: 256, Min: 1, Max: 1e5, Integer: true, Doc: "S, examples of U; of a larger batch the first"},
			{Name: "refresh-every", Default: 10, Min: 1, Max: 1e6, Integer: true, Doc: "T, updates from one U to the next"},
			{Name: "sketch", Default: 0, Min: 0, Max: 1e6, Integer: true, Doc: "columns of X̄ and of G that a Gram matrix is estimated from, in layers with more; 0: all"},
			reduceSetting(),
			{Name: "largest-kernel", Default: 65536, Min: 1, Max: 1e9, Integer: true, Doc: "a convolution with more weights has reduce, to save memory"},
		},
		MemoryFloats: 4, GradientsPerStep: 1, Invariances: optim.Rest, Needs: optim.Taps, Cost: costSENG,
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			b := optim.NewBuilder[T](env, s)
			rate := b.Hyper("lr") // one for the clip and the step
			l, err := NewSENG[T](env, SENGOptions{Damping: b.Hyper("damping"), Rate: rate, Clip: s["kl-clip"], Samples: int(s["samples"]), Every: int(s["refresh-every"]),
				Sketch: int(s["sketch"]), Reduce: s.On("reduce"), Largest: int(s["largest-kernel"]), Key: tensor.KeyOf(0).Named("seng")})
			if err != nil {
				return nil, err
			}
			return b.Method(l, optim.NewMomentum[T](env, b.Hyper("momentum"), 0, false), b.Decay(), optim.NewDescend[T](rate))
		},
	}
}

// costSENG counts the Gram matrices with their factors and the two products with U. A double counts as two numbers.
func costSENG(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
	kept := s["samples"]
	used := min(kept, float64(batch))
	c := optim.Cost{Flops: 4 * float64(l.Size()), Numbers: float64(l.Size())}
	convolution := map[int]bool{}
	for _, k := range kernels(l) {
		convolution[k.offset] = true
	}
	for _, b := range Register(l, int(^uint(0)>>1)) {
		if b.Kind == Diagonal {
			continue
		}
		n, m := float64(b.In), float64(b.Out)
		width := n + m // numbers of an example
		if convolution[l.At(b.Weight).Offset] && !s.On("reduce") && n*m <= s["largest-kernel"] {
			width = n * m
		}
		c.Flops += 4*used*n*m + (used*used*width+used*used*used)/s["refresh-every"]
		c.Numbers += kept*width + 2*kept*kept
	}
	return c
}

func specAdaHessian[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "adahessian", Title: "AdaHessian",
		Formula: "D = |z∘(H z)|, z = ±1;   convolutions: the mean over the positions of the kernel\n" +
			"m ← β₁ m + (1−β₁) g,   v ← β₂ v + (1−β₂) D²\n" +
			"p ← (1 − lr·wd) p − lr · m/(1−β₁ᵗ) / ( (v/(1−β₂ᵗ))^{k/2} + ε )",
		Paper:   "Yao, Gholami, Shen, Mustafa, Keutzer and Mahoney, ADAHESSIAN: an adaptive second order optimizer for machine learning, AAAI 2021, arXiv:2006.00719",
		When:    "Where Adam's second moment is a poor scale and products with the Hessian are affordable: small networks, smooth activations.",
		WhenNot: "A step costs about three gradients. Flat outputs (saturated or dead units) have a diagonal near zero, and long steps.",
		Settings: []optim.Setting{
			optim.RateSetting(0.01),
			{Name: "beta1", Default: 0.9, Min: 0, Max: 1, OpenMax: true, Doc: "β₁, decay of the mean of the gradients"},
			{Name: "beta2", Default: 0.999, Min: 0, Max: 1, OpenMax: true, Doc: "β₂, decay of the mean of D²"},
			optim.EpsilonSetting(1e-2),
			{Name: "power", Default: 1, Min: 0, Max: 2, Doc: "k, the Hessian power: 1 divides by the curvature, 0 not at all"},
			{Name: "hessian-every", Default: 1, Min: 1, Max: 1e6, Integer: true, Doc: "updates from one estimate of the diagonal to the next"},
			{Name: "spatial", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "averages D over the positions of a convolution's kernel"},
			optim.DecaySetting(0, "decoupled: a step multiplies the weights by 1 − lr·λ"),
		},
		MemoryFloats: 4, GradientsPerStep: 1, Needs: optim.Products,
		Invariances: optim.Rest,
		Cost: func(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
			n := float64(l.Size())
			return optim.Cost{Flops: 12*n + 12*n*float64(batch)/s["hessian-every"], Numbers: 4 * n}
		},
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			b := optim.NewBuilder[T](env, s)
			l := NewAdaHessian[T](env, AdaHessianOptions{Beta1: s["beta1"], Beta2: s["beta2"], Eps: s["eps"], Power: s["power"],
				Every: int(s["hessian-every"]), Spatial: s.On("spatial")})
			return b.Method(l, b.Decay(), b.Descend())
		},
	}
}

func specSophia[T tensor.Float](hutchinson bool) optim.Spec[T] {
	s := optim.Spec[T]{
		Name: "sophia-g", Title: "Sophia-G",
		Formula: "every k updates:  h ← β₂ h + (1−β₂) B·ĝ∘ĝ,   ĝ: gradient for targets drawn from the model, B examples\n" +
			"m ← β₁ m + (1−β₁) g\np ← (1 − lr·λ) p − lr·clip( m/max(ρ h, ε), ±1 )",
		Paper:        "Liu, Li, Hall, Liang and Ma, Sophia: a scalable stochastic second-order optimizer for language model pre-training, ICLR 2024, arXiv:2305.14342",
		When:         "In the place of AdamW: bounded steps, a curvature estimate every tenth step. Tune rho until the win rate in the log is between 0.1 and 0.5.",
		WhenNot:      "Losses of another scale than the logarithm of a likelihood, without tuning rho: h scales with the square of the loss, m with the loss. Independent comparisons did not confirm the paper's factor of two.",
		MemoryFloats: 3, GradientsPerStep: 1, Invariances: optim.Permutation | optim.Rest,
	}
	rho, products := 0.1, 4.
	if hutchinson {
		rho = 0.01
		s.Name, s.Title = "sophia-h", "Sophia-H"
		s.Formula = "every k updates:  h ← β₂ h + (1−β₂) z∘(H z),   z = ±1\n" +
			"m ← β₁ m + (1−β₁) g\np ← (1 − lr·λ) p − lr·clip( m/max(ρ h, ε), ±1 )"
		s.When = "As sophia-g, for functions without a predictive distribution."
		s.WhenNot = "Where the Hessian's diagonal is negative or zero it takes the sign of m. A product with the Hessian every tenth step."
		s.MemoryFloats, s.Needs, s.Invariances, products = 4, optim.Products, optim.Rest, 12
	}
	s.Settings = []optim.Setting{
		optim.RateSetting(0.001),
		{Name: "beta1", Default: 0.965, Min: 0, Max: 1, OpenMax: true, Doc: "β₁, decay of the mean of the gradients"},
		{Name: "beta2", Default: 0.99, Min: 0, Max: 1, OpenMax: true, Doc: "β₂, decay of the mean of the curvature"},
		{Name: "rho", Default: rho, Min: 0, OpenMin: true, Max: 1e6, Log: true, Schedulable: true, Doc: "ρ, multiplies the curvature: larger cuts fewer elements and takes shorter steps"},
		{Name: "eps", Default: 1e-15, Min: 1e-30, Max: 1, Log: true, Doc: "ε, what the denominator is at least"},
		{Name: "curvature-every", Default: 10, Min: 1, Max: 1e6, Integer: true, Doc: "k, updates from one estimate of the curvature to the next"},
		optim.DecaySetting(0.1, "decoupled: a step multiplies the weights by 1 − lr·λ"),
	}
	memory := s.MemoryFloats
	s.Cost = func(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
		n := float64(l.Size())
		return optim.Cost{Flops: 10*n + products*n*float64(batch)/s["curvature-every"], Numbers: memory * n}
	}
	s.New = func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
		b := optim.NewBuilder[T](env, s)
		l := NewSophia[T](env, SophiaOptions{Beta1: s["beta1"], Beta2: s["beta2"], Rho: b.Hyper("rho"), Eps: s["eps"],
			Every: int(s["curvature-every"]), Hutchinson: hutchinson})
		return b.Method(l, l.WinRate(), b.Decay(), b.Descend())
	}
	return s
}

// relatives are the methods of this file.
func relatives[T tensor.Float]() []optim.Spec[T] {
	return []optim.Spec[T]{specIKFAC[T](), specSINGD[T](), specKLDWRM[T]("kld-wrm"), specKLDWRM[T]("q-kld-wrm"), specSENG[T](),
		specAdaHessian[T](), specSophia[T](false), specSophia[T](true)}
}
