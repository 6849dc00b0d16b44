package nn

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/tensor"
)

// Options are what a model specification leaves open.
type Options struct {
	Input      tensor.Shape // of one example: [784], or [28 28 1] for an image
	Outputs    int          // classes, or numbers to predict
	Activation string       // of the hidden layers, one of [Activations]; "" is the model's own
	Init       string       // of the weights, read by [ParseInitializer]; "" is the model's own
}

// ModelInfo describes a family of models that [Build] makes.
type ModelInfo struct {
	Name       string // what comes before the colon
	Form       string // how it is written with its numbers
	Standard   string // what the name alone stands for
	Title      string
	Doc        string
	Paper      string
	Activation string // default; "" if there are no hidden layers
	Init       string // default
	Images     bool   // needs examples of shape [height width channels]
	// Reconstructs says that the target is the input itself: there are as many outputs as inputs,
	// whatever Options.Outputs is.
	Reconstructs bool
	Loss         string // fitting loss where it does not follow from the data; else ""
}

// family is a row of the table of models.
type family[T tensor.Float] struct {
	info   ModelInfo
	widths int // numbers after the colon: 0 none, 1 one or more
	layers func(b builder, widths []int) []Layer[T]
}

// builder holds the resolved options.
type builder struct {
	input      tensor.Shape
	outputs    int
	activation string
	init       Initializer
}

// ModelNames lists the models that [Build] makes.
func ModelNames() []ModelInfo {
	var infos []ModelInfo
	for _, f := range families[float64]() {
		infos = append(infos, f.info)
	}
	return infos
}

// Describe returns the description of the model that spec names (what follows a colon is ignored). The
// error names the nearest models.
func Describe(spec string) (ModelInfo, error) {
	f, err := findFamily[float64](spec)
	return f.info, err
}

func findFamily[T tensor.Float](spec string) (family[T], error) {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(spec)), ":")
	var names []string
	for _, f := range families[T]() {
		if f.info.Name == name {
			return f, nil
		}
		names = append(names, f.info.Name)
	}
	return family[T]{}, fmt.Errorf("unknown model %q\nhint: %s", name, nearest.Hint(name, names, "one of "+strings.Join(names, ", ")))
}

// Build makes the model that spec names, such as "mlp:512,512", for the given examples and outputs. The
// error says what is wrong with the specification, or why the model cannot take such examples.
func Build[T tensor.Float](spec string, o Options) (Model[T], error) {
	f, err := findFamily[T](spec)
	if err != nil {
		return nil, err
	}
	full := strings.ToLower(strings.TrimSpace(spec))
	if !strings.Contains(full, ":") {
		full = f.info.Standard
	}
	var widths []int
	if _, list, given := strings.Cut(full, ":"); given {
		if f.widths == 0 {
			return nil, fmt.Errorf("model %q: %s takes no numbers\nhint: write %s", spec, f.info.Name, f.info.Name)
		}
		for _, w := range strings.Split(list, ",") {
			width, times, repeated := strings.Cut(strings.TrimSpace(w), "x")
			n, err := strconv.Atoi(width)
			layers := 1
			if err == nil && repeated {
				layers, err = strconv.Atoi(times)
			}
			if err != nil || n < 1 || n > 1<<20 || layers < 1 || layers > 1<<12 {
				return nil, fmt.Errorf("model %q: found width %q, expected a number from 1 to %d, or WIDTHxLAYERS\nhint: for example %s", spec, w, 1<<20, f.info.Standard)
			}
			widths = append(widths, slices.Repeat([]int{n}, layers)...)
		}
	}
	b := builder{input: o.Input, outputs: o.Outputs, activation: f.info.Activation}
	if f.info.Reconstructs {
		b.outputs = o.Input.Size()
	}
	if b.outputs < 1 || o.Input.Size() < 1 {
		return nil, fmt.Errorf("model %q: examples of shape %v and %d outputs; both must be positive", spec, o.Input, b.outputs)
	}
	if o.Activation != "" {
		b.activation = strings.ToLower(o.Activation)
	}
	initial := f.info.Init
	if o.Init != "" {
		initial = o.Init
	}
	if b.init, err = ParseInitializer(initial); err != nil {
		return nil, fmt.Errorf("model %q: %w", spec, err)
	}
	return New(full, o.Input, f.layers(b, widths)...)
}
