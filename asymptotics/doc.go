// Package asymptotics predicts the training of wide networks before they are trained, and puts error bars on it.
//
// It is about the shallow network g(x) = N^(-γ) Σᵢ cᵢ σ(wᵢ·x), γ from ½ to 1, trained online by stochastic gradient descent
// on the loss ½(y - g)² at the rate α N^(-(2-2γ)). The packages below it have the kernels of deep networks, the rates of
// every tensor, recurrent networks and coordinate checks.
//
// # One object for all scalings
//
// With s = N^(1-γ) the network follows, for large N, the law μ_t of a neuron that moves by
//
//	θ' = (α/s) ∫ (y - g_t) ∇φ_x(θ) dπ,      g_t(x) = s <φ_x, μ_t>,      φ_x(θ) = c σ(w·x),
//
// in the time t = steps/N. s = 1 (γ = 1) is the mean-field limit; s → ∞ (γ < 1, N → ∞) is the kernel limit, a linear
// equation; the powers of 1/s between them are the published expansions. [Flow] solves it for any s, [KernelLimit] the linear
// equation, [FirstCorrection] the first term between, and [CompareLimits] says which is good enough. Around the mean there
// are Gaussian fluctuations with
//
//	Cov g = (1/N) [ s² Cov_{μ₀}(ψ₀, ψ'₀) + (1/B) ∫ α² Cov_m(e b, e b') dt ]:
//
// the part of the initial neurons, and the part of the sampled data. [Flow.Adjoint] computes both by solving backwards once
// for each test point. [Predict] puts mean, covariance and bands together.
//
// # What to use
//
//	Predict         output, loss and bands of a width without training
//	SmallestWidth   the width for a tolerance;  CheapestFor, SplitBudget: width against batch;  BatchLaw: largest useful batch
//	StabilityAt     largest stable rates
//	Simulate        trained networks, many at a time, to compare with
//	SolveTail       probability of a rare output, and the scenario that makes it;  Tail.Estimate: by importance sampling
//	NewLab          all checks as rows of verdicts
//	Findings        assumptions that do not hold, in plain words, with what still holds
//
// # Conventions
//
// Everything is float64. Inputs are rows of a tensor [M, d]; where [Problem].Bias is set a constant input 1 is appended and its
// weight is the last. The rate α is that of the γ-rule: the step of a parameter is α N^(-(2-γ)) (y - g) ∇φ. Covariances in a
// [Prediction] are of the network of that width; those in an [Adjoint] are the limits of N Cov. Bands are for the randomness of
// training, given the law of the data: they say nothing of generalisation.
//
// # Labels
//
// Every result has a [Label]. Theorem: proved under smooth bounded σ, squared loss, independent draws with replacement, bounded
// zero-mean c (Sirignano and Spiliopoulos 2020a, 2020b for γ = 1; Spiliopoulos and Yu 2021 for γ < 1). Derived: a calculation
// that simulation confirmed; the checks in docs/limits-checks.md say how well. Empirical: measured, without a formula.
//
// # Sampling
//
// The theorems draw examples with replacement. Data that come in reshuffled epochs, as most loaders give them, have almost no
// data part: the sum over an epoch is fixed. [Sampling] chooses the formula; for reshuffled epochs the prediction has the
// initialisation part and a correction in 1/E, E = N·B/M the epochs in a unit of time, derived to leading order: at E = 12
// simulated variances are 0.93 of it, below E ≈ 5 a finding warns that there is no formula.
//
// # Randomness, workers, cost
//
// Random numbers are streams keyed by seed, replicate and purpose. Work is cut by nodes and replicates in blocks of fixed size,
// sums have an order fixed by the problem: results have the same bits for every number of workers. Many quadrature nodes are
// cheap, since they are scrambled Sobol points: 2048 give the reference problem's output to 1e-4. Predict with 2048 nodes, 300
// steps and four test points takes about 0.2 s on one core; a backward solution costs P·M·(d + 10) operations a stage and test
// point.
//
// # What fails
//
// What depends on data is an [Error] with what was found, what was expected and a hint; a tail that does not settle is a
// [NotConvergedError]. A test input with another number of columns than the data is a programming mistake: a panic with
// tensor.ShapeError. Assumptions that do not hold are no errors but [Finding] values; nothing is extrapolated silently.
//
// # References
//
// Sirignano and Spiliopoulos, SIAM J. Appl. Math. 80(2), 2020 (law of large numbers); Stoch. Proc. Appl. 130(3), 2020 (central
// limit theorem); arXiv 1907.04108 (γ = ½). Spiliopoulos and Yu, Found. Data Sci. 3(2), 2021 (½ < γ < 1). Descours, Guillin, Michel and
// Nectoux, arXiv 2207.12734 (mini-batches). Hirsch and Willhalm, arXiv 2403.09310 (large deviations). Joe and Kuo, SIAM J. Sci. Comput. 30, 2008
// (Sobol points).
package asymptotics
