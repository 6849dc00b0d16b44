package simd

import (
	"fmt"
	"testing"
)

func BenchmarkGemm(b *testing.B) {
	benchGemm[float32](b, "f32")
	benchGemm[float64](b, "f64")
}

func benchGemm[T Float](b *testing.B, typ string) {
	for _, s := range []struct {
		ta, tb  bool
		m, n, k int
	}{
		{false, false, 512, 512, 512}, {false, false, 1024, 1024, 1024}, {false, false, 2048, 2048, 2048},
		{false, true, 512, 512, 512}, {true, false, 512, 512, 512}, {true, true, 512, 512, 512},
		{false, false, 256, 512, 784}, {false, false, 256, 10, 512}, {true, false, 784, 512, 256}, {false, true, 256, 512, 512}, {false, true, 256, 512, 10}, {true, false, 512, 10, 256},
		{false, false, 32, 512, 784}, {false, true, 32, 512, 512}, {true, false, 784, 512, 32},
		{false, false, 97, 57, 131}, {false, false, 1, 512, 512},
		{false, false, 100352, 64, 75}, {false, false, 18432, 96, 576}, {false, false, 100352, 6, 25},
		{true, false, 75, 64, 100352}, {true, false, 25, 6, 100352}, {false, true, 100352, 75, 64},
	} {
		name := fmt.Sprintf("%s/%s%s/%dx%dx%d", typ, nt(s.ta), nt(s.tb), s.m, s.n, s.k)
		b.Run(name, func(b *testing.B) {
			x, y, c := filled[T](s.m*s.k), filled[T](s.k*s.n), filled[T](s.m*s.n)
			lda, ldb := s.k, s.n
			if s.ta {
				lda = s.m
			}
			if s.tb {
				ldb = s.k
			}
			t := cpuTime()
			for b.Loop() {
				Gemm(s.ta, s.tb, s.m, s.n, s.k, 1, x, lda, y, ldb, 0, c, s.n)
			}
			b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)*float64(b.N)/float64(cpuTime()-t), "GFLOP/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func nt(t bool) string {
	if t {
		return "T"
	}
	return "N"
}

// filled returns n small numbers of both signs.
func filled[T Float](n int) []T {
	s := make([]T, n)
	x := uint32(1)
	for i := range s {
		x = x*1664525 + 1013904223
		s[i] = T(int32(x)>>8) / (1 << 23)
	}
	return s
}

// BenchmarkVector measures memory read and written by loops over 16384 elements, which fit in the
// second-level cache.
func BenchmarkVector(b *testing.B) {
	benchVector[float32](b, "f32", 4)
	benchVector[float64](b, "f64", 8)
}

func benchVector[T Float](b *testing.B, typ string, size int) {
	const n = 16384
	x, y, z, w := filled[T](n), filled[T](n), filled[T](n), filled[T](n)
	Abs(w, w)
	bytes := make([]byte, n)
	for _, f := range []struct {
		name    string
		streams int // slices read or written
		f       func()
	}{
		{"Add", 3, func() { Add(z, x, y) }},
		{"Axpy", 3, func() { Axpy(z, 1e-9, x) }},
		{"ReLU", 2, func() { ReLU(z, x) }},
		{"ReLUGrad", 3, func() { ReLUGrad(z, x, y) }},
		{"AddRowsReLU64", 2, func() { AddRowsReLU(z, x[:64]) }},
		{"SumRows64", 1, func() { SumRows(z[:64], x) }},
		{"Sum", 1, func() { Sum(x) }},
		{"Dot", 2, func() { Dot(x, y) }},
		{"AllFinite", 1, func() { AllFinite(x) }},
		{"Exp", 2, func() { Exp(z, x) }},
		{"Log", 2, func() { Log(z, w) }},
		{"Tanh", 2, func() { Tanh(z, x) }},
		{"Sigmoid", 2, func() { Sigmoid(z, x) }},
		{"Erf", 2, func() { Erf(z, x) }},
		{"GELU", 2, func() { GELU(z, x) }},
		{"SoftmaxRow10", 2, func() {
			for i := 0; i+10 <= n; i += 10 {
				SoftmaxRow(z[i:i+10], x[i:i+10])
			}
		}},
		{"Adam", 7, func() { Adam(z, x, y, w, AdamCoef[T]{0.9, 0.1, 0.999, 0.001, 1e-9, 1, 1e-8, 0}) }},
		{"Momentum", 5, func() { Momentum(z, x, y, MomentumCoef[T]{Mu: 0.9, OneMinusDamp: 1, LR: 1e-9}) }},
		{"BytesToFloat", 1, func() { BytesToFloat(z, bytes, 1, 0) }},
	} {
		b.Run(typ+"/"+f.name, func(b *testing.B) {
			t := cpuTime()
			for b.Loop() {
				f.f()
			}
			ns := float64(cpuTime()-t) / float64(b.N)
			b.ReportMetric(ns/n, "ns/element")
			b.ReportMetric(float64(f.streams*size*n)/ns, "GB/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
