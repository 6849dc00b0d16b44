package train

import (
	"context"
	"os"
	"testing"
)

// BenchmarkLoop trains for b.N steps on MNIST: the loop's own cost is the difference to the method's.
func BenchmarkLoop(b *testing.B) {
	if os.Getenv("DESCENT_DATA") == "" {
		b.Skip("DESCENT_DATA is not set; it names the folder with mnist/")
	}
	c := Config{Data: "mnist", Model: "mlp:512,512", Method: "adam", Batch: 256, Steps: int64(b.N), Workers: 1, Eval: Eval{Every: 1 << 40}}
	data, err := openSource[float32](c.WithDefaults())
	if err != nil {
		b.Fatal(err)
	}
	s, err := newSession(c.WithDefaults(), Options{}, data)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for s.progress.Step < int64(b.N) {
		rep, batch, err := s.step(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.guard(rep, batch); err != nil {
			b.Fatal(err)
		}
		s.note(rep)
	}
}
