package asymptotics

import (
	"math/bits"

	"github.com/descent-ml/descent/tensor"
)

// sobolDims is the number of coordinates of the Sobol sequence.
const sobolDims = 21

// joeKuo has, for coordinates 2 … 21, the primitive polynomial's inner coefficients and the first direction numbers of
// Joe and Kuo ("Constructing Sobol sequences with better two-dimensional projections", 2008). The degree is the
// number of direction numbers.
var joeKuo = [sobolDims - 1]struct {
	a uint32
	m []uint32
}{
	{0, []uint32{1}},
	{1, []uint32{1, 3}},
	{1, []uint32{1, 3, 1}},
	{2, []uint32{1, 1, 1}},
	{1, []uint32{1, 1, 3, 3}},
	{4, []uint32{1, 3, 5, 13}},
	{2, []uint32{1, 1, 5, 5, 17}},
	{4, []uint32{1, 1, 5, 5, 5}},
	{7, []uint32{1, 1, 7, 11, 19}},
	{11, []uint32{1, 1, 5, 1, 1}},
	{13, []uint32{1, 1, 1, 3, 11}},
	{14, []uint32{1, 3, 5, 5, 31}},
	{1, []uint32{1, 3, 3, 9, 7, 49}},
	{13, []uint32{1, 1, 1, 15, 21, 21}},
	{16, []uint32{1, 3, 1, 13, 27, 49}},
	{19, []uint32{1, 1, 1, 15, 7, 5}},
	{22, []uint32{1, 3, 1, 15, 13, 25}},
	{25, []uint32{1, 1, 5, 5, 19, 61}},
	{1, []uint32{1, 3, 7, 11, 23, 15, 103}},
	{4, []uint32{1, 3, 7, 13, 13, 15, 69}},
}

// directions returns the 32 direction numbers of coordinate dim (from 0), as binary fractions of 32 bits:
//
//	v_k = 2a₁v_{k-1} ⊕ … ⊕ v_{k-q} ⊕ (v_{k-q} >> q)      for degree q and polynomial coefficients a
func directions(dim int) (v [32]uint32) {
	if dim == 0 {
		for k := range v {
			v[k] = 1 << (31 - k)
		}
		return v
	}
	p := joeKuo[dim-1]
	q := len(p.m)
	for k := range v {
		if k < q {
			v[k] = p.m[k] << (31 - k)
			continue
		}
		v[k] = v[k-q] ^ v[k-q]>>q
		for i := 1; i < q; i++ {
			if p.a>>(q-1-i)&1 == 1 {
				v[k] ^= v[k-i]
			}
		}
	}
	return v
}

// sobol fills dst with coordinate dim of the first len(dst) points of the Sobol sequence, in (0, 1), scrambled by a
// nested uniform permutation of the bits (Owen, 1995) whose randomness is key: in each elementary interval of length
// 2⁻ᵏ the first 2ᵏ points have exactly one, whatever the key. The permutation is the hash of Laine and Karras (2011)
// on reversed bits, with Burley's constants (2020).
//
// Coordinates past the table are a Latin hypercube: one point in each interval of length 1/n, in random order.
func sobol(key tensor.Key, dim int, dst []float64) {
	key = key.Fold(uint64(dim))
	if dim >= sobolDims {
		perm := make([]int32, len(dst))
		tensor.Permutation(key.Named("order"), perm)
		jitter := key.Named("jitter")
		for i, p := range perm {
			dst[i] = (float64(p) + jitter.Float64(uint64(i)) + 0x1p-54) / float64(len(dst))
		}
		return
	}
	v, seed := directions(dim), uint32(key.Uint64(0))
	var x uint32
	for i := range dst {
		if i > 0 { // Gray code: one direction number a point
			x ^= v[bits.TrailingZeros32(uint32(i))]
		}
		dst[i] = (float64(owen(x, seed)) + 0.5) * 0x1p-32
	}
}

// owen permutes the bits of x so that the image of each depends on itself and the higher ones.
func owen(x, seed uint32) uint32 {
	x = bits.Reverse32(x)
	x ^= x * 0x3d20adea
	x += seed
	x *= seed>>16 | 1
	x ^= x * 0x05526c56
	x ^= x * 0x53a22864
	return bits.Reverse32(x)
}
