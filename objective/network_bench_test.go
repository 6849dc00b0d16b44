package objective_test

import (
	"testing"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/tensor"
)

// BenchmarkNetwork measures one answer of each kind on the MLP 784-512-512-10, batch 256, float32, with one worker.
func BenchmarkNetwork(b *testing.B) {
	n, theta := build[float32](b, problem{"mlp:512,512", []int{784}, 10, "cross-entropy", "", 256}, tensor.NewPool(1))
	d := len(theta)
	grad, v, out := make([]float32, d), direction[float32](1, d), make([]float32, d)
	for _, c := range []struct {
		name string
		f    func() error
	}{
		{"value", func() error { _, err := n.Evaluate(theta, nil); return err }},
		{"gradient", func() error { _, err := n.Evaluate(theta, grad); return err }},
		{"tapped", func() error { _, err := n.EvaluateTapped(theta, grad, func(objective.Tap[float32]) {}); return err }},
		{"squared", func() error { _, err := n.SquaredGradients(theta, out); return err }},
		{"ggn", func() error { return n.GGNVP(theta, v, out) }},
		{"hessian", func() error { return n.HVP(theta, v, out) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(b, c.f())
			}
		})
	}
}
