package rates

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/descent-ml/descent/asymptotics/verdict"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Row is the rule for one tensor.
type Row struct {
	Name string `json:"name"`
	In   int    `json:"in"`  // width before the layer
	Out  int    `json:"out"` // and behind it
	// Multiplier, RawSD and RawRate are the rule as papers write it, for W with w = Multiplier·W; relative to a base
	// width they have no meaning and are 1, SD and Rate.
	Multiplier float64 `json:"multiplier"`
	RawSD      float64 `json:"raw_sd"`
	RawRate    float64 `json:"raw_rate"`
	// SD is the initial standard deviation of w, and Rate the factor of the learning rate: this is what a model
	// without multipliers trains with. A bias has SD 0: its initial value is the model's own.
	SD   float64 `json:"sd"`
	Rate float64 `json:"rate"`
	// Effective is Rate times the learning rate.
	Effective float64 `json:"effective"`
	// RateExponent and SDExponent are d log / d log width, all hidden widths growing together.
	RateExponent float64 `json:"rate_exponent"`
	SDExponent   float64 `json:"sd_exponent"`

	index int     // in the layout
	own   float64 // initial standard deviation under the model's own initialiser
}

// Table is the rule for every tensor of a net.
type Table struct {
	Parametrization string        `json:"parametrization"`
	Optimizer       Optimizer     `json:"optimizer"`
	LR              float64       `json:"lr"`
	Widths          []int         `json:"widths"`
	Base            []int         `json:"base,omitempty"` // widths at which the parametrization is the standard one
	Clock           float64       `json:"clock"`          // steps to a unit of training time
	Rows            []Row         `json:"rows"`
	Label           verdict.Label `json:"label"`
	Notes           []string      `json:"notes,omitempty"`
}

// Table applies the parametrization to a net trained at the given learning rate. The error says what does not fit.
func (p Parametrization) Table(net Net, o Optimizer, lr float64) (*Table, error) {
	if p.Base > 0 {
		return p.relative(net, net.AtWidth(p.Base), o, lr)
	}
	return p.relative(net, nil, o, lr)
}

// Convert carries a model tuned under the standard parametrization at the widths of from, with learning rate lr, to the widths of
// to: the table of to relative to from. Layers correspond by order. The error says where the nets differ in more than width.
func Convert(p Parametrization, from, to Net, o Optimizer, lr float64) (*Table, error) {
	if len(from) != len(to) {
		return nil, fmt.Errorf("rates: a net of %d layers cannot be converted to one of %d\nhint: the rules carry over widths, not depths", len(from), len(to))
	}
	if a, b := from[0], to[0]; a.In != b.In || from[len(from)-1].Out != to[len(to)-1].Out {
		return nil, fmt.Errorf("rates: the nets have other inputs or outputs (%d and %d inputs, %d and %d outputs)\nhint: only hidden widths may differ",
			a.In, b.In, from[len(from)-1].Out, to[len(to)-1].Out)
	}
	return p.relative(to, from, o, lr)
}

func (p Parametrization) relative(net, base Net, o Optimizer, lr float64) (*Table, error) {
	if err := p.check(net); err != nil {
		return nil, err
	}
	if o != SGD && o != Adam {
		return nil, fmt.Errorf("rates: unknown optimizer %q\nhint: sgd or adam", o)
	}
	if !(lr >= 0) || math.IsInf(lr, 1) {
		return nil, fmt.Errorf("rates: found the learning rate %g, expected a number from 0 on\nhint: it multiplies the factors of the table", lr)
	}
	t := &Table{Parametrization: p.String(), Optimizer: o, LR: lr, Widths: net.Widths(), Clock: 1, Label: verdict.Theorem}
	at := p.final(net, base, o)
	twice := p.final(double(net), base, o)
	for i, l := range net {
		s, s2 := at[i], twice[i]
		r := Row{Name: l.Name + ".weight", In: l.In, Out: l.Out, Multiplier: s.multiplier, RawSD: s.raw, RawRate: s.rawRate,
			SD: s.sd, Rate: s.rate, Effective: lr * s.rate, RateExponent: tidy(math.Log2(s2.rate / s.rate)), SDExponent: tidy(math.Log2(s2.sd / s.sd)),
			index: l.Weight, own: l.InitSD()}
		if s.sd == 0 {
			r.SDExponent = 0
		}
		t.Rows = append(t.Rows, r)
		if l.Bias >= 0 {
			t.Rows = append(t.Rows, Row{Name: l.Name + ".bias", In: l.In, Out: l.Out, Multiplier: 1, RawRate: s.bias, Rate: s.bias,
				Effective: lr * s.bias, RateExponent: tidy(math.Log2(s2.bias / s.bias)), index: l.Bias})
		}
	}
	p.notes(t, net, o)
	if base != nil {
		t.Base = base.Widths()
	}
	return t, nil
}

// final is the multiplier-free scalings, relative to the standard parametrization at base if that is not nil.
func (p Parametrization) final(net, base Net, o Optimizer) []scaling {
	at := p.scalings(net, o)
	if base == nil {
		return at
	}
	ref := p.scalings(base, o)
	for i := range at {
		sd := 0.0
		if ref[i].sd > 0 {
			sd = base[i].InitSD() * at[i].sd / ref[i].sd
		}
		rate := at[i].rate / ref[i].rate
		at[i] = scaling{1, sd, rate, sd, rate, at[i].bias / ref[i].bias}
	}
	return at
}

