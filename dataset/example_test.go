package dataset_test

import (
	"fmt"

	"github.com/descent-ml/descent/dataset"
)

func Example() {
	s, err := dataset.Open("digits", dataset.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Title)
	fmt.Println(s.Train.Len(), s.Val.Len(), s.Test.Len(), "examples of shape", s.Input, "in", s.Classes, "classes")

	sampler := dataset.NewSampler(s.Train.Len(), 1, false)
	loader := dataset.NewLoader[float32](s.Train)
	b := loader.Load(sampler.Next(64))
	fmt.Println(b.X.Shape(), len(b.Labels))
	fmt.Println(sampler.Position())
	// Output:
	// Optical recognition of handwritten digits, 8×8
	// 1294 144 359 examples of shape [8 8 1] in 10 classes
	// [64 8 8 1] 64
	// {0 64}
}

func ExampleOpen_unknown() {
	_, err := dataset.Open("mnits", dataset.Options{})
	fmt.Println(err)
	// Output:
	// dataset: unknown data set "mnits"
	// expected: digits, iris, wine, breast-cancer, diabetes, mnist, fashion-mnist, cifar10, cora, citeseer, amazon-photo, amazon-computers, coauthor-physics, spiral, blobs, quadratic, curves, or a .csv, .tsv, .npz or .npy file
	// hint: did you mean mnist or digits?
}
