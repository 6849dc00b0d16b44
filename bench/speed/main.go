// Speed times training steps on random data in memory and prints one JSON object, the same that
// bench/peers/torch_train.py prints for PyTorch:
//
//	go run ./bench/speed -model lenet5 -batch 128
//
// Warm-up steps are not counted. One process times one model, because the peak of resident memory is that
// of the process. bench/peers/pair.py runs both programs in turn and prints the ratios.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/objective"
	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// workload is a model and the shape of its examples.
type workload struct {
	spec  string
	input tensor.Shape
	batch int
}

var workloads = map[string]workload{
	"mlp":    {"mlp:512,512", tensor.ShapeOf(784), 256},
	"lenet5": {"lenet5", tensor.ShapeOf(28, 28, 1), 128},
	"3c3d":   {"3c3d", tensor.ShapeOf(32, 32, 3), 128},
}

// result is what both programs print.
type result struct {
	Model          string  `json:"model"`
	Batch          int     `json:"batch"`
	Workers        int     `json:"workers"`
	Method         string  `json:"method"`
	StepsPerSecond float64 `json:"steps_per_second"`
	Best           float64 `json:"steps_per_second_best"` // of the fastest tenth of the steps
	CPUSeconds     float64 `json:"cpu_seconds_per_step"`
	Forward        float64 `json:"forward_seconds"`
	Backward       float64 `json:"backward_seconds"`
	PeakMemory     int64   `json:"peak_memory_bytes"`
	HeapPerStep    float64 `json:"heap_bytes_per_step"`
}

func main() {
	model := flag.String("model", "mlp", "mlp, lenet5 or 3c3d")
	batch := flag.Int("batch", 0, "examples a step (0: the model's)")
	workers := flag.Int("workers", 0, "workers (0: all cores)")
	method := flag.String("method", "adam", "training method")
	steps := flag.Int("steps", 50, "steps to time")
	warmup := flag.Int("warmup", 5, "steps before")
	flag.Parse()
	w, ok := workloads[*model]
	if !ok {
		fmt.Fprintf(os.Stderr, "speed: no model %q\n", *model)
		os.Exit(2)
	}
	if *batch > 0 {
		w.batch = *batch
	}
	r, err := run(*model, w, *workers, *method, *warmup, *steps)
	if err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1)
	}
}

func run(name string, w workload, workers int, method string, warmup, steps int) (result, error) {
	pool := tensor.NewPool(workers)
	m, err := nn.Build[float32](w.spec, nn.Options{Input: w.input, Outputs: 10})
	if err != nil {
		return result{}, err
	}
	loss, err := nn.LossByName[float32]("cross-entropy")
	if err != nil {
		return result{}, err
	}
	key := tensor.KeyOf(1)
	params := make([]float32, m.Layout().Size())
	state := make([]float32, m.StateLayout().Size())
	nn.Initialize(m, key, params, state)
	net := objective.NewNetwork(m, loss, pool)
	x := tensor.Of(make([]float32, w.batch*w.input.Size()), tensor.ShapeOf(append([]int{w.batch}, w.input.Dims()...)...))
	tensor.Normal(key.Named("x"), x.Data(), 0, 1)
	labels := make([]int32, w.batch)
	for i := range labels {
		labels[i] = int32(key.Named("y").IntN(uint64(i), 10))
	}
	net.SetBatch(x, nn.Target[float32]{Labels: labels})
	opt, err := catalogue.New[float32](method, optim.Env{Layout: m.Layout(), Pool: pool}, nil)
	if err != nil {
		return result{}, err
	}
	f := objective.New(objective.Function[float32](net), m.Layout(), params)
	ctx := context.Background()
	times := make([]float64, 0, steps)
	var before, after runtime.MemStats
	var cpu float64
	var start time.Time
	for i := range warmup + steps {
		if i == warmup {
			runtime.ReadMemStats(&before)
			cpu, start = cpuSeconds(), time.Now()
		}
		t := time.Now()
		f.SetProgress(objective.Progress{Step: int64(i), Seen: int64(i * w.batch), Batch: w.batch})
		if _, err := opt.Step(ctx, f); err != nil {
			return result{}, err
		}
		if i >= warmup {
			times = append(times, time.Since(t).Seconds())
		}
	}
	wall := time.Since(start).Seconds()
	r := result{Model: name, Batch: w.batch, Workers: pool.Workers(), Method: method,
		StepsPerSecond: float64(steps) / wall, CPUSeconds: (cpuSeconds() - cpu) / float64(steps)}
	runtime.ReadMemStats(&after)
	r.HeapPerStep = float64(after.TotalAlloc-before.TotalAlloc) / float64(steps)
	slices.Sort(times)
	r.Best = 1 / times[len(times)/10]
	r.Forward = median(steps, func() error { _, err := net.Evaluate(params, nil); return err })
	grad := make([]float32, len(params))
	r.Backward = median(steps, func() error { _, err := net.Evaluate(params, grad); return err }) - r.Forward
	r.PeakMemory = peakMemory()
	return r, nil
}

func median(n int, f func() error) float64 {
	times := make([]float64, n)
	for i := range times {
		t := time.Now()
		if f() != nil {
			return 0
		}
		times[i] = time.Since(t).Seconds()
	}
	slices.Sort(times)
	return times[n/2]
}

// peakMemory returns the peak of the process's resident memory, where the system tells.
func peakMemory() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}
