package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train"
)

type describeCmd struct {
	Name    string   `arg:"" help:"Method, model or data set."`
	Model   string   `placeholder:"SPEC" help:"Model that costs are computed for (default: fits the data)."`
	Data    string   `placeholder:"NAME" help:"Data that costs are computed for (default digits)."`
	Batch   int      `placeholder:"N" help:"Examples of a step that costs are computed for (default: fits the data)."`
	Set     []string `placeholder:"SETTING=VALUE" sep:"none" help:"A setting of the method that costs are computed for; may be repeated."`
	DataDir string   `placeholder:"DIR" help:"Where data sets lie."`
	Dtype   string   `name:"dtype" placeholder:"TYPE" help:"float32 (default) or float64."`
	JSON    bool     `help:"Print one JSON object."`
}

// Help shows the examples.
func (describeCmd) Help() string {
	return `Of a method: formula, settings with ranges and defaults, paper, when to use it and when not, and what a step costs on a model:
flops, beside those of a gradient, and memory. Methods that hold parameters in blocks say which and why.
Of a model: its layers with shapes and numbers of parameters. Of data: the same as descent data.

Examples:

    descent describe adam
    descent describe kfac --model mlp:512,512 --data mnist --batch 256
    descent describe kfac --model lenet5 --set statistics-every=1
    descent describe lenet5 --data mnist
    descent describe digits`
}

// Run explains a name.
func (c *describeCmd) Run(a *app) error {
	name := strings.ToLower(c.Name)
	if spec, err := catalogue.Lookup[float32](name); err == nil {
		return c.method(a, spec)
	}
	if info, err := nn.Describe(name); err == nil {
		return c.model(a, info)
	}
	if info, err := dataset.Describe(name, c.DataDir); err == nil {
		if c.JSON {
			return a.json(dataObject(info))
		}
		a.printf("%s", describeData(info))
		return nil
	}
	known := methodNames()
	for _, m := range nn.ModelNames() {
		known = append(known, m.Name)
	}
	for _, d := range dataset.Names() {
		known = append(known, d.Name)
	}
	return usage(fmt.Errorf("there is no method, model or data set %q\nhint: %s", c.Name, nearest.Hint(name, known, "descent list shows all names")))
}

// task returns the shapes that a model is built for: from the catalogue if it can be, without opening the data.
func (c *describeCmd) task(model string) (train.Config, nn.Options, error) {
	config := train.Config{Data: c.Data, DataDir: c.DataDir, Model: model, DType: c.Dtype, Batch: c.Batch}
	if config.Data == "" {
		if info, err := nn.Describe(model); model != "" && err == nil && info.Images {
			config.Data = "mnist"
		}
	}
	complete(&config, false)
	if err := checkNames(config); err != nil {
		return config, nn.Options{}, err
	}
	if i, err := dataset.Describe(config.Data, config.DataDir); err == nil {
		return config, nn.Options{Input: tensor.ShapeOf(i.Shape...), Outputs: i.Outputs}, nil
	}
	set, err := dataset.Open(config.Data, dataset.Options{Dir: config.DataDir})
	if err != nil {
		return config, nn.Options{}, err
	}
	return config, nn.Options{Input: set.Input, Outputs: set.Outputs}, nil
}

// settingObject is a setting in JSON.
type settingObject struct {
	Name    string  `json:"name"`
	Default float64 `json:"default"`
	Range   string  `json:"range"`
	Tuned   bool    `json:"log,omitempty"`
	Common  bool    `json:"common,omitempty"`
	Doc     string  `json:"doc"`
}

