// Package inversion measures what it costs to invert a Kronecker factor of order n, and to apply the inverse to an n×n gradient, for the
// forms of package optim/curvature: the dense inverse, the full eigendecomposition, and r = 220 leading eigenvectors by RSVD, by SRE and by
// Brand's update with 256 new columns.
//
// The numbers are processor seconds of one worker, float32, the least of three calls where a call takes less than a second. The exponents are
// the slopes of least-squares lines through log seconds against log n, from n = 1024 on.
//
// The study is a test with build tag slow, which prints the table, holds the ratios to their targets and, with -update, writes it into
// docs/kfac.md:
//
//	go test -tags slow ./bench/inversion -run Study -v
//
// It takes about three minutes on one core.
package inversion
