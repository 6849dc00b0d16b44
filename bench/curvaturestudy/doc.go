// Package curvaturestudy measures the methods that precondition with curvature or with matrices against a tuned Adam, on deep
// autoencoders of MNIST and, for their safety, on small classifiers.
//
// There are three autoencoders: [Mini], [Big] and [Full]. The studies are tests with build tag slow, one a
// file; each logs what it finds, holds it to its targets, and with -update writes its tables into docs/curvature-study.md:
//
//	go test -tags slow ./bench/curvaturestudy -run Study -v -update -timeout 0
//
// -run StudyMini, StudyBig, StudyFull, StudyAdaptive, StudyRobust and StudyCost, StudyBrand and StudyDivergence are the parts. With -cells FILE each finished
// run is kept in a file, so that a study can be stopped and continued; -kept writes tables from that file alone. The data lie where package dataset looks for them
// (DESCENT_DATA). Times are processor time of the steps alone, without evaluations; GOMAXPROCS=1 makes them those of one
// core.
package curvaturestudy
