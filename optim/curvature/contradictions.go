package curvature

import (
	"fmt"

	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// checked is the method with settings that contradict each other refused before it is made. A method without a setting "regime" is
// left as it is.
func checked[T tensor.Float](spec optim.Spec[T]) optim.Spec[T] {
	if _, ok := spec.Setting("regime"); !ok {
		return spec
	}
	make1 := spec.New
	spec.New = func(env optim.Env, s optim.Settings) (optim.Method[T], error) {
		if err := contradictions(spec, env, s); err != nil {
			return nil, err
		}
		return make1(env, s)
	}
	return spec
}

// contradictions returns an error for complete settings that cannot be in force together. A setting at its default counts as not
// given; in Go, a [Step] cannot say such things.
func contradictions[T tensor.Float](spec optim.Spec[T], env optim.Env, s optim.Settings) error {
	given := func(name string) bool {
		x, _ := spec.Setting(name)
		return s[name] != x.Default
	}
	refuse := func(a, b, hint string) error {
		return fmt.Errorf("curvature: %s: settings %s and %s contradict each other\nhint: %s", spec.Name, a, b, hint)
	}
	set := func(name string) string { return fmt.Sprintf("%s=%g", name, s[name]) }

	var clips []string
	for _, name := range []string{"kl-clip", "norm-clip", "layer-clip"} {
		if s[name] > 0 && given(name) {
			clips = append(clips, name)
		}
	}
	if len(clips) > 1 {
		return refuse(set(clips[0]), set(clips[1]), "a step has one clip: set one of them to 0")
	}
	if regime := s["regime"]; regime != 0 {
		own := "the quadratic model says how long the step is: set it to 0, or regime to 0"
		for _, name := range append(clips, "clip-norm", "clip-tensor-norm", "clip-value", "clip-adaptive") {
			if s[name] > 0 {
				return refuse(set("regime"), set(name), own)
			}
		}
		if s["weight-decay"] > 0 {
			return refuse(set("regime"), set("weight-decay"), "decoupled decay is no part of the quadratic model: use the penalty of the loss, which is")
		}
		if s["accumulate"] > 1 {
			return refuse(set("regime"), set("accumulate"), "the model is that of one batch: make the batch larger, or set regime to 0")
		}
		for _, x := range []struct {
			name  string
			model bool // the model decides it
		}{{"momentum", regime != 2}, {"lr", regime != 3}} {
			if !x.model {
				continue
			}
			if env.Schedules[x.name] != "" {
				return refuse(set("regime"), "the schedule of "+x.name, "the quadratic model decides "+x.name+": leave the schedule out")
			}
			// A guard may lower the learning rate on its own: where the model decides it, it has no say.
			if x.name == "momentum" && given(x.name) {
				return refuse(set("regime"), set(x.name), "the quadratic model decides "+x.name+": leave it out, or set regime to 2")
			}
		}
	}
	if s.On("damping-in-model") && !s.On("adaptive-damping") && !s.On("calibrate-damping") {
		return refuse(set("damping-in-model"), set("adaptive-damping"), "it changes how the damping is adapted: set adaptive-damping to 1")
	}
	if s["min-damping"] > s["max-damping"] {
		return refuse(set("min-damping"), set("max-damping"), "the first is at most the second")
	}
	if x := s["rejection-factor"]; x != 0 && x <= 1 {
		return fmt.Errorf("curvature: %s: setting rejection-factor is %g, expected 0 or more than 1\nhint: a rejected step raises the damping, else it comes again; 3 is usual", spec.Name, x)
	}
	return nil
}
