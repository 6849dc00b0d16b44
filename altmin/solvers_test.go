package altmin

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

// TestMinimizeIsGlobal: no point of a fine grid has a lower φ than the minimiser.
func TestMinimizeIsGlobal(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.SampledFrom([]string{"relu", "leaky-relu", "identity", "hard-tanh", "step", "tanh", "sigmoid", "softplus", "elu"}).Draw(r, "activation")
		a, err := ActivationByName(name)
		if err != nil {
			r.Fatal(err)
		}
		draw := func(what string) float64 { return rapid.Float64Range(-3, 3).Draw(r, what) }
		m, q, z0 := draw("m"), draw("q"), draw("z0")
		beta, w := rapid.Float64Range(0, 4).Draw(r, "beta"), rapid.SampledFrom([]float64{0, 1, 0.3}).Draw(r, "w")
		z := a.Minimize(m, q, z0, beta, w)
		best := a.Value(z, m, q, z0, beta, w)
		for x := -8.0; x <= 8; x += 5e-4 {
			if v := a.Value(x, m, q, z0, beta, w); v < best-1e-6 {
				r.Fatalf("%s(m %v, q %v, z₀ %v, β %v, w %v): φ(%v) = %v, φ(%v) = %v", name, m, q, z0, beta, w, z, best, x, v)
			}
		}
	})
}

// TestReLUFastPath: the loop over entries of ReLU is the general one.
func TestReLUFastPath(t *testing.T) {
	relu, _ := ActivationByName("relu")
	rapid.Check(t, func(r *rapid.T) {
		draw := func(what string) float64 { return rapid.Float64Range(-3, 3).Draw(r, what) }
		m, q, z0 := draw("m"), draw("q"), draw("z0")
		beta, w := rapid.Float64Range(0, 4).Draw(r, "beta"), rapid.Float64Range(0, 2).Draw(r, "w")
		z := []float64{z0}
		minimizeReLU(z, []float64{m}, []float64{q}, beta, w)
		want := relu.Minimize(m, q, z0, beta, w)
		if d := relu.Value(z[0], m, q, z0, beta, w) - relu.Value(want, m, q, z0, beta, w); math.Abs(d) > 1e-12 {
			r.Fatalf("%v, general %v: φ differs by %g", z[0], want, d)
		}
	})
}

// TestNewtonRow: the gradient vanishes to 1e-8 within 25 steps for κ ≥ 1e-4, and FISTA comes to the same value.
func TestNewtonRow(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		k := rapid.IntRange(2, 12).Draw(r, "classes")
		kappa := math.Pow(10, rapid.Float64Range(-4, 1).Draw(r, "log κ"))
		c := make([]float64, k)
		for j := range c {
			c[j] = rapid.Float64Range(-6, 6).Draw(r, "c")
		}
		label := rapid.IntRange(0, k-1).Draw(r, "label")
		z, p := append([]float64(nil), c...), make([]float64, k)
		steps := newtonRow(z, c, label, kappa, make([]float64, 3*k))
		softmaxValue(z, c, p, label, kappa)
		for j := range z {
			g := p[j] + kappa*(z[j]-c[j])
			if j == label {
				g--
			}
			if math.Abs(g) > 1e-8 {
				r.Fatalf("κ %g: gradient %g after %d steps", kappa, g, steps)
			}
		}
		if steps > 25 {
			r.Fatalf("κ %g: %d steps", kappa, steps)
		}
	})
}

// TestFISTA: 500 steps come within 1e-5 of Newton's value for κ ≥ 1e-2.
func TestFISTA(t *testing.T) {
	const n, k = 200, 10
	key := tensor.KeyOf(5)
	c := tensor.New[float64](n, k)
	tensor.Normal(key, c.Data(), 0, 3)
	labels := make([]int32, n)
	for i := range labels {
		labels[i] = int32(i % k)
	}
	ws := tensor.NewWorkspace[float64](nil)
	for _, kappa := range []float64{1e-2, 1} {
		value := func(fista bool) float64 {
			z := tensor.New[float64](n, k)
			o := &output[float64]{kind: "cross-entropy", fista: fista}
			o.minimize(ws, z, c, kappa, nn.Target[float64]{Labels: labels})
			sum, p := 0.0, make([]float64, k)
			for i := range n {
				sum += softmaxValue(z.Data()[i*k:(i+1)*k], c.Data()[i*k:(i+1)*k], p, int(labels[i]), kappa)
			}
			return sum
		}
		newton, fista := value(false), value(true)
		if !(fista >= newton-1e-9 && fista <= newton+1e-5) {
			t.Errorf("κ %g: FISTA %.9f, Newton %.9f", kappa, fista, newton)
		}
	}
}

