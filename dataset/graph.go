package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/tensor"
)

// Graph is an undirected graph whose nodes have features and, some of them, a label. It is not changed after [OpenGraph]
// returned it.
type Graph struct {
	Name     string
	Features int     // of a node
	Classes  int     // labels are 0 … Classes−1
	Labels   []int32 // of each node; −1: none

	// Edges both ways, without loops and repetitions: the neighbours of node i are Neighbours[First[i]:First[i+1]], in
	// ascending order.
	First      []int32
	Neighbours []int32

	// The non-zero features of node i are Column[Start[i]:Start[i+1]], with their Value.
	Start  []int32
	Column []int32
	Value  []float64

	// Published parts; nil where none is published.
	Train, Val, Test []int32
}

// Nodes returns the number of nodes.
func (g *Graph) Nodes() int { return len(g.Labels) }

// Edges returns the number of undirected edges.
func (g *Graph) Edges() int { return len(g.Neighbours) / 2 }

// Degree returns the number of neighbours of node i.
func (g *Graph) Degree(i int) int { return int(g.First[i+1] - g.First[i]) }

// graphEnding is how the name of a graph's first file ends.
const graphEnding = ".edges.tsv"

// OpenGraph reads a graph: one of the names of [Names] that are graphs, or the path NAME.edges.tsv of a file with an edge a
// line, "i<TAB>j" counted from 0, beside which lie NAME.features.txt, with the features of a node a line as
// column numbers (a value of 1) or column:value pairs, and NAME.labels.txt, with a label a line, −1 for none. The
// file NAME.split.json, {"train": […], "val": […], "test": […]}, may be missing. All may be compressed (.gz).
func OpenGraph(name string, o Options) (*Graph, error) {
	if s, ok := sourceByName(name); ok && s.folder == graphFolder {
		folder := s.info(o.Dir).Folder
		return readGraph(s.name, func(ending string) (string, []byte, error) {
			for _, f := range s.files {
				if f.name == s.graph+ending {
					return f.read(s.name, folder, s.get)
				}
			}
			return "", nil, nil
		})
	}
	base, ok := strings.CutSuffix(strings.TrimSuffix(name, ".gz"), graphEnding)
	if !ok {
		return nil, &Error{What: "no graph " + strconv.Quote(name), Expected: "cora, citeseer, … (descent list data), or the path of a file NAME" + graphEnding}
	}
	return readGraph(filepath.Base(base), func(ending string) (string, []byte, error) {
		f := knownFile{name: filepath.Base(base) + ending}
		if _, err := f.find(filepath.Dir(base)); err != nil && ending == splitEnding {
			return "", nil, nil
		}
		return f.read(name, filepath.Dir(base), "a graph is NAME.edges.tsv, NAME.features.txt and NAME.labels.txt in one folder, plain or with .gz")
	})
}

const (
	featuresEnding = ".features.txt"
	labelsEnding   = ".labels.txt"
	splitEnding    = ".split.json"
)

// readGraph parses the files that get returns by the ending of their names; no contents means no file.
func readGraph(name string, get func(ending string) (path string, contents []byte, err error)) (*Graph, error) {
	g := &Graph{Name: name}
	for _, part := range []struct {
		ending string
		parse  func([]byte) error
	}{{labelsEnding, g.parseLabels}, {featuresEnding, g.parseFeatures}, {graphEnding, g.parseEdges}, {splitEnding, g.parseSplit}} {
		path, b, err := get(part.ending)
		if err != nil {
			return nil, err
		}
		if b == nil && part.ending == splitEnding {
			continue
		}
		if err := part.parse(b); err != nil {
			return nil, inFile(path, err)
		}
	}
	return g, nil
}

