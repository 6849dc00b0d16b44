package tensor

import (
	"math"

	"github.com/descent-ml/descent/internal/simd"
)

// The element by element operations. All tensors of one call have the same number of elements (else
// a [ShapeError] panic); dst may be one of the operands. Each element of the result depends on its
// own operands alone, so how the work is cut among workers does not show.

const (
	mapGrain  = 1 << 10 // elements; the cut between workers is a multiple of it
	mapSerial = 1 << 15 // below this many cheap elements another worker costs more than it saves
	funSerial = 1 << 12 // the same for exponentials and their kin
)

// serial reports whether n elements are better done by the caller alone.
func (w *Workspace[T]) serial(n, threshold int) bool { return n < threshold || w.pool.Workers() == 1 }

func sameSize[T Float](op string, dst, a Tensor[T]) {
	if len(dst.data) != len(a.data) {
		panic(ShapeError{Op: op, A: dst.shape, B: a.shape})
	}
}

// binary is an operation on two operands.
type binary uint8

const (
	opAdd binary = iota
	opSub
	opMul
	opDiv
	opMax
	opMin
	opMulAdd
)

func (k binary) String() string {
	return [...]string{"Add", "Sub", "Mul", "Div", "Maximum", "Minimum", "MulAdd"}[k]
}

func binaryKernel[T Float](k binary, d, a, b []T) {
	switch k {
	case opAdd:
		simd.Add(d, a, b)
	case opSub:
		simd.Sub(d, a, b)
	case opMul:
		simd.Mul(d, a, b)
	case opDiv:
		simd.Div(d, a, b)
	case opMax:
		simd.Max(d, a, b)
	case opMin:
		simd.Min(d, a, b)
	case opMulAdd:
		simd.MulAdd(d, a, b)
	}
}

func map2[T Float](ws *Workspace[T], k binary, dst, a, b Tensor[T]) {
	if len(dst.data) != len(a.data) || len(a.data) != len(b.data) {
		panic(ShapeError{Op: k.String(), A: a.shape, B: b.shape, Detail: "result " + dst.shape.String()})
	}
	if ws.serial(len(dst.data), mapSerial) {
		binaryKernel(k, dst.data, a.data, b.data)
		return
	}
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) {
		binaryKernel(k, dst.data[lo:hi], a.data[lo:hi], b.data[lo:hi])
	})
}

// Add stores a + b in dst.
func Add[T Float](ws *Workspace[T], dst, a, b Tensor[T]) { map2(ws, opAdd, dst, a, b) }

// Sub stores a − b in dst.
func Sub[T Float](ws *Workspace[T], dst, a, b Tensor[T]) { map2(ws, opSub, dst, a, b) }

// Mul stores the element by element product a∘b in dst.
func Mul[T Float](ws *Workspace[T], dst, a, b Tensor[T]) { map2(ws, opMul, dst, a, b) }

// Div stores the element by element quotient in dst.
func Div[T Float](ws *Workspace[T], dst, a, b Tensor[T]) { map2(ws, opDiv, dst, a, b) }

// Maximum stores the larger of a and b in dst.
func Maximum[T Float](ws *Workspace[T], dst, a, b Tensor[T]) { map2(ws, opMax, dst, a, b) }

// Minimum stores the smaller of a and b in dst.
func Minimum[T Float](ws *Workspace[T], dst, a, b Tensor[T]) { map2(ws, opMin, dst, a, b) }

// MulAdd adds a∘b to dst.
func MulAdd[T Float](ws *Workspace[T], dst, a, b Tensor[T]) { map2(ws, opMulAdd, dst, a, b) }

// Scale stores s·a in dst.
func Scale[T Float](ws *Workspace[T], dst, a Tensor[T], s T) {
	sameSize("Scale", dst, a)
	if ws.serial(len(dst.data), mapSerial) {
		simd.Scale(dst.data, a.data, s)
		return
	}
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) { simd.Scale(dst.data[lo:hi], a.data[lo:hi], s) })
}

// AddScalar stores a + s in dst.
func AddScalar[T Float](ws *Workspace[T], dst, a Tensor[T], s T) {
	sameSize("AddScalar", dst, a)
	if ws.serial(len(dst.data), mapSerial) {
		simd.AddScalar(dst.data, a.data, s)
		return
	}
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) { simd.AddScalar(dst.data[lo:hi], a.data[lo:hi], s) })
}

// Axpy adds s·a to dst.
func Axpy[T Float](ws *Workspace[T], dst Tensor[T], s T, a Tensor[T]) {
	sameSize("Axpy", dst, a)
	if ws.serial(len(dst.data), mapSerial) {
		simd.Axpy(dst.data, s, a.data)
		return
	}
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) { simd.Axpy(dst.data[lo:hi], s, a.data[lo:hi]) })
}

