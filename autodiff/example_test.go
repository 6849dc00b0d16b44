package autodiff_test

import (
	"fmt"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// A line is fitted to three points by gradient descent.
func ExampleTape_Backward() {
	x := tensor.FromSlice([]float64{0, 1, 2}, 3, 1)
	y := tensor.FromSlice([]float64{1, 3, 5}, 3, 1)
	w, b := tensor.New[float64](1, 1), tensor.New[float64](1)
	gw, gb := tensor.New[float64](1, 1), tensor.New[float64](1)

	ws := tensor.NewWorkspace[float64](nil)
	t := autodiff.NewTape(ws)
	for range 500 {
		t.Reset()
		params := []autodiff.Var[float64]{t.Input(w), t.Input(b)}
		loss := autodiff.SquaredError(autodiff.Affine(t.Input(x), params[0], params[1]), t.Input(y))
		t.Backward(loss, params, []tensor.Tensor[float64]{gw, gb}, nil, nil)
		tensor.Axpy(ws, w, -0.3, gw)
		tensor.Axpy(ws, b, -0.3, gb)
	}
	fmt.Printf("y = %.3f x + %.3f\n", w.At(0, 0), b.At(0))
	// Output: y = 2.000 x + 1.000
}

// The product of the Hessian of f(x) = x₀² x₁ with v, as the tangent of the gradient.
func ExampleTape_JVP() {
	t := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
	x := t.Input(tensor.FromSlice([]float64{3, 5}, 2))
	x0, x1 := autodiff.Slice(x, 0, 0, 1), autodiff.Slice(x, 0, 1, 2)
	f := autodiff.Sum(autodiff.Mul(autodiff.Square(x0), x1))

	in := []autodiff.Var[float64]{x}
	gradient := t.Gradient(f, in) // (2 x₀ x₁, x₀²)
	v := t.Input(tensor.FromSlice([]float64{1, -1}, 2))
	product := t.JVP(gradient, in, []autodiff.Var[float64]{v}) // ((2 x₁, 2 x₀), (2 x₀, 0)) v
	fmt.Println(f.Value().Data(), gradient[0].Value().Data(), product[0].Value().Data())
	// Output: [45] [30 9] [4 6]
}
