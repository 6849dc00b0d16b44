//go:build slow

package limitsstudy

import (
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/descent-ml/descent/asymptotics"
	"github.com/descent-ml/descent/bench/internal/study"
)

var (
	update = flag.Bool("update", false, "write the tables into docs/limits-study.md")
	cells  = flag.String("cells", "", "file that keeps the cells of the study, so that it can be stopped and continued")
	models = flag.Int("models", 4, "networks that are trained once more as models of package nn")
)

const page = "../../docs/limits-study.md"

func replace(t *testing.T, mark, text string) {
	t.Helper()
	if *update {
		if err := study.Replace(page, mark, text); err != nil {
			t.Fatal(err)
		}
	}
}

// cell computes a cell of the study, and ends the test if it cannot.
func cell[V any](t *testing.T, s *study.Store, name string, f func() (V, error)) V {
	t.Helper()
	v, err := study.Do(s, name, f)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestBands predicts, chooses, trains and counts.
func TestBands(t *testing.T) {
	store, err := study.Open(*cells)
	if err != nil {
		t.Fatal(err)
	}
	d, err := OpenDigits(Examples, HeldOut, Bands)
	if err != nil {
		t.Skip(err)
	}
	what := fmt.Sprintf("bands, M=%d, time %d, rate %d, epsilon %g, ", Examples, Time, Rate, Epsilon)
	c := cell(t, store, what+"choice", d.Choose)
	t.Logf("%+v", c)
	table := study.NewTable("batch", "width", "steps", "neuron evaluations a network", "")
	for _, r := range c.Candidates {
		if r.Batch > 16*c.Batch {
			break
		}
		table.Row(fmt.Sprint(r.Batch), fmt.Sprint(r.Width.N), fmt.Sprint(r.Steps), fmt.Sprintf("%.3g", r.Cost), map[bool]string{true: "chosen"}[r.Batch == c.Batch])
	}
	replace(t, "choice", table.String())

	mean := cell(t, store, what+"mean", d.Mean)
	t.Logf("%+v", mean)
	spread := map[asymptotics.Sampling]Spread{}
	trained := map[asymptotics.Sampling]Trained{}
	for _, s := range []asymptotics.Sampling{asymptotics.IID, asymptotics.Reshuffled} {
		spread[s] = cell(t, store, what+s.String()+", spread", func() (Spread, error) { return d.Spread(c, s) })
		trained[s] = cell(t, store, fmt.Sprint(what, s, ", ", Networks, " networks"), func() (Trained, error) { return d.Train(c, s, Networks, 1) })
		rows := coverage(mean, spread[s], trained[s].Outputs)
		t.Logf("%v: %+v, training %.1f s\n%s", s, spread[s], trained[s].CPU, rows)
		replace(t, "coverage "+s.String(), rows)
	}

	var largest float64
	for rep := range *models {
		again := cell(t, store, fmt.Sprint(what, "iid, model ", rep), func() ([]float64, error) { return d.TrainModel(c, asymptotics.IID, 1, rep) })
		for k, g := range again {
			largest = max(largest, math.Abs(g-trained[asymptotics.IID].Outputs[rep][k]))
		}
	}
	t.Logf("models against simulator: largest difference %.2g", largest)
	if !(largest < 1e-9) {
		t.Errorf("models of package nn and the simulator differ by %g", largest)
	}

	rows := cell(t, store, what+"gammas", func() ([]GammaRow, error) { return d.ByGamma(c.Width, c.Batch) })
	table = study.NewTable("γ", "sd from the start", "sd from the data", "95 % band", "training loss", "held-out error of the mean", "and variance")
	seconds := 0.0
	for _, r := range rows {
		seconds += r.CPU
		table.Row(fmt.Sprint(r.Gamma), fmt.Sprintf("%.4f", r.Init), fmt.Sprintf("%.4f", r.Data), fmt.Sprintf("±%.3f", r.Band), fmt.Sprintf("%.4f", r.Loss),
			fmt.Sprintf("%.4f", r.Error), fmt.Sprintf("%.4f", r.Total))
	}
	replace(t, "gammas", table.String())

	more := cell(t, store, fmt.Sprint(what, "iid, ", More, " other networks"), func() (Trained, error) { return d.Train(c, asymptotics.IID, More, 2) })
	count := coverage(mean, spread[asymptotics.IID], more.Outputs)
	t.Log(count)
	replace(t, "coverage more", count)

	var b strings.Builder
	i, r := asymptotics.IID, asymptotics.Reshuffled
	fmt.Fprintf(&b, "The choice took %.1f s of one core (one prediction), the mean over more nodes %.1f s, the spread at the choice %.1f s, the comparison of %d exponents %.1f s; "+
		"training %d networks took %.1f s with independent draws and %.1f s with reshuffled epochs. "+
		"%d of them trained once more as models of package `nn` end at the same outputs to %.1g.\n",
		c.CPU, mean.CPU, spread[i].CPU, len(rows), seconds, Networks, trained[i].CPU, trained[r].CPU, *models, largest)
	t.Log(b.String())
	replace(t, "cost", b.String())
}

// coverage is the table of one sampling: by test image, and over all of them.
func coverage(predict Mean, spread Spread, outputs [][]float64) string {
	table := study.NewTable("image", "target", "predicted", "measured mean", "bias (s.e.)", "predicted sd", "measured sd", "ratio (s.e.)", "inside the 95 % band")
	n := float64(len(outputs))
	inside, predicted, measured := make([]float64, len(outputs)), 0.0, 0.0 // inside: share of images by network
	for k := range Bands {
		var in, sum, square float64
		for r, g := range outputs {
			if math.Abs(g[k]-predict.Mean[k]) <= 1.959964*spread.SD[k] {
				in++
				inside[r] += 1.0 / Bands
			}
			sum += g[k]
		}
		mean := sum / n
		for _, g := range outputs {
			square += (g[k] - mean) * (g[k] - mean)
		}
		sd := math.Sqrt(square / (n - 1))
		predicted, measured = predicted+spread.SD[k]*spread.SD[k], measured+sd*sd
		table.Row(fmt.Sprint(k), fmt.Sprintf("%+d", 1-2*(k%2)), fmt.Sprintf("%.3f ± %.3f", predict.Mean[k], 1.96*spread.SD[k]), fmt.Sprintf("%.3f", mean),
			fmt.Sprintf("%+.4f (%.4f)", mean-predict.Mean[k], math.Hypot(sd/math.Sqrt(n), predict.Error[k])), fmt.Sprintf("%.4f", spread.SD[k]), fmt.Sprintf("%.4f", sd),
			fmt.Sprintf("%.2f (%.2f)", sd/spread.SD[k], sd/spread.SD[k]/math.Sqrt(2*(n-1))), fmt.Sprintf("%.0f of %.0f", in, n))
	}
	var mean, square float64
	for _, v := range inside {
		mean += v / n
	}
	for _, v := range inside {
		square += (v - mean) * (v - mean)
	}
	table.Row("all", "", "", "", "", fmt.Sprintf("%.4f", math.Sqrt(predicted/Bands)), fmt.Sprintf("%.4f", math.Sqrt(measured/Bands)), fmt.Sprintf("%.2f", math.Sqrt(measured/predicted)),
		fmt.Sprintf("%.1f %% (s.e. %.1f)", 100*mean, 100*math.Sqrt(square/(n-1)/n)))
	return "\n" + table.String() + "\n"
}
