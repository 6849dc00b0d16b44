package autodiff_test

import (
	"slices"
	"testing"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// TestStep: the value is the step, the derivative the one that stands for it.
func TestStep(t *testing.T) {
	tape := autodiff.NewTape(tensor.NewWorkspace[float64](nil))
	x := tape.Input(tensor.FromSlice([]float64{-2, -0.5, 0, 0.5, 2}, 5))
	y := autodiff.Step(x)
	if want := []float64{0, 0, 0, 1, 1}; !slices.Equal(y.Value().Data(), want) {
		t.Errorf("values %v, want %v", y.Value().Data(), want)
	}
	g := tensor.New[float64](5)
	tape.Backward(autodiff.Sum(y), []autodiff.Var[float64]{x}, []tensor.Tensor[float64]{g}, nil, nil)
	if want := []float64{0, 1, 1, 1, 0}; !slices.Equal(g.Data(), want) {
		t.Errorf("derivatives %v, want %v", g.Data(), want)
	}
}
