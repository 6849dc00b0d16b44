package rates

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
)

// Rule is a family of parametrizations.
type Rule string

// The rules.
const (
	Standard Rule = "standard"
	NTK      Rule = "ntk"
	MuP      Rule = "mup"
	Gamma    Rule = "gamma"
)

// Correction says how the γ-rule bounds a sum over the units of a layer on the way back.
type Correction string

// The corrections; see the package text.
const (
	Coherent   Correction = "coherent"   // N terms add up to N: the published table
	Incoherent Correction = "incoherent" // N terms of random sign add up to √N
	Auto       Correction = "auto"       // the larger of √N and N times the move of a weight
)

// Optimizer is what an update does with the size of the gradient.
type Optimizer string

// The classes of optimizers.
const (
	SGD  Optimizer = "sgd"  // linear in the gradient
	Adam Optimizer = "adam" // indifferent to its scale, tensor by tensor
)

// OptimizerOf returns the class of a training method. The error names those that have one.
func OptimizerOf(method string) (Optimizer, error) {
	linear := []string{"sgd", "momentum", "nesterov"}
	invariant := []string{"adam", "adamw", "amsgrad", "adamax", "nadam", "rmsprop", "lion", "adopt", "ademamix"}
	for _, m := range linear {
		if m == method {
			return SGD, nil
		}
	}
	for _, m := range invariant {
		if m == method {
			return Adam, nil
		}
	}
	all := append(linear, invariant...)
	return "", fmt.Errorf("rates: method %q has no known dependence on width\nhint: %s", method,
		nearest.Hint(method, all, "the rules are derived for "+strings.Join(all, ", ")))
}

// Parametrization says how rates and initial scales depend on the widths. The zero value is the standard one.
type Parametrization struct {
	Rule Rule
	// Gammas are γ_1 … γ_L of the γ-rule; one value serves all layers.
	Gammas     []float64
	Correction Correction // of the γ-rule; "" is Coherent
	// Base is the first hidden width of the model at which the parametrization is the standard one; 0 takes the powers of the
	// widths themselves.
	Base int
	// Input is the multiplier of the first layer under the γ-rule, and its weights start with unit variance; 0: 1/√fan-in.
	Input float64
}

// Parse reads rule[:γ,…][+correction][@base]: "standard", "mup", "mup@128", "ntk", "gamma:0.9", "gamma:0.5,1+auto".
// muP without a base has 64.
func Parse(spec string) (Parametrization, error) {
	text := strings.ToLower(strings.TrimSpace(spec))
	fail := func(found, want string) (Parametrization, error) {
		return Parametrization{}, fmt.Errorf("parametrization %q: found %s, expected %s\nhint: standard, mup, ntk or gamma:0.9, for two hidden layers also gamma:0.5,1+auto; a base width after @", spec, found, want)
	}
	var p Parametrization
	text, base, based := strings.Cut(text, "@")
	if based {
		n, err := strconv.Atoi(base)
		if err != nil || n < 1 {
			return fail(strconv.Quote(base), "a width from 1 on after @")
		}
		p.Base = n
	}
	text, correction, corrected := strings.Cut(text, "+")
	rule, list, given := strings.Cut(text, ":")
	switch p.Rule = Rule(rule); p.Rule {
	case "":
		p.Rule = Standard
	case Standard, NTK, Gamma:
	case MuP:
		if !based {
			p.Base = 64
		}
	default:
		names := []string{"standard", "mup", "ntk", "gamma"}
		return Parametrization{}, fmt.Errorf("unknown parametrization %q\nhint: %s", spec, nearest.Hint(rule, names, "one of standard, mup, ntk, gamma:0.9"))
	}
	if p.Rule != Gamma {
		if given || corrected {
			return fail(text+map[bool]string{true: "+" + correction}[corrected], "no numbers and no correction except with gamma")
		}
		return p, nil
	}
	if !given {
		return fail("no exponent", "one or more numbers from 0.5 to 1 after gamma:")
	}
	for _, w := range strings.Split(list, ",") {
		g, err := strconv.ParseFloat(strings.TrimSpace(w), 64)
		if err != nil || !(g >= 0.5 && g <= 1) {
			return fail(strconv.Quote(w), "an exponent from 0.5 to 1")
		}
		p.Gammas = append(p.Gammas, g)
	}
	p.Correction = Coherent
	if corrected {
		switch c := Correction(correction); c {
		case Coherent, Incoherent, Auto:
			p.Correction = c
		default:
			return fail(strconv.Quote(correction), "coherent, incoherent or auto after +")
		}
	}
	return p, nil
}

// IsStandard reports whether all factors are one at any width.
func (p Parametrization) IsStandard() bool { return p.Rule == Standard || p.Rule == "" }

// String returns the form that [Parse] reads.
func (p Parametrization) String() string {
	s := string(p.Rule)
	if s == "" {
		s = string(Standard)
	}
	if p.Rule == Gamma {
		var list []string
		for _, g := range p.Gammas {
			list = append(list, strconv.FormatFloat(g, 'g', -1, 64))
		}
		s += ":" + strings.Join(list, ",")
		if p.Correction != "" && p.Correction != Coherent {
			s += "+" + string(p.Correction)
		}
	}
	if p.Base > 0 {
		s += "@" + strconv.Itoa(p.Base)
	}
	return s
}

// gamma returns γ of hidden layer l, 1 to L.
func (p Parametrization) gamma(l int) float64 {
	if len(p.Gammas) == 1 {
		return p.Gammas[0]
	}
	return p.Gammas[l-1]
}

// check says whether the parametrization fits the net.
func (p Parametrization) check(net Net) error {
	if len(net) == 0 {
		return fmt.Errorf("rates: a net without layers\nhint: give at least one affine layer")
	}
	for _, l := range net {
		if l.In < 1 || l.Out < 1 || l.Positions < 1 {
			return fmt.Errorf("rates: layer %s: found widths %d and %d with %d positions, expected at least 1\nhint: widths are numbers of units", l.Name, l.In, l.Out, l.Positions)
		}
	}
	if p.Rule != Gamma {
		return nil
	}
	if k := len(p.Gammas); k == 0 || k != 1 && k != net.Hidden() {
		return fmt.Errorf("rates: found %d exponents γ for %d hidden layers, expected one for all or one for each\nhint: gamma:0.9", k, net.Hidden())
	}
	for _, g := range p.Gammas {
		if !(g >= 0.5 && g <= 1) || math.IsNaN(g) {
			return fmt.Errorf("rates: found γ = %g, expected a number from 0.5 to 1\nhint: 0.5 is the kernel scaling, 1 the mean-field scaling", g)
		}
	}
	return nil
}
