package tensor

// DotDouble returns the inner product of a and b, which have equally many elements, with every product and every sum in
// double precision: for what is a small difference of large inner products, such as the change of a quadratic model.
// Its order is fixed; it runs on the caller's goroutine, at about a nanosecond an element.
func DotDouble[T Float](a, b Tensor[T]) float64 {
	sameSize("DotDouble", a, b)
	x, y := a.data, b.data[:len(a.data)]
	var s [4]float64
	n := len(x) &^ 3
	for i := 0; i < n; i += 4 {
		s[0] += float64(x[i]) * float64(y[i])
		s[1] += float64(x[i+1]) * float64(y[i+1])
		s[2] += float64(x[i+2]) * float64(y[i+2])
		s[3] += float64(x[i+3]) * float64(y[i+3])
	}
	for i := n; i < len(x); i++ {
		s[0] += float64(x[i]) * float64(y[i])
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}
