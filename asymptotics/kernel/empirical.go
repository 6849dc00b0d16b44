package kernel

import (
	"fmt"
	"math"

	"github.com/descent-ml/descent/autodiff"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/tensor"
)

// Empirical is the tangent kernel of a model at its present parameters: with J the Jacobian of the outputs,
//
//	Θ(x_i, x_j)_{ab} = Σ_p rate_p ∂z_a(x_i)/∂p · ∂z_b(x_j)/∂p.
//
// The model is in evaluation mode, so that one example's outputs do not depend on the others.
type Empirical[T tensor.Float] struct {
	Model  nn.Model[T]
	Params []T
	State  []T // running statistics; nil for a model without
	// Rate has a factor for each parameter of the layout, as of [rates.Plan]; nil: one.
	Rate []float64
	// Output is the output whose kernel [Empirical.Kernel] returns; -1: the mean of the diagonal blocks over all outputs.
	Output int
	// Bytes bounds the memory for pieces of the Jacobian; 0: 128 MiB.
	Bytes int

	pool *tensor.Pool
	tape *autodiff.Tape[T]
	pass *nn.Pass[T]
}

// NewEmpirical returns the kernel of m at params. It panics with a [tensor.ShapeError] if their number is not the model's.
func NewEmpirical[T tensor.Float](m nn.Model[T], params []T, pool *tensor.Pool) *Empirical[T] {
	if len(params) != m.Layout().Size() {
		panic(tensor.ShapeError{Op: "kernel.NewEmpirical", A: tensor.ShapeOf(m.Layout().Size()), B: tensor.ShapeOf(len(params))})
	}
	e := &Empirical[T]{Model: m, Params: params, pool: pool, tape: autodiff.NewTape(tensor.NewWorkspace[T](pool)), pass: nn.NewPass(m)}
	l := m.StateLayout()
	e.State = make([]T, l.Size())
	for i := range l.Len() {
		nn.Fill(tensor.KeyOf(0), l.At(i), nn.View(l, e.State, i).Data())
	}
	return e
}

func (e *Empirical[T]) rate(i int) float64 {
	if e.Rate == nil {
		return 1
	}
	return e.Rate[i]
}

func (e *Empirical[T]) budget() int {
	if e.Bytes <= 0 {
		return 128 << 20
	}
	return e.Bytes
}

// forward records the outputs for x as a matrix [n, outputs].
func (e *Empirical[T]) forward(x tensor.Tensor[T], record bool) autodiff.Var[T] {
	e.tape.Reset()
	e.pass.Start(e.tape, e.Params, e.State, nn.Evaluating, tensor.KeyOf(0))
	if record {
		e.pass.RecordAffine()
	}
	z := e.Model.Forward(e.pass, e.tape.Input(x))
	n := x.Shape().Dim(0)
	return autodiff.Reshape(z, tensor.ShapeOf(n, z.Shape().Size()/max(1, n)))
}

// Product stores Θ v in out for v [n, outputs], the kernel between all examples x and all outputs: Jᵀv by one reverse pass, then J by one
// forward pass. Nothing of size n² or of the Jacobian's is kept. Cost: about two evaluations with gradient. x is
// [n, input...].
func (e *Empirical[T]) Product(x, v, out tensor.Tensor[T]) {
	z := e.forward(x, false)
	if v.Shape() != z.Shape() || out.Shape() != z.Shape() {
		panic(tensor.ShapeError{Op: "kernel.Empirical.Product", A: z.Shape(), B: v.Shape()})
	}
	params := e.pass.Params()
	ws := e.tape.Workspace()
	back := e.tape.VJP(z, e.tape.Input(v), params)
	tangents := make([]autodiff.Var[T], len(params))
	for i, g := range back {
		w := ws.New(g.Shape())
		tensor.Scale(ws, w, g.Value(), T(e.rate(i)))
		tangents[i] = e.tape.Input(w)
	}
	jv := e.tape.JVP([]autodiff.Var[T]{z}, params, tangents)[0]
	copy(out.Data(), jv.Value().Data())
}

