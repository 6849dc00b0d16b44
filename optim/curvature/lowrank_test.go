package curvature

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// lowRankForms are the five methods.
var lowRankForms = []LowRank{
	{Sketch: SketchSVD}, {Sketch: SketchEigen}, {Online: Brand}, {Online: BrandRefresh}, {Online: BrandCorrect},
}

// like is o with small sizes, for networks of a few units.
func like(o LowRank, rank, l, columns int) LowRank {
	o.Rank, o.Oversampling, o.Power, o.Columns, o.RefreshEvery, o.Fraction, o.MostRank = rank, l, 3, columns, 2, 0.5, 100
	return o
}

// orthonormal returns random orthonormal columns [n, r].
func orthonormal(seed uint64, n, r int) tensor.Tensor[float64] {
	q, tri := tensor.New[float64](n, r), tensor.New[float64](r, r)
	tensor.Normal(tensor.KeyOf(seed), q.Data(), 0, 1)
	if err := linalg.QR(tensor.NewWorkspace[float64](nil), q, tri, q); err != nil {
		panic(err)
	}
	return q
}

// compose returns Σ_i d_i u_i u_iᵀ + rest·(I − U Uᵀ).
func compose(u tensor.Tensor[float64], d []float64, rest float64) tensor.Tensor[float64] {
	ws := tensor.NewWorkspace[float64](nil)
	n, r := u.Shape().Dim(0), u.Shape().Dim(1)
	scaled, m := u.Clone(), tensor.New[float64](n, n)
	for i := range n {
		for j := range r {
			scaled.Data()[i*r+j] *= d[j] - rest
		}
	}
	linalg.Identity(m, rest)
	tensor.MatMulAcc(ws, m, scaled, u, false, true)
	return m
}

// spectralNorm returns the largest absolute eigenvalue of a symmetric matrix, and its least eigenvalue.
func spectralNorm(t interface{ Fatal(...any) }, m tensor.Tensor[float64]) (norm, least float64) {
	values := make([]float64, m.Shape().Dim(0))
	if err := linalg.SymmetricEigen(tensor.NewWorkspace[float64](nil), values, tensor.Tensor[float64]{}, m); err != nil {
		t.Fatal(err)
	}
	return math.Max(values[len(values)-1], -values[0]), values[0]
}

// minus returns a − b.
func minus(a, b tensor.Tensor[float64]) tensor.Tensor[float64] {
	c := tensor.New[float64](a.Shape().Dim(0), a.Shape().Dim(1))
	tensor.Sub(tensor.NewWorkspace[float64](nil), c, a, b)
	return c
}

// inverted returns the solver's inverse as a matrix, from the given side.
func inverted(s interface {
	solve(*tensor.Workspace[float64], tensor.Tensor[float64], tensor.Tensor[float64], bool)
}, n int, right bool) tensor.Tensor[float64] {
	eye, inverse := tensor.New[float64](n, n), tensor.New[float64](n, n)
	linalg.Identity(eye, 1)
	s.solve(tensor.NewWorkspace[float64](nil), inverse, eye, right)
	return inverse
}

// The inverse of modes is that of the dense M̃ + δI, with the tail at d_r or at 0, from both sides and on matrices that are not square.
func TestModesSolveIsTheDenseInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "n")
		r := rapid.IntRange(0, n).Draw(t, "r")
		cols := rapid.IntRange(1, 7).Draw(t, "columns")
		tail := Tail(rapid.IntRange(0, 2).Draw(t, "tail"))
		seed := rapid.Uint64().Draw(t, "seed")
		delta := rapid.Float64Range(1e-3, 10).Draw(t, "delta")
		ws := tensor.NewWorkspace[float64](nil)
		u, d := orthonormal(seed, n, r), make([]float64, r)
		for i := range d {
			d[i] = math.Exp(-float64(i) / 2)
		}
		trace := 0.5 * float64(n-r) // the others have mean ½
		for _, v := range d {
			trace += v
		}
		m := newModes[float64](n, n, tail)
		m.set(ws, u, d, r, trace)
		m.damp(damping{absolute: delta})
		rest := 0.0
		switch {
		case tail == TailLast && r > 0:
			rest = d[r-1]
		case tail == TailMean && r < n:
			rest = 0.5
		}
		dense := compose(u, d, rest)
		linalg.AddDiagonal(dense, delta)
		x := tensor.New[float64](n, cols)
		tensor.Normal(tensor.KeyOf(seed+1), x.Data(), 0, 1)
		y, back := tensor.New[float64](n, cols), tensor.New[float64](n, cols)
		m.solve(ws, y, x, false)
		tensor.MatMul(ws, back, dense, y, false, false)
		if e := tensor.Norm(ws, minus(back, x)); e > 1e-10 {
			t.Fatalf("(M̃ + δI) y − x has norm %.3g", e)
		}
		xt, rows, yt := x.Reshape(n, cols).Clone(), tensor.New[float64](cols, n), tensor.New[float64](cols, n)
		tensor.Permute(ws, rows, xt, []int{1, 0})
		m.solve(ws, yt, rows, true)
		tensor.Permute(ws, xt, yt, []int{1, 0})
		if e := tensor.Norm(ws, minus(xt, y)); e > 1e-10 {
			t.Fatalf("from the right: another result by %.3g", e)
		}
	})
}

