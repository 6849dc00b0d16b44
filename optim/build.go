package optim

import (
	"github.com/descent-ml/descent/tensor"
)

// rate is the learning rate's setting.
func rate(lr float64) Setting {
	return Setting{Name: "lr", Default: lr, Min: 0, Max: 1e6, Log: true, Schedulable: true, Doc: "learning rate"}
}

func weightDecay(lambda float64, how string) Setting {
	return Setting{Name: "weight-decay", Default: lambda, Min: 0, Max: 1e3, Log: true, Schedulable: true,
		Doc: "λ, weight decay of weights and embeddings, never of biases and normalisation; " + how}
}

func epsilon(eps float64) Setting {
	return Setting{Name: "eps", Default: eps, Min: 1e-30, Max: 1, Log: true, Doc: "ε, keeps the denominator from zero; its place is in the formula"}
}

// common are the settings that every chain has besides its own.
func common() []Setting {
	return []Setting{
		{Name: "clip-norm", Min: 0, Max: 1e9, Log: true, Common: true, Doc: "shrinks the whole gradient to at most this Euclidean norm; 0: off"},
		{Name: "clip-tensor-norm", Min: 0, Max: 1e9, Log: true, Common: true, Doc: "shrinks each parameter's gradient to at most this Euclidean norm; 0: off"},
		{Name: "clip-value", Min: 0, Max: 1e9, Log: true, Common: true, Doc: "cuts each element of the gradient to this size; 0: off"},
		{Name: "clip-adaptive", Min: 0, Max: 1e3, Log: true, Common: true, Doc: "shrinks the gradient of each output unit to this multiple of its weights' norm; 0: off"},
		{Name: "accumulate", Default: 1, Min: 1, Max: 1e6, Integer: true, Common: true, Doc: "batches whose examples are averaged before an update"},
		{Name: "skip-limit", Min: 0, Max: 1e9, Integer: true, Common: true, Doc: "stops after so many non-finite steps one after the other; 0: never"},
		{Name: "ema", Min: 0, Max: 1, OpenMax: true, Common: true, Doc: "evaluates an exponential moving average of the parameters with this decay; 0: off"},
	}
}

// builder makes a chain from settings: the links common to all methods, those of the method, and the
// wrappers. It keeps the first error.
type builder[T tensor.Float] struct {
	env    Env
	s      Settings
	err    error
	before []Link[T] // links that come before the common ones
}

func newBuilder[T tensor.Float](env Env, s Settings) *builder[T] { return &builder[T]{env: env, s: s} }

func (k *builder[T]) hyper(name string) *Hyper {
	h, err := k.env.hyper(k.s, name)
	if k.err == nil {
		k.err = err
	}
	return h
}

// descend is the usual end.
func (k *builder[T]) descend() Link[T] { return NewDescend[T](k.hyper("lr")) }

// decay is nil, which method leaves out, at a coefficient of 0.
func (k *builder[T]) decay() Link[T] {
	h := k.hyper("weight-decay")
	if h.zero() {
		return nil
	}
	return NewDecay[T](k.env.Layout, h, nil)
}

// chain puts the common links before those given; nil links are left out.
func (k *builder[T]) chain(own ...Link[T]) *Chain[T] {
	links := append([]Link[T]{}, k.before...)
	if n := int(k.s["accumulate"]); n > 1 {
		links = append(links, NewAccumulate[T](k.env, n))
	}
	if c := k.s["clip-adaptive"]; c > 0 {
		links = append(links, NewClipAdaptive[T](k.env, c, 1e-3))
	}
	if c := k.s["clip-value"]; c > 0 {
		links = append(links, NewClipValue[T](c))
	}
	if c := k.s["clip-tensor-norm"]; c > 0 {
		links = append(links, NewClipTensorNorm[T](k.env, c))
	}
	if c := k.s["clip-norm"]; c > 0 {
		links = append(links, NewClipNorm[T](c))
	}
	for _, l := range own {
		if l != nil {
			links = append(links, l)
		}
	}
	return NewChain(k.env, links...).LimitSkips(int(k.s["skip-limit"]))
}

// method is the chain in its wrappers.
func (k *builder[T]) method(own ...Link[T]) (Method[T], error) { return k.wrap(k.chain(own...)) }

func (k *builder[T]) wrap(m Method[T]) (Method[T], error) {
	if k.err != nil {
		return nil, k.err
	}
	if decay := k.s["ema"]; decay > 0 {
		m = NewEMA(k.env, m, decay)
	}
	return m, nil
}
