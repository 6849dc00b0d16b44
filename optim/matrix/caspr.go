package matrix

import (
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// CASPR is [Shampoo] with the sum of the two sides' preconditioners in place of their product:
//
//	P = ¼ (L^(−1/2) M̂ + 2 L^(−1/4) M̂ R^(−1/4) + M̂ R^(−1/2)),      L and R with Shampoo's ridge
//
// As (L^(−1/4)⊗I + I⊗R^(−1/4))²/4 it needs no other roots: with H = L^(−1/4) M̂ + M̂ R^(−1/4),
//
//	P = ¼ (L^(−1/4) H + H R^(−1/4)).
//
// In the Loewner order it lies between Shampoo and AdaGrad with the full matrix.
//
// Paper: Duvvuri et al., "Combining axes preconditioners through Kronecker approximation for deep learning", ICLR 2024.
// Deviations: grafting, start-up, blocks and the relative ridge are those of [Shampoo].
//
// Cost: one pair of products more than Shampoo's, 5 in·out (in + out) flops a step; the roots and the memory are the same.
// Invariances: as Shampoo; without accumulation and grafting P tends to U Vᵀ.
// Failure: as Shampoo. A direction in which one side's factor is tiny is lifted by its inverse square root alone, so that
// it depends more on the ridge than Shampoo.

// casprDirection replaces m by P; x and y are the inverse fourth roots, h is scratch of m's shape.
func casprDirection[T tensor.Float](ws *tensor.Workspace[T], m, h, x, y tensor.Tensor[T]) {
	tensor.MatMul(ws, h, x, m, false, false)
	tensor.MatMulAcc(ws, h, m, y, false, false)
	tensor.MatMul(ws, m, x, h, false, false)
	tensor.MatMulAcc(ws, m, h, y, false, false)
	tensor.Scale(ws, m, m, 0.25)
}

func specCASPR[T tensor.Float]() optim.Spec[T] {
	return optim.Spec[T]{
		Name: "caspr", Title: "CASPR",
		Formula: "matrices:  L ← β₂ L + (1−β₂) G Gᵀ,   R ← β₂ R + (1−β₂) Gᵀ G      (β₂ = 1: sums; + ε of the mean eigenvalue)\n" +
			"           M ← β₁ M + (1−β₁) G,   M̂ = M/(1−β₁ᵗ)\n" +
			"           P = ¼ (L^(−1/2) M̂ + 2 L^(−1/4) M̂ R^(−1/4) + M̂ R^(−1/2))\n" +
			"           W ← (1 − lr·λ) W − lr·‖N‖/‖P‖·P      (N: M̂ or Adam's step, by blocks; graft = 0: no factor)\nothers:    AdamW (graft = 1: momentum)",
		Paper:        "Duvvuri et al., Combining axes preconditioners through Kronecker approximation for deep learning, ICLR 2024",
		When:         "As shampoo, where the curvature of rows and columns adds up rather than multiplies.",
		WhenNot:      "As shampoo, which is the first of the two to try.",
		Settings:     append([]optim.Setting{optim.RateSetting(0.003)}, shampooSettings(1e-4)...),
		MemoryFloats: 6, GradientsPerStep: 1, Invariances: optim.Rest, Cost: costShampoo(5),
		New: func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
			k := optim.NewBuilder[T](env, s)
			o := shampooOptions(s)
			o.Sum = true
			return k.Method(NewShampoo[T](env, o), k.Decay(), k.Descend())
		},
	}
}
