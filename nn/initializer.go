package nn

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
	"github.com/descent-ml/descent/tensor"
)

// Initializer says how a parameter starts: the name of a distribution and its one number. The values
// are a pure function of a key, the parameter's name, its shape and its fans: neither the order of the
// parameters nor the element type matters (float32 gets the float64 values, rounded). The zero
// Initializer gives zeros.
//
//	zeros              0
//	constant:c         c
//	normal:sd          N(0, sd²)                                       default sd 0.05
//	truncated-normal:sd  N(0, sd²) cut off at ±2 sd (not rescaled)     default sd 0.05
//	uniform:a          U(−a, a)                                        default a 0.05
//	glorot-uniform     U(−a, a), a = √(6/(in+out))                     Glorot and Bengio, 2010
//	glorot-normal      N(0, 2/(in+out))
//	he-uniform         U(−a, a), a = √(6/in)                           He et al., 2015
//	he-normal          N(0, 2/in)
//	lecun-uniform      U(−a, a), a = √(3/in)                           LeCun et al., 1998
//	lecun-normal       N(0, 1/in)
//	orthogonal         rows or columns orthonormal, Haar distributed   Saxe et al., 2014
//
// The scaled ones (from Glorot's on) take a gain, default 1, that multiplies every value. in and out are
// the parameter's fans; for a convolution they count the kernel's positions. glorot is also called
// xavier, he also kaiming.
type Initializer struct {
	Name  string
	Param float64
}

// Zeros, Constant, Normal, TruncatedNormal and Scaled return the named initialisers.
func Zeros() Initializer { return Initializer{Name: "zeros"} }

// Constant returns the initialiser with every value c.
func Constant(c float64) Initializer { return Initializer{"constant", c} }

// Normal returns the initialiser that draws from N(0, sd²).
func Normal(sd float64) Initializer { return Initializer{"normal", sd} }

// TruncatedNormal returns the initialiser that draws from N(0, sd²) conditioned on |x| ≤ 2 sd, as
// TensorFlow's does: the standard deviation of what comes out is 0.880 sd.
func TruncatedNormal(sd float64) Initializer { return Initializer{"truncated-normal", sd} }

// String returns the form that [ParseInitializer] reads.
func (i Initializer) String() string {
	switch r, ok := findInit(i.Name); {
	case i.Name == "":
		return "zeros"
	case ok && (i.Param == r.standard || i.Name == "zeros"):
		return i.Name
	}
	return i.Name + ":" + strconv.FormatFloat(i.Param, 'g', -1, 64)
}

// initRule is one row of the table of initialisers.
type initRule struct {
	name, aliases string
	standard      float64 // the number where none is given
	fill          func(key tensor.Key, p Param, x float64, dst []float64)
}

// initRules is the table of initialisers. It is a function, not a variable, so that nobody can change it.
func initRules() []initRule {
	uniform := func(half func(p Param) float64) func(tensor.Key, Param, float64, []float64) {
		return func(key tensor.Key, p Param, x float64, dst []float64) {
			a := x * half(p)
			tensor.Uniform(key, dst, -a, a)
		}
	}
	normal := func(sd func(p Param) float64) func(tensor.Key, Param, float64, []float64) {
		return func(key tensor.Key, p Param, x float64, dst []float64) {
			tensor.Normal(key, dst, 0, x*sd(p))
		}
	}
	root := func(num float64, fan func(p Param) int) func(p Param) float64 {
		return func(p Param) float64 { return math.Sqrt(num / float64(max(1, fan(p)))) }
	}
	in := func(p Param) int { return p.FanIn }
	both := func(p Param) int { return p.FanIn + p.FanOut }
	one := func(Param) float64 { return 1 }
	return []initRule{
		{"zeros", "zero", 0, func(_ tensor.Key, _ Param, _ float64, dst []float64) { clear(dst) }},
		{"constant", "", 0, func(_ tensor.Key, _ Param, x float64, dst []float64) {
			for i := range dst {
				dst[i] = x
			}
		}},
		{"normal", "", 0.05, normal(one)},
		{"truncated-normal", "", 0.05, truncatedNormal},
		{"uniform", "", 0.05, uniform(one)},
		{"glorot-uniform", "glorot xavier xavier-uniform", 1, uniform(root(6, both))},
		{"glorot-normal", "xavier-normal", 1, normal(root(2, both))},
		{"he-uniform", "kaiming-uniform", 1, uniform(root(6, in))},
		{"he-normal", "he kaiming kaiming-normal", 1, normal(root(2, in))},
		{"lecun-uniform", "", 1, uniform(root(3, in))},
		{"lecun-normal", "lecun", 1, normal(root(1, in))},
		{"orthogonal", "", 1, orthogonal},
	}
}

// Initializers returns the names of the initialisers.
func Initializers() []string {
	var names []string
	for _, r := range initRules() {
		names = append(names, r.name)
	}
	return names
}

