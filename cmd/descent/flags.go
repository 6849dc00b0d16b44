package main

import (
	"fmt"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/descent-ml/descent/altmin"
	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/optim/matrix"
	"github.com/descent-ml/descent/train"
)

// dataFlags say which data.
type dataFlags struct {
	Data    string  `group:"Data" placeholder:"NAME" help:"Data set, or a .csv, .npz or .npy file (default digits)."`
	DataDir string  `group:"Data" placeholder:"DIR" help:"Where data sets lie (default: DESCENT_DATA, else the user's cache folder)."`
	Label   string  `group:"Data" placeholder:"COLUMN" help:"Column of a .csv file to predict (default: the last)."`
	Val     float64 `group:"Data" placeholder:"FRACTION" help:"Part of the training examples set apart for validation (default: none, or 0.1 where something looks at it)."`

	Hops     int    `group:"Data" placeholder:"N" help:"Of a graph: how far the features of nodes spread (default 4; -1: not at all)."`
	Operator string `group:"Data" placeholder:"NAME" help:"Of a graph: how they spread: renormalized (default), random-walk, pagerank or self-looped."`
}

// modelFlags say which model, and how it is trained whatever the method.
type modelFlags struct {
	Model      string        `group:"Model" placeholder:"SPEC" help:"Model, such as mlp:64,64 (default: fits the data)."`
	Activation string        `group:"Model" placeholder:"NAME" help:"Of the hidden layers (default: the model's own)."`
	Init       string        `group:"Model" placeholder:"NAME" help:"Of the weights, such as glorot-uniform (default: the model's own)."`
	Loss       string        `group:"Model" placeholder:"NAME" help:"cross-entropy, squared, bernoulli, poisson or huber (default: fits the data)."`
	Epochs     int           `group:"Length" placeholder:"N" help:"Passes over the training data (default: fits the data)."`
	Steps      int64         `group:"Length" placeholder:"N" help:"Stop after so many steps."`
	Budget     time.Duration `group:"Length" placeholder:"TIME" help:"Stop after so much training time, such as 60s."`
	Batch      int           `group:"Training" placeholder:"N" help:"Examples of one step (default: fits the data)."`
	Schedule   string        `group:"Training" placeholder:"SPEC" help:"Of the learning rate, such as cosine or warmup:0.1,cosine."`
	Dtype      string        `name:"dtype" group:"Training" placeholder:"TYPE" help:"float32 (default) or float64."`
	Probe      probeFlag     `group:"Training" placeholder:"curvature[:N]" help:"Measure the eigenvalues of the curvature at the start, after 1, 2, 4, 8, … (or every N) epochs and at the end."`
	Workers    int           `group:"Training" placeholder:"N" help:"Threads; the result does not depend on it (default: all processors)."`
}

// overlay puts what was given on the command line over c.
func (f dataFlags) overlay(c *train.Config) {
	set(&c.Data, f.Data)
	set(&c.DataDir, f.DataDir)
	set(&c.Label, f.Label)
	set(&c.Val, f.Val)
	set(&c.Hops, f.Hops)
	set(&c.Operator, f.Operator)
}

func (f modelFlags) overlay(c *train.Config) {
	set(&c.Model, f.Model)
	set(&c.Activation, f.Activation)
	set(&c.Init, f.Init)
	set(&c.Loss, f.Loss)
	set(&c.Epochs, f.Epochs)
	set(&c.Steps, f.Steps)
	set(&c.Budget, f.Budget.Seconds())
	set(&c.Batch, f.Batch)
	set(&c.Schedule, f.Schedule)
	set(&c.DType, f.Dtype)
	set(&c.Workers, f.Workers)
	set(&c.Probe.Kind, f.Probe.Kind)
	set(&c.Probe.Every, f.Probe.Every)
}

// probeFlag is what --probe says.
type probeFlag struct{ train.Probe }

// UnmarshalText reads curvature or curvature:5.
func (f *probeFlag) UnmarshalText(b []byte) error {
	var err error
	f.Probe, err = train.ParseProbe(string(b))
	return err
}

func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

// preset is what fits a data set when the command line does not say.
type preset struct {
	model         string
	epochs, batch int
	compare       int // epochs of a comparison, which has many runs
}

// presets are by name; sets that are not here have the last one.
var presets = map[string]preset{
	"digits":        {"mlp:64,64", 60, 64, 60},
	"iris":          {"mlp:16", 100, 16, 60},
	"wine":          {"mlp:16", 60, 16, 40},
	"breast-cancer": {"mlp:32", 40, 32, 30},
	"diabetes":      {"mlp:32", 60, 32, 40},
	"spiral":        {"mlp:64,64", 60, 64, 30},
	"blobs":         {"mlp:32", 20, 64, 15},
	"quadratic":     {"linear", 100, 128, 50},
	"curves":        {"autoencoder", 20, 128, 5},
	"mnist":         {"mlp:512,512", 10, 128, 5},
	"fashion-mnist": {"mlp:512,512", 10, 128, 5},
	"cifar10":       {"3c3d", 12, 128, 5},
	"":              {"mlp:64,64", 30, 64, 20},
}

