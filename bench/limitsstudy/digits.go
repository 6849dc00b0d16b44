package limitsstudy

import (
	"math"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/tensor"
)

// Pixels is the side of the images after their means over squares are taken.
const Pixels = 7

// Digits is a regression on MNIST: is the digit even (1) or odd (-1)? Images are means over squares of 4 × 4 pixels, less the mean
// image of the training part, scaled to length 1.
type Digits struct {
	X    tensor.Tensor[float64] // [M, 49] to train on
	Y    []float64
	Held tensor.Tensor[float64] // images of the published test part
	HeldY,
	Label []float64 // their targets, and which digits they are
	Test tensor.Tensor[float64] // [K, 49] the images whose outputs get a band: the first of each digit 0 … K-1 among the held ones
}

// OpenDigits reads train images to train on, and held and bands of the test part.
func OpenDigits(train, held, bands int) (*Digits, error) {
	set, err := dataset.Open("mnist", dataset.Options{Val: -1})
	if err != nil {
		return nil, err
	}
	d := &Digits{}
	mean := make([]float64, Pixels*Pixels)
	read := func(e dataset.Examples, n int) (x tensor.Tensor[float64], y, label []float64) {
		b := dataset.NewLoader[float64](e).Range(0, n)
		x = tensor.New[float64](n, len(mean))
		side := int(math.Sqrt(float64(b.X.Size() / n)))
		block := side / Pixels
		for i := range n {
			for p, v := range b.X.Data()[i*side*side : (i+1)*side*side] {
				x.Data()[i*len(mean)+p/side/block*Pixels+p%side/block] += v
			}
			y = append(y, 1-2*float64(b.Labels[i]%2))
			label = append(label, float64(b.Labels[i]))
		}
		return x, y, label
	}
	d.X, d.Y, _ = read(set.Train, train)
	d.Held, d.HeldY, d.Label = read(set.Test, held)
	for i, v := range d.X.Data() {
		mean[i%len(mean)] += v / float64(train)
	}
	for _, x := range []tensor.Tensor[float64]{d.X, d.Held} {
		for at := 0; at < x.Size(); at += len(mean) {
			row := x.Data()[at : at+len(mean)]
			var square float64
			for j := range row {
				row[j] -= mean[j]
				square += row[j] * row[j]
			}
			for j := range row {
				row[j] /= math.Sqrt(square)
			}
		}
	}
	d.Test = tensor.New[float64](bands, len(mean))
	for k := range bands {
		for i, l := range d.Label {
			if l == float64(k) {
				copy(d.Test.Data()[k*len(mean):(k+1)*len(mean)], d.Held.Data()[i*len(mean):])
				break
			}
		}
	}
	return d, nil
}

// Problem is the training of a shallow network on the digits with the rate α over T = time/α: the mean-field flow depends on the
// product alone. Neurons are tanh with a bias, c uniform on [-1, 1], weights and bias standard normal.
func (d *Digits) Problem(alpha, time float64, batch int, s asymptotics.Sampling) asymptotics.Problem {
	return asymptotics.Problem{X: d.X, Y: d.Y, Bias: true, Activation: asymptotics.Tanh(),
		Init:  asymptotics.NeuronLaw{Output: asymptotics.Uniform{Lo: -1, Hi: 1}, Weight: asymptotics.Normal{Mean: 0, SD: 1}, Bias: asymptotics.Normal{Mean: 0, SD: 1}},
		Alpha: asymptotics.ConstantRate(alpha), T: time / alpha, Batch: batch, Sampling: s}
}