// Both inverses at once are the one from the left and then the one from the right.
func TestSolveBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		ws := tensor.NewWorkspace[float64](nil)
		side := func(name string, seed uint64) *modes[float64] {
			n := rapid.IntRange(2, 20).Draw(t, "n "+name)
			r := rapid.IntRange(1, n).Draw(t, "r "+name)
			d, trace := make([]float64, r), 0.5*float64(n-r)
			for i := range d {
				d[i] = math.Exp(-float64(i) / 2)
				trace += d[i]
			}
			m := newModes[float64](n, n, Tail(rapid.IntRange(0, 2).Draw(t, "tail "+name)))
			m.set(ws, orthonormal(seed, n, r), d, r, trace)
			m.damp(damping{absolute: rapid.Float64Range(1e-3, 10).Draw(t, "delta "+name)})
			return &m
		}
		a, g := side("left", seed), side("right", seed+1)
		x := tensor.New[float64](a.n, g.n)
		tensor.Normal(tensor.KeyOf(seed+2), x.Data(), 0, 1)
		half, want, got := x.Clone(), x.Clone(), x.Clone()
		a.solve(ws, half, x, false)
		g.solve(ws, want, half, true)
		solveBoth(ws, got, x, a, g)
		// Inverses of 1/δ cancel to what is left of them.
		if e := tensor.Norm(ws, minus(got, want)); e > 1e-13*tensor.Norm(ws, x)/(a.delta*g.delta) {
			t.Fatalf("differ by %.3g of %.3g", e, tensor.Norm(ws, want))
		}
	})
}

// decaying is a mean of order n with eigenvalues ratio^i, and its eigenvalues.
func decaying(n int, ratio float64) (tensor.Tensor[float64], []float64) {
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Pow(ratio, float64(i))
	}
	return compose(orthonormal(7, n, n), values, 0), values
}

// The error of the damped inverse is that of truncation, 1/λ − 1/(λ+σ_{r+1}), within 1 %; with continuation at most
// 1/λ − 1/(λ+d_r).
func TestErrorOfLowRankInverse(t *testing.T) {
	const n, r, lambda = 120, 20, 0.01
	m, values := decaying(n, 0.9)
	exact := m.Clone()
	linalg.AddDiagonal(exact, lambda)
	ws := tensor.NewWorkspace[float64](nil)
	if linalg.Cholesky(ws, exact, exact) != nil || linalg.CholeskyInverse(ws, exact, exact.Clone()) != nil {
		t.Fatal("no inverse")
	}
	for _, c := range []struct {
		sketch Sketch
		power  int
	}{{SketchSVD, 3}, {SketchSVD, 1}, {SketchEigen, 3}, {SketchEigen, 1}} {
		for _, tail := range []Tail{TailZero, TailLast} {
			o := LowRank{Sketch: c.sketch, Rank: r, Oversampling: 10, Power: c.power, Tail: tail}
			f := newRandomized[float64](n, o, tensor.KeyOf(3))
			copy(f.sum.Data(), m.Data())
			if !f.refresh(ws, 1, damping{absolute: lambda}) {
				t.Fatal("no inverse")
			}
			norm, _ := spectralNorm(t, minus(inverted(f, n, false), exact))
			if tail == TailLast {
				if most := 1/lambda - 1/(lambda+values[r-1]); norm > most*1.01 {
					t.Errorf("sketch %d, power %d, continued: error %.4g, expected at most %.4g", c.sketch, c.power, norm, most)
				}
				continue
			}
			if ratio := norm / (1/lambda - 1/(lambda+values[r])); !(ratio >= 0.99 && ratio <= 1.01) {
				t.Errorf("sketch %d, power %d: error %.5f of 1/λ − 1/(λ+σ), expected 1", c.sketch, c.power, ratio)
			}
		}
	}
}