// TestNewtonBit: the root of σ(z) − y + κ(z − c).
func TestNewtonBit(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		y, c := rapid.Float64Range(0, 1).Draw(r, "y"), rapid.Float64Range(-40, 40).Draw(r, "c")
		kappa := math.Pow(10, rapid.Float64Range(-6, 3).Draw(r, "log κ"))
		z := newtonBit(y, c, kappa)
		if g := 1/(1+math.Exp(-z)) - y + kappa*(z-c); math.Abs(g) > 1e-12*(1+kappa*(1+math.Abs(c))) {
			r.Fatalf("gradient %g at %v", g, z)
		}
	})
}

// TestGrid: the index is that of a search through all levels, ties to the lower, beyond the ends, −0.
func TestGrid(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var g Grid
		var err error
		if rapid.Bool().Draw(r, "uniform") {
			lo := rapid.Float64Range(-5, 5).Draw(r, "lo")
			g, err = UniformGrid(lo, lo+rapid.Float64Range(0.1, 9).Draw(r, "width"), rapid.IntRange(2, 300).Draw(r, "levels"))
		} else {
			g, err = NewGrid(rapid.SliceOfNDistinct(rapid.Float64Range(-5, 5), 2, 30, rapid.ID[float64]).Draw(r, "levels"))
		}
		if err != nil {
			r.Fatal(err)
		}
		v := rapid.Float64Range(-12, 12).Draw(r, "v")
		if rapid.Bool().Draw(r, "tie") {
			i := rapid.IntRange(0, g.Len()-2).Draw(r, "i")
			v = (g.levels[i] + g.levels[i+1]) / 2
		}
		want := 0
		for i, l := range g.levels {
			if math.Abs(l-v) < math.Abs(g.levels[want]-v) {
				want = i
			}
		}
		if got := g.Index(v); got != want {
			r.Fatalf("index of %v is %d (%v), nearest is %d (%v)", v, got, g.levels[got], want, g.levels[want])
		}
	})
	g, _ := UniformGrid(-1, 1, 3)
	if g.Index(math.Copysign(0, -1)) != 1 || g.Bits() != 2 {
		t.Errorf("index of −0 %d, bits %d", g.Index(math.Copysign(0, -1)), g.Bits())
	}
	for _, levels := range [][]float64{nil, {1}, {1, 1}, {1, math.NaN()}} {
		if _, err := NewGrid(levels); err == nil {
			t.Errorf("levels %v were taken", levels)
		}
	}
}

// TestPack: what is packed comes out, in as many bytes as the bits take.
func TestPack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(0, 50).Draw(r, "n")
		levels := rapid.IntRange(2, 70000).Draw(r, "levels")
		g, err := UniformGrid(-1, 2, levels)
		if err != nil {
			r.Fatal(err)
		}
		x, y := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i] = g.levels[rapid.IntRange(0, levels-1).Draw(r, "level")]
		}
		var m message
		pack(&m, g, x)
		if want := (n*g.Bits() + 7) / 8; len(m.bytes) != want {
			r.Fatalf("%d bytes, expected %d", len(m.bytes), want)
		}
		unpack(m, g, y)
		for i := range x {
			if x[i] != y[i] {
				r.Fatalf("entry %d: %v became %v", i, x[i], y[i])
			}
		}
	})
}

// TestBacktrack: the accepted t is at least the curvature and at most twice it, or the start.
func TestBacktrack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		curvature := math.Pow(10, rapid.Float64Range(-8, 8).Draw(r, "log curvature"))
		first, last := rapid.Float64Range(1e-3, 20).Draw(r, "first"), rapid.Float64Range(0, 1e3).Draw(r, "last")
		start := first
		if last > 0 {
			start = last / 2
		}
		if got := backtrack(last, first, curvature); got < curvature || got > 2*max(start, curvature) {
			r.Fatalf("t = %v for curvature %v from %v", got, curvature, start)
		}
	})
}

// TestPreimage: the ends of the interval have the asked values, and beyond them f leaves them.
func TestPreimage(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.SampledFrom([]string{"relu", "leaky-relu", "identity", "hard-tanh", "tanh", "sigmoid", "softplus", "elu"}).Draw(r, "activation")
		a, err := ActivationByName(name)
		if err != nil {
			r.Fatal(err)
		}
		// a feasible interval: about a value of f
		v := a.F(rapid.Float64Range(-5, 5).Draw(r, "z"))
		e := rapid.Float64Range(1e-3, 3).Draw(r, "ε")
		from, to := a.Preimage(v-e, v+e)
		if !(from <= to) {
			r.Fatalf("%s: [%v, %v]", name, from, to)
		}
		for k := range 101 {
			z := max(from, -9) + float64(k)/100*(min(to, 9)-max(from, -9))
			if math.Abs(a.F(z)-v) > e+1e-9 {
				r.Fatalf("%s: f(%v) = %v, not within %v of %v", name, z, a.F(z), e, v)
			}
		}
		for _, z := range []float64{from - 1e-3, to + 1e-3} {
			if !math.IsInf(z, 0) && math.Abs(a.F(z)-v) < e-1e-2 {
				r.Fatalf("%s: f(%v) = %v is still within %v of %v", name, z, a.F(z), e, v)
			}
		}
	})
}
