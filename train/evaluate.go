package train

import (
	"context"
	"math"
	"time"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// evaluate returns the quality of the evaluation parameters on all parts. It is not training time.
func (s *session[T]) evaluate(ctx context.Context) (Evaluation, error) {
	start := time.Now()
	p := &s.progress
	e := Evaluation{
		Step: p.Step, Epoch: int(p.Position.Epoch), Seen: p.Seen, Seconds: float64(p.Seconds),
		Train: noQuality(), Val: noQuality(), Test: noQuality(),
	}
	theta := s.evalParams()
	trained := s.data.train.Len()
	if n := s.config.Eval.Train; n >= 0 {
		trained = min(trained, n)
	}
	judge := newJudge(s.net, s.loss, s.data.task, &s.data.normalizer)
	for _, q := range []struct {
		part  part[T]
		limit int
		into  *Quality
	}{{s.data.train, trained, &e.Train}, {s.data.val, math.MaxInt, &e.Val}, {s.data.test, math.MaxInt, &e.Test}} {
		if q.part == nil {
			continue
		}
		var err error
		if *q.into, err = judge.quality(ctx, theta, q.part, min(q.limit, q.part.Len()), s.config.Eval.Batch); err != nil {
			return e, err
		}
	}
	s.obj.Moved()
	e.EvalSeconds = time.Since(start).Seconds()
	return e, nil
}

// judge measures a network's outputs.
type judge[T tensor.Float] struct {
	net      *objective.Network[T]
	loss     nn.Loss[T]
	task     dataset.Task
	targetSD []float64
	values   []float64
	bins     [15]struct{ confidence, right, count float64 } // by confidence, of equal width
}

func newJudge[T tensor.Float](net *objective.Network[T], loss nn.Loss[T], task dataset.Task, n *dataset.Normalizer) *judge[T] {
	return &judge[T]{net: net, loss: loss, task: task, targetSD: n.TargetSD}
}

// quality evaluates the first n examples of a part, batch at a time. Sums are in double precision, in
// the order of the examples.
func (j *judge[T]) quality(ctx context.Context, theta []T, e part[T], n, batch int) (Quality, error) {
	q := noQuality()
	q.Examples = n
	if n == 0 {
		return q, nil
	}
	var loss, score float64
	clear(j.bins[:])
	outputs := 1
	for lo := 0; lo < n; lo += batch {
		if err := ctx.Err(); err != nil {
			return q, err
		}
		b := e.Range(lo, min(n, lo+batch))
		y := nn.Target[T]{Labels: b.Labels, Values: b.Values}
		z := j.net.Predict(theta, b.X)
		if err := j.loss.Check(z.Shape(), y); err != nil {
			return q, err
		}
		if cap(j.values) < b.Len() {
			j.values = make([]float64, b.Len())
		}
		values := j.values[:b.Len()]
		j.loss.PerExample(z, y, values)
		for _, v := range values {
			loss += v
		}
		outputs = z.Size() / b.Len()
		if j.inUnits() {
			score += j.squares(z, y)
		} else {
			score += j.loss.Score(z, y)
		}
		if j.task == dataset.Classification {
			j.calibrate(z, y.Labels)
		}
	}
	q.Loss = loss / float64(n)
	switch {
	case j.inUnits():
		q.RMSE = math.Sqrt(score / float64(n*outputs))
	case j.loss.Metric() == nn.Accuracy:
		q.Accuracy = j.loss.Metric().Value(score, n)
	default:
		q.RMSE = j.loss.Metric().Value(score, n)
	}
	if j.task == dataset.Classification {
		q.Calibration = 0
		for _, b := range j.bins {
			q.Calibration += math.Abs(b.right-b.confidence) / float64(n)
		}
	}
	return q, nil
}

// inUnits reports whether outputs are predictions of standardised targets, to be scaled back.
func (j *judge[T]) inUnits() bool {
	return j.task == dataset.Regression && len(j.targetSD) > 0 && j.loss.Name() != "poisson"
}

// squares returns the sum of the squared errors in the units of the data.
func (j *judge[T]) squares(z tensor.Tensor[T], y nn.Target[T]) float64 {
	var sum float64
	target := y.Values.Data()
	for i, v := range z.Data() {
		d := (float64(v) - float64(target[i])) * j.targetSD[i%len(j.targetSD)]
		sum += d * d
	}
	return sum
}

// calibrate adds a batch to the bins of the expected calibration error: Σ_bins |accuracy − mean
// confidence| · share (Guo et al., "On calibration of modern neural networks", 2017).
func (j *judge[T]) calibrate(z tensor.Tensor[T], labels []int32) {
	k := z.Size() / len(labels)
	for i, label := range labels {
		class, p := softmaxMax(z.Data()[i*k : (i+1)*k])
		if math.IsNaN(p) {
			continue
		}
		b := &j.bins[min(len(j.bins)-1, int(p*float64(len(j.bins))))]
		b.confidence += p
		b.count++
		if class == int(label) {
			b.right++
		}
	}
}

// softmaxMax returns the largest of the softmax probabilities of z, and whose it is.
func softmaxMax[T tensor.Float](z []T) (int, float64) {
	best := 0
	for i, v := range z {
		if v > z[best] {
			best = i
		}
	}
	var sum float64
	for _, v := range z {
		sum += math.Exp(float64(v) - float64(z[best]))
	}
	return best, 1 / sum
}
