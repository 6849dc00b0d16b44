package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/descent-ml/descent/bench"
	"github.com/descent-ml/descent/train"
)

// addRun adds a run folder to what a report shows.
func addRun(c *bench.Comparison, dir string) error {
	info, err := train.ReadRun(dir)
	if err != nil {
		return err
	}
	cell, err := bench.ReadCell(dir)
	if err != nil {
		return err
	}
	if c.Data == "" {
		c.Data, c.Model, c.Base = info.Config.Data, info.Model, info.Config
		c.Version = info.Descent
		c.Command = fmt.Sprintf("descent train --data %s --model %s --method %s --batch %d --seed %d", quoted(info.Config.Data), info.Model,
			info.Config.Method, info.Config.Batch, info.Config.Seed)
		if info.Config.Epochs > 0 {
			c.Command += fmt.Sprintf(" --epochs %d", info.Config.Epochs)
		}
		d := info.Data
		c.DataInfo = []bench.Fact{{Name: "Name", Value: d.Name}, {Name: "Task", Value: d.Task},
			{Name: "Parts", Value: fmt.Sprintf("training %s, validation %s, test %s", grouped(d.Train), grouped(d.Val), grouped(d.Test))},
			{Name: "Split", Value: d.Split}, {Name: "SHA-256 as trained on", Value: d.SHA256}}
		c.ModelInfo = []bench.Fact{{Name: "Model", Value: info.Model}, {Name: "Parameters", Value: grouped(info.Parameters)}, {Name: "Loss", Value: info.Loss}}
		m := info.Machine
		c.Machine = []bench.Fact{{Name: "System", Value: m.OS + "/" + m.Arch}, {Name: "Processor", Value: m.CPU},
			{Name: "Cores", Value: fmt.Sprintf("%d, of which %d used", m.CPUs, m.GOMAXPROCS)}, {Name: "Kernels", Value: m.SIMD}, {Name: "Go", Value: m.Go}}
	}
	if info.Config.Data != c.Data {
		return fmt.Errorf("%s was trained on %s, the first run on %s\nhint: a report shows runs on the same data", shown(dir), info.Config.Data, c.Data)
	}
	name := cell.Result.Method
	known := false
	for _, m := range c.Methods {
		known = known || m.Name == name
	}
	if !known {
		c.Methods = append(c.Methods, bench.Method{Name: name, Settings: cell.Result.Settings})
	}
	seen := false
	for _, s := range c.Seeds {
		seen = seen || s == cell.Result.Seed
	}
	if !seen {
		c.Seeds = append(c.Seeds, cell.Result.Seed)
	}
	c.Created = latest(c.Created, filepath.Join(dir, "result.json"), filepath.Join(dir, "run.json"))
	c.Results = append(c.Results, *cell)
	return nil
}

// latest returns the later one of t and the time of the first of the files that is there.
func latest(t time.Time, paths ...string) time.Time {
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			if info.ModTime().After(t) {
				return info.ModTime()
			}
			return t
		}
	}
	return t
}