// eachLine calls f for each line of b without its end; a last empty line is left out.
func eachLine(b []byte, f func(line int, text []byte) error) error {
	for line := 1; len(b) > 0; line++ {
		text, rest, _ := bytes.Cut(b, []byte("\n"))
		if err := f(line, bytes.TrimSuffix(text, []byte("\r"))); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// number parses a whole number in [least, below).
func number(text []byte, line int, what string, least, below int) (int32, error) {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < least || n >= below {
		return 0, &Error{What: fmt.Sprintf("line %d: bad %s", line, what), Found: strconv.Quote(string(text)), Expected: fmt.Sprintf("a whole number from %d to %d", least, below-1)}
	}
	return int32(n), nil
}

// The largest graph that is read; more is taken for a damaged file.
const maxNodes, maxFeatures, maxClasses = 1 << 24, 1 << 24, 1 << 16

func (g *Graph) parseLabels(b []byte) error {
	err := eachLine(b, func(line int, text []byte) error {
		k, err := number(text, line, "label", -1, maxClasses)
		if err == nil && line > maxNodes {
			err = &Error{What: "too many nodes", Expected: fmt.Sprintf("at most %d", maxNodes)}
		}
		g.Labels = append(g.Labels, k)
		g.Classes = max(g.Classes, int(k)+1)
		return err
	})
	if err == nil && len(g.Labels) == 0 {
		err = &Error{What: "no nodes", Found: "an empty file of labels"}
	}
	return err
}

func (g *Graph) parseFeatures(b []byte) error {
	g.Start = append(make([]int32, 0, g.Nodes()+1), 0)
	err := eachLine(b, func(line int, text []byte) error {
		for _, word := range bytes.Fields(text) {
			col, value, pair := bytes.Cut(word, []byte(":"))
			j, err := number(col, line, "column of a feature", 0, maxFeatures)
			if err != nil {
				return err
			}
			v := 1.0
			if pair {
				if v, err = strconv.ParseFloat(string(value), 64); err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
					return &Error{What: fmt.Sprintf("line %d: bad value of feature %d", line, j), Found: strconv.Quote(string(value)), Expected: "a finite number"}
				}
			}
			g.Column, g.Value = append(g.Column, j), append(g.Value, v)
			g.Features = max(g.Features, int(j)+1)
		}
		g.Start = append(g.Start, int32(len(g.Column)))
		return nil
	})
	if err == nil && len(g.Start)-1 != g.Nodes() {
		err = &Error{What: "features of another number of nodes than labels", Found: fmt.Sprintf("%d lines", len(g.Start)-1), Expected: fmt.Sprint(g.Nodes())}
	}
	if err == nil && g.Features == 0 {
		err = &Error{What: "no features", Found: "empty lines alone"}
	}
	return err
}

func (g *Graph) parseEdges(b []byte) error {
	n := g.Nodes()
	next := make([][]int32, n)
	err := eachLine(b, func(line int, text []byte) error {
		ends := bytes.Fields(text)
		if len(ends) != 2 {
			return &Error{What: fmt.Sprintf("line %d is no edge", line), Found: strconv.Quote(string(text)), Expected: "two node numbers"}
		}
		i, err := number(ends[0], line, "node", 0, n)
		if err != nil {
			return err
		}
		j, err := number(ends[1], line, "node", 0, n)
		if err != nil {
			return err
		}
		if i != j {
			next[i], next[j] = append(next[i], j), append(next[j], i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.First = append(make([]int32, 0, n+1), 0)
	for _, list := range next {
		slices.Sort(list)
		g.Neighbours = append(g.Neighbours, slices.Compact(list)...)
		g.First = append(g.First, int32(len(g.Neighbours)))
	}
	return nil
}

func (g *Graph) parseSplit(b []byte) error {
	var s struct{ Train, Val, Test []int32 }
	if err := json.Unmarshal(b, &s); err != nil {
		return &Error{What: "the split is no JSON of the expected form", Err: err, Expected: `{"train": [0, 1, …], "val": […], "test": […]}`}
	}
	in := make([]string, g.Nodes())
	for _, part := range []struct {
		name string
		list []int32
	}{{"train", s.Train}, {"val", s.Val}, {"test", s.Test}} {
		for _, i := range part.list {
			switch {
			case i < 0 || int(i) >= len(in):
				return &Error{What: "a node of the " + part.name + " part is out of range", Found: fmt.Sprint(i), Expected: fmt.Sprintf("0 to %d", len(in)-1)}
			case in[i] != "":
				return &Error{What: fmt.Sprintf("node %d is in two parts of the split", i), Found: in[i] + " and " + part.name, Hint: "a node that is tested must not be trained on"}
			case g.Labels[i] < 0:
				return &Error{What: fmt.Sprintf("node %d of the %s part has no label", i, part.name)}
			}
			in[i] = part.name
		}
	}
	if len(s.Train) == 0 || len(s.Test) == 0 {
		return &Error{What: "the split has no training or no test part"}
	}
	g.Train, g.Val, g.Test = s.Train, s.Val, s.Test
	return nil
}

// The parts of a graph without a published split.
const perClass, heldOut = 20, 1000

// parts returns the published parts, or draws them: 20 nodes a class to train on, then 1,000 nodes each for
// validation and testing (a third of the rest each, if that is less).
func (g *Graph) parts(seed uint64) (train, val, test []int32, how string) {
	if g.Train != nil {
		return g.Train, g.Val, g.Test, "published split"
	}
	perm := make([]int32, g.Nodes())
	tensor.Permutation(tensor.KeyOf(seed).Named("split"), perm)
	count := make([]int, g.Classes)
	var rest []int32
	for _, i := range perm {
		switch k := g.Labels[i]; {
		case k < 0:
		case count[k] < perClass:
			count[k]++
			train = append(train, i)
		default:
			rest = append(rest, i)
		}
	}
	held := min(heldOut, len(rest)/3)
	test, val = rest[:held], rest[held:2*held]
	for _, p := range [][]int32{train, val, test} {
		slices.Sort(p)
	}
	return train, val, test, fmt.Sprintf("%d nodes a class to train on, %d for validation, %d for testing, at random (split seed %d)", perClass, held, held, seed)
}

// readHops makes the examples of a graph-augmented network: the labelled nodes of the three parts, each with its own
// features and those of its surroundings, hop by hop.
func readHops(name string, o Options) (*table, error) {
	op, err := OperatorByName(o.Operator)
	if err != nil {
		return nil, err
	}
	g, err := OpenGraph(name, o)
	if err != nil {
		return nil, err
	}
	if g.Classes < 2 {
		return nil, &Error{What: g.Name + ": fewer than two classes", Found: fmt.Sprint(g.Classes)}
	}
	train, val, test, how := g.parts(o.Seed)
	rows := slices.Concat(train, val, test)
	hops := o.hops()
	t := &table{train: len(train), val: len(val), asRead: true, how: fmt.Sprintf("%s; %d hops, %s", how, hops, op)}
	t.f32 = Propagate[float32](g, op, hops, rows)
	t.shape = tensor.ShapeOf((hops + 1) * g.Features)
	t.labels = make([]int32, len(rows))
	for i, r := range rows {
		t.labels[i] = g.Labels[r]
	}
	for k := range g.Classes {
		t.classes = append(t.classes, strconv.Itoa(k))
	}
	return t, nil
}