func findInit(name string) (initRule, bool) {
	for _, r := range initRules() {
		if r.name == name {
			return r, true
		}
		for _, a := range strings.Fields(r.aliases) {
			if a == name {
				return r, true
			}
		}
	}
	return initRule{}, false
}

// ParseInitializer reads "name" or "name:number". The error names the nearest initialisers.
func ParseInitializer(spec string) (Initializer, error) {
	name, number, given := strings.Cut(strings.ToLower(strings.TrimSpace(spec)), ":")
	r, ok := findInit(name)
	if !ok {
		return Initializer{}, fmt.Errorf("unknown initialiser %q\nhint: %s", name,
			nearest.Hint(name, Initializers(), "one of "+strings.Join(Initializers(), ", ")))
	}
	i := Initializer{r.name, r.standard}
	if given {
		x, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || x < 0 && r.name != "constant" {
			return Initializer{}, fmt.Errorf("initialiser %q: found %q after the colon, expected a finite number (not negative, except for constant)\nhint: for example %s:%g",
				spec, number, r.name, max(r.standard, 0.05))
		}
		i.Param = x
	}
	return i, nil
}

// Fill stores the initial values of p in dst, which has p.Shape.Size() elements. The stream of random
// numbers is that of key named by p.Name. It panics if p.Init is not one of [Initializers].
func Fill[T tensor.Float](key tensor.Key, p Param, dst []T) {
	if len(dst) != p.Shape.Size() {
		panic(tensor.ShapeError{Op: "Fill " + p.Name, A: p.Shape, B: tensor.ShapeOf(len(dst))})
	}
	if p.Init.Name == "" {
		clear(dst)
		return
	}
	r, ok := findInit(p.Init.Name)
	if !ok {
		panic(fmt.Sprintf("nn: parameter %q: unknown initialiser %q", p.Name, p.Init.Name))
	}
	buf := make([]float64, len(dst))
	r.fill(key.Named(p.Name), p, p.Init.Param, buf)
	for i, x := range buf {
		dst[i] = T(x)
	}
}

// Initialize fills the parameter buffer and the state buffer (running statistics) of m with their
// initial values; the buffers have m.Layout().Size() and m.StateLayout().Size() elements.
func Initialize[T tensor.Float](m Model[T], key tensor.Key, params, state []T) {
	fillAll(m.Layout(), key.Named("parameters"), params)
	fillAll(m.StateLayout(), key.Named("state"), state)
}

func fillAll[T tensor.Float](l *Layout, key tensor.Key, buf []T) {
	if len(buf) != l.Size() {
		panic(tensor.ShapeError{Op: "Initialize", A: tensor.ShapeOf(l.Size()), B: tensor.ShapeOf(len(buf))})
	}
	for i := range l.Len() {
		p := l.At(i)
		Fill(key, p, buf[p.Offset:p.Offset+p.Shape.Size()])
	}
}

// truncatedNormal draws x = sd·Φ⁻¹(u), u uniform in (Φ(−2), Φ(2)): the inverse distribution function
// needs one uniform number an element, so that element i is a function of i alone.
func truncatedNormal(key tensor.Key, _ Param, sd float64, dst []float64) {
	edge := math.Erf(math.Sqrt2)
	for i := range dst {
		u := (float64(key.Uint64(uint64(i))>>11) + 0.5) * 0x1p-53 // in (0, 1)
		dst[i] = sd * math.Sqrt2 * math.Erfinv(edge*(2*u-1))
	}
}

// orthogonal draws the [rows, cols] matrix Q = gain · (orthonormal columns, or rows if there are fewer) as
// the Q of the QR factorisation, with positive diagonal of R, of a standard normal matrix, which makes
// it Haar distributed (Mezzadri, 2007). Gram–Schmidt with every projection done twice, which is
// orthogonal to rounding (Giraud et al., 2005). Cost: 4·rows·cols·min(rows, cols) operations.
func orthogonal(key tensor.Key, p Param, gain float64, dst []float64) {
	rows, cols := p.Shape.Rows(), p.Shape.Cols()
	n, k := max(rows, cols), min(rows, cols)
	v := make([]float64, n*k) // k vectors of length n, one after another
	tensor.Normal(key, v, 0, 1)
	for j := range k {
		x := v[j*n : (j+1)*n]
		for range 2 {
			for i := range j {
				q := v[i*n : (i+1)*n]
				var dot float64
				for l := range x {
					dot += q[l] * x[l]
				}
				for l := range x {
					x[l] -= dot * q[l]
				}
			}
		}
		var norm float64
		for _, a := range x {
			norm += a * a
		}
		norm = math.Sqrt(norm)
		for l := range x {
			x[l] /= norm
		}
	}
	for i := range rows {
		for j := range cols {
			if cols <= rows {
				dst[i*cols+j] = gain * v[j*n+i]
			} else {
				dst[i*cols+j] = gain * v[i*n+j]
			}
		}
	}
}
