package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/bench"
	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/report"
)

// pageOf turns a comparison into the page of its report.
func pageOf(c *bench.Comparison) *report.Page {
	split, kind := bench.SplitMetric(c.Metric)
	p := &report.Page{
		Title: plural(len(c.Methods), "method") + " on " + c.Data, Command: c.Command, Version: c.Version, Created: c.Created, Partial: c.Partial,
		Task:     report.Task{Metric: kind, Split: split},
		Interval: "the only run",
		Data:     factsOf(c.DataInfo), Model: factsOf(c.ModelInfo), Machine: factsOf(c.Machine),
	}
	if len(c.Methods) == 1 {
		p.Title = c.Methods[0].Name + " on " + c.Data
	}
	if n := len(c.Seeds); n > 1 {
		p.Interval = fmt.Sprintf("least to greatest over %d seeds", n)
	}
	if c.Target != nil {
		s, k := bench.SplitMetric(c.Target.Metric)
		p.Target = &report.Target{Split: s, Metric: k, Value: c.Target.Value}
	}
	var seeds []string
	for _, s := range c.Seeds {
		seeds = append(seeds, strconv.FormatUint(s, 10))
	}
	base := c.Base.WithDefaults()
	p.Protocol = []report.Fact{{Name: "Seeds", Value: strings.Join(seeds, ", ")}, {Name: "Length", Value: length(base)},
		{Name: "Batch", Value: strconv.Itoa(base.Batch)}, {Name: "Numbers", Value: base.DType}}
	if base.Schedule != "" {
		p.Protocol = append(p.Protocol, report.Fact{Name: "Schedule", Value: base.Schedule})
	}
	if base.Probe.Kind != "" {
		p.Protocol = append(p.Protocol, report.Fact{Name: "Curvature", Value: probeText(base.Probe)})
	}
	p.Protocol = append(p.Protocol,
		report.Fact{Name: "Bad steps", Value: fmt.Sprintf("%s; diverged after %d in a row", base.Guard.Policy, base.Guard.Limit)})
	if len(c.Methods) > 1 {
		p.Notes = append(p.Notes, "For each seed, every method began with the same parameters and saw the same batches in the same order. Runs followed one another, each with all threads. A run that diverged or failed counts as infinitely bad in the median.")
	}
	for _, s := range c.Tuning {
		p.Protocol = append(p.Protocol, report.Fact{Name: "Tuning", Value: fmt.Sprintf("%d trials of %s for each method, on %s", len(s.Trials), s.Setting, metricName(s.Metric))})
		break
	}
	reused := 0
	for _, m := range c.Methods {
		p.Methods = append(p.Methods, methodOf(c, m))
		for i := range c.Results {
			if c.Results[i].Result.Method == m.Name && c.Results[i].Reused {
				reused++
			}
		}
	}
	if reused > 0 {
		p.Notes = append(p.Notes, plural(reused, "run")+" of an earlier call with the same folder was not repeated; its times are of that call.")
	}
	for _, r := range c.Ranking {
		if iv := r.Interval; iv != nil {
			p.Protocol = append(p.Protocol, report.Fact{Name: "95 % interval of the median, " + r.Method,
				Value: metricText(c.Metric, float64(iv[0])) + " … " + metricText(c.Metric, float64(iv[1]))})
		}
	}
	return p
}

func factsOf(facts []bench.Fact) []report.Fact {
	var out []report.Fact
	for _, f := range facts {
		out = append(out, report.Fact(f))
	}
	return out
}

func methodOf(c *bench.Comparison, m bench.Method) report.Method {
	nan := math.NaN()
	out := report.Method{Name: m.Name, Median: nan, Low: nan, High: nan, WallSeconds: nan, CPUSeconds: nan, Steps: nan}
	spec, err := catalogue.Lookup[float32](m.Name)
	if err == nil {
		out.Title, out.Formula, out.Paper, out.When, out.WhenNot = spec.Title, spec.Formula, spec.Paper, spec.When, spec.WhenNot
	}
	settings := m.Settings
	for _, r := range c.Ranking {
		if r.Method != m.Name {
			continue
		}
		out.Rank, out.Median, out.Low, out.High = r.Rank, float64(r.Median), float64(r.Low), float64(r.High)
		out.WallSeconds, out.CPUSeconds, out.Steps = float64(r.WallSeconds), float64(r.CPUSeconds), float64(r.Steps)
		out.Parameters, out.Status, out.Failed, out.Reached = r.Parameters, r.Status(), r.Seeds > 0 && !r.Well(), r.Reached
		if s := r.SecondsToTarget; s != nil && isFinite(float64(*s)) {
			out.ToTarget = &report.Effort{Seconds: float64(*s), Steps: float64(*r.StepsToTarget), Epochs: float64(*r.EpochsToTarget)}
		}
		if len(r.Settings) > 0 {
			settings = r.Settings
		}
	}
	search := c.Tuning[m.Name]
	for _, s := range spec.Settings {
		v, ok := settings[s.Name]
		if !ok {
			v = s.Default
		}
		tuned := search != nil && search.Setting == s.Name && isFinite(float64(search.Chosen))
		// Settings that all methods share are shown where they are in use.
		if s.Common && v == s.Default && !tuned {
			continue
		}
		out.Settings = append(out.Settings, report.Setting{Name: s.Name, Value: number(v), Default: number(s.Default), Doc: s.Doc, Tuned: tuned})
	}
	_, kind := bench.SplitMetric(c.Metric)
	for i := range c.Results {
		cell := &c.Results[i]
		if cell.Result.Method != m.Name {
			continue
		}
		r := &cell.Result
		_, final := lastMetric(r, false)
		run := report.Run{Seed: r.Seed, Status: string(r.Status), Message: r.Reason, Folder: r.Run, Final: final, WallSeconds: r.WallSeconds,
			CPUSeconds: r.CPUSeconds, Steps: r.Steps, Digest: r.ParamsSHA256}
		if r.Status != "diverged" && r.Status != bench.Failed && r.Status != bench.TimeOut {
			run.Message = ""
		}
		for _, pt := range cell.Points {
			score := func(s bench.Score) report.Score { return report.Score{Loss: float64(s.Loss), Metric: s.Metric(kind)} }
			run.Points = append(run.Points, report.Point{Step: pt.Step, Examples: pt.Examples, Epoch: float64(pt.Epoch), Seconds: float64(pt.Seconds),
				Train: score(pt.Train), Val: score(pt.Val), Test: score(pt.Test), GradNorm: float64(pt.GradNorm), StepSize: float64(pt.Rate), BatchLoss: nan})
		}
		for _, pt := range r.Probes {
			run.Probes = append(run.Probes, report.Probe{Step: pt.Step, Examples: pt.Examples, Epoch: float64(pt.Epoch), Seconds: pt.Seconds, Values: pt.Values})
		}
		out.Runs = append(out.Runs, run)
	}
	if search != nil {
		t := &report.Tuning{Setting: search.Setting, Chosen: float64(search.Chosen), Seconds: float64(search.Seconds)}
		for _, trial := range search.Trials {
			t.Trials = append(t.Trials, report.Trial{Value: trial.Value, Result: float64(trial.Result), Status: string(trial.Status)})
		}
		out.Tuning = t
	}
	return out
}
