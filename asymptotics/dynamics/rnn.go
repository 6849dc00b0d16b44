package dynamics

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/tensor"
)

// Nonlinearity is the function σ of an [RNN].
type Nonlinearity struct {
	Name      string
	Lipschitz float64 // sup |σ'|
	Odd       bool

	value func(s, z []float64)       // s = σ(z)
	grad  func(d, s, z, c []float64) // d = c∘σ'(z), given s = σ(z)
}

// Tanh, Sigmoid and Erf return the nonlinearities of these names.
func Tanh() Nonlinearity {
	return Nonlinearity{"tanh", 1, true, func(s, z []float64) { simd.Tanh(s, z) },
		func(d, s, _, c []float64) { simd.TanhGrad(d, s, c) }}
}

// Sigmoid is 1/(1+e⁻ˣ).
func Sigmoid() Nonlinearity {
	return Nonlinearity{"sigmoid", 0.25, false, func(s, z []float64) { simd.Sigmoid(s, z) },
		func(d, s, _, c []float64) { simd.SigmoidGrad(d, s, c) }}
}

// Erf is the error function.
func Erf() Nonlinearity {
	return Nonlinearity{"erf", 2 / math.Sqrt(math.Pi), true, func(s, z []float64) { simd.Erf(s, z) },
		func(d, _, z, c []float64) {
			simd.Mul(d, z, z)
			simd.Scale(d, d, -1)
			simd.Exp(d, d)
			simd.Scale(d, d, 2/math.Sqrt(math.Pi))
			simd.Mul(d, d, c)
		}}
}

// NonlinearityByName returns tanh, sigmoid or erf.
func NonlinearityByName(name string) (Nonlinearity, error) {
	for _, n := range []Nonlinearity{Tanh(), Sigmoid(), Erf()} {
		if n.Name == name {
			return n, nil
		}
	}
	return Nonlinearity{}, fmt.Errorf("dynamics: unknown nonlinearity %q\nhint: tanh, sigmoid or erf: bounded and smooth, as the limit theorem wants", name)
}

// Memory is the law of the memory weights B.
type Memory struct {
	// Coupled weights are B = Scale·tanh(first component of W). Others are independent of W with mean Mean and standard deviation SD.
	Coupled  bool    `json:"coupled"`
	Scale    float64 `json:"scale,omitempty"`
	Mean, SD float64 `json:",omitempty"`
}

// RNN is the recurrent network, its training and its data.
type RNN struct {
	Sigma  Nonlinearity `json:"-"`
	Memory Memory       `json:"memory"`
	// Output is the range of the output weights: C is uniform on [-Output, Output]; 0 stands for 1.
	Output float64 `json:"output"`
	Beta   float64 `json:"beta"`  // exponent of the output's normalisation, in [1/2, 1)
	Alpha  float64 `json:"alpha"` // rate
	Data   Source  `json:"-"`
}

// Source is ergodic data.
type Source interface {
	// Inputs is the length of x_k.
	Inputs() int
	// Series stores n consecutive steps of a stationary path in x [n, inputs] and y [n]. Two keys give independent paths.
	Series(key tensor.Key, x, y []float64)
}

// AR is the autoregression x_k = Phi·x_{k-1} + √(1-Phi²)·SD·noise with target y_k = Now·x_k + Past·x_{k-1} + Noise·noise'. Its stationary
// standard deviation is SD.
type AR struct {
	Phi, SD, Now, Past, Noise float64
}

// Inputs returns 1.
func (AR) Inputs() int { return 1 }

// Series implements [Source], from the stationary law on.
func (a AR) Series(key tensor.Key, x, y []float64) {
	n := len(y)
	noise := make([]float64, n+1)
	tensor.Normal(key.Named("input"), noise, 0, 1)
	prev := a.SD * noise[n]
	root := a.SD * math.Sqrt(1-a.Phi*a.Phi)
	extra := make([]float64, n)
	if a.Noise != 0 {
		tensor.Normal(key.Named("target"), extra, 0, a.Noise)
	}
	for k := range n {
		x[k] = a.Phi*prev + root*noise[k]
		y[k] = a.Now*x[k] + a.Past*prev + extra[k]
		prev = x[k]
	}
}

// Recorded is a series that was measured; a path starts at a random step and wraps around.
type Recorded struct {
	X tensor.Tensor[float64] // [steps, inputs]
	Y []float64
}

// Inputs returns the columns of X.
func (r Recorded) Inputs() int { return r.X.Shape().Cols() }

// Series implements [Source].
func (r Recorded) Series(key tensor.Key, x, y []float64) {
	d, n := r.Inputs(), len(r.Y)
	at := key.IntN(0, n)
	for k := range y {
		copy(x[k*d:(k+1)*d], r.X.Data()[at*d:(at+1)*d])
		y[k] = r.Y[at]
		if at++; at == n {
			at = 0
		}
	}
}

func (r RNN) validate() error {
	switch {
	case r.Sigma.value == nil:
		return fmt.Errorf("dynamics: the network has no nonlinearity\nhint: dynamics.Tanh()")
	case !(r.Beta >= 0.5 && r.Beta < 1):
		return fmt.Errorf("dynamics: found β = %g, expected a number from 0.5 to below 1\nhint: 0.5 has a random start, above it the start vanishes with the width", r.Beta)
	case !(r.Alpha > 0):
		return fmt.Errorf("dynamics: found the rate %g, expected a positive number\nhint: 1", r.Alpha)
	case r.Data == nil || r.Data.Inputs() < 1:
		return fmt.Errorf("dynamics: the network has no data\nhint: an autoregression, dynamics.AR, or a recorded series")
	}
	return nil
}

