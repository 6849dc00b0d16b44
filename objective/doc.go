// Package objective is what training algorithms optimise: a function of a parameter vector that answers
// questions.
//
// Algorithms need very different things: a gradient, the value at another point of the same batch (line
// search, trust region), products with the Hessian or the Gauss–Newton matrix (Newton methods), the rows
// that enter a layer and the gradients that come back to it (Kronecker-factored and batch-normalisation
// preconditioners), squared gradients of single examples. A method is given an [Objective] and asks; what
// it does not ask for is never computed. The function behind it says what it can answer by the interfaces
// it implements:
//
//	Function    value and gradient at any point
//	Curvature   Hessian and Gauss–Newton products
//	Tapped      inputs and output gradients of the affine layers
//	PerExample  sums of squared gradients of the examples
//
// and a question that it cannot answer is an error that wraps [ErrUnsupported].
//
// # Networks
//
// [Network] is the function that training is about: the mean loss of a model of package nn on the current
// batch. The training loop, once a step, calls SetBatch and SetKey, tells the Objective its [Progress],
// and then the method's Step:
//
//	net.SetBatch(x, y)
//	net.SetKey(root.Fold(step))
//	obj.SetProgress(progress)
//	report, err := method.Step(ctx, obj)
//
// All evaluations of a step see the same function: the same examples and the same dropout masks. Running
// statistics move once a batch, at its first evaluation with gradient, however many a line search makes;
// evaluations at rejected points never move them again. After the last step, [Network.Predict] and
// [Network.LossAndMetric] evaluate without gradient, dropout or batch statistics.
//
// # Other functions
//
// Anything with a gradient can be optimised: implement [Function] and call [New] with [nn.FlatLayout].
// Package testfunc has such functions with known minima.
//
// # Exactness, determinism, cost
//
// Products are exact derivatives, not differences. Results have the same bits for every number of
// workers. With one evaluation with gradient as the unit, a value costs 0.4, a Gauss–Newton product 1.3,
// a Hessian product 1.7, after one unit for the recording at each point (processor time on an MLP and on
// LeNet-5 in float32; BenchmarkNetwork). Storage is reused: a steady step allocates a few small objects.
// The methods of a Network are not safe for concurrent use.
//
// # Mistakes
//
// A buffer of the wrong length panics with a [tensor.ShapeError]. A batch that does not fit (a label out
// of range) is an error. Values that are not finite are returned as they are: what to do about them is
// the training loop's to decide.
package objective
