package matrix

import (
	"math"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
)

// costFunc is the type of [optim.Spec]'s Cost.
type costFunc = func(l *nn.Layout, s optim.Settings, batch int) optim.Cost

// costOf adds up what the matrices of a layout cost and what Adam costs on the rest; output as in matrices.
func costOf(l *nn.Layout, output bool, of func(in, out float64) optim.Cost) optim.Cost {
	var sum optim.Cost
	for i, is := range matrices(l, output) {
		n := float64(l.At(i).Shape.Size())
		c := optim.Cost{Flops: 12 * n, Numbers: 2 * n}
		if is {
			c = of(float64(l.At(i).Shape.Rows()), float64(l.At(i).Shape.Cols()))
		}
		sum.Flops += c.Flops
		sum.Numbers += c.Numbers
	}
	return sum
}

// kept adds the averages and windows that the common settings ask for.
func kept(cost costFunc) costFunc {
	return func(l *nn.Layout, s optim.Settings, batch int) optim.Cost {
		c, n := cost(l, s, batch), float64(l.Size())
		if s["ema"] > 0 {
			c.Flops += 2 * n
			c.Numbers += n
		}
		if s["accumulate"] > 1 {
			c.Flops += 2 * n
			c.Numbers += n
		}
		return c
	}
}

// Flops of an eigendecomposition with vectors, in cubes of the order.
const eigenFlops = 14. / 3

func cube(n float64) float64 { return n * n * n }

// costMuon: an iteration makes two symmetric products, XXᵀ and its square, and one plain one.
func costMuon(neurons bool) costFunc {
	return func(l *nn.Layout, s optim.Settings, _ int) optim.Cost {
		return costOf(l, s.On("output-layer"), func(in, out float64) optim.Cost {
			short, long := math.Min(in, out), math.Max(in, out)
			c := optim.Cost{Flops: (s["steps"] + s["polish"]) * (3*short*short*long + cube(short)), Numbers: in * out}
			if neurons {
				c.Flops += 6 * in * out
				c.Numbers += out
			}
			return c
		})
	}
}

// costSOAP: factors and four products in each step; a product and a QR factorization of each side at a refresh.
func costSOAP(l *nn.Layout, s optim.Settings, _ int) optim.Cost {
	return costOf(l, true, func(in, out float64) optim.Cost {
		c := optim.Cost{Flops: 12 * in * out, Numbers: 2 * in * out}
		for _, n := range []float64{in, out} {
			if n <= s["max-dim"] {
				c.Flops += 5*n*in*out + (4.7*cube(n)+4*n*in*out)/s["every"]
				c.Numbers += 2 * n * n
			}
		}
		return c
	})
}

// costShampoo: factors and application are so many times in·out (in + out) in each step, a renewal an eigendecomposition and two
// products for the root.
func costShampoo(products float64) costFunc {
	return func(l *nn.Layout, s optim.Settings, _ int) optim.Cost {
		c := costOf(l, true, func(in, out float64) optim.Cost {
			c := optim.Cost{Flops: 12 * in * out, Numbers: in * out}
			if s["graft"] == float64(GraftAdam) {
				c.Numbers += in * out
			}
			rows, cols := math.Ceil(in/s["block"]), math.Ceil(out/s["block"])
			for i := range int(rows) {
				for j := range int(cols) {
					h := math.Floor(float64(i+1)*in/rows) - math.Floor(float64(i)*in/rows)
					w := math.Floor(float64(j+1)*out/cols) - math.Floor(float64(j)*out/cols)
					c.Flops += products*h*w*(h+w) + (eigenFlops+1)*(cube(h)+cube(w))/s["every"]
					c.Numbers += 2 * (h*h + w*w)
					if s["tolerance"] > 0 {
						c.Numbers += h*h + w*w
					}
				}
			}
			return c
		})
		if s["graft"] == float64(GraftSGD) { // what is not a matrix has the momentum alone
			for i, is := range matrices(l, true) {
				if !is {
					c.Numbers -= float64(l.At(i).Shape.Size())
				}
			}
		}
		return c
	}
}

// costSPlus: factors and four products in each step, an eigendecomposition of each side at a refresh.
func costSPlus(l *nn.Layout, s optim.Settings, _ int) optim.Cost {
	return costOf(l, true, func(in, out float64) optim.Cost {
		c := optim.Cost{Flops: 8 * in * out, Numbers: in * out}
		for _, n := range []float64{in, out} {
			if n <= s["max-dim"] {
				c.Flops += 5*n*in*out + eigenFlops*cube(n)/s["every"]
				c.Numbers += 2 * n * n
			}
		}
		return c
	})
}

// costKron: Qᵀ Q on each side in every step; at a refresh, here at its final probability, Q G Qᵀ, a triangular solve and two symmetric
// products on each side, and the product that moves Q.
func costKron(l *nn.Layout, s optim.Settings, _ int) optim.Cost {
	return costOf(l, true, func(in, out float64) optim.Cost {
		c := optim.Cost{Flops: 8 * in * out, Numbers: in * out}
		for _, n := range []float64{in, out} {
			if n <= s["max-dim"] {
				c.Flops += 4*n*in*out + s["refresh"]*(5*n*in*out+2*cube(n))
				c.Numbers += n * n
			}
		}
		return c
	})
}
