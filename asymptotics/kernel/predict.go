package kernel

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/tensor"
)

// Regression predicts the output of a wide network trained by gradient flow with rate Alpha on the mean of ½(y - h)² over n
// training points:
//
//	dh_t(x)/dt = (α/n) Σ_j (y_j - h_t(x_j)) Θ(x, x_j),     h_0 Gaussian with covariance Q
//
// whose solution, with Φ_t = Θ(x, X) Θ⁻¹ (I - e^{-αΘt/n}), is h_t = h_0 + Φ_t (Y - h_0(X)): a linear map of the start. The mean and covariance
// are those over random starts (Lee et al., Wide neural networks of any depth evolve as linear models, 2019; for γ = 1/2 a theorem of
// Sirignano and Spiliopoulos, 1907.04108).
type Regression struct {
	Alpha float64
	// Theta is the tangent kernel between training points [n, n], Cross between test and training points [m, n].
	Theta, Cross tensor.Tensor[float64]
	// Q is the covariance at the start: between training points [n, n], test and training points [m, n], test points [m, m]. The
	// zero Tensors mean that the network starts at zero.
	Q, QCross, QTest tensor.Tensor[float64]
	Spectrum         *Spectrum // of Theta; nil: computed by the first prediction
}

// Prediction is the law of the output at the test points at one time.
type Prediction struct {
	Time float64                `json:"time"`
	Mean tensor.Tensor[float64] `json:"-"` // [m, outputs]
	Cov  tensor.Tensor[float64] `json:"-"` // [m, m], the same for every output; the zero Tensor where Q is
}

// Predict returns mean and covariance at time t for the targets y [n, outputs]; t = +Inf is the end of training. Small eigenvalues go by expm1, so that
// none is divided by. The error says what does not fit, or that the eigenvalues fail.
func (r *Regression) Predict(pool *tensor.Pool, y tensor.Tensor[float64], t float64) (Prediction, error) {
	n, m := r.Theta.Shape().Rows(), r.Cross.Shape().Rows()
	if !(r.Alpha > 0) || !(t >= 0) {
		return Prediction{}, fmt.Errorf("kernel: found rate %g and time %g, expected a positive rate and a time from 0\nhint: time is steps/width for one-example steps", r.Alpha, t)
	}
	for _, s := range []tensor.Shape{r.Cross.Shape(), tensor.ShapeOf(m, y.Shape().Rows())} {
		if s != tensor.ShapeOf(m, n) {
			panic(tensor.ShapeError{Op: "kernel.Regression.Predict", A: tensor.ShapeOf(m, n), B: s})
		}
	}
	if r.Spectrum == nil {
		var err error
		if r.Spectrum, err = SpectrumOf(pool, r.Theta); err != nil {
			return Prediction{}, err
		}
	}
	ws := tensor.NewWorkspace[float64](pool)
	phi := r.propagator(ws, t)
	p := Prediction{Time: t, Mean: tensor.New[float64](m, y.Shape().Cols())}
	tensor.MatMul(ws, p.Mean, phi, y.Reshape(n, y.Shape().Cols()), false, false)
	if r.Q.IsZero() {
		return p, nil
	}
	// Cov = Q** - Φ Q* - (Φ Q*)ᵀ + Φ Q Φᵀ with Q* [n, m] between training and test points.
	p.Cov = tensor.New[float64](m, m)
	half, cross, turned := ws.New(tensor.ShapeOf(m, n)), ws.New(tensor.ShapeOf(m, m)), ws.New(tensor.ShapeOf(m, m))
	tensor.MatMul(ws, half, phi, r.Q, false, false)
	tensor.MatMul(ws, p.Cov, half, phi, false, true)
	tensor.MatMul(ws, cross, phi, r.QCross, false, true)
	tensor.Permute(ws, turned, cross, []int{1, 0})
	tensor.Add(ws, cross, cross, turned)
	tensor.Sub(ws, p.Cov, p.Cov, cross)
	tensor.Add(ws, p.Cov, p.Cov, r.QTest)
	return p, nil
}

// propagator returns Φ_t = Θ(x, X) V g(Λ) Vᵀ with g(λ) = (1 - e^{-αλt/n})/λ, and g(0) = αt/n, or 0 for t = ∞: what is not in the kernel's range is never fitted.
func (r *Regression) propagator(ws *tensor.Workspace[float64], t float64) tensor.Tensor[float64] {
	n, m := r.Theta.Shape().Rows(), r.Cross.Shape().Rows()
	g := ws.New(tensor.ShapeOf(n))
	rate := r.Alpha * t / float64(n)
	floor := 1e-15 * float64(n) * r.Spectrum.Values[0]
	for j, v := range r.Spectrum.Values {
		switch {
		case math.IsInf(t, 1) && v <= floor:
			g.Data()[j] = 0
		case v == 0:
			g.Data()[j] = rate
		default:
			g.Data()[j] = -math.Expm1(-rate*v) / v
		}
	}
	phi, half := ws.New(tensor.ShapeOf(m, n)), ws.New(tensor.ShapeOf(m, n))
	tensor.MatMul(ws, half, r.Cross, r.Spectrum.Vectors, false, false)
	tensor.MulAxis(ws, half, half, g, tensor.AxisOf(half.Shape(), 0, 1))
	tensor.MatMul(ws, phi, half, r.Spectrum.Vectors, false, true)
	return phi
}
