// Package altmin trains multilayer perceptrons without back-propagation, by alternating minimisation: the network's equations
// become penalties or constraints on variables of their own, and each block of variables is minimised over while the others stay.
//
// # The splitting
//
// With inputs X [N, n₀], layers l = 1 … L and a_0 = X,
//
//	z_l = a_{l−1} W_l + b_l,    a_l = f(z_l),    loss R(z_L) = Σ over the N examples
//
// a_l and z_l are variables like W_l and b_l. No derivative of f is needed, f may be a step, and what is asked of W_l may be
// anything with a proximal map. The price: all examples at once, and four or five arrays of N×n_l numbers a layer.
//
// # The methods
//
// [PDADMM] puts a constraint on every boundary, with a copy of the activation on either side, so that all layers work at the
// same time and exchange two matrices; these may be confined to a [Grid] and are then sent in a few bits a number. [DLADMM] has one
// multiplier, on the last layer, and goes backward and forward through the layers. [MDLAM] has none: it confines a_l to a band about
// f(z_l), and every block may be extrapolated.
//
// Each has two engines: [Paper], one gradient step with backtracking for blocks that enter through a product, as published, and
// [Exact], which minimises over them by a Cholesky factorisation. The exact engine needs several times fewer iterations and hardly
// depends on the penalties; a ridge relative to the penalty keeps it from fitting the examples alone.
//
// # What is reported
//
// A small objective of the split problem is not a trained network: the equations may be violated. Loss is therefore
// always that of the true forward pass; the objective and the largest violations of the equations stand beside it.
//
// # Theory and practice
//
// The convergence theorems need penalties that are large beside the loss's curvature (see the methods' comments); the published
// accuracies are from far smaller ones. Both are allowed. Options.Theory insists on the former, and whether the objective ever
// rose is always counted. Limit points are critical points of the split problem, not of the network's loss.
//
// # Determinism
//
// The same bits for every number of workers, and for layers at the same time or one after another.
package altmin
