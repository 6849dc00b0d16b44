package curvature

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// On a quadratic loss the model is the loss, whatever made the step: the ratio is 1.
func TestReductionRatioOfAQuadraticIsOne(t *testing.T) {
	for _, s := range []optim.Settings{
		{"kl-clip": 1e-2}, {"kl-clip": 0, "norm-clip": 0.1}, {"layer-clip": 0.05, "kl-clip": 0}, {"weight-decay": 0.1}, {"momentum": 0},
		{"regime": 1}, {"regime": 2}, {"regime": 3}, {"exact-damping": 1, "regime": 1}, {"precon-damping": 10, "regime": 1}, {"ema": 0.5},
	} {
		n := network(t, "squared", 12, tensor.ShapeOf(4), affine(5, ""))
		with := optim.Settings{"adaptive-damping": 1, "damping": 2, "damping-every": 1}
		for k, v := range s {
			with[k] = v
		}
		m, f := made(t, n, "kfac", with)
		lm := m.(*LevenbergMarquardt[float64])
		for step := range 6 {
			stepOn(t, m, f, step, 12)
			if math.Abs(lm.ratio-1) > 1e-8 {
				t.Errorf("%v, step %d: the ratio is %v", s, step+1, lm.ratio)
			}
		}
		if want := math.Pow(0.95, 6); math.Abs(lm.k.factor-want) > 1e-12 {
			t.Errorf("%v: the factor is %v, expected %v", s, lm.k.factor, want)
		}
	}
}

// With the damping term in the model the predicted change is smaller in size, and the ratio above 1.
func TestDampingInTheModel(t *testing.T) {
	n := network(t, "squared", 12, tensor.ShapeOf(4), affine(5, ""))
	m, f := made(t, n, "kfac", optim.Settings{"regime": 1, "adaptive-damping": 1, "damping": 2, "damping-every": 1, "damping-in-model": 1})
	lm := m.(*LevenbergMarquardt[float64])
	before, g := append([]float64(nil), n.theta...), n.gradient(t)
	loss := stepOn(t, m, f, 0, 12).Loss
	after, err := n.Evaluate(n.theta, nil)
	if err != nil {
		t.Fatal(err)
	}
	model := 0.0
	c := make([]float64, len(g))
	for i := range g {
		before[i] = n.theta[i] - before[i]
	}
	if err := n.GGNVP(n.theta, before, c); err != nil {
		t.Fatal(err)
	}
	for i, d := range before {
		model += g[i]*d + d*(c[i]+2*d)/2
	}
	if want := (after - loss) / model; math.Abs(lm.ratio-want) > 1e-10 || want < 1.001 {
		t.Errorf("the ratio is %v, expected %v", lm.ratio, want)
	}
}

// poisoned is a function whose value without a gradient can be made not finite.
type poisoned struct {
	net
	value *float64
}

func (p poisoned) Evaluate(theta, grad []float64) (float64, error) {
	v, err := p.net.Evaluate(theta, grad)
	if grad == nil && p.value != nil {
		v = *p.value
	}
	return v, err
}

// A loss after the step that is not a number raises the damping; a rejected step leaves parameters and momentum, and multiplies the
// damping.
func TestRejection(t *testing.T) {
	nan, inf, larger := math.NaN(), math.Inf(1), 1e9
	for _, s := range []optim.Settings{{}, {"regime": 1}, {"ema": 0.5}} {
		n := mixed(t)
		with := optim.Settings{"rejection-factor": 3, "damping": 0.2, "burn-in": 2}
		for k, v := range s {
			with[k] = v
		}
		p := &poisoned{net: n}
		m, _ := made(t, n, "kfac", with)
		r := m.(*Rejecting[float64])
		f := objective.New[float64](p, n.Layout(), n.theta)
		for step := range 3 {
			stepOn(t, m, f, step, 12)
		}
		if r.rejected != 0 {
			t.Fatalf("%v: %d steps were rejected", s, r.rejected)
		}
		for i, bad := range []*float64{&nan, &inf, &larger} {
			params := append([]float64(nil), n.theta...)
			saved := newShadow[float64](optim.Env{Layout: n.Layout()}, m, r.k)
			saved.save(n.theta)
			p.value = bad
			report := stepOn(t, m, f, 3+i, 12)
			if report.StepSize != 0 || extra(report, "rejected") != float64(i+1) || report.Skipped {
				t.Errorf("%v: the report of a rejected step: %+v", s, report)
			}
			wantNear(t, "parameters", n.theta, params, 0)
			r.rejected-- // it is not to be compared
			for j, e := range saved.entries {
				if e.Vector != nil {
					wantNear(t, e.Name, e.Vector, saved.vectors[j], 0)
				}
				if e.Int != nil && *e.Int != saved.ints[j] {
					t.Errorf("%v: %s is %d, expected %d", s, e.Name, *e.Int, saved.ints[j])
				}
			}
			r.rejected++
			if want := math.Pow(3, float64(i+1)); math.Abs(r.k.factor-want) > 1e-12*want || r.k.stale != 1 {
				t.Errorf("%v: the factor is %v, expected %v", s, r.k.factor, want)
			}
		}
		p.value = nil
		stepOn(t, m, f, 6, 12)
		if r.rejected != 3 || r.k.stale != 0 {
			t.Errorf("%v: %d steps rejected, stale %d", s, r.rejected, r.k.stale)
		}
	}
	// Without a rejection a value that is not a number counts as a bad ratio.
	n := mixed(t)
	p := &poisoned{net: n, value: &nan}
	m, _ := made(t, n, "kfac", optim.Settings{"adaptive-damping": 1, "damping-every": 1, "damping-decay": 0.5})
	stepOn(t, m, objective.New[float64](p, n.Layout(), n.theta), 0, 12)
	if lm := m.(*LevenbergMarquardt[float64]); lm.k.factor != 2 {
		t.Errorf("after a loss that is not a number the factor is %v, expected 2", lm.k.factor)
	}
}

