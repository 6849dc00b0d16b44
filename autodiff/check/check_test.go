package check_test

import (
	"strings"
	"testing"

	ad "github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/autodiff/check"
	"github.com/descent-ml/descent/tensor"
)

type vr = ad.Var[float64]

// detach hides the dependence on x from the tape.
func detach(t *ad.Tape[float64], x vr) vr { return t.Input(x.Value()) }

func point() tensor.Tensor[float64] {
	return tensor.FromSlice([]float64{0.3, -1.2, 0.7, 2.1}, 2, 2)
}

func TestCheckFindsWrongDerivatives(t *testing.T) {
	for _, c := range []struct {
		name, want string
		f          check.Func
	}{
		// ½x² with the wrong derivative ½x.
		{"first order", "JVP", func(t *ad.Tape[float64], x []vr) vr {
			return ad.Scale(ad.Mul(x[0], detach(t, x[0])), 0.5)
		}},
		// x d − ½d² with d = x: value and gradient of ½x², Hessian 0.
		{"second order", "Hessian", func(t *ad.Tape[float64], x []vr) vr {
			d := detach(t, x[0])
			return ad.Sub(ad.Mul(x[0], d), ad.Scale(ad.Square(d), 0.5))
		}},
		// The Taylor polynomial of eˣ at d = x to second order: third derivative 0.
		{"third order", "third", func(t *ad.Tape[float64], x []vr) vr {
			d := detach(t, x[0])
			e, r := ad.Exp(d), ad.Sub(x[0], d)
			r = ad.AddScalar(ad.Add(r, ad.Scale(ad.Square(r), 0.5)), 1)
			return ad.Mul(t.Input(e.Value()), r)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := check.Check(c.f, point())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check = %v, want an error about %q", err, c.want)
			}
		})
	}
}

func TestCheckAcceptsRightOnes(t *testing.T) {
	r, err := check.Check(func(_ *ad.Tape[float64], x []vr) vr { return ad.Exp(ad.Mul(x[0], x[1])) }, point(), point())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []float64{r.JVP, r.Gradient, r.Hessian, r.Third} {
		if e == 0 || e > 1e-8 {
			t.Errorf("error against finite differences of a smooth function is %g, want a small positive number", e)
		}
	}
}
