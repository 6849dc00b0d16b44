package autodiff_test

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	ad "github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/tensor"
)

// mlp is a multilayer perceptron in-hidden-hidden-10 on a random batch, with a step that records the loss
// and stores the gradient.
type mlp[T tensor.Float] struct {
	tape   *ad.Tape[T]
	x      tensor.Tensor[T]
	labels []int32
	theta  []tensor.Tensor[T]
	grad   []tensor.Tensor[T]
	params []ad.Var[T]
	loss   ad.Var[T]
}

func newMLP[T tensor.Float](in, hidden, batch int, pool *tensor.Pool) *mlp[T] {
	m := &mlp[T]{tape: ad.NewTape(tensor.NewWorkspace[T](pool)), x: tensor.New[T](batch, in), labels: make([]int32, batch)}
	key := tensor.KeyOf(1)
	tensor.Normal(key.Named("x"), m.x.Data(), 0, 1)
	for i := range m.labels {
		m.labels[i] = int32(i % 10)
	}
	widths := []int{in, hidden, hidden, 10}
	for l := range 3 {
		w, b := tensor.New[T](widths[l], widths[l+1]), tensor.New[T](widths[l+1])
		tensor.Normal(key.Fold(uint64(l)), w.Data(), 0, 0.05)
		m.theta = append(m.theta, w, b)
		m.grad = append(m.grad, tensor.New[T](widths[l], widths[l+1]), tensor.New[T](widths[l+1]))
	}
	m.params = make([]ad.Var[T], len(m.theta))
	return m
}

func (m *mlp[T]) forward() {
	m.tape.Reset()
	for i, w := range m.theta {
		m.params[i] = m.tape.Input(w)
	}
	h := m.tape.Input(m.x)
	h = ad.AffineReLU(h, m.params[0], m.params[1])
	h = ad.AffineReLU(h, m.params[2], m.params[3])
	m.loss = ad.CrossEntropy(ad.Affine(h, m.params[4], m.params[5]), m.labels, 0)
}

func (m *mlp[T]) backward() { m.tape.Backward(m.loss, m.params, m.grad, nil, nil) }

// A steady step allocates a few small objects, and a large batch no more bytes than a small one.
func TestStepAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties the pools of buffers at random")
	}
	const steps = 2
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the kernels' pools of buffers
	for _, workers := range []int{1, 2} {
		for _, batch := range []int{1, 32, 256} {
			m := newMLP[float32](128, 128, batch, tensor.NewPool(workers))
			step := func() { m.forward(); m.backward() }
			step()
			held := m.tape.Workspace().Bytes()
			// The least of some rounds: what a step allocates is in all of them, a packing buffer
			// that the kernels want on a new processor in one.
			objects, bytes := uint64(math.MaxUint64), uint64(math.MaxUint64)
			for range 5 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range steps {
					step()
				}
				runtime.ReadMemStats(&after)
				objects = min(objects, (after.Mallocs-before.Mallocs)/steps)
				bytes = min(bytes, (after.TotalAlloc-before.TotalAlloc)/steps)
			}
			if objects > 40 || bytes > 8<<10 {
				t.Errorf("%d workers, batch %d: %d allocations of %d bytes a step, want at most 40 of 8192", workers, batch, objects, bytes)
			}
			if m.tape.Workspace().Bytes() != held {
				t.Errorf("%d workers, batch %d: the workspace grew from %d to %d bytes", workers, batch, held, m.tape.Workspace().Bytes())
			}
		}
	}
}

func BenchmarkMLPForwardBackward(b *testing.B) {
	for _, batch := range []int{256, 32} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			m := newMLP[float32](784, 512, batch, tensor.NewPool(0))
			m.forward()
			m.backward()
			b.ReportAllocs()
			b.ResetTimer()
			var fwd time.Duration
			for range b.N {
				start := time.Now()
				m.forward()
				fwd += time.Since(start)
				m.backward()
			}
			total := b.Elapsed()
			b.ReportMetric(float64(b.N)/total.Seconds(), "steps/s")
			b.ReportMetric(float64(total-fwd)/float64(fwd), "backward/forward")
		})
	}
}

// The shape is that of ResNet-20's first stage on CIFAR-10 at batch 128.
func BenchmarkBatchNorm(b *testing.B) {
	tp := ad.NewTape(tensor.NewWorkspace[float32](tensor.NewPool(0)))
	x, g := tensor.New[float32](128, 32, 32, 16), tensor.New[float32](16)
	tensor.Normal(tensor.KeyOf(1), x.Data(), 0, 1)
	tensor.Fill(g, 1)
	into := []tensor.Tensor[float32]{tensor.New[float32](128, 32, 32, 16), tensor.New[float32](16)}
	b.SetBytes(int64(4 * x.Size()))
	for range b.N {
		tp.Reset()
		in := []ad.Var[float32]{tp.Input(x), tp.Input(g)}
		y, _, _ := ad.BatchNorm(in[0], in[1], in[1], 1e-5)
		tp.Backward(ad.Dot(y, y), in, into, nil, nil)
	}
}