// A calibration moves nothing but the damping, ends where the ratio is good or turns, and the first step is the one that a method with that
// damping makes.
func TestCalibration(t *testing.T) {
	for _, s := range []optim.Settings{{"regime": 1}, {"kl-clip": 0, "lr": 1}} {
		for _, start := range []float64{1e-6, 1e4} {
			n := network(t, "bernoulli", 30, tensor.ShapeOf(4), affine(6, "tanh"), affine(5, "tanh"), affine(3, ""))
			first := append([]float64(nil), n.theta...)
			with := optim.Settings{"calibrate-damping": 1, "damping": start}
			for k, v := range s {
				with[k] = v
			}
			m, f := made(t, n, "kfac", with)
			lm := m.(*LevenbergMarquardt[float64])
			stepOn(t, m, f, 0, 30)
			found, moved := start*lm.k.factor, append([]float64(nil), n.theta...)
			t.Logf("%v: from λ %g to %g, ratio %.3f", s, start, found, lm.ratio)
			if lm.k.updates != 1 || lm.k.observed != 1 {
				t.Errorf("%v: %d updates, %d statistics", s, lm.k.updates, lm.k.observed)
			}
			if !(found > 2*start && start < 1 || found < start/2 && start > 1) && !(lm.ratio >= 0.25 && lm.ratio <= 0.75) {
				t.Errorf("%v: λ %g went to %g, ratio %g", s, start, found, lm.ratio)
			}
			copy(n.theta, first)
			with["calibrate-damping"], with["damping"] = 0, found
			m, f = made(t, n, "kfac", with)
			stepOn(t, m, f, 0, 30)
			wantNear(t, "the first step", n.theta, moved, 1e-9)
		}
	}
}

