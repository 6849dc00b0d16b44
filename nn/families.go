package nn

import "github.com/descent-ml/descent/tensor"

// families is the table of models, in the order of increasing complexity.
func families[T tensor.Float]() []family[T] {
	return []family[T]{
		{ModelInfo{Name: "linear", Form: "linear", Standard: "linear", Title: "Linear model",
			Doc:  "One dense layer, Z = X W + b. With the squared loss it is linear regression, whose loss is a quadratic function of the parameters.",
			Init: "glorot-uniform"}, 0, affineModel[T]},
		{ModelInfo{Name: "logistic", Form: "logistic", Standard: "logistic", Title: "Logistic regression",
			Doc:  "One dense layer whose outputs are the log odds of the classes. It starts at zero: the loss is convex, and every class starts equally likely.",
			Init: "zeros"}, 0, affineModel[T]},
		{ModelInfo{Name: "mlp", Form: "mlp:WIDTH,WIDTHxLAYERS,...", Standard: "mlp:64,64", Title: "Multi-layer perceptron",
			Doc:        "Dense layers of the given hidden widths, each followed by the activation, and a dense output layer. Biases start at zero.",
			Activation: "relu", Init: "glorot-uniform"}, 1, mlp[T]},
		{ModelInfo{Name: "ga-mlp", Form: "ga-mlp:WIDTHxLAYERS", Standard: "ga-mlp:100x2", Title: "Graph-augmented multi-layer perceptron",
			Doc:        "A multi-layer perceptron on nodes of a graph whose features have spread over hops (the data set's part: --hops). Weights start normal with standard deviation 0.1, biases at zero.",
			Paper:      "Chen, Chen and Bruna, On graph neural networks versus graph-augmented MLPs, 2021",
			Activation: "relu", Init: "normal:0.1"}, 1, mlp[T]},
		{ModelInfo{Name: "lenet5", Form: "lenet5", Standard: "lenet5", Title: "LeNet-5",
			Doc:        "Convolution 5×5 to 6 channels (same), pooling 2, convolution 5×5 to 16 (valid), pooling 2, dense 120, dense 84, output. The modern form: max pooling, ReLU and softmax in place of trainable average pooling, tanh and radial basis functions. 61,706 parameters for 28×28 images and ten classes.",
			Paper:      "LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998",
			Activation: "relu", Init: "glorot-uniform", Images: true}, 0, lenet5[T]},
		{ModelInfo{Name: "2c2d", Form: "2c2d", Standard: "2c2d", Title: "DeepOBS 2c2d",
			Doc:        "Convolution 5×5 to 32 channels and to 64 (same), each followed by max pooling 2, dense 1024, output. Weights start truncated normal with standard deviation 0.05, biases at 0.05.",
			Paper:      "Schneider, Balles and Hennig, DeepOBS: a deep learning optimizer benchmark suite, 2019",
			Activation: "relu", Init: "truncated-normal:0.05", Images: true}, 0, net2c2d[T]},
		{ModelInfo{Name: "3c3d", Form: "3c3d", Standard: "3c3d", Title: "DeepOBS 3c3d",
			Doc:        "Convolution 5×5 to 64 channels (valid), 3×3 to 96 (valid), 3×3 to 128 (same), each followed by max pooling 3×3 with stride 2 (same), dense 512, dense 256, output. Weights start Glorot normal, biases at zero. DeepOBS trains it with the penalty ½·0.002·‖w‖² on the weights, which belongs to the workload, not to the model.",
			Paper:      "Schneider, Balles and Hennig, DeepOBS: a deep learning optimizer benchmark suite, 2019",
			Activation: "relu", Init: "glorot-normal", Images: true}, 0, net3c3d[T]},
		{ModelInfo{Name: "resnet20", Form: "resnet20", Standard: "resnet20", Title: "ResNet-20",
			Doc:        "Convolution 3×3 to 16 channels, three stages of three residual blocks (two 3×3 convolutions with batch normalisation) with 16, 32 and 64 channels, global average pooling, output. Where the image shrinks the shortcut takes every second pixel and pads the channels with zeros (option A: no parameters). Strided convolutions pad as \"same\" does: nothing before and one after on even sizes, where the paper has one on each side.",
			Paper:      "He, Zhang, Ren and Sun, Deep residual learning for image recognition, 2016, section 4.2",
			Activation: "relu", Init: "he-normal", Images: true}, 0, resnet20[T]},
		{ModelInfo{Name: "autoencoder", Form: "autoencoder:WIDTH,...,CODE", Standard: "autoencoder:1000,500,250,30", Title: "Deep autoencoder",
			Doc:        "Dense layers of the given widths down to a linear code, the same widths back up, and as many outputs as inputs, which are log odds: train it with the Bernoulli loss on inputs between 0 and 1.",
			Paper:      "Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006",
			Activation: "tanh", Init: "glorot-uniform", Reconstructs: true, Loss: "bernoulli"}, 1, autoencoder[T]},
	}
}

