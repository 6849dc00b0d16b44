package main

import (
	"fmt"
	"strconv"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/tensor"
)

// stepCost is what a step costs on a model: the gradients of the batch and what the method adds. Flops of gradients are those of the
// affine layers' products; activations and normalisations are not counted.
type stepCost struct {
	Batch      int      `json:"batch"`
	Parameters int      `json:"parameters"`
	Forward    float64  `json:"forward_flops"`  // of the batch
	Gradient   float64  `json:"gradient_flops"` // of the batch, the forward pass included
	Gradients  int      `json:"gradients"`      // of a step
	Method     addition `json:"method"`
	Step       float64  `json:"step_flops"`
	Relative   float64  `json:"relative_flops"`  // step / gradient
	Memory     float64  `json:"relative_memory"` // of the method / of the parameters
	size       float64
}

// addition is what the method adds to the gradients.
type addition struct {
	Flops float64 `json:"flops"`
	Bytes float64 `json:"bytes"` // kept from step to step
}

func costOf(s optim.Spec[float32], m nn.Model[float32], input tensor.Shape, full optim.Settings, batch int, size float64) stepCost {
	c := stepCost{Batch: batch, Parameters: m.Layout().Size(), Gradients: s.GradientsPerStep, size: size}
	for _, w := range nn.AffineWork(m, input) {
		c.Forward += float64(batch) * w.Forward()
		c.Gradient += float64(batch) * w.Gradient()
	}
	adds := s.CostOn(m.Layout(), full, batch)
	c.Method = addition{adds.Flops, adds.Numbers * size}
	c.Step = float64(c.Gradients)*c.Gradient + adds.Flops
	if c.Gradient > 0 {
		c.Relative = c.Step / c.Gradient
	}
	if c.Parameters > 0 {
		c.Memory = adds.Numbers / float64(c.Parameters)
	}
	return c
}

// table has the flops on the left and the memory on the right.
func (c stepCost) table() string {
	of := func(f float64) string {
		if c.Gradient == 0 {
			return "–"
		}
		return strconv.FormatFloat(f/c.Gradient, 'f', 2, 64)
	}
	params := float64(c.Parameters) * c.size
	rows := [][]string{
		{"one gradient", flopsText(c.Gradient), of(c.Gradient), fmt.Sprintf("forward %s, backward %s", flopsText(c.Forward), flopsText(c.Gradient-c.Forward))},
		{"method", flopsText(c.Method.Flops), of(c.Method.Flops), "added to a step, averaged over the periods of rarer work"},
		{"step", flopsText(c.Step), of(c.Step), plural(c.Gradients, "gradient") + " and the method"},
	}
	text := table([]string{"", ">flops", ">gradients", ""}, rows) + "\n"
	return text + table([]string{"", ">memory", ">parameters", ""}, [][]string{
		{"parameters", byteSize(params), "1.00", grouped(c.Parameters) + " numbers; the gradient takes as much"},
		{"method", byteSize(c.Method.Bytes), strconv.FormatFloat(c.Memory, 'f', 2, 64), "kept from step to step"},
	})
}

// flopsText writes a number of operations in the unit that fits.
func flopsText(f float64) string {
	for _, unit := range []string{"", " k", " M", " G"} {
		if f < 999.5 {
			if unit == "" {
				return strconv.FormatFloat(f, 'f', 0, 64)
			}
			return strconv.FormatFloat(f, 'g', 3, 64) + unit
		}
		f /= 1000
	}
	return strconv.FormatFloat(f, 'g', 3, 64) + " T"
}

// blockObject is a block in JSON.
type blockObject struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	In     int    `json:"in,omitempty"`
	Out    int    `json:"out,omitempty"`
	Reason string `json:"reason"`
}

func blockObjects(r curvature.Registration) []blockObject {
	objects := []blockObject{}
	for _, b := range r {
		objects = append(objects, blockObject{b.Name, b.Kind.String(), b.In, b.Out, b.Reason})
	}
	return objects
}
