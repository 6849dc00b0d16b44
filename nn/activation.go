package nn

import (
	"fmt"
	"strings"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/tensor"
)

// leakySlope is the slope of leaky-relu for negative inputs.
const leakySlope = 0.01

// activations is the table of activation functions.
func activations[T tensor.Float]() []activationRule[T] {
	type v = autodiff.Var[T]
	return []activationRule[T]{
		{"relu", "max(x, 0)", autodiff.ReLU[T]},
		{"leaky-relu", "x if x > 0, else 0.01 x", func(x v) v { return autodiff.LeakyReLU(x, leakySlope) }},
		{"elu", "x if x > 0, else exp(x) − 1", autodiff.ELU[T]},
		{"tanh", "tanh(x)", autodiff.Tanh[T]},
		{"sigmoid", "1 / (1 + exp(−x))", autodiff.Sigmoid[T]},
		{"gelu", "x Φ(x), Φ the normal distribution function (exact, not the tanh formula)", autodiff.GELU[T]},
		{"silu", "x / (1 + exp(−x))", autodiff.SiLU[T]},
		{"softplus", "log(1 + exp(x))", autodiff.Softplus[T]},
		{"hard-tanh", "min(max(x, −1), 1)", autodiff.HardTanh[T]},
		{"step", "1 if x > 0, else 0; gradient methods see 1 where |x| ≤ 1 (straight-through), alternating minimisation the step itself", autodiff.Step[T]},
		{"identity", "x", func(x v) v { return x }},
	}
}

type activationRule[T tensor.Float] struct {
	name, formula string
	apply         func(autodiff.Var[T]) autodiff.Var[T]
}

// Activations returns the names of the activation functions.
func Activations() []string {
	var names []string
	for _, a := range activations[float64]() {
		names = append(names, a.name)
	}
	return names
}

func findActivation[T tensor.Float](name string) (activationRule[T], error) {
	for _, a := range activations[T]() {
		if a.name == name {
			return a, nil
		}
	}
	return activationRule[T]{}, fmt.Errorf("unknown activation %q\nhint: %s", name,
		nearest.Hint(name, Activations(), "one of "+strings.Join(Activations(), ", ")))
}

// Activation applies the function called Name, one of [Activations], to every element.
type Activation[T tensor.Float] struct {
	Name  string
	apply func(autodiff.Var[T]) autodiff.Var[T]
}

// Declare implements [Layer].
func (l *Activation[T]) Declare(_ *Declaration, in tensor.Shape) (tensor.Shape, error) {
	a, err := findActivation[T](l.Name)
	l.apply = a.apply
	return in, err
}

// Forward implements [Layer].
func (l *Activation[T]) Forward(_ *Pass[T], x autodiff.Var[T]) autodiff.Var[T] { return l.apply(x) }
