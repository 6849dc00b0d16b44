// Package study has what studies share that take longer than a test should: cells that are kept in a file so that a study can be
// stopped and continued, a clock of the processor time, and the tables on a page of the documentation.
//
// A study is a list of cells, each a training run or a tuning with a name that says everything its outcome depends on. A
// [Store] computes a cell that it does not have and writes the file after each; it returns the others at once. Changing a
// setting changes the name, changing the code does not: remove the file, or cells from it, to measure anew.
package study
