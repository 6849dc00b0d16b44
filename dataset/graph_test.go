package dataset

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

// randomGraph draws a graph of up to twelve nodes, some of them isolated.
func randomGraph(r *rapid.T) *Graph {
	n := rapid.IntRange(1, 12).Draw(r, "nodes")
	g := &Graph{Labels: make([]int32, n), Classes: 1}
	var text strings.Builder
	for i := range n {
		for j := range n {
			if rapid.IntRange(0, 3).Draw(r, "edge") == 0 {
				text.WriteString(strings.Join([]string{itoa(i), itoa(j)}, "\t") + "\n")
			}
		}
	}
	if err := g.parseEdges([]byte(text.String())); err != nil {
		r.Fatal(err)
	}
	g.Features = rapid.IntRange(1, 70).Draw(r, "features")
	g.Start = []int32{0}
	for range n {
		for j := range g.Features {
			if rapid.Bool().Draw(r, "present") {
				g.Column, g.Value = append(g.Column, int32(j)), append(g.Value, rapid.Float64Range(-2, 2).Draw(r, "value"))
			}
		}
		g.Start = append(g.Start, int32(len(g.Column)))
	}
	return g
}

func itoa(i int) string { return string(rune('0'+i/10)) + string(rune('0'+i%10)) }

// dense returns the operator of one hop and the features as matrices.
func (g *Graph) dense(op Operator) (hop, h *mat.Dense) {
	n := g.Nodes()
	hop, h = mat.NewDense(n, n, nil), mat.NewDense(n, g.Features, nil)
	for i := range n {
		d := math.Sqrt(float64(g.Degree(i) + 1))
		set := func(j int) {
			v := 1 / (d * math.Sqrt(float64(g.Degree(j)+1)))
			if op == RandomWalk {
				v = 1 / (d * d)
			}
			hop.Set(i, j, v)
		}
		set(i)
		for _, j := range g.Neighbours[g.First[i]:g.First[i+1]] {
			set(int(j))
		}
		if op == SelfLooped {
			hop.Set(i, i, hop.At(i, i)+1)
		}
		for k := g.Start[i]; k < g.Start[i+1]; k++ {
			h.Set(i, int(g.Column[k]), g.Value[k])
		}
	}
	return hop, h
}

// TestPropagateIsDense: hop k is the k-th power of the dense operator times the features.
func TestPropagateIsDense(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g := randomGraph(r)
		op := Operator(rapid.IntRange(0, 3).Draw(r, "operator"))
		hops := rapid.IntRange(0, 4).Draw(r, "hops")
		rows := []int32{int32(g.Nodes() - 1), 0}
		got := Propagate[float64](g, op, hops, rows)
		s, h0 := g.dense(op)
		h := mat.DenseCopyOf(h0)
		for k := range hops + 1 {
			if k > 0 {
				var next mat.Dense
				next.Mul(s, h)
				if op == PageRank {
					next.Scale(0.9, &next)
					var own mat.Dense
					own.Scale(0.1, h0)
					next.Add(&next, &own)
				}
				h = &next
			}
			for i, row := range rows {
				for j := range g.Features {
					at := (i*(hops+1)+k)*g.Features + j
					if want := h.At(int(row), j); math.Abs(got[at]-want) > 1e-12*(1+math.Abs(want)) {
						r.Fatalf("%v, hop %d, node %d, feature %d: %v, dense %v", op, k, row, j, got[at], want)
					}
				}
			}
		}
	})
}

// TestRenormalizedSpectrum: Ã is symmetric, has the fixed vector (D+I)^{1/2} 1 and no eigenvalue beyond 1; an isolated
// node keeps what it has.
func TestRenormalizedSpectrum(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g := randomGraph(r)
		s, _ := g.dense(Renormalized)
		n := g.Nodes()
		sym := mat.NewSymDense(n, nil)
		for i := range n {
			fixed := 0.0
			for j := range n {
				if s.At(i, j) != s.At(j, i) {
					r.Fatalf("not symmetric at %d, %d", i, j)
				}
				sym.SetSym(i, j, s.At(i, j))
				fixed += s.At(i, j) * math.Sqrt(float64(g.Degree(j)+1))
			}
			if want := math.Sqrt(float64(g.Degree(i) + 1)); math.Abs(fixed-want) > 1e-12*want {
				r.Fatalf("node %d: %v, want %v", i, fixed, want)
			}
			if g.Degree(i) == 0 && s.At(i, i) != 1 {
				r.Fatalf("isolated node %d: %v", i, s.At(i, i))
			}
		}
		var eig mat.EigenSym
		if !eig.Factorize(sym, false) {
			r.Fatal("no convergence")
		}
		for _, v := range eig.Values(nil) {
			if math.Abs(v) > 1+1e-12 {
				r.Fatalf("eigenvalue %v", v)
			}
		}
	})
}

// writeGraph writes the files of a small graph and returns the path of its edges.
func writeGraph(t *testing.T, edges, features, labels, split string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"tiny.edges.tsv": edges, "tiny.features.txt": features, "tiny.labels.txt": labels, "tiny.split.json": split} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "tiny.edges.tsv")
}

