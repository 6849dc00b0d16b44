package nn

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/tensor"
)

// Target is what the outputs of a batch are compared with: one class an example, or values of the
// outputs' shape. A loss uses one of the two.
type Target[T tensor.Float] struct {
	Labels []int32
	Values tensor.Tensor[T]
}

// Len returns the number of examples.
func (y Target[T]) Len() int {
	if y.Labels != nil || y.Values.IsZero() || y.Values.Shape().Rank() == 0 {
		return len(y.Labels)
	}
	return y.Values.Shape().Dim(0)
}

// Loss is the negative log-likelihood ℓ(z, y) of a predictive distribution with parameters z, the
// model's outputs [batch, outputs], up to a term without z. The loss of a batch of n examples is the
// mean L = (1/n) Σ ℓ(zᵢ, yᵢ), each ℓ being summed over the outputs of its example.
//
// Hₒ is the Hessian of L with respect to z: block diagonal, a block (1/n) ∂²ℓ an example. The products
// with it contain the factor 1/n, those with its root the factor 1/√n. Arguments z, v and out have the
// shape of z; out must not overlap the others. Hₒ does not depend on y except for Huber's loss.
type Loss[T tensor.Float] interface {
	// Name returns the form that [LossByName] reads.
	Name() string
	// UsesLabels reports whether the target is Labels, not Values.
	UsesLabels() bool
	// Check returns an error if y is no target for outputs z: a label out of range, another number of
	// examples.
	Check(z tensor.Shape, y Target[T]) error
	// Apply records L, a scalar.
	Apply(z autodiff.Var[T], y Target[T]) autodiff.Var[T]
	// PerExample stores ℓ of every example in out.
	PerExample(z tensor.Tensor[T], y Target[T], out []float64)
	// HessianProduct stores Hₒ v in out.
	HessianProduct(z, v, out tensor.Tensor[T], y Target[T])
	// SqrtHessianProduct stores S v in out, where S is square, block diagonal and S Sᵀ = Hₒ.
	SqrtHessianProduct(z, v, out tensor.Tensor[T], y Target[T])
	// SqrtHessianTransposed stores Sᵀ v in out.
	SqrtHessianTransposed(z, v, out tensor.Tensor[T], y Target[T])
	// Sample draws a target for each example from the predictive distribution: the mean over such
	// targets of ∇ℓ ∇ℓᵀ is the Fisher information.
	Sample(z tensor.Tensor[T], key tensor.Key) Target[T]
	// Metric returns the quantity by which people judge predictions, whose sum over the batch is Score.
	Metric() Metric
	// Score returns the sum over the examples of the metric's summand; see [Metric.Value].
	Score(z tensor.Tensor[T], y Target[T]) float64
}

// Metric is a quantity by which predictions are judged.
type Metric uint8

const (
	// Accuracy is the part of the examples whose largest output is that of their class.
	Accuracy Metric = iota
	// RMSE is the root of the mean, over examples and outputs, of the squared difference between
	// target and predicted mean.
	RMSE
)

// String returns "accuracy" or "rmse".
func (m Metric) String() string { return [...]string{"accuracy", "rmse"}[m] }

// Value returns the metric of n examples from the sum of their scores.
func (m Metric) Value(sum float64, n int) float64 {
	if m == RMSE {
		return math.Sqrt(sum / float64(n))
	}
	return sum / float64(n)
}

// Better reports whether value a of the metric is better than b.
func (m Metric) Better(a, b float64) bool {
	if m == RMSE {
		return a < b
	}
	return a > b
}

// LossInfo describes a loss.
type LossInfo struct {
	Name, Formula, Distribution string
	Number                      string // meaning and default of the number after the colon; "" if it takes none
}

