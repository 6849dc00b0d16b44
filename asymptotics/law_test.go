package asymptotics

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

// sobolPoints are points 1, 2, 3 and 100 by testdata/sobol.py.
var sobolPoints = [][]float64{
	{0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5},
	{0.75, 0.25, 0.25, 0.25, 0.75, 0.75, 0.25, 0.75, 0.75, 0.75, 0.75, 0.75, 0.25, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.25},
	{0.25, 0.75, 0.75, 0.75, 0.25, 0.25, 0.75, 0.25, 0.25, 0.25, 0.25, 0.25, 0.75, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75, 0.75},
	{0.4140625, 0.2578125, 0.7734375, 0.7265625, 0.8828125, 0.7421875, 0.0234375, 0.4765625, 0.6328125, 0.6953125, 0.4609375, 0.6796875, 0.4765625, 0.8515625, 0.3203125, 0.4921875, 0.6796875, 0.7421875, 0.8359375, 0.3359375, 0.7578125},
}

func TestSobol(t *testing.T) {
	for dim := range sobolDims {
		v := directions(dim)
		for k, i := range []int{1, 2, 3, 100} {
			var x uint32
			for b, gray := 0, uint32(i)^uint32(i)>>1; gray != 0; b, gray = b+1, gray>>1 {
				if gray&1 == 1 {
					x ^= v[b]
				}
			}
			if got, want := float64(x)*0x1p-32, sobolPoints[k][dim]; got != want {
				t.Errorf("point %d, coordinate %d: found %v, expected %v", i, dim+1, got, want)
			}
		}
	}
}

// TestScrambling checks that 2ᵏ scrambled points have one in each interval of length 2⁻ᵏ, in every coordinate, and that a
// Latin hypercube does so for any number.
func TestScrambling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 1 << rapid.IntRange(0, 9).Draw(t, "k")
		dim := rapid.IntRange(0, 30).Draw(t, "dim")
		if dim >= sobolDims {
			n += rapid.IntRange(0, 5).Draw(t, "more")
		}
		v := make([]float64, n)
		sobol(tensor.KeyOf(rapid.Uint64().Draw(t, "seed")), dim, v)
		seen := make([]bool, n)
		for _, u := range v {
			if !(u > 0 && u < 1) {
				t.Fatalf("%v is outside (0, 1)", u)
			}
			k := int(u * float64(n))
			if seen[k] {
				t.Fatalf("two points in interval %d of %d", k, n)
			}
			seen[k] = true
		}
	})
}

func TestLaws(t *testing.T) {
	for _, l := range []Law{Uniform{-1, 1}, Uniform{0, 2}, Normal{0, 1}, Normal{1, 0.5}, TwoPoint{-0.25, 1, 0.8}, TwoPoint{-1, 1, 0.5}, Constant{0.7}, Constant{0}} {
		const n = 200000
		draws := make([]float64, n)
		sample(l, tensor.KeyOf(5).Named(l.String()), draws)
		for k := 1; k <= 3; k++ {
			// The midpoint rule through the quantile function, and draws.
			var exact, drawn, square float64
			for i := range n {
				q := math.Pow(l.Quantile((float64(i)+0.5)/n), float64(k))
				exact += q / n
				square += q * q / n
				drawn += math.Pow(draws[i], float64(k)) / n
			}
			if math.Abs(exact-l.Moment(k)) > 2e-3 {
				t.Errorf("%v: moment %d by the quantile function %v, by formula %v", l, k, exact, l.Moment(k))
			}
			if se := math.Sqrt(square / n); math.Abs(drawn-l.Moment(k)) > 4*se+1e-12 {
				t.Errorf("%v: moment %d of draws %v ± %v, by formula %v", l, k, drawn, se, l.Moment(k))
			}
		}
		symmetric := true
		for _, u := range []float64{0.1, 0.3, 0.45, 0.6, 0.95} {
			symmetric = symmetric && math.Abs(l.Quantile(u)+l.Quantile(1-u)) < 1e-9
		}
		if symmetric != l.Symmetric() {
			t.Errorf("%v: Symmetric() = %v", l, l.Symmetric())
		}
	}
	// The density is the derivative of the distribution function.
	for _, l := range []Law{Uniform{-1, 3}, Normal{1, 0.5}} {
		for _, u := range []float64{0.05, 0.4, 0.9} {
			const h = 1e-5
			want := 2 * h / (l.Quantile(u+h) - l.Quantile(u-h))
			if got := math.Exp(l.LogDensity(l.Quantile(u))); math.Abs(got-want) > 1e-6*want {
				t.Errorf("%v: density %v, expected %v", l, got, want)
			}
		}
	}
	if l := (TwoPoint{-1, 2, 0.25}); math.Exp(l.LogDensity(2)) != 0.75 || !math.IsInf(l.LogDensity(0), -1) {
		t.Error("probabilities of a two-point law")
	}
}

