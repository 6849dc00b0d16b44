package train

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descent-ml/descent/dataset"
)

// Evaluation of the saved model gives the numbers with which the run ended.
func TestLoadEvaluates(t *testing.T) {
	for _, c := range []Config{
		{Data: "digits", Model: "mlp:16", Epochs: 3, Eval: Eval{Train: -1}},
		{Data: "digits", Model: "mlp:16", Epochs: 3, Method: "schedule-free-adamw", Val: 0.2, Eval: Eval{Train: -1}},
		{Data: "diabetes", Model: "mlp:8", Epochs: 5, DType: "float64", Eval: Eval{Train: -1}},
	} {
		dir := t.TempDir() + "/run"
		r := mustRun(t, c, Options{Out: dir})
		m, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		e, err := m.Evaluate(context.Background(), EvaluateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(e.Train, e.Val, e.Test) != fmt.Sprint(r.Train, r.Val, r.Test) { // NaN included
			t.Errorf("%s, %s: %+v\nthe run ended with %+v %+v %+v", c.Data, c.Method, e, r.Train, r.Val, r.Test)
		}
	}
}

// Data in a file with other rows is scaled as the training data was, and classes are told by name.
func TestEvaluateOtherData(t *testing.T) {
	set, err := dataset.Open("iris", dataset.Options{Val: -1})
	if err != nil {
		t.Fatal(err)
	}
	// All rows of iris, as one file, and the same without the first class: other means, other numbers.
	table := func(keep func(class int) bool) string {
		var b strings.Builder
		b.WriteString("a,b,c,d,kind\n")
		x := make([]float64, 4)
		for _, e := range []dataset.Examples{set.Train, set.Test} {
			for i := range e.Len() {
				if !keep(e.Label(i)) {
					continue
				}
				dataset.Gather(e, []int32{int32(i)}, x)
				for j, v := range x {
					fmt.Fprintf(&b, "%.6f,", v*set.Normalizer.SD[j]+set.Normalizer.Mean[j])
				}
				fmt.Fprintln(&b, set.ClassNames[e.Label(i)])
			}
		}
		return b.String()
	}
	dir := t.TempDir()
	all, some := filepath.Join(dir, "all.csv"), filepath.Join(dir, "some.csv")
	if err := os.WriteFile(all, []byte(table(func(int) bool { return true })), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(some, []byte(table(func(c int) bool { return c > 0 })), 0o666); err != nil {
		t.Fatal(err)
	}
	mustRun(t, Config{Data: all, Label: "kind", Model: "mlp:16", Epochs: 60, Settings: map[string]float64{"lr": 0.01}}, Options{Out: dir + "/run"})
	m, err := Load(dir + "/run")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e, err := m.Evaluate(context.Background(), EvaluateOptions{Data: some, Label: "kind"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Train.Accuracy < 0.85 || e.Test.Accuracy < 0.8 {
		t.Errorf("train %+v, test %+v", e.Train, e.Test)
	}
	if _, err := m.Evaluate(context.Background(), EvaluateOptions{Data: "digits"}); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("other data: %v", err)
	}
}

func TestPredict(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, Config{Data: "digits", Model: "mlp:32", Epochs: 20}, Options{Out: dir + "/run"})
	m, err := Load(dir + "/run")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	set, err := dataset.Open("digits", dataset.Options{Val: -1})
	if err != nil {
		t.Fatal(err)
	}
	n := set.Test.Len()
	x := make([]float64, n*64)
	idx := make([]int32, n)
	for i := range idx {
		idx[i] = int32(i)
	}
	dataset.Gather(set.Test, idx, x)
	norm, unit := set.Normalizer, set.Normalizer.Unit
	if unit == 0 {
		unit = 1
	}
	for i := range x {
		k := len(norm.Mean)
		x[i] = math.Round((x[i]*norm.SD[i%k] + norm.Mean[i%k]) * unit)
	}
	got, err := m.Predict(context.Background(), x)
	if err != nil || len(got) != n {
		t.Fatalf("%d predictions, %v", len(got), err)
	}
	right := 0
	for i, p := range got {
		var sum float64
		for _, q := range p.Outputs {
			sum += q
		}
		if math.Abs(sum-1) > 1e-9 || p.Label != set.ClassNames[p.Class] || slices.Max(p.Outputs) != p.Outputs[p.Class] {
			t.Fatalf("%+v", p)
		}
		if p.Class == set.Test.Label(i) {
			right++
		}
	}
	if a := float64(right) / float64(n); math.Abs(a-m.Result.Test.Accuracy) > 1e-12 {
		t.Errorf("accuracy of the predictions %g, of the run %g", a, m.Result.Test.Accuracy)
	}
	// The same rows from a file.
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, dataset.Array{Shape: []int{n, 64}, Data: x}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "new.npy")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := m.PredictFile(context.Background(), path)
	if err != nil || len(file) != n {
		t.Fatalf("%d predictions, %v", len(file), err)
	}
	for i := range file {
		// Bytes of images go to float32 by one rounding more than numbers from memory.
		if file[i].Class != got[i].Class || !slices.EqualFunc(file[i].Outputs, got[i].Outputs, func(a, b float64) bool { return math.Abs(a-b) < 1e-5 }) {
			t.Fatalf("row %d: %+v from the file, %+v from memory", i, file[i], got[i])
		}
	}
	if _, err := m.Predict(context.Background(), x[:70]); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("a part of a row: %v", err)
	}
	if _, err := m.Predict(context.Background(), append(make([]float64, 63), math.NaN())); err == nil {
		t.Error("NaN was accepted")
	}
}