// feed gives a factor a batch of statistics.
func feed(ws *tensor.Workspace[float64], f factor[float64], x tensor.Tensor[float64], decay float64) {
	defer ws.Release(ws.Mark())
	f.begin(ws)
	f.add(ws, x)
	f.commit(ws, 1/float64(x.Shape().Dim(0)), decay)
}

// batch returns rows [b, n] whose second moments decay.
func batch(seed uint64, b, n int, ratio float64) tensor.Tensor[float64] {
	x := tensor.New[float64](b, n)
	tensor.Normal(tensor.KeyOf(seed), x.Data(), 0, 1)
	for i := range x.Data() {
		x.Data()[i] *= math.Pow(ratio, float64(i%n))
	}
	return x
}

// The online factor is the weight-tracked mean: exactly as long as nothing is cut, then 0 ≼ M − M̃ with ‖M − M̃‖ ≤ e,
// e ← ρw/(ρw+1)·e + (what was cut). Its trace is exact throughout.
func TestOnlineFactorFollowsTheMean(t *testing.T) {
	const n, b, rho = 40, 5, 0.9
	ws := tensor.NewWorkspace[float64](nil)
	for _, late := range []bool{false, true} {
		o := like(LowRank{Online: Brand, Late: late}, 15, 2, b)
		f, exact, weight, bound := newOnline[float64](n, o, tensor.KeyOf(1)), newAverage[float64](n), 0.0, 0.0
		for step := range 60 {
			x := batch(uint64(step), b, n, 0.85)
			// The largest value that will be cut, from the same update without a cut.
			grown := newOnline[float64](n, like(LowRank{Online: Brand}, 15+b, 2, b), tensor.KeyOf(1))
			before := f.modes
			grown.modes.set(ws, before.vectors(), before.values, int(min(before.rank, 15)), 0)
			grown.weight, grown.rank = f.weight, 15+b
			feed(ws, grown, x, rho)
			old := rho * weight
			weight = old + 1
			if late && before.rank > 15 {
				bound += float64(before.values[15]) // cut at the start of this update
			}
			bound *= old / weight
			if !late && grown.modes.rank > 15 {
				bound += grown.modes.values[15]
			}
			feed(ws, f, x, rho)
			feed(ws, &exact, x, rho)
			m := exact.value(ws, weight)
			norm, least := spectralNorm(t, minus(m, compose(f.modes.vectors(), f.modes.values[:f.modes.rank], 0)))
			if least < -1e-12 || norm > bound+1e-12 {
				t.Fatalf("late %v, step %d: M − M̃ from %.3g to %.3g, expected 0 to %.3g", late, step, least, norm, bound)
			}
			if want := exact.mean(weight); math.Abs(f.mean(weight)-want) > 1e-12*want {
				t.Fatalf("step %d: mean eigenvalue %v, expected %v", step, f.mean(weight), want)
			}
		}
		if bound == 0 {
			t.Error("nothing was cut")
		}
	}
}

