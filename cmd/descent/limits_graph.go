package main

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/asymptotics/kernel"
	"github.com/descent-ml/descent/report"
	"github.com/descent-ml/descent/tensor"
)

type limitsGraphCmd struct {
	answerFlags
	Data       string  `group:"Graph" placeholder:"NAME" help:"cora, citeseer or graph:FOLDER/NAME, of at most 4000 nodes (default: communities drawn by the seed)."`
	DataDir    string  `group:"Graph" placeholder:"DIR" help:"Where data sets lie (default: DESCENT_DATA, else the user's cache folder)."`
	Nodes      int     `group:"Graph" placeholder:"N" help:"Of the drawn graph (default 60)."`
	Inside     float64 `group:"Graph" placeholder:"P" help:"Probability of an edge inside its two communities (default 0.2)."`
	Between    float64 `group:"Graph" placeholder:"P" help:"Probability of an edge between them (default 0.1)."`
	Activation string  `group:"Network" placeholder:"NAME" help:"Of the layers (default relu)."`
	Depth      int     `group:"Network" placeholder:"L" help:"Largest number of hidden layers (default 8)."`
	Width      int     `group:"Network" placeholder:"N" help:"Width of the network that the limit shall stand for: says whether it may."`
}

// Help shows the examples.
func (limitsGraphCmd) Help() string {
	return `Graph convolutions of infinite width are kernel regression between nodes. The verb computes the kernel for growing depth: how alike it makes
the nodes, how many of its modes are left, and how well it tells the classes apart when half of the labelled nodes are known.

Examples:

    descent limits graph
    descent limits graph --between 0.02 --depth 12
    descent limits graph --data cora --activation erf --depth 4 --report graph.html`
}

// communities draws a graph of two communities with two noisy features.
func communities(seed uint64, n int, inside, between float64) (tensor.Tensor[float64], [][2]int, []int32) {
	key := tensor.KeyOf(seed).Named("communities")
	x := tensor.New[float64](n, 8)
	tensor.Normal(key.Named("features"), x.Data(), 0, 1)
	labels := make([]int32, n)
	var edges [][2]int
	u := make([]float64, n*n)
	tensor.Uniform(key.Named("edges"), u, 0, 1)
	for i := range n {
		labels[i] = int32(i % 2)
		x.Set(x.At(i, 0)+0.6*(2*float64(labels[i])-1), i, 0)
		for j := range i {
			p := between
			if labels[i] == labels[j] {
				p = inside
			}
			if u[i*n+j] < p {
				edges = append(edges, [2]int{j, i})
			}
		}
	}
	return x, edges, labels
}

// graphLayer is a depth in JSON.
type graphLayer struct {
	Depth         int  `json:"depth"`
	Least         num  `json:"least_correlation"`
	Mean          num  `json:"mean_correlation"`
	Participation num  `json:"participation"`
	Accuracy      *num `json:"accuracy,omitempty"`
}

