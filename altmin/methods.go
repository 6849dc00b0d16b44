package altmin

import (
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// Table returns the methods of this package.
func Table[T tensor.Float]() []optim.Spec[T] {
	return []optim.Spec[T]{specDLADMM[T](), specLAM[T](true), specLAM[T](false), specPDADMM[T](false), specPDADMM[T](true)}
}

// Settings that the methods have in common.
var (
	engineSetting = optim.Setting{Name: "paper", Min: 0, Max: 1, Switch: true, Doc: "the papers' gradient steps with backtracking, not the exact minimisers"}
	fistaSetting  = optim.Setting{Name: "fista", Min: 0, Max: 1, Switch: true, Doc: "the papers' inexact solver for the output, not Newton's method"}
	theorySetting = optim.Setting{Name: "theory", Min: 0, Max: 1, Switch: true, Doc: "refuse penalties outside of the convergence theorem"}
)

func penalty(name string, value float64, doc string) optim.Setting {
	return optim.Setting{Name: name, Default: value, Min: 0, OpenMin: true, Max: 1e9, Log: true, Doc: doc}
}

func ridge(value float64) optim.Setting {
	return optim.Setting{Name: "ridge", Default: value, Min: 0, Max: 1e9, Log: true, Doc: "μ, weight decay μ/2 ‖W‖²; with exact steps relative: times penalty and number of examples"}
}

func engineOf(s optim.Settings) Engine {
	if s.On("paper") {
		return Paper
	}
	return Exact
}

// costOf is the cost of an iteration in which every layer makes so many products with all N examples, and keeps so many N×m arrays.
func costOf(products, arrays float64) func(*nn.Layout, optim.Settings, int) optim.Cost {
	return func(l *nn.Layout, _ optim.Settings, examples int) optim.Cost {
		n, c := float64(examples), optim.Cost{}
		for i := range l.Len() {
			p := l.At(i)
			if p.Kind != nn.Weight || p.Shape.Rank() != 2 {
				continue
			}
			in, out := float64(p.Shape.Dim(0)), float64(p.Shape.Dim(1))
			c.Flops += products * 2 * n * in * out
			c.Numbers += arrays * n * out
		}
		return c
	}
}

func specDLADMM[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "dladmm", Title: "dlADMM",
		Formula: "min R(z_L) + ν/2 Σ (‖z_l − a_{l−1}W_l − b_l‖² + ‖a_l − f(z_l)‖²) + ⟨u, r⟩ + ρ/2 ‖r‖²,   r = z_L − a_{L−1}W_L − b_L\n" +
			"over one block after another, backward and then forward through the layers;   u ← u + ρ r",
		Paper:   "Wang, Yu, Chen and Zhao, ADMM for efficient deep learning with global convergence, KDD 2019, arXiv:1905.13611",
		When:    "Multilayer perceptrons of few layers on data that fit in memory, where derivatives are not wanted: hard thresholds, constraints on the weights. Fast in the first iterations.",
		WhenNot: "Mini-batches, convolutions, deep networks (accuracy falls with every layer). In the end a tuned first-order method is more accurate.",
		Settings: []optim.Setting{penalty("nu", 1e-4, "ν, on the equations of the hidden layers"), penalty("rho", 1e-4, "ρ, on the constraint of the last layer; above 1 the objective falls in every iteration"), ridge(0.01),
			{Name: "growth", Default: 1, Min: 1, Max: 1e3, Doc: "factor on ν and ρ when the loss rose three times in a row; the papers': 10"}, penalty("greatest", 0.1, "to which ρ grows"),
			engineSetting, fistaSetting, theorySetting},
		MemoryFloats: 1, GradientsPerStep: 0, Needs: optim.AllExamples, Cost: costOf(9, 4),
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			return NewDLADMM[T](env, DLOptions{Engine: engineOf(s), Nu: s["nu"], Rho: s["rho"], Mu: s["ridge"], FISTA: s.On("fista"), Growth: s["growth"], Greatest: s["greatest"], Theory: s.On("theory")})
		},
	}
}

