package bench

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train"
)

// Row is a method's line of the ranking. Medians are over the seeds.
type Row struct {
	Rank     int                `json:"rank"` // 1 is best, equal medians share it; 0: most runs gave no value
	Method   string             `json:"method"`
	Metric   string             `json:"metric"`
	Median   Number             `json:"median"` // a run that diverged or failed counts as infinitely bad
	Low      Number             `json:"low"`    // least value of the runs that gave one
	High     Number             `json:"high"`
	Interval *[2]Number         `json:"interval,omitempty"` // 95 % bootstrap interval of the median, from five seeds on
	Seeds    int                `json:"seeds"`              // runs made
	Statuses map[string]int     `json:"statuses"`
	Settings map[string]float64 `json:"settings,omitempty"` // in force

	WallSeconds  Number `json:"wall_seconds"`
	CPUSeconds   Number `json:"cpu_seconds"`
	TrainSeconds Number `json:"train_seconds"`
	Steps        Number `json:"steps"`
	Parameters   int    `json:"parameters"`

	Reached         int     `json:"reached,omitempty"` // runs that met the target
	SecondsToTarget *Number `json:"seconds_to_target,omitempty"`
	StepsToTarget   *Number `json:"steps_to_target,omitempty"`
	EpochsToTarget  *Number `json:"epochs_to_target,omitempty"`

	Trials        int     `json:"trials,omitempty"` // of tuning
	TuningSeconds *Number `json:"tuning_seconds,omitempty"`
}

// Status says in words how the runs ended.
func (r Row) Status() string {
	if r.Seeds == 0 {
		return "not run"
	}
	names := make([]string, 0, len(r.Statuses))
	for s := range r.Statuses {
		names = append(names, s)
	}
	if len(names) == 1 {
		return names[0]
	}
	sort.Slice(names, func(i, j int) bool {
		if a, b := r.Statuses[names[i]], r.Statuses[names[j]]; a != b {
			return a > b
		}
		return names[i] < names[j]
	})
	for i, s := range names {
		names[i] = fmt.Sprintf("%d %s", r.Statuses[s], s)
	}
	return strings.Join(names, ", ")
}

// Well reports whether no run diverged, failed or was cut off.
func (r Row) Well() bool {
	for s := range r.Statuses {
		if !ended(train.Status(s)) {
			return false
		}
	}
	return len(r.Statuses) > 0
}

// ended reports whether a run's last evaluation is its result.
func ended(s train.Status) bool {
	return s == train.Completed || s == train.TargetReached || s == train.BudgetSpent
}

// SplitMetric cuts a metric such as test_accuracy in the part of the data and the measure.
func SplitMetric(name string) (split, kind string) {
	split, kind, _ = strings.Cut(name, "_")
	return split, kind
}

// Better reports whether a is a better value of the metric than b.
func Better(metric string, a, b float64) bool {
	if strings.HasSuffix(metric, "accuracy") {
		return a > b
	}
	return a < b
}

// worst is the value of a run that has none.
func worst(metric string) float64 {
	if strings.HasSuffix(metric, "accuracy") {
		return math.Inf(-1)
	}
	return math.Inf(1)
}

func value(r *train.Result, metric string) float64 {
	e := train.Evaluation{Train: r.Train, Val: r.Val, Test: r.Test}
	return e.Metric(metric)
}

// Rank computes Metric and Ranking from Results. Methods with equal medians share a rank and stay in the order of the
// line-up: times, which change from call to call, do not decide.
func (c *Comparison) Rank() {
	c.Metric = chooseMetric(c.Results)
	c.Ranking = []Row{}
	for _, m := range c.Methods {
		var cells []*Cell
		for i := range c.Results {
			if c.Results[i].Result.Method == m.Name && c.Results[i].Result.Status != train.Stopped {
				cells = append(cells, &c.Results[i])
			}
		}
		row := summarize(m.Name, c.Metric, cells, c.Target != nil)
		if s := c.Tuning[m.Name]; s != nil {
			seconds := s.Seconds
			row.Trials, row.TuningSeconds = len(s.Trials), &seconds
		}
		c.Ranking = append(c.Ranking, row)
	}
	sort.SliceStable(c.Ranking, func(i, j int) bool {
		a, b := &c.Ranking[i], &c.Ranking[j]
		ra, rb := isFinite(float64(a.Median)), isFinite(float64(b.Median))
		if ra != rb {
			return ra
		}
		return ra && Better(c.Metric, float64(a.Median), float64(b.Median))
	})
	for i := range c.Ranking {
		row := &c.Ranking[i]
		if !isFinite(float64(row.Median)) {
			break
		}
		if row.Rank = i + 1; i > 0 && row.Median == c.Ranking[i-1].Median {
			row.Rank = c.Ranking[i-1].Rank
		}
	}
}