// TestPairedNodes checks what must vanish by symmetry.
func TestPairedNodes(t *testing.T) {
	for _, c := range []Law{Uniform{-1, 1}, SkewedOutput()} {
		p := BenchmarkA()
		p.Init.Output = c
		s := makeNodes(&p, 1001, Paired, 3)
		if s.count != 1004 {
			t.Fatalf("%d nodes", s.count)
		}
		rows := make([][]float64, 3)
		for j := range rows {
			rows[j] = make([]float64, s.count)
			s.get(j, rows[j])
		}
		var mc, mw, mcw float64
		for i := range s.count {
			mc += rows[0][i]
			mw += rows[1][i] + rows[2][i]
			mcw += rows[0][i] * math.Tanh(rows[1][i]*0.3+rows[2][i])
		}
		if math.Abs(mc) > 1e-10 || math.Abs(mw) > 1e-10 || math.Abs(mcw) > 1e-10 {
			t.Errorf("%v: sums %v %v %v are to vanish", c, mc, mw, mcw)
		}
	}
}

func TestActivations(t *testing.T) {
	for _, a := range Activations() {
		got, err := ActivationByName(a.Name)
		if err != nil || got.Name != a.Name {
			t.Errorf("%s by name: %v", a.Name, err)
		}
		for _, u := range []float64{-7, -2.5, -0.3, 0.001, 0.4, 1.7, 6} {
			const h = 1e-5
			s, d, d2 := a.At(u)
			up, dup, _ := a.At(u + h)
			down, ddown, _ := a.At(u - h)
			if want := (up - down) / (2 * h); math.Abs(d-want) > 1e-8 {
				t.Errorf("%s'(%g): found %v, expected %v", a.Name, u, d, want)
			}
			if want := (dup - ddown) / (2 * h); math.Abs(d2-want) > 1e-8 {
				t.Errorf("%s”(%g): found %v, expected %v", a.Name, u, d2, want)
			}
			c, w := []float64{1.3}, make([]float64, 1)
			a.weightedFirst(w, []float64{s}, []float64{u}, c)
			if math.Abs(w[0]-1.3*d) > 1e-15+1e-14*math.Abs(d) {
				t.Errorf("%s: c σ'(%g) = %v, expected %v", a.Name, u, w[0], 1.3*d)
			}
			zero, _, _ := a.At(0)
			minus, _, _ := a.At(-u)
			if odd := math.Abs((s-zero)+(minus-zero)) < 1e-12; a.Odd && !odd {
				t.Errorf("%s is not odd at %g", a.Name, u)
			}
		}
		if big, _, _ := a.At(50); a.Bounded != (math.Abs(big) < 10) {
			t.Errorf("%s(50) = %v", a.Name, big)
		}
	}
	if _, err := ActivationByName("tan"); err == nil {
		t.Error("tan is no activation")
	}
}
