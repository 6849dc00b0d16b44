package optim

import (
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// costBNP is the cost of the preconditioner and of an inner method with so many flops and numbers a parameter. For a layer with n
// inputs and m outputs and a batch of N:
//
//	statistics   3 N n          Σx and Σx² of its inputs (a convolution: of each pixel, counted here as one row an example)
//	products     5 n m          P Pᵀ; 6 n m for Pᵀ and P around an inner method
//	numbers      6 n doubles    running moments, the window, the batch in progress
//	             3 n            μ, 1/(q σ̃), 1/(q² σ̃²)
func costBNP[T tensor.Float](flops, numbers float64) func(l *nn.Layout, s Settings, batch int) Cost {
	double := 1.0 // a double in numbers of the parameters' type
	if _, single := any(T(0)).(float32); single {
		double = 2
	}
	return func(l *nn.Layout, s Settings, batch int) Cost {
		f, k := flops, numbers
		if s["ema"] > 0 {
			f, k = f+3, k+1
		}
		if s["accumulate"] > 1 {
			f, k = f+2, k+1
		}
		size := float64(l.Size())
		c := Cost{Flops: f * size, Numbers: k * size}
		product := 5.0
		if s["two-sided"] != 0 {
			product = 6
		}
		for i := range l.Len() {
			w := l.At(i)
			if w.Kind != nn.Weight || w.Shape.Rank() != 2 {
				continue
			}
			n, m := float64(w.Shape.Dim(0)), float64(w.Shape.Dim(1))
			c.Flops += 3*float64(batch)*n + product*n*m
			c.Numbers += 6*n*double + 3*n
		}
		return c
	}
}