// Axpby stores s·a + t·dst in dst.
func Axpby[T Float](ws *Workspace[T], dst Tensor[T], s T, a Tensor[T], t T) {
	sameSize("Axpby", dst, a)
	if ws.serial(len(dst.data), mapSerial) {
		simd.Axpby(dst.data, s, a.data, t)
		return
	}
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) { simd.Axpby(dst.data[lo:hi], s, a.data[lo:hi], t) })
}

// Copy stores the elements of a in dst.
func Copy[T Float](ws *Workspace[T], dst, a Tensor[T]) {
	sameSize("Copy", dst, a)
	if ws.serial(len(dst.data), mapSerial) {
		copy(dst.data, a.data)
		return
	}
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) { copy(dst.data[lo:hi], a.data[lo:hi]) })
}

// Fill stores v in every element of dst.
func Fill[T Float](dst Tensor[T], v T) {
	for i := range dst.data {
		dst.data[i] = v
	}
}

// Func is a function of one variable that is applied element by element; [Apply] evaluates it,
// [ApplyGrad] its derivative. Some have a parameter p.
type Func uint8

// The functions of one variable.
const (
	Reciprocal Func = iota // 1/x
	Square                 // x²
	Abs                    // |x|
	Sqrt                   // √x
	Exp                    // eˣ
	Log                    // ln x
	Pow                    // xᵖ
	Sin                    // sin x
	Cos                    // cos x
	Erf                    // the error function (2/√π) ∫₀ˣ e^(−u²) du
	Tanh                   // tanh x
	Sigmoid                // 1/(1 + e⁻ˣ)
	Softplus               // ln(1 + eˣ)
	ReLU                   // max(x, 0)
	LeakyReLU              // x for x > 0, else p·x
	ELU                    // x for x > 0, else eˣ − 1
	GELU                   // x Φ(x), Φ the normal distribution function (exact, by erf)
	SiLU                   // x/(1 + e⁻ˣ)
	HardTanh               // x cut to [−1, 1]
	numFuncs
)

// String returns the function's name.
func (f Func) String() string {
	return [...]string{"Reciprocal", "Square", "Abs", "Sqrt", "Exp", "Log", "Pow", "Sin", "Cos", "Erf", "Tanh", "Sigmoid",
		"Softplus", "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "HardTanh"}[f]
}

// PiecewiseLinear reports whether the second derivative of f is zero almost everywhere. At a kink the
// derivative is that of the left side.
func (f Func) PiecewiseLinear() bool {
	return f == Abs || f == ReLU || f == LeakyReLU || f == HardTanh
}

func (f Func) threshold() int {
	switch f {
	case Reciprocal, Square, Abs, Sqrt, ReLU, LeakyReLU, HardTanh:
		return mapSerial
	}
	return funSerial
}

// Apply stores f(a) in dst, element by element; p is the parameter of f if it has one.
func Apply[T Float](ws *Workspace[T], dst Tensor[T], f Func, a Tensor[T], p float64) {
	sameSize(f.String(), dst, a)
	if ws.serial(len(dst.data), f.threshold()) {
		applyKernel(f, p, dst.data, a.data)
		return
	}
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) { applyKernel(f, p, dst.data[lo:hi], a.data[lo:hi]) })
}

func applyKernel[T Float](f Func, p float64, d, a []T) {
	switch f {
	case Reciprocal:
		for i, x := range a {
			d[i] = 1 / x
		}
	case Square:
		simd.Mul(d, a, a)
	case Abs:
		simd.Abs(d, a)
	case Sqrt:
		simd.Sqrt(d, a)
	case Exp:
		simd.Exp(d, a)
	case Log:
		simd.Log(d, a)
	case Pow:
		for i, x := range a {
			d[i] = T(math.Pow(float64(x), p))
		}
	case Sin:
		for i, x := range a {
			d[i] = T(math.Sin(float64(x)))
		}
	case Cos:
		for i, x := range a {
			d[i] = T(math.Cos(float64(x)))
		}
	case Erf:
		simd.Erf(d, a)
	case Tanh:
		simd.Tanh(d, a)
	case Sigmoid:
		simd.Sigmoid(d, a)
	case Softplus:
		simd.Softplus(d, a)
	case ReLU:
		simd.ReLU(d, a)
	case LeakyReLU:
		s := T(p)
		for i, x := range a {
			if !(x > 0) {
				x *= s
			}
			d[i] = x
		}
	case ELU:
		for i, x := range a {
			if !(x > 0) {
				x = T(math.Expm1(float64(x)))
			}
			d[i] = x
		}
	case GELU:
		simd.GELU(d, a)
	case SiLU:
		simd.SiLU(d, a)
	case HardTanh:
		for i, x := range a {
			if x < -1 {
				x = -1
			} else if x > 1 {
				x = 1
			}
			d[i] = x
		}
	default:
		panic("tensor: Apply: unknown function")
	}
}

