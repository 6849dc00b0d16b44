// Package tensor provides dense arrays of float32 or float64, the arithmetic on them, and random
// numbers, all with the same bits for every number of workers.
//
// # Tensors and shapes
//
// A [Tensor] is a small handle, passed by value, on contiguous storage in row-major order: the last
// axis varies fastest. There are no strides. A view with another shape is free ([Tensor.Reshape]),
// another order of axes is a copy ([Permute]). A [Shape] is a comparable value of at most [MaxRank] axes.
// Images are [batch, height, width, channels].
//
// Many operations view a tensor as a matrix whose columns are the last axis and whose rows are all the
// others: Shape.Rows × Shape.Cols. So a layer treats [batch, time, features] as batch·time rows.
// Reductions and broadcasts act along an [Axis], a view as Outer × N × Inner.
//
// # Operations
//
// An operation is a function whose first argument is the [Workspace] that lends scratch storage and
// the workers, and whose second is the destination: Add(ws, dst, a, b). The destination's storage
// belongs to the caller; where the documentation does not say otherwise it may be one of the operands
// of an element by element operation, and must not overlap the operands of any other. No operation
// keeps a reference to its arguments. The loops themselves are in internal/simd.
//
// # Memory
//
// A [Workspace] is an arena. A training step takes all its temporaries from it and gives them back
// at once by [Workspace.Reset], so that a steady step allocates nothing that grows with the batch.
// Storage from a workspace is not zeroed.
//
// # Workers and determinism
//
// A [Pool] cuts an operation among a fixed number of workers. What each element of a result is made of,
// and in which order, depends on the sizes of the operands alone: element by element operations and
// rows may be cut anywhere; sums are cut in blocks of fixed length whose results are added in order.
// Therefore one worker and sixteen give the same bits. A workspace and the operations on it belong to
// one goroutine; the operations are parallel inside.
//
// # Random numbers
//
// A [Key] names a stream whose i-th number is a function of the key and i (Philox-4x32-10). Keys are
// derived from keys, by number ([Key.Fold]) or name ([Key.Named]), the way a computation is nested: seed,
// then epoch, then layer. There is no generator whose state someone else may advance, and nothing to
// save but the seed and the counters.
//
// # Mistakes
//
// Operands whose shapes do not fit are a programming mistake: the panic's value is a [ShapeError] with the
// operation and both shapes. So is an index out of range. Numbers are never checked: NaN and infinities
// go through as IEEE 754 says; ask [AllFinite]. The only error value is that of [NewCSR], whose arguments
// are data.
package tensor