// Losses lists the losses.
func Losses() []LossInfo {
	return []LossInfo{
		{"cross-entropy", "−Σ_k q_k log softmax(z)_k, q = (1−s)·onehot(y) + s/outputs", "categorical", "label smoothing s in [0, 1), default 0"},
		{"squared", "½ ‖z − y‖²", "normal with unit variance", ""},
		{"bernoulli", "Σ_k softplus(z_k) − y_k z_k, y in [0, 1]", "independent Bernoulli, z the log odds", ""},
		{"poisson", "Σ_k exp(z_k) − y_k z_k, y ≥ 0", "independent Poisson, z the log rates", ""},
		{"huber", "Σ_k ρ(z_k − y_k), ρ(r) = ½ r² if |r| ≤ δ, else δ |r| − ½ δ²", "density proportional to exp(−ρ)", "δ > 0, default 1"},
	}
}

// LossByName returns the loss that spec names: one of [Losses], where it takes a number followed by a
// colon and the number, as in "cross-entropy:0.1". The error names the nearest losses.
func LossByName[T tensor.Float](spec string) (Loss[T], error) {
	name, number, given := strings.Cut(strings.ToLower(strings.TrimSpace(spec)), ":")
	var names []string
	var info LossInfo
	for _, l := range Losses() {
		names = append(names, l.Name)
		if l.Name == name {
			info = l
		}
	}
	if info.Name == "" {
		return nil, fmt.Errorf("unknown loss %q\nhint: %s", name, nearest.Hint(name, names, "one of "+strings.Join(names, ", ")))
	}
	x := map[string]float64{"huber": 1}[name]
	if given {
		v, err := strconv.ParseFloat(number, 64)
		ok := err == nil && (name == "cross-entropy" && v >= 0 && v < 1 || name == "huber" && v > 0 && !math.IsInf(v, 0))
		if !ok {
			hint := name + " takes no number"
			if info.Number != "" {
				hint = name + " takes " + info.Number
			}
			return nil, fmt.Errorf("loss %q: %q cannot follow the colon\nhint: %s", spec, number, hint)
		}
		x = v
	}
	switch name {
	case "cross-entropy":
		return CrossEntropy[T](x), nil
	case "squared":
		return Squared[T](), nil
	case "bernoulli":
		return Bernoulli[T](), nil
	case "poisson":
		return Poisson[T](), nil
	}
	return Huber[T](x), nil
}

// CrossEntropy returns the loss of classification, with label smoothing s in [0, 1) (Szegedy et al., 2016:
// the mass s is spread evenly over all outputs, as in torch). Its Hessian is that of the unsmoothed loss,
// and [Loss.Sample] draws from softmax(z), so that for s > 0 the Fisher matrix of samples is that of the
// model, not that of the smoothed loss.
func CrossEntropy[T tensor.Float](smoothing float64) Loss[T] { return &crossEntropy[T]{smoothing} }

type crossEntropy[T tensor.Float] struct{ smoothing float64 }

func (l *crossEntropy[T]) Name() string {
	if l.smoothing == 0 {
		return "cross-entropy"
	}
	return "cross-entropy:" + strconv.FormatFloat(l.smoothing, 'g', -1, 64)
}

func (l *crossEntropy[T]) UsesLabels() bool { return true }
func (l *crossEntropy[T]) Metric() Metric   { return Accuracy }

func (l *crossEntropy[T]) Check(z tensor.Shape, y Target[T]) error {
	if len(y.Labels) != z.Rows() {
		return fmt.Errorf("cross-entropy: found %d labels, expected one for each of %d examples\nhint: cross-entropy needs class labels; use squared for numbers",
			len(y.Labels), z.Rows())
	}
	for i, c := range y.Labels {
		if c < 0 || int(c) >= z.Cols() {
			return fmt.Errorf("cross-entropy: example %d of the batch has label %d, expected 0 to %d\nhint: the model needs an output for every class", i, c, z.Cols()-1)
		}
	}
	return nil
}

func (l *crossEntropy[T]) Apply(z autodiff.Var[T], y Target[T]) autodiff.Var[T] {
	return autodiff.CrossEntropy(z, y.Labels, l.smoothing)
}

