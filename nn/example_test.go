package nn_test

import (
	"fmt"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

func ExampleBuild() {
	m, err := nn.Build[float32]("mlp:512,512", nn.Options{Input: tensor.ShapeOf(784), Outputs: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range m.Layout().Len() {
		p := m.Layout().At(i)
		fmt.Println(p.Name, p.Shape, p.Init)
	}
	fmt.Println(m.Layout().Size(), "parameters")
	// Output:
	// dense1.weight [784 512] glorot-uniform
	// dense1.bias [512] zeros
	// dense2.weight [512 512] glorot-uniform
	// dense2.bias [512] zeros
	// dense3.weight [512 10] glorot-uniform
	// dense3.bias [10] zeros
	// 669706 parameters
}

func ExampleBuild_unknown() {
	_, err := nn.Build[float32]("lenet", nn.Options{Input: tensor.ShapeOf(28, 28, 1), Outputs: 10})
	fmt.Println(err)
	// Output:
	// unknown model "lenet"
	// hint: did you mean lenet5?
}

// A model of one's own layers: a convolution with layer normalisation inside a residual block.
func ExampleNew() {
	m, err := nn.New("mine", tensor.ShapeOf(8, 8, 4),
		&nn.Residual[float64]{Body: &nn.Sequential[float64]{Layers: []nn.Layer[float64]{
			&nn.Conv[float64]{Out: 4, Kernel: 3, Padding: nn.Same, Activation: "silu"},
			&nn.LayerNorm[float64]{},
		}}},
		&nn.GlobalAvgPool[float64]{},
		&nn.Dense[float64]{Out: 2},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range m.Layout().Len() {
		fmt.Println(m.Layout().At(i).Name)
	}
	// Output:
	// block1.conv1.weight
	// block1.conv1.bias
	// block1.layernorm1.scale
	// block1.layernorm1.shift
	// dense1.weight
	// dense1.bias
}
