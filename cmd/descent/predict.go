package main

import (
	"encoding/csv"
	"strconv"

	"github.com/descent-ml/descent/train"
)

type predictCmd struct {
	Dir  string `arg:"" type:"path" help:"Run folder."`
	File string `arg:"" help:"Rows to predict: .csv, .npy, .npz or IDX, with the features the model was trained on."`
	JSON bool   `help:"Print one JSON object."`
}

// Help shows the examples.
func (predictCmd) Help() string {
	return `Prints one line a row: for a classifier the class and the probability of each class, for a regression the
predicted numbers, as CSV.

Examples:

    descent predict runs/iris-adam-1 flowers.csv
    descent predict runs/digits-adam-1 images.npy --json`
}

// predicted is one row of the JSON object.
type predicted struct {
	Class         *int      `json:"class,omitempty"`
	Label         string    `json:"label,omitempty"`
	Probabilities []float64 `json:"probabilities,omitempty"`
	Values        []float64 `json:"values,omitempty"`
}

// Run predicts.
func (c *predictCmd) Run(a *app) error {
	m, err := train.Load(c.Dir)
	if err != nil {
		return err
	}
	rows, err := m.PredictFile(a.ctx, c.File)
	if err != nil {
		return err
	}
	if c.JSON {
		out := struct {
			Run         string      `json:"run"`
			File        string      `json:"file"`
			Step        int64       `json:"step"`
			Predictions []predicted `json:"predictions"`
			Version     string      `json:"version"`
		}{c.Dir, c.File, m.Step, []predicted{}, version()}
		for _, r := range rows {
			p := predicted{Values: r.Outputs}
			if r.Class >= 0 {
				p = predicted{Class: &r.Class, Label: r.Label, Probabilities: r.Outputs}
			}
			out.Predictions = append(out.Predictions, p)
		}
		return a.json(out)
	}
	w := csv.NewWriter(a.stdout)
	for i, r := range rows {
		if i == 0 {
			if err := w.Write(predictionHead(r)); err != nil {
				return err
			}
		}
		var record []string
		if r.Class >= 0 {
			record = append(record, orElse(r.Label, strconv.Itoa(r.Class)))
		}
		for _, v := range r.Outputs {
			record = append(record, strconv.FormatFloat(v, 'g', 6, 64))
		}
		if err := w.Write(record); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func predictionHead(p train.Prediction) []string {
	var head []string
	name := "value"
	if p.Class >= 0 {
		head, name = []string{"class"}, "p"
	}
	for i := range p.Outputs {
		head = append(head, name+strconv.Itoa(i))
	}
	return head
}
