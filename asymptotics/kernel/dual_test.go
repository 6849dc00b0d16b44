package kernel_test

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/asymptotics/kernel"
	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

// TestQuadrature is check K5: the quadrature of a function agrees with its formula, to 1e-6 where it is smooth and to 1e-4 where it has a kink. The
// bounds asked for here are stricter.
func TestQuadrature(t *testing.T) {
	numeric := func(s kernel.Activation, kinks ...float64) kernel.Activation {
		return kernel.Quadrature(s.Name, func(x float64) float64 { v, _ := s.At(x); return v }, func(x float64) float64 { _, d := s.At(x); return d }, kinks...)
	}
	type pair struct {
		s     kernel.Activation
		q     kernel.Activation
		bound float64
	}
	cases := []pair{{kernel.Erf(), numeric(kernel.Erf()), 1e-9}, {kernel.Sin(), numeric(kernel.Sin()), 1e-9}, {kernel.Cos(), numeric(kernel.Cos()), 1e-9},
		{kernel.ReLU(), numeric(kernel.ReLU(), 0), 1e-8}, {kernel.Abs(), numeric(kernel.Abs(), 0), 1e-8}, {kernel.Step(), numeric(kernel.Step(), 0), 1e-8}}
	worst := make([]float64, len(cases))
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64Range(0.05, 4).Draw(t, "a"), rapid.Float64Range(0.05, 4).Draw(t, "b")
		c := rapid.Float64Range(-1, 1).Draw(t, "rho") * math.Sqrt(a*b)
		for i, p := range cases {
			v, d := p.s.Pair(a, b, c)
			qv, qd := p.q.Pair(a, b, c)
			e := math.Max(math.Abs(v-qv), math.Abs(d-qd))
			worst[i] = math.Max(worst[i], e)
			if e > p.bound {
				t.Errorf("%s at (%g, %g, %g): (%.9g, %.9g) by formula, (%.9g, %.9g) by quadrature", p.s.Name, a, b, c, v, d, qv, qd)
			}
		}
	})
	for i, p := range cases {
		t.Logf("%s: largest difference %.2g", p.s.Name, worst[i])
	}
}

// TestSeries: Mehler's series, which kernels of smooth functions use, agrees with the two-dimensional quadrature.
func TestSeries(t *testing.T) {
	x := tensor.New[float64](6, 3)
	tensor.Normal(tensor.KeyOf(3), x.Data(), 0, 1)
	copy(x.Data()[3:6], x.Data()[:3]) // two equal points
	for _, s := range []kernel.Activation{kernel.Tanh(), kernel.Sigmoid(), kernel.GELU(), kernel.SiLU(), kernel.Softplus()} {
		m := kernel.MLP{Activation: s, Depth: 1, Input: 1, WeightVar: 1}
		k, err := m.Kernel(nil, x, matrix{})
		if err != nil {
			t.Fatal(err)
		}
		lin, _ := kernel.MLP{Depth: 0, Input: 1}.Kernel(nil, x, matrix{})
		for i := range 6 {
			for j := range 6 {
				v, d := s.Pair(lin.NNGP.At(i, i), lin.NNGP.At(j, j), lin.NNGP.At(i, j))
				if math.Abs(k.NNGP.At(i, j)-v) > 1e-8 || math.Abs(k.NTK.At(i, j)-v-d*lin.NNGP.At(i, j)) > 1e-7 {
					t.Errorf("%s (%d, %d): series (%.10g, %.10g), panels (%.10g, %.10g)", s.Name, i, j, k.NNGP.At(i, j), k.NTK.At(i, j), v, v+d*lin.NNGP.At(i, j))
				}
			}
		}
	}
}

// TestDualIdentities: at correlation 1 the dual is the second moment, at 0 the product of means; the dual of the derivative is the derivative
// of the dual, dE σσ/dc = E σ'σ'.
func TestDualIdentities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := append(kernel.Activations(), kernel.Polynomial(0.3, -1, 0.5, 0.2), kernel.Hermite(3))
		s := all[rapid.IntRange(0, len(all)-1).Draw(t, "activation")]
		if s.Name == "step" || s.Name == "sign" || s.Name == "hard-tanh" {
			return // jumps: E σ'σ' leaves out the point masses, or bends the derivative
		}
		a, b := rapid.Float64Range(0.1, 2).Draw(t, "a"), rapid.Float64Range(0.1, 2).Draw(t, "b")
		r := rapid.Float64Range(-0.95, 0.95).Draw(t, "rho")
		c := r * math.Sqrt(a*b)
		h := 1e-4
		_, d := s.Pair(a, b, c)
		up, _ := s.Pair(a, b, c+h)
		down, _ := s.Pair(a, b, c-h)
		if got := (up - down) / (2 * h); math.Abs(got-d) > 2e-4*(1+math.Abs(d)) {
			t.Errorf("%s at (%g, %g, %g): slope %g, difference quotient %g", s.Name, a, b, c, d, got)
		}
		v, _ := s.Pair(b, a, c)
		w, _ := s.Pair(a, b, c)
		if math.Abs(v-w) > 1e-7*(1+math.Abs(v)) {
			t.Errorf("%s is not symmetric: %g and %g", s.Name, v, w)
		}
	})
}

// TestHermite: at unit variance E h_k h_k = ρᵏ.
func TestHermite(t *testing.T) {
	for k := range 8 {
		for _, r := range []float64{-1, -0.4, 0, 0.7, 1} {
			if v, _ := kernel.Hermite(k).Pair(1, 1, r); math.Abs(v-math.Pow(r, float64(k))) > 1e-12 {
				t.Errorf("degree %d at %g: %g", k, r, v)
			}
		}
	}
	if _, err := kernel.ByName("tnah"); err == nil {
		t.Error("tnah was found")
	}
	if s, err := kernel.ByName("hermite4"); err != nil || s.Name != "hermite4" {
		t.Error(err)
	}
}
