// Package optimtest holds every training method to the same promises.
//
// [Conform] takes the description of a method ([optim.Spec]) and a [Row] with the settings at which it
// must solve two small problems, and runs a list of named subtests: that it converges, that two runs
// agree to the bit, that a run which is stopped and resumed from its saved state agrees with one which
// is not, that a loss or gradient which is not finite leaves the parameters alone, that wrappers with
// neutral settings change no bit, that accumulated batches equal one large batch, that evaluation does
// not disturb training, that a steady step allocates nothing, that wrong settings are refused with
// their range, and that the invariances which the method declares hold. A family of methods that is
// added to the catalogue adds its rows to the table of its own test and is done.
//
// The functions with known minima that serve as problems are exported, too: [Quadratic], [Rosenbrock]
// and the network [TanhNet]. They are generic and deterministic, and count nothing: wrap them to
// inject faults ([Faulty]).
package optimtest
