package train

import (
	"fmt"
	"strings"

	"github.com/descent-ml/descent/asymptotics/rates"
	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/schedule"
)

// validateNames checks method, settings, schedule, model, activation, initialiser and loss against the
// tables. The name of the data is checked where it is opened, since it may be that of a file.
func (c Config) validateNames() error {
	spec, err := catalogue.Lookup[float64](c.Method)
	if err != nil {
		return err
	}
	if _, err := spec.Complete(optim.Settings(c.Settings)); err != nil {
		return err
	}
	if c.Schedule != "" {
		if err := c.validateSchedule(spec); err != nil {
			return err
		}
	}
	if p := c.Guard.Policy; p == "shrink" || p == "rewind" {
		if _, ok := spec.Setting("lr"); !ok {
			return fmt.Errorf("guard policy %s needs a method with a setting lr, which %s has not\nhint: take the policy skip or stop", p, c.Method)
		}
	}
	if _, err := nn.Describe(c.Model); err != nil {
		return err
	}
	if c.Activation != "" {
		if err := oneOf("activation", c.Activation, nn.Activations()); err != nil {
			return err
		}
	}
	if c.Init != "" {
		if _, err := nn.ParseInitializer(c.Init); err != nil {
			return err
		}
	}
	if err := c.validateParametrization(); err != nil {
		return err
	}
	if c.Loss != "" {
		if _, err := nn.LossByName[float64](c.Loss); err != nil {
			return err
		}
	}
	return nil
}

// validateParametrization checks the notation, and that the method is one of those whose rates are known. Whether the model has a rule is
// seen when it is built.
func (c Config) validateParametrization() error {
	p, err := rates.Parse(c.Parametrization)
	if err != nil || p.IsStandard() {
		return err
	}
	_, err = rates.OptimizerOf(c.Method)
	return err
}

func (c Config) validateSchedule(spec optim.Spec[float64]) error {
	law, err := schedule.Parse(c.Schedule)
	if err != nil {
		return err
	}
	if x, ok := spec.Setting("lr"); !ok || !x.Schedulable {
		var names []string
		for _, x := range spec.Settings {
			if x.Schedulable {
				names = append(names, x.Name)
			}
		}
		return fmt.Errorf("schedule %s: method %s has no learning rate lr that can follow it\nhint: %s", c.Schedule, c.Method,
			nearest.Hint("lr", names, "its settings with a schedule: "+strings.Join(names, ", ")))
	}
	if law.NeedsHorizon() && c.Epochs == 0 && c.Steps == 0 {
		return fmt.Errorf("schedule %s needs the length of the training, found a budget of seconds alone\nhint: set epochs or steps too, or take a schedule without an end (constant, plateau)", c.Schedule)
	}
	return nil
}
