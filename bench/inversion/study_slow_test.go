//go:build slow && unix

package inversion

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/descent-ml/descent/linalg"
	"github.com/descent-ml/descent/tensor"
)

var update = flag.Bool("update", false, "write the table into docs/kfac.md")

const (
	page = "../../docs/kfac.md"
	rank = 220
	l    = 10
	cols = 256
)

var orders = []int{512, 1024, 2048, 3072, 4096}

// work is one thing that is measured.
type work struct {
	name string
	f    func() error
}

// seconds returns the processor time of the process.
func seconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + 1e-6*float64(u.Utime.Usec+u.Stime.Usec)
}

// factor is a mean of outer products of order n whose spectrum decays.
func factor(ws *tensor.Workspace[float32], n int) tensor.Tensor[float32] {
	m := n / 2
	x, y := tensor.New[float32](n, m), tensor.New[float32](n, n)
	tensor.Normal(tensor.KeyOf(1), x.Data(), 0, 1)
	for i := range x.Data() {
		x.Data()[i] *= float32(math.Exp(-8 * float64(i%m) / float64(n)))
	}
	linalg.SymmetricProduct(ws, y, x, x, false, true)
	linalg.AddDiagonal(y, 1)
	return y
}

// works are the rows of the table at order n.
func works(n int) []work {
	ws := tensor.NewWorkspace[float32](nil)
	a, out := factor(ws, n), tensor.New[float32](n, n)
	values := make([]float32, n)
	u, d := tensor.New[float32](n, rank), make([]float32, rank)
	v, e := tensor.New[float32](n, rank), make([]float32, rank)
	x, p := tensor.New[float32](n, cols), tensor.New[float32](rank, n)
	tensor.Normal(tensor.KeyOf(2), x.Data(), 0, 1)
	sketch := func(q int) linalg.Sketch { return linalg.Sketch{Oversampling: l, Power: q, Key: tensor.KeyOf(3)} }
	return []work{
		{"eigendecomposition", func() error { return linalg.SymmetricEigen(ws, values, out, a) }},
		{"Cholesky inverse", func() error {
			if err := linalg.Cholesky(ws, out, a); err != nil {
				return err
			}
			return linalg.CholeskyInverse(ws, out, out.Clone())
		}},
		{"RSVD, q = 3", func() error { return linalg.RSVD(ws, d, u, a, sketch(3)) }},
		{"RSVD, q = 1", func() error { return linalg.RSVD(ws, d, u, a, sketch(1)) }},
		{"SRE, q = 1", func() error { return linalg.SRE(ws, d, u, a, sketch(1)) }},
		{"Brand update", func() error { return linalg.BrandUpdate(ws, e, v, d, u, x, 0.95) }},
		{"application, dense", func() error { tensor.MatMul(ws, out, a, a, false, false); return nil }},
		{"application, low rank", func() error {
			tensor.MatMul(ws, p, u, a, true, false)
			tensor.MatMul(ws, out, u, p, false, false)
			return nil
		}},
	}
}

// slope is the exponent fitted to seconds at the orders from 1024 on.
func slope(s []float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for i, v := range s {
		if orders[i] < 1024 {
			continue
		}
		x, y := math.Log(float64(orders[i])), math.Log(v)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

func TestStudy(t *testing.T) {
	var names []string
	times := map[string][]float64{}
	for _, n := range orders {
		for _, w := range works(n) {
			best := math.Inf(1)
			for range 3 {
				from := seconds()
				if err := w.f(); err != nil {
					t.Fatalf("%s, n = %d: %v", w.name, n, err)
				}
				best = math.Min(best, seconds()-from)
				if best > 1 {
					break
				}
			}
			if n == orders[0] {
				names = append(names, w.name)
			}
			times[w.name] = append(times[w.name], best)
			t.Logf("n = %d: %s %.4f s", n, w.name, best)
		}
	}
	var b strings.Builder
	b.WriteString("| seconds |")
	for _, n := range orders {
		fmt.Fprintf(&b, " n = %d |", n)
	}
	b.WriteString(" exponent |\n|---|" + strings.Repeat("---|", len(orders)+1) + "\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| %s |", name)
		for _, s := range times[name] {
			fmt.Fprintf(&b, " %.3f |", s)
		}
		fmt.Fprintf(&b, " %.2f |\n", slope(times[name]))
	}
	t.Log("\n" + b.String())
	if *update {
		write(t, b.String())
	}
	for _, c := range []struct {
		name  string
		order int // index into orders
		least float64
	}{{"RSVD, q = 3", 3, 8}, {"RSVD, q = 1", 3, 8}, {"Brand update", 3, 25}, {"RSVD, q = 3", 2, 3.5}, {"SRE, q = 1", 2, 6}, {"Brand update", 2, 10}} {
		if ratio := times[names[0]][c.order] / times[c.name][c.order]; ratio < c.least {
			t.Errorf("%s at n = %d: %.1f times faster than the eigendecomposition, expected %g", c.name, orders[c.order], ratio, c.least)
		} else {
			t.Logf("%s at n = %d: %.1f times faster than the eigendecomposition", c.name, orders[c.order], ratio)
		}
	}
	for _, c := range []struct {
		name        string
		least, most float64
	}{{names[0], 2.6, 3.6}, {"RSVD, q = 3", 0, 2.2}, {"Brand update", 0, 1.2}} {
		if s := slope(times[c.name]); s < c.least || s > c.most {
			t.Errorf("%s: exponent %.2f, expected %g to %g", c.name, s, c.least, c.most)
		}
	}
}

// write puts the table between the marks of the page.
func write(t *testing.T, table string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- inversion -->\n", "<!-- /inversion -->"
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", page)
	}
	if err := os.WriteFile(page, []byte(head+begin+table+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