// chooseMetric returns the metric that the runs can be ranked by.
func chooseMetric(cells []Cell) string {
	for _, metric := range []string{"test_accuracy", "test_rmse", "test_loss", "val_accuracy", "val_rmse", "val_loss", "train_accuracy", "train_rmse", "train_loss"} {
		for i := range cells {
			if isFinite(value(&cells[i].Result, metric)) {
				return metric
			}
		}
	}
	return "test_loss"
}

func summarize(method, metric string, cells []*Cell, target bool) Row {
	row := Row{Method: method, Metric: metric, Seeds: len(cells), Statuses: map[string]int{}}
	var final, finite, wall, cpu, training, steps, hitSeconds, hitSteps, hitEpochs []float64
	for _, cell := range cells {
		r := &cell.Result
		row.Statuses[string(r.Status)]++
		if row.Settings == nil {
			row.Settings = r.Settings
		}
		row.Parameters = max(row.Parameters, r.Parameters)
		v := value(r, metric)
		if ended(r.Status) && isFinite(v) {
			final, finite = append(final, v), append(finite, v)
		} else {
			final = append(final, worst(metric))
		}
		if r.Status != Failed {
			wall, cpu = append(wall, r.WallSeconds), append(cpu, r.CPUSeconds)
			training, steps = append(training, r.TrainSeconds), append(steps, float64(r.Steps))
		}
		if h := r.Target; h != nil {
			row.Reached++
			hitSeconds, hitSteps, hitEpochs = append(hitSeconds, h.Seconds), append(hitSteps, float64(h.Step)), append(hitEpochs, float64(h.Epoch))
		} else {
			hitSeconds, hitSteps, hitEpochs = append(hitSeconds, math.Inf(1)), append(hitSteps, math.Inf(1)), append(hitEpochs, math.Inf(1))
		}
	}
	row.Median = Number(median(final))
	row.Low, row.High = Number(math.NaN()), Number(math.NaN())
	if len(finite) > 0 {
		sort.Float64s(finite)
		row.Low, row.High = Number(finite[0]), Number(finite[len(finite)-1])
	}
	if len(final) >= 5 {
		lo, hi := bootstrap(final, 0.95)
		row.Interval = &[2]Number{Number(lo), Number(hi)}
	}
	row.WallSeconds, row.CPUSeconds = Number(median(wall)), Number(median(cpu))
	row.TrainSeconds, row.Steps = Number(median(training)), Number(median(steps))
	if target {
		seconds, n, epochs := Number(median(hitSeconds)), Number(median(hitSteps)), Number(median(hitEpochs))
		row.SecondsToTarget, row.StepsToTarget, row.EpochsToTarget = &seconds, &n, &epochs
	}
	return row
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// median returns the middle value, the mean of the two middle ones of an even number, NaN of none. Infinite values take
// part: a pair of which one is infinite has an infinite mean.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	h := len(s) / 2
	if len(s)%2 == 1 {
		return s[h]
	}
	return (s[h-1] + s[h]) / 2
}

// bootstrap returns the percentile interval of the median with the given coverage, from 2,000 resamples (Efron, "Bootstrap
// methods: another look at the jackknife", 1979). The resamples are a function of the number of values alone.
func bootstrap(v []float64, coverage float64) (lo, hi float64) {
	const resamples = 2000
	key := tensor.KeyOf(uint64(len(v))).Named("bootstrap")
	medians := make([]float64, resamples)
	draw := make([]float64, len(v))
	for i := range medians {
		for j := range draw {
			draw[j] = v[key.IntN(uint64(i*len(v)+j), len(v))]
		}
		medians[i] = median(draw)
	}
	sort.Float64s(medians)
	tail := (1 - coverage) / 2
	return medians[int(tail*resamples)], medians[int((1-tail)*resamples)-1]
}
