package simd

import (
	"testing"

	"pgregory.net/rapid"
)

// operations runs every kernel of k on the same inputs and returns what it stored and returned, by
// name.
func operations[T Float](k *kernels[T], a, b, c []T, s, t T) map[string][]T {
	out := map[string][]T{}
	keep := func(name string, v ...T) { out[name] = append(out[name], v...) }
	for _, f := range []struct {
		name string
		f    func(dst, a, b []T)
	}{
		{"add", k.add}, {"sub", k.sub}, {"mul", k.mul}, {"div", k.div}, {"max", k.max}, {"min", k.min},
		{"mulAdd", k.mulAdd}, {"reluGrad", k.reluGrad}, {"tanhGrad", k.tanhGrad}, {"sigmoidGrad", k.sigmoidGrad},
	} {
		dst := guarded(c)
		f.f(dst, a, b)
		keep(f.name, dst[:len(dst)+1]...)
		dst = guarded(a)
		f.f(dst, dst, b)
		keep(f.name+", in place", dst[:len(dst)+1]...)
	}
	for _, f := range []struct {
		name string
		f    func(dst, a []T)
	}{
		{"abs", k.abs}, {"sqrt", k.sqrt}, {"relu", k.relu}, {"exp", k.exp}, {"log", k.log}, {"tanh", k.tanh}, {"sigmoid", k.sigmoid},
		{"erf", k.erf}, {"softplus", k.softplus}, {"silu", k.silu}, {"gelu", k.gelu},
		{"addScalar", func(dst, a []T) { k.addScalar(dst, a, s) }}, {"scale", func(dst, a []T) { k.scale(dst, a, s) }},
		{"axpy", func(dst, a []T) { k.axpy(dst, s, a) }}, {"axpby", func(dst, a []T) { k.axpby(dst, s, a, t) }},
		{"expSum", func(dst, a []T) { keep("expSum returns", k.expSum(dst, a, s)) }},
	} {
		dst := guarded(c)
		f.f(dst, a)
		keep(f.name, dst[:len(dst)+1]...)
	}
	keep("expSum only", k.expSum(nil, a, s))
	keep("sum", k.sum(a))
	keep("sumSquares", k.sumSquares(a))
	keep("dot", k.dot(a, b))
	keep("maxOf", k.maxOf(a))
	keep("allFinite", 0)
	if k.allFinite(a) {
		keep("allFinite", 1)
	}
	p, m, v := guarded(a), guarded(b), guarded(c)
	k.adam(p, c, m, v, AdamCoef[T]{0.9, 0.1, 0.99, 0.01, s, 0.5, 1e-8, t})
	keep("adam", append(append(p[:len(p)+1], m[:len(m)+1]...), v[:len(v)+1]...)...)
	for _, nesterov := range []bool{false, true} {
		p, u := guarded(a), guarded(b)
		k.momentum(p, c, u, MomentumCoef[T]{0.9, 0.7, s, nesterov})
		keep("momentum", append(p[:len(p)+1], u[:len(u)+1]...)...)
	}
	bytes := make([]byte, len(a))
	for i := range bytes {
		bytes[i] = byte(17 * i)
	}
	for _, rows := range []int{1, 2, 3} {
		if n := len(a) / rows; n > 0 {
			dst := guarded(make([]T, n))
			k.affineTanh(dst, a, n, b[:rows])
			keep("affineTanh", dst[:n+1]...)
			dst = guarded(c[:n])
			w := guarded(a)
			k.tanhStep(dst, w, n, b[:n], c[:rows], s)
			keep("tanhStep", dst[:n+1]...)
			keep("tanhStep, weights", w[:len(a)+1]...)
		}
	}
	dst := guarded(c)
	k.bytes(dst, bytes, s, t)
	keep("bytes", dst[:len(dst)+1]...)
	for _, cols := range []int{1, 3, 10, 64, 77, 130} {
		if n := len(a) / cols; n > 0 {
			ld := max(1, len(a)/n)
			dst := guarded(a)
			k.addRows(dst, n, ld, grow(b, cols))
			keep("addRows", dst...)
			k.addRowsReLU(dst, n, ld, grow(b, cols))
			keep("addRowsReLU", dst...)
			dst = guarded(grow(b, cols))
			k.sumRows(a, n, ld, dst)
			keep("sumRows", dst[:cols+1]...)
			for j := 1; j < cols; j += 5 {
				dst = guarded(make([]T, len(a)))
				k.transpose(dst, n, a, ld, n, min(j, ld))
				keep("transpose", dst...)
			}
		}
	}
	return out
}

// guarded returns a copy of s with one more element behind its end, which must survive.
func guarded[T Float](s []T) []T {
	c := append(append(make([]T, 0, len(s)+1), s...), 12345)
	return c[:len(s)]
}

// grow returns n elements of s, repeated if it has fewer.
func grow[T Float](s []T, n int) []T {
	for len(s) < n {
		s = append(s[:len(s):len(s)], s...)
	}
	return s[:n]
}

// TestKernels checks that every kernel of every level stores the bits of the plain Go one.
func TestKernels(t *testing.T) {
	t.Run("float32", testKernels[float32])
	t.Run("float64", testKernels[float64])
}

func testKernels[T Float](t *testing.T) {
	spec := plain[T]()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 260).Draw(t, "n")
		off := rapid.IntRange(0, 16).Draw(t, "offset")
		a, b, c := special[T](t, off+n)[off:], special[T](t, off+n)[off:], special[T](t, off+n)[off:]
		scalars := special[T](t, 2)
		want := operations(&spec, a, b, c, scalars[0], scalars[1])
		for _, l := range levels() {
			k := kernelsOf[T](l)
			for name, got := range operations(&k, a, b, c, scalars[0], scalars[1]) {
				if err := diff(got, want[name]); err != nil {
					t.Errorf("%v %s: %v", l, name, err)
				}
			}
		}
	})
}