func specLAM[T tensor.Float](safeguard bool) optim.Spec[T] {
	s := optim.Spec[T]{
		Name: "mdlam", Title: "mDLAM",
		Formula: "min R(z_L) + ρ/2 Σ ‖z_l − a_{l−1}W_l − b_l‖² + μ/2 Σ‖W_l‖²   s.t. |a_l − f(z_l)| ≤ ε\n" +
			"over one block after another, from V + ω(V − V_old);   a block that does not lower the objective is updated again from V;   ε ← max(ε/2, least)",
		Paper:   "Wang, Li and Zhao, Accelerated gradient-free neural network training by multi-convex alternating optimization, Neurocomputing 487, 2022, arXiv:1811.04187",
		When:    "As dladmm, with an objective that falls for every ρ; small sets with many features (graph-augmented networks), where the decay of the weights is what counts.",
		WhenNot: "Mini-batches, convolutions, deep networks; activations that are not monotone.",
		Settings: []optim.Setting{penalty("rho", 1e-3, "ρ, on the layers' linear equations"), ridge(0.05), penalty("epsilon", 100, "ε of the first iteration, how far activations may be from f(z)"),
			penalty("epsilon-least", 1e-3, "to which ε is halved in every iteration"), {Name: "momentum", Default: 1, Min: 0, Max: 1, Switch: true, Doc: "Nesterov's extrapolation of W and a"},
			{Name: "exact", Min: 0, Max: 1, Switch: true, Doc: "exact minimisers of the blocks, not the papers' steps with momentum; ridge is relative then"}, fistaSetting},
		MemoryFloats: 2, GradientsPerStep: 0, Needs: optim.AllExamples, Cost: costOf(9, 5),
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			engine := Paper
			if s.On("exact") {
				engine = Exact
			}
			return NewMDLAM[T](env, LAMOptions{Engine: engine, Rho: s["rho"], Mu: s["ridge"], FISTA: s.On("fista"), Epsilon: s["epsilon"], Floor: min(s["epsilon"], s["epsilon-least"]), Momentum: s.On("momentum"), Safeguard: safeguard})
		},
	}
	if !safeguard {
		s.Name, s.Title = "dlam", "DLAM"
		s.Formula = "min R(z_L) + ρ/2 Σ ‖z_l − a_{l−1}W_l − b_l‖² + μ/2 Σ‖W_l‖²   s.t. |a_l − f(z_l)| ≤ ε\nover one block after another, from V + ω(V − V_old);   ε ← max(ε/2, least)"
		s.When, s.WhenNot = "To compare with mdlam: it is that without the safeguard.", "Anything else: the objective may rise."
	}
	return s
}

func specPDADMM[T tensor.Float](quantized bool) optim.Spec[T] {
	s := optim.Spec[T]{
		Name: "pdadmm", Title: "pdADMM",
		Formula: "min R(z_L) + ν/2 Σ (‖z_l − p_l W_l − b_l‖² + ‖q_l − f(z_l)‖²)   s.t. p_{l+1} = q_l\n" +
			"all layers at the same time:  p, W, b, z, then q;   u_l ← u_l + ρ(p_{l+1} − q_l)",
		Paper:   "Wang, Chai, Cheng and Zhao, Toward model parallelism for deep neural network based on gradient-free ADMM framework, ICDM 2020, arXiv:2009.02868; on graphs: Wang, Li, Cheng and Zhao, TNNLS 2022, arXiv:2105.09837",
		When:    "As dladmm, with a layer on each machine or core: layers run at the same time and exchange two matrices.",
		WhenNot: "Mini-batches, convolutions. Slower than dladmm by the iteration; depth costs accuracy.",
		Settings: []optim.Setting{penalty("nu", 1e-4, "ν, on the layers' equations"), penalty("rho", 1e-4, "ρ, on p = q; above 4ν the objective falls in every iteration"), ridge(0.01),
			engineSetting, fistaSetting, theorySetting},
		MemoryFloats: 1, GradientsPerStep: 0, Needs: optim.AllExamples, Cost: costOf(6, 8),
	}
	if quantized {
		s.Name, s.Title = "pdadmm-q", "pdADMM-G-Q"
		s.Formula += "\np and q are confined to a grid of levels, and sent as their numbers"
		s.When = "As pdadmm, where the link between the machines is slow: at 256 levels a number is a byte."
		s.Settings = append(s.Settings,
			optim.Setting{Name: "p-levels", Default: 256, Min: 0, Max: 1 << 20, Integer: true, Doc: "levels of p; 0: any number"},
			optim.Setting{Name: "q-levels", Default: 256, Min: 0, Max: 1 << 20, Integer: true, Doc: "levels of q; 0: any number"},
			optim.Setting{Name: "low", Default: -1, Min: -1e6, Max: 1e6, Doc: "the least level"},
			optim.Setting{Name: "high", Default: 2, Min: -1e6, Max: 1e6, Doc: "the greatest level"})
		s.WhenNot += " Activations beyond the greatest level are cut off."
	}
	s.New = func(env optim.Env, v optim.Settings) (optim.Method[T], error) {
		o := PDOptions{Engine: engineOf(v), Nu: v["nu"], Rho: v["rho"], Mu: v["ridge"], FISTA: v.On("fista"), Theory: v.On("theory")}
		for _, g := range []struct {
			grid   *Grid
			levels string
		}{{&o.P, "p-levels"}, {&o.Q, "q-levels"}} {
			if n := int(v[g.levels]); n != 0 {
				var err error
				if *g.grid, err = UniformGrid(v["low"], v["high"], n); err != nil {
					return nil, err
				}
			}
		}
		return NewPDADMM[T](env, o)
	}
	return s
}
