package main

import (
	"fmt"
	"strings"

	"github.com/descent-ml/descent/train"
)

// probeText says when and how the curvature is measured.
func probeText(p train.Probe) string {
	when := "after 1, 2, 4, 8, … epochs"
	if p.Every == 1 {
		when = "after every epoch"
	} else if p.Every > 1 {
		when = fmt.Sprintf("every %d epochs", p.Every)
	}
	text := fmt.Sprintf("at the start, %s, at the end; %d training examples, %d Lanczos vectors, %d trace samples", when, p.Examples, p.Steps, p.Samples)
	if p.Damping > 0 {
		text += fmt.Sprintf(", damping %s", number(p.Damping))
	}
	return text
}

// probeLine is one measurement in a line.
func probeLine(p *train.ProbePoint) string {
	text := fmt.Sprintf("%8d %6d %9s  curvature: λmax %s, trace %s ± %s, condition ≥ %s", p.Step, p.Epoch, secondsText(p.Seconds),
		number(p.Value("ggn_max")), number(p.Value("ggn_trace")), number(p.Value("ggn_trace_error")), number(p.Value("ggn_condition")))
	if v := p.Value("preconditioned_ggn_max"); isFinite(v) {
		text += fmt.Sprintf("; preconditioned λmax %s, condition ≥ %s", number(v), number(p.Value("preconditioned_ggn_condition")))
	}
	return text + fmt.Sprintf("  (%s s)", secondsText(p.Cost))
}

// probeNames says what the matrices of a probe are.
var probeNames = map[string]string{"hessian": "Hessian", "ggn": "Gauss–Newton", "preconditioned_hessian": "M Hessian", "preconditioned_ggn": "M Gauss–Newton"}

// probeTable shows the first and the last measurement of a run.
func probeTable(points ...*train.ProbePoint) string {
	var rows [][]string
	with := func(p *train.ProbePoint, name, sign, unit string) string {
		v := p.Value(name)
		if !isFinite(v) {
			return "–"
		}
		return sign + number(v) + unit
	}
	for i, p := range points {
		if i > 0 && p.Step == points[i-1].Step {
			continue
		}
		when := "step " + grouped(p.Step)
		for _, m := range train.ProbeMatrices() {
			if !isFinite(p.Value(m + "_max")) {
				continue
			}
			rows = append(rows, []string{when, probeNames[m], with(p, m+"_max", "", ""), with(p, m+"_min", "", ""), with(p, m+"_trace", "", ""),
				with(p, m+"_trace_error", "± ", ""), with(p, m+"_condition", "≥ ", ""), with(p, m+"_spread", "", ""), with(p, m+"_dimension", "", "")})
			when = ""
		}
	}
	text := table([]string{"curvature", "", ">λ max", ">λ min", ">trace", "", ">condition", ">max/mean", ">dimension"}, rows)
	if strings.Contains(text, "M Hessian") {
		text += "M: what the method multiplies gradients by\n"
	}
	return text
}