// Each clip bounds what its name says, and leaves alone what is within the bound.
func TestClips(t *testing.T) {
	n := mixed(t)
	const lr, lambda = 0.7, 0.05
	run := func(c Clip) (u []float64, k *Preconditioner[float64], inner float64) {
		k = observed(t, n, Factored, objective.Exact, lambda, func(o *Options) {
			o.Step = FixedStep{Rate: optim.Fixed("lr", lr), Clip: c}
		})
		u = n.gradient(t)
		grab := &grab{}
		chain := optim.NewChain[float64](optim.Env{Layout: n.Layout()}, k, grab, optim.NewDescend[float64](optim.Fixed("lr", 0)))
		f := objective.New[float64](n.Network, n.Layout(), n.theta)
		f.SetProgress(objective.Progress{Batch: 12})
		if _, err := chain.Step(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		for i := range u {
			inner += u[i] * grab.u[i]
		}
		return grab.u, k, inner
	}
	free, k, inner := run(nil)
	norm := 0.0
	for _, v := range free {
		norm += v * v
	}
	norm = math.Sqrt(norm)
	for _, part := range []float64{1e-6, 0.3, 0.999, 1.001, 1e3} {
		u, _, got := run(KLClip(part * lr * lr * inner))
		if nu := u[0] / free[0]; lr*lr*nu*nu*inner > part*lr*lr*inner*(1+1e-12) || part > 1 && nu != 1 {
			t.Errorf("KL clip at %g of the step: ν %v, ⟨U, g⟩ %v of %v", part, nu, got, inner)
		}
		u, _, _ = run(NormClip(part * lr * norm))
		if nu := u[0] / free[0]; math.Abs(nu-min(1, part)) > 1e-12 || part > 1 && nu != 1 {
			t.Errorf("norm clip at %g of the step: ν %v", part, nu)
		}
		for i, b := range k.blocks {
			rms := 0.0
			for _, j := range b.index() {
				rms += free[j] * free[j]
			}
			rms = math.Sqrt(rms / float64(len(b.index())))
			u, _, _ := run(LayerClip(part * rms))
			at := b.index()[0]
			if nu := u[at] / free[at]; math.Abs(nu-min(1, part)) > 1e-12 || part > 1 && nu != 1 {
				t.Errorf("layer clip at %g of block %d: ν %v", part, i, nu)
			}
		}
	}
}

// grab keeps the update as it comes.
type grab struct{ u []float64 }

func (*grab) Name() string                { return "grab" }
func (*grab) State() optim.State[float64] { return nil }
func (g *grab) Transform(_ context.Context, s *optim.Stage[float64]) (optim.Verdict, error) {
	g.u = append([]float64(nil), s.Update...)
	return optim.Continue, nil
}

// Batches that are accumulated give the factors of the batch of all of them, also where they differ in size.
func TestAccumulatedStatistics(t *testing.T) {
	n := mixed(t)
	x, y := tensor.New[float64](12, 4), make([]int32, 12)
	tensor.Normal(tensor.KeyOf(7), x.Data(), 0.2, 1)
	for i := range y {
		y[i] = int32(i % 3)
	}
	part := func(lo, hi int) (tensor.Tensor[float64], nn.Target[float64]) {
		return tensor.FromSlice(x.Data()[4*lo:4*hi], hi-lo, 4), nn.Target[float64]{Labels: y[lo:hi]}
	}
	run := func(cuts ...int) *Preconditioner[float64] {
		theta := append([]float64(nil), n.theta...)
		s := optim.Settings{"signal": 2, "burn-in": 0, "statistics-every": 1, "statistics-decay": 0.6, "accumulate": float64(len(cuts) - 1), "inverse-every": 1}
		m, _ := made(t, n, "kfac", s)
		f := objective.New[float64](n.Network, n.Layout(), theta)
		for range 2 {
			for i := range len(cuts) - 1 {
				bx, by := part(cuts[i], cuts[i+1])
				n.SetBatch(bx, by)
				stepOn(t, m, f, 0, cuts[i+1]-cuts[i])
			}
		}
		return find[*Preconditioner[float64]](t, m)
	}
	for _, cuts := range [][]int{{0, 6, 12}, {0, 4, 8, 12}, {0, 5, 11, 12}} {
		whole, parts := run(0, 12), run(cuts...)
		if parts.updates != 2 {
			t.Fatalf("%v: %d updates", cuts, parts.updates)
		}
		for i, b := range whole.blocks {
			p := parts.blocks[i]
			for _, pair := range [][2]tensor.Tensor[float64]{{b.sumA(), p.sumA()}, {b.sumG(), p.sumG()}} {
				want, got := pair[0].Clone(), pair[1].Clone()
				for j := range want.Data() {
					want.Data()[j] /= b.weight
					got.Data()[j] /= p.weight
				}
				wantNear(t, b.Name, got.Data(), want.Data(), 1e-10)
			}
		}
	}
	// Of one window, batches of any sizes.
	first := func(cuts ...int) []float64 {
		theta := append([]float64(nil), n.theta...)
		m, _ := made(t, n, "kfac", optim.Settings{"signal": 2, "burn-in": 0, "statistics-every": 1, "accumulate": float64(len(cuts) - 1)})
		f := objective.New[float64](n.Network, n.Layout(), theta)
		for i := range len(cuts) - 1 {
			bx, by := part(cuts[i], cuts[i+1])
			n.SetBatch(bx, by)
			stepOn(t, m, f, 0, cuts[i+1]-cuts[i])
		}
		return theta
	}
	wantNear(t, "parameters", first(0, 5, 11, 12), first(0, 12), 1e-10)
}

// Statistics of a part are those of the batch's first examples, and in a window those of the first examples of each batch together.
func TestStatisticsOfAPart(t *testing.T) {
	n := mixed(t)
	x, y := tensor.New[float64](12, 4), make([]int32, 12)
	tensor.Normal(tensor.KeyOf(7), x.Data(), 0.2, 1)
	for i := range y {
		y[i] = int32(i % 3)
	}
	set := func(rows ...int) {
		bx, by := tensor.New[float64](len(rows), 4), make([]int32, len(rows))
		for i, r := range rows {
			copy(bx.Data()[4*i:4*i+4], x.Data()[4*r:])
			by[i] = y[r]
		}
		n.SetBatch(bx, nn.Target[float64]{Labels: by})
	}
	run := func(signal, part float64, batches ...[]int) *Preconditioner[float64] {
		s := optim.Settings{"signal": signal, "statistics-part": part, "burn-in": 0, "statistics-every": 1, "inverse-every": 1, "accumulate": float64(len(batches))}
		m, f := made(t, net{n.Network, append([]float64(nil), n.theta...)}, "kfac", s)
		k := find[*Preconditioner[float64]](t, m)
		k.o.Part.Least = 0
		for _, rows := range batches {
			set(rows...)
			stepOn(t, m, f, 0, len(rows))
		}
		return k
	}
	for _, signal := range []float64{2, 3} {
		for _, c := range []struct {
			batches [][]int
			seen    []int
		}{
			{[][]int{{0, 1, 2, 3, 4, 5, 6}}, []int{0, 1, 2, 3}},
			{[][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 11}}, []int{0, 1, 2, 3, 8, 9}},
			{[][]int{{0, 1, 2, 3, 4}, {5, 6}, {7}}, []int{0, 1, 2, 5, 7}},
		} {
			got, want := run(signal, 0.5, c.batches...), run(signal, 1, c.seen)
			for i, b := range want.blocks {
				p := got.blocks[i]
				for _, pair := range [][2]tensor.Tensor[float64]{{b.sumA(), p.sumA()}, {b.sumG(), p.sumG()}} {
					wantMean, mean := pair[0].Clone(), pair[1].Clone()
					for j := range mean.Data() {
						wantMean.Data()[j] /= b.weight
						mean.Data()[j] /= p.weight
					}
					wantNear(t, b.Name, mean.Data(), wantMean.Data(), 1e-12)
				}
			}
		}
	}
}

