package testfunc_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/objective/testfunc"
	"github.com/descent-ml/descent/tensor"
	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

func functions() []testfunc.Function[float64] {
	h := tensor.FromSlice([]float64{3, 1, 0, 1, 2, -0.5, 0, -0.5, 1}, 3, 3)
	return append(testfunc.All[float64](), testfunc.Rosenbrock[float64]{N: 5}, testfunc.NewQuadratic(h, []float64{1, -2, 0.5}, 4))
}

func value(f testfunc.Function[float64]) func([]float64) float64 {
	return func(x []float64) float64 {
		v, err := f.Evaluate(x, nil)
		if err != nil {
			panic(err)
		}
		return v
	}
}

// Gradients and Hessians are those of gonum's differences at random points; products are the dense
// products.
func TestDerivatives(t *testing.T) {
	for _, f := range functions() {
		n := f.Dim()
		rapid.Check(t, func(r *rapid.T) {
			x, v := make([]float64, n), make([]float64, n)
			for i := range x {
				x[i], v[i] = rapid.Float64Range(-2, 2).Draw(r, "x"), rapid.Float64Range(-1, 1).Draw(r, "v")
			}
			grad := make([]float64, n)
			f.Evaluate(x, grad)
			want := fd.Gradient(nil, value(f), x, &fd.Settings{Formula: fd.Central})
			near(r, f.Name()+" gradient", grad, want, 1e-5)

			h := tensor.New[float64](n, n)
			f.Hessian(x, h)
			jac := mat.NewDense(n, n, nil)
			fd.Jacobian(jac, func(y, x []float64) { f.Evaluate(x, y) }, x, &fd.JacobianSettings{Formula: fd.Central})
			near(r, f.Name()+" Hessian", h.Data(), jac.RawMatrix().Data, 1e-5)

			hv, product := make([]float64, n), make([]float64, n)
			f.HVP(x, v, hv)
			for i := range n {
				for j := range n {
					product[i] += h.At(i, j) * v[j]
				}
			}
			near(r, f.Name()+" product", hv, product, 1e-12)
		})
	}
}

// At every stated minimum the gradient is zero, the value the stated one, and the Hessian positive
// definite; where all residuals vanish the Gauss–Newton matrix is the Hessian.
func TestMinima(t *testing.T) {
	for _, f := range functions() {
		n := f.Dim()
		for _, m := range f.Minima() {
			grad := make([]float64, n)
			v, err := f.Evaluate(m.X, grad)
			if err != nil {
				t.Fatal(err)
			}
			near(t, f.Name()+" minimum", []float64{v}, []float64{m.Value}, 1e-12)
			near(t, f.Name()+" gradient at the minimum", grad, make([]float64, n), 1e-12)
			h := tensor.New[float64](n, n)
			f.Hessian(m.X, h)
			var chol mat.Cholesky
			if !chol.Factorize(mat.NewSymDense(n, h.Data())) {
				t.Errorf("%s: the Hessian at %v is not positive definite", f.Name(), m.X)
			}
			hv, gv := make([]float64, n), make([]float64, n)
			f.HVP(m.X, f.Start(), hv)
			if err := f.GGNVP(m.X, f.Start(), gv); errors.Is(err, objective.ErrUnsupported) {
				continue
			}
			near(t, f.Name()+" Gauss-Newton product at the minimum", gv, hv, 1e-9)
		}
	}
}

// The value at the start is no minimum, and a wrong length panics with both.
func TestStartAndMistakes(t *testing.T) {
	for _, f := range functions() {
		if v := value(f)(f.Start()); v <= f.Minima()[0].Value {
			t.Errorf("%s starts at its minimum", f.Name())
		}
		func() {
			defer func() {
				if e, ok := recover().(tensor.ShapeError); !ok || e.A.Size() != f.Dim() {
					t.Errorf("%s: panic %v", f.Name(), e)
				}
			}()
			f.Evaluate(make([]float64, f.Dim()+1), nil)
		}()
	}
}

// The spectrum of the random quadratic is the asked one; Deep's lies in its intervals.
func TestSpectrum(t *testing.T) {
	eigen := func(f *testfunc.Quadratic[float64]) []float64 {
		n := f.Dim()
		h := tensor.New[float64](n, n)
		f.Hessian(nil, h)
		var e mat.EigenSym
		if !e.Factorize(mat.NewSymDense(n, h.Data()), false) {
			t.Fatal("no eigenvalues")
		}
		return e.Values(nil)
	}
	near(t, "eigenvalues", eigen(testfunc.RandomQuadratic[float64](tensor.KeyOf(1), []float64{5, 0.1, 2})), []float64{0.1, 2, 5}, 1e-13)
	for i, v := range eigen(testfunc.Deep[float64](tensor.KeyOf(2))) {
		if lo, hi := 0.0, 1.0; i < 90 && (v < lo || v > hi) || i >= 90 && (v < 30 || v > 60) {
			t.Errorf("eigenvalue %d is %v", i, v)
		}
	}
}

// With noise the gradient is H(θ − x̄), the value the mean over the batch: both from the definition,
// example by example.
func TestNoisyQuadratic(t *testing.T) {
	h := tensor.FromSlice([]float64{2, 0.5, 0.5, 1}, 2, 2)
	f := testfunc.NewQuadratic(h, []float64{1, -1}, 0.25)
	key := tensor.KeyOf(4)
	f.SetBatch(key, 3, 0.6)
	noise := make([]float64, 6)
	tensor.Normal(key, noise, 0, 0.6)
	theta := []float64{0.3, 0.7}
	var want float64
	wantGrad := make([]float64, 2)
	for i := range 3 {
		d := []float64{theta[0] - 1 - noise[2*i], theta[1] + 1 - noise[2*i+1]}
		hd := []float64{2*d[0] + 0.5*d[1], 0.5*d[0] + d[1]}
		want += (d[0]*hd[0] + d[1]*hd[1]) / 2 / 3
		wantGrad[0] += hd[0] / 3
		wantGrad[1] += hd[1] / 3
	}
	grad := make([]float64, 2)
	v, err := f.Evaluate(theta, grad)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "value", []float64{v}, []float64{want + 0.25}, 1e-14)
	near(t, "gradient", grad, wantGrad, 1e-14)
	f.SetBatch(key, 0, 0)
	near(t, "without noise", []float64{value(f)([]float64{1, -1})}, []float64{0.25}, 0)
}

// near fails unless got and want agree to tol relative to the larger of 1 and the largest of want.
func near(t interface{ Errorf(string, ...any) }, what string, got, want []float64, tol float64) {
	scale := 1.0
	for _, w := range want {
		scale = max(scale, math.Abs(w))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tol*scale) {
			t.Errorf("%s: number %d is %.15g, want %.15g", what, i, got[i], want[i])
			return
		}
	}
}

func Example() {
	f := testfunc.Branin[float64]{}
	for _, m := range f.Minima() {
		fmt.Printf("f(%.3f, %.3f) = %.6f\n", m.X[0], m.X[1], m.Value)
	}
	// Output:
	// f(-3.142, 12.275) = 0.397887
	// f(3.142, 2.275) = 0.397887
	// f(9.425, 2.475) = 0.397887
}
