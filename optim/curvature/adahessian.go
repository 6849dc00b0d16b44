package curvature

import (
	"context"
	"math"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// AdaHessian is Adam with the Hessian's diagonal in the place of the gradient's second moment:
//
//	D = |z∘(H z)|,   z: independent signs ±1           (Hutchinson)
//	D ← mean of D over the positions of the kernel     (each input and output channel of a convolution)
//	m ← β₁ m + (1−β₁) u,      v ← β₂ v + (1−β₂) D²
//	u ← m/(1−β₁ᵗ) / ( (v/(1−β₂ᵈ))^{k/2} + ε )
//
// with k the Hessian power and d the number of estimates, one every h updates.
//
// Paper: Yao, Gholami, Shen, Mustafa, Keutzer and Mahoney, "ADAHESSIAN: an adaptive second order optimizer for machine learning",
// AAAI 2021. Deviations: kernels of grouped convolutions are not averaged; nor are the elements of dense layers, as in the authors'
// program for images.
//
// Cost: two floats a parameter and two temporaries; a product with the Hessian, about two gradients, in every h-th update.
// Invariances: for k = 1 and ε → 0 the update does not change when the loss is multiplied by a constant.
// Failure: where the Hessian's diagonal is nearly zero (dead units, flat outputs) the quotient is large: ε bounds it by |m|/ε. The
// Hessian of a network with ReLU is that of its smooth piece. Where gradients are accumulated the estimate is of the last batch.
//
// An estimate that is not finite is left out and counted.
type AdaHessian[T tensor.Float] struct {
	o       AdaHessianOptions
	m, v    []T
	d, z    []T // temporaries
	kernels []kernel
	ws      *tensor.Workspace[T]
	key     tensor.Key
	drawn   int64 // estimates asked for
	used    int64 // and used
	refused int64

	inM, inV T // the step's corrections
}

// AdaHessianOptions are the constants of [AdaHessian].
type AdaHessianOptions struct {
	Beta1, Beta2, Eps float64
	Power             float64 // k
	Every             int     // h
	Spatial           bool    // averages over the positions of a kernel
}

// kernel is where the weights of a convolution lie, as [positions, channels].
type kernel struct{ offset, positions, channels int }

// NewAdaHessian returns the link.
func NewAdaHessian[T tensor.Float](env optim.Env, o AdaHessianOptions) *AdaHessian[T] {
	n := env.Layout.Size()
	l := &AdaHessian[T]{o: o, m: make([]T, n), v: make([]T, n), d: make([]T, n), z: make([]T, n),
		ws: tensor.NewWorkspace[T](env.Pool), key: tensor.KeyOf(0).Named("adahessian")}
	if o.Spatial {
		l.kernels = kernels(env.Layout)
	}
	return l
}

// kernels finds the convolutions. Their weight is [positions·in, out] with the position outermost, and their FanOut counts
// the positions, which tells them from dense layers.
func kernels(l *nn.Layout) []kernel {
	var out []kernel
	for i := range l.Len() {
		p := l.At(i)
		if p.Kind != nn.Weight || p.Shape.Rank() != 2 {
			continue
		}
		columns := p.Shape.Dim(1)
		positions := p.FanOut / columns
		side := int(math.Round(math.Sqrt(float64(positions))))
		if positions > 1 && positions*columns == p.FanOut && side*side == positions && p.Shape.Dim(0)%positions == 0 {
			out = append(out, kernel{p.Offset, positions, p.Shape.Size() / positions})
		}
	}
	return out
}

// Name returns "adahessian".
func (*AdaHessian[T]) Name() string { return "adahessian" }

// State returns the moments and the counters.
func (l *AdaHessian[T]) State() optim.State[T] {
	return optim.State[T]{{Name: "m", Vector: l.m}, {Name: "v", Vector: l.v},
		{Name: "drawn", Int: &l.drawn}, {Name: "used", Int: &l.used}, {Name: "refused", Int: &l.refused}}
}

// Transform renews v if that is due.
func (l *AdaHessian[T]) Transform(_ context.Context, s *optim.Stage[T]) (optim.Verdict, error) {
	if (s.T-1)%int64(l.o.Every) == 0 {
		if err := hutchinson(s, l.key.Fold(uint64(l.drawn)), l.z, l.d, "adahessian"); err != nil {
			return optim.Skip, err
		}
		l.drawn++
		simd.Abs(l.d, l.d)
		for _, k := range l.kernels {
			l.average(k)
		}
		simd.Mul(l.d, l.d, l.d)
		if simd.AllFinite(l.d) {
			simd.Axpby(l.v, T(1-l.o.Beta2), l.d, T(l.o.Beta2))
			l.used++
		} else {
			l.refused++
		}
	}
	if l.refused > 0 {
		s.Log("refused-estimates", float64(l.refused))
	}
	if l.used == 0 {
		return optim.Skip, nil
	}
	return optim.Continue, nil
}

// average replaces the kernel's part of d by its mean over the positions.
func (l *AdaHessian[T]) average(k kernel) {
	defer l.ws.Release(l.ws.Mark())
	d := tensor.FromSlice(l.d[k.offset:k.offset+k.positions*k.channels], k.positions, k.channels)
	mean, ax := l.ws.New(tensor.ShapeOf(k.channels)), tensor.AxisOf(d.Shape(), 0, 1)
	tensor.SumAxis(l.ws, mean, d, ax)
	tensor.Scale(l.ws, mean, mean, 1/T(k.positions))
	tensor.SpreadAxis(l.ws, d, mean, ax)
}

// Begin computes the corrections.
func (l *AdaHessian[T]) Begin(s *optim.Stage[T]) {
	l.inM = T(1 / (1 - math.Pow(l.o.Beta1, float64(s.T))))
	l.inV = T(1 / (1 - math.Pow(l.o.Beta2, float64(l.used))))
}

// Apply replaces the update.
func (l *AdaHessian[T]) Apply(b *optim.Block[T]) {
	m, t := b.Of(l.m), b.Scratch(0)
	simd.Axpby(m, T(1-l.o.Beta1), b.U, T(l.o.Beta1))
	simd.Scale(t, b.Of(l.v), l.inV)
	if l.o.Power == 1 {
		simd.Sqrt(t, t)
	} else {
		simd.Log(t, t)
		simd.Scale(t, t, T(l.o.Power/2))
		simd.Exp(t, t)
	}
	simd.AddScalar(t, t, T(l.o.Eps))
	simd.Div(b.U, m, t)
	simd.Scale(b.U, b.U, l.inM)
}
