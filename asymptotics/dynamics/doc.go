// Package dynamics has the limits of training where data comes in time order: a wide recurrent network on an ergodic series, and
// stochastic gradient descent in continuous time.
//
// # The recurrent network
//
// [RNN] describes the network of Lam, Sirignano and Spiliopoulos (arXiv 2308.14555), with weights that are independent over the units,
//
//	S^i_k = σ(W^i·x_k + u_{k-1}),   u_k = (1/N) Σ_j B^j S^j_k,   ŷ_k = N^{-β} Σ_i C^i S^i_k,     β in [1/2, 1)
//
// trained online by one-step truncated gradients with rate α N^{-(2-2β)}. As N grows, the memory becomes a function of the data alone: the
// past enters by the number u. [RNN.Stationary] samples the stationary law of (x_k, y_k, u_{k-1}), [Stationary.Limit] is the kernel
// equation under it, [RNN.Simulate] trains finite networks. [Stationary.Check] warns where memory is none: with an odd σ, symmetric W and B
// independent of W, u is zero and the limit forgets everything. [RNN.Truncation] compares the gradient
// with the whole past (real-time recurrent learning, RTRL) to that of truncated back-propagation through τ steps.
//
// # Stochastic gradient descent in continuous time
//
// [SGDCT] is the central limit theorem of Sirignano and Spiliopoulos (arXiv 1710.04273): √t(θ_t - θ*) → N(0, V), with V of a Lyapunov equation, the best
// constant of the step size and the condition under which it holds; [SimulateOU] is the check by simulation.
//
// # Labels
//
// The kernel limit for this class of recurrent networks and the central limit theorem are theorems of these papers; the reduction to a kernel on
// (x, u) and the covariance equation are derived and were confirmed by simulation. The truncation study is empirical.
//
// The units of a simulation are numbers a step; random numbers come from keys, so that results do not depend on the number of workers. What is
// wrong with the settings is an error with a line beginning "hint:".
package dynamics
