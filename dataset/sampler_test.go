package dataset

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSamplerEpochs: each epoch is a permutation of the examples, in batches of the asked size but
// for the last; epochs differ.
func TestSamplerEpochs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, batch := rapid.IntRange(1, 60).Draw(t, "n"), rapid.IntRange(1, 70).Draw(t, "batch")
		drop := rapid.Bool().Draw(t, "drop")
		s := NewSampler(n, rapid.Uint64().Draw(t, "seed"), drop)
		for epoch := range int64(3) {
			var seen []int32
			steps := 0
			for s.Position().Epoch == epoch {
				b := s.Next(batch)
				if len(b) != batch && (drop && n >= batch || len(seen)+len(b) != n) {
					t.Fatalf("batch of %d", len(b))
				}
				seen = append(seen, b...)
				steps++
			}
			if steps != s.StepsPerEpoch(batch) {
				t.Fatalf("%d steps, StepsPerEpoch says %d", steps, s.StepsPerEpoch(batch))
			}
			want := n
			if drop && n >= batch {
				want = n / batch * batch
			}
			slices.Sort(seen)
			if len(seen) != want || len(slices.Compact(slices.Clone(seen))) != want || seen[0] < 0 || int(seen[want-1]) >= n {
				t.Fatalf("epoch %d drew %v", epoch, seen)
			}
		}
	})
}

// TestSamplerResume: k draws, a new sampler at that position, and the rest are the same batches as all
// draws in one go.
func TestSamplerResume(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, batch := rapid.IntRange(1, 40).Draw(t, "n"), rapid.IntRange(1, 50).Draw(t, "batch")
		total := rapid.IntRange(1, 30).Draw(t, "total")
		k := rapid.IntRange(0, total).Draw(t, "k")
		seed, drop := rapid.Uint64().Draw(t, "seed"), rapid.Bool().Draw(t, "drop")
		whole, part := NewSampler(n, seed, drop), NewSampler(n, seed, drop)
		for i := range total {
			if i == k {
				p := part.Position()
				part = NewSampler(n, seed, drop)
				part.Next(batch) // a used sampler can be moved as well
				if err := part.Seek(p); err != nil {
					t.Fatal(err)
				}
			}
			if a, b := whole.Next(batch), part.Next(batch); !slices.Equal(a, b) {
				t.Fatalf("draw %d of %d, resumed at %d: %v and %v", i, total, k, a, b)
			}
		}
	})
}

func TestSamplerSeekRange(t *testing.T) {
	s := NewSampler(10, 1, false)
	for _, p := range []Position{{-1, 0}, {0, -1}, {0, 10}, {0, 1 << 40}} {
		if s.Seek(p) == nil {
			t.Errorf("accepted %+v", p)
		}
	}
}

func TestSamplerAllocatesNothing(t *testing.T) {
	s := NewSampler(100, 1, false)
	if n := testing.AllocsPerRun(100, func() { s.Next(32) }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
