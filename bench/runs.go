package bench

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/descent-ml/descent/train"
	"github.com/descent-ml/descent/train/runlog"
)

// ReadCell reads a run folder: its result and its evaluations with the gradient norm and the rate of the step before each. A
// run that was killed has no result yet: it is shown as stopped, with the last evaluation that its log has.
func ReadCell(dir string) (*Cell, error) {
	info, err := train.ReadRun(dir)
	if err != nil {
		return nil, err
	}
	c := &Cell{Config: info.Config}
	if c.Points, err = readPoints(filepath.Join(dir, "metrics.jsonl")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	result, err := train.ReadResult(dir)
	switch {
	case err == nil:
		c.Result = *result
	case errors.Is(err, fs.ErrNotExist):
		c.Result = blank(info.Config)
		c.Result.Status, c.Result.Reason = train.Stopped, "the run has not ended"
		c.Result.Settings, c.Result.Parameters, c.Result.Loss = info.Settings, info.Parameters, info.Loss
		if n := len(c.Points); n > 0 {
			p := &c.Points[n-1]
			c.Result.Steps, c.Result.Examples, c.Result.TrainSeconds, c.Result.Epochs = p.Step, p.Examples, float64(p.Seconds), int(p.Epoch)
			c.Result.Train, c.Result.Val, c.Result.Test = p.Train.quality(), p.Val.quality(), p.Test.quality()
		}
	default:
		return nil, err
	}
	c.Result.Run = dir
	return c, nil
}

func (s Score) quality() train.Quality {
	return train.Quality{Loss: float64(s.Loss), Accuracy: float64(s.Accuracy), RMSE: float64(s.RMSE), Calibration: math.NaN()}
}

// readPoints reads the evaluations of a run's log.
func readPoints(path string) ([]Point, error) {
	var points []Point
	norm, rate := Number(math.NaN()), Number(math.NaN())
	_, err := runlog.ReadFile(path, func(r runlog.Record) error {
		get := func(name string) Number {
			if v, ok := r.Values[name]; ok {
				return Number(v)
			}
			return Number(math.NaN())
		}
		score := func(part string) Score {
			return Score{get(part + "_loss"), get(part + "_accuracy"), get(part + "_rmse")}
		}
		switch r.Kind {
		case "step":
			norm, rate = get("grad_norm"), get("rate")
		case "eval":
			points = append(points, Point{Step: r.Step, Examples: r.Examples, Epoch: Number(r.Epoch), Seconds: Number(r.Seconds),
				Train: score("train"), Val: score("val"), Test: score("test"), GradNorm: norm, Rate: rate})
		}
		return nil
	})
	return points, err
}