// complete fills in what neither the command line nor a file said. Epochs are left alone where another end is set.
func complete(c *train.Config, compare bool) {
	if c.Data == "" {
		c.Data = "digits"
	}
	p, ok := presets[c.Data]
	if !ok {
		p = presets[""]
	}
	if c.Model == "" {
		c.Model = p.model
	}
	if c.Batch == 0 {
		c.Batch = p.batch
	}
	if c.Epochs == 0 && c.Steps == 0 && c.Budget == 0 {
		c.Epochs = p.epochs
		if compare {
			c.Epochs = p.compare
		}
	}
}

// checkNames reports unknown names of data and models, before anything is loaded.
func checkNames(c train.Config) error {
	if _, err := nn.Describe(c.Model); err != nil {
		return usage(err)
	}
	if _, err := dataset.Describe(c.Data, c.DataDir); err != nil && !isFile(c.Data) {
		return usage(err)
	}
	return nil
}

// isFile reports whether a data set's name is that of a file.
func isFile(name string) bool {
	for _, ending := range []string{".csv", ".tsv", ".npz", ".npy", ".csv.gz", ".tsv.gz"} {
		if strings.HasSuffix(strings.ToLower(name), ending) {
			return true
		}
	}
	return false
}

// methodNames returns the catalogue's names in its order.
func methodNames() []string {
	var names []string
	for _, s := range catalogue.Table[float32]() {
		names = append(names, s.Name)
	}
	return names
}

// expandMethods replaces patterns such as ada* by the methods they match.
func expandMethods(wanted []string) ([]string, error) {
	all := methodNames()
	var names []string
	seen := map[string]bool{}
	add := func(n string) {
		if !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	for _, w := range wanted {
		w = strings.ToLower(strings.TrimSpace(w))
		if w == "" {
			continue
		}
		if w == "all" {
			w = "*"
		}
		if family, ok := strings.CutPrefix(w, "family:"); ok {
			members, err := familyMembers(family)
			if err != nil {
				return nil, err
			}
			for _, n := range members {
				add(n)
			}
			continue
		}
		found := false
		for _, n := range all {
			if ok, err := path.Match(w, n); err == nil && ok {
				add(n)
				found = true
			}
		}
		if !found {
			return nil, usage(unknownMethod(w, all))
		}
	}
	return names, nil
}

// families are the tables that the catalogue is made of.
func families() map[string][]optim.Spec[float32] {
	return map[string][]optim.Spec[float32]{"first-order": optim.Table[float32](), "curvature": curvature.Table[float32](), "matrix": matrix.Table[float32](),
		"alternating": altmin.Table[float32]()}
}

// familyMembers returns the names of a family.
func familyMembers(family string) ([]string, error) {
	all := families()
	specs, ok := all[family]
	if !ok {
		known := make([]string, 0, len(all))
		for k := range all {
			known = append(known, k)
		}
		sort.Strings(known)
		return nil, usage(fmt.Errorf("there is no family %q of methods\nhint: %s", family, nearest.Hint(family, known, "the families are "+strings.Join(known, ", "))))
	}
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return names, nil
}

func unknownMethod(name string, all []string) error {
	return fmt.Errorf("there is no method %q\nhint: %s", name, nearest.Hint(name, all, "descent list methods shows all of them"))
}

// parseSettings reads assignments such as lr=0.01.
func parseSettings(assignments []string) (map[string]float64, error) {
	settings := map[string]float64{}
	for _, s := range assignments {
		name, text, ok := strings.Cut(s, "=")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usage(fmt.Errorf("--set %s: found no assignment, expected SETTING=VALUE\nhint: for example --set lr=0.01", s))
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			switch strings.ToLower(strings.TrimSpace(text)) {
			case "true", "on", "yes":
				v = 1
			case "false", "off", "no":
				v = 0
			default:
				return nil, usage(fmt.Errorf("--set %s: found %q, expected a number\nhint: for example --set lr=0.01; switches take on and off", s, text))
			}
		}
		settings[strings.TrimSpace(name)] = v
	}
	if len(settings) == 0 {
		return nil, nil
	}
	return settings, nil
}

// settingsOf splits settings of a comparison: METHOD.SETTING is for one method, SETTING for all of the line-up.
func settingsOf(method string, all map[string]float64) map[string]float64 {
	names := make([]string, 0, len(all))
	for k := range all {
		names = append(names, k)
	}
	sort.Slice(names, func(i, j int) bool { // general ones first: the particular one wins
		return strings.Contains(names[j], ".") && !strings.Contains(names[i], ".")
	})
	var own map[string]float64
	for _, k := range names {
		m, s, particular := strings.Cut(k, ".")
		if !particular {
			m, s = method, k
		}
		if m == method {
			if own == nil {
				own = map[string]float64{}
			}
			own[s] = all[k]
		}
	}
	return own
}
