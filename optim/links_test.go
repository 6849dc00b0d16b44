package optim_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/optimtest"
	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

// through sends one gradient through links and returns the update that comes out, for a layout of a matrix
// [4, 3] and a bias of 3.
func through(t interface{ Fatal(...any) }, params, grad []float64, links func(optim.Env) []optim.Link[float64]) []float64 {
	env := optim.Env{Layout: smallLayout()}
	var out []float64
	look := optim.Do[float64](func(_ context.Context, s *optim.Stage[float64]) (optim.Verdict, error) {
		out = append([]float64(nil), s.Update...)
		return optim.Continue, nil
	})
	c := optim.NewChain[float64](env, append(links(env), look)...)
	f := objective.New[float64](&given{grads: [][]float64{grad}}, env.Layout, append([]float64(nil), params...))
	f.SetProgress(objective.Progress{Batch: 1})
	if _, err := c.Step(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	return out
}

func smallLayout() *nn.Layout {
	l := new(nn.Layout)
	l.Add(nn.Param{Name: "w", Shape: tensor.ShapeOf(4, 3), Kind: nn.Weight})
	l.Add(nn.Param{Name: "b", Shape: tensor.ShapeOf(3), Kind: nn.Bias})
	return l
}

var numbers = rapid.SliceOfN(rapid.Float64Range(-1e3, 1e3), 15, 15)

func norm(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x * x
	}
	return math.Sqrt(s)
}

// cosine is 1 for vectors of the same direction.
func cosine(a, b []float64) float64 {
	dot := 0.0
	for i := range a {
		dot += a[i] * b[i]
	}
	if norm(a) == 0 || norm(b) == 0 {
		return 1
	}
	return dot / norm(a) / norm(b)
}

func TestClipNorm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, c := numbers.Draw(t, "g"), rapid.Float64Range(1e-3, 1e4).Draw(t, "c")
		u := through(t, g, g, func(optim.Env) []optim.Link[float64] { return []optim.Link[float64]{optim.NewClipNorm[float64](c)} })
		if want := math.Min(c, norm(g)); math.Abs(norm(u)-want) > 1e-12*want {
			t.Fatalf("norm %v, expected %v", norm(u), want)
		}
		if cosine(u, g) < 1-1e-12 {
			t.Fatalf("the direction has changed")
		}
	})
}

func TestClipTensorNorm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, c := numbers.Draw(t, "g"), rapid.Float64Range(1e-3, 1e4).Draw(t, "c")
		u := through(t, g, g, func(e optim.Env) []optim.Link[float64] {
			return []optim.Link[float64]{optim.NewClipTensorNorm[float64](e, c)}
		})
		for _, part := range [][2]int{{0, 12}, {12, 15}} {
			a, b := u[part[0]:part[1]], g[part[0]:part[1]]
			if want := math.Min(c, norm(b)); math.Abs(norm(a)-want) > 1e-12*want || cosine(a, b) < 1-1e-12 {
				t.Fatalf("norm %v, expected %v", norm(a), want)
			}
		}
	})
}

func TestClipValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, c := numbers.Draw(t, "g"), rapid.Float64Range(1e-3, 1e4).Draw(t, "c")
		u := through(t, g, g, func(optim.Env) []optim.Link[float64] { return []optim.Link[float64]{optim.NewClipValue[float64](c)} })
		for i := range u {
			if want := math.Max(-c, math.Min(c, g[i])); u[i] != want {
				t.Fatalf("%v cut to %v, expected %v", g[i], u[i], want)
			}
		}
	})
}

// No output unit of the matrix, and no vector, is longer than c times its weights.
func TestClipAdaptive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, g, c := numbers.Draw(t, "p"), numbers.Draw(t, "g"), rapid.Float64Range(1e-3, 10).Draw(t, "c")
		u := through(t, p, g, func(e optim.Env) []optim.Link[float64] {
			return []optim.Link[float64]{optim.NewClipAdaptive[float64](e, c, 1e-3)}
		})
		for j := range 4 {
			var a, b, w []float64
			for i := range 15 {
				if i < 12 && i%3 == j || i >= 12 && j == 3 {
					a, b, w = append(a, u[i]), append(b, g[i]), append(w, p[i])
				}
			}
			want := math.Min(norm(b), c*math.Max(norm(w), 1e-3))
			if math.Abs(norm(a)-want) > 1e-12*want || cosine(a, b) < 1-1e-12 {
				t.Fatalf("unit %d: norm %v, expected %v", j, norm(a), want)
			}
		}
	})
}

