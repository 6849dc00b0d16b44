package asymptotics

import (
	"encoding/json"

	"github.com/descent-ml/descent/tensor"
)

// MarshalText writes the name, so that reports read as words.
func (s Sampling) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText writes the name.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// MarshalText writes the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON writes matrices as arrays of rows, with the covariances and standard deviations that follow from the parts.
func (p *Prediction) MarshalJSON() ([]byte, error) {
	type at struct {
		Time       float64
		Mean, SD   []float64
		Covariance [][]float64
		Init, Data [][]float64
		Residue    []float64 `json:",omitempty"`
	}
	out := struct {
		Width         Width
		Scale         float64
		Limit         Limit
		Label         Label
		Batch         int
		Sampling      Sampling
		Epochs        float64
		Test          [][]float64
		At            []at
		LossAt, Curve []float64
		Findings      []Finding
	}{Width: p.Width, Scale: p.Width.Scale(), Limit: p.Limit, Label: p.Label, Batch: p.Batch, Sampling: p.Sampling, Epochs: p.Epochs,
		Test: Rows(p.Test), LossAt: p.LossAt, Curve: p.Curve, Findings: p.Findings}
	for j, t := range p.Times {
		out.At = append(out.At, at{Time: t, Mean: p.Mean[j], SD: p.SD(j), Covariance: Rows(p.Covariance(j)), Init: Rows(p.Init[j]), Data: Rows(p.Data[j]), Residue: p.Residue(j)})
	}
	return json.Marshal(out)
}

// Rows returns the rows of a matrix as slices of their own.
func Rows(t tensor.Tensor[float64]) [][]float64 {
	rows := make([][]float64, t.Shape().Rows())
	d := t.Shape().Cols()
	for i := range rows {
		rows[i] = append([]float64(nil), t.Data()[i*d:(i+1)*d]...)
	}
	return rows
}
