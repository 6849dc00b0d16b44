package matrix_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/matrix"
	"github.com/descent-ml/descent/tensor"
)

func single(in, out int) *nn.Layout {
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "w", Shape: tensor.ShapeOf(in, out), Kind: nn.Weight})
	return l
}

// stream is a function whose gradient at evaluation k is a given matrix plus a multiple of the parameters.
type stream = streamOf[float64]

type streamOf[T tensor.Float] struct {
	gradients [][]T
	pull      T
	k         int
}

func (s *streamOf[T]) Evaluate(p, grad []T) (float64, error) {
	g := s.gradients[s.k%len(s.gradients)]
	s.k++
	for i := range grad {
		grad[i] = g[i] + s.pull*p[i]
	}
	return 1, nil
}

func noise(seed uint64, steps, n int) [][]float64 {
	g := make([][]float64, steps)
	for k := range g {
		g[k] = make([]float64, n)
		tensor.Normal(tensor.KeyOf(seed+uint64(k)), g[k], 0, 1)
	}
	return g
}

// follow returns the parameters after each of the steps.
func follow(t *testing.T, m optim.Method[float64], layout *nn.Layout, f objective.Function[float64], from []float64, steps int) [][]float64 {
	t.Helper()
	params := append([]float64(nil), from...)
	o := objective.New[float64](f, layout, params)
	var out [][]float64
	for k := range steps {
		o.SetProgress(objective.Progress{Step: int64(k), Batch: 1})
		if _, err := m.Step(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		out = append(out, append([]float64(nil), params...))
	}
	return out
}

func must(t *testing.T, name string, layout *nn.Layout, s settings) optim.Method[float64] {
	t.Helper()
	m, err := newMethod(name, optim.Env{Layout: layout}, s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// near wants the elements to be at most tol apart.
func near(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	for i := range want {
		if e := math.Abs(got[i] - want[i]); !(e <= tol) {
			t.Fatalf("%s: element %d is %v, expected %v (%.1e apart)", what, i, got[i], want[i], e)
		}
	}
}

func polar(g []float64, in, out int) []float64 {
	var svd mat.SVD
	svd.Factorize(mat.NewDense(in, out, append([]float64(nil), g...)), mat.SVDThin)
	var u, v, o mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	o.Mul(&u, v.T())
	return o.RawMatrix().Data
}

// TestMuonStep: a step is the rate times the scale times a matrix with singular values near 1, for gradients of any size;
// polished it is the polar factor.
func TestMuonStep(t *testing.T) {
	for _, shape := range [][2]int{{6, 9}, {9, 6}, {7, 7}} {
		in, out := shape[0], shape[1]
		layout := single(in, out)
		for _, size := range []float64{1e-9, 1, 1e9} {
			g := noise(1, 1, in*out)
			for i := range g[0] {
				g[0][i] *= size
			}
			for _, c := range []struct {
				set   settings
				scale float64
			}{
				{settings{"lr": 1}, math.Sqrt(math.Max(1, float64(out)/float64(in)))},
				{settings{"lr": 1, "moonlight": 1}, 0.2 * math.Sqrt(float64(max(in, out)))},
			} {
				step := follow(t, must(t, "muon", layout, c.set), layout, &stream{gradients: g}, make([]float64, in*out), 1)[0]
				var svd mat.SVD
				svd.Factorize(mat.NewDense(in, out, step), mat.SVDNone)
				for _, s := range svd.Values(nil) {
					if s/c.scale < 0.68 || s/c.scale > 1.2024 {
						t.Errorf("%v, gradient of size %g, %v: singular value %v", shape, size, c.set, s/c.scale)
					}
				}
				c.set["polish"] = 8
				step = follow(t, must(t, "muon", layout, c.set), layout, &stream{gradients: g}, make([]float64, in*out), 1)[0]
				want := polar(g[0], in, out)
				for i := range want {
					want[i] *= -c.scale
				}
				near(t, "polished", step, want, 1e-12)
			}
		}
	}
}

// TestNorMuonLength: the step has the root mean square 0.2·lr, and in the first step every output unit has the same.
func TestNorMuonLength(t *testing.T) {
	const in, out = 8, 5
	layout := single(in, out)
	steps := follow(t, must(t, "normuon", layout, settings{"lr": 1}), layout, &stream{gradients: noise(2, 6, in*out)}, make([]float64, in*out), 6)
	last := make([]float64, in*out)
	for k, p := range steps {
		sum, column := 0.0, make([]float64, out)
		for i := range p {
			d := (p[i] - last[i]) * (p[i] - last[i])
			sum += d
			column[i%out] += d
		}
		if got := math.Sqrt(sum / (in * out)); math.Abs(got-0.2) > 1e-12 {
			t.Errorf("step %d has the root mean square %v, expected 0.2", k+1, got)
		}
		for j, c := range column {
			if got := math.Sqrt(c / in); k == 0 && math.Abs(got-0.2) > 1e-7 { // ε = 1e-8 beside √n ≈ 0.1
				t.Errorf("unit %d has the root mean square %v in the first step, expected 0.2", j, got)
			}
		}
		last = p
	}
}

func TestWhatIsAMatrix(t *testing.T) {
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "embedding", Shape: tensor.ShapeOf(4, 3), Kind: nn.Embedding})
	l.Add(nn.Param{Name: "conv", Shape: tensor.ShapeOf(6, 5), Kind: nn.Weight})
	l.Add(nn.Param{Name: "bias", Shape: tensor.ShapeOf(5), Kind: nn.Bias})
	l.Add(nn.Param{Name: "column", Shape: tensor.ShapeOf(5, 1), Kind: nn.Weight})
	l.Add(nn.Param{Name: "head", Shape: tensor.ShapeOf(5, 4), Kind: nn.Weight})
	f := &stream{gradients: noise(3, 20, l.Size())}
	muon := follow(t, must(t, "muon", l, settings{"lr": 0.1, "adam-lr": 0.01, "adam-beta2": 0.999}), l, f, make([]float64, l.Size()), 20)
	f.k = 0
	m, err := optim.New[float64]("adam", optim.Env{Layout: l}, settings{"lr": 0.01})
	if err != nil {
		t.Fatal(err)
	}
	adam := follow(t, m, l, f, make([]float64, l.Size()), 20)
	for i := range l.Len() {
		p := l.At(i)
		got, want := muon[19][p.Offset:p.Offset+p.Shape.Size()], adam[19][p.Offset:p.Offset+p.Shape.Size()]
		if p.Name == "conv" {
			if math.Abs(got[0]-want[0]) < 1e-3 {
				t.Errorf("%s has Adam", p.Name)
			}
			continue
		}
		near(t, p.Name, got, want, 1e-13)
	}
}

// TestFirstStep: without grafting the first step of Shampoo and of CASPR tends to U Vᵀ.
func TestFirstStep(t *testing.T) {
	const in, out = 6, 9
	layout := single(in, out)
	g := noise(4, 1, in*out)
	want := polar(g[0], in, out)
	for i := range want {
		want[i] = -want[i]
	}
	for _, name := range []string{"shampoo", "caspr"} {
		for _, c := range []struct{ ridge, tol float64 }{{1e-4, 1e-2}, {1e-13, 1e-8}} {
			s := settings{"lr": 1, "graft": 0, "weight-decay": 0, "ridge": c.ridge}
			step := follow(t, must(t, name, layout, s), layout, &stream{gradients: g}, make([]float64, in*out), 1)[0]
			near(t, fmt.Sprintf("%s, ridge %g", name, c.ridge), step, want, c.tol)
		}
	}
}

// TestFirstStepClosedForm: with a ridge the first step is a function of the singular values; by eigenvalues, with bases that are kept,
// and by Newton's iteration.
func TestFirstStepClosedForm(t *testing.T) {
	const in, out = 6, 9
	layout := single(in, out)
	g := noise(4, 1, in*out)
	for _, how := range []settings{{}, {"tolerance": 0.01}, {"newton": 1}} {
		for _, p := range []float64{2, 4, 0} { // 0: CASPR
			const ridge = 1e-3
			s := settings{"lr": 1, "graft": 0, "weight-decay": 0, "ridge": ridge}
			maps.Copy(s, how)
			name := "caspr"
			if p > 0 {
				name, s["root"] = "shampoo", p
			}
			step := follow(t, must(t, name, layout, s), layout, &stream{gradients: g}, make([]float64, in*out), 1)[0]
			// In the singular vectors each singular value s of G becomes s a^(−1/p) b^(−1/p), or s (a^(−1/4) + b^(−1/4))²/4, with
			// a = s² + ε‖G‖²/in, b = s² + ε‖G‖²/out.
			var svd mat.SVD
			svd.Factorize(mat.NewDense(in, out, g[0]), mat.SVDThin)
			values, total := svd.Values(nil), 0.0
			for _, v := range values {
				total += v * v
			}
			for k, v := range values {
				a, b := v*v+ridge*total/in, v*v+ridge*total/out
				if p > 0 {
					values[k] = -v * math.Pow(a, -1/p) * math.Pow(b, -1/p)
				} else {
					values[k] = -v * math.Pow(math.Pow(a, -0.25)+math.Pow(b, -0.25), 2) / 4
				}
			}
			var u, v, us, o mat.Dense
			svd.UTo(&u)
			svd.VTo(&v)
			us.Mul(&u, mat.NewDiagDense(in, values))
			o.Mul(&us, v.T())
			near(t, fmt.Sprintf("closed form of %s %v", name, s), step, o.RawMatrix().Data, 1e-11)
		}
	}
}

// TestGrafting: each step is as long as the momentum's, or Adam's, of the same gradients.
func TestGrafting(t *testing.T) {
	const in, out, steps = 5, 4, 25
	layout := single(in, out)
	lengths := func(p [][]float64) []float64 {
		out, last := make([]float64, len(p)), make([]float64, len(p[0]))
		for k := range p {
			for i := range last {
				out[k] += (p[k][i] - last[i]) * (p[k][i] - last[i])
			}
			out[k], last = math.Sqrt(out[k]), p[k]
		}
		return out
	}
	start := make([]float64, in*out)
	adam, err := optim.New[float64]("adam", optim.Env{Layout: layout}, settings{"lr": 0.1, "beta2": 0.97})
	if err != nil {
		t.Fatal(err)
	}
	want := lengths(follow(t, adam, layout, &stream{gradients: noise(5, steps, in*out)}, start, steps))
	for _, name := range []string{"shampoo", "caspr"} {
		got := lengths(follow(t, must(t, name, layout, settings{"lr": 0.1, "weight-decay": 0, "adam-beta2": 0.97, "every": 3}),
			layout, &stream{gradients: noise(5, steps, in*out)}, start, steps))
		near(t, name+": length of Adam's steps", got, want, 1e-12)
	}

	g := noise(5, steps, in*out)
	m := make([]float64, in*out)
	for k := range want {
		sum := 0.0
		for i := range m {
			m[i] = 0.9*m[i] + 0.1*g[k][i]
			sum += m[i] * m[i]
		}
		want[k] = 0.1 * math.Sqrt(sum) / (1 - math.Pow(0.9, float64(k+1)))
	}
	for _, name := range []string{"shampoo", "caspr"} {
		got := lengths(follow(t, must(t, name, layout, settings{"lr": 0.1, "weight-decay": 0, "graft": 1}),
			layout, &stream{gradients: noise(5, steps, in*out)}, start, steps))
		near(t, name+": length of the momentum", got, want, 1e-12)
	}
}

// TestBlocks: a block size from the longest side on changes no bit, and a smaller one trains the blocks as matrices of
// their own.
func TestBlocks(t *testing.T) {
	const in, out, steps = 6, 4, 20
	layout := single(in, out)
	run := func(name string, block float64) []float64 {
		return follow(t, must(t, name, layout, settings{"lr": 0.1, "block": block}), layout,
			&stream{gradients: noise(6, steps, in*out), pull: 0.1}, make([]float64, in*out), steps)[steps-1]
	}
	parts := new(nn.Layout)
	parts.Add(nn.Param{Name: "top", Shape: tensor.ShapeOf(3, out), Kind: nn.Weight})
	parts.Add(nn.Param{Name: "bottom", Shape: tensor.ShapeOf(3, out), Kind: nn.Weight})
	for _, name := range []string{"shampoo", "caspr"} {
		near(t, name+": block of 6 and of 1000", run(name, 6), run(name, 1000), 0)
		apart := follow(t, must(t, name, parts, settings{"lr": 0.1}), parts,
			&stream{gradients: noise(6, steps, in*out), pull: 0.1}, make([]float64, in*out), steps)[steps-1]
		near(t, name+": blocks and matrices", run(name, 4), apart, 0)
	}
}

// TestSOAPIsAdam: with the identity for all bases SOAP is Adam, one step late.
func TestSOAPIsAdam(t *testing.T) {
	const in, out, steps = 5, 4, 30
	layout := single(in, out)
	g := noise(7, steps+1, in*out)
	got := follow(t, must(t, "soap", layout, settings{"lr": 0.1, "weight-decay": 0, "max-dim": 1}), layout, &stream{gradients: g}, make([]float64, in*out), steps+1)
	near(t, "first step", got[0], make([]float64, in*out), 0)
	adam, err := optim.New[float64]("adam", optim.Env{Layout: layout}, settings{"lr": 0.1, "beta1": 0.95, "beta2": 0.95})
	if err != nil {
		t.Fatal(err)
	}
	want := follow(t, adam, layout, &stream{gradients: g[1:]}, make([]float64, in*out), steps)
	for k := range want {
		near(t, "SOAP without bases", got[k+1], want[k], 1e-12)
	}
}

// orthogonal returns a random orthogonal matrix.
func orthogonal(t *testing.T, seed uint64, n int) tensor.Tensor[float64] {
	t.Helper()
	q, r := tensor.New[float64](n, n), tensor.New[float64](n, n)
	tensor.Normal(tensor.KeyOf(seed), q.Data(), 0, 1)
	if err := linalg.QR(tensor.NewWorkspace[float64](nil), q, r, q); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestRotation: replacing every gradient G by O₁ G O₂ᵀ and the start likewise rotates the iterates.
func TestRotation(t *testing.T) {
	const n, steps = 6, 30
	layout := single(n, n)
	ws := tensor.NewWorkspace[float64](nil)
	o1, o2 := orthogonal(t, 1, n), orthogonal(t, 2, n)
	turn := func(x []float64) []float64 {
		a, b := tensor.New[float64](n, n), tensor.New[float64](n, n)
		tensor.MatMul(ws, a, o1, tensor.FromSlice(x, n, n), false, false)
		tensor.MatMul(ws, b, a, o2, false, true)
		return b.Data()
	}
	for _, c := range []struct {
		method string
		set    settings
		tol    float64
	}{
		{"muon", settings{"lr": 0.1}, 1e-12},
		{"muon", settings{"lr": 0.1, "moonlight": 1, "polish": 3, "weight-decay": 0.1}, 1e-12},
		{"soap", settings{"lr": 0.1, "every": 1}, 1e-12},
		{"soap", settings{"lr": 0.1, "every": 7}, 1e-12},
		{"splus", settings{"lr": 0.1, "every": 1}, 1e-10},
		{"splus", settings{"lr": 0.1, "every": 10}, 1e-10},
		{"caspr", settings{"lr": 0.1, "graft": 0}, 1e-10},
		{"shampoo", settings{"lr": 0.1, "graft": 0}, 1e-10},
		{"shampoo", settings{"lr": 0.1, "graft": 1, "newton": 1, "ridge": 1e-3}, 1e-10},
	} {
		g := noise(8, steps, n*n)
		from := noise(9, 1, n*n)[0]
		turned := make([][]float64, steps)
		for k := range g {
			turned[k] = turn(g[k])
		}
		a := follow(t, must(t, c.method, layout, c.set), layout, &stream{gradients: g, pull: 0.5}, from, steps)
		b := follow(t, must(t, c.method, layout, c.set), layout, &stream{gradients: turned, pull: 0.5}, turn(from), steps)
		for k := range a {
			near(t, c.method, b[k], turn(a[k]), c.tol)
		}
	}
}

func TestSOAPAccumulates(t *testing.T)  { accumulates(t, "soap") }
func TestSPlusAccumulates(t *testing.T) { accumulates(t, "splus") }

// accumulates: three batches of a window are one batch with the mean gradient.
func accumulates(t *testing.T, name string) {
	t.Helper()
	const in, out, steps = 5, 4, 24
	layout := single(in, out)
	g := noise(12, 3*steps, in*out)
	mean := make([][]float64, steps)
	for k := range mean {
		mean[k] = make([]float64, in*out)
		for i := range mean[k] {
			mean[k][i] = (g[3*k][i] + g[3*k+1][i] + g[3*k+2][i]) / 3
		}
	}
	from := make([]float64, in*out)
	got := follow(t, must(t, name, layout, settings{"accumulate": 3}), layout, &stream{gradients: g}, from, 3*steps)
	want := follow(t, must(t, name, layout, nil), layout, &stream{gradients: mean}, from, steps)
	near(t, "three batches", got[3*steps-1], want[steps-1], 1e-11)
}

// TestOverflow: a gradient whose products overflow is left out of the factors and counted; the run goes on.
func TestOverflow(t *testing.T) {
	layout := new(nn.Layout)
	layout.Add(nn.Param{Name: "w", Shape: tensor.ShapeOf(3, 3), Kind: nn.Weight})
	for _, name := range []string{"soap", "shampoo", "caspr", "splus"} {
		g := make([][]float32, 12)
		for k := range g {
			g[k] = make([]float32, 9)
			tensor.Normal(tensor.KeyOf(uint64(k)), g[k], 0, 1)
		}
		g[5][4] = 1e25
		params := make([]float32, 9)
		f := objective.New[float32](&streamOf[float32]{gradients: g}, layout, params)
		spec, err := optim.Find(matrix.Table[float32](), name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := spec.Make(optim.Env{Layout: layout}, settings{"every": 2})
		if err != nil {
			t.Fatal(err)
		}
		failures := 0.0
		for k := range 12 {
			f.SetProgress(objective.Progress{Step: int64(k), Batch: 1})
			r, err := m.Step(context.Background(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.Extra {
				if e.Name == "failures" {
					failures = e.Value
				}
			}
		}
		if failures == 0 {
			t.Errorf("%s: nothing was counted", name)
		}
		for _, e := range m.State() {
			if strings.Contains(e.Name, "factor") || strings.Contains(e.Name, "root") || strings.Contains(e.Name, "basis") {
				for _, v := range e.Vector {
					if v-v != 0 {
						t.Fatalf("%s: %s holds %v", name, e.Name, v)
					}
				}
			}
		}
	}
}

// TestGivesUp: factors spoilt from outside end the run after ten refreshes, with the parameter's name.
func TestGivesUp(t *testing.T) {
	layout := single(3, 4)
	for _, name := range []string{"soap", "shampoo", "caspr", "splus"} {
		m := must(t, name, layout, settings{"every": 1})
		params := make([]float64, 12)
		f := objective.New[float64](&stream{gradients: noise(11, 20, 12)}, layout, params)
		var err error
		steps := 0
		for ; steps < 20 && err == nil; steps++ {
			if steps == 2 {
				for _, e := range m.State() {
					if strings.HasSuffix(e.Name, "rows.factor") {
						e.Vector[0] = math.NaN()
					}
				}
			}
			f.SetProgress(objective.Progress{Step: int64(steps), Batch: 1})
			_, err = m.Step(context.Background(), f)
		}
		var failure *matrix.FailureError
		var cause linalg.NotFiniteError
		if !errors.As(err, &failure) || !errors.As(err, &cause) || failure.Param != "w" || failure.Times != 10 || steps != 12 || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%s: after %d steps the error is %v", name, steps, err)
		}
	}
}