func (l *crossEntropy[T]) PerExample(z tensor.Tensor[T], y Target[T], out []float64) {
	for i := range out {
		row := rowOf(z, i)
		top, sum := logSumExp(row)
		lse := top + math.Log(sum)
		var mean float64
		for _, v := range row {
			mean += float64(v)
		}
		mean /= float64(len(row))
		out[i] = lse - (1-l.smoothing)*float64(row[y.Labels[i]]) - l.smoothing*mean
	}
}

// Per example Hₒ = (1/n)(diag(p) − p pᵀ), p = softmax(z).
func (l *crossEntropy[T]) HessianProduct(z, v, out tensor.Tensor[T], _ Target[T]) {
	l.product(z, v, out, func(p, v, pv, _ float64) float64 { return p * (v - pv) }, 1/float64(z.Shape().Rows()))
}

// S = (1/√n)(diag(√p) − p √pᵀ), because √p has length one.
func (l *crossEntropy[T]) SqrtHessianProduct(z, v, out tensor.Tensor[T], _ Target[T]) {
	l.product(z, v, out, func(p, v, _, rv float64) float64 { return math.Sqrt(p)*v - p*rv }, 1/math.Sqrt(float64(z.Shape().Rows())))
}

func (l *crossEntropy[T]) SqrtHessianTransposed(z, v, out tensor.Tensor[T], _ Target[T]) {
	l.product(z, v, out, func(p, v, pv, _ float64) float64 { return math.Sqrt(p) * (v - pv) }, 1/math.Sqrt(float64(z.Shape().Rows())))
}

// product stores scale·f(p_j, v_j, ⟨p, v⟩, ⟨√p, v⟩) in every out_j.
func (l *crossEntropy[T]) product(z, v, out tensor.Tensor[T], f func(p, v, pv, rv float64) float64, scale float64) {
	checkSizes("output Hessian", z, v, out)
	for i := range z.Shape().Rows() {
		zi, vi, oi := rowOf(z, i), rowOf(v, i), rowOf(out, i)
		top, sum := logSumExp(zi)
		var pv, rv float64
		for j := range zi {
			p := math.Exp(float64(zi[j])-top) / sum
			pv += p * float64(vi[j])
			rv += math.Sqrt(p) * float64(vi[j])
		}
		for j := range zi {
			p := math.Exp(float64(zi[j])-top) / sum
			oi[j] = T(scale * f(p, float64(vi[j]), pv, rv))
		}
	}
}

func (l *crossEntropy[T]) Sample(z tensor.Tensor[T], key tensor.Key) Target[T] {
	labels := make([]int32, z.Shape().Rows())
	for i := range labels {
		row := rowOf(z, i)
		top, sum := logSumExp(row)
		u := key.Float64(uint64(i)) * sum
		for j := range row {
			u -= math.Exp(float64(row[j]) - top)
			labels[i] = int32(j)
			if u < 0 {
				break
			}
		}
	}
	return Target[T]{Labels: labels}
}

func (l *crossEntropy[T]) Score(z tensor.Tensor[T], y Target[T]) float64 {
	right := 0
	for i, c := range y.Labels {
		row := rowOf(z, i)
		best := 0
		for j, v := range row {
			if v > row[best] {
				best = j
			}
		}
		if best == int(c) && row[best] == row[best] { // NaN is never right
			right++
		}
	}
	return float64(right)
}

// logSumExp returns m = max z and Σ exp(z − m).
func logSumExp[T tensor.Float](z []T) (top, sum float64) {
	top = math.Inf(-1)
	for _, v := range z {
		top = max(top, float64(v))
	}
	for _, v := range z {
		sum += math.Exp(float64(v) - top)
	}
	return top, sum
}

func rowOf[T tensor.Float](z tensor.Tensor[T], i int) []T {
	c := z.Shape().Cols()
	return z.Data()[i*c : (i+1)*c]
}

func checkSizes[T tensor.Float](op string, z tensor.Tensor[T], others ...tensor.Tensor[T]) {
	for _, o := range others {
		if o.Size() != z.Size() {
			panic(tensor.ShapeError{Op: op, A: z.Shape(), B: o.Shape()})
		}
	}
}
