package altmin

import (
	"context"
	"math"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// problem is a network on random examples whose labels a linear map decides.
type problem[T tensor.Float] struct {
	f   *objective.Objective[T]
	env optim.Env
}

func newProblem[T tensor.Float](t testing.TB, model string, n, in, classes, workers int) problem[T] {
	t.Helper()
	m, err := nn.Build[T](model, nn.Options{Input: tensor.ShapeOf(in), Outputs: classes, Init: "normal:0.3"})
	if err != nil {
		t.Fatal(err)
	}
	key := tensor.KeyOf(3)
	x := tensor.New[T](n, in)
	tensor.Normal(key.Named("x"), x.Data(), 0, 1)
	w, z := tensor.New[T](in, classes), tensor.New[T](n, classes)
	tensor.Normal(key.Named("w"), w.Data(), 0, 1)
	pool := tensor.NewPool(workers)
	tensor.MatMul(tensor.NewWorkspace[T](pool), z, x, w, false, false)
	labels := make([]int32, n)
	tensor.ArgMax(labels, z)
	net := objective.NewNetwork(m, nn.CrossEntropy[T](0), pool)
	net.SetBatch(x, nn.Target[T]{Labels: labels})
	params := make([]T, m.Layout().Size())
	nn.Initialize(m, tensor.KeyOf(1), params, net.State())
	chain, err := nn.Chain(m)
	return problem[T]{objective.New[T](net, m.Layout(), params),
		optim.Env{Layout: m.Layout(), Pool: pool, Network: &optim.Network{Chain: chain, ChainError: err, Loss: "cross-entropy", Examples: n}}}
}

// iterate makes one iteration and returns the named extra values.
func iterate[T tensor.Float](t testing.TB, m optim.Method[T], p problem[T]) map[string]float64 {
	t.Helper()
	r, err := m.Step(context.Background(), p.f)
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]float64{"loss": r.Loss}
	for _, e := range r.Extra {
		v[e.Name] = e.Value
	}
	return v
}

// TestDualIdentity: after every iteration u_l = ν(q_l − f(z_l)), and both sides of a boundary have the same u.
func TestDualIdentity(t *testing.T) {
	for _, engine := range []Engine{Exact, Paper} {
		p := newProblem[float64](t, "mlp:12,9", 40, 6, 3, 1)
		m, err := NewPDADMM[float64](p.env, PDOptions{Engine: engine, Nu: 0.01, Rho: 0.05})
		if err != nil {
			t.Fatal(err)
		}
		for k := range 20 {
			iterate(t, m, p)
			for i, l := range m.layers[:2] {
				f := tensor.New[float64](40, m.chain[i].Out)
				apply(m.ws, l.act, f, l.z)
				for j, u := range l.u.Data() {
					if want := 0.01 * (l.q.Data()[j] - f.Data()[j]); math.Abs(u-want) > 1e-13 {
						t.Fatalf("%v, iteration %d, layer %d: u %v, ν(q − f(z)) %v", engine, k+1, i, u, want)
					}
					if u != m.layers[i+1].uIn.Data()[j] {
						t.Fatalf("the two copies of u differ: %v, %v", u, m.layers[i+1].uIn.Data()[j])
					}
				}
			}
		}
	}
}

// TestDescent: inside the theory the Lagrangian falls in every iteration, from the second on by what the theory says at
// least, c_k ≤ (L¹ − L^{k+1})/k, and the constraints close.
func TestDescent(t *testing.T) {
	for _, model := range []string{"mlp:20,20", "mlp:12,12,12,12,12"} {
		for _, engine := range []Engine{Exact, Paper} {
			for _, rho := range []float64{0.045, 0.05, 1} {
				p := newProblem[float64](t, model, 50, 8, 3, 1)
				m, err := NewPDADMM[float64](p.env, PDOptions{Engine: engine, Nu: 0.01, Rho: rho, Theory: true})
				if err != nil {
					t.Fatal(err)
				}
				iterate(t, m, p)
				first, last := m.lagrangian, m.lagrangian
				var v map[string]float64
				for k := 1; k <= 150; k++ {
					v = iterate(t, m, p)
					fell := 0.0
					for _, l := range m.layers {
						fell += l.fell
					}
					if last-m.lagrangian < fell-1e-9*math.Abs(last) {
						t.Fatalf("%s, %v, ρ %g, iteration %d: the Lagrangian fell by %g, the theory says at least %g", model, engine, rho, k+1, last-m.lagrangian, fell)
					}
					if most := (first - m.lagrangian) / float64(k); m.least > most*(1+1e-9)+1e-12 {
						t.Fatalf("%s, %v, ρ %g, iteration %d: c_k %g above %g", model, engine, rho, k+1, m.least, most)
					}
					last = m.lagrangian
				}
				if rho == 1 && v["consensus"] > 1e-6 {
					t.Errorf("%s, %v: ‖p − q‖² %g after 150 iterations", model, engine, v["consensus"])
				}
				if v["lagrangian-rises"] != 0 {
					t.Errorf("%s, %v, ρ %g: %v rises", model, engine, rho, v["lagrangian-rises"])
				}
			}
		}
	}
}

