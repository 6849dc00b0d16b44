package train_test

import (
	"context"
	"fmt"
	"log"
	"math"

	"github.com/descent-ml/descent/train"
)

// A network learns from a slice of floats which points lie in a ring.
func ExampleFit() {
	var x [][]float64
	var inRing []int
	for i := range 500 {
		r, angle := 2*math.Mod(float64(i)*0.618034, 1), float64(i)
		x = append(x, []float64{r * math.Cos(angle), r * math.Sin(angle)})
		label := 0
		if r > 0.7 && r < 1.4 {
			label = 1
		}
		inRing = append(inRing, label)
	}
	model, err := train.Fit(context.Background(), x, inRing, train.Config{
		Model: "mlp:32,32", Method: "adam", Settings: map[string]float64{"lr": 0.01}, Epochs: 100,
	}, train.Options{})
	if err != nil {
		log.Fatal(err)
	}
	answers, err := model.Predict(context.Background(), []float64{0, 0.1, 0, 1, 1.8, 0})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answers[0].Class, answers[1].Class, answers[2].Class)
	// Output: 0 1 0
}

// A run on embedded data, stopped by a target.
func ExampleRun() {
	r, err := train.Run(context.Background(), train.Config{
		Data: "digits", Model: "mlp:64,64", Method: "adam", Epochs: 30,
		Target: train.Target{Metric: "test_accuracy", Value: 0.95},
	}, train.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Status, r.Test.Accuracy >= 0.95)
	// Output: target-reached true
}