func (c *describeCmd) method(a *app, s optim.Spec[float32]) error {
	config, options, err := c.task(c.Model)
	if err != nil {
		return err
	}
	m, err := nn.Build[float32](config.Model, options)
	if err != nil {
		return usage(err)
	}
	size := 4.0
	if config.DType == "float64" {
		size = 8
	} else if config.DType != "" && config.DType != "float32" {
		return usage(fmt.Errorf("--dtype: found %q, expected float32 or float64\nhint: leave it out for float32", config.DType))
	}
	if c.Batch < 0 {
		return usage(fmt.Errorf("--batch: found %d, expected a number from 1 on\nhint: leave it out for the data's default", c.Batch))
	}
	given, err := parseSettings(c.Set)
	if err != nil {
		return err
	}
	full, err := s.Complete(given)
	if err != nil {
		return usage(err)
	}
	cost := costOf(s, m, options.Input, full, config.Batch, size)
	var blocks curvature.Registration
	if largest, ok := full["largest-factor"]; ok {
		blocks = curvature.Register(m.Layout(), int(largest))
	}
	if c.JSON {
		settings := []settingObject{}
		for _, x := range s.Settings {
			settings = append(settings, settingObject{x.Name, x.Default, x.Range(), x.Log, x.Common, x.Doc})
		}
		object := map[string]any{"kind": "method", "name": s.Name, "title": s.Title, "formula": s.Formula, "paper": s.Paper, "when": s.When,
			"when_not": s.WhenNot, "settings": settings, "memory_floats": s.MemoryFloats, "gradients_per_step": s.GradientsPerStep, "needs": s.Needs.String(),
			"model": config.Model, "data": config.Data, "parameters": m.Layout().Size(), "state_bytes": cost.Method.Bytes, "cost": cost}
		if blocks != nil {
			object["blocks"] = blockObjects(blocks)
		}
		return a.json(object)
	}
	a.printf("%s: %s\n\n%s\n", paint(a.paintOut, "1", s.Name), s.Title, indent(s.Formula, "    "))
	a.printf("%s%s%s%s", labelled("paper", s.Paper), labelled("when", s.When), labelled("when not", s.WhenNot), labelled("needs", s.Needs.String()))
	a.printf("\nCost on %s, %s, batch %d, %s:\n\n%s", config.Model, config.Data, config.Batch, orElse(config.DType, "float32"), indent(cost.table(), "  "))
	if blocks != nil {
		a.printf("\nWhich parameters are held by which block:\n\n%s", indent(blocks.String(), "  "))
	}
	var own, common [][]string
	for _, x := range s.Settings {
		row := []string{x.Name, strconv.FormatFloat(x.Default, 'g', -1, 64), x.Range(), x.Doc}
		if x.Common {
			common = append(common, row)
		} else {
			own = append(own, row)
		}
	}
	head := []string{"setting", ">default", "range", "meaning"}
	if len(own) > 0 {
		a.printf("\n%s", indent(table(head, own), "  "))
	}
	if len(common) > 0 {
		a.printf("\nSettings that all methods have:\n\n%s", indent(table(head, common), "  "))
	}
	a.printf("\ntry it: descent train --method %s\n", s.Name)
	return nil
}

// layerObject is a parameter in JSON.
type layerObject struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`
	Shape      []int  `json:"shape"`
	Parameters int    `json:"parameters"`
}

func (c *describeCmd) model(a *app, info nn.ModelInfo) error {
	config, options, err := c.task(c.Name)
	if err != nil {
		return err
	}
	m, err := nn.Build[float32](c.Name, options)
	if err != nil {
		return usage(err)
	}
	l := m.Layout()
	layers := []layerObject{}
	var rows [][]string
	for i := range l.Len() {
		p := l.At(i)
		layers = append(layers, layerObject{p.Name, p.Kind.String(), p.Shape.Dims(), p.Shape.Size()})
		rows = append(rows, []string{p.Name, p.Kind.String(), shapeText(p.Shape.Dims()), grouped(p.Shape.Size())})
	}
	if c.JSON {
		return a.json(map[string]any{"kind": "model", "name": info.Name, "form": info.Form, "title": info.Title, "doc": info.Doc, "paper": info.Paper,
			"activation": info.Activation, "init": info.Init, "data": config.Data, "model": c.Name, "parameters": l.Size(),
			"state": m.StateLayout().Size(), "layers": layers})
	}
	a.printf("%s: %s\n\n%s", paint(a.paintOut, "1", info.Form), info.Title, labelled("what", info.Doc))
	if info.Paper != "" {
		a.printf("%s", labelled("paper", info.Paper))
	}
	if info.Standard != info.Name {
		a.printf("%s", labelled("name alone", info.Standard))
	}
	if info.Activation != "" {
		a.printf("%s", labelled("activation", info.Activation))
	}
	a.printf("%s", labelled("init", info.Init))
	a.printf("\n%s on %s:\n\n%s", c.Name, config.Data, indent(table([]string{"parameter", "kind", "shape", ">numbers"}, append(rows, []string{"all", "", "", grouped(l.Size())})), "  "))
	if n := m.StateLayout().Size(); n > 0 {
		a.printf("\nand %s of running statistics\n", plural(n, "number"))
	}
	a.printf("\ntry it: descent train --data %s --model %s\n", config.Data, c.Name)
	return nil
}
