package curvature

import (
	"fmt"
	"strings"

	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Kind says how the curvature of a group of parameters is represented.
type Kind uint8

const (
	Kronecker Kind = iota // two factors, one of the inputs and one of the output gradients
	Diagonal              // one number a parameter
)

// String returns the name in lower case.
func (k Kind) String() string {
	if k == Diagonal {
		return "diagonal"
	}
	return "kronecker"
}

// Block says which parameters are preconditioned together, how, and why.
type Block struct {
	Name         string // of the layer, or of the parameter
	Kind         Kind
	Weight, Bias int    // indices in the layout; Bias -1 if there is none. A diagonal block has its parameter in Weight.
	In, Out      int    // orders of the factors of a Kronecker block; In counts the 1 that stands for the bias
	Positions    bool   // a convolution: an example has many rows
	Reason       string // why it is held so
}

// Registration lists the blocks of a layout; every parameter is in exactly one.
type Registration []Block

// Register assigns the parameters of a layout to blocks. A weight matrix [in, out] has a Kronecker block, with the bias that
// is named like it ("dense1.weight", "dense1.bias"), unless a factor would be larger than largest; all else is
// diagonal.
func Register(l *nn.Layout, largest int) Registration {
	var blocks Registration
	taken := make([]bool, l.Len())
	for i := range l.Len() {
		p := l.At(i)
		if p.Kind != nn.Weight || p.Shape.Rank() != 2 || p.Groups > 1 {
			continue
		}
		b := Block{Name: strings.TrimSuffix(p.Name, ".weight"), Weight: i, Bias: -1, In: p.Shape.Dim(0), Out: p.Shape.Dim(1)}
		if j := l.Index(b.Name + ".bias"); j >= 0 && l.At(j).Shape.Size() == b.Out {
			b.Bias = j
			b.In++
		}
		if max(b.In, b.Out) > largest {
			continue
		}
		b.Positions = p.FanOut > b.Out // every input enters several positions of an output
		b.Reason = "affine layer without bias"
		taken[i] = true
		if b.Bias >= 0 {
			taken[b.Bias] = true
			b.Reason = "affine layer with its bias"
		}
		blocks = append(blocks, b)
	}
	for i := range l.Len() {
		if taken[i] {
			continue
		}
		p := l.At(i)
		b := Block{Name: p.Name, Kind: Diagonal, Weight: i, Bias: -1, Reason: fmt.Sprintf("kind %v, no affine layer", p.Kind)}
		switch {
		case p.Kind == nn.Weight && p.Groups > 1:
			b.Reason = fmt.Sprintf("a convolution in %d groups, each with an affine map of its own", p.Groups)
		case p.Kind == nn.Weight && p.Shape.Rank() == 2:
			b.Reason = fmt.Sprintf("a factor of order %d is larger than %d", max(p.Shape.Dim(0)+1, p.Shape.Dim(1)), largest)
		case p.Kind == nn.Weight:
			b.Reason = fmt.Sprintf("shape %v is no matrix", p.Shape)
		case p.Kind == nn.Bias:
			b.Reason = "a bias without a matrix that has a block"
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// String is a table, a block a line.
func (r Registration) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%-24s %-10s %-13s %s\n", "layer", "block", "factors", "why")
	for _, b := range r {
		factors := "-"
		if b.Kind == Kronecker {
			factors = fmt.Sprintf("%d × %d", b.In, b.Out)
		}
		fmt.Fprintf(&s, "%-24s %-10v %-13s %s\n", b.Name, b.Kind, factors, b.Reason)
	}
	return s.String()
}

// place is where the parameters of a Kronecker block lie in the buffer, as the matrix W̄ = [W; bᵀ].
type place struct{ weight, weightLen, bias, biasLen int }

func placeOf(l *nn.Layout, b Block) place {
	w := l.At(b.Weight)
	p := place{weight: w.Offset, weightLen: w.Shape.Size()}
	if b.Bias >= 0 {
		v := l.At(b.Bias)
		p.bias, p.biasLen = v.Offset, v.Shape.Size()
	}
	return p
}

func gather[T tensor.Float](p place, dst tensor.Tensor[T], v []T) {
	copy(dst.Data(), v[p.weight:p.weight+p.weightLen])
	copy(dst.Data()[p.weightLen:], v[p.bias:p.bias+p.biasLen])
}

func scatter[T tensor.Float](p place, v []T, src tensor.Tensor[T]) {
	copy(v[p.weight:p.weight+p.weightLen], src.Data())
	copy(v[p.bias:p.bias+p.biasLen], src.Data()[p.weightLen:])
}
