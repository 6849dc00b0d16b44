// Package linalg factors and solves: Cholesky, triangular systems, Householder QR and the symmetric
// eigenproblem, and low-rank factorisations (randomized range finder, RSVD, SRE, Brand's update), for float32 and float64. It is what preconditioners, Gauss-Newton methods and orthogonal
// initialisation stand on, and knows nothing of networks.
//
// # Conventions
//
// Matrices are [tensor.Tensor] values of rank 2, dense and row-major. The workspace comes first: it lends
// the temporaries, so that a call in a steady step allocates nothing that grows with the matrix
// ([SymmetricEigen] excepted, whose inner problem is solved in float64), and its pool runs the parallel
// parts. Then comes the destination, which may be an operand itself where the function says so. Of a
// symmetric or triangular matrix one triangle alone is read.
//
// Results have the same bits for every number of workers: all is cut into blocks by the size of the
// problem, and where workers share a block, no sum is cut.
//
// # What fails
//
// A wrong shape is a programming mistake: a panic with [tensor.ShapeError]. What depends on the numbers is
// an error value: [NotPositiveDefiniteError] and [SingularError] name the pivot, [NotFiniteError] the
// element. A NaN never makes an iteration endless.
//
// # Accuracy
//
// ε is the distance of 1 to the next number: 1.2e-7 for float32, 2.2e-16 for float64. All methods are
// backward stable; the tests hold them to these bounds, in the Frobenius norm, on random matrices and on
// matrices made to be hard:
//
//	Cholesky          ‖A − L Lᵀ‖         ≤ 4 √n ε ‖A‖
//	SolveTriangular   ‖op(A) X − B‖      ≤ 4 √n ε ‖B‖     (well-conditioned A)
//	QR                ‖A − Q R‖          ≤ 8 √n ε ‖A‖,    ‖QᵀQ − I‖     ≤ 8 n ε
//	SymmetricEigen    ‖A V − V Λ‖        ≤ 8 √n ε ‖A‖,    ‖VᵀV − I‖     ≤ 8 n ε
//
// [RSVD], [SRE] and [RandomizedSVD] are as exact where the rank of the matrix is at most the one asked for; else their error is a small
// multiple of the first singular value left out. [BrandUpdate] is exact but for the values it drops.
//
// The error of a solution is that times the condition number: with float32 and a condition number of 1e6
// one digit is right. Damping is the remedy, not a smaller step.
//
// # Cost
//
// In flops; all but the parts named run as matrix products:
//
//	Cholesky          n³/3
//	SolveTriangular   n²m                 (one right-hand side: memory-bound)
//	CholeskySolve     2n²m
//	QR                4mn² − 4n³/3
//	SymmetricEigen    14n³/3, of which 2n³/3 are products of a matrix and a vector, memory-bound;
//	                  4n³/3 for the values alone
//	RSVD, SRE         2n²(r+l)(q+2) + 4n(r+l)²(q+2)
//	BrandUpdate       8nrb + 4nb² + 2n(r+b)r + 14(r+b)³/3: linear in n
//
// The inner loops run along rows, so orders that are powers of two are no worse than others.
package linalg
