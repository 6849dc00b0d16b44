// Package curvature has the training methods that precondition the gradient with a Kronecker-factored
// approximation of the curvature, and the instruments they are made of.
//
// # The approximation
//
// For an affine layer Y = X W + b write X̄ = [X, 1] and W̄ = [W; bᵀ], n×m. Its block of the generalised Gauss–Newton
// matrix is approximated by A⊗G,
//
//	A = E[x̄ x̄ᵀ]  [n, n],    G = E[g gᵀ]  [m, m],    g = ∂ℓ/∂y of one example,
//
// so that the inverse costs n³ + m³ and not (nm)³: (A⊗G)⁻¹ applied to ∇W̄ is A⁻¹ ∇W̄ G⁻¹. Blocks between layers are left
// out. [Register] says which parameter is held by which block, and why; what belongs to no affine layer has a diagonal.
//
// # Where g comes from
//
// Four signals, see [objective.Signal]: propagated (the default), sampled, exact, empirical. The taps of package
// objective are gradients of the batch's mean, so G = N Σ DYᵀDY: this is the only place where N enters.
//
// # Layers with several rows an example
//
// Convolutions, with a row a position. Expand, the default: A is the mean over all rows, G = E[Σ_positions g gᵀ], exact
// where the loss is a sum over positions. Reduce: statistics of the mean of the inputs and the sum of the gradients over the
// positions, exact where the positions are averaged before the loss, and cheaper.
//
// # How far to go
//
// [Step] is a fixed rate and momentum with a [Clip], for small batches, or rate and momentum (or one of them) from the exact quadratic model
// of the batch, [Quadratic]. [LevenbergMarquardt] adapts and calibrates the damping, [Rejecting] takes back steps that raise the
// loss. Settings that contradict each other are errors before the first step.
//
// # What fails
//
// A model without an affine layer is an error of the constructor, a function without taps one of the first step that
// wraps [objective.ErrUnsupported]. A function with taps that is not an [objective.Fisher] gives the empirical signal.
// Statistics that are not finite are left out and factorisations that fail leave the last one in place; both are
// counted in the report. A preconditioned gradient that is not finite skips the step.
//
// Grouped convolutions have no tap and are held by a diagonal. Embedding tables too: no layer of package nn looks rows up, so that
// there is no tap with the frequencies which a diagonal A would be made of.
package curvature
