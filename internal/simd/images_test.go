package simd

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Every level gives the same bits and places as the specification, for all lengths, with ties and NaN,
// and writes nothing else.
func TestMaxWindows(t *testing.T) { rapid.Check(t, checkMaxWindows[float32]) }

func TestMaxWindows64(t *testing.T) { rapid.Check(t, checkMaxWindows[float64]) }

func checkMaxWindows[T Float](t *rapid.T) {
	n, count := rapid.IntRange(1, 40).Draw(t, "channels"), rapid.IntRange(1, 4).Draw(t, "windows")
	kh, kw := rapid.IntRange(1, 4).Draw(t, "kh"), rapid.IntRange(1, 4).Draw(t, "kw")
	step, colStep := rapid.IntRange(1, 80).Draw(t, "step"), rapid.IntRange(1, 80).Draw(t, "colStep")
	rowStep := rapid.IntRange(1, 300).Draw(t, "rowStep")
	first := rapid.IntRange(0, 1<<20).Draw(t, "first")
	x := rapid.SliceOfN(rapid.SampledFrom([]T{0, -1, 1, 2, 3, -7, T(math.Inf(-1)), T(math.NaN())}),
		(count-1)*step+(kh-1)*rowStep+(kw-1)*colStep+n, -1).Draw(t, "x")
	want, places := make([]T, n*count), make([]int32, n*count)
	maxWindowsGo(want, places, x, n, count, step, kh, kw, rowStep, colStep, first)
	got, at := make([]T, n*count+1), make([]int32, n*count+1)
	got[n*count], at[n*count] = 42, 42
	MaxWindows(got[:n*count], at[:n*count], x, n, count, step, kh, kw, rowStep, colStep, first)
	for j, v := range want {
		if (got[j] != v && v == v) || (v != v && got[j] == got[j]) || at[j] != places[j] {
			t.Fatalf("element %d: %v at %d, want %v at %d", j, got[j], at[j], v, places[j])
		}
	}
	if got[n*count] != 42 || at[n*count] != 42 {
		t.Fatal("written beyond the end")
	}
}

func TestRuns(t *testing.T) { rapid.Check(t, checkRuns[float32]) }

func TestRuns64(t *testing.T) { rapid.Check(t, checkRuns[float64]) }

func checkRuns[T Float](t *rapid.T) {
	n, count := rapid.IntRange(1, 70).Draw(t, "n"), rapid.IntRange(1, 5).Draw(t, "count")
	dstStep, srcStep := rapid.IntRange(0, 90).Draw(t, "dstStep"), rapid.IntRange(0, 90).Draw(t, "srcStep")
	src := make([]T, (count-1)*srcStep+n)
	for i := range src {
		src[i] = T(1+i) / 7
	}
	for name, f := range map[string][2]func(dst, src []T){
		"add": {
			func(d, s []T) { AddRuns(d, dstStep, s, srcStep, n, count) },
			func(d, s []T) { addRunsGo(d, s, n, count, dstStep, srcStep) },
		},
		"copy": {
			func(d, s []T) { CopyRuns(d, dstStep, s, srcStep, n, count) },
			func(d, s []T) { copyRunsGo(d, s, n, count, dstStep, srcStep) },
		},
	} {
		got, want := make([]T, (count-1)*dstStep+n+3), make([]T, (count-1)*dstStep+n+3)
		for i := range got {
			got[i], want[i] = T(i)/3, T(i)/3
		}
		f[0](got, src)
		f[1](want, src)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: element %d is %v, want %v", name, i, got[i], want[i])
			}
		}
	}
}
