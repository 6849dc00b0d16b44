package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/descent-ml/descent/train"
)

// Number is a number that is null in JSON where it is not finite, and NaN for null.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// Cell is one training run of a comparison. In JSON it is the run's result with the members points and
// reused added.
type Cell struct {
	Config train.Config
	Result train.Result
	Points []Point // every evaluation, in order
	Reused bool    // taken from the store: its times are of the run that made it
}

// Point is one evaluation.
type Point struct {
	Step     int64  `json:"step"`
	Examples int64  `json:"examples"`
	Epoch    Number `json:"epoch"`
	Seconds  Number `json:"seconds"` // of training steps
	Train    Score  `json:"train"`
	Val      Score  `json:"val"`
	Test     Score  `json:"test"`
	GradNorm Number `json:"grad_norm"` // of the last batch
	Rate     Number `json:"rate"`      // learning rate of the last step
}

// Score is the quality on one part of the data; what does not apply is NaN.
type Score struct {
	Loss     Number `json:"loss"`
	Accuracy Number `json:"accuracy"`
	RMSE     Number `json:"rmse"`
}

// Metric returns the loss, accuracy or rmse.
func (s Score) Metric(name string) float64 {
	switch name {
	case "accuracy":
		return float64(s.Accuracy)
	case "rmse":
		return float64(s.RMSE)
	}
	return float64(s.Loss)
}

var noScore = Score{Number(math.NaN()), Number(math.NaN()), Number(math.NaN())}

func scoreOf(q train.Quality) Score {
	return Score{Number(q.Loss), Number(q.Accuracy), Number(q.RMSE)}
}

// PointOf returns an evaluation as a point; the gradient norm and the rate are those of the step before it.
func pointOf(e train.Event) Point {
	v := e.Eval
	p := Point{Step: v.Step, Examples: v.Seen, Epoch: Number(v.Epoch), Seconds: Number(v.Seconds),
		Train: scoreOf(v.Train), Val: scoreOf(v.Val), Test: scoreOf(v.Test), GradNorm: Number(e.GradNorm), Rate: Number(e.Rate)}
	if v.Step == 0 {
		p.GradNorm, p.Rate = Number(math.NaN()), Number(math.NaN())
	}
	return p
}

// PointsOf returns evaluations as points, without gradient norms and rates.
func PointsOf(history []train.Evaluation) []Point {
	points := make([]Point, len(history))
	for i := range history {
		points[i] = pointOf(train.Event{Eval: &history[i], GradNorm: math.NaN(), Rate: math.NaN()})
	}
	return points
}

// hit returns the first evaluation that reached the target, nil if none did.
func (c *Cell) hit(t train.Target) *train.Hit {
	for _, p := range c.Points {
		v := p.metric(t.Metric)
		if !math.IsNaN(v) && t.Reached(v) {
			return &train.Hit{Metric: t.Metric, Value: v, Step: p.Step, Epoch: int(p.Epoch), Seconds: float64(p.Seconds)}
		}
	}
	return nil
}

// metric returns the value of a metric such as test_accuracy.
func (p Point) metric(name string) float64 {
	split, kind := SplitMetric(name)
	return map[string]Score{"train": p.Train, "val": p.Val, "test": p.Test}[split].Metric(kind)
}

// forgetTest removes what a trial of the tuning must not tell.
func (c *Cell) forgetTest() {
	nan := math.NaN()
	c.Result.Test = train.Quality{Loss: nan, Accuracy: nan, RMSE: nan, Calibration: nan}
	for i := range c.Points {
		c.Points[i].Test = noScore
	}
}

type cellExtras struct {
	Points []Point `json:"points"`
	Reused bool    `json:"reused,omitempty"`
}

// MarshalJSON writes the result's object with points and reused added.
func (c Cell) MarshalJSON() ([]byte, error) {
	object, err := json.Marshal(c.Result)
	if err != nil {
		return nil, err
	}
	extras, err := json.Marshal(cellExtras{c.Points, c.Reused})
	if err != nil {
		return nil, err
	}
	return append(append(object[:len(object)-1], ','), extras[1:]...), nil
}

// UnmarshalJSON reads what MarshalJSON wrote; Config is not part of it.
func (c *Cell) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &c.Result); err != nil {
		return err
	}
	var x cellExtras
	if err := json.Unmarshal(b, &x); err != nil {
		return err
	}
	c.Points, c.Reused = x.Points, x.Reused
	return nil
}

// cellKey is the digest of everything that a cell's result depends on.
func cellKey(c train.Config, version string, trial bool) string {
	c.DataDir = ""        // where the files lie does not matter
	c.Save = train.Save{} // nor when checkpoints are written
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("bench: a configuration that is not JSON: %v", err))
	}
	sum := sha256.Sum256(fmt.Appendf(text, "\n%s\ntrial %v", version, trial))
	return hex.EncodeToString(sum[:8])
}
