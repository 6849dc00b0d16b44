// Package verdict is one line of a check: what theory expects, what was measured, and whether they agree. The
// packages below asymptotics return such rows, commands print them as a table or as JSON.
//
// A row carries its label. "theorem" is a statement proved in the literature under its assumptions, "derived" a
// calculation confirmed by simulation, "empirical" a measurement that has no formula behind it.
package verdict
