// Package testfunc has functions with known minima, gradients and Hessians, on which training algorithms
// are tested and shown: quadratic functions with and without noise, and the classical functions of two
// and more variables.
//
// Every function implements [objective.Function] and [objective.Curvature] for float32 and float64, so
// that
//
//	f := testfunc.Rosenbrock[float64]{N: 2}
//	o := objective.New(f, nn.FlatLayout(f.Dim()), f.Start())
//
// makes the objective that a training method is given. The Gauss–Newton products of a function that is
// written as a sum of squares are those of its residuals (JᵀJ); for a quadratic function they are the
// Hessian's; for Branin's, which is no sum of squares, they are not defined and GGNVP returns an error
// that wraps [objective.ErrUnsupported].
//
// A point of another length than Dim panics with a [tensor.ShapeError]. No function returns another
// error.
package testfunc
