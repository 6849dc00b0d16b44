package curvaturestudy

import (
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/tensor"
)

// Problem is an autoencoder and its images: tanh, a linear code, Bernoulli outputs whose loss is summed over the pixels.
type Problem struct {
	Name    string
	Model   string  // as [nn.Build] reads it
	Batch   int     // examples a step
	Penalty float64 // λ of ½ λ ‖W‖²
	Pixels  int
	Sample  int       // training images, the first ones, on which the training loss is evaluated
	Train   []float32 // [images, Pixels], between 0 and 1
	Test    []float32
}

// Mini returns 196-200-100-50-12-50-100-200-196 on the 10,000 test images of MNIST, 14×14 by means of 2×2 pixels: every fifth for
// testing, batches of 200.
func Mini() (*Problem, error) {
	images, err := tenThousand()
	if err != nil {
		return nil, err
	}
	p := &Problem{Name: "mini", Model: "autoencoder:200,100,50,12", Batch: 200, Penalty: 1e-5, Pixels: 196, Sample: 2000}
	return p.cut(halved(images)), nil
}

// Big returns 784-1000-500-250-30-250-500-1000-784 on the same images as they are, batches of 400.
func Big() (*Problem, error) {
	images, err := tenThousand()
	if err != nil {
		return nil, err
	}
	p := &Problem{Name: "big", Model: "autoencoder:1000,500,250,30", Batch: 400, Penalty: 1e-5, Pixels: 784, Sample: 2000}
	return p.cut(images), nil
}

// Full returns the network of [Big] on the 60,000 training images of MNIST, batches of 1000, with the published test part.
func Full() (*Problem, error) {
	set, err := dataset.Open("mnist", dataset.Options{Val: -1, Task: "reconstruction"})
	if err != nil {
		return nil, err
	}
	return &Problem{Name: "full", Model: "autoencoder:1000,500,250,30", Batch: 1000, Penalty: 1e-5, Pixels: 784, Sample: 10000,
		Train: all(set.Train), Test: all(set.Test)}, nil
}

// tenThousand returns the test images of MNIST.
func tenThousand() ([]float32, error) {
	set, err := dataset.Open("mnist", dataset.Options{Val: -1, Task: "reconstruction"})
	if err != nil {
		return nil, err
	}
	return all(set.Test), nil
}

func all(e dataset.Examples) []float32 {
	return dataset.NewLoader[float32](e).Range(0, e.Len()).X.Data()
}

// halved returns images 28×28 as images 14×14.
func halved(images []float32) []float32 {
	n := len(images) / 784
	small := make([]float32, 0, n*196)
	for i := range n {
		image := images[i*784:]
		for k := range 196 {
			at := k/14*56 + k%14*2
			small = append(small, (image[at]+image[at+1]+image[at+28]+image[at+29])/4)
		}
	}
	return small
}

// cut makes every fifth image one for testing.
func (p *Problem) cut(images []float32) *Problem {
	for i := 0; i*p.Pixels < len(images); i++ {
		image := images[i*p.Pixels : (i+1)*p.Pixels]
		if i%5 == 4 {
			p.Test = append(p.Test, image...)
		} else {
			p.Train = append(p.Train, image...)
		}
	}
	return p
}

// Validation returns the problem for tuning: its last n training images are its test part, and the test part is out of reach.
func (p *Problem) Validation(n int) *Problem {
	v := *p
	at := len(p.Train) - n*p.Pixels
	v.Train, v.Test = p.Train[:at], p.Train[at:]
	v.Name += " validation"
	return &v
}

// With returns the problem with another batch size.
func (p *Problem) With(batch int) *Problem {
	v := *p
	v.Batch = batch
	return &v
}

// Images returns the number of training images.
func (p *Problem) Images() int { return len(p.Train) / p.Pixels }

// rows returns images lo to hi of a part as a batch.
func (p *Problem) rows(part []float32, lo, hi int) tensor.Tensor[float32] {
	return tensor.FromSlice(part[lo*p.Pixels:hi*p.Pixels], hi-lo, p.Pixels)
}