// Settings that contradict each other are an error before the first step, with a hint, and both names.
func TestContradictions(t *testing.T) {
	layout := network(t, "squared", 2, tensor.ShapeOf(4), affine(2, "")).Layout()
	for _, c := range []struct {
		settings  optim.Settings
		schedules map[string]string
		want      []string
	}{
		{optim.Settings{"kl-clip": 0.03, "norm-clip": 1}, nil, []string{"kl-clip=0.03", "norm-clip=1"}},
		{optim.Settings{"layer-clip": 0.07, "norm-clip": 1}, nil, []string{"layer-clip", "norm-clip"}},
		{optim.Settings{"regime": 1, "kl-clip": 0.03}, nil, []string{"regime=1", "kl-clip=0.03"}},
		{optim.Settings{"regime": 2, "layer-clip": 0.07}, nil, []string{"regime=2", "layer-clip"}},
		{optim.Settings{"regime": 1, "clip-norm": 1}, nil, []string{"regime", "clip-norm"}},
		{optim.Settings{"regime": 1, "weight-decay": 0.1}, nil, []string{"regime", "weight-decay"}},
		{optim.Settings{"regime": 3, "accumulate": 2}, nil, []string{"regime", "accumulate"}},
		{optim.Settings{"regime": 1, "momentum": 0.5}, nil, []string{"regime", "momentum"}},
		{optim.Settings{"regime": 3, "momentum": 0.5}, nil, []string{"regime", "momentum"}},
		{optim.Settings{"regime": 1}, map[string]string{"lr": "cosine"}, []string{"regime", "schedule of lr"}},
		{optim.Settings{"damping-in-model": 1}, nil, []string{"damping-in-model", "adaptive-damping"}},
		{optim.Settings{"min-damping": 2, "max-damping": 1}, nil, []string{"min-damping", "max-damping"}},
		{optim.Settings{"rejection-factor": 0.5}, nil, []string{"rejection-factor"}},
	} {
		for _, spec := range Table[float64]() {
			if _, ok := spec.Setting("regime"); !ok {
				continue
			}
			_, err := spec.Make(optim.Env{Layout: layout, Schedules: c.schedules}, c.settings)
			if err == nil || !strings.Contains(err.Error(), "\nhint: ") {
				t.Errorf("%s %v: error %v", spec.Name, c.settings, err)
				continue
			}
			for _, word := range c.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s %v: the error does not say %q: %v", spec.Name, c.settings, word, err)
				}
			}
		}
	}
	for _, fine := range []optim.Settings{{"regime": 1}, {"regime": 2, "momentum": 0.5}, {"regime": 3, "lr": 0.5}, {"norm-clip": 1}, {"layer-clip": 0.07}, {"kl-clip": 0, "norm-clip": 2}, {"regime": 1, "lr": 0.01}} {
		spec, err := optim.Find(Table[float64](), "kfac")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := spec.Make(optim.Env{Layout: layout}, fine); err != nil {
			t.Errorf("%v: %v", fine, err)
		}
	}
}
