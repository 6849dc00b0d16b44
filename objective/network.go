package objective

import (
	"fmt"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Network is the mean loss of a model on a batch, as a function of the parameters:
//
//	f(θ) = (1/n) Σᵢ ℓ(model(θ, xᵢ), yᵢ) + ½ λ Σ ‖W‖²   over the parameters W of kind Weight
//
// with λ zero unless [Network.SetPenalty] was called. It implements [Function], [Curvature], [Tapped] and
// [PerExample]. It holds the model's state, but no parameters.
//
// In training mode layers use dropout and batch statistics. The masks are decided by [Network.SetKey], so
// that all evaluations of one step use the same; the running statistics move once a batch, at the first
// evaluation with gradient after [Network.SetBatch], so that a line search does not move them.
//
// A Network is not safe for concurrent use; it is parallel inside, on its pool. A steady step allocates a
// small constant.
type Network[T tensor.Float] struct {
	model   nn.Model[T]
	loss    nn.Loss[T]
	state   []T
	key     tensor.Key
	penalty float64

	x        tensor.Tensor[T]
	y        nn.Target[T]
	training bool
	tracked  bool // the running statistics have moved for this batch

	run       evaluation[T]
	recorded  recording[T] // for products, see network_curvature.go
	pool      *tensor.Pool
	gradViews []tensor.Tensor[T]
	watch     []autodiff.Var[T]
	values    []float64
}

// evaluation is the storage of one evaluation.
type evaluation[T tensor.Float] struct {
	tape *autodiff.Tape[T]
	pass *nn.Pass[T]
}

func newEvaluation[T tensor.Float](m nn.Model[T], pool *tensor.Pool) evaluation[T] {
	return evaluation[T]{autodiff.NewTape(tensor.NewWorkspace[T](pool)), nn.NewPass(m)}
}

// NewNetwork returns the mean loss of model, to be given a batch by [Network.SetBatch]. It starts in
// training mode with initial state. pool nil means one worker.
func NewNetwork[T tensor.Float](model nn.Model[T], loss nn.Loss[T], pool *tensor.Pool) *Network[T] {
	n := &Network[T]{model: model, loss: loss, pool: pool, training: true, key: tensor.KeyOf(0)}
	s := model.StateLayout()
	n.state = make([]T, s.Size())
	for i := range s.Len() {
		nn.Fill(tensor.KeyOf(0), s.At(i), nn.View(s, n.state, i).Data())
	}
	n.run = newEvaluation(model, pool)
	n.gradViews = make([]tensor.Tensor[T], model.Layout().Len())
	return n
}

// Model returns the model.
func (n *Network[T]) Model() nn.Model[T] { return n.model }

// Loss returns the loss.
func (n *Network[T]) Loss() nn.Loss[T] { return n.loss }

// Layout returns the layout of the parameters.
func (n *Network[T]) Layout() *nn.Layout { return n.model.Layout() }

// State returns the running statistics themselves, with the layout of the model's StateLayout. A
// checkpoint reads them, a resume writes them.
func (n *Network[T]) State() []T { return n.state }

// SetBatch makes x, [batch, input...], and y the batch. They are not copied and must stay as they are
// until the next SetBatch.
func (n *Network[T]) SetBatch(x tensor.Tensor[T], y nn.Target[T]) {
	n.x, n.y = x, y
	n.tracked, n.recorded.valid = false, false
}

// SetKey decides the dropout masks until the next SetKey: call it with a key of the step, before each
// step.
func (n *Network[T]) SetKey(key tensor.Key) { n.key, n.recorded.valid = key, false }

// SetTraining switches between training mode (true; the initial one) and evaluation mode.
func (n *Network[T]) SetTraining(on bool) { n.training, n.recorded.valid = on, false }

// SetPenalty sets λ of the penalty ½ λ ‖W‖² on the weights (L2 regularisation, weight decay coupled with
// the loss). Evaluations, products and taps' gradients in grad contain it; taps' DY, SquaredGradients and
// LossAndMetric do not. It panics if λ is negative or NaN.
func (n *Network[T]) SetPenalty(lambda float64) {
	if !(lambda >= 0) {
		panic(fmt.Sprintf("objective: penalty %v, want at least 0", lambda))
	}
	n.penalty = lambda
}

// Evaluate implements [Function]. The error says what is wrong with the batch (a label out of range). It
// panics with a [tensor.ShapeError] if theta, grad or x have the wrong size.
func (n *Network[T]) Evaluate(theta, grad []T) (float64, error) {
	_, loss, err := n.forward(&n.run, theta, n.mode(grad != nil), n.x, n.y, false)
	if err != nil {
		return 0, err
	}
	value := float64(loss.Value().Data()[0])
	if grad != nil {
		n.run.tape.Backward(loss, n.run.pass.Params(), n.views(grad), nil, nil)
	}
	return value + n.penalize(theta, grad), nil
}

// EvaluateTapped implements [Tapped]. Convolutions give the patches of their input as rows; grouped
// convolutions, whose groups are separate affine maps, give no tap.
func (n *Network[T]) EvaluateTapped(theta, grad []T, tap func(Tap[T])) (float64, error) {
	_, loss, err := n.forward(&n.run, theta, n.mode(grad != nil), n.x, n.y, true)
	if err != nil {
		return 0, err
	}
	value := float64(loss.Value().Data()[0])
	var params []autodiff.Var[T]
	var into []tensor.Tensor[T]
	if grad != nil {
		params, into = n.run.pass.Params(), n.views(grad)
	}
	n.backwardTapped(loss, params, into, tap)
	return value + n.penalize(theta, grad), nil
}

// backwardTapped runs Backward and calls tap for every affine layer that was recorded.
func (n *Network[T]) backwardTapped(loss autodiff.Var[T], params []autodiff.Var[T], into []tensor.Tensor[T], tap func(Tap[T])) {
	layers := n.run.pass.Affine()
	n.watch = n.watch[:0]
	for _, a := range layers {
		n.watch = append(n.watch, a.Y)
	}
	n.run.tape.Backward(loss, params, into, n.watch, func(i int, dy tensor.Tensor[T]) {
		a := layers[i]
		if a.Conv && a.Geom.Groups > 1 {
			return
		}
		ws := n.run.tape.Workspace()
		mark := ws.Mark()
		rows := dy.Shape().Rows()
		x := a.X.Value()
		var images tensor.Tensor[T]
		if a.Conv {
			images = x
			patches := ws.New(tensor.ShapeOf(rows, n.Layout().At(a.Weight).Shape.Dim(0)))
			tensor.Im2Col(ws, patches, x, a.Geom, 0)
			x = patches
		}
		tap(Tap[T]{Name: a.Name, Weight: a.Weight, Bias: a.Bias,
			X: x.Reshape(rows, x.Size()/max(1, rows)), DY: dy.Reshape(rows, dy.Shape().Cols()),
			RowsPer: rows / max(1, n.examples()), Input: images})
		ws.Release(mark)
	})
}

// Predict returns the model's outputs for x, [batch, input...], in evaluation mode. They are valid until
// the next call of any method of n.
func (n *Network[T]) Predict(theta []T, x tensor.Tensor[T]) tensor.Tensor[T] {
	return n.outputs(&n.run, theta, nn.Evaluating, x, false).Value()
}

// LossAndMetric returns, for the examples x with targets y in evaluation mode, the sum of the losses and
// of the scores of the loss's metric. Sums over the batches of a data set add up: with N examples in all
// the loss is Σ/N, the metric [nn.Metric.Value] of Σ and N. The penalty is not included.
func (n *Network[T]) LossAndMetric(theta []T, x tensor.Tensor[T], y nn.Target[T]) (loss, score float64, err error) {
	z := n.Predict(theta, x)
	if err := n.loss.Check(z.Shape(), y); err != nil {
		return 0, 0, err
	}
	count := z.Shape().Dim(0)
	if cap(n.values) < count {
		n.values = make([]float64, count)
	}
	values := n.values[:count]
	n.loss.PerExample(z, y, values)
	for _, v := range values {
		loss += v
	}
	return loss, n.loss.Score(z, y), nil
}

func (n *Network[T]) examples() int { return n.x.Shape().Dim(0) }

// mode returns the mode of an evaluation, and moves the running statistics only in the first one with a
// gradient after SetBatch.
func (n *Network[T]) mode(gradient bool) nn.Mode {
	switch {
	case !n.training:
		return nn.Evaluating
	case gradient && !n.tracked:
		n.tracked = true
		return nn.Tracking
	}
	return nn.Training
}

// outputs runs the model anew on e.
func (n *Network[T]) outputs(e *evaluation[T], theta []T, mode nn.Mode, x tensor.Tensor[T], record bool) autodiff.Var[T] {
	if x.IsZero() {
		panic("objective: a Network was evaluated before SetBatch")
	}
	e.tape.Reset()
	e.pass.Start(e.tape, theta, n.state, mode, n.key)
	if record {
		e.pass.RecordAffine()
	}
	return n.model.Forward(e.pass, e.tape.Input(x))
}

// forward runs the model and the loss anew on e.
func (n *Network[T]) forward(e *evaluation[T], theta []T, mode nn.Mode, x tensor.Tensor[T], y nn.Target[T], record bool) (z, loss autodiff.Var[T], err error) {
	z = n.outputs(e, theta, mode, x, record)
	if err := n.loss.Check(z.Shape(), y); err != nil {
		return z, loss, err
	}
	return z, n.loss.Apply(z, y), nil
}

// views returns the views of buf by parameter; they are valid until the next call.
func (n *Network[T]) views(buf []T) []tensor.Tensor[T] {
	for i := range n.gradViews {
		n.gradViews[i] = nn.View(n.Layout(), buf, i)
	}
	return n.gradViews
}

// penalize returns ½ λ ‖W‖² and adds its gradient λ W to grad, if that is not nil.
func (n *Network[T]) penalize(theta, grad []T) float64 {
	if n.penalty == 0 {
		return 0
	}
	ws, l := n.run.tape.Workspace(), n.Layout()
	var sum float64
	for i := range l.Len() {
		if l.At(i).Kind != nn.Weight {
			continue
		}
		w := nn.View(l, theta, i)
		sum += float64(tensor.Dot(ws, w, w))
		if grad != nil {
			tensor.Axpy(ws, nn.View(l, grad, i), T(n.penalty), w)
		}
	}
	return n.penalty / 2 * sum
}