// Run computes kernels.
func (c *limitsGraphCmd) Run(a *app) error {
	if err := c.answerFlags.check(); err != nil {
		return err
	}
	n, depth := c.Nodes, c.Depth
	if n == 0 {
		n = 60
	}
	if depth == 0 {
		depth = 8
	}
	inside, between := orDefault(c.Inside, 0.2), orDefault(c.Between, 0.1)
	if n < 4 || n > 2000 || depth < 1 || depth > 64 || !(inside > 0 && inside <= 1) || !(between >= 0 && between <= 1) {
		return usage(fmt.Errorf("--nodes, --depth, --inside, --between: found %d, %d, %g and %g, expected 4 to 2000 nodes, 1 to 64 layers and probabilities\nhint: leave them out for the defaults", n, depth, inside, between))
	}
	activation, err := kernel.ByName(orElse(c.Activation, "relu"))
	if err != nil {
		return usage(err)
	}
	r := &answer{verb: "graph"}
	if r.findings, err = depthFindings(depth, c.Width); err != nil {
		return err
	}
	x, edges, labels := communities(c.Seed, n, inside, between)
	name := fmt.Sprintf("%d nodes in two communities", n)
	if c.Data != "" {
		name = c.Data
		if x, edges, labels, err = openGraph(c.Data, c.DataDir); err != nil {
			return err
		}
		if n = x.Shape().Rows(); n > 4000 {
			return usage(fmt.Errorf("--data %s has %s nodes, expected at most 4000: the kernel is between all pairs\nhint: cora has 2708", c.Data, grouped(n)))
		}
	}
	agg, err := kernel.Symmetric(n, edges)
	if err != nil {
		return err
	}
	pool := c.pool()
	p := a.progress()
	v := 1.0
	if activation.Name == "relu" {
		v = 2
	}
	var layers []graphLayer
	half := split(labels)
	for l := 0; l <= depth; l++ {
		p.update(float64(l)/float64(depth+1), fmt.Sprintf("kernel of %d layers", l))
		g := kernel.GCN{Activation: activation, Depth: l, WeightVar: v}
		row, err := await(a, func() (graphLayer, error) { return graphRow(pool, g, agg, x, labels, half) })
		if err != nil {
			return err
		}
		layers = append(layers, row)
	}
	p.clear()
	r.title = fmt.Sprintf("Graph convolutions on %s: %s", name, activation.Name)
	r.settings = []report.Fact{{Name: "graph", Value: fmt.Sprintf("%s nodes, %s edges, %d features", grouped(n), grouped(len(edges)), x.Shape().Cols())},
		{Name: "network", Value: fmt.Sprintf("Â = D^-½(A+I)D^-½ in every layer and the readout, %s, weight variance %s", activation.Name, number(v))}}
	tab := report.Table{Name: "By depth", Head: []string{">hidden layers", ">least correlation", ">mean correlation", ">modes that share the kernel", ">accuracy"},
		Note: "Correlations between nodes under the law at the start. Accuracy: trained to the end on every other labelled node, on the rest. Rests on: derived, confirmed by simulation."}
	var d, least, mean, acc, part []float64
	for _, row := range layers {
		cell := ""
		d, least, mean, part = append(d, float64(row.Depth)), append(least, float64(row.Least)), append(mean, float64(row.Mean)), append(part, float64(row.Participation))
		if row.Accuracy != nil {
			cell = percent(float64(*row.Accuracy))
			acc = append(acc, float64(*row.Accuracy))
		}
		tab.Rows = append(tab.Rows, []string{grouped(row.Depth), fixed(float64(row.Least), 3), fixed(float64(row.Mean), 3), sig(float64(row.Participation)), cell})
	}
	r.tables = append(r.tables, tab)
	smooth := -1
	for i, m := range mean {
		if m > 0.99 {
			smooth = i
			break
		}
	}
	if smooth >= 0 {
		r.summary = append(r.summary, fmt.Sprintf("From %s on, nodes have a mean correlation above 0.99: depth has made them alike (oversmoothing).", plural(smooth, "layer")))
	} else {
		r.summary = append(r.summary, fmt.Sprintf("Up to %s the nodes stay apart: their mean correlation is %s.", plural(depth, "layer"), fixed(mean[len(mean)-1], 3)))
	}
	if len(acc) > 0 {
		best := 0
		for i, v := range acc {
			if v > acc[best] {
				best = i
			}
		}
		r.summary = append(r.summary, fmt.Sprintf("Classes are told apart best with %s: %s.", plural(best, "hidden layer"), percent(acc[best])))
	}
	axis := report.Axis{Label: "hidden layers"}
	r.figures = []report.Figure{{Name: "correlation", Title: "How alike depth makes the nodes", X: axis, Y: report.Axis{Label: "correlation"}, Series: []report.Series{{Name: "mean", Mark: report.Line, X: d, Y: mean}, {Name: "least", Mark: report.Line, Dashed: true, Colour: 1, X: d, Y: least}}},
		{Name: "modes", Title: "Modes that share the kernel", X: axis, Y: report.Axis{Label: "(Σλ)²/Σλ²", Log: true}, Series: []report.Series{{Mark: report.Line, X: d, Y: part}}}}
	if len(acc) == len(d) {
		r.figures = append(r.figures, report.Figure{Name: "accuracy", Title: "Accuracy on nodes without a label", X: axis, Y: report.Axis{Label: "accuracy"}, Series: []report.Series{{Mark: report.Line, X: d, Y: acc}, {Mark: report.Points, X: d, Y: acc}}})
	}
	r.data = map[string]any{"nodes": n, "edges": len(edges), "activation": activation.Name, "layers": layers, "label": string(asymptotics.Derived)}
	return a.give(c.answerFlags, r)
}

