// Package schedule has the laws by which a hyper-parameter, mostly the learning rate, changes in the
// course of a training.
//
// A schedule is a pure function of [objective.Progress], that is of the number of examples seen and
// of the number planned (the horizon), and returns a factor by which the hyper-parameter's base value
// is multiplied. It is never stepped, so it cannot be stepped too often or at the wrong moment, a
// resumed run needs no state of it, and neither the batch size, nor the accumulation of gradients,
// nor the number of workers changes the curve. With
//
//	x = Seen / Horizon, cut to [0, 1]
//
// the factors are
//
//	constant            1
//	cosine:e            e + (1−e)·(1+cos πx)/2            e = 0
//	linear:e            1 + (e−1)·x                       e = 0
//	polynomial:q,e      e + (1−e)·(1−x)^q                 q = 2, e = 0
//	exponential:e       e^x                               e = 0.01
//	step:f@a,b,…        f^(number of a, b, … not above x)  f = 0.1, at 0.5 and 0.75
//	one-cycle:a,s,e     cosine from s up to 1 at x = a, then cosine down to e   0.3, 0.04, 0.0001
//	warmup:w            min(1, (Seen+Batch) / (w·Horizon)), times what follows the comma
//	plateau:f@n         f^(times that the evaluated loss has not improved for more than n evaluations)
//
// A warm-up is written before the schedule it leads to: "warmup:0.1,cosine". The w is a part of the
// horizon if at most 1, and a number of examples above. What follows runs over the remainder, from
// x = 0 where the warm-up ends, except for the steps, which stay at the parts of the whole horizon at
// which they were written. A warm-up looks at the examples seen when the step will be done, so that
// the first step is not lost to a factor of zero; everything else looks at those seen before it.
//
// [Plateau] alone has state, which it shows in Vars for the checkpoint: it is told the loss of each
// evaluation.
package schedule
