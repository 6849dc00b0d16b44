package bench

import (
	"math"
	"sort"
	"testing"

	"github.com/descent-ml/descent/train"
	"pgregory.net/rapid"
)

func TestMedianOfRanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 30).Draw(t, "values")
		m := median(v)
		below, above := 0, 0
		for _, x := range v {
			if x <= m {
				below++
			}
			if x >= m {
				above++
			}
		}
		if 2*below < len(v) || 2*above < len(v) {
			t.Errorf("median %v of %v has %d values at or below and %d at or above", m, v, below, above)
		}
	})
	if m := median([]float64{1, math.Inf(1)}); !math.IsInf(m, 1) {
		t.Errorf("median of 1 and ∞ is %v", m)
	}
	if m := median(nil); !math.IsNaN(m) {
		t.Errorf("median of nothing is %v", m)
	}
}

func TestBootstrapInterval(t *testing.T) {
	v := []float64{0.91, 0.92, 0.93, 0.94, 0.95}
	lo, hi := bootstrap(v, 0.95)
	// The median of a resample of five is the least value with probability Σ_{k≥3} C(5,k)(1/5)^k(4/5)^(5−k) = 5.8 %, so the 2.5 %
	// point is the least value, and the 97.5 % point the greatest.
	if lo != 0.91 || hi != 0.95 {
		t.Errorf("[%v, %v]", lo, hi)
	}
	if l, h := bootstrap(v, 0.95); l != lo || h != hi {
		t.Error("the interval changes from call to call")
	}
	// A constant has a degenerate interval; coverage 0.5 is inside 0.95.
	if lo, hi := bootstrap([]float64{2, 2, 2, 2, 2}, 0.95); lo != 2 || hi != 2 {
		t.Errorf("[%v, %v] of a constant", lo, hi)
	}
	l50, h50 := bootstrap(v, 0.5)
	if l50 < lo || h50 > hi || l50 >= h50 {
		t.Errorf("the 50 %% interval [%v, %v] is not inside [%v, %v]", l50, h50, lo, hi)
	}
}

// TestBootstrapMatchesExactDistribution holds the resamples against the exact distribution of the resampled median of five values.
func TestBootstrapMatchesExactDistribution(t *testing.T) {
	v := []float64{1, 2, 3, 4, 5}
	// P(median ≤ i) = P(Binomial(5, i/5) ≥ 3).
	atMost := func(i int) float64 {
		p, sum := float64(i)/5, 0.0
		for k := 3; k <= 5; k++ {
			c := map[int]float64{3: 10, 4: 5, 5: 1}[k]
			sum += c * math.Pow(p, float64(k)) * math.Pow(1-p, float64(5-k))
		}
		return sum
	}
	for _, tail := range []float64{0.1, 0.2, 0.45} {
		lo, hi := bootstrap(v, 1-2*tail)
		exact := func(q float64) float64 {
			return float64(sort.Search(5, func(i int) bool { return atMost(i+1) >= q }) + 1)
		}
		if lo != exact(tail) || hi != exact(1-tail) {
			t.Errorf("tail %v: [%v, %v], exact [%v, %v]", tail, lo, hi, exact(tail), exact(1-tail))
		}
	}
}

func TestLowerIsBetterForErrors(t *testing.T) {
	nan := math.NaN()
	cell := func(method string, rmse float64) Cell {
		q := train.Quality{Loss: nan, Accuracy: nan, RMSE: rmse, Calibration: nan}
		none := train.Quality{Loss: nan, Accuracy: nan, RMSE: nan, Calibration: nan}
		return Cell{Result: train.Result{Method: method, Status: train.Completed, Test: q, Train: none, Val: none}}
	}
	c := Comparison{Methods: []Method{{Name: "a"}, {Name: "b"}}, Results: []Cell{cell("a", 3), cell("b", 2)}}
	c.Rank()
	if c.Metric != "test_rmse" || c.Ranking[0].Method != "b" {
		t.Errorf("on %s the first is %s", c.Metric, c.Ranking[0].Method)
	}
}

func TestEqualMediansShareARank(t *testing.T) {
	nan := math.NaN()
	none := train.Quality{Loss: nan, Accuracy: nan, RMSE: nan, Calibration: nan}
	cell := func(method string, accuracy, seconds float64) Cell {
		return Cell{Result: train.Result{Method: method, Status: train.Completed, TrainSeconds: seconds, Test: train.Quality{Loss: 1, Accuracy: accuracy, RMSE: nan, Calibration: nan}, Train: none, Val: none}}
	}
	c := Comparison{Methods: []Method{{Name: "last"}, {Name: "slow"}, {Name: "fast"}},
		Results: []Cell{cell("last", 0.4, 1), cell("slow", 0.5, 3), cell("fast", 0.5, 2)}}
	c.Rank()
	if order(&c) != "slow fast last" || c.Ranking[0].Rank != 1 || c.Ranking[1].Rank != 1 || c.Ranking[2].Rank != 3 {
		t.Errorf("%s with ranks %d %d %d", order(&c), c.Ranking[0].Rank, c.Ranking[1].Rank, c.Ranking[2].Rank)
	}
}
