package asymptotics

import (
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// Replay returns what replicate rep of [Simulate] with these settings starts from and sees, so that another program can train
// the same network: the initial neurons [N, 1+d], a row (c, w, bias), and the numbers of the examples in the order of the
// steps, [steps·B]; none for full batches. Cost: N·(1+d) random numbers and one an example.
func Replay(p Problem, w Width, o SimOptions, rep int) (neurons tensor.Tensor[float64], examples []int32, err error) {
	if rep < 0 {
		return neurons, nil, bad("replicate", fmt.Sprint(rep), "0 or more", "replicates are numbered from 0")
	}
	o.Replicates = rep + 1
	s, err := newSimulator(p, w, p.X, o)
	if err != nil {
		return neurons, nil, err
	}
	key, column := s.key(rep, "neurons"), make([]float64, s.n)
	neurons = tensor.New[float64](s.n, 1+s.d)
	for j := range 1 + s.d {
		sample(p.Init.coordinate(j, s.d, p.Bias), key.Fold(uint64(j)), column)
		for i, v := range column {
			neurons.Set(v, i, j)
		}
	}
	if p.Sampling == FullBatch {
		return neurons, nil, nil
	}
	data, perm := s.key(rep, "data"), make([]int32, s.m)
	examples = make([]int32, len(s.rate)*p.Batch)
	for i := range examples {
		examples[i] = int32(s.draw(data, i, perm))
	}
	return neurons, examples, nil
}
