package tensor

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// The known-answer vectors of the Random123 distribution (kat_vectors, philox 4x32 with 10 rounds), as
// counter words, key words and result words.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		ctr [4]uint32
		key [2]uint32
		out [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		word := func(lo, hi uint32) uint64 { return uint64(lo) | uint64(hi)<<32 }
		k := Key{hi: word(c.ctr[2], c.ctr[3]), lo: word(c.key[0], c.key[1])}
		a, b := k.block(word(c.ctr[0], c.ctr[1]))
		if a != word(c.out[0], c.out[1]) || b != word(c.out[2], c.out[3]) {
			t.Errorf("counter %x key %x: found %016x %016x, expected words %x", c.ctr, c.key, a, b, c.out)
		}
	}
}

// chiSquare fails the test if the counts are not plausible as draws with equal probabilities, at level 10⁻⁴ on
// each side; the seeds are fixed, so it always or never fails.
func chiSquare(t *testing.T, what string, counts []int) {
	t.Helper()
	n := 0
	for _, c := range counts {
		n += c
	}
	want := float64(n) / float64(len(counts))
	x := 0.0
	for _, c := range counts {
		x += (float64(c) - want) * (float64(c) - want) / want
	}
	p := distuv.ChiSquared{K: float64(len(counts) - 1)}.CDF(x)
	if p < 1e-4 || p > 1-1e-4 {
		t.Errorf("%s: χ² = %.1f with %d degrees of freedom, p = %.2g", what, x, len(counts)-1, min(p, 1-p))
	}
}

func TestUniformity(t *testing.T) {
	const n = 1 << 18
	k := KeyOf(1)
	bins, pairs := make([]int, 256), make([]int, 32*32)
	bits := make([]int, 64)
	sub := make([]int, 256)
	for i := range uint64(n) {
		u := k.Float64(i)
		if u < 0 || u >= 1 {
			t.Fatalf("uniform number %v", u)
		}
		bins[int(u*256)]++
		if i%2 == 1 {
			pairs[int(k.Float64(i-1)*32)*32+int(u*32)]++
		}
		for b := range bits {
			bits[b] += int(k.Uint64(i)>>b) & 1
		}
		sub[int(k.Fold(i).Float64(0)*256)]++ // the first number of each sub-stream
	}
	chiSquare(t, "256 bins", bins)
	chiSquare(t, "successive pairs", pairs)
	chiSquare(t, "first numbers of sub-streams", sub)
	for b, c := range bits {
		if z := (float64(c) - n/2) / math.Sqrt(n/4); math.Abs(z) > 4.5 {
			t.Errorf("bit %d is one %d times in %d", b, c, n)
		}
	}
}

func TestNormality(t *testing.T) {
	const n = 1 << 18
	x := make([]float64, n)
	Normal(KeyOf(2), x, 0, 1)
	var m [5]float64
	lag := 0.0
	for i, v := range x {
		for p := 1; p <= 4; p++ {
			m[p] += math.Pow(v, float64(p)) / n
		}
		if i > 0 {
			lag += v * x[i-1] / n
		}
	}
	for _, c := range []struct {
		what             string
		found, want, dev float64 // dev: standard deviation of one sample of it
	}{
		{"mean", m[1], 0, 1}, {"second moment", m[2], 1, math.Sqrt(2)}, {"third moment", m[3], 0, math.Sqrt(15)},
		{"fourth moment", m[4], 3, math.Sqrt(96)}, {"autocorrelation", lag, 0, 1},
	} {
		if z := (c.found - c.want) / (c.dev / math.Sqrt(n)); math.Abs(z) > 4 {
			t.Errorf("%s is %g, expected %g: %.1f standard errors", c.what, c.found, c.want, z)
		}
	}
	// Kolmogorov–Smirnov: √n sup |F_n − Φ| exceeds 2.2 with probability 10⁻⁴.
	slices.Sort(x)
	d := 0.0
	for i, v := range x {
		f := distuv.UnitNormal.CDF(v)
		d = max(d, f-float64(i)/n, float64(i+1)/n-f)
	}
	if d*math.Sqrt(n) > 2.2 {
		t.Errorf("Kolmogorov–Smirnov distance %.4g", d*math.Sqrt(n))
	}
}

func TestFillsAreTheStream(t *testing.T) {
	k := KeyOf(3)
	for _, n := range []int{0, 1, 2, 7} {
		u, z := make([]float64, n), make([]float64, n)
		Uniform(k, u, -1, 3)
		Normal(k, z, 2, 0.5)
		for i := range n {
			if u[i] != -1+4*k.Float64(uint64(i)) || z[i] != 2+0.5*k.Normal(uint64(i)) {
				t.Errorf("n = %d: element %d is not the stream's", n, i)
			}
		}
	}
}

func TestIntN(t *testing.T) {
	k := KeyOf(4)
	counts := make([]int, 7)
	for i := range uint64(70000) {
		counts[k.IntN(i, 7)]++
	}
	chiSquare(t, "IntN", counts)
	if k.IntN(5, 1) != 0 {
		t.Error("IntN(·, 1) is not 0")
	}
}

func TestPermutationIsUniform(t *testing.T) {
	index := map[[4]int32]int{}
	counts := make([]int, 24)
	for s := range uint64(24000) {
		var p [4]int32
		Permutation(KeyOf(5).Fold(s), p[:])
		if _, ok := index[p]; !ok {
			if len(index) == 24 {
				t.Fatalf("%v is no permutation", p)
			}
			index[p] = len(index)
		}
		counts[index[p]]++
	}
	chiSquare(t, "permutations of 4", counts)
}

func TestKeysDiffer(t *testing.T) {
	k := KeyOf(6)
	seen := map[Key]bool{}
	for _, c := range []Key{k, KeyOf(7), k.Fold(0), k.Fold(1), k.Fold(0).Fold(1), k.Fold(1).Fold(0), k.Named("a"), k.Named("b"), k.Named("")} {
		if seen[c] {
			t.Errorf("key %v twice", c)
		}
		seen[c] = true
	}
	if KeyOf(6) != k || KeyOf(6).Named("a") != k.Named("a") {
		t.Error("a key is not a function of its names")
	}
}

func TestDropoutMask(t *testing.T) {
	const n = 100_003
	for _, p := range []float64{0.1, 0.5, 0.9} {
		want := New[float32](n)
		DropoutMask(NewWorkspace[float32](nil), want, p, KeyOf(8))
		zeros := 0
		for _, v := range want.data {
			switch v {
			case 0:
				zeros++
			case float32(1 / (1 - p)):
			default:
				t.Fatalf("p = %g: element %g", p, v)
			}
		}
		if z := (float64(zeros) - n*p) / math.Sqrt(n*p*(1-p)); math.Abs(z) > 4 {
			t.Errorf("p = %g: %d zeros of %d", p, zeros, n)
		}
		for _, workers := range []int{2, 3, 5} {
			got := New[float32](n)
			DropoutMask(NewWorkspace[float32](NewPool(workers)), got, p, KeyOf(8))
			if !slices.Equal(got.data, want.data) {
				t.Errorf("p = %g: %d workers drop other elements", p, workers)
			}
		}
		// A shorter tensor gets the beginning.
		short := New[float32](1001)
		DropoutMask(NewWorkspace[float32](nil), short, p, KeyOf(8))
		if !slices.Equal(short.data, want.data[:1001]) {
			t.Errorf("p = %g: the mask depends on the length", p)
		}
	}
}
