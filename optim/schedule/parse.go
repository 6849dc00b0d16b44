package schedule

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
)

// form is one kind of schedule in the notation: NAME[:numbers][@numbers].
type form struct {
	name  string
	usage string
	most  int  // numbers before the @ at most
	at    bool // numbers after an @ are allowed
	make  func(n, at []float64) (Schedule, error)
}

func forms() []form {
	return []form{
		{"constant", "constant", 0, false, func(n, _ []float64) (Schedule, error) { return Constant{}, nil }},
		{"cosine", "cosine or cosine:END", 1, false, func(n, _ []float64) (Schedule, error) {
			end := or(n, 0, 0)
			return Cosine{end}, within("END", end, 0, 1)
		}},
		{"linear", "linear or linear:END", 1, false, func(n, _ []float64) (Schedule, error) {
			end := or(n, 0, 0)
			return Linear{end}, within("END", end, 0, 1)
		}},
		{"polynomial", "polynomial:POWER or polynomial:POWER,END", 2, false, func(n, _ []float64) (Schedule, error) {
			power, end := or(n, 0, 2), or(n, 1, 0)
			return Polynomial{power, end}, first(within("POWER", power, 0.01, 100), within("END", end, 0, 1))
		}},
		{"exponential", "exponential:END", 1, false, func(n, _ []float64) (Schedule, error) {
			end := or(n, 0, 0.01)
			return Exponential{end}, within("END", end, 1e-12, 1)
		}},
		{"step", "step:RATIO@PART,PART as in step:0.1@0.5,0.75", 1, true, func(n, at []float64) (Schedule, error) {
			ratio := or(n, 0, 0.1)
			if at == nil {
				at = []float64{0.5, 0.75}
			}
			last := 0.0
			for _, a := range at {
				if err := within("PART", a, 0, 1); err != nil {
					return nil, err
				}
				if a <= last {
					return nil, fmt.Errorf("the parts of the horizon must increase, found %g after %g", a, last)
				}
				last = a
			}
			return Step{ratio, at}, within("RATIO", ratio, 0, 10)
		}},
		{"one-cycle", "one-cycle or one-cycle:PEAK,START,END", 3, false, func(n, _ []float64) (Schedule, error) {
			c := OneCycle{or(n, 0, 0.3), or(n, 1, 0.04), or(n, 2, 0.0001)}
			return c, first(within("PEAK", c.Peak, 0.001, 0.999), within("START", c.Start, 0, 1), within("END", c.End, 0, 1))
		}},
		{"warmup", "warmup:LENGTH,SCHEDULE as in warmup:0.1,cosine", 1, false, func(n, _ []float64) (Schedule, error) {
			length := or(n, 0, 0.05)
			return Warmup{Length: length}, within("LENGTH", length, 0, 1e15)
		}},
		{"plateau", "plateau:RATIO@PATIENCE as in plateau:0.1@10", 1, true, func(n, at []float64) (Schedule, error) {
			ratio, patience := or(n, 0, 0.1), or(at, 0, 10)
			if len(at) > 1 || patience != float64(int(patience)) {
				return nil, fmt.Errorf("PATIENCE is one whole number of evaluations")
			}
			return NewPlateau(ratio, int(patience)), first(within("RATIO", ratio, 1e-6, 0.999999), within("PATIENCE", patience, 0, 1e9))
		}},
	}
}

// Names returns the names of the schedules with their notation, for listings.
func Names() [][2]string {
	var out [][2]string
	for _, f := range forms() {
		out = append(out, [2]string{f.name, f.usage})
	}
	return out
}

// Parse reads a schedule such as "cosine", "warmup:0.1,cosine" or "step:0.3@0.5,0.75"; the package
// text has the notation. The empty text is [Constant]. An error says which part was not understood,
// what was expected, and on a line that begins with "hint:" how to write it.
func Parse(text string) (Schedule, error) {
	parts := split(text)
	if len(parts) == 0 {
		return Constant{}, nil
	}
	var chain []Schedule
	for _, part := range parts {
		s, err := parsePart(part)
		if err != nil {
			return nil, fmt.Errorf("schedule %q: %w", text, err)
		}
		chain = append(chain, s)
	}
	out := chain[len(chain)-1]
	for i := len(chain) - 2; i >= 0; i-- {
		w, ok := chain[i].(Warmup)
		if !ok {
			return nil, fmt.Errorf("schedule %q: nothing may follow %s\nhint: only a warm-up is followed by another schedule, as in warmup:0.1,cosine", text, chain[i])
		}
		if _, twice := out.(Warmup); twice {
			return nil, fmt.Errorf("schedule %q: two warm-ups\nhint: write one, as in warmup:0.1,cosine", text)
		}
		w.Then = out
		out = w
	}
	return out, nil
}

// split cuts at the commas, except where a number follows: that belongs to the part before.
func split(text string) []string {
	var parts []string
	for _, s := range strings.Split(text, ",") {
		s = strings.TrimSpace(s)
		if len(parts) > 0 && (s == "" || strings.ContainsRune("0123456789.+-", rune(s[0]))) {
			parts[len(parts)-1] += "," + s
			continue
		}
		parts = append(parts, s)
	}
	if len(parts) == 1 && parts[0] == "" {
		return nil
	}
	return parts
}

func parsePart(part string) (Schedule, error) {
	head, tail, hasAt := strings.Cut(part, "@")
	name, args, hasArgs := strings.Cut(head, ":")
	var names []string
	for _, f := range forms() {
		names = append(names, f.name)
		if f.name != name {
			continue
		}
		var n, at []float64
		var err error
		if hasArgs {
			n, err = numbers(args)
		}
		if err == nil && hasAt {
			at, err = numbers(tail)
		}
		if err == nil && len(n) > f.most {
			err = fmt.Errorf("%s has at most %d numbers, found %d", name, f.most, len(n))
		}
		if err == nil && hasAt && !f.at {
			err = fmt.Errorf("%s has no @", name)
		}
		var s Schedule
		if err == nil {
			s, err = f.make(n, at)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w\nhint: write %s", part, err, f.usage)
		}
		return s, nil
	}
	return nil, fmt.Errorf("there is no schedule %q\nhint: %s", name,
		nearest.Hint(name, names, "the schedules are "+strings.Join(names, ", ")))
}

func numbers(text string) ([]float64, error) {
	var out []float64
	for _, s := range strings.Split(text, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return nil, fmt.Errorf("expected a number, found %q", s)
		}
		out = append(out, v)
	}
	return out, nil
}

// or is n[i], or usual where it is not given.
func or(n []float64, i int, usual float64) float64 {
	if i < len(n) {
		return n[i]
	}
	return usual
}

func within(what string, v, lo, hi float64) error {
	if v >= lo && v <= hi { // false for NaN
		return nil
	}
	return fmt.Errorf("%s is %g, expected %g to %g", what, v, lo, hi)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