// A correction moves the trace of what is kept toward that of the mean in its span, and a refresh leaves the mean's own modes.
func TestOnlineFactorsAreRepaired(t *testing.T) {
	const n, b, r, rho = 40, 5, 10, 0.9
	ws := tensor.NewWorkspace[float64](nil)
	gap := func(o LowRank) float64 {
		f := newOnline[float64](n, o, tensor.KeyOf(1))
		reference := newAverage[float64](n)
		weight := 0.0
		for step := range 40 {
			x := batch(uint64(step), b, n, 0.95)
			feed(ws, f, x, rho)
			feed(ws, &reference, x, rho)
			weight = rho*weight + 1
		}
		if !f.refresh(ws, weight, damping{absolute: 1}) {
			t.Fatal("no modes")
		}
		// |UᵀMU − D|: how far the values are from those of the mean in the span.
		u := f.modes.vectors()
		y, c := tensor.New[float64](n, r), tensor.New[float64](r, r)
		tensor.MatMul(ws, y, reference.value(ws, weight), u, false, false)
		tensor.MatMul(ws, c, u, y, true, false)
		for i := range r {
			c.Data()[i*r+i] -= f.modes.values[i]
		}
		return tensor.Norm(ws, c)
	}
	plain := gap(like(LowRank{Online: Brand}, r, 4, b))
	all := like(LowRank{Online: BrandCorrect}, r, 4, b)
	all.Fraction = 1
	half := gap(like(LowRank{Online: BrandCorrect}, r, 4, b))
	if full := gap(all); full > 1e-12 {
		t.Errorf("a correction of all columns leaves %.3g", full)
	}
	if !(half < plain) {
		t.Errorf("a correction of half of the columns leaves %.3g, without one %.3g", half, plain)
	}
	if refreshed := gap(like(LowRank{Online: BrandRefresh}, r, 10, b)); !(refreshed < plain/100) {
		t.Errorf("a refresh leaves %.3g, without one it is %.3g", refreshed, plain)
	}
}

// Of more rows than b a uniform sample stands for all: its second moment has the mean of theirs, over many draws.
func TestOnlineSampleIsUnbiased(t *testing.T) {
	const n, rows, b, draws = 12, 9, 3, 4000
	ws := tensor.NewWorkspace[float64](nil)
	x := batch(1, rows, n, 0.9)
	mean, exact := tensor.New[float64](n, n), newAverage[float64](n)
	feed(ws, &exact, x, 0)
	for i := range draws {
		f := newOnline[float64](n, like(LowRank{Online: Brand}, 4, 1, b), tensor.KeyOf(uint64(i)))
		feed(ws, f, x, 0)
		tensor.Axpy(ws, mean, 1.0/draws, compose(f.modes.vectors(), f.modes.values[:f.modes.rank], 0))
	}
	norm, _ := spectralNorm(t, exact.sum)
	if e, _ := spectralNorm(t, minus(mean, exact.sum)); e > 0.03*norm {
		t.Errorf("the mean over %d samples is off by %.3g of %.3g", draws, e, norm)
	}
}

// With a rank that holds all of a factor, and nothing continued, every low-rank method is K-FAC.
func TestFullRankIsKFAC(t *testing.T) {
	n := network(t, "cross-entropy", 5, tensor.ShapeOf(14), affine(13, "tanh"), affine(12, ""))
	const lambda = 0.05
	want := observed(t, n, Factored, objective.Propagated, lambda, nil)
	for _, form := range lowRankForms {
		k := observed(t, n, Truncated, objective.Propagated, lambda, func(o *Options) {
			o.LowRank = like(form, 5, 2, 5) // five examples: no factor has a higher rank
		})
		for i, b := range k.blocks {
			if _, is := b.a.(*online[float64]); is != (form.Online != Offline) {
				t.Fatalf("%s: the factor of %s is a %T", form.name(), b.Name, b.a)
			}
			g, w := n.gradient(t), n.gradient(t)
			inner, wantInner := b.apply(k.ws, g, lambda), want.blocks[i].apply(want.ws, w, lambda)
			wantNear(t, form.name()+" "+b.Name, g, w, 1e-10)
			wantNear(t, "inner product", []float64{inner}, []float64{wantInner}, 1e-10)
		}
	}
}

// The choice of each side.
func TestSidesChooseForThemselves(t *testing.T) {
	o := Options{Form: Truncated, LowRank: like(LowRank{Online: Brand}, 10, 5, 20)}
	for _, c := range []struct {
		n         int
		positions bool
		want      string
	}{{1, false, "dense"}, {15, false, "dense"}, {16, false, "randomized"}, {30, false, "randomized"}, {31, false, "online"}, {31, true, "randomized"}} {
		got := ""
		switch newSolver[float64]("f", c.n, c.positions, o).(type) {
		case *dense[float64]:
			got = "dense"
		case *randomized[float64]:
			got = "randomized"
		case *online[float64]:
			got = "online"
		}
		if got != c.want {
			t.Errorf("order %d, convolution %v: %s, expected %s", c.n, c.positions, got, c.want)
		}
	}
}

