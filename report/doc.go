// Package report draws training runs as one self-contained HTML page: a leaderboard, curves of loss and accuracy against
// steps, examples and seconds with bands over the seeds, what each method is and how it was set, how it was tuned, and
// everything needed to repeat the comparison.
//
// A [Page] is plain data and knows nothing of how it was made; package bench and the command line fill it. [Page.Write]
// renders it. The page carries its style, its script and the chart library (uPlot, see assets/README.md) inside, asks
// nothing of the network, follows the reader's light or dark scheme, and prints. Every text that comes from a
// user (names of files, of data sets) is escaped by html/template.
//
// # Conventions
//
// A quantity that was not measured is NaN in a [Score] or [Point] and null on the page. Accuracy is a
// fraction in the data and per cent on the page. Seconds are training seconds: evaluation is not counted.
//
// A curve over several seeds shows, at each evaluation, the median over the runs that got there, and ends where
// fewer than half of them did; the band is the range from the least to the greatest, or the quartiles.
//
// # Errors
//
// Write returns the error of the writer, and no other: any Page can be drawn.
package report
