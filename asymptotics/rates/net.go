package rates

import (
	"fmt"
	"math"
	"strings"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Layer is an affine layer of a [Net].
type Layer struct {
	Name string `json:"name"`
	// In and Out are the widths: units of a dense layer, channels of a convolution. In of the first layer and Out of
	// the last belong to the data and do not scale.
	In  int `json:"in"`
	Out int `json:"out"`
	// Positions is the number of inputs that share a channel: kernel positions, or image positions in front of a dense
	// layer; 1 elsewhere. The fan-in is In·Positions.
	Positions int `json:"positions"`
	FanOut    int `json:"fan_out"` // counts kernel positions too
	// Init is the model's own initialiser of the weights.
	Init nn.Initializer `json:"-"`
	// Weight and Bias are indices in the model's layout; Bias is -1 where there is none.
	Weight int `json:"-"`
	Bias   int `json:"-"`
}

// FanIn returns the inputs of a unit.
func (l Layer) FanIn() int { return l.In * l.Positions }

// InitSD returns the standard deviation of an initial weight under the model's own initialiser.
func (l Layer) InitSD() float64 {
	return l.Init.SD(nn.Param{Shape: tensor.ShapeOf(l.FanIn(), l.Out), FanIn: l.FanIn(), FanOut: l.FanOut})
}

// Net is a chain of affine layers, from the data to the output.
type Net []Layer

// Hidden returns the number of hidden layers L.
func (n Net) Hidden() int { return len(n) - 1 }

// Widths returns N_1 … N_L.
func (n Net) Widths() []int {
	w := make([]int, 0, len(n))
	for _, l := range n[:len(n)-1] {
		w = append(w, l.Out)
	}
	return w
}

// MLP returns the net with the given inputs, hidden widths and outputs, with Glorot's initial scale and biases.
func MLP(inputs int, widths []int, outputs int) Net {
	sizes := append(append([]int{inputs}, widths...), outputs)
	net := make(Net, len(sizes)-1)
	for i := range net {
		in, out := sizes[i], sizes[i+1]
		net[i] = Layer{Name: fmt.Sprintf("dense%d", i+1), In: in, Out: out, Positions: 1, FanOut: out,
			Init: nn.Initializer{Name: "glorot-uniform", Param: 1}, Weight: 2 * i, Bias: 2*i + 1}
	}
	return net
}

// NetOf reads the chain of layers from a model's layout. The error says which parameter does not belong to one: a
// normalisation layer, a table of symbols, a residual block.
func NetOf(layout *nn.Layout) (Net, error) {
	var net Net
	for i := range layout.Len() {
		p := layout.At(i)
		path := p.Name[:max(0, strings.LastIndex(p.Name, "."))]
		if strings.HasPrefix(path, "block") || p.Kind != nn.Weight && p.Kind != nn.Bias {
			return nil, fmt.Errorf("rates: parameter %q (%v) belongs to no chain of affine layers\nhint: the rules are for multi-layer perceptrons and plain convolutional networks; others have the parametrization standard", p.Name, p.Kind)
		}
		if p.Kind == nn.Bias {
			if len(net) == 0 || net[len(net)-1].Name != path {
				return nil, fmt.Errorf("rates: the bias %q follows no weight of its layer\nhint: use the parametrization standard", p.Name)
			}
			net[len(net)-1].Bias = i
			continue
		}
		in, positions := p.FanIn, 1
		if k := len(net); k > 0 {
			in = net[k-1].Out
			if in == 0 || p.FanIn%in != 0 {
				return nil, fmt.Errorf("rates: %q has the fan-in %d, which is no multiple of the %d units before it\nhint: grouped convolutions and branches have the parametrization standard", p.Name, p.FanIn, in)
			}
			positions = p.FanIn / in
		}
		net = append(net, Layer{Name: path, In: in, Out: p.Shape.Cols(), Positions: positions, FanOut: p.FanOut, Init: p.Init, Weight: i, Bias: -1})
	}
	if len(net) == 0 {
		return nil, fmt.Errorf("rates: the model has no affine layer\nhint: use the parametrization standard")
	}
	return net, nil
}

// AtWidth returns the same net with hidden widths in the same proportions, the first of them w and none below 1.
func (n Net) AtWidth(w int) Net {
	out := make(Net, len(n))
	copy(out, n)
	if n.Hidden() < 1 {
		return out
	}
	ratio := float64(w) / float64(n[0].Out)
	for i := range out {
		l := &out[i]
		kernel := float64(l.FanOut) / float64(l.Out)
		if i > 0 {
			l.In = out[i-1].Out
		}
		if i < len(out)-1 {
			l.Out = max(1, int(math.Round(float64(l.Out)*ratio)))
		}
		l.FanOut = int(math.Round(kernel * float64(l.Out)))
	}
	return out
}