// Zero factors of any order give the gradient over λ, and statistics that are not finite leave everything as it was.
func TestLowRankSafeguards(t *testing.T) {
	const lambda = 0.25
	ws := tensor.NewWorkspace[float64](nil)
	for _, form := range lowRankForms {
		for _, relative := range []bool{false, true} {
			for _, dims := range [][2]int{{1, 1}, {12, 1}, {12, 11}} {
				o := Options{Form: Truncated, LowRank: like(form, 3, 2, 4)}
				o.LowRank.Relative = relative
				b := newBlock[float64](Block{In: dims[0], Out: dims[1], Bias: -1}, place{weightLen: dims[0] * dims[1]}, o)
				see := func(x, dy float64) bool {
					defer ws.Release(ws.Mark())
					tap := objective.Tap[float64]{RowsPer: 1, X: tensor.New[float64](6, dims[0]), DY: tensor.New[float64](6, dims[1])}
					tensor.Fill(tap.X, x)
					tensor.Fill(tap.DY, dy)
					b.begin(ws)
					b.add(ws, 0, tap, false, false)
					return b.commit(ws, 0.9)
				}
				u := make([]float64, dims[0]*dims[1])
				for i := range u {
					u[i] = float64(i) + 1
				}
				for _, zero := range [][2]float64{{0, 0}, {1, 0}} {
					if !see(zero[0], zero[1]) || !b.invert(ws, lambda) {
						t.Fatalf("%s: zero factors have no inverse", form.name())
					}
					got, want := append([]float64(nil), u...), make([]float64, len(u))
					for i := range u {
						want[i] = u[i] / lambda
					}
					b.apply(ws, got, lambda)
					wantNear(t, form.name(), got, want, 1e-12)
				}
				if !see(1, 2) || !b.invert(ws, lambda) {
					t.Fatalf("%s: no inverse", form.name())
				}
				before, after := append([]float64(nil), u...), append([]float64(nil), u...)
				b.apply(ws, before, lambda)
				for _, v := range []float64{math.NaN(), math.Inf(1)} {
					if see(v, 1) || see(1, v) {
						t.Fatalf("%s: statistics with %v were taken up", form.name(), v)
					}
				}
				if !b.invert(ws, lambda) {
					t.Fatalf("%s: no inverse", form.name())
				}
				b.apply(ws, after, lambda)
				wantNear(t, form.name()+" after NaN", after, before, 1e-9)
			}
		}
	}
}

func TestAdaptiveRank(t *testing.T) {
	rule := rankRule{0.033, 0.007, 0.02, 10, 10, 10, 60}
	for _, c := range []struct {
		rank  int64
		ratio float64
		want  int64
	}{{40, 0.033, 40}, {40, 0.0261, 40}, {40, 0.0259, 30}, {40, 0.0529, 40}, {40, 0.0531, 50}, {12, 0, 10}, {55, 1, 60}} {
		if got := nextRank(c.rank, c.ratio, rule); got != c.want {
			t.Errorf("rank %d at ratio %g becomes %d, expected %d", c.rank, c.ratio, got, c.want)
		}
	}
	// A factor of few large eigenvalues shrinks its rank, one of many raises it.
	ws := tensor.NewWorkspace[float64](nil)
	for ratio, up := range map[float64]bool{0.7: false, 0.99: true} {
		o := like(LowRank{Target: 0.033}, 30, 5, 0)
		f := newRandomized[float64](100, o, tensor.KeyOf(1))
		m, _ := decaying(100, ratio)
		copy(f.sum.Data(), m.Data())
		for range 6 {
			if !f.refresh(ws, 1, damping{absolute: 1}) {
				t.Fatal("no inverse")
			}
		}
		if (f.modes.rank > 30) != up || f.modes.rank == 30 {
			t.Errorf("eigenvalues %g^i: the rank went from 30 to %d", ratio, f.modes.rank)
		}
	}
}