// ApplyGrad stores g·f′(x) in dst, where y = f(x); p is the parameter of f if it has one. dst may be g.
func ApplyGrad[T Float](ws *Workspace[T], dst Tensor[T], f Func, x, y, g Tensor[T], p float64) {
	sameSize(f.String(), dst, x)
	sameSize(f.String(), dst, y)
	sameSize(f.String(), dst, g)
	if ws.serial(len(dst.data), f.threshold()) {
		gradKernel(f, p, dst.data, x.data, y.data, g.data)
		return
	}
	ws.pool.Range(len(dst.data), mapGrain, func(lo, hi int) {
		gradKernel(f, p, dst.data[lo:hi], x.data[lo:hi], y.data[lo:hi], g.data[lo:hi])
	})
}

func gradKernel[T Float](f Func, p float64, d, x, y, g []T) {
	x, y, g = x[:len(d)], y[:len(d)], g[:len(d)]
	switch f {
	case Reciprocal:
		for i := range d {
			d[i] = -g[i] * y[i] * y[i]
		}
	case Square:
		for i := range d {
			d[i] = 2 * g[i] * x[i]
		}
	case Abs:
		for i := range d {
			if x[i] > 0 {
				d[i] = g[i]
			} else {
				d[i] = -g[i]
			}
		}
	case Sqrt:
		for i := range d {
			d[i] = g[i] / (2 * y[i])
		}
	case Exp:
		simd.Mul(d, g, y)
	case Log:
		simd.Div(d, g, x)
	case Pow:
		for i := range d {
			d[i] = T(float64(g[i]) * p * math.Pow(float64(x[i]), p-1))
		}
	case Sin:
		for i := range d {
			d[i] = T(float64(g[i]) * math.Cos(float64(x[i])))
		}
	case Cos:
		for i := range d {
			d[i] = T(-float64(g[i]) * math.Sin(float64(x[i])))
		}
	case Erf:
		for i := range d {
			v := float64(x[i])
			d[i] = T(float64(g[i]) * (2 / math.SqrtPi) * math.Exp(-v*v))
		}
	case Tanh:
		simd.TanhGrad(d, y, g)
	case Sigmoid:
		simd.SigmoidGrad(d, y, g)
	case ReLU:
		simd.ReLUGrad(d, y, g)
	case LeakyReLU:
		s := T(p)
		for i := range d {
			if x[i] > 0 {
				d[i] = g[i]
			} else {
				d[i] = s * g[i]
			}
		}
	case ELU:
		for i := range d {
			if x[i] > 0 {
				d[i] = g[i]
			} else {
				d[i] = g[i] * (y[i] + 1)
			}
		}
	case HardTanh:
		for i := range d {
			if -1 < x[i] && x[i] <= 1 {
				d[i] = g[i]
			} else {
				d[i] = 0
			}
		}
	case Softplus, SiLU, GELU:
		blockGrad(f, d, x, y, g)
	default:
		panic("tensor: ApplyGrad: unknown function")
	}
}

// blockGrad is gradKernel for functions whose derivative needs another vector function of x, which is
// computed block by block on the stack.
//
//	softplus′ = σ;   SiLU′ = σ + y(1 − σ);   GELU′ = Φ + x φ,  Φ = ½(1 + erf(x/√2)), φ = e^(−x²/2)/√(2π)
func blockGrad[T Float](f Func, d, x, y, g []T) {
	var buf, buf2 [128]T
	for lo := 0; lo < len(d); lo += len(buf) {
		hi := min(lo+len(buf), len(d))
		d, x, y, g, s := d[lo:hi], x[lo:hi], y[lo:hi], g[lo:hi], buf[:hi-lo]
		switch f {
		case Softplus:
			simd.Sigmoid(s, x)
			simd.Mul(d, s, g)
		case SiLU:
			simd.Sigmoid(s, x)
			for i := range d {
				d[i] = g[i] * (s[i] + y[i]*(1-s[i]))
			}
		case GELU:
			e := buf2[:hi-lo]
			simd.Scale(s, x, T(1/math.Sqrt2))
			simd.Mul(e, s, s)
			simd.Scale(e, e, -1)
			simd.Exp(e, e)
			simd.Erf(s, s)
			for i := range d {
				d[i] = g[i] * (T(0.5)*(1+s[i]) + x[i]*e[i]*T(0.3989422804014327))
			}
		}
	}
}

// Select stores a where the mask m is not zero and b elsewhere.
func Select[T Float](dst, m, a, b Tensor[T]) {
	sameSize("Select", dst, m)
	sameSize("Select", dst, a)
	sameSize("Select", dst, b)
	for i, c := range m.data {
		if c != 0 {
			dst.data[i] = a.data[i]
		} else {
			dst.data[i] = b.data[i]
		}
	}
}
