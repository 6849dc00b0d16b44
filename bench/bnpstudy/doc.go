// Package bnpstudy measures batch-normalisation preconditioning against batch normalisation and the usual methods on the
// embedded digits, with batches from sixty examples down to one.
//
// The network is 64-100-100-100-10 with ReLU, Glorot-uniform weights and zero biases; the features are the pixels over 16, not
// standardised, so that the first layer too has inputs far from mean 0. The columns that say batch normalisation have it
// in front of each ReLU and train with plain gradient descent. Each entry's learning rate is the best of the same eleven steps
// of a geometric row, by the mean training loss at the end over two seeds (on one alone a rate can win at which all others
// diverge); the numbers are means over five other seeds,
// which draw the initial weights and the order of the examples. The split is one for all. The test part plays no
// role in any choice.
//
// The whole study is a test with build tag slow, which prints the tables, holds them to their targets and, with -update, writes
// them into docs/bnp.md:
//
//	go test -tags slow ./bench/bnpstudy -run 'Study$' -v
//
// It takes about two minutes on one core. -run StudyMNIST measures the same network and LeNet-5 on MNIST, see [MNIST], in half an hour. Failures of training (a loss that is not finite) count as infinite loss.
package bnpstudy
