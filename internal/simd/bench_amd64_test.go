//go:build amd64 && !noasm

package simd

import (
	"sync"
	"testing"
)

// BenchmarkPeak measures fused multiply-adds in registers: what GEMM is to be compared with.
func BenchmarkPeak(b *testing.B) {
	run := func(name string, level Level, lanes int, f func(int)) {
		b.Run(name, func(b *testing.B) {
			if supported() < level {
				b.Skip("the processor has no " + level.String())
			}
			t := cpuTime()
			for b.Loop() {
				f(100000)
			}
			b.ReportMetric(2*12*1e5*float64(lanes)*float64(b.N)/float64(cpuTime()-t), "GFLOP/s")
		})
	}
	run("f32/avx512", AVX512, 16, fmaPeakF32AVX512)
	run("f64/avx512", AVX512, 8, fmaPeakF64AVX512)
	run("f32/avx2", AVX2, 8, fmaPeakF32AVX2)
	run("f64/avx2", AVX2, 4, fmaPeakF64AVX2)
}

// BenchmarkPeakTwo measures the same on two threads at once, by the clock on the wall: little more than
// on one where the two processors are threads of one core, and then no product can gain either.
func BenchmarkPeakTwo(b *testing.B) {
	if supported() < AVX2 {
		b.Skip("no AVX2")
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range b.N {
				fmaPeakF32AVX2(100000)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(2*2*12*1e5*8*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
	b.ReportMetric(0, "ns/op")
}
