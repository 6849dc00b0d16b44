package objective_test

import (
	"math"
	"testing"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// withoutForms hides the forms, so that they are made of products.
type withoutForms struct{ n *objective.Network[float64] }

func (w withoutForms) Evaluate(theta, grad []float64) (float64, error) {
	return w.n.Evaluate(theta, grad)
}
func (w withoutForms) HVP(theta, v, out []float64) error   { return w.n.HVP(theta, v, out) }
func (w withoutForms) GGNVP(theta, v, out []float64) error { return w.n.GGNVP(theta, v, out) }

// The forms are the inner products with the products, of one, two and three vectors, with a penalty and without.
func TestGaussNewtonForms(t *testing.T) {
	for _, loss := range []string{"squared", "cross-entropy", "bernoulli", "poisson"} {
		for _, penalty := range []float64{0, 0.3} {
			m, err := nn.Build[float64]("mlp:5,4", nn.Options{Input: tensor.ShapeOf(6), Outputs: 3, Activation: "tanh"})
			if err != nil {
				t.Fatal(err)
			}
			l, err := nn.LossByName[float64](loss)
			if err != nil {
				t.Fatal(err)
			}
			n := objective.NewNetwork(m, l, nil)
			n.SetPenalty(penalty)
			size := m.Layout().Size()
			theta := make([]float64, size)
			nn.Initialize(m, tensor.KeyOf(1), theta, n.State())
			x := tensor.New[float64](7, 6)
			tensor.Normal(tensor.KeyOf(2), x.Data(), 0, 1)
			n.SetBatch(x, l.Sample(n.Predict(theta, x), tensor.KeyOf(3)))
			for k := 1; k <= 3; k++ {
				vs := make([][]float64, k)
				for i := range vs {
					vs[i] = make([]float64, size)
					tensor.Normal(tensor.KeyOf(uint64(4+i)), vs[i], 0, 1)
				}
				got, want := make([]float64, k*k), make([]float64, k*k)
				if err := objective.New[float64](n, m.Layout(), theta).GGNForms(vs, got); err != nil {
					t.Fatal(err)
				}
				if err := objective.New[float64](withoutForms{n}, m.Layout(), theta).GGNForms(vs, want); err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if !(math.Abs(got[i]-want[i]) <= 1e-11*math.Abs(want[0])) {
						t.Errorf("%s, penalty %g: form %d of %d vectors is %v, expected %v", loss, penalty, i, k, got[i], want[i])
					}
				}
			}
		}
	}
}
