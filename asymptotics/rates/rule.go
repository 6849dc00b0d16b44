package rates

import "math"

// scaling is what a rule gives one layer: w = multiplier·W with W of standard deviation raw and rate rawRate on W, which
// as rates on w itself are rate, and bias for the bias.
type scaling struct {
	multiplier, raw, rawRate float64
	sd, rate, bias           float64
}

// fold computes the multiplier-free form: sd = a·raw, and rate a²c for SGD, a·c for Adam.
func (s *scaling) fold(o Optimizer) {
	s.sd = s.multiplier * s.raw
	s.rate = s.multiplier * s.rawRate
	if o == SGD {
		s.rate *= s.multiplier
	}
}

// scalings applies the rule to every layer, with the powers of the widths themselves.
func (p Parametrization) scalings(net Net, o Optimizer) []scaling {
	out := make([]scaling, len(net))
	switch p.Rule {
	case NTK:
		for i, l := range net {
			out[i] = scaling{multiplier: 1 / math.Sqrt(float64(l.FanIn())), raw: 1, rawRate: 1, bias: 1}
			out[i].fold(o)
		}
	case MuP:
		maximal(out, net, o)
	case Gamma:
		p.normalised(out, net, o)
	default:
		for i, l := range net {
			out[i] = scaling{multiplier: 1, raw: l.InitSD(), rawRate: 1, bias: 1}
			out[i].fold(o)
		}
	}
	return out
}

// maximal is the maximal update parametrization, written without multipliers (Yang and Hu, Tensor Programs V, 2022, table 3):
//
//	                 input, biases     hidden         output
//	variance         1/fan-in          1/fan-in       1/fan-in²
//	rate, SGD        out               out/in         1/in
//	rate, Adam       1                 1/in           1/in
//
// with in and out the widths that grow.
func maximal(out []scaling, net Net, o Optimizer) {
	last := len(net) - 1
	for i, l := range net {
		in, wide := float64(l.In), float64(l.Out)
		s := scaling{multiplier: 1, raw: 1 / math.Sqrt(float64(l.FanIn())), rawRate: 1, bias: 1}
		if i == last && i > 0 {
			s.raw /= math.Sqrt(in)
		}
		switch {
		case o == Adam && i > 0:
			s.rawRate = 1 / in
		case o == Adam:
		case i == 0 && i < last:
			s.rawRate, s.bias = wide, wide
		case i == last && i > 0:
			s.rawRate = 1 / in
		case i > 0:
			s.rawRate, s.bias = wide/in, wide
		}
		s.fold(o)
		out[i] = s
	}
}

// normalised is the γ-rule. Going back from the output it keeps d = D_l, the size of the gradient that arrives at a unit of layer
// l, and sets for weights of fan-in N_{l-1} (features of size one)
//
//	SGD    rate · N_L · N_{l-1}^{1-2γ_{l-1}} N_l D_l² = 1        (on W; the kernel's share)
//	Adam   rate · N_L · N_{l-1} N_l D_l = 1                      (on w; the sum of absolute gradients)
//
// and for biases the same without N_{l-1}.
func (p Parametrization) normalised(out []scaling, net Net, o Optimizer) {
	last := len(net) - 1
	clock := 1.0
	if last > 0 {
		clock = float64(net[last-1].Out) // steps to a unit of time
	}
	d, units := 1.0, 1.0 // of the output: one number
	for i := last; i >= 0; i-- {
		l := net[i]
		s := scaling{multiplier: p.Input, raw: 1}
		if p.Input == 0 {
			s.multiplier = 1 / math.Sqrt(float64(l.FanIn()))
		}
		share, in := 1.0, 1.0 // N_{l-1}^{1-2γ}, N_{l-1}
		if i > 0 {
			g := p.gamma(i)
			in = float64(l.In)
			s.multiplier = math.Pow(in, -g) / math.Sqrt(float64(l.Positions))
			share = math.Pow(in, 1-2*g)
		}
		if i < last {
			units = float64(l.Out)
		}
		var move float64 // of one weight w in a unit of time
		if o == SGD {
			s.rawRate = 1 / (clock * share * units * d * d)
			s.bias = 1 / (clock * units * d * d)
			s.fold(o)
			move = s.rate * clock * d
		} else {
			rate := 1 / (clock * in * units * d)
			s.bias = 1 / (clock * units * d)
			s.rawRate = rate / s.multiplier
			s.fold(o)
			move = rate * clock
		}
		out[i] = s
		if i == 0 {
			break
		}
		size := math.Pow(in, -p.gamma(i)) // of an initial weight
		switch {
		case i == last: // the units of the output are not summed over
			d *= size
		case p.Correction == Incoherent:
			d *= math.Sqrt(units) * size
		case p.Correction == Auto:
			d *= math.Max(math.Sqrt(units)*size, units*math.Min(move, size))
		default:
			d *= units * size
		}
	}
}