// halves of the labelled nodes.
type halves struct{ train, test []int }

// split gives the labelled nodes of each class to the two halves in turn.
func split(labels []int32) halves {
	var h halves
	seen := map[int32]int{}
	for i, l := range labels {
		if l < 0 {
			continue
		}
		if seen[l]%2 == 0 {
			h.train = append(h.train, i)
		} else {
			h.test = append(h.test, i)
		}
		seen[l]++
	}
	return h
}

// graphRow measures one depth.
func graphRow(pool *tensor.Pool, g kernel.GCN, agg kernel.Aggregation, x tensor.Tensor[float64], labels []int32, h halves) (graphLayer, error) {
	row := graphLayer{Depth: g.Depth}
	k, err := g.Kernel(pool, agg, x)
	if err != nil {
		return row, err
	}
	n := x.Shape().Rows()
	q := k.NNGP.Data()
	least, sum := 1.0, 0.0
	var trace, square float64
	for i := range n {
		trace += k.NTK.At(i, i)
		for j := range n {
			square += k.NTK.At(i, j) * k.NTK.At(i, j)
			if j < i {
				r := q[i*n+j] / math.Sqrt(q[i*n+i]*q[j*n+j])
				least = math.Min(least, r)
				sum += r
			}
		}
	}
	row.Least, row.Mean, row.Participation = num(least), num(2*sum/float64(n*(n-1))), num(trace*trace/square)
	classes := 0
	for _, l := range labels {
		classes = max(classes, int(l)+1)
	}
	if classes < 2 || len(h.train) == 0 || len(h.test) == 0 || len(h.train) > 1500 {
		return row, nil
	}
	y := tensor.New[float64](len(h.train), classes)
	for i, node := range h.train {
		y.Set(1, i, int(labels[node]))
	}
	reg := kernel.Regression{Alpha: 1, Theta: pick(k.NTK, h.train, h.train), Cross: pick(k.NTK, h.test, h.train)}
	// Time 10³ of the mean eigenvalue: the end of training but for modes that are lost in rounding.
	var scale float64
	for i := range h.train {
		scale += reg.Theta.At(i, i) / float64(len(h.train))
	}
	pr, err := reg.Predict(pool, y, 1000*float64(len(h.train))/scale)
	if err != nil {
		return row, err
	}
	right := 0.0
	for i, node := range h.test {
		best := 0
		for j := range classes {
			if pr.Mean.At(i, j) > pr.Mean.At(i, best) {
				best = j
			}
		}
		if best == int(labels[node]) {
			right++
		}
	}
	acc := num(right / float64(len(h.test)))
	row.Accuracy = &acc
	return row, nil
}

// pick returns rows and columns of a matrix.
func pick(k tensor.Tensor[float64], rows, cols []int) tensor.Tensor[float64] {
	out := tensor.New[float64](len(rows), len(cols))
	for i, r := range rows {
		for j, c := range cols {
			out.Set(k.At(r, c), i, j)
		}
	}
	return out
}
