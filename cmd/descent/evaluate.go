package main

import (
	"encoding/json"
	"fmt"

	"github.com/descent-ml/descent/train"
)

type evaluateCmd struct {
	Dir     string `arg:"" type:"path" help:"Run folder."`
	Data    string `placeholder:"NAME" help:"Other data to evaluate on (default: the run's own)."`
	DataDir string `placeholder:"DIR" help:"Where data sets lie."`
	Label   string `placeholder:"COLUMN" help:"Column of a .csv file to predict."`
	JSON    bool   `help:"Print one JSON object."`
}

// Help shows the examples.
func (evaluateCmd) Help() string {
	return `The model of the newest valid checkpoint is evaluated on all parts of the data. The calibration error of a
classifier is the mean distance between confidence and accuracy over 15 bins of confidence.

Examples:

    descent evaluate runs/digits-adam-1
    descent evaluate runs/wine-adam-1 --data more-wine.csv --json`
}

// Run evaluates a model.
func (c *evaluateCmd) Run(a *app) error {
	m, err := train.Load(c.Dir)
	if err != nil {
		return err
	}
	e, err := m.Evaluate(a.ctx, train.EvaluateOptions{Data: c.Data, DataDir: c.DataDir, Label: c.Label})
	if err != nil {
		return err
	}
	data := orElse(c.Data, m.Config.Data)
	if c.JSON {
		out := map[string]any{"run": c.Dir, "data": data, "model": m.Config.Model, "method": m.Config.Method, "seed": m.Config.Seed, "step": m.Step, "version": version()}
		for _, part := range []struct {
			name string
			q    train.Quality
		}{{"train", e.Train}, {"val", e.Val}, {"test", e.Test}} {
			if part.q.Examples > 0 {
				out[part.name+"_examples"] = part.q.Examples
			}
			for name, v := range map[string]float64{"loss": part.q.Loss, "accuracy": part.q.Accuracy, "rmse": part.q.RMSE, "calibration_error": part.q.Calibration} {
				if isFinite(v) && part.q.Examples > 0 {
					out[part.name+"_"+name] = json.Number(fmt.Sprintf("%g", v))
				}
			}
		}
		return a.json(out)
	}
	a.printf("%s of %s on %s, step %s\n\n%s", m.Config.Model, shown(c.Dir), data, grouped(m.Step), indent(qualityTable(e), "  "))
	return nil
}