func (r RNN) output() float64 {
	if r.Output == 0 {
		return 1
	}
	return r.Output
}

// Replicates are trained networks: for each of R replicates the outputs at the end of the test series.
type Replicates struct {
	Outputs  tensor.Tensor[float64] // [R, points]
	Width    int
	Steps    int
	Diverged int // replicates whose outputs are not finite
}

// Simulate trains R networks of the given width to time T, which is T·width steps, each on a path of its own, and evaluates them with
// frozen weights on the common test series, whose first burn steps only fill the memory. B is trained with the rest.
// Replicates run in parallel. Cost: R·T·width² evaluations of σ.
func (r RNN) Simulate(pool *tensor.Pool, key tensor.Key, width, replicates int, T float64, test Path, burn int) (*Replicates, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	if width < 1 || replicates < 1 || !(T > 0) || burn < 0 || burn >= len(test.Y) {
		return nil, fmt.Errorf("dynamics: found width %d, %d replicates, time %g, %d of %d test steps to fill the memory; expected positive numbers and test steps left\nhint: width 400, 1000 replicates", width, replicates, T, burn, len(test.Y))
	}
	if pool == nil {
		pool = tensor.NewPool(1)
	}
	steps := int(math.Round(T * float64(width)))
	points := len(test.Y) - burn
	out := &Replicates{Outputs: tensor.New[float64](replicates, points), Width: width, Steps: steps}
	pool.Do(replicates, func(_, i int) {
		n := newNetwork(r, key.Fold(uint64(i)), width)
		x, y := make([]float64, steps*n.d), make([]float64, steps)
		r.Data.Series(key.Fold(uint64(i)).Named("path"), x, y)
		for k := range steps {
			n.train(x[k*n.d:(k+1)*n.d], y[k])
		}
		n.u = 0
		for k := range test.Y {
			g := n.forward(test.X[k*n.d : (k+1)*n.d])
			if k >= burn {
				out.Outputs.Data()[i*points+k-burn] = g
			}
			n.remember()
		}
	})
	for i := range replicates {
		if !tensor.AllFinite(tensor.FromSlice(out.Outputs.Data()[i*points:(i+1)*points], points)) {
			out.Diverged++
		}
	}
	return out, nil
}

// Path is a series in memory: X has Inputs numbers a step.
type Path struct {
	X, Y []float64
}

// PathOf draws n steps from s.
func PathOf(s Source, key tensor.Key, n int) Path {
	p := Path{make([]float64, n*s.Inputs()), make([]float64, n)}
	s.Series(key, p.X, p.Y)
	return p
}

// network is one finite network in training.
type network struct {
	n, d    int
	scale   float64 // N^{-β}
	rate    float64 // α N^{-(2-2β)}
	sigma   Nonlinearity
	w       []float64 // [d, N]
	b, c    []float64
	s, z, g []float64
	last    []float64 // S of the step before
	u       float64   // of the step before
}

func newNetwork(r RNN, key tensor.Key, width int) *network {
	d := r.Data.Inputs()
	n := &network{n: width, d: d, sigma: r.Sigma, scale: math.Pow(float64(width), -r.Beta), rate: r.Alpha * math.Pow(float64(width), 2*r.Beta-2)}
	buf := make([]float64, width*(d+6))
	take := func(k int) []float64 { v := buf[:k:k]; buf = buf[k:]; return v }
	n.w, n.b, n.c, n.s, n.z, n.g, n.last = take(width*d), take(width), take(width), take(width), take(width), take(width), take(width)
	tensor.Normal(key.Named("w"), n.w, 0, 1)
	tensor.Uniform(key.Named("c"), n.c, -r.output(), r.output())
	if r.Memory.Coupled {
		simd.Tanh(n.b, n.w[:width])
		simd.Scale(n.b, n.b, r.Memory.Scale)
	} else {
		tensor.Normal(key.Named("b"), n.b, r.Memory.Mean, r.Memory.SD)
	}
	return n
}

// forward computes S_k from x_k and u_{k-1} and returns ŷ_k.
func (n *network) forward(x []float64) float64 {
	simd.Scale(n.z, n.w[:n.n], x[0])
	for j := 1; j < n.d; j++ {
		simd.Axpy(n.z, x[j], n.w[j*n.n:(j+1)*n.n])
	}
	simd.AddScalar(n.z, n.z, n.u)
	n.sigma.value(n.s, n.z)
	return n.scale * simd.Dot(n.c, n.s)
}

// remember moves the memory on: u_k = (1/N) Σ B S_k.
func (n *network) remember() {
	n.u = simd.Dot(n.b, n.s) / float64(n.n)
	n.s, n.last = n.last, n.s
}

// train makes one step: with e = y - ŷ and the gradients of ŷ at fixed S_{k-1},
//
//	∂ŷ/∂C = N^{-β} S,   ∂ŷ/∂W = N^{-β} C∘σ' x,   ∂ŷ/∂B = N^{-β} (Σ C∘σ')/N · S_{k-1}
func (n *network) train(x []float64, y float64) {
	e := n.rate * n.scale * (y - n.forward(x))
	n.sigma.grad(n.g, n.s, n.z, n.c)
	simd.Axpy(n.b, e*simd.Sum(n.g)/float64(n.n), n.last)
	simd.Axpy(n.c, e, n.s)
	for j := range n.d {
		simd.Axpy(n.w[j*n.n:(j+1)*n.n], e*x[j], n.g)
	}
	n.remember()
}
