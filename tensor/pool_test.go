package tensor

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPoolParts checks that every part runs once, on the worker that its number says, in order.
func TestPoolParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.IntRange(1, 5).Draw(t, "workers")
		p := NewPool(workers)
		defer p.Close()
		for range rapid.IntRange(1, 20).Draw(t, "operations") {
			parts := rapid.IntRange(0, 30).Draw(t, "parts")
			by := make([]int, parts)
			var calls atomic.Int32
			p.Do(parts, func(w, i int) {
				by[i] = w
				calls.Add(1)
			})
			if int(calls.Load()) != parts {
				t.Fatalf("%d calls for %d parts", calls.Load(), parts)
			}
			used := min(workers, parts)
			for i, w := range by {
				if i < w*parts/used || i >= (w+1)*parts/used {
					t.Fatalf("part %d of %d ran on worker %d of %d", i, parts, w, used)
				}
			}
			n, grain := rapid.IntRange(0, 300).Draw(t, "n"), rapid.IntRange(1, 40).Draw(t, "grain")
			hit := make([]int32, n)
			p.Range(n, grain, func(lo, hi int) {
				if lo%grain != 0 || (hi%grain != 0 && hi != n) || lo >= hi {
					panic("range is not cut at a multiple of the grain")
				}
				for i := lo; i < hi; i++ {
					hit[i]++
				}
			})
			for i, h := range hit {
				if h != 1 {
					t.Fatalf("element %d was in %d ranges", i, h)
				}
			}
		}
	})
}

func TestPoolPanic(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	for _, bad := range []int{0, 5, 11} {
		var calls atomic.Int32
		got := func() (r any) {
			defer func() { r = recover() }()
			p.Do(12, func(_, i int) {
				calls.Add(1)
				if i == bad {
					panic("part is bad")
				}
			})
			return nil
		}()
		if e, ok := got.(error); !ok || !strings.Contains(e.Error(), "part is bad") {
			t.Errorf("part %d: recovered %v", bad, got)
		}
		if n := calls.Load(); n < 9 {
			t.Errorf("part %d: the other workers ran %d parts", bad, n)
		}
	}
	sum := 0
	p.Do(1, func(_, i int) { sum++ })
	p.Do(2, func(w, i int) {
		if w == 0 {
			sum++
		}
	})
	if sum != 2 {
		t.Error("the pool does not work after a panic")
	}
}

// TestPoolBusy uses a pool from several goroutines and from within its own parts.
func TestPoolBusy(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	var total atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				p.Do(4, func(_, i int) {
					p.Range(10, 1, func(lo, hi int) { total.Add(int64(hi - lo)) })
				})
			}
		})
	}
	wg.Wait()
	if got := total.Load(); got != 4*200*4*10 {
		t.Errorf("%d calls, want %d", got, 4*200*4*10)
	}
}

// TestPoolEnds checks that closed and forgotten pools leave no goroutine.
func TestPoolEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 20 {
		p := NewPool(3)
		p.Do(3, func(_, _ int) {})
		if i%2 == 0 {
			p.Close()
			p.Do(3, func(_, _ int) {})
		}
	}
	for range 100 {
		runtime.GC()
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestPoolAllocates(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	f := func(_, _ int) {}
	if n := testing.AllocsPerRun(100, func() { p.Do(2, f) }); n != 0 {
		t.Errorf("Do allocates %v times", n)
	}
}

// BenchmarkPool measures what handing work to a second worker costs.
func BenchmarkPool(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	f := func(_, _ int) {}
	for b.Loop() {
		p.Do(2, f)
	}
}
