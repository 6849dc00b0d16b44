// Package train is the training loop: data, model, objective and method brought together, watched by a
// guard, logged, saved so that nothing is lost, and resumed to the same bits.
//
//	r, err := train.Run(ctx, train.Config{Data: "digits", Model: "mlp:64,64", Method: "adam"}, train.Options{Out: "runs/first"})
//	r, err = train.Resume(ctx, "runs/first", train.Options{}) // after a stop, a kill, a power cut
//	m, err := train.Load("runs/first")                        // to evaluate and predict
//	m, err = train.Fit(ctx, rows, labels, train.Config{Model: "mlp:32"}, train.Options{})
//
// [Config] is plain data and says everything that the result depends on; its zero values are documented
// defaults, and Validate answers wrong names with the nearest ones and wrong values with their range.
// The loop is one for all methods and both element types.
//
// # One step
//
// The sampler gives the indices of the next batch, which is gathered into storage that is reused; the
// objective is told batch, progress and the key of the step's random numbers; the method makes its
// update; the guard looks at the outcome. Schedules are functions of the examples seen. At the end of every
// epoch (or every Eval.Every steps) the model is evaluated with the parameters that the method wants
// evaluated ([optim.Evaluated]); then the method is told the watched loss ([optim.Observer]), the target
// is checked and patience counted. The watched loss is that of the validation part, or of the training
// part where there is none. A validation part is cut off only if Config.Val asks for it or something
// needs it: early stopping, a target on it, a plateau schedule.
//
// TrainSeconds counts the steps alone, gathering the batch included; evaluation, logging, saving and
// loading are in WallSeconds. PeakMemoryBytes is the high-water mark of the process, not of the run.
//
// # Determinism
//
// The same Config, data and kernels give the same parameters, bit by bit, and so the same ParamsSHA256:
// for any number of threads and any GOMAXPROCS, however often the model is evaluated and saved, and after
// any number of stops at any steps. Random numbers are functions of the seed and of counters, so there
// is no generator state; reductions have an order fixed by the size of the problem. Budgets in seconds
// are the exception by nature: where such a run ends depends on the machine.
//
// # The guard
//
// A step is bad if its loss or gradient is not finite (the method then leaves the parameters as they
// were), if its loss exceeds Guard.Explode times max(1, the first loss), or if it leaves parameters that are
// not finite, which is looked at every 16 steps and before anything is overwritten by them. The policies
// are skip, shrink, rewind and stop (see [Guard]). Under rewind, the state after every Guard.Every steps is
// on trial until the next step has shown a good loss there, and only then replaces the last good point.
// A run that gives up has status diverged, which is no error; step, loss, gradient norm, indices of the
// batch and statistics of every layer are in divergence.json.
//
// # The run folder
//
//	run.json       everything needed to repeat the run: configuration, settings, digest of the data, normaliser, machine
//	metrics.jsonl  the log, a record a line; see package runlog
//	checkpoint/    the newest checkpoint; checkpoint-N/ are older ones; see package checkpoint
//	result.json    the Result, once the run has ended or stopped
//	divergence.json, run.lock
//
// model.safetensors holds the parameters to use: of a method that averages, the average, and then
// ParamsSHA256, which is that of the parameters the method steps from, is not the digest of the file's
// tensors. The other parameters are in optimizer.safetensors, with the method's state by name, the good
// points of the guard and the best parameters of early stopping.
//
// # What is promised about checkpoints
//
//   - A save is atomic and durable; the old checkpoint is never touched before the new one is.
//   - Every byte is covered by a checksum; a changed, cut or foreign checkpoint is never taken for a good one. A
//     damaged newest one is reported, renamed to ….corrupt, and the one before it used.
//   - The state is complete: a resumed run ends on the same parameters, method state, evaluations and
//     training curve as one that was never stopped.
//   - Cancellation ends the step in progress and saves; it is looked at between steps, between batches of
//     an evaluation, and after the data is read.
//   - A kill at any moment loses at most the work since the last save: 30 seconds, or an epoch's end more than
//     a second after the last save, by default.
//   - A save that fails (disk full, I/O error, folder gone) is a warning; training goes on, the save is tried
//     again after a pause that doubles from a second to a minute, and a folder that vanished is made again.
//     If even the last save fails, Run returns the Result together with an error.
//   - Parameters that are not finite never replace a good checkpoint.
//
// The tests kill processes at random moments, fail every call of the file system in turn, and cut the
// power in a simulated file system that loses what was not synced.
//
// # Errors
//
// Run and Resume return errors for wrong configurations, data that cannot be read, folders that cannot
// be written, and methods that fail other than by numbers that are not finite; each says what was
// found and expected, with a line that begins "hint:". Nothing panics on the contents of a file.
//
// # Known limits
//
//   - On a disk that acknowledges a sync before it is done, a power cut may lose the newest checkpoint.
//   - On Windows a folder cannot be synced, and two writers of one folder are not kept apart.
//   - Bits are equal between kernels only as far as package tensor promises; another version of this module
//     may change them.
//   - Runs from data in memory ([Fit]) can be loaded but not resumed.
//   - Reading a data set is not interrupted by a cancelled context: it takes effect when the set is read.
//   - The log keeps its records in memory, up to a megabyte, while it cannot be written; what goes beyond is lost
//     and reported.
package train