// Lion's update is the sign of the gradient at first, 0 where it is 0, down to the smallest number.
func TestLionSign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.SliceOfN(rapid.OneOf(rapid.Just(0.0), rapid.Just(5e-323), rapid.Float64Range(-1e3, 1e3)), 15, 15).Draw(t, "g")
		u := through(t, g, g, func(e optim.Env) []optim.Link[float64] {
			return []optim.Link[float64]{optim.NewLion[float64](e, 0, 0.99)}
		})
		for i := range u {
			want := 0.0
			if g[i] != 0 {
				want = math.Copysign(1, g[i])
			}
			if u[i] != want {
				t.Fatalf("sign of %v is %v", g[i], u[i])
			}
		}
	})
}

// Any cut of the examples into batches gives the gradient of the whole.
func TestAccumulateAnyWindow(t *testing.T) {
	net, from := optimtest.NewTanhNet[float64](20, 3, 4, 2)
	layout := optimtest.NetLayout(3, 4, 2)
	rapid.Check(t, func(t *rapid.T) {
		var sizes []int
		for left := 20; left > 0; {
			n := rapid.IntRange(1, left).Draw(t, "batch")
			sizes = append(sizes, n)
			left -= n
		}
		whole := make([]float64, len(from))
		if _, err := net.Evaluate(from, whole); err != nil {
			t.Fatal(err)
		}
		var got []float64
		var progress objective.Progress
		env := optim.Env{Layout: layout}
		look := optim.Do[float64](func(_ context.Context, s *optim.Stage[float64]) (optim.Verdict, error) {
			got, progress = append([]float64(nil), s.Update...), s.Progress
			return optim.Continue, nil
		})
		c := optim.NewChain[float64](env, optim.NewAccumulate[float64](env, len(sizes)), look)
		fn := &swapped{}
		f := objective.New[float64](fn, layout, append([]float64(nil), from...))
		at := 0
		for i, n := range sizes {
			fn.Function = net.Rows(at, at+n)
			f.SetProgress(objective.Progress{Step: int64(i), Seen: int64(at), Batch: n})
			r, err := c.Step(context.Background(), f)
			if err != nil {
				t.Fatal(err)
			}
			if r.Held != (i < len(sizes)-1) {
				t.Fatalf("batch %d of %d: held is %v", i+1, len(sizes), r.Held)
			}
			at += n
		}
		for i := range whole {
			if math.Abs(got[i]-whole[i]) > 1e-13 {
				t.Fatalf("element %d is %v, expected %v", i, got[i], whole[i])
			}
		}
		if progress != (objective.Progress{Batch: 20}) {
			t.Fatalf("the links after it see the progress %+v", progress)
		}
	})
}

type swapped struct{ objective.Function[float64] }

// A gradient whose squares overflow float32 is finite all the same.
func TestHugeGradientIsFinite(t *testing.T) {
	layout := weights(4)
	m, err := optim.New[float32]("sgd", optim.Env{Layout: layout}, set("clip-norm", 1))
	if err != nil {
		t.Fatal(err)
	}
	p := []float32{0, 0, 0, 0}
	f := objective.New[float32](huge{}, layout, p)
	f.SetProgress(objective.Progress{Batch: 1})
	r, err := m.Step(context.Background(), f)
	if err != nil || r.Skipped {
		t.Fatalf("skipped: %v, error: %v", r.Skipped, err)
	}
	closeTo(t, "norm", r.GradNorm/1e30, 2, 1e-6)
	closeTo(t, "step", float64(p[0]), -0.05, 1e-6)
}

type huge struct{}

func (huge) Evaluate(_, grad []float32) (float64, error) {
	for i := range grad {
		grad[i] = 1e30
	}
	return 1, nil
}

func TestCopyFromNamesTheDifferences(t *testing.T) {
	method := func(name string, n int) optim.Method[float64] {
		m, err := optim.New[float64](name, optim.Env{Layout: weights(n)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	to := method("adam", 3)
	before := append([]float64(nil), to.State()[2].Vector...)
	for from, want := range map[optim.Method[float64]]string{
		method("adam", 4):     "adam.m is a vector of 4, expected a vector of 3",
		method("momentum", 3): "adam.m is missing",
		method("amsgrad", 3):  "adam.max is not known",
	} {
		err := to.State().CopyFrom(from.State())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	for i, v := range to.State()[2].Vector {
		if v != before[i] {
			t.Fatal("a refused state has changed the method")
		}
	}
}

func TestUnknownMethod(t *testing.T) {
	_, err := optim.New[float32]("adm", optim.Env{Layout: weights(1)}, nil)
	if err == nil || !strings.Contains(err.Error(), "adam") || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("error %v", err)
	}
	if _, err := optim.Lookup[float64]("xyzzyplugh"); err == nil || !strings.Contains(err.Error(), "the methods are sgd") {
		t.Errorf("error %v", err)
	}
}
