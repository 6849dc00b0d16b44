package nn

import "math"

// SD returns the standard deviation of one initial value of a parameter with the shape and fans of p: 0 for
// constants. For orthogonal matrices it is the root mean square, gain/√max(rows, cols).
func (i Initializer) SD(p Param) float64 {
	in, out := float64(max(1, p.FanIn)), float64(max(1, p.FanOut))
	switch i.Name {
	case "normal":
		return i.Param
	case "truncated-normal":
		return i.Param * truncatedSD
	case "uniform":
		return i.Param / math.Sqrt(3)
	case "glorot-uniform", "glorot-normal":
		return i.Param * math.Sqrt(2/(in+out))
	case "he-uniform", "he-normal":
		return i.Param * math.Sqrt(2/in)
	case "lecun-uniform", "lecun-normal":
		return i.Param * math.Sqrt(1/in)
	case "orthogonal":
		return i.Param / math.Sqrt(float64(max(p.Shape.Rows(), p.Shape.Cols())))
	}
	return 0
}

// truncatedSD is the standard deviation of a standard normal number conditioned on |x| ≤ 2:
// √(1 − 4 φ(2)/(2Φ(2) − 1)).
const truncatedSD = 0.8796256610342398