// Kernel returns the kernel between the examples x [n, input...] and y [m, input...] for the chosen output; a zero y stands for x.
// Sums are in T within a layer and float64 over the layers.
//
// Where every parameter belongs to one dense layer, layer l adds (X Xᵀ)∘(Δ Δᵀ), its inputs X and the gradients Δ of
// the outputs: two passes for each output, and products of matrices. Otherwise rows of the Jacobian are made one
// by one, in blocks within Bytes.
//
// The error says that the output does not exist, or that the model mixes the examples.
func (e *Empirical[T]) Kernel(x, y tensor.Tensor[T]) (tensor.Tensor[float64], error) {
	symmetric := y.IsZero()
	if symmetric {
		y = x
	}
	z := e.forward(rows(x, 0, 1), true)
	outputs := z.Shape().Cols()
	if e.pass.Mixed() {
		return tensor.Tensor[float64]{}, fmt.Errorf("kernel: the model mixes the examples of a batch\nhint: statistics of the batch have no tangent kernel of single examples")
	}
	if e.Output < -1 || e.Output >= outputs {
		return tensor.Tensor[float64]{}, fmt.Errorf("kernel: found output %d of a model with %d\nhint: -1 is the mean over all", e.Output, outputs)
	}
	if e.Rate != nil && len(e.Rate) != e.Model.Layout().Len() {
		panic(tensor.ShapeError{Op: "kernel.Empirical.Rate", A: tensor.ShapeOf(e.Model.Layout().Len()), B: tensor.ShapeOf(len(e.Rate))})
	}
	wanted := []int{e.Output}
	if e.Output < 0 {
		wanted = wanted[:0]
		for a := range outputs {
			wanted = append(wanted, a)
		}
	}
	per := e.Model.Layout().Size() // elements of a row of the Jacobian, for one output
	build := e.jacobian
	if layers := e.pass.Affine(); e.dense(layers) {
		build, per = e.layers, 0
		for _, a := range layers {
			per += a.X.Shape().Cols() + len(wanted)*a.Y.Shape().Cols()
		}
	} else {
		per *= len(wanted)
	}
	block := max(1, e.budget()/(16*per))
	n, m := x.Shape().Dim(0), y.Shape().Dim(0)
	k := tensor.New[float64](n, m)
	for i := 0; i < n; i += block {
		left := build(rows(x, i, min(n, i+block)), wanted)
		for j := 0; j < m; j += block {
			if symmetric && j < i {
				continue
			}
			right := left
			if !symmetric || j != i {
				right = build(rows(y, j, min(m, j+block)), wanted)
			}
			e.inner(k, i, j, left, right, 1/float64(len(wanted)))
		}
	}
	if symmetric {
		mirror(k.Data(), n)
	}
	if !tensor.AllFinite(k) {
		return k, fmt.Errorf("kernel: the tangent kernel has elements that are not finite\nhint: the parameters or the data are not")
	}
	return k, nil
}

// piece is a factor of a block of the kernel: Σ over outputs of (X Xᵀ)∘(Δ Δᵀ) times rate, without X of Δ Δᵀ alone.
type piece[T tensor.Float] struct {
	x     tensor.Tensor[T] // [examples, in], or zero
	delta []tensor.Tensor[T]
	rate  float64
	bias  float64 // added to the elements of X Xᵀ times rate
}

// dense reports whether every parameter is the weight or bias of exactly one dense layer.
func (e *Empirical[T]) dense(layers []nn.Affine[T]) bool {
	uses := make([]int, e.Model.Layout().Len())
	for _, a := range layers {
		if a.Conv || a.X.Shape().Rows() != 1 {
			return false
		}
		uses[a.Weight]++
		if a.Bias >= 0 {
			uses[a.Bias]++
		}
	}
	for _, u := range uses {
		if u != 1 {
			return false
		}
	}
	return true
}