// double returns the net with all hidden widths twice as large.
func double(net Net) Net {
	out := append(Net{}, net...)
	for i := range out {
		if i > 0 {
			out[i].In *= 2
		}
		if i < len(out)-1 {
			out[i].Out *= 2
			out[i].FanOut *= 2
		}
	}
	return out
}

// tidy removes rounding from an exponent.
func tidy(x float64) float64 {
	if r := math.Round(x*1e6) / 1e6; math.Abs(r-x) < 1e-9 {
		return r + 0 // no negative zero
	}
	return x
}

// notes states on what the rule rests and what it leaves out.
func (p Parametrization) notes(t *Table, net Net, o Optimizer) {
	switch p.Rule {
	case NTK:
		t.Notes = append(t.Notes, "lazy: features do not move as the width grows")
	case Gamma:
		if net.Hidden() > 0 {
			t.Clock = float64(net[len(net)-2].Out)
		}
		t.Notes = append(t.Notes, fmt.Sprintf("a unit of training time is N_L = %g steps of one example; with batches of B, B times the rate and 1/B of the steps", t.Clock))
		if net.Hidden() > 3 || p.Correction != Coherent && p.Correction != "" || o == Adam {
			t.Label = verdict.Derived
		}
		if o == Adam {
			t.Notes = append(t.Notes, "the γ-rule is about methods linear in the gradient; for Adam the sum of absolute gradients takes the kernel's place")
		}
		if p.Correction == Coherent || p.Correction == "" {
			for l := 1; l < net.Hidden(); l++ {
				if p.gamma(l) == 0.5 {
					t.Notes = append(t.Notes, "inner γ = 1/2 with zero-mean weights: early layers freeze as the net widens; +auto multiplies their rates by the widths of the layers above")
					break
				}
			}
		}
	case MuP:
	default:
		t.Label = verdict.Empirical
		t.Notes = append(t.Notes, "no dependence on width: the best learning rate moves as the net widens")
	}
	for i, l := range net {
		if i > 0 && l.Positions > 1 || l.FanOut > l.Out {
			t.Notes = append(t.Notes, "convolutions: width is the number of channels, kernel positions are constants (derived)")
			t.Label = verdict.Derived
			break
		}
	}
	if t.Label == verdict.Derived {
		return
	}
	if h := net.Hidden(); h > 0 && 10*h > net[0].Out {
		t.Notes = append(t.Notes, fmt.Sprintf("depth %d is not small against width %d: fluctuations grow like exp(c·depth/width)", h, net[0].Out))
	}
}

// Write prints the table.
func (t *Table) Write(w io.Writer) error {
	fmt.Fprintf(w, "parametrization %s, %s, widths %v, learning rate %g [%s]\n", t.Parametrization, t.Optimizer, t.Widths, t.LR, t.Label)
	if t.Base != nil {
		fmt.Fprintf(w, "the standard parametrization at widths %v\n", t.Base)
	}
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "tensor\tin\tout\tinitial sd\t∝ width^\trate factor\t∝ width^\teffective rate\t")
	for _, r := range t.Rows {
		sd, exp := "own", ""
		if r.SD > 0 {
			sd, exp = fmt.Sprintf("%.4g", r.SD), fmt.Sprintf("%.3g", r.SDExponent)
		}
		fmt.Fprintf(tab, "%s\t%d\t%d\t%s\t%s\t%.4g\t%.3g\t%.4g\t\n", r.Name, r.In, r.Out, sd, exp, r.Rate, r.RateExponent, r.Effective)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, n := range t.Notes {
		if _, err := fmt.Fprintln(w, "note:", n); err != nil {
			return err
		}
	}
	return nil
}

// Plan is the table as training uses it: for each parameter of the layout a factor of its initial values and a factor of
// its learning rate.
type Plan struct {
	InitScale []float64
	Rate      []float64
}

// Plan returns the factors for the model that the net was read from. A weight that starts at zero stays there.
func (t *Table) Plan(layout *nn.Layout) Plan {
	p := Plan{make([]float64, layout.Len()), make([]float64, layout.Len())}
	for i := range p.Rate {
		p.InitScale[i], p.Rate[i] = 1, 1
	}
	for _, r := range t.Rows {
		p.Rate[r.index] = r.Rate
		if r.SD > 0 && r.own > 0 {
			p.InitScale[r.index] = r.SD / r.own
		}
	}
	return p
}

// PlanFor reads the net from a model's layout and returns its plan for a training method. The standard parametrization
// fits any model and any method: its factors are all one.
func PlanFor(p Parametrization, layout *nn.Layout, method string) (Plan, error) {
	if p.IsStandard() {
		return new(Table).Plan(layout), nil
	}
	o, err := OptimizerOf(method)
	if err != nil {
		return Plan{}, err
	}
	net, err := NetOf(layout)
	if err != nil {
		return Plan{}, err
	}
	t, err := p.Table(net, o, 1)
	if err != nil {
		return Plan{}, err
	}
	return t.Plan(layout), nil
}

// Rescale multiplies the initial values params, with the given layout, by the plan's factors.
func Rescale[T tensor.Float](p Plan, layout *nn.Layout, params []T) {
	ws := tensor.NewWorkspace[T](nil)
	for i, f := range p.InitScale {
		if f != 1 {
			v := nn.View(layout, params, i)
			tensor.Scale(ws, v, v, T(f))
		}
	}
}
