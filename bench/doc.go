// Package bench compares training methods on equal terms: the same model from the same initial parameters, the same data in
// the same split and in the same batches for a given seed, the same number of epochs or seconds, several seeds each.
//
// # How a comparison runs
//
// A cell is one training run: a method, its settings, a seed. Cells run one after another, each with all processors, so that
// no run disturbs another one's clock; the outermost loop is over the seeds, so that every method has a result early. A
// cell that diverges, fails or exceeds its time limit is reported as such and the comparison goes on. Finished cells are kept
// in a store (a folder) under the digest of everything that their result depends on, and are not run again.
//
// # Final values, and the targets
//
// Methods are ranked by the median over the seeds of the last evaluation's metric: accuracy of a classification, root mean
// squared error of a regression (loss where there is neither), on the test part, else on the validation part, else on the
// training part. A run that diverged or failed counts as infinitely bad and takes part in the median, so a
// method that fails on most seeds has no rank. A target does not stop a run: all see the same amount of data, and the
// moment at which the target was first met at an evaluation is reported beside it. A miss is an infinite time and takes
// part in the median too.
//
// # Tuning
//
// [Tuning] gives every method the same number of trials over the interval that its table declares for the learning rate, at
// the same quasi-random points of that interval (van der Corput's sequence with a random shift), with one seed that is not among the seeds of the
// comparison. Trials are judged on the validation part alone: the test part is not evaluated for the choice, and its
// numbers are removed before a trial is stored. The cost of the trials stands in the ranking.
//
// # Errors
//
// [Compare] returns an error for a wrong configuration, before anything runs, and for a store that cannot be written. If its
// context is cancelled it returns what it has, marked as partial, and no error.
package bench
