// Package optim has the training algorithms that need gradients only, and the frame in which all
// others stand.
//
// # Methods
//
// A [Method] is given the objective of the current batch and makes one update of its parameters. The
// catalogue, [Table], describes every method of this package: update rule, paper, settings with ranges
// and defaults, cost, claims of invariance. [New] makes one from its name:
//
//	m, err := optim.New[float32]("adamw", optim.Env{Layout: layout, Pool: pool}, optim.Settings{"lr": 0.003})
//	...
//	f.SetProgress(progress)          // where in the training this batch stands
//	report, err := m.Step(ctx, f)    // f is an *objective.Objective[float32] over the batch
//
// What a user may get wrong — a name, a value, a schedule — is an error that says what was expected, with a line
// that begins "hint:". What a programmer may get wrong — a nil layout, buffers of other lengths — panics.
//
// A loss or gradient that is not finite is no error: the step is reported as Skipped, and neither the parameters nor the state
// of the method have changed by a bit, so the training loop's guard can decide. With skip-limit a method gives up
// with a [NonFiniteError] after so many in a row.
//
// # How a chain works
//
// A first-order method is a [Chain] of links. The update vector u starts as the gradient; each link transforms it;
// the last one, mostly [Descend], subtracts it from the parameters. Adam with clipping and decoupled decay is
//
//	NewClipNorm(1) → NewScaleByAdam(0.9, 0.999, 1e-8) → NewDecay(0.01) → NewDescend(lr)
//
// and the place of a link decides what it means: [Decay] before the scaling is an L2 penalty, after it is decoupled.
//
// There are two kinds of links. An [Elementwise] link treats every element on its own. Neighbouring elementwise links
// run together, block by block (1024 elements, which stay in the cache), so that a chain costs about one walk through memory; blocks
// are shared out among the workers of Env.Pool. A [Global] link looks at all of u first: norms, trust ratios, a
// second gradient at another point. Sums are taken in blocks fixed by the layout and added in order, so that
// the number of workers does not change a bit.
//
// A link that reads what the layers of a network saw, as the preconditioner [BatchNorm] does, is a [Tapper]: the chain then
// asks for the gradient with taps. Its Spec says so (Needs), and on a function without layers Step is an error.
//
// The commonest ends of chains are fused: momentum and Adam (with or without decoupled decay) run as one loop over
// parameters, gradient and moments. Fused and composed agree in exact arithmetic and, in float64, to about
// 10⁻¹³ over fifty steps; not to the bit, for the fused loop rounds less often.
//
// The stages of every chain that [New] makes come in this order:
//
//	second gradient (sam) → accumulate → clip-adaptive → clip-value → clip-tensor-norm → clip-norm →
//	coupled decay → the method → decoupled decay → learning rate → average (ema)
//
// # Conventions
//
// t counts updates from 1. Every formula states where its ε stands. Decay acts on weights and embeddings, never
// on biases and normalisation ([DecayedKind]). Decoupled decay is multiplied by the scheduled learning rate, as in
// PyTorch: p ← (1 − lr·λ) p. Clipping divides by the norm itself, with nothing added.
//
// A setting marked Schedulable can be given a schedule (package schedule); the value that was used is in the [Report], as StepSize
// for the learning rate and under its name in Extra for the others.
//
// Averages and schedule-free methods evaluate other parameters than they step from: they implement [Evaluated], and
// whoever evaluates or saves a model asks it. There is no mode to switch.
//
// # State
//
// State returns references to everything a resumed run needs. A resume makes the method anew, with the same settings,
// and writes the saved values through the references ([State.CopyFrom]); from then on the run gives the
// same bits as one that was never stopped.
//
// # How to add an algorithm in fifty lines
//
// Write one file. It opens with the update rule, its paper, deviations, cost, invariances and failures, and has
//
//  1. a struct with the constants and the state vectors, allocated by its constructor (Env.Layout.Size() elements);
//  2. Name and State: names for the checkpoint;
//  3. Begin: the step's constants, from s.T and s.Progress; hyper-parameters that may have a schedule are *Hyper;
//  4. Apply: b.U transformed in place, with b.Of(state) for the block's range of a state vector, b.Scratch(i) for a
//     temporary, and the kernels of internal/simd;
//  5. a Spec whose New calls a builder with the links.
//
// Then add the Spec to the table, a row to the conformance table of the tests, and a reference in plain NumPy to
// testdata/golden.py. The conformance test says what is missing. See lion.go for a short example, and the
// package's example for a link written outside of the package.
package optim
