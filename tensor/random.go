package tensor

import (
	"hash/fnv"
	"math"
	"math/bits"
)

// Key names a stream of random numbers. The numbers are a function of the key and a counter
// (Philox-4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), not of what was
// drawn before: nobody can advance somebody else's stream, any part can be drawn by any worker, and a
// resumed run needs no generator state beyond its counters.
//
// The methods of one key all read the same random bits: Float64(i) and Normal(i) are not independent.
// Draws of different kinds take keys of their own, by [Key.Fold] or [Key.Named].
type Key struct{ hi, lo uint64 }

// KeyOf returns the root key of a seed.
func KeyOf(seed uint64) Key { return Key{0x64657363656e74, seed} }

// Fold returns the key of sub-stream n of k: a step number, a layer, a replicate.
func (k Key) Fold(n uint64) Key {
	a, b := k.block(n ^ 0x9e3779b97f4a7c15)
	return Key{a, b}
}

// Named returns the key of the sub-stream called name.
func (k Key) Named(name string) Key {
	h := fnv.New64a()
	h.Write([]byte(name))
	return k.Fold(h.Sum64())
}

// Uint64 returns the i-th 64 random bits of the stream.
func (k Key) Uint64(i uint64) uint64 {
	a, b := k.block(i / 2)
	if i%2 == 0 {
		return a
	}
	return b
}

// Float64 returns the i-th uniform number of the stream in [0, 1), a multiple of 2⁻⁵³.
func (k Key) Float64(i uint64) float64 { return float64(k.Uint64(i)>>11) * 0x1p-53 }

// Normal returns the i-th standard normal number of the stream (Box–Muller on block i/2).
func (k Key) Normal(i uint64) float64 {
	a, b := k.normals(i / 2)
	if i%2 == 0 {
		return a
	}
	return b
}

// normals returns the two standard normal numbers of block j. The first uniform is (n + ½)·2⁻⁵³ > 0, so the
// radius is at most 8.7.
func (k Key) normals(j uint64) (float64, float64) {
	a, b := k.block(j)
	r := math.Sqrt(-2 * math.Log((float64(a>>11)+0.5)*0x1p-53))
	s, c := math.Sincos(2 * math.Pi * float64(b>>11) * 0x1p-53)
	return r * c, r * s
}

// IntN returns the i-th uniform integer in [0, n), n > 0 (Lemire's multiplication; the bias is below
// n·2⁻⁶⁴).
func (k Key) IntN(i uint64, n int) int {
	hi, _ := bits.Mul64(k.Uint64(i), uint64(n))
	return int(hi)
}

// block is Philox-4x32-10. The cipher's 128-bit counter is i in its low and the key's first half in its high
// words, its 64-bit key is the other half.
func (k Key) block(i uint64) (uint64, uint64) {
	const m0, m1, w0, w1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
	c0, c1 := uint32(i), uint32(i>>32)
	c2, c3 := uint32(k.hi), uint32(k.hi>>32)
	k0, k1 := uint32(k.lo), uint32(k.lo>>32)
	for range 10 {
		p0, p1 := uint64(m0)*uint64(c0), uint64(m1)*uint64(c2)
		c0, c1, c2, c3 = uint32(p1>>32)^c1^k0, uint32(p1), uint32(p0>>32)^c3^k1, uint32(p0)
		k0, k1 = k0+w0, k1+w1
	}
	return uint64(c0) | uint64(c1)<<32, uint64(c2) | uint64(c3)<<32
}

// Uniform fills dst with the first len(dst) uniform numbers of k in [lo, hi), lo < hi. Rounding to T may give hi
// itself.
func Uniform[T Float](k Key, dst []T, lo, hi float64) {
	for i := range dst {
		dst[i] = T(lo + (hi-lo)*k.Float64(uint64(i)))
	}
}

// Normal fills dst with the first len(dst) normal numbers of k, scaled and shifted.
func Normal[T Float](k Key, dst []T, mean, sd float64) {
	for i := 0; i < len(dst); i += 2 {
		a, b := k.normals(uint64(i / 2))
		dst[i] = T(mean + sd*a)
		if i+1 < len(dst) {
			dst[i+1] = T(mean + sd*b)
		}
	}
}

// Permutation stores a random permutation of 0…len(dst)-1 in dst (Fisher–Yates).
func Permutation(k Key, dst []int32) {
	for i := range dst {
		dst[i] = int32(i)
	}
	for i := len(dst) - 1; i > 0; i-- {
		j := k.IntN(uint64(i), i+1)
		dst[i], dst[j] = dst[j], dst[i]
	}
}
