// Package rates says how the learning rate and the initial scale of every tensor of a network depend on its width.
//
// # Four rules
//
// A network of affine layers Y_l = N_{l-1}^{-γ_{l-1}} · H_{l-1} W_l + b_l is described by its [Net]: the widths and
// nothing else. A [Parametrization] is one of
//
//	standard     one rate for all, initial scale of the model's own initialiser
//	ntk          multiplier 1/√fan-in, unit initial scale, rate one (Jacot, Gabriel and Hongler, 2018)
//	mup          maximal update (Yang and Hu, Tensor Programs IV, 2021; V, 2022)
//	gamma:g,…    1/N_l^{γ_l}: the rates of Yu and Spiliopoulos, Normalization effects on deep neural networks,
//	             2023 (arXiv 2209.01018), and for other depths the rule below
//
// each of which may be taken relative to a base width, "mup@64": at that width it is the standard
// parametrization, and from there on its powers of the width ratio apply. That is how a rate tuned on a small
// model is carried to a wide one.
//
// # The γ-rule for any depth
//
// One sentence gives all published exponents: (rate of layer l) × (what the layer adds to the tangent kernel) = 1/N_L.
// With unit features, layer l of L hidden ones adds
//
//	N_{l-1}^{1-2γ_{l-1}} · N_l · D_l²,     D_L = N_L^{-γ_L},   D_l = N_l^{-γ_l} · S_{l+1} · D_{l+1}
//
// where D_l is the size of the gradient that comes back to a unit of layer l and S_{l+1} that of the sum over the units of the
// layer above. Bounding that sum by its coherent size, S = N, gives the table of the paper, for L = 1, 2, 3 exactly,
// and for other depths
//
//	output   N_L^{-(2-2γ_L)}
//	W_L      N_{L-1}^{-(1-2γ_{L-1})} N_L^{-(2-2γ_L)}
//	W_l      N_{l-1}^{-(1-2γ_{l-1})} N_l^{-(1-2γ_l)} · Π_{k=l+1}^{L-1} N_k^{-(2-2γ_k)} · N_L^{-(3-2γ_L)}
//	W_1      N_1^{-(1-2γ_1)} · Π_{k=2}^{L-1} N_k^{-(2-2γ_k)} · N_L^{-(3-2γ_L)}
//
// A bias of layer l has the rate of W_l without its factor of N_{l-1}; the bias of the output has N_L^{-1}.
//
// Under zero-mean weights and γ = 1/2 the sums are incoherent, S = √N, and the paper's rates of the early layers are
// too small by Π N_k: their training freezes as the net widens. [Correction] chooses: Coherent is the paper, Incoherent takes S = √N,
// Auto takes the larger of √N and what the trained part of the weights adds up to,
// S_k = max(√N_k, N_k · |ΔW_k|), with |ΔW_k| the move of one weight in a unit of time. Auto gives the paper's rates where
// they are right (all γ = 1) and muP's where they are not (inner γ = 1/2). The clock of the γ-rule is N_L steps to a unit of time.
//
// # No multiplier is needed
//
// With a multiplier a, w = a W is what the network sees. A step of stochastic gradient descent with rate c on W moves w by
// a²c times the gradient of w; Adam's step on W does not see the factor of the gradient, and moves w by a·c. So
//
//	initial sd of w = a · (sd of W),     rate of w = a²c  (SGD and momentum),     a·c  (Adam and its kin)
//
// and the model runs without multipliers, on scaled initial values and one rate factor a tensor ([Table.Plan]). For Adam this
// is exact up to its ε, which acts as ε/a. A penalty or coupled decay of w is one of W with λ/a². Decoupled decay does not take the
// factor: a step shrinks every weight by rate·λ at each width.
//
// # Labels and limits
//
// The published γ-rates and muP are theorems for smooth activations in their infinite-width limits; the general depth, the biases, Auto and
// the transfer of convolutions (whose width is the number of channels; kernel positions are constants) are derived. Models with
// normalisation layers or shortcuts have no rule here but the standard one, and adaptive methods none for γ:
// the γ-rule is for methods linear in the gradient; for Adam's kin [Parametrization.Table] uses muP's argument (a unit
// change of every pre-activation in N_L steps) and says so.
//
// Errors are values with a line beginning "hint:"; nothing panics on data.
package rates