func TestFit(t *testing.T) {
	var x, y [][]float64
	var labels []int
	for i := range 200 {
		a, b := math.Sin(float64(i)), 100+50*math.Cos(1.7*float64(i))
		x = append(x, []float64{a, b})
		y = append(y, []float64{1000 + 30*a + 2*b})
		labels = append(labels, map[bool]int{true: 1}[a > (b-100)/50])
	}
	c := Config{Model: "mlp:16", Epochs: 60, Settings: map[string]float64{"lr": 0.01}, Val: 0.2}
	m, err := Fit(context.Background(), x, labels, c, Options{Out: t.TempDir() + "/run"})
	if err != nil || m.Result.Val.Accuracy < 0.9 {
		t.Fatalf("%+v, %v", m, err)
	}
	loaded, err := Load(m.Result.Run)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	a, err := m.Predict(context.Background(), []float64{1, 60, -1, 140})
	b, err2 := loaded.Predict(context.Background(), []float64{1, 60, -1, 140})
	if err != nil || err2 != nil || a[0].Class != 1 || a[1].Class != 0 || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%+v, %v\n%+v, %v", a, err, b, err2)
	}
	if _, err := Resume(context.Background(), m.Result.Run, Options{}); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("resume: %v", err)
	}

	m, err = FitValues(context.Background(), x, y, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Predict(context.Background(), []float64{0.5, 120})
	if err != nil || math.Abs(p[0].Outputs[0]-1255) > 10 || m.Result.Val.RMSE > 10 {
		t.Errorf("%+v, %v, validation %+v", p, err, m.Result.Val)
	}

	for name, err := range map[string]error{
		"labels":   second(Fit(context.Background(), x, labels[1:], c, Options{})),
		"negative": second(Fit(context.Background(), x[:2], []int{-1, 0}, c, Options{})),
		"ragged":   second(Fit(context.Background(), [][]float64{{1, 2}, {1}}, []int{0, 1}, c, Options{})),
		"NaN":      second(Fit(context.Background(), [][]float64{{1}, {math.NaN()}}, []int{0, 1}, c, Options{})),
		"method":   second(Fit(context.Background(), x, labels, Config{Method: "adma"}, Options{})),
	} {
		if err == nil || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[A any](_ A, err error) error { return err }
