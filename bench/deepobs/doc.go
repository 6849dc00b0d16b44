// Package deepobs has the stochastic quadratic problem of the DeepOBS benchmark suite (Schneider,
// Balles and Hennig, "DeepOBS: a deep learning optimizer benchmark suite", ICLR 2019), drawn with the
// published random numbers, so that this module's methods can be held against the published
// baselines: the same problem, the same data, the same settings, ten seeds.
package deepobs
