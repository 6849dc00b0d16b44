package report

import (
	"math"
	"strconv"
)

// charts is the data of the page's script, as columns. A missing value is null.
type charts struct {
	Metric  string        `json:"metric"`
	Split   string        `json:"split"`
	Target  *chartTarget  `json:"target"`
	Methods []chartMethod `json:"methods"`
}

type chartTarget struct {
	Split  string  `json:"split"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
}

type chartMethod struct {
	Name   string       `json:"name"`
	Runs   []chartRun   `json:"runs"`
	Tuning *chartTuning `json:"tuning"`
}

type chartRun struct {
	Seed    uint64              `json:"seed"`
	Columns map[string][]column `json:"columns"`
	Probes  map[string][]column `json:"probes,omitempty"`
}

type chartTuning struct {
	Setting string   `json:"setting"`
	Value   []column `json:"value"`
	Result  []column `json:"result"`
	Chosen  column   `json:"chosen"`
}

// column is a number that is null in JSON if it is not finite, with seven significant digits, more than a
// screen can show.
type column float64

// MarshalJSON implements json.Marshaler.
func (c column) MarshalJSON() ([]byte, error) {
	if !finite(float64(c)) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(c), 'g', 7, 64), nil
}

func (p *Page) charts() charts {
	c := charts{Metric: p.Task.Metric, Split: p.Task.Split}
	if t := p.Target; t != nil {
		c.Target = &chartTarget{t.Split, t.Metric, t.Value}
	}
	for _, m := range p.Methods {
		cm := chartMethod{Name: m.Name, Runs: []chartRun{}}
		for _, r := range m.Runs {
			cm.Runs = append(cm.Runs, chartRun{r.Seed, columns(r.Points), probes(r.Probes)})
		}
		if t := m.Tuning; t != nil {
			ct := &chartTuning{Setting: t.Setting, Chosen: column(t.Chosen)}
			for _, trial := range t.Trials {
				ct.Value = append(ct.Value, column(trial.Value))
				ct.Result = append(ct.Result, column(trial.Result))
			}
			cm.Tuning = ct
		}
		c.Methods = append(c.Methods, cm)
	}
	return c
}

// columns turns points into columns and leaves out those that hold nothing.
func columns(points []Point) map[string][]column {
	get := map[string]func(Point) float64{
		"steps":        func(p Point) float64 { return float64(p.Step) },
		"examples":     func(p Point) float64 { return float64(p.Examples) },
		"epochs":       func(p Point) float64 { return p.Epoch },
		"seconds":      func(p Point) float64 { return p.Seconds },
		"train.loss":   func(p Point) float64 { return p.Train.Loss },
		"train.metric": func(p Point) float64 { return p.Train.Metric },
		"val.loss":     func(p Point) float64 { return p.Val.Loss },
		"val.metric":   func(p Point) float64 { return p.Val.Metric },
		"test.loss":    func(p Point) float64 { return p.Test.Loss },
		"test.metric":  func(p Point) float64 { return p.Test.Metric },
		"grad_norm":    func(p Point) float64 { return p.GradNorm },
		"step_size":    func(p Point) float64 { return p.StepSize },
		"batch_loss":   func(p Point) float64 { return p.BatchLoss },
	}
	out := map[string][]column{}
	for name, f := range get {
		c := make([]column, len(points))
		any := false
		for i, p := range points {
			v := f(p)
			c[i] = column(v)
			any = any || finite(v)
		}
		if any {
			out[name] = c
		}
	}
	return out
}

// probes turns probes into columns and leaves out those that hold nothing.
func probes(points []Probe) map[string][]column {
	if len(points) == 0 {
		return nil
	}
	out := map[string][]column{}
	add := func(name string, f func(Probe) float64) {
		c, any := make([]column, len(points)), false
		for i, p := range points {
			v := f(p)
			c[i] = column(v)
			any = any || finite(v)
		}
		if any {
			out[name] = c
		}
	}
	add("steps", func(p Probe) float64 { return float64(p.Step) })
	add("examples", func(p Probe) float64 { return float64(p.Examples) })
	add("epochs", func(p Probe) float64 { return p.Epoch })
	add("seconds", func(p Probe) float64 { return p.Seconds })
	for _, matrix := range []string{"hessian", "ggn", "preconditioned_hessian", "preconditioned_ggn"} {
		for _, quantity := range []string{"max", "trace", "condition", "spread"} {
			name := matrix + "_" + quantity
			add(name, func(p Probe) float64 {
				if v, ok := p.Values[name]; ok {
					return v
				}
				return math.NaN()
			})
		}
	}
	return out
}
