// Package coord checks on real models whether a parametrization does what it says: it trains the same network at several widths and
// fits how every quantity grows with the width, with a standard error and a verdict.
//
// # What is measured
//
// On a fixed batch, and at chosen steps, root mean squares over coordinates, averaged over seeds:
//
//	output            the outputs
//	output change     since the start
//	activation        the output of an affine layer, before its nonlinearity
//	activation change since the start
//	weight change     of a tensor
//	only this tensor  the outputs' change when the trained values of this tensor alone are put into the network as it started
//
// The last finds what the others hide. Where an early layer's rate shrinks too fast, later layers still make the output and all
// activations behind them move, and the ordinary check passes; the layer's own contribution falls with the width, and it is frozen.
//
// # Verdicts
//
// log rms is fitted against log width. A slope within the tolerance is stable, below vanishing, above exploding; a slope whose
// distance from the tolerance is less than two standard errors is undecided, and more seeds or widths settle it. Known exceptions are
// named and do not count as failures: outputs at the start that fall like 1/√width where the output layer starts small. Changes of
// weights have no width of their own and get no verdict. A tensor is reported as frozen if its own contribution falls with a slope of
// -0.4 or less, over all widths and between the two largest: at small widths a contribution that settles falls too. If activation changes vanish in all hidden layers the parametrization is
// lazy, otherwise it learns features.
//
// Everything here is measured: the label of a report is "empirical".
package coord
