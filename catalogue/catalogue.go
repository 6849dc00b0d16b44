// Package catalogue is the table of every training method of this module, over all families: what
// descent list and describe show, what a training run and a comparison look names up in, and what the
// page docs/methods.md is made from.
//
// A family keeps its own table (package optim has the first-order methods) and is named here once;
// nothing registers itself.
package catalogue

import (
	"slices"

	"github.com/descent-ml/descent/altmin"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/optim/matrix"
	"github.com/descent-ml/descent/tensor"
)

// Table returns all methods, family by family.
func Table[T tensor.Float]() []optim.Spec[T] {
	return slices.Concat(
		optim.Table[T](),
		curvature.Table[T](),
		matrix.Table[T](),
		altmin.Table[T](),
	)
}

// Lookup returns the named method's description, or an error with the nearest names.
func Lookup[T tensor.Float](name string) (optim.Spec[T], error) {
	return optim.Find(Table[T](), name)
}

// New makes the named method with the given settings; those not given have their defaults.
func New[T tensor.Float](name string, env optim.Env, given optim.Settings) (optim.Method[T], error) {
	spec, err := Lookup[T](name)
	if err != nil {
		return nil, err
	}
	return spec.Make(env, given)
}
