// Package limitsstudy uses package asymptotics on MNIST, twice.
//
// [Digits.Choose] and [Digits.Measure] are a prediction that is acted upon: from the limits alone choose the exponent γ, the width,
// the batch and the rate of a shallow network so that the 95 % band of its output at given test images lies within ±ε, then train
// forty networks of that kind and count how often they fall into their bands.
//
// [Transfer] is the transfer of learning rates: rates tuned at width 64 are carried to wider networks by the rules of package
// rates and set against rates tuned at each width with the same trials.
//
// The tests, with the tag slow, write the tables of docs/limits-study.md:
//
//	go test -tags slow ./bench/limitsstudy -v -timeout 0 -args -update -cells cells.json
//
// -run TestBands or -run TestTransfer runs a part. Both need the published files of MNIST where package dataset looks for them.
package limitsstudy
