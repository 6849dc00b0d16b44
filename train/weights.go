package train

import (
	"fmt"
	"path/filepath"

	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
	"github.com/descent-ml/descent/train/checkpoint"
)

// Weights are the parameters of a run before training and at its newest checkpoint, in float64, for those who look inside.
type Weights struct {
	Info    *RunInfo
	Step    int64 // training steps that Trained has behind it
	Model   nn.Model[float64]
	Start   []float64 // as the run's seed made them
	Trained []float64
	State   []float64 // running statistics at the checkpoint
	Rate    []float64 // factor of the learning rate of each parameter of the layout; nil: one
}

// LoadWeights reads the weights of the run in folder dir. Nothing is changed.
func LoadWeights(dir string) (*Weights, error) {
	info, err := ReadRun(dir)
	if err != nil {
		return nil, err
	}
	store := &checkpoint.Store{FS: vfs.OS{}, Dir: dir}
	c, _, err := store.Open()
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: the run has not saved anything yet, or its files are damaged", err)
	}
	defer c.Close()
	w := &Weights{Info: info, Step: c.Step}
	cfg := info.Config
	w.Model, err = nn.Build[float64](cfg.Model, nn.Options{Input: tensor.ShapeOf(info.Data.Normalizer.Input...), Outputs: info.Data.Outputs, Activation: cfg.Activation, Init: cfg.Init})
	if err != nil {
		return nil, err
	}
	if cfg.DType == "float64" {
		err = weightsOf[float64](w, c)
	} else {
		err = weightsOf[float32](w, c)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, c.Name), err)
	}
	return w, nil
}

// weightsOf reads the parameters in the run's own precision, in which its seed made them too.
func weightsOf[T tensor.Float](w *Weights, c *checkpoint.Checkpoint) error {
	e, err := loadEngine[T](w.Info, c)
	if err != nil {
		return err
	}
	defer e.close()
	w.Trained, w.State = widened(e.params), widened(e.net.State())
	plan, err := planFor(w.Info.Config, e.model.Layout())
	if err != nil {
		return err
	}
	w.Rate = plan.Rate
	start := make([]T, len(e.params))
	nn.Initialize(e.model, tensor.KeyOf(w.Info.Config.Seed).Named("init"), start, make([]T, len(w.State)))
	rates.Rescale(plan, e.model.Layout(), start)
	w.Start = widened(start)
	return nil
}

func widened[T tensor.Float](v []T) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
