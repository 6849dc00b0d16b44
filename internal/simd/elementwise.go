package simd

import "fmt"

// LengthError is the value that an operation on slices of unequal lengths panics with.
type LengthError struct {
	Op        string
	Want, Got int
}

func (e LengthError) Error() string {
	return fmt.Sprintf("simd: %s: slices of %d and %d elements", e.Op, e.Want, e.Got)
}

func same(op string, want, got int) {
	if want != got {
		panic(LengthError{op, want, got})
	}
}

func same3(op string, n, a, b int) {
	if n != a || n != b {
		same(op, n, a)
		same(op, n, b)
	}
}

// rows panics if n elements are not rows of cols elements.
func rows(op string, n, cols int) {
	if n != 0 && (cols == 0 || n%cols != 0) {
		panic(LengthError{op + " (rows)", n, cols})
	}
}

// Add stores a + b in dst.
func Add[T Float](dst, a, b []T) {
	same3("Add", len(dst), len(a), len(b))
	use[T]().add(dst, a, b)
}

// Sub stores a - b in dst.
func Sub[T Float](dst, a, b []T) {
	same3("Sub", len(dst), len(a), len(b))
	use[T]().sub(dst, a, b)
}

// Mul stores the element-wise product of a and b in dst.
func Mul[T Float](dst, a, b []T) {
	same3("Mul", len(dst), len(a), len(b))
	use[T]().mul(dst, a, b)
}

// Div stores a / b in dst.
func Div[T Float](dst, a, b []T) {
	same3("Div", len(dst), len(a), len(b))
	use[T]().div(dst, a, b)
}

// Max stores a where a > b and b elsewhere (also where one is NaN) in dst.
func Max[T Float](dst, a, b []T) {
	same3("Max", len(dst), len(a), len(b))
	use[T]().max(dst, a, b)
}

// Min stores a where a < b and b elsewhere (also where one is NaN) in dst.
func Min[T Float](dst, a, b []T) {
	same3("Min", len(dst), len(a), len(b))
	use[T]().min(dst, a, b)
}

// MulAdd adds the element-wise product of a and b to dst, rounded once.
func MulAdd[T Float](dst, a, b []T) {
	same3("MulAdd", len(dst), len(a), len(b))
	use[T]().mulAdd(dst, a, b)
}

// AddScalar stores a + s in dst.
func AddScalar[T Float](dst, a []T, s T) {
	same("AddScalar", len(dst), len(a))
	use[T]().addScalar(dst, a, s)
}

// Scale stores s·a in dst.
func Scale[T Float](dst, a []T, s T) {
	same("Scale", len(dst), len(a))
	use[T]().scale(dst, a, s)
}

// Axpy adds s·a to dst, rounded once.
func Axpy[T Float](dst []T, s T, a []T) {
	same("Axpy", len(dst), len(a))
	use[T]().axpy(dst, s, a)
}

// Axpby stores s·a + t·dst in dst; t·dst is rounded, then the sum.
func Axpby[T Float](dst []T, s T, a []T, t T) {
	same("Axpby", len(dst), len(a))
	use[T]().axpby(dst, s, a, t)
}

// Abs stores |a| in dst.
func Abs[T Float](dst, a []T) {
	same("Abs", len(dst), len(a))
	use[T]().abs(dst, a)
}

// Sqrt stores the square root of a, correctly rounded, in dst.
func Sqrt[T Float](dst, a []T) {
	same("Sqrt", len(dst), len(a))
	use[T]().sqrt(dst, a)
}

// ReLU stores 0 where a < 0 and a elsewhere (so NaN stays) in dst.
func ReLU[T Float](dst, a []T) {
	same("ReLU", len(dst), len(a))
	use[T]().relu(dst, a)
}

// ReLUGrad stores g where y > 0 and 0 elsewhere in dst. y is the input or the output of ReLU.
func ReLUGrad[T Float](dst, y, g []T) {
	same3("ReLUGrad", len(dst), len(y), len(g))
	use[T]().reluGrad(dst, y, g)
}

// TanhGrad stores g·(1 - y²) in dst, where y is the output of Tanh.
func TanhGrad[T Float](dst, y, g []T) {
	same3("TanhGrad", len(dst), len(y), len(g))
	use[T]().tanhGrad(dst, y, g)
}

// SigmoidGrad stores g·y·(1 - y) in dst, where y is the output of Sigmoid.
func SigmoidGrad[T Float](dst, y, g []T) {
	same3("SigmoidGrad", len(dst), len(y), len(g))
	use[T]().sigmoidGrad(dst, y, g)
}

// AddRows adds bias to every row of dst, a row-major matrix with len(bias) columns.
func AddRows[T Float](dst, bias []T) {
	rows("AddRows", len(dst), len(bias))
	if len(dst) > 0 {
		use[T]().addRows(dst, len(dst)/len(bias), len(bias), bias)
	}
}

// AddRowsReLU is AddRows followed by ReLU.
func AddRowsReLU[T Float](dst, bias []T) {
	rows("AddRowsReLU", len(dst), len(bias))
	if len(dst) > 0 {
		use[T]().addRowsReLU(dst, len(dst)/len(bias), len(bias), bias)
	}
}

// SumRows adds the rows of a, a row-major matrix with len(dst) columns, to dst, one after another:
// dst[j] ← ((dst[j] + a[0,j]) + a[1,j]) + …
func SumRows[T Float](dst, a []T) {
	rows("SumRows", len(a), len(dst))
	if len(a) > 0 {
		use[T]().sumRows(a, len(a)/len(dst), len(dst), dst)
	}
}

// BytesToFloat stores scale·src + shift, rounded once, in dst.
func BytesToFloat[T Float](dst []T, src []byte, scale, shift T) {
	same("BytesToFloat", len(dst), len(src))
	use[T]().bytes(dst, src, scale, shift)
}

// AdamCoef are the constants of one step of [Adam].
type AdamCoef[T Float] struct {
	Beta1, OneMinusBeta1 T // decay of the first moment and its complement
	Beta2, OneMinusBeta2 T // decay of the second moment and its complement
	StepSize             T // learning rate over 1 - β₁ᵗ
	Sqrt2                T // √(1 - β₂ᵗ)
	Eps                  T // added to the denominator
	Decay                T // decoupled weight decay times the learning rate
}

// Adam does one step of Adam (Kingma and Ba, 2015) with decoupled weight decay (Loshchilov and
// Hutter, 2019) on the parameters p with gradient g and moments m, v:
//
//	m ← β₁ m + (1-β₁) g,  v ← β₂ v + (1-β₂) g²,  p ← (1-Decay) p - StepSize · m / (√v/Sqrt2 + Eps)
func Adam[T Float](p, g, m, v []T, c AdamCoef[T]) {
	same("Adam", len(p), len(g))
	same3("Adam", len(p), len(m), len(v))
	use[T]().adam(p, g, m, v, c)
}

// MomentumCoef are the constants of one step of [Momentum].
type MomentumCoef[T Float] struct {
	Mu           T // momentum
	OneMinusDamp T // weight of the new gradient
	LR           T // learning rate
	Nesterov     bool
}

// Momentum does one step of gradient descent with momentum on the parameters p with gradient g
// and velocity u:
//
//	u ← Mu·u + OneMinusDamp·g,  d = g + Mu·u if Nesterov, else u,  p ← p - LR·d
func Momentum[T Float](p, g, u []T, c MomentumCoef[T]) {
	same3("Momentum", len(p), len(g), len(u))
	use[T]().momentum(p, g, u, c)
}
