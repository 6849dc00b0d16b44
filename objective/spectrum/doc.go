// Package spectrum measures the eigenvalues of the curvature of an objective without forming a matrix: largest, smallest,
// trace, condition number, of the Hessian H and of the generalised Gauss–Newton matrix C, as they are and as a
// preconditioner leaves them.
//
//	op := spectrum.GaussNewton(net, theta)
//	plain, err := spectrum.Measure(pool, op, spectrum.Options{})
//	after, err := spectrum.Measure(pool, spectrum.InMetric(op, m), spectrum.Options{})
//
// # What is measured
//
// Max and Min are extreme Ritz values of a Krylov space of Options.Steps dimensions with a random start ([linalg.Lanczos], full
// reorthogonalisation). Each comes with a bound: an eigenvalue lies within Error. Max never exceeds the largest
// eigenvalue and is, after some twenty steps, mostly exact to many digits. Trace is Hutchinson's estimate with
// random signs, and its Error the standard error of the mean. Dimension is (tr A)²/tr A², the number of equal
// eigenvalues with the same trace and Frobenius norm.
//
// # What a smallest eigenvalue means
//
// C of a network is singular as soon as it has more parameters than the batch has outputs, and nearly so always: its
// eigenvalues fall to zero without a gap. Then Min is the smallest that a space of k dimensions resolves, an upper bound of the
// smallest eigenvalue, and falls as k grows. So
//
//	Condition = Max / max(Min, Floor)
//
// is a lower bound of the condition number; float32 cannot show more than 1/(16 ε) = 5·10⁵. It compares two matrices at the same
// k and start, and says nothing absolute. Three
// numbers beside it do not depend on k: Max, which bounds the learning rate (2/Max on a quadratic); Spread =
// Max/(tr/n), the largest eigenvalue over the mean; and, with [Damped], which measures A + δI, a condition number
// of a matrix that has one. H is indefinite away from a minimum: where Min is below −Floor its Condition is NaN.
//
// # Preconditioned
//
// With gradients multiplied by M the curvature that gradient descent meets is M A. It is similar to M^½ A M^½: symmetric, with
// real eigenvalues. Where M = P Pᵀ is known with P, [Between] gives PᵀA P; else [InMetric] runs Lanczos in
// the inner product of M⁻¹, which needs neither root nor inverse.
//
// # Cost and exactness
//
// Options.Steps + Options.Samples products with A, and with M; Options.Steps vectors of float64 are kept, twice as many in a metric.
// Inner products are float64. Products are as exact as the objective's numbers: values below 16 times their precision times the largest are
// noise and count as zero. Results have the same bits for every number of workers.
package spectrum
