package curvature

import (
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
)

// costOf adds up what a method with blocks costs on a layout: kronecker says it for a block with n inputs and m outputs, without what all forms
// share, which is
//
//	statistics   a forward pass and the inputs' half of a backward pass, 4Nnm flops, every T₁ updates; signal 2: the half for each output;
//	             N of these is the number of examples in the part of the batch, seen in kronecker
//	the rest     momentum; for what has no block, a diagonal
//	the regime   a recording and two forward-mode products, 10NP flops a step, and two vectors in the place of momentum
//	λ            adaptive: the same with one product and a value, every T updates, four vectors; rejection: a value a step, three vectors
//
// N is the number of examples: the positions of a convolution, which the layout does not know, multiply what is proportional to it.
func costOf(l *nn.Layout, s optim.Settings, batch int, kronecker func(n, m, seen float64) optim.Cost) optim.Cost {
	var sum optim.Cost
	examples, p := float64(batch), float64(l.Size())
	every := s["statistics-every"]
	seen := float64(partOf(s["statistics-part"]).Of(batch))
	passes := 1.0
	blocks := Register(l, int(s["largest-factor"]))
	if s["signal"] == 2 {
		for _, b := range blocks {
			if b.Kind == Kronecker {
				passes = float64(b.Out) // of the last
			}
		}
	}
	for _, b := range blocks {
		if b.Kind == Diagonal {
			size := float64(l.At(b.Weight).Shape.Size())
			sum.Flops += 8 * size
			sum.Numbers += size
			continue
		}
		n, m := float64(b.In), float64(b.Out)
		c := kronecker(n, m, seen)
		sum.Flops += c.Flops + 2*seen*n*m*(1+passes)/every
		sum.Numbers += c.Numbers
	}
	if s["regime"] == 0 {
		sum.Flops += 4 * p
		sum.Numbers += p
	} else {
		sum.Flops += 10 * examples * p
		sum.Numbers += 2 * p
	}
	if s.On("adaptive-damping") {
		sum.Flops += 8 * examples * p / s["damping-every"]
	}
	if s.On("adaptive-damping") || s.On("calibrate-damping") {
		sum.Numbers += 4 * p
	}
	if s["rejection-factor"] > 0 {
		sum.Flops += 2 * examples * p
		sum.Numbers += 3 * p
	}
	for _, name := range []string{"ema", "accumulate"} {
		if x, off := s[name], map[string]float64{"accumulate": 1}[name]; x > off {
			sum.Flops += 2 * p
			sum.Numbers += p
		}
	}
	return sum
}

// costKFAC is the cost of [Factored] and [ExactDamping]: factors N(n²+m²) flops every T₁ updates, inverses 7/3 (n³+m³), or eigenvectors at twice
// that, every T₂, products 2nm(n+m), or twice that, in each.
func costKFAC(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
	times := 1.0
	if s.On("exact-damping") {
		times = 2
	}
	return costOf(l, s, batch, func(n, m, examples float64) optim.Cost {
		return optim.Cost{
			Flops:   examples*(n*n+m*m)/s["statistics-every"] + times*7/3*(n*n*n+m*m*m)/s["inverse-every"] + times*2*n*m*(n+m),
			Numbers: 2*(n*n+m*m) + (times-1)*(n+m),
		}
	})
}

// costEKFAC adds to that of the eigenvectors the moments: rotations of inputs and gradients and the sum of squares, 2N(n²+m²) + 2Nnm flops,
// or as many for the batch's, every T₁ updates.
func costEKFAC(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
	return costOf(l, s, batch, func(n, m, examples float64) optim.Cost {
		return optim.Cost{
			Flops:   examples*(3*(n*n+m*m)+2*n*m)/s["statistics-every"] + 14.0/3*(n*n*n+m*m*m)/s["inverse-every"] + 4*n*m*(n+m),
			Numbers: 2*(n*n+m*m) + n + m + n*m,
		}
	})
}
