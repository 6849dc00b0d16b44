package optim

import "github.com/descent-ml/descent/tensor"

// What follows is for packages with methods of their own (package optim/matrix is one): the settings that all
// methods share, in the same words, and the assembly of a chain from them.

// RateSetting is the learning rate "lr" with the given default.
func RateSetting(lr float64) Setting { return rate(lr) }

// DecaySetting is "weight-decay" with the given default; how says at which place it acts.
func DecaySetting(lambda float64, how string) Setting { return weightDecay(lambda, how) }

// EpsilonSetting is "eps" with the given default.
func EpsilonSetting(eps float64) Setting { return epsilon(eps) }

// CommonSettings are those that every chain made by a [Builder] has, to be appended to a method's own.
func CommonSettings() []Setting { return common() }

// Builder makes a chain from complete settings: the links common to all methods, those of the method, and the
// wrappers. It keeps the first error, which Method returns.
type Builder[T tensor.Float] struct{ k *builder[T] }

// NewBuilder returns a builder for the settings s.
func NewBuilder[T tensor.Float](env Env, s Settings) *Builder[T] {
	return &Builder[T]{newBuilder[T](env, s)}
}

// Hyper returns the named setting as a hyper-parameter, with its schedule if there is one.
func (b *Builder[T]) Hyper(name string) *Hyper { return b.k.hyper(name) }

// Decay returns the link of "weight-decay", or nil, which Method leaves out, where it is 0.
func (b *Builder[T]) Decay() Link[T] { return b.k.decay() }

// Descend returns the usual last link, with rate "lr".
func (b *Builder[T]) Descend() Link[T] { return b.k.descend() }

// First puts a link before the common ones: it sees every batch's own gradient, also where several are accumulated for an update.
func (b *Builder[T]) First(l Link[T]) { b.k.before = append(b.k.before, l) }

// Method returns the chain of the common links and own, in its wrappers.
func (b *Builder[T]) Method(own ...Link[T]) (Method[T], error) { return b.k.method(own...) }

// Links returns the links of the chain, in order.
func (c *Chain[T]) Links() []Link[T] { return c.links }

// Pool returns the workers of the step.
func (s *Stage[T]) Pool() *tensor.Pool { return s.pool }

// Changed says that a global link has written to Update, so that its norm is not what it was.
func (s *Stage[T]) Changed() { s.known = false }