func affineModel[T tensor.Float](b builder, _ []int) []Layer[T] {
	return []Layer[T]{&Dense[T]{Out: b.outputs, Init: b.init}}
}

func mlp[T tensor.Float](b builder, widths []int) []Layer[T] {
	var layers []Layer[T]
	for _, w := range widths {
		layers = append(layers, &Dense[T]{Out: w, Activation: b.activation, Init: b.init})
	}
	return append(layers, &Dense[T]{Out: b.outputs, Init: b.init})
}

func lenet5[T tensor.Float](b builder, _ []int) []Layer[T] {
	return []Layer[T]{
		&Conv[T]{Out: 6, Kernel: 5, Padding: Same, Activation: b.activation, Init: b.init},
		&MaxPool[T]{Size: 2},
		&Conv[T]{Out: 16, Kernel: 5, Activation: b.activation, Init: b.init},
		&MaxPool[T]{Size: 2},
		&Dense[T]{Out: 120, Activation: b.activation, Init: b.init},
		&Dense[T]{Out: 84, Activation: b.activation, Init: b.init},
		&Dense[T]{Out: b.outputs, Init: b.init},
	}
}

func net2c2d[T tensor.Float](b builder, _ []int) []Layer[T] {
	bias := Constant(0.05)
	return []Layer[T]{
		&Conv[T]{Out: 32, Kernel: 5, Padding: Same, Activation: b.activation, Init: b.init, BiasInit: bias},
		&MaxPool[T]{Size: 2, Padding: Same},
		&Conv[T]{Out: 64, Kernel: 5, Padding: Same, Activation: b.activation, Init: b.init, BiasInit: bias},
		&MaxPool[T]{Size: 2, Padding: Same},
		&Dense[T]{Out: 1024, Activation: b.activation, Init: b.init, BiasInit: bias},
		&Dense[T]{Out: b.outputs, Init: b.init, BiasInit: bias},
	}
}

func net3c3d[T tensor.Float](b builder, _ []int) []Layer[T] {
	return []Layer[T]{
		&Conv[T]{Out: 64, Kernel: 5, Activation: b.activation, Init: b.init},
		&MaxPool[T]{Size: 3, Stride: 2, Padding: Same},
		&Conv[T]{Out: 96, Kernel: 3, Activation: b.activation, Init: b.init},
		&MaxPool[T]{Size: 3, Stride: 2, Padding: Same},
		&Conv[T]{Out: 128, Kernel: 3, Padding: Same, Activation: b.activation, Init: b.init},
		&MaxPool[T]{Size: 3, Stride: 2, Padding: Same},
		&Dense[T]{Out: 512, Activation: b.activation, Init: b.init},
		&Dense[T]{Out: 256, Activation: b.activation, Init: b.init},
		&Dense[T]{Out: b.outputs, Init: b.init},
	}
}

func resnet20[T tensor.Float](b builder, _ []int) []Layer[T] {
	conv := func(out, stride int) Layer[T] {
		return &Conv[T]{Out: out, Kernel: 3, Stride: stride, Padding: Same, Init: b.init, NoBias: true}
	}
	layers := []Layer[T]{conv(16, 1), &BatchNorm[T]{}, &Activation[T]{Name: b.activation}}
	in := 16
	for _, out := range []int{16, 32, 64} {
		for range 3 {
			block := &Residual[T]{}
			stride := 1
			if out != in {
				stride = 2
				block.Shortcut = &Subsample[T]{Stride: 2, Out: out}
			}
			block.Body = &Sequential[T]{Layers: []Layer[T]{
				conv(out, stride), &BatchNorm[T]{}, &Activation[T]{Name: b.activation},
				conv(out, 1), &BatchNorm[T]{},
			}}
			layers = append(layers, block, &Activation[T]{Name: b.activation})
			in = out
		}
	}
	return append(layers, &GlobalAvgPool[T]{}, &Dense[T]{Out: b.outputs, Init: b.init})
}

func autoencoder[T tensor.Float](b builder, widths []int) []Layer[T] {
	code := len(widths) - 1
	var layers []Layer[T]
	for _, w := range widths[:code] {
		layers = append(layers, &Dense[T]{Out: w, Activation: b.activation, Init: b.init})
	}
	layers = append(layers, &Dense[T]{Out: widths[code], Init: b.init})
	for i := code - 1; i >= 0; i-- {
		layers = append(layers, &Dense[T]{Out: widths[i], Activation: b.activation, Init: b.init})
	}
	return append(layers, &Dense[T]{Out: b.outputs, Init: b.init})
}
