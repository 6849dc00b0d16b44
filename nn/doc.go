// Package nn has the models: their parameters, layers, initial values and losses.
//
// # Parameters
//
// A model holds no numbers. Its [Layout] lists the parameters by name, shape and [Kind] in the order in
// which they lie, without gaps, in one buffer that the caller owns; gradients and the state of optimizers
// have the same layout, so that an operation on all parameters is one loop. What is not trained (the
// running statistics of batch normalisation) lies in a second buffer with a layout of its own,
// [Model].StateLayout. Names are paths: "dense2.weight" is the weight of the second dense layer,
// "block3.conv1.weight" that of the first convolution in the third residual block.
//
// # Conventions
//
// A batch is a tensor whose first axis is the example: [batch, features] or, for images, [batch, height,
// width, channels]. Every affine layer is Y = X W + b with X rows and W [in, out]; a convolution's rows
// are the patches of its input, and W has the rows (ky, kx, channel). This is the transpose of torch's
// weights. A model takes any batch size, and takes examples in any shape of the right size.
//
// # Models
//
// [Build] makes a model from a specification such as "mlp:512,512"; [ModelNames] lists them with their
// defaults. [New] makes one of layers:
//
//	nn.New("mine", tensor.ShapeOf(28, 28, 1),
//		&nn.Conv[float32]{Out: 8, Kernel: 3, Padding: nn.Same, Activation: "relu"},
//		&nn.MaxPool[float32]{Size: 2},
//		&nn.Dense[float32]{Out: 10})
//
// A layer is a struct whose exported fields are its settings, and belongs to one model. An own layer
// implements [Layer]: it declares its parameters with [Declaration.Param], applies operations of package
// autodiff to the variables of the [Pass], and has its derivatives from them.
//
// # A pass
//
// To evaluate a model, start a [Pass] on a tape with parameters, state, a [Mode] and a random key, and
// call Forward. Package objective does that, and most users never see a Pass. Dropout masks are a
// function of the key and the layer's name; running statistics move in mode [Tracking] only. A pass can
// record the affine layers it meets ([Pass.RecordAffine]), which is where preconditioners and per-example
// gradients look in.
//
// # Initial values
//
// [Initialize] fills both buffers. The values of a parameter are a pure function of the key, its name,
// shape, fans and [Initializer]: adding a layer to a model does not change the start of the others, and
// float32 starts at the rounded values of float64.
//
// # Losses
//
// A [Loss] is the negative log-likelihood of a predictive distribution: summed over the outputs of an
// example, mean over the batch. Besides its value on a tape it has the product with the output Hessian
// Hₒ, with a root S of it (S Sᵀ = Hₒ), and draws targets from the predictive distribution, from which
// Gauss–Newton and Fisher matrices are made.
//
// # Mistakes
//
// Unknown names, bad numbers, a model that does not fit the examples and a target that does not fit the
// outputs are errors with a line beginning "hint:". A buffer or batch of the wrong size, and a symbol
// number out of range, panic with a [tensor.ShapeError].
package nn
