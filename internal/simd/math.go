package simd

// Exp stores exp(a) in dst.
func Exp[T Float](dst, a []T) {
	same("Exp", len(dst), len(a))
	use[T]().exp(dst, a)
}

// Log stores the natural logarithm of a in dst: -Inf for ±0, NaN for negative numbers.
func Log[T Float](dst, a []T) {
	same("Log", len(dst), len(a))
	use[T]().log(dst, a)
}

// Tanh stores tanh(a) in dst.
func Tanh[T Float](dst, a []T) {
	same("Tanh", len(dst), len(a))
	use[T]().tanh(dst, a)
}

// Sigmoid stores 1/(1 + exp(-a)) in dst.
func Sigmoid[T Float](dst, a []T) {
	same("Sigmoid", len(dst), len(a))
	use[T]().sigmoid(dst, a)
}

// Erf stores the error function of a in dst.
func Erf[T Float](dst, a []T) {
	same("Erf", len(dst), len(a))
	use[T]().erf(dst, a)
}

// Softplus stores log(1 + exp(a)) in dst.
func Softplus[T Float](dst, a []T) {
	same("Softplus", len(dst), len(a))
	use[T]().softplus(dst, a)
}

// SiLU stores a·sigmoid(a) in dst (Elfwing, Uchibe and Doya, 2018).
func SiLU[T Float](dst, a []T) {
	same("SiLU", len(dst), len(a))
	use[T]().silu(dst, a)
}

// GELU stores a·Φ(a) = a/2·(1 + erf(a/√2)) in dst (Hendrycks and Gimpel, 2016). Its error is relative
// to |a|, not to the result where a is very negative.
func GELU[T Float](dst, a []T) {
	same("GELU", len(dst), len(a))
	use[T]().gelu(dst, a)
}
