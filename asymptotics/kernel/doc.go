// Package kernel has the kernels of infinitely wide networks, those of finite ones, and what they predict.
//
// # In closed form
//
// A wide network starts as a Gaussian process and, lazily trained, moves by its tangent kernel. Both follow from the dual of its
// activation, a map of 2×2 covariances ([Activation]): a formula for the ReLU family, erf, sine and cosine, exp, polynomials, step and sign,
// a quadrature for the others ([Quadrature]). [MLP] composes duals over depth, [GCN] over depth and a graph. Elements
// are independent of one another, so a kernel of any number of points is computed row by row in the memory of its result.
//
//	m := kernel.MLP{Activation: kernel.Erf(), Depth: 2, WeightVar: 1, BiasVar: 0.1}
//	k, err := m.Kernel(pool, x, tensor.Tensor[float64]{})    // k.NNGP, k.NTK, [n, n]
//
// # Of a model
//
// [Empirical] is the tangent kernel J diag(rates) Jᵀ of a model of package nn at its present parameters. It never stores the Jacobian: a product with
// a vector is one pass in reverse and one in forward mode; the matrix of a network of dense layers comes from inner products of the layers' inputs
// and of their gradients, that of any other from blocks of rows. With the rate factors of package rates it is the kernel that
// training follows. [Drift] compares two of them: the laziness of a training.
//
// # What follows
//
// [SpectrumOf] decomposes a kernel, with a report of what rounding did to its sign; the spectrum gives the time to fit each
// mode, the effective dimension and the largest stable rate. [Regression] gives mean and covariance of the outputs at any time.
//
// # What it rests on
//
// For γ = 1/2 the kernel regression is a theorem (smooth activations, distinct points, time fixed and width to infinity); the recursion over depth is one
// with widths taken to infinity. The graph recursion is derived. ReLU, step and sign are outside the theorems' smoothness.
// Finite networks differ: in the kernel by order 1/√width, and by exp(c·depth/width) with depth (Hanin and Nica, 2020).
//
// All is float64. Shapes that do not fit panic with a tensor.ShapeError; data that is not finite is an error.
package kernel