// TestTheoryIsAsked: ρ below the theorem's condition is an error where the theory is asked for.
func TestTheoryIsAsked(t *testing.T) {
	p := newProblem[float64](t, "mlp:4", 10, 3, 2, 1)
	if _, err := NewPDADMM[float64](p.env, PDOptions{Nu: 0.01, Rho: 0.04, Theory: true}); err == nil {
		t.Error("ρ = 4ν was taken for more than 4ν")
	}
	if _, err := NewPDADMM[float64](p.env, PDOptions{Nu: 0.01, Rho: 0.0401, Theory: true}); err != nil {
		t.Error(err)
	}
}

// TestQuantized: p on a grid stays there, the Lagrangian does not rise inside the theory, and the messages are packed.
func TestQuantized(t *testing.T) {
	grid, err := UniformGrid(-1, 4, 101)
	if err != nil {
		t.Fatal(err)
	}
	for _, rho := range []float64{0.05, 1} {
		p := newProblem[float64](t, "mlp:16,16", 40, 6, 3, 1)
		m, err := NewPDADMM[float64](p.env, PDOptions{Engine: Paper, Nu: 0.01, Rho: rho, P: grid})
		if err != nil {
			t.Fatal(err)
		}
		for k := range 100 {
			v := iterate(t, m, p)
			for _, l := range m.layers[1:] {
				for _, x := range l.p.Data() {
					if x != grid.levels[grid.Index(x)] {
						t.Fatalf("p = %v is not on the grid", x)
					}
				}
			}
			if v["lagrangian-rises"] != 0 {
				t.Fatalf("ρ %g: the Lagrangian rose in iteration %d", rho, k+1)
			}
			// 7 bits a p, 8 bytes a q, two boundaries of 40·16 entries
			if want := float64(k+1) * 2 * (40*16*7/8 + 40*16*8); v["bytes-sent"] != want {
				t.Fatalf("%v bytes after %d iterations, expected %v", v["bytes-sent"], k+1, want)
			}
		}
	}
}

// TestBytes: ten layers of 1,000 units on 140 examples exchange 9·8·140,000 bytes an iteration in float32, a quarter of that at
// 8 bits, and 5 bits for p with numbers for q take 5.83 MB.
func TestBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("a large network")
	}
	byte256, _ := UniformGrid(-1, 2, 256)
	whole, _ := UniformGrid(-1, 20, 22)
	for _, c := range []struct {
		name string
		p, q Grid
		want float64
	}{{"float32", Grid{}, Grid{}, 10.08e6}, {"8 bits", byte256, byte256, 2.52e6}, {"5 bits for p", whole, Grid{}, 5.8275e6}} {
		p := newProblem[float32](t, "mlp:1000,1000,1000,1000,1000,1000,1000,1000,1000", 140, 10, 3, 2)
		m, err := NewPDADMM[float32](p.env, PDOptions{Engine: Paper, Nu: 1e-3, Rho: 1e-3, P: c.p, Q: c.q})
		if err != nil {
			t.Fatal(err)
		}
		if got := iterate(t, m, p)["bytes-sent"]; got != c.want {
			t.Errorf("%s: %v bytes, expected %v", c.name, got, c.want)
		}
	}
}

// TestProducts: an iteration of the paper engine makes at most five large products a layer.
func TestProducts(t *testing.T) {
	p := newProblem[float64](t, "mlp:12,12,12", 40, 12, 3, 1)
	m, err := NewPDADMM[float64](p.env, PDOptions{Engine: Paper, Nu: 0.01, Rho: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	iterate(t, m, p)
	for i, l := range m.layers {
		before := l.products
		iterate(t, m, p)
		if n := l.products - before; n > 5 {
			t.Errorf("layer %d: %d products", i, n)
		}
	}
}

// TestWorkersGiveTheSameBits: one worker or several, and the parameters, too, are the same to the bit.
func TestWorkersGiveTheSameBits(t *testing.T) {
	for _, engine := range []Engine{Exact, Paper} {
		var want []float32
		for _, workers := range []int{1, 2, 5} {
			p := newProblem[float32](t, "mlp:70,70,70", 300, 40, 3, workers)
			m, err := NewPDADMM[float32](p.env, PDOptions{Engine: engine, Nu: 1e-3, Rho: 1e-3})
			if err != nil {
				t.Fatal(err)
			}
			for range 50 {
				iterate(t, m, p)
			}
			if want == nil {
				want = append(want, p.f.Params()...)
				continue
			}
			for i, v := range p.f.Params() {
				if v != want[i] {
					t.Fatalf("%v, %d workers: parameter %d is %v, with one worker %v", engine, workers, i, v, want[i])
				}
			}
		}
	}
}

// TestLearns: the exact engine fits the examples far better than chance in the true forward pass.
func TestLearns(t *testing.T) {
	p := newProblem[float64](t, "mlp:30", 200, 10, 3, 1)
	m, err := NewPDADMM[float64](p.env, PDOptions{Engine: Exact, Nu: 1e-4, Rho: 1e-4, Mu: 0.01})
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]float64
	for range 40 {
		v = iterate(t, m, p)
	}
	if v["loss"] > 0.5 {
		t.Errorf("loss of the network %.3f, of chance 1.099", v["loss"])
	}
}
