//go:build unix

package tensor_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/descent-ml/descent/tensor"
)

// Layers of LeNet-5 and DeepOBS 3c3d at batch 128.
var benchLayers = []struct {
	name string
	convCase
}{
	{"lenet1", convCase{128, 28, 28, 1, 6, tensor.SameConv(5, 5, 1, 28, 28)}},
	{"lenet2", convCase{128, 14, 14, 6, 16, tensor.ValidConv(5, 5, 1)}},
	{"3c3d1", convCase{128, 32, 32, 3, 64, tensor.ValidConv(5, 5, 1)}},
	{"3c3d2", convCase{128, 14, 14, 64, 96, tensor.ValidConv(3, 3, 1)}},
	{"3c3d3", convCase{128, 6, 6, 96, 128, tensor.SameConv(3, 3, 1, 6, 6)}},
	{"resnet", convCase{128, 32, 32, 16, 16, tensor.SameConv(3, 3, 1, 32, 32)}},
	{"depthwise", convCase{32, 32, 32, 32, 32, tensor.ConvGeom{KH: 3, KW: 3, Groups: 32}.Same(32, 32)}},
}

// cpuTime returns the processor time that the process has used: unlike the time on the wall it does
// not count what other programs do meanwhile.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// gemmRate returns the flops per second of processor time of a 512×512×512 product: what convolutions
// are compared with.
var gemmRate = sync.OnceValue(func() float64 {
	const n, times = 512, 20
	ws := tensor.NewWorkspace[float32](tensor.NewPool(1))
	a, b, c := tensor.New[float32](n, n), tensor.New[float32](n, n), tensor.New[float32](n, n)
	best := time.Duration(1 << 62)
	for range times {
		start := cpuTime()
		tensor.MatMul(ws, c, a, b, false, false)
		best = min(best, cpuTime()-start)
	}
	return 2 * n * n * n / best.Seconds()
})

// timed runs f in the benchmark loop and reports processor time and, if flops is not 0, the rate and
// its share of that of GEMM.
func timed(b *testing.B, flops float64, f func()) {
	f()
	start := cpuTime()
	for b.Loop() {
		f()
	}
	spent := (cpuTime() - start).Seconds() / float64(b.N)
	b.ReportMetric(1e3*spent, "cpu-ms/op")
	if flops > 0 {
		b.ReportMetric(flops/spent/1e9, "GFLOP/cpu-s")
		b.ReportMetric(100*flops/spent/gemmRate(), "%gemm")
	}
}

func BenchmarkConv(b *testing.B) {
	for _, l := range benchLayers {
		x64, w64, bias64, dy64 := l.tensors(1)
		x, w, bias, dy := to32(x64), to32(w64), to32(bias64), to32(dy64)
		y, dx, dw := dy.Clone(), x.Clone(), w.Clone()
		ws := tensor.NewWorkspace[float32](tensor.NewPool(0))
		flops := 2 * float64(dy.Size()) * float64(w.Shape().Rows())
		b.Run(l.name+"/forward", func(b *testing.B) { timed(b, flops, func() { tensor.Conv2DReLU(ws, y, x, w, bias, l.g) }) })
		b.Run(l.name+"/input", func(b *testing.B) { timed(b, flops, func() { tensor.Conv2DInputGrad(ws, dx, dy, w, l.g) }) })
		b.Run(l.name+"/weight", func(b *testing.B) { timed(b, flops, func() { tensor.Conv2DWeightGrad(ws, dw, x, dy, l.g) }) })
	}
}

func BenchmarkMaxPool(b *testing.B) {
	for _, l := range []struct {
		name string
		convCase
	}{
		{"lenet1", convCase{128, 28, 28, 6, 6, tensor.ValidConv(2, 2, 2)}},
		{"lenet2", convCase{128, 10, 10, 16, 16, tensor.ValidConv(2, 2, 2)}},
		{"3c3d1", convCase{128, 28, 28, 64, 64, tensor.SameConv(3, 3, 2, 28, 28)}},
		{"3c3d2", convCase{128, 12, 12, 96, 96, tensor.SameConv(3, 3, 2, 12, 12)}},
	} {
		ws := tensor.NewWorkspace[float32](tensor.NewPool(0))
		x := tensor.New[float32](l.n, l.h, l.w, l.in)
		tensor.Normal(tensor.KeyOf(1), x.Data(), 0, 1)
		y := tensor.New[float32](l.g.OutputShape(x.Shape(), l.in).Dims()...)
		at := make([]int32, y.Size())
		b.Run(l.name+"/forward", func(b *testing.B) { timed(b, 0, func() { tensor.MaxPool2D(ws, y, at, x, l.g) }) })
		b.Run(l.name+"/gradient", func(b *testing.B) { timed(b, 0, func() { tensor.PlaceMax(ws, x, y, at) }) })
	}
}
