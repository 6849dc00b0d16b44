// Package autodiff records computations on tensors as they are carried out, and differentiates them:
// in reverse and in forward mode, to any order.
//
// # Recording
//
// A [Tape] holds the operations carried out so far with their values; a [Var] is a handle to one of
// them. [Tape.Input] puts a tensor on the tape, functions such as [Affine], [ReLU] or [CrossEntropy]
// compute a new value at once and record how:
//
//	t := autodiff.NewTape(tensor.NewWorkspace[float32](pool))
//	w, b := t.Input(weights), t.Input(bias)
//	loss := autodiff.CrossEntropy(autodiff.Affine(t.Input(x), w, b), labels, 0)
//	t.Backward(loss, params, gradients, nil, nil)
//	t.Reset()
//
// There is no graph to build beforehand, no mode, and no distinction between parameters and data: every
// Var may be asked a derivative with respect to, and what does not depend on the Vars asked for costs
// nothing. Values live in the tape's workspace until [Tape.Reset], or [Tape.Release] to an earlier [Mark];
// inputs are not copied, and must not change while they are on the tape.
//
// # Derivatives
//
// With y = f(x) and the Jacobian J of f at x, all of them exact:
//
//	[Tape.VJP]       Jᵀg, for a cotangent g            reverse mode
//	[Tape.Gradient]  ∇y, for a scalar y                reverse mode
//	[Tape.JVP]       J v, for a tangent v              forward mode
//	[Tape.Backward]  ∇y into given storage             reverse mode, the fast path of training
//
// The results of the first three are recorded in the same operations as everything else, so they can be
// differentiated again. Products with curvature matrices are compositions (Pearlmutter, 1994;
// Schraudolph, 2002):
//
//	H v       g := t.Gradient(loss, params);  t.JVP(g, params, v)
//	JᵀHₒJ v   u := t.JVP(z, params, v);  the loss's own Hessian times u;  t.VJP(z, that, params)
//
// A gradient costs about two evaluations, a product with the Hessian about two gradients. To make many
// products, record the gradient once, [Tape.Mark], and Release after each product.
//
// Backward does not record. Its rules overwrite cotangents that nobody else needs and run the fused
// one-pass kernels (softmax with cross-entropy, normalisation), while the recording stays as it was. On
// the way it can show the complete cotangents of chosen values, which is how layers are tapped: for an
// affine layer Y = X W + b watch Y, and X is its [Var.Operand] 0.
//
// # Operations
//
// Shapes are those of package tensor; where the documentation speaks of rows, a tensor is viewed as
// Shape.Rows × Shape.Cols. Arithmetic of two operands wants equal shapes; broadcasts have names of their
// own (AddRow, MulCol, BroadcastScalar). A missing bias, gain or shift is the zero Var. Losses are means
// over rows of sums over columns. Index slices and masks are constants, which the tape keeps by reference.
//
// At a kink (ReLU, Abs, HardTanh, Huber's loss, maxima) the derivative is one-sided, as documented with the
// function, and the second derivative is that of the pieces.
//
// # A new operation
//
// An operation is a function that computes the value in storage from Tape.out, appends a node, and a rule:
// an empty struct with the methods vjp and jvp of the interface op, both written in recorded operations, so
// that they need no derivatives of their own. A rule may have a second, faster path for a sweep of Backward
// (Tape.final). Package check verifies all of it by finite differences: add a row to its table.
//
// # Mistakes
//
// Shapes that do not fit panic with a [tensor.ShapeError], constants out of range with a [ValueError]. A
// derivative of a value on another tape, or asked for inside a rule, panics. Nothing returns an error:
// non-finite values go through. A Tape belongs to one goroutine; the operations are parallel inside, and
// give the same bits for every number of workers.
package autodiff
