package nn_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

func filled(t testing.TB, spec string, rows, cols int) []float64 {
	t.Helper()
	init, err := nn.ParseInitializer(spec)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, rows*cols)
	nn.Fill(tensor.KeyOf(1), nn.Param{Name: "w", Shape: tensor.ShapeOf(rows, cols), FanIn: rows, FanOut: cols, Init: init}, x)
	return x
}

// Mean and standard deviation of every initialiser are the stated ones within 5 standard errors, and the bounded ones
// keep their bounds.
func TestInitializerMoments(t *testing.T) {
	const in, out, n = 300, 200, 300 * 200
	// Standard deviation of a standard normal number cut off at ±2: √(1 − 4φ(2)/(2Φ(2) − 1)).
	cut := math.Sqrt(1 - 4*math.Exp(-2)/math.Sqrt(2*math.Pi)/math.Erf(math.Sqrt2))
	for _, c := range []struct {
		spec      string
		sd, bound float64
	}{
		{"normal:0.3", 0.3, math.Inf(1)},
		{"truncated-normal:0.05", 0.05 * cut, 0.1},
		{"uniform:0.2", 0.2 / math.Sqrt(3), 0.2},
		{"glorot-uniform", math.Sqrt(2.0 / (in + out)), math.Sqrt(6.0 / (in + out))},
		{"glorot-normal:2", 2 * math.Sqrt(2.0/(in+out)), math.Inf(1)},
		{"he-uniform", math.Sqrt(2.0 / in), math.Sqrt(6.0 / in)},
		{"he-normal", math.Sqrt(2.0 / in), math.Inf(1)},
		{"lecun-uniform", math.Sqrt(1.0 / in), math.Sqrt(3.0 / in)},
		{"lecun-normal", math.Sqrt(1.0 / in), math.Inf(1)},
	} {
		var sum, square, largest float64
		for _, v := range filled(t, c.spec, in, out) {
			sum += v
			square += v * v
			largest = max(largest, math.Abs(v))
		}
		mean, sd := sum/n, math.Sqrt(square/n)
		if math.Abs(mean) > 5*c.sd/math.Sqrt(n) || math.Abs(sd/c.sd-1) > 5/math.Sqrt(2*n) || largest > c.bound {
			t.Errorf("%s: mean %.5f, sd %.5f (want %.5f), largest %.5f (bound %.5f)", c.spec, mean, sd, c.sd, largest, c.bound)
		}
		if !math.IsInf(c.bound, 1) && largest < 0.99*c.bound {
			t.Errorf("%s: largest %.5f does not come near the bound %.5f", c.spec, largest, c.bound)
		}
	}
	for _, v := range filled(t, "constant:0.5", 3, 4) {
		if v != 0.5 {
			t.Errorf("constant:0.5 gives %v", v)
		}
	}
}

func TestOrthogonal(t *testing.T) {
	for _, s := range [][2]int{{5, 5}, {40, 7}, {7, 40}, {1, 3}} {
		rows, cols := s[0], s[1]
		x := tensor.FromSlice(filled(t, "orthogonal:1.5", rows, cols), rows, cols)
		ws := tensor.NewWorkspace[float64](nil)
		k := min(rows, cols)
		gram := tensor.New[float64](k, k)
		tensor.MatMul(ws, gram, x, x, cols <= rows, cols > rows)
		for i := range k {
			for j := range k {
				want := 0.0
				if i == j {
					want = 1.5 * 1.5
				}
				if math.Abs(gram.At(i, j)-want) > 1e-14*float64(rows+cols) {
					t.Errorf("%d×%d: Gram entry (%d, %d) is %g, want %g", rows, cols, i, j, gram.At(i, j), want)
				}
			}
		}
	}
}

// The values depend on key, name, shape and fans alone: not on the parameters around, nor on the element type.
func TestInitializationIsAFunctionOfTheName(t *testing.T) {
	o := nn.Options{Input: tensor.ShapeOf(6), Outputs: 3}
	small, large := model(t, "mlp:5", o), model(t, "mlp:5,4", o)
	a, b := initial(small, 3), initial(large, 3)
	if !slices.Equal(a[:6*5+5], b[:6*5+5]) {
		t.Error("the first layer of two models starts differently")
	}
	m32, err := nn.Build[float32]("mlp:5", o)
	if err != nil {
		t.Fatal(err)
	}
	c := make([]float32, m32.Layout().Size())
	nn.Initialize(m32, tensor.KeyOf(3), c, nil)
	for i := range c {
		if c[i] != float32(a[i]) {
			t.Fatalf("float32 value %d is %v, float64 %v", i, c[i], a[i])
		}
	}
	if slices.Equal(a, initial(small, 4)) {
		t.Error("two seeds give the same values")
	}
}

func TestInitializerNames(t *testing.T) {
	for _, name := range nn.Initializers() {
		i, err := nn.ParseInitializer(name)
		if err != nil || i.Name != name || i.String() != name {
			t.Errorf("%s: %v, %v", name, i, err)
		}
	}
	for spec, want := range map[string]string{"xavier": "glorot-uniform", "Kaiming": "he-normal", "normal:0.1": "normal:0.1", "constant:-2": "constant:-2"} {
		if i, err := nn.ParseInitializer(spec); err != nil || i.String() != want {
			t.Errorf("%s: %v, %v, want %s", spec, i, err, want)
		}
	}
	for spec, want := range map[string]string{
		"glorot-unifrom": "did you mean glorot-uniform", "normal:x": `found "x"`, "normal:-1": `found "-1"`, "normal:nan": `found "nan"`, "": "one of zeros",
	} {
		if _, err := nn.ParseInitializer(spec); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%q: error %v, want %q and a hint", spec, err, want)
		}
	}
}
