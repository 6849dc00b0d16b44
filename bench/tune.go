package bench

import (
	"context"
	"fmt"
	"math"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train"
)

// Tuning says how the learning rate of every method is searched before the comparison. The zero Tuning does not.
type Tuning struct {
	Trials int    // for each method; 0: no tuning
	Seed   uint64 // of all trials, and of the shift of the points
	Grid   bool   // points at equal ratios, both ends of the interval included, instead of quasi-random ones
}

// Search is the search for one method's setting.
type Search struct {
	Setting string  `json:"setting"`
	Low     float64 `json:"low"` // the interval that was searched
	High    float64 `json:"high"`
	Metric  string  `json:"metric"` // on which trials were judged, such as val_accuracy
	Trials  []Trial `json:"trials"`
	Chosen  Number  `json:"chosen"` // NaN if no trial gave a value: the default is used
	Seconds Number  `json:"seconds"`
}

// Trial is one tried value.
type Trial struct {
	Value   float64      `json:"value"`
	Result  Number       `json:"result"` // NaN if the trial diverged or failed
	Loss    Number       `json:"loss"`   // on the validation part
	Status  train.Status `json:"status"`
	Seconds Number       `json:"seconds"` // wall time
	Reused  bool         `json:"reused,omitempty"`
}

const tunedSetting = "lr"

func (t Tuning) validate(c Config) error {
	if t.Trials == 0 {
		return nil
	}
	if t.Trials < 2 || t.Trials > 10000 {
		return fmt.Errorf("bench: %d trials of tuning, expected 2 to 10000\nhint: 8 trials cover three decades in steps of a factor 2.4", t.Trials)
	}
	for _, m := range c.Methods {
		if _, _, err := interval(m); err != nil {
			return err
		}
	}
	for _, s := range c.Seeds {
		if s == t.Seed {
			return fmt.Errorf("bench: the seed of the tuning, %d, is among those of the comparison\nhint: tune with another seed, so that the choice is not tested on the run it was made by", t.Seed)
		}
	}
	return nil
}

// interval returns the interval in which the method's learning rate is searched.
func interval(m Method) (lo, hi float64, err error) {
	spec, err := catalogue.Lookup[float32](m.Name)
	if err != nil {
		return 0, 0, err
	}
	s, ok := spec.Setting(tunedSetting)
	if !ok {
		return 0, 0, fmt.Errorf("bench: method %s has no setting %s to tune\nhint: leave it out of the line-up, or compare without tuning", m.Name, tunedSetting)
	}
	lo, hi = s.TuneRange()
	if !(lo > 0 && hi > lo) {
		return 0, 0, fmt.Errorf("bench: method %s: the interval [%g, %g] of %s cannot be searched on a logarithmic scale", m.Name, lo, hi, tunedSetting)
	}
	return lo, hi, nil
}

// points returns n points of [0, 1], the same for every method.
func (t Tuning) points() []float64 {
	u := make([]float64, t.Trials)
	shift := tensor.KeyOf(t.Seed).Named("tuning").Float64(0)
	for i := range u {
		if t.Grid {
			u[i] = float64(i) / float64(t.Trials-1)
			continue
		}
		_, u[i] = math.Modf(halton(i+1, 2) + shift)
	}
	return u
}

// halton returns the i-th number, i ≥ 1, of van der Corput's sequence in the given base: the digits of i mirrored at the
// point. Sequences in different primes together are Halton's.
func halton(i, base int) float64 {
	v, f := 0.0, 1.0
	for ; i > 0; i /= base {
		f /= float64(base)
		v += f * float64(i%base)
	}
	return v
}

// search runs the trials of one method and chooses the value with the best validation metric; of equal ones that with the
// smaller validation loss, then the smaller value.
func (r *runner) search(ctx context.Context, m Method) (*Search, error) {
	lo, hi, err := interval(m)
	if err != nil {
		return nil, err
	}
	s := &Search{Setting: tunedSetting, Low: lo, High: hi, Chosen: Number(math.NaN())}
	var best *Trial
	for _, u := range r.config.Tuning.points() {
		if ctx.Err() != nil {
			break
		}
		try := *s
		try.Chosen = Number(lo * math.Pow(hi/lo, u))
		cell, err := r.run(ctx, r.config.configOf(r.base, m, r.config.Tuning.Seed, &try), true)
		if err != nil {
			return nil, err
		}
		if s.Metric == "" {
			s.Metric = valMetric(&cell.Result)
			if s.Metric == "" && ended(cell.Result.Status) {
				return nil, fmt.Errorf("bench: tuning needs a validation part, %s has none\nhint: set a fraction of the training examples apart for validation", r.base.Data)
			}
		}
		t := Trial{Value: float64(try.Chosen), Result: Number(math.NaN()), Loss: Number(cell.Result.Val.Loss), Status: cell.Result.Status,
			Seconds: Number(cell.Result.WallSeconds), Reused: cell.Reused}
		if s.Metric != "" && ended(cell.Result.Status) {
			t.Result = Number(value(&cell.Result, s.Metric))
		}
		if cell.Result.Status == Failed {
			t.Seconds = 0
		}
		s.Trials = append(s.Trials, t)
		s.Seconds += t.Seconds
	}
	for i := range s.Trials {
		t := &s.Trials[i]
		if isFinite(float64(t.Result)) && (best == nil || betterTrial(s.Metric, t, best)) {
			best = t
		}
	}
	if best != nil {
		s.Chosen = Number(best.Value)
	}
	return s, nil
}

// valMetric returns the metric of a run on the validation part; "" if it has no value there.
func valMetric(r *train.Result) string {
	for _, metric := range []string{"val_accuracy", "val_rmse", "val_loss"} {
		if isFinite(value(r, metric)) {
			return metric
		}
	}
	return ""
}

func betterTrial(metric string, a, b *Trial) bool {
	if a.Result != b.Result {
		return Better(metric, float64(a.Result), float64(b.Result))
	}
	if a.Loss != b.Loss {
		return a.Loss < b.Loss
	}
	return a.Value < b.Value
}
