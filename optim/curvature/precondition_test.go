package curvature

import (
	"math"
	"slices"
	"testing"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/objective/spectrum"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// The eigenvalues of M C that Lanczos finds in the inner product of M⁻¹ are those of the dense product Lᵀ C L with M = L Lᵀ, for
// every form of the preconditioner and with a diagonal block (normalisation) among them.
func TestPreconditionedSpectrum(t *testing.T) {
	for _, form := range []Form{Factored, ExactDamping, Eigenbasis} {
		n := network(t, "cross-entropy", 12, tensor.ShapeOf(4),
			&nn.Dense[float64]{Out: 5, Activation: "tanh"}, &nn.LayerNorm[float64]{}, &nn.Dense[float64]{Out: 3})
		k := observed(t, n, form, objective.Exact, 0.05, nil)
		k.updates = 1
		for _, d := range k.rest {
			d.weight = 2
			for i := range d.d {
				d.d[i] = 0.1 * float64(1+i)
			}
		}
		size := len(n.theta)
		before := copyState(k.State())
		m, c := tensor.New[float64](size, size), tensor.New[float64](size, size)
		rows := n.ggn(t)
		for i := range size {
			copy(c.Data()[i*size:], rows[i])
			column := m.Data()[i*size : (i+1)*size]
			column[i] = 1
			if !k.ApplyPreconditioner(column, objective.Progress{}) {
				t.Fatal("not ready")
			}
		}
		for i := range size {
			for j := range i {
				if d := math.Abs(m.At(i, j) - m.At(j, i)); d > 1e-12*math.Abs(m.At(i, i)) {
					t.Fatalf("form %d: M[%d,%d] differs from its mirror by %g", form, i, j, d)
				}
			}
		}
		ws := tensor.NewWorkspace[float64](nil)
		l, p, q := tensor.New[float64](size, size), tensor.New[float64](size, size), tensor.New[float64](size, size)
		if err := linalg.Cholesky(ws, l, m); err != nil {
			t.Fatalf("form %d: M: %v", form, err)
		}
		tensor.MatMul(ws, p, l, c, true, false)
		tensor.MatMul(ws, q, p, l, false, false)
		want := make([]float64, size)
		if err := linalg.SymmetricEigen(ws, want, tensor.Tensor[float64]{}, q); err != nil {
			t.Fatal(err)
		}
		trace := 0.0
		for _, v := range want {
			trace += v
		}
		a := spectrum.InMetric(spectrum.GaussNewton(n, n.theta), func(v []float64) { k.ApplyPreconditioner(v, objective.Progress{}) })
		got, err := spectrum.Measure(nil, a, spectrum.Options{Steps: 100, Samples: 50})
		if err != nil {
			t.Fatal(err)
		}
		top := want[size-1]
		if d := math.Abs(got.Max.Value - top); d > 1e-10*top {
			t.Errorf("form %d: largest %v, dense %v", form, got.Max.Value, top)
		}
		if d := math.Abs(got.Min.Value - want[0]); d > 1e-10*top {
			t.Errorf("form %d: smallest %v, dense %v", form, got.Min.Value, want[0])
		}
		if d := math.Abs(got.Trace.Value - trace); d > 4*got.Trace.Error {
			t.Errorf("form %d: trace %v ± %v, dense %v", form, got.Trace.Value, got.Trace.Error, trace)
		}
		if !slices.Equal(before, copyState(k.State())) {
			t.Errorf("form %d: the state has changed", form)
		}
	}
}

// copyState lists all numbers of a state.
func copyState(s optim.State[float64]) []float64 {
	var all []float64
	for _, e := range s {
		switch {
		case e.Int != nil:
			all = append(all, float64(*e.Int))
		case e.Float != nil:
			all = append(all, *e.Float)
		default:
			all = append(append(all, e.Double...), e.Vector...)
		}
	}
	return all
}

// The preconditioner is found in the chain, and through the methods around it.
func TestPreconditionsOfMethods(t *testing.T) {
	n := network(t, "squared", 3, tensor.ShapeOf(2), &nn.Dense[float64]{Out: 2})
	for _, s := range []optim.Settings{{}, {"adaptive-damping": 1}, {"ema": 0.9}} {
		m, err := specKFAC[float64]().New(optim.Env{Layout: n.Layout()}, complete(t, s))
		if err != nil {
			t.Fatal(err)
		}
		p := optim.PreconditionsOf(m)
		if p == nil {
			t.Fatalf("%v: no preconditioner found", s)
		}
		if v := []float64{1, 2, 3, 4, 5, 6}; p.ApplyPreconditioner(v, objective.Progress{}) || v[5] != 6 {
			t.Errorf("%v: applied before the first step: %v", s, v)
		}
	}
}

func complete(t *testing.T, given optim.Settings) optim.Settings {
	t.Helper()
	for _, s := range Table[float64]() {
		if s.Name == "kfac" {
			full, err := s.Complete(given)
			if err != nil {
				t.Fatal(err)
			}
			return full
		}
	}
	t.Fatal("no kfac")
	return nil
}