// layers returns the pieces of a network of dense layers. Examples are independent, so the gradient of the sum of an output over
// them holds every example's own.
func (e *Empirical[T]) layers(x tensor.Tensor[T], wanted []int) []piece[T] {
	z := e.forward(x, true)
	list := e.pass.Affine()
	out := make([]piece[T], len(list))
	watch := make([]autodiff.Var[T], len(list))
	for i, a := range list {
		out[i] = piece[T]{x: a.X.Value().Clone(), rate: e.rate(a.Weight)}
		if a.Bias >= 0 {
			out[i].bias = e.rate(a.Bias)
		}
		watch[i] = a.Y
	}
	for _, a := range wanted {
		mark := e.tape.Mark()
		y := autodiff.Sum(autodiff.Slice(z, 1, a, a+1))
		e.tape.Backward(y, nil, nil, watch, func(i int, g tensor.Tensor[T]) {
			out[i].delta = append(out[i].delta, g.Clone())
		})
		e.tape.Release(mark)
	}
	return out
}

// jacobian returns one piece: the rows of the Jacobian, with columns scaled by the roots of the rates.
func (e *Empirical[T]) jacobian(x tensor.Tensor[T], wanted []int) []piece[T] {
	n, l := x.Shape().Dim(0), e.Model.Layout()
	p := piece[T]{bias: 1}
	for range wanted {
		p.delta = append(p.delta, tensor.New[T](n, l.Size()))
	}
	ws := e.tape.Workspace()
	for i := range n {
		z := e.forward(rows(x, i, i+1), false)
		for k, a := range wanted {
			mark := e.tape.Mark()
			seed := ws.Zeros(z.Shape())
			seed.Data()[a] = 1
			row := p.delta[k].Data()[i*l.Size() : (i+1)*l.Size()]
			for j, g := range e.tape.VJP(z, e.tape.Input(seed), e.pass.Params()) {
				tensor.Scale(ws, nn.View(l, row, j), g.Value(), T(math.Sqrt(e.rate(j))))
			}
			e.tape.Release(mark)
		}
	}
	return []piece[T]{p}
}

// inner adds a block of the kernel at (i, j).
func (e *Empirical[T]) inner(k tensor.Tensor[float64], i, j int, left, right []piece[T], scale float64) {
	ws := tensor.NewWorkspace[T](e.pool)
	cols := k.Shape().Cols()
	for p, a := range left {
		b := right[p]
		n, m := a.delta[0].Shape().Dim(0), b.delta[0].Shape().Dim(0)
		mark := ws.Mark()
		xx, dd := ws.New(tensor.ShapeOf(n, m)), ws.New(tensor.ShapeOf(n, m))
		if a.x.IsZero() {
			tensor.Fill(xx, T(a.bias))
		} else {
			tensor.MatMul(ws, xx, a.x, b.x, false, true)
			tensor.Scale(ws, xx, xx, T(a.rate))
			tensor.AddScalar(ws, xx, xx, T(a.bias))
		}
		for q := range a.delta {
			tensor.MatMul(ws, dd, a.delta[q], b.delta[q], false, true)
			tensor.Mul(ws, dd, dd, xx)
			for r := range n {
				dst := k.Data()[(i+r)*cols+j : (i+r)*cols+j+m]
				for c, v := range dd.Data()[r*m : (r+1)*m] {
					dst[c] += scale * float64(v)
				}
			}
		}
		ws.Release(mark)
	}
}

// rows returns examples lo to hi of a batch.
func rows[T tensor.Float](x tensor.Tensor[T], lo, hi int) tensor.Tensor[T] {
	s := x.Shape()
	per := s.Size() / max(1, s.Dim(0))
	return tensor.Of(x.Data()[lo*per:hi*per], s.With(0, hi-lo))
}
