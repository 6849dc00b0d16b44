package train_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/descent-ml/descent/train"
)

// TestParametrization trains a network with each parametrization, and has bad ones refused with a hint.
func TestParametrization(t *testing.T) {
	if os.Getenv("DESCENT_DATA") == "" {
		t.Skip("set DESCENT_DATA to the folder with digits")
	}
	run := func(c train.Config) (*train.Result, error) {
		c.Data, c.Seed = "digits", 3
		if c.Epochs == 0 {
			c.Epochs = 3
		}
		return train.Run(context.Background(), c, train.Options{})
	}
	plain, err := run(train.Config{Model: "mlp:64,64", Method: "sgd", Settings: map[string]float64{"lr": 0.1}})
	if err != nil {
		t.Fatal(err)
	}
	// At the base width muP is the standard parametrization to the last bit.
	same, err := run(train.Config{Model: "mlp:64,64", Method: "sgd", Settings: map[string]float64{"lr": 0.1}, Parametrization: "mup@64"})
	if err != nil {
		t.Fatal(err)
	}
	if same.ParamsSHA256 != plain.ParamsSHA256 {
		t.Error("muP at its base width is not the standard parametrization")
	}
	for _, c := range []train.Config{
		{Model: "mlp:256,256", Method: "sgd", Settings: map[string]float64{"lr": 0.1}, Parametrization: "mup"},
		{Model: "mlp:256,256", Method: "adam", Parametrization: "mup"},
		{Model: "mlp:64", Method: "momentum", Settings: map[string]float64{"lr": 2}, Parametrization: "gamma:0.9"},
		{Model: "mlp:128", Method: "sgd", Settings: map[string]float64{"lr": 2}, Parametrization: "ntk"},
	} {
		r, err := run(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s, %s, %s: training loss %.3f, accuracy %.3f", c.Model, c.Method, c.Parametrization, r.Train.Loss, r.Train.Accuracy)
		if !(r.Train.Loss < 2.2) || r.ParamsSHA256 == plain.ParamsSHA256 {
			t.Errorf("%s with %s: training loss %g", c.Model, c.Parametrization, r.Train.Loss)
		}
	}
	for _, c := range []train.Config{
		{Parametrization: "gamma:2"}, {Parametrization: "mpu"}, {Parametrization: "mup", Method: "lars"}, {Parametrization: "gamma:0.5,0.6,0.7", Model: "mlp:8"},
	} {
		if _, err := run(c); err == nil || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("%+v: error %v", c.Parametrization, err)
		}
	}
}