func TestOpenGraphFile(t *testing.T) {
	path := writeGraph(t, "0\t1\n1\t0\n1\t2\n2\t2\n", "0 2:0.5\n1\n\n1:-3\n", "0\n1\n0\n1\n", `{"train": [0, 1], "val": [], "test": [3]}`)
	g, err := OpenGraph(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if g.Edges() != 2 || g.Features != 3 || g.Nodes() != 4 || g.Classes != 2 {
		t.Errorf("edges %d, features %d, nodes %d, classes %d", g.Edges(), g.Features, g.Nodes(), g.Classes)
	}
	s, err := Open(path, Options{Hops: 1, Val: -1})
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, 6)
	Gather(s.Test, []int32{0}, x)
	if !slices.Equal(x, []float64{0, -3, 0, 0, -3, 0}) {
		t.Errorf("isolated node: %v", x)
	}
	Gather(s.Train, []int32{0}, x)
	r6 := 1 / math.Sqrt(6) // degrees 1 and 2, with the loop 2 and 3
	for i, want := range []float64{1, 0, 0.5, 0.5, r6, 0.25} {
		if math.Abs(x[i]-want) > 1e-7 {
			t.Errorf("feature %d of node 0: %v, want %v", i, x[i], want)
		}
	}
}

// TestGraphErrors: what is wrong in a file is said with its place.
func TestGraphErrors(t *testing.T) {
	const edges, features, labels = "0\t1\n", "0\n1\n", "0\n1\n"
	for _, c := range []struct{ name, edges, features, labels, split, want string }{
		{"edge out of range", "0\t2\n", features, labels, "", "line 1: bad node"},
		{"no edge", "0\n", features, labels, "", "line 1 is no edge"},
		{"features of fewer nodes", edges, "0\n", labels, "", "another number of nodes"},
		{"value", edges, "0:x\n1\n", labels, "", "bad value of feature 0"},
		{"label", edges, features, "0\nb\n", "", "line 2: bad label"},
		{"overlap", edges, features, labels, `{"train": [0], "val": [0], "test": [1]}`, "node 0 is in two parts"},
		{"range of the split", edges, features, labels, `{"train": [0], "test": [7]}`, "out of range"},
		{"missing file", edges, "", labels, "", "file is missing"},
		{"one class", edges, features, "0\n0\n", "", "fewer than two classes"},
	} {
		_, err := Open(writeGraph(t, c.edges, c.features, c.labels, c.split), Options{})
		if e := new(Error); !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := Open("cora", Options{Operator: "renormalised"}); err == nil || !strings.Contains(err.Error(), "renormalized") {
		t.Errorf("operator: %v", err)
	}
}

// TestGraphFacts: sizes as published; the training columns of the five blocks of Cora and Citeseer have the spectral norms
// 29.66 and 31.16.
func TestGraphFacts(t *testing.T) {
	for _, c := range []struct {
		name                          string
		nodes, edges, features, norms int
		train, val, test              int
		norm                          float64
	}{
		{"cora", 2708, 5278, 1433, 7, 140, 500, 1000, 29.66},
		{"citeseer", 3327, 4552, 3703, 6, 120, 500, 1000, 31.16},
		{"amazon-photo", 7650, 119081, 745, 8, 160, 1000, 1000, 0},
		{"amazon-computers", 13752, 245861, 767, 10, 200, 1000, 1000, 0},
	} {
		s := realData(t, c.name)
		g, err := OpenGraph(c.name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if g.Nodes() != c.nodes || g.Edges() != c.edges || g.Features != c.features {
			t.Errorf("%s: %d nodes, %d edges, %d features", c.name, g.Nodes(), g.Edges(), g.Features)
		}
		if s.Train.Len() != c.train || s.Val.Len() != c.val || s.Test.Len() != c.test || s.Input.Size() != 5*c.features {
			t.Errorf("%s: parts of %d, %d, %d nodes, input %v", c.name, s.Train.Len(), s.Val.Len(), s.Test.Len(), s.Input)
		}
		if c.norm == 0 {
			continue
		}
		x := make([]float64, c.train*s.Input.Size())
		Gather(s.Train, sequence(0, c.train), x)
		var gram mat.SymDense
		gram.SymOuterK(1, mat.NewDense(c.train, s.Input.Size(), x))
		var eig mat.EigenSym
		eig.Factorize(&gram, false)
		if norm := math.Sqrt(eig.Values(nil)[c.train-1]); math.Abs(norm-c.norm) > 0.006 {
			t.Errorf("%s: spectral norm %.3f, expected %.2f", c.name, norm, c.norm)
		}
	}
}

func FuzzGraph(f *testing.F) {
	f.Add([]byte("0\t1\n"), []byte("0 1:2\n1\n"), []byte("0\n1\n"), []byte(`{"train":[0],"test":[1]}`))
	f.Fuzz(func(t *testing.T, edges, features, labels, split []byte) {
		files := map[string][]byte{graphEnding: edges, featuresEnding: features, labelsEnding: labels, splitEnding: split}
		g, err := readGraph("fuzz", func(ending string) (string, []byte, error) { return "fuzz" + ending, files[ending], nil })
		if err != nil {
			if e := new(Error); !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if g.Nodes() < 100 && g.Features < 100 {
			Propagate[float64](g, Renormalized, 1, []int32{0})
		}
	})
}
