package objective_test

import (
	"context"
	"fmt"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// A small network learns the exclusive or by plain gradient descent.
func ExampleNetwork() {
	x := tensor.FromSlice([]float64{0, 0, 0, 1, 1, 0, 1, 1}, 4, 2)
	y := nn.Target[float64]{Labels: []int32{0, 1, 1, 0}}

	model, err := nn.Build[float64]("mlp:8", nn.Options{Input: tensor.ShapeOf(2), Outputs: 2, Activation: "tanh"})
	if err != nil {
		fmt.Println(err)
		return
	}
	net := objective.NewNetwork(model, nn.CrossEntropy[float64](0), nil)
	params := make([]float64, model.Layout().Size())
	nn.Initialize(model, tensor.KeyOf(1), params, net.State())
	net.SetBatch(x, y)

	f := objective.New[float64](net, model.Layout(), params)
	for range 200 {
		_, grad, err := f.Gradient(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for i, g := range grad {
			params[i] -= 0.5 * g
		}
		f.Moved()
	}
	_, right, _ := net.LossAndMetric(params, x, y)
	fmt.Printf("%d parameters, %.0f of 4 right\n", len(params), right)
	// Output: 42 parameters, 4 of 4 right
}

// The taps of a dense layer are the factors of its weight gradient.
func ExampleNetwork_EvaluateTapped() {
	model, _ := nn.Build[float64]("mlp:3", nn.Options{Input: tensor.ShapeOf(2), Outputs: 1})
	net := objective.NewNetwork(model, nn.Squared[float64](), nil)
	params := make([]float64, model.Layout().Size())
	nn.Initialize(model, tensor.KeyOf(1), params, net.State())
	net.SetBatch(tensor.FromSlice([]float64{1, 2, 3, 4}, 2, 2), nn.Target[float64]{Values: tensor.FromSlice([]float64{1, 0}, 2, 1)})

	grad := make([]float64, len(params))
	net.EvaluateTapped(params, grad, func(t objective.Tap[float64]) {
		fmt.Println(t.Name, "X", t.X.Shape(), "DY", t.DY.Shape())
	})
	// Output:
	// dense2 X [2 3] DY [2 1]
	// dense1 X [2 2] DY [2 3]
}
