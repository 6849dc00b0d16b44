// Package simd computes on slices of float32 and float64: element by element, reductions, steps of
// optimizers, and products of matrices. It is the floor on which package tensor stands; it knows
// nothing of shapes or workers.
//
// # Levels
//
// Every operation exists in plain Go, and on amd64 for AVX2 with FMA and for AVX-512 (F, DQ, BW, VL), in
// assembly written by the generator in gen (a module of its own; go generate runs it). The best
// level that the processor has is chosen when the program starts; the environment variable
// DESCENT_SIMD (avx512, avx2 or go), read at that moment, chooses a lower one. The build tag noasm,
// and other architectures, have plain Go alone. [Active] and [Info] say what is in use.
//
// # Bits
//
// The plain Go version is the specification. All levels give the same bits: every operation is a
// stated sequence of operations of IEEE 754, each rounded once to nearest, and the levels differ in
// how many elements they do at a time. What has more than one reasonable order is fixed:
//
//   - A sum of products is made of fused multiply-adds. Where there is no instruction for it float32 is
//     done exactly in float64 and rounded once; see fma32.
//   - A reduction of n elements (Sum, Dot, SumSquares, MaxOf, the sum in SoftmaxRow and LogSumExp) has 256
//     bytes of partial results, 64 for float32 and 32 for float64. Element i goes to partial result i
//     modulo their number, in order; then the upper half is combined with the lower half, until
//     one is left.
//   - SumRows adds rows in order.
//   - An element of a product of matrices is summed in the order of the inner index in blocks of
//     512, each from zero; see [Gemm]. This holds for each element alone: a product computed
//     in parts, or with another number of workers, has the same bits.
//   - The elementary functions are the same reduction, polynomial (Horner, fused) and
//     reconstruction in Go and in assembly, line by line. Their constants are in package coef, read by
//     both. None falls back to package math.
//
// The limits of the promise. Which NaN results (its sign and payload) is not fixed, only that it is
// one. The floating-point environment must be Go's: rounding to nearest, subnormal numbers kept. The Go
// code leaves compilers for other architectures no products to fuse with sums, so the bits should be
// the same there, but amd64 alone is tested. Between versions of this package bits may change.
//
// # Accuracy
//
// Largest errors found in units in the last place, over sweeps of the range with finite results (the
// tests hold them to it, float64 against arithmetic of 300 bits):
//
//	Exp, Log        1
//	Softplus        2
//	Tanh, Sigmoid   2.5
//	Erf             3
//
// SiLU has the error of Sigmoid and one rounding more; GELU has that of Erf relative to |x|. NaN
// gives NaN; infinities, zeros and subnormal arguments and results are handled as the limits demand.
//
// # Conventions
//
// Matrices are row-major, ld is the distance between rows in elements. dst may be the same slice
// as an input, or not overlap it; Gemm's C must not overlap A or B. Slices of unequal lengths panic with a
// [LengthError]. Nothing allocates after the first product of matrices, whose buffers are kept.
//
// # Matrix products
//
// [Gemm] follows Goto and van de Geijn ("Anatomy of high-performance matrix multiplication", 2008):
// op(B) is packed in panels as wide as two registers, a block of op(A) stays in the second-level
// cache, and a kernel keeps a tile of C (14 rows and two registers with AVX-512, 6 with AVX2) in
// registers. There is a kernel for every number of rows, and the last columns are masked, so that
// edges cost what they are. op(A) is not interleaved but read where it lies, or from a copy of its
// rows.
//
// Convolution comes in by [GemmBlocks]: it is Gemm with a matrix A made block by block by a
// function, which for patches of an image copies runs of pixels. [GemmAffine] adds a bias and
// applies ReLU while the tile is in cache.
package simd

//go:generate go -C gen run . -tables ../tiles_amd64.go
//go:generate go -C gen run . -kind gemm -level avx2 -pkg simd -out ../gemm_avx2_amd64.s -stubs ../gemm_avx2_amd64.go
//go:generate go -C gen run . -kind gemm -level avx512 -pkg simd -out ../gemm_avx512_amd64.s -stubs ../gemm_avx512_amd64.go
//go:generate go -C gen run . -kind vector -level avx2 -pkg simd -out ../vector_avx2_amd64.s -stubs ../vector_avx2_amd64.go
//go:generate go -C gen run . -kind vector -level avx512 -pkg simd -out ../vector_avx512_amd64.s -stubs ../vector_avx512_amd64.go
