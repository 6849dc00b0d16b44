package optim_test

import (
	"context"
	"fmt"

	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/optim/optimtest"
)

// A method by its name, with a schedule, on a function of two parameters.
func ExampleNew() {
	x := []float64{-1.2, 1}
	f := objective.New[float64](optimtest.Rosenbrock[float64]{}, weights(2), x)
	m, err := optim.New[float64]("adam", optim.Env{
		Layout:    f.Layout(),
		Schedules: map[string]string{"lr": "warmup:0.05,cosine"},
	}, optim.Settings{"lr": 0.3})
	if err != nil {
		fmt.Println(err)
		return
	}
	const steps = 2000
	for i := range int64(steps) {
		f.SetProgress(objective.Progress{Step: i, Seen: i, Batch: 1, Horizon: steps})
		if _, err := m.Step(context.Background(), f); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%.2f %.2f\n", x[0], x[1])
	// Output: 1.00 1.00
}

// powerLink is a new algorithm: u ← sign(u)·|u|^power, between gradient descent (1) and the sign method (0).
// It is elementwise and keeps no state.
type powerLink struct{ power float64 }

func (powerLink) Name() string                { return "power" }
func (powerLink) State() optim.State[float64] { return nil }
func (powerLink) Begin(*optim.Stage[float64]) {}
func (l powerLink) Apply(b *optim.Block[float64]) {
	for i, u := range b.U {
		b.U[i] = signedPower(u, l.power)
	}
}

// A link of one's own, in a chain with links of the package.
func ExampleNewChain() {
	layout := weights(2)
	env := optim.Env{Layout: layout}
	m := optim.NewChain[float64](env,
		optim.NewClipNorm[float64](10),
		powerLink{0.5},
		optim.NewMomentum[float64](env, optim.Fixed("momentum", 0.5), 0, false),
		optim.NewDescend[float64](optim.Fixed("lr", 0.01)),
	)
	x := []float64{5, -3}
	f := objective.New[float64](optimtest.Quadratic[float64]{Lambda: []float64{1, 100}}, layout, x)
	for i := range int64(500) {
		f.SetProgress(objective.Progress{Step: i, Seen: i, Batch: 1})
		if _, err := m.Step(context.Background(), f); err != nil {
			fmt.Println(err)
			return
		}
	}
	loss, _, _ := f.Gradient(context.Background())
	fmt.Println(loss < 0.01)
	// Output: true
}

// A mistyped setting is answered with the nearest names.
func ExampleSpec_Complete() {
	spec, _ := optim.Lookup[float32]("adam")
	_, err := spec.Complete(optim.Settings{"beta3": 0.9})
	fmt.Println(err)
	_, err = spec.Complete(optim.Settings{"beta1": 1})
	fmt.Println(err)
	// Output:
	// optim: method adam has no setting "beta3"
	// hint: did you mean beta1 or beta2?
	// optim: method adam: setting beta1 is 1, expected [0, 1)
	// hint: β₁, decay of the mean of the gradients; the default is 0.9
}
